//! The loop behind `throughline schedule`: runs every pipeline of a folder when its time has come.
//!
//! One task decides, run tasks run. Time is the [`Clock`]'s: the loop looks at it again at least once a
//! minute, so a laptop that slept or a clock that was set ends in the right decision and not in a
//! wrong sleep. What a run does is behind [`Runner`]; what happens is told to [`Events`].

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use throughline_core::Clock;
use throughline_core::time::InstantUs;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::watch::{Change, Watch};
use super::{Missed, Overlap};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::pipeline::Pipeline;

pub use super::events::{Event, Events, Why};
pub use super::runner::{Outcome, Runner, last_begun_us};

/// Two signals: the first asks, the second does not.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Start nothing more, let what runs come to its next durable point.
    pub graceful: CancellationToken,
    /// Leave at once. What was landed or committed is safe; the rest is read again.
    pub now: CancellationToken,
}

#[derive(Clone, Debug)]
pub struct DaemonOptions {
    /// Files, and folders whose `*.toml` and `*/pipeline.toml` are meant.
    pub paths: Vec<PathBuf>,
    /// How often files are looked at.
    pub poll: Duration,
    /// Pipelines that run at the same time; others wait.
    pub parallel: usize,
}

impl DaemonOptions {
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, poll: Duration::from_secs(3), parallel: 4 }
    }
}

/// The longest sleep: after it the clock is looked at again.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// A time found later than this was missed: the loop itself is never so late.
const LATE_US: i64 = 2 * 60 * 1_000_000;

/// Runs until stopped.
pub async fn run_daemon(
    options: DaemonOptions,
    runner: Arc<dyn Runner>,
    clock: Arc<dyn Clock>,
    events: Arc<dyn Events>,
    stop: Stop,
) {
    let watch = Watch::new(options.paths.clone());
    let jobs = BTreeMap::new();
    let mut daemon = Daemon {
        options,
        runner,
        clock,
        events,
        stop,
        watch,
        jobs,
        waiting: VecDeque::new(),
        runs: JoinSet::new(),
    };
    daemon.run().await;
}

/// One pipeline file.
struct Job {
    pipeline: Arc<Pipeline>,
    next_us: Option<InstantUs>,
    /// Attempts of the current time that were started.
    attempts: u32,
    retry_us: Option<InstantUs>,
    /// Runs, or waits for a free place.
    busy: bool,
    running: bool,
    /// Runs again as soon as it is free.
    queued: bool,
    /// Failed with an error that an edit may have mended.
    failed_for_good: bool,
    /// The file is gone; forgotten once the run ends.
    removed: bool,
}

struct Daemon {
    options: DaemonOptions,
    runner: Arc<dyn Runner>,
    clock: Arc<dyn Clock>,
    events: Arc<dyn Events>,
    stop: Stop,
    watch: Watch,
    jobs: BTreeMap<PathBuf, Job>,
    /// Runs that wait for a free place.
    waiting: VecDeque<(PathBuf, Why)>,
    runs: JoinSet<(PathBuf, Outcome)>,
}

impl Daemon {
    async fn run(&mut self) {
        self.reload(true).await;
        let mut poll_us = self.clock.now_us() + micros(self.options.poll);
        loop {
            if self.stop.graceful.is_cancelled() || self.stop.now.is_cancelled() {
                break;
            }
            let now = self.clock.now_us();
            // A clock that was set back must not keep edits waiting.
            if now >= poll_us || poll_us > now + micros(self.options.poll) {
                self.reload(false).await;
                poll_us = self.clock.now_us() + micros(self.options.poll);
            }
            self.start_due();
            self.start_waiting();
            let sleep = self.sleep_until(poll_us);
            let clock = self.clock.clone();
            tokio::select! {
                biased;
                () = self.stop.now.cancelled() => break,
                () = self.stop.graceful.cancelled() => break,
                Some(ended) = self.runs.join_next(), if !self.runs.is_empty() => self.ended(ended),
                () = clock.sleep(sleep) => {}
            }
        }
        self.finish().await;
    }

    fn tell(&self, event: Event) {
        self.events.event(self.clock.now_us(), event);
    }

    fn sleep_until(&self, poll_us: InstantUs) -> Duration {
        let due = self.jobs.values().filter(|j| !j.removed).flat_map(|j| [j.next_us, j.retry_us]).flatten();
        let next = due.chain([poll_us]).min().unwrap_or(poll_us);
        let us = u64::try_from(next - self.clock.now_us()).unwrap_or(0);
        Duration::from_micros(us).min(LONGEST_SLEEP).max(Duration::from_millis(1))
    }

