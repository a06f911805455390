//! PUBLISH: one epoch of tables becomes visible in every sink, or in none.
//!
//! Staging is invisible. Once every table is staged in every sink, one durable ledger record, PREPARED,
//! holds what a fresh process needs to finish: that is the point of no return. Before it a crash leaves
//! staging to be aborted, after it recovery commits again, which sinks take as done.

pub mod hashing;

use std::path::{Path, PathBuf};

use futures::StreamExt;
use hashing::Hashing;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use throughline_core::{
    Clock, Committable, Context, DynSink, Error, ErrorKind, Notice, Result, Table, TxnId,
};
use throughline_sql::{SqlEngine, TableRef};
use throughline_store::{Epoch, EpochRow, SinkTxn, Store};

use crate::failpoint;
use crate::land::{schema_from_json, schema_to_json};
use crate::run::SinkReport;
use crate::write_back;

/// Notes under this name remember staging that no PREPARED record covers yet.
const NOTES: &str = "_publish";

/// A sink as a run uses it.
pub struct Destination {
    pub name: String,
    pub connector: String,
    pub sink: DynSink,
    pub context: Context,
    /// `None`: every table.
    pub tables: Option<Vec<String>>,
    /// Phones and e-mails go out as keyed hashes.
    pub hashing: Option<Hashing>,
}

impl Destination {
    fn takes(&self, table: &str) -> bool {
        self.tables.as_ref().is_none_or(|only| only.iter().any(|t| t == table))
    }
}

/// What an epoch holds, as the ledger keeps it: where the tables are and which raw generations they
/// were made of.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EpochState {
    pub tables: Vec<StoredTable>,
    /// (source, stream, generation) that become current with this epoch.
    pub generations: Vec<(String, String, i64)>,
    /// Folder of the tables, relative to the state folder.
    pub folder: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredTable {
    pub name: String,
    pub rows: u64,
    pub key: Vec<String>,
    pub partition_by: Option<String>,
    pub doc: String,
    /// Relative to the state folder.
    pub files: Vec<String>,
    pub schema: serde_json::Value,
    /// False for inputs (`in_visits`), which `query` shows and sinks do not get.
    pub published: bool,
}

impl StoredTable {
    pub fn reference(&self, state_dir: &Path) -> Result<TableRef> {
        Ok(TableRef::Parquet {
            files: self.files.iter().map(|f| state_dir.join(f)).collect(),
            schema: schema_from_json(&self.schema)?,
        })
    }

    /// `files` must lie below `state_dir`.
    pub fn new(
        table: &Table,
        files: &[PathBuf],
        rows: u64,
        state_dir: &Path,
        published: bool,
    ) -> Result<Self> {
        let relative = files
            .iter()
            .map(|f| {
                f.strip_prefix(state_dir)
                    .ok()
                    .and_then(Path::to_str)
                    .map(str::to_owned)
                    .ok_or_else(|| Error::bug(format!("{} is not below the state folder", f.display())))
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            name: table.name.clone(),
            rows,
            key: table.key.clone(),
            partition_by: table.partition_by.clone(),
            doc: table.doc.clone(),
            files: relative,
            schema: schema_to_json(&table.schema),
            published,
        })
    }
}

pub struct Publication<'a> {
    pub store: &'a Store,
    pub pipeline: &'a str,
    pub epoch_no: i64,
    pub run: throughline_store::RunId,
    pub inputs_hash: &'a str,
    pub state: &'a EpochState,
    pub destinations: &'a [Destination],
    /// Holds every published table under its name.
    pub engine: &'a dyn SqlEngine,
    pub clock: &'a dyn Clock,
}

