//! What is remembered: the checkpoint, and notes of log requests that outlive a crash.
//!
//! A log request takes space at Metrica until it is cleaned, and creating one is not idempotent. So a
//! note is made before one is created (the intent) and right after (its number), and it goes only when
//! the request was cleaned. Whatever a crashed run left is found by these notes and the counter's list.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use throughline_core::time::InstantUs;
use throughline_core::{Checkpoint, Context, Error, Result};

use super::client::Days;
use super::fields::Kind;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// All days before this one were read at least once.
    pub done_to: Option<NaiveDate>,
    /// The log request that is being read.
    pub open: Option<OpenRequest>,
    /// Log requests whose rows are all behind this checkpoint: to be cleaned.
    #[serde(default)]
    pub finished: Vec<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenRequest {
    pub id: u64,
    pub days: Days,
    /// Its window: rows of parts that landed carry this name.
    pub window: String,
    /// The first part that has not landed.
    pub next_part: u64,
}

impl State {
    pub fn read(checkpoint: Option<&Checkpoint>) -> Result<Self> {
        let Some(checkpoint) = checkpoint else { return Ok(Self::default()) };
        serde_json::from_value(checkpoint.0.clone())
            .map_err(|e| Error::bug(format!("the checkpoint of a Metrica stream cannot be read: {e}")))
    }
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::to_value(self).unwrap_or_default())
    }
}

/// What is noted of a log request of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub days: Days,
    pub fields: Vec<String>,
    pub created_us: InstantUs,
    /// Read to its end by a backfill, whose checkpoints are not kept and of which nobody says that it is
    /// safe: the next read cleans it.
    #[serde(default)]
    pub backfilled: bool,
}

/// The notes of one stream.
#[derive(Clone, Copy)]
pub(crate) struct Notes<'a> {
    pub ctx: &'a Context,
    pub kind: Kind,
}

impl Notes<'_> {
    fn request_prefix(&self) -> String {
        format!("request/{}/", self.kind.stream())
    }
    fn intent_prefix(&self) -> String {
        format!("intent/{}/", self.kind.stream())
    }
    fn intent_key(&self, days: Days) -> String {
        format!("{}{}_{}", self.intent_prefix(), days.first, days.last)
    }

    /// Made before a request is created.
    pub async fn intend(&self, note: &Note) -> Result<()> {
        self.put(&self.intent_key(note.days), Some(note)).await
    }
    /// Made as soon as its number is known.
    pub async fn created(&self, id: u64, note: &Note) -> Result<()> {
        self.put(&format!("{}{id}", self.request_prefix()), Some(note)).await?;
        self.forget_intent(note.days).await
    }
    pub async fn backfilled(&self, id: u64) -> Result<()> {
        let key = format!("{}{id}", self.request_prefix());
        let Some(note) = self.ctx.notes.get(&key).await? else { return Ok(()) };
        let Ok(note) = serde_json::from_value::<Note>(note) else { return Ok(()) };
        self.put(&key, Some(&Note { backfilled: true, ..note })).await
    }
    pub async fn forget_intent(&self, days: Days) -> Result<()> {
        self.put(&self.intent_key(days), None).await
    }
    pub async fn forget(&self, id: u64) -> Result<()> {
        self.put(&format!("{}{id}", self.request_prefix()), None).await
    }
    pub async fn knows(&self, id: u64) -> Result<bool> {
        Ok(self.ctx.notes.get(&format!("{}{id}", self.request_prefix())).await?.is_some())
    }
    pub async fn next_serial(&self) -> Result<u64> {
        let key = format!("serial/{}", self.kind.stream());
        let next = self.ctx.notes.get(&key).await?.and_then(|v| v.as_u64()).unwrap_or(0) + 1;
        self.ctx.notes.put(&key, Some(next.into())).await?;
        Ok(next)
    }
    pub async fn requests(&self) -> Result<Vec<(u64, Note)>> {
        let prefix = self.request_prefix();
        let mut found = Vec::new();
        for (key, value) in self.ctx.notes.list(&prefix).await? {
            let id = key.strip_prefix(&prefix).and_then(|id| id.parse().ok());
            if let (Some(id), Ok(note)) = (id, serde_json::from_value(value)) {
                found.push((id, note));
            }
        }
        Ok(found)
    }
    pub async fn intents(&self) -> Result<Vec<Note>> {
        let notes = self.ctx.notes.list(&self.intent_prefix()).await?;
        Ok(notes.into_iter().filter_map(|(_, value)| serde_json::from_value(value).ok()).collect())
    }

    async fn put(&self, key: &str, note: Option<&Note>) -> Result<()> {
        let value = note.map(serde_json::to_value).transpose();
        let value = value.map_err(|e| Error::bug(format!("a note cannot be written: {e}")))?;
        self.ctx.notes.put(key, value).await
    }
}
