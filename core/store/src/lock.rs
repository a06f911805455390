//! Locks between processes: files locked by the operating system, which lets go of them when their
//! holder dies, however it dies.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use throughline_core::time::InstantUs;
use throughline_core::{Error, ErrorKind, Result};

use crate::files::{create_private_dir, file_name_for, private_file};

/// Who holds a lock, as far as its file tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    pub pid: Option<u32>,
    pub since_us: Option<InstantUs>,
}

impl std::fmt::Display for LockHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}")?,
            None => write!(f, "another process")?,
        }
        if let Some(since) = self.since_us.and_then(chrono::DateTime::from_timestamp_micros) {
            write!(f, ", since {}", since.format("%Y-%m-%d %H:%M:%S UTC"))?;
        }
        Ok(())
    }
}

/// What came of an attempt to lock a pipeline.
#[derive(Debug)]
pub enum LockAttempt {
    Ours(PipelineLock),
    HeldBy(LockHolder),
}

/// Held for the length of a run; let go when dropped or when the process ends.
#[derive(Debug)]
#[must_use = "the lock is let go when this is dropped"]
pub struct PipelineLock {
    _file: LockFile,
}

pub(crate) fn try_lock_pipeline(dir: &Path, pipeline: &str, now_us: InstantUs) -> Result<LockAttempt> {
    let path = lock_path(dir, "pipeline", pipeline)?;
    Ok(match LockFile::try_take(&path, Some(now_us))? {
        Ok(file) => LockAttempt::Ours(PipelineLock { _file: file }),
        Err(holder) => LockAttempt::HeldBy(holder),
    })
}

pub(crate) fn held_by(pipeline: &str, holder: &LockHolder) -> Error {
    Error::new(ErrorKind::Io, format!("pipeline {pipeline:?} is running already: {holder}"))
        .hint("wait until it ends, or stop that process")
        .temporary(Some(Duration::from_secs(30)))
}

pub(crate) fn lock_path(dir: &Path, kind: &str, name: &str) -> Result<PathBuf> {
    let folder = dir.join("locks");
    create_private_dir(&folder)?;
    Ok(folder.join(format!("{kind}-{}.lock", file_name_for(name))))
}

/// An open file with the operating system's exclusive lock on it.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: File,
}

impl LockFile {
    /// Takes the lock or tells who has it. The file itself stays for ever: deleting a lock file lets
    /// two processes hold "the" lock, one on the old file and one on the new.
    pub(crate) fn try_take(path: &Path, now_us: Option<InstantUs>) -> Result<Result<Self, LockHolder>> {
        let file = private_file()
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| Error::io("open the lock file", path.display(), e))?;
        match file.try_lock() {
            Ok(()) => {
                let mut lock = Self { file };
                lock.sign(now_us).map_err(|e| Error::io("write the lock file", path.display(), e))?;
                Ok(Ok(lock))
            }
            Err(TryLockError::WouldBlock) => Ok(Err(read_holder(file))),
            Err(TryLockError::Error(e)) => Err(Error::io("lock", path.display(), e)
                .hint("the state folder must be on a file system with file locks")),
        }
    }

    /// Waits for the lock without end: only for locks that are held for moments.
    pub(crate) fn take(path: &Path) -> Result<Self> {
        let file = private_file()
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(|e| Error::io("open the lock file", path.display(), e))?;
        file.lock().map_err(|e| Error::io("lock", path.display(), e))?;
        Ok(Self { file })
    }

    /// Writes who we are, for the message of whoever comes second.
    fn sign(&mut self, now_us: Option<InstantUs>) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        let since = now_us.map(|us| us.to_string()).unwrap_or_default();
        writeln!(self.file, "{} {since}", std::process::id())
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // Closing would do; this also holds when a child process has inherited the handle.
        let _ = self.file.unlock();
    }
}

fn read_holder(file: File) -> LockHolder {
    let mut text = String::new();
    // Where locks are mandatory (Windows) the file cannot be read: then the holder is unknown.
    let _ = file.take(256).read_to_string(&mut text);
    let mut words = text.split_whitespace();
    LockHolder {
        pid: words.next().and_then(|w| w.parse().ok()),
        since_us: words.next().and_then(|w| w.parse().ok()),
    }
}
