//! Messengers and bot builders that tell by webhook, from a received body to canonical tables.

use std::collections::HashMap;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use throughline_core::SourceConnector;
use throughline_core::token::VisitToken;

use super::support::{World, map, read_all, readme_options, shared, spec};

const NOW: &str = "2026-09-10T09:00:00Z";
const AT: &str = "2026-09-01T10:00:00Z";
const AT_MS: i64 = 1_788_256_800_000;
pub const VENDORS: [&str; 12] = [
    "viber",
    "vk",
    "telegram",
    "facebook",
    "instagram",
    "wazzup",
    "manychat",
    "chatfuel",
    "botmother",
    "dialogflow",
    "site",
    "comagic",
];

pub fn connector(name: &str) -> Box<dyn SourceConnector> {
    throughline_connectors::all().into_iter().find(|c| c.name() == name).unwrap()
}

pub fn token() -> String {
    VisitToken::from_number(123_456_789_012).unwrap().to_string()
}

pub fn options(name: &str) -> Value {
    let mut options = json!({"inbox": "inbox*"});
    if !["vk", "facebook", "instagram", "wazzup", "site", "comagic"].contains(&name) {
        options["account"] = "shop".into();
    }
    options
}

pub fn record(body: &str, headers: &Value) -> String {
    json!({"received_at": AT, "headers": headers, "body": body}).to_string() + "\n"
}

pub struct Read {
    pub tables: HashMap<String, Vec<Value>>,
    pub rejects: Vec<String>,
}

pub async fn read_with(name: &str, options: Value, lines: &str) -> Read {
    let world = World::at(NOW);
    world.write("inbox.jsonl", lines);
    let source = world.build(connector(name).as_ref(), options);
    let landed = read_all(&source, &world.ctx).await;
    let rejects = landed.values().flat_map(|l| l.rejects.iter().map(|r| r.reason.clone())).collect();
    Read { tables: map(&source, &landed).await, rejects }
}

async fn read(name: &str, bodies: &[Value]) -> HashMap<String, Vec<Value>> {
    // Each comes twice, as vendors send again what was not answered in time.
    let mut lines: String = bodies.iter().map(|b| record(&b.to_string(), &json!({}))).collect();
    // The receiver writes microseconds where others write RFC 3339.
    lines += &lines.replace(&format!("\"{AT}\""), &(AT_MS * 1000).to_string());
    let read = read_with(name, options(name), &lines).await;
    assert!(read.rejects.is_empty(), "{name}: {:?}", read.rejects);
    let mut tables = read.tables;
    for rows in tables.values_mut() {
        // The engine keeps one record for a key.
        let mut seen = std::collections::HashSet::new();
        rows.retain(|row| seen.insert(row.to_string()));
        rows.sort_by_key(|row| row.get("ts").or(row.get("at")).unwrap_or(&Value::Null).to_string());
    }
    tables
}

/// Rows must have these values; what is not named does not matter.
#[track_caller]
pub fn expect(rows: &[Value], wanted: &Value) {
    let wanted = wanted.as_array().unwrap();
    assert_eq!(rows.len(), wanted.len(), "{rows:#?}");
    for (row, wanted) in rows.iter().zip(wanted) {
        for (column, wanted) in wanted.as_object().unwrap() {
            assert_eq!(row.get(column).unwrap_or(&Value::Null), wanted, "{column} of {row:#}");
        }
    }
}

