//! The `whatsapp` connector on inboxes of every kind.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use throughline_connectors::whatsapp::WhatsappConnector;
use throughline_core::{DynSource, ErrorKind, SourceConnector};

use super::support::{Break, Landing, World, map, read_all, readme_options, shared, spec};

const NOW: &str = "2026-09-10T09:00:00Z";
const SECRET: &str = "app-secret";

fn source(world: &World, more: Value) -> DynSource {
    let mut options = json!({"inbox": "inbox*"});
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.build(&WhatsappConnector, options)
}

fn record(body: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let headers = json!({"Host": "x", "x-hub-signature-256": format!("sha256={hex}")});
    json!({"received_at": "2026-09-01T10:00:00Z", "headers": headers, "body": body}).to_string() + "\n"
}

fn value(field: &str, value: Value) -> String {
    let mut value = value;
    value["metadata"] = json!({"display_phone_number": "74950000000", "phone_number_id": "55"});
    let body = json!({"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [{"field": field, "value": value}]}]});
    record(&body.to_string())
}

pub fn text(id: &str, body: &str) -> String {
    let message = json!({"from": "79160000001", "id": id, "timestamp": "1788250000", "type": "text", "text": {"body": body}});
    value(
        "messages",
        json!({"contacts": [{"wa_id": "79160000001", "profile": {"name": "Ирина"}}], "messages": [message]}),
    )
}

async fn tables(world: &World, source: &DynSource) -> HashMap<String, Vec<Value>> {
    let landed = read_all(source, &world.ctx).await;
    for (stream, landing) in &landed {
        assert!(landing.rejects.is_empty(), "{stream}: {:?}", landing.rejects);
    }
    map(source, &landed).await
}

fn samples(folder: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .map(|p| (p.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&p).unwrap()))
        .filter(|(_, text)| text.contains("\"entry\""))
        .collect();
    found.sort();
    found
}

/// How many records a body holds, counted without the connector.
fn counted(body: &Value) -> HashMap<&'static str, usize> {
    let mut counts = HashMap::new();
    for entry in body["entry"].as_array().unwrap() {
        for change in entry["changes"].as_array().unwrap() {
            for list in ["messages", "statuses", "user_preferences", "message_echoes"] {
                *counts.entry(list).or_default() += change["value"][list].as_array().map_or(0, Vec::len);
            }
        }
    }
    counts
}

async fn check_samples(samples: impl Iterator<Item = (String, String)>) {
    for (name, body) in samples {
        let (name, body) = (name.as_str(), body.as_str());
        let world = World::at(NOW);
        world.write("inbox.jsonl", record(body));
        let source = source(&world, json!({"app_secret": {"$secret": SECRET}}));
        let landed = read_all(&source, &world.ctx).await;
        let counts = counted(&serde_json::from_str(body).unwrap());
        for (stream, landing) in &landed {
            assert!(landing.rejects.is_empty(), "{name}, {stream}: {:?}", landing.rejects);
            let rows: usize = landing.batches(&spec(&source, stream)).iter().map(|b| b.num_rows()).sum();
            match counts.get(stream.as_str()) {
                Some(count) => assert_eq!(rows, *count, "{name}, {stream}"),
                None if stream == "other" => {
                    let nothing_else = counts.values().sum::<usize>() == 0;
                    assert_eq!(rows, usize::from(nothing_else), "{name}, {stream}");
                }
                None => {}
            }
        }
        let tables = map(&source, &landed).await;
        assert_eq!(tables["messages"].len(), counts["messages"] + counts["message_echoes"], "{name}");
        assert_eq!(tables["message_statuses"].len(), counts["statuses"], "{name}");
        assert_eq!(tables["consents"].len(), counts["user_preferences"], "{name}");
        expect(name, &tables);
    }
}

