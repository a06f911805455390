//! What has landed: segment files, checkpoints, ended windows and generations of each stream.
//!
//! A stream has a current generation and, while a full refresh fills it, a pending one. Every commit
//! carries the segment files, the checkpoint behind them, the windows that ended and the rejected
//! records in one transaction: after a crash reading goes on from the last checkpoint and the files
//! behind it are not known here, so nothing is lost or counted twice.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension as _, params};
use throughline_core::time::InstantUs;
use throughline_core::{Checkpoint, Error, Result};

use crate::db::{Step, json, json_as, signed, to_json, unsigned};
use crate::dead_letters::{self, LettersAdded, NewDeadLetter};
use crate::runs::RunId;
use crate::store::Store;

/// The first generation of every stream.
const FIRST_GENERATION: i64 = 1;

#[derive(Clone, Debug, PartialEq)]
pub struct StreamState {
    /// The generation in use.
    pub generation: i64,
    /// The generation that a full refresh is filling.
    pub pending: Option<i64>,
    pub checkpoint: Option<Checkpoint>,
    pub pending_checkpoint: Option<Checkpoint>,
    /// `_tl_seq` of the next row to land; grows over all generations.
    pub next_seq: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SegmentRow {
    pub id: i64,
    pub source: String,
    pub stream: String,
    pub generation: i64,
    /// Relative to the state folder.
    pub file: String,
    pub rows: u64,
    pub bytes: u64,
    /// `_tl_seq` of its first row.
    pub seq_from: i64,
    pub schema: serde_json::Value,
    /// The restated window its rows belong to.
    pub window: Option<String>,
    pub run: RunId,
}

#[derive(Clone, Debug)]
pub struct NewSegment {
    /// Relative to the state folder; on disk and durable already.
    pub file: String,
    pub rows: u64,
    pub bytes: u64,
    pub seq_from: i64,
    pub schema: serde_json::Value,
    pub window: Option<String>,
}

/// Rows that replace earlier ones: those of some days (days since the epoch, half-open) or, with
/// `slice`, those of that slice.
#[derive(Clone, Debug, PartialEq)]
pub struct NewWindow {
    pub id: String,
    pub from_on: i32,
    pub to_on: i32,
    pub slice: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct WindowRow {
    pub id: String,
    pub from_on: i32,
    pub to_on: i32,
    pub slice: Option<String>,
    /// A window supersedes the days of those with a smaller number.
    pub ended_order: i64,
    pub run: RunId,
}

#[derive(Clone, Debug)]
pub struct LandCommit {
    pub pipeline: String,
    pub source: String,
    pub stream: String,
    /// The current or the pending generation.
    pub generation: i64,
    pub run: RunId,
    pub at_us: InstantUs,
    /// In the order of their rows.
    pub segments: Vec<NewSegment>,
    /// `None` leaves the checkpoint as it is (a backfill of a window).
    pub checkpoint: Option<Checkpoint>,
    /// In the order they ended.
    pub windows_ended: Vec<NewWindow>,
    pub rejects: Vec<NewDeadLetter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    pub next_seq: i64,
    pub rejects: LettersAdded,
}

#[derive(Clone, Debug, PartialEq)]
pub struct BegunGeneration {
    pub generation: i64,
    /// Of an unfinished refresh that this one replaces; listed in [`Store::garbage`] too.
    pub dropped_files: Vec<String>,
}

impl Store {
    pub async fn stream_state(&self, pipeline: &str, source: &str, stream: &str) -> Result<StreamState> {
        let key = Key::new(pipeline, source, stream);
        self.read(move |conn| Ok(find(conn, &key)?.map_or_else(|| Entry::fresh().state, |e| e.state))).await
    }

    /// Makes durable what was read up to a checkpoint.
    ///
    /// # Errors
    /// `Bug` when the generation is neither current nor pending, or rows do not begin at `next_seq`: two
    /// writers, or one that goes on after a failed commit. Nothing is written then.
    pub async fn land(&self, commit: LandCommit) -> Result<Landed> {
        self.write(move |conn| land(conn, commit)).await
    }