#[tokio::test]
async fn viber_carries_the_context_of_a_link_to_the_first_message() {
    let person = json!({"id": "01234567890A=", "name": "Анна"});
    let said = |token: u64, at: i64, text: &str| {
        json!({"event": "message", "timestamp": at, "message_token": token, "sender": person,
               "message": {"type": "text", "text": text}})
    };
    let tables = read("viber", &[
        json!({"event": "webhook", "timestamp": AT_MS, "message_token": 1}),
        json!({"event": "conversation_started", "timestamp": AT_MS, "message_token": 4_912_661_846_655_238_145_u64,
               "type": "open", "context": token(), "user": person, "subscribed": false}),
        said(5_741_311_803_571_721_087, AT_MS + 60_000, "Здравствуйте"),
        said(5_741_311_803_571_721_088, AT_MS + 61_000, "مرحبا"),
        json!({"event": "seen", "timestamp": AT_MS + 9_000, "message_token": 77, "user_id": "01234567890A="}),
        json!({"event": "failed", "timestamp": AT_MS + 9_000, "message_token": 78, "user_id": "01234567890A=", "desc": "no device"}),
        json!({"event": "unsubscribed", "timestamp": AT_MS + 99_000, "message_token": 79, "user_id": "01234567890A="}),
    ]).await;
    expect(
        &tables["messages"],
        &json!([
            {"message_id": "4912661846655238145", "kind": "opened", "is_event": true, "token": token(), "token_state": "ok", "link_ref": token()},
            {"platform": "viber", "message_id": "5741311803571721087", "conversation_id": "viber:shop:01234567890A=",
             "ts": "2026-09-01T10:01:00Z", "direction": "in", "kind": "text", "is_event": false, "text": "Здравствуйте",
             "token": token(), "token_state": "ok", "link_ref": token(), "contact_name": "Анна"},
            {"message_id": "5741311803571721088", "text": "مرحبا", "token": null, "token_state": "missing", "link_ref": null},
        ]),
    );
    expect(
        &tables["message_statuses"],
        &json!([
            {"message_id": "77", "status": "read", "failed_reason": null},
            {"message_id": "78", "status": "failed", "failed_reason": "no device"},
        ]),
    );
    expect(
        &tables["consents"],
        &json!([
            {"user_id": "01234567890A=", "action": "opt_in", "ts": "2026-09-01T10:01:00Z"},
            {"action": "opt_out", "ts": "2026-09-01T10:01:39Z"},
        ]),
    );
}

#[tokio::test]
async fn a_context_of_yesterday_is_not_carried_on() {
    let person = json!({"id": "A=", "name": "x"});
    let tables = read("viber", &[
        json!({"event": "conversation_started", "timestamp": AT_MS - 90_000_000, "message_token": 5, "context": token(), "user": person}),
        json!({"event": "message", "timestamp": AT_MS, "message_token": 6, "sender": person, "message": {"type": "picture"}}),
    ]).await;
    expect(
        &tables["messages"],
        &json!([{"token": token()}, {"kind": "image", "token": null, "link_ref": null}]),
    );
}

#[tokio::test]
async fn signatures_of_viber_and_meta_are_checked() {
    let body =
        json!({"event": "unsubscribed", "timestamp": AT_MS, "user_id": "A=", "message_token": 1}).to_string();
    let signed = |key: &str, body: &str| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect::<String>()
    };
    let lines = record(&body, &json!({"X-Viber-Content-Signature": signed("key", &body)}))
        + &record(&body, &json!({"X-Viber-Content-Signature": signed("other", &body)}))
        + &record(&body, &json!({}));
    let mut with = options("viber");
    with["auth_token"] = json!({"$secret": "key"});
    let found = read_with("viber", with, &lines).await;
    assert_eq!((found.tables["consents"].len(), found.rejects.len()), (1, 2), "{:?}", found.rejects);

    let body = json!({"object": "page", "entry": []}).to_string();
    let lines = record(&body, &json!({"x-hub-signature-256": format!("sha256={}", signed("key", &body))}))
        + &record(&body, &json!({"x-hub-signature-256": "sha256=00"}));
    let found =
        read_with("facebook", json!({"inbox": "inbox*", "app_secret": {"$secret": "key"}}), &lines).await;
    assert_eq!(found.rejects.len(), 1, "{:?}", found.rejects);
}

