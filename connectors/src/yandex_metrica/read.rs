//! Reads one stream: days in need of reading, a log request for each span of them, its parts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Days as Count, NaiveDate};
use chrono_tz::Tz;
use throughline_core::time::InstantUs;
use throughline_core::{
    Batch, Context, CountCheck, Error, ErrorKind, Notice, ReadEvent, ReadRequest, Result, Window,
};

use super::client::{Client, Days, LogRequest, Part, Status};
use super::config::Settings;
use super::fields::{Kind, TIME_ZONE};
use super::orders::Orders;
use super::state::{Notes, OpenRequest, State};
use super::tsv;
use crate::flow::Out;

/// A part is asked for so many times before its size is believed to be wrong.
const DOWNLOADS: u32 = 3;
/// Prepared logs of a big counter take an hour or two; after this long something is stuck.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// Pauses grow from at least this, whatever the first one was.
const LEAST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Numbers scratch files.
static SCRATCH: AtomicU64 = AtomicU64::new(0);

pub(crate) struct Reader {
    pub ctx: Context,
    pub client: Client,
    pub settings: Settings,
    pub kind: Kind,
    pub zone: Tz,
    pub out: Out,
}

impl Reader {
    pub async fn run(self, request: ReadRequest) -> Result<()> {
        let today = self.day_of(self.ctx.clock.now_us());
        let preview = request.max_pages.is_some();
        let mut state = State::read(request.checkpoint.as_ref())?;
        let backfill = request.window.map(|w| self.days_of(w, today));
        let orders = Orders::new(&self.ctx, &self.client, &self.settings, self.kind, today);
        if preview {
            return match yesterday(today) {
                Some(day) => self.preview(&orders, day, request.max_pages.unwrap_or(1)).await,
                None => Ok(()),
            };
        }

        let resumed = state.open.take().filter(|_| backfill.is_none());
        orders.tidy(&state, resumed.as_ref().map(|o| o.id)).await?;
        state.finished.clear();
        let mut spans = match backfill {
            Some(span) => span.into_iter().collect(),
            None => self.due(&state, today).await?,
        };
        if let Some(open) = resumed {
            let listed = orders.usable(open.id).await?;
            if let Some(listed) = listed {
                let before = spans.clone();
                spans = before.iter().flat_map(|s| without(*s, open.days)).collect();
                self.fetch(&orders, listed, open, &mut state).await?;
            } else {
                orders.drop_order(open.id).await?;
            }
        }
        for span in spans {
            let mut left = Some(span);
            while let Some(days) = left {
                let (order, days) = orders.place(days).await?;
                let id = order.request_id;
                let window = orders.window_id(days, id).await?;
                self.fetch(&orders, order, OpenRequest { id, days, window, next_part: 0 }, &mut state)
                    .await?;
                // Not `id`: a request that failed was placed anew under another number.
                if let Some(done) = state.finished.last().filter(|_| request.window.is_some()) {
                    orders.backfilled(*done).await?;
                }
                left = days
                    .last
                    .succ_opt()
                    .filter(|d| *d <= span.last)
                    .map(|first| Days { first, last: span.last });
            }
        }
        Ok(())
    }

    /// What a usual run reads: days not read yet, and those that may have changed.
    async fn due(&self, state: &State, today: NaiveDate) -> Result<Vec<Days>> {
        let Some(last) = yesterday(today) else { return Ok(Vec::new()) };
        let first = match state.done_to {
            None => self.settings.start_on,
            // Once a day is enough: yesterday is the last day that can be asked for.
            Some(done) if done >= today => {
                self.notice("up_to_date", format!(
                    "{} to {last} were read today already; the next day can be asked for after midnight in {}",
                    self.kind.stream(), self.zone
                )).await?;
                return Ok(Vec::new());
            }
            Some(done) => {
                let back = done.checked_sub_days(Count::new(self.settings.restate_days.into()));
                back.unwrap_or(done).max(self.settings.start_on)
            }
        };
        Ok(if first <= last { vec![Days { first, last }] } else { Vec::new() })
    }

