//! Reads the tables of days that are new or were changed, each by one query.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Days as Count, NaiveDate};
use throughline_core::{
    Context, CountCheck, Error, ErrorKind, Notice, ReadEvent, ReadRequest, Reject, Result, Window,
};

use super::client::{Client, Job, Results, Table};
use super::config::Settings;
use super::fields::{DAY, EVENTS, TABLE};
use super::rows::Writer;
use super::state::{Notes, Open, State};
use crate::days::Days;
use crate::flow::Out;
use crate::records::{Limits, RecordsBuilder};

/// Queries of a table that fail by themselves, or whose table changes meanwhile, are made anew so many times.
const ATTEMPTS: u32 = 3;
/// Google answers at the latest after its own pause; between two such answers we wait so long.
const PAUSE: Duration = Duration::from_secs(2);
/// A day's query takes seconds.
const PATIENCE: Duration = Duration::from_secs(3600);

pub(crate) struct Reader {
    pub ctx: Context,
    pub client: Client,
    pub settings: Settings,
    pub out: Out,
}

/// A day and the table that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exported {
    pub day: NaiveDate,
    pub name: String,
    pub daily: bool,
}

/// The tables of events among all of a dataset; of a day that has both, the daily one.
pub(crate) fn exported(names: &[String]) -> Vec<Exported> {
    let mut days: BTreeMap<NaiveDate, Exported> = BTreeMap::new();
    for name in names {
        let Some(rest) = name.strip_prefix("events_") else { continue };
        let (daily, date) = match rest.strip_prefix("intraday_") {
            Some(date) => (false, date),
            None => (true, rest),
        };
        let digits = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
        let Some(day) = NaiveDate::parse_from_str(date, "%Y%m%d").ok().filter(|_| digits) else { continue };
        let found = Exported { day, name: name.clone(), daily };
        if daily || !days.contains_key(&day) {
            days.insert(day, found);
        }
    }
    days.into_values().collect()
}

/// What a table's query came to.
struct Begun {
    table: Table,
    job: Job,
    first: Results,
    /// Rows before the page, of a read that is taken up again.
    rows: u64,
    window: Option<String>,
}

impl Reader {
    pub async fn run(self, request: ReadRequest) -> Result<()> {
        let tables = exported(&self.client.tables().await?);
        if request.max_pages.is_some() {
            return self.preview(&tables).await;
        }
        let mut state = State::of(request.checkpoint.as_ref())?;
        Notes(&self.ctx).tidy(&state).await?;
        let shape = self.settings.shape();
        if state.shape != shape {
            if !state.read.is_empty() {
                let message = "dataset, columns or parameters were changed: all days are read again, so that all say the same";
                self.notice("options_changed", message.into()).await?;
            }
            state = State { shape, ..State::default() };
        }
        let due = match request.window {
            Some(window) => self.within(tables, window),
            None => self.due(tables, &state).await?,
        };
        let whole = request.window.is_none();
        for exported in due {
            self.ctx.check_cancelled()?;
            self.one_day(&exported, &mut state, whole).await?;
        }
        Ok(())
    }

    /// Tables not read yet, and those that were changed since.
    async fn due(&self, tables: Vec<Exported>, state: &State) -> Result<Vec<Exported>> {
        let wanted = tables.into_iter().filter(|t| t.day >= self.settings.start_on);
        let wanted: Vec<Exported> = wanted.filter(|t| t.daily || self.settings.intraday).collect();
        // Behind the newest day that was read: its neighbours were young then, however long ago that is.
        let newest = wanted
            .iter()
            .filter(|t| state.read.contains_key(&t.day))
            .map(|t| t.day)
            .max()
            .unwrap_or_default();
        let young = newest.checked_sub_days(Count::new(self.settings.restate_days.into())).unwrap_or(newest);
        let mut due = Vec::new();
        for exported in wanted {
            let begun = state.open.as_ref().is_some_and(|open| open.table == exported.name);
            let unchanged = match state.read.get(&exported.day) {
                Some(_) if exported.day < young => true,
                Some(read) if exported.daily => match self.client.table(&exported.name).await? {
                    Some(table) => table.modified_ms()? == *read,
                    None => true,
                },
                _ => false,
            };
            if begun || !unchanged {
                due.push(exported);
            }
        }
        Ok(due)
    }

