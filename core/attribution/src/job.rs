//! One run of all steps.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use throughline_core::{Error, Notice, Param, Result};
use throughline_sql::{SqlEngine, Written};

use crate::books::{self, BookCheck};
use crate::canon;
use crate::identity;
use crate::journeys::{self, Journeys};
use crate::money::{self, Reporting};
use crate::origins::{self, SEPARATOR};
use crate::previous::{self, Previous};
use crate::runner::Runner;
use crate::settings::{BroadcastTouches, ConversionType, MultiConversion, Settings};
use crate::tables::{OutputSpec, output_tables};
use crate::{alerts, calendar, credit, host, metrics};

/// Called with the name of each step before it runs; an error stops the run.
pub type Progress<'a> = dyn Fn(&str) -> Result<()> + Send + Sync + 'a;

/// What a run works on. The canonical tables are bound as `in_<table>`, all of them, maybe empty.
pub struct Job<'a> {
    pub engine: &'a dyn SqlEngine,
    pub settings: &'a Settings,
    /// Canonical tables that may hold a key twice: prepared by a user's own SQL. The engine's have one row each.
    pub may_repeat: &'a [&'a str],
    /// A fresh folder; every step writes into its own below it. The output tables stay there.
    pub work: &'a Path,
    /// The instant of the run, µs since the epoch: decides which inquiries are closed.
    pub now_us: i64,
    /// Output tables of the epoch before, where there is one.
    pub previous: &'a Previous,
    pub progress: Option<&'a Progress<'a>>,
}

/// The finished tables, also bound in the engine under their names.
#[derive(Debug)]
pub struct Outcome {
    pub tables: Vec<OutputTable>,
    pub books: Vec<BookCheck>,
    /// What a person should know: refunds without a conversion, deals without a contact.
    pub notices: Vec<Notice>,
    /// Currency of all money columns; empty when the data has no money.
    pub reporting_currency: String,
    /// As in `attribution.params_hash`.
    pub params_hash: String,
}

#[derive(Debug)]
pub struct OutputTable {
    pub name: &'static str,
    pub written: Written,
    pub key: &'static [&'static str],
    pub partition_by: Option<&'static str>,
    pub doc: &'static str,
}

/// Runs the step of a file and binds its table.
macro_rules! step {
    ($runner:expr, $name:literal, $file:literal) => {
        $runner.step($name, include_str!(concat!("steps/", $file))).await?
    };
}
pub(crate) use step;

/// Runs every step, checks the books, and leaves the output tables bound and on disk.
///
/// # Errors
/// Wrong settings, a missing exchange rate, books that do not close, or what the engine met.
pub async fn run(job: Job<'_>) -> Result<Outcome> {
    if let Some(error) = job.settings.check().into_iter().next() {
        return Err(error);
    }
    let mut runner = Runner::new(job.engine, job.work.to_path_buf(), job.progress);
    let runner = &mut runner;
    let mut notices = Vec::new();
    set_params(runner, &job);
    canon::bind_views(runner, job.may_repeat, &mut notices).await?;
    previous::bind(runner, job.previous, &mut notices).await?;
    bind_word_lists(runner, job.settings).await?;
    metrics::bind_words(runner, job.settings).await?;

    let reporting = money::reporting_currency(runner, job.settings.reporting_currency.as_deref()).await?;
    runner.set("reporting", text(&reporting.currency));
    runner.set("units_per_one", Param::Int(10_i64.pow(reporting.decimals)));

    stitch(runner, job.settings).await?;
    metrics::identity_changes(runner).await?;
    conversations(runner).await?;
    metrics::conversations(runner, job.settings, job.now_us).await?;
    touches(runner, job.settings).await?;
    matches(runner, job.settings).await?;
    conversions(runner, &reporting).await?;
    let journeys = credits(runner, job.settings, &mut notices).await?;
    costs_and_days(runner).await?;
    metrics::days(runner, job.settings, 10_i64.pow(reporting.decimals), job.now_us).await?;

    let tables = publish(runner, &reporting, &journeys, job.settings).await?;
    let books = books::check(runner, job.settings, &reporting).await?;
    tell(runner, &mut notices).await?;
    alerts::tell(runner, &job.settings.alerts, &mut notices).await?;
    Ok(Outcome {
        tables,
        books,
        notices,
        reporting_currency: reporting.currency,
        params_hash: params_hash(job.settings),
    })
}

