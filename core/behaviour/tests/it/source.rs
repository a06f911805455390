//! A source of three streams that keeps every promise, but for one flaw at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use async_trait::async_trait;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use throughline_core::connector::parse_options;
use throughline_core::http::{Account, HttpRequest, Method};
use throughline_core::{
    Batch, Capabilities, Catalog, CheckReport, Checkpoint, ColumnSpec, ColumnType, ConfigErrors, Context,
    CountCheck, Error, ErrorKind, Mapping, Options, Place, ReadEvent, ReadRequest, ReadStream, Restates,
    Result, Source, SourceConnector, StreamSpec,
};
use tokio::sync::mpsc::Sender;

use crate::vendor::{DAY_US, FIRST_DAY, NOW_US};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    // Of the catalog.
    KeyIsNoColumn,
    KeyIsAList,
    MappingOfNoTable,
    MappingOfNoStream,
    DiscoversLess,
    // Of options.
    TakesUnknownOptions,
    PointsElsewhere,
    NeedsNothing,
    ChecksBadly,
    // Of whole reads.
    FailsAtTheEnd,
    Panics,
    Hangs,
    ReusesWindowIds,
    RowsOutsideWindows,
    LeavesWindowsOpen,
    NestsWindows,
    NullKey,
    KeyOfTwo,
    EngineColumn,
    LiesAboutCount,
    LiesAboutTotal,
    CountsNothing,
    // Of reads that follow.
    OtherRowsEachTime,
    NoCheckpoints,
    SecretInCheckpoints,
    CommittedOnce,
    LosesARowAtResume,
    LosesAPageAtResume,
    DoublesARowAtResume,
    ForgetsItsWindow,
    ReadsAllAgain,
    NewRowsNextTime,
    IgnoresMaxPages,
    DryReadsElse,
    LosesTheBorder,
    NoWindows,
    // Of stopping and of HTTP.
    IgnoresCancel,
    IgnoresCancelInRequests,
    StopsNormally,
    StopsWithAnotherError,
    SwallowsErrors,
    GoesOnBehindErrors,
    NamelessErrors,
    TellsSecrets,
    TakesRubbish,
    TakesHalves,
}

pub struct Shop(pub Flaw);

pub const SECRET: &str = "s3cret-of-the-shop";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Given {
    account: String,
    size: Option<u32>,
    token: Option<Value>,
}

impl SourceConnector for Shop {
    fn name(&self) -> &str {
        "shop"
    }
    fn summary(&self) -> &str {
        "A shop"
    }
    fn readme(&self) -> &str {
        ""
    }
    fn schema(&self) -> Value {
        json!({"type": "object", "required": ["account"], "properties": {
            "account": {"type": "string"}, "size": {"type": ["integer", "null"]}, "token": {}}})
    }
    fn catalog(&self) -> Catalog {
        catalog(self.0)
    }
    fn build(&self, options: &Options) -> Result<Arc<dyn Source>, ConfigErrors> {
        let mut value = options.value.clone();
        match self.0 {
            Flaw::TakesUnknownOptions => {
                value.as_object_mut().unwrap().remove("no_such_option");
            }
            Flaw::NeedsNothing => value["account"] = value.get("account").cloned().unwrap_or("x".into()),
            _ => {}
        }
        let read = parse_options::<Given>(&value).map_err(|errors| match self.0 {
            Flaw::PointsElsewhere => errors.into_iter().map(|e| Error::config(e.message())).collect(),
            _ => errors,
        });
        read.map(|_| Arc::new(ShopSource(self.0)) as Arc<dyn Source>)
    }
}

fn catalog(flaw: Flaw) -> Catalog {
    let column = |name: &str, kind| ColumnSpec { name: name.into(), kind, doc: String::new() };
    let all = Capabilities { incremental: true, resumable: true, ..Capabilities::default() };
    let id = match flaw {
        Flaw::KeyIsNoColumn => column("number", ColumnType::Int),
        Flaw::KeyIsAList => column("id", ColumnType::TextList),
        _ => column("id", ColumnType::Int),
    };
    let stream = |name: &str, key: &[&str], columns: Vec<ColumnSpec>, capabilities| StreamSpec {
        name: name.into(),
        doc: String::new(),
        key: key.iter().map(|k| (*k).to_owned()).collect(),
        columns,
        restates: None,
        capabilities,
    };
    let orders = Capabilities { count: true, windowed: true, ..all };
    let days = Capabilities { windowed: true, ..all };
    Catalog {
        streams: vec![
            stream("orders", &["id"], vec![id, column("total", ColumnType::Int)], orders),
            stream("lines", &[], vec![column("text", ColumnType::Text)], all),
            StreamSpec {
                restates: Some(Restates { day_column: "day".into() }),
                ..stream(
                    "days",
                    &[],
                    vec![column("day", ColumnType::Date), column("visits", ColumnType::Int)],
                    days,
                )
            },
        ],
    }
}

