//! Texts of a server to columns.
//!
//! Each value comes as the server writes it and stands in one buffer per column; a whole column is then parsed at
//! once. Where one value of a batch does not fit, the column of that batch stays text, which loses nothing; the
//! stream's contract says which rows that hurts.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    RecordBatchOptions, StringArray, StringBuilder, TimestampMicrosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Schema};
use throughline_core::instant::{self, Zone};
use throughline_core::{ColumnType, Error, Result};

use crate::records::parse_decimal;

/// Days from 0001-01-01 to 1970-01-01, as chrono counts.
const EPOCH_FROM_CE: i32 = 719_163;

/// What a column's texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Uint,
    Decimal,
    Float,
    Bool,
    /// With an offset, or local to this zone.
    Instant(Zone),
    Date,
    Text,
}

impl Kind {
    /// For what `discover` shows.
    pub fn column_type(self) -> ColumnType {
        match self {
            Self::Int => ColumnType::Int,
            Self::Uint => ColumnType::Uint,
            Self::Decimal => ColumnType::Decimal,
            Self::Float => ColumnType::Float,
            Self::Bool => ColumnType::Bool,
            Self::Instant(_) => ColumnType::Instant,
            Self::Date => ColumnType::Date,
            Self::Text => ColumnType::Text,
        }
    }
}

/// A column of a stream as the server described it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub name: String,
    pub kind: Kind,
    /// The expression that gives its text, of the relation `q`.
    pub text: String,
    /// The server's word for its type.
    pub type_name: String,
}

/// Rows on their way.
pub(super) struct Rows {
    columns: Vec<(Described, StringBuilder)>,
    pub rows: usize,
    pub bytes: usize,
    /// Dates like 0000-00-00, which stand for no date.
    pub zero_dates: u64,
}

impl Rows {
    pub fn new(columns: Vec<Described>) -> Self {
        let columns = columns.into_iter().map(|c| (c, StringBuilder::new())).collect();
        Self { columns, rows: 0, bytes: 0, zero_dates: 0 }
    }

    /// Takes one row, a value for each column.
    ///
    /// # Errors
    /// A value is no text in UTF-8; the row is cut.
    pub fn push<'a>(&mut self, values: impl Iterator<Item = Option<&'a [u8]>>) -> Result<()> {
        let mut values = values.fuse();
        for (column, builder) in &mut self.columns {
            let value = values
                .next()
                .ok_or_else(|| Error::protocol(format!("a row ends before column {:?}", column.name)))?;
            let Some(value) = value else {
                builder.append_null();
                continue;
            };
            let temporal = matches!(column.kind, Kind::Date | Kind::Instant(_));
            if temporal && value.starts_with(b"0000-00-00") {
                self.zero_dates += 1;
                builder.append_null();
                continue;
            }
            let text = std::str::from_utf8(value)
                .map_err(|_| Error::data(format!("column {:?}: a text is no UTF-8", column.name)))?;
            self.bytes += text.len();
            builder.append_value(text);
        }
        self.rows += 1;
        Ok(())
    }

    /// The batch so far, and the texts of these columns in its last row.
    ///
    /// # Errors
    /// None that a server can cause.
    pub fn take(&mut self, of: &[usize]) -> Result<(RecordBatch, Vec<Option<String>>)> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let texts: Vec<StringArray> = self.columns.iter_mut().map(|(_, builder)| builder.finish()).collect();
        let last = |i: &usize| {
            let column = texts.get(*i)?;
            let row = rows.checked_sub(1)?;
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let last = of.iter().map(last).collect();
        let mut fields = Vec::with_capacity(texts.len());
        let mut arrays = Vec::with_capacity(texts.len());
        for ((column, _), text) in self.columns.iter().zip(texts) {
            let array = typed(column.kind, text);
            fields.push(Field::new(&column.name, array.data_type().clone(), true));
            arrays.push(array);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)?;
        Ok((batch, last))
    }
}

/// All values by `parse`, or `None` when one does not fit.
fn all<T, A: FromIterator<Option<T>>>(texts: &StringArray, parse: impl Fn(&str) -> Option<T>) -> Option<A> {
    texts.iter().map(|text| text.map_or(Some(None), |t| parse(t).map(Some))).collect()
}

