//! The Bitrix24 connector against the simulated company's Bitrix24.

use std::collections::{BTreeMap, BTreeSet};

use company::bitrix24::{auth, table};
use company::faults::Rule;
use company::{Company, Config, Running, Server};
use serde_json::{Value, json};
use throughline_core::{DynSource, ErrorKind, Options, SourceConnector};

use crate::harness::{Got, NOW, World, latest, read, request, resumes_anywhere, secret, window};

/// With the webhook of the company at `url`, and more options; null takes one away.
pub fn bitrix24(url: &str, more: Value) -> DynSource {
    let mut value = json!({"portal": "shop.bitrix24.ru", "webhook": secret(&auth::webhook(url))});
    for (key, option) in more.as_object().unwrap() {
        value[key] = option.clone();
        if option.is_null() {
            value.as_object_mut().unwrap().remove(key);
        }
    }
    let options = Options { name: "crm".into(), value, base_dir: ".".into() };
    throughline_connectors::bitrix24::connector().build(&options).unwrap()
}

/// A company with so many deals of the past, and half as many contacts, at the tests' moment.
async fn company(deals: u32) -> Running {
    with(deals, 0).await
}

async fn with(history: u32, visits: u64) -> Running {
    let cfg = Config { seed: 7, visits, history, ..Config::default() };
    let options = company::Options { now: Some(NOW), ..company::Options::default() };
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
    // Around pages of 50, and around requests of 1, 2, 4, 8 pages: they end at 50, 150, 350 and 750 records.
    for count in [0, 1, 49, 50, 51, 100, 149, 150, 151, 349, 350, 351, 700, 702, 750] {
        let company = company(count).await;
        let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
        let deals = read(&world, &source, request("deals", None)).await.ok();
        assert_eq!(found(&deals, "id"), ids(&company), "{count}");
        assert_eq!(deals.rows.len(), count as usize, "none comes twice");
        assert!(complete(&deals), "{count}: {:?}", deals.counts);
        let contacts = read(&world, &source, request("contacts", None)).await.ok();
        assert_eq!(contacts.rows.len() as u32, company.server.company.contacts_until(NOW), "{count}");
        assert_eq!(found(&contacts, "id").len(), contacts.rows.len());
        assert!(complete(&contacts), "{count}: {:?}", contacts.counts);
        let ids_now = read(&world, &source, request("deal_ids", None)).await.ok();
        assert_eq!((ids_now.rows.len(), found(&ids_now, "id")), (count as usize, ids(&company)), "{count}");
        // The older method gives everything for an empty id: what stands behind the end is not taken.
        let activities = read(&world, &source, request("activities", None)).await.ok();
        assert_eq!((activities.rows.len(), found(&activities, "ID").len()), (count as usize, count as usize));
        assert!(complete(&activities), "{count}: {:?}", activities.counts);
        assert_eq!([deals.rejects, contacts.rejects, activities.rejects], [[], [], []]);
    }
}

#[tokio::test]
async fn many_pages_come_with_one_request() {
    let company = company(6_000).await;
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
    let deals = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!((deals.rows.len(), found(&deals, "id").len()), (6_000, 6_000));
    assert!(complete(&deals), "{:?}", deals.counts);
    let asked = company.server.stats.snapshot();
    // 1, 2, 4, 8, 16, 32 pages, and 50 then; one request counts.
    let batches = asked.requests.iter().filter(|(path, _)| path.ends_with("/batch"));
    assert_eq!(batches.map(|(_, n)| n).sum::<u64>(), 8);
    assert_eq!(asked.total, 9);
    // The client's own clock keeps to 2 a second behind the first ten.
    let seconds = world.now() - NOW;
    assert!(9 - 11 <= seconds * 2, "{seconds} s");
}

#[tokio::test]
async fn every_checkpoint_resumes() {
    let company = with(260, 500).await;
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
    for (stream, key) in [
        ("deals", "id"),
        ("deal_ids", "id"),
        ("deal_stage_history", "ID"),
        ("leads", "id"),
        ("lead_stage_history", "ID"),
        ("contacts", "id"),
        ("users", "ID"),
        ("statuses", "ID"),
        ("activities", "ID"),
    ] {
        let got = resumes_anywhere(&world, &source, stream, key).await;
        assert!(got.notices.is_empty(), "{stream}: {:?}", got.notices);
        assert_eq!(got.rows.len(), got.latest(key).len(), "{stream}");
        assert!(!got.rows.is_empty(), "{stream}");
        if stream == "deals" {
            assert_eq!(found(&got, key), ids(&company));
        }
    }
}

