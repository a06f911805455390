//! What a plugin says of itself and of its streams.

use serde::Serialize;
use serde_json::Value;

use crate::sink::Guarantee;

/// What users see before the plugin is set up.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The word behind `connector =`: a-z, 0-9 and `_`.
    pub name: &'static str,
    /// Usually `env!("CARGO_PKG_VERSION")`.
    pub version: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Markdown for `throughline connector show`.
    pub readme: &'static str,
    /// SPDX expression.
    pub license: &'static str,
    /// JSON Schema of the options.
    pub config_schema: Value,
    /// Sources: the streams under default options.
    pub streams: Vec<Stream>,
    /// Sinks: what is promised of a crash.
    pub guarantee: Option<Guarantee>,
}

/// One stream of records.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Stream {
    pub name: String,
    pub doc: String,
    /// Columns that identify a record; of several versions of one key the one read last counts. Empty: every
    /// row stands for itself.
    pub key: Vec<String>,
    /// Columns that mappings rely on. Others may come besides.
    pub columns: Vec<Column>,
    /// For reports that are corrected for days: read in windows, see [`crate::Event::WindowBegin`].
    pub restates: Option<Restates>,
    pub capabilities: Capabilities,
}

#[derive(Clone, Debug, Serialize)]
pub struct Restates {
    pub day_column: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
    pub doc: String,
}

impl Column {
    pub fn new(name: &str, kind: ColumnType, doc: &str) -> Self {
        Self { name: name.into(), kind, doc: doc.into() }
    }
}

/// Types of columns, and what Arrow columns fit them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Utf8
    Text,
    /// Int64
    Int,
    /// UInt64
    Uint,
    /// Decimal128(38, 9)
    Decimal,
    /// Float64
    Float,
    /// Boolean
    Bool,
    /// Timestamp(Microsecond, "UTC")
    Instant,
    /// Date32
    Date,
    /// Utf8 with one JSON value
    Json,
    /// List of Utf8
    TextList,
}

/// What a stream can do: it chooses the tests of `throughline plugin test`, and how the host reads.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Capabilities {
    /// Reads only what changed since its checkpoint.
    pub incremental: bool,
    /// Learns of deleted records.
    pub deletes: bool,
    /// Gives the vendor's own total.
    pub count: bool,
    /// Gives checkpoints within a read.
    pub resumable: bool,
    /// Honours a window from the user.
    pub windowed: bool,
}

/// One SELECT over this source's streams that fills a canonical table (docs/tables).
#[derive(Clone, Debug, Serialize)]
pub struct Mapping {
    pub into: String,
    pub from: Vec<String>,
    pub sql: String,
    /// For error messages: the file the SELECT is in.
    pub origin: String,
    /// Values of `$name` in the SELECT: texts, whole numbers, booleans or null.
    pub params: serde_json::Map<String, Value>,
}

impl Mapping {
    pub fn new(into: &str, from: &[&str], sql: &str, origin: &str) -> Self {
        Self {
            into: into.into(),
            from: from.iter().map(|s| (*s).to_owned()).collect(),
            sql: sql.into(),
            origin: origin.into(),
            params: serde_json::Map::new(),
        }
    }
}
