//! What a run says of itself, to people, scripts and the run table.

use serde::{Deserialize, Serialize};
use throughline_attribution::Scope;
use throughline_core::{CountCheck, Guarantee, Notice};

use crate::forget::ForgetReport;
pub use crate::write_back::SinkDifferences;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Succeeded,
    /// Everything was read that came, and a vendor's own count says that some did not.
    Incomplete,
    Failed,
    Cancelled,
}

impl RunStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// Our count equals the vendor's own.
    Complete,
    Incomplete,
    /// The vendor gives no count to compare with.
    Unknown,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamReport {
    pub source: String,
    pub stream: String,
    /// Rows landed in this run.
    pub rows: u64,
    pub rejected: u64,
    pub bytes: u64,
    pub completeness: Completeness,
    pub counts: Vec<CountCheck>,
    pub notices: Vec<Notice>,
    /// `full`, `incremental`, `window`, `resumed`.
    pub mode: String,
    pub elapsed_ms: u64,
    pub error: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SinkReport {
    pub sink: String,
    pub connector: String,
    pub guarantee: Guarantee,
    pub tables: u64,
    pub rows: u64,
    pub location: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BookReport {
    pub name: String,
    pub ok: bool,
    pub expected: String,
    pub found: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TableReport {
    pub table: String,
    pub rows: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunReport {
    pub pipeline: String,
    pub run: i64,
    pub status: RunStatus,
    pub started_at_us: i64,
    pub elapsed_ms: u64,
    /// Rows new in this run over all streams.
    pub rows: u64,
    pub streams: Vec<StreamReport>,
    pub canonical: Vec<TableReport>,
    pub tables: Vec<TableReport>,
    /// How much attribution computed; `None` when nothing was new.
    #[serde(default)]
    pub attributed: Option<Scope>,
    pub books: Vec<BookReport>,
    pub sinks: Vec<SinkReport>,
    pub dead_letters: u64,
    pub notices: Vec<Notice>,
    /// The epoch readers see after this run; `None` before the first.
    pub epoch: Option<i64>,
    /// False when nothing was new and the tables are those of the epoch before.
    pub published: bool,
    pub recovered: bool,
    /// Each with its place and hint, in one line.
    pub errors: Vec<RunError>,
    /// When somebody was forgotten in this run: what was taken out where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<ForgetReport>,
    /// What sinks that write back would change, when that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<SinkDifferences>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunError {
    pub kind: String,
    pub temporary: bool,
    pub retry_after_s: Option<u64>,
    pub message: String,
}

impl From<&throughline_core::Error> for RunError {
    fn from(e: &throughline_core::Error) -> Self {
        let (temporary, after) = match e.retry() {
            throughline_core::Retry::Permanent => (false, None),
            throughline_core::Retry::Temporary { after } => (true, after),
        };
        Self {
            kind: e.kind().as_str().to_owned(),
            temporary,
            retry_after_s: after.map(|d| d.as_secs()),
            message: e.to_string(),
        }
    }
}

pub fn completeness(counts: &[CountCheck]) -> Completeness {
    if counts.is_empty() {
        Completeness::Unknown
    } else if counts.iter().all(|c| c.expected == c.read) {
        Completeness::Complete
    } else {
        Completeness::Incomplete
    }
}
