//! One stream: where its records stand in an answer, its columns, what it is walked by and counted with.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::ColumnType;

use super::paging::Paging;
use super::request::RequestOf;
use super::windows::{Days, Incremental};

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    pub name: String,
    #[serde(default)]
    pub doc: String,
    pub request: RequestOf,
    /// Path of the list of records; `.` is the whole answer.
    pub records: String,
    /// `records` leads to one object, which is the only record.
    #[serde(default)]
    pub single: bool,
    /// An answer without the path of `records` has none. Else it is an error.
    #[serde(default)]
    pub may_be_missing: bool,
    /// With `[*]` in `records`: members of the enclosing element that its records get.
    #[serde(default)]
    pub carry: Vec<String>,
    /// Columns taken from inside of a record: name and path, e.g. `deal_id = "from.id"`. The path is a
    /// template of options: so a column can be the one that a user names.
    #[serde(default)]
    pub lift: BTreeMap<String, String>,
    /// Only walked by other streams, as their parent: users never see it.
    #[serde(default)]
    pub hidden: bool,
    /// Columns that identify a record.
    #[serde(default)]
    pub key: Vec<String>,
    /// Columns the SELECTs rely on, and their types. Others land as they come.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnType>,
    #[serde(default)]
    pub paging: Paging,
    /// Reads only what changed.
    pub incremental: Option<Incremental>,
    /// Reads a report by days and replaces whole days.
    pub days: Option<Days>,
    /// One read per record of another stream.
    pub parent: Option<Parent>,
    /// The vendor's own number of records.
    pub count: Option<Count>,
    /// Records do not move between pages while they are read: no second looks.
    #[serde(default)]
    pub stable: bool,
    /// The vendor tells of deleted records (in a column or a stream).
    #[serde(default)]
    pub deletes: bool,
}

/// The stream whose records are walked: `{parent.<column>}` is a value of the record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    pub stream: String,
    /// Columns of the parent to use; the first one is its key.
    pub columns: Vec<String>,
    /// So many parents in one request: `{parent.ids}` is the list of their first columns.
    pub batch: Option<u32>,
    /// Columns every record gets from its parent: new name and parent's column. Not with `batch`.
    #[serde(default)]
    pub add: BTreeMap<String, String>,
    /// The column with the key of the parent that a record answers. A parent of a batch that no record
    /// answers then gets one with this column alone: it has nothing now, whatever it had before.
    pub answers: Option<String>,
}

/// Compared with what was read: less means that something is missing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The number in the answer.
    pub path: String,
    /// The vendor counts no further: such a number says nothing.
    pub at_most: Option<u64>,
    /// A request of its own. Without it, the first page of each window holds the number.
    pub request: Option<RequestOf>,
}
