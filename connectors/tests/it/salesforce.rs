//! The Salesforce connector against the simulated company's Salesforce.

use std::collections::{BTreeMap, BTreeSet};

use company::faults::Rule;
use company::salesforce::objects::Kind;
use company::salesforce::{self as org, auth, counts};
use company::{Company, Config, Running, Server};
use serde_json::{Value, json};
use throughline_connectors::salesforce::SalesforceConnector;
use throughline_core::{DynSource, Options, SourceConnector};

use crate::harness::{Got, NOW, World, latest, read, request, resumes_anywhere, secret, window};

pub fn options(url: &str, more: Value) -> Value {
    let mut value = json!({
        "org_id": auth::org(), "client_id": auth::CLIENT_ID, "client_secret": secret(auth::CLIENT_SECRET),
        "login_url": url, "page_rows": 200,
    });
    for (key, option) in more.as_object().unwrap() {
        value[key] = option.clone();
        if option.is_null() {
            value.as_object_mut().unwrap().remove(key);
        }
    }
    value
}

pub fn salesforce(url: &str, more: Value) -> DynSource {
    let options = Options { name: "crm".into(), value: options(url, more), base_dir: ".".into() };
    SalesforceConnector.build(&options).map_err(|e| format!("{e:?}")).unwrap()
}

pub async fn with(history: u32, visits: u64, salesforce: org::Options) -> Running {
    let cfg = Config { seed: 7, visits, history, ..Config::default() };
    let options = company::Options { now: Some(NOW), salesforce, ..company::Options::default() };
    Server::new(Company::new(cfg), options).start().await.unwrap()
}

async fn company(history: u32) -> Running {
    with(history, 0, org::Options::default()).await
}

pub fn faults(company: &Running, rules: &[&str]) {
    company.server.faults.set(rules.iter().map(|r| Rule::parse(r).unwrap()).collect());
}

pub fn there(company: &Running, object: &str) -> usize {
    counts(&company.server.company, company.server.now())[object]
}

/// Every count is given, and is what was read.
pub fn complete(got: &Got) -> bool {
    !got.counts.is_empty() && got.counts.iter().all(|c| c.expected == c.read)
}

fn ids(got: &Got) -> BTreeSet<String> {
    got.latest("Id").into_keys().collect()
}

const STREAMS: [(&str, &str); 12] = [
    ("opportunities", "Opportunity"),
    ("opportunity_history", "OpportunityHistory"),
    ("opportunity_contact_roles", "OpportunityContactRole"),
    ("leads", "Lead"),
    ("contacts", "Contact"),
    ("accounts", "Account"),
    ("users", "User"),
    ("campaigns", "Campaign"),
    ("campaign_members", "CampaignMember"),
    ("stages", "OpportunityStage"),
    ("record_types", "RecordType"),
    ("organization", "Organization"),
];

#[tokio::test]
async fn every_record_comes_once_whatever_their_number() {
    // Contacts are half as many as deals: around one page of 200 and two, and around pieces of 50.
    for (deals, bulk) in [
        (0, false),
        (1, false),
        (2, true),
        (98, true),
        (100, true),
        (102, true),
        (200, true),
        (398, false),
        (400, false),
        (402, false),
        (800, false),
        (802, false),
    ] {
        let company = company(deals).await;
        let more = if bulk { json!({"bulk_from": 1, "bulk_rows": 50}) } else { json!({}) };
        let (world, source) = (World::new(), salesforce(&company.url(), more));
        for (stream, object) in [("contacts", "Contact"), ("opportunities", "Opportunity")] {
            let got = read(&world, &source, request(stream, None)).await.ok();
            let expected = there(&company, object);
            assert_eq!((got.rows.len(), ids(&got).len()), (expected, expected), "{deals} {stream}");
            assert!(complete(&got) && got.rejects.is_empty(), "{deals} {stream}: {:?}", got.counts);
        }
        assert_eq!(there(&company, "Contact"), deals.div_ceil(2) as usize);
        assert_eq!(company.server.salesforce.jobs.started() > 0, bulk, "{deals}");
    }
}

