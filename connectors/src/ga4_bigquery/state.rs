//! What is remembered: which tables were read, as they were then, and where in a table's rows a read stands; and,
//! beside it, the ids of queries, which outlive a crash.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use throughline_core::time::{InstantUs, US_PER_DAY};
use throughline_core::{Checkpoint, Context, Error, Result};

use super::client::Job;
use super::config::mark;

/// Results are kept for a day: a query is used again only while they surely are there.
const RESULTS_LAST_US: i64 = US_PER_DAY / 24 * 20;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// When the daily table of each day had been changed last before it was read, in milliseconds since 1970.
    #[serde(default)]
    pub read: BTreeMap<NaiveDate, i64>,
    /// The settings under which all of that was read.
    #[serde(default)]
    pub shape: String,
    /// A day that is read in part.
    #[serde(default)]
    pub open: Option<Open>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Open {
    pub day: NaiveDate,
    pub table: String,
    /// As in [`State::read`].
    pub modified_ms: i64,
    pub window: String,
    pub job: Job,
    pub token: String,
    /// Rows before the token.
    pub rows: u64,
}

impl State {
    pub fn of(checkpoint: Option<&Checkpoint>) -> Result<Self> {
        let Some(checkpoint) = checkpoint else { return Ok(Self::default()) };
        serde_json::from_value(checkpoint.0.clone())
            .map_err(|e| Error::bug(format!("the checkpoint of an export to BigQuery cannot be read: {e}")))
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::to_value(self).unwrap_or_default())
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Note {
    id: String,
    question: String,
    at_us: InstantUs,
    /// Of the table, as in [`State::read`].
    modified_ms: i64,
}

pub(crate) struct Notes<'a>(pub &'a Context);

impl Notes<'_> {
    fn key(table: &str) -> String {
        format!("query/{table}")
    }

    /// The id of the query for a table; `question` stands for all that decides its answer. It is noted before it is
    /// used: a run that follows a crash goes on with the same query, which is billed once.
    pub async fn job(&self, table: &str, modified_ms: i64, question: &str) -> Result<String> {
        let (now, question) = (self.0.clock.now_us(), mark(question));
        let key = Self::key(table);
        let note = self.0.notes.get(&key).await?.and_then(|v| serde_json::from_value::<Note>(v).ok());
        let fresh = |n: &Note| n.question == question && (0..RESULTS_LAST_US).contains(&(now - n.at_us));
        if let Some(note) = note.filter(fresh) {
            return Ok(note.id);
        }
        let serial = self.next("query").await?;
        // Ids are the project's: another installation may count the same.
        let id = format!("throughline_{question}_{now}_{serial}");
        let note = serde_json::to_value(Note { id: id.clone(), question, at_us: now, modified_ms })
            .map_err(|e| Error::bug(format!("a note cannot be written: {e}")))?;
        self.0.notes.put(&key, Some(note)).await?;
        Ok(id)
    }

    pub async fn forget(&self, table: &str) -> Result<()> {
        self.0.notes.put(&Self::key(table), None).await
    }

    /// Drops queries whose rows are safe, and those whose results are gone.
    pub async fn tidy(&self, state: &State) -> Result<()> {
        let now = self.0.clock.now_us();
        for (key, value) in self.0.notes.list("query/").await? {
            let Ok(note) = serde_json::from_value::<Note>(value) else {
                self.0.notes.put(&key, None).await?;
                continue;
            };
            let day = key.rsplit('_').next().and_then(|date| NaiveDate::parse_from_str(date, "%Y%m%d").ok());
            let safe = day.and_then(|day| state.read.get(&day)) == Some(&note.modified_ms);
            if safe || !(0..RESULTS_LAST_US).contains(&(now - note.at_us)) {
                self.0.notes.put(&key, None).await?;
            }
        }
        Ok(())
    }

    /// A number that was never given before.
    pub async fn next(&self, what: &str) -> Result<u64> {
        let key = format!("serial/{what}");
        let next = self.0.notes.get(&key).await?.and_then(|v| v.as_u64()).unwrap_or(0) + 1;
        self.0.notes.put(&key, Some(next.into())).await?;
        Ok(next)
    }
}
