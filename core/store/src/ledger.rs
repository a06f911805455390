//! The publish ledger: what stands between "staged" and "every reader sees it".
//!
//! `prepare` is the point of no return: one durable record of all sinks' committables. From then on the
//! epoch is committed, by this process or by the next one; before it, staging is dropped and built again.

use rusqlite::{Connection, Row, params};
use serde::Serialize;
use serde_json::Value;
use throughline_core::time::InstantUs;
use throughline_core::{Committable, Error, Receipt, Result, TxnId};

use crate::db::{Step, json, json_as, to_json};
use crate::runs::RunId;
use crate::store::Store;

/// One sink's part of an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkTxn {
    /// Name of the sink in the pipeline file.
    pub sink: String,
    pub txn: TxnId,
    pub staged: Vec<Committable>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    pub pipeline: String,
    /// Grows by one from 1; abandoned ones count.
    pub epoch_no: i64,
    pub run: Option<RunId>,
    pub txns: Vec<SinkTxn>,
    /// Of all that the tables were computed from: equal means nothing new to publish.
    pub inputs_hash: String,
    pub state_before: Value,
    pub state_after: Value,
    /// Rows per table and the like, for people.
    pub counts: Value,
    pub prepared_at_us: InstantUs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochStatus {
    Prepared,
    Committed,
    /// Given up by a person: a sink of it is gone for good.
    Abandoned,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SinkTxnRow {
    pub sink: String,
    pub txn: TxnId,
    pub staged: Vec<Committable>,
    /// Set once the sink has committed.
    pub receipt: Option<Receipt>,
    pub committed_at_us: Option<InstantUs>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EpochRow {
    pub pipeline: String,
    pub epoch_no: i64,
    pub run: Option<RunId>,
    pub status: EpochStatus,
    pub txns: Vec<SinkTxnRow>,
    pub inputs_hash: String,
    pub state_before: Value,
    pub state_after: Value,
    pub counts: Value,
    pub prepared_at_us: InstantUs,
    pub finished_at_us: Option<InstantUs>,
    /// Why it was abandoned.
    pub note: Option<String>,
}

impl Store {
    /// Records that everything of the epoch is staged and durable. Preparing the same open epoch again
    /// changes nothing.
    ///
    /// # Errors
    /// `Bug` when another epoch is open, the number is not the next, or it differs from what was prepared
    /// under this number.
    pub async fn prepare(&self, epoch: Epoch) -> Result<()> {
        self.write(move |conn| prepare(conn, &epoch)).await
    }

    /// Prepared and not committed: commit them before anything else. Oldest first.
    pub async fn open_epochs(&self, pipeline: &str) -> Result<Vec<EpochRow>> {
        self.select_epochs(pipeline, "AND status = 'prepared' ORDER BY epoch_no", u32::MAX).await
    }

    /// The newest epoch, whatever became of it.
    pub async fn last_epoch(&self, pipeline: &str) -> Result<Option<EpochRow>> {
        Ok(self.select_epochs(pipeline, "ORDER BY epoch_no DESC", 1).await?.pop())
    }

    /// The newest epoch that every sink has.
    pub async fn last_committed_epoch(&self, pipeline: &str) -> Result<Option<EpochRow>> {
        Ok(self.select_epochs(pipeline, "AND status = 'committed' ORDER BY epoch_no DESC", 1).await?.pop())
    }

    /// Newest first.
    pub async fn epochs(&self, pipeline: &str, limit: u32) -> Result<Vec<EpochRow>> {
        self.select_epochs(pipeline, "ORDER BY epoch_no DESC", limit).await
    }

    /// Records a sink's receipt; the first one stays when a commit is repeated after a crash.
    pub async fn sink_committed(&self, txn: &TxnId, receipt: &Receipt, at_us: InstantUs) -> Result<()> {
        let (txn, receipt) = (txn.clone(), receipt.clone());
        self.write(move |conn| {
            let done = conn
                .prepare_cached(
                    "UPDATE epoch_txns SET receipt = coalesce(receipt, ?2),
                            committed_at_us = coalesce(committed_at_us, ?3)
                     WHERE txn = ?1",
                )?
                .execute(params![txn.0, to_json(&receipt)?, at_us])?;
            if done == 1 {
                Ok(())
            } else {
                Err(Error::bug(format!("sink commit {} was never prepared", txn.0)).into())
            }
        })
        .await
    }

    /// The epoch is done. Doing it again changes nothing.
    ///
    /// # Errors
    /// `Bug` when a sink has not committed its part.
    pub async fn commit_epoch(&self, pipeline: &str, epoch_no: i64, at_us: InstantUs) -> Result<()> {
        let pipeline = pipeline.to_owned();
        self.write(move |conn| {
            let mut statement = conn.prepare_cached(
                "SELECT sink FROM epoch_txns
                 WHERE pipeline = ?1 AND epoch_no = ?2 AND committed_at_us IS NULL ORDER BY position",
            )?;
            let missing: Vec<String> = statement
                .query_map(params![pipeline, epoch_no], |r| r.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            if !missing.is_empty() {
                return Err(Error::bug(format!(
                    "epoch {epoch_no} of pipeline {pipeline:?} is not committed by: {}",
                    missing.join(", ")
                ))
                .into());
            }
            finish(conn, &pipeline, epoch_no, EpochStatus::Committed, None, at_us)
        })
        .await
    }

    /// Gives up a prepared epoch whose sink cannot take it any more, e.g. after its folder or its block in
    /// the pipeline file was removed. A person's decision: other sinks of the epoch may have it.
    pub async fn abandon_epoch(
        &self,
        pipeline: &str,
        epoch_no: i64,
        why: &str,
        at_us: InstantUs,
    ) -> Result<()> {
        let (pipeline, why) = (pipeline.to_owned(), why.to_owned());
        self.write(move |conn| finish(conn, &pipeline, epoch_no, EpochStatus::Abandoned, Some(&why), at_us))
            .await
    }

    async fn select_epochs(&self, pipeline: &str, which: &'static str, limit: u32) -> Result<Vec<EpochRow>> {
        let pipeline = pipeline.to_owned();
        self.read(move |conn| select(conn, &pipeline, which, limit)).await
    }
}

fn prepare(conn: &Connection, epoch: &Epoch) -> Step<()> {
    let Epoch { pipeline, epoch_no, .. } = epoch;
    let newest = select(conn, pipeline, "ORDER BY epoch_no DESC", 1)?.pop();
    if let Some(newest) = newest.as_ref().filter(|e| e.status == EpochStatus::Prepared) {
        return if same(newest, epoch) {
            Ok(())
        } else {
            Err(Error::bug(format!(
                "epoch {epoch_no} of pipeline {pipeline:?} cannot be prepared: epoch {} is open",
                newest.epoch_no
            ))
            .into())
        };
    }
    let next = newest.map_or(1, |e| e.epoch_no + 1);
    if *epoch_no != next {
        return Err(Error::bug(format!(
            "epoch {epoch_no} of pipeline {pipeline:?} is out of order: the next is {next}"
        ))
        .into());
    }
    conn.execute(
        "INSERT INTO epochs (pipeline, epoch_no, run, status, inputs_hash, state_before, state_after, counts,
                             prepared_at_us)
         VALUES (?1, ?2, ?3, 'prepared', ?4, ?5, ?6, ?7, ?8)",
        params![
            pipeline,
            epoch_no,
            epoch.run.map(|r| r.0),
            epoch.inputs_hash,
            to_json(&epoch.state_before)?,
            to_json(&epoch.state_after)?,
            to_json(&epoch.counts)?,
            epoch.prepared_at_us,
        ],
    )?;
    let mut insert = conn.prepare_cached(
        "INSERT INTO epoch_txns (txn, pipeline, epoch_no, position, sink, staged) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for (position, part) in (0_i64..).zip(&epoch.txns) {
        insert.execute(params![
            part.txn.0,
            pipeline,
            epoch_no,
            position,
            part.sink,
            to_json(&part.staged)?
        ])?;
    }
    Ok(())
}

/// Whether the record says what is being prepared; times and counts are for people and may differ.
fn same(row: &EpochRow, epoch: &Epoch) -> bool {
    row.epoch_no == epoch.epoch_no
        && row.inputs_hash == epoch.inputs_hash
        && row.state_before == epoch.state_before
        && row.state_after == epoch.state_after
        && row.txns.len() == epoch.txns.len()
        && row
            .txns
            .iter()
            .zip(&epoch.txns)
            .all(|(a, b)| (&a.sink, &a.txn, &a.staged) == (&b.sink, &b.txn, &b.staged))
}

fn finish(
    conn: &Connection,
    pipeline: &str,
    epoch_no: i64,
    status: EpochStatus,
    note: Option<&str>,
    at_us: InstantUs,
) -> Step<()> {
    let word = match status {
        EpochStatus::Prepared => return Err(Error::bug("an epoch cannot end as prepared").into()),
        EpochStatus::Committed => "committed",
        EpochStatus::Abandoned => "abandoned",
    };
    let done = conn.execute(
        "UPDATE epochs SET status = ?3, note = ?4, finished_at_us = coalesce(finished_at_us, ?5)
         WHERE pipeline = ?1 AND epoch_no = ?2 AND status IN ('prepared', ?3)",
        params![pipeline, epoch_no, word, note, at_us],
    )?;
    if done == 1 {
        Ok(())
    } else {
        Err(Error::bug(format!("epoch {epoch_no} of pipeline {pipeline:?} is not open")).into())
    }
}

fn select(conn: &Connection, pipeline: &str, which: &str, limit: u32) -> Step<Vec<EpochRow>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT epoch_no, run, status, inputs_hash, state_before, state_after, counts, prepared_at_us,
                finished_at_us, note
         FROM epochs WHERE pipeline = ?1 {which} LIMIT ?2"
    ))?;
    let mut rows = statement.query(params![pipeline, limit])?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        out.push(epoch_row(conn, pipeline, row)?);
    }
    Ok(out)
}

