//! What is remembered: up to when changes were read, and where a read stands that is not done; and, beside it, bulk
//! jobs, which outlive a crash.

use serde::{Deserialize, Serialize};
use throughline_core::{Checkpoint, Context, Error, Result};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// All that was changed before this moment was read. Milliseconds since 1970, as all moments here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_to_ms: Option<i64>,
    /// Stands for the fields that were read.
    #[serde(default)]
    pub shape: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
    /// A bulk job whose rows are safe with this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
}

/// A span of changes that is read in part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<i64>,
    pub to_ms: i64,
    /// Rows up to the position.
    pub rows: u64,
    /// Position of a query: moment of change and id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<(i64, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<OpenJob>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct OpenJob {
    pub id: String,
    /// Of the next piece; empty at the beginning.
    pub locator: String,
    /// Stands for the fields that the job was asked for.
    pub shape: String,
}

impl Open {
    pub fn new(from_ms: Option<i64>, to_ms: i64) -> Self {
        Self { from_ms, to_ms, ..Self::default() }
    }
}

impl State {
    pub fn of(checkpoint: Option<&Checkpoint>) -> Result<Self> {
        let Some(checkpoint) = checkpoint else { return Ok(Self::default()) };
        serde_json::from_value(checkpoint.0.clone()).map_err(|e| {
            Error::config(format!("the checkpoint is of another connector: {e}"))
                .hint("read the stream anew with --full-refresh")
        })
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::to_value(self).unwrap_or_default())
    }
}

/// The bulk job of a stream. It is noted before a checkpoint can tell of it: a run that follows a crash goes on with it,
/// and none is left behind.
pub(crate) struct Note<'a> {
    pub ctx: &'a Context,
    pub stream: &'a str,
}

impl Note<'_> {
    fn key(&self) -> String {
        format!("job/{}", self.stream)
    }

    /// The span that a job was started for.
    pub async fn open(&self) -> Result<Option<(Open, OpenJob)>> {
        let noted = self.ctx.notes.get(&self.key()).await?;
        let open = noted.and_then(|value| serde_json::from_value::<Open>(value).ok());
        Ok(open.and_then(|open| open.job.clone().map(|job| (open, job))))
    }

    pub async fn put(&self, open: &Open) -> Result<()> {
        self.ctx.notes.put(&self.key(), serde_json::to_value(open).ok()).await
    }

    pub async fn forget(&self) -> Result<()> {
        self.ctx.notes.put(&self.key(), None).await
    }
}
