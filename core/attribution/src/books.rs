//! The books: sums that must agree after every run. A run whose books do not close is an error.

mod daily;
mod journeys;

use std::collections::HashMap;

use futures::TryStreamExt;
use throughline_core::{Error, ErrorKind, Result};

use crate::host::{ints, text_or_empty, texts};
use crate::money::Reporting;
use crate::runner::Runner;
use crate::settings::Settings;

/// Two sums that must be equal.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct BookCheck {
    pub name: String,
    /// Counts, or minor units of the reporting currency.
    pub expected: i64,
    pub found: i64,
    pub ok: bool,
    /// What was compared, for the run report.
    pub explanation: String,
}

/// Sums over facts, which add up over groups of persons: name and SELECT of one number each.
const COUNTED: &[(&str, &str)] = &[
    ("visit_touches", "count(*) FROM touches WHERE visit_id IS NOT NULL"),
    ("visit_kind", "count(*) FROM touches WHERE kind = 'visit'"),
    ("x_touches", "count(*) FROM x_touch_all"),
    (
        "c_messages",
        "count(*) FROM (SELECT platform, message_id FROM c_messages \
         UNION SELECT platform, message_id FROM c_message_statuses) AS m",
    ),
    ("x_inquiries", "count(DISTINCT inquiry_id) FROM x_message_inquiry"),
    (
        "x_prepared_conversions",
        "count(*) FROM x_conv_raw AS c JOIN c_conversions AS p ON p.conversion_id = c.conversion_id",
    ),
    ("x_reported", "count(*) FROM x_reported"),
    ("gross", "coalesce(CAST(round(sum(value_gross) * $unit) AS BIGINT), 0) FROM conversions"),
    ("net", "coalesce(CAST(round(sum(value_net) * $unit) AS BIGINT), 0) FROM conversions"),
];

/// Sums over what went in and what is published: name and SELECT of one number each.
const SUMS: &[(&str, &str)] = &[
    ("c_visits", "count(*) FROM c_visits"),
    ("visits", "count(*) FROM visits"),
    ("touches", "count(*) FROM touches"),
    ("messages", "count(*) FROM messages"),
    ("inquiries", "count(*) FROM inquiries"),
    ("inquiries_by_messenger", "coalesce(sum(inquiries), 0) FROM messenger_daily"),
    ("c_conversions", "count(*) FROM c_conversions"),
    ("conversions", "count(*) FROM conversions"),
    ("c_cost", "coalesce(sum(cost_minor), 0) FROM c_costs"),
    ("cost_original", "coalesce(sum(cost_original_minor), 0) FROM costs"),
    ("c_clicks", "coalesce(sum(clicks), 0) + coalesce(sum(impressions), 0) FROM c_costs"),
    ("clicks", "coalesce(sum(clicks), 0) + coalesce(sum(impressions), 0) FROM costs"),
    ("cost", "coalesce(CAST(round(sum(cost) * $unit) AS BIGINT), 0) FROM costs"),
];

/// Pairs of these sums: name, expected, found, what is compared.
const PAIRS: &[(&str, &str, &str, &str)] = &[
    ("visits", "c_visits", "visits", "visits in and out"),
    ("visit_touches", "c_visits", "visit_touches", "every visit is one touch"),
    ("touches", "x_touches", "touches", "touches found and published"),
    ("messages", "c_messages", "messages", "messages, and those known by their states alone, in and out"),
    ("inquiries", "x_inquiries", "inquiries", "inquiries opened in conversations and published"),
    (
        "inquiries_by_messenger",
        "inquiries",
        "inquiries_by_messenger",
        "inquiries over all messengers and numbers",
    ),
    ("prepared_conversions", "c_conversions", "x_prepared_conversions", "prepared conversions taken over"),
    ("conversions", "x_reported", "conversions", "conversions of the report window published"),
    ("cost_original", "c_cost", "cost_original", "cost in and out, in the currencies it was paid in"),
    ("clicks", "c_clicks", "clicks", "clicks and impressions in and out"),
];

