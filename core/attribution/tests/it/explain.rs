//! One deal's whole line.

use serde_json::{Value, json};
use throughline_attribution::{Explanation, explain};

use crate::support::World;

fn world() -> World {
    let mut world = World::with(json!({"models": ["last_touch", "linear"]}));
    world.add("visits", json!([
        {"visit_id": "ym:1:1", "started_at": "2026-03-01T10:00:00Z", "token": "HHR3D1196WD", "ym_client_id": "7",
         "source": "yandex", "medium": "cpc", "campaign": "весна"},
        {"visit_id": "ym:1:0", "started_at": "2026-02-20T10:00:00Z", "ym_client_id": "7", "source": "vk", "medium": "cpc", "campaign": "x"},
    ]));
    world.add("messages", json!([
        {"platform": "whatsapp", "message_id": "wamid.1", "conversation_id": "whatsapp:1:79161234567", "ts": "2026-03-01T10:05:00Z",
         "direction": "in", "sender_kind": "customer", "text": "Цена? [ID:HHR3D1196WD]", "user_id": "79161234567",
         "token": "HHR3D1196WD", "token_state": "ok"},
        {"platform": "whatsapp", "message_id": "wamid.9", "conversation_id": "whatsapp:1:79169999999", "ts": "2026-03-01T10:05:00Z",
         "direction": "in", "sender_kind": "customer", "text": "Здравствуйте", "user_id": "79169999999", "token_state": "missing"},
    ]));
    world.add(
        "contacts",
        json!([
            {"contact_id": "amocrm:shop:1", "name": "Анна", "phone_e164": "+79161234567"},
            {"contact_id": "amocrm:shop:2", "phone_e164": "+79169999999"},
        ]),
    );
    let deal = |id: &str, contact: Option<&str>| {
        json!({"deal_id": format!("amocrm:shop:{id}"), "contact_id": contact,
        "created_at": "2026-03-01T11:00:00Z", "closed_at": "2026-03-02T11:00:00Z", "state": "won",
        "value_minor": 100_000, "currency": "RUB"})
    };
    world.add(
        "deals",
        json!([
            deal("10", Some("amocrm:shop:1")), deal("20", Some("amocrm:shop:2")), deal("30", None),
            {"deal_id": "other:shop:10", "created_at": "2026-03-01T11:00:00Z", "state": "open"},
        ]),
    );
    world.add("costs", json!([
        {"system": "yandex_direct", "day": "2026-03-01", "cost_minor": 5000, "currency": "RUB", "source": "yandex",
         "medium": "cpc", "campaign": "весна", "campaign_id": "99"},
    ]));
    world
}

fn steps(explanation: &Explanation) -> Vec<String> {
    explanation.lines.iter().map(|l| format!("{} {} {}", l.step, l.table, l.key)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_line_from_cost_to_money() {
    let done = world().run().await;
    let told = explain(&done.engine, "amocrm:shop:10").await.unwrap();
    let steps = steps(&told);
    assert!(steps[0].starts_with("cost costs 2026-03-01 yandex_direct c_"), "{steps:?}");
    assert_eq!(
        steps[1..],
        [
            "visit in_visits ym:1:1",
            "message messages whatsapp:wamid.1",
            "inquiry inquiries whatsapp:wamid.1",
            "contact in_contacts amocrm:shop:1",
            "deal in_deals amocrm:shop:10",
            "conversion conversions lead:amocrm:shop:10",
            "conversion conversions won:amocrm:shop:10",
        ]
    );
    assert!(told.gaps.is_empty(), "{:?}", told.gaps);
    assert_eq!(told.lines[1].at.as_deref(), Some("2026-03-01T10:00:00Z"));
    assert!(told.lines[1].because.starts_with("match_method token"));
    let won: Vec<String> = told
        .credits
        .iter()
        .filter(|c| c.conversion_id.starts_with("won"))
        .map(|c| format!("{} {} {} {} {}", c.model, c.touch_index, c.channel_id, c.credit, c.gross))
        .collect();
    assert_eq!(
        won,
        [
            "last_touch 1 paid_social 0 0.00",
            "last_touch 2 paid_search 1 1000.00",
            "linear 1 paid_social 0.5 500.00",
            "linear 2 paid_search 0.5 500.00",
        ]
    );
    let json: Value = serde_json::to_value(&told).unwrap();
    assert_eq!(json["lines"][5]["facts"][0], json!(["deal_id", "amocrm:shop:10"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_with_what_would_have_matched() {
    let done = world().run().await;
    let told = explain(&done.engine, "20").await.unwrap();
    let gaps: Vec<&str> = told.gaps.iter().map(|g| g.step).collect();
    assert_eq!(gaps, ["token", "touch", "touch"]);
    assert_eq!(told.gaps[0].missing, "the first message holds no visit token");
    assert_eq!(told.credits[0].channel_id, "(none)");

    let told = explain(&done.engine, "amocrm:shop:30").await.unwrap();
    let gaps: Vec<&str> = told.gaps.iter().map(|g| g.step).collect();
    assert_eq!(gaps, ["inquiry", "touch", "contact"]);

    let error = explain(&done.engine, "10").await.err().unwrap();
    assert!(error.to_string().contains("end of 2 deal ids"), "{error}");
    let error = explain(&done.engine, "77").await.err().unwrap();
    assert_eq!(error.kind(), throughline_core::ErrorKind::NotFound);
}
