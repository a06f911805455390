//! What a reader brings.

use arrow_array::RecordBatch;
use serde_json::{Value, json};
use throughline_plugin_abi as abi;

/// Rows, and where they came from. Some thousand rows a batch: every batch costs a crossing of the border.
#[derive(Clone, Debug)]
pub struct Rows {
    pub batch: RecordBatch,
    /// For error messages: `page 3`.
    pub page: Option<String>,
    /// [`crate::Response::exchange`] of the answer they came in.
    pub exchange: Option<u64>,
}

impl From<RecordBatch> for Rows {
    fn from(batch: RecordBatch) -> Self {
        Self { batch, page: None, exchange: None }
    }
}

/// One step of a read.
#[derive(Clone, Debug)]
pub enum Event {
    Rows(Rows),
    /// Everything before can be committed; reading may go on from here.
    Checkpoint(Value),
    /// A record that cannot be used: it goes to the dead letters, never away.
    Rejected {
        reason: String,
        place: String,
        raw: String,
    },
    /// For a person; no error.
    Notice {
        code: String,
        message: String,
    },
    /// The vendor's own number of records, and how many this read delivered of them.
    Count {
        what: String,
        expected: u64,
        read: u64,
    },
    /// How much there will be, for the progress bar.
    Total(u64),
    /// Rows up to [`Event::WindowEnd`] are the whole truth about the days `from_on..to_on` (days since
    /// 1970-01-01).
    WindowBegin {
        id: String,
        from_on: i32,
        to_on: i32,
    },
    WindowEnd {
        id: String,
    },
    /// Rows up to [`Event::ReplaceEnd`] replace those of the same slice (a file, say).
    ReplaceBegin {
        id: String,
        slice: String,
    },
    ReplaceEnd {
        id: String,
    },
    /// The stream is complete.
    End,
}

impl Event {
    /// Kind and JSON of all but rows.
    pub(crate) fn parts(self) -> (i32, Value) {
        match self {
            Self::Rows(rows) => (abi::TL_BATCH, json!({ "page": rows.page, "exchange": rows.exchange })),
            Self::Checkpoint(value) => (abi::TL_CHECKPOINT, value),
            Self::Rejected { reason, place, raw } => {
                (abi::TL_REJECTED, json!({ "reason": reason, "place": place, "raw": raw }))
            }
            Self::Notice { code, message } => (abi::TL_NOTICE, json!({ "code": code, "message": message })),
            Self::Count { what, expected, read } => {
                (abi::TL_COUNT, json!({ "what": what, "expected": expected, "read": read }))
            }
            Self::Total(total) => (abi::TL_TOTAL, json!(total)),
            Self::WindowBegin { id, from_on, to_on } => {
                (abi::TL_WINDOW_BEGIN, json!({ "id": id, "from_on": from_on, "to_on": to_on }))
            }
            Self::WindowEnd { id } => (abi::TL_WINDOW_END, json!({ "id": id })),
            Self::ReplaceBegin { id, slice } => (abi::TL_REPLACE_BEGIN, json!({ "id": id, "slice": slice })),
            Self::ReplaceEnd { id } => (abi::TL_REPLACE_END, json!({ "id": id })),
            Self::End => (abi::TL_END, Value::Null),
        }
    }
}
