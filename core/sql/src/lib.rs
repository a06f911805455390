//! The SQL engine behind a narrow interface, and its one implementation on DataFusion.
//!
//! This is the only crate that names DataFusion: everything generic in it is instantiated here, so
//! that a change in the engine or a connector does not compile it again. Attribution steps are plain
//! SELECTs by the rules of docs/portable-sql.md, so that another engine can stand behind
//! [`SqlEngine`].

mod bind;
mod error;
mod functions;
mod hashes;
mod local;
mod normal;
mod pool;
mod repartition;
mod statement;
mod widen;
mod windows;
mod write;

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use throughline_core::{BatchStream, Param, Result};

pub use hashes::{row_hashes, wide_row_hashes};
pub use local::{HELD_BYTES, LocalEngine, LocalOptions};
pub use statement::{check_syntax, sql_tables};

/// Where a table's rows are.
#[derive(Clone, Debug)]
pub enum TableRef {
    /// Parquet files and the schema they are read with: a column that a file lacks is null, a
    /// narrower type is cast. No files: an empty table.
    Parquet { files: Vec<PathBuf>, schema: SchemaRef },
    /// A few rows held in memory: parameters, calendars, test inputs.
    Rows { schema: SchemaRef, batches: Vec<RecordBatch> },
}

/// What a step wrote.
#[derive(Clone, Debug)]
pub struct Written {
    pub files: Vec<PathBuf>,
    pub schema: SchemaRef,
    pub rows: u64,
}

impl Written {
    pub fn table(&self) -> TableRef {
        TableRef::Parquet { files: self.files.clone(), schema: self.schema.clone() }
    }
}

/// An engine that runs one SELECT at a time over bound tables.
///
/// A session is disposable: after an error, make a new one, bind again, go on from the last step
/// that was finished.
#[async_trait]
pub trait SqlEngine: Send + Sync {
    /// Makes `table` known under `name`; replaces what had that name.
    async fn bind(&self, name: &str, table: &TableRef) -> Result<()>;

    /// Makes a SELECT known under `name` without running it.
    async fn bind_view(&self, name: &str, select: &str, params: &[(String, Param)]) -> Result<()>;

    /// Runs a SELECT into Parquet files in `folder`, which must not exist: a step that is repeated
    /// gets a fresh folder, since engines append. `step` names it in errors. Files and folder are
    /// durable (fsync) when this returns.
    async fn write(
        &self,
        step: &str,
        select: &str,
        params: &[(String, Param)],
        folder: &Path,
    ) -> Result<Written>;

    /// Runs a SELECT for the steps that follow. Few rows stay in memory; more go into Parquet files in
    /// `folder`, which must not exist. Neither outlives a crash: for what is to last, [`write`](Self::write).
    async fn hold(
        &self,
        step: &str,
        select: &str,
        params: &[(String, Param)],
        folder: &Path,
    ) -> Result<TableRef>;

    /// Runs a SELECT and streams its rows.
    async fn read(&self, select: &str, params: &[(String, Param)]) -> Result<BatchStream>;

    /// The schema a SELECT would give; finds every planning error without running it.
    async fn describe(&self, select: &str, params: &[(String, Param)]) -> Result<SchemaRef>;

    /// One number: loop tests, row counts, checksums.
    async fn scalar_i64(&self, select: &str) -> Result<i64>;
}
