//! amoCRM through whole runs of the binary.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Held, json, pipeline, query, run, told};
use crate::studio::{Studio, assert_equal};

const SINK: &str = r#"
[[sink]]
name = "back"
connector = "amocrm"
subdomain = "studio"
base_url = "URL"
token = { env = "AMOCRM_TOKEN" }

[sink.fields]
channel = "TL_CHANNEL"
messenger = "TL_MESSENGER"
campaign = "TL_CAMPAIGN"
first_channel = "TL_FIRST"
page = { field = "TL_PAGE", cut = true }
credit = { field = "TL_CREDIT", label = "Вклад каналов" }
touches = { field = "TL_TOUCHES", type = "number" }
"#;

fn company() -> Studio {
    let studio = Studio::start(900, |config, _| config.days = 30);
    pipeline(&studio, SINK);
    studio
}

/// What stands in the fields that were made for us, by their codes.
fn held(studio: &Studio) -> Held {
    let (server, mut held) = (studio.server(), Held::new());
    for field in server.crm.written.made() {
        for pos in 0..server.company.leads_until(server.now()) {
            if let Some(value) = server.crm.written.of(pos).get(&field.key).filter(|v| !v.is_null()) {
                let text = value["values"][0]["value"].as_str().unwrap().to_owned();
                held.insert((pos, field.code.clone()), text);
            }
        }
    }
    held
}

fn writes(studio: &Studio) -> BTreeMap<u32, u64> {
    studio.server().crm.written.writes()
}

fn pos_of(studio: &Studio, deal: &str) -> u32 {
    let id = deal.rsplit(':').next().unwrap().parse().unwrap();
    studio.server().company.lead_at_id(id).unwrap()
}

