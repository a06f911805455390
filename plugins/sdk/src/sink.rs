//! What a sink implements.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::Manifest;
use crate::error::Result;
use crate::host::Host;
use crate::source::Report;

/// A sink with its options.
///
/// All tables of a transaction are written where readers do not see them, each made durable by
/// [`Writer::prepare`]; then [`Sink::commit`] shows all of them at once. A fresh process may commit, and may
/// commit again what was committed: by the transaction's name it must see that nothing is left to do.
pub trait Sink: Send + Sync + Sized + 'static {
    type Config: DeserializeOwned;

    fn manifest() -> Manifest;

    /// Checks the options and keeps them. Asks nobody.
    fn open(config: Self::Config, host: &Host) -> Result<Self>;

    /// Whether the destination is there and may be written to.
    fn check(&self, host: &Host) -> Result<Report>;

    /// Begins a table; the same table again under the same transaction replaces what was written.
    fn write(&self, host: &Host, table: Table, schema: SchemaRef, txn: &str) -> Result<Box<dyn Writer>>;

    fn commit(&self, host: &Host, txn: &str, tables: &[Committable]) -> Result<Receipt>;

    /// Drops what was written under the transaction; no error when there is nothing.
    fn abort(&self, host: &Host, txn: &str) -> Result<()>;
}

/// One table on its way. Dropped before [`Writer::prepare`], it leaves nothing that readers see.
pub trait Writer: Send {
    /// Gives the rows that the destination cannot hold; any of them stops the whole epoch.
    fn write(&mut self, host: &Host, rows: &RecordBatch) -> Result<Vec<Reject>>;

    /// All rows are there: makes them durable, and gives what a fresh process needs to commit. No secrets.
    fn prepare(&mut self, host: &Host) -> Result<Value>;
}

#[derive(Clone, Debug, Deserialize)]
pub struct Table {
    pub name: String,
    pub key: Vec<String>,
    /// The date column that large tables are divided by.
    pub partition_by: Option<String>,
    pub doc: String,
}

/// A row of the batch, counted from 0, and why it cannot be held.
#[derive(Clone, Debug, Serialize)]
pub struct Reject {
    pub row: u64,
    pub reason: String,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Committable {
    pub table: String,
    pub rows: u64,
    /// As [`Writer::prepare`] gave it.
    pub detail: Value,
}

#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    pub rows: u64,
    /// Where a person finds the result.
    pub location: String,
}

/// What a crash can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Every row is there once.
    ExactlyOnce,
    /// No row is lost; one may be there twice.
    AtLeastOnce,
}
