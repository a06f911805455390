//! Currencies, refunds and ratios.

use serde_json::{Value, json};

use crate::support::{World, fixture};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_rate_names_currency_and_day() {
    let mut world = World::with(json!({"reporting_currency": "RUB"}));
    world.add(
        "costs",
        json!([
            {"system": "google_ads", "day": "2026-02-25", "cost_minor": 100, "currency": "USD"},
            {"system": "google_ads", "day": "2026-02-26", "cost_minor": 0, "currency": "EUR"},
        ]),
    );
    world.add("exchange_rates", json!([{"day": "2026-02-24", "currency": "USD", "rate": 90}]));
    let error = world.try_run().await.err().unwrap();
    assert_eq!(error.kind(), throughline_core::ErrorKind::Data);
    assert!(error.to_string().contains("no exchange rate to RUB for USD on 2026-02-25"), "{error}");
    assert!(!error.to_string().contains("EUR"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_currencies_need_to_be_told_which_to_report_in() {
    let mut world = World::default();
    world.add(
        "costs",
        json!([
            {"system": "a", "day": "2026-02-25", "cost_minor": 100, "currency": "USD"},
            {"system": "a", "day": "2026-02-25", "cost_minor": 100, "currency": "EUR"},
        ]),
    );
    let error = world.try_run().await.err().unwrap();
    assert_eq!(error.kind(), throughline_core::ErrorKind::Config);
    assert!(error.to_string().contains("money in EUR, USD appears"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn amounts_convert_once_per_record_half_away_from_zero() {
    let mut world = World::with(json!({"reporting_currency": "RUB", "models": ["linear"]}));
    let cost = |system: &str, minor: i64, currency: &str| {
        json!({"system": system, "day": "2026-02-25", "cost_minor": minor, "currency": currency,
               "source": "s", "medium": "cpc", "campaign": "c"})
    };
    world.add(
        "costs",
        json!([
            cost("usd", 1, "USD"),
            cost("usd", 1, "USD"),
            cost("usd-back", -1, "USD"),
            cost("yen", 3, "JPY"),
            cost("dinar", 1001, "KWD"),
            cost("big", 9_007_199_254_740, "RUB"),
        ]),
    );
    world.add(
        "exchange_rates",
        json!([
            {"day": "2026-02-25", "currency": "USD", "rate": "90.5"},
            {"day": "2026-02-25", "currency": "JPY", "rate": "0.601234567"},
            {"day": "2026-02-25", "currency": "KWD", "rate": "294.3"},
        ]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT system, cost, cost_original_minor, currency FROM costs ORDER BY system").await,
        [
            "big | 90071992547.40 | 9007199254740 | RUB",
            // 1.001 dinar at 294.3 is 294.5943
            "dinar | 294.59 | 1001 | KWD",
            // 90.5 kopecks become 91, twice, then are added; and -91.
            "usd | 1.82 | 2 | USD",
            "usd-back | -0.91 | -1 | USD",
            // 3 yen at 0.601234567 is 1.8037
            "yen | 1.80 | 3 | JPY",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_currency_without_small_units_is_whole() {
    let mut world = World::with(json!({"models": ["linear"]}));
    world.add(
        "touches",
        (0..3)
            .map(|i| {
                json!({"touch_id": i.to_string(), "person_id": "p", "channel": "a",
        "ts": format!("2026-03-01T0{i}:00:00Z")})
            })
            .collect(),
    );
    world.add(
        "conversions",
        json!([{"conversion_id": "c", "person_id": "p", "ts": "2026-03-02T00:00:00Z",
        "value_minor": 100, "currency": "JPY"}]),
    );
    let done = world.run().await;
    assert_eq!(done.outcome.reporting_currency, "JPY");
    assert_eq!(
        done.rows("SELECT gross FROM attribution ORDER BY touch_index").await,
        ["34.00", "33.00", "33.00"]
    );

    world.tables.get_mut("conversions").unwrap()[0]["currency"] = "KWD".into();
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT gross FROM attribution ORDER BY touch_index").await,
        ["0.034", "0.033", "0.033"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_lower_net_and_never_the_share() {
    let mut world = World::with(json!({"models": ["linear"]}));
    world.add(
        "touches",
        (0..3)
            .map(|i| {
                json!({"touch_id": i.to_string(), "person_id": "p", "channel": "a",
        "ts": format!("2026-03-01T0{i}:00:00Z")})
            })
            .collect(),
    );
    let conversion = |id: &str, deal: &str| {
        json!({"conversion_id": id, "person_id": "p", "deal_id": deal,
        "ts": "2026-03-02T00:00:00Z", "value_minor": 1000, "currency": "RUB"})
    };
    world.add(
        "conversions",
        json!([conversion("half", "d1"), conversion("all", "d2"), conversion("more", "d3")]),
    );
    let refund = |id: &str, deal: &str, minor: i64| {
        json!({"refund_id": id, "deal_id": deal, "value_minor": minor,
        "ts": "2026-03-05T00:00:00Z"})
    };
    world.add(
        "refunds",
        json!([
            refund("r1", "d1", 250),
            refund("r2", "d1", 250),
            refund("r3", "d2", 1000),
            refund("r4", "d3", 1100),
            refund("r5", "nobody", 7),
        ]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT conversion_id, gross, net FROM attribution ORDER BY conversion_id, touch_index")
            .await,
        [
            "all | 3.34 | 0.00",
            "all | 3.33 | 0.00",
            "all | 3.33 | 0.00",
            "half | 3.34 | 1.67",
            "half | 3.33 | 1.67",
            "half | 3.33 | 1.66",
            "more | 3.34 | -0.34",
            "more | 3.33 | -0.33",
            "more | 3.33 | -0.33",
        ]
    );
    assert!(done.notice("refund_without_conversion").unwrap().starts_with("1 "));
    assert!(done.notice("refund_beyond_value").unwrap().starts_with("1 "));

    world.settings.exclude_refunded = true;
    let done = world.run().await;
    assert_eq!(done.rows("SELECT conversion_id FROM conversions").await, ["half"]);
}

/// Every number of the fixture, from records that sum to its rows: whole visits, inquiries and conversions; half
/// a sale is one whose other half went to another channel.
#[tokio::test(flavor = "multi_thread")]
async fn ratios_of_the_fixture() {
    let fixture = fixture("13_roi.json");
    let rows = fixture["rows"].as_array().unwrap();
    let rules: Vec<Value> =
        rows.iter().map(|row| json!({"name": row["channel"], "when": {"source": row["channel"]}})).collect();
    let mut world = World::with(json!({"models": ["linear"], "channel": rules}));
    let touch = |person: &str, channel: &str| json!({"touch_id": format!("{person}-{channel}"), "person_id": person, "channel": channel, "ts": "2026-03-01T00:00:00Z"});
    for row in rows {
        let channel = row["channel"].as_str().unwrap();
        let minor = |name: &str| (row[name].as_f64().unwrap() * 100.0).round() as i64;
        world.add("touches", json!([touch(channel, channel)]));
        for i in 0..row["visits"].as_i64().unwrap() {
            let inquires = i < row["inquiries"].as_i64().unwrap();
            let token = inquires.then(|| format!("{channel}-{i}"));
            world.add(
                "visits",
                json!([{"visit_id": format!("{channel}-{i}"), "started_at": "2026-03-01T09:00:00Z", "token": token,
                        "source": channel, "medium": "x"}]),
            );
            if inquires {
                let id = format!("{channel}-{i}");
                world.add(
                    "messages",
                    json!([{"platform": "telegram", "message_id": id, "conversation_id": id, "user_id": id, "token": token,
                            "token_state": "ok", "ts": "2026-03-01T10:00:00Z", "direction": "in", "sender_kind": "customer",
                            "text": "вопрос"}]),
                );
            }
        }
        for i in 0..row["leads"].as_i64().unwrap() {
            world.add(
                "conversions",
                json!([{"conversion_id": format!("{channel}-l{i}"), "person_id": channel,
                        "type": "lead", "ts": "2026-03-01T12:00:00Z"}]),
            );
        }
        let sales = row["sales"].as_f64().unwrap();
        for i in 0..sales.ceil() as i64 {
            let half = (i as f64) + 1.0 > sales;
            let person = if half { "half" } else { channel };
            if half {
                world.add("touches", json!([touch(person, channel), touch(person, "elsewhere")]));
            }
            world.add(
                "conversions",
                json!([{"conversion_id": format!("{channel}-s{i}"), "person_id": person, "ts": "2026-03-01T12:00:00Z",
                        "value_minor": if i == 0 { minor("revenue") } else { 0 }, "currency": "RUB",
                        "goods_cost_minor": if i == 0 { minor("cogs") } else { 0 }}]),
            );
        }
        if minor("refunds") > 0 {
            world.add(
                "refunds",
                json!([{"refund_id": channel, "conversion_id": format!("{channel}-s0"),
                        "ts": "2026-03-02T00:00:00Z", "value_minor": minor("refunds")}]),
            );
        }
        if minor("cost") > 0 {
            world.add(
                "costs",
                json!([{"system": channel, "day": "2026-03-01", "cost_minor": minor("cost"), "currency": "RUB",
                        "source": channel, "medium": "x", "impressions": row["impressions"], "clicks": row["clicks"]}]),
            );
        }
    }
    let done = world.run().await;
    for row in rows {
        let channel = row["channel"].as_str().unwrap();
        for (name, wanted) in row["expected"].as_object().unwrap() {
            let column = match name.as_str() {
                "net_revenue" => "net",
                "roi_percent" => "roi",
                "romi_margin_percent" => "romi",
                other => other,
            };
            let found = done
                .one(&format!("SELECT {column} FROM channel_daily WHERE channel_id = '{channel}' AND date = DATE '2026-03-01'"))
                .await;
            match wanted.as_f64() {
                Some(wanted) => {
                    let found: f64 = found.parse().unwrap();
                    assert!((found - wanted).abs() < 1e-9, "{channel} {name}: {found} for {wanted}");
                }
                None => assert_eq!(found, "-", "{channel} {name}"),
            }
        }
        let sums = "visits, inquiries, leads, sales, cost, goods_cost, impressions, clicks";
        let found =
            done.one(&format!("SELECT {sums} FROM channel_daily WHERE channel_id = '{channel}'")).await;
        let number = |name: &str| row[name].as_f64().unwrap_or(0.0);
        let wanted =
            ["visits", "inquiries", "leads", "sales", "cost", "cogs", "impressions", "clicks"].map(number);
        let found: Vec<f64> = found.split(" | ").map(|v| v.parse().unwrap()).collect();
        assert_eq!(found, wanted, "{channel}");
    }
}
