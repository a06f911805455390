//! The behaviour suite (core/behaviour, docs/connector-tests.md) on connectors, their vendors played by servers.

use std::sync::Arc;

use company::{Company, Config, Server as CompanyServer};
use serde_json::{Value, json};
use throughline_behaviour::{Bounds, MemoryNotes, MemoryTokens, Outcome, Report, Suite, Verdict};
use throughline_connectors::manifest::Manifest;
use throughline_core::{Context, FixedClock, Options, Redactor, Result, SourceConnector};
use throughline_http::{Client, HttpSettings, Limits};

use crate::amocrm::{leads, leads_page};
use crate::fixture::{Asked, Reply, Server};
use crate::harness::{NOW, secret};

/// Contexts at the tests' moment. They share one client: it keeps nothing between requests but connections.
fn world(now: i64) -> impl Fn() -> Result<Context> + Send + Sync + 'static {
    let clock = Arc::new(FixedClock::at_us(now * 1_000_000));
    let http =
        Client::new(&HttpSettings::default(), Arc::new(Limits::default()), clock, Redactor::new()).unwrap();
    move || {
        Ok(Context {
            name: "crm".into(),
            clock: Arc::new(FixedClock::at_us(now * 1_000_000)),
            http: Arc::new(http.clone()),
            tokens: Arc::new(MemoryTokens::default()),
            notes: Arc::new(MemoryNotes::default()),
            cancel: Default::default(),
            scratch: std::env::temp_dir(),
        })
    }
}

/// Fewer reads than users' own tests get: these servers and their answers cost more.
fn bounds() -> Bounds {
    Bounds { checkpoints: 6, exchanges: 4, ..Bounds::default() }
}

pub fn built_in(connector: &'static dyn SourceConnector, value: Value, now: i64) -> Suite {
    let options = Options { name: "crm".into(), value, base_dir: ".".into() };
    Suite::of_connector(connector, &options, world(now)).bounds(bounds())
}

fn of_manifest(text: &str, url: &str) -> Suite {
    let manifest = Manifest::parse(text, "test.toml", &|_| Err("no files".into())).unwrap();
    let (options, schema, of_options) =
        (json!({"base_url": url}), manifest.options_schema(), manifest.clone());
    let given = options.clone();
    Suite::new("test", move || Ok(manifest.source(&given).unwrap()), world(NOW))
        .options(schema, options, move |value| of_options.source(value))
        .bounds(bounds())
}

/// No check fails, and these did not pass by being skipped.
pub fn passes(report: &Report, checks: &[&str]) {
    // Shown when something fails.
    println!("{}", report.text());
    assert!(report.passed());
    let empty = |o: &&Outcome| matches!(&o.verdict, Verdict::Passed { note } if note.starts_with("0 rows by") && o.check.name == "read");
    assert!(!report.outcomes.iter().any(|o| empty(&o)), "a stream without rows proves nothing");
    for name in checks {
        let done = report.outcomes.iter().filter(|o| o.check.name == *name);
        assert!(
            done.clone().next().is_some()
                && done.clone().all(|o| matches!(o.verdict, Verdict::Passed { .. })),
            "{name}\n{}",
            report.text()
        );
    }
}

#[tokio::test]
async fn amocrm() {
    let all = leads(330, |id| NOW - 100_000 + id / 3);
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/api/v4/leads" => leads_page(&all, asked, 50),
        "/api/v4/account" => Reply::json(&json!({"id": 1, "name": "Студия", "currency": "RUB"})),
        other => Reply::text(404, other),
    })
    .await;
    let connector = Box::leak(Box::new(throughline_connectors::amocrm::connector()));
    let options = json!({"subdomain": "shop", "token": secret("long-lived-token"), "base_url": server.url});
    let from = (NOW - 100_000) * 1_000_000;
    let report =
        built_in(connector, options, NOW).streams(["leads"]).window(from, from + 80_000_000).run().await;
    passes(
        &report,
        &["options", "connection", "resumable", "incremental", "windows", "cancel_request", "http_rubbish"],
    );
    assert!(report.text().contains("239 rows from"), "{}", report.text());
}