    /// Takes in new and edited files; a file that is broken leaves the version before it in place.
    async fn reload(&mut self, first: bool) {
        for change in self.watch.look(first) {
            match change {
                Change::Removed(path) => self.removed(&path),
                Change::Changed(path) => match self.load(&path) {
                    Ok(pipeline) => self.loaded(path, pipeline).await,
                    Err(diagnostics) => {
                        let kept = self.jobs.get(&path).is_some_and(|j| !j.removed);
                        self.tell(Event::Broken { path, diagnostics, kept });
                    }
                },
            }
        }
    }

    fn load(&self, path: &Path) -> std::result::Result<Pipeline, Diagnostics> {
        let pipeline = self.runner.load(path)?;
        // Two files of one name and state would take each other's tables.
        let other = self.jobs.iter().find(|(other, job)| {
            other.as_path() != path
                && job.pipeline.name == pipeline.name
                && job.pipeline.state_dir == pipeline.state_dir
        });
        if let Some((other, _)) = other {
            let message = format!("the pipeline \"{}\" is also in {}", pipeline.name, other.display());
            let diagnostic = Diagnostic::whole_file(path.display().to_string(), message)
                .hint("give one of them another name: [pipeline] name = \"..\"".to_owned());
            return Err(Diagnostics::new(vec![diagnostic]));
        }
        Ok(pipeline)
    }

    async fn loaded(&mut self, path: PathBuf, pipeline: Pipeline) {
        let pipeline = Arc::new(pipeline);
        self.watch.also(&path, pipeline.files.clone());
        let now = self.clock.now_us();
        let next_us = pipeline.schedule.as_ref().and_then(|s| s.cron.next_after(now));
        self.tell(Event::Loaded { path: path.clone(), name: pipeline.name.clone(), next_us });
        if let Some(job) = self.jobs.get_mut(&path) {
            job.pipeline = pipeline;
            job.removed = false;
            // The same time in a new file is the same time: it must not be lost if it is due now.
            job.next_us = match (job.next_us, next_us) {
                (Some(old), Some(new)) if old <= now => Some(old.min(new)),
                (_, new) => new,
            };
            job.retry_us = None;
            if std::mem::take(&mut job.failed_for_good) && job.next_us.is_some() {
                self.begin(&path, Why::Edited);
            }
            return;
        }
        let missed = match self.runner.last_begun_us(&pipeline).await {
            Ok(last) => {
                pipeline.schedule.as_ref().and_then(|s| s.cron.next_after(last?)).filter(|due| *due <= now)
            }
            Err(error) => {
                self.tell(Event::Unknown { name: pipeline.name.clone(), message: error.to_string() });
                None
            }
        };
        let job = Job {
            pipeline,
            next_us,
            attempts: 0,
            retry_us: None,
            busy: false,
            running: false,
            queued: false,
            failed_for_good: false,
            removed: false,
        };
        self.jobs.insert(path.clone(), job);
        if let Some(due) = missed {
            self.missed(&path, due);
        }
    }

    fn removed(&mut self, path: &Path) {
        self.waiting.retain(|(waiting, _)| waiting != path);
        let Some(job) = self.jobs.get_mut(path) else { return };
        let name = job.pipeline.name.clone();
        job.removed = true;
        job.queued = false;
        if !job.running {
            self.jobs.remove(path);
        }
        self.tell(Event::Removed { path: path.to_path_buf(), name });
    }

    fn missed(&mut self, path: &Path, due_us: InstantUs) {
        let Some(job) = self.jobs.get(path) else { return };
        let name = job.pipeline.name.clone();
        match job.pipeline.schedule.as_ref().map(|s| s.missed) {
            Some(Missed::Once) => self.due(path, due_us, Why::Missed),
            Some(Missed::Skip) => self.tell(Event::Skipped { name, due_us, why: Why::Missed }),
            None => {}
        }
    }

    /// Begins what has come due: times of the schedule first, then tries after a failure.
    fn start_due(&mut self) {
        let now = self.clock.now_us();
        let paths: Vec<PathBuf> = self.jobs.keys().cloned().collect();
        for path in paths {
            let Some(job) = self.jobs.get_mut(&path).filter(|j| !j.removed) else { continue };
            let Some(schedule) = &job.pipeline.schedule else { continue };
            if let Some(due) = job.next_us.filter(|due| *due <= now) {
                job.next_us = schedule.cron.next_after(now);
                if now - due > LATE_US {
                    self.missed(&path, due);
                } else {
                    self.due(&path, due, Why::Due);
                }
            } else if job.retry_us.is_some_and(|at| at <= now) && !job.busy {
                job.retry_us = None;
                self.begin(&path, Why::Retry);
            }
        }
    }

