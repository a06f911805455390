//! A/B tests of messages, and conversions after messages and inquiries.

use serde_json::{Value, json};

use crate::support::World;

fn sent(id: &str, user: i64, variant: &str) -> Value {
    json!({"platform": "whatsapp", "message_id": id, "conversation_id": format!("whatsapp:1:{user}"),
           "ts": "2026-03-01T10:00:00Z", "direction": "out", "sender_kind": "broadcast", "user_id": user.to_string(),
           "ab_test": "кнопки", "ab_variant": variant})
}

/// Ten get A of whom two buy, ten get B of whom seven do.
fn test_of_twenty() -> World {
    let mut world = World::with(json!({"target_conversion": "won", "target_window_hours": 24.0}));
    for n in 0..20 {
        let user = 79_160_000_000 + n;
        let variant = if n < 10 { "A" } else { "B" };
        let id = format!("m{n}");
        world.add("messages", json!([sent(&id, user, variant)]));
        world.add(
            "message_statuses",
            json!([{"platform": "whatsapp", "message_id": id, "status": if n % 10 == 9 { "sent" } else { "delivered" },
                    "at": "2026-03-01T10:00:10Z"}]),
        );
        if n % 10 < 4 {
            world.add(
                "message_statuses",
                json!([{"platform": "whatsapp", "message_id": id, "status": "clicked", "at": "2026-03-01T10:05:00Z"}]),
            );
        }
        let contact = format!("crm:1:{n}");
        world.add("contacts", json!([{"contact_id": contact, "phone_e164": format!("+{user}")}]));
        let buys = n < 2 || (10..17).contains(&n);
        // One buys too late: a second after the day is over.
        let at = if buys { "2026-03-02T10:00:10Z" } else { "2026-03-02T10:00:11Z" };
        if buys || n == 5 {
            world.add(
                "deals",
                json!([{"deal_id": format!("crm:1:{n}"), "contact_id": contact, "created_at": at, "closed_at": at,
                        "state": "won", "value_minor": 100, "currency": "RUB"}]),
            );
        }
    }
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_are_compared_by_two_proportions() {
    let done = test_of_twenty().run().await;
    assert_eq!(
        done.rows(
            "SELECT test, variant, recipients, delivered, read, clicked, replied, converted, metric, is_control, rate \
             FROM ab_results ORDER BY variant"
        )
        .await,
        [
            "кнопки | A | 10 | 9 | 0 | 4 | 0 | 2 | converted | true | 0.2",
            "кнопки | B | 10 | 9 | 0 | 4 | 0 | 7 | converted | false | 0.7",
        ]
    );
    let row = done.one("SELECT z, p_value FROM ab_results WHERE variant = 'B'").await;
    let (z, p) = row.split_once(" | ").unwrap();
    let (z, p): (f64, f64) = (z.parse().unwrap(), p.parse().unwrap());
    // Pooled 0.45: z = 0.5 / sqrt(0.45 * 0.55 * 0.2) = 2.247333, and 2 * (1 - Phi(2.247333)) = 0.024619.
    assert!((z - 2.247_332_874_9).abs() < 1e-9, "{z}");
    assert!((p - 0.024_618_7).abs() < 1e-6, "{p}");
    assert_eq!(done.one("SELECT z, p_value FROM ab_results WHERE variant = 'A'").await, "- | -");
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_and_conversions_have_their_base() {
    let mut world = test_of_twenty();
    // One of the buyers of A inquires as well, after the sale: that inquiry led to nothing.
    world.add(
        "messages",
        json!([{"platform": "whatsapp", "message_id": "q", "conversation_id": "whatsapp:1:79160000000",
                "ts": "2026-03-03T10:00:00Z", "direction": "in", "sender_kind": "customer", "user_id": "79160000000",
                "text": "где заказ"},
               {"platform": "whatsapp", "message_id": "r", "conversation_id": "whatsapp:1:79160000006",
                "ts": "2026-03-01T12:00:00Z", "direction": "in", "sender_kind": "customer", "user_id": "79160000006",
                "text": "почём"}]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows(
            "SELECT date, broadcasts, replied, response_rate, delivered_persons, clicked_persons, messaged_persons, messaged_converted, \
             conversion_of_messaged, inquiring_persons, inquiring_converted, conversion_of_inquiring \
             FROM messenger_daily ORDER BY date"
        )
        .await,
        [
            // Nine of twenty delivered to nobody: 18 reached, all nine buyers among them.
            "2026-03-01 | 20 | 1 | 0.05 | 18 | 8 | 18 | 9 | 0.5 | 1 | 0 | 0.0",
            "2026-03-03 | 0 | 0 | - | 0 | 0 | 0 | 0 | - | 1 | 0 | 0.0",
        ]
    );
    assert_eq!(
        done.one("SELECT round(click_rate, 9) FROM messenger_daily WHERE clicked_persons > 0").await,
        "0.444444444"
    );
}
