//! Plans every mapping and transform over empty tables: wrong SQL is found before anything is read.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use throughline_core::canonical::TABLES;
use throughline_core::{Error, Result};
use throughline_sql::{SqlEngine, TableRef};

use super::tables::sql_engine;
use crate::land;
use crate::map::{quoted, stream_view};
use crate::pipeline::{Pipeline, Stage};

/// # Errors
/// The first SELECT that cannot be planned, with the place the engine gives.
pub async fn check_sql(pipeline: &Pipeline) -> Result<()> {
    let spill = std::env::temp_dir();
    for entry in &pipeline.sources {
        let session = sql_engine(&pipeline.engine, &spill)?;
        bind_empty_streams(session.as_ref(), entry.source.as_ref()).await?;
        for mapping in entry.source.mappings() {
            let given = session
                .describe(&mapping.sql, &mapping.params)
                .await
                .map_err(|e| e.with("mapping", &mapping.origin).with("source", &entry.name))?;
            let Some(table) = throughline_core::canonical::table(&mapping.into) else {
                return Err(Error::config(format!("{} fills no canonical table", mapping.origin)));
            };
            if let Some(field) = given.fields().iter().find(|f| table.column(f.name()).is_none()) {
                return Err(Error::config(format!("{} has no column {:?}", table.name, field.name()))
                    .with("mapping", &mapping.origin)
                    .with("source", &entry.name));
            }
        }
    }
    let engine = sql_engine(&pipeline.engine, &spill)?;
    for (name, rows) in empty_inputs() {
        engine.bind(&name, &rows).await?;
    }
    for transform in pipeline.transforms.iter().filter(|t| t.stage == Stage::BeforeAttribution) {
        let given =
            engine.describe(&transform.sql, &[]).await.map_err(|e| e.with("transform", &transform.name))?;
        engine.bind(&transform.name, &TableRef::Rows { schema: given, batches: Vec::new() }).await?;
    }
    Ok(())
}

/// Every canonical table, empty.
pub fn empty_inputs() -> BTreeMap<String, TableRef> {
    TABLES
        .iter()
        .map(|t| (t.name.to_owned(), TableRef::Rows { schema: t.schema(), batches: Vec::new() }))
        .collect()
}

async fn bind_empty_streams(session: &dyn SqlEngine, source: &dyn throughline_core::Source) -> Result<()> {
    let schema = land::with_own_columns(&Arc::new(Schema::empty()));
    for spec in source.catalog().streams {
        let raw = format!("_raw_{}", spec.name);
        session.bind(&raw, &TableRef::Parquet { files: Vec::new(), schema: schema.clone() }).await?;
        let view = stream_view(&spec, &schema, &quoted(&raw), None);
        session.bind_view(&spec.name, &view.select, &[]).await?;
    }
    Ok(())
}
