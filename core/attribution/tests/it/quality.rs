//! How inquiries were matched, day by day, and the alert on tokens that stop coming.

use serde_json::{Value, json};

use crate::support::World;

fn inquiry(n: usize, at: &str, token: Option<&str>, state: &str) -> Value {
    json!({"platform": "whatsapp", "message_id": format!("m{n}"), "conversation_id": format!("whatsapp:1:{}", 79_160_000_000 + n),
           "ts": at, "direction": "in", "sender_kind": "customer", "text": "Здравствуйте",
           "user_id": (79_160_000_000 + n).to_string(), "token": token, "token_state": state})
}

/// Ten inquiries on two days: eight tokens arrive, one is edited beyond reading, one is missing.
fn two_days() -> World {
    let tokens = [
        "A000000000A",
        "B000000000B",
        "C000000000C",
        "D000000000D",
        "E000000000E",
        "F000000000F",
        "G000000000G",
        "H000000000H",
    ];
    let mut world = World::default();
    for (n, token) in tokens.iter().enumerate() {
        let day = if n < 5 { 1 } else { 2 };
        world.add(
            "visits",
            json!([{"visit_id": format!("v{n}"), "started_at": format!("2026-03-0{day}T09:00:00Z"), "token": token,
                    "source": "google", "medium": "cpc", "device": "phone", "region": "Москва",
                    "entrance_page": "https://shop.example/a"}]),
        );
        world.add("messages", json!([inquiry(n, &format!("2026-03-0{day}T10:00:00Z"), Some(token), "ok")]));
    }
    world.add(
        "visits",
        json!([{"visit_id": "plain", "started_at": "2026-03-02T09:00:00Z", "source": "direct"}]),
    );
    world.add(
        "messages",
        json!([
            inquiry(8, "2026-03-02T10:00:00Z", None, "invalid"),
            inquiry(9, "2026-03-02T10:00:00Z", None, "missing"),
        ]),
    );
    world.add(
        "costs",
        json!([{"system": "google_ads", "day": "2026-03-05", "cost_minor": 700, "currency": "RUB", "campaign": "никто"}]),
    );
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_of_every_method_by_day_and_where_records_are_from() {
    let done = two_days().run().await;
    assert_eq!(
        done.rows(
            "SELECT date, source, \"rows\", token, \"none\", token_share, none_share, identity_share, site_inquiries, site_tokens, \
             site_token_share, unmatched_cost FROM data_quality_daily ORDER BY date, source"
        )
        .await,
        [
            "2026-03-01 | inquiries:whatsapp | 5 | 5 | 0 | 1.0 | 0.0 | 0.0 | 5 | 5 | 1.0 | 0.00",
            "2026-03-01 | messages:whatsapp | 5 | 0 | 0 | - | - | - | 0 | 0 | - | 0.00",
            "2026-03-01 | visits | 5 | 0 | 0 | - | - | - | 0 | 0 | - | 0.00",
            // The edited one came from the site; whether the one without did, nobody knows.
            "2026-03-02 | inquiries:whatsapp | 5 | 3 | 2 | 0.6 | 0.4 | 0.0 | 4 | 3 | 0.75 | 0.00",
            "2026-03-02 | messages:whatsapp | 5 | 0 | 0 | - | - | - | 0 | 0 | - | 0.00",
            "2026-03-02 | visits | 4 | 0 | 0 | - | - | - | 0 | 0 | - | 0.00",
            "2026-03-05 | costs:google_ads | 1 | 0 | 0 | - | - | - | 0 | 0 | - | 7.00",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_devices_and_regions_have_their_visits_and_inquiries() {
    let done = two_days().run().await;
    for (table, column, member) in [
        ("page_daily", "page_key", "shop.example/a"),
        ("device_daily", "device", "phone"),
        ("region_daily", "region", "Москва"),
    ] {
        assert_eq!(
            done.rows(&format!(
                "SELECT date, {column}, visits, inquiries, conversion FROM {table} ORDER BY date, visits"
            ))
            .await,
            [
                format!("2026-03-01 | {member} | 5 | 5 | 1.0"),
                "2026-03-02 | (none) | 1 | 2 | 2.0".to_string(),
                format!("2026-03-02 | {member} | 3 | 3 | 1.0"),
            ],
            "{table}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_low_token_share_is_told_with_its_day_and_platform() {
    let mut world = two_days();
    // Eight of nine is below 95 %; ten are needed by default.
    world.settings =
        serde_json::from_value(json!({"alerts": {"token_share": 0.95, "token_min_inquiries": 9}})).unwrap();
    let done = world.run().await;
    let notice = done.notice("token_share_low").unwrap();
    for part in ["whatsapp: 8 of 9", "2026-02-24 to 2026-03-02", "worst on 2026-03-02: 3 of 4"] {
        assert!(notice.contains(part), "{part} in {notice}");
    }
    world.settings.alerts = throughline_attribution::Alerts::default();
    assert!(world.run().await.notice("token_share_low").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn days_of_cost_alone_are_in_the_daily_tables() {
    let done = two_days().run().await;
    for (table, member) in [("channel_daily", "channel_id"), ("campaign_daily", "campaign_key")] {
        let row = done
            .one(&format!(
                "SELECT visits, inquiries, cost, roi, cost_per_inquiry FROM {table} \
                 WHERE date = DATE '2026-03-05' AND model = 'linear' AND {member} <> '(none)'"
            ))
            .await;
        assert_eq!(row, "0 | 0 | 7.00 | -100.0 | -", "{table}");
    }
}