/// Sums per model over `attribution`: conversions credited, of them such whose credit is not 1, money.
const BY_CREDIT: &str = "SELECT model, count(*) AS conversions, \
     sum(CASE WHEN abs(credit - CAST(1 AS DOUBLE)) > CAST('0.000000001' AS DOUBLE) THEN 1 ELSE 0 END) AS uneven, \
     CAST(round(sum(gross) * $unit) AS BIGINT) AS gross, CAST(round(sum(net) * $unit) AS BIGINT) AS net \
     FROM (SELECT model, conversion_id, sum(credit) AS credit, sum(gross) AS gross, sum(net) AS net \
       FROM attribution GROUP BY model, conversion_id) AS c GROUP BY model";
const CREDITED: [&str; 4] = ["conversions", "uneven", "gross", "net"];

/// Counts `x_book` (name, amount): the sums over facts, and those of credit as `<model>:<sum>`.
pub(crate) async fn count(runner: &mut Runner<'_>, reporting: &Reporting) -> Result<()> {
    let unit = 10_i64.pow(reporting.decimals).to_string();
    let mut selects = selects(COUNTED.iter().chain(daily::COUNTED));
    // In one go: the table of credit is the longest of all.
    let names: Vec<String> = CREDITED.iter().map(|c| format!("SELECT '{c}' AS what")).collect();
    let amounts: Vec<String> = CREDITED.iter().map(|c| format!("WHEN '{c}' THEN c.{c}")).collect();
    selects.push(format!(
        "SELECT c.model || ':' || w.what AS name, CAST(CASE w.what {} END AS BIGINT) AS amount \
         FROM ({BY_CREDIT}) AS c CROSS JOIN ({}) AS w",
        amounts.join(" "),
        names.join(" UNION ALL ")
    ));
    runner.step("x_book", &selects.join(" UNION ALL ").replace("$unit", &unit)).await
}

/// Compares what went in with what came out; an error names every pair that differs.
pub(crate) async fn check(
    runner: &Runner<'_>,
    settings: &Settings,
    reporting: &Reporting,
) -> Result<Vec<BookCheck>> {
    let unit = 10_i64.pow(reporting.decimals).to_string();
    let models = &settings.models;
    let sums = named_sums(runner, &unit).await?;
    let sum = |name: &str| sums.get(name).copied().unwrap_or(0);

    let mut checks: Vec<BookCheck> = PAIRS
        .iter()
        .chain(daily::PAIRS)
        .map(|(name, expected, found, explanation)| compare(name, sum(expected), sum(found), explanation))
        .collect();

    for model in models.iter().map(|m| m.as_str()) {
        let credited = |column: &str| sum(&format!("{model}:{column}"));
        for (name, expected, explanation) in [
            ("conversions", sum("conversions"), "conversions, and those that are credited"),
            ("uneven", 0, "conversions whose credit does not sum to 1"),
            ("gross", sum("gross"), "gross of conversions and of their touches"),
            ("net", sum("net"), "net of conversions and of their touches"),
        ] {
            checks.push(compare(&format!("{name} ({model})"), expected, credited(name), explanation));
        }
    }
    for (table, members) in [("channel_daily", "channels"), ("campaign_daily", "campaigns")] {
        let select = daily::INCOME.replace("$unit", &unit).replace("$table", table);
        let found = by_model(runner, &select).await?;
        for model in models.iter().map(|m| m.as_str()) {
            for (column, expected, what) in daily::INCOME_PAIRS {
                let found = found.get(&(model.to_string(), (*column).to_string())).copied().unwrap_or(0);
                let explanation = format!("{what} in all and over all {members}");
                checks.push(compare(
                    &format!("{column} of {table} ({model})"),
                    sum(expected),
                    found,
                    &explanation,
                ));
            }
        }
    }
    checks.extend(journeys::check(runner, settings, &unit).await?);
    close(checks)
}

