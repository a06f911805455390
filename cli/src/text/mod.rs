//! Tables and reports as text.

mod channels;
mod page;
mod report;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use throughline_core::Result;

pub use channels::channels;
pub use page::write_page;
pub use report::run_report;

/// An instant as people and scripts read it: RFC 3339, UTC, seconds.
pub fn instant(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us)
        .map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        .unwrap_or_else(|| us.to_string())
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// Rows of text under a head.
pub fn grid(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = plain();
    table.set_header(head.iter().map(|h| Cell::new(h).add_attribute(comfy_table::Attribute::Bold)));
    for row in rows {
        table.add_row(row);
    }
    format!("{table}\n")
}

/// Batches as one table; numbers to the right.
pub fn table(batches: &[RecordBatch]) -> Result<String> {
    let Some(first) = batches.first() else { return Ok("(no rows)\n".to_owned()) };
    let mut table = plain();
    let schema = first.schema();
    table.set_header(
        schema.fields().iter().map(|f| Cell::new(f.name()).add_attribute(comfy_table::Attribute::Bold)),
    );
    let options = FormatOptions::default().with_null("");
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|c| ArrayFormatter::try_new(c.as_ref(), &options))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            table.add_row(columns.iter().zip(batch.columns()).map(|(format, column)| {
                let cell = Cell::new(format.value(row));
                if column.data_type().is_numeric() { cell.set_alignment(CellAlignment::Right) } else { cell }
            }));
        }
    }
    Ok(format!("{table}\n"))
}

/// Lists as text, for CSV.
pub fn flat(batch: &RecordBatch) -> Result<RecordBatch> {
    let options = FormatOptions::default();
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if matches!(column.data_type(), DataType::List(_)) {
            let format = ArrayFormatter::try_new(column.as_ref(), &options)?;
            let text: StringArray = (0..column.len())
                .map(|row| column.is_valid(row).then(|| format.value(row).to_string()))
                .collect();
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(Arc::new(text));
        } else {
            fields.push(field.clone());
            columns.push(column.clone());
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
