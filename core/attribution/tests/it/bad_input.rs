//! Data that should not be: told by name and number, and no total is off by it.

use serde_json::json;

use crate::support::World;

fn codes(notices: &[throughline_core::Notice]) -> Vec<(&str, &str)> {
    notices.iter().map(|n| (n.code.as_ref(), n.message.as_str())).collect()
}

/// A visit of 2026-03-01 that became a deal of 1000.00 RUB, and what it cost.
fn shop() -> World {
    let mut world = World::default();
    world.add(
        "visits",
        json!([{"visit_id": "v1", "started_at": "2026-03-01T09:00:00Z", "token": "A000000000A", "source": "yandex",
                "medium": "cpc", "campaign": "диваны"}]),
    );
    world.add(
        "messages",
        json!([{"platform": "whatsapp", "message_id": "m1", "conversation_id": "whatsapp:1:79160000001", "ts": "2026-03-01T10:00:00Z",
                "direction": "in", "sender_kind": "customer", "text": "Здравствуйте", "user_id": "79160000001",
                "token": "A000000000A", "token_state": "ok"}]),
    );
    world.add("contacts", json!([{"contact_id": "c1", "phone_e164": "+79160000001"}]));
    world.add(
        "deals",
        json!([{"deal_id": "d1", "contact_id": "c1", "created_at": "2026-03-01T11:00:00Z", "state": "won",
                "closed_at": "2026-03-02T11:00:00Z", "value_minor": 100_000, "currency": "RUB"}]),
    );
    world.add(
        "costs",
        json!([{"system": "yandex_direct", "day": "2026-03-01", "cost_minor": 5000, "currency": "RUB", "campaign": "диваны"}]),
    );
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_negative_cost_is_told_and_lowers_what_was_spent() {
    let mut world = shop();
    world.add(
        "costs",
        json!([{"system": "yandex_direct", "day": "2026-03-02", "cost_minor": -1234, "currency": "RUB", "campaign": "диваны"}]),
    );
    let done = world.run().await;
    let said = codes(&done.outcome.notices);
    assert!(said.iter().any(|(c, m)| *c == "negative_cost" && m.starts_with("1 ")), "{said:?}");
    assert_eq!(done.one("SELECT CAST(sum(cost) * 100 AS BIGINT) FROM costs").await, "3766");
    let daily = "SELECT CAST(sum(cost) * 100 AS BIGINT) FROM channel_daily WHERE model = (SELECT min(model) FROM channel_daily)";
    assert_eq!(done.one(daily).await, "3766");
    assert!(done.outcome.books.iter().all(|b| b.ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_touch_in_the_future_is_told_and_brings_no_sale() {
    let mut world = shop();
    world.add(
        "visits",
        json!([{"visit_id": "v2", "started_at": "2062-03-01T09:00:00Z", "ym_client_id": "1", "source": "google"}]),
    );
    let done = world.run().await;
    let said = codes(&done.outcome.notices);
    assert!(said.iter().any(|(c, m)| *c == "touch_in_future" && m.starts_with("1 ")), "{said:?}");
    // It is there, for whoever looks for the wrong clock, and has no part in what was before it.
    assert_eq!(
        done.one("SELECT count(*) FROM touches WHERE ts > TIMESTAMP '2060-01-01T00:00:00Z'").await,
        "1"
    );
    let credit = "SELECT count(*) FROM attribution a JOIN touches t ON t.touch_id = a.touch_id WHERE t.ts > TIMESTAMP '2060-01-01T00:00:00Z'";
    assert_eq!(done.one(credit).await, "0");
    assert!(done.outcome.books.iter().all(|b| b.ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_in_the_future_is_told() {
    let mut world = shop();
    world.add(
        "deals",
        json!([{"deal_id": "d2", "contact_id": "c1", "created_at": "2026-03-01T11:00:00Z", "state": "won",
                "closed_at": "2126-03-02T11:00:00Z", "value_minor": 7, "currency": "RUB"}]),
    );
    let done = world.run().await;
    let said = codes(&done.outcome.notices);
    assert!(said.iter().any(|(c, _)| *c == "conversion_in_future"), "{said:?}");
    assert!(done.outcome.books.iter().all(|b| b.ok));
}
