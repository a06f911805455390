//! Exported Telegram chats, from files as Telegram Desktop writes them to canonical tables.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};
use throughline_connectors::telegram::TelegramConnector;
use throughline_connectors::telegram_export::TelegramExportConnector;
use throughline_core::{DynSource, ErrorKind, SourceConnector};

use super::support::{Break, Landing, World, map, readme_options, shared, spec};
use super::webhooks::expect;

const NOW: &str = "2026-09-10T09:00:00Z";

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/telegram_export/samples/", $name))
    };
}

/// Of one chat, and of a whole account.
pub const SAMPLES: [&str; 2] = [sample!("chat_ru.json"), sample!("account.json")];

fn exports(world: &World, more: Value) -> DynSource {
    let mut options = json!({"path": "*.json", "account": "123456789"});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.build(&TelegramExportConnector, options)
}

async fn messages(source: &DynSource, landing: &Landing) -> Vec<Value> {
    let landed = HashMap::from([("messages".to_owned(), landing.clone())]);
    let mut rows = map(source, &landed).await.remove("messages").unwrap();
    rows.sort_by_key(|r| format!("{} {}", r["ts"], r["message_id"]));
    rows
}

async fn run(source: &DynSource, world: &World, landing: &mut Landing) {
    landing.run(source, &world.ctx, "messages").await.unwrap();
}

fn keys(source: &DynSource, landing: &Landing) -> Vec<String> {
    landing.column(&spec(source, "messages"), "message_key")
}

#[tokio::test]
async fn one_chat() {
    let world = World::at(NOW);
    world.write("a.json", SAMPLES[0]);
    let source = exports(&world, json!({}));
    let mut landing = Landing::default();
    run(&source, &world, &mut landing).await;
    expect(
        &messages(&source, &landing).await,
        &json!([
            {"message_id": "123456789:987654321:101", "conversation_id": "telegram:123456789:987654321", "direction": "in",
             "sender_kind": "customer", "ts": "2026-09-01T10:00:00Z", "token": "HHR3D1196WD", "token_state": "ok",
             "contact_name": "Анна Т.", "user_id": "987654321"},
            {"direction": "out", "sender_kind": "operator", "text": "Каталог: https://example.com/c", "user_id": "987654321",
             "reply_to": "123456789:987654321:101", "operator_id": "telegram_export:123456789", "token_state": null},
            {"kind": "system", "is_event": true, "token_state": null},
            {"kind": "audio", "text": null, "is_event": false, "token_state": "missing"},
        ]),
    );
    assert!(landing.rejects.is_empty() && landing.notices.is_empty());
}

#[tokio::test]
async fn a_whole_account() {
    let world = World::at(NOW);
    world.write("a.json", SAMPLES[1]);
    let source = exports(&world, json!({"operators": ["user888"], "time_zone": "Europe/Moscow"}));
    let mut landing = Landing::default();
    run(&source, &world, &mut landing).await;
    expect(
        &messages(&source, &landing).await,
        &json!([
            {"message_id": "123456789:-42:3", "conversation_id": "telegram:123456789:-42/99", "ts": "2018-01-01T00:00:00Z",
             "text": "Добрый вечер", "user_id": "99"},
            {"direction": "in", "text": "مرحبا", "contact_name": null, "user_id": "555"},
            {"direction": "out", "kind": "image", "text": "أهلا"},
            {"conversation_id": "telegram:123456789:-1001234567890/777", "direction": "in", "contact_name": "Пётр"},
            {"conversation_id": "telegram:123456789:-1001234567890", "direction": "out"},
        ]),
    );
    let told: Vec<&str> = landing.notices.iter().map(|n| n.message.as_str()).collect();
    assert!(told.len() == 1 && told[0].contains("saved_messages"), "{told:?}");
    // Without a time zone the old message is a dead letter, and says so.
    let source = exports(&world, json!({}));
    let mut landing = Landing::default();
    run(&source, &world, &mut landing).await;
    assert_eq!(keys(&source, &landing).len(), 4);
    assert!(
        landing.rejects[0].reason.contains("time_zone")
            && landing.rejects[0].place.contains("chat 42, message 1")
    );
}

