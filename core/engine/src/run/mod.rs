//! One run of one pipeline, from sources to sinks: read this file first.
//!
//! ```text
//! recover -> land every stream -> map -> transform -> attribute -> transform -> publish
//! ```
//! Landing is durable per checkpoint; everything after it is computed from what landed, into a fresh
//! folder, and becomes visible only when the epoch commits. So a run can die anywhere.

mod case;
mod inputs;
mod plan;
mod read;
mod report;
mod stored;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use throughline_core::http::HttpClient;
use throughline_core::{Clock, Context, Error, ErrorKind, Notice, Result, TokenStore, Window};
use throughline_store::{NewRun, RunEnd, RunId, Store};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;

pub use case::{CaseReport, run_case};
pub use inputs::inputs_hash;
pub use report::{
    BookReport, Completeness, RunError, RunReport, RunStatus, SinkDifferences, SinkReport, StreamReport,
    TableReport, completeness,
};
pub use stored::{LastEpoch, last_epoch};
use tables::compute;
pub use tables::sql_engine;

use crate::alert;
use crate::failpoint;
use crate::forget::{self, Marks};
use crate::pipeline::Pipeline;
use crate::progress::Progress;
use crate::publish::{self, Destination, EpochState, Publication};
use crate::write_back;

/// What the process lends to a run.
#[derive(Clone)]
pub struct Services {
    pub clock: Arc<dyn Clock>,
    pub http: Arc<dyn HttpClient>,
    pub progress: Arc<dyn Progress>,
    pub cancel: CancellationToken,
    /// A place for each run that may compute at the same time: computing takes `[engine] memory`, reading waits
    /// for vendors most of the time and takes next to none.
    pub computing: Arc<Semaphore>,
}

#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Read everything again into a new generation; readers keep the old one until it is whole.
    pub full_refresh: bool,
    /// (source, stream): read these anew, as `full_refresh` does for all.
    pub refresh_streams: Vec<(String, String)>,
    /// Read only this window of the streams that can (`--from`, `--to`).
    pub window: Option<Window>,
    /// Publish to these sinks only.
    pub only_sinks: Vec<String>,
    /// Compute and publish although nothing is new.
    pub recompute: bool,
    /// Compute everything, and not only what new records can change.
    pub rebuild: bool,
    /// Ask no source: compute from what landed before.
    pub stored_only: bool,
    /// Read one page of each stream into a temporary place and compute; publish and keep nothing.
    pub dry_run: bool,
    /// A person agrees to what sinks write into records of others; the consent is kept.
    pub agree: bool,
    /// Publish nothing: tell what sinks that write back would change, for so many records of each.
    pub differences: Option<usize>,
    /// `manual`, `scheduled`: for the run table.
    pub kind: String,
}

