//! A session at work on a thread of its own, and the async side that waits for what it brings.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use throughline_core::Context;
use throughline_plugin_abi as abi;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::bridge::{HostServices, SetupServices};
use crate::failure::Failure;
use crate::load::load;
use crate::native::NativeSession;
use crate::options::{Isolation, Setup};
use crate::process::{ProcessSession, Runner};
use crate::services::{HttpCall, Services};
use crate::session::{Answer, Ask, Session, Stopper};
use crate::watch::{GRACE, Limits};

/// How often a waiting host looks whether the plugin still lives.
const EVERY: Duration = Duration::from_millis(250);

/// Where and how a plugin is started.
#[derive(Clone)]
pub(crate) struct Start {
    pub plugin: String,
    pub library: PathBuf,
    pub isolation: Isolation,
    pub limits: Limits,
    pub runner: Runner,
}

impl Start {
    /// Of a library that is not installed: what it is may be asked, in a process of its own.
    pub fn of_file(file: &Path, runner: &Runner) -> Self {
        let limits =
            Limits { memory_bytes: crate::options::MEMORY_LIMIT_MB << 20, silence: Duration::from_secs(30) };
        Self {
            plugin: file.display().to_string(),
            library: file.to_path_buf(),
            isolation: Isolation::Process,
            limits,
            runner: runner.clone(),
        }
    }

    fn session(&self, services: Arc<dyn Services>) -> Answer<Box<dyn Session>> {
        Ok(match self.isolation {
            Isolation::Thread => Box::new(NativeSession::new(load(&self.library)?, services, true)),
            Isolation::Process => {
                Box::new(ProcessSession::start(&self.runner, &self.library, self.limits, services)?)
            }
        })
    }
}

/// Asks a plugin before there is an engine; blocks. `setup` is for plugins that will be opened.
pub(crate) fn ask_now<T: Send + 'static>(
    start: &Start,
    setup: Option<&Setup>,
    ask: impl FnOnce(&mut dyn Session) -> Answer<T> + Send + 'static,
) -> Answer<T> {
    let services: Arc<dyn Services> = Arc::new(SetupServices {
        plugin: start.plugin.clone(),
        secrets: setup.map(|s| s.secrets.clone()).unwrap_or_default(),
        redactor: setup.map(|s| s.redactor.clone()).unwrap_or_default(),
    });
    let (tell, told) = std::sync::mpsc::channel();
    let starting = start.clone();
    std::thread::spawn(move || {
        // Nobody may be waiting any more.
        let _ = tell.send(starting.session(services).and_then(|mut session| ask(session.as_mut())));
    });
    // A process is ended by its watch a moment before, which tells more.
    let answer = told.recv_timeout(start.limits.silence + GRACE + Duration::from_secs(1));
    answer.unwrap_or_else(|_| {
        Err(Failure::new(abi::TL_PANIC, "the plugin does not answer; its thread is left alone"))
    })
}

/// Opens an instance; what every session begins with.
pub(crate) fn open(session: &mut dyn Session, config: &Value) -> Answer<()> {
    session.ask(Ask::Open { config: config.clone() }).map(|_| ())
}

/// Gives what a session brings to whoever waits; false when nobody does any more.
pub(crate) struct Feed<T> {
    items: mpsc::Sender<Answer<T>>,
    pulse: Arc<Pulse>,
}

impl<T> Feed<T> {
    pub fn give(&self, item: T) -> bool {
        self.pulse.busy(|| self.items.blocking_send(Ok(item)).is_ok())
    }

    /// Waits for something of the host's own; the plugin is not to blame for the time.
    pub fn host<R>(&self, wait: impl FnOnce() -> R) -> R {
        self.pulse.busy(wait)
    }
}

pub(crate) struct Running<T> {
    items: mpsc::Receiver<Answer<T>>,
    cancel: CancellationToken,
    stopper: Arc<OnceLock<Stopper>>,
    pulse: Arc<Pulse>,
    silence: Duration,
    isolation: Isolation,
    /// When the work was asked to stop.
    stopping: Option<Instant>,
}