    /// Waits until the request is ready, reads the parts that have not landed and ends its window.
    async fn fetch(
        &self,
        orders: &Orders<'_>,
        order: LogRequest,
        mut open: OpenRequest,
        state: &mut State,
    ) -> Result<()> {
        let order = self.ready(orders, order, open.days, open.next_part > 0).await?;
        let (id, days) = (order.request_id, open.days);
        open.id = id;
        let window = open.window.clone();
        let (from_on, to_on) = days.window();
        self.out.send(ReadEvent::WindowBegin { id: window.clone(), from_on, to_on }).await?;
        let (mut expected, mut read) = (0, 0);
        let parts: Vec<&Part> = order.parts.iter().filter(|p| p.number >= open.next_part).collect();
        for part in parts {
            let bytes = self.part(id, part, days).await?;
            expected += part.size;
            read += bytes;
            open.next_part = part.number + 1;
            let within = State { open: Some(open.clone()), ..state.clone() };
            self.out.send(ReadEvent::Checkpoint(within.checkpoint())).await?;
        }
        self.out.send(ReadEvent::WindowEnd { id: window }).await?;
        if self.settings.verify_size {
            let what = format!("bytes of {} {days}, log request {id}", self.kind.stream());
            self.out.send(ReadEvent::Count(CountCheck { what, expected, read })).await?;
        }
        let done = days.last.succ_opt().unwrap_or(days.last);
        // Days before a span were read before: spans are read in order, from the first day on.
        if state.done_to.is_none_or(|to| to < done) {
            state.done_to = Some(done);
        }
        state.finished.push(id);
        self.out.send(ReadEvent::Checkpoint(state.checkpoint())).await
    }

    /// Polls until the request is processed; places a failed one anew, once.
    async fn ready(
        &self,
        orders: &Orders<'_>,
        mut order: LogRequest,
        days: Days,
        landed_parts: bool,
    ) -> Result<LogRequest> {
        let (mut wait, mut waited, mut again) = (self.settings.poll_after, Duration::ZERO, 0);
        loop {
            let id = order.request_id;
            match order.status {
                Status::Processed => return Ok(order),
                Status::Created | Status::AwaitingRetry | Status::Unknown => {
                    if waited >= PATIENCE {
                        return Err(Error::new(
                            ErrorKind::Io,
                            format!(
                                "log request {id} ({} {days}) is not ready after 6 hours",
                                self.kind.stream()
                            ),
                        )
                        .hint("the next run goes on with it")
                        .temporary(None));
                    }
                    self.pause(wait, id).await?;
                    waited += wait;
                    wait = (wait * 3 / 2).clamp(LEAST_WAIT, LONGEST_WAIT);
                    let told = self.client.status(id).await;
                    order = self.or_stopped(told, id).await?;
                }
                // It is gone: failed at Metrica, or somebody cleaned or stopped it.
                gone if landed_parts || again > 0 => {
                    orders.drop_order(id).await?;
                    return Err(Error::protocol(format!(
                        "Metrica gave up log request {id} ({} {days}): {gone:?}",
                        self.kind.stream()
                    ))
                    .temporary(None));
                }
                _ => {
                    again += 1;
                    orders.drop_order(id).await?;
                    order = orders.create(days).await?;
                }
            }
        }
    }

    /// Sleeps; when the run is stopped meanwhile, the request is not needed any more.
    async fn pause(&self, wait: Duration, id: u64) -> Result<()> {
        let slept = tokio::select! {
            biased;
            () = self.out.dropped() => Err(Error::cancelled()),
            slept = self.ctx.sleep(wait) => slept,
        };
        self.or_stopped(slept, id).await
    }

    /// When the run was stopped, the request that it waited for is stopped at Metrica too.
    async fn or_stopped<T>(&self, waited: Result<T>, id: u64) -> Result<T> {
        let stopped = waited.as_ref().is_err_and(|e| e.kind() == ErrorKind::Cancelled);
        if stopped && self.client.cancel(id).await.is_ok() {
            // Without the note the next run would look for it in vain, with it it would only ask once.
            Notes { ctx: &self.ctx, kind: self.kind }.forget(id).await?;
        }
        waited
    }

    /// One part: downloaded whole, its size compared, its rows sent. Gives its bytes.
    async fn part(&self, id: u64, part: &Part, days: Days) -> Result<u64> {
        let name = format!("request {id}, part {}", part.number);
        // A read that was dropped may still be at the same part.
        let scratch = SCRATCH.fetch_add(1, Ordering::Relaxed);
        let path = self.ctx.scratch.join(format!("metrica-{id}-{}.{scratch}.tsv", part.number));
        let mut attempt = 1;
        let (bytes, exchange) = loop {
            self.ctx.check_cancelled()?;
            match self.client.download(id, part.number, &path).await {
                Ok((bytes, exchange)) if bytes == part.size || !self.settings.verify_size => {
                    break (bytes, exchange);
                }
                Ok((bytes, _)) if attempt == DOWNLOADS => {
                    return Err(Error::protocol(format!(
                        "{name} has {bytes} bytes; Metrica announced {}",
                        part.size
                    ))
                    .hint("run again; when it stays so, set `verify_size = false`")
                    .temporary(None));
                }
                Err(e) if attempt == DOWNLOADS || !e.is_temporary() => return Err(e),
                Ok(_) | Err(_) => {}
            }
            attempt += 1;
            self.ctx.sleep(Duration::from_secs(2 << attempt)).await?;
        };
        let sent = self.rows(&path, &name, exchange, days).await;
        // Gone at the end of the run at the latest.
        let _ = tokio::fs::remove_file(&path).await;
        sent.map(|()| bytes)
    }