    /// Tables of the days that a window touches.
    fn within(&self, tables: Vec<Exported>, window: Window) -> Vec<Exported> {
        let day = |at: i64| {
            let at = DateTime::from_timestamp_micros(at).unwrap_or_default();
            at.with_timezone(&self.settings.time_zone).date_naive()
        };
        let (first, last) = (day(window.from_us), day(window.to_us.saturating_sub(1)));
        let wanted = |t: &Exported| {
            window.from_us < window.to_us
                && (first..=last).contains(&t.day)
                && (t.daily || self.settings.intraday)
        };
        tables.into_iter().filter(wanted).collect()
    }

    async fn one_day(&self, exported: &Exported, state: &mut State, whole: bool) -> Result<()> {
        let open = state.open.take().filter(|open| open.table == exported.name && whole);
        let Some(begun) = self.begin(exported, open).await? else {
            // The daily table takes the place of the intraday one; the next run reads it.
            let message = format!("the table {} is gone since the list of tables was read", exported.name);
            return self.notice("table_gone", message).await;
        };
        let Begun { table, job, first, mut rows, window } = begun;
        let (days, kind) = (
            Days { first: exported.day, last: exported.day },
            if exported.daily { "daily" } else { "intraday" },
        );
        let id = match window {
            Some(id) => id,
            None => format!("{}#{}", exported.day, Notes(&self.ctx).next("window").await?),
        };
        let (from_on, to_on) = days.window();
        self.out.send(ReadEvent::WindowBegin { id: id.clone(), from_on, to_on }).await?;
        let mut records = RecordsBuilder::new(Limits::default()).named(format!("{}.{EVENTS}", self.ctx.name));
        let modified_ms = table.modified_ms()?;
        let (mut page, total) = (first, first_total(&table, exported));
        let counted = total.unwrap_or(page.total);
        loop {
            rows += self.send(&mut records, &page, exported, kind).await?;
            let Some(token) = page.next.clone() else { break };
            state.open = Some(Open {
                day: exported.day,
                table: exported.name.clone(),
                modified_ms,
                window: id.clone(),
                job: job.clone(),
                token: token.clone(),
                rows,
            });
            self.out.send(ReadEvent::Checkpoint(state.checkpoint())).await?;
            page = self.page(&job, Some(&token), exported).await?;
            if page.next.as_deref() == Some(token.as_str()) {
                return Err(Error::protocol(format!(
                    "BigQuery gives the same page of {} for ever",
                    exported.name
                )));
            }
        }
        self.out.send(ReadEvent::WindowEnd { id }).await?;
        let expected = if rows == page.total { counted } else { page.total };
        let what = format!("events of {}", exported.name);
        self.out.send(ReadEvent::Count(CountCheck { what, expected, read: rows })).await?;
        state.open = None;
        if exported.daily {
            state.read.insert(exported.day, modified_ms);
        } else {
            state.read.remove(&exported.day);
        }
        self.out.send(ReadEvent::Checkpoint(state.checkpoint())).await?;
        // Else the query goes when its rows are safe. Nobody says so of a backfill's.
        if whole && exported.daily { Ok(()) } else { Notes(&self.ctx).forget(&exported.name).await }
    }

