//! What is remembered: the checkpoint, and the names of reports that outlive a crash.
//!
//! Direct knows a report by its name: asked again under the same name it goes on with the same report, or
//! gives the one it keeps for five hours. So a name is noted before it is used. A run that follows a crash
//! uses it again, so that no second report joins the queue; once the rows are safe the name goes, because
//! the next run wants fresh figures.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use throughline_core::time::{InstantUs, US_PER_DAY};
use throughline_core::{Checkpoint, Context, Error, Result};

use super::config::mark;
use crate::days::Days;

/// Direct keeps reports for five hours: a name is used again only while its report surely is there.
const NAME_LASTS_US: i64 = US_PER_DAY / 6;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// All days before this one were read at least once.
    pub done_to: Option<NaiveDate>,
    /// The first day that was ever read.
    pub first: Option<NaiveDate>,
    /// When the long, weekly correction was read last.
    pub weekly_on: Option<NaiveDate>,
    /// The settings under which all of that was read.
    #[serde(default)]
    pub shape: String,
    /// Notes of reports whose rows are all behind this checkpoint.
    #[serde(default)]
    pub finished: Vec<String>,
}

impl State {
    pub fn read(checkpoint: Option<&Checkpoint>) -> Result<Self> {
        let Some(checkpoint) = checkpoint else { return Ok(Self::default()) };
        serde_json::from_value(checkpoint.0.clone())
            .map_err(|e| Error::bug(format!("the checkpoint of a Direct stream cannot be read: {e}")))
    }
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::to_value(self).unwrap_or_default())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    name: String,
    at_us: InstantUs,
}

/// The name of a report, and the key of its note.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub name: String,
    pub key: String,
    /// An earlier run asked for it.
    pub old: bool,
}

pub(crate) struct Notes<'a>(pub &'a Context);

impl Notes<'_> {
    /// The name under which to ask for `question`, a text that holds all parameters of the report.
    pub async fn name(&self, login: &str, days: Days, question: &str) -> Result<Named> {
        let (now, mark) = (self.0.clock.now_us(), mark(question));
        let key = format!("report/{login}/{}_{}/{mark}", days.first, days.last);
        let note = self.0.notes.get(&key).await?.and_then(|v| serde_json::from_value::<Note>(v).ok());
        if let Some(note) = note.filter(|n| (0..NAME_LASTS_US).contains(&(now - n.at_us))) {
            return Ok(Named { name: note.name, key, old: true });
        }
        let serial = self.next("serial").await?;
        // Names are the account's: another installation may count the same.
        let name = format!("throughline {mark} {now}-{serial}");
        let note = serde_json::to_value(Note { name: name.clone(), at_us: now })
            .map_err(|e| Error::bug(format!("a note cannot be written: {e}")))?;
        self.0.notes.put(&key, Some(note)).await?;
        Ok(Named { name, key, old: false })
    }

    /// A number that was never given before.
    pub async fn next(&self, what: &str) -> Result<u64> {
        let key = format!("serial/{what}");
        let next = self.0.notes.get(&key).await?.and_then(|v| v.as_u64()).unwrap_or(0) + 1;
        self.0.notes.put(&key, Some(next.into())).await?;
        Ok(next)
    }

    pub async fn forget(&self, key: &str) -> Result<()> {
        self.0.notes.put(key, None).await
    }

    /// Drops names that serve no more.
    pub async fn tidy(&self, state: &State) -> Result<()> {
        let now = self.0.clock.now_us();
        for (key, value) in self.0.notes.list("report/").await? {
            let fresh = serde_json::from_value::<Note>(value)
                .is_ok_and(|n| (0..NAME_LASTS_US).contains(&(now - n.at_us)));
            if !fresh || state.finished.contains(&key) {
                self.forget(&key).await?;
            }
        }
        Ok(())
    }
}