    async fn rows(&self, path: &std::path::Path, name: &str, exchange: u64, days: Days) -> Result<()> {
        let file = std::fs::File::open(path).map_err(|e| Error::io("open", path.display(), e))?;
        let bytes = file.metadata().map_err(|e| Error::io("look at", path.display(), e))?.len();
        if bytes == 0 {
            return Ok(());
        }
        let mut part = tsv::open(file, name, &[(TIME_ZONE, self.zone.name())])?;
        self.check_header(&part, name)?;
        part.only_within(self.kind.date(), &days.first.to_string(), &days.last.to_string());
        let mut first = true;
        loop {
            // Some megabytes between two awaits: not worth a thread.
            let batch = part.next_batch()?;
            for reject in part.take_rejects() {
                self.out.send(ReadEvent::Rejected(reject)).await?;
            }
            let Some(rows) = batch else { return Ok(()) };
            if rows.num_rows() == 0 {
                continue;
            }
            if std::mem::take(&mut first)
                && let Some(message) = super::zone::disagreement(&rows, self.zone)
            {
                self.notice("time_zone_differs", format!("{name}: {message}")).await?;
            }
            self.out
                .send(ReadEvent::Batch(Batch { rows, exchange: Some(exchange), page: name.to_owned() }))
                .await?;
        }
    }

    /// What was asked for must be there: a source column that is missing would make every visit direct.
    fn check_header(&self, part: &tsv::Part<std::fs::File>, name: &str) -> Result<()> {
        let asked = self.settings.fields(self.kind);
        let missing: Vec<&str> =
            asked.iter().filter(|f| !part.names().contains(f)).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::protocol(format!("{name} lacks fields that were asked for: {}", missing.join(", ")))
            .hint("put fields that Metrica gives no more into `skip_fields`"))
    }

    /// A few batches of the last whole day; nothing is left at Metrica.
    async fn preview(&self, orders: &Orders<'_>, day: NaiveDate, pages: u64) -> Result<()> {
        let (order, days) = orders.place(Days { first: day, last: day }).await?;
        let order = self.ready(orders, order, days, false).await?;
        let id = order.request_id;
        let mut sent = Ok(0);
        for part in order.parts.iter().take(usize::try_from(pages).unwrap_or(usize::MAX)) {
            if sent.is_ok() {
                sent = self.part(id, part, days).await;
            }
        }
        // Also when nobody listens any more: a preview stops listening once it has seen enough.
        orders.drop_order(id).await?;
        sent.map(drop)
    }

    async fn notice(&self, code: &str, message: String) -> Result<()> {
        self.out.send(ReadEvent::Notice(Notice { code: code.into(), message })).await
    }

    fn day_of(&self, at: InstantUs) -> NaiveDate {
        DateTime::from_timestamp_micros(at).unwrap_or_default().with_timezone(&self.zone).date_naive()
    }

    /// The days a window touches, up to yesterday.
    fn days_of(&self, window: Window, today: NaiveDate) -> Option<Days> {
        let last = self.day_of(window.to_us.saturating_sub(1)).min(yesterday(today)?);
        let first = self.day_of(window.from_us);
        (first <= last && window.from_us < window.to_us).then_some(Days { first, last })
    }
}

fn yesterday(today: NaiveDate) -> Option<NaiveDate> {
    today.pred_opt()
}

/// `span` less `hole`: up to two spans.
fn without(span: Days, hole: Days) -> Vec<Days> {
    let mut left = Vec::new();
    if let Some(last) = hole.first.pred_opt().map(|d| d.min(span.last))
        && span.first <= last
    {
        left.push(Days { first: span.first, last });
    }
    if let Some(first) = hole.last.succ_opt().map(|d| d.max(span.first))
        && first <= span.last
    {
        left.push(Days { first, last: span.last });
    }
    left
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn days(first: u32, last: u32) -> Days {
        let day = |d| NaiveDate::from_ymd_opt(2026, 9, d).unwrap();
        Days { first: day(first), last: day(last) }
    }

    #[test]
    fn a_span_less_what_is_being_read() {
        assert_eq!(without(days(1, 9), days(4, 5)), [days(1, 3), days(6, 9)]);
        assert_eq!(without(days(4, 9), days(1, 5)), [days(6, 9)]);
        assert_eq!(without(days(4, 9), days(4, 9)), []);
        assert_eq!(without(days(1, 3), days(4, 5)), [days(1, 3)]);
        assert_eq!(without(days(6, 9), days(4, 5)), [days(6, 9)]);
    }
}
