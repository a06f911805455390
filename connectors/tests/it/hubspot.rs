//! The HubSpot connector against the simulated company's HubSpot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};

use company::faults::Rule;
use company::hubspot::auth;
use company::{Company, Config, Running, Server};
use serde_json::{Value, json};
use throughline_core::{DynSource, ErrorKind, Options, SourceConnector};

use crate::harness::{Got, NOW, World, latest, read, request, secret, window};

pub fn hubspot(url: &str, more: Value) -> DynSource {
    let mut value = json!({"hub_id": "7", "token": secret(auth::PRIVATE_TOKEN), "base_url": url});
    for (key, option) in more.as_object().unwrap() {
        value[key] = option.clone();
        if option.is_null() {
            value.as_object_mut().unwrap().remove(key);
        }
    }
    let options = Options { name: "crm".into(), value, base_dir: ".".into() };
    throughline_connectors::hubspot::connector().build(&options).unwrap()
}

/// A company with so many deals of the past, and half as many contacts, at the tests' moment.
async fn company(deals: u32) -> Running {
    with(deals, 0, company::hubspot::Options::default()).await
}

async fn with(history: u32, visits: u64, hubspot: company::hubspot::Options) -> Running {
    let cfg = Config { seed: 7, visits, history, ..Config::default() };
    let options = company::Options { now: Some(NOW), hubspot, ..company::Options::default() };
    Server::new(Company::new(cfg), options).start().await.unwrap()
}

fn faults(company: &Running, rules: &[&str]) {
    company.server.faults.set(rules.iter().map(|r| Rule::parse(r).unwrap()).collect());
}

/// Ids of the deals that the company has and has not deleted.
fn ids(company: &Running) -> BTreeSet<String> {
    let c = &company.server.company;
    let now = company.server.now();
    (0..c.leads_until(now))
        .filter(|pos| !c.lead(*pos).deal.view(now).deleted)
        .map(|pos| c.lead_id(pos).to_string())
        .collect()
}

fn found(got: &Got, key: &str) -> BTreeSet<String> {
    got.latest(key).into_keys().collect()
}

/// Every count is given, and is what was read.
fn complete(got: &Got) -> bool {
    !got.counts.is_empty() && got.counts.iter().all(|c| c.expected == c.read)
}

#[tokio::test]
async fn every_record_comes_once_whatever_their_number() {
    // Around batches of 50 and 100 and pages of 200; contacts are half as many.
    for count in [0, 1, 2, 49, 50, 51, 99, 100, 101, 198, 199, 200, 201, 398, 400, 402] {
        let company = company(count).await;
        let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
        let deals = read(&world, &source, request("deals", None)).await.ok();
        assert_eq!(found(&deals, "id"), ids(&company), "{count}");
        assert_eq!(deals.rows.len(), count as usize, "none comes twice");
        assert!(complete(&deals), "{count}: {:?}", deals.counts);
        let contacts = read(&world, &source, request("contacts", None)).await.ok();
        assert_eq!(contacts.rows.len() as u32, company.server.company.contacts_until(NOW), "{count}");
        assert_eq!(found(&contacts, "id").len(), contacts.rows.len());
        assert!(complete(&contacts), "{count}: {:?}", contacts.counts);
        // A deal without contacts has a row too: it may have had some before.
        for stream in ["deal_contacts", "open_deal_contacts"] {
            let links = read(&world, &source, request(stream, None)).await.ok();
            let expected = if stream == "deal_contacts" { count as usize } else { 0 };
            assert_eq!((links.rows.len(), found(&links, "deal_id").len()), (expected, expected), "{stream}");
            let without = links.rows.iter().filter(|r| !r.contains_key("contacts")).count();
            assert_eq!(without, (0..expected).filter(|pos| pos % 23 == 7).count(), "{stream}");
        }
        assert_eq!([deals.rejects, contacts.rejects], [[], []]);
    }
}