fn text(value: &str) -> Param {
    Param::Text(Some(value.to_string()))
}

fn set_params(runner: &mut Runner<'_>, job: &Job<'_>) {
    let s = job.settings;
    let (first, last, between) = s.position_units();
    for (name, value) in [
        ("gap_us", s.inquiry_gap_us()),
        ("response_us", s.response_window_us()),
        ("target_us", s.target_window_us()),
        ("goods_millionths", s.goods_cost_millionths()),
        ("lookback_us", s.lookback_us()),
        ("half_life_us", s.half_life_us()),
        ("window_us", i64::from(s.time_window_minutes.max(1)) * 60_000_000),
        ("now_us", job.now_us),
        ("from_us", s.begin_us().unwrap_or(-9_000_000_000_000_000_000)),
        ("to_us", s.end_us().unwrap_or(9_000_000_000_000_000_000)),
        ("first_weight", first),
        ("last_weight", last),
        ("between_weight", between),
    ] {
        runner.set(name, Param::Int(value));
    }
    for (name, value) in [
        ("reset", s.multi_conversion == MultiConversion::Reset),
        ("exclude_refunded", s.exclude_refunded),
        ("deal_source_touches", s.deal_source_touches),
        ("with_lead", s.gives(ConversionType::Lead)),
        ("with_qualified", s.gives(ConversionType::Qualified)),
        ("with_won", s.gives(ConversionType::Won)),
    ] {
        runner.set(name, Param::Bool(value));
    }
    let broadcasts = match s.broadcast_touches {
        BroadcastTouches::Delivered => "delivered",
        BroadcastTouches::Clicked => "clicked",
        BroadcastTouches::None => "none",
    };
    runner.set("broadcast_touches", text(broadcasts));
    runner.set("target", text(s.target().as_str()));
    runner.set("sep", text(&SEPARATOR.to_string()));
    runner.set("params_hash", text(&params_hash(s)));
}

/// 16 hex digits over the settings that decide credit.
fn params_hash(s: &Settings) -> String {
    let mut deciding = serde_json::json!({
        "lookback_days": s.lookback_days,
        "position_weights": s.position_weights,
        "half_life_days": s.half_life_days,
        "multi_conversion": s.multi_conversion,
        "path_transforms": s.path_transforms,
        "direct_channels": s.direct_channels,
        "broadcast_touches": s.broadcast_touches,
        "time_window_minutes": s.time_window_minutes,
        "deal_source_touches": s.deal_source_touches,
        "channel": s.channels,
        "builtin_channels": s.builtin_channels,
        "identity": s.identity,
    });
    if !s.models.iter().all(|m| m.is_rule()) {
        deciding["markov_order"] = serde_json::json!(s.markov_order);
    }
    let digest = Sha256::digest(deciding.to_string().as_bytes());
    let mut hash = String::with_capacity(16);
    identity::push_hex(&mut hash, &digest[..8]);
    hash
}