pub struct ShopSource(pub Flaw);

#[async_trait]
impl Source for ShopSource {
    async fn check(&self, _: &Context) -> Result<CheckReport> {
        match self.0 {
            Flaw::ChecksBadly => Err(Error::protocol("no")),
            _ => Ok(CheckReport { facts: vec![("shop".into(), "Лавка".into())], warnings: Vec::new() }),
        }
    }
    fn catalog(&self) -> Catalog {
        catalog(self.0)
    }
    async fn discover(&self, _: &Context) -> Result<Catalog> {
        let mut found = self.catalog();
        if self.0 == Flaw::DiscoversLess {
            found.streams.remove(1);
        }
        Ok(found)
    }
    fn mappings(&self) -> Vec<Mapping> {
        let into = if self.0 == Flaw::MappingOfNoTable { "deal" } else { "deals" };
        let from = if self.0 == Flaw::MappingOfNoStream { "order" } else { "orders" };
        vec![Mapping {
            into: into.into(),
            from: vec![from.into()],
            sql: "SELECT id FROM orders".into(),
            origin: "deals.sql".into(),
            params: Vec::new(),
        }]
    }
    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let (out, events) = tokio::sync::mpsc::channel(1);
        let reader = Reader { flaw: self.0, ctx: ctx.clone(), request, out };
        let (flaw, stream) = (self.0, reader.request.stream.clone());
        let task = tokio::spawn(reader.run());
        let named = move |error: Error| match flaw {
            Flaw::NamelessErrors => error,
            Flaw::TellsSecrets if error.kind() != ErrorKind::Cancelled => {
                Error::protocol(format!("{stream}: {error} with {SECRET}"))
            }
            _ => error.or_at(|| Place::Stream { source: "shop".into(), stream: stream.clone(), page: None }),
        };
        let state = Some((events, Some(task), named));
        Ok(futures::stream::unfold(state, |state| async {
            let (mut events, task, named) = state?;
            if let Some(event) = events.recv().await {
                return Some((Ok(event), Some((events, task, named))));
            }
            match task?.await.unwrap() {
                Ok(()) => None,
                Err(error) => Some((Err(named(error)), Some((events, None, named)))),
            }
        })
        .chain(futures::stream::iter((self.0 == Flaw::GoesOnBehindErrors).then(|| Ok(ReadEvent::Total(1)))))
        .boxed())
    }
    async fn committed(&self, _: &Context, _: &str, checkpoint: &Checkpoint) -> Result<()> {
        // In the memory of the process, as somebody would who deletes upstream and has not thought of crashes.
        static TOLD: std::sync::Mutex<Vec<(usize, String)>> = std::sync::Mutex::new(Vec::new());
        if self.0 == Flaw::CommittedOnce {
            let told = (std::ptr::from_ref(self).addr(), checkpoint.0.to_string());
            let mut all = TOLD.lock().unwrap();
            if all.last() == Some(&told) {
                return Err(Error::protocol("there is nothing of that name to delete"));
            }
            all.push(told);
        }
        Ok(())
    }
}

struct Reader {
    flaw: Flaw,
    ctx: Context,
    request: ReadRequest,
    out: Sender<ReadEvent>,
}

impl Reader {
    async fn run(self) -> Result<()> {
        let done = match self.request.stream.as_str() {
            "orders" => self.orders().await,
            "lines" => self.lines().await,
            _ => self.days().await,
        };
        match done {
            Err(error) if error.kind() == ErrorKind::Cancelled => match self.flaw {
                Flaw::StopsNormally => Ok(()),
                Flaw::StopsWithAnotherError => Err(Error::protocol("stopped")),
                _ => Err(error),
            },
            Err(_) if self.flaw == Flaw::SwallowsErrors => Ok(()),
            done => done,
        }
    }

    async fn send(&self, event: ReadEvent) -> Result<()> {
        self.out.send(event).await.map_err(|_| Error::cancelled())
    }

    async fn checkpoint(&self, value: Value) -> Result<()> {
        match self.flaw {
            Flaw::NoCheckpoints => Ok(()),
            _ => self.send(ReadEvent::Checkpoint(Checkpoint(value))).await,
        }
    }

