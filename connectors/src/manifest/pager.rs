//! Turning pages without losing a record, also while the records move.
//!
//! A list that is numbered by pages or offsets shifts when one of its records leaves (is changed, in a
//! list ordered by change; is deleted): the first record of the next page slips into the page just
//! read and would never be seen. Three defences:
//!
//! * Ordered windows ([`Incremental::order`](super::spec::Incremental)): the next request begins at the
//!   last time seen, at page one, so that nothing before it matters.
//! * By page: once a page behind the first is read, the one before it is looked at again. Records
//!   there that were on neither page have slipped, and are taken from that second look.
//! * By offset: each page begins with the last record of the one before. If no record of that page
//!   shows up, the reader steps back a page.
//!
//! All three read some records twice; the engine keeps the latest of each key.

mod next;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;
use throughline_core::{Context, Error, ErrorKind, Notice, ReadEvent, Result};

use super::client::{ASKED, Answer, Connection, Outcome};
use super::plan::{ChainPlan, StreamPlan};
use super::spec::PagingKind;
use super::state::{Span, Turn};
use super::template::Scope;
use super::windows::Windows;
use crate::records::{Found, Limits, Path, RecordsBuilder, Selector};

/// Times a list may outrun us within one read before that is an error.
const PATIENCE: u32 = 10;

/// Reads the pages of one stream, one at a time.
pub(crate) struct Pager {
    pub plan: Arc<StreamPlan>,
    selector: Selector,
    records: RecordsBuilder,
    /// The page before, in this process.
    before: Option<Vec<RecordBatch>>,
    outrun: u32,
    /// Commands of a chain at most, since longer ones did not come back.
    widest: u32,
}

/// One page.
#[derive(Default)]
pub(crate) struct Page {
    pub events: Vec<ReadEvent>,
    pub batches: Vec<RecordBatch>,
    /// It was the last one of its window.
    pub end: bool,
    /// Records in all, when the answer tells.
    pub total: Option<u64>,
    /// The count the stream is compared with, when the answer tells.
    pub counted: Option<u64>,
    /// Records from here on, this page's included, when the answer tells.
    pub left: Option<u64>,
    pub found: Found,
    /// Of a chain: the last page is not full.
    short: Option<bool>,
}

/// What a request stands on besides options.
pub(crate) struct Place<'a> {
    pub windows: &'a Windows,
    pub span: &'a Span,
    /// `{parent.<column>}` and `{parent.ids}`.
    pub parent: Scope<'a>,
    /// Columns every record gets.
    pub extra: &'a [(&'a str, &'a str)],
}

impl Pager {
    /// `source` is its name in the pipeline.
    ///
    /// # Errors
    /// `Config` when an option that names a column is no path.
    pub fn new(plan: Arc<StreamPlan>, source: &str, connection: &Connection) -> Result<Self> {
        let records = RecordsBuilder::new(Limits::default()).named(format!("{source}.{}", plan.spec.name));
        let mut selector = plan.selector.clone();
        for (column, from) in &plan.lift {
            // Without the option there is no such column.
            let Some(from) = from.text(&|name| connection.value(name)) else { continue };
            let path = Path::parse(&from)
                .map_err(|why| Error::config(format!("the option that tells where {column} is: {why}")))?;
            selector.lift.push((column.clone(), path));
        }
        Ok(Self { plan, selector, records, before: None, outrun: 0, widest: u32::MAX })
    }

    /// Another list begins.
    pub fn forget(&mut self) {
        self.before = None;
    }

    fn guarded(&self) -> bool {
        !self.plan.spec.stable
            && !self.plan.spec.key.is_empty()
            && matches!(self.plan.paging.kind, PagingKind::Page | PagingKind::Offset)
    }

    fn first(&self) -> u64 {
        let default = u64::from(self.plan.paging.kind == PagingKind::Page);
        self.plan.spec.paging.first.unwrap_or(default)
    }