/// Lists of the settings as tables: qualified statuses, ignored identifiers, models.
async fn bind_word_lists(runner: &Runner<'_>, s: &Settings) -> Result<()> {
    let mut statuses = s.qualified_statuses.clone();
    statuses.sort();
    statuses.dedup();
    bind_texts(runner, "p_qualified", &[("status_id", statuses)]).await?;

    let ignored: Vec<(&str, &str)> = s.identity.ignore.iter().filter_map(|i| i.split_once(':')).collect();
    let types = ignored.iter().map(|(t, _)| (*t).to_string()).collect();
    let values = ignored
        .iter()
        .map(|(t, v)| if *t == "email" { v.trim().to_lowercase() } else { (*v).to_string() })
        .collect();
    bind_texts(runner, "p_ignore", &[("id_type", types), ("id_value", values)]).await?;

    let schema = Arc::new(Schema::new(vec![
        Field::new("model_n", DataType::Int64, false),
        Field::new("model", DataType::Utf8, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..s.models.len() as i64).collect::<Int64Array>()),
        Arc::new(s.models.iter().map(|m| Some(m.as_str())).collect::<StringArray>()),
    ];
    runner.bind("p_model", &host::memory_table(schema, columns)?).await
}

async fn bind_texts(runner: &Runner<'_>, name: &str, columns: &[(&str, Vec<String>)]) -> Result<()> {
    let fields: Vec<Field> = columns.iter().map(|(n, _)| Field::new(*n, DataType::Utf8, false)).collect();
    let arrays: Vec<ArrayRef> =
        columns.iter().map(|(_, v)| Arc::new(StringArray::from(v.clone())) as ArrayRef).collect();
    runner.bind(name, &host::memory_table(Arc::new(Schema::new(fields)), arrays)?).await
}

/// Tokens, identity, persons; visits and messages with their person.
async fn stitch(runner: &mut Runner<'_>, settings: &Settings) -> Result<()> {
    step!(runner, "x_token_used", "09_tokens_used.sql");
    step!(runner, "x_token_seen", "10_tokens_seen.sql");
    step!(runner, "x_token_visit", "11_token_visits.sql");
    step!(runner, "x_token_user", "12_token_users.sql");
    step!(runner, "x_deal_contact", "14_deal_contacts.sql");
    step!(runner, "x_token_contact", "15_token_contacts.sql");
    step!(runner, "x_visit_node", "20_visit_nodes.sql");
    step!(runner, "x_edge_text", "21_edges.sql");
    step!(runner, "x_node", "22_nodes.sql");
    step!(runner, "x_edge", "23_edges_numbered.sql");
    identity::join_persons(runner, &settings.identity).await?;
    step!(runner, "x_id", "24_identifiers.sql");
    step!(runner, "x_bound", "25_bounds.sql");
    step!(runner, "x_prepared_person", "26_prepared_persons.sql");
    step!(runner, "x_person", "27_persons.sql");
    step!(runner, "x_visit_bound", "30_visit_bounds.sql");
    step!(runner, "x_visit", "31_visits.sql");
    Ok(())
}

async fn conversations(runner: &mut Runner<'_>) -> Result<()> {
    step!(runner, "x_status", "40_statuses.sql");
    step!(runner, "x_message", "41_messages.sql");
    step!(runner, "x_message_person", "42_message_persons.sql");
    step!(runner, "x_message_order", "43_message_order.sql");
    step!(runner, "x_session", "43_sessions.sql");
    step!(runner, "x_message_inquiry", "44_message_inquiries.sql");
    step!(runner, "x_inquiry_mark", "45_inquiry_marks.sql");
    step!(runner, "x_inquiry", "46_inquiries.sql");
    step!(runner, "x_turn", "47_turns.sql");
    Ok(())
}

async fn touches(runner: &mut Runner<'_>, settings: &Settings) -> Result<()> {
    step!(runner, "x_ad", "49_ads.sql");
    step!(runner, "x_touch_raw", "50_touches_raw.sql");
    step!(runner, "x_deal", "51_deals.sql");
    step!(runner, "x_deal_touch", "52_deal_touches.sql");
    runner.view("x_touch_all", include_str!("steps/53_touches_all.sql")).await?;
    step!(runner, "x_cost_raw", "54_costs_raw.sql");
    let channels = origins::bind_channels(runner, settings).await?;
    // Transforms name a channel; they get its number.
    let transforms = settings.transforms();
    for (i, transform) in transforms.iter().enumerate() {
        if let Some((_, channel, _)) = transform.step() {
            let number = channels.list().iter().position(|c| c.id == channel).map_or(-1, |n| n as i64);
            runner.set(&format!("channel_of_{i}"), Param::Int(number));
        }
    }
    origins::bind_campaigns(runner).await?;
    step!(runner, "x_touch", "55_touches.sql");
    Ok(())
}

async fn matches(runner: &mut Runner<'_>, settings: &Settings) -> Result<()> {
    step!(runner, "x_direct_match", "60_direct_matches.sql");
    step!(runner, "x_known_before", "61_known_before.sql");
    if settings.time_window_minutes > 0 {
        step!(runner, "x_window_match", "62_window_matches.sql");
        step!(runner, "x_touch", "63_touches_owned.sql");
    } else {
        let schema = Arc::new(Schema::new(vec![
            Field::new("inquiry_id", DataType::Utf8, false),
            Field::new("visit_id", DataType::Utf8, false),
            Field::new("person", DataType::Int64, false),
        ]));
        let none: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(Vec::<String>::new())),
            Arc::new(StringArray::from(Vec::<String>::new())),
            Arc::new(Int64Array::from(Vec::<i64>::new())),
        ];
        runner.bind("x_window_match", &host::memory_table(schema, none)?).await?;
    }
    step!(runner, "x_match", "64_matches.sql");
    Ok(())
}

