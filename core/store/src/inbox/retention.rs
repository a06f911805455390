//! What may go, a slice at a time, so that whoever waits to be acknowledged waits for little.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use throughline_core::Clock;
use throughline_core::time::InstantUs;

use super::Retention;

/// Rows in one slice.
const SLICE: i64 = 1000;
/// Pages that go back to the disk with a slice.
const PAGES: i64 = 256;

pub(super) struct Upkeep {
    retention: Retention,
    clock: Arc<dyn Clock>,
}

impl Upkeep {
    pub fn new(retention: Retention, clock: Arc<dyn Clock>) -> Self {
        Self { retention, clock }
    }

    /// Drops a slice of what may go; true when there may be more.
    pub fn slice(&self, conn: &Connection) -> rusqlite::Result<bool> {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let done = self.drop_some(conn).and_then(|more| conn.execute_batch("COMMIT").map(|()| more));
        if done.is_err() && !conn.is_autocommit() {
            let _ = conn.execute_batch("ROLLBACK");
        }
        let more = done?;
        let free: i64 = conn.pragma_query_value(None, "freelist_count", |r| r.get(0))?;
        // Some free pages stay, for what comes next.
        if free > 2 * PAGES && self.retention.max_bytes.is_none() {
            // It gives a row for each page, and stops when nobody asks for the next.
            let mut vacuum = conn.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
            let mut pages = vacuum.query([])?;
            while pages.next()?.is_some() {}
            return Ok(true);
        }
        Ok(more)
    }

    fn drop_some(&self, conn: &Connection) -> rusqlite::Result<bool> {
        let now_us = self.clock.now_us();
        let before =
            |age: Duration| now_us.saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        let mut more = self.drop_keys(conn, before(self.retention.keep_keys))?;
        let cutoff =
            if self.is_large(conn)? { Some(InstantUs::MAX) } else { self.retention.keep.map(before) };
        let Some(cutoff) = cutoff else { return Ok(more) };
        // A source without a reader has no row here: nobody has read it, so nothing of it goes.
        let mut find = conn.prepare_cached("SELECT source, min(seq) FROM readers GROUP BY source")?;
        let sources: Vec<(i64, i64)> =
            find.query_map([], |r| Ok((r.get(0)?, r.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
        for (source, read_to) in sources {
            more |= drop_deliveries(conn, source, read_to, cutoff)?;
        }
        Ok(more)
    }

    fn is_large(&self, conn: &Connection) -> rusqlite::Result<bool> {
        let Some(most) = self.retention.max_bytes else { return Ok(false) };
        let read = |name| conn.pragma_query_value(None, name, |r| r.get::<_, i64>(0));
        let used = (read("page_count")? - read("freelist_count")?).saturating_mul(read("page_size")?);
        Ok(u64::try_from(used).unwrap_or(0) > most / 10 * 9)
    }

    /// The oldest keys, when there are more than must be kept.
    fn drop_keys(&self, conn: &Connection, cutoff: InstantUs) -> rusqlite::Result<bool> {
        // Numbers are given in order and only the lowest go, so this counts without looking at every row.
        let bounds: Option<(i64, i64)> = conn
            .query_row("SELECT min(id), max(id) FROM keys", [], |r| {
                Ok(r.get::<_, Option<i64>>(0)?.zip(r.get::<_, Option<i64>>(1)?))
            })
            .optional()?
            .flatten();
        let Some((first, last)) = bounds else { return Ok(false) };
        let least = i64::try_from(self.retention.least_keys).unwrap_or(i64::MAX);
        let through = last.saturating_sub(least).min(first.saturating_add(SLICE - 1));
        let gone = conn
            .prepare_cached("DELETE FROM keys WHERE id <= ?1 AND at_us < ?2")?
            .execute(params![through, cutoff])?;
        Ok(i64::try_from(gone).unwrap_or(0) >= SLICE)
    }
}

fn drop_deliveries(
    conn: &Connection,
    source: i64,
    read_to: i64,
    cutoff: InstantUs,
) -> rusqlite::Result<bool> {
    // The oldest first, then their age: a clock that was wrong for a while delays what goes, no more.
    let mut find = conn.prepare_cached(
        "SELECT seq FROM (SELECT seq, received_at_us FROM deliveries
                          WHERE source = ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)
         WHERE received_at_us < ?4",
    )?;
    let seqs: Vec<i64> = find
        .query_map(params![source, read_to, SLICE, cutoff], |r| r.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let Some(last) = seqs.iter().max() else { return Ok(false) };
    let mut delete = conn.prepare_cached("DELETE FROM deliveries WHERE seq = ?1")?;
    for seq in &seqs {
        delete.execute([seq])?;
    }
    conn.prepare_cached(
        "UPDATE sources SET dropped = dropped + ?2, dropped_through = max(dropped_through, ?3) WHERE id = ?1",
    )?
    .execute(params![source, i64::try_from(seqs.len()).unwrap_or(i64::MAX), last])?;
    Ok(i64::try_from(seqs.len()).unwrap_or(0) >= SLICE)
}