#[tokio::test]
async fn custom_fields_and_multifields_come_along() {
    let company = with(0, 400).await;
    let more = json!({"token_field": "UF_CRM_CITY", "medium_field": "UF_CRM_NO.SUCH \"FIELD"});
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({"token_field": "UF_CRM_CITY"})));
    let got = read(&world, &source, request("deals", None)).await.ok();
    let cities = got.rows.iter().filter(|r| r.contains_key("UF_CRM_CITY")).count();
    assert!(cities > 0);
    for row in &got.rows {
        assert_eq!(row.get("tl_token"), row.get("UF_CRM_CITY"), "the field that the user names");
        // An amount is the number that was sent, to the last digit.
        assert!(row["opportunity"].ends_with(".500000000"), "{}", row["opportunity"]);
    }
    let got = read(&world, &source, request("contacts", None)).await.ok();
    assert!(got.rows.iter().all(|r| r["fm"].contains("PHONE") && r["fm"].contains("imol|whatsapp")));
    // A name that is none is told, not passed over.
    let source = bitrix24(&company.url(), more);
    let error = read(&world, &source, request("deals", None)).await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert!(error.to_string().contains("tl_medium"), "{error}");
}

#[tokio::test]
async fn later_runs_read_what_changed_also_late() {
    let company = company(600).await;
    let bitrix = &company.server.bitrix24;
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
    let first = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!(first.rows.len(), 600);
    world.pass(3600).await;
    let now = world.now();
    // A hundred at one moment: pages go by id, so that moments do not matter.
    bitrix.change(100..200, now - 600);
    bitrix.change([8], now - 10); // too young: not all of that moment may be there yet
    let before = company.server.stats.snapshot().total;
    let second = read(&world, &source, request("deals", first.checkpoint())).await.ok();
    let id = |pos| company.server.company.lead_id(pos).to_string();
    assert_eq!(found(&second, "id"), (100..200).map(id).collect());
    assert_eq!(second.rows.len(), 100);
    assert!(complete(&second), "{:?}", second.counts);
    // A page, two more that end it, and the count.
    assert_eq!(company.server.stats.snapshot().total - before, 3);
    // It shows up only now, with a time that the last run has passed: the overlap finds it.
    world.pass(120).await;
    bitrix.change([9], now - 200);
    let third = read(&world, &source, request("deals", second.checkpoint())).await.ok();
    assert_eq!(found(&third, "id"), BTreeSet::from([id(8), id(9)]));
    for _ in 0..2 {
        world.pass(7200).await;
    }
    let fourth = read(&world, &source, request("deals", third.checkpoint())).await.ok();
    world.pass(7200).await;
    let fifth = read(&world, &source, request("deals", fourth.checkpoint())).await.ok();
    assert_eq!((fourth.rows.len() <= 2, fifth.rows.len()), (true, 0));
    assert!(complete(&fifth), "nothing of nothing: {:?}", fifth.counts);
}

#[tokio::test]
async fn deals_that_change_while_they_are_read_are_not_missed() {
    let company = company(900).await;
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
    faults(&company, &["touch:rows=9"]);
    let first = read(&world, &source, request("deals", None)).await.ok();
    // Those that left the window before they were reached are in the next one; nothing is missing here.
    assert!(
        first.counts.iter().all(|c| c.read >= c.expected) && !first.counts.is_empty(),
        "{:?}",
        first.counts
    );
    faults(&company, &[]);
    world.pass(3600).await;
    let second = read(&world, &source, request("deals", first.checkpoint())).await.ok();
    let mut rows = first.rows;
    assert!(!second.rows.is_empty());
    rows.extend(second.rows);
    assert_eq!(latest(&rows, "id").len(), 900);
}

#[tokio::test]
async fn what_is_left_out_is_noticed() {
    let company = company(300).await;
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
    // A page in the middle is silently short: it looks like the last one.
    faults(&company, &["leave_out:rows=2,at=3,path=crm.item.list?entityTypeId=2&select[0]=*"]);
    let got = read(&world, &source, request("deals", None)).await.ok();
    let count = got.counts.first().unwrap();
    assert_eq!((count.expected, count.read, got.rows.len()), (300, 198, 198));
    // The vendor cannot tell the number in time: the rows are there, and the report says that nobody counted.
    faults(&company, &["504:path=crm.item.list?entityTypeId=2&start=0"]);
    let got = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!((got.rows.len(), got.counts.len(), got.has("not_counted")), (300, 0, true));
}

