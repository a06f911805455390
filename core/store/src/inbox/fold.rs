//! Folding SQLite's log into `inbox.db`, by hand and by the writer alone.
//!
//! Left to itself SQLite folds in parts while somebody reads: it writes pages that it does not flush yet, and keeps
//! in shared memory how far it came. If flushing fails later, Linux takes those pages for written, SQLite does not
//! do them again, and the next flush that succeeds lets it begin its log anew: a power cut then leaves a damaged
//! file. So nobody folds by himself, not even on closing. After a fold that failed, the log is kept, whatever its
//! size, until no connection of this process is open: who opens first knows nothing of earlier folds and does the
//! whole log once more.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::db::BUSY_TIMEOUT;

/// Pages of log (4 kB each) that are folded into the file at once: more make rarer and longer pauses.
const FOLD_PAGES: i32 = 4000;

thread_local! {
    /// Pages that the last commit of this thread found in the log. A hook cannot be a closure.
    static LOG_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// No fold but by [`fold`].
pub(super) fn by_hand(conn: &Connection) -> rusqlite::Result<()> {
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map(|_| ())
}

/// Counts the pages of log that this thread's commits make.
pub(super) fn watch(conn: &Connection) {
    LOG_PAGES.set(0);
    conn.wal_hook(Some(|_, pages| {
        LOG_PAGES.set(pages);
        Ok(())
    }));
}

pub(super) fn is_due() -> bool {
    LOG_PAGES.get() >= FOLD_PAGES
}

/// Something was committed since all was folded in.
pub(super) fn is_any() -> bool {
    LOG_PAGES.get() > 0
}

/// What can be folded without waiting for anybody.
///
/// # Errors
/// It was not written, or not flushed: from then on no connection that is open may fold.
pub(super) fn fold(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

/// Everything, unless somebody is reading; then nothing of what was dropped is left in the log. True when it is done.
///
/// # Errors
/// As [`fold`].
pub(super) fn fold_all(conn: &Connection) -> rusqlite::Result<bool> {
    conn.busy_timeout(Duration::ZERO)?;
    let busy: rusqlite::Result<i64> = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |r| r.get(0));
    conn.busy_timeout(BUSY_TIMEOUT)?;
    let done = busy? == 0;
    if done {
        LOG_PAGES.set(0);
    }
    Ok(done)
}

/// Closes a file that is folded: its log goes too.
pub(super) fn close(conn: Connection) {
    // Nothing is left to fold; if this fails the log stays, empty.
    let _ = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
    drop(conn);
}

/// Who reads in this process, so that the writer knows when nobody does.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<Mutex<Arc<()>>>);

/// As long as it lives, a connection is open.
#[derive(Debug)]
pub(super) struct Reading(#[expect(dead_code, reason = "counted")] Arc<()>);

impl Gate {
    pub fn enter(&self) -> Reading {
        Reading(Arc::clone(&self.lock()))
    }

    /// Nobody reads, and nobody begins before it is dropped.
    pub fn alone(&self) -> Option<MutexGuard<'_, Arc<()>>> {
        Some(self.lock()).filter(|readers| Arc::strong_count(readers) == 1)
    }

    fn lock(&self) -> MutexGuard<'_, Arc<()>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
