//! CoMagic's callbacks, from a received body and its path to canonical tables.

use serde_json::{Value, json};

use super::webhooks::{expect, read_with, token};

const SAMPLES: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/comagic/samples/callbacks.jsonl"));

fn delivery(method: &str, path: &str, body: &Value) -> String {
    json!({"received_at": "2026-09-01T10:05:00Z", "headers": {":method": method, ":path": path}, "body": body.to_string()})
        .to_string()
        + "\n"
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(|row| format!("{} {}", row["message_id"], row["status"]));
    rows.dedup();
    rows
}

#[tokio::test]
async fn a_chat_from_its_beginning_to_its_end() {
    // What was not answered in time comes once more.
    let read = read_with("comagic", json!({"inbox": "inbox*"}), &format!("{SAMPLES}{SAMPLES}")).await;
    assert!(read.rejects.is_empty(), "{:?}", read.rejects);
    expect(
        &sorted(read.tables["messages"].clone()),
        &json!([
            {"platform": "comagic", "message_id": "70001", "conversation_id": "comagic:31:900100", "ts": "2026-09-01T10:00:01Z",
             "direction": "in", "sender_kind": "customer", "kind": "text", "text": "Здравствуйте! [ID:HHR3D1196WD]",
             "channel_account": "31", "user_id": "900100", "phone_e164": "+79161234567", "contact_name": "Анна Т.",
             "token": "HHR3D1196WD", "token_state": "ok", "operator_id": null, "reply_to": null},
            {"message_id": "70002", "direction": "out", "sender_kind": "operator", "operator_id": "comagic:12", "reply_to": "70001",
             "token": null, "token_state": null, "conversation_id": "comagic:31:900100"},
            {"message_id": "70003", "direction": "in", "kind": "image", "text": null, "token_state": "missing"},
        ]),
    );
    expect(
        &sorted(read.tables["message_statuses"].clone()),
        &json!([
            {"message_id": "70002", "status": "delivered", "at": "2026-09-01T10:01:05Z"},
            {"message_id": "70002", "status": "read", "at": "2026-09-01T10:01:06Z", "user_id": "900100"},
            {"message_id": "70002", "status": "sent", "at": "2026-09-01T10:01:00Z", "operator_id": "comagic:12",
             "conversation_id": "comagic:31:900100"},
        ]),
    );
    let mut phones: Vec<String> = read.tables["identity_edges"]
        .iter()
        .map(|e| format!("{} {} {}", e["left_type"], e["left_value"], e["right_value"]).replace('"', ""))
        .collect();
    phones.sort();
    assert_eq!(
        phones,
        ["comagic_user 900100 +74951234567", "comagic_user 900100 +79161234567", "comagic_user 900100 5001"]
    );
}

#[tokio::test]
async fn a_chat_of_several_visitors_is_nobody_s() {
    let chat = |visitor: i64, phone: i64| {
        delivery(
            "POST",
            "/chat",
            &json!({"chat_id": 9, "channel_id": 3, "visitor_id": visitor, "visitor_phone": phone}),
        )
    };
    let said = delivery(
        "POST",
        "/message",
        &json!({"id": 1, "chat_id": 9, "source": "visitor", "text": "а", "created_at": "2026-09-01T10:00:00Z"}),
    );
    let lines = chat(1, 79_161_234_567) + &chat(2, 79_160_000_000) + &said;
    let read = read_with("comagic", json!({"inbox": "inbox*"}), &lines).await;
    expect(
        &read.tables["messages"],
        &json!([{"conversation_id": "comagic:chat:9", "user_id": null, "phone_e164": null, "channel_account": "3"}]),
    );
    let types: Vec<&str> =
        read.tables["identity_edges"].iter().map(|e| e["right_type"].as_str().unwrap()).collect();
    assert_eq!(types, ["phone", "phone"]);
}

#[tokio::test]
async fn who_spoke_is_told_by_the_source() {
    let message = |id: i64, source: &str| {
        delivery(
            "POST",
            "/message",
            &json!({"id": id, "chat_id": 9, "source": source, "created_at": "2026-09-01T10:00:00Z", "text": "а"}),
        )
    };
    let sources = [
        "visitor",
        "form_text",
        "operator",
        "chatbot",
        "autoinvite",
        "retention",
        "system",
        "chat_channel",
        "new_one",
    ];
    let lines: String = sources.iter().zip(1..).map(|(source, id)| message(id, source)).collect();
    let read = read_with("comagic", json!({"inbox": "inbox*"}), &lines).await;
    let kinds: Vec<String> = sorted(read.tables["messages"].clone())
        .iter()
        .map(|m| format!("{}/{}", m["direction"], m["sender_kind"]).replace('"', ""))
        .collect();
    assert_eq!(
        kinds,
        [
            "in/customer",
            "in/customer",
            "out/operator",
            "out/bot",
            "out/bot",
            "out/bot",
            "out/system",
            "out/system",
            "out/bot"
        ]
    );
    // The beginning of the chat was not received.
    assert!(read.tables["messages"].iter().all(|m| m["conversation_id"] == "comagic:chat:9"));
}

#[tokio::test]
async fn late_states_failures_and_deliveries_without_a_path() {
    let lines = [
        delivery("POST", "/message", &json!({"id": 1, "chat_id": 9, "source": "chatbot", "created_at": "2026-09-01T10:00:00Z", "status": "read"})),
        delivery("PATCH", "/message", &json!({"id": 1, "chat_id": 9, "status": "error"})),
        delivery("POST", "/message/status", &json!({"message_id": 2, "status": "accepted"})),
        delivery("POST", "/message/status", &json!({"message_id": 2, "status": "somehow"})),
        delivery("POST", "/chat/transfer", &json!({"chat_id": 9, "text": token()})),
        json!({"received_at": 1, "headers": {}, "body": "{\"id\":1}"}).to_string() + "\n",
    ]
    .concat();
    let read = read_with("comagic", json!({"inbox": "inbox*"}), &lines).await;
    assert_eq!(read.rejects, ["no `:path` among its headers says which event it is"]);
    expect(
        &sorted(read.tables["message_statuses"].clone()),
        &json!([
            {"message_id": "1", "status": "failed", "at": "2026-09-01T10:05:00Z"},
            {"message_id": "1", "status": "read", "at": "2026-09-01T10:05:00Z"},
            {"message_id": "2", "status": "sent", "conversation_id": null},
        ]),
    );
    assert_eq!(read.tables["messages"].len(), 1, "an update is no message of its own");
}
