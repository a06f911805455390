//! A plugin that is asked, wherever it runs.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;

/// What can be asked, in the words of the interface. Also what goes through the pipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub(crate) enum Ask {
    Manifest,
    Open { config: Value },
    Check,
    Catalog,
    Discover,
    Mappings,
    ReadOpen { request: Value, checkpoint: Option<Value> },
    Committed { stream: String, checkpoint: Value },
    WriteOpen { table: Value, txn: String },
    Prepare,
    Commit { txn: String, committables: Value },
    Abort { txn: String },
}

/// What a reader brought.
#[derive(Debug)]
pub(crate) enum Brought {
    Rows {
        rows: RecordBatch,
        about: Value,
    },
    /// One of the interface's kinds, with its JSON.
    Other {
        kind: i32,
        json: Value,
    },
    End,
}

pub(crate) type Answer<T> = Result<T, Failure>;

/// One instance of a plugin, and at most one reader or writer of it. Calls block and come from one thread.
pub(crate) trait Session: Send {
    /// The answer's JSON; null where there is none. What the plugin does not offer is `TL_UNSUPPORTED`.
    fn ask(&mut self, ask: Ask) -> Answer<Value>;

    /// The next event of the reader that [`Ask::ReadOpen`] opened.
    fn next(&mut self) -> Answer<Brought>;

    /// Rows that will follow [`Ask::WriteOpen`] have this schema. Comes before it.
    fn rows_are(&mut self, schema: SchemaRef) -> Answer<()>;

    /// Rows for the writer; gives the rejects (a list or null).
    fn write(&mut self, rows: RecordBatch) -> Answer<Value>;

    /// Ends what runs, from another thread.
    fn stopper(&self) -> Stopper;
}

/// Asks a session to stop; may be called often, from anywhere, also after the session's end.
pub(crate) type Stopper = std::sync::Arc<dyn Fn() + Send + Sync>;

/// What a plugin lacks.
pub(crate) fn missing(what: &str) -> Failure {
    Failure::new(throughline_plugin_abi::TL_UNSUPPORTED, format!("the plugin has no {what}"))
}