    /// In landing order.
    pub async fn segments(
        &self,
        pipeline: &str,
        source: &str,
        stream: &str,
        generation: i64,
    ) -> Result<Vec<SegmentRow>> {
        let key = Key::new(pipeline, source, stream);
        self.read(move |conn| {
            let Some(entry) = find(conn, &key)? else { return Ok(Vec::new()) };
            let mut statement = conn.prepare_cached(
                "SELECT id, file, rows, bytes, seq_from, schema, window, run FROM segments
                 WHERE stream_id = ?1 AND generation = ?2 ORDER BY seq_from, id",
            )?;
            let mut rows = statement.query(params![entry.id, generation])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                out.push(SegmentRow {
                    id: row.get(0)?,
                    source: key.source.clone(),
                    stream: key.stream.clone(),
                    generation,
                    file: row.get(1)?,
                    rows: unsigned(row, 2)?,
                    bytes: unsigned(row, 3)?,
                    seq_from: row.get(4)?,
                    schema: json(&row.get::<_, String>(5)?)?,
                    window: row.get(6)?,
                    run: RunId(row.get(7)?),
                });
            }
            Ok(out)
        })
        .await
    }

    /// Ended windows in the order they ended.
    pub async fn windows(
        &self,
        pipeline: &str,
        source: &str,
        stream: &str,
        generation: i64,
    ) -> Result<Vec<WindowRow>> {
        let key = Key::new(pipeline, source, stream);
        self.read(move |conn| {
            let Some(entry) = find(conn, &key)? else { return Ok(Vec::new()) };
            let mut statement = conn.prepare_cached(
                "SELECT id, from_on, to_on, ended_order, run, slice FROM windows
                 WHERE stream_id = ?1 AND generation = ?2 ORDER BY ended_order",
            )?;
            let rows = statement.query_map(params![entry.id, generation], |row| {
                Ok(WindowRow {
                    id: row.get(0)?,
                    from_on: row.get(1)?,
                    to_on: row.get(2)?,
                    ended_order: row.get(3)?,
                    run: RunId(row.get(4)?),
                    slice: row.get(5)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })
        .await
    }

    /// Begins a full refresh: a fresh pending generation beside the current one, without a checkpoint.
    pub async fn begin_generation(
        &self,
        pipeline: &str,
        source: &str,
        stream: &str,
    ) -> Result<BegunGeneration> {
        let key = Key::new(pipeline, source, stream);
        self.write(move |conn| {
            let entry = find_or_add(conn, &key)?;
            let dropped_files = match entry.state.pending {
                Some(old) => discard(conn, &key.pipeline, entry.id, old)?,
                None => Vec::new(),
            };
            let generation: i64 = conn.query_row(
                "UPDATE streams SET last_generation = last_generation + 1, pending = last_generation + 1,
                        pending_checkpoint = NULL
                 WHERE id = ?1 RETURNING pending",
                [entry.id],
                |r| r.get(0),
            )?;
            Ok(BegunGeneration { generation, dropped_files })
        })
        .await
    }

    /// The pending generation becomes the current one, with its checkpoint.
    ///
    /// Gives the files of the old one. They stay in [`Store::garbage`] until [`Store::garbage_deleted`]:
    /// delete them after the next epoch is published.
    pub async fn promote_generation(
        &self,
        pipeline: &str,
        source: &str,
        stream: &str,
    ) -> Result<Vec<String>> {
        let key = Key::new(pipeline, source, stream);
        self.write(move |conn| {
            let entry = find_or_add(conn, &key)?;
            if entry.state.pending.is_none() {
                return Err(Error::bug(format!("{key} has no pending generation to promote")).into());
            }
            let files = discard(conn, &key.pipeline, entry.id, entry.state.generation)?;
            conn.execute(
                "UPDATE streams SET generation = pending, checkpoint = pending_checkpoint,
                        pending = NULL, pending_checkpoint = NULL WHERE id = ?1",
                [entry.id],
            )?;
            Ok(files)
        })
        .await
    }

    /// Gives up an unfinished full refresh; the files it leaves.
    pub async fn drop_pending(&self, pipeline: &str, source: &str, stream: &str) -> Result<Vec<String>> {
        let key = Key::new(pipeline, source, stream);
        self.write(move |conn| {
            let entry = find_or_add(conn, &key)?;
            let Some(pending) = entry.state.pending else { return Ok(Vec::new()) };
            let files = discard(conn, &key.pipeline, entry.id, pending)?;
            conn.execute(
                "UPDATE streams SET pending = NULL, pending_checkpoint = NULL WHERE id = ?1",
                [entry.id],
            )?;
            Ok(files)
        })
        .await
    }

    /// Forgets all that has landed of a source, checkpoints too; the files it leaves. Notes, tokens and
    /// dead letters stay.
    pub async fn drop_source(&self, pipeline: &str, source: &str) -> Result<Vec<String>> {
        let (pipeline, source) = (pipeline.to_owned(), source.to_owned());
        self.write(move |conn| {
            let of = params![pipeline, source];
            const STREAMS: &str = "(SELECT id FROM streams WHERE pipeline = ?1 AND source = ?2)";
            let mut statement =
                conn.prepare(&format!("DELETE FROM segments WHERE stream_id IN {STREAMS} RETURNING file"))?;
            let files: Vec<String> =
                statement.query_map(of, |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
            throw_away(conn, &pipeline, &files)?;
            conn.execute(&format!("DELETE FROM windows WHERE stream_id IN {STREAMS}"), of)?;
            conn.execute("DELETE FROM streams WHERE pipeline = ?1 AND source = ?2", of)?;
            Ok(files)
        })
        .await
    }

    /// Sources and streams of a pipeline that have landed something.
    pub async fn landed_streams(&self, pipeline: &str) -> Result<Vec<(String, String)>> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT source, stream FROM streams WHERE pipeline = ?1 ORDER BY source, stream",
            )?;
            let rows = statement.query_map([pipeline], |r| Ok((r.get(0)?, r.get(1)?)))?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })
        .await
    }

    /// Every segment file of a pipeline that belongs to a generation: a file on disk that is neither here
    /// nor in [`Store::garbage`] was left by a crash before its commit.
    pub async fn segment_files(&self, pipeline: &str) -> Result<HashSet<String>> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT file FROM segments JOIN streams ON streams.id = stream_id WHERE pipeline = ?1",
            )?;
            let rows = statement.query_map([pipeline], |r| r.get(0))?;
            Ok(rows.collect::<rusqlite::Result<HashSet<_>>>()?)
        })
        .await
    }

    /// Files of old generations that nobody has deleted yet.
    pub async fn garbage(&self, pipeline: &str) -> Result<Vec<String>> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| {
            let mut statement =
                conn.prepare_cached("SELECT file FROM garbage WHERE pipeline = ?1 ORDER BY file")?;
            let rows = statement.query_map([pipeline], |r| r.get(0))?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })
        .await
    }

    /// Call it after the files are gone from disk.
    pub async fn garbage_deleted(&self, files: Vec<String>) -> Result<()> {
        self.write(move |conn| {
            let mut statement = conn.prepare_cached("DELETE FROM garbage WHERE file = ?1")?;
            for file in files {
                statement.execute([file])?;
            }
            Ok(())
        })
        .await
    }
}

