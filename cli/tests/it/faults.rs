//! What networks and vendors do to a reader: whatever happens, the company's rows come, each once.

use std::collections::BTreeSet;
use std::process::{Child, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::studio::{Login, PipelineShape, Studio, Tables, assert_equal};

/// Copies of canonical tables for the sink, so that all of them are compared.
const COPIES: &str = r#"
[[transform]]
name = "all_deals"
sql = "SELECT * FROM in_deals"
[[transform]]
name = "all_contacts"
sql = "SELECT * FROM in_contacts"
[[transform]]
name = "all_deal_events"
sql = "SELECT * FROM in_deal_events"
[[transform]]
name = "all_deal_contacts"
sql = "SELECT * FROM in_deal_contacts"
[[transform]]
name = "all_visits"
sql = "SELECT * FROM in_visits"
[[transform]]
name = "all_hits"
sql = "SELECT * FROM in_hits"
"#;

fn crm(login: Login) -> PipelineShape {
    PipelineShape { attribution: false, extra: COPIES.to_owned(), ..PipelineShape::crm(login) }
}

fn metrica() -> PipelineShape {
    PipelineShape { metrica: true, amocrm: None, ..crm(Login::LongLived) }
}

/// Several pages of leads, contacts and events.
fn company() -> Studio {
    Studio::start(400, |config, options| {
        config.history = 700;
        options.logs.part_visits = 60;
    })
}

/// What a run sees that nothing disturbs.
fn undisturbed_crm() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| undisturbed(&crm(Login::LongLived)))
}

fn undisturbed(shape: &PipelineShape) -> Tables {
    let studio = company();
    studio.write_pipeline(shape);
    studio.expect(&["run"], 0);
    let tables = studio.tables(studio.folder());
    studio.stop();
    tables
}

/// Values of a column, told apart.
fn ids(rows: &[String], column: &str) -> BTreeSet<String> {
    let start = format!("{column}=");
    rows.iter()
        .map(|row| row.split('|').find_map(|cell| cell.strip_prefix(&start)).unwrap().to_owned())
        .collect()
}

/// Deals, contacts and events are the company's: none is missing, none is there twice.
fn assert_whole(studio: &Studio, tables: &Tables) {
    let (truth, company) = (studio.truth(), &studio.server().company);
    let now = studio.server().now();
    let deals: BTreeSet<String> =
        (0..company.leads_until(now)).map(|i| format!("amocrm:studio:{}", company.lead_id(i))).collect();
    let contacts: BTreeSet<String> = (0..company.contacts_until(now))
        .map(|i| format!("amocrm:studio:{}", company.contact_id(i)))
        .collect();
    assert_eq!(tables["all_deals"].len(), deals.len(), "deals");
    assert_eq!(deals.len() as u64, truth.leads + truth.leads_deleted);
    assert_eq!(ids(&tables["all_deals"], "deal_id"), deals);
    assert_eq!(tables["all_contacts"].len(), contacts.len(), "contacts");
    assert_eq!(ids(&tables["all_contacts"], "contact_id"), contacts);
    assert_eq!(tables["all_deal_events"].len() as u64, truth.crm_events, "events");
    assert_eq!(ids(&tables["all_deal_events"], "event_id").len() as u64, truth.crm_events);
}

#[test]
fn refusals_and_broken_answers_lose_nothing_of_the_crm() {
    let studio = company();
    studio.write_pipeline(&crm(Login::LongLived));
    studio.faults(&[
        // By the query, for the basket and the pipelines are read under the same path at the same time.
        "429:at=2,path=/api/v4/leads?with=contacts,retry_after=1",
        "502:at=3,path=/api/v4/leads?with=contacts,retry_after=1",
        "cut:at=1,path=/api/v4/leads?with=contacts",
        "truncate:at=5,path=/api/v4/leads?with=contacts",
        "429:at=2,path=/api/v4/contacts",
        "cut:at=1,path=/api/v4/contacts,percent=0",
        "503:at=2,path=/api/v4/events",
        "truncate:at=3,path=/api/v4/events,percent=90",
        "500:at=5,path=/api/v4/events",
        "truncate:at=7,path=/api/v4/events,percent=0",
        "next_when_full",
    ]);
    let report = studio.json(&["run"], 0);
    assert_eq!(report["status"], "succeeded", "{report:#}");
    assert_eq!(report["dead_letters"], 0);
    assert_eq!((studio.fired("status"), studio.fired("cut"), studio.fired("truncate")), (5, 2, 3));
    let tables = studio.tables(studio.folder());
    assert_whole(&studio, &tables);
    assert_equal(&tables, undisturbed_crm(), "with faults");
    studio.stop();
}

