//! One run of all steps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use sha2::{Digest, Sha256};
use throughline_core::{Notice, Param, Result};
use throughline_sql::{SqlEngine, TableRef, Written};

use crate::books::{self, BookCheck};
use crate::identity;
use crate::incremental::{self, Before, Scope};
use crate::money;
use crate::origins::SEPARATOR;
use crate::previous::{self, Previous};
use crate::runner::Runner;
use crate::settings::{BroadcastTouches, ConversionType, MultiConversion, Settings};
use crate::tables::output_tables;
use crate::{alerts, canon, days, facts, host, metrics, told};

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
    /// The canonical tables by name, as they are bound: needed to compare them with those of `before`.
    pub canonical: &'a BTreeMap<&'static str, TableRef>,
    /// Output tables of the epoch before, where there is one.
    pub previous: &'a Previous,
    /// What the epoch before was computed from and kept: with it only what can have changed since is computed. Or
    /// why there is none.
    pub before: std::result::Result<&'a Before, &'a str>,
    /// Whether to leave something that the next run can go on from.
    pub keep: bool,
    pub progress: Option<&'a Progress<'a>>,
}

/// The finished tables, also bound in the engine under their names.
#[derive(Debug)]
pub struct Outcome {
    pub tables: Vec<OutputTable>,
    /// What the next run goes on from; nobody else reads it.
    pub state: Vec<OutputTable>,
    pub scope: Scope,
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

/// Runs the steps, checks the books, and leaves the output tables bound and on disk.
///
/// # Errors
/// Wrong settings, a missing exchange rate, books that do not close, or what the engine met.
pub async fn run(job: Job<'_>) -> Result<Outcome> {
    if let Some(error) = job.settings.check().into_iter().next() {
        return Err(error);
    }
    let because = match job.before {
        Err(because) => because.to_string(),
        Ok(before) => match incremental::run(&job, before).await? {
            Ok(outcome) => return Ok(outcome),
            Err(because) => because,
        },
    };
    whole(job, because).await
}

/// Computes everything.
async fn whole(job: Job<'_>, because: String) -> Result<Outcome> {
    let mut runner = Runner::new(job.engine, job.work.to_path_buf(), job.progress);
    let runner = &mut runner;
    let mut notices = Vec::new();
    set_params(runner, &job);
    canon::bind_views(runner, job.may_repeat, &mut notices).await?;
    previous::bind(runner, job.previous, &mut notices).await?;
    bind_words(runner, job.settings).await?;

    let reporting = money::reporting_currency(runner, job.settings.reporting_currency.as_deref()).await?;
    runner.set("reporting", text(&reporting.currency));
    runner.set("units_per_one", Param::Int(10_i64.pow(reporting.decimals)));

    facts::platforms(runner).await?;
    let journeys = facts::compute(runner, job.settings, &reporting, job.now_us, &mut notices).await?;
    days::compute(runner, job.settings, job.now_us).await?;

    let mut tables = Vec::new();
    for spec in output_tables() {
        tables.push(days::output(runner, spec, &reporting, &journeys, job.settings).await?);
    }
    told::count(runner).await?;
    books::count(runner, &reporting).await?;
    let books = books::check(runner, job.settings, &reporting).await?;
    told::tell(runner, job.now_us, &mut notices).await?;
    alerts::tell(runner, &job.settings.alerts, &mut notices).await?;
    let mut state = Vec::new();
    if job.keep {
        state = incremental::keep(runner, job.settings, &reporting, job.now_us).await?;
    }
    Ok(Outcome {
        tables,
        state,
        scope: Scope::All { because },
        books,
        notices,
        reporting_currency: reporting.currency,
        params_hash: params_hash(job.settings),
    })
}

fn text(value: &str) -> Param {
    Param::Text(Some(value.to_string()))
}

pub(crate) fn set_params(runner: &mut Runner<'_>, job: &Job<'_>) {
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
pub(crate) fn params_hash(s: &Settings) -> String {
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

/// Lists of the settings as tables: words of consent, qualified statuses, ignored identifiers, models.
pub(crate) async fn bind_words(runner: &Runner<'_>, s: &Settings) -> Result<()> {
    metrics::bind_words(runner, s).await?;
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
