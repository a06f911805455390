//! A run that computes anew only what new records can change.
//!
//! ```text
//! all = what all groups had - what the touched groups had + what the touched groups have now
//! ```
//! Records that name each other (a browser, its visits, their tokens, the chats that brought these back, the people
//! who wrote, their contacts and deals) form a group ([`nodes`], [`groups`]), and every fact is computed from one
//! group alone. So the facts of the groups that a record touches, which is new, gone or changed ([`difference`]), are
//! computed twice, from the records of the epoch before and from those of now; of the published tables the rows that
//! differ are exchanged ([`replace`]), and of the sums the difference is added ([`sums`]). Days, costs and
//! dimensions are made of the sums, in a whole run and in this one alike.
//!
//! What is not decided within a group is compared first, and when it differs, or when models learn from all
//! journeys, everything is computed anew: [`Scope::All`] says why.

mod compared;
mod difference;
mod exchange;
mod files;
mod groups;
mod nodes;
mod part;
mod patch;
mod replace;
mod scratch;
mod seeds;
mod sums;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use throughline_core::{ErrorKind, Result};
use throughline_sql::{TableRef, Written};

use crate::host::{HostTable, texts};
use crate::identity::push_hex;
use crate::job::{Job, Outcome, OutputTable};
use crate::journeys::Journeys;
use crate::money::Reporting;
use crate::previous::Previous;
use crate::runner::Runner;
use crate::settings::Settings;
use crate::tables::{OutputSpec, output_tables};
use crate::{alerts, books, canon, days, facts, money, origins, previous, told};
use exchange::Exchange;
use part::Part;
use sums::SUMS;

/// Changes whenever what an epoch keeps for the next one changes.
const FORM: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));

/// Tables with one row per record or person: those of a group are exchanged.
const ROWS: &[&str] = &[
    "visits",
    "touches",
    "inquiries",
    "messages",
    "conversions",
    "attribution",
    "dim_person",
    "identity_map",
    "consents",
];

/// What the epoch before was computed from, and its tables, `state_...` included.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// Canonical tables by their names.
    pub canonical: BTreeMap<String, TableRef>,
    pub tables: BTreeMap<String, TableRef>,
}

/// How much of it a run computed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything, and why.
    All { because: String },
    /// The groups that new records touch: how many records differ, and how many are in these groups.
    Part { differing: u64, records: u64 },
}

/// Why a run computes everything.
struct Whole(String);

/// What a step of a partial run gives, unless everything must be computed.
type Perhaps<T> = std::result::Result<T, Whole>;

fn whole<T>(because: impl Into<String>) -> Result<Perhaps<T>> {
    Ok(Err(Whole(because.into())))
}

/// Goes on with what a step gave, or leaves with why everything must be computed.
macro_rules! or_whole {
    ($perhaps:expr) => {
        match $perhaps {
            Ok(value) => value,
            Err(because) => return Ok(Err(because)),
        }
    };
}

/// Computes what differs from the epoch before; or says why that cannot be done.
pub(crate) async fn run(job: &Job<'_>, before: &Before) -> Result<std::result::Result<Outcome, String>> {
    let outcome = partial(job, before).await?;
    Ok(outcome.map_err(|Whole(because)| because))
}

