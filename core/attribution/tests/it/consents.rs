//! Opt-ins, opt-outs, and broadcasts that had none.

use serde_json::{Value, json};

use crate::support::World;

fn message(platform: &str, id: &str, user: &str, at: &str, sender: &str, text: &str) -> Value {
    json!({"platform": platform, "message_id": id, "conversation_id": format!("{platform}:1:{user}"), "ts": at,
           "direction": if sender == "customer" { "in" } else { "out" }, "sender_kind": sender, "text": text,
           "user_id": user})
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_that_of_the_instant_a_broadcast_was_sent() {
    let mut world =
        World::with(json!({"unsubscribe_keywords": ["Хватит!"], "subscribe_keywords": ["верните"]}));
    let user = "79160000001";
    world.add(
        "consents",
        json!([
            // On the site by phone, which is the same person's; later stopped in WhatsApp.
            {"platform": "phone", "user_id": "+79160000001", "ts": "2026-03-01T09:00:00Z", "action": "opt_in",
             "method": "form", "evidence": "form 17"},
            {"platform": "whatsapp", "user_id": user, "ts": "2026-03-04T10:00:00Z", "action": "opt_out",
             "evidence": "131050"},
            // Blocking the Telegram bot says nothing of WhatsApp.
            {"platform": "telegram", "user_id": "5", "ts": "2026-03-01T11:00:00Z", "action": "opt_out"},
        ]),
    );
    world.add(
        "identity_edges",
        json!([{"left_type": "tg_user", "left_value": "5", "right_type": "phone", "right_value": "+79160000001"}]),
    );
    world.add(
        "messages",
        json!([
            message("whatsapp", "before", user, "2026-03-01T08:59:59Z", "broadcast", "Акция"),
            message("whatsapp", "after", user, "2026-03-02T10:00:00Z", "broadcast", "Акция"),
            message("telegram", "tg", "5", "2026-03-02T10:00:00Z", "broadcast", "Акция"),
            message("whatsapp", "stopped", user, "2026-03-05T10:00:00Z", "broadcast", "Акция"),
            message("whatsapp", "back", user, "2026-03-06T10:00:00Z", "customer", "ВЕРНИТЕ"),
            message("whatsapp", "again", user, "2026-03-06T11:00:00Z", "broadcast", "Акция"),
            message("whatsapp", "own", user, "2026-03-07T11:00:00Z", "customer", "хватит"),
            message("whatsapp", "late", user, "2026-03-07T11:00:01Z", "broadcast", "Акция"),
            message("whatsapp", "plain", user, "2026-03-07T11:00:02Z", "operator", "Поняли вас"),
        ]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows(
            "SELECT message_id, has_consent FROM messages WHERE direction = 'out' ORDER BY ts, message_id"
        )
        .await,
        [
            "before | false",
            "after | true",
            "tg | false",
            "stopped | false",
            "again | true",
            "late | false",
            "plain | -",
        ]
    );
    assert_eq!(
        done.rows("SELECT platform, ts, action, method, evidence FROM consents ORDER BY ts").await,
        [
            "phone | 2026-03-01T09:00:00Z | opt_in | form | form 17",
            "telegram | 2026-03-01T11:00:00Z | opt_out | platform | -",
            "whatsapp | 2026-03-04T10:00:00Z | opt_out | platform | 131050",
            "whatsapp | 2026-03-06T10:00:00Z | opt_in | keyword | back",
            "whatsapp | 2026-03-07T11:00:00Z | opt_out | keyword | own",
        ]
    );
    assert_eq!(
        done.rows(
            "SELECT date, platform, recipients, recipients_consented, opt_in_coverage FROM messenger_daily \
             WHERE recipients > 0 ORDER BY date, platform"
        )
        .await,
        [
            "2026-03-01 | whatsapp | 1 | 0 | 0.0",
            "2026-03-02 | telegram | 1 | 0 | 0.0",
            "2026-03-02 | whatsapp | 1 | 1 | 1.0",
            "2026-03-05 | whatsapp | 1 | 0 | 0.0",
            "2026-03-06 | whatsapp | 1 | 1 | 1.0",
            "2026-03-07 | whatsapp | 1 | 0 | 0.0",
        ]
    );
    // Five days of WhatsApp, three of them without consent.
    assert!(
        done.outcome
            .notices
            .iter()
            .any(|n| n.code == "broadcast_without_consent" && n.message.starts_with("whatsapp: 3 of 5")),
        "{:?}",
        done.outcome.notices
    );
    assert_eq!(
        done.one("SELECT consent_state, consent_ts FROM dim_person").await,
        "opt_out | 2026-03-07T11:00:00Z"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keywords_of_every_language_stop_and_languages_can_be_chosen() {
    let words = ["STOP", "Unsubscribe!", "отписаться", "Не присылайте больше.", "إلغاء الاشتراك", "توقف"];
    let mut world = World::default();
    for (i, word) in words.iter().enumerate() {
        let at = format!("2026-03-0{}T10:00:00Z", i + 1);
        world.add(
            "messages",
            json!([message("whatsapp", &i.to_string(), "79160000001", &at, "customer", word)]),
        );
    }
    let done = world.run().await;
    assert_eq!(done.one("SELECT count(*) FROM messages WHERE is_unsubscribe").await, "6");
    assert_eq!(done.one("SELECT count(*) FROM inquiries").await, "0");
    world.settings.unsubscribe_languages = vec![throughline_attribution::Language::Ar];
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT message_id FROM messages WHERE is_unsubscribe ORDER BY ts").await,
        ["4", "5"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_are_told_by_the_first_rule_that_holds() {
    let mut world = World::with(json!({"models": ["last_touch"], "segment": [
        {"name": "vip", "min_spend": 100.0},
        {"name": "refused", "consent": "opt_out"},
        {"name": "asleep", "inactive_days": 90},
        {"name": "buyer", "min_sales": 1},
    ]}));
    // The run is on 2026-09-30.
    let touch =
        |person: &str, at: &str| json!({"touch_id": person, "person_id": person, "channel": "a", "ts": at});
    let sale = |person: &str, at: &str, minor: i64| json!({"conversion_id": format!("{person}-{at}"), "person_id": person, "ts": at, "value_minor": minor, "currency": "RUB"});
    world.add(
        "touches",
        json!([
            touch("rich", "2026-01-01T00:00:00Z"),
            touch("sleeper", "2026-07-02T00:00:00Z"),
            touch("waking", "2026-07-02T00:00:01Z"),
            touch("small", "2026-09-01T00:00:00Z"),
        ]),
    );
    world.add(
        "conversions",
        json!([
            sale("rich", "2026-01-02T00:00:00Z", 9_999),
            sale("rich", "2026-01-03T00:00:00Z", 1),
            sale("small", "2026-09-02T00:00:00Z", 9_999),
        ]),
    );
    world.add(
        "messages",
        json!([message("whatsapp", "m", "79160000001", "2026-09-01T00:00:00Z", "customer", "stop")]),
    );
    let done = world.run().await;
    let mut rows = done.rows("SELECT person_id, segment FROM dim_person WHERE person_id NOT LIKE 'p%'").await;
    rows.sort();
    // Exactly ninety days ago is asleep, a second less is nothing.
    assert_eq!(rows, ["rich | vip", "sleeper | asleep", "small | buyer", "waking | -"]);
    assert_eq!(done.one("SELECT segment FROM dim_person WHERE person_id LIKE 'p%'").await, "refused");
    world.settings.segments.clear();
    let done = world.run().await;
    let mut rows = done.rows("SELECT person_id, segment FROM dim_person WHERE person_id NOT LIKE 'p%'").await;
    rows.sort();
    assert_eq!(rows, ["rich | inactive", "sleeper | new", "small | new", "waking | new"]);
}
