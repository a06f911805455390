//! The `ga4` connector against the simulated company's Analytics: an implementation of the same facts that has
//! never seen ours.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use company::ga4::{self, Google, auth};
use serde_json::{Value, json};
use throughline_behaviour::MemoryTokens;
use throughline_connectors::ga4::Ga4Connector;
use throughline_core::{DynSource, ErrorKind, Options, Retry, SourceConnector};

use super::discovery::Discovery;
use super::fixture::{Asked, Reply, Server};
use super::support::{Break, Landing, World, map, map_batches, readme_options, shared, spec};

pub async fn company(ga4: ga4::Options, visits: u64, rules: &[&str]) -> company::Running {
    let cfg = company::Config { seed: 7, visits, days: 20, ..company::Config::default() };
    let faults = rules.iter().map(|r| company::faults::Rule::parse(r).unwrap()).collect();
    let options = company::Options { ga4, faults, ..company::Options::default() };
    company::Server::new(company::Company::new(cfg), options).start().await.unwrap()
}

/// A world at the company's moment, with a token store.
pub fn world(running: &company::Running) -> World {
    let mut world = World::at(&company::text::rfc3339(running.server.now()));
    world.ctx.tokens = Arc::new(MemoryTokens::default());
    world
}

pub fn later(world: &mut World, running: &company::Running) {
    let tokens = world.ctx.tokens.clone();
    world.later(&company::text::rfc3339(running.server.now()));
    world.ctx.tokens = tokens;
}