#[tokio::test]
async fn queries_and_jobs_give_the_same_rows_of_every_stream() {
    let company = with(230, 400, org::Options { polls: 2, ..Default::default() }).await;
    let url = company.url();
    let world = World::new();
    let by_query = salesforce(&url, json!({}));
    let by_job = salesforce(&url, json!({"bulk_from": 1, "bulk_rows": 70}));
    for (stream, object) in STREAMS {
        let query = read(&world, &by_query, request(stream, None)).await.ok();
        let job = read(&world, &by_job, request(stream, None)).await.ok();
        let expected = there(&company, object);
        assert!(expected > 0, "{object}");
        assert_eq!((query.rows.len(), job.rows.len()), (expected, expected), "{stream}");
        assert!(complete(&query) && complete(&job), "{stream}: {:?} {:?}", query.counts, job.counts);
        assert_eq!(query.rejects.len() + job.rejects.len(), 0);
        let jobs = job.latest("Id");
        for (id, row) in query.latest("Id") {
            assert_eq!(row, jobs[&id], "{stream}");
        }
        assert!(!query.has("fields_hidden") && !query.has("schema_widened"), "{:?}", query.notices);
    }
    assert_eq!(company.server.salesforce.jobs.started(), 9, "short lists are never read by jobs");
}

#[tokio::test]
async fn later_runs_read_what_changed_also_late_and_what_was_deleted() {
    let company = with(150, 600, org::Options::default()).await;
    let (server, org) = (&company.server, &company.server.salesforce);
    let (world, source) = (World::new(), salesforce(&company.url(), json!({})));
    let first = read(&world, &source, request("opportunities", None)).await.ok();
    let deleted = first.rows.iter().filter(|r| r["IsDeleted"] == "true").count();
    let truly = (0..server.company.leads_until(NOW))
        .filter(|pos| pos % 7 != 3 && server.company.lead(*pos).deal.view(NOW).deleted)
        .count();
    assert!(deleted > 0 && deleted == truly, "{deleted} {truly}");
    let number = |pos: u32| server.company.lead_id(pos);
    let id = |pos| Kind::Opportunity.id(number(pos));
    server.set_now(NOW + 3600).unwrap();
    let now_ms = server.now() * 1000;
    org.change(Kind::Opportunity, [number(7)], now_ms - 600_000);
    org.change(Kind::Opportunity, [number(8)], now_ms - 10_000); // too young for this read
    let second = read(&world, &source, request("opportunities", first.checkpoint())).await.ok();
    assert!(ids(&second).contains(&id(7)) && !ids(&second).contains(&id(8)), "{:?}", ids(&second));
    assert!(complete(&second), "{:?}", second.counts);
    // It shows up only now, with a time that the last run has passed: the overlap finds it.
    server.set_now(NOW + 3720).unwrap();
    org.change(Kind::Opportunity, [number(9)], now_ms - 300_000);
    let third = read(&world, &source, request("opportunities", second.checkpoint())).await.ok();
    assert!(ids(&third).is_superset(&BTreeSet::from([id(8), id(9)])), "{:?}", ids(&third));
    assert!(third.rows.len() < 20, "what did not change is not read");
    // The clock stands: nothing is asked but what the object is.
    let before = server.stats.snapshot().total;
    let fourth = read(&world, &source, request("opportunities", third.checkpoint())).await.ok();
    assert_eq!((fourth.rows.len(), server.stats.snapshot().total - before), (0, 1));
}

