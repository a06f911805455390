//! What must hold for any input: order and repetition of rows change nothing, shares sum to 1, money
//! splits to the last unit, nothing at all gives empty tables.

use serde_json::{Value, json};
use throughline_attribution::output_tables;

use crate::support::World;

/// A small generator, so that a failure repeats.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
    pub fn shuffle(&mut self, rows: &mut [Value]) {
        for i in (1..rows.len()).rev() {
            let j = self.roll(i as u64 + 1) as usize;
            rows.swap(i, j);
        }
    }
}

fn at(day: u64, second: u64) -> String {
    let t = chrono::DateTime::from_timestamp(1_772_323_200 + (day * 86_400 + second) as i64, 0).unwrap();
    t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A tangle of everything: shared browsers and phones, forwarded and lost tokens, refunds, costs.
pub fn tangle(seed: u64, size: u64) -> World {
    let mut dice = Dice(seed);
    let mut world = World::with(json!({"reporting_currency": "RUB"}));
    let sources = ["google", "vk", "yandex", "news", ""];
    let mediums = ["cpc", "organic", "email", "social", ""];
    let texts = ["привет", "стоп", "сколько стоит"];
    let senders = ["bot", "operator", "broadcast"];
    let token = |n: u64| throughline_core::token::VisitToken::from_number(n).unwrap().as_str().to_string();
    let (mut visits, mut messages, mut deals, mut costs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for i in 0..size {
        let day = dice.roll(40);
        visits.push(json!({"visit_id": format!("v{i}"), "started_at": at(day, dice.roll(86_000)),
            "token": if dice.roll(3) > 0 { json!(token(dice.roll(size))) } else { Value::Null },
            "ym_client_id": if dice.roll(4) > 0 { json!(dice.roll(size / 2 + 1).to_string()) } else { Value::Null },
            "source": sources[dice.roll(5) as usize], "medium": mediums[dice.roll(5) as usize],
            "campaign": format!("c{}", dice.roll(5))}));
    }
    for i in 0..size {
        let user = 79_160_000_000 + dice.roll(size / 3 + 1);
        let incoming = dice.roll(3) > 0;
        messages.push(
            json!({"platform": "whatsapp", "message_id": format!("m{i}"), "user_id": user.to_string(),
            "conversation_id": format!("whatsapp:1:{user}"), "ts": at(dice.roll(40), dice.roll(86_000)),
            "direction": if incoming { "in" } else { "out" },
            "sender_kind": if incoming { "customer" } else { senders[dice.roll(3) as usize] },
            "text": texts[dice.roll(3) as usize],
            "token": if incoming && dice.roll(2) > 0 { json!(token(dice.roll(size))) } else { Value::Null }}),
        );
    }
    let contacts = (0..size / 3 + 1)
        .map(|i| {
            json!({"contact_id": format!("{i}"),
        "phone_e164": format!("+{}", 79_160_000_000 + i)})
        })
        .collect();
    for i in 0..size / 2 {
        let created = dice.roll(40);
        let won = dice.roll(2) > 0;
        deals.push(json!({"deal_id": format!("d{i}"), "contact_id": dice.roll(size / 3 + 1).to_string(),
            "created_at": at(created, 0), "state": if won { "won" } else { "open" },
            "closed_at": if won { json!(at(created + dice.roll(20), 5)) } else { Value::Null },
            "value_minor": dice.roll(1_000_000), "currency": "RUB"}));
    }
    for _ in 0..size / 2 {
        costs.push(
            json!({"system": "ads", "day": at(dice.roll(40), 0)[..10], "cost_minor": dice.roll(100_000),
            "currency": "RUB", "source": sources[dice.roll(5) as usize], "medium": "cpc",
            "campaign": format!("c{}", dice.roll(7)), "clicks": dice.roll(100)}),
        );
    }
    let refunds = (0..size / 8)
        .map(|i| {
            json!({"refund_id": format!("r{i}"), "deal_id": format!("d{}", i * 2),
        "ts": at(50, 0), "value_minor": 1 + i * 1000})
        })
        .collect();
    world.add("visits", visits.into());
    world.add("messages", messages.into());
    world.add("contacts", contacts);
    world.add("deals", deals.into());
    world.add("costs", costs.into());
    world.add("refunds", refunds);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn order_and_repetition_of_rows_change_nothing() {
    for seed in [7, 1001] {
        let world = tangle(seed, 60);
        let first = world.run().await.everything().await;
        assert!(first["attribution"].len() > 100 && first["inquiries"].len() > 10, "the tangle is too thin");
        let mut changed = world.clone();
        let mut dice = Dice(seed + 1);
        for (name, rows) in &mut changed.tables {
            // Cost rows have no key: every one of them counts.
            if *name != "costs" {
                rows.extend(rows.clone());
            }
            dice.shuffle(rows);
        }
        let second = changed.run().await.everything().await;
        for (table, rows) in &first {
            assert_eq!(rows, &second[table], "{table}, seed {seed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_sum_to_one_and_money_to_the_last_unit() {
    let mut world = tangle(42, 80);
    world.settings.position_weights = [0.37, 0.21];
    world.settings.half_life_days = 2.5;
    let done = world.run().await;
    // run() checks its books; these are the same promises asked in other words.
    let uneven = "SELECT conversion_id, model FROM attribution GROUP BY conversion_id, model \
                  HAVING abs(sum(credit) - 1.0) > 0.000000001";
    assert_eq!(done.rows(uneven).await, Vec::<String>::new());
    let off = "SELECT a.conversion_id, a.model FROM \
               (SELECT conversion_id, model, sum(gross) AS gross, sum(net) AS net FROM attribution GROUP BY conversion_id, model) AS a \
               JOIN conversions AS c ON c.conversion_id = a.conversion_id \
               WHERE a.gross <> c.value_gross OR a.net <> c.value_net";
    assert_eq!(done.rows(off).await, Vec::<String>::new());
    // A share's money is its share, give or take one unit.
    let far = "SELECT a.conversion_id FROM attribution AS a JOIN conversions AS c ON c.conversion_id = a.conversion_id \
               WHERE abs(CAST(a.gross AS DOUBLE) - a.credit * CAST(c.value_gross AS DOUBLE)) > 0.010001";
    assert_eq!(done.rows(far).await, Vec::<String>::new());
    assert_eq!(done.one("SELECT count(*) FROM attribution WHERE credit < 0 OR credit > 1").await, "0");
    assert!(done.outcome.books.iter().all(|b| b.ok));
}

#[tokio::test(flavor = "multi_thread")]
async fn records_with_one_key_that_differ_are_one_and_told() {
    let mut world = World::default();
    world.add(
        "visits",
        json!([
            {"visit_id": "v", "started_at": "2026-03-01T00:00:00Z", "source": "google", "medium": "cpc"},
            {"visit_id": "v", "started_at": "2026-03-01T00:00:00Z", "source": "vk", "medium": "cpc"},
        ]),
    );
    let done = world.run().await;
    assert_eq!(done.one("SELECT count(*) FROM visits").await, "1");
    assert!(done.notice("conflicting_records").unwrap().contains("visits: 1 keys (visit_id)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_gives_empty_tables_that_are_whole() {
    let done = World::default().run().await;
    for spec in output_tables() {
        let table = done.outcome.tables.iter().find(|t| t.name == spec.name).unwrap();
        assert_eq!(table.written.schema, spec.schema(2), "{}", spec.name);
        let rows = done.one(&format!("SELECT count(*) FROM {}", spec.name)).await;
        assert_eq!(rows != "0", spec.name == "dim_channel", "{}: {rows}", spec.name);
    }
    assert!(done.outcome.books.iter().all(|b| b.ok));
    assert!(done.outcome.notices.is_empty(), "{:?}", done.outcome.notices);
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_values_end_in_rows_or_errors_never_in_a_panic() {
    let mut world = World::default();
    world.add("visits", json!([
        {"visit_id": "", "started_at": "0001-01-01T00:00:00Z", "source": "'; DROP TABLE visits; --", "campaign": "\u{1f}\u{1f}$sep"},
        {"visit_id": "далеко", "started_at": "9999-12-31T23:59:59Z", "entrance_page": "http://[bad", "referrer": "::"},
    ]));
    world.add("messages", json!([
        {"platform": "max", "message_id": "", "conversation_id": "", "ts": "2026-01-01T00:00:00Z", "direction": "in",
         "sender_kind": "customer", "text": "مرحبا 👋"},
    ]));
    world.add("deals", json!([{"deal_id": "", "created_at": "1969-12-31T23:59:59Z", "state": "лид", "value_minor": -5, "currency": "RUB"}]));
    let done = world.run().await;
    assert_eq!(done.one("SELECT count(*) FROM visits").await, "2");
    assert_eq!(done.rows("SELECT date FROM visits ORDER BY date").await, ["0001-01-01", "9999-12-31"]);
    assert_eq!(done.one("SELECT date FROM conversions").await, "1969-12-31");
    assert_eq!(done.one("SELECT count(*) FROM dim_date").await, "4");

    world.add("costs", json!([{"system": "x", "day": "2026-01-01", "cost_minor": 9_100_000_000_000_000_000_i64, "currency": "RUB"}]));
    let error = world.try_run().await.err().unwrap();
    assert!(error.to_string().contains("beyond"), "{error}");
}
