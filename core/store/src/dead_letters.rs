//! Records that could not be used, kept until somebody mends what made them unusable.
//!
//! The same record rejected for the same reason is one letter however often it is met. A letter is open,
//! replayed (given back to the pipeline by a person) or resolved (its record passes now); one that is
//! rejected again is open again.

use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use throughline_core::time::InstantUs;
use throughline_core::{Error, Result};

use crate::db::{Step, unsigned};
use crate::runs::RunId;
use crate::store::Store;

/// Longer payloads are cut to this, and the reason says so.
pub const DEAD_LETTER_RAW_LIMIT_BYTES: usize = 1 << 20;

#[derive(Clone, Debug)]
pub struct NewDeadLetter {
    pub pipeline: String,
    pub source: String,
    /// Empty where a mapping of several streams rejected the row.
    pub stream: String,
    /// Where it failed: `read`, `map`, ...
    pub stage: String,
    pub reason: String,
    /// `page 3, record 17`, `costs.csv:12`.
    pub place: String,
    /// As it came.
    pub raw: Vec<u8>,
    /// Of `raw`'s form, so that a later program can replay it.
    pub schema_version: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadLetterState {
    Open,
    Replayed,
    Resolved,
}

impl DeadLetterState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Replayed => "replayed",
            Self::Resolved => "resolved",
        }
    }
    fn parse(text: &str) -> Step<Self> {
        [Self::Open, Self::Replayed, Self::Resolved].into_iter().find(|s| s.as_str() == text).ok_or_else(
            || Error::data(format!("the state file holds an unknown dead-letter state {text:?}")).into(),
        )
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    pub id: i64,
    /// The run that met it first.
    pub run: RunId,
    pub last_seen_run: RunId,
    pub pipeline: String,
    pub source: String,
    pub stream: String,
    pub stage: String,
    pub state: DeadLetterState,
    pub reason: String,
    /// Where it was met last.
    pub place: String,
    pub raw: Vec<u8>,
    pub schema_version: i64,
    pub created_at_us: InstantUs,
    pub last_seen_at_us: InstantUs,
    pub replayed_at_us: Option<InstantUs>,
    pub resolved_at_us: Option<InstantUs>,
}

/// What is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct DeadLetterFilter {
    pub pipeline: Option<String>,
    pub source: Option<String>,
    pub stream: Option<String>,
    pub stage: Option<String>,
    /// Met first or last by this run.
    pub run: Option<RunId>,
    pub state: Option<DeadLetterState>,
    /// For paging: only letters with a smaller id.
    pub before_id: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DeadLetterCount {
    pub source: String,
    pub stream: String,
    pub stage: String,
    pub open: u64,
    pub replayed: u64,
    pub resolved: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LettersAdded {
    pub new: u64,
    /// Known already; those that were replayed or resolved are open again.
    pub seen_again: u64,
}

/// Letters of this place that `run` has not met: their records pass now.
#[derive(Clone, Debug)]
pub struct ResolveUnseen {
    pub pipeline: String,
    pub source: String,
    /// All streams when `None`.
    pub stream: Option<String>,
    pub stage: String,
    /// A run that went over everything of this place.
    pub run: RunId,
    pub at_us: InstantUs,
}

const COLUMNS: &str = "id, run, last_seen_run, pipeline, source, stream, stage, state, reason, place, raw, \
                       schema_version, created_at_us, last_seen_at_us, replayed_at_us, resolved_at_us";

fn letter(row: &Row<'_>) -> Step<DeadLetter> {
    Ok(DeadLetter {
        id: row.get(0)?,
        run: RunId(row.get(1)?),
        last_seen_run: RunId(row.get(2)?),
        pipeline: row.get(3)?,
        source: row.get(4)?,
        stream: row.get(5)?,
        stage: row.get(6)?,
        state: DeadLetterState::parse(&row.get::<_, String>(7)?)?,
        reason: row.get(8)?,
        place: row.get(9)?,
        raw: row.get(10)?,
        schema_version: row.get(11)?,
        created_at_us: row.get(12)?,
        last_seen_at_us: row.get(13)?,
        replayed_at_us: row.get(14)?,
        resolved_at_us: row.get(15)?,
    })
}

impl Store {
    /// For rejects that come with no landing ([`crate::LandCommit`] carries its own).
    pub async fn add_dead_letters(
        &self,
        run: RunId,
        at_us: InstantUs,
        letters: Vec<NewDeadLetter>,
    ) -> Result<LettersAdded> {
        self.write(move |conn| add(conn, run, at_us, &letters)).await
    }

    /// Newest first.
    pub async fn dead_letters(&self, filter: DeadLetterFilter, limit: u32) -> Result<Vec<DeadLetter>> {
        self.read(move |conn| {
            let mut sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE true");
            let mut values: Vec<rusqlite::types::Value> = Vec::new();
            let texts = [
                ("pipeline", filter.pipeline),
                ("source", filter.source),
                ("stream", filter.stream),
                ("stage", filter.stage),
                ("state", filter.state.map(|s| s.as_str().to_owned())),
            ];
            for (column, text) in texts {
                if let Some(text) = text {
                    values.push(text.into());
                    sql.push_str(&format!(" AND {column} = ?{}", values.len()));
                }
            }
            if let Some(run) = filter.run {
                values.push(run.0.into());
                sql.push_str(&format!(" AND (run = ?{0} OR last_seen_run = ?{0})", values.len()));
            }
            if let Some(id) = filter.before_id {
                values.push(id.into());
                sql.push_str(&format!(" AND id < ?{}", values.len()));
            }
            sql.push_str(&format!(" ORDER BY id DESC LIMIT {limit}"));
            let mut statement = conn.prepare(&sql)?;
            let mut rows = statement.query(params_from_iter(values))?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                out.push(letter(row)?);
            }
            Ok(out)
        })
        .await
    }

    pub async fn dead_letter(&self, id: i64) -> Result<Option<DeadLetter>> {
        self.read(move |conn| {
            let mut statement =
                conn.prepare_cached(&format!("SELECT {COLUMNS} FROM dead_letters WHERE id = ?1"))?;
            statement.query_row([id], |row| Ok(letter(row))).optional()?.transpose()
        })
        .await
    }

    /// Open letters whose records were given back to the pipeline; how many there were of them.
    pub async fn mark_replayed(&self, ids: Vec<i64>, at_us: InstantUs) -> Result<u64> {
        self.write(move |conn| {
            let mut statement = conn.prepare_cached(
                "UPDATE dead_letters SET state = 'replayed', replayed_at_us = ?2
                 WHERE id = ?1 AND state = 'open'",
            )?;
            let mut done = 0;
            for id in ids {
                done += statement.execute(params![id, at_us])? as u64;
            }
            Ok(done)
        })
        .await
    }

    /// After a run that went over everything of a place: letters it has not met again are resolved.
    pub async fn resolve_unseen(&self, which: ResolveUnseen) -> Result<u64> {
        self.write(move |conn| {
            let done = conn
                .prepare_cached(
                    "UPDATE dead_letters SET state = 'resolved', resolved_at_us = ?6
                     WHERE pipeline = ?1 AND source = ?2 AND stage = ?3 AND (?4 IS NULL OR stream = ?4)
                       AND state <> 'resolved' AND last_seen_run <> ?5",
                )?
                .execute(params![
                    which.pipeline,
                    which.source,
                    which.stage,
                    which.stream,
                    which.run.0,
                    which.at_us
                ])?;
            Ok(done as u64)
        })
        .await
    }

    pub async fn dead_letter_counts(&self, pipeline: &str) -> Result<Vec<DeadLetterCount>> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT source, stream, stage, count(*) FILTER (WHERE state = 'open'),
                        count(*) FILTER (WHERE state = 'replayed'), count(*) FILTER (WHERE state = 'resolved')
                 FROM dead_letters WHERE pipeline = ?1 GROUP BY source, stream, stage
                 ORDER BY source, stream, stage",
            )?;
            let rows = statement.query_map([pipeline], |row| {
                Ok(DeadLetterCount {
                    source: row.get(0)?,
                    stream: row.get(1)?,
                    stage: row.get(2)?,
                    open: unsigned(row, 3)?,
                    replayed: unsigned(row, 4)?,
                    resolved: unsigned(row, 5)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        })
        .await
    }
}