impl<T: Send + 'static> Running<T> {
    /// Opens a session on a new thread and does `work` there.
    pub fn start(
        start: &Start,
        setup: &Setup,
        ctx: &Context,
        work: impl FnOnce(&mut dyn Session, &Feed<T>) -> Answer<()> + Send + 'static,
    ) -> Self {
        let cancel = ctx.cancel.child_token();
        let pulse = Arc::new(Pulse::new());
        let services = Arc::new(HostServices {
            plugin: start.plugin.clone(),
            ctx: Context { cancel: cancel.clone(), ..ctx.clone() },
            runtime: Handle::current(),
            secrets: setup.secrets.clone(),
            redactor: setup.redactor.clone(),
        });
        let services: Arc<dyn Services> = Arc::new(Pulsed { inner: services, pulse: pulse.clone() });
        // Few: a batch is large, and the plugin shall not run ahead of a slow disk.
        let (items_in, items) = mpsc::channel(4);
        let stopper: Arc<OnceLock<Stopper>> = Arc::default();
        let running = Self {
            items,
            cancel: cancel.clone(),
            stopper: stopper.clone(),
            pulse: pulse.clone(),
            silence: start.limits.silence,
            isolation: start.isolation,
            stopping: None,
        };
        let (start, config) = (start.clone(), setup.config.clone());
        std::thread::spawn(move || {
            let feed = Feed { items: items_in, pulse };
            let ended = start.session(services).and_then(|mut session| {
                let _ = stopper.set(session.stopper());
                if cancel.is_cancelled() {
                    return Err(Failure::cancelled());
                }
                open(session.as_mut(), &config)?;
                work(session.as_mut(), &feed)
            });
            if let Err(failure) = ended {
                // Nobody may be waiting any more.
                let _ = feed.items.blocking_send(Err(failure));
            }
        });
        running
    }

    /// The next thing the session brings; `None` at its end.
    pub async fn next(&mut self) -> Option<Answer<T>> {
        loop {
            tokio::select! {
                biased;
                item = self.items.recv() => return item,
                () = self.cancel.cancelled(), if self.stopping.is_none() => self.stop(),
                () = tokio::time::sleep(EVERY) => {
                    if let Some(failure) = self.given_up() {
                        return Some(Err(failure));
                    }
                }
            }
        }
    }

    fn stop(&mut self) {
        self.stopping.get_or_insert_with(Instant::now);
        if let Some(stop) = self.stopper.get().cloned() {
            // Not here: a plugin's `cancel` may hang as the rest of it.
            std::thread::spawn(move || stop());
        }
    }

    /// Of a process the watch sees to it; a thread of ours that does not come back can only be left alone.
    fn given_up(&mut self) -> Option<Failure> {
        if self.isolation == Isolation::Process {
            return None;
        }
        if self.stopping.is_some_and(|since| since.elapsed() > GRACE) {
            tracing::warn!("a plugin does not stop; its thread is left alone");
            return Some(Failure::cancelled());
        }
        if self.stopping.is_none() && self.pulse.silent_for() > self.silence {
            self.cancel.cancel();
            self.stop();
            let message = format!(
                "the plugin gave no sign of life for {} s (time_limit_s); its thread is left alone",
                self.silence.as_secs()
            );
            let hint = "isolation = \"process\" can end such a plugin".to_owned();
            return Some(Failure { temporary: true, hint, ..Failure::new(abi::TL_PANIC, message) });
        }
        None
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let (None, Some(stop)) = (self.stopping, self.stopper.get().cloned())
            && !self.items.is_closed()
        {
            std::thread::spawn(move || stop());
        }
    }
}

/// When a session was last seen alive.
struct Pulse {
    started: Instant,
    /// Milliseconds after `started`.
    last: AtomicU64,
    /// How many of its calls are the host's to answer just now.
    with_host: AtomicUsize,
}

impl Pulse {
    fn new() -> Self {
        Self { started: Instant::now(), last: AtomicU64::new(0), with_host: AtomicUsize::new(0) }
    }

    fn beat(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::SeqCst);
    }

    fn busy<R>(&self, run: impl FnOnce() -> R) -> R {
        self.with_host.fetch_add(1, Ordering::SeqCst);
        let result = run();
        self.beat();
        self.with_host.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn silent_for(&self) -> Duration {
        if self.with_host.load(Ordering::SeqCst) > 0 {
            return Duration::ZERO;
        }
        self.started.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::SeqCst)))
    }
}

/// Services that notice the plugin's heart.
struct Pulsed {
    inner: Arc<dyn Services>,
    pulse: Arc<Pulse>,
}

impl Services for Pulsed {
    fn log(&self, level: i32, message: &str, fields: &str) {
        self.inner.log(level, message, fields);
    }
    fn metric(&self, name: &str, kind: i32, value: f64, labels: &str) {
        self.inner.metric(name, kind, value, labels);
    }
    fn cancelled(&self) -> bool {
        self.inner.cancelled()
    }
    fn sleep(&self, ms: u64) -> Answer<()> {
        self.pulse.busy(|| self.inner.sleep(ms))
    }
    fn now_ms(&self) -> i64 {
        self.inner.now_ms()
    }
    fn secret(&self, name: &str) -> Answer<String> {
        self.inner.secret(name)
    }
    fn http(&self, call: HttpCall, body: &[u8]) -> Answer<(Value, Vec<u8>)> {
        self.pulse.busy(|| self.inner.http(call, body))
    }
}
