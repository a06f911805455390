//! The source side: what a connector implements and what the engine asks of it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::catalog::Catalog;
use crate::consent::DynConsent;
use crate::context::Context;
use crate::error::Result;
use crate::time::Window;

/// A connector set up with its options.
///
/// # Promises
/// * Everything between two checkpoints can be read again from the first of them and gives the same
///   records (a source that cannot, such as webhooks, reads from the durable inbox).
/// * A row is never dropped in silence: what cannot be used comes as [`ReadEvent::Rejected`].
/// * A stream that ends without an error is complete as far as the source can know.
#[async_trait]
pub trait Source: Send + Sync {
    /// Asks the vendor whether credentials and rights suffice.
    async fn check(&self, ctx: &Context) -> Result<CheckReport>;

    /// The streams known without asking the vendor. `throughline check --offline` and the mapping
    /// rely on it; [`Source::discover`] may add columns and streams.
    fn catalog(&self) -> Catalog;

    async fn discover(&self, _ctx: &Context) -> Result<Catalog> {
        Ok(self.catalog())
    }

    /// How raw streams become canonical tables.
    fn mappings(&self) -> Vec<Mapping>;

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream>;

    /// Takes people who are to be forgotten out of what the connector itself keeps of the vendor's deliveries
    /// (an inbox), and gives the checkpoints that fit what is left, in the order of those given. Without
    /// `apply` it only counts. Called again after a crash, it goes on.
    ///
    /// Most connectors keep nothing: the rows that landed are the engine's.
    async fn forget(
        &self,
        _ctx: &Context,
        _who: Arc<dyn Forgotten>,
        _apply: bool,
        checkpoints: Vec<Checkpoint>,
    ) -> Result<(Vec<Scrubbed>, Vec<Checkpoint>)> {
        Ok((Vec::new(), checkpoints))
    }

    /// The checkpoints that [`Source::forget`] gave are durable.
    async fn forgotten(&self, _ctx: &Context) -> Result<()> {
        Ok(())
    }

    /// How a person lets this source in through a browser; `None` where that is not the way it signs in.
    fn consent(&self) -> Option<DynConsent> {
        None
    }

    /// The checkpoint is durable here: safe to acknowledge or delete upstream. May be called again
    /// with the same checkpoint after a crash.
    async fn committed(&self, _ctx: &Context, _stream: &str, _checkpoint: &Checkpoint) -> Result<()> {
        Ok(())
    }
}

/// Tells whose a record is.
pub trait Forgotten: Send + Sync {
    /// Whether a record (JSON) belongs to somebody who is to be forgotten.
    fn owns(&self, record: &str) -> bool;
    /// The record without what names such a person; `None` when nothing does.
    fn masked(&self, record: &str) -> Option<String>;
}

/// What was taken out of one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scrubbed {
    /// For people: a file, a table.
    pub place: String,
    /// Records of the person, now gone.
    pub removed: u64,
    /// Records of others, or of business, from which the person was taken out.
    pub changed: u64,
}

/// One SELECT over this source's raw streams, by bare name, that fills one canonical table.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The canonical table ([`crate::canonical`]).
    pub into: String,
    /// The raw streams it reads. It runs when at least the first of them is selected; the others
    /// are empty tables when they are not.
    pub from: Vec<String>,
    pub sql: String,
    /// For error messages, e.g. `connectors/src/amocrm/mapping/deals.sql`.
    pub origin: String,
    /// Values of `$name` placeholders in the SELECT.
    pub params: Vec<(String, Param)>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Param {
    Text(Option<String>),
    Int(i64),
    Bool(bool),
}

#[derive(Clone, Debug)]
pub struct ReadRequest {
    pub stream: String,
    /// Where to go on; `None` reads from the beginning.
    pub checkpoint: Option<Checkpoint>,
    /// An explicit backfill window (`--from`, `--to`), for streams that are `windowed`. A windowed
    /// read starts at its beginning and its checkpoints are not kept.
    pub window: Option<Window>,
    /// Stop early, for `preview` and `--dry-run`: at most this many pages (files, parts).
    pub max_pages: Option<u64>,
}

/// What to resume from; its content is the connector's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint(pub serde_json::Value);

pub type ReadStream = BoxStream<'static, Result<ReadEvent>>;

#[derive(Debug)]
pub enum ReadEvent {
    /// Records. Column names are the vendor's; types may differ from batch to batch, the engine
    /// widens. Names starting with `_tl_` are the engine's.
    Batch(Batch),
    /// All events before this one can be committed, and reading may go on from here.
    Checkpoint(Checkpoint),
    /// A record that cannot be used.
    Rejected(Reject),
    /// Something a person should know that is not an error; goes into the run report.
    Notice(Notice),
    /// Rows until [`ReadEvent::WindowEnd`] are the whole truth about the days `from_on..to_on`
    /// (days since the epoch, half-open). After a crash between the two, the source begins the
    /// window again with the same `id` and goes on behind its checkpoint, or with another `id` and
    /// starts the window over.
    WindowBegin {
        id: String,
        from_on: i32,
        to_on: i32,
    },
    WindowEnd {
        id: String,
    },
    /// Rows until [`ReadEvent::ReplaceEnd`] are the whole truth about one slice of the stream, for
    /// sources whose unit of change is not a day but a thing that is read whole: a file.
    ///
    /// With `ReplaceEnd` they stand in place of every row of this stream that came under the same
    /// `slice` and another `id`; a `ReplaceBegin` followed at once by `ReplaceEnd` empties the slice (the
    /// file is gone). Until `ReplaceEnd` the earlier rows stay and the new ones do not count. Rows of
    /// other slices, and rows outside any slice, are not touched.
    ///
    /// Replaces do not nest, neither in each other nor in windows. Checkpoints may come in between.
    /// An `id` is used once for the stream, except that after a crash between the two events the
    /// source begins the slice again with the same `id` and goes on behind its checkpoint, or with another
    /// `id` and starts the slice over; rows of an `id` that never ended do not count.
    ReplaceBegin {
        id: String,
        slice: String,
    },
    ReplaceEnd {
        id: String,
    },
    /// The vendor's own number of records for what this read covered, to compare with ours.
    Count(CountCheck),
    /// How much there is in all, where known, for the progress bar.
    Total(u64),
}

#[derive(Debug)]
pub struct Batch {
    pub rows: RecordBatch,
    /// The HTTP exchange the rows came from ([`crate::http::HttpResponseHead::exchange`]).
    pub exchange: Option<u64>,
    /// For error messages: `page 3`, `part 0`, `costs.csv:200`.
    pub page: String,
}

/// A record for the dead letters.
#[derive(Clone, Debug)]
pub struct Reject {
    pub reason: String,
    /// `page 3, record 17`, `costs.csv:12`.
    pub place: String,
    /// As it came. Cut at 1 MiB, which the reason then says.
    pub raw: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notice {
    /// Stable name: `schema_widened`, `column_added`, `changed_while_paging`, ...
    pub code: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountCheck {
    /// What was counted, e.g. `visits 2026-09-01 to 2026-09-07`.
    pub what: String,
    pub expected: u64,
    /// What this read delivered for it, rejected rows included.
    pub read: u64,
}

/// What `throughline check` prints of one source or sink.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct CheckReport {
    pub facts: Vec<(String, String)>,
    pub warnings: Vec<String>,
}

pub type DynSource = Arc<dyn Source>;
