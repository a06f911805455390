//! The handle that everybody shares.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use throughline_core::time::InstantUs;
use throughline_core::{Error, NoteStore, Result, TokenStore};

use crate::db::{self, Step};
use crate::lock::{self, LockAttempt, LockFile, PipelineLock};
use crate::notes::Notes;
use crate::token_key::TokenKey;
use crate::tokens::{Leases, Tokens};
use crate::writer::Writer;

/// The file's name inside a state folder.
pub const STATE_FILE: &str = "state.db";

/// Idle reading connections that are kept.
const IDLE_READERS: usize = 4;

/// The state of all pipelines that share a folder. Cheap to clone; the file is closed with the last one.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    path: PathBuf,
    dir: PathBuf,
    readers: Mutex<Vec<Connection>>,
    pub(crate) leases: Leases,
    // Last, so that the readers are closed first and closing the writer folds the log into the file.
    writer: Writer,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens `<state>/state.db`, made when it is not there; its folder holds the locks and the token key.
    ///
    /// # Errors
    /// `Config` when the file is another program's or of a newer Throughline, `Data` when it is damaged,
    /// `Io` when it cannot be written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = std::path::absolute(path.as_ref())
            .map_err(|e| Error::io("find the state file", path.as_ref().display(), e))?;
        let dir = match path.parent() {
            Some(dir) => dir.to_owned(),
            None => return Err(Error::config(format!("{} is no file name for the state", path.display()))),
        };
        crate::files::create_private_dir(&dir)?;
        let _opening = LockFile::take(&lock::lock_path(&dir, "open", STATE_FILE)?)?;
        let conn = db::open_writer(&path)?;
        crate::files::sync_dir(&dir)?;
        let writer = Writer::start(conn, path.clone())?;
        Ok(Self(Arc::new(Inner { path, dir, readers: Mutex::default(), leases: Leases::default(), writer })))
    }

    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The state folder; segment files are named relative to it.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Keeps a second run of the same pipeline away for as long as the lock lives.
    ///
    /// # Errors
    /// A temporary `Io` error that names the process that runs it now, and since when.
    pub fn lock_pipeline(&self, pipeline: &str, now_us: InstantUs) -> Result<PipelineLock> {
        match self.try_lock_pipeline(pipeline, now_us)? {
            LockAttempt::Ours(lock) => Ok(lock),
            LockAttempt::HeldBy(holder) => Err(lock::held_by(pipeline, &holder)),
        }
    }

    /// As [`Store::lock_pipeline`], where being second is no error.
    pub fn try_lock_pipeline(&self, pipeline: &str, now_us: InstantUs) -> Result<LockAttempt> {
        lock::try_lock_pipeline(&self.0.dir, pipeline, now_us)
    }

    /// Tokens, encrypted with `key` ([`Store::token_key`] gives the folder's own).
    pub fn tokens(&self, key: TokenKey) -> Arc<dyn TokenStore> {
        Arc::new(Tokens::new(self.clone(), key))
    }

    /// The key in `<state>/token.key`, made on first use and readable by its owner only.
    pub fn token_key(&self) -> Result<TokenKey> {
        TokenKey::load_or_create(&self.0.dir.join("token.key"))
    }

    /// Notes of one source of one pipeline. The engine may keep its own under the source `""`.
    pub fn notes(&self, pipeline: &str, source: &str) -> Arc<dyn NoteStore> {
        Arc::new(Notes::new(self.clone(), pipeline, source))
    }

    /// Writes a copy of the state as it stands into a new file, while others go on writing.
    ///
    /// # Errors
    /// `Config` when `to` exists.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<()> {
        let to = to.as_ref().to_owned();
        if to.exists() {
            return Err(Error::config(format!("{} exists already", to.display()))
                .hint("name a new file for the backup"));
        }
        let Some(name) = to.to_str().map(str::to_owned) else {
            return Err(Error::config(format!("{} is not a UTF-8 file name", to.display())));
        };
        let from = self.0.path.clone();
        tokio::task::spawn_blocking(move || {
            let copy = crate::files::private_file()
                .create_new(true)
                .open(&to)
                .map_err(|e| Error::io("make the backup", to.display(), e))?;
            db::backup(&from, &name).map_err(|e| e.on(&from))?;
            copy.sync_all().map_err(|e| Error::io("make durable the backup", to.display(), e))
        })
        .await
        .map_err(|e| Error::bug(format!("the backup did not end: {e}")).caused_by(e))?
    }

    /// Reads the whole file and names the first thing wrong with it.
    pub async fn verify(&self) -> Result<()> {
        let path = self.0.path.clone();
        self.read(move |conn| db::quick_check(conn, &path)).await
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Step<T> + Send + 'static,
    ) -> Result<T> {
        self.0.writer.write(job).await
    }

    /// Runs `job` on a reading connection, in one snapshot of the state.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Step<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || {
            let idle = inner.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let work = || {
                let conn = match idle {
                    Some(conn) => conn,
                    None => db::open_reader(&inner.path)?,
                };
                let snapshot = conn.unchecked_transaction()?;
                let done = job(&snapshot)?;
                drop(snapshot);
                let mut readers = inner.readers.lock().unwrap_or_else(PoisonError::into_inner);
                if readers.len() < IDLE_READERS {
                    readers.push(conn);
                }
                Ok(done)
            };
            work().map_err(|e: db::Fail| e.on(&inner.path))
        })
        .await
        .map_err(|e| Error::bug(format!("reading the state file did not end: {e}")).caused_by(e))?
    }
}