fn options(running: &company::Running, more: Value) -> Value {
    let mut value = json!({
        "property": ga4::PROPERTY, "service_account": {"$secret": auth::key_file(&running.url())},
        "start_on": running.server.company.cfg.start.to_string(), "base_url": running.url(),
    });
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

fn source(world: &World, running: &company::Running, more: Value) -> DynSource {
    world.build(&Ga4Connector, options(running, more))
}

/// Day, campaign, ad, keyword, impressions, clicks, cost: what the company's books say of Google Ads.
fn spent(running: &company::Running) -> Vec<String> {
    let server = &running.server;
    let today = server.company.cfg.day_of(server.now());
    let mut rows: Vec<String> = company::costs::costs(&server.company, server.now())
        .filter(|c| c.leaf.system == "google_ads")
        .map(|c| {
            let (clicks, minor) = ga4::report::figures(&server.google.options, &c, today);
            let (leaf, day) = (c.leaf, chrono::NaiveDate::from_epoch_days(c.day as i32).unwrap());
            let keyword = leaf.keyword.unwrap_or("");
            format!("{day} {} {} {keyword} {} {clicks} {minor}", leaf.campaign_id, leaf.ad_id, c.impressions)
        })
        .collect();
    rows.sort();
    rows
}

const FINE: &[&str] = &["sessionGoogleAdsCreativeId", "sessionGoogleAdsKeyword"];

async fn mapped(source: &DynSource, landing: &Landing) -> Vec<String> {
    let tables = map(source, &HashMap::from([("ad_costs".to_owned(), landing.clone())])).await;
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut rows: Vec<String> = tables["costs"]
        .iter()
        .map(|c| {
            assert_eq!((&c["system"], &c["currency"]), (&json!("google_ads"), &json!("USD")));
            assert_eq!((&c["source"], &c["medium"]), (&json!("google"), &json!("cpc")));
            let cells = ["day", "campaign_id", "ad_id", "keyword", "impressions", "clicks", "cost_minor"];
            cells.map(|name| text(&c[name])).join(" ")
        })
        .collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn costs_are_the_companys_with_all_faults_on() {
    let rules = [
        "500:at=5,path=:runReport",
        "503:at=11,path=:runReport",
        "429:every=13,path=:runReport",
        "cut:every=17,percent=60,path=:runReport",
        "expire_token:at=4+9",
        "leave_out:at=15,rows=1,path=:runReport",
        "touch:at=20,path=:runReport",
    ];
    let running = company(ga4::Options::default(), 900, &rules).await;
    let world = world(&running);
    let source = source(&world, &running, json!({"cost_dimensions": FINE, "page_rows": 2}));
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "ad_costs").await.unwrap();
    assert_eq!(mapped(&source, &landing).await, spent(&running));
    assert!(landing.counts.iter().all(|c| c.expected == c.read), "{:?}", landing.counts);
    assert!(landing.rejects.is_empty());
    assert!(landing.notices.iter().any(|n| n.code == "quota_left"), "{:?}", landing.notices);
    let fired = running.server.faults.by_kind();
    assert!(fired.values().all(|n| *n > 0), "{fired:?}");
}

/// 0, 1, N-1, N, N+1 rows of a day on pages of every size: none lost, none twice.
#[tokio::test]
async fn pages_of_every_size() {
    let running = company(ga4::Options::default(), 400, &[]).await;
    let world = world(&running);
    let whole = source(&world, &running, json!({}));
    let mut all = Landing::default();
    all.run(&whole, &world.ctx, "sessions").await.unwrap();
    let mut by_day: BTreeMap<u64, usize> = BTreeMap::new();
    all.counts.iter().for_each(|c| *by_day.entry(c.expected).or_default() += 1);
    let key = |landing: &Landing| {
        let spec = spec(&whole, "sessions");
        let columns: Vec<Vec<String>> = spec.key.iter().map(|k| landing.column(&spec, k)).collect();
        let mut rows: Vec<String> = (0..columns[0].len())
            .map(|i| columns.iter().map(|c| c[i].clone()).collect::<Vec<_>>().join("|"))
            .collect();
        rows.sort();
        rows
    };
    let expected = key(&all);
    assert!(expected.len() > 100 && expected.windows(2).all(|w| w[0] != w[1]));
    let n = *by_day.keys().max().unwrap();
    for size in [1, n - 1, n, n + 1] {
        let source = source(&world, &running, json!({ "page_rows": size }));
        let mut landing = Landing::default();
        landing.run(&source, &world.ctx, "sessions").await.unwrap();
        assert_eq!(key(&landing), expected, "pages of {size}");
        assert!(landing.counts.iter().all(|c| c.expected == c.read));
    }
    // A day without a visit: before there was a site.
    let empty = source(&world, &running, json!({"start_on": "2026-07-30"}));
    let mut landing = Landing::default();
    landing.run(&empty, &world.ctx, "sessions").await.unwrap();
    assert_eq!((landing.counts[0].expected, landing.counts[0].read), (0, 0));
    assert_eq!(key(&landing), expected);
}

#[tokio::test]
async fn sums_of_sessions_are_the_companys() {
    let running = company(ga4::Options::default(), 500, &[]).await;
    let world = world(&running);
    let source = source(&world, &running, json!({}));
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "sessions").await.unwrap();
    let sum = |name: &str| -> u64 {
        landing.column(&spec(&source, "sessions"), name).iter().map(|n| n.parse::<u64>().unwrap()).sum()
    };
    let server = &running.server;
    let (company, today) = (&server.company, server.company.cfg.day_of(server.now()));
    let (from, to) = (company.cfg.start_at(), company.cfg.midnight(today));
    assert_eq!(sum("sessions"), company.visits_between(from, to, server.now()).count() as u64);
}

/// A run that dies behind any checkpoint, and one that dies before it is told that its rows are safe.
#[tokio::test]
async fn a_killed_run_goes_on() {
    let running = company(ga4::Options { young_days: 3, ..ga4::Options::default() }, 400, &[]).await;
    let end = running.server.now();
    running.server.set_now(end - 6 * 86_400).unwrap();
    let mut world = world(&running);
    let options = json!({"cost_dimensions": FINE, "page_rows": 3, "restate_days": 4});
    let source = source(&world, &running, options);
    let mut landing = Landing::default();
    for after in [1, 4, 2] {
        let breaks = Break { after_checkpoints: Some(after), never_committed: true };
        landing.run_until(&source, &world.ctx, "ad_costs", breaks).await.unwrap();
    }
    landing.run(&source, &world.ctx, "ad_costs").await.unwrap();
    assert_eq!(mapped(&source, &landing).await, spent(&running));
    // Days later, with corrections that break off too.
    for back in [5, 2, 0] {
        running.server.set_now(end - back * 86_400).unwrap();
        later(&mut world, &running);
        let breaks = Break { after_checkpoints: Some(2), ..Break::default() };
        landing.run_until(&source, &world.ctx, "ad_costs", breaks).await.unwrap();
        landing.run(&source, &world.ctx, "ad_costs").await.unwrap();
        assert_eq!(mapped(&source, &landing).await, spent(&running), "{back} days before the end");
    }
}

