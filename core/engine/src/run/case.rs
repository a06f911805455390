//! `[[test]]`: canonical rows in, output rows compared, at a fixed instant, without state or network.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use futures::StreamExt;
use serde::Serialize;
use serde_json::{Map, Value};
use throughline_attribution::Previous;
use throughline_core::canonical::{self, CanonicalTable};
use throughline_core::{Error, Result};
use throughline_sql::{SqlEngine, TableRef};

use super::plan::empty_inputs;
use super::tables::{Inputs, derive, sql_engine};
use crate::pipeline::{Pipeline, Rows, TestCase};

#[derive(Clone, Debug, Serialize)]
pub struct CaseReport {
    pub name: String,
    pub passed: bool,
    /// What differs, table by table, for people.
    pub differences: Vec<String>,
}

/// Runs one test of a pipeline.
///
/// # Errors
/// When the test cannot be run at all; a difference is no error.
pub async fn run_case(pipeline: &Pipeline, case: &TestCase) -> Result<CaseReport> {
    let folder = tempfile::tempdir().map_err(|e| Error::io("create", "a temporary folder", e))?;
    let engine = sql_engine(&pipeline.engine, &folder.path().join("spill"))?;
    let mut inputs = empty_inputs();
    for (name, rows) in &case.input {
        let table = canonical::table(name)
            .ok_or_else(|| Error::config(format!("there is no canonical table {name:?}")))?;
        inputs.insert(name.clone(), input_rows(table, rows)?);
    }
    let computed = derive(
        pipeline,
        folder.path(),
        engine,
        Inputs {
            tables: inputs,
            unique: false,
            previous: Previous::default(),
            before: Err("a test case"),
            keep: false,
        },
        &folder.path().join("tables"),
        case.now_us,
        &|_| Ok(()),
    )
    .await?;
    let mut differences = Vec::new();
    if let Some(wrong) = computed.books.iter().find(|b| !b.ok) {
        differences.push(format!(
            "the books do not balance: {}: expected {}, found {}",
            wrong.name, wrong.expected, wrong.found
        ));
    }
    for (table, expected) in &case.expect {
        differences.extend(compare(computed.engine.as_ref(), table, expected).await?);
    }
    Ok(CaseReport { name: case.name.clone(), passed: differences.is_empty(), differences })
}

fn input_rows(table: &'static CanonicalTable, rows: &Rows) -> Result<TableRef> {
    let fields: Vec<Field> = table.columns.iter().map(|c| Field::new(c.name, c.kind.arrow(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let mut decoder = arrow::json::ReaderBuilder::new(schema.clone()).build_decoder()?;
    decoder.serialize(rows)?;
    let batches: Vec<RecordBatch> = decoder.flush()?.into_iter().collect();
    Ok(TableRef::Rows { schema, batches })
}

/// All rows of a table against the expected ones, on the columns that those name, in any order.
async fn compare(engine: &dyn SqlEngine, table: &str, expected: &Rows) -> Result<Vec<String>> {
    let mut columns: Vec<&String> = expected.iter().flat_map(Map::keys).collect();
    columns.sort();
    columns.dedup();
    let list: Vec<String> = columns.iter().map(|c| crate::map::quoted(c)).collect();
    let list = if list.is_empty() { "1 AS _row".to_owned() } else { list.join(", ") };
    let mut batches = engine.read(&format!("SELECT {list} FROM {}", crate::map::quoted(table)), &[]).await?;
    let mut found: BTreeMap<String, i64> = BTreeMap::new();
    while let Some(batch) = batches.next().await {
        for row in rows_as_json(&batch?)? {
            *found.entry(row_text(&row, &columns)).or_default() += 1;
        }
    }
    for row in expected {
        *found.entry(row_text(row, &columns)).or_default() -= 1;
    }
    Ok(found
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .map(|(row, count)| {
            let (word, times) = if count > 0 { ("unexpected", count) } else { ("missing", -count) };
            let times = if times == 1 { String::new() } else { format!(" ({times} times)") };
            format!("{table}: {word} row{times}: {row}")
        })
        .collect())
}

fn rows_as_json(batch: &RecordBatch) -> Result<Vec<Map<String, Value>>> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    serde_json::Deserializer::from_slice(&writer.into_inner())
        .into_iter()
        .collect::<std::result::Result<_, _>>()
        .map_err(|e| Error::bug(format!("a row is no JSON object: {e}")))
}

/// One text per row: columns in order, numbers to nine digits, instants as instants.
fn row_text(row: &Map<String, Value>, columns: &[&String]) -> String {
    let cells: Vec<String> = columns
        .iter()
        .map(|c| format!("{c} = {}", cell_text(row.get(c.as_str()).unwrap_or(&Value::Null))))
        .collect();
    cells.join(", ")
}

fn cell_text(value: &Value) -> String {
    match value {
        Value::Number(n) if n.is_f64() => {
            let number = n.as_f64().unwrap_or_default();
            let text = format!("{number:.9}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        Value::String(text) => match chrono::DateTime::parse_from_rfc3339(text) {
            Ok(instant) => instant.to_utc().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true),
            // A decimal is a text in JSON; 12.50 and 12.5 are one number.
            Err(_) => match text.parse::<f64>() {
                Ok(number) if text.contains('.') => {
                    cell_text(&serde_json::Number::from_f64(number).map_or(Value::Null, Value::Number))
                }
                _ => text.clone(),
            },
        },
        other => other.to_string(),
    }
}
