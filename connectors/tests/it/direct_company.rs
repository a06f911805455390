//! The `yandex_direct` connector against the simulated company's Direct: an implementation of the same facts that
//! has never seen ours.

use std::collections::HashMap;

use serde_json::{Value, json};
use throughline_connectors::yandex_direct::YandexDirectConnector;
use throughline_core::DynSource;

use super::support::{Landing, World, map};

async fn run(landing: &mut Landing, world: &World, source: &DynSource) {
    landing.run(source, &world.ctx, "ads").await.unwrap();
}

async fn company(direct: company::direct::Options, rules: &[&str]) -> company::Running {
    let cfg = company::Config { seed: 7, visits: 600, ..company::Config::default() };
    let faults = rules.iter().map(|r| company::faults::Rule::parse(r).unwrap()).collect();
    let options = company::Options { direct, faults, ..company::Options::default() };
    company::Server::new(company::Company::new(cfg), options).start().await.unwrap()
}

/// Day, campaign, ad, keyword, impressions, clicks, cost: what the company spent in Direct by its own books.
fn spent(running: &company::Running, vat: bool) -> Vec<String> {
    let server = &running.server;
    let today = server.company.cfg.day_of(server.now());
    let mut rows: Vec<String> = company::costs::costs(&server.company, server.now())
        .filter(|c| c.leaf.system == "yandex_direct")
        .map(|c| {
            let (clicks, minor) = server.direct.figures(&c, today);
            let minor = if vat { minor } else { company::direct::report::without_vat(minor, 20) };
            let day = chrono::NaiveDate::from_epoch_days(c.day as i32).unwrap();
            let leaf = c.leaf;
            let keyword = leaf.keyword.unwrap_or("");
            format!("{day} {} {} {keyword} {} {clicks} {minor}", leaf.campaign_id, leaf.ad_id, c.impressions)
        })
        .collect();
    rows.sort();
    rows
}

async fn mapped(source: &DynSource, landing: &Landing) -> Vec<String> {
    let tables = map(source, &HashMap::from([("ads".to_owned(), landing.clone())])).await;
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    let mut rows: Vec<String> = tables["costs"]
        .iter()
        .map(|c| {
            let cells = ["day", "campaign_id", "ad_id", "keyword", "impressions", "clicks", "cost_minor"];
            cells.map(|name| text(&c[name])).join(" ")
        })
        .collect();
    rows.sort();
    rows
}

fn of_company(world: &World, running: &company::Running, more: Value) -> DynSource {
    let start = running.server.company.cfg.start;
    let mut value = json!({"token": {"$secret": company::direct::TOKEN}, "start_on": start.to_string(),
        "base_url": running.url(), "request_days": 10});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.build(&YandexDirectConnector, value)
}

#[tokio::test]
async fn costs_are_the_companys_with_all_faults_on() {
    let rules = [
        "500:every=7,path=/reports",
        "503:every=11,path=/reports",
        "429:every=13,path=/reports",
        "cut:every=5,percent=60,path=/reports",
        "truncate:at=9+16,percent=90,path=/reports",
        "job_retries:at=3,path=/reports",
        "job_fails:at=8,path=/reports",
    ];
    let running = company(company::direct::Options::default(), &rules).await;
    let now = company::text::rfc3339(running.server.now());
    for vat in [true, false] {
        let world = World::at(&now);
        let source = of_company(&world, &running, json!({"include_vat": vat}));
        let mut landing = Landing::default();
        run(&mut landing, &world, &source).await;
        assert_eq!(mapped(&source, &landing).await, spent(&running, vat));
        assert!(landing.counts.iter().all(|c| c.expected == c.read), "{:?}", landing.counts);
        assert!(landing.rejects.is_empty());
    }
    assert!(
        running.server.faults.by_kind().values().all(|n| *n > 0),
        "{:?}",
        running.server.faults.by_kind()
    );
}

#[tokio::test]
async fn clicks_of_robots_are_taken_back() {
    let options =
        company::direct::Options { robots_days: 5, polls: 1, ..company::direct::Options::default() };
    let running = company(options, &[]).await;
    let end = running.server.now();
    running.server.set_now(end - 10 * 86_400).unwrap();
    let mut world = World::at(&company::text::rfc3339(running.server.now()));
    let source = of_company(&world, &running, json!({}));
    let mut landing = Landing::default();
    run(&mut landing, &world, &source).await;
    assert_eq!(mapped(&source, &landing).await, spent(&running, true));
    // Day by day, and with a gap of some days.
    for days in [9, 8, 4, 0] {
        running.server.set_now(end - days * 86_400).unwrap();
        world.later(&company::text::rfc3339(running.server.now()));
        run(&mut landing, &world, &source).await;
        assert_eq!(mapped(&source, &landing).await, spent(&running, true), "{days} days before the end");
    }
}
