//! The one thread that writes: what waits together shares a transaction, hence an fsync.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use throughline_core::{Error, ErrorKind, Result};
use tokio::sync::oneshot;

use super::fold::{self, Gate};
use super::retention::Upkeep;
use super::{Appended, InboxOptions, InboxReader, NewDelivery, Refused, db};
use crate::lock::{self, LockFile};

/// Appends in one transaction at most, and their bytes: bounds what one failing commit takes with it.
const GROUP: usize = 1024;
const GROUP_BYTES: usize = 16 << 20;

/// While there is something to drop, a slice of it is dropped so often.
const SLICE_EVERY: Duration = Duration::from_millis(50);

/// While the file cannot be flushed, that is tried again so often.
const MEND_EVERY: Duration = Duration::from_secs(1);

struct Job {
    deliveries: Vec<NewDelivery>,
    /// A reader has stored what comes up to here: source, reader, `seq`.
    read: Option<(Arc<str>, Arc<str>, i64)>,
    bytes: usize,
    reply: oneshot::Sender<Result<Vec<Appended>>>,
}

/// The writing end, of which a file has one. Cheap to clone; the file is closed with the last one.
#[derive(Clone)]
pub struct Inbox(Arc<Inner>);

struct Inner {
    path: PathBuf,
    shared: Arc<Shared>,
    queue_bytes: usize,
    /// `None` once closed.
    jobs: RwLock<Option<SyncSender<Job>>>,
    thread: RwLock<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    failing: AtomicBool,
    unfolded: AtomicBool,
    gate: Gate,
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl Inbox {
    /// Opens `path` for receiving; makes it when it is not there.
    ///
    /// # Errors
    /// A temporary `Io` error when another process receives into it; `Data` when it is damaged; `Config` when
    /// it is something else.
    pub fn open(path: impl AsRef<Path>, options: InboxOptions) -> Result<Self> {
        let path = std::path::absolute(path.as_ref())
            .map_err(|e| Error::io("find the inbox", path.as_ref().display(), e))?;
        let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
            return Err(Error::config(format!("{} is no file name for the inbox", path.display())));
        };
        crate::files::create_private_dir(dir)?;
        let now_us = options.clock.now_us();
        let receiving = lock::lock_path(dir, "inbox", name)?;
        let held = LockFile::try_take(&receiving, Some(now_us))?.map_err(|holder| {
            Error::new(ErrorKind::Io, format!("{} is being received into already: {holder}", path.display()))
                .hint("stop that process, or give this one another state folder")
                .temporary(Some(Duration::from_secs(30)))
        })?;
        let conn = db::open_writer(&path, options.retention.max_bytes, now_us)?;
        crate::files::sync_dir(dir)?;
        let (jobs, queue) = sync_channel(options.queue.max(1));
        let shared = Arc::new(Shared::default());
        let queue_bytes = options.queue_bytes;
        let mut work = Work {
            upkeep: Upkeep::new(options.retention.clone(), options.clock.clone()),
            every: options.upkeep_every,
            max_bytes: options.retention.max_bytes,
            conn: Some(conn),
            mend_at: None,
            path: path.clone(),
            shared: shared.clone(),
            sources: HashMap::new(),
            _held: held,
        };
        let thread = std::thread::Builder::new()
            .name("inbox-writer".into())
            .spawn(move || work.run(&queue))
            .map_err(|e| Error::io("start", "the thread that writes the inbox", e))?;
        Ok(Self(Arc::new(Inner {
            path,
            shared,
            queue_bytes,
            jobs: RwLock::new(Some(jobs)),
            thread: RwLock::new(Some(thread)),
        })))
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// All of them or none; durable when this returns. A future dropped after its first poll does not undo it.
    ///
    /// # Errors
    /// [`Refused`]: none was acknowledged.
    pub async fn append(&self, deliveries: Vec<NewDelivery>) -> Result<Vec<Appended>, Refused> {
        let bytes = deliveries.iter().map(|d| d.body.len() + d.headers.len() + 256).sum();
        self.send(deliveries, None, bytes).await
    }

    /// As [`super::InboxReader::advance`], in a transaction with what is being received.
    ///
    /// # Errors
    /// [`Refused`]: the reader stands where it stood.
    pub async fn advance(&self, source: Arc<str>, reader: Arc<str>, seq: i64) -> Result<(), Refused> {
        self.send(Vec::new(), Some((source, reader, seq)), 0).await.map(|_| ())
    }

    async fn send(
        &self,
        deliveries: Vec<NewDelivery>,
        read: Option<(Arc<str>, Arc<str>, i64)>,
        bytes: usize,
    ) -> Result<Vec<Appended>, Refused> {
        let shared = &self.0.shared;
        let before = shared.waiting_bytes.fetch_add(bytes, Ordering::AcqRel);
        // One that is larger than the queue passes when it is alone.
        if before > 0 && before.saturating_add(bytes) > self.0.queue_bytes {
            shared.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(Refused::Busy);
        }
        let (reply, answer) = oneshot::channel();
        let job = Job { deliveries, read, bytes, reply };
        shared.waiting.fetch_add(1, Ordering::AcqRel);
        let sent = match &*self.0.jobs.read().unwrap_or_else(PoisonError::into_inner) {
            Some(jobs) => jobs.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        let stopped = || Refused::Failed(Error::bug("the thread that writes the inbox has stopped"));
        match sent {
            Ok(()) => answer.await.map_err(|_| stopped())?.map_err(Refused::Failed),
            Err(refused) => {
                shared.waiting.fetch_sub(1, Ordering::AcqRel);
                shared.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
                Err(if matches!(refused, TrySendError::Full(_)) { Refused::Busy } else { stopped() })
            }
        }
    }

    /// Appends that wait for their commit, those in it included.
    pub fn waiting(&self) -> usize {
        self.0.shared.waiting.load(Ordering::Acquire)
    }

    /// Whether the last commit failed.
    pub fn is_failing(&self) -> bool {
        self.0.shared.failing.load(Ordering::Acquire)
    }

    /// Whether the file could not be written or flushed, so that its log keeps growing. What is acknowledged is
    /// durable all the same.
    pub fn is_unfolded(&self) -> bool {
        self.0.shared.unfolded.load(Ordering::Acquire)
    }

    /// A reading end in this process. Not for long: what the writer has to close it can only close when nobody reads.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn reader(&self) -> Result<InboxReader> {
        InboxReader::open_as(&self.0.path, Some(self.0.shared.gate.enter()))
    }
}

impl Drop for Inner {
    /// Waits for what was asked for, and until the file is closed: closing folds the log into it.
    fn drop(&mut self) {
        self.jobs.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

struct Work {
    /// `None` while it could not be opened again.
    conn: Option<Connection>,
    /// Folding failed: when to open anew and fold everything.
    mend_at: Option<Instant>,
    path: PathBuf,
    max_bytes: Option<u64>,
    shared: Arc<Shared>,
    sources: HashMap<Arc<str>, i64>,
    upkeep: Upkeep,
    every: Duration,
    // Let go of last, when the file is closed.
    _held: LockFile,
}

impl Work {
    fn run(&mut self, queue: &Receiver<Job>) {
        self.conn.iter().for_each(fold::watch);
        let mut look_at = Instant::now();
        let mut quiet = false;
        loop {
            let wake_at = self.mend_at.map_or(look_at, |at| at.min(look_at));
            match queue.recv_timeout(wake_at.saturating_duration_since(Instant::now())) {
                Ok(first) => {
                    self.take(first, queue);
                    quiet = false;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.close(),
            }
            if Instant::now() >= look_at {
                let more = self.look();
                look_at = Instant::now() + if more { SLICE_EVERY } else { self.every };
                if quiet && !more && fold::is_any() {
                    self.fold(|conn| fold::fold_all(conn).map(|_| ()));
                }
                quiet = !more;
            }
            if fold::is_due() {
                self.fold(fold::fold);
            }
            if self.mend_at.is_some_and(|at| Instant::now() >= at) {
                self.mend();
            }
        }
    }

    /// True when there is more to drop.
    fn look(&self) -> bool {
        let Some(conn) = &self.conn else { return false };
        // A proxy sends nobody here while we say that we cannot write: find out without being sent anybody.
        if self.shared.failing.load(Ordering::Acquire) && probe(conn).is_ok() {
            self.shared.failing.store(false, Ordering::Release);
        }
        // A failure here is no appender's: the next look tries again.
        self.upkeep.slice(conn).unwrap_or(false)
    }

    fn fold(&mut self, how: impl FnOnce(&Connection) -> rusqlite::Result<()>) {
        let Some(conn) = self.conn.as_ref().filter(|_| self.mend_at.is_none()) else { return };
        if let Err(error) = how(conn) {
            let inbox = self.path.display();
            tracing::error!(
                "{inbox} cannot be written or flushed; its log keeps everything meanwhile: {error}"
            );
            self.shared.unfolded.store(true, Ordering::Release);
            self.mend_at = Some(Instant::now() + MEND_EVERY);
        }
    }

    /// Opens the file anew once nobody reads, and folds everything.
    fn mend(&mut self) {
        let started = Instant::now();
        self.mend_at = Some(started + MEND_EVERY);
        let Some(alone) = self.shared.gate.alone() else { return };
        self.conn = None;
        self.conn = db::open_again(&self.path, self.max_bytes).ok();
        drop(alone);
        let Some(conn) = &self.conn else {
            return self.shared.failing.store(true, Ordering::Release);
        };
        fold::watch(conn);
        // All of it, or it is tried again: only a fold to the end flushes.
        if fold::fold_all(conn).unwrap_or(false) {
            tracing::info!("{} can be flushed again; its log is folded in", self.path.display());
            self.mend_at = None;
            self.shared.unfolded.store(false, Ordering::Release);
        } else {
            // A long log takes a while to look through: most of the time is for those who wait.
            self.mend_at = Some(Instant::now() + MEND_EVERY.max(started.elapsed() * 20));
        }
    }

    fn close(&mut self) {
        self.fold(|conn| fold::fold_all(conn).map(|_| ()));
        if let Some(conn) = self.conn.take().filter(|_| self.mend_at.is_none() && !fold::is_any()) {
            fold::close(conn);
        }
    }

    fn take(&mut self, first: Job, queue: &Receiver<Job>) {
        let mut bytes = first.bytes;
        let mut jobs = vec![first];
        while jobs.len() < GROUP && bytes < GROUP_BYTES {
            let Ok(job) = queue.try_recv() else { break };
            bytes += job.bytes;
            jobs.push(job);
        }
        let done = self.group(&jobs);
        self.shared.failing.store(done.is_err(), Ordering::Release);
        self.shared.waiting.fetch_sub(jobs.len(), Ordering::AcqRel);
        self.shared.waiting_bytes.fetch_sub(bytes, Ordering::AcqRel);
        match done {
            // Nobody waits any more when a future was dropped; its delivery stands all the same.
            Ok(all) => jobs.into_iter().zip(all).for_each(|(job, appended)| {
                let _ = job.reply.send(Ok(appended));
            }),
            Err(error) => jobs.into_iter().for_each(|job| {
                let _ = job.reply.send(Err(db::told_again(&error, &self.path)));
            }),
        }
    }

    fn group(&mut self, jobs: &[Job]) -> rusqlite::Result<Vec<Vec<Appended>>> {
        let Some(conn) = &self.conn else {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR);
            let text = "it could not be opened again after its disk failed";
            return Err(rusqlite::Error::SqliteFailure(code, Some(text.to_owned())));
        };
        let named = jobs.iter().flat_map(|j| {
            j.deliveries.iter().map(|d| &d.source).chain(j.read.as_ref().map(|(source, ..)| source))
        });
        for source in named {
            if !self.sources.contains_key(source) {
                self.sources.insert(source.clone(), source_id(conn, source)?);
            }
        }
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let done =
            insert(conn, &self.sources, jobs).and_then(|all| conn.execute_batch("COMMIT").map(|()| all));
        if done.is_err() && !conn.is_autocommit() {
            let _ = conn.execute_batch("ROLLBACK");
        }
        done
    }
}

fn insert(
    conn: &Connection,
    sources: &HashMap<Arc<str>, i64>,
    jobs: &[Job],
) -> rusqlite::Result<Vec<Vec<Appended>>> {
    let mut key = conn.prepare_cached(
        "INSERT INTO keys (source, key, at_us) VALUES (?1, ?2, ?3) ON CONFLICT (source, key) DO NOTHING",
    )?;
    let mut row = conn.prepare_cached(
        "INSERT INTO deliveries (source, received_at_us, headers, body) VALUES (?1, ?2, ?3, ?4)",
    )?;
    let mut all = Vec::with_capacity(jobs.len());
    for job in jobs {
        let mut appended = Vec::with_capacity(job.deliveries.len());
        for delivery in &job.deliveries {
            let source = sources.get(&delivery.source).copied().unwrap_or_default();
            let at_us = delivery.received_at_us;
            if let Some(hash) = &delivery.key
                && key.execute(params![source, hash.0, at_us])? == 0
            {
                appended.push(Appended::Duplicate);
                continue;
            }
            row.execute(params![source, at_us, delivery.headers, delivery.body])?;
            appended.push(Appended::Stored(conn.last_insert_rowid()));
        }
        if let Some((source, reader, seq)) = &job.read {
            let source = sources.get(source).copied().unwrap_or_default();
            conn.prepare_cached(ADVANCE)?.execute(params![source, &**reader, seq])?;
        }
        all.push(appended);
    }
    Ok(all)
}

/// Writes something that needs room, and takes it away again; durable.
fn probe(conn: &Connection) -> rusqlite::Result<()> {
    let done = conn.execute_batch(
        "BEGIN IMMEDIATE;
         INSERT INTO keys (source, key, at_us) VALUES (0, zeroblob(65536), 0);
         DELETE FROM keys WHERE source = 0;
         COMMIT",
    );
    if done.is_err() && !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    done
}

pub(super) const ADVANCE: &str = "INSERT INTO readers (source, reader, seq) VALUES (?1, ?2, ?3)
     ON CONFLICT (source, reader) DO UPDATE SET seq = max(seq, excluded.seq)";

/// The number of a source, given to it when it is new.
pub(super) fn source_id(conn: &Connection, name: &str) -> rusqlite::Result<i64> {
    conn.execute("INSERT INTO sources (name) VALUES (?1) ON CONFLICT (name) DO NOTHING", [name])?;
    conn.query_row("SELECT id FROM sources WHERE name = ?1", [name], |r| r.get(0))
}
