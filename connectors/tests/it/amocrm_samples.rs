//! Documented answers of amoCRM through the connector.

use std::path::Path;

use serde_json::json;

use crate::amocrm::amocrm;
use crate::fixture::{Reply, Server};
use crate::harness::{World, read, request};

/// Our own samples, and the documentation's where they are at hand.
fn sample(name: &str) -> Option<String> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/api/crm/samples/amocrm").join(name);
    let text = std::fs::read_to_string(&shared).ok();
    if text.is_none() {
        eprintln!("SKIPPED: {} is not here", shared.display());
    }
    text
}

async fn through(stream: &'static str, body: String) -> crate::harness::Got {
    let turn = std::sync::Mutex::new(0);
    let server = Server::start(move |_| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        // The documented pages name a next one: it is empty here.
        if *turn == 1 { Reply::text(200, &body) } else { Reply::text(204, "") }
    })
    .await;
    let world = World::new();
    read(&world, &amocrm(&server.url, json!({})), request(stream, None)).await.ok()
}

#[tokio::test]
async fn documented_answers_become_rows() {
    for (file, stream, rows, ids) in [
        ("leads_list.json", "leads", 2, vec!["14460", "19619"]),
        ("contacts_list.json", "contacts", 2, vec!["7143599", "7767065"]),
        ("users_list.json", "users", 2, vec!["123123", "321321"]),
        ("pipelines_list.json", "pipelines", 1, vec!["3177727"]),
    ] {
        let Some(body) = sample(file) else { continue };
        let got = through(stream, body).await;
        assert_eq!(got.rejects, [], "{file}");
        let latest = got.latest("id");
        assert_eq!(latest.len(), rows, "{file}");
        assert_eq!(latest.keys().collect::<Vec<_>>(), ids, "{file}");
    }
    if let Some(event) = sample("event_one.json") {
        let got = through("events", format!("{{\"_embedded\":{{\"events\":[{event}]}}}}")).await;
        assert_eq!(got.rows[0]["type"], "lead_added");
        assert_eq!(got.rows[0]["value_before"], "[]");
    }
}

/// Every documented answer, whatever it is of, goes through the record reader without a loss.
#[test]
fn every_documented_answer_is_read() {
    use throughline_connectors::records::{Limits, RecordsBuilder, Selector};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/api/crm/samples/amocrm");
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("SKIPPED: {} is not here", folder.display());
        return;
    };
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let text = std::fs::read(&path).unwrap();
        let mut records = RecordsBuilder::new(Limits::default());
        let list = text.trim_ascii_start().starts_with(b"[");
        let selector = Selector { single: !list, ..Selector::list(".").unwrap() };
        let found = records.push_page(&text, &selector).unwrap();
        assert!(found.records > 0 && found.rejected == 0, "{}", path.display());
    }
}

#[tokio::test]
async fn own_samples_become_rows() {
    let body = include_str!("../../src/amocrm/samples/leads.json").to_owned();
    let got = through("leads", body).await;
    assert_eq!(got.rows.len(), 3);
    // Nested values are kept byte for byte; an empty list where an object may be is no matter.
    assert!(got.rows[0]["custom_fields_values"].starts_with("[{\"field_id\""));
    assert!(!got.rows[1].contains_key("custom_fields_values"));
    assert_eq!(got.rows[2]["custom_fields_values"], "[]");
    let body = include_str!("../../src/amocrm/samples/contacts.json").to_owned();
    assert_eq!(through("contacts", body).await.rows.len(), 2);
    let body = include_str!("../../src/amocrm/samples/events.json").to_owned();
    assert_eq!(through("events", body).await.rows.len(), 2);
}
