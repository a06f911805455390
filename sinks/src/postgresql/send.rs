//! Rows to chunks, chunks to the server.

use arrow::array::RecordBatch;
use bytes::Bytes;
use throughline_core::{Context, Error, Result, TxnId};
use throughline_postgresql::Failure;
use tokio::sync::{Mutex, mpsc};

use super::encode::{Encoder, HEADER, TRAILER};
use super::names::{literal, quoted};
use super::options::Settings;
use super::plan::Plan;
use super::session::{Backoff, Session, unless_stopped};

/// Bytes of one COPY. Four of them are in memory: being encoded, waiting, two being sent.
const CHUNK: usize = 4 << 20;
/// Rows that are encoded before the size is looked at: few, since a row may be a megabyte.
const SLICE: usize = 256;

/// Rows of one COPY, header and trailer included.
pub(super) struct Chunk {
    rows: u64,
    data: Bytes,
}

/// Turns batches into chunks, on a thread that may work; gives how many texts lost a NUL.
pub(super) fn encode(
    table: &str,
    key: &[String],
    mut batches: mpsc::Receiver<RecordBatch>,
    chunks: &mpsc::Sender<Chunk>,
) -> Result<u64> {
    let mut encoder = Encoder::new(table, key);
    let fresh = || {
        let mut data = Vec::with_capacity(CHUNK + (CHUNK >> 2));
        data.extend_from_slice(HEADER);
        data
    };
    let send = |rows: u64, mut data: Vec<u8>| {
        data.extend_from_slice(TRAILER);
        chunks.blocking_send(Chunk { rows, data: data.into() }).is_ok()
    };
    let (mut in_chunk, mut data) = (0, fresh());
    while let Some(batch) = batches.blocking_recv() {
        let mut from = 0;
        while from < batch.num_rows() {
            let rows = SLICE.min(batch.num_rows() - from);
            encoder.write(&batch.slice(from, rows), &mut data)?;
            in_chunk += rows as u64;
            from += rows;
            if data.len() >= CHUNK
                && !send(std::mem::take(&mut in_chunk), std::mem::replace(&mut data, fresh()))
            {
                // The sender has failed and says why itself.
                return Ok(encoder.replaced);
            }
        }
    }
    if in_chunk > 0 {
        send(in_chunk, data);
    }
    Ok(encoder.replaced)
}

/// Sends chunks, each exactly once.
pub(super) struct Sender<'a> {
    pub settings: &'a Settings,
    pub ctx: &'a Context,
    pub plan: &'a Plan,
    pub txn: &'a TxnId,
    pub lane: usize,
    pub session: Option<Session>,
    /// Those that arrived.
    pub chunks: u64,
    pub rows: u64,
}

impl Sender<'_> {
    /// Sends what comes until nothing comes any more.
    pub(super) async fn drain(&mut self, chunks: &Mutex<mpsc::Receiver<Chunk>>) -> Result<()> {
        loop {
            // The other lane may wait here too; nobody holds it while sending.
            let next = chunks.lock().await.recv().await;
            match next {
                Some(chunk) => self.send(chunk).await?,
                None => return Ok(()),
            }
        }
    }

    async fn send(&mut self, chunk: Chunk) -> Result<()> {
        let mut backoff = Backoff::default();
        loop {
            let ctx = self.ctx;
            match unless_stopped(ctx, self.send_once(&chunk)).await {
                Ok(()) => break,
                Err(failure) => {
                    self.session = None;
                    backoff.wait(ctx, failure).await?;
                }
            }
        }
        self.chunks += 1;
        self.rows += chunk.rows;
        Ok(())
    }

    async fn send_once(&mut self, chunk: &Chunk) -> Result<(), Failure> {
        let session = match &mut self.session {
            Some(session) => session,
            None => self.session.insert(Session::open(self.settings).await?),
        };
        let (out, lanes) = (&self.plan.out, self.settings.own("lanes"));
        let place = format!("{} AND lane = {}", place_of(self.plan, self.txn), self.lane);
        session.begin().await?;
        let counted = session
            .run(&format!(
                "UPDATE {lanes} SET chunks = chunks + 1, rows = rows + {} WHERE {place} AND chunks = {}",
                chunk.rows, self.chunks
            ))
            .await?;
        if counted.touched != 1 {
            let found = session.value(&format!("SELECT chunks FROM {lanes} WHERE {place}")).await?;
            session.run("ROLLBACK").await?;
            if found == Some((self.chunks + 1).to_string()) {
                // It was committed, and the answer was lost.
                return Ok(());
            }
            return Err(taken());
        }
        let columns: Vec<String> = self.plan.columns.iter().map(|(name, _)| quoted(name)).collect();
        let sql = format!(
            "COPY {} ({}) FROM STDIN (FORMAT binary)",
            self.settings.own(&out.staged),
            columns.join(", ")
        );
        let arrived = session.connection.copy(&sql, &chunk.data).await?;
        if arrived != chunk.rows {
            let what = format!("{arrived} rows arrived in place of {}", chunk.rows);
            return Err(Error::bug(what).into());
        }
        session.commit().await
    }
}

pub(super) fn taken() -> Failure {
    Error::data("another run stages the same table of the same epoch, or what was loaded is gone")
        .hint("see that one run of the pipeline goes at a time, then run again")
        .into()
}

/// The rows of the ledger that are this attempt's.
pub(super) fn place_of(plan: &Plan, txn: &TxnId) -> String {
    format!(
        "txn = {} AND name = {} AND attempt = {}",
        literal(&txn.0),
        literal(&plan.table.name),
        literal(&plan.out.attempt)
    )
}
