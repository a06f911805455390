//! Costs joined to campaigns, goods, open deals, message prices.

use serde_json::{Value, json};

use crate::support::World;

fn visit(id: &str, campaign: &str, ad: Option<&str>, keyword: Option<&str>) -> Value {
    json!({"visit_id": id, "started_at": "2026-03-01T10:00:00Z", "ym_client_id": id, "source": "yandex", "medium": "cpc",
           "campaign": campaign, "ad": ad, "keyword": keyword})
}

fn cost(campaign: Option<&str>, ad: Option<&str>, keyword: Option<&str>, minor: i64) -> Value {
    json!({"system": "yandex_direct", "day": "2026-03-01", "cost_minor": minor, "currency": "RUB", "source": "yandex",
           "medium": "cpc", "campaign": campaign, "ad": ad, "keyword": keyword, "impressions": minor * 10, "clicks": 1})
}

const BY_CAMPAIGN: &str = "SELECT k.campaign, k.ad, k.keyword, d.visits, d.cost, d.impressions, d.clicks \
    FROM campaign_daily AS d LEFT JOIN dim_campaign AS k ON k.campaign_key = d.campaign_key \
    ORDER BY d.visits DESC, k.campaign, k.ad, k.keyword";

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_goes_to_the_touches_that_share_its_words() {
    let mut world = World::with(json!({"models": ["linear"]}));
    world.add(
        "visits",
        json!([
            visit("1", "a", None, Some("туфли")),
            visit("2", "a", None, Some("туфли")),
            visit("3", "a", None, Some("туфли")),
            visit("4", "a", None, Some("сапоги")),
            visit("5", "a", None, Some("сапоги")),
            visit("6", "b", None, None),
        ]),
    );
    world.add(
        "costs",
        json!([
            // The campaign as a whole: three and two of five visits. 1.01 is 60.6 and 40.4 kopecks.
            cost(Some("a"), None, None, 101),
            // One keyword's own.
            cost(Some("a"), None, Some("Туфли"), 50),
            // A keyword that brought nobody stays with its own row.
            cost(Some("a"), None, Some("тапки"), 7),
            // The visits of b know no ad; the cost's two ads are theirs.
            cost(Some("b"), Some("b1"), None, 20),
            cost(Some("b"), Some("b2"), None, 22),
            // Nobody came from it.
            cost(Some("c"), None, None, 3),
        ]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows(BY_CAMPAIGN).await,
        [
            // 61 and 50; 606 and 500 impressions; one click of the campaign's and one of its own.
            "a | - | туфли | 3 | 1.11 | 1106 | 2",
            "a | - | сапоги | 2 | 0.40 | 404 | 0",
            "b | - | - | 1 | 0.42 | 420 | 2",
            "a | - | тапки | 0 | 0.07 | 70 | 1",
            "c | - | - | 0 | 0.03 | 30 | 1",
        ]
    );
    assert_eq!(
        done.one("SELECT sum(cost), sum(impressions), sum(clicks) FROM campaign_daily").await,
        "2.03 | 2030 | 6"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_without_campaign_is_shared_by_its_source_and_one_without_words_is_nobodys() {
    let mut world = World::with(json!({"models": ["linear"]}));
    world.add(
        "visits",
        json!([visit("1", "a", None, None), visit("2", "b", None, None), visit("3", "b", None, None)]),
    );
    world.add(
        "costs",
        json!([
            cost(None, None, None, -100),
            {"system": "manual", "day": "2026-03-01", "cost_minor": 500, "currency": "RUB", "cost_kind": "salary"},
        ]),
    );
    let done = world.run().await;
    // A correction of -1.00 over one and two visits: the larger fraction, 66.67, gets the unit left.
    assert_eq!(
        done.rows(BY_CAMPAIGN).await,
        [
            "b | - | - | 2 | -0.67 | -667 | 1",
            "a | - | - | 1 | -0.33 | -333 | 0",
            "- | - | - | 0 | 5.00 | 0 | 0"
        ]
    );
    assert_eq!(done.one("SELECT cost FROM campaign_daily WHERE campaign_key = '(none)'").await, "5.00");
}

#[tokio::test(flavor = "multi_thread")]
async fn goods_and_open_deals_stand_beside_income_and_are_split_exactly() {
    let mut world = World::with(json!({"models": ["linear", "last_touch"], "goods_cost_share": 0.25,
        "reporting_currency": "RUB"}));
    world.add(
        "touches",
        (0..3)
            .map(|i| json!({"touch_id": i.to_string(), "person_id": "p", "channel": format!("c{i}"), "ts": format!("2026-03-01T0{i}:00:00Z")}))
            .collect(),
    );
    world.add(
        "conversions",
        json!([
            // 10.00 of goods over three: 3.34, 3.33, 3.33.
            {"conversion_id": "told", "person_id": "p", "ts": "2026-03-02T00:00:00Z", "value_minor": 3000, "currency": "RUB",
             "goods_cost_minor": 1000},
            // A quarter of 40.00 is assumed.
            {"conversion_id": "assumed", "person_id": "p", "ts": "2026-03-02T00:00:00Z", "value_minor": 4000, "currency": "RUB"},
        ]),
    );
    world.add("contacts", json!([{"contact_id": "crm:1:1", "phone_e164": "+79160000001"}]));
    world.add(
        "deals",
        json!([
            {"deal_id": "crm:1:open", "contact_id": "crm:1:1", "created_at": "2026-03-02T00:00:00Z", "state": "open",
             "value_minor": 100, "currency": "USD", "lead_id": "lead-5", "source": "vk", "medium": "cpc"},
            {"deal_id": "crm:1:lost", "contact_id": "crm:1:1", "created_at": "2026-03-02T00:00:00Z", "state": "lost",
             "value_minor": 900, "currency": "RUB"},
        ]),
    );
    let error = world.try_run().await.err().unwrap().to_string();
    assert!(error.contains("USD on 2026-03-02"), "{error}");
    world.add("exchange_rates", json!([{"day": "2026-03-02", "currency": "USD", "rate": 90}]));
    let done = world.run().await;
    assert_eq!(
        done.rows(
            "SELECT model, channel_id, net, goods_cost, potential FROM channel_daily \
             WHERE date = DATE '2026-03-02' AND (net <> 0 OR goods_cost <> 0 OR potential <> 0) ORDER BY model, channel_id"
        )
        .await,
        [
            "last_touch | c2 | 70.00 | 20.00 | 0.00",
            "last_touch | paid_social | 0.00 | 0.00 | 90.00",
            "linear | c0 | 23.34 | 6.68 | 0.00",
            "linear | c1 | 23.33 | 6.66 | 0.00",
            "linear | c2 | 23.33 | 6.66 | 0.00",
            "linear | paid_social | 0.00 | 0.00 | 90.00",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn message_prices_and_tests_are_in_the_messages() {
    let mut world = World::with(json!({"reporting_currency": "RUB"}));
    let sent = |id: &str| {
        json!({"platform": "whatsapp", "message_id": id, "conversation_id": "whatsapp:1:79160000001", "ts": "2026-03-01T10:00:00Z",
               "direction": "out", "sender_kind": "bot", "user_id": "79160000001", "ab_test": "t", "ab_variant": "A"})
    };
    let priced = |id: &str, price: &str, currency: Value| {
        json!({"platform": "whatsapp", "message_id": id, "status": "clicked", "at": "2026-03-01T10:00:01Z", "price": price,
               "price_currency": currency})
    };
    world.add("messages", json!([sent("a"), sent("b"), sent("c"), sent("d")]));
    world.add(
        "message_statuses",
        json!([
            priced("a", "0.0785", "usd".into()),
            priced("b", "6.125", Value::Null),
            // No rate for euros on that day: not known, not 1.
            priced("c", "1", "EUR".into()),
        ]),
    );
    world.add("exchange_rates", json!([{"day": "2026-03-01", "currency": "USD", "rate": 90.5}]));
    let done = world.run().await;
    assert_eq!(
        done.rows(
            "SELECT message_id, price, ab_test, ab_variant, clicked_at FROM messages ORDER BY message_id"
        )
        .await,
        [
            // 0.0785 * 90.5 = 7.10425
            "a | 7.10 | t | A | 2026-03-01T10:00:01Z",
            // Half a kopeck goes up.
            "b | 6.13 | t | A | 2026-03-01T10:00:01Z",
            "c | - | t | A | 2026-03-01T10:00:01Z",
            "d | - | t | A | -",
        ]
    );
}