#[tokio::test]
async fn an_error_inside_of_a_batch_is_an_error() {
    let company = company(800).await;
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
    // Some commands of a batch are refused, in a 200: the whole is asked for again.
    faults(&company, &["partial:rows=2,every=2,path=crm.item.list"]);
    let got = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!((got.rows.len(), found(&got, "id").len()), (800, 800));
    assert!(complete(&got), "{:?}", got.counts);
    assert!(world.now() - NOW >= 120, "a method that is closed is left alone for a while");
    // For ever: an error, not a green run with fewer rows.
    faults(&company, &["partial:rows=1,path=crm.item.list"]);
    let error = read(&world, &source, request("deals", None)).await.error.unwrap();
    assert!(error.to_string().contains("operation time limit"), "{error}");
}

#[tokio::test]
async fn records_that_cannot_be_used_are_rejected_alone() {
    let company = company(120).await;
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
    faults(&company, &["malformed:variant=not_an_object,rows=3,at=2,path=crm.item.list"]);
    let got = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!((got.rows.len(), got.rejects.len()), (119, 1));
    assert!(complete(&got), "a rejected record was delivered: {:?}", got.counts);
}

#[tokio::test]
async fn faults_on_the_way_lose_nothing() {
    let company = company(460).await;
    let source = bitrix24(&company.url(), json!({}));
    for rules in [
        vec!["503:every=3"],
        vec!["429:every=4"],
        vec!["500:every=5", "502:every=7"],
        vec!["cut:every=3,percent=60"],
        vec!["truncate:every=4,percent=70"],
        vec![
            "503:every=9",
            "429:every=7",
            "502:every=8",
            "cut:every=11,percent=10",
            "truncate:every=13,percent=95",
            "partial:rows=1,every=6",
            "touch:every=10,rows=1",
        ],
    ] {
        let world = World::new();
        faults(&company, &rules);
        let deals = read(&world, &source, request("deals", None)).await.ok();
        let history = read(&world, &source, request("deal_stage_history", None)).await.ok();
        if !rules.iter().any(|r| r.starts_with("touch")) {
            assert_eq!((deals.rows.len(), history.rows.len()), (460, 920), "{rules:?}");
        }
        assert_eq!((found(&deals, "id").len(), deals.rejects.len()), (deals.rows.len(), 0), "{rules:?}");
        assert!(deals.counts.iter().all(|c| c.read >= c.expected), "{rules:?}: {:?}", deals.counts);
    }
}

#[tokio::test]
async fn the_two_limits_are_told_apart() {
    let company = company(10).await;
    let source = bitrix24(&company.url(), json!({}));
    // Too many requests: a short pause.
    let world = World::new();
    faults(&company, &["503:at=1+2"]);
    read(&world, &source, request("categories", None)).await.ok();
    assert!((1..60).contains(&(world.now() - NOW)), "{}", world.now() - NOW);
    // Too much time: until the vendor says that some of it is back.
    let world = World::new();
    faults(&company, &["429:at=1"]);
    read(&world, &source, request("categories", None)).await.ok();
    assert!((90..120).contains(&(world.now() - NOW)), "{}", world.now() - NOW);
    // A method that has worked for long rests before it is asked again; others go on.
    let world = World::new();
    faults(&company, &["operating:ms=301000,at=1,path=crm.item.list"]);
    read(&world, &source, request("contact_ids", None)).await.ok();
    read(&world, &source, request("users", None)).await.ok();
    assert!(world.now() - NOW < 60, "{}", world.now() - NOW);
    read(&world, &source, request("deal_ids", None)).await.ok();
    assert!((90..150).contains(&(world.now() - NOW)), "{}", world.now() - NOW);
    let world = World::new();
    faults(&company, &["operating:ms=299000,path=crm.item.list"]);
    read(&world, &source, request("deals", None)).await.ok();
    assert!(world.now() - NOW < 60, "{}", world.now() - NOW);
}

