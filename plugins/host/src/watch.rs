//! Keeps an eye on a plugin's process: memory, silence, stopping, and what it died of.

use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(50);
/// How long a process that was asked to end may take.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

pub(crate) struct Watch {
    child: Mutex<Child>,
    pid: u32,
    started: Instant,
    limits: Limits,
    /// Largest resident size seen, in KiB.
    peak_kib: AtomicU64,
    /// Milliseconds after `started`, plus one, since when the host waits for the process; 0 when it does not.
    waiting: AtomicU64,
    /// The same of the moment it was asked to end.
    ending: AtomicU64,
    /// Why it was killed by us.
    killed: Mutex<Option<String>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// 0: none.
    pub memory_bytes: u64,
    /// How long the plugin may keep the host waiting.
    pub silence: Duration,
}

impl Watch {
    pub fn over(child: Child, limits: Limits) -> Arc<Self> {
        let watch = Arc::new(Self {
            pid: child.id(),
            child: Mutex::new(child),
            started: Instant::now(),
            limits,
            peak_kib: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            ending: AtomicU64::new(0),
            killed: Mutex::new(None),
        });
        let watching = watch.clone();
        std::thread::spawn(move || watching.look());
        watch
    }

    /// The host begins or stops waiting for the process.
    pub fn waits(&self, waits: bool) {
        self.waiting.store(if waits { self.now() } else { 0 }, Ordering::SeqCst);
    }

    /// The process was asked to end; it is killed if it does not.
    pub fn ends(&self) {
        let _ = self.ending.compare_exchange(0, self.now(), Ordering::SeqCst, Ordering::SeqCst);
    }

    /// What the process died of, for people. Waits for its end, kills it when it lingers.
    pub fn cause_of_death(&self) -> String {
        self.ends();
        let status = loop {
            match lock(&self.child).try_wait() {
                Ok(Some(status)) => break Some(status),
                Ok(None) => {}
                Err(_) => break None,
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut text = match (lock(&self.killed).take(), status) {
            (Some(why), _) => why,
            (None, Some(status)) => format!("the plugin's process {}", ended(status)),
            (None, None) => "the plugin's process is gone".into(),
        };
        let peak = self.peak_kib.load(Ordering::SeqCst);
        if peak > 0 {
            text += &format!("; its memory was seen at up to {} MiB", peak.div_ceil(1024));
        }
        if self.limits.memory_bytes > 0 {
            text += &format!(" (memory_limit_mb = {})", self.limits.memory_bytes >> 20);
        }
        text
    }

    fn look(&self) {
        loop {
            if let Ok(Some(_)) | Err(_) = lock(&self.child).try_wait() {
                return;
            }
            let (resident, peak) = memory_kib(self.pid);
            self.peak_kib.fetch_max(peak.max(resident), Ordering::SeqCst);
            let for_ms = |since: u64| self.now().saturating_sub(since);
            let (waiting, ending) = (self.waiting.load(Ordering::SeqCst), self.ending.load(Ordering::SeqCst));
            if ending > 0 && for_ms(ending) >= GRACE.as_millis() as u64 {
                self.kill(format!(
                    "the plugin did not end within {} s after it was asked to, and was killed",
                    GRACE.as_secs()
                ));
            } else if waiting > 0 && for_ms(waiting) >= self.limits.silence.as_millis() as u64 {
                self.kill(format!(
                    "the plugin gave no sign of life for {} s (time_limit_s) and was killed",
                    self.limits.silence.as_secs()
                ));
            } else if self.limits.memory_bytes > 0 && resident > self.limits.memory_bytes >> 10 {
                self.kill(format!(
                    "the plugin's process took {} MiB of memory and was killed",
                    resident >> 10
                ));
            }
            std::thread::sleep(EVERY);
        }
    }

    fn kill(&self, why: String) {
        let mut killed = lock(&self.killed);
        if killed.is_none() {
            *killed = Some(why);
        }
        // It may have ended by itself just now.
        let _ = lock(&self.child).kill();
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
}

/// Resident and largest resident size of a process in KiB; zeros where the system does not tell.
fn memory_kib(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find_map(|l| l.strip_prefix(name));
        line.and_then(|l| l.trim().split(' ').next()).and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    (of("VmRSS:"), of("VmHWM:"))
}

fn ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        if let Some(signal) = status.signal() {
            let name = match signal {
                libc::SIGSEGV => " (SIGSEGV: it touched memory that is not its own)",
                libc::SIGABRT => " (SIGABRT: it gave up, out of memory or by an assertion)",
                libc::SIGKILL => " (SIGKILL: by somebody, or by the system for want of memory)",
                libc::SIGILL => " (SIGILL)",
                libc::SIGBUS => " (SIGBUS)",
                libc::SIGFPE => " (SIGFPE)",
                libc::SIGTERM => " (SIGTERM)",
                _ => "",
            };
            return format!("was ended by signal {signal}{name}");
        }
    }
    match status.code() {
        Some(code) => format!("ended with exit code {code} before its work was done"),
        None => "ended before its work was done".into(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
