//! The `yandex_direct` connector against a small Direct with faults.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use serde_json::{Value, json};
use throughline_connectors::yandex_direct::{YandexDirectConnector, report};
use throughline_core::{DynSource, ErrorKind, ReadEvent, ReadRequest, Retry, SourceConnector, Window};

use super::support::{Break, Landing, World, map, map_batches, readme_options, shared, spec, us};

const TOKEN: &str = "secret-direct-token";

/// An answer in place of the right one: for the n-th and later questions of a report, so often.
struct Fault {
    status: u16,
    body: String,
    times: u32,
}

struct Ordered {
    params: Value,
    asked: u32,
}

/// What Direct knows and how it misbehaves.
pub struct Direct {
    /// Clicks of one keyword by login and day; a click costs 1.23.
    clicks: BTreeMap<(String, String), Vec<u64>>,
    reports: BTreeMap<String, Ordered>,
    /// Names in the order of their first questions.
    names: Vec<String>,
    questions: Vec<Value>,
    polls: u32,
    faults: Vec<Fault>,
    /// Reports that end so many bytes early.
    cut: u32,
    /// Reports that lack a row which the summary counts.
    lose: u32,
    /// Reports of more days than this take too long.
    most_days: i64,
    bad_row: bool,
    lost_field: Option<&'static str>,
    currency: &'static str,
}

pub type Shared = Arc<Mutex<Direct>>;

