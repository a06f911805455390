//! Run history.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde::{Deserialize, Serialize};
use throughline_core::time::InstantUs;
use throughline_core::{Error, Result};

use crate::db::{Step, json, to_json};
use crate::store::Store;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub i64);

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Running,
    Succeeded,
    Failed,
    /// Ended well, but a stream is known not to be complete.
    Incomplete,
    Cancelled,
    /// Its process ended without saying how.
    Crashed,
}

impl RunStatus {
    const ALL: [Self; 6] =
        [Self::Running, Self::Succeeded, Self::Failed, Self::Incomplete, Self::Cancelled, Self::Crashed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
            Self::Crashed => "crashed",
        }
    }
    fn parse(text: &str) -> Step<Self> {
        Self::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .ok_or_else(|| Error::data(format!("the state file holds an unknown run status {text:?}")).into())
    }
}

#[derive(Clone, Debug)]
pub struct NewRun {
    pub pipeline: String,
    /// What started it, e.g. `run`, `backfill`, `full_refresh`, `replay`.
    pub kind: String,
    pub started_at_us: InstantUs,
    pub detail: serde_json::Value,
}

#[derive(Clone, Debug)]
pub struct RunEnd {
    pub status: RunStatus,
    pub finished_at_us: InstantUs,
    pub report: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    pub id: RunId,
    pub pipeline: String,
    pub kind: String,
    pub status: RunStatus,
    pub started_at_us: InstantUs,
    pub finished_at_us: Option<InstantUs>,
    pub detail: serde_json::Value,
    pub report: Option<serde_json::Value>,
}

const COLUMNS: &str = "id, pipeline, kind, status, started_at_us, finished_at_us, detail, report";

fn run_row(row: &Row<'_>) -> Step<RunRow> {
    Ok(RunRow {
        id: RunId(row.get(0)?),
        pipeline: row.get(1)?,
        kind: row.get(2)?,
        status: RunStatus::parse(&row.get::<_, String>(3)?)?,
        started_at_us: row.get(4)?,
        finished_at_us: row.get(5)?,
        detail: json(&row.get::<_, String>(6)?)?,
        report: row.get::<_, Option<String>>(7)?.as_deref().map(json).transpose()?,
    })
}

impl Store {
    pub async fn begin_run(&self, run: NewRun) -> Result<RunId> {
        self.write(move |conn| {
            conn.prepare_cached(
                "INSERT INTO runs (pipeline, kind, status, started_at_us, detail) VALUES (?1, ?2, 'running', ?3, ?4)",
            )?
            .execute(params![run.pipeline, run.kind, run.started_at_us, to_json(&run.detail)?])?;
            Ok(RunId(conn.last_insert_rowid()))
        })
        .await
    }

    /// # Errors
    /// `Bug` when the run has ended already: the first end is the true one.
    pub async fn finish_run(&self, id: RunId, end: RunEnd) -> Result<()> {
        self.write(move |conn| {
            if end.status == RunStatus::Running {
                return Err(Error::bug(format!("run {id} cannot end as running")).into());
            }
            let done = conn
                .prepare_cached(
                    "UPDATE runs SET status = ?2, finished_at_us = ?3, report = ?4 WHERE id = ?1 AND status = 'running'",
                )?
                .execute(params![id.0, end.status.as_str(), end.finished_at_us, to_json(&end.report)?])?;
            if done == 1 { Ok(()) } else { Err(Error::bug(format!("run {id} is not running")).into()) }
        })
        .await
    }

    /// Marks runs that a crash left open. Only for the holder of the pipeline's lock: an open run is then
    /// nobody's.
    pub async fn mark_crashed(&self, pipeline: &str, at_us: InstantUs) -> Result<Vec<RunId>> {
        let pipeline = pipeline.to_owned();
        self.write(move |conn| {
            let mut statement = conn.prepare_cached(
                "UPDATE runs SET status = 'crashed', finished_at_us = ?2
                 WHERE pipeline = ?1 AND status = 'running' RETURNING id",
            )?;
            let ids = statement.query_map(params![pipeline, at_us], |r| r.get(0).map(RunId))?;
            Ok(ids.collect::<rusqlite::Result<Vec<_>>>()?)
        })
        .await
    }

    /// Newest first; of all pipelines when none is named.
    pub async fn runs(&self, pipeline: Option<&str>, limit: u32) -> Result<Vec<RunRow>> {
        let pipeline = pipeline.map(str::to_owned);
        self.read(move |conn| {
            let mut statement = conn.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM runs WHERE ?1 IS NULL OR pipeline = ?1 ORDER BY id DESC LIMIT ?2"
            ))?;
            let mut rows = statement.query(params![pipeline, limit])?;
            let mut out = Vec::new();
            while let Some(row) = rows.next()? {
                out.push(run_row(row)?);
            }
            Ok(out)
        })
        .await
    }

    pub async fn run(&self, id: RunId) -> Result<Option<RunRow>> {
        self.read(move |conn| find(conn, id)).await
    }
}

fn find(conn: &Connection, id: RunId) -> Step<Option<RunRow>> {
    let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM runs WHERE id = ?1"))?;
    statement.query_row([id.0], |row| Ok(run_row(row))).optional()?.transpose()
}
