//! `dim_date`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array};
use chrono::{Datelike, NaiveDate};
use futures::TryStreamExt;
use throughline_core::Result;
use throughline_sql::Written;

use crate::host::{HostTable, ints};
use crate::runner::Runner;
use crate::tables::OutputSpec;

/// Beyond this many days between the first and the last, a wrong year is likelier than a long
/// history: only the days that occur are listed.
const LONGEST: i64 = 40_000;

const DAYS: &str = "SELECT DISTINCT day_n FROM (\
     SELECT day_n FROM x_day_seen WHERE what <> 'sale' UNION ALL SELECT day_n FROM x_cost \
     UNION ALL SELECT day_n FROM x_messenger_key UNION ALL SELECT day_n FROM x_quality) AS d \
     WHERE day_n IS NOT NULL ORDER BY day_n";

pub(crate) async fn write(runner: &mut Runner<'_>, spec: &OutputSpec, money_scale: i8) -> Result<Written> {
    let mut found: Vec<i64> = Vec::new();
    let mut rows = runner.read(DAYS).await?;
    while let Some(batch) = rows.try_next().await? {
        found.extend(ints(&batch, "day_n")?.values());
    }
    let days: Vec<i64> = match (found.first(), found.last()) {
        (Some(first), Some(last)) if last - first <= LONGEST => (*first..=*last).collect(),
        _ => found,
    };
    let dates: Vec<(i32, NaiveDate)> = days
        .iter()
        .filter_map(|d| i32::try_from(*d).ok())
        .filter_map(|d| Some((d, NaiveDate::from_epoch_days(d)?)))
        .collect();
    let number = |f: fn(&NaiveDate) -> i64| -> ArrayRef {
        Arc::new(dates.iter().map(|(_, date)| f(date)).collect::<Int64Array>())
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(dates.iter().map(|(d, _)| Some(*d)).collect::<Date32Array>()),
        number(|d| i64::from(d.year())),
        number(|d| i64::from(d.month0() / 3 + 1)),
        number(|d| i64::from(d.month())),
        number(|d| i64::from(d.iso_week().year())),
        number(|d| i64::from(d.iso_week().week())),
        number(|d| i64::from(d.weekday().number_from_monday())),
    ];
    let folder = runner.folder(spec.name);
    let mut table = HostTable::create(&folder, spec.schema(money_scale))?;
    table.write(columns)?;
    let written = table.finish()?;
    runner.bind(spec.name, &written.table()).await?;
    Ok(written)
}