    async fn batch(&self, page: u64, columns: Vec<(&str, ArrayRef)>) -> Result<()> {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        self.send(ReadEvent::Batch(Batch { rows, exchange: Some(1), page: format!("page {page}") })).await
    }

    async fn ask(&self, path: &str) -> Result<Vec<Value>> {
        if self.flaw != Flaw::IgnoresCancel {
            self.ctx.check_cancelled()?;
        }
        let account = Account { key: "shop".into(), per_second: 1e6, burst: 1000, parallel: 10 };
        let request = HttpRequest::new(Method::Get, format!("https://vendor.example/{path}"), account);
        let cancelled = async {
            match self.flaw {
                Flaw::IgnoresCancel | Flaw::IgnoresCancelInRequests => std::future::pending().await,
                _ => self.ctx.cancel.cancelled().await,
            }
        };
        let answer = tokio::select! {
            biased;
            () = cancelled => return Err(Error::cancelled()),
            answer = self.ctx.http.send(request) => answer?,
        };
        let body = answer.bytes().await?;
        let text = String::from_utf8_lossy(&body).into_owned();
        let parsed: Result<Value, _> = serde_json::from_str(&text);
        match (parsed, self.flaw) {
            (Ok(mut value), _) => match value["items"].take() {
                Value::Array(items) => Ok(items),
                _ => Err(Error::protocol("no items in the answer")),
            },
            (Err(_), Flaw::TakesRubbish) => Ok(Vec::new()),
            (Err(_), Flaw::TakesHalves) if text.starts_with('{') => Ok(Vec::new()),
            (Err(e), _) => Err(Error::protocol(format!("the answer is no JSON: {e}"))),
        }
    }

    fn checkpointed(&self, name: &str) -> Option<i64> {
        self.request.checkpoint.as_ref()?.0.get(name)?.as_i64()
    }

    /// By key, on behind the last one, also in the next run.
    async fn orders(&self) -> Result<()> {
        let flaw = self.flaw;
        let mut after = self.checkpointed("after").unwrap_or(0);
        match flaw {
            Flaw::Panics => panic!("a flaw"),
            Flaw::Hangs => std::future::pending().await,
            Flaw::LosesARowAtResume if after > 0 && after < 30 => after += 1,
            Flaw::NewRowsNextTime if self.ctx.clock.now_us() > NOW_US => {
                self.batch(1, vec![("id", Arc::new(Int64Array::from(vec![99])))]).await?;
            }
            _ => {}
        }
        let mut window = String::new();
        if let Some(w) = self.request.window {
            if flaw == Flaw::NoWindows {
                return Err(Error::unsupported("no windows here"));
            }
            let from = if flaw == Flaw::LosesTheBorder { w.from_us + 1 } else { w.from_us };
            window = format!("&from={from}&to={}", w.to_us);
        }
        let dry = self.request.max_pages.filter(|_| flaw != Flaw::IgnoresMaxPages);
        let (mut page, mut read) = (0, 0);
        while dry.is_none_or(|most| page < most) {
            let items = self.ask(&format!("orders?after={after}{window}")).await?;
            page += 1;
            let mut ids: Vec<i64> = items.iter().map(|i| i["id"].as_i64().unwrap()).collect();
            let Some(last) = ids.last().copied() else { break };
            read += ids.len() as u64;
            let mut totals: Vec<i64> = items.iter().map(|i| i["total"].as_i64().unwrap()).collect();
            match flaw {
                Flaw::OtherRowsEachTime => {
                    static TIMES: AtomicI64 = AtomicI64::new(0);
                    totals[0] = TIMES.fetch_add(1, Ordering::SeqCst);
                }
                Flaw::KeyOfTwo => ids[1] = ids[0],
                Flaw::DryReadsElse if dry.is_some() => totals[0] += 1,
                _ => {}
            }
            let mut keys: Vec<Option<i64>> = ids.iter().copied().map(Some).collect();
            if flaw == Flaw::NullKey {
                keys.iter_mut().filter(|key| **key == Some(14)).for_each(|key| *key = None);
            }
            let name = if flaw == Flaw::EngineColumn { "_tl_total" } else { "total" };
            let columns: Vec<(&str, ArrayRef)> =
                vec![("id", Arc::new(Int64Array::from(keys))), (name, Arc::new(Int64Array::from(totals)))];
            self.batch(page, columns).await?;
            after = last;
            let mut state = json!({ "after": if flaw == Flaw::ReadsAllAgain { 0 } else { after } });
            match flaw {
                Flaw::SecretInCheckpoints => state["url"] = format!("https://x/?token={SECRET}").into(),
                Flaw::LosesAPageAtResume => state["after"] = (after + 10).into(),
                _ => {}
            }
            self.checkpoint(state).await?;
        }
        if flaw == Flaw::FailsAtTheEnd {
            return Err(Error::protocol("the last page is missing"));
        }
        if self.request.window.is_none() && self.request.checkpoint.is_none() && dry.is_none() {
            let expected = if flaw == Flaw::LiesAboutTotal { read + 1 } else { read };
            let told = if flaw == Flaw::LiesAboutCount { read + 1 } else { read };
            let expected = if flaw == Flaw::LiesAboutCount { told } else { expected };
            if flaw != Flaw::CountsNothing {
                self.send(ReadEvent::Count(CountCheck { what: "orders".into(), expected, read: told }))
                    .await?;
            }
        }
        Ok(())
    }