    /// Where an offset page is asked for: one record early, to see that nothing has slipped.
    fn offset(&self, turn: &Turn) -> u64 {
        let back = u64::from(self.guarded() && turn.offset > 0);
        self.first() + turn.offset - back
    }

    fn width(&self, chain: &ChainPlan, turn: &Turn) -> u32 {
        chain.width(turn.pages).min(self.widest)
    }

    async fn ask(
        &self,
        connection: &Connection,
        ctx: &Context,
        turn: &Turn,
        at: &Place<'_>,
    ) -> Result<Outcome> {
        let paging = &self.plan.spec.paging;
        let scope = |name: &str| -> Option<Value> {
            match name {
                "page" => Some((self.first() + turn.pages).into()),
                "offset" => Some(self.offset(turn).into()),
                "size" => paging.size.map(Value::from),
                "cursor" => turn.cursor.clone().map(Value::from),
                "url" => turn.url.clone().map(Value::from),
                "last" => turn.last.clone().or_else(|| paging.start.clone()).map(number_or_text),
                "from" | "to" => at.windows.bound(name, at.span, turn),
                name => (at.parent)(name),
            }
        };
        let Some(chain) = &self.plan.request.chain else {
            return connection.ask(ctx, &self.plan.request, &scope).await;
        };
        let all = |name: &str| scope(name).or_else(|| connection.value(name));
        let commands = chain.commands(self.width(chain, turn), &all).ok_or_else(|| {
            Error::config(format!(
                "stream {:?}: a request needs an option that is not set",
                self.plan.spec.name
            ))
        })?;
        let with = |name: &str| if name == "chain" { Some(commands.clone()) } else { scope(name) };
        connection.ask(ctx, &self.plan.request, &with).await
    }

    /// Reads the page at `turn` and moves `turn` behind it.
    pub async fn page(
        &mut self,
        connection: &Connection,
        ctx: &Context,
        turn: &mut Turn,
        at: &Place<'_>,
        label: &str,
    ) -> Result<Page> {
        let (answer, mut page) = match self.get(connection, ctx, turn, at, label).await? {
            Some(got) => got,
            None => {
                self.outrun("the vendor's cursor is void; the window is read again from its beginning")?;
                let told =
                    notice("cursor_void", format!("{label}: the cursor is void, the window begins again"));
                *turn = Turn {
                    last: turn.last.take().filter(|_| self.plan.spec.paging.across_runs),
                    ..Turn::default()
                };
                self.before = None;
                return Ok(Page { events: vec![told], ..Page::default() });
            }
        };
        if let Some(path) = self.plan.paging.left.as_ref().or(self.plan.paging.total.as_ref()) {
            page.left = number(path, &answer)?;
        }
        if let Some(path) = self.plan.paging.progress.as_ref().or(self.plan.paging.total.as_ref()) {
            page.total = number(path, &answer)?;
        }
        if let Some(count) = self.plan.count.as_ref().filter(|c| c.request.is_none()) {
            page.counted = if answer.empty { Some(0) } else { number(&count.path, &answer)? };
        }
        if self.guarded()
            && (turn.pages > 0 || turn.offset > 0)
            && !self.hold(connection, ctx, turn, at, label, &mut page).await?
        {
            return Ok(page);
        }
        let next = self.next(connection, turn, at, &answer, &mut page, label)?;
        page.end = next.is_none();
        if let Some(next) = next {
            *turn = next;
        } else {
            turn.last = self.last_key(turn, &page)?;
        }
        self.before = Some(page.batches.clone());
        Ok(page)
    }

