//! Models that learn from all journeys, through the whole run: fixtures fed as touches and as aggregated paths,
//! what counts as a journey, and what becomes of odd input.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::properties::{Dice, tangle};
use crate::support::{Done, World, fixture};

const LEARNED: [&str; 5] = ["markov", "shapley", "shapley_ordered", "shapley_rate", "leave_one_out"];

fn channels(path: &str) -> Vec<&str> {
    path.split(" > ").filter(|c| !c.is_empty()).collect()
}

fn number(row: &Value, name: &str) -> i64 {
    row[name].as_i64().unwrap()
}

/// Every person of every path with touches of his own; the first conversion of a path brings its value.
fn as_touches(world: &mut World, paths: &Value, value_factor: i64) {
    for (i, row) in paths.as_array().unwrap().iter().enumerate() {
        let conversions = number(row, "conversions");
        for person in 0..conversions + number(row, "nulls") {
            let id = format!("p{i}-{person}");
            for (at, channel) in channels(row["path"].as_str().unwrap()).iter().enumerate() {
                world.add(
                    "touches",
                    json!([{"touch_id": format!("{id}-{at}"), "person_id": id, "channel": channel,
                            "ts": format!("2026-03-01T10:{at:02}:00Z")}]),
                );
            }
            if person < conversions {
                let value = if person == 0 { number(row, "value") * value_factor } else { 0 };
                world.add(
                    "conversions",
                    json!([{"conversion_id": id, "person_id": id, "ts": "2026-03-01T12:00:00Z",
                            "value_minor": value, "currency": "RUB"}]),
                );
            }
        }
    }
}

fn as_paths(world: &mut World, paths: &Value, value_factor: i64) {
    for row in paths.as_array().unwrap() {
        let path = channels(row["path"].as_str().unwrap());
        world.add(
            "aggregated_paths",
            json!([{"path": path, "conversions": number(row, "conversions"), "nulls": number(row, "nulls"),
                    "value_minor": number(row, "value") * value_factor}]),
        );
    }
}

fn learning(settings: Value) -> World {
    let mut all = json!({"models": LEARNED, "reporting_currency": "RUB"});
    for (key, value) in settings.as_object().unwrap() {
        all[key] = value.clone();
    }
    World::with(all)
}

const CHANNEL_ROWS: &str = "SELECT period, conversion_type, model, level, member, position, \
     round(conversions, 9), gross, net, round(removal_effect, 12), round(removal_effect_value, 12), markov_order, \
     model_run_id FROM attribution_channel ORDER BY model, level, member, position";

async fn by_member(done: &Done, model: &str, column: &str) -> BTreeMap<String, f64> {
    let select = format!(
        "SELECT member, {column} FROM attribution_channel WHERE model = '{model}' AND level = 'channel' ORDER BY member"
    );
    let rows = done.rows(&select).await;
    rows.iter()
        .map(|row| {
            let (member, value) = row.split_once(" | ").unwrap();
            (member.to_string(), value.parse().unwrap())
        })
        .collect()
}