#[tokio::test]
async fn vk_messages_reads_and_permissions() {
    let event = |kind: &str, object: Value| json!({"group_id": 200, "type": kind, "event_id": format!("{kind}-1"), "v": "5.199", "object": object, "secret": "cb_secret_value"});
    let message = |id: i64, from: i64, more: Value| {
        let mut message = json!({"id": id, "from_id": from, "peer_id": 1234567, "date": AT_MS / 1000 + id, "out": i64::from(from < 0), "text": "Начать"});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let tables = read("vk", &[
        event("message_new", json!({"message": message(1, 1_234_567, json!({"payload": "{\"command\":\"start\"}", "ref": format!("promo__{}", token()), "ref_source": "site"})), "client_info": {}})),
        event("message_reply", message(2, -200, json!({"admin_author_id": 7}))),
        event("message_reply", message(3, -200, json!({}))),
        event("message_new", json!({"message": message(4, 1_234_567, json!({"text": "", "attachments": [{"type": "photo"}]}))})),
        event("message_read", json!({"from_id": 1_234_567, "peer_id": 1_234_567, "read_message_id": 2})),
        event("message_allow", json!({"user_id": 1_234_567, "key": ""})),
        event("group_join", json!({"user_id": 1})),
    ]).await;
    expect(
        &tables["messages"],
        &json!([
            {"message_id": "200:1", "conversation_id": "vk:200:1234567", "kind": "button", "direction": "in", "sender_kind": "customer",
             "user_id": "1234567", "token": token(), "token_state": "ok", "link_ref": format!("promo__{}", token()), "ts": "2026-09-01T10:00:01Z"},
            {"message_id": "200:2", "direction": "out", "sender_kind": "operator", "operator_id": "vk:7", "user_id": "1234567", "token_state": null},
            {"message_id": "200:3", "direction": "out", "sender_kind": "bot", "operator_id": null},
            {"message_id": "200:4", "kind": "image", "text": null, "token_state": "missing"},
        ]),
    );
    expect(&tables["message_statuses"], &json!([{"message_id": "200:2", "status": "read", "at": AT}]));
    expect(&tables["consents"], &json!([{"user_id": "1234567", "action": "opt_in", "ts": AT}]));
    assert!(!format!("{tables:?}").contains("cb_secret_value"));
}

#[tokio::test]
async fn telegram_starts_presses_and_blocks() {
    let from = json!({"id": 987_654_321, "is_bot": false, "first_name": "Анна", "last_name": "Т.", "username": "anna_t"});
    let chat = json!({"id": 987_654_321, "type": "private"});
    let message = |id: i64, more: Value| {
        let mut message = json!({"message_id": id, "from": from, "chat": chat, "date": AT_MS / 1000 + id});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let tables = read("telegram", &[
        json!({"update_id": 1, "message": message(1, json!({"text": format!("/start {}", token())}))}),
        json!({"update_id": 2, "message": message(2, json!({"voice": {"file_id": "x"}}))}),
        json!({"update_id": 3, "message": message(3, json!({"contact": {"phone_number": "79161234567", "user_id": 987_654_321, "first_name": "Анна"}}))}),
        json!({"update_id": 4, "message": message(4, json!({"contact": {"phone_number": "79160000000", "user_id": 5, "first_name": "Пётр"}}))}),
        json!({"update_id": 5, "edited_message": message(1, json!({"text": "правка", "edit_date": AT_MS / 1000 + 50}))}),
        json!({"update_id": 6, "business_message": {"message_id": 6, "from": {"id": 1}, "chat": chat, "date": AT_MS / 1000 + 6, "text": "Да"}}),
        json!({"update_id": 7, "callback_query": {"id": "c7", "from": from, "data": "5", "message": message(2, json!({}))}}),
        json!({"update_id": 8, "my_chat_member": {"chat": chat, "from": from, "date": AT_MS / 1000 + 90, "new_chat_member": {"status": "kicked"}}}),
        json!({"update_id": 9, "poll_answer": {"poll_id": "1"}}),
    ]).await;
    expect(
        &tables["messages"],
        &json!([
            {"message_id": "callback:c7", "kind": "button", "text": "5", "reply_to": "shop:987654321:2", "is_event": false},
            {"message_id": "shop:987654321:1", "conversation_id": "telegram:shop:987654321", "text": format!("/start {}", token()),
             "token": token(), "token_state": "ok", "link_ref": token(), "contact_name": "Анна Т.", "username": "anna_t"},
            {"message_id": "shop:987654321:2", "kind": "audio", "token_state": "missing", "is_event": false},
            {"kind": "contacts", "phone_e164": "+79161234567", "is_event": false},
            {"kind": "contacts", "phone_e164": null},
            {"message_id": "shop:987654321:6", "direction": "out", "sender_kind": "operator", "user_id": "987654321", "token_state": null},
            {"kind": "edit", "is_event": true, "reply_to": "shop:987654321:1", "ts": "2026-09-01T10:00:50Z"},
        ]),
    );
    expect(
        &tables["consents"],
        &json!([
            {"user_id": "987654321", "action": "opt_in", "method": "link"},
            {"user_id": "987654321", "action": "opt_out", "method": "platform"},
        ]),
    );
    expect(
        &tables["identity_edges"],
        &json!([
            {"left_type": "tg_user", "left_value": "987654321", "right_type": "phone", "right_value": "+79161234567"}
        ]),
    );
}

fn meta(object: &str, events: Value) -> Value {
    json!({"object": object, "entry": [{"id": "PAGE", "time": AT_MS, "messaging": events}]})
}

#[tokio::test]
async fn messenger_referrals_echoes_and_watermarks() {
    let inbound = |at: i64, more: Value| {
        let mut event =
            json!({"sender": {"id": "PSID"}, "recipient": {"id": "PAGE"}, "timestamp": AT_MS + at});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let echo = |at: i64, mid: &str, app: Value| {
        json!({"sender": {"id": "PAGE"}, "recipient": {"id": "PSID"}, "timestamp": AT_MS + at,
               "message": {"is_echo": true, "mid": mid, "app_id": app, "text": "Добрый день"}})
    };
    let tables = read("facebook", &[
        meta("page", json!([
            inbound(0, json!({"referral": {"ref": token(), "source": "ADS", "type": "OPEN_THREAD", "ad_id": "6045", "ads_context_data": {"ad_title": "Диван"}}})),
            inbound(1000, json!({"message": {"mid": "m1", "text": "Здравствуйте"}})),
        ])),
        meta("page", json!([echo(2000, "e1", json!(15)), echo(3000, "e2", Value::Null), echo(9000, "e3", json!(15))])),
        meta("page", json!([inbound(4000, json!({"delivery": {"watermark": AT_MS + 3000}})), inbound(5000, json!({"read": {"watermark": AT_MS + 2000}}))])),
        meta("page", json!([inbound(6000, json!({"postback": {"mid": "p1", "title": "Начать", "payload": "GO"}}))])),
        meta("page", json!([inbound(7000, json!({"optin": {"type": "notification_messages"}}))])),
        json!({"object": "page", "entry": [{"id": "PAGE", "time": 1, "changes": [{"field": "feed", "value": {}}]}]}),
    ]).await;
    expect(
        &tables["messages"],
        &json!([
            {"kind": "opened", "is_event": true, "token": token(), "ad_id": "6045", "conversation_id": "facebook:PAGE:PSID"},
            {"message_id": "m1", "direction": "in", "token": token(), "token_state": "ok", "ad_id": "6045", "ad_source_type": "ad", "ad_headline": "Диван"},
            {"message_id": "e1", "direction": "out", "sender_kind": "bot", "user_id": "PSID", "token_state": null, "ad_id": null},
            {"message_id": "e2", "sender_kind": "operator"},
            {"message_id": "p1", "kind": "button", "text": "Начать", "token": null, "ad_id": null},
            {"message_id": "e3"},
        ]),
    );
    let mut states: Vec<(String, String)> = tables["message_statuses"]
        .iter()
        .map(|s| (s["message_id"].as_str().unwrap().into(), s["status"].as_str().unwrap().into()))
        .collect();
    states.sort();
    let wanted =
        [("e1", "delivered"), ("e1", "read"), ("e2", "delivered")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(states, wanted);
    expect(&tables["consents"], &json!([{"user_id": "PSID", "action": "opt_in"}]));
}

#[tokio::test]
async fn answers_to_a_feedback_template_are_reviews() {
    let feedback = |at: i64, screens: Value| {
        json!({"sender": {"id": "PSID"}, "recipient": {"id": "PAGE"}, "timestamp": AT_MS + at,
               "messaging_feedback": {"feedback_screens": screens}})
    };
    let tables = read("facebook", &[
        meta("page", json!([feedback(0, json!([{"screen_id": 0, "questions": {
            "hauydmns8": {"type": "csat", "payload": "4", "follow_up": {"type": "free_form", "payload": "Всё понравилось, شكرا"}},
            "other": {"type": "csat", "payload": "2"}}}]))])),
        meta("page", json!([feedback(1000, json!([{"screen_id": 0, "questions": {"n": {"type": "nps", "payload": "9"}}}]))])),
        meta("page", json!([feedback(2000, json!([{"screen_id": 0, "questions": {"f": {"type": "free_form", "payload": "ok"}}}]))])),
        // Out of its scale, and of no shape at all.
        meta("page", json!([feedback(3000, json!([{"screen_id": 0, "questions": {"c": {"type": "csat", "payload": "9"}}}]))])),
        meta("page", json!([feedback(4000, json!("?"))])),
    ]).await;
    expect(
        &tables["messages"],
        &json!([
            {"platform": "facebook", "conversation_id": "facebook:PAGE:PSID", "ts": AT, "direction": "in", "kind": "review",
             "is_event": false, "csat": 2, "text": "Всё понравилось, شكرا", "user_id": "PSID"},
            {"kind": "review", "csat": null, "text": null},
            {"kind": "review", "csat": null, "text": "ok"},
            {"kind": "review", "csat": null},
        ]),
    );
}

#[tokio::test]
async fn instagram_seen_means_all_before() {
    let echo = |at: i64, mid: &str| json!({"sender": {"id": "PAGE"}, "recipient": {"id": "IGSID"}, "timestamp": AT_MS + at, "message": {"mid": mid, "is_echo": true, "text": "а"}});
    let tables = read("instagram", &[
        meta("instagram", json!([echo(0, "a"), echo(1000, "b"), echo(2000, "c")])),
        meta("instagram", json!([{"sender": {"id": "IGSID"}, "recipient": {"id": "PAGE"}, "timestamp": AT_MS + 5000, "read": {"mid": "b"}}])),
        meta("page", json!([{"sender": {"id": "PSID"}, "recipient": {"id": "PAGE"}, "timestamp": AT_MS, "message": {"mid": "other", "text": "не сюда"}}])),
    ]).await;
    expect(
        &tables["messages"],
        &json!([{"message_id": "a", "sender_kind": "operator"}, {"message_id": "b"}, {"message_id": "c"}]),
    );
    let mut read: Vec<&str> =
        tables["message_statuses"].iter().map(|s| s["message_id"].as_str().unwrap()).collect();
    read.sort_unstable();
    assert_eq!(read, ["a", "b"]);
}

#[tokio::test]
async fn wazzup_names_the_messenger_behind_it() {
    let message = |id: &str, more: Value| {
        let mut message = json!({"messageId": id, "channelId": "ch", "chatType": "whatsapp", "chatId": "79161234567",
            "dateTime": "2026-09-01T10:00:00.123Z", "type": "text", "status": "inbound", "isEcho": false});
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        message
    };
    let tables = read("wazzup", &[
        json!({"test": true}),
        json!({"messages": [
            message("1", json!({"text": format!("Здравствуйте! [ID:{}]", token()), "contact": {"name": "Анна"}})),
            message("2", json!({"isEcho": true, "status": "sent", "authorId": "55", "dateTime": "2026-09-01T10:01:00Z", "text": "Да"})),
            message("3", json!({"chatType": "telegroup", "chatId": "-5", "dateTime": "2026-09-01T10:02:00Z", "text": "всем"})),
        ], "statuses": [{"messageId": "2", "timestamp": "2026-09-01T10:03:00Z", "status": "read"},
                        {"messageId": "2", "timestamp": "2026-09-01T10:04:00Z", "status": "error", "error": {"error": "BAD_CONTACT", "description": "нет"}}]}),
        json!({"channelsUpdates": [{"channelId": "ch", "state": "active", "timestamp": 1}]}),
    ]).await;
    expect(
        &tables["messages"],
        &json!([
            {"platform": "whatsapp", "message_id": "1", "conversation_id": "whatsapp:ch:79161234567", "phone_e164": "+79161234567",
             "token": token(), "token_state": "ok", "contact_name": "Анна", "direction": "in"},
            {"message_id": "2", "direction": "out", "sender_kind": "operator", "operator_id": "wazzup:55", "token_state": null},
            {"platform": "telegram", "message_id": "3", "user_id": null, "phone_e164": null},
        ]),
    );
    expect(
        &tables["message_statuses"],
        &json!([
            {"status": "sent", "conversation_id": "whatsapp:ch:79161234567"},
            {"status": "read", "platform": "whatsapp"},
            {"status": "failed", "failed_code": "BAD_CONTACT"},
        ]),
    );
}

#[tokio::test]
async fn bot_builders_tell_what_their_flows_know() {
    let tables = read("manychat", &[
        json!({"event": "chat_started", "subscriber_id": "43", "channel": "telegram", "name": "Анна Т.", "phone": "+79161234567",
               "visit_id": format!("w12--{}", token()), "last_input_text": "Здравствуйте", "ts": "2026-09-01T13:00:00+03:00"}),
        json!({"event": "csat", "subscriber_id": "43", "csat": 5, "ts": "2026-09-01T13:05:00+03:00"}),
        json!({"event": "unsubscribed", "subscriber_id": "43", "ts": "2026-09-01T13:06:00+03:00"}),
    ]).await;
    expect(
        &tables["messages"],
        &json!([
            {"conversation_id": "manychat:shop:43", "ts": AT, "token": token(), "token_state": "ok", "phone_e164": "+79161234567"},
            {"csat": 5, "is_event": false}, {"kind": "unsubscribe", "is_event": true},
        ]),
    );
    expect(&tables["consents"], &json!([{"user_id": "43", "action": "opt_out"}]));

    let tables = read("chatfuel", &[json!({"messenger user id": "654", "first name": "Анна", "last name": "Т.", "ref": token(), "last user freeform input": "Привет"})]).await;
    expect(
        &tables["messages"],
        &json!([{"platform": "facebook", "user_id": "654", "contact_name": "Анна Т.", "token": token(), "ts": AT}]),
    );

    let tables = read("botmother", &[json!({"event": "chat_started", "platform": "tg", "user_id": "987", "username": "anna_t", "start_param": token(), "text": "/start", "ts": AT})]).await;
    expect(
        &tables["messages"],
        &json!([{"platform": "telegram", "conversation_id": "telegram:shop:987", "token": token()}]),
    );
}

#[tokio::test]
async fn dialogflow_turns_of_both_editions() {
    let tables = read("dialogflow", &[
        json!({"responseId": "r1", "session": "projects/demo/agent/sessions/987", "queryResult": {"queryText": format!("/start {}", token()), "fulfillmentText": "Здравствуйте!",
               "intent": {"displayName": "Default Fallback Intent"}},
               "originalDetectIntentRequest": {"source": "telegram", "payload": {"data": {"from": {"id": 987, "username": "anna_t"}, "date": AT_MS / 1000}}}}),
        json!({"detectIntentResponseId": "r2", "text": "Позовите менеджера", "fulfillmentInfo": {"tag": "handoff"}, "intentInfo": {"displayName": "live_agent"},
               "pageInfo": {"displayName": "Menu"}, "sessionInfo": {"session": "projects/demo/locations/global/agents/ag1/sessions/wa-79161234567", "parameters": {"visit_id": token()}}}),
    ]).await;
    let rows = &tables["messages"];
    assert_eq!(rows.len(), 3, "{rows:#?}");
    let by = |id: &str| rows.iter().find(|r| r["message_id"] == id).unwrap().clone();
    expect(
        &[by("dialogflow:shop:r1"), by("dialogflow:shop:r1:answer"), by("dialogflow:shop:r2")],
        &json!([
            {"platform": "telegram", "user_id": "987", "token": token(), "token_state": "ok", "ts": AT},
            {"direction": "out", "sender_kind": "bot", "text": "Здравствуйте!"},
            {"platform": "whatsapp", "user_id": "79161234567", "token": token(), "bot_handover": true},
        ]),
    );
    let mut kinds: Vec<&str> =
        tables["scenario_events"].iter().map(|e| e["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["escalated", "fallback"]);
}

#[tokio::test]
async fn the_tracker_s_visits_pages_and_clicks() {
    let event = |id: &str, kind: &str, at: i64, more: Value| {
        let mut event = json!({"id": id, "kind": kind, "at": AT_MS + at, "token": token(), "visitor": "V1",
            "url": "https://shop.example/диваны", "referrer": "https://yandex.ru/", "landing": "https://shop.example/?utm_source=yandex",
            "utm": {"source": "yandex", "medium": "cpc", "campaign": "c1", "term": "диван"}, "click_ids": {"yclid": "77"},
            "first": {"at": 1}, "ym_client_id": null, "language": "ru", "screen": "1920x1080", "os": "Windows", "device": "desktop"});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        event
    };
    let beacon = |sent: i64, events: Value| json!({"v": 1, "sent": AT_MS + sent, "events": events});
    let tables = read(
        "site",
        &[
            beacon(
                0,
                json!([
                    event("a", "visit", -3000, json!({})),
                    event("b", "page", -2000, json!({"ym_client_id": "167"}))
                ]),
            ),
            // The next page sends again what it has no answer for.
            beacon(
                0,
                json!([
                    event("b", "page", -2000, json!({})),
                    event(
                        "c",
                        "click",
                        -1000,
                        json!({"link": {"messenger": "whatsapp", "href": "https://wa.me/7999?text=x"}})
                    )
                ]),
            ),
            // A clock that is an hour ahead, and a visit whose own event was lost.
            beacon(
                3_600_000,
                json!([event(
                    "d",
                    "page",
                    3_595_000,
                    json!({"visitor": "V2", "token": VisitToken::from_number(5).unwrap().to_string()})
                )]),
            ),
            // As the receiver hands events on: each alone.
            event(
                "g",
                "page",
                3_598_000,
                json!({"visitor": "V2", "token": VisitToken::from_number(5).unwrap().to_string(), "sent": AT_MS + 3_600_000}),
            ),
            beacon(
                0,
                json!([
                    event("e", "visit", 0, json!({"token": "nonsense"})),
                    event("f", "consent", 0, json!({}))
                ]),
            ),
        ],
    )
    .await;
    let mut visits = tables["visits"].clone();
    visits.sort_by_key(|v| v["visit_id"].to_string());
    expect(
        &visits,
        &json!([
            {"visit_id": format!("site:V1:{}", token()), "token": token(), "started_at": "2026-09-01T09:59:57Z", "account": "shop.example",
             "source": "yandex", "campaign": "c1", "keyword": "диван", "yclid": "77", "ym_client_id": "167", "hits": 1, "duration_s": 2, "device": "desktop"},
            {"started_at": "2026-09-01T09:59:55Z", "hits": 2, "duration_s": 3, "source": "yandex"},
        ]),
    );
    let mut hits = tables["hits"].clone();
    hits.sort_by_key(|h| h["hit_id"].to_string());
    expect(
        &hits,
        &json!([
            {"hit_id": "site:b", "kind": "page", "visit_id": format!("site:V1:{}", token()), "token": null},
            {"hit_id": "site:c", "kind": "messenger_link", "token": token(), "url": "https://wa.me/7999?text=x"},
            {"hit_id": "site:d", "at": "2026-09-01T09:59:55Z"}, {"hit_id": "site:g", "at": "2026-09-01T09:59:58Z"},
        ]),
    );
    assert_eq!(tables["identity_edges"].len(), 2);
}

#[tokio::test]
async fn rubbish_is_a_dead_letter_and_the_rest_goes_on() {
    let good =
        json!({"event": "unsubscribed", "timestamp": AT_MS, "user_id": "A=", "message_token": 1}).to_string();
    for name in VENDORS {
        let mut lines = String::new();
        // CoMagic's bodies do not say what they are.
        let headers = if name == "comagic" { json!({":path": "/chat"}) } else { json!({}) };
        for body in
            ["", "{", "[]", "\"text\"", "{\"entry\": 5}", "{\"messages\": {}}", "null", "{\"entry\":[7]}"]
        {
            lines += &record(body, &headers);
        }
        lines += "not json\n";
        lines += &record(&good, &headers);
        let world = World::at(NOW);
        world.write("inbox.jsonl", lines);
        let source = world.build(connector(name).as_ref(), options(name));
        let landed = read_all(&source, &world.ctx).await;
        let rejects: Vec<&str> = landed["events"].rejects.iter().map(|r| r.reason.as_str()).collect();
        let rows: usize =
            landed["events"].batches(&spec(&source, "events")).iter().map(|b| b.num_rows()).sum();
        // Three bodies and the last are objects; Meta's and Wazzup's lists are none in one of them.
        let lists = match name {
            "facebook" | "instagram" => 2,
            "wazzup" => 1,
            // No list, and what it does not know is kept.
            _ => 0,
        };
        assert_eq!((rejects.len(), rows), (6 + lists, 4 - lists), "{name}: {rejects:?}");
    }
}

#[tokio::test]
async fn wrong_options_are_told() {
    let world = World::at(NOW);
    let errors = |name: &str, value: Value| {
        let options = throughline_core::Options { name: name.into(), value, base_dir: world.path("") };
        let errors = connector(name).build(&options).map(|_| ()).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    assert!(errors("telegram", json!({"inbox": "i"})).contains("account"));
    assert!(errors("telegram", json!({"inbox": "i", "account": "a:b"})).contains("without a colon"));
    assert!(errors("wazzup", json!({"inbox": "i", "account": "a"})).contains("no option `account`"));
    assert!(
        errors("viber", json!({"inbox": "i", "account": "a", "app_secret": {"$secret": "x"}}))
            .contains("app_secret")
    );
    assert!(errors("wazzup", json!({"inbox": "["})).contains("no file pattern"));
}

#[tokio::test]
async fn readmes_show_options_that_work() {
    for name in VENDORS {
        let connector = connector(name);
        let (named, options) = readme_options(connector.readme());
        assert_eq!(named, name);
        World::at(NOW).build(connector.as_ref(), options);
    }
}

/// Vendors' own samples, where they are.
#[tokio::test]
async fn samples_of_vendors_are_taken() {
    let Some(folder) = shared("api/messengers/samples") else { return };
    let mut messages = 0;
    for (name, of) in
        VENDORS[..10].iter().map(|v| (*v, if *v == "facebook" { "facebook-messenger" } else { *v }))
    {
        let mut files: Vec<_> =
            std::fs::read_dir(folder.join(of)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let Ok(body) = serde_json::from_str::<Value>(&text) else { continue };
            // What is asked for rather than received, and what vendors answer.
            let file = file.file_name().unwrap().to_str().unwrap().to_owned();
            if file.contains("getupdates") {
                for update in body["result"].as_array().unwrap() {
                    messages += read("telegram", std::slice::from_ref(update)).await["messages"].len();
                }
                continue;
            }
            let answers = [
                "error",
                "get_",
                "longpoll",
                "stats",
                "find_by",
                "desktop",
                "subscriber_get",
                "response",
                "external_event",
                "bigquery",
                "conversations_page",
                "channels.json",
            ];
            if answers.iter().any(|a| file.contains(a)) && !file.contains("status_error") {
                continue;
            }
            let tables = read(name, &[body]).await;
            let rows: usize = tables.values().map(Vec::len).sum();
            let silent = [
                "webhook_test",
                "group_join",
                "confirmation",
                "channels_updates",
                "chat_member_joined",
                "made_delivery",
                "made_read",
                "made_seen",
                "message_read",
            ];
            assert_eq!(
                rows == 0,
                silent.iter().any(|s| file.contains(s)) && !file.contains("made_delivery"),
                "{name}/{file}: {tables:#?}"
            );
            messages += tables.get("messages").map_or(0, Vec::len);
        }
    }
    assert!(messages > 25, "{messages}");
}