/// How long a run's end waits for tokens that are being renewed.
const TOKENS_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Runs a pipeline once. An `Err` means that it could not begin (it is locked, the state is broken);
/// everything later is in the report, which the run table keeps as well.
pub async fn run(pipeline: &Pipeline, services: &Services, options: &RunOptions) -> Result<RunReport> {
    let begun = std::time::Instant::now();
    std::fs::create_dir_all(&pipeline.state_dir)
        .map_err(|e| Error::io("create", pipeline.state_dir.display(), e))?;
    let store = Store::open(pipeline.state_dir.join(throughline_store::STATE_FILE))?;
    let started_at_us = services.clock.now_us();
    let _lock = store.lock_pipeline(&pipeline.name, started_at_us)?;
    let crashed = store.mark_crashed(&pipeline.name, started_at_us).await?;
    let run = store
        .begin_run(NewRun {
            pipeline: pipeline.name.clone(),
            kind: if options.kind.is_empty() { "manual".into() } else { options.kind.clone() },
            started_at_us,
            detail: serde_json::json!({ "full_refresh": options.full_refresh, "window": options.window }),
        })
        .await?;
    failpoint::pass("run.begun");

    let mut report = RunReport {
        pipeline: pipeline.name.clone(),
        run: run.0,
        status: RunStatus::Succeeded,
        started_at_us,
        elapsed_ms: 0,
        rows: 0,
        streams: Vec::new(),
        canonical: Vec::new(),
        tables: Vec::new(),
        attributed: None,
        books: Vec::new(),
        sinks: Vec::new(),
        dead_letters: 0,
        notices: Vec::new(),
        epoch: None,
        published: false,
        recovered: false,
        errors: Vec::new(),
        forgotten: None,
        differences: Vec::new(),
    };
    // In this order: marks read later are those of these requests, and perhaps of newer ones.
    let open = store.forget_requests(&pipeline.name, true).await?;
    let forgets: Vec<i64> = open.iter().map(|r| r.id).collect();
    let marks = forget::marks_of(&store, &pipeline.name).await?;
    let trial = if options.dry_run { Some(Trial::begin(pipeline, started_at_us).await?) } else { None };
    let job = match &trial {
        None => Job {
            pipeline,
            services,
            options,
            shared: &store,
            store: &store,
            state_dir: &pipeline.state_dir,
            run,
            marks,
            forgets,
        },
        Some(trial) => Job {
            pipeline,
            services,
            options,
            shared: &store,
            store: &trial.store,
            state_dir: trial.folder.path(),
            run: trial.run,
            marks,
            forgets: Vec::new(),
        },
    };
    if let Err(error) = job.run(&mut report).await {
        report.status =
            if error.kind() == ErrorKind::Cancelled { RunStatus::Cancelled } else { RunStatus::Failed };
        report.errors.push(RunError::from(&error));
    }
    // A token that was asked for is paid for: its predecessor is void.
    if !store.tokens_settled(TOKENS_WITHIN).await {
        report.notices.push(Notice {
            code: "token_lost".into(),
            message: format!(
                "an access token was still being renewed after {} s; when its refresh token is refused in the next \
                 run, authorise again",
                TOKENS_WITHIN.as_secs()
            ),
        });
    }
    report.elapsed_ms = begun.elapsed().as_millis() as u64;
    job.clean()?;
    if !options.dry_run {
        alert::tell(pipeline, services, &store, &crashed, &mut report).await;
    }
    store
        .finish_run(
            run,
            RunEnd {
                status: stored_status(report.status),
                finished_at_us: services.clock.now_us(),
                report: serde_json::to_value(&report).map_err(|e| Error::bug(e.to_string()))?,
            },
        )
        .await?;
    Ok(report)
}

fn stored_status(status: RunStatus) -> throughline_store::RunStatus {
    match status {
        RunStatus::Succeeded => throughline_store::RunStatus::Succeeded,
        RunStatus::Incomplete => throughline_store::RunStatus::Incomplete,
        RunStatus::Failed => throughline_store::RunStatus::Failed,
        RunStatus::Cancelled => throughline_store::RunStatus::Cancelled,
    }
}

pub(crate) struct Job<'a> {
    pub pipeline: &'a Pipeline,
    pub services: &'a Services,
    pub options: &'a RunOptions,
    /// Tokens and notes: a trial must not make a second token out of a refresh token.
    pub shared: &'a Store,
    /// Landed rows and the ledger.
    pub store: &'a Store,
    pub state_dir: &'a Path,
    pub run: RunId,
    /// Of people who were forgotten: their rows are dropped before they land.
    pub marks: Option<Arc<Marks>>,
    /// Requests to forget that this run finishes.
    pub forgets: Vec<i64>,
}

/// A state folder of its own for `--dry-run`, gone when it ends.
struct Trial {
    folder: tempfile::TempDir,
    store: Store,
    run: RunId,
}

impl Trial {
    async fn begin(pipeline: &Pipeline, started_at_us: i64) -> Result<Self> {
        let folder = tempfile::tempdir().map_err(|e| Error::io("create", "a temporary folder", e))?;
        let store = Store::open(folder.path().join(throughline_store::STATE_FILE))?;
        let run = store
            .begin_run(NewRun {
                pipeline: pipeline.name.clone(),
                kind: "dry".into(),
                started_at_us,
                detail: serde_json::Value::Null,
            })
            .await?;
        Ok(Self { folder, store, run })
    }
}