    /// A time of the schedule has come: starts it, or does what `overlap` says.
    fn due(&mut self, path: &Path, due_us: InstantUs, why: Why) {
        let Some(job) = self.jobs.get_mut(path) else { return };
        // The new time takes the place of what was left of the one before.
        job.retry_us = None;
        if !job.busy {
            job.attempts = 0;
            self.begin(path, why);
            return;
        }
        let name = job.pipeline.name.clone();
        match job.pipeline.schedule.as_ref().map(|s| s.overlap).unwrap_or_default() {
            // One that still waits for a place will read what is new all the same.
            _ if !job.running => self.tell(Event::Skipped { name, due_us, why: Why::Overlap }),
            Overlap::Skip => self.tell(Event::Skipped { name, due_us, why: Why::Overlap }),
            Overlap::Queue => {
                let already = std::mem::replace(&mut job.queued, true);
                if !already {
                    self.tell(Event::Queued { name });
                }
            }
        }
    }

    fn begin(&mut self, path: &Path, why: Why) {
        let Some(job) = self.jobs.get_mut(path).filter(|j| !j.busy) else { return };
        if why == Why::Edited {
            job.attempts = 0;
        }
        job.busy = true;
        self.waiting.push_back((path.to_path_buf(), why));
        self.start_waiting();
    }

    /// Starts runs while there are free places.
    fn start_waiting(&mut self) {
        while self.runs.len() < self.options.parallel.max(1) {
            let Some((path, why)) = self.waiting.pop_front() else { return };
            let Some(job) = self.jobs.get_mut(&path) else { continue };
            job.attempts += 1;
            job.running = true;
            let (pipeline, attempt) = (job.pipeline.clone(), job.attempts);
            self.tell(Event::Started { name: pipeline.name.clone(), attempt, why });
            let runner = self.runner.clone();
            let cancel = self.stop.graceful.child_token();
            self.runs.spawn(async move {
                // A task of its own, so that a panic in a run is that run's failure.
                let run = tokio::spawn(async move { runner.run(pipeline, cancel).await });
                let _abort = AbortOnDrop(run.abort_handle());
                let outcome = run
                    .await
                    .unwrap_or_else(|e| Outcome::Permanent { message: format!("the run broke: {e}") });
                (path, outcome)
            });
        }
    }

    fn ended(&mut self, ended: std::result::Result<(PathBuf, Outcome), tokio::task::JoinError>) {
        let Ok((path, outcome)) = ended else { return };
        let now = self.clock.now_us();
        let Some(job) = self.jobs.get_mut(&path) else { return };
        job.busy = false;
        job.running = false;
        job.failed_for_good = matches!(outcome, Outcome::Permanent { .. });
        if let (Outcome::Temporary { after, .. }, Some(schedule), false) =
            (&outcome, &job.pipeline.schedule, job.queued)
        {
            let wait = schedule.retry.wait_after(job.attempts, *after);
            // The next time of the schedule does as well, when it comes first.
            job.retry_us =
                wait.map(|w| now + micros(w)).filter(|at| job.next_us.is_none_or(|next| *at < next));
        }
        let event = Event::Finished {
            name: job.pipeline.name.clone(),
            outcome,
            retry_us: job.retry_us,
            next_us: job.next_us,
        };
        let (removed, queued) = (job.removed, std::mem::take(&mut job.queued));
        self.tell(event);
        if removed {
            self.jobs.remove(&path);
        } else if queued && !self.stop.graceful.is_cancelled() {
            if let Some(job) = self.jobs.get_mut(&path) {
                job.attempts = 0;
            }
            self.begin(&path, Why::Overlap);
        }
    }

    /// Waits for the runs under way, unless told not to.
    async fn finish(&mut self) {
        self.waiting.clear();
        if !self.runs.is_empty() {
            self.tell(Event::Stopping { running: self.runs.len() });
        }
        loop {
            tokio::select! {
                biased;
                () = self.stop.now.cancelled() => {
                    self.runs.shutdown().await;
                    break;
                }
                ended = self.runs.join_next() => match ended {
                    Some(ended) => self.ended(ended),
                    None => break,
                },
            }
        }
        self.tell(Event::Stopped);
    }
}

/// A task that must not outlive the one that waits for it.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}
