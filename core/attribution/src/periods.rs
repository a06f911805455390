//! Weeks and months, numbered in order, for cohorts.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, Schema};
use chrono::{Datelike, NaiveDate};
use futures::TryStreamExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use throughline_core::Result;

use crate::host::{HostTable, ints};
use crate::runner::Runner;

/// Cohorts further apart are not shown: a wrong year would give a table of millions of rows.
const LONGEST: i64 = 40_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CohortPeriod {
    /// From Monday to Sunday.
    Week,
    Month,
}

impl CohortPeriod {
    /// The number of the period a day lies in, and its first day.
    fn of(self, day: i64) -> Option<(i64, i64)> {
        match self {
            // The epoch was a Thursday.
            Self::Week => Some(((day + 3).div_euclid(7), (day + 3).div_euclid(7) * 7 - 3)),
            Self::Month => {
                let date = NaiveDate::from_epoch_days(i32::try_from(day).ok()?)?;
                let first = date.with_day(1)?;
                Some((
                    i64::from(date.year()) * 12 + i64::from(date.month0()),
                    i64::from(first.to_epoch_days()),
                ))
            }
        }
    }
}

/// Binds `p_period_day` (day_n, period_n) for every day from the first inquiry or sale to the day of the
/// run, and `p_period` (period_n, starts_n).
pub(crate) async fn bind(runner: &mut Runner<'_>, period: CohortPeriod, now_us: i64) -> Result<()> {
    let mut days: [Vec<i64>; 2] = Default::default();
    let mut periods: [Vec<i64>; 2] = Default::default();
    if let Some((first, last)) = bounds(runner, now_us).await? {
        for day in first..=last {
            let Some((number, starts)) = period.of(day) else { continue };
            days[0].push(day);
            days[1].push(number);
            if periods[0].last() != Some(&number) {
                periods[0].push(number);
                periods[1].push(starts);
            }
        }
    }
    for (name, columns, data) in
        [("p_period_day", ["day_n", "period_n"], days), ("p_period", ["period_n", "starts_n"], periods)]
    {
        let fields = columns.map(|c| Field::new(c, DataType::Int64, false)).to_vec();
        let mut table = HostTable::create(&runner.folder(name), Arc::new(Schema::new(fields)))?;
        table.write(data.map(|c| Arc::new(Int64Array::from(c)) as ArrayRef).to_vec())?;
        let written = table.finish()?;
        runner.bind(name, &written.table()).await?;
    }
    Ok(())
}

async fn bounds(runner: &Runner<'_>, now_us: i64) -> Result<Option<(i64, i64)>> {
    let today = now_us.div_euclid(86_400_000_000);
    let mut found = None;
    let select = "SELECT count(*) AS n, coalesce(min(day_n), 0) AS first_n, coalesce(max(day_n), 0) AS last_n FROM (\
         SELECT day_n FROM x_day_seen WHERE what IN ('inquiry', 'sale')) AS d";
    let mut rows = runner.read(select).await?;
    while let Some(batch) = rows.try_next().await? {
        let (n, first, last) = (ints(&batch, "n")?, ints(&batch, "first_n")?, ints(&batch, "last_n")?);
        for row in 0..batch.num_rows() {
            if n.value(row) > 0 {
                let near = |day: i64| day.clamp(today - LONGEST, today + LONGEST);
                found = Some((near(first.value(row)), near(last.value(row)).max(today)));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn periods_begin_on_mondays_and_firsts() {
        let day = |text: &str| i64::from(text.parse::<NaiveDate>().unwrap().to_epoch_days());
        for (period, at, starts) in [
            (CohortPeriod::Week, "2026-03-01", "2026-02-23"),
            (CohortPeriod::Week, "2026-03-02", "2026-03-02"),
            (CohortPeriod::Week, "1969-12-28", "1969-12-22"),
            (CohortPeriod::Month, "2026-03-01", "2026-03-01"),
            (CohortPeriod::Month, "2024-02-29", "2024-02-01"),
        ] {
            assert_eq!(period.of(day(at)).unwrap().1, day(starts), "{period:?} {at}");
        }
        let (december, january) = (day("2025-12-31"), day("2026-01-01"));
        assert_eq!(
            CohortPeriod::Month.of(january).unwrap().0 - CohortPeriod::Month.of(december).unwrap().0,
            1
        );
    }
}
