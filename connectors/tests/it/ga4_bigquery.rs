//! The `ga4_bigquery` connector against the simulated company's export.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use company::ga4::{self, auth, bigquery, events};
use serde_json::{Value, json};
use throughline_connectors::ga4_bigquery::Ga4BigqueryConnector;
use throughline_core::{DynSource, ErrorKind, Options, SourceConnector};

use super::discovery::Discovery;
use super::ga4::{Log, company, later, passing_on, world};
use super::support::{Break, Landing, World, map, readme_options, spec};

fn exporting(export: bigquery::Options) -> ga4::Options {
    ga4::Options { export, ..ga4::Options::default() }
}

fn options(running: &company::Running, more: Value) -> Value {
    let mut value = json!({
        "project": bigquery::PROJECT, "dataset": bigquery::DATASET,
        "service_account": {"$secret": auth::key_file(&running.url())},
        "start_on": running.server.company.cfg.start.to_string(), "base_url": running.url(),
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

pub fn source(world: &World, running: &company::Running, more: Value) -> DynSource {
    world.build(&Ga4BigqueryConnector, options(running, more))
}

async fn run(landing: &mut Landing, world: &World, source: &DynSource) {
    landing.run(source, &world.ctx, "events").await.unwrap();
}

fn at(us: i64) -> String {
    chrono::DateTime::from_timestamp_micros(us).unwrap().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// What every visit of the company should say, by its own books: days up to `last_day`.
fn visits(running: &company::Running, last_day: i64, late_days: i64) -> BTreeMap<String, Vec<String>> {
    let (server, mut all) = (&running.server, BTreeMap::new());
    let (company, today) = (&server.company, server.company.cfg.day_of(server.now()));
    let until = company.cfg.midnight(last_day + 1).min(server.now() + 1) * 1_000_000;
    for r in company.visits_between(0, server.now() + 1, server.now()).filter(|r| !r.robot) {
        let s = company.story(u64::from(r.k));
        let v = s.visit(r.no).unwrap();
        let day = |us: i64| company.cfg.day_of(us / 1_000_000);
        let known: Vec<_> = events::moments(v)
            .into_iter()
            .filter(|(us, ..)| *us < until && !(today - day(*us) <= late_days && v.number.is_multiple_of(5)))
            .collect();
        let Some(first) = known.first() else { continue };
        let id = format!("ga4:412000777:{}.{}", events::client(company, &s, v), events::session(v));
        let pages = known.iter().filter(|(_, name, _)| *name == "page_view").count();
        let token = if pages > 0 { company::token::text(&v.token()).to_owned() } else { "null".into() };
        let own = v.origin.source();
        let (source, medium, campaign) = if own.utm {
            (own.source.to_owned(), own.medium.to_owned(), own.campaign.to_owned())
        } else {
            let (source, medium, _, campaign, _) = ga4::report::source(s.last_significant(v.no, false));
            (source, medium, campaign)
        };
        let word = |t: String| if t.is_empty() || t.starts_with('(') { "null".to_owned() } else { t };
        let google = s.last_significant(v.no, false).leaf().filter(|l| l.system == "google_ads");
        let id_of_campaign = google.map_or("null".to_owned(), |l| l.campaign_id.to_string());
        let landing = company::metrika::rows::start_url(&s, v);
        // Marks come with events of the first page; when those are late, another's page is the entrance.
        let row = vec![
            at(first.0),
            token,
            word(source),
            word(medium),
            word(campaign),
            id_of_campaign,
            landing,
            pages.to_string(),
        ];
        all.insert(id, row);
    }
    all
}

async fn mapped(source: &DynSource, landing: &Landing) -> BTreeMap<String, Vec<String>> {
    let tables = map(source, &HashMap::from([("events".to_owned(), landing.clone())])).await;
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut all = BTreeMap::new();
    for visit in &tables["visits"] {
        let cells =
            ["started_at", "token", "source", "medium", "campaign", "campaign_id", "entrance_page", "hits"];
        let mut row: Vec<String> = cells.map(|name| text(&visit[name])).into();
        row[0] = at(chrono::DateTime::parse_from_rfc3339(&row[0]).unwrap().timestamp_micros());
        assert!(all.insert(text(&visit["visit_id"]), row).is_none(), "a visit twice: {visit}");
    }
    let edges = tables["identity_edges"].len();
    assert_eq!(edges, all.len());
    // Every event is one hit.
    let mut hits: Vec<String> = tables["hits"].iter().map(|h| text(&h["hit_id"])).collect();
    let rows = landing.column(&spec(source, "events"), "event_name").len();
    hits.sort();
    hits.dedup();
    assert_eq!((tables["hits"].len(), hits.len()), (rows, rows));
    all
}

fn same(found: &BTreeMap<String, Vec<String>>, expected: &BTreeMap<String, Vec<String>>) {
    let lost: Vec<_> = expected.keys().filter(|id| !found.contains_key(*id)).collect();
    let more: Vec<_> = found.keys().filter(|id| !expected.contains_key(*id)).collect();
    assert!(lost.is_empty() && more.is_empty(), "lost {lost:?}\nmore {more:?}");
    for (id, row) in expected {
        assert_eq!(&found[id], row, "{id}");
    }
}

fn last_day(running: &company::Running) -> i64 {
    running.server.company.cfg.day_of(running.server.now()) - 1
}

#[tokio::test]
async fn visits_are_the_companys_with_all_faults_on() {
    let rules = [
        "500:at=7,path=/bigquery/",
        "503:every=19,path=/queries/",
        "429:every=23,path=/bigquery/",
        "cut:every=17,percent=60,path=/queries/",
        "expire_token:at=12+40",
        "job_retries:every=9,path=/queries/",
        "job_fails:at=3,path=/jobs",
    ];
    let export = bigquery::Options { old_days: 4, list_rows: 7, ..bigquery::Options::default() };
    let running = company(exporting(export), 240, &rules).await;
    let world = world(&running);
    let source = source(&world, &running, json!({"page_rows": 40}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    assert!(landing.counts.iter().all(|c| c.expected == c.read), "{:?}", landing.counts);
    assert!(landing.rejects.is_empty() && landing.counts.len() == 20, "{:?}", landing.rejects);
    let mut expected = visits(&running, last_day(&running), -1);
    let found = mapped(&source, &landing).await;
    // Tables of the first days lack the session's source: what an address says is all there is.
    let old = running.server.company.cfg.midnight(running.server.company.cfg.start_day() + 4) * 1_000_000;
    let mut blind = 0;
    for (id, row) in &mut expected {
        if row[0] < at(old) && found.get(id).is_some_and(|f| f[2..6] != row[2..6]) {
            assert!(found[id][5] == "null", "{:?} {row:?}", found[id]);
            blind += 1;
            row[2..6].clone_from_slice(&found[id][2..6]);
        }
    }
    assert!(blind > 0);
    same(&found, &expected);
    let fired = running.server.faults.by_kind();
    for kind in ["status", "cut", "expire_token", "job_retries", "job_fails"] {
        assert!(fired[kind] > 0, "{fired:?}");
    }
}

/// 1, N-1, N, N+1 events of a day on pages of every size, and a day without any.
#[tokio::test]
async fn pages_of_every_size() {
    let running = company(exporting(bigquery::Options::default()), 90, &[]).await;
    let (server, world) = (&running.server, world(&running));
    let day = last_day(&running);
    let n = events::of_day(&server.company, &server.options.ga4.export, day, server.now()).len();
    assert!(n > 3);
    let start = chrono::NaiveDate::from_epoch_days(day as i32).unwrap().to_string();
    let mut found = Vec::new();
    for size in [1, n - 1, n, n + 1] {
        let source = source(&world, &running, json!({"page_rows": size, "start_on": start}));
        let mut landing = Landing::default();
        run(&mut landing, &world, &source).await;
        let mut rows = landing.column(&spec(&source, "events"), "event_timestamp");
        rows.sort();
        assert_eq!((landing.counts[0].expected, rows.len()), (n as u64, n), "pages of {size}");
        found.push(rows);
    }
    assert!(found.windows(2).all(|w| w[0] == w[1]));
    let quiet = company(exporting(bigquery::Options::default()), 1, &[]).await;
    let source = source(&world, &quiet, json!({}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    assert_eq!(landing.counts.len(), 20);
    assert!(landing.counts.iter().filter(|c| c.expected == 0 && c.read == 0).count() >= 18);
}

/// Late events change tables for days; a table that did not change is not asked for again.
#[tokio::test]
async fn changed_tables_are_read_again_and_others_are_not() {
    let export = bigquery::Options { late_days: 3, ready_s: 4 * 3600, ..bigquery::Options::default() };
    let running = company(exporting(export), 160, &[]).await;
    let end = running.server.now();
    running.server.set_now(end - 8 * 86_400 + 43_200).unwrap();
    let mut world = world(&running);
    let source = source(&world, &running, json!({}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    same(&mapped(&source, &landing).await, &visits(&running, last_day(&running), 3));
    let before = landing.counts.len();
    run(&mut landing, &world, &source).await;
    assert_eq!(landing.counts.len(), before, "nothing was changed, nothing is read");
    for back in [7, 4, 0] {
        running.server.set_now(end - back * 86_400 + 43_200).unwrap();
        later(&mut world, &running);
        let before = landing.counts.len();
        run(&mut landing, &world, &source).await;
        same(&mapped(&source, &landing).await, &visits(&running, last_day(&running), 3));
        let read = landing.counts.len() - before;
        assert!((4..=7).contains(&read), "{back} days before the end {read} tables were read");
    }
}

/// A run that dies behind a page goes on behind it, by the same query.
#[tokio::test]
async fn a_killed_run_goes_on_and_is_billed_once() {
    let running = company(exporting(bigquery::Options::default()), 200, &[]).await;
    let world = world(&running);
    let source = source(&world, &running, json!({"page_rows": 20}));
    let mut landing = Landing::default();
    for after in [1, 3, 2, 5, 1] {
        let breaks = Break { after_checkpoints: Some(after), never_committed: true };
        landing.run_until(&source, &world.ctx, "events", breaks).await.unwrap();
    }
    run(&mut landing, &world, &source).await;
    same(&mapped(&source, &landing).await, &visits(&running, last_day(&running), -1));
    assert_eq!(running.server.google.queries(), 20);
    assert!(world.notes.open().is_empty(), "{:?}", world.notes.open());
}

#[tokio::test]
async fn the_day_that_streams() {
    let export = bigquery::Options { ready_s: 6 * 3600, ..bigquery::Options::default() };
    let running = company(exporting(export), 160, &[]).await;
    let end = running.server.now();
    // Noon: today streams. Then two hours past midnight: yesterday has no daily table yet.
    running.server.set_now(end - 5 * 86_400 + 43_200).unwrap();
    let mut world = world(&running);
    let source = source(&world, &running, json!({"intraday": true}));
    let mut landing = Landing::default();
    for hours in [0, 14, 24] {
        running.server.set_now(end - 5 * 86_400 + 43_200 + hours * 3600).unwrap();
        later(&mut world, &running);
        run(&mut landing, &world, &source).await;
        same(&mapped(&source, &landing).await, &visits(&running, last_day(&running) + 1, 0));
        let kinds = landing.column(&spec(&source, "events"), "export_table");
        let streaming = landing
            .column(&spec(&source, "events"), "export_day")
            .into_iter()
            .zip(kinds)
            .filter(|(_, kind)| kind == "intraday")
            .map(|(day, _)| day)
            .collect::<std::collections::BTreeSet<_>>();
        assert_eq!(streaming.len(), if hours == 14 { 2 } else { 1 }, "{streaming:?}");
    }
}

#[tokio::test]
async fn missing_rows_make_the_run_incomplete() {
    let running =
        company(exporting(bigquery::Options::default()), 100, &["leave_out:at=8,rows=2,path=/queries/"])
            .await;
    let world = world(&running);
    let source = source(&world, &running, json!({}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    let wrong: Vec<_> = landing.counts.iter().filter(|c| c.expected != c.read).collect();
    assert!(wrong.len() == 1 && wrong[0].expected == wrong[0].read + 2, "{wrong:?}");
    assert!(wrong[0].what.starts_with("events of events_202608"));
}

#[tokio::test]
async fn costs_and_rights_are_told() {
    let running = company(exporting(bigquery::Options::default()), 200, &[]).await;
    let world = world(&running);
    let check = source(&world, &running, json!({})).check(&world.ctx).await.unwrap();
    let facts: String = check.facts.iter().map(|(name, fact)| format!("{name}: {fact}\n")).collect();
    assert!(facts.contains("days 2026-08-01 to 2026-08-20") && facts.contains("bytes are billed"), "{facts}");
    assert!(facts.contains(bigquery::LOCATION) && check.warnings.is_empty(), "{check:?}");
    let dear = bigquery::Options { cell_bytes: 400_000, ..bigquery::Options::default() };
    let busy = company(exporting(dear), 200, &[]).await;
    let source_of = |more: Value| world.build(&Ga4BigqueryConnector, options(&busy, more));
    let tight = source_of(json!({"most_billed_bytes": 10_485_760}));
    let check = tight.check(&world.ctx).await.unwrap();
    assert!(check.warnings[0].contains("more than most_billed_bytes (10485760)"), "{check:?}");
    let error = Landing::default().run(&tight, &world.ctx, "events").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.hint_text().unwrap().contains("raise most_billed_bytes"), "{error:?}");
    for (more, kind) in [
        (json!({"project": "stranger"}), ErrorKind::Auth),
        (json!({"dataset": "analytics_1"}), ErrorKind::NotFound),
        (json!({"location": "US"}), ErrorKind::NotFound),
    ] {
        let error = Landing::default()
            .run(&source(&world, &running, more.clone()), &world.ctx, "events")
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{more}: {error}");
    }
}

/// A button's click is a hit with the token of its link.
#[tokio::test]
async fn clicks_on_messenger_links_carry_tokens() {
    let running = company(exporting(bigquery::Options::default()), 120, &[]).await;
    let world = world(&running);
    let source = source(&world, &running, json!({}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    let tables = map(&source, &HashMap::from([("events".to_owned(), landing)])).await;
    let tokens: HashMap<&str, &str> = (tables["visits"].iter())
        .map(|v| (v["visit_id"].as_str().unwrap(), v["token"].as_str().unwrap()))
        .collect();
    let clicks: Vec<_> = tables["hits"].iter().filter(|h| h["kind"] == "messenger_link").collect();
    assert!(clicks.len() > 5);
    for click in clicks {
        assert_eq!(click["token"].as_str().unwrap(), tokens[click["visit_id"].as_str().unwrap()]);
    }
}

#[tokio::test]
async fn questions_fit_the_specification() {
    let Some(discovery) = Discovery::of("google-bigquery-v2", "bigquery.v2.json") else { return };
    let export = bigquery::Options { list_rows: 10, ..bigquery::Options::default() };
    let running = Arc::new(company(exporting(export), 60, &[]).await);
    let log = Log::default();
    let server = passing_on(running.clone(), log.clone()).await;
    let world = world(&running);
    let mut value = options(&running, json!({"base_url": server.url, "page_rows": 7}));
    value["service_account"] = json!({"$secret": auth::key_file(&server.url)});
    let source = world.build(&Ga4BigqueryConnector, value);
    source.check(&world.ctx).await.unwrap();
    Landing::default().run(&source, &world.ctx, "events").await.unwrap();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (asked, answer) in log.lock().unwrap().iter().filter(|(a, _)| a.path != "/token") {
        let posted = !asked.body.is_empty();
        let method = discovery.request(if posted { "POST" } else { "GET" }, asked);
        discovery.answer(&method, answer);
        *seen.entry(method["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let names: Vec<&str> = seen.keys().map(String::as_str).collect();
    let expected = [
        "bigquery.jobs.getQueryResults",
        "bigquery.jobs.insert",
        "bigquery.tables.get",
        "bigquery.tables.list",
    ];
    assert_eq!(names, expected);
    assert_eq!(seen["bigquery.jobs.insert"], 21);
}

#[test]
fn wrong_options_are_told() {
    let value = json!({
        "project": "a/b", "dataset": "x`; DROP", "client_id": "c", "start_on": "yesterday", "restate_days": 0,
        "page_rows": 0, "most_billed_bytes": 1, "columns": ["a.b"], "params": ["a b"], "time_zone": "Moscow",
        "location": "E U", "token_param": "",
    });
    let options = Options { name: "s".into(), value, base_dir: ".".into() };
    let errors = Ga4BigqueryConnector.build(&options).map(|_| ()).unwrap_err();
    let said: String = errors.iter().map(|e| format!("{e}\n")).collect();
    for words in [
        "client_secret is needed too",
        "\"a/b\" is no id",
        "DROP\" is no dataset",
        "\"yesterday\" is no day",
        "\"a.b\" is no column",
        "\"a b\" is no name",
        "\"Moscow\" is no time zone",
        "\"E U\" is no location",
        "the parameter has a name",
        "1 is not from 10485760",
    ] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
}

#[test]
fn the_readme_example_loads() {
    let (connector, value) = readme_options(Ga4BigqueryConnector.readme());
    assert_eq!(connector, "ga4_bigquery");
    let source = World::at("2026-09-03T12:00:00Z").build(&Ga4BigqueryConnector, value);
    assert_eq!(source.catalog().streams.len(), 1);
}
