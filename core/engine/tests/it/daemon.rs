//! The scheduler on a clock that moves only when everybody waits for it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::DateTime;
use throughline_core::{Clock, Result};
use throughline_engine::diagnostic::Diagnostics;
use throughline_engine::pipeline::{LoadOptions, Pipeline, load};
use throughline_engine::schedule::daemon::{DaemonOptions, Event, Outcome, Runner, Stop, run_daemon};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::fakes::{env, registry};

/// Time stands still until [`World::until`] moves it to the next moment somebody sleeps for.
#[derive(Default)]
struct SimClock {
    now: AtomicI64,
    sleepers: Mutex<Vec<(i64, oneshot::Sender<()>)>>,
}

#[async_trait]
impl Clock for SimClock {
    fn now_us(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }
    async fn sleep(&self, duration: Duration) {
        let (wake, woken) = oneshot::channel();
        let until = self.now_us() + duration.as_micros() as i64;
        self.sleepers.lock().unwrap().push((until, wake));
        let _ = woken.await;
    }
}

/// What the runs of a test do: how long each takes and how it ends, in order; after them, well and at once.
#[derive(Default)]
struct Script {
    runs: Mutex<VecDeque<(u64, Outcome)>>,
    last_begun_us: Mutex<Option<i64>>,
}

struct FakeRunner {
    clock: Arc<SimClock>,
    script: Arc<Script>,
}

#[async_trait]
impl Runner for FakeRunner {
    fn load(&self, path: &Path) -> std::result::Result<Pipeline, Diagnostics> {
        load(path, &registry(), &LoadOptions { env: &env, state_dir: None })
    }
    async fn last_begun_us(&self, _: &Pipeline) -> Result<Option<i64>> {
        Ok(*self.script.last_begun_us.lock().unwrap())
    }
    async fn run(&self, _: Arc<Pipeline>, cancel: CancellationToken) -> Outcome {
        let (seconds, outcome) =
            self.script.runs.lock().unwrap().pop_front().unwrap_or((0, Outcome::Succeeded));
        if let Outcome::Permanent { message } = &outcome
            && message == "panic"
        {
            panic!("a run that breaks");
        }
        if seconds > 0 {
            tokio::select! {
                () = self.clock.sleep(Duration::from_secs(seconds)) => {}
                () = cancel.cancelled() => {
                    // The page at hand.
                    self.clock.sleep(Duration::from_secs(5)).await;
                    return Outcome::Cancelled;
                }
            }
        }
        outcome
    }
}

struct World {
    dir: tempfile::TempDir,
    clock: Arc<SimClock>,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<String>>>,
    stop: Stop,
    daemon: Option<tokio::task::JoinHandle<()>>,
}

fn us(text: &str) -> i64 {
    DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
}

fn temporary(after: Option<u64>) -> Outcome {
    Outcome::Temporary { message: "busy".into(), after: after.map(Duration::from_secs) }
}

fn permanent(message: &str) -> Outcome {
    Outcome::Permanent { message: message.into() }
}

const SOURCE: &str = "[[source]]\nconnector = \"file\"\npath = \"x\"\ninto = \"costs\"\n";

impl World {
    fn new(now: &str, schedule: &str) -> Self {
        let world = Self {
            dir: tempfile::tempdir().unwrap(),
            clock: Arc::default(),
            script: Arc::default(),
            log: Arc::default(),
            stop: Stop::default(),
            daemon: None,
        };
        world.clock.now.store(us(now), Ordering::SeqCst);
        world.write("shop", schedule);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.toml"))
    }

    fn write(&self, name: &str, schedule: &str) {
        std::fs::write(self.path(name), format!("[schedule]\n{schedule}\n{SOURCE}")).unwrap();
    }

    fn script(&self, runs: impl IntoIterator<Item = (u64, Outcome)>) {
        self.script.runs.lock().unwrap().extend(runs);
    }

    fn start(&mut self, parallel: usize) {
        let runner = Arc::new(FakeRunner { clock: self.clock.clone(), script: self.script.clone() });
        let log = self.log.clone();
        let events = move |at: i64, event: Event| {
            let at = DateTime::from_timestamp_micros(at).unwrap().format("%d %H:%M:%S");
            if let Some(line) = line(&event) {
                log.lock().unwrap().push(format!("{at} {line}"));
            }
        };
        let options = DaemonOptions {
            poll: Duration::from_secs(60),
            parallel,
            ..DaemonOptions::new(vec![self.dir.path().into()])
        };
        let clock: Arc<dyn Clock> = self.clock.clone();
        let run = run_daemon(options, runner, clock, Arc::new(events), self.stop.clone());
        self.daemon = Some(tokio::spawn(run));
    }

