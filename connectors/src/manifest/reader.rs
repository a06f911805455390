//! One read of one stream: windows, in them parents where there are some, in them pages.
//!
//! After every page comes a checkpoint that holds all three, so that a read goes on where it broke off.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::StreamExt;
use serde_json::{Map, Value};
use throughline_core::{
    Context, CountCheck, Error, Notice, Place as ErrorPlace, ReadEvent, ReadRequest, ReadStream, Result,
};

use super::client::{Connection, Outcome};
use super::pager::{Page, Pager, Place, keys};
use super::plan::{Plan, StreamPlan};
use super::spec::Parent;
use super::state::{Parents, Span, State, Turn};
use super::windows::Windows;
use crate::records::scalar_text;

/// Distinct keys held for a count check. Beyond it the check is left out rather than the memory used.
const COUNTED_AT_MOST: usize = 20_000_000;

pub(crate) struct Reader {
    connection: Arc<Connection>,
    ctx: Context,
    plan: Arc<StreamPlan>,
    parent: Option<Arc<StreamPlan>>,
    pager: Pager,
    parent_pager: Option<Pager>,
    windows: Windows,
    state: State,
    /// No window was opened in this read yet.
    first: bool,
    /// `WindowBegin` was given for the window under way.
    begun: bool,
    pages_left: Option<u64>,
    counter: Option<Counter>,
    total_told: bool,
    queue: VecDeque<ReadEvent>,
    ended: bool,
}

/// What a window held, to compare with the vendor's number.
#[derive(Default)]
struct Counter {
    expected: Option<u64>,
    /// What the vendor said there was when the window began.
    before: Option<u64>,
    keys: HashSet<u64>,
    rows: u64,
    /// Part of the window was read by an earlier process.
    partial: bool,
}

pub(crate) fn read(connection: Arc<Connection>, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
    let source = ctx.name.to_string();
    let reader = Reader::new(connection, ctx.clone(), request)?;
    let stream = reader.plan.spec.name.clone();
    let events = futures::stream::unfold(Some(reader), move |reader| {
        let (source, stream) = (source.clone(), stream.clone());
        async move {
            let mut reader = reader?;
            loop {
                if let Some(event) = reader.queue.pop_front() {
                    return Some((Ok(event), Some(reader)));
                }
                if reader.ended {
                    return None;
                }
                if let Err(error) = reader.step().await {
                    let page = Some(format!("page {}", reader.state.page + 1));
                    return Some((Err(error.or_at(|| ErrorPlace::Stream { source, stream, page })), None));
                }
            }
        }
    });
    Ok(events.boxed())
}