#[tokio::test]
async fn windows_are_kept() {
    let company = company(400).await;
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
    let all = read(&world, &source, request("deals", None)).await.ok();
    let times: BTreeMap<String, i64> = all
        .rows
        .iter()
        .map(|r| {
            let at = chrono::DateTime::parse_from_rfc3339(&r["updatedTime"]).unwrap();
            (r["id"].clone(), at.timestamp())
        })
        .collect();
    let mut sorted: Vec<i64> = times.values().copied().collect();
    sorted.sort_unstable();
    let (from, to) = (sorted[100], sorted[200]);
    let got = read(&world, &source, window("deals", from, to)).await.ok();
    let expected: BTreeSet<String> =
        times.iter().filter(|(_, t)| (from..to).contains(*t)).map(|(id, _)| id.clone()).collect();
    assert_eq!(found(&got, "id"), expected);
    assert!(expected.len() > 90 && complete(&got));
    let error = read(&world, &source, window("users", 0, 1)).await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn small_lists_are_whole() {
    let company = with(0, 800).await;
    let (world, source) = (World::new(), bitrix24(&company.url(), json!({})));
    let list = async |stream: &str| read(&world, &source, request(stream, None)).await.ok();
    let users = list("users").await;
    assert_eq!(users.rows.len(), company::words::OPERATORS.len());
    assert!(users.rows.iter().any(|u| u["ACTIVE"] == "false"), "dismissed ones too");
    let statuses = list("statuses").await;
    assert!(statuses.rows.len() > 50 && complete(&statuses), "{:?}", statuses.counts);
    assert_eq!(list("categories").await.rows.len(), company::deal::PIPELINES.len());
    let deals = company.server.company.leads_until(NOW);
    let leads = (0..deals).map(|p| usize::from(table::is_converted(p)) + usize::from(table::is_junk(p)));
    assert_eq!(list("leads").await.rows.len(), leads.sum::<usize>());
}

#[tokio::test]
async fn the_check_tells_the_portal_and_hides_the_webhook() {
    let company = company(1).await;
    let world = World::new();
    let report = bitrix24(&company.url(), json!({})).check(&world.ctx).await.unwrap();
    assert!(report.facts.contains(&("pipelines".into(), "2".into())), "{report:?}");
    let wrong = json!({"webhook": secret(&format!("{}/rest/1/wrongcode0123456/", company.url()))});
    let error = bitrix24(&company.url(), wrong).check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.hint_text().unwrap().contains("webhook"), "{error:?}");
    faults(&company, &["403"]);
    let error = bitrix24(&company.url(), json!({})).check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    // What is no address does not end up in a message.
    let wrong = json!({"webhook": secret("1/wrongcode0123456")});
    let error = bitrix24(&company.url(), wrong).check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!format!("{error:?}").contains("wrongcode"), "{error:?}");
    // Another address takes the host's place, and the secret stays where it was.
    let moved =
        json!({"webhook": secret(&auth::webhook("https://nowhere.example")), "base_url": company.url()});
    faults(&company, &[]);
    bitrix24(&company.url(), moved).check(&world.ctx).await.unwrap();
}

#[tokio::test]
async fn oauth_tokens_are_bought_and_renewed() {
    let company = company(420).await;
    let world = World::new();
    let options = json!({"webhook": null, "client_id": auth::CLIENT_ID, "client_secret": secret(auth::CLIENT_SECRET),
                         "code": secret(auth::CODE), "oauth_url": company.url()});
    let source = bitrix24(&company.url(), options.clone());
    faults(&company, &["expire_token:at=3,path=crm.item.list"]);
    let got = read(&world, &source, request("deals", None)).await.ok();
    assert_eq!((got.rows.len(), found(&got, "id").len()), (420, 420));
    let granted = || company.server.stats.snapshot().requests["GET /oauth/token/"];
    assert_eq!(granted(), 2, "the first one, and one for the one that ended");
    // A later process goes on with what was stored, and renews before the token ends.
    faults(&company, &[]);
    world.pass(3000).await;
    let source = bitrix24(&company.url(), options);
    read(&world, &source, request("users", None)).await.ok();
    assert_eq!(granted(), 3);
    // Each refresh token is good once, and the next one was stored before its access token was used.
    let pairs = world.memory.pairs.lock().unwrap().clone();
    let stored = pairs.get(&format!("bitrix24:shop.bitrix24.ru:{}", auth::CLIENT_ID)).unwrap();
    assert_eq!(stored.refresh.as_ref().unwrap().expose(), auth::refresh(3));
}
