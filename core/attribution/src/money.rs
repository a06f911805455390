//! The reporting currency and the rates into it.
//!
//! A rate turns minor units of one currency into minor units of the reporting one, so it carries the
//! difference in decimals of the two. A missing rate is an error: a guessed one would be a wrong number
//! that nobody sees.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Decimal128Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, Schema};
use futures::TryStreamExt;
use throughline_core::money::exponent;
use throughline_core::{Error, Result};

use crate::host::{ints, memory_table, texts};
use crate::runner::Runner;

/// Decimals of a rate. With amounts of at most 16 digits a product stays within 38.
const RATE_SCALE: u32 = 12;
const RATE_DIGITS: u8 = 21;
/// Whole numbers beyond this are not exact in a float, which steps use to divide.
const LARGEST_AMOUNT: i64 = 9_007_199_254_740_992;

/// Every amount that needs a rate, with its currency and day.
const AMOUNTS: &str = "SELECT currency, day_n, value_minor FROM x_conv_raw \
     UNION ALL SELECT currency, day_n, value_minor FROM x_refund \
     UNION ALL SELECT currency, day_n, value_minor FROM x_extra_raw \
     UNION ALL SELECT currency, day_n, cost_minor AS value_minor FROM x_cost_raw";

/// The currency all money is shown in, and its decimals.
pub(crate) struct Reporting {
    pub currency: String,
    pub decimals: u32,
}

/// The currency of the settings, else the only one of the data.
pub(crate) async fn reporting_currency(runner: &Runner<'_>, wanted: Option<&str>) -> Result<Reporting> {
    let currency = match wanted {
        Some(currency) => currency.to_string(),
        None => {
            let mut found = used_currencies(runner).await?;
            match found.len() {
                0 => String::new(),
                1 => found.remove(0),
                _ => {
                    return Err(Error::config(format!("money in {} appears", found.join(", ")))
                        .hint("set reporting_currency under [attribution] to the one to report in"));
                }
            }
        }
    };
    let decimals = decimals_of(if currency.is_empty() { "USD" } else { &currency })?;
    Ok(Reporting { currency, decimals })
}

async fn used_currencies(runner: &Runner<'_>) -> Result<Vec<String>> {
    let select = "SELECT DISTINCT currency FROM (\
         SELECT upper(trim(currency)) AS currency, value_minor FROM c_deals \
         UNION ALL SELECT upper(trim(currency)) AS currency, value_minor FROM c_conversions \
         UNION ALL SELECT upper(trim(currency)) AS currency, value_minor FROM c_refunds \
         UNION ALL SELECT upper(trim(currency)) AS currency, cost_minor AS value_minor FROM c_costs) AS m \
         WHERE currency IS NOT NULL AND value_minor <> 0 ORDER BY currency";
    let mut found = Vec::new();
    let mut rows = runner.read(select).await?;
    while let Some(batch) = rows.try_next().await? {
        found.extend(texts(&batch, "currency")?.iter().flatten().map(str::to_string));
    }
    Ok(found)
}

fn decimals_of(currency: &str) -> Result<u32> {
    exponent(currency).filter(|d| *d <= 3).ok_or_else(|| {
        Error::data(format!("`{currency}` is no currency money can be reported in or converted from"))
            .hint("currencies are ISO 4217 codes such as EUR")
    })
}

/// Binds `p_rate` (currency, day_n, rate between minor units, unit_rate from whole units to minor ones)
/// after checking that every amount has its rate.
pub(crate) async fn bind_rates(runner: &Runner<'_>, reporting: &Reporting) -> Result<()> {
    let mut rates: HashMap<(String, i64), i128> = HashMap::new();
    let mut units: HashMap<(String, i64), i128> = HashMap::new();
    let mut rows = runner
        .read(
            "SELECT upper(trim(currency)) AS currency, day_n, CAST(rate AS DECIMAL(38,9)) AS rate \
             FROM c_exchange_rates",
        )
        .await?;
    while let Some(batch) = rows.try_next().await? {
        let (currencies, days) = (texts(&batch, "currency")?, ints(&batch, "day_n")?);
        let values = batch
            .column_by_name("rate")
            .and_then(|c| c.as_primitive_opt::<Decimal128Type>())
            .ok_or_else(|| Error::bug("exchange rates are decimals"))?;
        for row in 0..batch.num_rows() {
            if currencies.is_null(row) || values.is_null(row) {
                continue;
            }
            let currency = currencies.value(row);
            let rate = values.value(row);
            let Some(effective) = effective_rate(currency, rate, reporting)? else {
                return Err(Error::data(format!(
                    "the exchange rate of {currency} on {} is not a positive number of usual size",
                    day_text(days.value(row))
                )));
            };
            rates.insert((currency.to_string(), days.value(row)), effective);
            units.insert((currency.to_string(), days.value(row)), rate * 10_i128.pow(reporting.decimals));
        }
    }
    check_amounts(runner, reporting, &rates).await?;

    let mut sorted: Vec<((String, i64), i128)> = rates.into_iter().collect();
    sorted.sort();
    let schema = Arc::new(Schema::new(vec![
        Field::new("currency", DataType::Utf8, false),
        Field::new("day_n", DataType::Int64, false),
        Field::new("rate", DataType::Decimal128(RATE_DIGITS, RATE_SCALE as i8), false),
        Field::new("unit_rate", DataType::Decimal128(RATE_DIGITS, 9), false),
    ]));
    let currencies: StringArray = sorted.iter().map(|((c, _), _)| Some(c.as_str())).collect();
    let days: Int64Array = sorted.iter().map(|((_, day), _)| *day).collect();
    let values: Decimal128Array = sorted.iter().map(|(_, rate)| Some(*rate)).collect();
    let values = values.with_precision_and_scale(RATE_DIGITS, RATE_SCALE as i8)?;
    // A rate that fits with 12 decimals fits with 9 and up to three digits more.
    let unit_rates: Decimal128Array = sorted.iter().map(|(key, _)| units.get(key).copied()).collect();
    let unit_rates = unit_rates.with_precision_and_scale(RATE_DIGITS, 9)?;
    let columns = vec![
        Arc::new(currencies) as _,
        Arc::new(days) as _,
        Arc::new(values) as _,
        Arc::new(unit_rates) as _,
    ];
    let table = memory_table(schema, columns)?;
    runner.bind("p_rate", &table).await
}