fn export(from: i64, to: i64) -> String {
    let message = |id: i64| {
        let who = if id % 3 == 0 { 1 } else { 5 };
        json!({"id": id, "type": "message", "date": "2026-09-01T13:00:00", "date_unixtime": (1_788_256_800 + id).to_string(),
            "from": "Анна", "from_id": format!("user{who}"), "text": format!("№ {id}"),
            "text_entities": [{"type": "plain", "text": format!("№ {id}")}]})
    };
    json!({"name": "Анна", "type": "personal_chat", "id": 5, "messages": (from..to).map(message).collect::<Vec<_>>()}).to_string()
}

/// Files that overlap, grow and go; runs that die; rows around the size of a batch.
#[tokio::test]
async fn overlapping_exports_count_each_message_once() {
    let world = World::at(NOW);
    let source = exports(&world, json!({}));
    for (n, (from, to)) in [(0, 8191), (4000, 8193), (8192, 16_385)].into_iter().enumerate() {
        world.write(&format!("{n}.json"), export(from, to));
    }
    let mut landing = Landing::default();
    for after in [1, 1] {
        let breaks = Break { after_checkpoints: Some(after), never_committed: true };
        landing.run_until(&source, &world.ctx, "messages", breaks).await.unwrap();
    }
    run(&source, &world, &mut landing).await;
    let all = keys(&source, &landing);
    assert_eq!(all.len(), 8191 + 4193 + 8193);
    let once: BTreeSet<&String> = all.iter().collect();
    assert_eq!(once.len(), 16_385);
    let mapped = messages(&source, &landing).await;
    assert_eq!(mapped.len(), 16_385, "the key keeps one of each");
    // Nothing changed: nothing is read. One grows, one goes.
    let before = keys(&source, &landing).len();
    run(&source, &world, &mut landing).await;
    assert_eq!(keys(&source, &landing).len(), before);
    world.write("2.json", export(8192, 16_390));
    std::fs::remove_file(world.path("0.json")).unwrap();
    run(&source, &world, &mut landing).await;
    let left: BTreeSet<String> = keys(&source, &landing).into_iter().collect();
    assert_eq!(left.len(), 16_390 - 4000);
    assert!(landing.notices.iter().any(|n| n.code == "file_gone"));
    for count in [0, 1, 8192] {
        let world = World::at(NOW);
        world.write("a.json", export(0, count));
        let source = exports(&world, json!({}));
        let mut landing = Landing::default();
        run(&source, &world, &mut landing).await;
        assert_eq!(keys(&source, &landing).len(), count as usize);
    }
}