/// What was counted of facts, and all of [`SUMS`], in one query: planning a query costs more than running these.
async fn named_sums(runner: &Runner<'_>, unit: &str) -> Result<HashMap<String, i64>> {
    let mut selects = selects(SUMS.iter().chain(daily::SUMS));
    selects.push("SELECT name, amount FROM x_book".into());
    let mut sums = HashMap::new();
    let mut rows = runner.read(&selects.join(" UNION ALL ").replace("$unit", unit)).await?;
    while let Some(batch) = rows.try_next().await? {
        let (names, values) = (texts(&batch, "name")?, ints(&batch, "amount")?);
        for row in 0..batch.num_rows() {
            sums.insert(text_or_empty(names, row).to_string(), values.value(row));
        }
    }
    Ok(sums)
}

fn selects<'a>(sums: impl Iterator<Item = &'a (&'a str, &'a str)>) -> Vec<String> {
    sums.map(|(name, select)| {
        // The last FROM at the top: subselects stand in brackets.
        let (value, from) = top_from(select);
        format!("SELECT '{name}' AS name, CAST({value} AS BIGINT) AS amount FROM {from}")
    })
    .collect()
}

/// A SELECT without its first word, parted at the FROM that stands in no brackets.
fn top_from(select: &str) -> (&str, &str) {
    let mut depth = 0_i32;
    for (at, byte) in select.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b' ' if depth == 0 && select[at..].starts_with(" FROM ") => {
                return (&select[..at], &select[at + " FROM ".len()..]);
            }
            _ => {}
        }
    }
    (select, "")
}

/// Every number of a SELECT grouped by `model`, by model and column.
async fn by_model(runner: &Runner<'_>, select: &str) -> Result<HashMap<(String, String), i64>> {
    let mut sums = HashMap::new();
    let mut rows = runner.read(select).await?;
    while let Some(batch) = rows.try_next().await? {
        let models = texts(&batch, "model")?;
        for field in batch.schema().fields().iter().filter(|f| f.name() != "model") {
            let values = ints(&batch, field.name())?;
            for row in 0..batch.num_rows() {
                let key = (text_or_empty(models, row).to_string(), field.name().clone());
                sums.insert(key, values.value(row));
            }
        }
    }
    Ok(sums)
}

fn compare(name: &str, expected: i64, found: i64, explanation: &str) -> BookCheck {
    BookCheck {
        name: name.to_string(),
        expected,
        found,
        ok: expected == found,
        explanation: explanation.to_string(),
    }
}

fn close(checks: Vec<BookCheck>) -> Result<Vec<BookCheck>> {
    let wrong: Vec<&BookCheck> = checks.iter().filter(|c| !c.ok).collect();
    let Some(first) = wrong.first() else { return Ok(checks) };
    let mut error = Error::new(
        ErrorKind::Data,
        format!(
            "the books do not close: {} ({}): expected {}, found {}, difference {}",
            first.name,
            first.explanation,
            first.expected,
            first.found,
            first.found.saturating_sub(first.expected)
        ),
    )
    .hint("nothing was published; please report this with the run's log");
    for other in &wrong[1..] {
        error = error.with("also", format!("{}: {} for {}", other.name, other.found, other.expected));
    }
    Err(error)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_pair_names_sums_that_are_taken() {
        let all: Vec<_> = SUMS.iter().chain(daily::SUMS).chain(COUNTED).chain(daily::COUNTED).collect();
        let known = |name: &str| all.iter().filter(|(n, _)| *n == name).count() == 1;
        for (name, expected, found, _) in PAIRS.iter().chain(daily::PAIRS) {
            assert!(known(expected) && known(found), "{name}");
        }
        for (column, expected, _) in daily::INCOME_PAIRS {
            assert!(known(expected), "{column}");
        }
    }

    #[test]
    fn books_that_do_not_close_name_what_differs_and_by_how_much() {
        let error = close(vec![
            compare("visits", 3, 3, "visits in and out"),
            compare("cost", 1000, 998, "cost in and out"),
            compare("net (linear)", 5, 6, "net"),
        ])
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        let text = error.to_string();
        assert!(text.contains("cost (cost in and out): expected 1000, found 998, difference -2"), "{text}");
        assert!(text.contains("also: net (linear): 6 for 5"), "{text}");
    }
}