async fn conversions(runner: &mut Runner<'_>, reporting: &Reporting) -> Result<()> {
    step!(runner, "x_deal_inquiry", "70_deal_inquiries.sql");
    step!(runner, "x_conv_raw", "71_conversions_raw.sql");
    step!(runner, "x_refund", "72_refunds.sql");
    step!(runner, "x_extra_raw", "72_extras_raw.sql");
    money::bind_rates(runner, reporting).await?;
    step!(runner, "x_conv", "73_conversions.sql");
    step!(runner, "x_reported", "74_reported.sql");
    Ok(())
}

async fn credits(
    runner: &mut Runner<'_>,
    settings: &Settings,
    notices: &mut Vec<Notice>,
) -> Result<Journeys> {
    step!(runner, "x_path", "75_paths.sql");
    for (i, transform) in settings.transforms().iter().enumerate() {
        if let Some((select, _, keep)) = transform.step() {
            runner.rename_param(&format!("channel_of_{i}"), "channel_n");
            runner.set("keep", Param::Int(keep));
            runner.step("x_path", select).await?;
        }
    }
    let journeys = journeys::learn(runner, settings, notices).await?;
    step!(runner, "x_extra", "78_extras.sql");
    credit::write(runner, settings, &journeys).await?;
    step!(runner, "x_extra_cell", "79_extra_cells.sql");
    Ok(journeys)
}

async fn costs_and_days(runner: &mut Runner<'_>) -> Result<()> {
    step!(runner, "x_campaign_channel", "80_campaign_channels.sql");
    step!(runner, "x_named_campaign", "81_named_campaigns.sql");
    step!(runner, "x_numbered_campaign", "82_numbered_campaigns.sql");
    runner.view("x_cost_named", include_str!("steps/83_costs_named.sql")).await?;
    step!(runner, "x_campaign_day", "84_campaign_days.sql");
    step!(runner, "x_touch_day", "84_touch_days.sql");
    step!(runner, "x_cost", "85_costs.sql");
    metrics::campaign_costs(runner).await?;
    step!(runner, "x_person_contact", "86_person_contacts.sql");
    step!(runner, "x_inquiry_deal", "87_inquiry_deals.sql");
    step!(runner, "x_inquiry_n", "88_inquiries_numbered.sql");
    step!(runner, "x_day_cell", "90_day_cells.sql");
    step!(runner, "x_channel_day", "90_channel_days.sql");
    step!(runner, "x_credit_cell", "91_credit_cells.sql");
    step!(runner, "x_credit_day", "91_credit_days.sql");
    Ok(())
}

async fn publish(
    runner: &mut Runner<'_>,
    reporting: &Reporting,
    journeys: &Journeys,
    settings: &Settings,
) -> Result<Vec<OutputTable>> {
    let mut tables = Vec::new();
    let money_scale = reporting.decimals.max(2) as i8;
    for spec in output_tables() {
        let written = if spec.name == "dim_date" {
            calendar::write(runner, spec, money_scale).await?
        } else if matches!(spec.name, "paths" | "attribution_channel") {
            journeys.write(runner, spec, settings, reporting, &params_hash(settings)).await?
        } else {
            let select = output_select(spec)?;
            runner.publish(spec.name, &canon::publish_select(spec, select, reporting.decimals)).await?
        };
        check_schema(spec, &written, money_scale)?;
        tables.push(OutputTable {
            name: spec.name,
            written,
            key: spec.key,
            partition_by: spec.partition_by,
            doc: spec.doc,
        });
    }
    Ok(tables)
}

