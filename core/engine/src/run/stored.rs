//! The tables of the last epoch, for `query`, `explain` and the reports.

use std::sync::Arc;

use throughline_core::{Error, ErrorKind, Result};
use throughline_sql::SqlEngine;
use throughline_store::{EpochRow, STATE_FILE, Store};

use super::tables::sql_engine;
use crate::pipeline::Pipeline;
use crate::publish::{self, StoredTable};

pub struct LastEpoch {
    pub epoch: EpochRow,
    pub tables: Vec<StoredTable>,
    /// Holds every table: outputs by their names, canonical ones as `in_<name>`.
    pub engine: Arc<dyn SqlEngine>,
}

/// Opens what the last committed epoch holds.
///
/// # Errors
/// `NotFound` when the pipeline has not published yet.
pub async fn last_epoch(pipeline: &Pipeline) -> Result<LastEpoch> {
    let none = || {
        Error::new(ErrorKind::NotFound, format!("pipeline {:?} has no tables yet", pipeline.name))
            .hint(format!("run it first: throughline run {}", pipeline.path.display()))
    };
    let file = pipeline.state_dir.join(STATE_FILE);
    if !file.exists() {
        return Err(none());
    }
    let store = Store::open(file)?;
    let epoch = store.last_committed_epoch(&pipeline.name).await?.ok_or_else(none)?;
    let state = publish::epoch_state(&epoch)?;
    let spill = pipeline.state_dir.join(&pipeline.name).join("query");
    let engine = sql_engine(&pipeline.engine, &spill)?;
    for table in &state.tables {
        engine.bind(&table.name, &table.reference(&pipeline.state_dir)?).await?;
    }
    Ok(LastEpoch { epoch, tables: state.tables, engine })
}