#[tokio::test]
async fn reports_that_are_not_whole_are_incomplete() {
    let lossy = |cardinality, threshold, sample| ga4::Options {
        cardinality,
        threshold,
        sample,
        ..ga4::Options::default()
    };
    for (options, name) in
        [(lossy(3, 0, 1), "other_row"), (lossy(0, 2, 1), "thresholding"), (lossy(0, 0, 4), "sampling")]
    {
        let running = company(options, 300, &[]).await;
        let world = world(&running);
        for accepted in [false, true] {
            let accept = if accepted { json!([name]) } else { json!([]) };
            let source = source(&world, &running, json!({ "accept": accept }));
            let mut landing = Landing::default();
            landing.run(&source, &world.ctx, "sessions").await.unwrap();
            assert!(landing.notices.iter().any(|n| n.code == name), "{name}: {:?}", landing.notices);
            let wrong: Vec<_> = landing.counts.iter().filter(|c| c.expected != c.read).collect();
            assert_eq!(wrong.is_empty(), accepted, "{name}: {wrong:?}");
            assert!(wrong.iter().all(|c| c.what.contains(name) && c.what.contains("2026-08-")), "{wrong:?}");
            if name == "other_row" {
                // Rolled up, and still of its day.
                assert!(landing.column(&spec(&source, "sessions"), "date").contains(&"(other)".to_owned()));
                assert!(landing.rejects.is_empty());
            }
        }
    }
}

/// A page that lacks a row whenever it is asked for: the run is incomplete by that row.
#[tokio::test]
async fn missing_rows_make_the_run_incomplete() {
    let running = company(ga4::Options::default(), 100, &["leave_out:rows=1,path=:runReport"]).await;
    let world = world(&running);
    let source = source(&world, &running, json!({}));
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "sessions").await.unwrap();
    let (days, rows): (Vec<_>, Vec<_>) = landing.counts.iter().partition(|c| c.expected == 0);
    assert!(days.len() + rows.len() == 20 && rows.len() > 10, "{:?}", landing.counts);
    assert!(rows.iter().all(|c| c.expected > c.read), "{rows:?}");
    assert!(landing.notices.iter().any(|n| n.code == "changed_while_paging"), "{:?}", landing.notices);
}

#[tokio::test]
async fn used_up_tokens_end_the_run_and_the_next_goes_on() {
    let options = ga4::Options { hour_tokens: 60, ..ga4::Options::default() };
    let running = company(options, 400, &[]).await;
    let mut world = world(&running);
    let source = source(&world, &running, json!({"cost_dimensions": FINE}));
    let mut landing = Landing::default();
    let mut runs = 0;
    loop {
        runs += 1;
        match landing.run(&source, &world.ctx, "ad_costs").await {
            Ok(()) => break,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
                assert!(error.message().contains("412000777") && error.message().contains("left"), "{error}");
                let Retry::Temporary { after: Some(after) } = error.retry() else { panic!("{error}") };
                assert!(after.as_secs() <= 3600, "{after:?}");
                // Waiting for a turn takes time too.
                let now = world.ctx.clock.now_us() / 1_000_000;
                running.server.set_now(now + after.as_secs() as i64).unwrap();
                later(&mut world, &running);
            }
        }
        assert!(runs < 5);
    }
    assert_eq!(runs, 2);
    assert_eq!(mapped(&source, &landing).await, spent(&running));
    // Nothing was asked that Google had to refuse.
    assert_eq!(running.server.faults.fired().len(), 0);
    let unseen = company(ga4::Options { day_tokens: 3, ..ga4::Options::default() }, 50, &[]).await;
    let world = self::world(&unseen);
    let source = self::source(&world, &unseen, json!({}));
    let error = source.check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(error.message().contains("day's tokens"), "{error}");
}