struct Key {
    pipeline: String,
    source: String,
    stream: String,
}

impl Key {
    fn new(pipeline: &str, source: &str, stream: &str) -> Self {
        Self { pipeline: pipeline.to_owned(), source: source.to_owned(), stream: stream.to_owned() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "stream {}.{} of pipeline {:?}", self.source, self.stream, self.pipeline)
    }
}

struct Entry {
    id: i64,
    state: StreamState,
}

impl Entry {
    fn fresh() -> Self {
        Self {
            id: 0,
            state: StreamState {
                generation: FIRST_GENERATION,
                pending: None,
                checkpoint: None,
                pending_checkpoint: None,
                next_seq: 0,
            },
        }
    }
}

fn find(conn: &Connection, key: &Key) -> Step<Option<Entry>> {
    let mut statement = conn.prepare_cached(
        "SELECT id, generation, pending, checkpoint, pending_checkpoint, next_seq FROM streams
         WHERE pipeline = ?1 AND source = ?2 AND stream = ?3",
    )?;
    statement
        .query_row(params![key.pipeline, key.source, key.stream], |row| {
            let checkpoint = |i| row.get::<_, Option<String>>(i);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, checkpoint(3)?, checkpoint(4)?, row.get(5)?))
        })
        .optional()?
        .map(|(id, generation, pending, checkpoint, pending_checkpoint, next_seq)| {
            let parse = |text: Option<String>| text.as_deref().map(json_as::<Checkpoint>).transpose();
            let (checkpoint, pending_checkpoint) = (parse(checkpoint)?, parse(pending_checkpoint)?);
            Ok(Entry {
                id,
                state: StreamState { generation, pending, checkpoint, pending_checkpoint, next_seq },
            })
        })
        .transpose()
}