impl Job<'_> {
    async fn run(&self, report: &mut RunReport) -> Result<()> {
        let destinations = self.destinations()?;
        // Finishing what was prepared writes: who only looks must not.
        if self.options.differences.is_some()
            && !self.store.open_epochs(&self.pipeline.name).await?.is_empty()
        {
            return Err(Error::config("a run that died had begun to publish; nothing was compared")
                .hint("`throughline run` finishes it"));
        }
        report.recovered = publish::recover(
            self.store,
            &self.pipeline.name,
            &destinations,
            self.services.clock.as_ref(),
            &mut report.notices,
        )
        .await?;
        if report.recovered {
            report.dead_letters += self.refused(&destinations, &mut report.notices).await?;
        }

        let forgets = !self.forgets.is_empty();
        if let Some(marks) = self.marks.as_ref().filter(|_| forgets) {
            self.services.progress.stage("forget", "");
            let context = |name: &str| self.context(name);
            let done = forget::apply(self.pipeline, self.store, &self.forgets, marks, &context).await?;
            report.forgotten = Some(done);
        }
        if !self.options.stored_only {
            self.read_all(report).await?;
        }

        let generations = self.generations().await?;
        let last = self.store.last_committed_epoch(&self.pipeline.name).await?;
        let hash = inputs_hash(self.store, self.pipeline, &generations).await?;
        report.epoch = last.as_ref().map(|e| e.epoch_no);
        let everywhere = self.options.only_sinks.is_empty();
        if let Some(last) = &last
            && last.inputs_hash == hash
            && self.options.differences.is_none()
            && everywhere
            && !self.options.recompute
            && !self.options.rebuild
            && !forgets
            && publish::is_visible(last, &destinations, &mut report.notices).await
        {
            // Streams that are read whole came as they were: what was just read of them can go.
            for (source, stream, _) in &generations {
                self.store.drop_pending(&self.pipeline.name, source, stream).await?;
            }
            self.describe_last(report, last)?;
            return self.remove_garbage().await;
        }

        // Before the long work, and behind reading: what landed stays to be looked at.
        if !self.options.dry_run && self.options.differences.is_none() {
            write_back::consent(&destinations, self.options.agree, self.services.clock.as_ref()).await?;
        }

        let _place = self.place().await?;
        // An abandoned epoch keeps its number.
        let newest = self.store.last_epoch(&self.pipeline.name).await?;
        let epoch_no = newest.map_or(1, |e| e.epoch_no + 1);
        let folder = format!("{}/tables/{epoch_no:06}-{}", self.pipeline.name, self.run.0);
        // What a run that died had computed.
        let kept = last.as_ref().map(publish::epoch_state).transpose()?.map(|state| state.folder);
        publish::sweep_tables(self.state_dir, &self.pipeline.name, kept.as_deref())?;
        let computed = compute(self, &self.state_dir.join(&folder), &generations, report).await?;
        report.books = computed.books.clone();
        if let Some(wrong) = report.books.iter().find(|b| !b.ok) {
            return Err(Error::data(format!(
                "the books do not balance: {}: expected {}, found {}",
                wrong.name, wrong.expected, wrong.found
            ))
            .hint("nothing was published; readers still see the epoch before"));
        }
        if self.options.dry_run {
            report.notices.push(Notice {
                code: "dry_run".into(),
                message: "a dry run: one page of each stream was read, nothing was kept or published".into(),
            });
            return Ok(());
        }
        if let Some(limit) = self.options.differences {
            self.services.progress.stage("compare", "");
            report.differences =
                write_back::differences(computed.engine.as_ref(), &destinations, limit).await?;
            drop(computed);
            return publish::sweep_tables(self.state_dir, &self.pipeline.name, kept.as_deref());
        }
        let state = EpochState { tables: computed.tables, generations, folder };
        self.services.progress.stage("publish", &format!("epoch {epoch_no}"));
        report.sinks = publish::publish(&Publication {
            store: self.store,
            pipeline: &self.pipeline.name,
            epoch_no,
            run: self.run,
            inputs_hash: &hash,
            state: &state,
            destinations: &destinations,
            engine: computed.engine.as_ref(),
            clock: self.services.clock.as_ref(),
        })
        .await?;
        report.epoch = Some(epoch_no);
        report.published = true;
        report.dead_letters += self.refused(&destinations, &mut report.notices).await?;
        publish::sweep_tables(self.state_dir, &self.pipeline.name, Some(&state.folder))?;
        self.remove_garbage().await?;
        if everywhere {
            self.finish_forgetting(report, &destinations).await?;
        }
        failpoint::pass("publish.cleaned");
        Ok(())
    }

    /// Waits until one more run may compute.
    async fn place(&self) -> Result<SemaphorePermit<'_>> {
        tokio::select! {
            biased;
            () = self.services.cancel.cancelled() => Err(Error::cancelled()),
            place = self.services.computing.acquire() => {
                place.map_err(|_| Error::bug("nobody may compute any more"))
            }
        }
    }

    /// What sinks could not write of the last epoch.
    async fn refused(&self, destinations: &[Destination], notices: &mut Vec<Notice>) -> Result<u64> {
        let (pipeline, now_us) = (&self.pipeline.name, self.services.clock.now_us());
        write_back::letters(self.store, pipeline, self.run, destinations, now_us, notices).await
    }

    /// The published tables are without those who are to be forgotten: what is older goes.
    async fn finish_forgetting(&self, report: &mut RunReport, destinations: &[Destination]) -> Result<()> {
        let (Some(marks), Some(forgotten)) = (&self.marks, report.forgotten.take()) else { return Ok(()) };
        let Some(epoch) = self.store.last_committed_epoch(&self.pipeline.name).await? else { return Ok(()) };
        let now_us = self.services.clock.now_us();
        let published = forget::Published { requests: &self.forgets, epoch: &epoch, destinations, now_us };
        let done =
            forget::finish(self.pipeline, self.store, marks, published, forgotten, &mut report.notices)
                .await?;
        report.forgotten = Some(done);
        Ok(())
    }

    /// Nothing was new: the report still says what readers see.
    fn describe_last(&self, report: &mut RunReport, last: &throughline_store::EpochRow) -> Result<()> {
        let state = publish::epoch_state(last)?;
        report.tables = state
            .tables
            .iter()
            .filter(|t| t.published)
            .map(|t| TableReport { table: t.name.clone(), rows: t.rows })
            .collect();
        report.notices.push(Notice {
            code: "nothing_new".into(),
            message: format!("nothing is new; the tables are those of epoch {}", last.epoch_no),
        });
        Ok(())
    }

    fn destinations(&self) -> Result<Vec<Destination>> {
        for name in &self.options.only_sinks {
            if !self.pipeline.sinks.iter().any(|s| &s.name == name) {
                let names: Vec<&str> = self.pipeline.sinks.iter().map(|s| s.name.as_str()).collect();
                return Err(Error::config(format!("the pipeline has no sink {name:?}"))
                    .hint(format!("its sinks are {}", names.join(", "))));
            }
        }
        self.pipeline
            .sinks
            .iter()
            .filter(|_| !self.options.dry_run)
            .filter(|s| self.options.only_sinks.is_empty() || self.options.only_sinks.contains(&s.name))
            .map(|s| {
                Ok(Destination {
                    name: s.name.clone(),
                    connector: s.connector.clone(),
                    sink: s.sink.clone(),
                    context: self.context(&s.name)?,
                    tables: s.tables.clone(),
                    hashing: s.hashing.clone(),
                })
            })
            .collect()
    }

    pub(crate) fn context(&self, name: &str) -> Result<Context> {
        context(self.pipeline, self.services, self.shared, name, self.scratch())
    }

    fn scratch(&self) -> PathBuf {
        self.state_dir.join(&self.pipeline.name).join("scratch").join(self.run.0.to_string())
    }

    /// Removes raw files of generations that were replaced.
    async fn remove_garbage(&self) -> Result<()> {
        let files = self.store.garbage(&self.pipeline.name).await?;
        for file in &files {
            let path = self.state_dir.join(file);
            match std::fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", path.display(), e));
                }
                _ => {}
            }
        }
        self.store.garbage_deleted(files).await
    }

    /// Removes what only this run needed, and what earlier runs that died left of the kind.
    fn clean(&self) -> Result<()> {
        let scratch = self.state_dir.join(&self.pipeline.name).join("scratch");
        match std::fs::remove_dir_all(&scratch) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("empty", scratch.display(), e))
            }
            _ => Ok(()),
        }
    }
}

/// What a connector of `pipeline` named `name` may touch.
pub fn context(
    pipeline: &Pipeline,
    services: &Services,
    store: &Store,
    name: &str,
    scratch: PathBuf,
) -> Result<Context> {
    let tokens: Arc<dyn TokenStore> = store.tokens(store.token_key()?);
    Ok(Context {
        name: name.into(),
        clock: services.clock.clone(),
        http: services.http.clone(),
        tokens,
        notes: store.notes(&pipeline.name, name),
        cancel: services.cancel.clone(),
        scratch,
    })
}