fn output_select(spec: &OutputSpec) -> Result<&'static str> {
    Ok(match spec.name {
        "visits" => include_str!("steps/out_visits.sql"),
        "touches" => include_str!("steps/out_touches.sql"),
        "inquiries" => include_str!("steps/out_inquiries.sql"),
        "messages" => include_str!("steps/out_messages.sql"),
        "conversions" => include_str!("steps/out_conversions.sql"),
        "attribution" => include_str!("steps/out_attribution.sql"),
        "costs" => include_str!("steps/out_costs.sql"),
        "channel_daily" => include_str!("steps/out_channel_daily.sql"),
        "messenger_daily" => include_str!("steps/out_messenger_daily.sql"),
        "dim_channel" => include_str!("steps/out_dim_channel.sql"),
        "dim_campaign" => include_str!("steps/out_dim_campaign.sql"),
        "dim_person" => include_str!("steps/out_dim_person.sql"),
        "dim_operator" => include_str!("steps/out_dim_operator.sql"),
        "dim_page" => include_str!("steps/out_dim_page.sql"),
        "identity_map" => include_str!("steps/out_identity_map.sql"),
        other => {
            return metrics::output_select(other)
                .ok_or_else(|| Error::bug(format!("output table {other} has no step")));
        }
    })
}

/// A published table has exactly the promised columns: sinks and readers rely on it.
fn check_schema(spec: &OutputSpec, written: &Written, money_scale: i8) -> Result<()> {
    for (promised, found) in spec.schema(money_scale).fields().iter().zip(written.schema.fields()) {
        if promised.name() != found.name() || promised.data_type() != found.data_type() {
            return Err(Error::bug(format!(
                "{}: column {} {} was promised, {} {} was made",
                spec.name,
                promised.name(),
                promised.data_type(),
                found.name(),
                found.data_type()
            )));
        }
    }
    Ok(())
}

/// Rows that could not be used where one would look for them.
async fn tell(runner: &Runner<'_>, notices: &mut Vec<Notice>) -> Result<()> {
    let facts = [
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
            "x_message AS m JOIN messages AS o ON o.platform = m.platform AND o.message_id = m.message_id \
             WHERE m.price IS NOT NULL AND o.price IS NULL",
            "messages have a price in a currency without a rate for their day; their price is left empty",
        ),
        (
            "touch_in_future",
            "x_touch WHERE ts_us > $now_us + 86400000000",
            "touches are more than a day in the future: a clock or a time zone is wrong at their source",
        ),
        (
            "conversion_in_future",
            "x_conv WHERE ts_us > $now_us + 86400000000",
            "conversions are more than a day in the future: a clock or a time zone is wrong at their source",
        ),
        (
            "negative_cost",
            "c_costs WHERE cost_minor < 0",
            "cost rows are negative; they lower what was spent, as a correction does",
        ),
        (
            "identifier_shared",
            "x_id WHERE is_shared",
            "identifiers belong to too many people (or are ignored) and join nobody",
        ),
    ];
    let selects: Vec<String> = facts
        .iter()
        .map(|(code, from, _)| format!("SELECT '{code}' AS code, count(*) AS n FROM {from}"))
        .collect();
    let mut counts = HashMap::new();
    let mut rows = runner.read(&selects.join(" UNION ALL ")).await?;
    while let Some(batch) = rows.try_next().await? {
        let (codes, values) = (host::texts(&batch, "code")?, host::ints(&batch, "n")?);
        for row in 0..batch.num_rows() {
            counts.insert(host::text_or_empty(codes, row).to_string(), values.value(row));
        }
    }
    for (code, _, message) in facts {
        let count = counts.get(code).copied().unwrap_or(0);
        if count > 0 {
            notices.push(Notice { code: code.into(), message: format!("{count} {message}") });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_follows_what_decides_credit_alone() {
        let base = Settings::default();
        let same = Settings { inquiry_gap_hours: 1.0, ..Settings::default() };
        let other = Settings { half_life_days: 8.0, ..Settings::default() };
        assert_eq!(params_hash(&base), params_hash(&same));
        assert_ne!(params_hash(&base), params_hash(&other));
        assert_eq!(params_hash(&base).len(), 16);
    }
}