fn typed(kind: Kind, texts: StringArray) -> ArrayRef {
    let array: Option<ArrayRef> = match kind {
        Kind::Text => None,
        Kind::Int => all::<i64, Int64Array>(&texts, |t| t.parse().ok()).map(|a| Arc::new(a) as ArrayRef),
        Kind::Uint => all::<u64, UInt64Array>(&texts, |t| t.parse().ok()).map(|a| Arc::new(a) as ArrayRef),
        Kind::Float => all::<f64, Float64Array>(&texts, |t| t.parse().ok()).map(|a| Arc::new(a) as ArrayRef),
        Kind::Decimal => all::<i128, Decimal128Array>(&texts, |t| parse_decimal(plain_number(t)?.as_bytes()))
            .and_then(|a| a.with_precision_and_scale(38, 9).ok())
            .map(|a| Arc::new(a) as ArrayRef),
        Kind::Bool => all::<bool, BooleanArray>(&texts, |t| match t {
            "t" | "true" | "1" => Some(true),
            "f" | "false" | "0" => Some(false),
            _ => None,
        })
        .map(|a| Arc::new(a) as ArrayRef),
        Kind::Date => all::<i32, Date32Array>(&texts, day).map(|a| Arc::new(a) as ArrayRef),
        Kind::Instant(zone) => {
            let parse = |t: &str| instant::parse(t, Some(zone));
            all::<i64, TimestampMicrosecondArray>(&texts, parse)
                .map(|a| Arc::new(a.with_timezone("UTC")) as ArrayRef)
                // Beside infinity the others must not lose their zone.
                .or_else(|| {
                    let shown = |t: &str| parse(t).and_then(rfc3339).unwrap_or_else(|| t.to_owned());
                    let shown: StringArray = texts.iter().map(|t| t.map(shown)).collect();
                    Some(Arc::new(shown) as ArrayRef)
                })
        }
    };
    array.unwrap_or_else(|| Arc::new(texts))
}

/// The text, where it is digits with or without a point and a minus; not `NaN`, not `1e5`.
pub(super) fn plain_number(text: &str) -> Option<&str> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, None), |(w, f)| (w, Some(f)));
    (digits(whole) && fraction.is_none_or(digits)).then_some(text)
}

fn day(text: &str) -> Option<i32> {
    use chrono::Datelike as _;
    instant::parse_date(text)?.num_days_from_ce().checked_sub(EPOCH_FROM_CE)
}

fn rfc3339(us: i64) -> Option<String> {
    let at = chrono::DateTime::from_timestamp_micros(us)?;
    Some(at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn landed(kind: Kind, texts: &[Option<&str>]) -> (String, Vec<String>) {
        let column = Described { name: "c".into(), kind, text: String::new(), type_name: String::new() };
        let mut rows = Rows::new(vec![column]);
        for text in texts {
            rows.push([text.map(str::as_bytes)].into_iter()).unwrap();
        }
        let (batch, _) = rows.take(&[0]).unwrap();
        let options = arrow::util::display::FormatOptions::default().with_null("∅");
        let shown =
            arrow::util::display::ArrayFormatter::try_new(batch.column(0).as_ref(), &options).unwrap();
        let values = (0..batch.num_rows()).map(|i| shown.value(i).to_string()).collect();
        (batch.column(0).data_type().to_string(), values)
    }

    #[test]
    fn texts_become_exact_values_or_stay_texts() {
        let moscow = Kind::Instant(Zone::parse("Europe/Moscow").unwrap());
        for (kind, text, arrow, value) in [
            (Kind::Int, "-9223372036854775808", "Int64", "-9223372036854775808"),
            (Kind::Uint, "18446744073709551615", "UInt64", "18446744073709551615"),
            (Kind::Int, "9223372036854775808", "Utf8", "9223372036854775808"),
            (Kind::Decimal, "12.50", "Decimal128(38, 9)", "12.500000000"),
            (Kind::Decimal, "0.0000000001", "Utf8", "0.0000000001"),
            (Kind::Decimal, "NaN", "Utf8", "NaN"),
            (Kind::Bool, "true", "Boolean", "true"),
            (Kind::Bool, "2", "Utf8", "2"),
            (Kind::Date, "2026-09-01", "Date32", "2026-09-01"),
            (Kind::Date, "0044-03-15 BC", "Utf8", "0044-03-15 BC"),
            (Kind::Date, "0000-00-00", "Date32", "∅"),
            (moscow, "2026-09-01 10:00:00.25", "Timestamp(µs, \"UTC\")", "2026-09-01T07:00:00.250Z"),
            (moscow, "2026-09-01 10:00:00+00", "Timestamp(µs, \"UTC\")", "2026-09-01T10:00:00Z"),
            (Kind::Float, "1e-7", "Float64", "1e-7"),
            (Kind::Text, "привет", "Utf8", "привет"),
        ] {
            let landed = landed(kind, &[None, Some(text)]);
            assert_eq!(landed, (arrow.to_owned(), vec!["∅".to_owned(), value.to_owned()]), "{kind:?} {text}");
        }
        // Beside what is no instant, the others keep theirs.
        let (kind, values) = landed(moscow, &[Some("2026-09-01 10:00:00"), Some("infinity")]);
        assert_eq!(kind, "Utf8");
        assert_eq!(values, ["2026-09-01T07:00:00.000000Z", "infinity"]);
    }

    #[test]
    fn rubbish_is_an_error() {
        let column =
            |kind| Described { name: "c".into(), kind, text: String::new(), type_name: String::new() };
        let mut rows = Rows::new(vec![column(Kind::Text), column(Kind::Int)]);
        assert!(rows.push([Some(&b"\xff"[..]), None].into_iter()).is_err());
        assert!(rows.push([Some(&b"a"[..])].into_iter()).is_err(), "a row that is cut");
    }
}
