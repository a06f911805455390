//! Reads costs: days in need of reading, a report of every advertiser for each span of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Datelike, Days as Count, Months, NaiveDate};
use throughline_core::time::InstantUs;
use throughline_core::{
    Batch, Context, CountCheck, Error, ErrorKind, Notice, ReadEvent, ReadRequest, Result, Window,
};

use super::client::{Advertiser, Answer, Client};
use super::config::Settings;
use super::fields::DATE;
use super::report::{self, Common, Scratch, Summary};
use super::state::{Notes, State};
use crate::days::Days;
use crate::flow::Out;
use crate::tsv::Part;

/// A report is asked for so many times before its end is believed to be missing.
const DOWNLOADS: u32 = 3;
/// Offline reports take minutes, seldom hours; their names serve for four.
const PATIENCE: Duration = Duration::from_secs(3 * 3600);
const WEEK: i64 = 7;

/// Numbers scratch files.
static SCRATCH: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Reader {
    pub ctx: Context,
    pub client: Client,
    pub settings: Settings,
    pub advertisers: Vec<Advertiser>,
    pub out: Out,
}

/// A report that is whole, and the note of its name.
struct Fetched {
    file: Scratch,
    summary: Summary,
    exchange: u64,
    note: String,
}

impl Reader {
    pub async fn run(self, request: ReadRequest) -> Result<()> {
        let today = self.day_of(self.ctx.clock.now_us());
        let Some(yesterday) = today.pred_opt() else { return Ok(()) };
        if request.max_pages.is_some() {
            return self.preview(yesterday).await;
        }
        let backfill = request.window.is_some();
        let mut state = State::read(request.checkpoint.as_ref())?;
        Notes(&self.ctx).tidy(&state).await?;
        state.finished.clear();
        let mut weekly = false;
        let span = match request.window {
            Some(window) => self.days_of(window, yesterday),
            None => self.due(&mut state, today, yesterday, &mut weekly).await?,
        };
        let mut spans = span.map(|s| s.chunks(self.settings.request_days)).unwrap_or_default();
        spans.reverse();
        while let Some(days) = spans.pop() {
            let last = spans.is_empty();
            if self.window(days, &mut state, backfill, (weekly && last).then_some(today)).await? {
                continue;
            }
            let (early, late) = days.halves();
            self.notice(
                "report_split",
                format!("the report of {days} is too large; its days are asked for in two"),
            )
            .await?;
            spans.push(late);
            spans.push(early);
        }
        Ok(())
    }

    /// What a usual run reads: days not read yet, and those that may have changed.
    async fn due(
        &self,
        state: &mut State,
        today: NaiveDate,
        yesterday: NaiveDate,
        weekly: &mut bool,
    ) -> Result<Option<Days>> {
        let shape = self.settings.shape();
        let mut from = self.settings.start_on;
        if state.done_to.is_some() && state.shape != shape {
            self.notice(
                "options_changed",
                "logins, fields, VAT or currency were changed: all days are read again, so that all say the same"
                    .into(),
            )
            .await?;
            from = state.first.map_or(from, |first| first.min(from));
            state.done_to = None;
        }
        let kept = kept_from(today);
        if from < kept && state.done_to.is_none() {
            let before = if state.first.is_some_and(|f| f < kept) {
                "; days before stay as they were read"
            } else {
                ""
            };
            self.notice(
                "history_limit",
                format!("Direct keeps three years: costs are read from {kept} on{before}"),
            )
            .await?;
        }
        let from = from.max(kept);
        // A start that was moved back: all days in order, so that a run that breaks off leaves no gap.
        if state.first.is_some_and(|first| from < first) {
            state.done_to = None;
        }
        *weekly = state.weekly_on.is_none_or(|on| (today - on).num_days() >= WEEK);
        let first = match state.done_to {
            None => from,
            Some(done) => {
                let usual = self.settings.restate_days;
                // A first read that broke off only goes on.
                let long = if state.weekly_on.is_some() { self.settings.weekly_restate_days } else { 0 };
                let back = if *weekly { usual.max(long) } else { usual };
                done.min(today).checked_sub_days(Count::new(back.into())).unwrap_or(done).max(from)
            }
        };
        state.shape = shape;
        Ok((first <= yesterday).then_some(Days { first, last: yesterday }))
    }

