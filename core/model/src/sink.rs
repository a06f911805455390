//! The sink side: stage, then commit, so that readers see a whole epoch or none.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::Result;
use crate::source::CheckReport;
use crate::write_back::WriteBack;

pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// A destination set up with its options.
///
/// The engine stages every table of an epoch in every sink, writes all committables into the
/// ledger in one durable record, and only then commits. After a crash a fresh process commits again
/// from the ledger alone, so `commit` must be idempotent by `txn`.
#[async_trait]
pub trait Sink: Send + Sync {
    async fn check(&self, ctx: &Context) -> Result<CheckReport>;

    /// Writes one table where readers do not see it, and makes it durable. Staging the same table
    /// again under the same `txn` replaces what was staged.
    async fn stage(
        &self,
        ctx: &Context,
        table: &Table,
        rows: BatchStream,
        txn: &TxnId,
    ) -> Result<Committable>;

    /// Shows all staged tables of the epoch to readers at once. Succeeds without effect when this
    /// `txn` is committed already.
    async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt>;

    /// Deletes every epoch before the one of `txn`, which is committed, for good: somebody in them is to be
    /// forgotten. Gives how many; `None` when this kind of sink cannot. Whoever still reads
    /// one of them is cut off.
    async fn drop_older(&self, _ctx: &Context, _txn: &TxnId) -> Result<Option<u64>> {
        Ok(None)
    }

    /// Drops what was staged under `txn`; succeeds when there is nothing.
    async fn abort(&self, ctx: &Context, txn: &TxnId) -> Result<()>;

    fn guarantee(&self) -> Guarantee;

    /// For sinks that write into records which others own.
    fn write_back(&self) -> Option<&dyn WriteBack> {
        None
    }
}

/// Names one attempt-independent commit: the same inputs give the same id, in any process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TxnId(pub String);

#[derive(Clone, Debug)]
pub struct Table {
    pub name: String,
    pub schema: SchemaRef,
    pub key: Vec<String>,
    /// Date column that large tables are partitioned by.
    pub partition_by: Option<String>,
    pub doc: String,
}

/// What a sink needs to commit from a fresh process. Goes into the ledger: no secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Committable {
    pub table: String,
    pub rows: u64,
    pub detail: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub rows: u64,
    /// Where a person finds the result.
    pub location: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Guarantee {
    /// Every row is there once, whatever crashed.
    ExactlyOnce,
    /// No row is lost; after a crash one may be there twice.
    AtLeastOnce,
}

impl Guarantee {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExactlyOnce => "exactly-once",
            Self::AtLeastOnce => "at-least-once",
        }
    }
}

pub type DynSink = Arc<dyn Sink>;
