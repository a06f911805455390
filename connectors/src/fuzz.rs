//! What reads deliveries, from the vendors' samples grown wrong: nothing panics or takes long, nothing is lost and
//! nothing unproved is taken. Compiled for tests alone (`cfg(test)` in lib.rs); it stands here, not in `tests`, since
//! what it tries is private to the crate.

use serde_json::{Value, json};
use throughline_core::{Forgotten, ReadEvent, Secret};

use crate::records::{Limits, RecordsBuilder};
use crate::webhook::{Events, Proof, Split, VENDORS};
use crate::whatsapp::flatten::Stream;
use crate::whatsapp::forget::{Change, without};
use crate::whatsapp::inbox::{Delivery, Item};
use crate::whatsapp::read::{Records, Rows};

#[path = "../../tests/fuzz/mutate.rs"]
mod mutate;

use mutate::{PARTS, Random, fuzz, grows_evenly};

/// Bodies of all vendors: the repository's own samples, and the vendors' where they are.
fn bodies() -> Vec<Vec<u8>> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/api/messengers/samples");
    let mut found = Vec::new();
    for pattern in [format!("{own}/whatsapp/samples/*.json"), format!("{shared}/*/*.json")] {
        for path in glob::glob(&pattern).unwrap().flatten() {
            found.push(std::fs::read(path).unwrap());
        }
    }
    let at = json!({"sender": {"id": "P"}, "recipient": {"id": "A"}, "timestamp": 1});
    for body in [
        json!({"event": "message", "timestamp": 1, "message_token": 5, "sender": {"id": "A="}, "message": {"type": "text", "text": "Привет"}}),
        json!({"type": "message_new", "group_id": 2, "secret": "s", "object": {"message": {"id": 1, "text": "\u{1f600}"}}}),
        json!({"update_id": 1, "message": {"message_id": 1, "chat": {"id": 5}, "text": "/start HHR3D1196WD"}}),
        json!({"object": "page", "entry": [{"id": "1", "time": 1, "messaging": [at], "standby": []}]}),
        json!({"messages": [{"messageId": "1", "chatId": "7"}], "statuses": [{"messageId": "1", "status": "read"}], "more": 1}),
        json!({"v": 1, "sent": 5, "events": [{"id": "0123456789abcdef", "kind": "visit", "at": 1}]}),
    ] {
        found.push(body.to_string().into_bytes());
    }
    found
}

fn record(body: &[u8], headers: &Value) -> Vec<u8> {
    use base64::Engine as _;
    let coded = base64::engine::general_purpose::STANDARD.encode(body);
    json!({"seq": 1, "received_at": 1_788_256_800_000_000_i64, "headers": headers, "body_base64": coded})
        .to_string()
        .into_bytes()
}

/// Rows and rejects.
fn taken(records: &impl Records, record: &[u8]) -> (usize, usize) {
    let (mut rows, mut rejects) = (RecordsBuilder::new(Limits::default()), Vec::new());
    let item = Item { record, place: "inbox.jsonl:1".into(), broken: None };
    rows.begin_page("inbox.jsonl", None);
    records.take(&item, &mut rows, &mut rejects);
    rows.finish_page();
    let (mut count, mut refused) = (0, rejects.len());
    for event in rows.take_events() {
        match event {
            ReadEvent::Batch(batch) => count += batch.rows.num_rows(),
            ReadEvent::Rejected(_) => refused += 1,
            _ => {}
        }
    }
    (count, refused)
}

#[test]
fn bodies_of_every_vendor() {
    fuzz("bodies of every vendor", &bodies(), |body, random: &mut Random| {
        let vendor = &VENDORS[random.below(VENDORS.len())];
        let events = |secret| Events { split: vendor.split, proof: vendor.proof, secret };
        let (rows, rejects) = taken(&events(None), &record(body, &json!({":path": "/message"})));
        match vendor.split {
            Split::Whole | Split::ByPath => assert_eq!(rows + rejects, 1, "{}", vendor.name),
            // A list may be empty, and then there is nothing.
            Split::Entries | Split::Lists(_) => {
                assert!(rejects <= 1 || rows + rejects > 0, "{}", vendor.name)
            }
        }
        if vendor.proof != Proof::None {
            let headers = json!({"x-hub-signature-256": format!("sha256={}", "0".repeat(64)), "x-viber-content-signature": "00"});
            assert_eq!(
                taken(&events(Some(Secret::new("key"))), &record(body, &headers)),
                (0, 1),
                "{}",
                vendor.name
            );
        }
    });
}

#[test]
fn bodies_of_whatsapp() {
    fuzz("bodies of whatsapp", &bodies(), |body, _| {
        let record = record(body, &json!({}));
        for stream in Stream::ALL {
            taken(&Rows { stream, app_secret: None }, &record);
        }
    });
}

#[test]
fn long_bodies_take_long_and_no_longer() {
    let splits = [Split::Whole, Split::Entries, Split::Lists(&["messages", "statuses"])];
    for before in [b"{\"entry\":[{\"messaging\":[".as_slice(), b"{\"messages\":[", b"{\"text\":\"", b"{"] {
        grows_evenly("bodies", before, b"", PARTS, |body| {
            for split in splits {
                taken(&Events { split, proof: Proof::None, secret: None }, &record(body, &json!({})));
            }
        });
    }
    grows_evenly("forgetting", b"{\"headers\":{},\"body\":\"{\\\"messages\\\":[", b"]}\"}", PARTS, |line| {
        without(line, &Number, None);
    });
}

