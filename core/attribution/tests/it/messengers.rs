//! Messages, inquiries and messenger metrics.

use serde_json::{Value, json};

use crate::support::{World, fixture};

/// Message rows of the fixture as canonical rows: messages, and their states as the platform reports
/// them.
fn metrics_world() -> World {
    let fixture = fixture("11_messenger_metrics.json");
    let mut world = World::default();
    for row in fixture["messages"].as_array().unwrap() {
        let text = |name: &str| row[name].clone();
        world.add("messages", json!([{
            "platform": text("platform"), "message_id": text("message_id"), "conversation_id": text("conversation_id"),
            "ts": text("ts"), "direction": text("direction"), "sender_kind": text("sender_kind"),
            "kind": text("kind"), "operator_id": text("operator_id"), "user_id": text("conversation_id"),
        }]));
        for (status, at) in [("delivered", "delivered_at"), ("read", "read_at")] {
            if row[at].is_string() {
                world.add(
                    "message_statuses",
                    json!([{"platform": text("platform"),
                    "message_id": text("message_id"), "status": status, "at": text(at)}]),
                );
            }
        }
        if row["failed"] == true {
            world.add(
                "message_statuses",
                json!([{"platform": text("platform"), "message_id": text("message_id"),
                "status": "failed", "at": text("ts"), "failed_code": "131047"}]),
            );
        }
    }
    for row in fixture["conversations"].as_array().unwrap() {
        if row["csat"].is_number() {
            // A score comes as an event beside the conversation's messages.
            let conversation = row["conversation_id"].as_str().unwrap();
            let messages = world.tables.get_mut("messages").unwrap();
            let first = messages
                .iter_mut()
                .find(|m| m["conversation_id"] == conversation && m["direction"] == "in")
                .unwrap();
            first["csat"] = row["csat"].clone();
        }
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn messenger_metrics_of_one_day() {
    let fixture = fixture("11_messenger_metrics.json");
    let done = metrics_world().run().await;
    let columns = [
        "sent",
        "delivered",
        "read",
        "read_base",
        "failed",
        "broadcasts",
        "broadcasts_delivered",
        "replied",
        "inquiries",
        "missed",
        "answered",
        "first_response_sum_s",
        "operator_answered",
        "first_operator_response_sum_s",
        "turns",
        "response_sum_s",
        "csat_sum",
        "csat_n",
        "csat_good",
        "feedback",
        "unsubscribes",
        "bot",
        "contained",
        "escalated",
        "abandoned",
    ];
    let sums: Vec<String> = columns.iter().map(|c| format!("sum({c})")).collect();
    let row = done.one(&format!("SELECT {} FROM messenger_daily", sums.join(", "))).await;
    let values: Vec<f64> = row.split(" | ").map(|v| v.parse().unwrap()).collect();
    let n = |name: &str| values[columns.iter().position(|c| *c == name).unwrap()];
    // Every number of the fixture; the day has two platforms, so ratios are taken of the sums.
    for (name, wanted) in fixture["expected"].as_object().unwrap() {
        let found = match name.as_str() {
            "messages_sent" => n("sent"),
            "messages_delivered" => n("delivered"),
            "messages_failed" => n("failed"),
            "messages_read" => n("read"),
            "delivery_rate" => n("delivered") / n("sent"),
            "read_rate_of_delivered" => n("read") / n("read_base"),
            "campaign_sent_ok" => n("broadcasts"),
            "campaign_replied_24h" => n("replied"),
            "response_rate" => n("replied") / n("broadcasts"),
            "inquiries" => n("inquiries"),
            "missed_inquiries" => n("missed"),
            "first_response_seconds_avg" => n("first_response_sum_s") / n("answered"),
            "first_operator_response_seconds_avg" => {
                n("first_operator_response_sum_s") / n("operator_answered")
            }
            "response_seconds_avg_all_turns" => n("response_sum_s") / n("turns"),
            "turns" => n("turns"),
            "bot_inquiries" => n("bot"),
            "contained" => n("contained"),
            "containment_rate" => n("contained") / n("bot"),
            "escalated" => n("escalated"),
            "escalation_rate" => n("escalated") / n("bot"),
            "abandoned" => n("abandoned"),
            "abandonment_rate" => n("abandoned") / n("inquiries"),
            "csat_avg" => n("csat_sum") / n("csat_n"),
            "csat_share_4_5" => n("csat_good") / n("csat_n"),
            "csat_answers" => n("csat_n"),
            "feedback_rate" => n("feedback") / n("inquiries"),
            "unsubscribes" => n("unsubscribes"),
            "unsubscribe_rate_of_delivered_campaign" => n("unsubscribes") / n("broadcasts_delivered"),
            other => panic!("the fixture's {other} is not tested"),
        };
        let wanted = wanted.as_f64().unwrap();
        assert!((found - wanted).abs() < 1e-12, "{name}: {found} for {wanted}");
    }
    // Each row's own ratios, by hand. Telegram reports neither delivery nor reading here.
    assert_eq!(
        done.rows(
            "SELECT platform, round(delivery_rate, 6), read_rate, response_rate, unsubscribe_rate, containment_rate, \
             escalation_rate, csat_avg, csat_share, feedback_rate, abandonment_rate, p50_response_s, p90_response_s, \
             avg_first_response_working_s FROM messenger_daily ORDER BY platform"
        )
        .await,
        [
            // Inquiries k2 and k6, the latter without an answer but with a score of 4.
            "telegram | 0.0 | - | - | - | 1.0 | 0.0 | 4.0 | 1.0 | 0.5 | 0.5 | 2 | 2 | -",
            // Five of six; three of five. Turns: 5 s, 240 s, 600 s.
            "whatsapp | 0.833333 | 0.6 | 0.5 | 0.5 | 0.0 | 1.0 | 4.0 | 0.5 | 1.0 | 0.0 | 240 | 600 | -",
        ]
    );
}

fn message(id: &str, at: &str, direction: &str, text: &str) -> Value {
    json!({"platform": "whatsapp", "message_id": id, "conversation_id": "whatsapp:1:79160000001", "ts": at,
           "direction": direction, "sender_kind": if direction == "in" { "customer" } else { "operator" },
           "text": text, "user_id": "79160000001"})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inquiry_opens_after_the_gap_and_not_before() {
    let mut world = World::default();
    world.add(
        "messages",
        json!([
            message("a", "2026-03-01T10:00:00Z", "in", "первый"),
            message("b", "2026-03-02T09:00:00Z", "out", "ответ через 23 часа"),
            // 23:59:59 after the answer: the same inquiry, though 47 hours after the customer wrote.
            message("c", "2026-03-03T08:59:59Z", "in", "спасибо"),
            // Exactly 24 hours: a new one.
            message("d", "2026-03-04T08:59:59Z", "in", "новый вопрос"),
        ]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT inquiry_id, ts, closed_ts, n_in, n_out, missed FROM inquiries ORDER BY ts").await,
        [
            "whatsapp:a | 2026-03-01T10:00:00Z | 2026-03-04T08:59:59Z | 2 | 1 | false",
            "whatsapp:d | 2026-03-04T08:59:59Z | 2026-03-05T08:59:59Z | 1 | 0 | true",
        ]
    );
    assert_eq!(
        done.rows("SELECT message_id, inquiry_id FROM messages ORDER BY message_id").await,
        ["a | whatsapp:a", "b | whatsapp:a", "c | whatsapp:a", "d | whatsapp:d"]
    );
    // An hour after the last message nothing is closed yet, so nothing is missed.
    world.now_us = Some(1_772_618_399_000_000);
    let done = world.run().await;
    assert_eq!(
        done.one("SELECT closed_ts, missed, resolved FROM inquiries WHERE inquiry_id = 'whatsapp:d'").await,
        "- | false | false"
    );
    world.settings.inquiry_gap_hours = 12.0;
    assert_eq!(world.run().await.rows("SELECT inquiry_id FROM inquiries ORDER BY ts").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_unsubscribe_is_no_inquiry() {
    let mut world = World::default();
    world.add(
        "messages",
        json!([
            message("a", "2026-03-01T10:00:00Z", "in", " «СТОП!» "),
            message("b", "2026-03-05T10:00:00Z", "in", "Stop."),
            message("c", "2026-03-05T10:01:00Z", "in", "А нет, подскажите цену"),
            message("d", "2026-03-10T10:00:00Z", "in", "الغاء الاشتراك"),
            message("e", "2026-03-12T10:00:00Z", "in", "стоп-кран сколько стоит"),
        ]),
    );
    world.add(
        "consents",
        json!([{"platform": "whatsapp", "user_id": "79160000001", "ts": "2026-03-10T10:00:01Z",
        "action": "opt_out", "method": "keyword"}]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT inquiry_id, n_in, first_text FROM inquiries ORDER BY ts").await,
        ["whatsapp:c | 1 | А нет, подскажите цену", "whatsapp:e | 1 | стоп-кран сколько стоит"]
    );
    // The keyword and the platform's own event of one day are one opt-out.
    assert_eq!(
        done.rows("SELECT date, unsubscribes FROM messenger_daily WHERE unsubscribes > 0 ORDER BY date")
            .await,
        ["2026-03-01 | 1", "2026-03-05 | 1", "2026-03-10 | 1"]
    );
    assert_eq!(done.one("SELECT consent_state FROM dim_person").await, "opt_out");
}

#[tokio::test(flavor = "multi_thread")]
async fn states_fold_so_that_each_implies_those_before_it() {
    let status = |id: &str, status: &str, at: &str| {
        json!({"platform": "whatsapp", "message_id": id, "status": status, "at": at, "user_id": "79160000001",
               "conversation_id": "whatsapp:1:79160000001", "price_category": "marketing"})
    };
    let mut world = World::default();
    world.add("messages", json!([message("out", "2026-03-01T10:00:00Z", "out", "привет")]));
    world.add(
        "message_statuses",
        json!([
            // Read came alone; it implies the others.
            status("out", "read", "2026-03-01T10:00:09Z"),
            // Out of order: delivered before sent.
            status("api", "sent", "2026-03-01T11:00:05Z"),
            status("api", "delivered", "2026-03-01T11:00:03Z"),
            status("api", "read", "2026-03-01T11:00:08Z"),
            status("api", "read", "2026-03-01T11:00:08Z"),
            status("bad", "sent", "2026-03-01T12:00:00Z"),
            status("bad", "failed", "2026-03-01T12:00:01Z"),
            // Failed to one device, delivered after all.
            status("late", "failed", "2026-03-01T13:00:00Z"),
            status("late", "delivered", "2026-03-01T13:00:10Z"),
        ]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT message_id, sender_kind, sent_at, delivered_at, read_at, failed_at FROM messages ORDER BY message_id").await,
        [
            "api | broadcast | 2026-03-01T11:00:03Z | 2026-03-01T11:00:03Z | 2026-03-01T11:00:08Z | -",
            "bad | broadcast | 2026-03-01T12:00:00Z | - | - | 2026-03-01T12:00:01Z",
            "late | broadcast | 2026-03-01T13:00:10Z | 2026-03-01T13:00:10Z | - | -",
            "out | operator | 2026-03-01T10:00:00Z | 2026-03-01T10:00:09Z | 2026-03-01T10:00:09Z | -",
        ]
    );
    assert_eq!(
        done.one("SELECT sent, delivered, read, failed, broadcasts FROM messenger_daily").await,
        "4 | 3 | 2 | 1 | 2"
    );
    // Delivered broadcasts are touches; the failed one is not.
    assert_eq!(
        done.rows("SELECT touch_id, channel_id FROM touches ORDER BY touch_id").await,
        ["broadcast:whatsapp:api | messenger_broadcast", "broadcast:whatsapp:late | messenger_broadcast"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn reactions_and_notices_count_nowhere() {
    let mut reaction = message("r", "2026-03-01T10:00:00Z", "in", "👍");
    reaction["is_event"] = true.into();
    let mut notice = message("n", "2026-03-01T10:05:00Z", "out", "оператор подключился");
    notice["sender_kind"] = "system".into();
    let mut world = World::default();
    world.add("messages", json!([reaction, notice]));
    let done = world.run().await;
    assert_eq!(done.one("SELECT count(*) FROM messages").await, "2");
    assert_eq!(done.one("SELECT count(*) FROM inquiries").await, "0");
    assert_eq!(done.one("SELECT coalesce(sum(sent), 0) FROM messenger_daily").await, "0");
}
