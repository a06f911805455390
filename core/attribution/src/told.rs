//! Rows that could not be used where one would look for them.

use std::collections::HashMap;

use futures::TryStreamExt;
use throughline_core::{Notice, Result};

use crate::host::{ints, text_or_empty, texts};
use crate::runner::Runner;

/// Code, rows, and what a person should know of so many of them.
const FACTS: &[(&str, &str, &str)] = &[
    (
        "refund_without_conversion",
        "c_refunds AS r LEFT JOIN x_refund AS u ON u.refund_id = r.refund_id WHERE u.refund_id IS NULL",
        "refunds name no known conversion or deal and lower no revenue",
    ),
    (
        "refund_beyond_value",
        "x_conv WHERE refund_minor > gross_minor",
        "conversions had more refunded than they brought; their net is negative",
    ),
    (
        "deal_without_person",
        "x_deal WHERE person IS NULL",
        "deals have neither a contact nor a known visit token; their channel is (none)",
    ),
    (
        "deal_deleted",
        "c_deals WHERE coalesce(is_deleted, false)",
        "deals are deleted in the CRM and give no conversion",
    ),
    (
        "won_without_close_instant",
        "c_deals WHERE state = 'won' AND closed_at_us IS NULL AND NOT coalesce(is_deleted, false)",
        "won deals have no closing instant; that of their last change was used",
    ),
    (
        "won_without_value",
        "c_deals WHERE state = 'won' AND value_minor IS NULL AND NOT coalesce(is_deleted, false)",
        "won deals have no value, or no known currency, and bring no revenue here",
    ),
    (
        "token_on_two_visits",
        "x_token_seen WHERE visits > 1",
        "visit tokens that came back were seen on several visits and match none",
    ),
    (
        "token_shared",
        "x_token_user WHERE contested = 1",
        "visit tokens came from several people; the first of them owns the visit",
    ),
    (
        "potential_without_leads",
        "x_deal WHERE state = 'open' AND value_minor <> 0 AND NOT $with_lead",
        "open deals have no lead whose credit could split what they may bring; add `lead` to conversions",
    ),
    (
        "price_without_rate",
        "x_message AS m JOIN messages AS o ON o.platform = m.platform AND o.message_id = m.message_id WHERE m.price IS NOT NULL AND o.price IS NULL",
        "messages have a price in a currency without a rate for their day; their price is left empty",
    ),
    (
        "touch_in_future",
        "x_touch WHERE ts_us > $now_us",
        "touches are more than a day in the future: a clock or a time zone is wrong at their source",
    ),
    (
        "conversion_in_future",
        "x_conv WHERE ts_us > $now_us",
        "conversions are more than a day in the future: a clock or a time zone is wrong at their source",
    ),
    (
        "identifier_shared",
        "x_id WHERE is_shared",
        "identifiers belong to too many people (or are ignored) and join nobody",
    ),
];

/// Of these only what is still more than a day ahead counts: the instant is kept beside the count.
const IN_FUTURE: [&str; 2] = ["touch_in_future", "conversion_in_future"];
const DAY_US: i64 = 86_400_000_000;

/// Counts them into `x_told` (code, at_us, records).
pub(crate) async fn count(runner: &mut Runner<'_>) -> Result<()> {
    let selects: Vec<String> = FACTS
        .iter()
        .map(|(code, from, _)| {
            let (at, group) = match IN_FUTURE.contains(code) {
                true => ("ts_us", " GROUP BY ts_us"),
                false => ("CAST(NULL AS BIGINT)", ""),
            };
            format!("SELECT '{code}' AS code, {at} AS at_us, CAST(count(*) AS BIGINT) AS records FROM {from}{group}")
        })
        .collect();
    runner.step("x_told", &selects.join(" UNION ALL ")).await
}

/// Notices of all that was counted.
pub(crate) async fn tell(runner: &Runner<'_>, now_us: i64, notices: &mut Vec<Notice>) -> Result<()> {
    let mut counts: HashMap<String, i64> = HashMap::new();
    let select = format!(
        "SELECT code, CAST(sum(records) AS BIGINT) AS records FROM x_told WHERE at_us IS NULL OR at_us > {} GROUP BY code \
         UNION ALL SELECT 'negative_cost' AS code, count(*) AS records FROM c_costs WHERE cost_minor < 0",
        now_us.saturating_add(DAY_US)
    );
    let mut rows = runner.read(&select).await?;
    while let Some(batch) = rows.try_next().await? {
        let (codes, records) = (texts(&batch, "code")?, ints(&batch, "records")?);
        for row in 0..batch.num_rows() {
            counts.insert(text_or_empty(codes, row).to_string(), records.value(row));
        }
    }
    let costs =
        ("negative_cost", "", "cost rows are negative; they lower what was spent, as a correction does");
    for (code, _, message) in FACTS.iter().chain([&costs]) {
        let count = counts.get(*code).copied().unwrap_or(0);
        if count > 0 {
            notices.push(Notice { code: (*code).into(), message: format!("{count} {message}") });
        }
    }
    Ok(())
}
