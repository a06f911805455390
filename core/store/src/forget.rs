//! People who are to be forgotten: requests, their marks, and the changes of stored places that they ask for.

use rusqlite::{OptionalExtension as _, params};
use serde_json::Value;
use throughline_core::time::InstantUs;
use throughline_core::{Checkpoint, Error, Result};

use crate::db::{json, signed, to_json, unsigned};
use crate::landing::SegmentRow;
use crate::runs::RunId;
use crate::store::Store;
use crate::token_key::TokenKey;

/// The keyed hash of an identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub hash: [u8; 16],
    /// Of a phone: two letters.
    pub region: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ForgetRequest {
    pub id: i64,
    pub begun_at_us: InstantUs,
    pub finished_at_us: Option<InstantUs>,
    /// What was removed, as far as it has come.
    pub report: Option<Value>,
}

/// A segment whose rows are in another file from now on.
#[derive(Clone, Debug)]
pub struct ReplacedSegment {
    pub id: i64,
    /// Relative to the state folder; durable already.
    pub file: String,
    pub rows: u64,
    pub bytes: u64,
    pub schema: Value,
}

impl Store {
    /// The key in `<state>/forget.key`, made on first use and readable by its owner only. Without it no mark
    /// tells anything, and the people forgotten so far would come back.
    pub fn forget_key(&self) -> Result<TokenKey> {
        TokenKey::load_or_create(&self.dir().join("forget.key"))
    }

    /// Opens a request with its marks, in one transaction.
    pub async fn begin_forget(&self, pipeline: &str, at_us: InstantUs, marks: Vec<Mark>) -> Result<i64> {
        let pipeline = pipeline.to_owned();
        self.write(move |conn| {
            conn.execute(
                "INSERT INTO forget_requests (pipeline, begun_at_us) VALUES (?1, ?2)",
                params![pipeline, at_us],
            )?;
            let id = conn.last_insert_rowid();
            let mut insert = conn.prepare_cached(
                "INSERT INTO forget_marks (pipeline, mark, region, request) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (pipeline, mark) DO NOTHING",
            )?;
            for mark in marks {
                insert.execute(params![pipeline, mark.hash, mark.region, id])?;
            }
            Ok(id)
        })
        .await
    }