    /// Reads the reports of all advertisers of one span; false, and nothing sent, when it must be split.
    ///
    /// Rows are sent only when every report is there and whole: a window speaks of all of them.
    async fn window(
        &self,
        days: Days,
        state: &mut State,
        backfill: bool,
        weekly_on: Option<NaiveDate>,
    ) -> Result<bool> {
        let mut reports = Vec::new();
        for advertiser in &self.advertisers {
            match self.fetch(advertiser, days).await? {
                Some(fetched) => reports.push(fetched),
                None => return Ok(false),
            }
        }
        let serial = Notes(&self.ctx).next("window").await?;
        let id = format!("{}_{}#{serial}", days.first, days.last);
        let (from_on, to_on) = days.window();
        self.out.send(ReadEvent::WindowBegin { id: id.clone(), from_on, to_on }).await?;
        let mut counts = Vec::new();
        for (advertiser, fetched) in self.advertisers.iter().zip(&reports) {
            let read = self.rows(advertiser, fetched, days, None).await?;
            let what = format!("rows of the report of {} {days}", advertiser.login);
            counts.push(CountCheck { what, expected: fetched.summary.rows, read });
        }
        self.out.send(ReadEvent::WindowEnd { id }).await?;
        for count in counts {
            self.out.send(ReadEvent::Count(count)).await?;
        }
        for fetched in &reports {
            if backfill {
                // Nobody says of a backfill's rows that they are safe; the next read wants fresh figures.
                Notes(&self.ctx).forget(&fetched.note).await?;
            } else {
                state.finished.push(fetched.note.clone());
            }
        }
        // Days before a span were read before: spans are read in order, from the first day on.
        let done = days.last.succ_opt().unwrap_or(days.last);
        state.done_to = Some(state.done_to.map_or(done, |to| to.max(done)));
        state.first = Some(state.first.map_or(days.first, |first| first.min(days.first)));
        state.weekly_on = weekly_on.or(state.weekly_on);
        self.out.send(ReadEvent::Checkpoint(state.checkpoint())).await?;
        Ok(true)
    }

    /// Asks for a report until it is there and whole; `None` when it is too large.
    async fn fetch(&self, advertiser: &Advertiser, days: Days) -> Result<Option<Fetched>> {
        let (login, notes) = (advertiser.login.as_str(), Notes(&self.ctx));
        let what = format!("the report of {login} {days}");
        let question = self.client.question(days);
        let words = format!("{question}{}", self.settings.api_version.path());
        let mut named = notes.name(login, days, &words).await?;
        let (mut waited, mut attempt) = (Duration::ZERO, 1);
        loop {
            self.ctx.check_cancelled()?;
            // A read that was dropped may still be at the same report.
            let scratch = SCRATCH.fetch_add(1, Ordering::Relaxed);
            let file = Scratch(self.ctx.scratch.join(format!("direct-{scratch}.tsv")));
            let exchange = match self.client.report(login, &question, &named.name, &file.0).await {
                Ok(Answer::Ready(exchange)) => exchange,
                Ok(Answer::Waiting(pause)) => {
                    self.wait(pause, &mut waited, || {
                        Error::new(ErrorKind::Io, format!("{what} is not ready after 3 hours"))
                            .hint("the next run goes on with it")
                            .temporary(None)
                    })
                    .await?;
                    continue;
                }
                Ok(Answer::QueueFull(pause, error)) => {
                    self.wait(pause, &mut waited, || error).await?;
                    continue;
                }
                Ok(Answer::TooHeavy(error)) => {
                    notes.forget(&named.key).await?;
                    return if days.first < days.last { Ok(None) } else { Err(error) };
                }
                // The name of an earlier run may stand for something else by now.
                Ok(Answer::Refused(_)) if named.old => {
                    notes.forget(&named.key).await?;
                    named = notes.name(login, days, &words).await?;
                    continue;
                }
                Ok(Answer::Refused(error)) => {
                    notes.forget(&named.key).await?;
                    return Err(error);
                }
                Err(e) if attempt == DOWNLOADS || !e.is_temporary() || e.kind() == ErrorKind::RateLimited => {
                    return Err(e);
                }
                Err(_) => {
                    attempt += 1;
                    self.ctx.sleep(Duration::from_secs(2 << attempt)).await?;
                    continue;
                }
            };
            match report::summary(&file.0)? {
                Some(summary) if summary.rows < self.settings.report_rows => {
                    return Ok(Some(Fetched { file, summary, exchange, note: named.key }));
                }
                // It may go on behind the limit: nothing tells.
                Some(summary) => {
                    notes.forget(&named.key).await?;
                    if days.first < days.last {
                        return Ok(None);
                    }
                    return Err(Error::new(
                        ErrorKind::Data,
                        format!("{what} has {} rows, and Direct gives no more in one report", summary.rows),
                    )
                    .hint("set a coarser `level` or leave out `fields`: costs are not split so far then"));
                }
                None if attempt == DOWNLOADS => {
                    return Err(Error::protocol(format!(
                        "{what} has no last line that tells its rows: it was cut"
                    ))
                    .hint("run again")
                    .temporary(None));
                }
                None => {
                    attempt += 1;
                    self.ctx.sleep(Duration::from_secs(2 << attempt)).await?;
                }
            }
        }
    }