#[tokio::test]
async fn what_is_no_export_is_told_with_its_place() {
    let whole = export(0, 3);
    for (text, wanted) in [
        (String::new(), "an object was expected, at byte 0"),
        ("[]".into(), "an object was expected, at byte 0"),
        ("{}".into(), "neither `messages` nor `chats`"),
        (whole[..whole.len() - 5].to_owned(), "ends in the middle"),
        (format!("{whole} x"), "something behind"),
        (r#"{"messages":[],"id":1,"type":"personal_chat"}"#.into(), "do not come before"),
        (r#"{"id":1,"type":"personal_chat","messages":{}}"#.into(), "a list of messages was expected"),
        (r#"{"id":1,"type":"personal_chat","messages":[1 2]}"#.into(), "a comma was expected"),
        ("<html>".into(), "an object was expected"),
    ] {
        let world = World::at(NOW);
        world.write("a.json", &text);
        let source = exports(&world, json!({}));
        let mut landing = Landing::default();
        let error = landing.run(&source, &world.ctx, "messages").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains(wanted) && error.to_string().contains("a.json"), "{error}");
        assert!(keys(&source, &landing).is_empty(), "nothing of it is used");
    }
    // Messages that are none go alone.
    let world = World::at(NOW);
    let long = "x".repeat(5 << 20);
    let good =
        r#"{"id":1,"type":"message","date_unixtime":"1788256800","from_id":"user5","text":"\x1F a\\x20"}"#;
    let text = format!(
        r#"{{"id":5,"type":"personal_chat","messages":[null,7,{{}},{{"id":"x"}},{{"id":2,"text":"{long}"}},{{"id":3}},{good}]}}"#
    );
    world.write("a.json", text);
    let source = exports(&world, json!({}));
    let mut landing = Landing::default();
    run(&source, &world, &mut landing).await;
    assert_eq!((landing.rejects.len(), keys(&source, &landing)), (6, vec!["5:1".to_owned()]));
    let words = landing.column(&spec(&source, "messages"), "words");
    assert_eq!(words, ["\u{1f} a\\x20"]);
}

/// A person's chat told by a business connection and exported by its owner: the same messages.
#[tokio::test]
async fn exports_and_updates_give_the_same_messages() {
    let chat = json!({"id": 5, "type": "private", "first_name": "Анна"});
    let lines: String = (0..60)
        .map(|id| {
            let who = if id % 3 == 0 { 1 } else { 5 };
            let message = json!({"business_connection_id": "bc", "message_id": id, "chat": chat, "date": 1_788_256_800 + id,
                "from": {"id": who, "is_bot": false, "first_name": "Анна"}, "text": format!("№ {id}")});
            let body = json!({"update_id": 9000 + id, "business_message": message}).to_string();
            json!({"received_at": 1, "headers": {}, "body": body}).to_string() + "\n"
        })
        .collect();
    let world = World::at(NOW);
    world.write("inbox.jsonl", lines);
    world.write("a.json", export(0, 60));
    let told = world.build(&TelegramConnector, json!({"inbox": "inbox.jsonl", "account": "123456789"}));
    let mut landing = Landing::default();
    landing.run(&told, &world.ctx, "events").await.unwrap();
    let landed = HashMap::from([("events".to_owned(), landing)]);
    let told = map(&told, &landed).await.remove("messages").unwrap();
    let source = exports(&world, json!({}));
    let mut landing = Landing::default();
    run(&source, &world, &mut landing).await;
    let plain = |rows: Vec<Value>| -> BTreeSet<String> {
        rows.into_iter()
            .map(|mut row| {
                // Only the file names who of ours wrote.
                row.as_object_mut().unwrap().shift_remove("operator_id");
                let sorted: std::collections::BTreeMap<_, _> = row.as_object().unwrap().iter().collect();
                format!("{sorted:?}")
            })
            .collect()
    };
    let (exported, told) = (plain(messages(&source, &landing).await), plain(told));
    assert_eq!(exported.len(), 60);
    assert_eq!(exported, told);
}

#[tokio::test]
async fn the_sample_of_the_facts() {
    let Some(folder) = shared("api/messengers/samples/telegram") else { return };
    let world = World::at(NOW);
    world.write("a.json", std::fs::read(folder.join("made_desktop_export_single_chat.json")).unwrap());
    let source = exports(&world, json!({}));
    let mut landing = Landing::default();
    run(&source, &world, &mut landing).await;
    let rows = messages(&source, &landing).await;
    let kinds: Vec<&str> = rows.iter().map(|r| r["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "text", "system", "image"]);
    assert_eq!(rows[1]["text"], "Каталог: https://example.com/c звоните +79990000001");
}

#[tokio::test]
async fn options_that_work_and_that_do_not() {
    let world = World::at(NOW);
    let (named, options) = readme_options(TelegramExportConnector.readme());
    assert_eq!(named, "telegram_export");
    world.build(&TelegramExportConnector, options);
    let value = json!({"path": "[", "account": "a:b", "operators": ["Анна"], "time_zone": "Mars"});
    let options = throughline_core::Options { name: "t".into(), value, base_dir: world.path("") };
    let errors = TelegramExportConnector.build(&options).map(|_| ()).unwrap_err();
    assert_eq!(errors.len(), 4);
}
