//! Plans every mapping and transform without running it, over empty tables: unknown columns, functions
//! and wrong types, before any row is read.
//!
//! [`super::load`] is quick and touches no SQL engine; `throughline check` and a run call this next.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use throughline_core::canonical;
use throughline_sql::{HELD_BYTES, LocalEngine, LocalOptions, SqlEngine, TableRef};

use super::{Pipeline, SourceEntry, Stage};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::{land, suggest};

/// Decimals of money while the reporting currency is not known: planning needs a type, not a value.
const MONEY_SCALE: i8 = 2;

/// Everything that planning finds wrong with the pipeline's SQL.
///
/// # Errors
/// The engine could not be set up at all (kind `Io`); what is wrong with the SQL is in the list.
pub async fn check_sql(pipeline: &Pipeline, spill_dir: &Path) -> throughline_core::Result<Diagnostics> {
    let mut found: Vec<Diagnostic> = Vec::new();
    let session = || {
        LocalEngine::new(LocalOptions {
            memory_bytes: pipeline.engine.memory_bytes,
            spill_dir: spill_dir.to_owned(),
            threads: 1,
            held_bytes: HELD_BYTES,
        })
    };
    for source in &pipeline.sources {
        plan_mappings(&session()?, source, &mut found).await?;
    }
    if pipeline.transforms.is_empty() {
        return Ok(Diagnostics::new(found));
    }
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

/// A mapping reads its streams' contract columns and gives columns of its canonical table.
async fn plan_mappings(
    engine: &LocalEngine,
    source: &SourceEntry,
    found: &mut Vec<Diagnostic>,
) -> throughline_core::Result<()> {
    let catalog = source.source.catalog();
    for stream in &catalog.streams {
        let columns = stream.columns.iter().map(|c| Field::new(&c.name, c.kind.arrow(), true));
        let columns = Schema::new(columns.collect::<Vec<_>>());
        engine.bind(&stream.name, &empty(land::with_own_columns(&Arc::new(columns)))).await?;
    }
    for (mapping, text) in source.source.mappings().iter().zip(&source.mapping_texts) {
        // Of files that are not there yet nobody knows the columns.
        if mapping.from.iter().any(|s| catalog.stream(s).is_none_or(|s| s.columns.is_empty())) {
            continue;
        }
        let who = format!("source \"{}\"", source.name);
        match engine.describe(&mapping.sql, &mapping.params).await {
            Err(error) => found.push(text.diagnose(&who, &error)),
            Ok(given) => {
                let Some(table) = canonical::table(&mapping.into) else { continue };
                for field in given.fields().iter().filter(|f| table.column(f.name()).is_none()) {
                    let message = format!("{who}: \"{}\" has no column \"{}\"", table.name, field.name());
                    let hint =
                        suggest::hint(field.name(), "its columns", table.columns.iter().map(|c| c.name));
                    found.push(text.diagnose_name(field.name(), message).hint(hint));
                }
            }
        }
    }
    Ok(())
}

fn empty(schema: SchemaRef) -> TableRef {
    TableRef::Rows { schema, batches: Vec::new() }
}

/// `table "x" does not exist` where transform "x" itself is among the broken.
fn is_consequence(message: &str, broken: &[String]) -> bool {
    let missing = message.split("table \"").nth(1).and_then(|rest| rest.split_once("\" does not exist"));
    missing.is_some_and(|(name, _)| broken.iter().any(|b| b.starts_with(&format!("transform \"{name}\":"))))
}