fn near(found: &BTreeMap<String, f64>, expected: &Value, tolerance: f64, what: &str) {
    let expected = expected.as_object().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}: {found:?}");
    for (name, wanted) in expected {
        let wanted = wanted["value"].as_f64().unwrap();
        assert!((found[name] - wanted).abs() <= tolerance, "{what} {name}: {} for {wanted}", found[name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn touches_and_aggregated_paths_give_the_fixtures_answers() {
    // Values in millions of minor units, so that rounding to a unit does not show.
    const FACTOR: i64 = 1_000_000;
    // A run costs seconds: the other cases of these fixtures are in models.rs.
    for (name, case) in [("04_markov_order1_nulls_selfloops", 0), ("06_markov_order2_and_3", 1)] {
        let fixture = fixture(&format!("{name}.json"));
        let expected = &fixture["expected"][case];
        let mut fed = learning(json!({"markov_order": expected["order"]}));
        let mut counted = fed.clone();
        as_touches(&mut fed, &fixture["paths"], FACTOR);
        as_paths(&mut counted, &fixture["paths"], FACTOR);
        let (fed, counted) = (fed.run().await, counted.run().await);
        assert_eq!(fed.rows(CHANNEL_ROWS).await, counted.rows(CHANNEL_ROWS).await, "{name}");
        let listed = "SELECT path, conversions, nulls, value FROM paths ORDER BY path_hash";
        assert_eq!(fed.rows(listed).await, counted.rows(listed).await, "{name}");
        for (column, of) in [
            ("removal_effect", "removal_effect"),
            ("removal_effect_value", "removal_effect_value"),
            ("conversions", "attributed_conversions"),
        ] {
            near(&by_member(&fed, "markov", column).await, &expected[of], 1e-12, name);
        }
        let value = by_member(&fed, "markov", "CAST(gross AS DOUBLE) / 10000").await;
        near(&value, &expected["attributed_value"], 2e-6, name);
    }
    let fixture = fixture("08_shapley.json");
    let (mut fed, mut counted) = (learning(json!({})), learning(json!({})));
    as_touches(&mut fed, &fixture["paths"], FACTOR);
    as_paths(&mut counted, &fixture["paths"], FACTOR);
    let (fed, counted) = (fed.run().await, counted.run().await);
    assert_eq!(fed.rows(CHANNEL_ROWS).await, counted.rows(CHANNEL_ROWS).await);
    let expected = &fixture["expected"];
    for done in [&fed, &counted] {
        for model in ["shapley", "shapley_ordered"] {
            near(&by_member(done, model, "conversions").await, &expected["simplified"], 1e-9, model);
            let value = by_member(done, model, "CAST(gross AS DOUBLE) / 10000").await;
            near(&value, &expected["simplified_value"], 2e-6, model);
        }
        near(&by_member(done, "shapley_rate", "conversions").await, &expected["rate"]["total"], 1e-9, "rate");
        near(&by_member(done, "leave_one_out", "conversions").await, &expected["leave_one_out"], 1e-9, "loo");
        for (channel, positions) in expected["ordered"].as_object().unwrap() {
            for (position, wanted) in positions.as_object().unwrap() {
                let found = done
                    .one(&format!(
                        "SELECT conversions FROM attribution_channel WHERE model = 'shapley_ordered' \
                         AND level = 'position' AND member = '{channel}' AND position = {position}"
                    ))
                    .await;
                let wanted = wanted["value"].as_f64().unwrap();
                assert!((found.parse::<f64>().unwrap() - wanted).abs() < 1e-9, "{channel} {position}");
            }
        }
    }
    // Models that share by path say the same conversion by conversion.
    for model in ["shapley", "shapley_ordered", "shapley_rate", "leave_one_out"] {
        let pushed = fed
            .rows(&format!(
                "SELECT channel_id, round(sum(credit), 6) FROM attribution WHERE model = '{model}' \
                 GROUP BY channel_id ORDER BY channel_id"
            ))
            .await;
        let totals = fed
            .rows(&format!(
                "SELECT member, round(conversions, 6) FROM attribution_channel WHERE model = '{model}' \
                 AND level = 'channel' ORDER BY member"
            ))
            .await;
        assert_eq!(pushed, totals, "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn degenerate_paths_keep_their_sums() {
    let fixture = fixture("07_markov_degenerate.json");
    let cases = fixture["cases"].as_array().unwrap().iter();
    for case in cases.filter(|c| c["name"] == "empty_path" || c["name"] == "no_conversions_all_zero") {
        let mut world = learning(json!({}));
        as_paths(&mut world, &case["paths"], 100);
        let done = world.run().await;
        let mut found = by_member(&done, "markov", "conversions").await;
        let none = case.get("none_conversions").map(|n| n.as_f64().unwrap());
        assert_eq!(found.remove("(none)"), none, "{}", case["name"]);
        near(&found, &case["expected"]["attributed_conversions"], 1e-12, "degenerate");
        if let Some(value) = case.get("none_value") {
            let money = "SELECT DISTINCT gross FROM attribution_channel WHERE member = '(none)'";
            assert_eq!(done.one(money).await, format!("{value}.00"));
        }
    }
}

/// One person converts by hand-checkable effects 1/2, 1, 1: his touches share 0.2, 0.4, 0.4 of 100.01.
#[tokio::test(flavor = "multi_thread")]
async fn totals_are_pushed_down_to_each_conversion() {
    let fixture = fixture("05_markov_three_paths_by_hand.json");
    let mut world = learning(json!({"models": ["linear", "markov", "shapley"]}));
    as_touches(&mut world, &fixture["paths"], 0);
    world.tables.get_mut("conversions").unwrap()[0]["value_minor"] = json!(10_001);
    world.add(
        "refunds",
        json!([{"refund_id": "r", "conversion_id": "p0-0", "ts": "2026-03-02T00:00:00Z", "value_minor": 1}]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows(
            "SELECT touch_index, channel_id, path_length, round(credit, 12), gross, net FROM attribution \
             WHERE model = 'markov' ORDER BY touch_index"
        )
        .await,
        [
            "1 | C1 | 3 | 0.2 | 20.00 | 20.00",
            "2 | C2 | 3 | 0.4 | 40.01 | 40.00",
            "3 | C3 | 3 | 0.4 | 40.00 | 40.00"
        ]
    );
    assert_eq!(
        done.rows("SELECT model, channel_id, sales, net FROM channel_daily WHERE channel_id = 'C2' AND sales > 0 ORDER BY model").await,
        ["linear | C2 | 0.333333333 | 33.33", "markov | C2 | 0.4 | 40.00", "shapley | C2 | 0.333333333 | 33.33"]
    );
    assert!(done.outcome.books.iter().filter(|b| b.name.contains("(markov)")).count() >= 7);
    assert!(done.outcome.books.iter().all(|b| b.ok));
}

fn touch(person: &str, ts: &str, channel: &str) -> Value {
    json!([{"touch_id": format!("{person}{ts}"), "person_id": person, "ts": ts, "channel": channel}])
}

fn conversion(person: &str, kind: &str, ts: &str) -> Value {
    json!([{"conversion_id": format!("{kind}-{person}{ts}"), "person_id": person, "type": kind, "ts": ts}])
}

async fn paths(done: &Done, kind: &str) -> Vec<String> {
    let select = format!(
        "SELECT array_to_string(path, '>'), conversions, nulls FROM paths WHERE conversion_type = '{kind}' ORDER BY 1"
    );
    done.rows(&select).await
}

#[tokio::test(flavor = "multi_thread")]
async fn null_journeys_are_those_of_people_who_never_converted_so() {
    let mut world =
        World::with(json!({"paths": true, "lookback_days": 10, "from": "2026-03-01", "to": "2026-04-01"}));
    // Old touches are out of the look-back of the last one.
    world.add("touches", touch("a", "2026-02-01T00:00:00Z", "old"));
    world.add("touches", touch("a", "2026-03-10T00:00:00Z", "x"));
    world.add("touches", touch("a", "2026-03-20T00:00:00Z", "y"));
    // A lead that never became a sale.
    world.add("touches", touch("b", "2026-03-05T00:00:00Z", "x"));
    world.add("conversions", conversion("b", "lead", "2026-03-06T00:00:00Z"));
    // Bought before the window, and after it.
    world.add("touches", touch("c", "2026-03-05T00:00:00Z", "x"));
    world.add("conversions", conversion("c", "won", "2026-02-06T00:00:00Z"));
    world.add("touches", touch("d", "2026-03-05T00:00:00Z", "z"));
    world.add("conversions", conversion("d", "won", "2026-04-06T00:00:00Z"));
    // Last seen before the window, or only after it.
    world.add("touches", touch("e", "2026-02-28T23:59:59Z", "x"));
    world.add("touches", touch("f", "2026-04-01T00:00:00Z", "x"));
    // Bought out of nowhere, twice with a touch.
    world.add("conversions", conversion("g", "won", "2026-03-15T00:00:00Z"));
    world.add("touches", touch("h", "2026-03-12T00:00:00Z", "x"));
    world.add("conversions", conversion("h", "won", "2026-03-12T00:00:00Z"));
    world.add("conversions", conversion("h", "won", "2026-03-13T00:00:00Z"));
    let done = world.run().await;
    assert_eq!(paths(&done, "won").await, [" | 1 | 0", "x | 2 | 1", "x>y | 0 | 1", "z | 0 | 1"]);
    assert_eq!(paths(&done, "lead").await, ["x | 1 | 2", "x>y | 0 | 1", "z | 0 | 1"]);
    assert_eq!(done.rows("SELECT DISTINCT \"window\" FROM paths").await, ["2026-03-01/2026-04-01"]);
    assert_eq!(done.one("SELECT count(*) FROM attribution_channel").await, "0");
}

/// Everybody is a lead at his last touch, nobody but one a sale: what a lead saw is what a null sale saw.
#[tokio::test(flavor = "multi_thread")]
async fn transforms_change_null_journeys_as_converting_ones() {
    for transforms in [
        json!(["exposure", "drop_unless_all(c1)", "drop_unless_all(nobody)"]),
        json!(["drop_last_unless_all(c0)", "unique", "last_n(3)", "exposure"]),
        json!(["drop_last_unless_all(nobody)", "frequency"]),
    ] {
        let mut dice = Dice(11);
        let mut world = World::with(json!({"paths": true, "path_transforms": transforms}));
        for person in 0..60 {
            let id = format!("p{person}");
            let mut last = String::new();
            for at in 0..=dice.roll(6) {
                last = format!("2026-03-{:02}T00:00:00Z", at + 1);
                world.add("touches", touch(&id, &last, &format!("c{}", dice.roll(3))));
            }
            world.add("conversions", conversion(&id, "lead", &last));
        }
        world.add("conversions", conversion("nobody", "won", "2026-03-01T00:00:00Z"));
        let done = world.run().await;
        let seen = |kind: &str, column: &str| {
            format!(
                "SELECT path_hash, {column} FROM paths WHERE conversion_type = '{kind}' AND {column} > 0 \
                 AND array_length(path) > 0 ORDER BY path_hash"
            )
        };
        let leads = done.rows(&seen("lead", "conversions")).await;
        assert!(leads.len() > 2, "{transforms}: {leads:?}");
        assert_eq!(leads, done.rows(&seen("won", "nulls")).await, "{transforms}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_can_be_chosen_by_the_data() {
    let mut world = learning(json!({"models": ["markov"], "markov_order": "auto"}));
    for first in 0..4 {
        for second in 0..4 {
            let converts = if (first + second) % 2 == 0 { 90 } else { 10 };
            for third in 0..3 {
                world.add(
                    "aggregated_paths",
                    json!([{"path": [third.to_string(), first.to_string(), second.to_string()],
                            "conversions": converts, "nulls": 100 - converts}]),
                );
            }
        }
    }
    let done = world.run().await;
    assert_eq!(done.one("SELECT DISTINCT markov_order FROM attribution_channel").await, "2");
    assert_eq!(done.one("SELECT round(sum(conversions), 6) FROM attribution_channel").await, "2400.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_paths_are_errors_or_told() {
    let path = |path: Value, conversions: i64, nulls: i64, value: i64| {
        let mut world = learning(json!({"models": ["markov"]}));
        world.add(
            "aggregated_paths",
            json!([{"path": path, "conversions": conversions, "nulls": nulls, "value_minor": value}]),
        );
        world
    };
    let error = path(json!(["a", "b"]), 0, 3, 5).try_run().await.err().unwrap().to_string();
    assert!(error.contains("the path `a > b` has value_minor = 5, but no conversion"), "{error}");
    let done = path(json!(["a", " ", "b "]), 4, 0, 100).run().await;
    assert!(done.notice("path_without_channel").unwrap().contains("1 aggregated paths"));
    assert_eq!(done.rows("SELECT array_to_string(path, '>') FROM paths").await, ["a>(other)>b"]);
    // Largest remainder: 1.00 over three equal channels.
    assert_eq!(
        done.rows("SELECT member, gross FROM attribution_channel ORDER BY gross DESC").await[0]
            .split(" | ")
            .last(),
        Some("0.34")
    );

    let mut unused = path(json!(["a"]), 1, 0, 0);
    unused.settings.models = vec![throughline_attribution::Model::Linear];
    assert!(unused.run().await.notice("aggregated_paths_unused").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn any_tangle_closes_its_books_whatever_the_order_of_rows() {
    let mut world = tangle(77, 70);
    world.settings.models = throughline_attribution::Model::ALL.to_vec();
    world.settings.multi_conversion = throughline_attribution::MultiConversion::Reset;
    let done = world.run().await;
    assert!(done.outcome.books.iter().all(|b| b.ok));
    for model in LEARNED {
        let share = format!("SELECT count(*) FROM attribution WHERE model = '{model}' AND credit > 0");
        assert_ne!(done.one(&share).await, "0", "{model}");
    }
    let uneven = "SELECT conversion_id, model FROM attribution GROUP BY conversion_id, model \
                  HAVING abs(sum(credit) - 1.0) > 0.000000001";
    assert_eq!(done.rows(uneven).await, Vec::<String>::new());
    let first = done.everything().await;
    assert!(first["attribution_channel"].len() > 20 && first["paths"].len() > 20);
    let mut changed = world.clone();
    let mut dice = Dice(5);
    for rows in changed.tables.values_mut() {
        dice.shuffle(rows);
    }
    let second = changed.run().await.everything().await;
    for table in ["attribution_channel", "paths", "attribution"] {
        assert_eq!(first[table], second[table], "{table}");
    }
}
