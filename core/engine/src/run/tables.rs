//! The computing part of a run: raw generations to canonical tables to attributed tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Date32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::TryStreamExt;
use throughline_attribution::{Before, Previous, Scope};
use throughline_core::{Error, Notice, Result, StreamSpec, Table};
use throughline_sql::{HELD_BYTES, LocalEngine, LocalOptions, SqlEngine, TableRef};
use throughline_store::{NewDeadLetter, ResolveUnseen};

use super::Job;
use super::report::{BookReport, RunReport, TableReport};
use crate::failpoint;
use crate::forget::{Marks, StreamScope};
use crate::land;
use crate::map::{self, MapLetters, SourceMapping};
use crate::pipeline::{EngineSettings, Pipeline, SourceEntry, Stage};
use crate::publish::{self, StoredTable};

/// What a run computed and where it lies.
pub struct Computed {
    pub tables: Vec<StoredTable>,
    pub books: Vec<BookReport>,
    pub notices: Vec<Notice>,
    /// How much attribution computed.
    pub scope: Scope,
    /// Holds every table under its name.
    pub engine: Arc<dyn SqlEngine>,
}

/// What tables are computed from.
pub(crate) struct Inputs {
    /// Canonical tables by name.
    pub tables: BTreeMap<String, TableRef>,
    /// Each key is in its table once: mapped, not written by hand.
    pub unique: bool,
    /// What the last epoch held.
    pub previous: Previous,
    /// What a run can go on from instead of computing everything, or why it cannot.
    pub before: std::result::Result<Before, &'static str>,
    /// Whether to leave something to go on from.
    pub keep: bool,
}

/// A fresh engine session within the pipeline's memory limit.
pub fn sql_engine(settings: &EngineSettings, spill_dir: &Path) -> Result<Arc<dyn SqlEngine>> {
    Ok(Arc::new(LocalEngine::new(LocalOptions {
        memory_bytes: settings.memory_bytes,
        spill_dir: spill_dir.to_owned(),
        threads: settings.threads,
        held_bytes: if settings.keep_steps { 0 } else { HELD_BYTES },
    })?))
}

/// Computes every table into `folder`, which is fresh.
pub(crate) async fn compute(
    job: &Job<'_>,
    folder: &Path,
    generations: &[(String, String, i64)],
    report: &mut RunReport,
) -> Result<Computed> {
    let pipeline = job.pipeline;
    let now_us = job.services.clock.now_us();
    let spill = job.scratch().join("spill");
    std::fs::create_dir_all(&spill).map_err(|e| Error::io("create", spill.display(), e))?;
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder.display(), e))?;

    job.services.progress.stage("map", "");
    let mut letters = MapLetters { pipeline: pipeline.name.clone(), letters: Vec::new() };
    let mut sessions = Vec::new();
    for entry in &pipeline.sources {
        let session = sql_engine(&pipeline.engine, &spill)?;
        for spec in entry.source.catalog().streams {
            let selected = entry.streams.contains(&spec.name);
            bind_stream(job, entry, &spec, selected, generations, session.as_ref(), &mut letters).await?;
        }
        sessions.push((entry, session, entry.source.mappings()));
    }
    let mappings: Vec<SourceMapping<'_>> = sessions
        .iter()
        .flat_map(|(entry, session, mappings)| {
            mappings
                .iter()
                .filter(|m| m.from.first().is_some_and(|first| entry.streams.contains(first)))
                .map(|mapping| SourceMapping { source: &entry.name, mapping, engine: session.as_ref() })
        })
        .collect();
    let engine = sql_engine(&pipeline.engine, &spill)?;
    let canonical = map::canonical_tables(
        &mappings,
        engine.as_ref(),
        &folder.join("canonical"),
        &mut letters,
        &mut report.notices,
    )
    .await?;
    drop(mappings);
    drop(sessions);
    report.canonical = canonical
        .iter()
        .filter(|c| c.count > 0)
        .map(|c| TableReport { table: c.table.name.to_owned(), rows: c.count })
        .collect();
    report.dead_letters += letters.letters.len() as u64;
    job.keep_letters(letters.letters, now_us).await?;
    failpoint::pass("map.done");

    let inputs: BTreeMap<String, TableRef> =
        canonical.into_iter().map(|c| (c.table.name.to_owned(), c.rows)).collect();
    let services = job.services.clone();
    let progress = move |step: &str| {
        services.progress.stage("attribute", step);
        if services.cancel.is_cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    };
    let previous = previous_tables(job, engine.as_ref(), &mut report.notices).await?;
    let records: u64 = report.canonical.iter().map(|t| t.rows).sum();
    let keep = records >= pipeline.engine.rebuild_below;
    let before = if keep { before_tables(job).await? } else { Err("there are few records") };
    let given = Inputs { tables: inputs, unique: true, previous, before, keep };
    let result = derive(pipeline, job.state_dir, engine, given, folder, now_us, &progress).await?;
    report.notices.extend(result.notices.iter().cloned());
    report.attributed = Some(result.scope.clone());
    failpoint::pass("attribute.done");
    report.tables = result
        .tables
        .iter()
        .filter(|t| t.published)
        .map(|t| TableReport { table: t.name.clone(), rows: t.rows })
        .collect();
    Ok(result)
}