/// Stages, prepares and commits; the ledger says COMMITTED when it returns.
pub async fn publish(job: &Publication<'_>) -> Result<Vec<SinkReport>> {
    let notes = job.store.notes(job.pipeline, NOTES);
    let mut sinks = Vec::new();
    for destination in job.destinations {
        let txn = txn_id(job.pipeline, &destination.name, job.epoch_no, job.inputs_hash);
        notes.put(&format!("staging:{}:{}", destination.name, txn.0), Some(serde_json::json!(txn.0))).await?;
        failpoint::pass("publish.staging");
        let mut staged: Vec<Committable> = Vec::new();
        let back = destination.sink.write_back();
        if let Some(back) = back {
            staged.push(write_back::stage(job.engine, destination, back, &txn).await?);
        }
        for stored in job.state.tables.iter().filter(|t| t.published && destination.takes(&t.name)) {
            if back.is_some() {
                break;
            }
            destination.context.check_cancelled()?;
            let table = Table {
                name: stored.name.clone(),
                schema: schema_from_json(&stored.schema)?,
                key: stored.key.clone(),
                partition_by: stored.partition_by.clone(),
                doc: stored.doc.clone(),
            };
            let name = crate::map::quoted(&stored.name);
            let mut rows = job.engine.read(&format!("SELECT * FROM {name}"), &[]).await?;
            if let Some(hashing) = destination.hashing.clone() {
                rows = rows.map(move |batch| hashing.apply(&batch?)).boxed();
            }
            let done = destination.sink.stage(&destination.context, &table, rows, &txn).await?;
            if done.rows != stored.rows {
                return Err(Error::data(format!(
                    "sink {:?} staged {} rows of {}, which has {}",
                    destination.name, done.rows, stored.name, stored.rows
                )));
            }
            staged.push(done);
        }
        failpoint::pass("publish.staged");
        sinks.push(SinkTxn { sink: destination.name.clone(), txn, staged });
    }
    job.store
        .prepare(Epoch {
            pipeline: job.pipeline.to_owned(),
            epoch_no: job.epoch_no,
            run: Some(job.run),
            inputs_hash: job.inputs_hash.to_owned(),
            txns: sinks.clone(),
            state_before: serde_json::Value::Null,
            state_after: serde_json::to_value(job.state).map_err(|e| Error::bug(e.to_string()))?,
            counts: serde_json::Value::Null,
            prepared_at_us: job.clock.now_us(),
        })
        .await?;
    failpoint::pass("publish.prepared");
    let ledger =
        Ledger { store: job.store, pipeline: job.pipeline, epoch_no: job.epoch_no, clock: job.clock };
    let (reports, _) = ledger.commit_all(&sinks, job.destinations).await?;
    ledger.finish(job.state).await?;
    failpoint::pass("publish.committed");
    Ok(reports)
}

/// Brings the ledger and the sinks to one state after a crash: what was prepared is committed, what was
/// only staged is dropped. True when there was something to do.
pub async fn recover(
    store: &Store,
    pipeline: &str,
    destinations: &[Destination],
    clock: &dyn Clock,
    notices: &mut Vec<Notice>,
) -> Result<bool> {
    let mut did = false;
    for epoch in store.open_epochs(pipeline).await? {
        did = true;
        let state = epoch_state(&epoch)?;
        let open: Vec<SinkTxn> = epoch
            .txns
            .iter()
            .filter(|s| s.receipt.is_none())
            .map(|s| SinkTxn { sink: s.sink.clone(), txn: s.txn.clone(), staged: s.staged.clone() })
            .collect();
        let ledger = Ledger { store, pipeline, epoch_no: epoch.epoch_no, clock };
        let number = epoch.epoch_no;
        let (_, gone) = match ledger.commit_all(&open, destinations).await {
            // What was staged is gone for good (somebody emptied the folder): the next epoch holds
            // all that this one held.
            Err(error) if error.kind() == ErrorKind::Data && !error.is_temporary() => {
                (Vec::new(), vec![error.to_string()])
            }
            outcome => outcome?,
        };
        if gone.is_empty() {
            ledger.finish(&state).await?;
            notices.push(Notice {
                code: "recovered".into(),
                message: format!("epoch {number} was prepared by a run that died; it is committed now"),
            });
        } else {
            let why = format!("not every sink could commit it: {}", gone.join(", "));
            store.abandon_epoch(pipeline, number, &why, clock.now_us()).await?;
            notices.push(Notice {
                code: "epoch_abandoned".into(),
                message: format!("epoch {number} was given up, since {why}; the next one replaces it"),
            });
        }
    }
    let notes = store.notes(pipeline, NOTES);
    for (key, value) in notes.list("staging:").await? {
        let sink = key.split(':').nth(1).unwrap_or_default();
        let txn = TxnId(value.as_str().unwrap_or_default().to_owned());
        if let Some(destination) = destinations.iter().find(|d| d.name == sink) {
            destination.sink.abort(&destination.context, &txn).await?;
            did = true;
        }
        notes.put(&key, None).await?;
    }
    Ok(did)
}