async fn partial(job: &Job<'_>, before: &Before) -> Result<Perhaps<Outcome>> {
    let settings = job.settings;
    or_whole!(suits(settings, job.may_repeat));
    let Some(kept) = Kept::of(job, before).await? else {
        return whole("the epoch before kept nothing to go by");
    };
    if kept.get("form") != FORM {
        return whole("the epoch before was made by another version");
    }
    if kept.get("settings") != settings_hash(settings) {
        return whole("the settings are not those of the epoch before");
    }
    let was_us: i64 = kept.get("now_us").parse().unwrap_or(i64::MAX);
    if was_us > job.now_us {
        return whole("the epoch before is of a later time: a clock went backwards");
    }
    for name in ROWS.iter().copied().chain(SUMS.iter().map(|s| s.name)) {
        if !before.tables.contains_key(name) {
            return whole(format!("{name} of the epoch before is gone"));
        }
    }

    let work = job.work.join("part");
    let mut runner = Runner::new(job.engine, work, job.progress);
    let runner = &mut runner;
    let mut notices = Vec::new();
    crate::job::set_params(runner, job);
    crate::job::bind_words(runner, settings).await?;

    // What is asked of all records.
    canon::bind_views_of(runner, "in").await?;
    let reporting = money::reporting_currency(runner, settings.reporting_currency.as_deref()).await?;
    if kept.get("reporting") != reporting.currency {
        return whole("money is reported in another currency than in the epoch before");
    }
    runner.set("reporting", throughline_core::Param::Text(Some(reporting.currency.clone())));
    runner.set("units_per_one", throughline_core::Param::Int(10_i64.pow(reporting.decimals)));
    facts::platforms(runner).await?;
    if kept.get("platforms") != platforms(runner).await? {
        return whole("a platform is new, or reports what it did not report before");
    }

    let touched = or_whole!(seeds::touched(runner, before, job.canonical).await?);
    let part = or_whole!(Part::of(runner, touched).await?);

    // What the touched groups had.
    runner.begin("what was")?;
    part.bind_before(runner, before).await?;
    runner.set("now_us", throughline_core::Param::Int(was_us));
    let mut had = Tables::default();
    previous::bind(runner, &Previous::default(), &mut Vec::new()).await?;
    facts::compute(runner, settings, &reporting, was_us, &mut Vec::new()).await?;
    had.keep(runner, &reporting, "had").await?;

    // What they have now.
    runner.begin("what is")?;
    part.bind_now(runner, job.canonical).await?;
    runner.set("now_us", throughline_core::Param::Int(job.now_us));
    let previous = Previous {
        identity_map: had.rows.get("identity_map").cloned(),
        identity_merges: job.previous.identity_merges.clone(),
        data_quality_daily: job.previous.data_quality_daily.clone(),
    };
    previous::bind(runner, &previous, &mut notices).await?;
    facts::compute(runner, settings, &reporting, job.now_us, &mut notices).await?;
    let merges =
        days::output(runner, spec_of("identity_merges")?, &reporting, &Journeys::default(), settings).await?;
    let mut have = Tables::default();
    have.keep(runner, &reporting, "have").await?;

    // Both put together with what everybody else had.
    let mut state = Vec::new();
    for sums in SUMS {
        let all = (before.tables.get(sums.name), had.sums.get(sums.name), have.sums.get(sums.name));
        let (Some(was), Some(had), Some(have)) = all else {
            return whole(format!("{} of the epoch before is gone", sums.name));
        };
        let Some(written) = sums.add_up(runner, was, had, have).await? else {
            return whole(format!("{} of the epoch before does not fit its records", sums.name));
        };
        state.push(kept_table(sums.name, written));
    }
    canon::bind_views_of(runner, "in").await?;
    origins::bind_of_sums(runner, settings).await?;
    for sums in SUMS {
        sums.give_back(runner).await?;
    }
    let mut outputs: BTreeMap<&'static str, OutputTable> = BTreeMap::new();
    outputs.insert("identity_merges", merges);
    for name in ROWS {
        runner.begin(name)?;
        let spec = spec_of(name)?;
        let mut exchange =
            Exchange::between(runner, spec, &format!("had_{name}"), &format!("have_{name}")).await?;
        if *name == "dim_person" {
            segments_that_changed(runner, settings, &reporting, job.now_us, before, &mut exchange).await?;
        }
        let Some(was) = before.tables.get(*name) else {
            return whole(format!("{name} of the epoch before is gone"));
        };
        let folder = runner.folder(name);
        let schema = spec.schema(reporting.decimals.max(2) as i8);
        let Some(written) = replace::write(&folder, spec, schema, was, &exchange)? else {
            return whole(format!("{name} of the epoch before does not fit its records"));
        };
        runner.bind(name, &written.table()).await?;
        outputs.insert(name, days::described(spec, written));
    }

    days::compute(runner, settings, job.now_us).await?;
    let mut tables = Vec::new();
    for spec in output_tables() {
        let table = match outputs.remove(spec.name) {
            Some(table) => table,
            None => days::output(runner, spec, &reporting, &Journeys::default(), settings).await?,
        };
        tables.push(table);
    }
    let books = match books::check(runner, settings, &reporting).await {
        // Computing everything tells whether it is the records or what was put together.
        Err(error) if error.kind() == ErrorKind::Data => return whole(error.message()),
        books => books?,
    };
    told::tell(runner, job.now_us, &mut notices).await?;
    alerts::tell(runner, &settings.alerts, &mut notices).await?;
    state.push(keep_facts(runner, settings, &reporting, job.now_us).await?);
    Ok(Ok(Outcome {
        tables,
        state,
        scope: Scope::Part { differing: part.differing as u64, records: part.records as u64 },
        books,
        notices,
        reporting_currency: reporting.currency,
        params_hash: crate::job::params_hash(settings),
    }))
}