#[tokio::test]
async fn every_property_and_the_history_come_along() {
    let company = with(60, 300, company::hubspot::Options::default()).await;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    let got = read(&world, &source, request("deals", None)).await.ok();
    let c = &company.server.company;
    for row in &got.rows {
        let properties: Value = serde_json::from_str(&row["properties"]).unwrap();
        // One that this account made itself.
        assert!(properties.get("studio_city").is_some(), "{properties}");
        let pos = c.lead_at_id(row["id"].parse().unwrap()).unwrap();
        let lead = c.lead(pos);
        let moves = lead.deal.changes.iter().filter(|x| x.at <= NOW);
        let moves = moves.filter(|x| matches!(x.what, company::deal::What::Status { .. })).count();
        let history: Value = serde_json::from_str(&row["propertiesWithHistory"]).unwrap();
        assert_eq!(history["dealstage"].as_array().unwrap().len(), moves + 1);
    }
    // The names were asked for once.
    let asked = company.server.stats.snapshot().requests;
    assert_eq!(asked["GET /crm/v3/properties/deals"], 1);
}

#[tokio::test]
async fn later_runs_read_what_changed_also_late() {
    let company = company(600).await;
    let hub = &company.server.hubspot;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    let first = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!(first.rows.len(), 600);
    world.pass(3600).await;
    let now_ms = world.now() * 1000;
    hub.change([7], now_ms - 600_000);
    hub.change([8], now_ms - 10_000); // too young: search may not know all of that moment yet
    let before = company.server.stats.snapshot().total;
    let second = read(&world, &source, request("deals", first.checkpoint())).await.ok();
    let id = |pos| company.server.company.lead_id(pos).to_string();
    assert_eq!(found(&second, "id"), BTreeSet::from([id(7)]));
    assert!(complete(&second), "{:?}", second.counts);
    // One search that finds, one batch, one that counts.
    assert_eq!(company.server.stats.snapshot().total - before, 3);
    // It shows up only now, with a time that the last run has passed: the overlap finds it.
    world.pass(120).await;
    hub.change([9], now_ms - 200_000);
    let third = read(&world, &source, request("deals", second.checkpoint())).await.ok();
    assert_eq!(found(&third, "id"), BTreeSet::from([id(8), id(9)]));
    world.pass(7200).await;
    let fourth = read(&world, &source, request("deals", third.checkpoint())).await.ok();
    world.pass(7200).await;
    let fifth = read(&world, &source, request("deals", fourth.checkpoint())).await.ok();
    assert_eq!((fourth.rows.len() <= 2, fifth.rows.len()), (true, 0));
    assert!(complete(&fifth), "nothing of nothing: {:?}", fifth.counts);
}

#[tokio::test]
async fn more_than_search_can_show() {
    let company = company(10_450).await;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    let got = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!((got.rows.len(), found(&got, "id").len()), (10_450, 10_450));
    // Windows were halved until HubSpot's own numbers could be believed.
    assert!(got.counts.len() > 1 && complete(&got), "{:?}", got.counts);
    assert_eq!(got.counts.iter().map(|c| c.read).sum::<u64>(), 10_450);
}

#[tokio::test]
async fn more_of_one_moment_than_search_can_show() {
    // A workflow touched them all at once: no window is short enough, and pages by id go on.
    let company = company(10_001).await;
    company.server.hubspot.change(0..10_000, NOW * 1000 - 10_000_000);
    company.server.hubspot.change([10_000], NOW * 1000 - 40_000_000);
    let (world, source) = (World::new(), hubspot(&company.url(), json!({"start_on": "2026-08-01"})));
    let got = read(&world, &source, request("deal_contacts", None)).await.ok();
    assert_eq!((got.rows.len(), found(&got, "deal_id").len()), (10_001, 10_001));
}

#[tokio::test]
async fn deals_that_change_while_they_are_read_are_not_missed() {
    let company = company(700).await;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    faults(&company, &["touch:rows=3"]);
    let first = read(&world, &source, request("deals", None)).await.ok();
    // Some left the window before they were reached: they are in the next one.
    assert!(complete(&first), "{:?}", first.counts);
    faults(&company, &[]);
    world.pass(3600).await;
    let second = read(&world, &source, request("deals", first.checkpoint())).await.ok();
    let mut rows = first.rows;
    assert!(!second.rows.is_empty());
    rows.extend(second.rows);
    assert_eq!(latest(&rows, "id").len(), 700);
}

