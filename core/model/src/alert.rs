//! Telling people that something is wrong, while nobody looks.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;

use crate::connector::{ConfigErrors, Options};
use crate::context::Context;
use crate::error::Result;
use crate::source::CheckReport;
use crate::time::InstantUs;

/// Something that is wrong with a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// `failed`, `incomplete`, `books`, `dead_letters`, `stale`, or a notice's code such as `token_share_low`.
    pub code: String,
    /// What, where, and what to do, in English.
    pub text: String,
    /// The run that first met it.
    pub since: InstantUs,
}

/// What one run has to tell: never empty.
#[derive(Clone, Debug, Serialize)]
pub struct AlertMessage {
    pub pipeline: String,
    pub run: i64,
    /// As in the run's report: `succeeded`, `incomplete`, `failed`.
    pub status: String,
    pub at: InstantUs,
    /// New, or still there after a while.
    pub troubles: Vec<Trouble>,
    /// Told before and over now.
    pub over: Vec<Trouble>,
}

impl AlertMessage {
    /// One line.
    pub fn subject(&self) -> String {
        let codes = |list: &[Trouble]| list.iter().map(|t| t.code.as_str()).collect::<Vec<_>>().join(", ");
        match (self.troubles.is_empty(), self.over.is_empty()) {
            (true, _) => format!("{}: over: {}", self.pipeline, codes(&self.over)),
            (false, true) => format!("{}: {}", self.pipeline, codes(&self.troubles)),
            (false, false) => {
                format!("{}: {}; over: {}", self.pipeline, codes(&self.troubles), codes(&self.over))
            }
        }
    }

    /// Plain text for people, of at most so many characters.
    pub fn text(&self, most_chars: usize) -> String {
        let mut text =
            format!("Throughline, pipeline {}, run {}: {}\n", self.pipeline, self.run, self.status);
        for trouble in &self.troubles {
            text.push_str(&format!("\n✗ {}: {}\n", trouble.code, trouble.text));
        }
        for trouble in &self.over {
            text.push_str(&format!("\n✓ {} is over: {}\n", trouble.code, trouble.text));
        }
        let look = format!("\nMore: throughline runs show {}", self.run);
        let room = most_chars.saturating_sub(look.chars().count());
        if text.chars().count() > room {
            text = text.chars().take(room.saturating_sub(2)).collect();
            text.push_str("…\n");
        }
        text + &look
    }
}

/// One `[[alert]]`, set up with its options.
#[async_trait]
pub trait Alerter: Send + Sync {
    /// Looks whether a message would arrive; sends none.
    async fn check(&self, ctx: &Context) -> Result<CheckReport>;

    /// # Errors
    /// It did not arrive, or nobody knows: the next run that has the same to tell tries again.
    async fn send(&self, ctx: &Context, message: &AlertMessage) -> Result<()>;
}

pub type DynAlerter = Arc<dyn Alerter>;

/// A way to tell people, by the word users write after `connector =`.
pub trait AlertConnector: Send + Sync {
    fn name(&self) -> &str;
    fn summary(&self) -> &str;
    /// JSON Schema of the options.
    fn schema(&self) -> serde_json::Value;
    fn build(&self, options: &Options) -> std::result::Result<DynAlerter, ConfigErrors>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_keeps_its_way_out() {
        let trouble = Trouble { code: "failed".into(), text: "ж".repeat(9000), since: 0 };
        let message = AlertMessage {
            pipeline: "магазин".into(),
            run: 7,
            status: "failed".into(),
            at: 0,
            troubles: vec![trouble],
            over: Vec::new(),
        };
        let text = message.text(4000);
        assert_eq!(text.chars().count(), 4000);
        assert!(text.ends_with("…\n\nMore: throughline runs show 7"), "{}", &text[text.len() - 60..]);
        assert_eq!(message.subject(), "магазин: failed");
    }
}