/// From a rate of nine decimals between whole units to one of twelve between minor units.
fn effective_rate(currency: &str, rate: i128, reporting: &Reporting) -> Result<Option<i128>> {
    let from = decimals_of(currency)?;
    let scaled = rate.checked_mul(10_i128.pow(RATE_SCALE - 9));
    let effective = match reporting.decimals >= from {
        true => scaled.and_then(|s| s.checked_mul(10_i128.pow(reporting.decimals - from))),
        false => scaled.map(|s| s / 10_i128.pow(from - reporting.decimals)),
    };
    Ok(effective.filter(|e| *e > 0 && *e < 10_i128.pow(u32::from(RATE_DIGITS))))
}

async fn check_amounts(
    runner: &Runner<'_>,
    reporting: &Reporting,
    rates: &HashMap<(String, i64), i128>,
) -> Result<()> {
    let beyond = runner
        .number(&format!(
            "SELECT count(*) FROM ({AMOUNTS}) AS a \
             WHERE value_minor > {LARGEST_AMOUNT} OR value_minor < -{LARGEST_AMOUNT}"
        ))
        .await?;
    if beyond > 0 {
        return Err(Error::data(format!(
            "{beyond} amounts are beyond {LARGEST_AMOUNT} minor units and cannot be split exactly"
        ))
        .hint("look for values that are no money in deals, conversions, refunds and costs"));
    }
    let mut missing: Vec<String> = Vec::new();
    let mut rows = runner
        .read(&format!(
            "SELECT DISTINCT currency, day_n FROM ({AMOUNTS}) AS a WHERE value_minor <> 0 ORDER BY day_n, currency"
        ))
        .await?;
    while let Some(batch) = rows.try_next().await? {
        let (currencies, days) = (texts(&batch, "currency")?, ints(&batch, "day_n")?);
        for row in 0..batch.num_rows() {
            let key = (currencies.value(row).to_string(), days.value(row));
            if key.0 != reporting.currency && !rates.contains_key(&key) {
                missing.push(format!("{} on {}", key.0, day_text(key.1)));
            }
        }
    }
    match missing.as_slice() {
        [] => Ok(()),
        some => {
            const SHOWN: usize = 5;
            let more = match some.len().saturating_sub(SHOWN) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            Err(Error::data(format!(
                "no exchange rate to {} for {}{more}",
                reporting.currency,
                some[..some.len().min(SHOWN)].join(", ")
            ))
            .hint("fill the table exchange_rates for these currencies and UTC days"))
        }
    }
}

/// A day number as `2026-02-25`.
pub(crate) fn day_text(day: i64) -> String {
    i32::try_from(day)
        .ok()
        .and_then(chrono::NaiveDate::from_epoch_days)
        .map_or_else(|| format!("day {day}"), |d| d.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_rate_carries_the_difference_in_decimals() {
        let rub = Reporting { currency: "RUB".into(), decimals: 2 };
        let yen = Reporting { currency: "JPY".into(), decimals: 0 };
        let rate = 90_000_000_000; // 90
        assert_eq!(effective_rate("USD", rate, &rub).unwrap(), Some(90_000_000_000_000));
        // One yen, which has no smaller unit, is 0.6 roubles: 60 kopecks.
        assert_eq!(effective_rate("JPY", 600_000_000, &rub).unwrap(), Some(60_000_000_000_000));
        assert_eq!(effective_rate("USD", 150_000_000_000, &yen).unwrap(), Some(1_500_000_000_000));
        assert_eq!(effective_rate("USD", 0, &rub).unwrap(), None);
        assert_eq!(effective_rate("USD", -1, &rub).unwrap(), None);
        assert!(effective_rate("???", rate, &rub).is_err());
    }

    #[test]
    fn days_are_named() {
        assert_eq!(day_text(20_509), "2026-02-25");
        assert_eq!(day_text(i64::MAX), format!("day {}", i64::MAX));
    }
}
