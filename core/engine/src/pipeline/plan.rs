//! Plans every transform without running it: unknown columns, functions and wrong types, before any
//! row is read.
//!
//! [`super::load`] is quick and touches no SQL engine; `throughline check` and a run call this next.

use std::path::Path;

use throughline_core::canonical;
use throughline_sql::{LocalEngine, LocalOptions, SqlEngine, TableRef};

use super::{Pipeline, Stage};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// Decimals of money while the reporting currency is not known: planning needs a type, not a value.
const MONEY_SCALE: i8 = 2;

/// Everything that planning finds wrong with the pipeline's transforms.
///
/// # Errors
/// The engine could not be set up at all (kind `Io`); what is wrong with the SQL is in the list.
pub async fn check_sql(pipeline: &Pipeline, spill_dir: &Path) -> throughline_core::Result<Diagnostics> {
    let mut found: Vec<Diagnostic> = Vec::new();
    if pipeline.transforms.is_empty() {
        return Ok(Diagnostics::default());
    }
    let session = || {
        LocalEngine::new(LocalOptions {
            memory_bytes: pipeline.engine.memory_bytes,
            spill_dir: spill_dir.to_owned(),
            threads: 1,
        })
    };
    let (early, late) = (session()?, session()?);
    for table in canonical::TABLES {
        early.bind(table.name, &empty(table.schema())).await?;
        late.bind(&format!("in_{}", table.name), &empty(table.schema())).await?;
    }
    for output in throughline_attribution::output_tables() {
        late.bind(output.name, &empty(output.schema(MONEY_SCALE))).await?;
    }
    for transform in &pipeline.transforms {
        let before = transform.stage == Stage::BeforeAttribution;
        let engine = if before { &early } else { &late };
        match engine.describe(&transform.sql, &[]).await {
            Ok(schema) => {
                // What takes a canonical table's place is brought to its columns.
                let canonical = canonical::table(&transform.name).filter(|_| before);
                let rows = empty(canonical.map_or(schema, |table| table.schema()));
                if before && canonical.is_none() {
                    late.bind(&transform.name, &rows).await?;
                }
                engine.bind(&transform.name, &rows).await?;
            }
            Err(error) => {
                let who = format!("transform \"{}\"", transform.name);
                found.push(transform.text.diagnose(&who, &error));
            }
        }
    }
    // What reads a table that could not be planned only repeats that it is not there.
    let broken: Vec<String> = found.iter().map(|d| d.message.clone()).collect();
    found.retain(|d| !is_consequence(&d.message, &broken));
    Ok(Diagnostics::new(found))
}

fn empty(schema: arrow::datatypes::SchemaRef) -> TableRef {
    TableRef::Rows { schema, batches: Vec::new() }
}

/// `table "x" does not exist` where transform "x" itself is among the broken.
fn is_consequence(message: &str, broken: &[String]) -> bool {
    let missing = message.split("table \"").nth(1).and_then(|rest| rest.split_once("\" does not exist"));
    missing.is_some_and(|(name, _)| broken.iter().any(|b| b.starts_with(&format!("transform \"{name}\":"))))
}