/// Every other list of amoCRM, on several pages where there are so many records.
#[tokio::test]
async fn amocrm_lists() {
    let cfg = Config { seed: 7, visits: 400, history: 600, ..Config::default() };
    let options = company::Options { now: Some(NOW), crm_rps: 0, ..company::Options::default() };
    let company = CompanyServer::new(Company::new(cfg), options).start().await.unwrap();
    let connector = Box::leak(Box::new(throughline_connectors::amocrm::connector()));
    let token = secret(company::amocrm::auth::LONG_LIVED);
    let options = json!({"subdomain": company::amocrm::SUBDOMAIN, "token": token, "base_url": company.url()});
    let day = 86_400_000_000;
    let suite = built_in(connector, options.clone(), NOW);
    let suite = suite.window(NOW * 1_000_000 - 60 * day, NOW * 1_000_000);
    let report = suite.streams(["contacts", "events", "deleted_leads"]).run().await;
    passes(&report, &["rows", "repeatable", "resumable", "incremental", "windows", "cancel_request"]);
    passes(&report, &["http_errors", "http_rubbish"]);
    let report = built_in(connector, options, NOW).streams(["users", "pipelines"]).run().await;
    passes(&report, &["rows", "counts", "repeatable", "cancel", "http_errors", "http_rubbish"]);
}

#[tokio::test]
async fn hubspot() {
    let cfg = Config { seed: 7, visits: 400, history: 130, ..Config::default() };
    let options = company::Options { now: Some(NOW), ..company::Options::default() };
    let company = CompanyServer::new(Company::new(cfg), options).start().await.unwrap();
    let connector = Box::leak(Box::new(throughline_connectors::hubspot::connector()));
    let token = company::hubspot::auth::PRIVATE_TOKEN;
    let options = json!({"hub_id": "7", "token": secret(token), "base_url": company.url()});
    let day = 86_400_000_000;
    let suite = built_in(connector, options, NOW).window(NOW * 1_000_000 - 60 * day, NOW * 1_000_000);
    let streams = ["deals", "contacts", "deal_contacts", "open_deal_contacts", "archived_deals", "owners"];
    let lists = ["archived_owners", "pipelines", "deal_properties", "contact_properties", "account"];
    let report = suite.streams(streams.into_iter().chain(lists)).run().await;
    passes(&report, &["connection", "rows", "repeatable", "cancel", "http_errors", "http_rubbish"]);
}

#[tokio::test]
async fn bitrix24() {
    let cfg = Config { seed: 7, visits: 400, history: 230, ..Config::default() };
    let options = company::Options { now: Some(NOW), ..company::Options::default() };
    let company = CompanyServer::new(Company::new(cfg), options).start().await.unwrap();
    let connector = Box::leak(Box::new(throughline_connectors::bitrix24::connector()));
    let webhook = company::bitrix24::auth::webhook("https://studio.bitrix24.example");
    let options = json!({"portal": "studio", "webhook": secret(&webhook), "base_url": company.url()});
    let day = 86_400_000_000;
    let suite = built_in(connector, options, NOW).window(NOW * 1_000_000 - 60 * day, NOW * 1_000_000);
    let streams = ["deals", "deal_ids", "deal_stage_history", "leads", "users", "statuses", "activities"];
    let more = ["lead_ids", "lead_stage_history", "contacts", "contact_ids", "categories"];
    let report = suite.streams(streams.into_iter().chain(more)).run().await;
    passes(&report, &["connection", "rows", "repeatable", "cancel", "http_errors", "http_rubbish"]);
}

/// A list of numbers, with everything a request can ask of it.
fn items(count: i64) -> impl Fn(&Asked) -> Reply + Send + Sync + 'static {
    move |asked| {
        let number = |name: &str| asked.param(name).and_then(|n| n.parse::<i64>().ok());
        let take = number("n").unwrap_or(10);
        let skip = number("skip").or(number("page").map(|p| (p - 1) * take)).or(number("since")).unwrap_or(0);
        let found: Vec<Value> =
            (1..=count).filter(|id| *id > skip).take(take as usize).map(|id| json!({"id": id})).collect();
        let mut body = json!({"items": found, "total": count});
        if skip + take < count {
            body["next"] = json!((skip + take).to_string());
        }
        Reply::json(&body)
    }
}

#[tokio::test]
async fn every_kind_of_paging() {
    let stream = |more: &str| {
        format!(
            "name = \"test\"\nbase_url = \"https://api.example.com\"\n[[streams]]\nname = \"items\"\nrecords = \"items\"\n\
             key = [\"id\"]\ncount = {{ path = \"total\" }}\n{more}"
        )
    };
    for more in [
        "request = { path = \"/items\", query = { page = \"{page}\", n = \"{size}\" } }\npaging = { kind = \"page\", size = 10 }\n",
        "request = { path = \"/items\", query = { skip = \"{offset}\", n = \"{size}\" } }\npaging = { kind = \"offset\", size = 10 }\n",
        "request = { path = \"/items\", query = { skip = \"{cursor}\" } }\npaging = { kind = \"cursor\", path = \"next\" }\n",
        "request = { path = \"/items\", query = { since = \"{last}\" } }\n\
         paging = { kind = \"keyset\", column = \"id\", start = \"0\", across_runs = true }\n",
    ] {
        let server = Server::start(items(35)).await;
        let report = of_manifest(&stream(more), &server.url).run().await;
        passes(
            &report,
            &[
                "counts",
                "checkpoints",
                "resumable",
                "dry_read",
                "cancel_request",
                "http_errors",
                "http_rubbish",
            ],
        );
    }
}

