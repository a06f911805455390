//! What is remembered: which days were read, and under which settings.

use chrono::{Days as Count, NaiveDate};
use serde::{Deserialize, Serialize};
use throughline_core::{Checkpoint, Context, Error, Result};

use super::config::Settings;
use crate::days::Days;

const WEEK: i64 = 7;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// All days before this one were read at least once.
    pub done_to: Option<NaiveDate>,
    /// The first day that was ever read.
    pub first: Option<NaiveDate>,
    /// When the long, weekly correction was read last.
    pub weekly_on: Option<NaiveDate>,
    /// A correction that broke off: the day it was made on, and where it goes on.
    #[serde(default)]
    pub again: Option<(NaiveDate, NaiveDate)>,
    /// The settings under which all of that was read.
    #[serde(default)]
    pub shape: String,
}

/// What a run reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Due {
    pub days: Option<Days>,
    /// The weekly correction is among them.
    pub weekly: bool,
    /// Settings were changed: all days are read again.
    pub changed: bool,
}

impl State {
    pub fn read(checkpoint: Option<&Checkpoint>) -> Result<Self> {
        let Some(checkpoint) = checkpoint else { return Ok(Self::default()) };
        serde_json::from_value(checkpoint.0.clone()).map_err(|e| {
            Error::bug(format!("the checkpoint of a stream of Google Analytics cannot be read: {e}"))
        })
    }

    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::to_value(self).unwrap_or_default())
    }

    /// Days not read yet, and those that may have changed.
    pub fn due(&mut self, settings: &Settings, shape: String, today: NaiveDate) -> Due {
        let Some(yesterday) = today.pred_opt() else { return Due::default() };
        let mut from = settings.start_on;
        let changed = self.done_to.is_some() && self.shape != shape;
        if changed {
            from = self.first.map_or(from, |first| first.min(from));
        }
        // A start that was moved back: all days in order, so that a run that breaks off leaves no gap.
        if changed || self.first.is_some_and(|first| from < first) {
            *self = Self { first: self.first, ..Self::default() };
        }
        self.shape = shape;
        let weekly = self.weekly_on.is_none_or(|on| (today - on).num_days() >= WEEK);
        let first = match self.done_to {
            None => from,
            Some(done) => {
                // A first read that broke off only goes on.
                let long = if self.weekly_on.is_some() { settings.weekly_restate_days } else { 0 };
                let back = if weekly { settings.restate_days.max(long) } else { settings.restate_days };
                // Behind the last day that was read: it was young then, however long ago that is.
                let again = done.min(today).checked_sub_days(Count::new(back.into())).unwrap_or(done);
                let again = match self.again {
                    Some((on, from)) if on == today => from.max(again),
                    _ => again,
                };
                again.max(from)
            }
        };
        Due { days: (first <= yesterday).then_some(Days { first, last: yesterday }), weekly, changed }
    }

    /// A day was read.
    pub fn day_done(&mut self, day: NaiveDate, today: NaiveDate) {
        let next = day.succ_opt().unwrap_or(day);
        self.again = self.done_to.filter(|to| day < *to).map(|_| (today, next));
        self.done_to = Some(self.done_to.map_or(next, |to| to.max(next)));
        self.first = Some(self.first.map_or(day, |first| first.min(day)));
    }

    /// All that was due was read.
    pub fn all_done(&mut self, today: NaiveDate, weekly: bool) {
        self.again = None;
        if weekly {
            self.weekly_on = Some(today);
        }
    }
}

/// Ids of windows that were never given before.
pub(crate) async fn window_id(ctx: &Context, stream: &str, day: NaiveDate) -> Result<String> {
    let key = format!("serial/{stream}");
    let next = ctx.notes.get(&key).await?.and_then(|v| v.as_u64()).unwrap_or(0) + 1;
    ctx.notes.put(&key, Some(next.into())).await?;
    Ok(format!("{day}#{next}"))
}
