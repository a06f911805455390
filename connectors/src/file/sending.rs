//! What a reader of one file tells the engine, and where it can go on.

use bytes::Bytes;
use throughline_core::{Batch, Checkpoint, Error, Notice, ReadEvent, Reject, Result};
use tokio_util::sync::CancellationToken;

use arrow::array::RecordBatch;

use crate::flow::Out;
use crate::lines::HEAD;

/// Rows between two checkpoints inside a file.
const CHECKPOINT_ROWS: u64 = 50_000;

/// Sends what one file holds.
pub(crate) struct Sending<'a> {
    pub out: &'a Out,
    pub cancel: &'a CancellationToken,
    /// Records of this file that landed in an earlier read.
    pub skip: u64,
    /// Records of this file so far, rows and rejected ones, skipped ones included.
    pub records: u64,
    /// Batches still wanted; `None`: all.
    pub pages_left: Option<u64>,
    pub since_checkpoint: u64,
    /// The checkpoint that stands for so many records of this file; `None`: this read gives none.
    pub checkpoint: Option<&'a dyn Fn(u64) -> Checkpoint>,
}

impl Sending<'_> {
    /// True for a record that landed before.
    pub fn skips(&mut self) -> bool {
        let skips = self.records < self.skip;
        self.records += u64::from(skips);
        skips
    }

    /// A record became a row of the batch to come.
    pub fn took_record(&mut self) {
        self.records += 1;
    }

    /// # Errors
    /// `Cancelled` when nobody listens any more.
    pub fn reject(&mut self, reason: String, place: String, raw: &[u8]) -> Result<()> {
        self.records += 1;
        let reason = if raw.len() > HEAD {
            format!("{reason}; only its first {HEAD} bytes are kept here")
        } else {
            reason
        };
        let raw = Bytes::copy_from_slice(&raw[..raw.len().min(HEAD)]);
        self.out.send_blocking(ReadEvent::Rejected(Reject { reason, place, raw }))
    }

    pub fn notice(&self, code: &str, message: String) -> Result<()> {
        self.out.send_blocking(ReadEvent::Notice(Notice { code: code.into(), message }))
    }

    /// All records so far are in this batch or in one before, or were rejected. False when no more is
    /// wanted.
    pub fn batch(&mut self, rows: RecordBatch, page: String) -> Result<bool> {
        if self.cancel.is_cancelled() {
            return Err(Error::cancelled());
        }
        self.since_checkpoint += rows.num_rows() as u64;
        self.out.send_blocking(ReadEvent::Batch(Batch { rows, exchange: None, page }))?;
        if let Some(left) = &mut self.pages_left {
            *left = left.saturating_sub(1);
            if *left == 0 {
                return Ok(false);
            }
        }
        if self.since_checkpoint >= CHECKPOINT_ROWS
            && let Some(checkpoint) = self.checkpoint
        {
            self.since_checkpoint = 0;
            self.out.send_blocking(ReadEvent::Checkpoint(checkpoint(self.records)))?;
        }
        Ok(true)
    }
}
