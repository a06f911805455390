//! The one thread that writes. Jobs that wait together share a transaction, hence an fsync; each runs
//! in a savepoint of its own, so that one that fails takes nobody else's work with it.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use throughline_core::{Error, Result};
use tokio::sync::oneshot;

use crate::db::{Fail, Step};

/// Jobs in one transaction at most: bounds what a failing commit can take with it.
const GROUP: usize = 256;

/// Tells the one who waits; `Some` when the transaction failed though the work itself had not.
type Reply = Box<dyn FnOnce(Option<Error>) + Send>;
/// Does the work, on `None` nothing; true when the work by itself has not failed.
type Job = Box<dyn FnOnce(Option<&Connection>, &Path) -> (bool, Reply) + Send>;

pub(crate) struct Writer {
    /// `None` only while dropping.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(crate) fn start(conn: Connection, path: PathBuf) -> Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let thread = std::thread::Builder::new()
            .name("state-writer".into())
            .spawn(move || work(&conn, &path, &queue))
            .map_err(|e| Error::io("start", "the thread that writes the state file", e))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `job` in a transaction; durable when this returns.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Step<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel::<Result<T>>();
        let job: Job = Box::new(move |conn, path| {
            let done = match conn {
                Some(conn) => job(conn).map_err(|e| e.on(path)),
                None => Err(Error::bug("a write of the state file was not begun")),
            };
            let good = done.is_ok() || conn.is_none();
            let reply: Reply = Box::new(move |failure| {
                // Nobody waits any more when the future was dropped; the work stands all the same.
                let _ = reply.send(match failure {
                    Some(error) => Err(error),
                    None => done,
                });
            });
            (good, reply)
        });
        let stopped = || Error::bug("the thread that writes the state file has stopped");
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(stopped)?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    /// Waits for what was asked for, and until the file is closed: closing folds the log into it.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(conn: &Connection, path: &Path, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let mut jobs = vec![first];
        while jobs.len() < GROUP {
            match queue.try_recv() {
                Ok(job) => jobs.push(job),
                Err(_) => break,
            }
        }
        let mut replies = Vec::with_capacity(jobs.len());
        let failure = group(conn, path, jobs, &mut replies).err();
        for (good, reply) in replies {
            // A job that failed by itself tells its own error.
            reply(failure.as_ref().filter(|_| good).map(|e| told_again(e, path)));
        }
    }
}

fn group(
    conn: &Connection,
    path: &Path,
    jobs: Vec<Job>,
    replies: &mut Vec<(bool, Reply)>,
) -> rusqlite::Result<()> {
    let mut begun = conn.execute_batch("BEGIN IMMEDIATE");
    for job in jobs {
        begun = begun.and_then(|()| conn.execute_batch("SAVEPOINT job"));
        let (good, reply) = job(begun.is_ok().then_some(conn), path);
        replies.push((good, reply));
        let end = if good { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" };
        // A full or failing disk ends the whole transaction, and then this fails: nobody's work stands.
        begun = begun.and_then(|()| conn.execute_batch(end));
    }
    let done = begun.and_then(|()| conn.execute_batch("COMMIT"));
    if done.is_err() && !conn.is_autocommit() {
        let _ = conn.execute_batch("ROLLBACK");
    }
    done
}

/// Every job of the group is told, and an SQLite error cannot be cloned.
fn told_again(e: &rusqlite::Error, path: &Path) -> Error {
    let copy = match e {
        rusqlite::Error::SqliteFailure(code, text) => rusqlite::Error::SqliteFailure(*code, text.clone()),
        other => return Error::bug(format!("state file {}: {other}", path.display())),
    };
    Fail::Db(copy).on(path)
}
