//! The `yandex_metrica` connector against a small Logs API with faults.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::{Value, json};
use throughline_connectors::yandex_metrica::{YandexMetricaConnector, tsv};
use throughline_core::{DynSource, ErrorKind, ReadEvent, ReadRequest, Retry, SourceConnector, Window};

use super::support::{Break, Landing, World, map, map_batches, readme_options, shared, spec, us};

const TOKEN: &str = "secret-oauth-token";

#[derive(Clone, Debug)]
struct LogRequest {
    id: u64,
    source: String,
    date1: String,
    date2: String,
    fields: Vec<String>,
    status: &'static str,
    polls_left: u32,
    parts: Vec<String>,
}

/// What the counter knows and how it misbehaves.
pub struct Counter {
    /// Visit numbers by day.
    visits: BTreeMap<String, BTreeSet<u64>>,
    requests: Vec<LogRequest>,
    calls: Vec<String>,
    polls: u32,
    pub rows_per_part: usize,
    /// Logs of no row are a part with a header.
    pub header_alone: bool,
    max_days: i64,
    /// Answers in place of the right one, to calls whose `METHOD path` contains the text: status, body, how
    /// often, and whether the call has its effect all the same.
    faults: Vec<(&'static str, u16, String, u32, bool)>,
    /// Downloads that come short.
    short_parts: u32,
    /// Statuses in place of `processed`, first come first served.
    statuses: Vec<&'static str>,
    bad_row: bool,
    lost_field: Option<&'static str>,
}

pub type Shared = Arc<Mutex<Counter>>;

pub async fn server(days: &[(&str, &[u64])]) -> (Shared, String) {
    let counter = Counter {
        visits: days.iter().map(|(d, v)| ((*d).to_owned(), v.iter().copied().collect())).collect(),
        requests: Vec::new(),
        calls: Vec::new(),
        polls: 1,
        rows_per_part: 2,
        header_alone: false,
        max_days: 365,
        faults: Vec::new(),
        short_parts: 0,
        statuses: Vec::new(),
        bad_row: false,
        lost_field: None,
    };
    let shared = Arc::new(Mutex::new(counter));
    let app = Router::new().fallback(answer).with_state(shared.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (shared, base)
}

fn error(kind: &str, code: u16) -> String {
    json!({"errors": [{"error_type": kind, "message": "no", "location": ""}], "code": code, "message": "no"})
        .to_string()
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let call = format!("{} {}", request.method(), request.uri().path());
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(request.uri().query().unwrap_or("").as_bytes()).into_owned().collect();
    let authorized = request.headers().get("authorization").is_some_and(|v| *v == format!("OAuth {TOKEN}"));
    let mut counter = shared.lock().unwrap();
    counter.calls.push(call.clone());
    let reply = |status: u16, body: String| {
        (StatusCode::from_u16(status).unwrap(), Bytes::from(body)).into_response()
    };
    if !authorized {
        return reply(401, error("unauthorized", 401));
    }
    let fault = counter.faults.iter_mut().find(|f| call.contains(f.0) && f.3 > 0).map(|f| {
        f.3 -= 1;
        (f.1, f.2.clone(), f.4)
    });
    if let Some((status, body, false)) = &fault {
        return reply(*status, body.clone());
    }
    let right = counter.answer(&call, &query);
    match fault {
        Some((status, body, _)) => reply(status, body),
        None => reply(right.0, right.1),
    }
}

impl Counter {
    fn answer(&mut self, call: &str, query: &HashMap<String, String>) -> (u16, String) {
        let path = call.split("/management/v1/counter/2215573").nth(1).unwrap_or("");
        let method = call.split(' ').next().unwrap();
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        match (method, parts.as_slice()) {
            ("GET", []) => {
                let counter = json!({"id": 2215573, "name": "Студия", "site": "studio.example", "time_zone_name": "Europe/Moscow"});
                (200, json!({"counter": counter}).to_string())
            }
            ("GET", ["logrequests", "evaluate"]) => {
                let days = 1 + (day(&query["date2"]) - day(&query["date1"])).num_days();
                let possible = days <= self.max_days;
                (200, json!({"log_request_evaluation": {"possible": possible, "max_possible_day_quantity": self.max_days}}).to_string())
            }
            ("GET", ["logrequests"]) => {
                let all: Vec<Value> = self.requests.iter().map(LogRequest::json).collect();
                (200, json!({"requests": all}).to_string())
            }
            ("POST", ["logrequests"]) => self.create(query),
            ("GET", ["logrequest", id]) => {
                let (next, id) = (self.statuses.first().copied(), id.parse::<u64>().unwrap());
                let Some(at) = self.requests.iter().position(|r| r.id == id) else {
                    return (404, error("not_found", 404));
                };
                if matches!(self.requests[at].status, "created" | "awaiting_retry") {
                    if self.requests[at].polls_left > 0 {
                        self.requests[at].polls_left -= 1;
                    } else if let Some(next) = next {
                        self.statuses.remove(0);
                        self.requests[at].status = next;
                    } else {
                        self.requests[at].status = "processed";
                        let parts = self.parts(&self.requests[at]);
                        self.requests[at].parts = parts;
                    }
                }
                (200, json!({"log_request": self.requests[at].json()}).to_string())
            }
            ("GET", ["logrequest", id, "part", part, "download"]) => {
                let request = self.requests.iter().find(|r| r.id.to_string() == **id).unwrap();
                let mut text = request.parts[part.parse::<usize>().unwrap()].clone();
                if self.short_parts > 0 {
                    self.short_parts -= 1;
                    text.truncate(text.rfind('\n').unwrap() - 5);
                }
                (200, text)
            }
            ("POST", ["logrequest", id, how @ ("clean" | "cancel")]) => {
                let request = self.requests.iter_mut().find(|r| r.id.to_string() == **id).unwrap();
                let (from, to) =
                    if *how == "clean" { ("processed", "cleaned_by_user") } else { ("created", "canceled") };
                if request.status != from {
                    return (400, error("invalid_parameter", 400));
                }
                request.status = to;
                (200, json!({"log_request": request.json()}).to_string())
            }
            _ => (404, error("not_found", 404)),
        }
    }

    fn create(&mut self, query: &HashMap<String, String>) -> (u16, String) {
        assert!(query["fields"].len() <= 3000);
        if query["fields"].contains("withdrawn") {
            return (400, error("invalid_parameter", 400));
        }
        let request = LogRequest {
            id: 700 + self.requests.len() as u64,
            source: query["source"].clone(),
            date1: query["date1"].clone(),
            date2: query["date2"].clone(),
            fields: query["fields"].split(',').map(str::to_owned).collect(),
            status: "created",
            polls_left: self.polls,
            parts: Vec::new(),
        };
        self.requests.push(request.clone());
        (200, json!({"log_request": request.json()}).to_string())
    }

    fn parts(&self, request: &LogRequest) -> Vec<String> {
        let mut rows = Vec::new();
        for (day, visits) in self.visits.range(request.date1.clone()..=request.date2.clone()) {
            for visit in visits {
                let cells: Vec<String> = request.fields.iter().map(|f| cell(f, day, *visit)).collect();
                rows.push(cells.join("\t") + "\n");
            }
        }
        let mut header = request.fields.join("\t") + "\n";
        if let Some(lost) = self.lost_field {
            header = header.replace(lost, "x");
        }
        if self.bad_row {
            rows.push("only\ttwo\n".into());
        }
        if rows.is_empty() && self.header_alone {
            return vec![header];
        }
        // Each part is a whole file with its own header.
        rows.chunks(self.rows_per_part).map(|rows| header.clone() + &rows.concat()).collect()
    }

    pub fn count(&self, what: &str) -> usize {
        self.calls.iter().filter(|c| c.contains(what)).count()
    }
    pub fn requests(&self) -> usize {
        self.requests.len()
    }
    fn statuses(&self) -> Vec<&str> {
        self.requests.iter().map(|r| r.status).collect()
    }
}

impl LogRequest {
    fn json(&self) -> Value {
        let parts: Vec<Value> =
            self.parts.iter().enumerate().map(|(i, p)| json!({"part_number": i, "size": p.len()})).collect();
        let size: usize = self.parts.iter().map(String::len).sum();
        json!({"request_id": self.id, "counter_id": 2215573, "source": self.source, "date1": self.date1,
               "date2": self.date2, "fields": self.fields, "status": self.status, "size": size, "parts": parts,
               "attribution": "LASTSIGN"})
    }
}

fn cell(field: &str, day: &str, visit: u64) -> String {
    match field.rsplit(':').next().unwrap() {
        "visitID" | "watchID" => (9_223_372_036_854_775_000 + visit).to_string(),
        "clientID" => "16935594811234567890".into(),
        "date" => day.into(),
        "dateTime" | "dateTimeUTC" => format!("{day} 10:15:00"),
        "startURL" => "https://studio.example/a\\tb".into(),
        name if name.starts_with("goals") || name.starts_with("parsedParams") => "[]".into(),
        "isNewUser" | "pageViews" | "visitDuration" | "bounce" | "screenWidth" | "screenHeight" => "1".into(),
        "isPageView" | "link" | "download" | "artificial" => "0".into(),
        _ => String::new(),
    }
}

fn day(text: &str) -> chrono::NaiveDate {
    text.parse().unwrap()
}

fn options(base: &str) -> Value {
    json!({"counter": 2215573, "token": {"$secret": TOKEN}, "start_on": "2026-09-01", "base_url": base})
}

pub fn source(world: &World, base: &str) -> DynSource {
    world.build(&YandexMetricaConnector, options(base))
}

pub fn visits(source: &DynSource, landing: &Landing) -> Vec<String> {
    let spec = spec(source, "visits");
    let ids = landing.column(&spec, "ym:s:visitID").into_iter().map(|v| v[16..].to_owned());
    let mut found: Vec<String> =
        landing.column(&spec, "ym:s:date").iter().zip(ids).map(|(d, v)| format!("{} {v}", &d[8..])).collect();
    found.sort();
    found
}

const THREE_DAYS: &[(&str, &[u64])] =
    &[("2026-09-01", &[101, 102, 103]), ("2026-09-02", &[201]), ("2026-09-03", &[301, 302])];
const ALL: &[&str] = &["01 101", "01 102", "01 103", "02 201", "03 301", "03 302"];
pub const NOW: &str = "2026-09-04T09:00:00Z";

#[tokio::test]
async fn whole_days_are_read_and_what_was_prepared_is_cleaned() {
    let (counter, base) = server(THREE_DAYS).await;
    counter.lock().unwrap().polls = 3;
    let world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    assert_eq!(landing.counts[0].expected, landing.counts[0].read);
    assert!(
        landing.counts[0].what.starts_with("bytes of visits 2026-09-01 to 2026-09-03"),
        "{:?}",
        landing.counts
    );
    let calls = counter.lock().unwrap();
    assert_eq!(calls.statuses(), ["cleaned_by_user"]);
    assert_eq!(
        (calls.count("POST /management/v1/counter/2215573/logrequests"), calls.count("/download")),
        (1, 3)
    );
    assert_eq!(world.notes.open(), Vec::<String>::new());
    // 20 + 30 + 45 + 67 s of waiting, on the context's clock.
    let waited = (world.ctx.clock.now_us() - us(NOW)) / 1_000_000;
    assert!((95..=200).contains(&waited), "{waited} s");
}

#[tokio::test]
async fn a_second_run_reads_what_is_new_and_corrections_replace_days() {
    let (counter, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    // The same day: nothing can be new.
    world.later("2026-09-04T20:00:00Z");
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(counter.lock().unwrap().requests.len(), 1);
    assert!(landing.notices.iter().any(|n| n.code == "up_to_date"), "{:?}", landing.notices);
    // After midnight in Moscow, 21:00 UTC: visits came, and one was found to be a robot.
    {
        let mut counter = counter.lock().unwrap();
        counter.visits.get_mut("2026-09-03").unwrap().remove(&301);
        counter.visits.get_mut("2026-09-02").unwrap().insert(299);
        counter.visits.insert("2026-09-04".into(), [401].into());
    }
    world.later("2026-09-04T21:30:00Z");
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(
        visits(&source, &landing),
        ["01 101", "01 102", "01 103", "02 201", "02 299", "03 302", "04 401"]
    );
    assert_eq!(counter.lock().unwrap().requests[1].date1, "2026-09-01");
    // Ten days on, only the last four are read again.
    world.later("2026-09-15T09:00:00Z");
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    let counter = counter.lock().unwrap();
    assert_eq!((&*counter.requests[2].date1, &*counter.requests[2].date2), ("2026-09-01", "2026-09-14"));
    assert_eq!(counter.statuses(), ["cleaned_by_user"; 3]);
}

#[tokio::test]
async fn a_crash_between_create_and_poll_orders_nothing_twice() {
    let (counter, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    // The process dies while it asks for the status.
    counter.lock().unwrap().faults.push((
        "GET /management/v1/counter/2215573/logrequest/",
        503,
        String::new(),
        6,
        false,
    ));
    assert!(landing.run(&source, &world.ctx, "visits").await.unwrap_err().is_temporary());
    assert_eq!(world.notes.open(), ["request/visits/700"]);
    world.later("2026-09-04T10:00:00Z");
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    let counter = counter.lock().unwrap();
    assert_eq!(
        (counter.statuses(), counter.count("POST /management/v1/counter/2215573/logrequests")),
        (vec!["cleaned_by_user"], 1)
    );
    assert_eq!(world.notes.open(), Vec::<String>::new());
}

#[tokio::test]
async fn a_created_request_whose_answer_was_lost_is_found() {
    let (counter, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    // Found at once by the list.
    counter.lock().unwrap().faults.push((
        "POST /management/v1/counter/2215573/logrequests",
        503,
        String::new(),
        1,
        true,
    ));
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    assert_eq!(counter.lock().unwrap().statuses(), ["cleaned_by_user"]);

    // The process dies before it could look: the next run finds the request by the intent.
    counter.lock().unwrap().visits.insert("2026-09-04".into(), [401].into());
    {
        let mut counter = counter.lock().unwrap();
        counter.faults.push(("POST /management/v1/counter/2215573/logrequests", 503, String::new(), 1, true));
    }
    world.later("2026-09-05T09:00:00Z");
    let dying = counter.clone();
    let watcher = tokio::spawn(async move {
        // From the lost answer on, nothing answers.
        loop {
            {
                let mut counter = dying.lock().unwrap();
                if counter.requests.len() == 2 {
                    counter.faults.push((
                        "GET /management/v1/counter/2215573/logrequests",
                        503,
                        String::new(),
                        6,
                        false,
                    ));
                    return;
                }
            }
            tokio::task::yield_now().await;
        }
    });
    let failed = landing.run(&source, &world.ctx, "visits").await;
    watcher.await.unwrap();
    if failed.is_err() {
        assert_eq!(world.notes.open(), ["intent/visits/2026-09-01_2026-09-04"]);
        world.later("2026-09-05T10:00:00Z");
        landing.run(&source, &world.ctx, "visits").await.unwrap();
    }
    let counter = counter.lock().unwrap();
    assert_eq!(counter.statuses(), ["cleaned_by_user"; 2]);
    assert_eq!(visits(&source, &landing).len(), 7);
    assert_eq!(world.notes.open(), Vec::<String>::new());
}

#[tokio::test]
async fn what_a_crashed_run_left_is_cleaned_when_it_serves_no_more() {
    let (counter, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    // Rows and checkpoint were durable, then the process died before it could clean.
    let breaks = Break { never_committed: true, ..Break::default() };
    landing.run_until(&source, &world.ctx, "visits", breaks).await.unwrap();
    assert_eq!(counter.lock().unwrap().statuses(), ["processed"]);
    world.later("2026-09-04T10:00:00Z");
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(counter.lock().unwrap().statuses(), ["cleaned_by_user"]);
    assert_eq!(visits(&source, &landing), ALL);
    // An order of yesterday that nobody read, days later: too old to be true, so it is cleaned.
    world.later("2026-09-05T09:00:00Z");
    counter.lock().unwrap().faults.push(("/download", 503, String::new(), 100, false));
    assert!(landing.run(&source, &world.ctx, "visits").await.is_err());
    counter.lock().unwrap().faults.clear();
    world.later("2026-09-07T09:00:00Z");
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(counter.lock().unwrap().statuses(), ["cleaned_by_user"; 3]);
    assert_eq!(world.notes.open(), Vec::<String>::new());
    assert_eq!(visits(&source, &landing), ALL);
}

#[tokio::test]
async fn a_crash_between_parts_goes_on_where_it_was() {
    for crash_at in 1..=4 {
        let (counter, base) = server(THREE_DAYS).await;
        let mut world = World::at(NOW);
        let source = source(&world, &base);
        let mut landing = Landing::default();
        let breaks = Break { after_checkpoints: Some(crash_at), never_committed: true };
        landing.run_until(&source, &world.ctx, "visits", breaks).await.unwrap();
        if crash_at < 4 {
            assert!(visits(&source, &landing).is_empty(), "an unfinished window counts");
        }
        world.later("2026-09-04T10:00:00Z");
        let before = counter.lock().unwrap().count("/download");
        landing.run(&source, &world.ctx, "visits").await.unwrap();
        assert_eq!(visits(&source, &landing), ALL, "crash {crash_at}");
        let counter = counter.lock().unwrap();
        assert_eq!(counter.requests.len(), 1, "crash {crash_at}");
        assert_eq!(counter.statuses(), ["cleaned_by_user"]);
        assert!(counter.count("/download") - before <= 3 - crash_at.min(3) + 1);
    }
    // When the request is gone meanwhile, its days are read anew, and the rows that landed do not count.
    let (counter, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    let breaks = Break { after_checkpoints: Some(1), never_committed: true };
    landing.run_until(&source, &world.ctx, "visits", breaks).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    counter.lock().unwrap().requests[0].status = "cleaned_automatically_as_too_old";
    world.later("2026-09-04T10:00:00Z");
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    assert_eq!(world.notes.open(), Vec::<String>::new());
}

#[tokio::test]
async fn a_short_part_is_asked_for_again_and_never_taken() {
    let (counter, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    counter.lock().unwrap().short_parts = 2;
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    assert_eq!(counter.lock().unwrap().count("/download"), 5);

    counter.lock().unwrap().short_parts = 100;
    world.later("2026-09-05T09:00:00Z");
    let error = landing.run(&source, &world.ctx, "visits").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.is_temporary() && error.to_string().contains("Metrica announced"), "{error}");
    assert_eq!(visits(&source, &landing), ALL, "what was read before is gone");
}

#[tokio::test]
async fn states_of_a_request() {
    let (counter, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    counter.lock().unwrap().statuses = vec!["awaiting_retry", "awaiting_retry", "processing_failed"];
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    assert_eq!(counter.lock().unwrap().statuses(), ["processing_failed", "cleaned_by_user"]);
    // Failed twice: an error, not an endless loop, and what was read stays.
    counter.lock().unwrap().statuses = vec!["processing_failed", "processing_failed"];
    world.later("2026-09-05T09:00:00Z");
    let error = landing.run(&source, &world.ctx, "visits").await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("gave up log request"), "{error}");
    assert_eq!(visits(&source, &landing), ALL);
    assert_eq!(world.notes.open(), Vec::<String>::new());
}

#[tokio::test]
async fn quotas_are_waited_for_or_told() {
    let (counter, base) = server(THREE_DAYS).await;
    let world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    {
        let mut counter = counter.lock().unwrap();
        counter.faults.push(("/evaluate", 429, error("quota_requests_by_ip", 429), 2, false));
        counter.faults.push(("/evaluate", 420, error("quota_parallel_requests", 420), 2, false));
        counter.faults.push(("POST", 420, error("quota_requests_by_ip", 420), 1, false));
        counter.faults.push(("/download", 429, error("quota_parallel_requests", 429), 1, false));
    }
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    assert_eq!(counter.lock().unwrap().requests.len(), 1);

    let (counter, base) = server(THREE_DAYS).await;
    let source = super::metrica::source(&world, &base);
    counter.lock().unwrap().faults.push(("/evaluate", 420, error("quota_requests_by_uid", 420), 100, false));
    let failed = Landing::default().run(&source, &world.ctx, "visits").await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::RateLimited);
    let Retry::Temporary { after: Some(after) } = failed.retry() else { panic!("{failed}") };
    assert!(after.as_secs() > 14 * 3600 && after.as_secs() <= 15 * 3600, "{after:?}");
    assert_eq!(counter.lock().unwrap().count("/evaluate"), 1, "asked on although the day is used up");
}

#[tokio::test]
async fn too_many_days_are_split() {
    let (counter, base) = server(THREE_DAYS).await;
    counter.lock().unwrap().max_days = 2;
    let world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    let spans: Vec<String> = counter
        .lock()
        .unwrap()
        .requests
        .iter()
        .map(|r| format!("{} {}", &r.date1[8..], &r.date2[8..]))
        .collect();
    assert_eq!(spans, ["01 02", "03 03"]);
    counter.lock().unwrap().max_days = 0;
    let error = Landing::default().run(&source, &world.ctx, "hits").await.unwrap_err();
    assert!(error.to_string().contains("cannot prepare even one day"), "{error}");
}

#[tokio::test]
async fn a_stop_cancels_what_is_being_prepared() {
    let (counter, base) = server(THREE_DAYS).await;
    counter.lock().unwrap().polls = 1_000_000;
    let world = World::at(NOW);
    let source = source(&world, &base);
    let request = ReadRequest { stream: "visits".into(), checkpoint: None, window: None, max_pages: None };
    let mut events = source.read(&world.ctx, request).await.unwrap();
    let cancel = world.ctx.cancel.clone();
    let watch = counter.clone();
    tokio::spawn(async move {
        while watch.lock().unwrap().count("/logrequest/") < 3 {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    let failed = loop {
        match events.next().await.unwrap() {
            Ok(_) => {}
            Err(e) => break e,
        }
    };
    assert_eq!(failed.kind(), ErrorKind::Cancelled);
    assert_eq!(counter.lock().unwrap().statuses(), ["canceled"]);
    assert_eq!(world.notes.open(), Vec::<String>::new());
}

#[tokio::test]
async fn a_backfill_reads_the_days_of_its_window() {
    let (counter, base) = server(THREE_DAYS).await;
    let world = World::at(NOW);
    let source = source(&world, &base);
    let window = Window { from_us: us("2026-09-01T21:00:00Z"), to_us: us("2026-09-30T00:00:00Z") };
    let request =
        ReadRequest { stream: "visits".into(), checkpoint: None, window: Some(window), max_pages: None };
    let mut events = source.read(&world.ctx, request).await.unwrap();
    let mut rows = 0;
    while let Some(event) = events.next().await {
        if let ReadEvent::Batch(batch) = event.unwrap() {
            rows += batch.rows.num_rows();
        }
    }
    assert_eq!(rows, 3);
    let asked = counter.lock().unwrap().requests[0].clone();
    assert_eq!((&*asked.date1, &*asked.date2), ("2026-09-02", "2026-09-03"));
    // A backfill's rows are never acknowledged: the next read cleans, also when it could use it.
    assert_eq!(counter.lock().unwrap().statuses(), ["processed"]);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    assert_eq!(counter.lock().unwrap().statuses(), ["cleaned_by_user"; 2]);
    assert_eq!(world.notes.open(), Vec::<String>::new());
}

#[tokio::test]
async fn a_preview_leaves_nothing_behind() {
    let (counter, base) = server(THREE_DAYS).await;
    let world = World::at(NOW);
    let source = source(&world, &base);
    let request = ReadRequest { stream: "visits".into(), checkpoint: None, window: None, max_pages: Some(1) };
    let events: Vec<_> = source.read(&world.ctx, request).await.unwrap().collect().await;
    assert!(matches!(&events[..], [Ok(ReadEvent::Batch(b))] if b.rows.num_rows() == 2), "{events:?}");
    assert_eq!(counter.lock().unwrap().statuses(), ["cleaned_by_user"]);
    assert_eq!(world.notes.open(), Vec::<String>::new());
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let (counter, base) = server(THREE_DAYS).await;
    let world = World::at(NOW);
    let mut wrong = options(&base);
    wrong["token"] = json!({"$secret": "some-other-token"});
    let source = world.build(&YandexMetricaConnector, wrong);
    let error = source.check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(!format!("{error:?}").contains("some-other-token"));

    let source = super::metrica::source(&world, &base);
    let report = source.check(&world.ctx).await.unwrap();
    assert!(
        report.facts.iter().any(|(_, v)| v == "Europe/Moscow") && report.warnings.is_empty(),
        "{report:?}"
    );

    let mut more = options(&base);
    more["fields"] = json!(["ym:s:withdrawn"]);
    let source = world.build(&YandexMetricaConnector, more);
    let error = Landing::default().run(&source, &world.ctx, "visits").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("skip_fields"), "{error}");
    assert_eq!(world.notes.open(), Vec::<String>::new());

    counter.lock().unwrap().lost_field = Some("ym:s:lastsignTrafficSource");
    let source = super::metrica::source(&world, &base);
    let error = Landing::default().run(&source, &world.ctx, "visits").await.unwrap_err();
    assert!(
        error.to_string().contains("lacks fields that were asked for: ym:s:lastsignTrafficSource"),
        "{error}"
    );
}

#[tokio::test]
async fn a_bad_row_goes_alone() {
    let (counter, base) = server(THREE_DAYS).await;
    counter.lock().unwrap().bad_row = true;
    let world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ALL);
    assert_eq!(landing.rejects.len(), 1);
    assert_eq!(landing.rejects[0].place, "request 700, part 3, line 2");
    assert_eq!(&landing.rejects[0].raw[..], b"only\ttwo");
}

fn part(text: &[u8]) -> Vec<arrow::array::RecordBatch> {
    let mut part = tsv::open(text, "sample", &[("time_zone", "Europe/Moscow")]).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = part.next_batch().unwrap() {
        batches.push(batch);
    }
    assert!(part.take_rejects().is_empty());
    batches
}

#[tokio::test]
async fn own_samples_become_visits_and_hits() {
    let world = World::at(NOW);
    let source = source(&world, "http://127.0.0.1:9");
    let batches = HashMap::from([
        ("visits".to_owned(), part(include_bytes!("../../src/yandex_metrica/samples/visits.tsv"))),
        ("hits".to_owned(), part(include_bytes!("../../src/yandex_metrica/samples/hits.tsv"))),
    ]);
    let tables = map_batches(&source, &source.catalog(), batches).await;
    let visits = &tables["visits"];
    let first = &visits[0];
    assert_eq!(first["visit_id"], "ym:2215573:2026:18446744073709551001");
    assert_eq!(first["started_at"], "2026-08-31T21:15:00Z");
    assert_eq!(first["token"], "HHR3D1196WD");
    assert_eq!(
        (&first["source"], &first["medium"], &first["campaign"]),
        (&json!("yandex"), &json!("cpc"), &json!("осень"))
    );
    assert_eq!(
        (&first["campaign_id"], &first["yclid"], &first["screen"]),
        (&json!("4242"), &json!("123"), &json!("390x844"))
    );
    assert_eq!(
        (&first["device"], &first["is_new_visitor"], &first["ym_client_id"]),
        (&json!("phone"), &json!(true), &json!("16935594811234567890"))
    );
    // The source by kind of traffic, the token from the URL.
    assert_eq!((&visits[1]["source"], &visits[1]["medium"]), (&json!("telegram"), &json!("messenger")));
    assert_eq!(visits[1]["token"], "HHR3D1196WD");
    assert_eq!(visits[1]["entrance_page"], "https://studio.example/a\tb?tl_token=HHR3D1196WD");
    assert_eq!((&visits[2]["source"], &visits[2]["fbclid"]), (&json!("blog.example"), &json!("F1")));
    assert!(visits[2].get("token").is_none() && visits[2].get("ym_client_id").is_none(), "{}", visits[2]);
    assert_eq!(tables["identity_edges"].len(), 2);
    let hits = &tables["hits"];
    let kinds: Vec<&str> = hits.iter().map(|h| h["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["page", "messenger_link", "download"]);
    assert_eq!((&hits[1]["token"], &hits[1]["visit_id"]), (&json!("HHR3D1196WD"), &first["visit_id"]));
    assert_eq!(hits[2]["at"], "2026-09-01T07:00:00Z");
    assert!(hits[2].get("visit_id").is_none());
}

/// The samples of the facts: answers as Metrica documents them, in the place of ours.
#[tokio::test]
async fn documented_samples_go_through() {
    let Some(folder) = shared("api/analytics/samples/yandex-metrica") else { return };
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let world = World::at("2026-09-02T09:00:00Z");
    let (counter, base) = server(&[("2026-09-01", &[101, 102, 103])]).await;
    let mut lax = options(&base);
    // The sizes in the samples are of no real part.
    lax["verify_size"] = json!(false);
    let source = world.build(&YandexMetricaConnector, lax);
    // The parts that the sample speaks of, in the fields that will be asked for.
    let fields = spec(&source, "visits").columns.into_iter().map(|c| c.name).filter(|n| n.starts_with("ym:"));
    let (first, last) = ("2026-09-01".to_owned(), "2026-09-01".to_owned());
    let request = LogRequest {
        id: 777,
        source: "visits".into(),
        date1: first,
        date2: last,
        fields: fields.collect(),
        status: "processed",
        polls_left: 0,
        parts: Vec::new(),
    };
    {
        let mut counter = counter.lock().unwrap();
        let parts = counter.parts(&request);
        let once = |call, status, body| (call, status, body, 1, false);
        counter.faults = vec![
            once("/evaluate", 429, read("error_quota.json")),
            once("/evaluate", 200, read("evaluate.json")),
            once("POST /management/v1/counter/2215573/logrequests", 200, read("log_request_created.json")),
            once("/logrequest/777/part/0/download", 200, parts[0].clone()),
            once("/logrequest/777/part/1/download", 200, parts[1].clone()),
            once("/logrequest/777/clean", 200, read("log_request_processed.json")),
            once("/logrequest/777", 200, read("log_request_processed.json")),
        ];
    }
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "visits").await.unwrap();
    assert_eq!(visits(&source, &landing), ["01 101", "01 102", "01 103"]);
    assert_eq!(counter.lock().unwrap().count("/logrequest/777/clean"), 1);
    assert_eq!(world.notes.open(), Vec::<String>::new());

    let batches = HashMap::from([("visits".to_owned(), part(read("visits_part0.tsv").as_bytes()))]);
    let tables = map_batches(&source, &source.catalog(), batches).await;
    assert_eq!(tables["visits"].len(), 2);
    assert_eq!(tables["visits"][0]["yclid"], "123");
    assert_eq!(tables["visits"][0]["started_at"], "2026-09-01T07:15:00Z");
    assert_eq!(tables["visits"][1]["ym_client_id"], "1693559481123456790");
}

#[tokio::test]
async fn hits_land_too() {
    let (_counter, base) = server(THREE_DAYS).await;
    let world = World::at(NOW);
    let source = source(&world, &base);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "hits").await.unwrap();
    let tables = map(&source, &HashMap::from([("hits".to_owned(), landing)])).await;
    assert_eq!(tables["hits"].len(), 6);
    assert_eq!(tables["hits"][0]["kind"], "event");
}

#[test]
fn the_readme_example_is_good() {
    let (connector, options) = readme_options(YandexMetricaConnector.readme());
    assert_eq!(connector, "yandex_metrica");
    let world = World::at(NOW);
    let source = world.build(&YandexMetricaConnector, options);
    assert_eq!(source.catalog().streams.len(), 2);
    assert!(YandexMetricaConnector.schema()["properties"]["counter"].is_object());
}
