//! Opening `inbox.db`: is it ours and whole; its settings; and how SQLite's errors are told.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use throughline_core::time::InstantUs;
use throughline_core::{Error, ErrorKind, Result};

use super::fold;

/// `PRAGMA application_id`: "TLib".
const APPLICATION_ID: i32 = 0x544c_6962;
const VERSION: i64 = 1;

/// A write waits at most so long for another's, a reader that moves its cursor.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Up to this size the whole file is checked when a receiver opens it.
const CHECK_UP_TO_BYTES: u64 = 32 << 20;

pub(super) fn told(e: rusqlite::Error, path: &Path) -> Error {
    let file = path.display();
    let error = match e.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => Error::data(format!("{file} is no inbox: it is no SQLite database"))
            .hint("move it away, or restore it from a backup"),
        Some(ErrorCode::DatabaseCorrupt) => Error::data(format!("the inbox {file} is damaged: {e}"))
            .hint("restore it from a backup; see docs/receiver.md"),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            Error::new(ErrorKind::Io, format!("the inbox {file} is held by another process: {e}"))
                .temporary(Some(Duration::from_secs(5)))
        }
        Some(ErrorCode::DiskFull) => Error::new(
            ErrorKind::Io,
            format!("no space to write the inbox {file}, or its `max_size` is reached"),
        )
        .hint("free disk space or raise the limit; nothing was acknowledged, nothing is damaged")
        .temporary(Some(Duration::from_secs(30))),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Error::new(ErrorKind::Io, format!("cannot open the inbox {file}: {e}"))
                .hint("check the rights of the file and of its folder")
        }
        Some(ErrorCode::SystemIoFailure) => {
            Error::new(ErrorKind::Io, format!("reading or writing the inbox {file}: {e}"))
                .temporary(Some(Duration::from_secs(5)))
        }
        _ => Error::bug(format!("inbox {file}: {e}")),
    };
    error.caused_by(e)
}

/// Every one who waited is told, and an SQLite error cannot be cloned.
pub(super) fn told_again(e: &rusqlite::Error, path: &Path) -> Error {
    match e {
        rusqlite::Error::SqliteFailure(code, text) => {
            told(rusqlite::Error::SqliteFailure(*code, text.clone()), path)
        }
        other => Error::bug(format!("inbox {}: {other}", path.display())),
    }
}

/// Opens for a receiver; makes the file when there is none. The caller holds the opening lock.
pub(super) fn open_writer(path: &Path, max_bytes: Option<u64>, now_us: InstantUs) -> Result<Connection> {
    let size = std::fs::metadata(path).map_or(0, |m| m.len());
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| told(e, path))?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(|e| told(e, path))?;
    let fresh = identify(&conn, path)?;
    if fresh {
        make(&conn, now_us)?.map_err(|e| told(e, path))?;
    }
    set_up(&conn, max_bytes).map_err(|e| told(e, path))?;
    if !fresh && size <= CHECK_UP_TO_BYTES {
        let found: String =
            conn.query_row("PRAGMA quick_check(1)", [], |r| r.get(0)).map_err(|e| told(e, path))?;
        if found != "ok" {
            return Err(Error::data(format!("the inbox {} is damaged: {found}", path.display()))
                .hint("restore it from a backup; see docs/receiver.md"));
        }
    }
    Ok(conn)
}

/// The file that this process made or checked before.
pub(super) fn open_again(path: &Path, max_bytes: Option<u64>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    set_up(&conn, max_bytes)?;
    Ok(conn)
}

fn make(conn: &Connection, now_us: InstantUs) -> Result<rusqlite::Result<()>> {
    let mut id = [0_u8; 16];
    getrandom::fill(&mut id).map_err(|e| Error::bug(format!("the system gives no random bytes: {e}")))?;
    let make = || {
        // Only before the first table: pages that are freed go back to the disk a few at a time.
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        settings(conn)?;
        conn.execute_batch("BEGIN EXCLUSIVE")?;
        conn.execute_batch(include_str!("schema.sql"))?;
        conn.execute(
            "INSERT INTO inbox (id, made_at_us) VALUES (?1, ?2)",
            rusqlite::params![crate::files::hex(&id), now_us],
        )?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
        conn.pragma_update(None, "user_version", VERSION)?;
        conn.execute_batch("COMMIT")
    };
    Ok(make())
}

fn set_up(conn: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    settings(conn)?;
    conn.pragma_update(None, "journal_size_limit", 64_i64 << 20)?;
    if let Some(most) = max_bytes {
        let page: i64 = conn.pragma_query_value(None, "page_size", |r| r.get(0))?;
        let pages = i64::try_from(most).unwrap_or(i64::MAX) / page.max(1);
        // SQLite then answers "full" just as it does when the disk is.
        conn.query_row(&format!("PRAGMA max_page_count = {}", pages.max(16)), [], |_| Ok(()))?;
    }
    Ok(())
}

fn settings(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // Who is forgotten must not stay in free pages.
    conn.pragma_update(None, "secure_delete", true)?;
    conn.set_prepared_statement_cache_capacity(32);
    fold::by_hand(conn)
}

/// Opens a file that a receiver has made.
pub(super) fn open_reader(path: &Path) -> Result<Connection> {
    if !path.is_file() {
        return Err(Error::new(ErrorKind::NotFound, format!("there is no inbox {}", path.display()))
            .hint("`throughline serve` makes it"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| told(e, path))?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(|e| told(e, path))?;
    if identify(&conn, path)? {
        return Err(Error::data(format!("{} is empty, no inbox", path.display())));
    }
    settings(&conn).map_err(|e| told(e, path))?;
    Ok(conn)
}

/// True for an empty file; an error for another program's and for one from the future.
fn identify(conn: &Connection, path: &Path) -> Result<bool> {
    let read = |name: &str| conn.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
    let found = || Ok((read("application_id")?, read("user_version")?));
    let (id, version) = found().map_err(|e| told(e, path))?;
    let objects: i64 =
        conn.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0)).map_err(|e| told(e, path))?;
    if id == 0 && version == 0 && objects == 0 {
        return Ok(true);
    }
    if id != i64::from(APPLICATION_ID) {
        return Err(Error::config(format!("{} is a database, but no inbox", path.display())));
    }
    if version != VERSION {
        return Err(Error::config(format!(
            "the inbox {} has version {version}; this program knows {VERSION}",
            path.display()
        ))
        .hint("use the newer program"));
    }
    Ok(false)
}
