//! One deal's whole line.

use serde_json::{Value, json};
use throughline_attribution::Explanation;

use crate::support::{Done, World};

async fn explain(done: &Done, deal: &str) -> Result<Explanation, throughline_core::Error> {
    throughline_attribution::explain(&done.engine, &world().settings, deal).await
}

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
    let told = explain(&done, "amocrm:shop:10").await.unwrap();
    let steps = steps(&told);
    assert!(steps[0].starts_with("cost costs 2026-03-01 yandex_direct c_"), "{steps:?}");
    assert_eq!(
        steps[1..],
        [
            "visit in_visits ym:1:1",
            "token in_messages whatsapp:wamid.1",
            "message in_messages whatsapp:wamid.1",
            "inquiry inquiries whatsapp:wamid.1",
            "person identity_map p_0c84edbd4808ab9d",
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
    assert_eq!(json["lines"][7]["facts"][0], json!(["deal_id", "amocrm:shop:10"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said_with_what_would_have_matched() {
    let done = world().run().await;
    let told = explain(&done, "20").await.unwrap();
    let gaps: Vec<&str> = told.gaps.iter().map(|g| g.step).collect();
    assert_eq!(gaps, ["token", "touch", "touch"]);
    assert_eq!(told.gaps[0].missing, "the first message holds no visit token");
    assert_eq!(told.credits[0].channel_id, "(none)");

    let told = explain(&done, "amocrm:shop:30").await.unwrap();
    let gaps: Vec<&str> = told.gaps.iter().map(|g| g.step).collect();
    assert_eq!(gaps, ["contact", "inquiry", "touch"]);

    let error = explain(&done, "10").await.err().unwrap();
    assert!(error.to_string().contains("end of 2 deal ids"), "{error}");
    let error = explain(&done, "77").await.err().unwrap();
    assert_eq!(error.kind(), throughline_core::ErrorKind::NotFound);
}

/// A deal of a contact with this phone, made at that instant.
fn deal_of(world: &mut World, id: &str, phone: &str, made: &str) {
    world.add("contacts", json!([{"contact_id": format!("c{id}"), "phone_e164": phone}]));
    world.add(
        "deals",
        json!([{"deal_id": id, "contact_id": format!("c{id}"), "created_at": made, "state": "open", "currency": "RUB"}]),
    );
}

fn message(world: &mut World, id: &str, user: &str, at: &str, text: &str) {
    let (state, token) = throughline_core::token::read_text(text);
    world.add(
        "messages",
        json!([{"platform": "whatsapp", "message_id": id, "conversation_id": format!("whatsapp:1:{user}"), "ts": at,
                "direction": "in", "sender_kind": "customer", "text": text, "user_id": user,
                "token": token.map(|t| t.to_string()), "token_state": state.as_str()}]),
    );
}

fn gap<'a>(told: &'a Explanation, step: &str) -> (&'a str, &'a str) {
    let gap = told.gaps.iter().find(|g| g.step == step).unwrap_or_else(|| panic!("{step}: {:#?}", told.gaps));
    (&gap.missing, &gap.would_match)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_lose_a_token_is_told() {
    let mut world = world();
    world.add(
        "visits",
        json!([
            {"visit_id": "twice:1", "started_at": "2026-03-01T09:00:00Z", "token": "00000000000"},
            {"visit_id": "twice:2", "started_at": "2026-03-01T09:30:00Z", "token": "00000000000"},
        ]),
    );
    let unknown = throughline_core::token::VisitToken::from_number(424_242).unwrap();
    let texts = [
        ("a", "79160000001", "Здравствуйте [ID:HHR3D1196WX]".to_string()),
        ("b", "79160000002", format!("[ID:{unknown}]")),
        ("c", "79160000003", "[ID:00000000000]".to_string()),
        ("d", "79160000004", "Переслали: [ID:HHR3D1196WD]".to_string()),
        ("e", "79160000005", "[ID:HHR3D119]".to_string()),
    ];
    for (id, user, text) in &texts {
        message(&mut world, id, user, "2026-03-01T12:00:00Z", text);
        deal_of(&mut world, id, &format!("+{user}"), "2026-03-01T13:00:00Z");
    }
    let done = world.run().await;

    let told = explain(&done, "a").await.unwrap();
    let (missing, would) = gap(&told, "token");
    assert!(missing.contains("the 11th, is X, and HHR3D1196W wants D"), "{missing}");
    assert!(would.contains("HHR3D1196WD of visit ym:1:1"), "{would}");
    let told = explain(&done, "b").await.unwrap();
    assert!(gap(&told, "token").0.contains("belongs to no visit that was read"), "{:?}", told.gaps);
    let told = explain(&done, "c").await.unwrap();
    assert!(
        gap(&told, "token").0.contains("seen on 2 visits and matches none: twice:1, twice:2"),
        "{:?}",
        told.gaps
    );
    let told = explain(&done, "d").await.unwrap();
    let missing = gap(&told, "token").0;
    assert!(missing.contains("came first from somebody else: 79161234567 wrote with it"), "{missing}");
    let told = explain(&done, "e").await.unwrap();
    assert!(gap(&told, "token").0.contains("8 symbols in place of 11"), "{:?}", told.gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_too_early_is_told_with_the_days() {
    let mut world = world();
    // 41 days after the visit, 31 and a half after the inquiry.
    deal_of(&mut world, "late", "+79161234567", "2026-04-01T22:05:00Z");
    let done = world.run().await;
    let told = explain(&done, "late").await.unwrap();
    let (missing, _) = gap(&told, "inquiry");
    assert_eq!(
        missing,
        "the person's last inquiry before the deal, whatsapp:wamid.1 of 2026-03-01T10:05:00Z, is 1.5 days older than the \
         look-back of 30 days"
    );
    let (missing, would) = gap(&told, "touch");
    assert!(
        missing.contains("visit:ym:1:1 of 2026-03-01T10:00:00Z (paid_search), is 1.5 days older"),
        "{missing}"
    );
    assert!(would.contains("lookback_days = 32 or more"), "{would}");
    // The other deal of the same person, as context.
    let others: Vec<&str> = told.other_deals.iter().map(|d| d.deal_id.as_str()).collect();
    assert_eq!(others, ["amocrm:shop:10"]);
    assert_eq!(
        (told.other_deals[0].state.as_str(), told.other_deals[0].net.as_deref()),
        ("won", Some("1000.00"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deals_that_nobody_can_be_tied_to() {
    let mut world = world();
    let deal = |id: &str, contact: &str, deleted: bool| json!({"deal_id": id, "contact_id": contact, "created_at": "2026-03-01T13:00:00Z", "state": "open", "is_deleted": deleted});
    world.add(
        "deals",
        json!([deal("unread", "c404", false), deal("bare", "c1", false), deal("gone", "c1", true)]),
    );
    world.add("contacts", json!([{"contact_id": "c1", "name": "Без телефона"}]));
    world.add("refunds", json!([{"refund_id": "r1", "ts": "2026-03-05T00:00:00Z", "value_minor": 500, "deal_id": "amocrm:shop:10"}]));
    let done = world.run().await;
    let told = explain(&done, "unread").await.unwrap();
    assert!(
        gap(&told, "contact").0.contains("c404, is not among the contacts that were read"),
        "{:?}",
        told.gaps
    );
    let told = explain(&done, "bare").await.unwrap();
    assert!(gap(&told, "person").0.contains("neither phone nor e-mail"), "{:?}", told.gaps);
    assert!(gap(&told, "inquiry").0.contains("has never written"), "{:?}", told.gaps);
    let told = explain(&done, "gone").await.unwrap();
    assert!(gap(&told, "conversion").0.contains("deleted"), "{:?}", told.gaps);
    let told = explain(&done, "amocrm:shop:10").await.unwrap();
    assert!(steps(&told).contains(&"refund in_refunds r1".to_string()), "{:?}", steps(&told));

    let error = explain(&done, "amocrm:shop:11").await.err().unwrap();
    assert!(error.hint_text().unwrap().contains("amocrm:shop:10"), "{error:?}");
    let error = explain(&done, "ym:1:1").await.err().unwrap();
    assert!(error.hint_text().unwrap().contains("it is a visit"), "{error:?}");
    for odd in ["", "%", "'", "\u{0}", ":"] {
        assert!(explain(&done, odd).await.is_err(), "{odd:?}");
    }
}
