//! Values as text: exact, and the same on every machine.

use std::io::Write as _;
use std::sync::LazyLock;

use arrow::array::{Array, ArrayRef, AsArray as _, LargeStringArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use throughline_core::{Error, Result};

use crate::instants::Instants;

/// What a cell holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    /// Words of people, in which a formula may hide.
    Text,
    Plain,
}

/// A column of a batch, ready to write its cells.
pub(super) struct Column<'a> {
    name: &'a str,
    array: &'a dyn Array,
    cells: Cells<'a>,
}

enum Cells<'a> {
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    /// A dictionary of texts, looked up.
    Owned(ArrayRef),
    Times {
        instants: Instants<'a>,
        /// An instant and not a wall clock's reading.
        utc: bool,
    },
    /// Lists, structs and maps as JSON.
    Json(NullableEncoder<'a>),
    /// Numbers, dates, booleans and the rest by arrow's own exact forms.
    Other(ArrayFormatter<'a>),
}

static FORMAT: LazyLock<FormatOptions<'static>> =
    LazyLock::new(|| FormatOptions::new().with_display_error(false));
static JSON: LazyLock<EncoderOptions> = LazyLock::new(|| EncoderOptions::default().with_explicit_nulls(true));

impl<'a> Column<'a> {
    pub(super) fn new(field: &'a FieldRef, array: &'a ArrayRef) -> Result<Self> {
        let cells = match array.data_type() {
            DataType::Utf8 => Cells::Text(array.as_string()),
            DataType::LargeUtf8 => Cells::LargeText(array.as_string()),
            DataType::Dictionary(_, value) if **value == DataType::Utf8 => {
                Cells::Owned(cast(array, &DataType::Utf8)?)
            }
            DataType::Timestamp(unit, zone) => {
                Cells::Times { instants: Instants::new(array, *unit), utc: zone.is_some() }
            }
            kind if kind.is_nested() => Cells::Json(make_encoder(field, array, &JSON)?),
            _ => Cells::Other(ArrayFormatter::try_new(array, &FORMAT)?),
        };
        Ok(Self { name: field.name(), array, cells })
    }

    /// Appends the cell's text, without quotes.
    pub(super) fn write(&mut self, row: usize, out: &mut Vec<u8>) -> Result<Kind> {
        if self.array.is_null(row) {
            return Ok(Kind::Null);
        }
        let failed = |name: &str, what: String| {
            Error::data(format!("column {name:?}, row {row} of its batch: {what}"))
        };
        match &mut self.cells {
            Cells::Text(texts) => out.extend_from_slice(texts.value(row).as_bytes()),
            Cells::LargeText(texts) => out.extend_from_slice(texts.value(row).as_bytes()),
            Cells::Owned(texts) => {
                let texts: &StringArray = texts.as_string();
                if texts.is_null(row) {
                    return Ok(Kind::Null);
                }
                out.extend_from_slice(texts.value(row).as_bytes());
            }
            Cells::Times { instants, utc } => {
                let time = instants.at(row).map_err(|e| failed(self.name, e))?;
                let suffix = if *utc { "Z" } else { "" };
                write!(out, "{time:?}{suffix}").map_err(|e| failed(self.name, e.to_string()))?;
                return Ok(Kind::Plain);
            }
            Cells::Json(encoder) => {
                encoder.encode(row, out);
                return Ok(Kind::Plain);
            }
            Cells::Other(formatter) => {
                write!(out, "{}", formatter.value(row)).map_err(|e| failed(self.name, e.to_string()))?;
                return Ok(Kind::Plain);
            }
        }
        Ok(Kind::Text)
    }
}