/// Whether every sink still shows the epoch: somebody may have removed what it wrote. A sink takes the
/// commit of what it has committed as done, and refuses when it is gone.
pub async fn is_visible(epoch: &EpochRow, destinations: &[Destination], notices: &mut Vec<Notice>) -> bool {
    for committed in &epoch.txns {
        let Some(destination) = destinations.iter().find(|d| d.name == committed.sink) else { continue };
        let again = destination.sink.commit(&destination.context, &committed.txn, &committed.staged).await;
        if let Err(error) = again {
            notices.push(Notice {
                code: "epoch_gone".into(),
                message: format!(
                    "sink {:?} no longer has epoch {} ({error}); it is published again",
                    committed.sink, epoch.epoch_no
                ),
            });
            return false;
        }
    }
    true
}

/// One epoch in the ledger, from PREPARED to COMMITTED.
struct Ledger<'a> {
    store: &'a Store,
    pipeline: &'a str,
    epoch_no: i64,
    clock: &'a dyn Clock,
}

impl Ledger<'_> {
    /// Commits in each sink; says which sinks are no longer there.
    async fn commit_all(
        &self,
        sinks: &[SinkTxn],
        destinations: &[Destination],
    ) -> Result<(Vec<SinkReport>, Vec<String>)> {
        let mut reports = Vec::new();
        let mut gone = Vec::new();
        for prepared in sinks {
            let Some(destination) = destinations.iter().find(|d| d.name == prepared.sink) else {
                gone.push(format!("the pipeline no longer has the sink {:?}", prepared.sink));
                continue;
            };
            let receipt =
                destination.sink.commit(&destination.context, &prepared.txn, &prepared.staged).await?;
            self.store.sink_committed(&prepared.txn, &receipt, self.clock.now_us()).await?;
            failpoint::pass("publish.sink_committed");
            reports.push(SinkReport {
                sink: destination.name.clone(),
                connector: destination.connector.clone(),
                guarantee: destination.sink.guarantee(),
                tables: prepared.staged.len() as u64,
                rows: receipt.rows,
                location: receipt.location,
            });
        }
        Ok((reports, gone))
    }

    /// The new generations become current, the epoch COMMITTED, and nothing is staged any more.
    async fn finish(&self, state: &EpochState) -> Result<()> {
        let Self { store, pipeline, .. } = self;
        for (source, stream, generation) in &state.generations {
            let now = store.stream_state(pipeline, source, stream).await?;
            if now.pending == Some(*generation) {
                store.promote_generation(pipeline, source, stream).await?;
            }
        }
        store.commit_epoch(pipeline, self.epoch_no, self.clock.now_us()).await?;
        let notes = store.notes(pipeline, NOTES);
        for (key, _) in notes.list("staging:").await? {
            notes.put(&key, None).await?;
        }
        Ok(())
    }
}

pub fn epoch_state(epoch: &EpochRow) -> Result<EpochState> {
    serde_json::from_value(epoch.state_after.clone())
        .map_err(|e| Error::data(format!("epoch {} in the ledger cannot be read: {e}", epoch.epoch_no)))
}

/// The same inputs give the same id in any process.
fn txn_id(pipeline: &str, sink: &str, epoch_no: i64, inputs_hash: &str) -> TxnId {
    let mut hash = Sha256::new();
    for part in [pipeline, sink, &epoch_no.to_string(), inputs_hash] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    TxnId(digest.iter().take(12).map(|b| format!("{b:02x}")).collect())
}

/// Removes table folders of a pipeline but `keep`, which is relative to the state folder.
pub fn sweep_tables(state_dir: &Path, pipeline: &str, keep: Option<&str>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(state_dir.join(pipeline).join("tables")) else { return Ok(()) };
    for entry in entries.flatten() {
        let name = format!("{pipeline}/tables/{}", entry.file_name().to_string_lossy());
        if Some(name.as_str()) != keep {
            std::fs::remove_dir_all(entry.path())
                .map_err(|e| Error::io("remove", entry.path().display(), e))?;
        }
    }
    Ok(())
}
