//! Columns of instants, whatever unit they are counted in.

use arrow::array::{Array, AsArray as _};
use arrow::datatypes::{
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use chrono::{DateTime, NaiveDateTime};

pub(crate) struct Instants<'a> {
    values: &'a [i64],
    per_second: i64,
}

impl<'a> Instants<'a> {
    /// `array` is of the type `Timestamp(unit, _)`.
    pub(crate) fn new(array: &'a dyn Array, unit: TimeUnit) -> Self {
        let (values, per_second): (&[i64], i64) = match unit {
            TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().values(), 1),
            TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().values(), 1_000),
            TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000),
            TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().values(), 1_000_000_000),
        };
        Self { values, per_second }
    }

    /// The reading in UTC. Its `{:?}` is the one form of chrono that is RFC 3339 without an allocation per cell.
    ///
    /// # Errors
    /// What is no time of the calendar.
    pub(crate) fn at(&self, row: usize) -> Result<NaiveDateTime, String> {
        let (value, per_second) = (self.values[row], self.per_second);
        let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
        u32::try_from(nanos)
            .ok()
            .and_then(|nanos| DateTime::from_timestamp(value.div_euclid(per_second), nanos))
            .map(|time| time.naive_utc())
            .ok_or_else(|| format!("{value} is no time of the calendar"))
    }
}
