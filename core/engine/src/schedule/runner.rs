//! What the scheduler needs to run a pipeline, and how a run ended as far as it cares.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use throughline_core::time::InstantUs;
use throughline_core::{Error, Result, Retry};
use tokio_util::sync::CancellationToken;

use crate::diagnostic::Diagnostics;
use crate::pipeline::Pipeline;
use crate::run::{RunReport, RunStatus};

/// What the loop needs of the world.
#[async_trait]
pub trait Runner: Send + Sync + 'static {
    fn load(&self, path: &Path) -> std::result::Result<Pipeline, Diagnostics>;

    /// When the last run of this pipeline began, whoever started it; `None`: there was none.
    async fn last_begun_us(&self, pipeline: &Pipeline) -> Result<Option<InstantUs>>;

    /// Runs to the end. `cancel` asks to stop behind the page or commit at hand.
    async fn run(&self, pipeline: Arc<Pipeline>, cancel: CancellationToken) -> Outcome;
}

/// When the last run of a pipeline began, by its state folder; for [`Runner::last_begun_us`].
///
/// # Errors
/// The state cannot be read.
pub async fn last_begun_us(pipeline: &Pipeline) -> Result<Option<InstantUs>> {
    // Asking must not make a state folder: a pipeline that never ran has none.
    let file = pipeline.state_dir.join(throughline_store::STATE_FILE);
    if !file.is_file() {
        return Ok(None);
    }
    let store = throughline_store::Store::open(&file)?;
    Ok(store.runs(Some(&pipeline.name), 1).await?.first().map(|run| run.started_at_us))
}

/// How a run ended, as far as the schedule cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Succeeded,
    /// Published, and known not to be complete: the next time reads the rest.
    Incomplete,
    Cancelled,
    /// May pass: is tried again.
    Temporary {
        message: String,
        after: Option<Duration>,
    },
    /// Will not pass by itself.
    Permanent {
        message: String,
    },
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        let message = error.to_string();
        match error.retry() {
            Retry::Temporary { after } => Self::Temporary { message, after },
            Retry::Permanent => Self::Permanent { message },
        }
    }
}

impl From<&RunReport> for Outcome {
    fn from(report: &RunReport) -> Self {
        match report.status {
            RunStatus::Succeeded => Self::Succeeded,
            RunStatus::Incomplete => Self::Incomplete,
            RunStatus::Cancelled => Self::Cancelled,
            RunStatus::Failed => {
                // One error that stays makes another try useless.
                let first = report.errors.iter().find(|e| !e.temporary).or(report.errors.first());
                let message = first.map_or_else(|| "the run failed".to_owned(), |e| e.message.clone());
                if report.errors.iter().any(|e| !e.temporary) || report.errors.is_empty() {
                    return Self::Permanent { message };
                }
                let after =
                    report.errors.iter().filter_map(|e| e.retry_after_s).max().map(Duration::from_secs);
                Self::Temporary { message, after }
            }
        }
    }
}

impl Outcome {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Incomplete => "incomplete",
            Self::Cancelled => "cancelled",
            Self::Temporary { .. } | Self::Permanent { .. } => "failed",
        }
    }

    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Temporary { message, .. } | Self::Permanent { message } => Some(message),
            _ => None,
        }
    }
}