#[tokio::test]
async fn hidden_metrics_and_strangers_are_errors() {
    let hidden = ga4::Options { hidden: vec!["advertiserAdCost"], ..ga4::Options::default() };
    let running = company(hidden, 100, &[]).await;
    let world = world(&running);
    let mut landing = Landing::default();
    let error = landing.run(&source(&world, &running, json!({})), &world.ctx, "ad_costs").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Auth && error.message().contains("advertiserAdCost"), "{error}");
    let stranger = source(&world, &running, json!({"property": 7}));
    let error = stranger.check(&world.ctx).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Auth && error.message().contains(auth::EMAIL), "{error}");
    // A user signs in as well; a wrong refresh token is told without itself.
    let user = |token: &str| {
        let mut value = options(
            &running,
            json!({"client_id": auth::CLIENT_ID, "client_secret": {"$secret": auth::CLIENT_SECRET},
            "refresh_token": {"$secret": token}, "token_url": format!("{}/token", running.url())}),
        );
        value.as_object_mut().unwrap().remove("service_account");
        world.build(&Ga4Connector, value)
    };
    let report = user(auth::REFRESH_TOKEN).check(&world.ctx).await.unwrap();
    assert!(report.warnings.is_empty() && report.facts[0].1.contains("Europe/Moscow, USD"), "{report:?}");
    let error = user("1//stale").check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(!format!("{error} {error:?}").contains("1//stale"));
    assert!(error.hint_text().unwrap().contains("sign in again"), "{error:?}");
    // A clock that is an hour off.
    let mut early = World::at(&company::text::rfc3339(running.server.now() + 7200));
    early.ctx.tokens = Arc::new(MemoryTokens::default());
    let error = source(&early, &running, json!({})).check(&early.ctx).await.unwrap_err();
    assert!(error.hint_text().unwrap().contains("clock is 7200 seconds away"), "{error:?}");
}

#[tokio::test]
async fn check_names_fields_that_do_not_go_together() {
    let running = company(ga4::Options::default(), 100, &[]).await;
    let world = world(&running);
    let report = json!([{"name": "mixed", "dimensions": ["eventName"], "metrics": ["advertiserAdCost"]}]);
    let source = source(&world, &running, json!({ "reports": report }));
    let checked = source.check(&world.ctx).await.unwrap();
    assert!(
        checked.warnings.len() == 1 && checked.warnings[0].contains("eventName, advertiserAdCost"),
        "{checked:?}"
    );
    let error = Landing::default().run(&source, &world.ctx, "mixed").await.unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.message().contains("mixed"), "{error}");
}

#[test]
fn wrong_options_are_told_before_anything_is_asked() {
    let many = |n: usize, name: &str| (0..n).map(|i| format!("{name}{i}")).collect::<Vec<_>>();
    let value = json!({
        "property": 0, "service_account": {"$secret": "{\"type\":\"service_account\"}"}, "start_on": "01.09.2026",
        "restate_days": 0, "page_rows": 300_000, "currency": "рубли", "cost_dimensions": ["a b", "sessionSource"],
        "reports": [
            {"name": "Wide", "dimensions": many(9, "d"), "metrics": many(11, "m")},
            {"name": "sessions", "dimensions": ["x", "x"], "metrics": []},
        ],
    });
    let errors = Ga4Connector
        .build(&Options { name: "s".into(), value, base_dir: ".".into() })
        .map(|_| ())
        .unwrap_err();
    let said: String = errors.iter().map(|e| format!("{e}\n")).collect();
    for words in [
        "lacks client_email, private_key, token_uri",
        "0 is not from 1",
        "\"01.09.2026\" is no day",
        "300000 is not from 1 to 250000",
        "is no currency",
        "\"a b\" is no API name",
        "sessionSource is asked for already",
        "has 10 dimensions, date included; Google makes reports of 9 at most",
        "has 11 metrics; Google makes reports of 10",
        "\"Wide\" is no name of a stream",
        "there is a report sessions already",
        "x stands twice",
        "a report has a metric at least",
    ] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
}