#[tokio::test]
async fn days_and_sub_streams() {
    let text = r#"
name = "test"
base_url = "https://api.example.com"
[[streams]]
name = "report"
records = "rows"
stable = true
request = { path = "/report", query = { from = "{from}", to = "{to}", page = "{page}" } }
columns = { day = "date", visits = "int" }
paging = { kind = "page", size = 2, short_page_ends = true }
days = { column = "day", start = "2026-08-20", step = 5, again = 3 }
[[streams]]
name = "deals"
records = "items"
key = ["id"]
request = { path = "/items", query = { page = "{page}", n = "{size}" } }
paging = { kind = "page", size = 4 }
[[streams]]
name = "notes"
records = "notes"
key = ["id"]
request = { path = "/deals/{parent.id}/notes", query = { skip = "{offset}" } }
paging = { kind = "offset", size = 2 }
parent = { stream = "deals", columns = ["id"], add = { deal_id = "id" } }
"#;
    let list = items(9);
    let days: Vec<String> = (20..=31).map(|d| format!("2026-08-{d}")).collect();
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/items" => list(asked),
        "/report" => {
            let (from, to) = (asked.param("from").unwrap().to_owned(), asked.param("to").unwrap().to_owned());
            let skip = usize::try_from((asked.int("page").unwrap() - 1) * 2).unwrap();
            let within = days.iter().filter(|d| **d >= from && **d <= to).skip(skip).take(2);
            Reply::json(
                &json!({"rows": within.map(|d| json!({"day": d, "visits": d.len()})).collect::<Vec<_>>()}),
            )
        }
        path => {
            let deal: i64 = path.trim_start_matches("/deals/").trim_end_matches("/notes").parse().unwrap();
            let skip = usize::try_from(asked.int("skip").unwrap()).unwrap();
            let notes: Vec<Value> =
                (0..deal % 4).skip(skip).take(2).map(|n| json!({"id": deal * 100 + n})).collect();
            Reply::json(&json!({ "notes": notes }))
        }
    })
    .await;
    let report = of_manifest(text, &server.url).run().await;
    passes(
        &report,
        &[
            "rows",
            "repeatable",
            "resumable",
            "dry_read",
            "cancel",
            "cancel_request",
            "http_errors",
            "http_rubbish",
        ],
    );
    let windows = report.outcomes.iter().find(|o| o.check.name == "windows").unwrap();
    assert!(
        matches!(&windows.verdict, Verdict::Passed { note } if note.starts_with("12 rows")),
        "{windows:?}"
    );
}

/// Ordered reports, whole days that are restated, and a number to compare with.
#[tokio::test]
async fn yandex_direct() {
    let cfg = Config { seed: 7, visits: 120, ..Config::default() };
    let running = CompanyServer::new(Company::new(cfg), company::Options::default()).start().await.unwrap();
    let start = running.server.company.cfg.start.to_string();
    let token = secret(company::direct::TOKEN);
    let options = json!({"token": token, "start_on": start, "base_url": running.url(), "request_days": 15});
    let connector = &throughline_connectors::yandex_direct::YandexDirectConnector;
    let report = built_in(connector, options, running.server.now()).run().await;
    passes(
        &report,
        &["options", "connection", "events", "counts", "resumable", "incremental", "dry_read", "windows"],
    );
    passes(&report, &["cancel", "cancel_request", "http_errors", "http_rubbish"]);
}

/// Ordered logs, whole days that are restated, in parts.
#[tokio::test]
async fn yandex_metrica() {
    let cfg = Config { seed: 7, visits: 60, days: 6, ..Config::default() };
    let logs = company::metrika::requests::Options { polls: 1, part_visits: 7, ..Default::default() };
    let options = company::Options { logs, metrika_rps: 0, ..company::Options::default() };
    let running = CompanyServer::new(Company::new(cfg), options).start().await.unwrap();
    let cfg = &running.server.company.cfg;
    let token = secret(company::metrika::requests::TOKEN);
    let options = json!({"counter": cfg.counter_id, "token": token, "start_on": cfg.start.to_string(),
        "base_url": running.url(), "request_days": 3, "poll_after_s": 0, "restate_days": 1});
    let connector = &throughline_connectors::yandex_metrica::YandexMetricaConnector;
    let report = built_in(connector, options, running.server.now()).run().await;
    passes(
        &report,
        &["options", "connection", "events", "rows", "resumable", "incremental", "dry_read", "windows"],
    );
    passes(&report, &["cancel", "cancel_request", "http_errors", "http_rubbish"]);
}