    /// Asks and takes the records, until the answer is whole: one cut off on its way may have a length
    /// that fits, and then only its JSON tells. `None`: the cursor is void.
    async fn get(
        &mut self,
        connection: &Connection,
        ctx: &Context,
        turn: &Turn,
        at: &Place<'_>,
        label: &str,
    ) -> Result<Option<(Answer, Page)>> {
        let mut asked = 0;
        loop {
            let outcome = match self.ask(connection, ctx, turn, at).await {
                Ok(outcome) => outcome,
                Err(error) => match self.narrower(&error, turn) {
                    Some(width) => {
                        self.widest = width;
                        continue;
                    }
                    None => return Err(error),
                },
            };
            let Outcome::Answer(answer) = outcome else { return Ok(None) };
            asked += 1;
            match self.take(&answer, turn, at, label) {
                Ok(page) => return Ok(Some((answer, page))),
                Err(error) if !error.is_temporary() || asked == ASKED => {
                    return Err(error.with("asked", asked));
                }
                Err(_) => ctx.sleep(Duration::from_millis(250 << asked)).await?,
            }
        }
    }

    /// Many pages may take the vendor longer than it works on one request: then fewer are asked for.
    fn narrower(&self, error: &Error, turn: &Turn) -> Option<u32> {
        let width = self.width(self.plan.request.chain.as_ref()?, turn);
        (width > 1 && error.is_temporary() && error.kind() == ErrorKind::Io).then(|| (width / 8).max(1))
    }

    fn take(&mut self, answer: &Answer, turn: &Turn, at: &Place<'_>, label: &str) -> Result<Page> {
        let mut page = Page::default();
        let plan = self.plan.clone();
        let bodies: Vec<&[u8]> = match &plan.request.chain {
            _ if answer.empty => Vec::new(),
            None => vec![&answer.body],
            Some(chain) => {
                let pages = chain.pages(&answer.body, Some(self.width(chain, turn)))?;
                // A refusal that a rule accepts is an empty page.
                page.short = Some(pages.ended || pages.refused.is_some());
                pages.good.into_iter().map(str::as_bytes).collect()
            }
        };
        self.records.begin_page(label, Some(answer.head.exchange));
        for body in bodies {
            let found = self.records.push_page_with(body, &self.selector, at.extra);
            if found.is_err() {
                // What came before the error must not be used.
                self.records.discard_page();
            }
            let found = found?;
            page.found.records += found.records;
            page.found.rejected += found.rejected;
        }
        self.records.finish_page();
        page.events = self.records.take_events();
        page.batches = batches(&page.events);
        if let Some(told) = &answer.told {
            page.events.push(notice("vendor_tells", format!("{label}: {told}")));
        }
        Ok(page)
    }

    /// Parents of a batch that nothing was answered for get a record with their key alone.
    pub fn add_unanswered<'v>(
        &mut self,
        page: &mut Page,
        column: &str,
        asked: impl Iterator<Item = &'v Value>,
        label: &str,
    ) -> Result<()> {
        let answered: HashSet<String> = texts(&page.batches, column)?;
        let mut missing = String::from("[");
        for key in asked {
            if super::template::as_text(key).is_some_and(|text| answered.contains(&text)) {
                continue;
            }
            if missing.len() > 1 {
                missing.push(',');
            }
            missing.push_str(&serde_json::json!({ column: key }).to_string());
        }
        missing.push(']');
        self.records.begin_page(label, None);
        self.records.push_page(missing.as_bytes(), &Selector::list(".")?)?;
        self.records.finish_page();
        let events = self.records.take_events();
        page.batches.extend(batches(&events));
        page.events.extend(events);
        Ok(())
    }

    /// Second looks. False: `turn` was moved back, nothing is to follow.
    async fn hold(
        &mut self,
        connection: &Connection,
        ctx: &Context,
        turn: &mut Turn,
        at: &Place<'_>,
        label: &str,
        page: &mut Page,
    ) -> Result<bool> {
        let plan = self.plan.clone();
        let key = &plan.spec.key;
        let before = self.before.as_ref().map(|b| keys(b, key));
        if self.plan.paging.kind == PagingKind::Offset {
            let Some(before) = before.filter(|b| !b.is_empty()) else { return Ok(true) };
            let here = keys(&page.batches, key);
            if !here.is_disjoint(&before) {
                return Ok(true);
            }
            self.outrun("records move while they are read")?;
            page.events.push(moved(label));
            turn.offset = turn.offset.saturating_sub(self.plan.spec.paging.size.unwrap_or(1));
            self.before = None;
            return Ok(false);
        }
        let mut again = turn.clone();
        again.pages -= 1;
        let label_again = format!("{label}, second look at the one before");
        let Some((_, second)) = self.get(connection, ctx, &again, at, &label_again).await? else {
            return Ok(true);
        };
        let there = keys(&second.batches, key);
        let Some(before) = before else {
            // After a restart nobody remembers that page: all of it is taken again.
            page.add(second);
            return Ok(true);
        };
        if !before.is_empty() && !there.is_empty() && there.is_disjoint(&before) {
            self.outrun("records move while they are read")?;
            page.add(second);
            page.events.push(moved(label));
            (turn.pages, turn.offset) = (0, 0);
            self.before = None;
            return Ok(false);
        }
        let here = keys(&page.batches, key);
        if there.iter().any(|k| !before.contains(k) && !here.contains(k)) {
            page.add(second);
            page.events.push(moved(label));
        }
        Ok(true)
    }

    fn outrun(&mut self, what: &str) -> Result<()> {
        self.outrun += 1;
        if self.outrun <= PATIENCE {
            return Ok(());
        }
        Err(Error::data(format!("stream {:?}: {what}, {PATIENCE} times in one read", self.plan.spec.name))
            .hint("run again at a quieter time")
            .temporary(None))
    }
}