fn lines() -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> =
        include_str!("comagic/samples/callbacks.jsonl").lines().map(|l| l.as_bytes().to_vec()).collect();
    for body in bodies().into_iter().filter(|b| b.len() < 4000) {
        let headers =
            json!({"X-Hub-Signature-256": ["sha256=00"], "x-viber-content-signature": "00", ":path": "/a"});
        lines.push(record(&body, &headers));
        let text = String::from_utf8_lossy(&body);
        lines.push(
            json!({"received_at": "2026-09-01T10:00:00Z", "headers": headers, "body": text})
                .to_string()
                .into_bytes(),
        );
    }
    lines
}

#[test]
fn records_of_an_inbox() {
    fuzz("records of an inbox", &lines(), |line, random: &mut Random| {
        let _ = Delivery::read(line);
        let vendor = &VENDORS[random.below(VENDORS.len())];
        taken(&Events { split: vendor.split, proof: vendor.proof, secret: None }, line);
    });
}

/// Knows the person by a number.
struct Number;

const NUMBER: &str = "79161234567";

impl Forgotten for Number {
    fn owns(&self, record: &str) -> bool {
        record.contains(&format!("\"{NUMBER}\"")) || record.contains(&format!("\\\"{NUMBER}\\\""))
    }
    fn masked(&self, record: &str) -> Option<String> {
        record.contains(NUMBER).then(|| record.replace(NUMBER, "[forgotten]"))
    }
}

#[test]
fn lines_that_forgetting_rewrites() {
    let secret = Secret::new("key");
    let mut lines = lines();
    for other in ["79161234567", "971501234567"] {
        let item = json!({"from": other, "sender": {"id": other}, "chatId": other, "text": NUMBER});
        for body in [
            json!({"entry": [{"messaging": [item, item], "changes": [{"value": {"messages": [item], "contacts": [item]}}]}]}),
            json!({"messages": [item], "statuses": [item]}),
            json!({"visitor_id": other, "phones": [NUMBER]}),
        ] {
            lines.push(
                json!({"headers": {"X-Hub-Signature-256": "sha256=00"}, "body": body.to_string()})
                    .to_string()
                    .into_bytes(),
            );
        }
    }
    fuzz("lines that forgetting rewrites", &lines, |line, _| {
        for secret in [None, Some(&secret)] {
            if let Change::Less(text) = without(line, &Number, secret) {
                assert!(text.len() <= line.len(), "a line must not grow");
                assert!(!text.contains('\n'), "a line stays one");
                assert!(!Number.owns(&text), "still the person's: {text}");
                serde_json::from_str::<Value>(&text).expect("what is left is a record");
            }
        }
    });
}

/// Rows of query results become JSON objects or are told; reports are read or refused.
#[test]
fn answers_of_google() {
    use crate::ga4::answer::Answer;
    use crate::ga4_bigquery::rows::{Field, Writer};

    let fields = r#"[{"name":"event_timestamp","type":"INTEGER"},{"name":"event_params","type":"RECORD","mode":"REPEATED",
        "fields":[{"name":"key","type":"STRING"},{"name":"value","type":"RECORD","fields":[
        {"name":"string_value","type":"STRING"},{"name":"double_value","type":"FLOAT"}]}]},{"name":"on","type":"BOOLEAN"}]"#;
    let fields: Vec<Field> = serde_json::from_str(fields).unwrap();
    let rows = [
        r#"{"f":[{"v":"1788220800000000"},{"v":[{"v":{"f":[{"v":"tl"},{"v":{"f":[{"v":"\u044f \"x\""},{"v":null}]}}]}}]},{"v":"true"}]}"#,
        r#"{"f":[{"v":null},{"v":[]},{"v":null}]}"#,
        r#"{"f":[{"v":"-7"},{"v":[{"v":{"f":[{"v":"n"},{"v":{"f":[{"v":null},{"v":"1.5E-5"}]}}]}}]},{"v":"false"}]}"#,
    ];
    let reports = [
        include_str!("ga4/samples/run_report_page1.json"),
        include_str!("ga4/samples/run_report_page2.json"),
        include_str!("ga4/samples/run_report_empty.json"),
    ];
    let seeds: Vec<Vec<u8>> = rows.iter().chain(&reports).map(|s| s.as_bytes().to_vec()).collect();
    fuzz("answers of Google", &seeds, |bytes, _| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let params = ["n".to_owned()];
        let mut writer = Writer::new(&fields, &params, "tl", &[("day", "2026-09-01")]);
        if let Ok(record) = writer.record(text) {
            assert!(serde_json::from_str::<Value>(record).is_ok_and(|v| v.is_object()), "{record}");
        }
        if let Ok(answer) = Answer::read(bytes, "a report") {
            assert_eq!(answer.rows.count as usize, answer.rows.marks.len());
            answer.metadata.lacks();
            if let Some(quota) = answer.property_quota {
                let _ = quota.room(7, 0);
            }
        }
    });
}