    /// Lets everybody who is not asleep come to rest.
    async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    /// Moves time to an instant, waking everybody on the way in order.
    async fn until(&self, instant: &str) -> Vec<String> {
        let target = us(instant);
        loop {
            self.settle().await;
            let next = {
                let mut sleepers = self.clock.sleepers.lock().unwrap();
                sleepers.retain(|(_, wake)| !wake.is_closed());
                sleepers.sort_by_key(|(until, _)| *until);
                if sleepers.first().is_some_and(|(until, _)| *until <= target) {
                    Some(sleepers.remove(0))
                } else {
                    None
                }
            };
            let Some((until, wake)) = next else { break };
            self.clock.now.fetch_max(until, Ordering::SeqCst);
            let _ = wake.send(());
        }
        self.clock.now.store(target, Ordering::SeqCst);
        std::mem::take(&mut self.log.lock().unwrap())
    }

    async fn ended(&mut self) {
        tokio::time::timeout(Duration::from_secs(5), self.daemon.take().unwrap()).await.unwrap().unwrap();
    }
}

fn line(event: &Event) -> Option<String> {
    Some(match event {
        Event::Loaded { .. } => return None,
        Event::Broken { diagnostics, kept, .. } => {
            let first = diagnostics.iter().next().unwrap();
            format!("broken, kept {kept}: {}:{} {}", first.line, first.column, first.message)
        }
        Event::Removed { name, .. } => format!("{name} removed"),
        Event::Started { name, attempt, why } => format!("{name} start {attempt} {why:?}"),
        Event::Finished { name, outcome, retry_us, .. } => {
            let word = format!("{outcome:?}");
            let word = word.split([' ', '{']).next().unwrap_or_default().to_owned();
            let retry = if retry_us.is_some() { ", again later" } else { "" };
            format!("{name} {word}{retry}")
        }
        Event::Skipped { name, why, .. } => format!("{name} skip {why:?}"),
        Event::Queued { name } => format!("{name} queued"),
        Event::Unknown { name, message } => format!("{name} unknown: {message}"),
        Event::Stopping { running } => format!("stopping {running}"),
        Event::Stopped => "stopped".into(),
    })
}

#[tokio::test]
async fn a_pipeline_runs_when_its_time_comes_in_its_zone() {
    let mut w = World::new("2026-03-27T12:00:00Z", "cron = \"30 2 * * *\"\ntime_zone = \"Europe/Berlin\"");
    w.start(4);
    assert_eq!(
        w.until("2026-03-30T12:00:00Z").await,
        [
            "28 01:30:00 shop start 1 Due",
            "28 01:30:00 shop Succeeded",
            "29 01:00:00 shop start 1 Due",
            "29 01:00:00 shop Succeeded",
            "30 00:30:00 shop start 1 Due",
            "30 00:30:00 shop Succeeded",
        ]
    );
}

#[tokio::test]
async fn a_run_that_takes_too_long_makes_the_next_ones_skip() {
    let mut w = World::new("2026-01-01T00:30:00Z", "cron = \"0 * * * *\"");
    w.script([(2 * 3600 + 60, Outcome::Succeeded)]);
    w.start(4);
    assert_eq!(
        w.until("2026-01-01T04:30:00Z").await,
        [
            "01 01:00:00 shop start 1 Due",
            "01 02:00:00 shop skip Overlap",
            "01 03:00:00 shop skip Overlap",
            "01 03:01:00 shop Succeeded",
            "01 04:00:00 shop start 1 Due",
            "01 04:00:00 shop Succeeded",
        ]
    );
}

#[tokio::test]
async fn or_wait_for_it_once_however_many_came_due() {
    let mut w = World::new("2026-01-01T00:30:00Z", "cron = \"0 * * * *\"\noverlap = \"queue\"");
    w.script([(2 * 3600 + 60, Outcome::Succeeded)]);
    w.start(4);
    assert_eq!(
        w.until("2026-01-01T03:30:00Z").await,
        [
            "01 01:00:00 shop start 1 Due",
            "01 02:00:00 shop queued",
            "01 03:01:00 shop Succeeded",
            "01 03:01:00 shop start 1 Overlap",
            "01 03:01:00 shop Succeeded",
        ]
    );
}

