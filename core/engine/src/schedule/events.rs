//! What the scheduler tells, in words and as JSON.

use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat};
use serde_json::{Value as Json, json};
use throughline_core::time::InstantUs;

use super::runner::Outcome;
use crate::diagnostic::Diagnostics;

/// Something a person may want to know. Names are the pipelines'.
#[derive(Clone, Debug)]
pub enum Event {
    /// A file was read; `next_us` is its next time, `None` when it has no `[schedule]`.
    Loaded {
        path: PathBuf,
        name: String,
        next_us: Option<InstantUs>,
    },
    /// A file cannot be used. `kept`: the version before it goes on.
    Broken {
        path: PathBuf,
        diagnostics: Diagnostics,
        kept: bool,
    },
    Removed {
        path: PathBuf,
        name: String,
    },
    Started {
        name: String,
        attempt: u32,
        why: Why,
    },
    Finished {
        name: String,
        outcome: Outcome,
        retry_us: Option<InstantUs>,
        next_us: Option<InstantUs>,
    },
    /// A time passed without a run.
    Skipped {
        name: String,
        due_us: InstantUs,
        why: Why,
    },
    /// A run waits for the one before it to end.
    Queued {
        name: String,
    },
    /// The store could not say when the last run was; missed times are unknown.
    Unknown {
        name: String,
        message: String,
    },
    Stopping {
        running: usize,
    },
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time came.
    Due,
    /// Its time came while nobody was there.
    Missed,
    /// The run before it still ran.
    Overlap,
    /// The run before it failed with something that may pass.
    Retry,
    /// The run before it failed for good, and the file was edited since.
    Edited,
}

pub trait Events: Send + Sync {
    fn event(&self, at_us: InstantUs, event: Event);
}

impl<F: Fn(InstantUs, Event) + Send + Sync> Events for F {
    fn event(&self, at_us: InstantUs, event: Event) {
        self(at_us, event);
    }
}

/// RFC 3339, to the second.
fn instant(us: InstantUs) -> String {
    DateTime::from_timestamp_micros(us)
        .map_or_else(|| us.to_string(), |t| t.to_rfc3339_opts(SecondsFormat::Secs, true))
}

impl Why {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Missed => "missed",
            Self::Overlap => "overlap",
            Self::Retry => "retry",
            Self::Edited => "edited",
        }
    }
}

/// One line for a log; only [`Event::Broken`] has more: a line for each thing that is wrong.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded { name, next_us: Some(next), .. } => {
                write!(f, "{name}: next run {}", instant(*next))
            }
            Self::Loaded { name, next_us: None, .. } => write!(f, "{name}: no [schedule], runs only by hand"),
            Self::Broken { path, diagnostics, kept } => {
                let kept = if *kept { "; the version before it keeps running" } else { "" };
                write!(f, "{} cannot be used{kept}\n{diagnostics}", path.display())
            }
            Self::Removed { name, .. } => write!(f, "{name}: its file is gone"),
            Self::Started { name, attempt: 1, why } => write!(f, "{name}: run started ({})", why.as_str()),
            Self::Started { name, attempt, why } => {
                write!(f, "{name}: run started ({}, attempt {attempt})", why.as_str())
            }
            Self::Finished { name, outcome, retry_us, next_us } => {
                write!(f, "{name}: {}", outcome.as_str())?;
                if let Some(message) = outcome.message() {
                    write!(f, ": {message}")?;
                }
                match (retry_us, next_us) {
                    (Some(retry), _) => write!(f, "; again {}", instant(*retry)),
                    (None, Some(next)) => write!(f, "; next run {}", instant(*next)),
                    (None, None) => Ok(()),
                }
            }
            Self::Skipped { name, due_us, why: Why::Overlap } => {
                write!(f, "{name}: {} left out, the run before still runs", instant(*due_us))
            }
            Self::Skipped { name, due_us, .. } => write!(f, "{name}: {} was missed", instant(*due_us)),
            Self::Queued { name } => write!(f, "{name}: due again, waits for the run before"),
            Self::Unknown { name, message } => {
                write!(f, "{name}: cannot tell whether a run was missed: {message}")
            }
            Self::Stopping { running } => write!(f, "stopping after {running} running"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl Event {
    /// One object: `at`, `event`, and what belongs to it.
    pub fn to_json(&self, at_us: InstantUs) -> Json {
        let time = |us: &Option<InstantUs>| us.map(instant);
        let (event, mut rest) = match self {
            Self::Loaded { path, name, next_us } => {
                ("loaded", json!({ "path": path, "pipeline": name, "next_at": time(next_us) }))
            }
            Self::Broken { path, diagnostics, kept } => {
                ("broken", json!({ "path": path, "kept": kept, "errors": diagnostics.to_json() }))
            }
            Self::Removed { path, name } => ("removed", json!({ "path": path, "pipeline": name })),
            Self::Started { name, attempt, why } => {
                ("started", json!({ "pipeline": name, "attempt": attempt, "why": why.as_str() }))
            }
            Self::Finished { name, outcome, retry_us, next_us } => (
                "finished",
                json!({
                    "pipeline": name, "status": outcome.as_str(), "message": outcome.message(),
                    "temporary": matches!(outcome, Outcome::Temporary { .. }),
                    "retry_at": time(retry_us), "next_at": time(next_us),
                }),
            ),
            Self::Skipped { name, due_us, why } => {
                ("skipped", json!({ "pipeline": name, "due_at": instant(*due_us), "why": why.as_str() }))
            }
            Self::Queued { name } => ("queued", json!({ "pipeline": name })),
            Self::Unknown { name, message } => ("unknown", json!({ "pipeline": name, "message": message })),
            Self::Stopping { running } => ("stopping", json!({ "running": running })),
            Self::Stopped => ("stopped", json!({})),
        };
        let mut object = json!({ "at": instant(at_us), "event": event });
        if let (Some(object), Some(rest)) = (object.as_object_mut(), rest.as_object_mut()) {
            object.append(rest);
        }
        object
    }
}
