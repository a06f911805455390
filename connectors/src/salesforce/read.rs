//! Reads one stream: spans of changes, each by a query or, when it is long, by a bulk job.

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveTime;
use serde::Deserialize;
use throughline_core::{Context, CountCheck, Error, ErrorKind, Notice, ReadEvent, ReadRequest, Result};

use super::answer::Page;
use super::bulk::{Bulk, Outcome};
use super::client::{Client, code};
use super::config::Settings;
use super::objects::{Object, Reading};
use super::plan::{Plan, millis};
use super::rows::Rows;
use super::state::{Note, Open, State};
use crate::flow::Out;

/// Changes younger than this are left to the next read: clocks differ, and answers lag.
const LAG_MS: i64 = 60_000;
/// Queries that Salesforce forgets without having given a record, before that is an error.
const ATTEMPTS: u32 = 3;

pub(crate) struct Reader {
    pub ctx: Context,
    pub client: Client,
    pub settings: Arc<Settings>,
    pub object: Object,
    pub out: Out,
}

#[derive(Deserialize)]
struct Keys {
    #[serde(rename = "Id")]
    id: String,
    #[serde(rename = "SystemModstamp", default)]
    stamp: Option<String>,
    #[serde(rename = "LastModifiedDate", default)]
    modified: Option<String>,
    #[serde(rename = "CreatedDate", default)]
    created: Option<String>,
}

impl Keys {
    fn at(&self, cursor: &str) -> Option<i64> {
        let text = match cursor {
            "SystemModstamp" => &self.stamp,
            "LastModifiedDate" => &self.modified,
            _ => &self.created,
        };
        text.as_deref().and_then(millis)
    }
}

impl Reader {
    pub async fn run(self, request: ReadRequest) -> Result<()> {
        let (description, clock) = match self.client.describe(&self.object.name).await {
            Ok(found) => found,
            Err(e) if e.kind() == ErrorKind::NotFound && self.object.optional => {
                let message = format!("the org has no {}, or the user may not see it", self.object.name);
                return self.notice("object_missing", message).await;
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                return Err(e.hint(format!("does the org have {0}, and may the user read it? Leave the stream out with `streams` if not", self.object.name)));
            }
            Err(e) => return Err(e),
        };
        let plan = Plan::new(&self.object, &self.settings, description);
        if plan.fields.first().is_none_or(|f| f.name != "Id") {
            return Err(Error::unsupported(format!("{} has no Id, and cannot be read", self.object.name)));
        }
        let hidden = plan.hidden(&self.object);
        if !hidden.is_empty() {
            let message = format!(
                "the user does not see {} of {}: what is computed from them is empty",
                hidden.join(", "),
                self.object.name
            );
            self.notice("fields_hidden", message).await?;
        }
        if self.object.reading == Reading::Whole {
            return self.whole(&plan, request.max_pages).await;
        }
        if plan.cursor.is_none() {
            let message = format!("{} does not tell when its records were changed", self.object.name);
            return Err(Error::unsupported(message).hint("leave it out of `objects`"));
        }
        let now_ms = clock.unwrap_or_else(|| self.ctx.clock.now_us().div_euclid(1000));
        let to_ms = now_ms - LAG_MS;
        let start = self.settings.start_on.map(|d| d.and_time(NaiveTime::MIN).and_utc().timestamp_millis());
        if let Some(pages) = request.max_pages {
            return self.preview(&plan, &Open::new(start, to_ms), pages).await;
        }
        let mut state = State::of(request.checkpoint.as_ref())?;
        state.finished = None;
        let mut rows = Rows::new(format!("{}.{}", self.ctx.name, self.object.stream), &plan)?;
        if let Some(window) = request.window {
            let ms = |us: i64| us.div_euclid(1000) + i64::from(us.rem_euclid(1000) > 0);
            let open = Open::new(Some(ms(window.from_us)), ms(window.to_us));
            let mut state = State { shape: plan.shape.clone(), ..State::default() };
            self.span(&plan, &mut rows, open, &mut state, false).await?;
            if let Some(job) = &state.finished {
                // Nobody tells when a backfill's rows are safe; if they are not, it begins anew.
                self.client.drop_job(job).await?;
            }
            return Ok(());
        }
        if !state.shape.is_empty() && state.shape != plan.shape {
            let message = format!(
                "the fields of {} were changed: new ones are empty in records that did not change since; \
                 `throughline run --full-refresh` fills them",
                self.object.name
            );
            self.notice("fields_changed", message).await?;
        }
        state.shape.clone_from(&plan.shape);
        let behind_last =
            |state: &State| state.done_to_ms.map(|done| done - self.settings.overlap_ms).or(start);
        let open = state.open.take();
        if let Some(open) = self.with_noted_job(open, behind_last(&state), &plan).await? {
            self.span(&plan, &mut rows, open, &mut state, true).await?;
        }
        let from = behind_last(&state);
        if state.done_to_ms.is_none_or(|done| done < to_ms) && from.is_none_or(|from| from < to_ms) {
            self.span(&plan, &mut rows, Open::new(from, to_ms), &mut state, true).await?;
        }
        Ok(())
    }