impl Job<'_> {
    /// Mapping went over every current row, so a letter that was not met again is mended.
    async fn keep_letters(&self, letters: Vec<NewDeadLetter>, at_us: i64) -> Result<()> {
        self.store.add_dead_letters(self.run, at_us, letters).await?;
        for entry in &self.pipeline.sources {
            self.store
                .resolve_unseen(ResolveUnseen {
                    pipeline: self.pipeline.name.clone(),
                    source: entry.name.clone(),
                    stream: None,
                    stage: "map".to_owned(),
                    run: self.run,
                    at_us,
                })
                .await?;
        }
        Ok(())
    }
}

/// What the last epoch said of identities and days: attribution tells what changed since. A dry run compares
/// with the real epoch too, so it is looked up where that lives.
async fn previous_tables(
    job: &Job<'_>,
    engine: &dyn SqlEngine,
    notices: &mut Vec<Notice>,
) -> Result<Previous> {
    let Some(epoch) = job.shared.last_committed_epoch(&job.pipeline.name).await? else {
        return Ok(Previous::default());
    };
    let state = publish::epoch_state(&epoch)?;
    let mut find = |name: &str| -> Result<Option<TableRef>> {
        let Some(table) = state.tables.iter().find(|t| t.name == name) else { return Ok(None) };
        let rows = table.reference(&job.pipeline.state_dir)?;
        if let TableRef::Parquet { files, .. } = &rows
            && let Some(missing) = files.iter().find(|f| !f.exists())
        {
            notices.push(Notice {
                code: "previous_missing".into(),
                message: format!("{} is gone: what changed in {name} since is not told", missing.display()),
            });
            return Ok(None);
        }
        Ok(Some(rows))
    };
    // Rows of it stay from epoch to epoch, so they are gone over as what is stored is.
    let identity_merges = match (find("identity_merges")?, &job.marks) {
        (Some(rows), Some(marks)) => Some(without_forgotten(&rows, marks, engine).await?),
        (rows, _) => rows,
    };
    Ok(Previous {
        identity_map: find("identity_map")?,
        identity_merges,
        data_quality_daily: find("data_quality_daily")?,
    })
}