#[test]
fn deals_are_written_once_and_our_own_write_is_no_change() {
    let studio = company();
    // Nobody agreed: nothing is written and nothing published.
    let output = studio.run_in(studio.folder(), &["run"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("nobody agreed") && said.contains("TL_CHANNEL") && said.contains("--yes"), "{said}");
    assert!(writes(&studio).is_empty() && !studio.folder().join("out/current").exists());

    // Fields are shown, made, and made once.
    let missing = json(&studio, &["sink", "setup", "--dry-run"]);
    assert_eq!(missing[0]["missing"].as_array().unwrap().len(), 7, "{missing:#}");
    assert!(studio.server().crm.written.made().is_empty());
    studio.expect(&["sink", "setup"], 2);
    json(&studio, &["sink", "setup", "--yes"]);
    let made = studio.server().crm.written.made();
    assert_eq!(made.len(), 7);
    assert_eq!(made.iter().filter(|f| f.kind == "numeric").count(), 1);
    assert!(made.iter().any(|f| f.label == "Вклад каналов"));
    assert_eq!(json(&studio, &["sink", "setup", "--yes"])[0]["missing"], json!([]));
    assert_eq!(studio.server().crm.written.made().len(), 7);

    // What would be written is told field by field, without writing.
    let differences = json(&studio, &["sink", "diff", "--limit", "100000"]);
    let fields = differences[0]["fields"].as_array().unwrap().clone();
    let told_before: Held = fields
        .iter()
        .map(|d| {
            assert_eq!(d["before"], serde_json::Value::Null);
            let code = made.iter().find(|f| f.label == d["field"].as_str().unwrap()).unwrap().code.clone();
            ((pos_of(&studio, d["record"].as_str().unwrap()), code), d["after"].as_str().unwrap().to_owned())
        })
        .collect();
    assert!(writes(&studio).is_empty());

    let report = run(&studio, &["--yes"]);
    assert_eq!(report["dead_letters"], 0, "{report:#}");
    let written = writes(&studio);
    assert!(written.len() > 60 && written.values().all(|n| *n == 1), "several batches: {}", written.len());
    assert_eq!(told(&report, "back"), format!("amocrm:studio: {} deals written", written.len()));
    let now = held(&studio);
    assert_eq!(now, told_before, "what was told is what was written");

    // What stands there is what the tables say, for every deal.
    let rows = query(
        &studio,
        "SELECT c.crm_deal_id AS deal, i.platform AS messenger, p.path_length AS touches FROM conversions c \
         LEFT JOIN inquiries i ON i.inquiry_id = c.inquiry_id \
         LEFT JOIN (SELECT conversion_id, max(path_length) AS path_length FROM attribution GROUP BY conversion_id) p \
           ON p.conversion_id = c.conversion_id WHERE c.type = 'lead'",
    );
    let (mut messengers, mut touched) = (0, 0);
    for row in &rows {
        let pos = pos_of(&studio, &row["deal"]);
        let of = |code: &str| now.get(&(pos, code.to_owned())).cloned().unwrap_or_default();
        assert_eq!(of("TL_MESSENGER"), row["messenger"], "{row:?}");
        messengers += usize::from(!row["messenger"].is_empty());
        let has_touch = !of("TL_CREDIT").is_empty();
        touched += usize::from(has_touch);
        if has_touch {
            assert_eq!(of("TL_TOUCHES"), row["touches"], "{row:?}");
            let sum: i64 = of("TL_CREDIT")
                .split(", ")
                .map(|part| part.rsplit(' ').next().unwrap().trim_end_matches('%').parse::<i64>().unwrap())
                .sum();
            assert!((98..=102).contains(&sum), "{}", of("TL_CREDIT"));
        }
    }
    assert!(messengers > 40 && touched > 40, "{messengers} {touched} of {}", rows.len());

    // The echo: amoCRM tells every deal as changed, and nothing of ours follows from it.
    let tables = studio.tables(studio.folder());
    let report = run(&studio, &[]);
    let leads = report["streams"].as_array().unwrap().iter().find(|s| s["stream"] == "leads").unwrap();
    assert!(leads["rows"].as_u64().unwrap() >= written.len() as u64, "the echo came: {report:#}");
    assert_equal(&studio.tables(studio.folder()), &tables, "after the echo");
    assert_eq!(writes(&studio), written, "no deal is written again");
    let report = run(&studio, &[]);
    assert_eq!(report["published"], false, "{report:#}");
    run(&studio, &["--recompute"]);
    assert_eq!(writes(&studio), written);

    // Taken back, but for what a person changed since, and not written again.
    let edited = *written.keys().next().unwrap();
    let field = made.iter().find(|f| f.code == "TL_MESSENGER").unwrap();
    let mut value = studio.server().crm.written.of(edited)[&field.key].clone();
    value["values"][0]["value"] = "позвонили сами".into();
    studio.server().crm.written.edit(edited, &field.key, value);
    let looked = json(&studio, &["sink", "undo", "--epoch", "1", "--dry-run"]);
    assert_eq!(writes(&studio), written);
    let undone = json(&studio, &["sink", "undo", "--epoch", "1", "--yes"]);
    assert_eq!(undone[0]["undone"], looked[0]["undone"]);
    assert_eq!(undone[0]["undone"]["left_in_all"], 1, "{undone:#}");
    assert_eq!(undone[0]["undone"]["fields"], now.len() - 1, "{undone:#}");
    assert!(undone[0]["undone"]["left"][0].as_str().unwrap().contains("позвонили сами"), "{undone:#}");
    let left: Vec<_> = held(&studio).into_iter().collect();
    assert_eq!(left, [((edited, "TL_MESSENGER".to_owned()), "позвонили сами".to_owned())]);
    let written = writes(&studio);
    run(&studio, &["--recompute"]);
    assert_eq!(writes(&studio), written, "what was taken back stays");
    studio.stop();
}

#[test]
fn a_kill_and_refusals_lose_no_deal_and_write_none_twice() {
    let studio = company();
    json(&studio, &["sink", "setup", "--yes"]);
    // Killed while amoCRM works on the second batch: whether it wrote it nobody knows.
    studio.faults(&["slow:ms=60000,at=2,path=/api/v4/leads?WRITE"]);
    studio.faults(&["slow:ms=60000,at=8,path=/api/v4/leads"]);
    studio.faults(&["slow:ms=60000,at=2,path=filter%5Bid%5D"]);
    let mut child = studio
        .command(&["run", "--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while studio.fired("slow") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "the second batch was never read");
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let first = writes(&studio);
    assert_eq!(first.len(), 50, "one batch stands");

    // A deal that is being edited is refused with its batch; the others go on.
    studio.faults(&["429:at=2,path=filter%5Bid%5D", "500:at=1,times=1,path=/leads/custom_fields", "partial:at=1,rows=2,path=/api/v4/leads"]);
    let report = run(&studio, &[]);
    assert_eq!(report["recovered"], true, "{report:#}");
    let all = writes(&studio);
    assert!(all.values().all(|n| *n == 1), "none twice");
    assert!(all.len() > first.len());
    studio.stop();
}