/// Requests and the company's answers are those of Google's own description.
#[tokio::test]
async fn questions_fit_the_specification() {
    let Some(discovery) = Discovery::of("google-analytics-data-v1beta", "analyticsdata.v1beta.json") else {
        return;
    };
    let running =
        Arc::new(company(ga4::Options { cardinality: 5, ..ga4::Options::default() }, 200, &[]).await);
    let log = Log::default();
    let server = passing_on(running.clone(), log.clone()).await;
    let world = world(&running);
    let mut value = options(&running, json!({"base_url": server.url, "page_rows": 4, "currency": "USD"}));
    // The server in between keeps its own name.
    value["service_account"] = json!({"$secret": auth::key_file(&server.url)});
    let source = world.build(&Ga4Connector, value);
    source.check(&world.ctx).await.unwrap();
    for stream in ["ad_costs", "sessions"] {
        Landing::default().run(&source, &world.ctx, stream).await.unwrap();
    }
    // The sample of a request asks in the same words.
    let sample: Value =
        serde_json::from_str(include_str!("../../src/ga4/samples/run_report_request.json")).unwrap();
    discovery.check("RunReportRequest", &sample, "sample");
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (asked, answer) in log.lock().unwrap().iter().filter(|(a, _)| a.path != "/token") {
        assert!(asked.header("authorization").unwrap().starts_with("Bearer ya29."));
        let method = discovery.request("POST", asked);
        discovery.answer(&method, answer);
        let whole = asked.json().get("orderBys").is_some();
        for (name, value) in sample.as_object().unwrap().iter().filter(|_| whole) {
            let ours = &asked.json()[name];
            assert_eq!(
                std::mem::discriminant(ours),
                std::mem::discriminant(value),
                "{name}: {ours}, {value}"
            );
        }
        *seen.entry(method["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(seen["analyticsdata.properties.checkCompatibility"], 2);
    assert!(seen["analyticsdata.properties.runReport"] > 40, "{seen:?}");
}

/// Questions and the answers to them.
pub type Log = Arc<Mutex<Vec<(Asked, Vec<u8>)>>>;

/// A server that writes down what it passes on to the company.
pub async fn passing_on(running: Arc<company::Running>, log: Log) -> Server {
    let google = Google::new(7, running.server.options.ga4.clone());
    Server::start(move |asked| {
        let base = format!("http://{}", asked.header("host").unwrap());
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&asked.query).finish();
        let posted = asked.header("content-length").is_some_and(|n| n != "0");
        let reply = google.answer(&company::Call {
            method: if posted { "POST" } else { "GET" },
            path: &asked.path,
            query: &query,
            base: &base,
            authorization: asked.header("authorization").unwrap_or_default(),
            body: asked.body.as_bytes(),
            ..company::Call::of(&running.server.company, running.server.now())
        });
        log.lock().unwrap().push((asked.clone(), reply.body.clone()));
        Reply::text(reply.status, &String::from_utf8(reply.body).unwrap())
    })
    .await
}

const SAMPLES: &[(&str, &str)] = &[
    ("run_report_page1.json", include_str!("../../src/ga4/samples/run_report_page1.json")),
    ("run_report_page2.json", include_str!("../../src/ga4/samples/run_report_page2.json")),
    ("run_report_empty.json", include_str!("../../src/ga4/samples/run_report_empty.json")),
    ("error_429.json", include_str!("../../src/ga4/samples/error_429.json")),
];

#[test]
fn our_samples_are_those_of_the_facts() {
    let Some(folder) = shared("api/analytics/samples/google-analytics-4") else { return };
    for (name, ours) in SAMPLES {
        assert_eq!(std::fs::read_to_string(folder.join(name)).unwrap(), *ours, "{name}");
    }
}

/// The samples, with a member that nobody knows: everything lands, costs are mapped.
#[tokio::test]
async fn samples_land_and_map() {
    let sample = |name: &str| SAMPLES.iter().find(|(n, _)| *n == name).unwrap().1;
    let novel = sample("run_report_page1.json").replacen(
        "{\"dimensionValues\"",
        "{\"novel\":{\"a\":1},\"dimensionValues\"",
        1,
    );
    let quota = sample("error_429.json");
    let server = Server::start(move |asked| {
        if asked.path == "/token" {
            return Reply::json(&json!({"access_token": "t", "expires_in": 3599}));
        }
        let body = asked.json();
        let day = body["dateRanges"][0]["startDate"].as_str().unwrap();
        match (day, body["offset"].as_str()) {
            _ if body["dimensions"].as_array().unwrap().len() == 1 => Reply::text(200, SAMPLES[2].1),
            ("2026-09-01", Some("0")) => Reply::text(200, &novel),
            ("2026-09-01", _) => Reply::text(200, SAMPLES[1].1),
            _ => Reply::text(429, quota),
        }
    })
    .await;
    let mut world = World::at("2026-09-03T12:00:00Z");
    world.ctx.tokens = Arc::new(MemoryTokens::default());
    let own = json!([{"name": "sample", "dimensions": ["sessionSource", "sessionMedium", "sessionCampaignName"],
        "metrics": ["sessions", "advertiserAdCost"]},
        {"name": "empty", "dimensions": [], "metrics": ["sessions"]}]);
    let source = world.build(
        &Ga4Connector,
        json!({"property": 5, "client_id": "c", "client_secret": {"$secret": "s"}, "refresh_token": {"$secret": "r"},
            "token_url": format!("{}/token", server.url), "base_url": server.url, "start_on": "2026-09-01", "page_rows": 2,
            "reports": own}),
    );
    let mut empty = Landing::default();
    empty.run(&source, &world.ctx, "empty").await.unwrap();
    assert!(empty.counts.iter().all(|c| (c.expected, c.read) == (0, 0)) && empty.counts.len() == 2);
    let mut landing = Landing::default();
    // For the day after the samples' there are no tokens.
    let error = landing.run(&source, &world.ctx, "sample").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited, "{error}");
    assert!(error.message().contains("Exhausted property tokens per hour"), "{error}");
    let spec = spec(&source, "sample");
    assert_eq!(landing.column(&spec, "sessionSource"), ["(direct)", "google", "(other)"]);
    assert_eq!(landing.column(&spec, "sessions"), ["42", "17", "3"]);
    assert_eq!(landing.column(&spec, "report_day"), ["2026-09-01"; 3]);
    assert_eq!(landing.column(&spec, "novel")[..2], ["{\"a\":1}".to_owned(), "NULL".to_owned()]);
    assert!(landing.column(&spec, "metricValues")[1].contains("12.34"));
    let lacks: Vec<&str> =
        landing.notices.iter().map(|n| n.code.as_str()).filter(|c| *c != "column_added").collect();
    assert_eq!(lacks, ["thresholding", "other_row", "sampling"], "{:?}", landing.notices);
    let wrong: Vec<(u64, u64)> =
        landing.counts.iter().filter(|c| c.expected != c.read).map(|c| (c.expected, c.read)).collect();
    assert_eq!(wrong, [(1, 0), (1, 0), (4_000_000, 1_000_000)]);
    let batches = HashMap::from([("ad_costs".to_owned(), landing.batches(&spec))]);
    let costs = map_batches(&source, &source.catalog(), batches).await.remove("costs").unwrap();
    assert_eq!(costs.len(), 1, "{costs:?}");
    let expected = json!({"system": "google_ads", "day": "2026-09-01", "account": "5", "source": "google",
        "medium": "cpc", "campaign": "brand_autumn", "cost_minor": 1234, "currency": "EUR"});
    assert_eq!(costs[0], expected);
}

#[tokio::test]
async fn the_readme_example_loads() {
    let (connector, mut value) = readme_options(Ga4Connector.readme());
    value.as_object_mut().unwrap().remove("streams");
    assert_eq!(connector, "ga4");
    let world = World::at("2026-09-03T12:00:00Z");
    let source = world.build(&Ga4Connector, value);
    assert_eq!(source.catalog().streams.len(), 3);
    // Without a key nobody is asked.
    let error = source.check(&world.ctx).await.unwrap_err();
    assert!(error.message().contains("no key file"), "{error}");
}
