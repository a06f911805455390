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

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value;
use throughline_core::time::InstantUs;
use throughline_core::{Context, Error, Notice, ReadEvent, Result};

use super::client::{Answer, Connection, Outcome};
use super::moments::us;
use super::plan::StreamPlan;
use super::spec::{AuthKind, PagingKind};
use super::state::{Span, Turn};
use super::template::Scope;
use super::windows::Windows;
use crate::records::{Found, Limits, Path, RecordsBuilder};

/// Times a list may outrun us within one read before that is an error.
const PATIENCE: u32 = 10;
/// Times an answer that came cut off is asked for.
const ASKED: u32 = 4;

/// Reads the pages of one stream, one at a time.
pub(crate) struct Pager {
    pub plan: Arc<StreamPlan>,
    records: RecordsBuilder,
    /// The page before, in this process.
    before: Option<Vec<RecordBatch>>,
    outrun: u32,
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
    pub found: Found,
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
    pub fn new(plan: Arc<StreamPlan>, source: &str) -> Self {
        let records = RecordsBuilder::new(Limits::default()).named(format!("{source}.{}", plan.spec.name));
        Self { plan, records, before: None, outrun: 0 }
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
        connection.ask(ctx, &self.plan.request, &scope).await
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
            let Outcome::Answer(answer) = self.ask(connection, ctx, turn, at).await? else { return Ok(None) };
            asked += 1;
            match self.take(&answer, at, label) {
                Ok(page) => return Ok(Some((answer, page))),
                Err(error) if !error.is_temporary() || asked == ASKED => {
                    return Err(error.with("asked", asked));
                }
                Err(_) => ctx.sleep(Duration::from_millis(250 << asked)).await?,
            }
        }
    }

    fn take(&mut self, answer: &Answer, at: &Place<'_>, label: &str) -> Result<Page> {
        let mut page = Page::default();
        self.records.begin_page(label, Some(answer.head.exchange));
        if !answer.empty {
            let found = self.records.push_page_with(&answer.body, &self.plan.selector, at.extra);
            if found.is_err() {
                // What came before the error must not be used.
                self.records.discard_page();
            }
            page.found = found?;
        }
        self.records.finish_page();
        page.events = self.records.take_events();
        page.batches = batches(&page.events);
        Ok(page)
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

    /// The turn behind this page; `None` at the end.
    fn next(
        &mut self,
        connection: &Connection,
        turn: &Turn,
        at: &Place<'_>,
        answer: &Answer,
        page: &mut Page,
        label: &str,
    ) -> Result<Option<Turn>> {
        let found = page.found.records;
        let paging = &self.plan.spec.paging;
        let short = paging.short_page_ends && paging.size.is_some_and(|size| found < size);
        match self.plan.paging.kind {
            PagingKind::None => Ok(None),
            PagingKind::Page | PagingKind::Offset => {
                if self.plan.incremental.as_ref().is_some_and(|i| i.ordered) && !turn.unordered {
                    return self.next_ordered(turn, at, answer, page, label, short);
                }
                if !self.more(turn, answer, found, short)? {
                    return Ok(None);
                }
                Ok(Some(self.plain(turn, found)))
            }
            PagingKind::Cursor => {
                let cursor = self.pointer(answer)?;
                if cursor.is_some() && cursor == turn.cursor {
                    return Err(self.loops("the cursor"));
                }
                Ok(cursor.map(|cursor| Turn {
                    pages: turn.pages + 1,
                    cursor: Some(cursor),
                    ..Turn::default()
                }))
            }
            PagingKind::Next => {
                let Some(link) = self.pointer(answer)? else { return Ok(None) };
                let url = self.clean(connection, &link)?;
                if Some(&url) == turn.url.as_ref() {
                    return Err(self.loops("the link to the next page"));
                }
                Ok(Some(Turn { pages: turn.pages + 1, url: Some(url), ..Turn::default() }))
            }
            PagingKind::Keyset => {
                if found == 0 || short {
                    return Ok(None);
                }
                let last = self.last_key(turn, page)?;
                if last == turn.last {
                    return Err(self.loops("the last key"));
                }
                Ok(Some(Turn { pages: turn.pages + 1, last, ..Turn::default() }))
            }
        }
    }

    fn plain(&self, turn: &Turn, found: u64) -> Turn {
        let mut next = turn.clone();
        next.pages += 1;
        if self.plan.paging.kind == PagingKind::Offset {
            // The record looked at twice does not count.
            next.offset = self.offset(turn) - self.first() + found;
        }
        next
    }

    fn more(&self, turn: &Turn, answer: &Answer, found: u64, short: bool) -> Result<bool> {
        if answer.empty {
            return Ok(false);
        }
        if let Some(path) = &self.plan.paging.more {
            return Ok(path.find(&answer.body)?.is_some_and(truthy));
        }
        if let Some(path) = &self.plan.paging.total
            && let Some(total) = number(path, answer)?
        {
            return Ok(found > 0 && self.offset(turn) - self.first() + found < total);
        }
        let looked_at_twice = u64::from(
            self.plan.paging.kind == PagingKind::Offset && self.offset(turn) < self.first() + turn.offset,
        );
        Ok(found > looked_at_twice && !short)
    }

    /// Ordered windows go on at the last time seen.
    fn next_ordered(
        &mut self,
        turn: &Turn,
        at: &Place<'_>,
        answer: &Answer,
        page: &mut Page,
        label: &str,
        short: bool,
    ) -> Result<Option<Turn>> {
        let Some(times) = self.times(page, at) else {
            self.before = None;
            page.events.push(notice(
                "order_not_kept",
                format!("{label}: the records are not in the order that was asked for; the window is read again, page by page"),
            ));
            return Ok(Some(Turn { unordered: true, ..Turn::default() }));
        };
        let here = turn.anchor.or(at.span.from);
        if let (Some((first, _)), Some(anchor)) = (times, turn.anchor)
            && first < anchor
        {
            page.events.push(notice(
                "order_not_kept",
                format!("{label}: the vendor does not keep to {{from}}; pages are counted"),
            ));
            return Ok(Some(Turn { unordered: true, ..Turn::default() }));
        }
        if !self.more(turn, answer, page.found.records, short)? {
            return Ok(None);
        }
        let resolution = self.plan.incremental.as_ref().map_or(1, |i| us(i.resolution).max(1));
        let reached = times.map(|(_, last)| last - last.rem_euclid(resolution));
        Ok(Some(match reached {
            Some(reached) if here.is_none_or(|here| reached > here) => {
                Turn { anchor: Some(reached), ..Turn::default() }
            }
            // More records of one moment than a page holds.
            _ => self.plain(turn, page.found.records),
        }))
    }

    /// First and last time of a page; `None` when they are not in order or cannot be read.
    fn times(&self, page: &Page, at: &Place<'_>) -> Option<Option<(InstantUs, InstantUs)>> {
        let (plan, spec) = (self.plan.incremental.as_ref()?, self.plan.spec.incremental.as_ref()?);
        let mut range: Option<(InstantUs, InstantUs)> = None;
        for batch in &page.batches {
            let column = batch.column_by_name(&spec.cursor)?;
            let format = ArrayFormatter::try_new(column, &FormatOptions::default()).ok()?;
            for row in 0..batch.num_rows() {
                if column.is_null(row) {
                    return None;
                }
                let time = plan.format.read(&format.value(row).to_string(), at.windows.zone())?;
                range = match range {
                    None => Some((time, time)),
                    Some((_, last)) if time < last => return None,
                    Some((first, _)) => Some((first, time)),
                };
            }
        }
        Some(range)
    }

    fn last_key(&self, turn: &Turn, page: &Page) -> Result<Option<String>> {
        let Some(name) = &self.plan.spec.paging.column else { return Ok(None) };
        let mut last = turn.last.clone();
        for batch in &page.batches {
            let wrong = |what: &str| {
                Error::protocol(format!(
                    "stream {:?}: {what} the column {name:?}, which pages are turned by",
                    self.plan.spec.name
                ))
            };
            let column = batch.column_by_name(name).ok_or_else(|| wrong("the records have not"))?;
            let format = ArrayFormatter::try_new(column, &FormatOptions::default())?;
            for row in 0..batch.num_rows() {
                if column.is_null(row) || column.data_type() == &DataType::Null {
                    return Err(wrong("a record is without"));
                }
                let key = format.value(row).to_string();
                if let (Some(Ok(a)), Ok(b)) = (last.as_ref().map(|l| l.parse::<i128>()), key.parse::<i128>())
                    && b <= a
                {
                    return Err(wrong("the records are not ordered by")
                        .hint("ask the vendor for this order in the request"));
                }
                last = Some(key);
            }
        }
        Ok(last)
    }

    /// The cursor or link of an answer.
    fn pointer(&self, answer: &Answer) -> Result<Option<String>> {
        let text = match (&self.plan.paging.path, &self.plan.spec.paging.header) {
            (Some(path), _) if !answer.empty => path.scalar(&answer.body)?,
            (_, Some(header)) => answer.head.header(header).and_then(|value| {
                if header.eq_ignore_ascii_case("link") { next_of_link(value) } else { Some(value.to_owned()) }
            }),
            _ => None,
        };
        Ok(text.filter(|t| !matches!(t.as_str(), "" | "null" | "false")))
    }

    /// The link without host and secrets: it goes into checkpoints.
    fn clean(&self, connection: &Connection, link: &str) -> Result<String> {
        let url = connection.next_url(link)?;
        let mut strip = self.plan.spec.paging.strip.clone();
        let auth = connection.plan.auth.iter().filter(|a| a.spec.kind == AuthKind::Query);
        strip.extend(auth.filter_map(|a| a.spec.name.clone()));
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| !strip.iter().any(|s| s == name))
            .map(|(k, v)| (k.into_owned(), v.into_owned()))
            .collect();
        let mut clean = url.path().to_owned();
        if !kept.is_empty() {
            clean.push('?');
            clean.push_str(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish());
        }
        Ok(clean)
    }

    fn loops(&self, what: &str) -> Error {
        Error::protocol(format!("stream {:?}: {what} did not change from page to page", self.plan.spec.name))
            .hint("the same page would be read for ever")
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

fn truthy(json: &str) -> bool {
    let inner = json.trim_matches(['[', ']', '{', '}', '"']).trim();
    !matches!(inner, "" | "null" | "false" | "0")
}

/// The target of `rel="next"` in a Link header (RFC 8288).
fn next_of_link(header: &str) -> Option<String> {
    let mut rest = header;
    while let Some((_, behind)) = rest.split_once('<') {
        let (target, behind) = behind.split_once('>')?;
        let params = behind.split_once('<').map_or(behind, |(p, _)| p);
        let is_next = params.split(';').any(|p| {
            let p = p.trim().trim_end_matches(',').trim();
            p.strip_prefix("rel=")
                .is_some_and(|rel| rel.trim_matches('"').split(' ').any(|r| r.eq_ignore_ascii_case("next")))
        });
        if is_next {
            return Some(target.to_owned());
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let header =
            r#"<https://a.example/?page=1>; rel="prev", <https://a.example/?page=3&x=<1>; rel="next""#;
        assert_eq!(next_of_link(r#"</x?page=3>; title="a"; rel="last next""#).as_deref(), Some("/x?page=3"));
        assert_eq!(
            next_of_link(r#"<https://a/1>; rel="prev", <https://a/3>; rel=next"#).as_deref(),
            Some("https://a/3")
        );
        assert_eq!(next_of_link("garbage <"), None);
        let _ = next_of_link(header);
    }

    #[test]
    fn what_counts_as_more() {
        for (json, more) in [
            ("null", false),
            ("false", false),
            ("0", false),
            ("\"\"", false),
            ("[]", false),
            ("{}", false),
            ("true", true),
            ("\"x\"", true),
            ("{\"a\":1}", true),
            ("12", true),
        ] {
            assert_eq!(truthy(json), more, "{json}");
        }
    }
}