impl Page {
    /// Adds the events of a second look; `batches` stay those of the page itself.
    fn add(&mut self, second: Page) {
        self.events.extend(second.events);
    }
}

fn batches(events: &[ReadEvent]) -> Vec<RecordBatch> {
    events
        .iter()
        .filter_map(|event| match event {
            ReadEvent::Batch(batch) => Some(batch.rows.clone()),
            _ => None,
        })
        .collect()
}

/// The values of one column that are there, as text.
fn texts(batches: &[RecordBatch], name: &str) -> Result<HashSet<String>> {
    let options = FormatOptions::default();
    let mut found = HashSet::new();
    for column in batches.iter().filter_map(|b| b.column_by_name(name)) {
        let format = ArrayFormatter::try_new(column, &options)?;
        let rows = (0..column.len()).filter(|row| !column.is_null(*row));
        found.extend(rows.map(|row| format.value(row).to_string()));
    }
    Ok(found)
}

/// Hashes of the keys of some rows; rows without a key have none.
pub(crate) fn keys(batches: &[RecordBatch], key: &[String]) -> HashSet<u64> {
    let mut found = HashSet::new();
    for batch in batches {
        let columns: Option<Vec<_>> = key.iter().map(|k| batch.column_by_name(k)).collect();
        let Some(columns) = columns else { continue };
        let options = FormatOptions::default();
        let Ok(formats) =
            columns.iter().map(|c| ArrayFormatter::try_new(c, &options)).collect::<Result<Vec<_>, _>>()
        else {
            continue;
        };
        for row in 0..batch.num_rows() {
            let mut hash = DefaultHasher::new();
            for format in &formats {
                format.value(row).to_string().hash(&mut hash);
            }
            found.insert(hash.finish());
        }
    }
    found
}

fn notice(code: &str, message: String) -> ReadEvent {
    ReadEvent::Notice(Notice { code: code.into(), message })
}

fn moved(label: &str) -> ReadEvent {
    notice(
        "changed_while_paging",
        format!("{label}: records moved between pages while they were read; they are read again"),
    )
}

fn number_or_text(text: String) -> Value {
    text.parse::<i64>().map_or(Value::String(text), Value::from)
}

fn number(path: &Path, answer: &Answer) -> Result<Option<u64>> {
    if answer.empty {
        return Ok(None);
    }
    Ok(path.scalar(&answer.body)?.and_then(|text| text.parse().ok()))
}
