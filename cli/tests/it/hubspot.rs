//! The simulated company's HubSpot through whole runs.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::studio::{PipelineShape, Studio, Tables, assert_equal};

const SOURCE: &str = r#"
[[source]]
name = "crm"
connector = "hubspot"
hub_id = "7"
token = { env = "HUBSPOT_TOKEN" }
phone_region = "RU"
base_url = "URL"
"#;

fn company() -> Studio {
    let studio = Studio::start(300, |config, _| config.history = 260);
    studio.write_pipeline(&PipelineShape::one_crm(&SOURCE.replace("URL", &studio.url())));
    studio
}

fn run(studio: &Studio) -> serde_json::Value {
    let mut command = studio.command(&["run", "--json"]);
    let output = command.env("HUBSPOT_TOKEN", company::hubspot::auth::PRIVATE_TOKEN).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn counts(tables: &Tables) -> Vec<usize> {
    ["all_deals", "all_contacts", "all_deal_contacts"].iter().map(|t| tables[*t].len()).collect()
}

fn stream<'a>(report: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let streams = report["streams"].as_array().unwrap();
    streams.iter().find(|s| s["stream"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}"))
}

#[test]
fn whole_runs_are_complete_and_a_kill_loses_nothing() {
    let studio = company();
    // Killed in the middle of the batches.
    studio.faults(&["slow:ms=60000,at=4,path=/deals/batch/read"]);
    let mut child = studio
        .command(&["run"])
        .env("HUBSPOT_TOKEN", company::hubspot::auth::PRIVATE_TOKEN)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while studio.fired("slow") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the fourth batch was never asked for");
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    studio.faults(&["429:at=3,path=/crm/,retry_after=1", "truncate:at=9,path=/crm/", "cut:at=12,path=/crm/"]);
    let report = run(&studio);
    assert_eq!((&report["status"], &report["dead_letters"]), (&"succeeded".into(), &0.into()), "{report:#}");
    let resumed = studio.tables(studio.folder());
    let (server, c) = (studio.server(), &studio.server().company);
    let deals = c.leads_until(server.now());
    let (links, deleted) = (0..deals).fold((0, 0), |(links, deleted), pos| {
        if c.lead(pos).deal.view(server.now()).deleted {
            return (links, deleted + 1);
        }
        let contacts = if pos % 23 == 7 { 0 } else { 1 + usize::from(pos % 9 == 4) };
        (links + contacts, deleted)
    });
    let contacts = c.contacts_until(server.now()) as usize;
    assert_eq!(counts(&resumed), [deals as usize, contacts, links]);

    // A run that nothing disturbs sees the same, and every window agrees with HubSpot's own number.
    studio.faults(&[]);
    std::fs::remove_dir_all(studio.folder().join(".throughline")).unwrap();
    std::fs::remove_dir_all(studio.folder().join("out")).unwrap();
    let report = run(&studio);
    assert_eq!(stream(&report, "deals")["completeness"], "complete", "{report:#}");
    assert_eq!(stream(&report, "deals")["rows"], deals - deleted, "none is read twice: {report:#}");
    assert_eq!(stream(&report, "contacts")["completeness"], "complete");
    assert_equal(&studio.tables(studio.folder()), &resumed, "undisturbed");
    studio.stop();
}