    fn note(&self) -> Note<'_> {
        Note { ctx: &self.ctx, stream: &self.object.stream }
    }

    /// What is read in part, with the job that was started for it when no checkpoint tells of that job. A job of
    /// another span is dropped.
    async fn with_noted_job(
        &self,
        open: Option<Open>,
        from: Option<i64>,
        plan: &Plan,
    ) -> Result<Option<Open>> {
        let Some((noted, job)) = self.note().open().await? else { return Ok(open) };
        let known = open.as_ref().and_then(|open| open.job.as_ref());
        if known.is_some_and(|known| known.id == job.id) {
            return Ok(open);
        }
        let same = noted.from_ms == open.as_ref().map_or(from, |open| open.from_ms);
        if known.is_none() && same && job.shape == plan.shape {
            return Ok(Some(noted));
        }
        self.client.drop_job(&job.id).await?;
        self.note().forget().await?;
        Ok(open)
    }

    /// Reads a span to its end. With `noted`, its job outlives a crash.
    async fn span(
        &self,
        plan: &Plan,
        rows: &mut Rows,
        mut open: Open,
        state: &mut State,
        noted: bool,
    ) -> Result<()> {
        // A job of an earlier run that is still to be read counts only when it asked for the same fields.
        let bulk = Bulk { reader: self, plan };
        if open.job.as_ref().is_some_and(|job| job.shape != plan.shape) {
            open = Open::new(open.from_ms, open.to_ms);
        }
        let (mut by_query, mut fruitless, mut inherited) = (false, 0, open.job.is_some());
        loop {
            if open.job.is_none() {
                let soql = plan.ordered(&open, None);
                let first = match self.client.fits(&soql) {
                    false => None,
                    true => match self.client.query(&soql).await {
                        Ok(page) => Some(page),
                        Err(e) if code(&e) == "QUERY_TIMEOUT" && !by_query => None,
                        Err(e) => return Err(e),
                    },
                };
                if let Some(page) = first.filter(|p| by_query || p.total < self.settings.bulk_from) {
                    let before = open.rows;
                    if self.pages(plan, rows, page, &mut open, state).await? {
                        break;
                    }
                    fruitless = if open.rows > before { 0 } else { fruitless + 1 };
                    if fruitless == ATTEMPTS {
                        let message =
                            format!("Salesforce forgot the query of {} time and again", self.object.name);
                        return Err(Error::protocol(message).temporary(None));
                    }
                    continue;
                }
                // Rows before the position came by queries; a job reads the span as a whole.
                open = Open::new(open.from_ms, open.to_ms);
                match bulk.start(&open).await? {
                    Ok(job) => open.job = Some(job),
                    Err(words) if self.client.fits(&soql) => {
                        let message = format!(
                            "{} cannot be read in bulk ({words}): it is read by queries",
                            self.object.name
                        );
                        self.notice("no_bulk", message).await?;
                        by_query = true;
                        continue;
                    }
                    Err(words) => {
                        let message = format!(
                            "{} has too many fields for a query, and cannot be read in bulk ({words})",
                            self.object.name
                        );
                        return Err(Error::unsupported(message));
                    }
                }
                if noted {
                    self.note().put(&open).await?;
                }
                state.open = Some(open.clone());
                self.out.send(ReadEvent::Checkpoint(state.checkpoint())).await?;
            }
            match bulk.read(rows, &mut open, state).await? {
                Outcome::Done { job } => {
                    state.finished = Some(job);
                    break;
                }
                // What stopped an earlier run must not stop all later ones.
                Outcome::Aborted { why } if !inherited => {
                    return Err(Error::protocol(why)
                        .hint("see Setup, Bulk Data Load Jobs, for who it was; the next run asks anew"));
                }
                Outcome::Gone { why } | Outcome::Aborted { why } => {
                    fruitless += 1;
                    if fruitless == ATTEMPTS {
                        let message = format!("{} does not come by bulk jobs: {why}", self.object.name);
                        return Err(Error::protocol(message).temporary(None));
                    }
                    self.notice("job_anew", format!("{why}; the records are asked for anew")).await?;
                    if noted {
                        self.note().forget().await?;
                    }
                    open = Open::new(open.from_ms, open.to_ms);
                    inherited = false;
                }
            }
        }
        state.open = None;
        state.done_to_ms = Some(state.done_to_ms.map_or(open.to_ms, |done| done.max(open.to_ms)));
        self.out.send(ReadEvent::Checkpoint(state.checkpoint())).await
    }

    /// Reads a query page by page; false when Salesforce forgot it on the way.
    async fn pages(
        &self,
        plan: &Plan,
        rows: &mut Rows,
        first: Page,
        open: &mut Open,
        state: &mut State,
    ) -> Result<bool> {
        let expected = open.rows + first.total;
        self.out.send(ReadEvent::Total(expected)).await?;
        let (mut page, mut read, mut number) = (first, open.rows, 1);
        // Records that are changed while they are read carry a moment behind the span, and what a long transaction
        // changed one shortly before its end: neither is a position.
        let settled = open.to_ms - self.settings.overlap_ms;
        let cursor = plan.cursor.unwrap_or_default();
        loop {
            let label = format!("page {number}");
            let records = rows.page(&page, &label)?;
            let position = records.iter().enumerate().rev().find_map(|(n, record)| {
                let keys: Keys = serde_json::from_str(record).ok()?;
                let at = keys.at(cursor).filter(|at| *at < settled)?;
                // It goes into the next question.
                keys.id.bytes().all(|b| b.is_ascii_alphanumeric()).then_some((n as u64 + 1, at, keys.id))
            });
            if let Some((n, at, id)) =
                position.filter(|(_, at, _)| open.behind.as_ref().is_none_or(|(b, _)| b <= at))
            {
                open.rows = read + n;
                open.behind = Some((at, id));
            }
            read += records.len() as u64;
            for event in rows.take_events() {
                self.out.send(event).await?;
            }
            let Some(next) = page.next.clone() else { break };
            state.open = Some(open.clone());
            self.out.send(ReadEvent::Checkpoint(state.checkpoint())).await?;
            self.ctx.check_cancelled()?;
            page = match self.client.next(&next).await {
                Ok(page) => page,
                Err(e) if code(&e) == "INVALID_QUERY_LOCATOR" => return Ok(false),
                Err(e) => return Err(e),
            };
            if page.next.as_deref() == Some(next.as_str()) {
                return Err(Error::protocol("Salesforce gives the same page of a query for ever"));
            }
            number += 1;
        }
        self.count(expected, read).await?;
        Ok(true)
    }

    /// A list that is read as a whole.
    async fn whole(&self, plan: &Plan, max_pages: Option<u64>) -> Result<()> {
        let mut rows = Rows::new(format!("{}.{}", self.ctx.name, self.object.stream), plan)?;
        let mut page = self.client.query(&plan.everything()).await?;
        let (expected, mut read, mut number) = (page.total, 0, 1);
        loop {
            read += rows.page(&page, &format!("page {number}"))?.len() as u64;
            for event in rows.take_events() {
                self.out.send(event).await?;
            }
            let Some(next) = page.next.clone() else { break };
            if max_pages.is_some_and(|most| number >= most) {
                return Ok(());
            }
            page = self.client.next(&next).await?;
            if page.next.as_deref() == Some(next.as_str()) {
                return Err(Error::protocol("Salesforce gives the same page of a query for ever"));
            }
            number += 1;
        }
        self.count(expected, read).await
    }

    /// Some records, the oldest change first.
    async fn preview(&self, plan: &Plan, open: &Open, pages: u64) -> Result<()> {
        let mut rows = Rows::new(format!("{}.{}", self.ctx.name, self.object.stream), plan)?;
        let limit = pages.saturating_mul(self.settings.page_rows);
        let soql = plan.ordered(open, Some(limit));
        if !self.client.fits(&soql) {
            let message = format!("{} has too many fields for a look at it", self.object.name);
            return self.notice("no_preview", message).await;
        }
        let mut page = self.client.query(&soql).await?;
        for number in 1..=pages {
            rows.page(&page, &format!("page {number}"))?;
            for event in rows.take_events() {
                self.out.send(event).await?;
            }
            let Some(next) = page.next.clone().filter(|_| number < pages) else { break };
            page = self.client.next(&next).await?;
        }
        Ok(())
    }

    pub async fn count(&self, expected: u64, read: u64) -> Result<()> {
        let what = format!("records of {}", self.object.name);
        self.out.send(ReadEvent::Count(CountCheck { what, expected, read })).await
    }

    pub async fn notice(&self, code: &str, message: String) -> Result<()> {
        self.out.send(ReadEvent::Notice(Notice { code: code.into(), message })).await
    }

    /// Sleeps; ends when nobody listens any more.
    pub async fn pause(&self, time: Duration) -> Result<()> {
        tokio::select! {
            biased;
            () = self.out.dropped() => Err(Error::cancelled()),
            slept = self.ctx.sleep(time) => slept,
        }
    }
}