/// What single samples must come to.
fn expect(name: &str, tables: &HashMap<String, Vec<Value>>) {
    let message = tables["messages"].first();
    let is = |wanted: Value| {
        let message = message.unwrap();
        for (column, wanted) in wanted.as_object().unwrap() {
            let found = message.get(column).unwrap_or(&Value::Null);
            assert_eq!(found, wanted, "{name}: {column} of {message}");
        }
    };
    match name {
        "openapi_text_message.json" => is(json!({
            "platform": "whatsapp", "direction": "in", "sender_kind": "customer", "kind": "text", "is_event": false,
            "text": "Does it come in another color?", "contact_name": "Sheena Nelson", "user_id": "16505551234",
            "conversation_id": "whatsapp:106540352242922:16505551234", "token_state": "missing",
            "ts": "2025-06-08T20:59:43Z", "token": null
        })),
        "openapi_text_message_from_click_to_whatsapp_ad.json" => is(json!({
            "ad_source_type": "ad", "ad_id": "120226305854810726", "ad_source_url": "https://fb.me/3cr4Wqqkv",
            "ad_headline": "Chat with us"
        })),
        "openapi_button_message.json" => is(json!({"kind": "button", "text": "Unsubscribe"})),
        "openapi_interactive_button_reply_message.json" => is(json!({"kind": "button", "text": "Cancel"})),
        "openapi_interactive_list_reply_message.json" => {
            is(json!({"kind": "list_reply", "text": "Priority Mail Express"}))
        }
        "openapi_image_message.json" => is(json!({"kind": "image", "text": "Taj Mahal"})),
        "openapi_order_message.json" => is(json!({"kind": "order", "text": null})),
        "openapi_reaction_message.json" => is(json!({
            "kind": "reaction", "is_event": true, "text": "👍", "token_state": null,
            "reply_to": "wamid.HBgLMTY1MDM4Nzk0MzkVAgARGBI0RTJEOTc2ODVERUY5RDlGNkYA"
        })),
        "openapi_unsupported_message.json" => {
            is(json!({"kind": "unsupported", "is_event": false, "text": null}))
        }
        "webhook_edited_message_image.json" => {
            is(json!({"kind": "edit", "is_event": true, "text": "Updated image caption"}))
        }
        "webhook_deleted_message_revoke.json" => {
            is(json!({"kind": "delete", "is_event": true, "phone_e164": null}))
        }
        "webhook_message_reply.json" => is(json!({"reply_to": "wamid.xyzxyz=="})),
        "webhook_message_contacts.json" => is(json!({"kind": "contacts", "contact_name": "Test Name"})),
        "webhook_outgoing_message_text.json" => {
            is(json!({"direction": "out", "sender_kind": "operator", "token_state": null}))
        }
        "webhook_outgoing_message_edit.json" => is(json!({"user_id": "972987654321", "is_event": true})),
        "webhook_system_phone_number_change.json" => {
            is(json!({"kind": "system", "is_event": true, "sender_kind": "system"}));
            assert!(tables["identity_edges"].iter().any(|e| e["left_value"] == "972987654321"
                && e["right_type"] == "wa_user"
                && e["right_value"] == "972912345678"));
        }
        "webhook_message_text.json" => {
            let edges: HashSet<String> = tables["identity_edges"]
                .iter()
                .map(|e| {
                    format!("{} {}", e["left_value"].as_str().unwrap(), e["right_value"].as_str().unwrap())
                })
                .collect();
            let expected = ["972987654321 +972987654321", "US.13491208655302741918 972987654321"];
            assert_eq!(edges, expected.map(str::to_owned).into());
        }
        "webhook_message_status_failed.json" => {
            let status = &tables["message_statuses"][0];
            assert_eq!((&status["status"], &status["failed_code"]), (&json!("failed"), &json!("130472")));
            assert!(status["failed_reason"].as_str().unwrap().contains("experiment"));
        }
        "webhook_message_status_sent.json" => {
            let status = &tables["message_statuses"][0];
            assert_eq!(
                (&status["price_category"], &status["is_billable"]),
                (&json!("service"), &json!(true))
            );
            assert_eq!(status["conversation_id"], "whatsapp:1122334455667:972987654321");
        }
        "webhook_message_status_group.json" => {
            let status = &tables["message_statuses"][0];
            assert_eq!(status["user_id"], "<GROUP_PARTICIPANT_USER_PHONE_NUMBER>");
            assert!(status["conversation_id"].as_str().unwrap().contains(":fowefinoewcnw/"));
        }
        "webhook_user_marketing_preferences_resume.json" => {
            assert_eq!(
                (&tables["consents"][0]["action"], &tables["consents"][0]["method"]),
                (&json!("opt_in"), &json!("platform"))
            );
        }
        "webhook_user_marketing_preferences_signup.json" => {
            assert_eq!(
                (&tables["consents"][0]["method"], &tables["consents"][0]["user_id"]),
                (&json!("link"), &json!("16505551234"))
            );
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_sample_becomes_canonical_rows() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/whatsapp/samples");
    let copies = samples(&own);
    assert_eq!(copies.len(), 51);
    let others = shared("api/messengers/samples/whatsapp").map(|f| samples(&f)).unwrap_or_default();
    let more = others.into_iter().filter(|o| !copies.contains(o));
    check_samples(copies.iter().cloned().chain(more)).await;
}

#[tokio::test]
async fn tokens_and_senders_are_read() {
    let world = World::at(NOW);
    let status = |tag: &str| json!({"id": tag, "status": "delivered", "timestamp": "1788250000", "recipient_id": "79160000001", "biz_opaque_callback_data": tag});
    let refused = json!({"id": "w9", "status": "failed", "timestamp": "1788250009", "recipient_id": "79160000001",
                         "errors": [{"code": 131050, "title": "stopped"}]});
    let inbox = [
        text("w1", "Здравствуйте! [ID:HHR3D1196WD]"),
        text("w2", "Мой номер 79160000098"),
        value("messages", json!({"statuses": [status("bot"), status("bot:welcome"), status("agent:7"), status("broadcast:autumn"), status("x"), refused]})),
        // Delivered twice.
        text("w1", "Здравствуйте! [ID:HHR3D1196WD]"),
    ]
    .concat();
    world.write("inbox.jsonl", inbox);
    let tables = tables(&world, &source(&world, json!({}))).await;
    let message = tables["messages"].iter().find(|m| m["message_id"] == "w1").unwrap();
    assert_eq!((&message["token"], &message["token_state"]), (&json!("HHR3D1196WD"), &json!("ok")));
    assert_eq!((&message["phone_e164"], &message["contact_name"]), (&json!("+79160000001"), &json!("Ирина")));
    let senders: Vec<String> = tables["message_statuses"]
        .iter()
        .map(|s| {
            format!(
                "{}:{}",
                s["sender_kind"].as_str().unwrap_or("-"),
                s["operator_id"].as_str().unwrap_or("-")
            )
        })
        .collect();
    assert_eq!(senders, ["bot:-", "bot:-", "operator:7", "broadcast:-", "-:-", "-:-"]);
    assert_eq!(
        (&tables["consents"][0]["action"], &tables["consents"][0]["evidence"]),
        (&json!("opt_out"), &json!("w9"))
    );
}

#[tokio::test]
async fn one_person_is_one_conversation() {
    let world = World::at(NOW);
    let message = |id: &str, ids: Value| {
        let mut message = json!({"id": id, "timestamp": "1788250000", "type": "text", "text": {"body": id}});
        message.as_object_mut().unwrap().extend(ids.as_object().unwrap().clone());
        message
    };
    let inbox = [
        // Before business-scoped ids, with both, and from somebody who shows a username alone.
        value("messages", json!({"messages": [message("old", json!({"from": "79160000001"}))], "contacts": [{"wa_id": "79160000001"}]})),
        value("messages", json!({"messages": [message("named", json!({"from_user_id": "RU.1"}))],
                                 "contacts": [{"user_id": "RU.1", "profile": {"name": "И", "username": "irina"}}]})),
        value("messages", json!({"messages": [message("both", json!({"from": "79160000001", "from_user_id": "RU.1"}))]})),
        value("messages", json!({"messages": [message("stranger", json!({"from_user_id": "RU.2"}))], "contacts": [{"user_id": "RU.2"}]})),
        value("messages", json!({"statuses": [{"id": "s", "status": "read", "timestamp": "1788250001", "recipient_user_id": "RU.1"}]})),
        // In both forms that may come.
        value("user_id_update", json!({"user_id": {"previous": "RU.1", "current": "RU.3"}, "timestamp": "1788250002"})),
        value("user_id_update", json!({"user_id_update": [{"user_id": {"previous": "RU.3", "current": "RU.4"}}]})),
    ]
    .concat();
    world.write("inbox.jsonl", inbox);
    let tables = tables(&world, &source(&world, json!({}))).await;
    let conversation = |id: &str| {
        let message = tables["messages"].iter().find(|m| m["message_id"] == id).unwrap();
        message["conversation_id"].as_str().unwrap().to_owned()
    };
    for id in ["old", "named", "both"] {
        assert_eq!(conversation(id), "whatsapp:55:79160000001", "{id}");
    }
    assert_eq!(conversation("stranger"), "whatsapp:55:RU.2");
    assert_eq!(tables["message_statuses"][0]["conversation_id"], "whatsapp:55:79160000001");
    let edges: HashSet<String> = tables["identity_edges"]
        .iter()
        .map(|e| format!("{} {}", e["left_value"].as_str().unwrap(), e["right_value"].as_str().unwrap()))
        .collect();
    assert_eq!(
        edges,
        ["79160000001 +79160000001", "RU.1 79160000001", "RU.1 RU.3", "RU.3 RU.4"].map(str::to_owned).into()
    );
    let named = tables["messages"].iter().find(|m| m["message_id"] == "named").unwrap();
    assert_eq!((&named["username"], &named["phone_e164"]), (&json!("irina"), &json!("+79160000001")));
}

#[tokio::test]
async fn a_delivery_that_is_not_signed_is_told_once() {
    let world = World::at(NOW);
    let good = text("good", "да");
    let tampered = text("bad", "нет").replace("bad", "BAD");
    let mut unsigned: Value = serde_json::from_str(&text("none", "x")).unwrap();
    unsigned["headers"] = json!({});
    let unknown =
        json!({"object": "whatsapp_business_account", "entry": [{"changes": [{"field": "x"}]}]}).to_string();
    let inbox =
        [good, tampered, unsigned.to_string() + "\n", "{not json\n".into(), "\n".into(), record(&unknown)]
            .concat();
    world.write("inbox.jsonl", inbox);
    let source = source(&world, json!({"app_secret": {"$secret": SECRET}}));
    let landed = read_all(&source, &world.ctx).await;
    let mut told: Vec<(String, String)> = landed
        .iter()
        .flat_map(|(stream, l)| {
            l.rejects.iter().map(move |r| (r.place.clone(), format!("{stream}: {}", r.reason)))
        })
        .collect();
    told.sort();
    let places: Vec<&str> = told.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(places, ["inbox.jsonl:2", "inbox.jsonl:3", "inbox.jsonl:4", "inbox.jsonl:6"], "{told:#?}");
    assert!(
        told[0].1.contains("does not fit the body") && told[1].1.contains("has no X-Hub-Signature-256"),
        "{told:#?}"
    );
    assert!(told[3].1.contains("no field or no value"), "{told:#?}");
    assert_eq!(landed["messages"].column(&spec(&source, "messages"), "id"), ["good"]);
    let report = source.check(&world.ctx).await.unwrap();
    assert!(report.warnings.is_empty());
}

#[tokio::test]
async fn what_nobody_knows_is_kept() {
    let world = World::at(NOW);
    let page = record(&json!({"object": "page", "entry": [{"id": "9", "changes": [{"field": "feed", "value": {"messages": []}}]}]}).to_string());
    let mixed = value(
        "messages",
        json!({"messages": [{"id": "m", "from": "1", "timestamp": "1", "type": "hologram"}], "novelty": {"a": [1.50]}}),
    );
    world.write(
        "inbox.jsonl",
        [page, mixed, value("calls", json!({"calls": []})), value("plain", json!({}))].concat(),
    );
    let source = source(&world, json!({}));
    let landed = read_all(&source, &world.ctx).await;
    let other = spec(&source, "other");
    assert_eq!(landed["other"].column(&other, "field"), ["feed", "messages", "calls", "plain"]);
    assert_eq!(landed["other"].column(&other, "object")[0], "page");
    assert!(landed["other"].column(&other, "value")[1].contains("\"novelty\":{\"a\":[1.5"));
    assert_eq!(map(&source, &landed).await["messages"][0]["kind"], "hologram");
}

fn ids(source: &DynSource, landing: &Landing) -> Vec<String> {
    landing.column(&spec(source, "messages"), "id")
}

#[tokio::test]
async fn the_inbox_grows_is_rotated_and_packed() {
    let world = World::at(NOW);
    let source = source(&world, json!({}));
    let mut landing = Landing::default();
    let append = |name: &str, text: &str| {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(world.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    append("inbox.jsonl", &text("1", "a"));
    // Somebody is still writing the second one.
    let second = text("2", "b");
    append("inbox.jsonl", &second[..second.len() / 2]);
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    assert_eq!(ids(&source, &landing), ["1"]);
    assert!(landing.notices.iter().any(|n| n.code == "inbox_line_incomplete"), "{:?}", landing.notices);
    append("inbox.jsonl", &second[second.len() / 2..second.len() - 1]);
    // Whole, although its line feed is not there yet.
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    assert_eq!(ids(&source, &landing), ["1", "2"]);
    append("inbox.jsonl", "\n");
    append("inbox.jsonl", &text("3", "c"));
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    assert_eq!(ids(&source, &landing), ["1", "2", "3"]);
    // Rotated after one more, and a new one begun.
    append("inbox.jsonl", &text("4", "d"));
    std::fs::rename(world.path("inbox.jsonl"), world.path("inbox.jsonl.1")).unwrap();
    append("inbox.jsonl", &text("5", "e"));
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    let mut found = ids(&source, &landing);
    found.sort();
    assert_eq!(found, ["1", "2", "3", "4", "5"]);
    // Packed.
    let old = std::fs::read(world.path("inbox.jsonl.1")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&old).unwrap();
    world.write("inbox.jsonl.1.gz", encoder.finish().unwrap());
    std::fs::remove_file(world.path("inbox.jsonl.1")).unwrap();
    append("inbox.jsonl", &text("6", "f"));
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    assert_eq!(ids(&source, &landing).len(), 6);
    // Put away.
    std::fs::remove_file(world.path("inbox.jsonl.1.gz")).unwrap();
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    assert_eq!(ids(&source, &landing).len(), 6);
    assert!(landing.notices.iter().any(|n| n.code == "inbox_file_gone"));
}

#[tokio::test]
async fn an_inbox_that_was_cut_or_replaced_is_an_error() {
    let world = World::at(NOW);
    let strict = source(&world, json!({}));
    world.write("inbox.jsonl", [text("1", "a"), text("2", "b")].concat());
    let mut landing = Landing::default();
    landing.run(&strict, &world.ctx, "messages").await.unwrap();
    for broken in [text("1", "a"), text("9", "z").repeat(5), String::new()] {
        world.write("inbox.jsonl", &broken);
        let error = landing.run(&strict, &world.ctx, "messages").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("inbox.jsonl*"), "{error}");
        assert_eq!(ids(&strict, &landing), ["1", "2"]);
    }
    world.write("inbox.jsonl", text("3", "c"));
    let lax = source(&world, json!({"accept_replaced": true}));
    landing.run(&lax, &world.ctx, "messages").await.unwrap();
    assert_eq!(ids(&lax, &landing), ["1", "2", "3"]);
    assert!(landing.notices.iter().any(|n| n.code == "inbox_file_replaced"));
}

#[tokio::test]
async fn a_crash_between_checkpoints_loses_and_repeats_nothing() {
    let world = World::at(NOW);
    let many: String = (0..20_000).map(|i| text(&format!("w{i}"), "да")).collect();
    world.write("inbox.1.jsonl", &many);
    world.write("inbox.2.jsonl", text("last", "да"));
    let source = source(&world, json!({}));
    for crash_at in 1..=2 {
        let mut landing = Landing::default();
        let breaks = Break { after_checkpoints: Some(crash_at), ..Break::default() };
        landing.run_until(&source, &world.ctx, "messages", breaks).await.unwrap();
        let before = ids(&source, &landing).len();
        assert!(before > 0 && before < 20_001, "{before}");
        landing.run(&source, &world.ctx, "messages").await.unwrap();
        let found = ids(&source, &landing);
        assert_eq!((found.len(), found.iter().collect::<HashSet<_>>().len()), (20_001, 20_001));
    }
}

#[tokio::test]
async fn the_readme_example_is_good() {
    let (connector, options) = readme_options(WhatsappConnector.readme());
    assert_eq!(connector, "whatsapp");
    let world = World::at(NOW);
    let source = world.build(&WhatsappConnector, options);
    assert_eq!(source.catalog().streams.len(), 6);
    assert_eq!(source.check(&world.ctx).await.unwrap_err().kind(), ErrorKind::NotFound);
}