#[tokio::test]
async fn records_that_change_while_they_are_read_are_not_missed() {
    let company = company(900).await;
    let (world, source) = (World::new(), salesforce(&company.url(), json!({})));
    faults(&company, &["touch:rows=40,path=/query"]);
    let first = read(&world, &source, request("opportunities", None)).await.ok();
    assert!(complete(&first), "{:?}", first.counts);
    assert_eq!(ids(&first).len(), there(&company, "Opportunity"));
    // Killed behind any page, it goes on: a record that was changed since is no position.
    for (rows, checkpoint) in &first.checkpoints {
        let rest = read(&world, &source, request("opportunities", Some(checkpoint.clone()))).await.ok();
        assert!(rest.counts.iter().all(|c| c.expected == c.read), "{:?}", rest.counts);
        faults(&company, &[]);
        company.server.set_now(NOW + 3600).unwrap();
        let next = read(&world, &source, request("opportunities", rest.checkpoint())).await.ok();
        let mut all = first.rows[..*rows].to_vec();
        all.extend(rest.rows.clone());
        all.extend(next.rows);
        let found = latest(&all, "Id");
        assert_eq!(found.len(), there(&company, "Opportunity"), "{checkpoint:?}");
        // And as they are now.
        let now = read(&World::new(), &source, request("opportunities", None)).await.ok().latest("Id");
        assert!(found.iter().all(|(id, row)| now[id]["SystemModstamp"] == row["SystemModstamp"]));
        company.server.set_now(NOW).unwrap();
        faults(&company, &["touch:rows=40,path=/query"]);
    }
}

#[tokio::test]
async fn stopped_reads_go_on_where_they_were() {
    let company = with(1300, 0, org::Options { polls: 1, ..Default::default() }).await;
    let world = World::new();
    let by_query = salesforce(&company.url(), json!({}));
    let whole = resumes_anywhere(&world, &by_query, "opportunities", "Id").await;
    assert!(whole.checkpoints.len() >= 6 && complete(&whole));
    assert_eq!(whole.rows.len(), there(&company, "Opportunity"));
    let by_job = salesforce(&company.url(), json!({"bulk_from": 500, "bulk_rows": 300}));
    let whole = resumes_anywhere(&world, &by_job, "opportunities", "Id").await;
    assert!(whole.checkpoints.len() >= 5 && complete(&whole));
    let jobs = &company.server.salesforce.jobs;
    assert_eq!((jobs.started(), jobs.left()), (1, 1), "one job for all of them");
    // Once its rows are safe the job goes, and that again is no error.
    for _ in 0..2 {
        by_job.committed(&world.ctx, "opportunities", &whole.checkpoint().unwrap()).await.unwrap();
        assert_eq!(jobs.left(), 0);
    }
    // Results that are gone: asked anew, and merged.
    let (rows, checkpoint) = whole.checkpoints[2].clone();
    let rest = read(&world, &by_job, request("opportunities", Some(checkpoint))).await.ok();
    let mut all = whole.rows[..rows].to_vec();
    all.extend(rest.rows.clone());
    assert!(rest.has("job_anew") && complete(&rest), "{:?}", rest.notices);
    assert_eq!(latest(&all, "Id").len(), there(&company, "Opportunity"));
}

/// A job whose first checkpoint was lost in a crash is known all the same, and none is left behind.
#[tokio::test]
async fn jobs_outlive_a_crash() {
    let company = company(300).await;
    let mut world = crate::support::World::at("2026-09-01T00:00:00Z");
    world.ctx.tokens = std::sync::Arc::new(crate::harness::Tokens(Default::default()));
    let value = options(&company.url(), json!({"bulk_from": 10, "bulk_rows": 40}));
    let source = world.build(&SalesforceConnector, value);
    let breaks = |n| crate::support::Break { after_checkpoints: Some(n), never_committed: true };
    let jobs = &company.server.salesforce.jobs;
    for n in [1, 3, 2] {
        let mut lost = crate::support::Landing::default();
        lost.run_until(&source, &world.ctx, "opportunities", breaks(n)).await.unwrap();
    }
    let mut landing = crate::support::Landing::default();
    landing.run(&source, &world.ctx, "opportunities").await.unwrap();
    assert_eq!((jobs.started(), jobs.left(), world.notes.open().len()), (1, 0, 0));
    let spec = crate::support::spec(&source, "opportunities");
    assert_eq!(landing.column(&spec, "Id").len(), there(&company, "Opportunity"));
    assert!(landing.counts.iter().all(|c| c.expected == c.read));
    // One of another span is dropped: the rows of the first read are safe, and the second begins behind them.
    company.server.set_now(NOW + 3600).unwrap();
    let numbers = (0..200).map(|pos| company.server.company.lead_id(pos));
    company.server.salesforce.change(Kind::Opportunity, numbers, NOW * 1000 + 60_000);
    landing.clone().run_until(&source, &world.ctx, "opportunities", breaks(1)).await.unwrap();
    assert_eq!((jobs.started(), jobs.left()), (2, 1));
    let mut anew = crate::support::Landing::default();
    anew.run(&source, &world.ctx, "opportunities").await.unwrap();
    assert_eq!((jobs.started(), jobs.left(), world.notes.open().len()), (3, 0, 0));
    assert_eq!(anew.column(&spec, "Id").len(), there(&company, "Opportunity"));
}