fn stream_of(plan: &Plan, name: &str) -> Result<Arc<StreamPlan>> {
    plan.streams.iter().find(|s| s.spec.name == name).cloned().ok_or_else(|| {
        let names: Vec<&str> = plan.streams.iter().map(|s| s.spec.name.as_str()).collect();
        let error = Error::config(format!("{} has no stream {name:?}", plan.spec.name));
        match super::problems::hint(name, &names) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

impl Reader {
    fn new(connection: Arc<Connection>, ctx: Context, request: ReadRequest) -> Result<Self> {
        let plan = stream_of(&connection.plan, &request.stream)?;
        let parent = plan.parent.and_then(|i| connection.plan.streams.get(i)).cloned();
        let state = match (&request.checkpoint, request.window) {
            (Some(checkpoint), None) => State::read(checkpoint, &request.stream)?,
            _ => State::default(),
        };
        // A stream without windows of its own goes through its parent's.
        let windows_of = match &parent {
            Some(parent) if plan.incremental.is_none() && plan.days.is_none() => parent,
            _ => &plan,
        };
        let windows = Windows::new(&connection, windows_of, ctx.clock.now_us(), request.window)?;
        let resumed = state.window.is_some();
        let mut state = state;
        if state.done {
            state = State { done_to: state.done_to, last: state.last, ..State::default() };
        }
        Ok(Self {
            pager: Pager::new(plan.clone(), &ctx.name, &connection)?,
            parent_pager: match &parent {
                Some(parent) => Some(Pager::new(parent.clone(), &ctx.name, &connection)?),
                None => None,
            },
            counter: plan.count.is_some().then(|| Counter { partial: resumed, ..Counter::default() }),
            connection,
            ctx,
            plan,
            parent,
            windows,
            state,
            first: true,
            begun: false,
            pages_left: request.max_pages,
            total_told: false,
            queue: VecDeque::new(),
            ended: false,
        })
    }

    /// Reads on until there are events, or the end.
    async fn step(&mut self) -> Result<()> {
        self.ctx.check_cancelled()?;
        if self.pages_left == Some(0) {
            self.ended = true;
            return Ok(());
        }
        let Some(span) = self.window() else { return self.finish() };
        if self.parent.is_some() {
            return self.step_parent(&span).await;
        }
        let mut turn = std::mem::take(&mut self.state.turn);
        let begins = turn.is_start();
        let page = self.page(&span, &mut turn, &|_| None, &[]).await?;
        if begins && self.split(&span, &self.plan.clone(), page.left) {
            return Ok(());
        }
        self.state.turn = turn;
        let end = page.end;
        self.deliver(page);
        if end {
            self.close(&span).await?;
        }
        self.checkpoint()
    }

    /// Takes half of a window whose first page tells of too many records. Nothing of it was delivered.
    fn split(&mut self, span: &Span, windowed: &StreamPlan, left: Option<u64>) -> bool {
        let split = windowed.spec.incremental.as_ref().and_then(|i| i.split);
        let Some(half) = self.windows.half(span, split, left) else {
            if let Some(counter) = &mut self.counter {
                counter.before = left;
            }
            return false;
        };
        self.state.window = Some(half);
        self.state.turn = Turn::default();
        self.state.parents = self.parent.is_some().then(Parents::default);
        self.pager.forget();
        true
    }

    /// The window under way, or the next one.
    fn window(&mut self) -> Option<Span> {
        if self.state.window.is_none() {
            let now = self.ctx.clock.now_us();
            let next = self.windows.next(&self.state, self.first, &self.plan.spec.name, now)?;
            self.state.turn = Turn {
                last: self.state.last.clone().filter(|_| self.plan.spec.paging.across_runs),
                ..Turn::default()
            };
            self.state.parents = self.parent.is_some().then(Parents::default);
            self.state.window = Some(next);
            self.first = false;
            self.begun = false;
            self.pager.forget();
            if let Some(counter) = &mut self.counter {
                *counter = Counter::default();
            }
        }
        let span = self.state.window.clone()?;
        if let (Some(id), Some(from), Some(to), false) = (&span.id, span.from, span.to, self.begun) {
            let day = |d: i64| i32::try_from(d).unwrap_or_default();
            self.queue.push_back(ReadEvent::WindowBegin {
                id: id.clone(),
                from_on: day(from),
                to_on: day(to),
            });
        }
        self.begun = true;
        Some(span)
    }

    async fn page(
        &mut self,
        span: &Span,
        turn: &mut Turn,
        parent: &(dyn Fn(&str) -> Option<Value> + Sync),
        extra: &[(&str, &str)],
    ) -> Result<Page> {
        let label = format!("page {}", self.state.page + 1);
        let place = Place { windows: &self.windows, span, parent, extra };
        let page = self.pager.page(&self.connection, &self.ctx, turn, &place, &label).await?;
        self.state.page += 1;
        if let Some(left) = &mut self.pages_left {
            *left -= 1;
        }
        Ok(page)
    }

    fn deliver(&mut self, page: Page) {
        if let (Some(total), false) = (page.total, self.total_told) {
            self.total_told = true;
            self.queue.push_back(ReadEvent::Total(total));
        }
        if let Some(counter) = &mut self.counter {
            counter.expected = counter.expected.or(page.counted);
            for event in &page.events {
                match event {
                    ReadEvent::Batch(batch) if self.plan.spec.key.is_empty() => {
                        counter.rows += batch.rows.num_rows() as u64;
                    }
                    ReadEvent::Batch(batch) => {
                        counter.keys.extend(keys(std::slice::from_ref(&batch.rows), &self.plan.spec.key));
                    }
                    ReadEvent::Rejected(_) => counter.rows += 1,
                    _ => {}
                }
            }
        }
        self.queue.extend(page.events);
    }

    /// The window is read.
    async fn close(&mut self, span: &Span) -> Result<()> {
        if let Some(check) = self.count(span).await? {
            self.queue.push_back(ReadEvent::Count(check));
        }
        if let Some(id) = &span.id {
            self.queue.push_back(ReadEvent::WindowEnd { id: id.clone() });
        }
        if self.plan.spec.paging.across_runs {
            self.state.last = self.state.turn.last.take().or(self.state.last.take());
        }
        self.state.done_to = span.to.or(self.state.done_to);
        let splits = |plan: &StreamPlan| plan.spec.incremental.as_ref().is_some_and(|i| i.split.is_some());
        if splits(&self.plan) || self.parent.as_deref().is_some_and(splits) {
            self.state.width = span.from.zip(span.to).map(|(from, to)| to - from);
        }
        // The only window of an unbounded read, also of one that was resumed in it.
        self.first &= !self.windows.is_all();
        self.state.window = None;
        self.state.turn = Turn::default();
        self.state.parents = None;
        Ok(())
    }

    async fn count(&mut self, span: &Span) -> Result<Option<CountCheck>> {
        let (Some(plan), Some(counter)) = (&self.plan.count, &self.counter) else { return Ok(None) };
        if counter.partial || counter.keys.len() > COUNTED_AT_MOST {
            return Ok(None);
        }
        let mut expected = counter.expected;
        if let Some(request) = &plan.request {
            let turn = Turn::default();
            let scope = |name: &str| self.windows.bound(name, span, &turn);
            let mut times = 0;
            let asked = loop {
                let taken = match self.connection.ask(&self.ctx, request, &scope).await {
                    Ok(Outcome::Answer(answer)) if answer.empty => Ok(Some(Some("0".to_owned()))),
                    Ok(Outcome::Answer(answer)) => plan.path.scalar(&answer.body).map(Some),
                    Ok(Outcome::Restart) => Ok(None),
                    Err(error) => break Err(error),
                };
                match self.connection.whole(&self.ctx, taken, &mut times).await {
                    Ok(None) => {}
                    Ok(Some(taken)) => break Ok(taken),
                    Err(error) => break Err(error),
                }
            };
            if let Err(error) = &asked
                && error.is_temporary()
            {
                // The rows are there; how many there should be is not known, and the report says so.
                let message =
                    format!("{}: the vendor did not tell how many there are: {error}", self.plan.spec.name);
                self.queue.push_back(ReadEvent::Notice(Notice { code: "not_counted".into(), message }));
                return Ok(None);
            }
            if let Some(found) = asked? {
                expected = found.and_then(|text| text.parse().ok());
                // Records that change again leave the window while it is read. Who read no fewer than there
                // are now and no more than there were has them all.
                let read = counter.keys.len() as u64 + counter.rows;
                if let (Some(after), Some(before)) = (expected, counter.before)
                    && (after..=before).contains(&read)
                {
                    expected = Some(read);
                }
            }
        }
        let Some(expected) = expected.filter(|n| plan.at_most.is_none_or(|most| *n < most)) else {
            return Ok(None);
        };
        let bound = |name: &str| {
            self.windows.bound(name, span, &Turn::default()).and_then(|v| super::template::as_text(&v))
        };
        let mut what = self.plan.spec.name.clone();
        for (word, name) in [("from", "from"), ("to", "to")] {
            if let Some(at) = bound(name) {
                what.push_str(&format!(" {word} {at}"));
            }
        }
        Ok(Some(CountCheck { what, expected, read: counter.keys.len() as u64 + counter.rows }))
    }

    fn checkpoint(&mut self) -> Result<()> {
        self.queue.push_back(ReadEvent::Checkpoint(self.state.checkpoint()?));
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        self.state = State {
            done_to: self.state.done_to,
            last: self.state.last.take(),
            done: true,
            ..State::default()
        };
        self.ended = true;
        self.checkpoint()
    }

    /// The next page of the parent at hand, or the next page of parents.
    async fn step_parent(&mut self, span: &Span) -> Result<()> {
        let Some(spec) = self.plan.spec.parent.clone() else {
            return Err(Error::bug("a sub-stream without parent"));
        };
        let mut parents = self.state.parents.take().unwrap_or_default();
        if parents.rest.is_empty() {
            if parents.last_page {
                self.close(span).await?;
            } else {
                let begins = parents.turn.is_start();
                let left = self.more_parents(span, &spec, &mut parents).await?;
                let windowed = self.parent.clone().filter(|_| begins && !self.own_windows());
                if windowed.is_some_and(|plan| self.split(span, &plan, left)) {
                    return Ok(());
                }
                self.state.parents = Some(parents);
            }
            return self.checkpoint();
        }
        let size = spec.batch.map_or(1, |b| usize::try_from(b).unwrap_or(usize::MAX)).min(parents.rest.len());
        let batch = parents.rest[..size].to_vec();
        let first = spec.columns.first().cloned().unwrap_or_default();
        let scope = |name: &str| -> Option<Value> {
            let column = name.strip_prefix("parent.")?;
            if column == "ids" {
                return Some(batch.iter().filter_map(|p| p.get(&first).cloned()).collect());
            }
            if column == "records" {
                return Some(batch.iter().cloned().map(Value::Object).collect());
            }
            batch.first()?.get(column).cloned()
        };
        let added: Vec<(String, String)> = spec
            .add
            .iter()
            .map(|(new, column)| {
                let value = batch.first().and_then(|p| p.get(column)).unwrap_or(&Value::Null);
                (new.clone(), value.to_string())
            })
            .collect();
        let extra: Vec<(&str, &str)> = added.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let mut turn = std::mem::take(&mut self.state.turn);
        let mut page = self.page(span, &mut turn, &scope, &extra).await?;
        if let Some(column) = &spec.answers {
            let asked = batch.iter().filter_map(|p| p.get(&first));
            self.pager.add_unanswered(&mut page, column, asked, &format!("page {}", self.state.page))?;
        }
        if page.end {
            parents.rest.drain(..size);
            self.pager.forget();
        } else {
            self.state.turn = turn;
        }
        self.state.parents = Some(parents);
        self.deliver(page);
        self.checkpoint()
    }

    /// With windows of its own, a sub-stream asks every parent in each of them.
    fn own_windows(&self) -> bool {
        self.plan.incremental.is_some() || self.plan.days.is_some()
    }

    /// Reads a page of parents; gives how many the vendor says there are from it on.
    async fn more_parents(
        &mut self,
        span: &Span,
        spec: &Parent,
        parents: &mut Parents,
    ) -> Result<Option<u64>> {
        let own = self.own_windows();
        let Some(pager) = &mut self.parent_pager else {
            return Err(Error::bug("a sub-stream without parent"));
        };
        let (everything, all) = (Windows::All, Span::default());
        let place = Place {
            windows: if own { &everything } else { &self.windows },
            span: if own { &all } else { span },
            parent: &|_| None,
            extra: &[],
        };
        let label = format!("page {} of {}", parents.turn.pages + 1, spec.stream);
        let page = pager.page(&self.connection, &self.ctx, &mut parents.turn, &place, &label).await?;
        parents.last_page = page.end;
        let hidden = self.parent.as_ref().is_some_and(|p| p.spec.hidden);
        for event in page.events {
            match event {
                ReadEvent::Batch(batch) => parents.rest.extend(values(&batch.rows, &spec.columns)?),
                // Nobody else reads a hidden stream: what is wrong in it is told here.
                event @ (ReadEvent::Rejected(_) | ReadEvent::Notice(_)) if hidden => {
                    self.queue.push_back(event);
                }
                _ => {}
            }
        }
        Ok(page.left)
    }
}

/// The wanted columns of every row that has the first of them.
fn values(batch: &RecordBatch, columns: &[String]) -> Result<Vec<Map<String, Value>>> {
    let options = FormatOptions::default();
    let mut rows = vec![Map::new(); batch.num_rows()];
    for name in columns {
        let Some(column) = batch.column_by_name(name).filter(|c| c.data_type() != &DataType::Null) else {
            continue;
        };
        let format = ArrayFormatter::try_new(column, &options)?;
        let typed = matches!(column.data_type(), DataType::Int64 | DataType::Boolean);
        for (row, values) in rows.iter_mut().enumerate().filter(|(row, _)| !column.is_null(*row)) {
            let text = format.value(row).to_string();
            let value =
                if typed { scalar_text(&text).and_then(|t| serde_json::from_str(&t).ok()) } else { None };
            values.insert(name.clone(), value.unwrap_or(Value::String(text)));
        }
    }
    rows.retain(|row| columns.first().is_some_and(|first| row.contains_key(first)));
    Ok(rows)
}
