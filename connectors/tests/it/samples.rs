//! The facts' samples, all of them: what a vendor may send is read whole, also with members that nobody knows, and
//! what it refuses with is an error. What single samples become is told beside their connectors.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use throughline_connectors::records::{Limits, RecordsBuilder, Selector};
use throughline_core::{ErrorKind, ReadEvent};

use crate::fixture::{Reply, Server};
use crate::harness::{World, read, request, rows, secret};
use crate::support::shared;

/// Vendors that there are connectors for.
const VENDORS: [(&str, &[&str]); 4] = [
    (
        "messengers",
        &[
            "botmother",
            "chatfuel",
            "comagic-uis",
            "dialogflow",
            "facebook-messenger",
            "instagram",
            "manychat",
            "telegram",
            "viber",
            "vk",
            "wazzup",
            "whatsapp",
        ],
    ),
    ("ads", &["yandex-direct"]),
    ("analytics", &["google-analytics-4", "yandex-metrica"]),
    ("crm", &["amocrm", "bitrix24", "hubspot", "salesforce"]),
];

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    files
}

/// Every object gets one more member.
fn novel(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.values_mut().for_each(novel);
            members.insert("tl_novel".into(), json!({"a": [1, "я", null]}));
        }
        Value::Array(list) => list.iter_mut().for_each(novel),
        _ => {}
    }
}

#[test]
fn every_sample_is_read_whole_and_nothing_unknown_is_lost() {
    let mut read = 0;
    for (kind, vendors) in VENDORS {
        let Some(folder) = shared(&format!("api/{kind}/samples")) else { return };
        for file in vendors.iter().flat_map(|v| files(&folder.join(v))) {
            let text = std::fs::read(&file).unwrap();
            // An answer without a body (204).
            if text.trim_ascii().is_empty() {
                continue;
            }
            let mut body: Value = serde_json::from_slice(&text).unwrap();
            // Lists of lists and single words are no records.
            if body.as_array().is_some_and(|list| !list.iter().all(Value::is_object)) {
                continue;
            }
            novel(&mut body);
            let list = body.is_array();
            let mut records = RecordsBuilder::new(Limits::default());
            let selector = Selector { single: !list, ..Selector::list(".").unwrap() };
            let found = records.push_page(body.to_string().as_bytes(), &selector).unwrap();
            assert_eq!(found.rejected, 0, "{}", file.display());
            records.finish_page();
            let landed: Vec<_> = records
                .take_events()
                .iter()
                .flat_map(|event| match event {
                    ReadEvent::Batch(batch) => rows(&batch.rows),
                    _ => Vec::new(),
                })
                .collect();
            let sent: Vec<&Value> =
                if list { body.as_array().unwrap().iter().collect() } else { vec![&body] };
            assert_eq!(landed.len(), sent.len(), "{}", file.display());
            for (row, record) in landed.iter().zip(sent) {
                for (name, value) in record.as_object().unwrap().iter().filter(|(_, v)| !v.is_null()) {
                    let kept = row.get(name).unwrap_or_else(|| panic!("{}: {name}", file.display()));
                    let same = match value {
                        Value::String(text) => text == kept,
                        other => serde_json::from_str::<Value>(kept).is_ok_and(|kept| kept == *other),
                    };
                    assert!(same, "{}: {name} is {kept}", file.display());
                }
            }
            read += 1;
        }
    }
    assert!(read > 150, "{read} samples");
}

/// Refusals as the vendors write them: whoever reads on would take an empty page for the end.
#[tokio::test]
async fn sampled_refusals_are_errors() {
    let Some(folder) = shared("api") else { return };
    let all = throughline_connectors::all();
    let cases = [
        ("comagic_data", "chats", "messengers/samples/comagic-uis/made_error_access_token_expired.json", 200),
        ("comagic_data", "chats", "messengers/samples/comagic-uis/made_error_ip_not_whitelisted.json", 200),
        ("comagic_data", "chats", "messengers/samples/comagic-uis/made_error_limit_exceeded.json", 200),
        (
            "comagic_data",
            "chats",
            "messengers/samples/comagic-uis/made_error_date_interval_limit_reached.json",
            200,
        ),
        ("hubspot", "owners", "crm/samples/hubspot/error_429.json", 429),
        ("telegram", "updates", "messengers/samples/telegram/made_error_409_conflict.json", 409),
        ("telegram", "updates", "messengers/samples/telegram/made_error_429.json", 429),
        ("vk", "messages", "messengers/samples/vk/made_error_901.json", 200),
    ];
    for (name, stream, file, status) in cases {
        let body = std::fs::read_to_string(folder.join(file)).unwrap();
        let server = Server::start(move |_| Reply::text(status, &body)).await;
        let inbox = tempfile::tempdir().unwrap();
        let mut options = match name {
            "comagic_data" => json!({"access_token": secret("key"), "start_on": "2026-08-20"}),
            "hubspot" => json!({"hub_id": "7", "token": secret("pat")}),
            "telegram" => {
                json!({"token": secret("1:abc"), "account": "1", "inbox": inbox.path().join("*.jsonl")})
            }
            _ => json!({"token": secret("t0ken"), "group_id": 5}),
        };
        options["base_url"] = server.url.clone().into();
        let connector = all.iter().find(|c| c.name() == name).unwrap();
        let base_dir = inbox.path().into();
        let options = throughline_core::Options { name: "s".into(), value: options, base_dir };
        let source = connector.build(&options).map_err(|e| format!("{e:?}")).unwrap();
        let got = read(&World::new(), &source, request(stream, None)).await;
        let error = got.error.unwrap_or_else(|| panic!("{file} is taken for a good answer"));
        assert_ne!(error.kind(), ErrorKind::Bug, "{file}: {error}");
    }
}