    /// All marks of a pipeline, of finished requests too.
    pub async fn forget_marks(&self, pipeline: &str) -> Result<Vec<Mark>> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| {
            let mut statement =
                conn.prepare_cached("SELECT mark, region FROM forget_marks WHERE pipeline = ?1")?;
            let rows =
                statement.query_map([pipeline], |r| Ok(Mark { hash: r.get(0)?, region: r.get(1)? }))?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })
        .await
    }

    /// Oldest first.
    pub async fn forget_requests(&self, pipeline: &str, only_open: bool) -> Result<Vec<ForgetRequest>> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT id, begun_at_us, finished_at_us, report FROM forget_requests
                 WHERE pipeline = ?1 AND (finished_at_us IS NULL OR NOT ?2) ORDER BY id",
            )?;
            let mut rows = statement.query(params![pipeline, only_open])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                out.push(ForgetRequest {
                    id: row.get(0)?,
                    begun_at_us: row.get(1)?,
                    finished_at_us: row.get(2)?,
                    report: row.get::<_, Option<String>>(3)?.as_deref().map(json).transpose()?,
                });
            }
            Ok(out)
        })
        .await
    }

    /// Keeps what was removed so far; `finished_at_us` ends the requests.
    pub async fn note_forget(
        &self,
        ids: Vec<i64>,
        report: Value,
        finished_at_us: Option<InstantUs>,
    ) -> Result<()> {
        self.write(move |conn| {
            let mut update = conn.prepare_cached(
                "UPDATE forget_requests SET report = ?2, finished_at_us = coalesce(finished_at_us, ?3) WHERE id = ?1",
            )?;
            for id in ids {
                update.execute(params![id, to_json(&report)?, finished_at_us])?;
            }
            Ok(())
        })
        .await
    }

    /// Segments of every generation of a pipeline, in landing order.
    pub async fn all_segments(&self, pipeline: &str) -> Result<Vec<SegmentRow>> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT segments.id, source, stream, segments.generation, file, rows, bytes, seq_from, schema, window, run
                 FROM segments JOIN streams ON streams.id = stream_id WHERE pipeline = ?1
                 ORDER BY source, stream, segments.generation, seq_from, segments.id",
            )?;
            let mut rows = statement.query([pipeline])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                out.push(SegmentRow {
                    id: row.get(0)?,
                    source: row.get(1)?,
                    stream: row.get(2)?,
                    generation: row.get(3)?,
                    file: row.get(4)?,
                    rows: unsigned(row, 5)?,
                    bytes: unsigned(row, 6)?,
                    seq_from: row.get(7)?,
                    schema: json(&row.get::<_, String>(8)?)?,
                    window: row.get(9)?,
                    run: RunId(row.get(10)?),
                });
            }
            Ok(out)
        })
        .await
    }

    /// Switches segments to new files in one transaction; the old files become garbage.
    ///
    /// # Errors
    /// `Bug` when a segment is not there.
    pub async fn replace_segments(
        &self,
        pipeline: &str,
        replaced: Vec<ReplacedSegment>,
    ) -> Result<Vec<String>> {
        let pipeline = pipeline.to_owned();
        self.write(move |conn| {
            let mut find = conn.prepare_cached("SELECT file FROM segments WHERE id = ?1")?;
            let mut update = conn.prepare_cached(
                "UPDATE segments SET file = ?2, rows = ?3, bytes = ?4, schema = ?5 WHERE id = ?1",
            )?;
            let mut discard = conn.prepare_cached(
                "INSERT INTO garbage (file, pipeline) VALUES (?1, ?2) ON CONFLICT (file) DO NOTHING",
            )?;
            let mut old = Vec::new();
            for segment in replaced {
                let Some(file) = find.query_row([segment.id], |r| r.get::<_, String>(0)).optional()? else {
                    return Err(
                        Error::bug(format!("segment {} is not there to be replaced", segment.id)).into()
                    );
                };
                update.execute(params![
                    segment.id,
                    segment.file,
                    signed(segment.rows, "a number of rows")?,
                    signed(segment.bytes, "a number of bytes")?,
                    to_json(&segment.schema)?,
                ])?;
                if file != segment.file {
                    discard.execute(params![file, pipeline])?;
                    old.push(file);
                }
            }
            Ok(old)
        })
        .await
    }

    /// Deletes letters for good: their bytes are overwritten in the file.
    pub async fn delete_dead_letters(&self, ids: Vec<i64>) -> Result<u64> {
        self.write(move |conn| {
            let mut delete = conn.prepare_cached("DELETE FROM dead_letters WHERE id = ?1")?;
            let mut done = 0;
            for id in ids {
                done += delete.execute([id])? as u64;
            }
            Ok(done)
        })
        .await
    }

    /// Puts checkpoints in place of those of a stream; one that is none stays none.
    pub async fn change_checkpoints(
        &self,
        pipeline: &str,
        source: &str,
        stream: &str,
        current: Option<Checkpoint>,
        pending: Option<Checkpoint>,
    ) -> Result<()> {
        let (pipeline, source, stream) = (pipeline.to_owned(), source.to_owned(), stream.to_owned());
        self.write(move |conn| {
            let text = |c: Option<Checkpoint>| c.as_ref().map(to_json).transpose();
            conn.execute(
                "UPDATE streams SET checkpoint = CASE WHEN checkpoint IS NULL THEN NULL ELSE coalesce(?4, checkpoint) END,
                        pending_checkpoint = CASE WHEN pending_checkpoint IS NULL THEN NULL ELSE coalesce(?5, pending_checkpoint) END
                 WHERE pipeline = ?1 AND source = ?2 AND stream = ?3",
                params![pipeline, source, stream, text(current)?, text(pending)?],
            )?;
            Ok(())
        })
        .await
    }

    /// Puts other reports in place of those of runs that have ended.
    pub async fn change_run_reports(&self, reports: Vec<(RunId, Value)>) -> Result<()> {
        self.write(move |conn| {
            let mut update =
                conn.prepare_cached("UPDATE runs SET report = ?2 WHERE id = ?1 AND report IS NOT NULL")?;
            for (id, report) in reports {
                update.execute(params![id.0, to_json(&report)?])?;
            }
            Ok(())
        })
        .await
    }
}