/// The last epoch as a run goes on from it, or why everything is to be computed.
async fn before_tables(job: &Job<'_>) -> Result<std::result::Result<Before, &'static str>> {
    if job.options.rebuild {
        return Ok(Err("a rebuild was asked for"));
    }
    if job.options.dry_run {
        return Ok(Err("a dry run keeps nothing to go on from"));
    }
    if !job.forgets.is_empty() {
        return Ok(Err("people are to be forgotten in every table"));
    }
    let Some(epoch) = job.store.last_committed_epoch(&job.pipeline.name).await? else {
        return Ok(Err("this is the first run"));
    };
    let mut before = Before::default();
    for table in publish::epoch_state(&epoch)?.tables {
        let rows = table.reference(job.state_dir)?;
        if let TableRef::Parquet { files, .. } = &rows
            && files.iter().any(|f| !f.exists())
        {
            return Ok(Err("tables of the epoch before are gone"));
        }
        match table.name.strip_prefix("in_") {
            Some(canonical) if !table.published => before.canonical.insert(canonical.to_owned(), rows),
            _ => before.tables.insert(table.name, rows),
        };
    }
    Ok(Ok(before))
}

async fn without_forgotten(rows: &TableRef, marks: &Marks, engine: &dyn SqlEngine) -> Result<TableRef> {
    const NAME: &str = "_previous_merges";
    engine.bind(NAME, rows).await?;
    let (TableRef::Parquet { schema, .. } | TableRef::Rows { schema, .. }) = rows;
    let mut batches = Vec::new();
    let mut found = engine.read(&format!("SELECT * FROM {NAME}"), &[]).await?;
    while let Some(batch) = found.try_next().await? {
        let filtered = marks.filter(&batch, &StreamScope::anywhere(""))?;
        batches.push(filtered.rows.unwrap_or(batch));
    }
    let schema = batches.first().map_or_else(|| schema.clone(), RecordBatch::schema);
    Ok(TableRef::Rows { schema, batches })
}

/// Transforms and attribution over canonical tables: the part that `[[test]]` runs as well.
pub(crate) async fn derive(
    pipeline: &Pipeline,
    state_dir: &Path,
    engine: Arc<dyn SqlEngine>,
    given: Inputs,
    folder: &Path,
    now_us: i64,
    progress: &throughline_attribution::Progress<'_>,
) -> Result<Computed> {
    let Inputs { tables: mut inputs, unique, previous, before, keep } = given;
    let mut stored = Vec::new();
    let mut may_repeat: Vec<&str> = Vec::new();
    if !unique {
        may_repeat.extend(throughline_core::canonical::TABLES.iter().map(|t| t.name));
    }
    // Before attribution, canonical tables go by their own names.
    let early = sql_engine(&pipeline.engine, &folder.join("spill"))?;
    for (name, rows) in &inputs {
        early.bind(name, rows).await?;
    }
    for transform in pipeline.transforms.iter().filter(|t| t.stage == Stage::BeforeAttribution) {
        let target = folder.join("transform").join(&transform.name);
        let written = early
            .write(&transform.name, &transform.sql, &[], &target)
            .await
            .map_err(|e| transform.text.locate(e).with("transform", &transform.name))?;
        let table = match throughline_core::canonical::table(&transform.name) {
            Some(canonical) => as_canonical(early.as_ref(), canonical, &transform.sql, &target).await?,
            None => written.table(),
        };
        early.bind(&transform.name, &table).await?;
        if inputs.contains_key(&transform.name) {
            may_repeat.push(&transform.name);
            inputs.insert(transform.name.clone(), table);
        } else {
            engine.bind(&transform.name, &table).await?;
            stored.push(own_table(&transform.name, &written, state_dir)?);
        }
    }
    drop(early);
    for (name, rows) in &inputs {
        engine.bind(&format!("in_{name}"), rows).await?;
        stored.push(input_table(name, rows, engine.as_ref(), state_dir).await?);
    }
    let canonical: BTreeMap<&'static str, TableRef> = throughline_core::canonical::TABLES
        .iter()
        .filter_map(|t| Some((t.name, inputs.get(t.name)?.clone())))
        .collect();
    let outcome = throughline_attribution::run(throughline_attribution::Job {
        engine: engine.as_ref(),
        settings: &pipeline.attribution,
        may_repeat: &may_repeat,
        work: &folder.join("attribution"),
        now_us,
        canonical: &canonical,
        previous: &previous,
        before: before.as_ref().map_err(|because| *because),
        keep,
        progress: Some(progress),
    })
    .await?;
    // Where a transform puts its own table in the place of one of ours, nobody can go on from that.
    let replaced = pipeline
        .transforms
        .iter()
        .any(|t| t.stage == Stage::AfterAttribution && outcome.tables.iter().any(|o| o.name == t.name));
    for table in outcome.state.iter().filter(|_| !replaced) {
        stored.push(stored_table(table, state_dir, false)?);
    }
    for table in &outcome.tables {
        engine.bind(table.name, &table.written.table()).await?;
        stored.push(stored_table(table, state_dir, true)?);
    }
    for transform in pipeline.transforms.iter().filter(|t| t.stage == Stage::AfterAttribution) {
        let target = folder.join("transform").join(&transform.name);
        let written = engine
            .write(&transform.name, &transform.sql, &[], &target)
            .await
            .map_err(|e| transform.text.locate(e).with("transform", &transform.name))?;
        engine.bind(&transform.name, &written.table()).await?;
        stored.retain(|t| t.name != transform.name);
        stored.push(own_table(&transform.name, &written, state_dir)?);
    }
    let books = outcome
        .books
        .iter()
        .map(|b| BookReport {
            name: b.name.to_string(),
            ok: b.ok,
            expected: b.expected.to_string(),
            found: b.found.to_string(),
        })
        .collect();
    Ok(Computed { tables: stored, books, notices: outcome.notices, scope: outcome.scope, engine })
}

fn stored_table(
    table: &throughline_attribution::OutputTable,
    state_dir: &Path,
    published: bool,
) -> Result<StoredTable> {
    let about = Table {
        name: table.name.to_string(),
        schema: table.written.schema.clone(),
        key: table.key.iter().map(ToString::to_string).collect(),
        partition_by: table.partition_by.as_ref().map(ToString::to_string),
        doc: table.doc.to_string(),
    };
    StoredTable::new(&about, &table.written.files, table.written.rows, state_dir, published)
}

/// A transform that replaces a canonical table must give its columns.
async fn as_canonical(
    engine: &dyn SqlEngine,
    canonical: &throughline_core::canonical::CanonicalTable,
    sql: &str,
    target: &Path,
) -> Result<TableRef> {
    let given = engine.describe(sql, &[]).await?;
    let columns: Vec<String> = canonical
        .columns
        .iter()
        .map(|c| {
            let name = map::quoted(c.name);
            match given.field_with_name(c.name) {
                Ok(_) => format!("arrow_cast({name}, '{}') AS {name}", c.kind.arrow()),
                Err(_) => format!("arrow_cast(NULL, '{}') AS {name}", c.kind.arrow()),
            }
        })
        .collect();
    let select = format!("SELECT {} FROM ({sql}) t", columns.join(", "));
    Ok(engine.write(canonical.name, &select, &[], &target.join("canonical")).await?.table())
}

fn own_table(name: &str, written: &throughline_sql::Written, state_dir: &Path) -> Result<StoredTable> {
    let about = Table {
        name: name.to_owned(),
        schema: written.schema.clone(),
        key: Vec::new(),
        partition_by: None,
        doc: "A [[transform]] of the pipeline.".to_owned(),
    };
    StoredTable::new(&about, &written.files, written.rows, state_dir, true)
}

async fn input_table(
    name: &str,
    rows: &TableRef,
    engine: &dyn SqlEngine,
    state_dir: &Path,
) -> Result<StoredTable> {
    let (files, schema) = match rows {
        TableRef::Parquet { files, schema } => (files.clone(), schema.clone()),
        TableRef::Rows { schema, .. } => (Vec::new(), schema.clone()),
    };
    let about = Table {
        name: format!("in_{name}"),
        schema,
        key: Vec::new(),
        partition_by: None,
        doc: format!("Canonical table {name}, as mapped."),
    };
    let count = engine.scalar_i64(&format!("SELECT count(*) FROM in_{name}")).await?;
    StoredTable::new(&about, &files, count as u64, state_dir, false)
}

/// Binds one raw stream under its bare name, with contract types, current versions and windows.
async fn bind_stream(
    job: &Job<'_>,
    entry: &SourceEntry,
    spec: &StreamSpec,
    selected: bool,
    generations: &[(String, String, i64)],
    session: &dyn SqlEngine,
    letters: &mut MapLetters,
) -> Result<()> {
    let pipeline = &job.pipeline.name;
    let generation = generations.iter().find(|(s, t, _)| s == &entry.name && t == &spec.name);
    let (segments, windows) = match generation {
        Some((_, _, generation)) if selected => {
            let segments = job.store.segments(pipeline, &entry.name, &spec.name, *generation).await?;
            let windows = job.store.windows(pipeline, &entry.name, &spec.name, *generation).await?;
            (land::counting_segments(segments, &windows), windows)
        }
        _ => (Vec::new(), Vec::new()),
    };
    let mut schema: SchemaRef = land::with_own_columns(&Arc::new(Schema::empty()));
    let mut files = Vec::new();
    for segment in &segments {
        let landed = land::segment_schema(segment)?;
        schema = land::widen::widen(Some(&schema), &landed, "").0;
        files.push(job.state_dir.join(&segment.file));
    }
    let raw = format!("_raw_{}", spec.name);
    session.bind(&raw, &TableRef::Parquet { files, schema: schema.clone() }).await?;
    let days = match &spec.restates {
        None => None,
        Some(_) => {
            let name = format!("_windows_{}", spec.name);
            session.bind(&name, &days_of(&windows)?).await?;
            Some(map::quoted(&name))
        }
    };
    let raw = map::quoted(&raw);
    let view = map::stream_view(spec, &schema, &raw, days.as_deref());
    session.bind_view(&spec.name, &view.select, &[]).await?;
    for broken in &view.broken {
        letters.collect(session, broken, &entry.name, &spec.name).await?;
    }
    Ok(())
}

/// Which window says the truth about each day: of several that cover it, the one that ended last.
fn days_of(windows: &[throughline_store::WindowRow]) -> Result<TableRef> {
    let mut truth: BTreeMap<i32, &str> = BTreeMap::new();
    for window in windows.iter().filter(|w| w.slice.is_none()) {
        for day in window.from_on..window.to_on {
            truth.insert(day, &window.id);
        }
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("day", DataType::Date32, false),
        Field::new("window_id", DataType::Utf8, false),
    ]));
    let days = Date32Array::from_iter_values(truth.keys().copied());
    let ids = StringArray::from_iter_values(truth.values());
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(days), Arc::new(ids)])?;
    Ok(TableRef::Rows { schema, batches: vec![batch] })
}
