//! Placing log requests so that none is made twice and none is left behind.

use std::time::Duration;

use chrono::{DateTime, Days as Count, NaiveDate};
use throughline_core::{Context, Error, ErrorKind, Result};

use super::client::{Client, Days, LogRequest, Status};
use super::config::Settings;
use super::fields::Kind;
use super::state::{Note, Notes, State};

/// Attempts to create a request whose answer gets lost.
const CREATES: u32 = 3;

pub(crate) struct Orders<'a> {
    notes: Notes<'a>,
    client: &'a Client,
    settings: &'a Settings,
    kind: Kind,
    today: NaiveDate,
}

impl<'a> Orders<'a> {
    pub fn new(
        ctx: &'a Context,
        client: &'a Client,
        settings: &'a Settings,
        kind: Kind,
        today: NaiveDate,
    ) -> Self {
        Self { notes: Notes { ctx, kind }, client, settings, kind, today }
    }

    fn fields(&self) -> &'a [String] {
        self.settings.fields(self.kind)
    }

    /// Cleans what earlier runs left: requests behind the checkpoint, and those of a crashed run that
    /// cannot serve any more. `keep` is the one this run goes on with.
    pub async fn tidy(&self, state: &State, keep: Option<u64>) -> Result<()> {
        let (noted, intents) = (self.notes.requests().await?, self.notes.intents().await?);
        if noted.is_empty() && intents.is_empty() {
            return Ok(());
        }
        let listed = self.client.list().await?;
        for (id, note) in noted {
            let request = listed.iter().find(|r| r.request_id == id);
            let serves = request.is_some_and(|r| self.is_usable(r, note.days, Some(&note)));
            if Some(id) != keep && (state.finished.contains(&id) || note.backfilled || !serves) {
                self.remove(id, request.map(|r| r.status)).await?;
            }
        }
        // A create whose answer nobody saw. Still wanted, it is found when its days are placed.
        for intent in intents {
            for request in listed.iter().filter(|r| r.is_equal(self.kind, intent.days, &intent.fields)) {
                if self.is_usable(request, intent.days, Some(&intent)) {
                    self.notes.created(request.request_id, &intent).await?;
                } else {
                    self.remove(request.request_id, Some(request.status)).await?;
                }
            }
            self.notes.forget_intent(intent.days).await?;
        }
        Ok(())
    }

    /// The request, when it is still there to be read.
    pub async fn usable(&self, id: u64) -> Result<Option<LogRequest>> {
        match self.client.status(id).await {
            Ok(request) if request.status.is_waiting() || request.status == Status::Processed => {
                Ok(Some(request))
            }
            Ok(_) => Ok(None),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A request for the first of `days`, as many as Metrica prepares at once: one that is there
    /// already, or a new one.
    pub async fn place(&self, days: Days) -> Result<(LogRequest, Days)> {
        let noted = self.notes.requests().await?;
        let listed = self.client.list().await?;
        let mut days = first_of(days, self.settings.request_days.into());
        loop {
            for request in &listed {
                let note = noted.iter().find(|(id, _)| *id == request.request_id).map(|(_, note)| note);
                if self.is_usable(request, days, note) {
                    if note.is_none() {
                        self.notes.created(request.request_id, &self.note(days)).await?;
                    }
                    return Ok((request.clone(), days));
                }
            }
            let evaluation = self.client.evaluate(self.kind, days, self.fields()).await?;
            if evaluation.possible {
                return Ok((self.create(days).await?, days));
            }
            let asked = (days.last - days.first).num_days() + 1;
            if asked <= 1 {
                return Err(Error::new(
                    ErrorKind::RateLimited,
                    format!("Metrica cannot prepare even one day ({} of {days})", self.kind.stream()),
                )
                .hint("10 GB of prepared logs may wait: clean old log requests of this counter")
                .temporary(None));
            }
            let most = evaluation.max_possible_day_quantity;
            let fewer = if most > 0 && most < asked { most } else { asked / 2 };
            days = first_of(days, fewer.unsigned_abs().max(1));
        }
    }

    /// Creates a request. When the answer is lost, the list tells whether it was made.
    pub async fn create(&self, days: Days) -> Result<LogRequest> {
        let note = self.note(days);
        let before: Vec<u64> = self.client.list().await?.iter().map(|r| r.request_id).collect();
        self.notes.intend(&note).await?;
        let mut attempt = 1;
        let request = loop {
            let error = match self.client.create(self.kind, days, self.fields()).await {
                Ok(request) => break request,
                Err(error) => error,
            };
            if !error.is_temporary() {
                // Refused, not lost: there is nothing to look for.
                self.notes.forget_intent(days).await?;
                return Err(error);
            }
            let made = self.client.list().await?.into_iter().find(|r| {
                r.is_equal(self.kind, days, self.fields())
                    && !before.contains(&r.request_id)
                    && (r.status.is_waiting() || r.status == Status::Processed)
            });
            if let Some(request) = made {
                break request;
            }
            if attempt == CREATES {
                return Err(error);
            }
            self.notes.ctx.sleep(Duration::from_secs(2 << attempt)).await?;
            attempt += 1;
        };
        self.notes.created(request.request_id, &note).await?;
        Ok(request)
    }

    /// A backfill has read all of it.
    pub async fn backfilled(&self, id: u64) -> Result<()> {
        self.notes.backfilled(id).await
    }

    /// A name for a window that no other has.
    pub async fn window_id(&self, days: Days, request: u64) -> Result<String> {
        let serial = self.notes.next_serial().await?;
        Ok(format!("{}:{}:{}#{request}.{serial}", self.kind.stream(), days.first, days.last))
    }

    /// A request nobody needs any more.
    pub async fn drop_order(&self, id: u64) -> Result<()> {
        match self.client.status(id).await {
            Ok(request) => self.remove(id, Some(request.status)).await,
            Err(e) if e.kind() == ErrorKind::NotFound => self.remove(id, None).await,
            Err(e) => Err(e),
        }
    }

    async fn remove(&self, id: u64, status: Option<Status>) -> Result<()> {
        match status {
            Some(Status::Processed) => self.client.clean(id).await?,
            Some(Status::Created | Status::AwaitingRetry) => self.client.cancel(id).await?,
            _ => {}
        }
        self.notes.forget(id).await
    }

    fn note(&self, days: Days) -> Note {
        Note {
            days,
            fields: self.fields().to_vec(),
            created_us: self.notes.ctx.clock.now_us(),
            backfilled: false,
        }
    }

    /// Whether a request that is there already can serve for `days`. What was prepared long ago lacks
    /// later corrections: it serves only when it is of today, or no correction is to be expected.
    fn is_usable(&self, request: &LogRequest, days: Days, note: Option<&Note>) -> bool {
        if !request.is_equal(self.kind, days, self.fields()) {
            return false;
        }
        if request.status.is_waiting() {
            return true;
        }
        let Some(yesterday) = self.today.pred_opt() else { return false };
        let settled = self.today.checked_sub_days(Count::new(u64::from(self.settings.restate_days) + 1));
        // Yesterday can be asked for since this midnight.
        let of_today = days.last == yesterday || note.is_some_and(|n| self.is_recent(n));
        request.status == Status::Processed && (of_today || settled.is_some_and(|s| days.last <= s))
    }

    fn is_recent(&self, note: &Note) -> bool {
        let age = self.notes.ctx.clock.now_us().saturating_sub(note.created_us);
        DateTime::from_timestamp_micros(note.created_us).is_some() && age < throughline_core::time::US_PER_DAY
    }
}

fn first_of(days: Days, count: u64) -> Days {
    let last = days.first.checked_add_days(Count::new(count.saturating_sub(1))).unwrap_or(days.last);
    Days { first: days.first, last: last.min(days.last) }
}