#[test]
fn refusals_and_broken_parts_lose_nothing_of_metrica() {
    let expected = undisturbed(&metrica());
    let studio = company();
    studio.write_pipeline(&metrica());
    studio.faults(&[
        "429:at=3,path=/management/v1,retry_after=1",
        "503:at=6,path=/management/v1",
        "cut:at=1,path=/download",
        "truncate:at=4,path=/download",
        "420:at=7,path=/management/v1",
        "job_retries:at=1,times=1",
    ]);
    let report = studio.json(&["run"], 0);
    assert_eq!(report["status"], "succeeded", "{report:#}");
    assert_eq!((studio.fired("status"), studio.fired("cut"), studio.fired("truncate")), (3, 1, 1));
    let tables = studio.tables(studio.folder());
    let truth = studio.truth();
    assert_eq!(tables["all_visits"].len() as u64, truth.metrica_visits);
    assert_eq!(tables["all_hits"].len() as u64, truth.metrica_hits);
    assert_equal(&tables, &expected, "with faults");
    studio.stop();
}

#[test]
fn a_token_that_expires_in_the_middle_is_renewed_once_for_all() {
    let studio = company();
    studio.write_pipeline(&crm(Login::OAuth));
    studio.faults(&["expire_token:at=6+14,path=/api/v4/"]);
    studio.expect(&["run"], 0);
    assert_eq!(studio.fired("expire_token"), 2);
    let stats = studio.server().stats.snapshot();
    // One to begin with, one for each expiry, however many streams were refused.
    assert_eq!((stats.refreshes, stats.refused_refreshes), (3, 0));
    assert!(stats.statuses[&401] >= 2, "{:?}", stats.statuses);
    let tables = studio.tables(studio.folder());
    assert_whole(&studio, &tables);
    assert_equal(&tables, undisturbed_crm(), "with renewals");
    // The pair is kept: another run signs in with it.
    studio.expect(&["run"], 0);
    assert_eq!(studio.server().stats.snapshot().refreshes, 3);
    studio.stop();
}