#[tokio::test]
async fn what_is_left_out_is_noticed() {
    let company = company(300).await;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    // A batch that is silently short.
    faults(&company, &["leave_out:rows=2,at=2,path=/deals/batch/read"]);
    let got = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!((got.rows.len(), got.counts[0].expected, got.counts[0].read), (298, 300, 298));
    // A search that does not show all it counts.
    faults(&company, &["leave_out:rows=1,at=1,path=/contacts/search"]);
    let got = read(&world, &source, request("contacts", None)).await.ok();
    assert_eq!((got.counts[0].expected, got.counts[0].read), (150, 149));
    faults(&company, &["leave_out:rows=1,at=1,path=/deals/search"]);
    let got = read(&world, &source, request("deal_contacts", None)).await.ok();
    assert_eq!((got.counts[0].expected, got.counts[0].read), (300, 299));
    // A batch that fails in part is asked for again.
    faults(&company, &["partial:rows=5,every=2,path=/batch/read"]);
    let got = read(&world, &source, request("deals", None)).await.ok();
    assert!(complete(&got) && got.rows.len() == 300, "{:?}", got.counts);
    let got = read(&world, &source, request("deal_contacts", None)).await.ok();
    let without = got.rows.iter().filter(|r| !r.contains_key("contacts")).count();
    assert_eq!((got.rows.len(), without), (300, (0..300).filter(|pos| pos % 23 == 7).count()));
    // For ever: an error, not a green run.
    faults(&company, &["partial:rows=5,path=/batch/read"]);
    let error = read(&world, &source, request("deals", None)).await.error.unwrap();
    assert!(error.to_string().contains("internal error"), "{error}");
}

#[tokio::test]
async fn records_that_cannot_be_used_are_rejected_alone() {
    let company = company(120).await;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    faults(&company, &["malformed:variant=not_an_object,rows=3,at=1,path=/deals/batch/read"]);
    let got = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!((got.rows.len(), got.rejects.len()), (119, 1));
    assert!(complete(&got), "a rejected record was delivered: {:?}", got.counts);
}

#[tokio::test]
async fn faults_on_the_way_lose_nothing() {
    let company = company(460).await;
    let source = hubspot(&company.url(), json!({}));
    for rules in [
        vec!["429:every=4,retry_after=3"],
        vec!["500:every=5", "503:every=7"],
        vec!["423:every=6"],
        vec!["477:every=6,retry_after=2"],
        vec!["cut:every=3,percent=60"],
        vec!["truncate:every=4,percent=70"],
        vec![
            "429:every=9",
            "502:every=8",
            "cut:every=11,percent=10",
            "truncate:every=13,percent=95",
            "touch:every=10,rows=1",
        ],
    ] {
        let world = World::new();
        faults(&company, &rules);
        let deals = read(&world, &source, request("deals", None)).await.ok();
        let links = read(&world, &source, request("deal_contacts", None)).await.ok();
        if !rules.iter().any(|r| r.starts_with("touch")) {
            assert_eq!((deals.rows.len(), links.rows.len()), (460, 460), "{rules:?}");
        }
        assert_eq!((found(&deals, "id").len(), deals.rejects.len()), (deals.rows.len(), 0), "{rules:?}");
        assert!(complete(&deals), "{rules:?}: {:?}", deals.counts);
    }
}

#[tokio::test]
async fn limits_are_waited_for_and_the_day_ends() {
    let company = with(300, 0, company::hubspot::Options { daily: 6, ..Default::default() }).await;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    let error = read(&world, &source, request("deals", None)).await.error.unwrap();
    assert!(error.to_string().contains("daily limit") && error.to_string().contains("crm"), "{error}");
    assert!(error.hint_text().unwrap().contains("midnight"), "{error:?}");
    let asked = company.server.stats.snapshot().total;
    // Other streams do not knock again.
    let error = read(&world, &source, request("contacts", None)).await.error.unwrap();
    assert!(error.to_string().contains("daily limit"), "{error}");
    assert_eq!(company.server.stats.snapshot().total, asked);
    // The next run, of a scheduler that keeps the source, asks again.
    let error = read(&World::new(), &source, request("contacts", None)).await.error.unwrap();
    assert!(error.to_string().contains("daily limit"), "{error}");
    assert_eq!(company.server.stats.snapshot().total, asked + 1);

    // By the client's own clock it never asks faster than HubSpot allows.
    let company = self::company(1_500).await;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    read(&world, &source, request("deals", None)).await.ok();
    let asked = company.server.stats.snapshot().requests;
    let searches = asked["POST /crm/v3/objects/deals/search"];
    let others: u64 = asked.values().sum::<u64>() - searches;
    let seconds = world.now() - NOW;
    assert!(
        searches as i64 - 3 <= seconds * 4 && others as i64 - 7 <= seconds * 6,
        "{searches} + {others} in {seconds} s"
    );
}