    /// Rows without a key, some of them equal; by offset, on behind the last one also in the next run.
    async fn lines(&self) -> Result<()> {
        let mut skip = self.checkpointed("skip").unwrap_or(0);
        if self.flaw == Flaw::DoublesARowAtResume && (1..25).contains(&skip) {
            skip -= 1;
        }
        let mut page = 0;
        while self.request.max_pages.is_none_or(|most| page < most) {
            let items = self.ask(&format!("lines?skip={skip}")).await?;
            if items.is_empty() {
                break;
            }
            page += 1;
            skip += i64::try_from(items.len()).unwrap();
            let texts: Vec<&str> = items.iter().map(|i| i["text"].as_str().unwrap()).collect();
            self.batch(page, vec![("text", Arc::new(StringArray::from(texts)))]).await?;
            self.checkpoint(json!({ "skip": skip })).await?;
        }
        Ok(())
    }

    /// Windows of three days, a day a request, the last three days again.
    async fn days(&self) -> Result<()> {
        let (mut from, last) = match self.request.window {
            Some(w) => (w.from_us.div_euclid(DAY_US), w.to_us.div_euclid(DAY_US)),
            None => (FIRST_DAY, FIRST_DAY + 8),
        };
        // In the middle of a window it goes on with the same id.
        let mut next = self.checkpointed("next");
        let mut id = self.request.checkpoint.as_ref().and_then(|c| Some(c.0.get("id")?.as_str()?.to_owned()));
        if self.flaw == Flaw::ForgetsItsWindow {
            id = id.map(|id| id + " again");
        }
        match (self.checkpointed("from"), next) {
            (Some(begun), Some(_)) => from = begun,
            (Some(done), None) => from = done - 3,
            _ => {}
        }
        let mut page = 0;
        while from < last {
            let to = (from + 3).min(last);
            let window = match id.take() {
                Some(id) => id,
                None if self.flaw == Flaw::ReusesWindowIds => "window".into(),
                None => format!("{from} {to} {}", self.ctx.clock.now_us()),
            };
            let day = |n: i64| i32::try_from(n).unwrap();
            let begin = || ReadEvent::WindowBegin { id: window.clone(), from_on: day(from), to_on: day(to) };
            self.send(begin()).await?;
            if self.flaw == Flaw::NestsWindows && from == FIRST_DAY {
                self.send(ReadEvent::ReplaceBegin { id: "inner".into(), slice: "a".into() }).await?;
            }
            for at in next.take().unwrap_or(from)..to {
                if self.request.max_pages.is_some_and(|most| page >= most) {
                    return Ok(());
                }
                let more = i64::from(self.flaw == Flaw::RowsOutsideWindows && at + 1 == to);
                let items = self.ask(&format!("days?from={at}&to={}", at + 1 + more)).await?;
                page += 1;
                let days: Vec<&str> = items.iter().map(|i| i["day"].as_str().unwrap()).collect();
                let visits: Vec<i64> = items.iter().map(|i| i["visits"].as_i64().unwrap()).collect();
                self.batch(
                    page,
                    vec![
                        ("day", Arc::new(StringArray::from(days))),
                        ("visits", Arc::new(Int64Array::from(visits))),
                    ],
                )
                .await?;
                if at + 1 < to {
                    self.checkpoint(json!({ "from": from, "next": at + 1, "id": window })).await?;
                }
            }
            if self.flaw != Flaw::LeavesWindowsOpen || to < last {
                self.send(ReadEvent::WindowEnd { id: window }).await?;
            }
            from = to;
            self.checkpoint(json!({ "from": from })).await?;
            tokio::time::sleep(Duration::ZERO).await;
        }
        Ok(())
    }
}