pub async fn server(days: &[(&str, &str, &[u64])]) -> (Shared, String) {
    let direct = Direct {
        clicks: days.iter().map(|(l, d, c)| (((*l).to_owned(), (*d).to_owned()), c.to_vec())).collect(),
        reports: BTreeMap::new(),
        names: Vec::new(),
        questions: Vec::new(),
        polls: 0,
        faults: Vec::new(),
        cut: 0,
        lose: 0,
        most_days: 1000,
        bad_row: false,
        lost_field: None,
        currency: "RUB",
    };
    let shared = Arc::new(Mutex::new(direct));
    let app = Router::new().fallback(answer).with_state(shared.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (shared, base)
}

fn error(code: u32, text: &str) -> String {
    json!({"error": {"request_id": "1", "error_code": code, "error_string": text, "error_detail": ""}})
        .to_string()
}

fn reply(status: u16, body: impl Into<Bytes>) -> Response {
    (StatusCode::from_u16(status).unwrap(), body.into()).into_response()
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let header = |name: &str| parts.headers.get(name).map_or("", |v| v.to_str().unwrap()).to_owned();
    if header("authorization") != format!("Bearer {TOKEN}") {
        return reply(400, error(53, "Authorization error"));
    }
    let login = header("client-login");
    let mut direct = shared.lock().unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    if parts.uri.path() == "/json/v5/clients" {
        if login == "stranger" {
            return reply(200, error(54, "No rights"));
        }
        let client =
            json!({"Login": if login.is_empty() { "own" } else { &login }, "Currency": direct.currency});
        let answer = json!({"result": {"Clients": [client]}}).to_string();
        let mut answer = reply(200, answer);
        answer.headers_mut().insert("Units", "10/20828/64000".parse().unwrap());
        return answer;
    }
    assert_eq!(parts.uri.path(), "/json/v501/reports");
    assert_eq!((header("processingmode"), header("skipreportheader")), ("auto".into(), "true".into()));
    if let Some(fault) = direct.faults.iter_mut().find(|f| f.times > 0) {
        fault.times -= 1;
        return reply(fault.status, fault.body.clone());
    }
    let login = if login.is_empty() { "own".to_owned() } else { login };
    direct.report(&login, &body["params"])
}

impl Direct {
    fn report(&mut self, login: &str, params: &Value) -> Response {
        let mut params = params.clone();
        let name = params.as_object_mut().unwrap().remove("ReportName").unwrap();
        let name = format!("{login} {}", name.as_str().unwrap());
        let fresh = !self.reports.contains_key(&name);
        if fresh {
            self.names.push(name.clone());
            self.questions.push(params.clone());
        }
        let report = self.reports.entry(name).or_insert_with(|| Ordered { params: params.clone(), asked: 0 });
        if report.params != params {
            return reply(400, error(4000, "Another report has this name"));
        }
        if report.asked < self.polls {
            report.asked += 1;
            let mut answer = reply(if fresh { 201 } else { 202 }, "");
            answer.headers_mut().insert("retryIn", "30".parse().unwrap());
            return answer;
        }
        let text = |name: &str| params["SelectionCriteria"][name].as_str().unwrap().to_owned();
        let (from, to) = (text("DateFrom"), text("DateTo"));
        if (day(&to) - day(&from)).num_days() >= self.most_days {
            return reply(502, "");
        }
        let fields: Vec<&str> =
            params["FieldNames"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
        let mut rows = Vec::new();
        for ((owner, day), clicks) in &self.clicks {
            if owner == login && (&from..=&to).contains(&day) {
                for (n, clicks) in clicks.iter().enumerate() {
                    let cells: Vec<String> = fields.iter().map(|f| cell(f, day, n, *clicks)).collect();
                    rows.push(cells.join("\t") + "\n");
                }
            }
        }
        if self.bad_row {
            rows.push("only\ttwo\n".into());
        }
        rows.truncate(params["Page"]["Limit"].as_u64().unwrap() as usize);
        let summary = format!("Total rows: {}\n", rows.len());
        if self.lose > 0 {
            self.lose -= 1;
            rows.pop();
        }
        let mut header = fields.join("\t") + "\n";
        if let Some(lost) = self.lost_field {
            header = header.replace(lost, "X");
        }
        let mut body = header + &rows.concat() + &summary;
        if self.cut > 0 {
            self.cut -= 1;
            body.truncate(body.len() - 3);
        }
        reply(200, body)
    }

    fn spans(&self) -> Vec<String> {
        let text = |q: &Value, n: &str| q["SelectionCriteria"][n].as_str().unwrap()[8..].to_owned();
        self.questions.iter().map(|q| format!("{} {}", text(q, "DateFrom"), text(q, "DateTo"))).collect()
    }
}

fn cell(field: &str, day: &str, n: usize, clicks: u64) -> String {
    match field {
        "Date" => day.into(),
        "CampaignId" => "70112233".into(),
        "CampaignName" => "осень".into(),
        "AdGroupId" => "44".into(),
        "AdId" => "1500112233".into(),
        "CriterionId" => (205 + n).to_string(),
        "Criterion" => format!("фраза {n}"),
        "Impressions" => (clicks * 10).to_string(),
        "Clicks" => clicks.to_string(),
        "Cost" => (clicks * 1_230_000).to_string(),
        _ => "--".into(),
    }
}

fn day(text: &str) -> chrono::NaiveDate {
    text.parse().unwrap()
}

fn options(base: &str, more: Value) -> Value {
    let mut value = json!({"token": {"$secret": TOKEN}, "start_on": "2026-09-01", "base_url": base});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

pub fn source(world: &World, base: &str, more: Value) -> DynSource {
    world.build(&YandexDirectConnector, options(base, more))
}

/// `day account clicks` of all current rows.
pub fn clicks(source: &DynSource, landing: &Landing) -> Vec<String> {
    let spec = spec(source, "ads");
    let [days, accounts, clicks] = ["Date", "account", "Clicks"].map(|c| landing.column(&spec, c));
    let mut found: Vec<String> = days
        .iter()
        .zip(accounts)
        .zip(clicks)
        .map(|((day, account), clicks)| format!("{} {account} {clicks}", &day[8..]))
        .collect();
    found.sort();
    found
}

const THREE_DAYS: &[(&str, &str, &[u64])] =
    &[("own", "2026-09-01", &[11, 12]), ("own", "2026-09-02", &[21]), ("own", "2026-09-03", &[31])];
const ALL: &[&str] = &["01 own 11", "01 own 12", "02 own 21", "03 own 31"];
pub const NOW: &str = "2026-09-04T09:00:00Z";

async fn run(landing: &mut Landing, world: &World, source: &DynSource) {
    landing.run(source, &world.ctx, "ads").await.unwrap();
}

#[tokio::test]
async fn queued_reports_are_waited_for_and_counted() {
    let (direct, base) = server(THREE_DAYS).await;
    direct.lock().unwrap().polls = 5;
    let world = World::at(NOW);
    let source = source(&world, &base, json!({}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    assert_eq!(clicks(&source, &landing), ALL);
    assert_eq!((landing.counts[0].expected, landing.counts[0].read), (4, 4), "{:?}", landing.counts);
    assert_eq!(landing.counts[0].what, "rows of the report of own 2026-09-01 to 2026-09-03");
    assert_eq!(direct.lock().unwrap().names.len(), 1);
    let waited = (world.ctx.clock.now_us() - us(NOW)) / 1_000_000;
    assert!((150..=200).contains(&waited), "{waited} s");
    assert_eq!(world.notes.open(), Vec::<String>::new());
    // Costs as they are wanted.
    let tables = map(&source, &HashMap::from([("ads".to_owned(), landing)])).await;
    let first = tables["costs"].iter().find(|c| c["clicks"] == 11).unwrap();
    let wanted = json!({"system": "yandex_direct", "account": "own", "day": "2026-09-01", "campaign_id": "70112233",
        "campaign": "осень", "adgroup_id": "44", "ad_id": "1500112233", "keyword": "фраза 0", "impressions": 110,
        "clicks": 11, "cost_minor": 1353, "currency": "RUB"});
    assert_eq!(first, &wanted);
}

#[tokio::test]
async fn a_report_that_is_never_ready_ends_the_run_and_the_next_goes_on_with_it() {
    let (direct, base) = server(THREE_DAYS).await;
    direct.lock().unwrap().polls = u32::MAX;
    let mut world = World::at(NOW);
    let source = source(&world, &base, json!({}));
    let mut landing = Landing::default();
    let error = landing.run(&source, &world.ctx, "ads").await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("not ready after 3 hours"), "{error}");
    direct.lock().unwrap().polls = 0;
    world.later("2026-09-04T12:30:00Z");
    run(&mut landing, &world, &source).await;
    assert_eq!(clicks(&source, &landing), ALL);
    assert_eq!(direct.lock().unwrap().names.len(), 1, "a second report was ordered");
    // The next run wants fresh figures, under another name.
    world.later("2026-09-04T13:00:00Z");
    run(&mut landing, &world, &source).await;
    assert_eq!(direct.lock().unwrap().names.len(), 2);
}

#[tokio::test]
async fn a_name_too_old_for_its_report_is_not_used_again() {
    let (direct, base) = server(THREE_DAYS).await;
    direct.lock().unwrap().polls = u32::MAX;
    let mut world = World::at(NOW);
    let source = source(&world, &base, json!({}));
    let mut landing = Landing::default();
    assert!(landing.run(&source, &world.ctx, "ads").await.is_err());
    direct.lock().unwrap().polls = 0;
    world.later("2026-09-04T13:00:01Z");
    run(&mut landing, &world, &source).await;
    assert_eq!(direct.lock().unwrap().names.len(), 2);
    // One that stands for something else by now is given up, once.
    let name = direct.lock().unwrap().names[1].clone();
    assert_ne!(name, direct.lock().unwrap().names[0]);
    world.later("2026-09-04T14:00:00Z");
    direct.lock().unwrap().polls = u32::MAX;
    assert!(landing.run(&source, &world.ctx, "ads").await.is_err());
    direct.lock().unwrap().polls = 0;
    direct.lock().unwrap().reports.values_mut().for_each(|r| r.params = json!("of somebody else"));
    world.later("2026-09-04T17:30:00Z");
    run(&mut landing, &world, &source).await;
    assert_eq!(direct.lock().unwrap().names.len(), 4);
    assert_eq!(clicks(&source, &landing), ALL);
}

#[tokio::test]
async fn corrected_days_replace_what_was_read() {
    let (direct, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let source = source(&world, &base, json!({"restate_days": 2, "weekly_restate_days": 5}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    {
        let mut direct = direct.lock().unwrap();
        // Too old for the usual correction, one row less, a whole day gone.
        direct.clicks.insert(("own".into(), "2026-09-01".into()), vec![10]);
        direct.clicks.insert(("own".into(), "2026-09-02".into()), vec![]);
        direct.clicks.insert(("own".into(), "2026-09-03".into()), vec![30]);
        direct.clicks.insert(("own".into(), "2026-09-04".into()), vec![41]);
    }
    // After midnight in Moscow, 21:00 UTC.
    world.later("2026-09-04T21:30:00Z");
    run(&mut landing, &world, &source).await;
    assert_eq!(clicks(&source, &landing), ["01 own 11", "01 own 12", "03 own 30", "04 own 41"]);
    world.later("2026-09-11T00:00:00Z");
    run(&mut landing, &world, &source).await;
    world.later("2026-09-11T12:00:00Z");
    run(&mut landing, &world, &source).await;
    let spans = direct.lock().unwrap().spans();
    // First all, then two days back, a week after the first run five from the last day read, then two again.
    assert_eq!(spans, ["01 03", "02 04", "01 10", "09 10"].map(str::to_owned));
    assert_eq!(clicks(&source, &landing), ["01 own 10", "03 own 30", "04 own 41"]);
}

#[tokio::test]
async fn windows_meet_without_gap() {
    for request_days in 1..=4 {
        let (direct, base) = server(THREE_DAYS).await;
        let world = World::at(NOW);
        let source = source(&world, &base, json!({"request_days": request_days}));
        let mut landing = Landing::default();
        run(&mut landing, &world, &source).await;
        assert_eq!(clicks(&source, &landing), ALL);
        assert_eq!(direct.lock().unwrap().names.len(), 3_usize.div_ceil(request_days));
    }
}

#[tokio::test]
async fn full_and_heavy_reports_are_split() {
    // As many rows as fit, one less, one more: four rows in all, two on the first day.
    for (rows, spans) in [
        (5, vec!["01 03"]),
        (4, vec!["01 03", "01 02", "03 03"]),
        (3, vec!["01 03", "01 02", "01 01", "02 02", "03 03"]),
    ] {
        let (direct, base) = server(THREE_DAYS).await;
        let world = World::at(NOW);
        let source = source(&world, &base, json!({"report_rows": rows}));
        let mut landing = Landing::default();
        run(&mut landing, &world, &source).await;
        assert_eq!(clicks(&source, &landing), ALL, "{rows}");
        assert_eq!(direct.lock().unwrap().spans(), spans, "{rows}");
        assert_eq!(world.notes.open(), Vec::<String>::new());
    }
    let (direct, base) = server(THREE_DAYS).await;
    direct.lock().unwrap().most_days = 1;
    let world = World::at(NOW);
    let heavy = source(&world, &base, json!({}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &heavy).await;
    assert_eq!(clicks(&heavy, &landing), ALL);
    assert!(landing.notices.iter().any(|n| n.code == "report_split"), "{:?}", landing.notices);
    // One day that does not fit is an error, never a part of the truth.
    let source = source(&world, &base, json!({"report_rows": 2}));
    let mut landing = Landing::default();
    let error = landing.run(&source, &world.ctx, "ads").await.unwrap_err();
    assert!(error.to_string().contains("gives no more in one report"), "{error}");
    assert_eq!(clicks(&source, &landing), Vec::<String>::new());
    direct.lock().unwrap().most_days = 0;
    let error = landing.run(&heavy, &world.ctx, "ads").await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("again and again"), "{error}");
}

#[tokio::test]
async fn cut_reports_are_never_taken() {
    let (direct, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let source = source(&world, &base, json!({}));
    let mut landing = Landing::default();
    direct.lock().unwrap().cut = 2;
    run(&mut landing, &world, &source).await;
    assert_eq!(clicks(&source, &landing), ALL);
    direct.lock().unwrap().cut = 100;
    world.later("2026-09-05T09:00:00Z");
    let error = landing.run(&source, &world.ctx, "ads").await.unwrap_err();
    assert!(error.is_temporary() && error.to_string().contains("it was cut"), "{error}");
    assert_eq!(clicks(&source, &landing), ALL, "what was read before is gone");
    // A row that is missing in silence shows in the count.
    direct.lock().unwrap().cut = 0;
    direct.lock().unwrap().lose = 1;
    landing.counts.clear();
    run(&mut landing, &world, &source).await;
    assert_eq!((landing.counts[0].expected, landing.counts[0].read), (4, 3));
}

#[tokio::test]
async fn faults_that_pass_are_waited_out() {
    let (direct, base) = server(THREE_DAYS).await;
    let world = World::at(NOW);
    let source = source(&world, &base, json!({}));
    let mut landing = Landing::default();
    for (status, body, times) in [
        (500, error(1000, "Server error"), 3),
        (200, error(52, "Authorization server"), 1),
        (503, String::new(), 3),
        (400, error(506, "Too many connections"), 2),
        (400, error(9000, "Too many reports in queue"), 7),
        // Thrice in a row would mean that the report is too large.
        (502, String::new(), 1),
        (500, "<html>".into(), 1),
    ] {
        direct.lock().unwrap().faults.push(Fault { status, body, times });
    }
    run(&mut landing, &world, &source).await;
    assert_eq!(clicks(&source, &landing), ALL);
    let direct = direct.lock().unwrap();
    assert!(direct.faults.iter().all(|f| f.times == 0));
    assert_eq!(direct.names.len(), 1);
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let (direct, base) = server(THREE_DAYS).await;
    let world = World::at(NOW);
    let source = source(&world, &base, json!({"token": {"$secret": "some-other-token"}}));
    let failed = source.check(&world.ctx).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Auth);
    assert!(!format!("{failed:?}").contains("some-other-token"));
    let source = super::direct::source(&world, &base, json!({"logins": ["stranger"]}));
    let failed = source.check(&world.ctx).await.unwrap_err();
    assert!(failed.kind() == ErrorKind::Auth && failed.to_string().contains("stranger"), "{failed}");

    let source = super::direct::source(&world, &base, json!({"logins": ["a", "b"], "currency": "usd"}));
    let checked = source.check(&world.ctx).await.unwrap();
    assert_eq!(checked.facts[1].1, "b, RUB; points spent/left/a day 10/20828/64000");
    assert_eq!(checked.warnings.len(), 2, "{checked:?}");

    let source = super::direct::source(&world, &base, json!({}));
    for (code, kind) in [(53, ErrorKind::Auth), (8000, ErrorKind::Config), (4001, ErrorKind::Config)] {
        // Also of a name that an earlier run left.
        let fault = Fault { status: 400, body: error(code, "No"), times: 2 };
        direct.lock().unwrap().faults = vec![fault];
        let failed = Landing::default().run(&source, &world.ctx, "ads").await.unwrap_err();
        assert_eq!(failed.kind(), kind, "{failed}");
        assert!(failed.to_string().contains(&code.to_string()), "{failed}");
    }
    direct.lock().unwrap().faults = vec![Fault { status: 400, body: error(152, "No points"), times: 9 }];
    let failed = Landing::default().run(&source, &world.ctx, "ads").await.unwrap_err();
    assert!(matches!(failed.retry(), Retry::Temporary { after: Some(_) }), "{failed}");
    assert_eq!(direct.lock().unwrap().faults[0].times, 8, "asked on although the points are used up");
    direct.lock().unwrap().faults.clear();

    direct.lock().unwrap().lost_field = Some("CampaignId");
    let failed = Landing::default().run(&source, &world.ctx, "ads").await.unwrap_err();
    assert!(failed.to_string().contains("lacks fields that were asked for: CampaignId"), "{failed}");
    direct.lock().unwrap().lost_field = None;
    direct.lock().unwrap().currency = "YND_FIXED";
    let failed = Landing::default().run(&source, &world.ctx, "ads").await.unwrap_err();
    assert!(failed.to_string().contains("YND_FIXED"), "{failed}");
}

#[tokio::test]
async fn clients_of_an_agency_are_replaced_together() {
    let days: &[(&str, &str, &[u64])] =
        &[("a", "2026-09-01", &[1]), ("b", "2026-09-01", &[2]), ("b", "2026-09-03", &[3])];
    let (direct, base) = server(days).await;
    let mut world = World::at(NOW);
    let both = source(&world, &base, json!({"logins": ["a", "b"], "request_days": 2}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &both).await;
    let all = ["01 a 1", "01 b 2", "03 b 3"];
    assert_eq!(clicks(&both, &landing), all);
    assert_eq!(landing.counts.len(), 4);
    // The second client fails: nothing of the first one's days is replaced.
    direct.lock().unwrap().clicks.insert(("a".into(), "2026-09-01".into()), vec![7]);
    world.later("2026-09-05T09:00:00Z");
    let stranger = source(&world, &base, json!({"logins": ["a", "b"], "request_days": 2}));
    direct.lock().unwrap().reports.clear();
    direct.lock().unwrap().polls = 0;
    let breaks = Break { after_checkpoints: Some(1), never_committed: true };
    landing.run_until(&stranger, &world.ctx, "ads", breaks).await.unwrap();
    assert_eq!(clicks(&both, &landing), ["01 a 7", "01 b 2", "03 b 3"]);
    // Another list of logins reads everything anew: a login that is gone takes its costs with it.
    world.later("2026-09-20T09:00:00Z");
    let one = source(&world, &base, json!({"logins": ["b"]}));
    run(&mut landing, &world, &one).await;
    assert_eq!(clicks(&one, &landing), ["01 b 2", "03 b 3"]);
    assert!(landing.notices.iter().any(|n| n.code == "options_changed"), "{:?}", landing.notices);
}

#[tokio::test]
async fn a_crash_loses_nothing_and_orders_nothing_twice() {
    for crash_at in 1..=3 {
        let (direct, base) = server(THREE_DAYS).await;
        let mut world = World::at(NOW);
        let source = source(&world, &base, json!({"request_days": 1}));
        let mut landing = Landing::default();
        let breaks = Break { after_checkpoints: Some(crash_at), never_committed: true };
        landing.run_until(&source, &world.ctx, "ads", breaks).await.unwrap();
        world.later("2026-09-04T09:30:00Z");
        run(&mut landing, &world, &source).await;
        assert_eq!(clicks(&source, &landing), ALL, "crash {crash_at}");
        let direct = direct.lock().unwrap();
        // What was committed is read anew as every run does; what was not goes by its old name.
        assert!(direct.names.len() <= 3 + crash_at, "crash {crash_at}: {:?}", direct.names);
        assert_eq!(world.notes.open(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn earlier_days_and_three_years() {
    let (direct, base) = server(THREE_DAYS).await;
    let mut world = World::at(NOW);
    let late = source(&world, &base, json!({"start_on": "2026-09-03"}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &late).await;
    assert_eq!(clicks(&late, &landing), ["03 own 31"]);
    // A start that was moved back brings the days before, also when the first such run breaks off.
    let early = source(&world, &base, json!({"request_days": 1}));
    world.later("2026-09-04T10:00:00Z");
    let breaks = Break { after_checkpoints: Some(1), never_committed: true };
    landing.run_until(&early, &world.ctx, "ads", breaks).await.unwrap();
    world.later("2026-09-04T11:00:00Z");
    run(&mut landing, &world, &early).await;
    assert_eq!(clicks(&early, &landing), ALL);
    direct.lock().unwrap().questions.clear();
    let old = source(&world, &base, json!({"start_on": "2020-01-01", "request_days": 365}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &old).await;
    assert_eq!(direct.lock().unwrap().questions[0]["SelectionCriteria"]["DateFrom"], "2023-09-01");
    assert!(landing.notices.iter().any(|n| n.code == "history_limit"), "{:?}", landing.notices);
}

#[tokio::test]
async fn a_backfill_and_a_preview_leave_nothing_behind() {
    let (direct, base) = server(THREE_DAYS).await;
    let world = World::at(NOW);
    let source = source(&world, &base, json!({}));
    let window = Window { from_us: us("2026-09-01T21:00:00Z"), to_us: us("2026-09-30T00:00:00Z") };
    for (window, max_pages, span, found) in [(Some(window), None, "02 03", 2), (None, Some(1), "03 03", 1)] {
        direct.lock().unwrap().questions.clear();
        let request = ReadRequest { stream: "ads".into(), checkpoint: None, window, max_pages };
        let events: Vec<_> = source.read(&world.ctx, request).await.unwrap().collect().await;
        let rows: usize =
            events.iter().map(|e| if let Ok(ReadEvent::Batch(b)) = e { b.rows.num_rows() } else { 0 }).sum();
        assert_eq!(rows, found);
        assert_eq!(direct.lock().unwrap().spans(), [span]);
        assert_eq!(world.notes.open(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_stop_ends_the_wait() {
    let (direct, base) = server(THREE_DAYS).await;
    direct.lock().unwrap().polls = u32::MAX;
    let world = World::at(NOW);
    let source = source(&world, &base, json!({}));
    let request = ReadRequest { stream: "ads".into(), checkpoint: None, window: None, max_pages: None };
    let mut events = source.read(&world.ctx, request).await.unwrap();
    let (cancel, watch) = (world.ctx.cancel.clone(), direct.clone());
    tokio::spawn(async move {
        while watch.lock().unwrap().reports.values().all(|r| r.asked < 2) {
            tokio::task::yield_now().await;
        }
        cancel.cancel();
    });
    let failed = events.next().await.unwrap().unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn a_bad_row_goes_alone() {
    let (direct, base) = server(THREE_DAYS).await;
    direct.lock().unwrap().bad_row = true;
    let world = World::at(NOW);
    let source = source(&world, &base, json!({"level": "campaign", "fields": ["Device"]}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    assert_eq!(clicks(&source, &landing), ALL);
    assert_eq!(landing.rejects[0].place, "report of own 2026-09-01 to 2026-09-03, line 6");
    // It came, so it counts as read.
    assert_eq!((landing.counts[0].expected, landing.counts[0].read), (5, 5));
    let asked = direct.lock().unwrap().questions[0]["FieldNames"].clone();
    assert_eq!(
        asked,
        json!(["Date", "CampaignId", "CampaignName", "Impressions", "Clicks", "Cost", "Device"])
    );
    let tables = map(&source, &HashMap::from([("ads".to_owned(), landing)])).await;
    assert!(tables["costs"].iter().all(|c| c.get("ad_id").is_none() && c["campaign_id"] == "70112233"));
}

fn rows(text: &[u8]) -> Vec<arrow::array::RecordBatch> {
    let end = text.windows(11).position(|w| w == b"Total rows:").unwrap_or(text.len());
    let common = report::Common { account: "shop", currency: "RUB", vat: "with", fields: "f" };
    let mut part = report::rows(&text[..end], "sample", &common).unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = part.next_batch().unwrap() {
        batches.push(batch);
    }
    assert!(part.take_rejects().is_empty());
    batches
}

#[tokio::test]
async fn own_samples_become_costs() {
    let world = World::at(NOW);
    let source = source(&world, "http://127.0.0.1:9", json!({}));
    let text = include_bytes!("../../src/yandex_direct/samples/report.tsv");
    let tables =
        map_batches(&source, &source.catalog(), HashMap::from([("ads".to_owned(), rows(text))])).await;
    let costs = &tables["costs"];
    let amounts: Vec<i64> = costs.iter().map(|c| c["cost_minor"].as_i64().unwrap()).collect();
    // Half a kopeck goes away from zero; a dash is no cost.
    assert_eq!(amounts, [123_456, 0, 1_001, 0]);
    assert_eq!(costs[2]["campaign"], "تصوير أطفال");
    assert!(costs[2].get("ad_id").is_none() && costs[2].get("impressions").is_none(), "{}", costs[2]);
    // Byte for byte: nothing is an escape, and no bracket a list.
    assert_eq!(costs[3]["keyword"], "\"\\t[детская] фотосессия\"");
    assert_eq!(costs[1]["keyword"], "---autotargeting");
}

/// The samples of the facts.
#[tokio::test]
async fn documented_samples_go_through() {
    let Some(folder) = shared("api/ads/samples/yandex-direct") else { return };
    let (direct, base) = server(THREE_DAYS).await;
    let world = World::at(NOW);
    let source = source(&world, &base, json!({}));
    let text = std::fs::read(folder.join("report_micros.tsv")).unwrap();
    let tables =
        map_batches(&source, &source.catalog(), HashMap::from([("ads".to_owned(), rows(&text))])).await;
    let costs = &tables["costs"];
    assert_eq!(costs.len(), 2);
    assert_eq!((&costs[0]["cost_minor"], &costs[0]["keyword"]), (&json!(123_456), &json!("buy phone")));
    assert!(costs[1].get("ad_id").is_none() && costs[1]["cost_minor"] == 0, "{}", costs[1]);
    let body = std::fs::read_to_string(folder.join("error_queue.json")).unwrap();
    direct.lock().unwrap().faults = vec![Fault { status: 400, body, times: 2 }];
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    assert_eq!(clicks(&source, &landing), ALL);
    let waited = (world.ctx.clock.now_us() - us(NOW)) / 1_000_000;
    assert!(waited >= 60, "{waited} s: a full queue was not waited for");
}

#[test]
fn the_readme_example_is_a_source() {
    let (connector, value) = readme_options(YandexDirectConnector.readme());
    assert_eq!(connector, YandexDirectConnector.name());
    World::at(NOW).build(&YandexDirectConnector, value);
}