/// Waits until `ready`, then kills without mercy.
fn kill_when(mut child: Child, ready: impl Fn() -> bool) {
    let begun = Instant::now();
    while !ready() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the moment to kill never came");
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

fn spawn(studio: &Studio) -> Child {
    studio.command(&["run"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_rotated_pair_is_durable_before_its_first_use() {
    let studio = company();
    studio.write_pipeline(&crm(Login::OAuth));
    // The first request with the new pair hangs: the process dies before it had any use of it.
    studio.faults(&["slow:path=/api/v4/,ms=20000"]);
    let asked = |studio: &Studio| {
        studio.server().stats.snapshot().requests.keys().any(|request| request.contains("/api/v4/"))
    };
    kill_when(spawn(&studio), || asked(&studio));
    assert_eq!(studio.server().stats.snapshot().refreshes, 1);
    studio.faults(&[]);
    studio.expect(&["run"], 0);
    let stats = studio.server().stats.snapshot();
    assert_eq!((stats.refreshes, stats.refused_refreshes), (1, 0), "the stored pair was not used");
    assert_equal(&studio.tables(studio.folder()), undisturbed_crm(), "after a kill");
    studio.stop();
}

/// The vendor has rotated, nobody has the new pair: only a person can help, and must be told how.
fn assert_tells_how_to_go_on(said: &str) {
    assert!(said.contains("authorise again"), "{said}");
    assert!(said.contains("refresh token"), "{said}");
    assert!(!said.contains("refresh-"), "a token is shown: {said}");
}

#[test]
fn a_rotation_whose_answer_is_lost_tells_what_to_do() {
    let studio = company();
    let folder = studio.folder().to_owned();
    studio.write_pipeline(&crm(Login::OAuth));
    studio.faults(&["cut:path=/oauth2,percent=0"]);
    // It may not have been carried out: worth another run.
    let report = studio.json(&["run"], 4);
    assert_tells_how_to_go_on(&report["errors"].to_string());
    studio.faults(&[]);
    let report = studio.json(&["run"], 1);
    assert_tells_how_to_go_on(&report["errors"].to_string());
    assert!(studio.tables(&folder).is_empty());

    // What the message asks for: a new refresh token in the pipeline's environment.
    let new = studio.server().auth.current().1;
    let output = studio.command(&["run"]).env("AMOCRM_REFRESH", new).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_equal(&studio.tables(&folder), undisturbed_crm(), "signed in anew");
    studio.stop();
}

#[test]
fn killed_while_the_rotation_is_under_way() {
    let studio = company();
    studio.write_pipeline(&crm(Login::OAuth));
    studio.faults(&["rotate_delay:path=/oauth2,ms=20000"]);
    kill_when(spawn(&studio), || studio.server().stats.snapshot().refreshes == 1);
    studio.faults(&[]);
    let report = studio.json(&["run"], 1);
    assert_tells_how_to_go_on(&report["errors"].to_string());
    studio.stop();
}

#[test]
fn rows_that_change_while_pages_are_turned_come_all_and_once() {
    let studio = company();
    studio.write_pipeline(&crm(Login::LongLived));
    studio.faults(&["touch:path=/api/v4/leads,rows=9,every=1,times=8"]);
    let report = studio.json(&["run"], 0);
    assert_eq!(report["status"], "succeeded", "{report:#}");
    assert!(studio.server().stats.snapshot().rows_touched >= 27);
    assert_whole(&studio, &studio.tables(studio.folder()));
    // And between two runs.
    studio.faults(&["touch:path=/api/v4/leads?with=contacts,rows=50,at=1"]);
    studio.expect(&["run"], 0);
    assert_whole(&studio, &studio.tables(studio.folder()));
    studio.stop();
}

#[test]
fn a_failed_run_leaves_readers_what_they_had() {
    let studio = company();
    let folder = studio.folder().to_owned();
    studio.write_pipeline(&crm(Login::LongLived));
    studio.expect(&["run"], 0);
    let current = std::fs::read_link(folder.join("out/current")).unwrap();
    let before = studio.tables(&folder);

    // Refused for good, at the first request and in the middle; and with all to be read anew.
    for (rule, args) in [
        ("403:path=/api/v4/contacts", &["run"][..]),
        ("403:path=/api/v4/leads,from=3", &["run", "--full-refresh"][..]),
    ] {
        studio.faults(&[rule]);
        studio.server().set_now(studio.server().now() + 3600).unwrap();
        studio.write_pipeline(&crm(Login::LongLived));
        let report = studio.json(args, 1);
        assert_eq!(report["status"], "failed");
        assert_eq!(report["published"], false);
        assert!(report["errors"].to_string().contains("403"), "{}", report["errors"]);
        assert_eq!(std::fs::read_link(folder.join("out/current")).unwrap(), current, "{rule}");
        assert_equal(&studio.tables(&folder), &before, rule);
        assert_eq!(std::fs::read_dir(folder.join("out/staging")).unwrap().count(), 0);
    }
    studio.faults(&[]);
    studio.expect(&["run"], 0);
    assert_whole(&studio, &studio.tables(&folder));
    studio.stop();
}

#[test]
fn a_dry_run_asks_for_a_page_and_leaves_nothing() {
    let studio = company();
    let folder = studio.folder().to_owned();
    studio.write_pipeline(&PipelineShape { metrica: true, ..crm(Login::LongLived) });
    let report = studio.json(&["run", "--dry-run"], 0);
    assert_eq!(report["published"], false);
    let stats = studio.server().stats.snapshot();
    for (request, times) in &stats.requests {
        let at_most = match request.as_str() {
            // Two streams read this list: leads and the basket.
            "GET /api/v4/leads" => 2,
            r if r.starts_with("GET /api/v4/") => 1,
            _ => continue,
        };
        assert!(*times <= at_most, "{request}: {times}");
    }
    let parts = stats.requests.iter().filter(|(r, _)| r.contains("/download")).map(|(_, n)| n).sum::<u64>();
    assert!(parts <= 2, "{:?}", stats.requests);
    assert!(!folder.join("out").exists(), "a dry run made the sink's folder");
    let state = folder.join(".throughline/shop");
    assert!(!state.exists(), "a dry run left {state:?}");
    // Nothing was remembered: the next run reads everything from the beginning.
    studio.write_pipeline(&crm(Login::LongLived));
    studio.expect(&["run"], 0);
    assert_whole(&studio, &studio.tables(&folder));
    studio.stop();
}