    /// The first page to read of a table: of its query, or where an earlier read stopped. `None` when there is no
    /// such table.
    async fn begin(&self, exported: &Exported, open: Option<Open>) -> Result<Option<Begun>> {
        let mut attempt = 1;
        let mut open = open;
        loop {
            let Some(table) = self.client.table(&exported.name).await? else { return Ok(None) };
            let modified = table.modified_ms()?;
            // What was changed in between is read from its beginning.
            if let Some(open) = open.take().filter(|open| open.modified_ms == modified && exported.daily) {
                match self.page(&open.job, Some(&open.token), exported).await {
                    Ok(first) => {
                        let (rows, window) = (open.rows, Some(open.window));
                        return Ok(Some(Begun { table, job: open.job, first, rows, window }));
                    }
                    // Results are kept for a day.
                    Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::Config) => {}
                    Err(e) => return Err(e),
                }
            }
            let query = self.client.query(&exported.name, &table);
            let location = self.settings.location.clone().unwrap_or_else(|| table.location.clone());
            // An intraday table changes all the time: its query is never used again.
            let moment = if exported.daily { 0 } else { self.ctx.clock.now_us() };
            let question = format!("{query}|{modified}|{moment}|{location}|{}", self.settings.project);
            let job = Job { id: Notes(&self.ctx).job(&exported.name, modified, &question).await?, location };
            let first = async {
                self.client.start(&query, &job).await?;
                self.page(&job, None, exported).await
            };
            match first.await {
                Ok(first) => {
                    let counted = first_total(&table, exported);
                    let again = counted.is_some_and(|rows| rows != first.total) && attempt < ATTEMPTS;
                    let changed = match again {
                        true => self
                            .client
                            .table(&exported.name)
                            .await?
                            .is_some_and(|t| t.modified_ms().ok() != Some(modified)),
                        false => false,
                    };
                    if !changed {
                        return Ok(Some(Begun { table, job, first, rows: 0, window: None }));
                    }
                    Notes(&self.ctx).forget(&exported.name).await?;
                }
                Err(error) => {
                    // A query that failed stays failed: the next attempt, or the next run, makes another.
                    let broken =
                        matches!(error.kind(), ErrorKind::Io | ErrorKind::NotFound | ErrorKind::Config);
                    if broken {
                        Notes(&self.ctx).forget(&exported.name).await?;
                    }
                    if !broken || error.kind() == ErrorKind::Config || attempt == ATTEMPTS {
                        return Err(error);
                    }
                }
            }
            attempt += 1;
        }
    }

    /// A page of a query's results, once there are any.
    async fn page(&self, job: &Job, token: Option<&str>, exported: &Exported) -> Result<Results> {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(page) = self.client.results(job, token, self.settings.page_rows).await? {
                return Ok(page);
            }
            if waited >= PATIENCE {
                let message = format!("the query of {} is not done after an hour", exported.name);
                return Err(Error::new(ErrorKind::Io, message)
                    .hint("the next run goes on with it")
                    .temporary(None));
            }
            waited += PAUSE;
            tokio::select! {
                biased;
                () = self.out.dropped() => return Err(Error::cancelled()),
                slept = self.ctx.sleep(PAUSE) => slept?,
            }
        }
    }

    /// Sends the rows of a page; gives how many it had, rejected ones included.
    async fn send(
        &self,
        records: &mut RecordsBuilder,
        page: &Results,
        exported: &Exported,
        kind: &str,
    ) -> Result<u64> {
        let day = exported.day.to_string();
        let label = exported.name.clone();
        records.begin_page(label.clone(), Some(page.exchange));
        let every = [(DAY, day.as_str()), (TABLE, kind)];
        let mut writer = Writer::new(&page.fields, &self.settings.params, &self.settings.token_param, &every);
        let mut rejects = Vec::new();
        let rows = page.rows()?;
        for (n, row) in rows.iter().enumerate() {
            let place = format_args!("{label}, row {} of the page", n + 1).to_string();
            match writer.record(row) {
                Ok(record) => {
                    records.push(record.as_bytes(), place);
                }
                Err(why) => {
                    let raw = bytes::Bytes::copy_from_slice(&row.as_bytes()[..row.len().min(1 << 20)]);
                    rejects.push(Reject { reason: format!("the row {why}"), place, raw });
                }
            }
        }
        records.finish_page();
        for event in records.take_events() {
            self.out.send(event).await?;
        }
        for reject in rejects {
            self.out.send(ReadEvent::Rejected(reject)).await?;
        }
        Ok(rows.len() as u64)
    }

    /// Some events of the newest day that is complete.
    async fn preview(&self, tables: &[Exported]) -> Result<()> {
        let Some(exported) = tables.iter().rev().find(|t| t.daily || self.settings.intraday) else {
            return Ok(());
        };
        let Some(begun) = self.begin(exported, None).await? else { return Ok(()) };
        let mut records = RecordsBuilder::new(Limits::default()).named(format!("{}.{EVENTS}", self.ctx.name));
        let kind = if exported.daily { "daily" } else { "intraday" };
        self.send(&mut records, &begun.first, exported, kind).await.map(drop)
    }

    async fn notice(&self, code: &str, message: String) -> Result<()> {
        self.out.send(ReadEvent::Notice(Notice { code: code.into(), message })).await
    }
}

/// Rows that a daily table has by Google's word; what still streams is not counted there.
fn first_total(table: &Table, exported: &Exported) -> Option<u64> {
    if exported.daily { table.rows() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn of_a_day_with_both_tables_the_daily_one_counts() {
        let names = [
            "events_20260902",
            "events_intraday_20260903",
            "events_intraday_20260902",
            "events_20260901",
            "pseudonymous_users_20260901",
            "events_2026090",
            "events_20261301",
            "events_intraday_",
            "events_fresh_20260901",
        ];
        let found = exported(&names.map(str::to_owned));
        let short: Vec<String> = found.iter().map(|e| format!("{} {}", e.day, e.name)).collect();
        let expected = [
            "2026-09-01 events_20260901",
            "2026-09-02 events_20260902",
            "2026-09-03 events_intraday_20260903",
        ];
        assert_eq!(short, expected);
    }
}