#[tokio::test]
async fn windows_are_kept() {
    let company = company(400).await;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    let all = read(&world, &source, request("deals", None)).await.ok();
    let times: BTreeMap<String, i64> = all
        .rows
        .iter()
        .map(|r| {
            (
                r["id"].clone(),
                chrono::DateTime::parse_from_rfc3339(&r["updatedAt"]).unwrap().timestamp_millis(),
            )
        })
        .collect();
    let mut sorted: Vec<i64> = times.values().copied().collect();
    sorted.sort_unstable();
    let (from, to) = (sorted[100] / 1000, sorted[200] / 1000);
    let got = read(&world, &source, window("deals", from, to)).await.ok();
    let expected: BTreeSet<String> = times
        .iter()
        .filter(|(_, t)| (from * 1000..to * 1000).contains(*t))
        .map(|(id, _)| id.clone())
        .collect();
    assert_eq!(found(&got, "id"), expected);
    assert!(expected.len() > 90);
    let error = read(&world, &source, window("owners", 0, 1)).await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn small_lists_and_what_users_see() {
    let company = with(0, 800, company::hubspot::Options::default()).await;
    let (world, source) = (World::new(), hubspot(&company.url(), json!({})));
    let count = async |stream: &str| read(&world, &source, request(stream, None)).await.ok().rows.len();
    assert_eq!(count("owners").await + count("archived_owners").await, company::words::OPERATORS.len());
    assert_eq!(count("pipelines").await, company::deal::PIPELINES.len());
    assert_eq!((count("account").await, count("deal_properties").await), (1, 20));
    let c = &company.server.company;
    let deleted = (0..c.leads_until(NOW)).filter(|p| c.lead(*p).deal.view(NOW).deleted).count();
    assert!(deleted > 0);
    assert_eq!(count("archived_deals").await, deleted);
    let open = (0..c.leads_until(NOW)).filter(|p| {
        let view = c.lead(*p).deal.view(NOW);
        !view.deleted && view.closed.is_none()
    });
    assert_eq!(count("open_deal_contacts").await, open.count());
    let names: Vec<String> = source.catalog().streams.into_iter().map(|s| s.name).collect();
    assert!(names.iter().all(|n| !n.starts_with("changed_") && n != "open_deals"), "{names:?}");
}

#[tokio::test]
async fn the_check_tells_the_account_and_bad_credentials() {
    let company = company(1).await;
    let world = World::new();
    let report = hubspot(&company.url(), json!({})).check(&world.ctx).await.unwrap();
    assert!(report.facts.contains(&("currency".into(), "RUB".into())), "{report:?}");
    let wrong = hubspot(&company.url(), json!({"token": secret("pat-wrong")}));
    let error = wrong.check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(!format!("{error:?}").contains("pat-wrong"), "{error:?}");
    faults(&company, &["403"]);
    let error = hubspot(&company.url(), json!({})).check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.hint_text().unwrap().contains("crm.objects.deals.read"));
}

#[tokio::test]
async fn oauth_tokens_are_bought_and_renewed() {
    let company = company(420).await;
    let world = World::new();
    let options = json!({"token": null, "client_id": auth::CLIENT_ID, "client_secret": secret(auth::CLIENT_SECRET),
                         "redirect_uri": auth::REDIRECT_URI, "code": secret(auth::CODE)});
    let source = hubspot(&company.url(), options.clone());
    faults(&company, &["expire_token:at=3,path=/deals/batch/read"]);
    let got = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!(got.rows.len(), 420);
    let granted = AtomicU64::new(company.server.stats.snapshot().requests["POST /oauth/v1/token"]);
    assert_eq!(granted.load(Ordering::SeqCst), 2, "the first one, and one for the one that ended");
    // A later process goes on with what was stored, and renews before the token ends.
    faults(&company, &[]);
    world.pass(1700).await;
    let source = hubspot(&company.url(), options);
    read(&world, &source, request("owners", None)).await.ok();
    assert_eq!(company.server.stats.snapshot().requests["POST /oauth/v1/token"], 3);
}
