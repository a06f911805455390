//! What a source offers: its streams, their columns, keys and capabilities.

use serde::{Deserialize, Serialize};

/// The streams of a source, as `discover` found them or as the connector declares them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Catalog {
    pub streams: Vec<StreamSpec>,
}

impl Catalog {
    pub fn stream(&self, name: &str) -> Option<&StreamSpec> {
        self.streams.iter().find(|s| s.name == name)
    }
}

/// One stream of records.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StreamSpec {
    pub name: String,
    pub doc: String,
    /// Columns that identify a record. Empty: every row stands for itself. Of several landed
    /// versions of one key, the one landed last is current.
    pub key: Vec<String>,
    /// The contract with `mapping.sql`: columns that exist in the raw table even when no record
    /// had them, in this type. A value that does not fit stays in the raw table as text and its
    /// row goes to the dead letters when it is mapped. Columns not named here land as they come.
    pub columns: Vec<ColumnSpec>,
    pub restates: Option<Restates>,
    pub capabilities: Capabilities,
}

/// For reports a vendor corrects for days: rows between [`crate::ReadEvent::WindowBegin`] and
/// `WindowEnd` replace all rows whose `day_column` lies in that window.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restates {
    pub day_column: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnSpec {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
    #[serde(default)]
    pub doc: String,
}

/// Column types of raw and canonical tables and their arrow forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// `Utf8`
    Text,
    /// `Int64`
    Int,
    /// `UInt64`, for vendor ids beyond 2^63
    Uint,
    /// `Decimal128(38, 9)`: exact, for amounts as a vendor gives them
    Decimal,
    /// `Float64`
    Float,
    /// `Boolean`
    Bool,
    /// `Timestamp(Microsecond, "UTC")`
    Instant,
    /// `Date32`
    Date,
    /// `Utf8` holding one JSON value, byte for byte as the vendor sent it
    Json,
    /// `List<Utf8>`
    TextList,
}

impl ColumnType {
    pub fn arrow(self) -> arrow::datatypes::DataType {
        use arrow::datatypes::{DataType, Field, TimeUnit};
        match self {
            Self::Text | Self::Json => DataType::Utf8,
            Self::Int => DataType::Int64,
            Self::Uint => DataType::UInt64,
            Self::Decimal => DataType::Decimal128(38, 9),
            Self::Float => DataType::Float64,
            Self::Bool => DataType::Boolean,
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
            Self::TextList => {
                DataType::List(std::sync::Arc::new(Field::new_list_field(DataType::Utf8, true)))
            }
        }
    }
}

/// Plain data: chooses which tests of the behaviour suite run on a stream, and fills the table in
/// docs/connectors.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Reads only what changed since its checkpoint.
    pub incremental: bool,
    /// Learns of deleted records.
    pub deletes: bool,
    /// Receives instead of asking.
    pub webhook: bool,
    /// The vendor gives a total that a run is compared with.
    pub count: bool,
    /// Gives checkpoints within a run, so that a crash does not start over.
    pub resumable: bool,
    /// Honours `--from` and `--to`.
    pub windowed: bool,
}
