//! What a checkpoint of a manifest stream holds.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use throughline_core::time::InstantUs;
use throughline_core::{Checkpoint, Error, Result};

/// Where a stream stands. Everything before it is delivered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct State {
    /// All windows before this are read (for streams by days: the day after the last one, as days).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_to: Option<i64>,
    /// The window being read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Span>,
    /// Where in the window: the pages of the stream itself, or of one parent.
    #[serde(skip_serializing_if = "Turn::is_start")]
    pub turn: Turn,
    /// For sub-streams.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parents: Option<Parents>,
    /// Pages delivered in this read, for messages.
    pub page: u64,
    /// `keyset` across runs: the last key of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// How long the last window was, when windows are split to hold few enough records. The next one is
    /// tried twice as long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<i64>,
    /// The read came to its end; the next one starts anew, after `done_to` and `last` where there are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

/// A window: instants, or days for streams by days. No bounds: everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Span {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
    /// Of a window of days that replaces what was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// How far pages are turned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Turn {
    /// Pages since the anchor (or the window's beginning).
    #[serde(skip_serializing_if = "is_zero")]
    pub pages: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub offset: u64,
    /// The vendor's cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// The URL of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The last key, for `keyset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// For ordered streams: pages are counted from this time on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anchor: Option<InstantUs>,
    /// The vendor does not keep the order: no anchors any more in this window.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unordered: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Parents {
    /// How far the parent stream is read.
    pub turn: Turn,
    /// The parent stream has no more pages in this window.
    pub last_page: bool,
    /// Parents of the page before `turn` that are still to be asked for; the first is under way.
    pub rest: Vec<Map<String, Value>>,
}

impl Turn {
    pub fn is_start(&self) -> bool {
        *self == Self::default()
    }
}

// serde gives a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl State {
    pub fn read(checkpoint: &Checkpoint, stream: &str) -> Result<Self> {
        serde_json::from_value(checkpoint.0.clone()).map_err(|e| {
            Error::data(format!("the checkpoint of stream {stream:?} cannot be read: {e}"))
                .hint("it is another connector's or version's: read the stream again with --full-refresh")
        })
    }
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        serde_json::to_value(self)
            .map(Checkpoint)
            .map_err(|e| Error::bug(format!("a checkpoint is no JSON: {e}")))
    }
}
