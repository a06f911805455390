//! How far the messages of a community were read.

use serde::{Deserialize, Serialize};
use throughline_core::{Checkpoint, Error, Result};

/// Ids of messages rise with time over all conversations of a community.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// All messages up to here were read,
    pub upto: Mark,
    /// and of a pass that is not over yet, these.
    pub pass: Option<Pass>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub id: i64,
    /// Unix seconds: for messages without an id.
    pub date: i64,
}

impl Mark {
    /// Whether a message was read by a pass that came this far. Of messages without ids, those of the last second
    /// are read once more.
    pub fn covers(&self, id: i64, date: i64) -> bool {
        if id > 0 { id <= self.id } else { date < self.date }
    }
}

/// Conversation by conversation, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pass {
    /// What is read when it is over: the latest message when it began.
    pub top: Mark,
    /// Conversations up to this number are done.
    pub done: Option<i64>,
    /// The one that is being read, and how far down.
    pub inside: Option<Inside>,
    /// VK's own count of the conversations that were read from their beginning, and ours.
    pub expected: u64,
    pub read: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Inside {
    pub peer: i64,
    /// The least id so far; 0 where messages have none, and then `offset` counts.
    pub lowest: i64,
    pub offset: u64,
    /// Messages that were read of it, and VK's count when it was begun.
    pub got: u64,
    pub count: u64,
}

impl State {
    pub fn read(checkpoint: Option<&Checkpoint>) -> Result<Self> {
        match checkpoint {
            None => Ok(Self::default()),
            Some(checkpoint) => serde_json::from_value(checkpoint.0.clone())
                .map_err(|e| Error::bug(format!("the checkpoint of VK's messages cannot be read: {e}"))),
        }
    }

    pub fn checkpoint(&self) -> Result<Checkpoint> {
        serde_json::to_value(self).map(Checkpoint).map_err(|e| Error::bug(e.to_string()))
    }
}
