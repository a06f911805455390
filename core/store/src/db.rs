//! Opening the file: is it ours, whole, and of a version we know; settings; migrations; and how SQLite's
//! errors are told to a person.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use throughline_core::{Error, ErrorKind, Result};

/// `PRAGMA application_id`: "TLin".
const APPLICATION_ID: i32 = 0x544c_696e;

/// In order; the file's `user_version` is the number of those applied. Never edit one that was released.
const MIGRATIONS: &[&str] =
    &[include_str!("migrations/001_first.sql"), include_str!("migrations/002_forget.sql")];

/// How long a write waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// Up to this size the whole file is checked when it is opened (some 50 ms): that finds a half-copied
/// or overwritten file before anything is decided by it.
const CHECK_UP_TO_BYTES: u64 = 32 << 20;

const LATEST: usize = MIGRATIONS.len();

/// What went wrong in a step of work on the database, before it is known on which file.
pub(crate) enum Fail {
    Db(rusqlite::Error),
    Ours(Error),
}

pub(crate) type Step<T> = Result<T, Fail>;

impl From<rusqlite::Error> for Fail {
    fn from(e: rusqlite::Error) -> Self {
        Self::Db(e)
    }
}
impl From<Error> for Fail {
    fn from(e: Error) -> Self {
        Self::Ours(e)
    }
}

impl Fail {
    pub(crate) fn on(self, path: &Path) -> Error {
        match self {
            Self::Ours(e) => e,
            Self::Db(e) => told(e, path),
        }
    }
}

fn told(e: rusqlite::Error, path: &Path) -> Error {
    let file = path.display();
    let code = e.sqlite_error_code();
    let error = match code {
        Some(ErrorCode::NotADatabase) => {
            Error::new(ErrorKind::Data, format!("{file} is not a state file: it is no SQLite database"))
                .hint("point `state` of the pipeline elsewhere, or restore the file from a backup")
        }
        Some(ErrorCode::DatabaseCorrupt) => {
            Error::new(ErrorKind::Data, format!("the state file {file} is damaged: {e}"))
                .hint("restore it from a backup; see docs/state.md")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(ErrorKind::Io, format!("the state file {file} is held by another process: {e}"))
                .temporary(Some(Duration::from_secs(5)))
        }
        Some(ErrorCode::DiskFull) => {
            Error::new(ErrorKind::Io, format!("no space to write the state file {file}"))
                .hint("free disk space and run again; nothing was half-written")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Error::new(ErrorKind::Io, format!("cannot open the state file {file} for writing: {e}"))
                .hint("check the rights of the file and of its folder")
        }
        Some(ErrorCode::SystemIoFailure) => {
            Error::new(ErrorKind::Io, format!("reading or writing the state file {file}: {e}"))
        }
        _ => Error::bug(format!("state file {file}: {e}")),
    };
    error.caused_by(e)
}

/// Opens for writing: makes the file when there is none, brings an older one up to date.
///
/// The caller holds the folder's opening lock, so that no two processes create or migrate at once.
pub(crate) fn open_writer(path: &Path) -> Result<Connection> {
    let size = match std::fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
        Err(e) => return Err(Error::io("open the state file", path.display(), e)),
    };
    (|| {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        let known = identify(&conn, path)?;
        if known > 0 && size <= CHECK_UP_TO_BYTES {
            quick_check(&conn, path)?;
        }
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "foreign_keys", true)?;
        // What is deleted is overwritten: a person who is forgotten must not stay in free pages.
        conn.pragma_update(None, "secure_delete", true)?;
        // After a burst the log is cut back instead of keeping its largest size for ever.
        conn.pragma_update(None, "journal_size_limit", 64_i64 << 20)?;
        conn.set_prepared_statement_cache_capacity(64);
        migrate(&mut conn, known)?;
        Ok(conn)
    })()
    .map_err(|e: Fail| e.on(path))
}

/// Opens for reading a file that [`open_writer`] has accepted.
pub(crate) fn open_reader(path: &Path) -> Step<Connection> {
    // Read-write, although it only reads: a WAL reader must be able to make the shared-memory file.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

/// Copies the state as it stands into `to`, an empty file.
pub(crate) fn backup(path: &Path, to: &str) -> Step<()> {
    let conn = open_reader(path)?;
    // A copy elsewhere is no write of the state.
    conn.pragma_update(None, "query_only", false)?;
    conn.execute("VACUUM INTO ?1", [to])?;
    Ok(())
}

/// The number of migrations applied; an error when the file is another program's or from the future.
fn identify(conn: &Connection, path: &Path) -> Step<usize> {
    let id: i32 = conn.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let version: i64 = conn.pragma_query_value(None, "user_version", |r| r.get(0))?;
    let objects: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    if id == 0 && version == 0 && objects == 0 {
        return Ok(0);
    }
    if id != APPLICATION_ID {
        return Err(Error::config(format!("{} is a database of another program", path.display()))
            .hint("point `state` of the pipeline at a folder of its own")
            .into());
    }
    match usize::try_from(version) {
        Ok(known) if known <= LATEST => Ok(known),
        _ => Err(Error::config(format!(
            "{} was written by a newer Throughline: its version is {version}, this program knows up to {LATEST}",
            path.display()
        ))
        .hint("use the newer program, or another state folder")
        .into()),
    }
}

/// Reads the whole file and names the first thing wrong with it.
pub(crate) fn quick_check(conn: &Connection, path: &Path) -> Step<()> {
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |r| r.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Data, format!("the state file {} is damaged: {found}", path.display()))
        .hint("restore it from a backup; see docs/state.md")
        .into())
}

fn migrate(conn: &mut Connection, known: usize) -> Step<()> {
    for (number, sql) in MIGRATIONS.iter().enumerate().skip(known) {
        let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Exclusive)?;
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", i64::try_from(number + 1).unwrap_or(i64::MAX))?;
        tx.commit()?;
    }
    Ok(())
}

/// JSON that this program wrote into a text column.
pub(crate) fn json(text: &str) -> Step<serde_json::Value> {
    serde_json::from_str(text)
        .map_err(|e| Error::data(format!("the state file holds unreadable JSON: {e}")).caused_by(e).into())
}

pub(crate) fn json_as<T: serde::de::DeserializeOwned>(text: &str) -> Step<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::data(format!("the state file holds unexpected JSON: {e}")).caused_by(e).into())
}

pub(crate) fn to_json<T: serde::Serialize>(value: &T) -> Step<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::bug(format!("a value for the state file is no JSON: {e}")).into())
}

/// SQLite's integers are signed.
pub(crate) fn signed(value: u64, what: &str) -> Step<i64> {
    i64::try_from(value).map_err(|_| Error::bug(format!("{what} {value} does not fit the state file")).into())
}

pub(crate) fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}