fn find_or_add(conn: &Connection, key: &Key) -> Step<Entry> {
    if let Some(entry) = find(conn, key)? {
        return Ok(entry);
    }
    conn.execute(
        "INSERT INTO streams (pipeline, source, stream, generation, last_generation, next_seq)
         VALUES (?1, ?2, ?3, ?4, ?4, 0)",
        params![key.pipeline, key.source, key.stream, FIRST_GENERATION],
    )?;
    Ok(Entry { id: conn.last_insert_rowid(), ..Entry::fresh() })
}

fn land(conn: &Connection, commit: LandCommit) -> Step<Landed> {
    let key = Key { pipeline: commit.pipeline, source: commit.source, stream: commit.stream };
    let Entry { id, state } = find_or_add(conn, &key)?;
    let pending = state.pending == Some(commit.generation);
    if !pending && commit.generation != state.generation {
        return Err(Error::bug(format!(
            "{key}: rows of generation {} cannot land, the generation in use is {}{}",
            commit.generation,
            state.generation,
            state.pending.map(|p| format!(" and the pending one {p}")).unwrap_or_default(),
        ))
        .into());
    }

    let mut next_seq = state.next_seq;
    let mut insert = conn.prepare_cached(
        "INSERT INTO segments (stream_id, generation, file, rows, bytes, seq_from, schema, window, run)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for segment in commit.segments {
        if segment.seq_from != next_seq {
            return Err(Error::bug(format!(
                "{key}: rows of {} begin at {}, but the next to land is {next_seq}",
                segment.file, segment.seq_from,
            ))
            .hint("another process may be landing the same stream, or a failed commit was gone past")
            .into());
        }
        let rows = signed(segment.rows, "a number of rows")?;
        next_seq = next_seq
            .checked_add(rows)
            .ok_or_else(|| Error::bug(format!("{key}: more rows than can be numbered")))?;
        insert.execute(params![
            id,
            commit.generation,
            segment.file,
            rows,
            signed(segment.bytes, "a number of bytes")?,
            segment.seq_from,
            to_json(&segment.schema)?,
            segment.window,
            commit.run.0,
        ])?;
    }

    let mut end_window = conn.prepare_cached(
        "INSERT INTO windows (stream_id, generation, id, from_on, to_on, run, slice, ended_order)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,
                 (SELECT coalesce(max(ended_order), 0) + 1 FROM windows WHERE stream_id = ?1 AND generation = ?2))
         ON CONFLICT (stream_id, generation, id) DO UPDATE
         SET from_on = excluded.from_on, to_on = excluded.to_on, run = excluded.run, slice = excluded.slice,
             ended_order = excluded.ended_order",
    )?;
    for window in commit.windows_ended {
        end_window.execute(params![
            id,
            commit.generation,
            window.id,
            window.from_on,
            window.to_on,
            commit.run.0,
            window.slice
        ])?;
    }

    conn.prepare_cached("UPDATE streams SET next_seq = ?2 WHERE id = ?1")?.execute([id, next_seq])?;
    if let Some(checkpoint) = &commit.checkpoint {
        let column = if pending { "pending_checkpoint" } else { "checkpoint" };
        conn.prepare_cached(&format!("UPDATE streams SET {column} = ?2 WHERE id = ?1"))?
            .execute(params![id, to_json(checkpoint)?])?;
    }
    let rejects = dead_letters::add(conn, commit.run, commit.at_us, &commit.rejects)?;
    Ok(Landed { next_seq, rejects })
}

/// Forgets a generation; its files become garbage.
fn discard(conn: &Connection, pipeline: &str, stream_id: i64, generation: i64) -> Step<Vec<String>> {
    let mut statement =
        conn.prepare_cached("DELETE FROM segments WHERE stream_id = ?1 AND generation = ?2 RETURNING file")?;
    let files: Vec<String> =
        statement.query_map([stream_id, generation], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
    conn.execute("DELETE FROM windows WHERE stream_id = ?1 AND generation = ?2", [stream_id, generation])?;
    throw_away(conn, pipeline, &files)?;
    Ok(files)
}

fn throw_away(conn: &Connection, pipeline: &str, files: &[String]) -> Step<()> {
    let mut statement = conn.prepare_cached(
        "INSERT INTO garbage (file, pipeline) VALUES (?1, ?2) ON CONFLICT (file) DO NOTHING",
    )?;
    for file in files {
        statement.execute([file.as_str(), pipeline])?;
    }
    Ok(())
}