/// Whether these settings let groups be computed one by one.
fn suits(settings: &Settings, may_repeat: &[&str]) -> Perhaps<()> {
    if let Some(model) = settings.models.iter().find(|m| !m.is_rule()) {
        return Err(Whole(format!("{} learns from all journeys", model.as_str())));
    }
    if settings.paths {
        return Err(Whole("paths are counted over all journeys".into()));
    }
    if settings.time_window_minutes > 0 {
        return Err(Whole("time_window_minutes compares clicks with the inquiries of everybody".into()));
    }
    if let Some(table) = may_repeat.first() {
        return Err(Whole(format!("{table} is made by a transform, which may hold a key twice")));
    }
    Ok(())
}

/// Writes what a whole run leaves for the next one.
pub(crate) async fn keep(
    runner: &mut Runner<'_>,
    settings: &Settings,
    reporting: &Reporting,
    now_us: i64,
) -> Result<Vec<OutputTable>> {
    let mut state = Vec::new();
    for sums in SUMS {
        let written = runner.publish(sums.name, &sums.select()).await?;
        state.push(kept_table(sums.name, written));
    }
    state.push(keep_facts(runner, settings, reporting, now_us).await?);
    Ok(state)
}

fn kept_table(name: &'static str, written: Written) -> OutputTable {
    OutputTable { name, written, key: &[], partition_by: None, doc: "Sums that the next run goes on from." }
}

/// Rows and sums of the touched groups, out of the way of the next pass.
#[derive(Default)]
struct Tables {
    rows: BTreeMap<&'static str, TableRef>,
    sums: BTreeMap<&'static str, TableRef>,
}

impl Tables {
    async fn keep(&mut self, runner: &mut Runner<'_>, reporting: &Reporting, prefix: &str) -> Result<()> {
        for name in ROWS {
            let table = days::select(spec_of(name)?, reporting)?;
            let held = runner.hold(name, &table).await?;
            runner.bind(name, &held).await?;
            runner.bind(&format!("{prefix}_{name}"), &held).await?;
            self.rows.insert(name, held);
        }
        told::count(runner).await?;
        books::count(runner, reporting).await?;
        for sums in SUMS {
            let held = runner.hold(&format!("{prefix}_{}", sums.name), &sums.select()).await?;
            self.sums.insert(sums.name, held);
        }
        Ok(())
    }
}

fn spec_of(name: &str) -> Result<&'static OutputSpec> {
    crate::tables::output_table(name)
        .ok_or_else(|| throughline_core::Error::bug(format!("there is no output table {name}")))
}

