//! Arrow columns as the rows of a binary COPY, without an allocation per row.

use arrow::array::{
    Array, ArrayRef, AsArray as _, BinaryArray, BooleanArray, GenericBinaryArray, GenericStringArray,
    OffsetSizeTrait, RecordBatch,
};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, FieldRef, Float32Type, Float64Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow::json::writer::{EncoderOptions, NullableEncoder, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use throughline_core::{Error, Result};

use super::numeric;

/// What every COPY begins and ends with.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];

/// From 1970-01-01, where we count from, to 2000-01-01, where PostgreSQL does.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_US: i64 = EPOCH_DAYS as i64 * 86_400_000_000;
/// The years that drivers of dashboards know: 0001-01-01 to 9999-12-31, in days since 1970.
const FIRST_DAY: i32 = -719_162;
const LAST_DAY: i32 = 2_932_896;

/// Encodes the batches of one table, one after the other.
pub(super) struct Encoder {
    /// For messages.
    table: String,
    key: Vec<String>,
    rows_before: u64,
    json: EncoderOptions,
    scratch: Vec<u8>,
    /// Texts in which a NUL was replaced.
    pub replaced: u64,
}

enum Cells<'a> {
    Bool(&'a BooleanArray),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Decimal(&'a [i128], u8),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    /// The flag says that the batch has a NUL somewhere.
    Text(&'a GenericStringArray<i32>, bool),
    LargeText(&'a GenericStringArray<i64>, bool),
    Binary(&'a BinaryArray),
    LargeBinary(&'a GenericBinaryArray<i64>),
    Date(&'a [i32]),
    Time(&'a [i64]),
    /// With the units of a second.
    Timestamp(&'a [i64], i64),
    Json(NullableEncoder<'a>),
}

/// A value that PostgreSQL or its readers cannot have.
struct Refused(String);

impl Encoder {
    pub(super) fn new(table: &str, key: &[String]) -> Self {
        Self {
            table: table.to_owned(),
            key: key.to_vec(),
            rows_before: 0,
            json: EncoderOptions::default().with_explicit_nulls(true),
            scratch: Vec::new(),
            replaced: 0,
        }
    }

    /// Appends the rows of `batch`. Columns are of the types that `PgType::written_as` gives.
    ///
    /// # Errors
    /// Names the table, column and row of a value that is refused.
    pub(super) fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let json = self.json.clone();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            columns.push((array.as_ref(), cells(field, array, &json)?));
        }
        let count = i16::try_from(columns.len())
            .map_err(|_| Error::config(format!("table {} has too many columns for PostgreSQL", self.table)))?
            .to_be_bytes();
        for row in 0..batch.num_rows() {
            out.extend_from_slice(&count);
            for (i, (array, cells)) in columns.iter_mut().enumerate() {
                if array.is_null(row) {
                    out.extend_from_slice(&[0xff; 4]);
                } else if let Err(refused) = cells.write(row, out, &mut self.scratch, &mut self.replaced) {
                    return Err(self.refusal(batch, i, row, &refused.0));
                }
            }
        }
        self.rows_before += batch.num_rows() as u64;
        Ok(())
    }

    fn refusal(&self, batch: &RecordBatch, column: usize, row: usize, why: &str) -> Error {
        let name = batch.schema_ref().field(column).name();
        let mut error = Error::data(format!(
            "table {:?}, column {name:?}, row {}: {why}",
            self.table,
            self.rows_before + row as u64 + 1
        ));
        let format = FormatOptions::default();
        for key in &self.key {
            if let Some(array) = batch.column_by_name(key)
                && let Ok(values) = ArrayFormatter::try_new(array, &format)
            {
                error = error.with("row", format!("{key} = {}", values.value(row)));
            }
        }
        error.hint("mend the record at its source, or leave it out by a transform; nothing was published")
    }
}

fn cells<'a>(field: &'a FieldRef, array: &'a ArrayRef, json: &'a EncoderOptions) -> Result<Cells<'a>> {
    Ok(match array.data_type() {
        DataType::Boolean => Cells::Bool(array.as_boolean()),
        DataType::Int16 => Cells::Int16(array.as_primitive::<Int16Type>().values()),
        DataType::Int32 => Cells::Int32(array.as_primitive::<Int32Type>().values()),
        DataType::Int64 => Cells::Int64(array.as_primitive::<Int64Type>().values()),
        DataType::Decimal128(_, scale) => {
            Cells::Decimal(array.as_primitive::<Decimal128Type>().values(), scale.unsigned_abs())
        }
        DataType::Float32 => Cells::Float32(array.as_primitive::<Float32Type>().values()),
        DataType::Float64 => Cells::Float64(array.as_primitive::<Float64Type>().values()),
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            Cells::Text(texts, has_nul(texts))
        }
        DataType::LargeUtf8 => {
            let texts = array.as_string::<i64>();
            Cells::LargeText(texts, has_nul(texts))
        }
        DataType::Binary => Cells::Binary(array.as_binary::<i32>()),
        DataType::LargeBinary => Cells::LargeBinary(array.as_binary::<i64>()),
        DataType::Date32 => Cells::Date(array.as_primitive::<Date32Type>().values()),
        DataType::Time64(TimeUnit::Microsecond) => {
            Cells::Time(array.as_primitive::<Time64MicrosecondType>().values())
        }
        DataType::Timestamp(unit, _) => match unit {
            TimeUnit::Second => Cells::Timestamp(array.as_primitive::<TimestampSecondType>().values(), 1),
            TimeUnit::Millisecond => {
                Cells::Timestamp(array.as_primitive::<TimestampMillisecondType>().values(), 1_000)
            }
            TimeUnit::Microsecond => {
                Cells::Timestamp(array.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000)
            }
            TimeUnit::Nanosecond => {
                Cells::Timestamp(array.as_primitive::<TimestampNanosecondType>().values(), 1_000_000_000)
            }
        },
        kind if kind.is_nested() => Cells::Json(make_encoder(field, array, json)?),
        other => return Err(Error::bug(format!("column {:?}: a {other} in a COPY", field.name()))),
    })
}

/// One look over the bytes of all rows, in place of one for each. A slice has its whole array's bytes behind it.
fn has_nul<O: OffsetSizeTrait>(texts: &GenericStringArray<O>) -> bool {
    let offsets = texts.value_offsets();
    let (first, last) = (offsets.first().copied(), offsets.last().copied());
    let range = first.unwrap_or_default().as_usize()..last.unwrap_or_default().as_usize();
    texts.value_data().get(range).is_some_and(|bytes| memchr::memchr(0, bytes).is_some())
}

impl Cells<'_> {
    /// Appends the length and the value of a cell that is not null.
    fn write(
        &mut self,
        row: usize,
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
        replaced: &mut u64,
    ) -> Result<(), Refused> {
        match self {
            Self::Bool(values) => fixed(out, [u8::from(values.value(row))]),
            Self::Int16(values) => fixed(out, values[row].to_be_bytes()),
            Self::Int32(values) => fixed(out, values[row].to_be_bytes()),
            Self::Int64(values) => fixed(out, values[row].to_be_bytes()),
            Self::Decimal(values, scale) => numeric::write(out, values[row], *scale),
            Self::Float32(values) => fixed(out, finite(values[row].into(), values[row])?.to_be_bytes()),
            Self::Float64(values) => fixed(out, finite(values[row], values[row])?.to_be_bytes()),
            Self::Text(texts, nul) => text(out, texts.value(row).as_bytes(), *nul, replaced)?,
            Self::LargeText(texts, nul) => text(out, texts.value(row).as_bytes(), *nul, replaced)?,
            Self::Binary(values) => bytes(out, values.value(row))?,
            Self::LargeBinary(values) => bytes(out, values.value(row))?,
            Self::Date(values) => {
                let day = values[row];
                if !(FIRST_DAY..=LAST_DAY).contains(&day) {
                    return Err(Refused(format!(
                        "the date {day} days from 1970 is not in the years 1 to 9999"
                    )));
                }
                fixed(out, (day - EPOCH_DAYS).to_be_bytes());
            }
            Self::Time(values) => fixed(out, values[row].to_be_bytes()),
            Self::Timestamp(values, per_second) => {
                let (value, per_second) = (values[row], *per_second);
                let us = match per_second {
                    1_000_000_000 => Some(value.div_euclid(1_000)),
                    unit => value.checked_mul(1_000_000 / unit),
                };
                let us = us.filter(|us| {
                    let day = us.div_euclid(86_400_000_000);
                    (i64::from(FIRST_DAY)..=i64::from(LAST_DAY)).contains(&day)
                });
                let Some(us) = us else {
                    let seconds = value.div_euclid(per_second);
                    return Err(Refused(format!(
                        "the instant {seconds} seconds from 1970 is not in the years 1 to 9999"
                    )));
                };
                fixed(out, (us - EPOCH_US).to_be_bytes());
            }
            Self::Json(encoder) => {
                scratch.clear();
                encoder.encode(row, scratch);
                if unescape_nul(scratch) {
                    *replaced += 1;
                }
                let length = u32::try_from(scratch.len() + 1).map_err(|_| too_long())?;
                out.extend_from_slice(&length.to_be_bytes());
                // The version of jsonb's binary form.
                out.push(1);
                out.extend_from_slice(scratch);
            }
        }
        Ok(())
    }
}

fn fixed<const N: usize>(out: &mut Vec<u8>, value: [u8; N]) {
    out.extend_from_slice(&(N as u32).to_be_bytes());
    out.extend_from_slice(&value);
}

fn finite<T>(value: f64, same: T) -> Result<T, Refused> {
    if value.is_finite() {
        Ok(same)
    } else {
        Err(Refused(format!("{value} is no number that sums and dashboards can take")))
    }
}

/// PostgreSQL's limit for a value is 1 GB.
fn too_long() -> Refused {
    Refused("the value is longer than 1 GB".into())
}

fn bytes(out: &mut Vec<u8>, value: &[u8]) -> Result<(), Refused> {
    let length = i32::try_from(value.len()).ok().filter(|n| *n < 1 << 30).ok_or_else(too_long)?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// A NUL, for which PostgreSQL has no place in texts, becomes U+FFFD.
fn text(out: &mut Vec<u8>, value: &[u8], nul: bool, replaced: &mut u64) -> Result<(), Refused> {
    if !nul || memchr::memchr(0, value).is_none() {
        return bytes(out, value);
    }
    *replaced += 1;
    let at = out.len();
    bytes(out, &[])?;
    for (i, part) in value.split(|b| *b == 0).enumerate() {
        if i > 0 {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
        out.extend_from_slice(part);
    }
    let length = i32::try_from(out.len() - at - 4).ok().filter(|n| *n < 1 << 30).ok_or_else(too_long)?;
    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

/// The same inside JSON, where a NUL is written `\u0000`; true when there was one.
fn unescape_nul(json: &mut [u8]) -> bool {
    let mut found = false;
    let mut at = 0;
    while let Some(next) = json.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let escape = at + next;
        if json[escape..].starts_with(b"\\u0000") {
            json[escape..escape + 6].copy_from_slice(b"\\ufffd");
            found = true;
        }
        // Behind the escaped sign, so that `\\u0000`, a backslash and digits, stays what it is.
        at = escape + 2;
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, StringArray, TimestampMicrosecondArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn encode(array: ArrayRef) -> Result<(Vec<u8>, u64)> {
        let ids: ArrayRef =
            Arc::new(StringArray::from_iter_values((0..array.len()).map(|i| format!("id{i}"))));
        let schema = Schema::new(vec![
            Field::new("id", DataType::Utf8, false),
            Field::new("имя", array.data_type().clone(), true),
        ]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![ids, array]).unwrap();
        let mut encoder = Encoder::new("visits", &["id".to_owned()]);
        let mut out = Vec::new();
        encoder.write(&batch, &mut out)?;
        Ok((out, encoder.replaced))
    }

    #[test]
    fn what_readers_cannot_take_is_refused_with_its_place() {
        let day = 86_400_000_000_i64;
        let bad: [ArrayRef; 6] = [
            Arc::new(Float64Array::from(vec![1.0, f64::INFINITY])),
            Arc::new(Float64Array::from(vec![1.0, f64::NAN])),
            Arc::new(Date32Array::from(vec![FIRST_DAY, FIRST_DAY - 1])),
            Arc::new(Date32Array::from(vec![LAST_DAY, i32::MAX])),
            Arc::new(TimestampMicrosecondArray::from(vec![0, i64::MAX])),
            Arc::new(TimestampMicrosecondArray::from(vec![
                (i64::from(LAST_DAY) + 1) * day - 1,
                (i64::from(LAST_DAY) + 1) * day,
            ])),
        ];
        for array in bad {
            let error = encode(array).unwrap_err().to_string();
            for part in ["\"visits\"", "\"имя\"", "row 2"] {
                assert!(error.contains(part), "{error}");
            }
        }
    }

    #[test]
    fn a_nul_is_replaced_and_counted() {
        let (out, replaced) = encode(Arc::new(StringArray::from(vec!["a\0b\0", "plain"]))).unwrap();
        assert_eq!(replaced, 1);
        let text = "a\u{fffd}b\u{fffd}";
        let mut field = (text.len() as u32).to_be_bytes().to_vec();
        field.extend_from_slice(text.as_bytes());
        assert!(out.windows(field.len()).any(|w| w == field));
        let mut json = br#"["\u0000","\\u0000","\""]"#.to_vec();
        assert!(unescape_nul(&mut json));
        assert_eq!(json, br#"["\ufffd","\\u0000","\""]"#);
    }
}