#[tokio::test]
async fn forgotten_queries_are_taken_up_behind_the_last_record() {
    let company = with(1500, 0, org::Options { kept_pages: 2, ..Default::default() }).await;
    let (world, source) = (World::new(), salesforce(&company.url(), json!({})));
    let got = read(&world, &source, request("opportunities", None)).await.ok();
    let expected = there(&company, "Opportunity");
    assert_eq!((got.rows.len(), ids(&got).len()), (expected, expected));
    assert!(complete(&got), "{:?}", got.counts);
    assert!(company.server.stats.snapshot().requests["GET /services/data/v61.0/queryAll"] >= 3);
}

#[tokio::test]
async fn slow_queries_become_jobs_and_objects_without_jobs_queries() {
    let slow = org::Options { slow_from: 100, no_bulk: vec!["Contact".into()], ..Default::default() };
    let company = with(260, 0, slow).await;
    let (world, source) = (World::new(), salesforce(&company.url(), json!({})));
    let got = read(&world, &source, request("opportunities", None)).await.ok();
    assert_eq!(got.rows.len(), there(&company, "Opportunity"));
    assert_eq!(company.server.salesforce.jobs.started(), 1);
    // Neither way: an error in Salesforce's words, not a loop.
    let error = read(&world, &source, request("contacts", None)).await.error.unwrap();
    assert!(error.to_string().contains("QUERY_TIMEOUT") && error.is_temporary(), "{error}");
    let company = with(260, 0, org::Options { no_bulk: vec!["Contact".into()], ..Default::default() }).await;
    let source = salesforce(&company.url(), json!({"bulk_from": 10}));
    let got = read(&world, &source, request("contacts", None)).await.ok();
    assert!(got.has("no_bulk") && complete(&got), "{:?}", got.notices);
    assert_eq!(got.rows.len(), 130);
}

#[tokio::test]
async fn jobs_that_fail_are_asked_for_anew_and_aborted_ones_are_told() {
    let company = with(300, 0, org::Options { polls: 1, header_once: true, ..Default::default() }).await;
    let (world, source) =
        (World::new(), salesforce(&company.url(), json!({"bulk_from": 10, "bulk_rows": 40})));
    faults(&company, &["job_fails:at=1,path=/jobs/query/", "job_retries:at=4,path=/jobs/query/"]);
    let got = read(&world, &source, request("opportunities", None)).await.ok();
    assert_eq!(
        got.rows.len(),
        there(&company, "Opportunity"),
        "also where only the first piece has a header"
    );
    assert!(got.has("job_anew: the bulk job") && complete(&got), "{:?}", got.notices);
    faults(&company, &["job_fails:path=/jobs/query/"]);
    let error = read(&world, &source, request("opportunities", None)).await.error.unwrap();
    assert!(error.to_string().contains("more than fifteen times"), "{error}");
    // Aborted while it runs: an error. Found aborted by the next run: asked anew.
    faults(&company, &[]);
    let got = read(&world, &source, request("opportunities", None)).await.ok();
    let started = got.checkpoints[0].1.clone();
    company.server.salesforce.jobs.abort_all();
    let again = read(&world, &source, request("opportunities", Some(started))).await.ok();
    assert!(again.has("job_anew: somebody aborted"), "{:?}", again.notices);
    assert_eq!(again.rows.len(), got.rows.len());
}

