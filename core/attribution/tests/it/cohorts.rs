//! Cohorts: who comes back, who buys again.

use serde_json::{Value, json};

use crate::support::World;

fn inquiry(person: &str, at: &str) -> Value {
    json!({"platform": "whatsapp", "message_id": format!("{person}-{at}"), "conversation_id": format!("whatsapp:1:{person}"),
           "ts": at, "direction": "in", "sender_kind": "customer", "text": "вопрос", "user_id": person})
}

fn company() -> World {
    // The day of the run: 2026-04-15.
    let mut world = World { now_us: Some(1_776_211_200_000_000), ..World::default() };
    world.add(
        "messages",
        json!([
            inquiry("79160000001", "2026-01-05T10:00:00Z"),
            inquiry("79160000001", "2026-01-20T10:00:00Z"),
            inquiry("79160000001", "2026-03-31T23:59:59Z"),
            inquiry("79160000002", "2026-01-31T23:00:00Z"),
            inquiry("79160000002", "2026-02-01T23:30:00Z"),
            inquiry("79160000003", "2026-03-02T10:00:00Z"),
        ]),
    );
    for (n, person) in ["79160000001", "79160000002", "79160000003"].iter().enumerate() {
        world.add(
            "contacts",
            json!([{"contact_id": format!("crm:1:{n}"), "phone_e164": format!("+{person}")}]),
        );
    }
    let sale = |id: i64, contact: i64, at: &str| {
        json!({"deal_id": format!("crm:1:{id}"), "contact_id": format!("crm:1:{contact}"), "created_at": at,
               "closed_at": at, "state": "won", "value_minor": 100, "currency": "RUB"})
    };
    world.add(
        "deals",
        json!([
            // The first buys before he ever wrote, and again in March; the second buys in April.
            sale(1, 0, "2025-12-01T00:00:00Z"),
            sale(2, 0, "2026-03-10T00:00:00Z"),
            sale(3, 0, "2026-03-11T00:00:00Z"),
            sale(4, 1, "2026-04-01T00:00:00Z"),
        ]),
    );
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_month() {
    let done = company().run().await;
    assert_eq!(
        done.rows("SELECT cohort, age, persons, returned, retention, buyers, repeat_buyers FROM cohort_retention ORDER BY cohort, age").await,
        [
            "2026-01-01 | 0 | 2 | 2 | 1.0 | 1 | 0",
            "2026-01-01 | 1 | 2 | 1 | 0.5 | 1 | 0",
            "2026-01-01 | 2 | 2 | 1 | 0.5 | 1 | 1",
            "2026-01-01 | 3 | 2 | 0 | 0.0 | 2 | 1",
            "2026-03-01 | 0 | 1 | 1 | 1.0 | 0 | 0",
            "2026-03-01 | 1 | 1 | 0 | 0.0 | 0 | 0",
        ]
    );
    assert_eq!(done.one("SELECT sum(new), sum(repeat) FROM messenger_daily").await, "3 | 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_week() {
    let mut world = company();
    world.settings.cohort_period = throughline_attribution::CohortPeriod::Week;
    let done = world.run().await;
    // Mondays: 2026-01-05, 2026-01-26, 2026-03-02. The second person comes again within the same week.
    assert_eq!(
        done.rows("SELECT cohort, age, persons, returned FROM cohort_retention WHERE returned > 0 ORDER BY cohort, age").await,
        [
            "2026-01-05 | 0 | 1 | 1",
            "2026-01-05 | 2 | 1 | 1",
            "2026-01-05 | 12 | 1 | 1",
            "2026-01-26 | 0 | 1 | 1",
            "2026-03-02 | 0 | 1 | 1",
        ]
    );
}
