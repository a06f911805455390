//! Reads a report day by day: a question a day, so that a row whose date is rolled up into `(other)` still has one,
//! and a broken read costs one day.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use throughline_core::time::InstantUs;
use throughline_core::{Context, CountCheck, Error, Notice, ReadEvent, ReadRequest, Result, Window};

use super::answer::{Lack, Metadata, Quota};
use super::client::{Client, Page};
use super::config::Settings;
use super::reports::{CURRENCY, DAY, FIELDS, PROPERTY, Report, ZONE};
use super::state::{State, window_id};
use crate::days::Days;
use crate::flow::Out;
use crate::records::{Limits, Path, RecordsBuilder, Selector, json_string};

/// A day is read anew so many times when it changes while its pages are turned.
const ATTEMPTS: u32 = 3;
/// Rows of a preview.
const PREVIEW_ROWS: u64 = 1000;
/// Pages of a day that wait in memory until the last has come; more go to files.
const HELD_BYTES: usize = 16 << 20;

/// Numbers scratch files.
static SCRATCH: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Reader {
    pub ctx: Context,
    pub client: Client,
    pub settings: Settings,
    pub report: Report,
    pub zone: Tz,
    /// What was left when the read began.
    pub quota: Option<Quota>,
    pub out: Out,
}

/// The body of a page, where it waits.
enum Body {
    Held(Bytes),
    File(PathBuf),
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Self::File(path) = self {
            // Gone at the end of the run at the latest.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A day whose pages fit together.
struct Day {
    pages: Vec<(Body, u64)>,
    /// By Google's count, and how many different ones came.
    expected: u64,
    came: u64,
    metadata: Metadata,
    lacks: Vec<Lack>,
}

impl Reader {
    pub async fn run(self, request: ReadRequest) -> Result<()> {
        let today = self.day_of(self.ctx.clock.now_us());
        let Some(yesterday) = today.pred_opt() else { return Ok(()) };
        let mut quota = self.quota.clone();
        if request.max_pages.is_some() {
            let page = self
                .client
                .page(&self.report, yesterday, 0, PREVIEW_ROWS.min(self.settings.page_rows))
                .await?;
            let mut records = self.records();
            return self
                .send(&mut records, &page.body, page.exchange, &page.answer.metadata, yesterday, 1)
                .await
                .map(drop);
        }
        let mut state = State::read(request.checkpoint.as_ref())?;
        let (days, weekly) = match request.window {
            Some(window) => (self.days_of(window, yesterday), false),
            None => {
                let due = state.due(&self.settings, self.settings.shape(&self.report), today);
                if due.changed {
                    let message = "property, fields or currency were changed: all days are read again, so that all say the same";
                    self.notice("options_changed", message.into()).await?;
                }
                (due.days, due.weekly)
            }
        };
        let mut records = self.records();
        let mut day = days.map(|d| d.first);
        while let (Some(current), Some(days)) =
            (day.filter(|d| days.is_some_and(|days| *d <= days.last)), days)
        {
            self.one_day(&mut records, current, &mut quota).await?;
            state.day_done(current, today);
            if current == days.last && request.window.is_none() {
                state.all_done(today, weekly);
            }
            self.out.send(ReadEvent::Checkpoint(state.checkpoint())).await?;
            day = current.succ_opt();
        }
        match quota {
            Some(quota) => self.notice("quota_left", quota.words()).await,
            None => Ok(()),
        }
    }

    fn records(&self) -> RecordsBuilder {
        RecordsBuilder::new(Limits::default()).named(format!("{}.{}", self.ctx.name, self.report.stream))
    }

    async fn one_day(
        &self,
        records: &mut RecordsBuilder,
        day: NaiveDate,
        quota: &mut Option<Quota>,
    ) -> Result<()> {
        let fetched = self.fetch(day, quota).await?;
        let id = window_id(&self.ctx, &self.report.stream, day).await?;
        let (from_on, to_on) = Days { first: day, last: day }.window();
        self.out.send(ReadEvent::WindowBegin { id: id.clone(), from_on, to_on }).await?;
        for (n, (body, exchange)) in fetched.pages.iter().enumerate() {
            let bytes = match body {
                Body::Held(bytes) => bytes.clone(),
                Body::File(path) => {
                    tokio::fs::read(path).await.map_err(|e| Error::io("read", path.display(), e))?.into()
                }
            };
            self.send(records, &bytes, *exchange, &fetched.metadata, day, n + 1).await?;
        }
        self.out.send(ReadEvent::WindowEnd { id }).await?;
        let what = format!("rows of {} {day}", self.report.stream);
        let count = CountCheck { what, expected: fetched.expected, read: fetched.came };
        self.out.send(ReadEvent::Count(count)).await?;
        for lack in &fetched.lacks {
            self.tell(lack, day).await?;
        }
        Ok(())
    }

    /// A report that lacks something is not the whole truth: the run is incomplete, unless that was accepted.
    async fn tell(&self, lack: &Lack, day: NaiveDate) -> Result<()> {
        let accepted = self.settings.accept.contains(&lack.loss);
        let name = match lack.loss {
            super::config::Loss::Thresholding => "thresholding",
            super::config::Loss::OtherRow => "other_row",
            super::config::Loss::Sampling => "sampling",
        };
        let message = format!("the report {} of {day} is not whole: {}", self.report.stream, lack.words);
        self.notice(name, message).await?;
        if accepted {
            return Ok(());
        }
        let (expected, read) = lack.events.unwrap_or((1, 0));
        let what = match lack.events {
            Some(_) => format!(
                "events behind {} {day} (sampled; accept = [\"{name}\"] lives with it)",
                self.report.stream
            ),
            None => format!(
                "whole reports {} {day} ({}; accept = [\"{name}\"] lives with it)",
                self.report.stream, lack.words
            ),
        };
        self.out.send(ReadEvent::Count(CountCheck { what, expected, read })).await
    }

    /// All pages of a day. Google makes each page anew: when rows changed in between, or one came twice, the day is
    /// asked for again.
    async fn fetch(&self, day: NaiveDate, quota: &mut Option<Quota>) -> Result<Day> {
        let mut attempt = 1;
        loop {
            let (fetched, steady) = self.pages(day, quota).await?;
            if steady && fetched.came == fetched.expected {
                return Ok(fetched);
            }
            if attempt == ATTEMPTS {
                let (stream, name) = (&self.report.stream, "changed_while_paging");
                self.notice(
                    name,
                    format!("{stream} of {day} changed while its pages were read, three times over"),
                )
                .await?;
                return Ok(fetched);
            }
            attempt += 1;
        }
    }

    /// Whether the pages agree in what they count.
    async fn pages(&self, day: NaiveDate, quota: &mut Option<Quota>) -> Result<(Day, bool)> {
        let (mut seen, mut offset, mut steady, mut held) = (HashSet::new(), 0, true, 0);
        let mut fetched: Option<Day> = None;
        loop {
            self.ctx.check_cancelled()?;
            if let Some(quota) = quota {
                quota.room(self.settings.property, self.ctx.clock.now_us())?;
            }
            let Page { answer, body, exchange } =
                self.client.page(&self.report, day, offset, self.settings.page_rows).await?;
            if answer.property_quota.is_some() {
                *quota = answer.property_quota;
            }
            let expected = answer.row_count.unwrap_or(0);
            let rows = answer.rows.count;
            let so_far = fetched.get_or_insert_with(|| Day {
                pages: Vec::new(),
                expected,
                came: 0,
                metadata: answer.metadata.clone(),
                lacks: Vec::new(),
            });
            steady &= so_far.expected == expected;
            so_far.expected = expected;
            so_far.came += answer.rows.marks.iter().filter(|mark| seen.insert(**mark)).count() as u64;
            for lack in answer.metadata.lacks() {
                if !so_far.lacks.contains(&lack) {
                    so_far.lacks.push(lack);
                }
            }
            offset += rows;
            if rows > 0 {
                held += body.len();
                so_far.pages.push((self.keep(body, held).await?, exchange));
            }
            if rows == 0 || offset >= expected {
                break;
            }
        }
        match fetched {
            Some(fetched) => Ok((fetched, steady)),
            None => Err(Error::bug("a day without an answer")),
        }
    }

    async fn keep(&self, body: Bytes, held: usize) -> Result<Body> {
        if held <= HELD_BYTES {
            return Ok(Body::Held(body));
        }
        let number = SCRATCH.fetch_add(1, Ordering::Relaxed);
        let path = self.ctx.scratch.join(format!("ga4-{number}.json"));
        tokio::fs::write(&path, &body).await.map_err(|e| Error::io("write", path.display(), e))?;
        Ok(Body::File(path))
    }

    /// Sends the rows of a page.
    async fn send(
        &self,
        records: &mut RecordsBuilder,
        body: &[u8],
        exchange: u64,
        metadata: &Metadata,
        day: NaiveDate,
        page: usize,
    ) -> Result<u64> {
        let currency = if metadata.currency_code.is_empty() {
            "null".into()
        } else {
            json_string(&metadata.currency_code)
        };
        let (property, day_text) =
            (json_string(&self.settings.property.to_string()), json_string(&day.to_string()));
        let (zone, fields) = (json_string(self.zone.name()), json_string(&self.report.mark()));
        let extra = [
            (PROPERTY, property.as_str()),
            (DAY, &day_text),
            (CURRENCY, &currency),
            (ZONE, &zone),
            (FIELDS, &fields),
        ];
        records.begin_page(format!("{} of {day}, page {page}", self.report.stream), Some(exchange));
        let found = records.push_page_with(body, &selector(&self.report)?, &extra)?;
        records.finish_page();
        for event in records.take_events() {
            self.out.send(event).await?;
        }
        Ok(found.records)
    }

    async fn notice(&self, code: &str, message: String) -> Result<()> {
        self.out.send(ReadEvent::Notice(Notice { code: code.into(), message })).await
    }

    fn day_of(&self, at: InstantUs) -> NaiveDate {
        DateTime::from_timestamp_micros(at).unwrap_or_default().with_timezone(&self.zone).date_naive()
    }

    /// The days a window touches, up to yesterday.
    fn days_of(&self, window: Window, yesterday: NaiveDate) -> Option<Days> {
        let last = self.day_of(window.to_us.saturating_sub(1)).min(yesterday);
        let first = self.day_of(window.from_us);
        (first <= last && window.from_us < window.to_us).then_some(Days { first, last })
    }
}

/// Rows as they came, and beside them a column of each dimension and metric.
pub(crate) fn selector(report: &Report) -> Result<Selector> {
    let path = |text: String| Path::parse(&text).map_err(Error::bug);
    let mut lift = Vec::new();
    for (list, names) in [("dimensionValues", &report.dimensions), ("metricValues", &report.metrics)] {
        for (n, name) in names.iter().enumerate() {
            lift.push((name.clone(), path(format!("{list}[{n}].value"))?));
        }
    }
    let mut selector = Selector::list("rows")?;
    selector.may_be_missing = true;
    selector.lift = lift;
    Ok(selector)
}