fn epoch_row(conn: &Connection, pipeline: &str, row: &Row<'_>) -> Step<EpochRow> {
    let epoch_no: i64 = row.get(0)?;
    let status = match row.get::<_, String>(2)?.as_str() {
        "prepared" => EpochStatus::Prepared,
        "committed" => EpochStatus::Committed,
        "abandoned" => EpochStatus::Abandoned,
        other => {
            return Err(Error::data(format!("the state file holds an unknown epoch status {other:?}")).into());
        }
    };
    let mut statement = conn.prepare_cached(
        "SELECT sink, txn, staged, receipt, committed_at_us FROM epoch_txns
         WHERE pipeline = ?1 AND epoch_no = ?2 ORDER BY position",
    )?;
    let mut parts = statement.query(params![pipeline, epoch_no])?;
    let mut txns = Vec::new();
    while let Some(part) = parts.next()? {
        txns.push(SinkTxnRow {
            sink: part.get(0)?,
            txn: TxnId(part.get(1)?),
            staged: json_as(&part.get::<_, String>(2)?)?,
            receipt: part.get::<_, Option<String>>(3)?.as_deref().map(json_as).transpose()?,
            committed_at_us: part.get(4)?,
        });
    }
    Ok(EpochRow {
        pipeline: pipeline.to_owned(),
        epoch_no,
        run: row.get::<_, Option<i64>>(1)?.map(RunId),
        status,
        txns,
        inputs_hash: row.get(3)?,
        state_before: json(&row.get::<_, String>(4)?)?,
        state_after: json(&row.get::<_, String>(5)?)?,
        counts: json(&row.get::<_, String>(6)?)?,
        prepared_at_us: row.get(7)?,
        finished_at_us: row.get(8)?,
        note: row.get(9)?,
    })
}
