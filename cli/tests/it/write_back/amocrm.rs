//! amoCRM through whole runs of the binary.

use std::collections::BTreeMap;

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

const DAY_S: i64 = 86_400;

fn company() -> Studio {
    let studio = Studio::start(150, |config, options| {
        config.days = 12;
        config.history = 40;
        // Long after the last of it: nothing of the tables hangs on the day.
        options.now = Some(config.end_at() + 90 * DAY_S);
    });
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
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("nobody agreed") && said.contains("TL_CHANNEL") && said.contains("--yes"),
        "{said}"
    );
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

    // The CRM's clock goes on while it is written: what is written changed after what was read.
    studio.server().set_now(studio.server().now() + DAY_S).unwrap();
    // One deal is being edited just then: it becomes a dead letter, the others go on.
    studio.faults(&["partial:at=1,rows=1,path=/api/v4/leads?write"]);
    // The process ends behind the point of no return, and again when the deals are written and nobody knows it.
    for (point, wrote) in [("publish.prepared", false), ("publish.sink_committed:2", true)] {
        let mut command = studio.command(&["run", "--yes"]);
        let output = command.env("THROUGHLINE_FAILPOINT", point).output().unwrap();
        assert!(!output.status.success(), "{point} was not passed");
        assert_eq!(!writes(&studio).is_empty(), wrote, "{point}");
    }
    // What was prepared is finished, the refused deal is told, and the next epoch writes it.
    let report = run(&studio, &["--recompute"]);
    assert_eq!((studio.fired("partial"), &report["dead_letters"]), (1, &json!(1)), "{report:#}");
    assert_eq!((&report["recovered"], &report["epoch"]), (&json!(true), &json!(2)), "{report:#}");
    assert_eq!(told(&report, "back"), "amocrm:studio: 1 deals written");
    let letter = json(&studio, &["dead-letters", "show", "1"]);
    assert_eq!((&letter["source"], &letter["stage"]), (&json!("back"), &json!("write_back")));
    assert!(letter["reason"].as_str().unwrap().contains("Сделку сейчас редактируют"), "{letter:#}");
    let busy = pos_of(&studio, letter["place"].as_str().unwrap());
    let written = writes(&studio);
    assert!(written.len() > 10 && written.values().all(|n| *n == 1), "{written:?}");
    assert!(written.contains_key(&busy));
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
    assert!(messengers > 10 && touched > 10, "{messengers} {touched} of {}", rows.len());

    // The echo: amoCRM tells every deal as changed, and nothing of ours follows from it.
    let tables = studio.tables(studio.folder());
    pipeline(&studio, SINK);
    let report = run(&studio, &[]);
    let leads = report["streams"].as_array().unwrap().iter().find(|s| s["stream"] == "leads").unwrap();
    assert!(leads["rows"].as_u64().unwrap() >= written.len() as u64, "the echo came: {leads:#}");
    assert_equal(&studio.tables(studio.folder()), &tables, "after the echo");
    assert_eq!(writes(&studio), written, "no deal is written again");
    assert_eq!(told(&report, "back"), "amocrm:studio: 0 deals written");
    assert_eq!(json(&studio, &["dead-letters", "list"]), json!([]), "it is resolved");

    // Taken back, but for what a person changed since, and not written again.
    let edited = now.keys().find(|(pos, code)| *pos != busy && code == "TL_MESSENGER").unwrap().0;
    let field = made.iter().find(|f| f.code == "TL_MESSENGER").unwrap();
    let mut value = studio.server().crm.written.of(edited)[&field.key].clone();
    value["values"][0]["value"] = "позвонили сами".into();
    studio.server().crm.written.edit(edited, &field.key, value);
    let looked = json(&studio, &["sink", "undo", "--epoch", "1", "--dry-run"]);
    assert_eq!(writes(&studio), written);
    let undone = json(&studio, &["sink", "undo", "--epoch", "1", "--yes"]);
    assert_eq!(undone[0]["undone"], looked[0]["undone"]);
    assert_eq!(undone[0]["undone"]["left_in_all"], 1, "{undone:#}");
    let of_busy = now.keys().filter(|(pos, _)| *pos == busy).count();
    assert_eq!(undone[0]["undone"]["fields"], now.len() - of_busy - 1, "{undone:#}");
    assert!(undone[0]["undone"]["left"][0].as_str().unwrap().contains("позвонили сами"), "{undone:#}");
    // What the second epoch wrote is its own.
    let mut left: Held = told_before.into_iter().filter(|((pos, _), _)| *pos == busy).collect();
    left.insert((edited, "TL_MESSENGER".to_owned()), "позвонили сами".to_owned());
    assert_eq!(held(&studio), left);
    studio.stop();
}