#[tokio::test]
async fn times_missed_before_the_start_run_once_or_not() {
    let at = "2026-01-05T12:00:00Z";
    for (policy, last, expected) in [
        (
            "once",
            Some("2026-01-01T06:00:00Z"),
            vec!["05 12:00:00 shop start 1 Missed", "05 12:00:00 shop Succeeded"],
        ),
        ("skip", Some("2026-01-01T06:00:00Z"), vec!["05 12:00:00 shop skip Missed"]),
        ("once", Some("2026-01-05T06:00:00Z"), vec![]),
        ("once", None, vec![]),
    ] {
        let mut w = World::new(at, &format!("cron = \"0 6 * * *\"\nmissed = \"{policy}\""));
        *w.script.last_begun_us.lock().unwrap() = last.map(us);
        w.start(4);
        assert_eq!(w.until("2026-01-05T13:00:00Z").await, expected, "{policy} {last:?}");
    }
}

#[tokio::test]
async fn a_machine_that_slept_over_a_time_has_missed_it() {
    for (policy, expected) in [
        ("once", vec!["01 09:00:00 shop start 1 Missed", "01 09:00:00 shop Succeeded"]),
        ("skip", vec!["01 09:00:00 shop skip Missed"]),
    ] {
        let mut w =
            World::new("2026-01-01T05:30:00Z", &format!("cron = \"0 6 * * *\"\nmissed = \"{policy}\""));
        w.start(4);
        assert!(w.until("2026-01-01T05:45:00Z").await.is_empty());
        // Nobody's sleep ended on the way.
        w.clock.now.store(us("2026-01-01T09:00:00Z"), Ordering::SeqCst);
        assert_eq!(w.until("2026-01-01T09:30:00Z").await, expected);
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_growing_patience() {
    let retry = "cron = \"0 6 * * *\"\nretry = { attempts = 4, wait = \"1m\", max_wait = \"1h\" }";
    let mut w = World::new("2026-01-01T05:00:00Z", retry);
    w.script([(0, temporary(None)), (0, temporary(None)), (0, temporary(Some(600))), (0, temporary(None))]);
    w.start(4);
    assert_eq!(
        w.until("2026-01-02T07:00:00Z").await,
        [
            "01 06:00:00 shop start 1 Due",
            "01 06:00:00 shop Temporary, again later",
            "01 06:01:00 shop start 2 Retry",
            "01 06:01:00 shop Temporary, again later",
            "01 06:03:00 shop start 3 Retry",
            "01 06:03:00 shop Temporary, again later",
            "01 06:13:00 shop start 4 Retry",
            "01 06:13:00 shop Temporary",
            "02 06:00:00 shop start 1 Due",
            "02 06:00:00 shop Succeeded",
        ]
    );
}

#[tokio::test]
async fn the_next_time_takes_the_place_of_a_retry() {
    let retry = "cron = \"*/5 * * * *\"\nretry = { attempts = 9, wait = \"4m\", max_wait = \"1h\" }";
    let mut w = World::new("2026-01-01T05:59:00Z", retry);
    w.script([(30, temporary(None)), (30, temporary(None))]);
    w.start(4);
    assert_eq!(
        w.until("2026-01-01T06:06:00Z").await,
        [
            "01 06:00:00 shop start 1 Due",
            "01 06:00:30 shop Temporary, again later",
            "01 06:04:30 shop start 2 Retry",
            "01 06:05:00 shop skip Overlap",
            "01 06:05:00 shop Temporary",
        ]
    );
}

#[tokio::test]
async fn what_will_not_pass_waits_for_its_time_or_an_edit() {
    let mut w = World::new("2026-01-01T05:00:00Z", "cron = \"0 6 * * *\"");
    w.script([(0, permanent("wrong key")), (0, permanent("panic"))]);
    w.start(4);
    assert_eq!(
        w.until("2026-01-01T08:00:00Z").await,
        ["01 06:00:00 shop start 1 Due", "01 06:00:00 shop Permanent"]
    );
    w.write("shop", "cron = \"0 6 * * *\" # mended");
    // Seen at one look, taken at the next; a run that breaks is a failure of that run.
    assert_eq!(
        w.until("2026-01-01T09:00:00Z").await,
        ["01 08:02:00 shop start 1 Edited", "01 08:02:00 shop Permanent"]
    );
    assert_eq!(
        w.until("2026-01-02T07:00:00Z").await,
        ["02 06:00:00 shop start 1 Due", "02 06:00:00 shop Succeeded"]
    );
}

#[tokio::test]
async fn edits_are_taken_in_and_broken_ones_leave_the_old() {
    let mut w = World::new("2026-01-01T05:00:00Z", "cron = \"0 6 * * *\"");
    w.start(4);
    w.until("2026-01-01T05:10:00Z").await;
    w.write("shop", "cron = \"0 26 * * *\"");
    assert_eq!(
        w.until("2026-01-01T06:30:00Z").await,
        [
            "01 05:12:00 broken, kept true: 2:11 [schedule]: cron = \"0 26 * * *\": the hour \"26\" is wrong",
            "01 06:00:00 shop start 1 Due",
            "01 06:00:00 shop Succeeded",
        ]
    );
    w.write("shop", "cron = \"0 7 * * *\"");
    w.write("other", "cron = \"30 7 * * *\"");
    assert_eq!(
        w.until("2026-01-01T08:00:00Z").await,
        [
            "01 07:00:00 shop start 1 Due",
            "01 07:00:00 shop Succeeded",
            "01 07:30:00 other start 1 Due",
            "01 07:30:00 other Succeeded",
        ]
    );
    std::fs::remove_file(w.path("shop")).unwrap();
    assert_eq!(w.until("2026-01-02T07:15:00Z").await, ["01 08:01:00 shop removed"]);
}

#[tokio::test]
async fn two_files_of_one_name_do_not_share_a_state() {
    let mut w = World::new("2026-01-01T05:00:00Z", "cron = \"0 6 * * *\"");
    let text = std::fs::read_to_string(w.path("shop")).unwrap();
    std::fs::write(w.path("zz"), format!("[pipeline]\nname = \"shop\"\n{text}")).unwrap();
    w.start(4);
    let log = w.until("2026-01-01T07:00:00Z").await;
    assert_eq!(log.len(), 3, "{log:#?}");
    assert!(
        log[0].contains("broken, kept false") && log[0].contains("the pipeline \"shop\" is also in"),
        "{log:#?}"
    );
}

#[tokio::test]
async fn no_more_run_at_once_than_allowed() {
    let mut w = World::new("2026-01-01T05:00:00Z", "cron = \"0 6 * * *\"");
    w.write("a", "cron = \"0 6 * * *\"");
    w.write("b", "cron = \"0 6 * * *\"");
    w.script([(60, Outcome::Succeeded), (120, Outcome::Succeeded), (60, Outcome::Succeeded)]);
    w.start(2);
    assert_eq!(
        w.until("2026-01-01T07:00:00Z").await,
        [
            "01 06:00:00 a start 1 Due",
            "01 06:00:00 b start 1 Due",
            "01 06:01:00 a Succeeded",
            "01 06:01:00 shop start 1 Due",
            "01 06:02:00 b Succeeded",
            "01 06:02:00 shop Succeeded",
        ]
    );
}

#[tokio::test]
async fn the_first_signal_waits_for_the_page_at_hand() {
    let mut w = World::new("2026-01-01T05:59:00Z", "cron = \"0 6 * * *\"");
    w.script([(3600, Outcome::Succeeded)]);
    w.start(4);
    w.until("2026-01-01T06:10:00Z").await;
    w.stop.graceful.cancel();
    assert_eq!(
        w.until("2026-01-01T06:11:00Z").await,
        ["01 06:10:00 stopping 1", "01 06:10:05 shop Cancelled", "01 06:10:05 stopped"]
    );
    w.ended().await;
}

#[tokio::test]
async fn the_second_signal_waits_for_nothing() {
    let mut w = World::new("2026-01-01T05:59:00Z", "cron = \"0 6 * * *\"");
    w.script([(3600, Outcome::Succeeded)]);
    w.start(4);
    w.until("2026-01-01T06:10:00Z").await;
    w.stop.graceful.cancel();
    w.settle().await;
    w.stop.now.cancel();
    w.settle().await;
    assert_eq!(
        std::mem::take(&mut *w.log.lock().unwrap()),
        ["01 06:10:00 stopping 1", "01 06:10:00 stopped"]
    );
    w.ended().await;
}
