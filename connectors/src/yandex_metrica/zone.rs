//! Metrica's two clocks: `dateTime` in the counter's zone, and `dateTimeUTC`, which is UTC+3.

use arrow::array::{Array, AsArray, RecordBatch};
use chrono::{FixedOffset, NaiveDateTime, TimeZone};
use chrono_tz::Tz;

/// Says so when the first row's two clocks do not show the same instant: then the counter's zone is
/// not what we were told, or `dateTimeUTC` is not what its page says.
pub(crate) fn disagreement(rows: &RecordBatch, zone: Tz) -> Option<String> {
    let cell = |name: &str| {
        let column = rows.column_by_name(name)?.as_string_opt::<i32>()?;
        (!column.is_empty() && column.is_valid(0)).then(|| column.value(0))
    };
    let (local, moscow) = (cell("ym:s:dateTime")?, cell("ym:s:dateTimeUTC")?);
    let parse = |text: &str| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok();
    let plus_three = FixedOffset::east_opt(3 * 3600)?;
    let instant = plus_three.from_local_datetime(&parse(moscow)?).single()?;
    let candidates = zone.from_local_datetime(&parse(local)?);
    // At the end of summer time one reading is two instants.
    let same = [candidates.earliest(), candidates.latest()].into_iter().flatten().any(|c| c == instant);
    (!same).then(|| {
        format!(
            "dateTime {local} in {zone} and dateTimeUTC {moscow} in UTC+3 are not one instant; visits take the \
             second; check the option time_zone"
        )
    })
}