#[tokio::test]
async fn faults_on_the_way_lose_nothing() {
    let company = company(700).await;
    let expected = there(&company, "Opportunity");
    for rules in [
        vec!["429:every=4"],
        vec!["500:every=5", "503:every=7,retry_after=3"],
        vec!["406:every=3"],
        vec!["cut:every=3,percent=60"],
        vec!["truncate:every=4,percent=70"],
        vec!["expire_token:every=5"],
        vec![
            "429:every=9",
            "502:every=8",
            "cut:every=7,percent=10",
            "truncate:every=6,percent=95",
            "expire_token:at=6",
        ],
    ] {
        for more in [json!({}), json!({"bulk_from": 10, "bulk_rows": 90})] {
            let (world, source) = (World::new(), salesforce(&company.url(), more));
            faults(&company, &rules);
            let got = read(&world, &source, request("opportunities", None)).await.ok();
            assert_eq!((got.rows.len(), ids(&got).len()), (expected, expected), "{rules:?}");
            assert!(complete(&got) && got.rejects.is_empty(), "{rules:?}: {:?}", got.counts);
        }
    }
}

#[tokio::test]
async fn what_is_left_out_is_noticed_and_what_is_unusable_is_rejected_alone() {
    let company = company(500).await;
    let (world, source) = (World::new(), salesforce(&company.url(), json!({})));
    let expected = there(&company, "Opportunity");
    faults(&company, &["leave_out:rows=2,at=2,path=/query/"]);
    let got = read(&world, &source, request("opportunities", None)).await.ok();
    assert_eq!((got.counts[0].expected, got.counts[0].read), (expected as u64, expected as u64 - 2));
    faults(&company, &["malformed:variant=not_an_object,rows=3,at=1,path=queryAll"]);
    let got = read(&world, &source, request("opportunities", None)).await.ok();
    assert_eq!((got.rows.len(), got.rejects.len()), (expected - 1, 1));
    assert!(complete(&got), "a rejected record was delivered: {:?}", got.counts);
    // A piece that is short once is asked for again; short for ever, the run fails.
    let by_job = salesforce(&company.url(), json!({"bulk_from": 10, "bulk_rows": 90}));
    faults(&company, &["leave_out:rows=1,at=2,path=/results"]);
    let got = read(&world, &by_job, request("opportunities", None)).await.ok();
    assert!(complete(&got) && got.rows.len() == expected);
    faults(&company, &["leave_out:rows=1,path=/results"]);
    let error = read(&world, &by_job, request("opportunities", None)).await.error.unwrap();
    assert!(error.to_string().contains("90 were announced"), "{error}");
}

#[tokio::test]
async fn windows_are_kept() {
    let company = company(500).await;
    let (world, source) = (World::new(), salesforce(&company.url(), json!({})));
    let all = read(&world, &source, request("opportunities", None)).await.ok();
    let stamp = |row: &BTreeMap<String, String>| {
        let text = row["SystemModstamp"].replace("+0000", "Z");
        chrono::DateTime::parse_from_rfc3339(&text).unwrap().timestamp_millis()
    };
    let mut sorted: Vec<i64> = all.rows.iter().map(stamp).collect();
    sorted.sort_unstable();
    let (from, to) = (sorted[100] / 1000, sorted[200] / 1000);
    let within = all.rows.iter().filter(|r| (from * 1000..to * 1000).contains(&stamp(r)));
    let expected: BTreeSet<String> = within.map(|r| r["Id"].clone()).collect();
    assert!(expected.len() > 90);
    let by_job = salesforce(&company.url(), json!({"bulk_from": 1}));
    for source in [&source, &by_job] {
        let got = read(&world, source, window("opportunities", from, to)).await.ok();
        assert_eq!(ids(&got), expected);
    }
    assert_eq!(company.server.salesforce.jobs.left(), 0, "nobody else would drop it");
    let start = salesforce(&company.url(), json!({"start_on": "2026-07-01"}));
    let got = read(&world, &start, request("opportunities", None)).await.ok();
    let start = chrono::DateTime::parse_from_rfc3339("2026-07-01T00:00:00Z").unwrap().timestamp_millis();
    assert_eq!(got.rows.len(), all.rows.iter().filter(|r| stamp(r) >= start).count());
}