    /// Sleeps, unless that would be too much in all.
    async fn wait(&self, pause: Duration, waited: &mut Duration, late: impl FnOnce() -> Error) -> Result<()> {
        if *waited >= PATIENCE {
            return Err(late());
        }
        *waited += pause;
        tokio::select! {
            biased;
            () = self.out.dropped() => Err(Error::cancelled()),
            slept = self.ctx.sleep(pause) => slept,
        }
    }

    /// Sends the rows of a report; gives how many it had, rejected ones included.
    async fn rows(
        &self,
        advertiser: &Advertiser,
        fetched: &Fetched,
        days: Days,
        batches: Option<u64>,
    ) -> Result<u64> {
        let name = format!("report of {} {days}", advertiser.login);
        let mark = self.settings.fields_mark();
        let common = Common {
            account: &advertiser.login,
            currency: &advertiser.currency,
            vat: self.settings.vat(),
            fields: &mark,
        };
        let mut part = report::of_file(&fetched.file.0, fetched.summary, &name, &common)?;
        self.check_header(&part, &name)?;
        part.only_within(DATE, &days.first.to_string(), &days.last.to_string());
        let (mut read, mut sent) = (0, 0);
        while batches.is_none_or(|most| sent < most) {
            // Some megabytes between two awaits: not worth a thread.
            let batch = part.next_batch()?;
            for reject in part.take_rejects() {
                read += 1;
                self.out.send(ReadEvent::Rejected(reject)).await?;
            }
            let Some(rows) = batch else { break };
            if rows.num_rows() == 0 {
                continue;
            }
            read += rows.num_rows() as u64;
            sent += 1;
            let batch = Batch { rows, exchange: Some(fetched.exchange), page: name.clone() };
            self.out.send(ReadEvent::Batch(batch)).await?;
        }
        Ok(read)
    }

    /// What was asked for must be there: costs without campaigns would fall on nobody.
    fn check_header<R: std::io::Read>(&self, part: &Part<R>, name: &str) -> Result<()> {
        let asked = &self.settings.fields;
        let missing: Vec<&str> =
            asked.iter().filter(|f| !part.names().contains(f)).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::protocol(format!("{name} lacks fields that were asked for: {}", missing.join(", ")))
            .hint("leave out `fields` that Direct gives no more"))
    }

    /// A few rows of yesterday, of the first advertiser.
    async fn preview(&self, yesterday: NaiveDate) -> Result<()> {
        let Some(advertiser) = self.advertisers.first() else { return Ok(()) };
        let days = Days { first: yesterday, last: yesterday };
        if let Some(fetched) = self.fetch(advertiser, days).await? {
            let sent = self.rows(advertiser, &fetched, days, Some(1)).await;
            // Also when nobody listens any more: the next run wants fresh figures.
            Notes(&self.ctx).forget(&fetched.note).await?;
            sent?;
        }
        Ok(())
    }

    async fn notice(&self, code: &str, message: String) -> Result<()> {
        self.out.send(ReadEvent::Notice(Notice { code: code.into(), message })).await
    }

    fn day_of(&self, at: InstantUs) -> NaiveDate {
        let at = DateTime::from_timestamp_micros(at).unwrap_or_default();
        at.with_timezone(&self.settings.time_zone).date_naive()
    }

    /// The days a window touches, up to yesterday.
    fn days_of(&self, window: Window, yesterday: NaiveDate) -> Option<Days> {
        let last = self.day_of(window.to_us.saturating_sub(1)).min(yesterday);
        let first = self.day_of(window.from_us);
        (first <= last && window.from_us < window.to_us).then_some(Days { first, last })
    }
}

/// The first day that Direct still has: three years before the first of this month.
fn kept_from(today: NaiveDate) -> NaiveDate {
    let month = today.with_day(1).unwrap_or(today);
    month.checked_sub_months(Months::new(36)).unwrap_or(month)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn three_years_before_the_month() {
        let day = |t: &str| t.parse::<NaiveDate>().unwrap();
        assert_eq!(kept_from(day("2019-08-15")), day("2016-08-01"));
        assert_eq!(kept_from(day("2024-02-29")), day("2021-02-01"));
    }
}
