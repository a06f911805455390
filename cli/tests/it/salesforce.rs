//! The simulated company's Salesforce through whole runs.

use std::process::Stdio;
use std::time::{Duration, Instant};

use company::salesforce::{auth, counts};

use crate::studio::{PipelineShape, Studio, assert_equal};

const SOURCE: &str = r#"
[[source]]
name = "crm"
connector = "salesforce"
org_id = "ORG"
client_id = "CLIENT"
client_secret = { env = "SALESFORCE_SECRET" }
login_url = "URL"
phone_region = "RU"
page_rows = 200
bulk_from = 250
bulk_rows = 60
"#;

fn company() -> Studio {
    let studio = Studio::start(100, |config, _| config.history = 330);
    let source =
        SOURCE.replace("URL", &studio.url()).replace("ORG", &auth::org()).replace("CLIENT", auth::CLIENT_ID);
    studio.write_pipeline(&PipelineShape::one_crm(&source));
    studio
}

fn run(studio: &Studio) -> serde_json::Value {
    let mut command = studio.command(&["run", "--json"]);
    let output = command.env("SALESFORCE_SECRET", auth::CLIENT_SECRET).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn stream<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let streams = report["streams"].as_array().unwrap();
    streams.iter().find(|s| s["stream"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn whole_runs_are_complete_and_a_kill_loses_nothing() {
    let studio = company();
    // Killed between pieces of a job's results.
    studio.faults(&["slow:ms=60000,at=4,path=/results"]);
    let mut child = studio
        .command(&["run"])
        .env("SALESFORCE_SECRET", auth::CLIENT_SECRET)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while studio.fired("slow") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the fourth piece was never asked for");
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    studio.faults(&[
        "503:at=5,path=/services/data",
        "truncate:at=9,path=/services/data",
        "cut:at=12,path=/services/data",
        "expire_token:at=8",
    ]);
    let report = run(&studio);
    assert_eq!((&report["status"], &report["dead_letters"]), (&"succeeded".into(), &0.into()), "{report:#}");
    let resumed = studio.tables(studio.folder());
    let (server, c) = (studio.server(), &studio.server().company);
    assert_eq!(resumed["all_deals"].len(), c.leads_until(server.now()) as usize);
    let jobs = &server.salesforce.jobs;
    let started = jobs.started();
    assert_eq!(jobs.left(), 0, "jobs whose rows are safe are dropped");

    // A run that nothing disturbs sees the same, and every span agrees with Salesforce's own number.
    studio.faults(&[]);
    std::fs::remove_dir_all(studio.folder().join(".throughline")).unwrap();
    std::fs::remove_dir_all(studio.folder().join("out")).unwrap();
    let report = run(&studio);
    let there = counts(c, server.now());
    for (name, object) in
        [("opportunities", "Opportunity"), ("opportunity_history", "OpportunityHistory"), ("leads", "Lead")]
    {
        let stream = stream(&report, name);
        assert_eq!(
            (&stream["completeness"], &stream["rows"]),
            (&"complete".into(), &there[object].into()),
            "{report:#}"
        );
    }
    assert_eq!((jobs.started(), jobs.left()), (2 * started, 0), "the killed run's jobs were gone on with");
    assert_equal(&studio.tables(studio.folder()), &resumed, "undisturbed");
    studio.stop();
}