#[tokio::test]
async fn files() {
    let folder = tempfile::tempdir().unwrap();
    for (name, rows) in
        [("a.csv", "id,total\n1,10\n2,20\n"), ("b.csv", "id,total\n3,30\n"), ("c.csv", "id,total\n4,10\n")]
    {
        std::fs::write(folder.path().join(name), rows).unwrap();
    }
    let mapping = "SELECT CAST(id AS VARCHAR) AS deal_id, 'open' AS state, now() AS created_at FROM file";
    let value = json!({"path": folder.path().join("*.csv"), "into": "deals", "mapping": mapping});
    let report = built_in(&throughline_connectors::file::FileConnector, value, NOW).run().await;
    passes(&report, &["options", "events", "rows", "resumable", "incremental", "dry_read", "cancel"]);
}

/// Reports day by day, their rows on several pages.
#[tokio::test]
async fn ga4() {
    let cfg = Config { seed: 7, visits: 50, days: 4, ..Config::default() };
    let company = CompanyServer::new(Company::new(cfg), company::Options::default()).start().await.unwrap();
    let key = secret(&company::ga4::auth::key_file(&company.url()));
    let options = json!({"property": company::ga4::PROPERTY, "service_account": key, "base_url": company.url(),
        "start_on": company.server.company.cfg.start.to_string(), "page_rows": 3});
    let connector = &throughline_connectors::ga4::Ga4Connector;
    let report = built_in(connector, options, company.server.now()).run().await;
    passes(
        &report,
        &["options", "connection", "events", "counts", "resumable", "incremental", "dry_read", "windows"],
    );
    passes(&report, &["rows", "repeatable", "cancel", "cancel_request", "http_errors", "http_rubbish"]);
}

/// Tables of days by query, their rows on several pages.
#[tokio::test]
async fn ga4_bigquery() {
    let cfg = Config { seed: 7, visits: 24, days: 3, ..Config::default() };
    let company = CompanyServer::new(Company::new(cfg), company::Options::default()).start().await.unwrap();
    let key = secret(&company::ga4::auth::key_file(&company.url()));
    let options = json!({"project": company::ga4::bigquery::PROJECT, "dataset": company::ga4::bigquery::DATASET,
        "service_account": key, "base_url": company.url(), "start_on": company.server.company.cfg.start.to_string(),
        "page_rows": 20});
    let connector = &throughline_connectors::ga4_bigquery::Ga4BigqueryConnector;
    let report = built_in(connector, options, company.server.now()).run().await;
    passes(
        &report,
        &["options", "connection", "events", "counts", "resumable", "incremental", "dry_read", "windows"],
    );
    passes(&report, &["rows", "repeatable", "cancel", "cancel_request", "http_errors", "http_rubbish"]);
}

/// Spans of changes by queries, and by bulk jobs.
#[tokio::test]
async fn salesforce() {
    let cfg = Config { seed: 7, visits: 200, history: 620, ..Config::default() };
    let options = company::Options { now: Some(NOW), ..company::Options::default() };
    let company = CompanyServer::new(Company::new(cfg), options).start().await.unwrap();
    let connector = &throughline_connectors::salesforce::SalesforceConnector;
    let day = 86_400_000_000;
    // Every stream once; jobs where there is much.
    for (more, streams) in [
        (
            json!({}),
            [
                "opportunities",
                "opportunity_contact_roles",
                "users",
                "campaigns",
                "stages",
                "record_types",
                "organization",
            ]
            .as_slice(),
        ),
        (
            json!({"bulk_from": 100, "bulk_rows": 120}),
            ["opportunity_history", "leads", "contacts", "accounts", "campaign_members"].as_slice(),
        ),
    ] {
        let value = crate::salesforce::options(&company.url(), more);
        let suite = built_in(connector, value, NOW).window(NOW * 1_000_000 - 60 * day, NOW * 1_000_000);
        let report = suite.streams(streams.iter().copied()).run().await;
        passes(
            &report,
            &[
                "options",
                "connection",
                "rows",
                "counts",
                "repeatable",
                "cancel",
                "http_errors",
                "http_rubbish",
            ],
        );
    }
}
