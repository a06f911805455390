//! One row on its way: what the vendor gets of it, or why it gets nothing.

use std::fmt::Write as _;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use throughline_core::money::exponent;
use throughline_core::{Error, ErrorKind, Result};

/// What is sent of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// What the row is known by for ever: a conversion's id.
    pub id: String,
    /// As it is sent, without a line end.
    pub text: String,
    /// For vendors that address what they are sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
}

impl Line {
    /// Of what is sent, for rows that may be sent anew when they change.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.text, &self.to] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().iter().take(12).fold(String::new(), |mut text, b| {
            let _ = write!(text, "{b:02x}");
            text
        })
    }
}

/// What becomes of a row.
pub(crate) enum Weighed {
    Line(Line),
    /// Left out for a reason that many rows share: they are counted.
    Left(&'static str),
    /// Wrong in itself.
    Refused {
        id: String,
        why: String,
    },
}

/// A batch whose columns are read as texts.
pub(crate) struct Rows<'a>(&'a RecordBatch);

/// A column as texts: instants as RFC 3339 in UTC, days as YYYY-MM-DD, numbers as they are written.
pub(crate) struct Texts(Option<StringArray>);

impl Texts {
    /// The text, trimmed; `None` when it is null or empty.
    pub fn get(&self, row: usize) -> Option<&str> {
        let texts = self.0.as_ref()?;
        let text = (!texts.is_null(row)).then(|| texts.value(row).trim())?;
        (!text.is_empty()).then_some(text)
    }

    /// Microseconds of an instant.
    pub fn instant(&self, row: usize) -> Option<i64> {
        let text = self.get(row)?;
        text.parse()
            .ok()
            .or_else(|| chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_micros()))
    }
}

impl<'a> Rows<'a> {
    pub fn new(batch: &'a RecordBatch) -> Self {
        Self(batch)
    }

    pub fn len(&self) -> usize {
        self.0.num_rows()
    }

    /// A column that must be there.
    pub fn needed(&self, name: &str) -> Result<Texts> {
        let found = self.column(name)?;
        if found.0.is_none() {
            let schema = self.0.schema();
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            return Err(Error::new(ErrorKind::Config, format!("the table has no column {name:?}"))
                .hint(format!("its columns are {}", names.join(", "))));
        }
        Ok(found)
    }

    /// A column that may be there.
    pub fn column(&self, name: &str) -> Result<Texts> {
        let Some(array) = self.0.column_by_name(name) else { return Ok(Texts(None)) };
        let as_texts = match array.data_type() {
            DataType::Timestamp(..) => {
                // Whole microseconds since 1970: no zone and no format stand between.
                let us = cast(array, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
                cast(&cast(&us, &DataType::Int64)?, &DataType::Utf8)?
            }
            DataType::List(_) | DataType::LargeList(_) | DataType::Struct(_) | DataType::Binary => {
                let kind = array.data_type();
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("the column {name:?} of type {kind} is no value"),
                )
                .hint("make it a text, a number, a day or an instant"));
            }
            _ => cast(array, &DataType::Utf8)?,
        };
        Ok(Texts(Some(as_texts.as_string::<i32>().clone())))
    }
}

/// Whole minor units as a vendor reads amounts: `15000.00`.
pub(crate) fn amount(minor: &str, currency: &str) -> Option<String> {
    let minor: i64 = minor.parse().ok()?;
    let places = exponent(currency)? as usize;
    if places == 0 {
        return Some(minor.to_string());
    }
    let sign = if minor < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", minor.unsigned_abs(), width = places + 1);
    let (whole, part) = digits.split_at(digits.len() - places);
    Some(format!("{sign}{whole}.{part}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (minor, currency, text) in [
            ("1500000", "RUB", "15000.00"),
            ("5", "EUR", "0.05"),
            ("-70", "USD", "-0.70"),
            ("1200", "JPY", "1200"),
            ("1234", "KWD", "1.234"),
            ("0", "RUB", "0.00"),
        ] {
            assert_eq!(amount(minor, currency).as_deref(), Some(text));
        }
        assert_eq!(amount("1", "??"), None);
        assert_eq!(amount("1.5", "RUB"), None);
    }
}
