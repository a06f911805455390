//! The books: sums that must agree after every run. A run whose books do not close is an error.

use throughline_core::{Error, ErrorKind, Result};

use crate::money::Reporting;
use crate::runner::Runner;
use crate::settings::Model;

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

/// Compares what went in with what came out; an error names the first pair that differs.
pub(crate) async fn check(
    runner: &Runner<'_>,
    models: &[Model],
    reporting: &Reporting,
) -> Result<Vec<BookCheck>> {
    let mut books = Books { runner, checks: Vec::new() };
    let unit = 10_i64.pow(reporting.decimals);
    let money = |column: &str| format!("coalesce(CAST(round(sum({column}) * {unit}) AS BIGINT), 0)");

    books
        .equal("visits", "SELECT count(*) FROM c_visits", "SELECT count(*) FROM visits", "visits in and out")
        .await?;
    books
        .equal(
            "visit_touches",
            "SELECT count(*) FROM c_visits",
            "SELECT count(*) FROM touches WHERE visit_id IS NOT NULL",
            "every visit is one touch",
        )
        .await?;
    books
        .equal(
            "touches",
            "SELECT count(*) FROM x_touch_all",
            "SELECT count(*) FROM touches",
            "touches found and published",
        )
        .await?;
    books
        .equal(
            "messages",
            "SELECT count(*) FROM (SELECT platform, message_id FROM c_messages UNION SELECT platform, message_id FROM c_message_statuses) AS m",
            "SELECT count(*) FROM messages",
            "messages, and those known by their states alone, in and out",
        )
        .await?;
    books
        .equal(
            "inquiries",
            "SELECT count(DISTINCT inquiry_id) FROM x_message_inquiry",
            "SELECT count(*) FROM inquiries",
            "inquiries opened in conversations and published",
        )
        .await?;
    books
        .equal(
            "inquiries_by_messenger",
            "SELECT count(*) FROM inquiries",
            "SELECT coalesce(sum(inquiries), 0) FROM messenger_daily",
            "inquiries over all messengers and numbers",
        )
        .await?;
    books
        .equal(
            "prepared_conversions",
            "SELECT count(*) FROM c_conversions",
            "SELECT count(*) FROM x_conv_raw AS c JOIN c_conversions AS p ON p.conversion_id = c.conversion_id",
            "prepared conversions taken over",
        )
        .await?;
    books
        .equal(
            "conversions",
            "SELECT count(*) FROM x_reported",
            "SELECT count(*) FROM conversions",
            "conversions of the report window published",
        )
        .await?;
    books
        .equal(
            "credit_groups",
            &format!("SELECT count(*) * {} FROM conversions", models.len()),
            "SELECT count(*) FROM (SELECT conversion_id, model FROM attribution GROUP BY conversion_id, model) AS g",
            "every conversion is credited under every model",
        )
        .await?;
    books
        .equal(
            "credit_sums",
            "SELECT 0",
            "SELECT count(*) FROM (SELECT conversion_id, model FROM attribution GROUP BY conversion_id, model \
             HAVING abs(sum(credit) - CAST(1 AS DOUBLE)) > CAST('0.000000001' AS DOUBLE)) AS g",
            "conversions whose credit does not sum to 1",
        )
        .await?;
    books
        .equal(
            "cost_original",
            "SELECT coalesce(sum(cost_minor), 0) FROM c_costs",
            "SELECT coalesce(sum(cost_original_minor), 0) FROM costs",
            "cost in and out, in the currencies it was paid in",
        )
        .await?;
    books
        .equal(
            "cost_clicks",
            "SELECT coalesce(sum(clicks), 0) + coalesce(sum(impressions), 0) FROM c_costs",
            "SELECT coalesce(sum(clicks), 0) + coalesce(sum(impressions), 0) FROM costs",
            "clicks and impressions in and out",
        )
        .await?;
    for model in models {
        let model = model.as_str();
        for (name, from, to) in [("gross", "value_gross", "gross"), ("net", "value_net", "net")] {
            books
                .equal(
                    &format!("{name}_{model}"),
                    &format!("SELECT {} FROM conversions", money(from)),
                    &format!("SELECT {} FROM attribution WHERE model = '{model}'", money(to)),
                    &format!("{name} of conversions and of their touches under {model}"),
                )
                .await?;
            books
                .equal(
                    &format!("{name}_by_channel_{model}"),
                    &format!("SELECT {} FROM conversions", money(from)),
                    &format!("SELECT {} FROM channel_daily WHERE model = '{model}'", money(to)),
                    &format!("{name} of conversions and over all channels under {model}"),
                )
                .await?;
        }
        books
            .equal(
                &format!("cost_by_channel_{model}"),
                &format!("SELECT {} FROM costs", money("cost")),
                &format!("SELECT {} FROM channel_daily WHERE model = '{model}'", money("cost")),
                &format!("cost over all channels under {model}"),
            )
            .await?;
        books
            .equal(
                &format!("inquiries_by_channel_{model}"),
                "SELECT count(*) FROM inquiries",
                &format!("SELECT coalesce(sum(inquiries), 0) FROM channel_daily WHERE model = '{model}'"),
                &format!("inquiries over all channels, (none) included, under {model}"),
            )
            .await?;
        books
            .equal(
                &format!("visits_by_channel_{model}"),
                "SELECT count(*) FROM touches WHERE kind = 'visit'",
                &format!("SELECT coalesce(sum(visits), 0) FROM channel_daily WHERE model = '{model}'"),
                &format!("visits over all channels under {model}"),
            )
            .await?;
    }
    books.close()
}

struct Books<'a> {
    runner: &'a Runner<'a>,
    checks: Vec<BookCheck>,
}

impl Books<'_> {
    async fn equal(&mut self, name: &str, expected: &str, found: &str, explanation: &str) -> Result<()> {
        let expected = self.runner.number(expected).await?;
        let found = self.runner.number(found).await?;
        self.checks.push(BookCheck {
            name: name.to_string(),
            expected,
            found,
            ok: expected == found,
            explanation: explanation.to_string(),
        });
        Ok(())
    }

    fn close(self) -> Result<Vec<BookCheck>> {
        let wrong: Vec<&BookCheck> = self.checks.iter().filter(|c| !c.ok).collect();
        let Some(first) = wrong.first() else { return Ok(self.checks) };
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
}
