//! What the epoch before knew: whom identifiers belonged to, who was merged, how much there was of each
//! day. A pipeline's first run has none of it.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use std::sync::Arc;
use throughline_core::{Notice, Result};
use throughline_sql::TableRef;

use crate::runner::Runner;

/// Output tables of the epoch before; `None` where there is none.
#[derive(Clone, Debug, Default)]
pub struct Previous {
    pub identity_map: Option<TableRef>,
    pub identity_merges: Option<TableRef>,
    pub data_quality_daily: Option<TableRef>,
}

/// The columns that are read of each, and the view the steps see.
const READ: [(&str, &[&str], &str); 3] = [
    (
        "identity_map",
        &["id_type", "id_value", "person_id", "valid_from", "valid_to"],
        "SELECT id_type, id_value, person_id FROM in_previous_identity_map \
         WHERE valid_from IS NULL AND valid_to IS NULL AND person_id IS NOT NULL",
    ),
    (
        "identity_merges",
        &["ts", "from_person_id", "into_person_id", "id_type", "id_value", "reason"],
        "SELECT arrow_cast(arrow_cast(ts, 'Timestamp(Microsecond, Some(\"UTC\"))'), 'Int64') AS ts_us, \
         from_person_id, into_person_id, id_type, id_value, reason FROM in_previous_identity_merges",
    ),
    (
        "data_quality_daily",
        &["date", "source", "rows", "late_rows"],
        "SELECT arrow_cast(arrow_cast(date, 'Int32'), 'Int64') AS day_n, source, \"rows\" AS records, late_rows \
         FROM in_previous_data_quality_daily",
    ),
];

/// Binds `c_previous_identity`, `c_previous_merges` and `c_previous_quality`.
pub(crate) async fn bind(runner: &Runner<'_>, previous: &Previous, notices: &mut Vec<Notice>) -> Result<()> {
    let given = [&previous.identity_map, &previous.identity_merges, &previous.data_quality_daily];
    let views = ["c_previous_identity", "c_previous_merges", "c_previous_quality"];
    for (((name, columns, select), table), view) in READ.iter().zip(given).zip(views) {
        let bound = match table {
            Some(table) if has(table, columns) => table.clone(),
            None => empty(columns),
            Some(_) => {
                notices.push(Notice {
                    code: "previous_unknown".into(),
                    message: format!(
                        "{name} of the epoch before has other columns (a transform of that name?): what changed since is not told"
                    ),
                });
                empty(columns)
            }
        };
        runner.bind(&format!("in_previous_{name}"), &bound).await?;
        runner.view(view, select).await?;
    }
    Ok(())
}

fn has(table: &TableRef, columns: &[&str]) -> bool {
    let (TableRef::Parquet { schema, .. } | TableRef::Rows { schema, .. }) = table;
    columns
        .iter()
        .all(|name| schema.field_with_name(name).is_ok_and(|f| same_kind(f.data_type(), &kind(name))))
}

fn same_kind(found: &DataType, wanted: &DataType) -> bool {
    found == wanted || matches!((found, wanted), (DataType::Utf8View | DataType::LargeUtf8, DataType::Utf8))
}

fn kind(column: &str) -> DataType {
    match column {
        "ts" | "valid_from" | "valid_to" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "date" => DataType::Date32,
        "rows" | "late_rows" => DataType::Int64,
        _ => DataType::Utf8,
    }
}

fn empty(columns: &[&str]) -> TableRef {
    let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, kind(name), true)).collect();
    TableRef::Rows { schema: Arc::new(Schema::new(fields)), batches: Vec::new() }
}
