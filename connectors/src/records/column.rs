//! One column while its batch grows: the text of every value, and the kinds seen so far.
//!
//! Values keep the text they came as until the batch is cut; only then is the narrowest type that
//! holds them all chosen. So widening never re-renders anything, and `12.50` that meets a word is
//! still `12.50`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Decimal128Array, Int64Array, NullArray, StringArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;

use super::number;

/// The lattice: `Null < Bool < Text`, `Null < Int < Decimal < Text`, `Null < Json < Text`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Int,
    Decimal,
    /// Objects and arrays, byte for byte.
    Json,
    Text,
}

impl Kind {
    #[inline]
    pub fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Null, b) => b,
            (a, Self::Null) => a,
            (Self::Int, Self::Decimal) | (Self::Decimal, Self::Int) => Self::Decimal,
            _ => Self::Text,
        }
    }
    pub fn arrow(self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Bool => DataType::Boolean,
            Self::Int => DataType::Int64,
            Self::Decimal => DataType::Decimal128(38, 9),
            Self::Json | Self::Text => DataType::Utf8,
        }
    }
    /// The word a user reads in a notice.
    pub fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "true/false",
            Self::Int => "whole number",
            Self::Decimal => "decimal",
            Self::Json | Self::Text => "text",
        }
    }
}

pub(crate) struct Column {
    pub name: Arc<str>,
    /// All batches so far: a column never narrows within one read.
    pub kind: Kind,
    /// Row number + 1 of the last record that had this key, over the whole read.
    pub last_seen: u64,
    /// The kind as it was when the last batch was cut.
    pub published: Option<Kind>,
    text: String,
    offsets: Vec<i32>,
    valid: BooleanBufferBuilder,
    rows: usize,
    nulls: usize,
}

impl Column {
    pub fn new(name: Arc<str>) -> Self {
        Self {
            name,
            kind: Kind::Null,
            last_seen: 0,
            published: None,
            text: String::new(),
            offsets: vec![0],
            valid: BooleanBufferBuilder::new(0),
            rows: 0,
            nulls: 0,
        }
    }

    /// Nulls up to row `row` for the records that did not have this key.
    #[inline]
    pub fn pad(&mut self, row: usize) {
        if self.rows < row {
            let missing = row - self.rows;
            let end = self.end();
            self.offsets.extend(std::iter::repeat_n(end, missing));
            self.valid.append_n(missing, false);
            self.rows = row;
            self.nulls += missing;
        }
    }

    #[inline]
    pub fn push(&mut self, kind: Kind, text: &str) {
        self.kind = self.kind.join(kind);
        self.text.push_str(text);
        let end = self.end();
        self.offsets.push(end);
        self.valid.append(true);
        self.rows += 1;
    }

    /// Batches are cut long before 2 GiB: see `Limits`.
    #[inline]
    fn end(&self) -> i32 {
        i32::try_from(self.text.len()).unwrap_or(i32::MAX)
    }

    /// The column of `rows` rows, and an empty one in its place.
    pub fn finish(&mut self, rows: usize) -> ArrayRef {
        self.pad(rows);
        let text = std::mem::take(&mut self.text);
        let offsets = std::mem::replace(&mut self.offsets, Vec::with_capacity(rows + 1));
        self.offsets.push(0);
        self.text.reserve(text.len());
        let valid = self.valid.finish();
        let nulls = if self.nulls == 0 { None } else { Some(NullBuffer::new(valid)) };
        (self.rows, self.nulls) = (0, 0);
        match self.kind {
            Kind::Null => Arc::new(NullArray::new(rows)),
            Kind::Json | Kind::Text => {
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                Arc::new(StringArray::new(offsets, Buffer::from_vec(text.into_bytes()), nulls))
            }
            Kind::Bool => {
                let mut values = BooleanBufferBuilder::new(rows);
                for cell in cells(&text, &offsets) {
                    values.append(cell == b"true");
                }
                Arc::new(BooleanArray::new(values.finish(), nulls))
            }
            // The kind was found from these very texts, so each of them parses; nulls are empty.
            Kind::Int => {
                let values: Vec<i64> =
                    cells(&text, &offsets).map(|c| number::parse_int(c).unwrap_or_default()).collect();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Kind::Decimal => {
                let values: Vec<i128> =
                    cells(&text, &offsets).map(|c| number::parse_decimal(c).unwrap_or_default()).collect();
                Arc::new(
                    Decimal128Array::new(values.into(), nulls).with_data_type(DataType::Decimal128(38, 9)),
                )
            }
        }
    }
}

fn cells<'a>(text: &'a str, offsets: &'a [i32]) -> impl Iterator<Item = &'a [u8]> {
    offsets.windows(2).map(|pair| {
        let at = |i: usize| usize::try_from(pair[i]).unwrap_or_default();
        text.as_bytes().get(at(0)..at(1)).unwrap_or_default()
    })
}
