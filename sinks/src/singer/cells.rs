//! Values of a batch as JSON, bytes to bytes: no value is built per cell.

use std::io::Write as _;
use std::sync::LazyLock;

use arrow::array::{
    Array, ArrayRef, AsArray as _, Float32Array, Float64Array, LargeStringArray, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use chrono::Datelike as _;
use throughline_core::{Error, Result};

use super::Decimals;
use crate::instants::Instants;

/// A column of a batch, ready to write its cells.
pub(super) struct Column<'a> {
    name: &'a str,
    array: &'a dyn Array,
    cells: Cells<'a>,
}

enum Cells<'a> {
    Null,
    Text(&'a StringArray),
    LargeText(&'a LargeStringArray),
    Float(&'a Float64Array),
    ShortFloat(&'a Float32Array),
    /// Integers, decimals and booleans: arrow writes them as JSON does, with all their digits.
    Plain(ArrayFormatter<'a>),
    /// Decimals as texts.
    Quoted(ArrayFormatter<'a>),
    Dates(ArrayFormatter<'a>),
    Times {
        instants: Instants<'a>,
        utc: bool,
    },
    List {
        offsets: Offsets<'a>,
        items: Box<Column<'a>>,
    },
    Struct(Vec<(Vec<u8>, Column<'a>)>),
}

enum Offsets<'a> {
    Short(&'a [i32]),
    Long(&'a [i64]),
}

static FORMAT: LazyLock<FormatOptions<'static>> =
    LazyLock::new(|| FormatOptions::new().with_display_error(false));

/// The array in a form that [`Column::new`] takes: dictionaries looked up.
pub(super) fn plain(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Dictionary(_, value) => cast(array, value)?,
        _ => array.clone(),
    })
}

impl<'a> Column<'a> {
    /// # Errors
    /// `Bug` for a type that [`super::schema`] refuses.
    pub(super) fn new(name: &'a str, array: &'a ArrayRef, decimals: Decimals) -> Result<Self> {
        let other = || -> Result<ArrayFormatter<'a>> { Ok(ArrayFormatter::try_new(array, &FORMAT)?) };
        let of = |field: &'a FieldRef, array: &'a ArrayRef| Column::new(field.name(), array, decimals);
        let cells = match array.data_type() {
            DataType::Null => Cells::Null,
            DataType::Utf8 => Cells::Text(array.as_string()),
            DataType::LargeUtf8 => Cells::LargeText(array.as_string()),
            DataType::Float64 => Cells::Float(array.as_primitive()),
            DataType::Float32 => Cells::ShortFloat(array.as_primitive()),
            kind if kind.is_integer() || *kind == DataType::Boolean => Cells::Plain(other()?),
            DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => match decimals {
                Decimals::Number => Cells::Plain(other()?),
                Decimals::Text => Cells::Quoted(other()?),
            },
            DataType::Date32 => Cells::Dates(other()?),
            DataType::Timestamp(unit, zone) => {
                Cells::Times { instants: Instants::new(array, *unit), utc: zone.is_some() }
            }
            DataType::List(field) => {
                let list = array.as_list::<i32>();
                let offsets = Offsets::Short(list.value_offsets());
                Cells::List { offsets, items: Box::new(of(field, list.values())?) }
            }
            DataType::LargeList(field) => {
                let list = array.as_list::<i64>();
                let offsets = Offsets::Long(list.value_offsets());
                Cells::List { offsets, items: Box::new(of(field, list.values())?) }
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let members = fields.iter().zip(columns).map(|(f, c)| Ok((member(f.name())?, of(f, c)?)));
                Cells::Struct(members.collect::<Result<_>>()?)
            }
            other => return Err(Error::bug(format!("column {name:?} has the type {other}"))),
        };
        Ok(Self { name, array, cells })
    }

    /// Appends the value as JSON.
    ///
    /// # Errors
    /// `Data` for a value that JSON, or RFC 3339, has no word for; it names the column.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.array.is_null(row) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let failed =
            |what: String| Error::data(format!("column {:?}, row {row} of its batch: {what}", self.name));
        match &self.cells {
            Cells::Null => out.extend_from_slice(b"null"),
            Cells::Text(texts) => text(texts.value(row), out)?,
            Cells::LargeText(texts) => text(texts.value(row), out)?,
            Cells::Float(numbers) => number(numbers.value(row), out).map_err(failed)?,
            // Its own digits, not those of the double nearest to it.
            Cells::ShortFloat(numbers) => {
                let number = numbers.value(row);
                if !number.is_finite() {
                    return Err(failed(format!("{number} is no number that JSON can say")));
                }
                serde_json::to_writer(&mut *out, &number).map_err(|e| failed(e.to_string()))?;
            }
            Cells::Plain(values) => {
                write!(out, "{}", values.value(row)).map_err(|e| failed(e.to_string()))?;
            }
            Cells::Quoted(values) => {
                write!(out, "\"{}\"", values.value(row)).map_err(|e| failed(e.to_string()))?;
            }
            Cells::Dates(values) => {
                let from = out.len() + 1;
                write!(out, "\"{}\"", values.value(row)).map_err(|e| failed(e.to_string()))?;
                let day = &out[from..out.len() - 1];
                if day.len() != 10 || !day[0].is_ascii_digit() || day.starts_with(b"0000") {
                    let day = String::from_utf8_lossy(day);
                    return Err(failed(format!("{day} is outside of the years that RFC 3339 can say")));
                }
            }
            Cells::Times { instants, utc } => {
                let time = instants.at(row).map_err(failed)?;
                if !(1..=9999).contains(&time.year()) {
                    return Err(failed(format!("{time} is outside of the years that RFC 3339 can say")));
                }
                let suffix = if *utc { "Z" } else { "" };
                write!(out, "\"{time:?}{suffix}\"").map_err(|e| failed(e.to_string()))?;
            }
            Cells::List { offsets, items } => {
                let (from, to) = offsets.of(row);
                out.push(b'[');
                for item in from..to {
                    if item > from {
                        out.push(b',');
                    }
                    items.write(item, out)?;
                }
                out.push(b']');
            }
            Cells::Struct(members) => {
                out.push(b'{');
                for (i, (name, column)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(name);
                    column.write(row, out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

impl Offsets<'_> {
    fn of(&self, row: usize) -> (usize, usize) {
        // Arrow's offsets are whole numbers that fit the array.
        let place = |n: i64| usize::try_from(n).unwrap_or(0);
        match self {
            Self::Short(offsets) => (place(offsets[row].into()), place(offsets[row + 1].into())),
            Self::Long(offsets) => (place(offsets[row]), place(offsets[row + 1])),
        }
    }
}

/// Of no number JSON would say `null`.
fn number(number: f64, out: &mut Vec<u8>) -> std::result::Result<(), String> {
    if !number.is_finite() {
        return Err(format!("{number} is no number that JSON can say"));
    }
    serde_json::to_writer(out, &number).map_err(|e| e.to_string())
}

fn text(text: &str, out: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(out, text).map_err(|e| Error::bug(format!("a text as JSON: {e}")))
}

/// `"name":`
pub(super) fn member(name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len() + 3);
    text(name, &mut bytes)?;
    bytes.push(b':');
    Ok(bytes)
}
