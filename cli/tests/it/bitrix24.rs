//! The simulated company's Bitrix24 through whole runs.

use std::process::Stdio;
use std::time::{Duration, Instant};

use company::bitrix24::auth;

use crate::studio::{PipelineShape, Studio, Tables, assert_equal};

const SOURCE: &str = r#"
[[source]]
name = "crm"
connector = "bitrix24"
portal = "studio.bitrix24.example"
webhook = { env = "BITRIX24_WEBHOOK" }
phone_region = "RU"
# Two requests a second are slow: the lists that show something here.
streams = ["deals", "deal_ids", "deal_stage_history", "contacts"]
"#;

fn company() -> Studio {
    let studio = Studio::start(200, |config, _| config.history = 100);
    studio.write_pipeline(&PipelineShape::one_crm(SOURCE));
    studio
}

/// A run to its end: the report, and all that was said besides.
fn run(studio: &Studio) -> (serde_json::Value, String) {
    let mut command = studio.command(&["run", "--json"]);
    let output = command.env("BITRIX24_WEBHOOK", auth::webhook(&studio.url())).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    (serde_json::from_slice(&output.stdout).unwrap(), said)
}

fn counts(tables: &Tables) -> Vec<usize> {
    ["all_deals", "all_contacts"].iter().map(|t| tables[*t].len()).collect()
}

fn stream<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let streams = report["streams"].as_array().unwrap();
    streams.iter().find(|s| s["stream"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn whole_runs_are_complete_and_a_kill_loses_nothing() {
    let studio = company();
    // Killed while the second request for deals is under way.
    studio.faults(&["slow:ms=60000,at=2,path=entityTypeId=2&select[0]=*"]);
    let mut child = studio
        .command(&["run"])
        .env("BITRIX24_WEBHOOK", auth::webhook(&studio.url()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while studio.fired("slow") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the second request was never sent");
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    studio.faults(&["503:at=3,path=/rest/", "truncate:at=5,path=/rest/", "cut:at=7,path=/rest/"]);
    let (report, said) = run(&studio);
    assert_eq!((&report["status"], &report["dead_letters"]), (&"succeeded".into(), &0.into()), "{report:#}");
    // The secret is in the address of every request, also of those that failed.
    assert!(!format!("{report}{said}").contains(auth::WEBHOOK_CODE), "{report:#}\n{said}");
    let resumed = studio.tables(studio.folder());
    let (server, c) = (studio.server(), &studio.server().company);
    let all = c.leads_until(server.now());
    let deals = (0..all).filter(|pos| !c.lead(*pos).deal.view(server.now()).deleted).count();
    assert_eq!(counts(&resumed), [deals, c.contacts_until(server.now()) as usize]);

    // A run that nothing disturbs sees the same, and every window agrees with Bitrix24's own number.
    studio.faults(&[]);
    std::fs::remove_dir_all(studio.folder().join(".throughline")).unwrap();
    std::fs::remove_dir_all(studio.folder().join("out")).unwrap();
    let (report, _) = run(&studio);
    for name in ["deals", "contacts", "deal_stage_history"] {
        assert_eq!(stream(&report, name)["completeness"], "complete", "{name}: {report:#}");
    }
    assert_eq!(stream(&report, "deals")["rows"], deals, "none is read twice: {report:#}");
    assert_equal(&studio.tables(studio.folder()), &resumed, "undisturbed");
    studio.stop();
}