/// Persons nothing new touches change their segment too, when they fall silent for long enough.
async fn segments_that_changed(
    runner: &mut Runner<'_>,
    settings: &Settings,
    reporting: &Reporting,
    now_us: i64,
    before: &Before,
    exchange: &mut Exchange,
) -> Result<()> {
    let Some(was) = before.tables.get("dim_person") else { return Ok(()) };
    let spec = spec_of("dim_person")?;
    runner.bind("i_person_before", was).await?;
    let select =
        crate::segments::changed("i_person_before", &settings.segments, reporting.decimals, now_us, spec);
    // Those of the touched groups are decided already.
    let select = format!(
        "SELECT p.* FROM ({select}) AS p LEFT JOIN had_dim_person AS h ON h.person_id = p.person_id \
         WHERE h.person_id IS NULL"
    );
    let mut rows = runner.read(&select).await?;
    while let Some(batch) = rows.try_next().await? {
        exchange.also(spec, &batch, "segment")?;
    }
    Ok(())
}

/// Facts about a run as the next one compares them, by name.
struct Kept(BTreeMap<String, String>);

const KEPT: &str = "state_run";

impl Kept {
    async fn of(job: &Job<'_>, before: &Before) -> Result<Option<Self>> {
        let Some(table) = before.tables.get(KEPT) else { return Ok(None) };
        job.engine.bind("i_kept", table).await?;
        let mut facts = BTreeMap::new();
        let mut rows = job.engine.read("SELECT name, fact FROM i_kept", &[]).await?;
        while let Some(batch) = rows.try_next().await? {
            let (names, values) = (texts(&batch, "name")?, texts(&batch, "fact")?);
            for (name, value) in names.iter().flatten().zip(values.iter().flatten()) {
                facts.insert(name.to_string(), value.to_string());
            }
        }
        Ok(Some(Self(facts)))
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

async fn keep_facts(
    runner: &mut Runner<'_>,
    settings: &Settings,
    reporting: &Reporting,
    now_us: i64,
) -> Result<OutputTable> {
    let facts = [
        ("form", FORM.to_string()),
        ("settings", settings_hash(settings)),
        ("now_us", now_us.to_string()),
        ("reporting", reporting.currency.clone()),
        ("platforms", platforms(runner).await?),
    ];
    let fields = ["name", "fact"].map(|n| Field::new(n, DataType::Utf8, true)).to_vec();
    let mut table = HostTable::create(&runner.folder(KEPT), Arc::new(Schema::new(fields)))?;
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(facts.iter().map(|f| f.0)));
    let values: ArrayRef = Arc::new(StringArray::from_iter_values(facts.iter().map(|f| f.1.as_str())));
    table.write(vec![names, values])?;
    let written = table.finish()?;
    runner.bind(KEPT, &written.table()).await?;
    Ok(kept_table(KEPT, written))
}

fn settings_hash(settings: &Settings) -> String {
    let text = serde_json::to_string(settings).unwrap_or_default();
    let mut hash = String::new();
    push_hex(&mut hash, &Sha256::digest(text.as_bytes())[..16]);
    hash
}

/// Which platforms there are, and what they report at all.
async fn platforms(runner: &Runner<'_>) -> Result<String> {
    let mut all = Vec::new();
    let select = "SELECT what || ':' || platform AS fact FROM (\
         SELECT 'messages' AS what, platform FROM x_messenger UNION ALL \
         SELECT 'delivery' AS what, platform FROM x_delivering UNION ALL \
         SELECT 'reading' AS what, platform FROM x_reading) AS p ORDER BY what || ':' || platform";
    let mut rows = runner.read(select).await?;
    while let Some(batch) = rows.try_next().await? {
        all.extend(texts(&batch, "fact")?.iter().flatten().map(str::to_string));
    }
    Ok(all.join(" "))
}