pub(crate) fn add(
    conn: &Connection,
    run: RunId,
    at_us: InstantUs,
    letters: &[NewDeadLetter],
) -> Step<LettersAdded> {
    let mut again = conn.prepare_cached(
        "UPDATE dead_letters SET last_seen_run = ?2, last_seen_at_us = ?3, place = ?4, state = 'open',
                replayed_at_us = NULL, resolved_at_us = NULL
         WHERE fingerprint = ?1",
    )?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO dead_letters (fingerprint, run, last_seen_run, pipeline, source, stream, stage, state,
                                   reason, place, raw, schema_version, created_at_us, last_seen_at_us)
         VALUES (?1, ?2, ?2, ?3, ?4, ?5, ?6, 'open', ?7, ?8, ?9, ?10, ?11, ?11)",
    )?;
    let mut added = LettersAdded::default();
    for letter in letters {
        let fingerprint = fingerprint(letter);
        if again.execute(params![fingerprint, run.0, at_us, letter.place])? > 0 {
            added.seen_again += 1;
            continue;
        }
        let (raw, cut) = match letter.raw.get(..DEAD_LETTER_RAW_LIMIT_BYTES) {
            Some(head) if letter.raw.len() > DEAD_LETTER_RAW_LIMIT_BYTES => (head, true),
            _ => (letter.raw.as_slice(), false),
        };
        let mut reason = letter.reason.clone();
        if cut {
            reason.push_str(&format!("; the payload of {} bytes is cut to {}", letter.raw.len(), raw.len()));
        }
        insert.execute(params![
            fingerprint,
            run.0,
            letter.pipeline,
            letter.source,
            letter.stream,
            letter.stage,
            reason,
            letter.place,
            raw,
            letter.schema_version,
            at_us,
        ])?;
        added.new += 1;
    }
    Ok(added)
}

fn fingerprint(letter: &NewDeadLetter) -> Vec<u8> {
    let NewDeadLetter { pipeline, source, stream, stage, reason, raw, .. } = letter;
    let mut hash = Sha256::new();
    for field in
        [pipeline.as_bytes(), source.as_bytes(), stream.as_bytes(), stage.as_bytes(), reason.as_bytes(), raw]
    {
        // The length goes first, so that no two different rows of fields run together.
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    }
    hash.finalize().to_vec()
}
