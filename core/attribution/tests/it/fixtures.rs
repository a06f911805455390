//! The project's fixtures with known right answers, compared exactly.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use throughline_attribution::Model;

use crate::support::{Done, World, fixture};

const TOLERANCE: f64 = 1e-12;

fn exact(text: &str) -> f64 {
    let (p, q) = text.split_once('/').unwrap();
    p.parse::<f64>().unwrap() / q.parse::<f64>().unwrap()
}

fn pick(row: &Value, names: &[&str]) -> Value {
    let mut out = serde_json::Map::new();
    for name in names {
        if let Some(value) = row.get(name) {
            out.insert((*name).to_string(), value.clone());
        }
    }
    Value::Object(out)
}

fn prepared_touch(row: &Value) -> Value {
    pick(row, &["touch_id", "person_id", "ts", "channel", "campaign"])
}

fn minor(decimal: &str) -> i64 {
    decimal.replace('.', "").parse().unwrap()
}

/// (credit, gross, net) summed by a column of attribution.
async fn by(done: &Done, column: &str, conversion: &str, model: &str) -> BTreeMap<String, (f64, i64, i64)> {
    let rows = done
        .rows(&format!(
            "SELECT {column}, credit, gross, net FROM attribution \
             WHERE conversion_id = '{conversion}' AND model = '{model}' ORDER BY touch_index"
        ))
        .await;
    let mut sums = BTreeMap::new();
    for row in rows {
        let parts: Vec<&str> = row.split(" | ").collect();
        let sum: &mut (f64, i64, i64) = sums.entry(parts[0].to_string()).or_default();
        sum.0 += parts[1].parse::<f64>().unwrap();
        sum.1 += minor(parts[2]);
        sum.2 += minor(parts[3]);
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_models_over_timed_touches() {
    let fixture = fixture("01_rule_models_timed.json");
    let mut world = World::default();
    world.add("touches", fixture["touches"].as_array().unwrap().iter().map(prepared_touch).collect());
    world.add("conversions", fixture["conversions"].clone());
    let done = world.run().await;
    for (model, expected) in fixture["expected"].as_object().unwrap() {
        let touches = by(&done, "touch_id", "c1", model).await;
        for (touch, share) in expected["share_by_touch"].as_object().unwrap() {
            let share = share["value"].as_f64().unwrap();
            assert!((touches[touch].0 - share).abs() < TOLERANCE, "{model} {touch}: {touches:?}");
        }
        for (touch, units) in expected["minor_units_by_touch"].as_object().unwrap() {
            assert_eq!(touches[touch].1, units.as_i64().unwrap(), "{model} {touch}");
        }
        let channels = by(&done, "channel_id", "c1", model).await;
        for (channel, units) in expected["minor_units_by_channel"].as_object().unwrap() {
            assert_eq!(channels[channel].1, units.as_i64().unwrap(), "{model} {channel}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rule_models_over_edge_paths() {
    let fixture = fixture("02_rule_models_path_edges.json");
    let cases = fixture["cases"].as_array().unwrap();
    let mut world = World::default();
    for (case, path) in cases.iter().map(|c| c["path"].as_array().unwrap()).enumerate() {
        for (i, channel) in path.iter().enumerate() {
            world.add(
                "touches",
                json!([{"touch_id": format!("t{case}-{i}"), "person_id": format!("p{case}"),
                        "ts": format!("2026-03-01T10:{i:02}:00Z"), "channel": channel}]),
            );
        }
        world.add(
            "conversions",
            json!([{"conversion_id": format!("c{case}"), "person_id": format!("p{case}"),
                    "ts": "2026-03-01T12:00:00Z", "value_minor": 1000, "currency": "RUB"}]),
        );
    }
    let done = world.run().await;
    for (case, expected) in cases.iter().enumerate() {
        for (model, expected) in expected["expected"].as_object().unwrap() {
            let channels = by(&done, "channel_id", &format!("c{case}"), model).await;
            let shares = expected["share"].as_object().unwrap();
            for (channel, share) in shares {
                let share = exact(share.as_str().unwrap());
                assert!((channels[channel].0 - share).abs() < TOLERANCE, "case {case} {model}: {channels:?}");
            }
            assert_eq!(channels.values().map(|c| c.1).sum::<i64>(), 1000);
            let positions: Vec<i64> = done
                .rows(&format!(
                    "SELECT gross FROM attribution WHERE conversion_id = 'c{case}' AND model = '{model}' \
                     AND touch_index > 0 ORDER BY touch_index"
                ))
                .await
                .iter()
                .map(|g| minor(g))
                .collect();
            let wanted: Vec<i64> = expected["minor_units_of_1000_by_position"]
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_i64().unwrap())
                .collect();
            assert_eq!(positions, wanted, "case {case} {model}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_several_conversions_refunds_currencies() {
    let fixture = fixture("03_windows_multi_conversion_refund_currency.json");
    for policy in ["all", "reset"] {
        let mut world = World::with(json!({"reporting_currency": "RUB", "multi_conversion": policy}));
        world.add("touches", fixture["touches"].as_array().unwrap().iter().map(prepared_touch).collect());
        world.add("conversions", fixture["conversions"].clone());
        world.add("refunds", fixture["refunds"].clone());
        for (currency, days) in fixture["fx_to_reporting"].as_object().unwrap() {
            for (day, rate) in days.as_object().unwrap() {
                world.add("exchange_rates", json!([{"day": day, "currency": currency, "rate": rate}]));
            }
        }
        let done = world.run().await;
        for expected in fixture["expected"][policy].as_array().unwrap() {
            let id = expected["conversion_id"].as_str().unwrap();
            let eligible: Vec<String> = expected["eligible_touches"]
                .as_array()
                .unwrap()
                .iter()
                .map(|t| t.as_str().unwrap().into())
                .collect();
            let conversion = done
                .one(&format!(
                    "SELECT value_gross, value_net, is_new_customer, n_eligible_touches FROM conversions WHERE conversion_id = '{id}'"
                ))
                .await;
            let parts: Vec<&str> = conversion.split(" | ").collect();
            assert_eq!(minor(parts[0]), expected["gross_minor_reporting"].as_i64().unwrap(), "{policy} {id}");
            assert_eq!(minor(parts[1]), expected["net_minor_reporting"].as_i64().unwrap(), "{policy} {id}");
            assert_eq!(parts[2], expected["is_new_customer"].to_string(), "{policy} {id}");
            assert_eq!(parts[3], eligible.len().to_string(), "{policy} {id}");
            let path = done
                .rows(&format!(
                    "SELECT touch_id FROM attribution WHERE conversion_id = '{id}' AND model = 'linear' \
                     AND touch_id IS NOT NULL ORDER BY touch_index"
                ))
                .await;
            assert_eq!(path, eligible, "{policy} {id}");
            for (model, expected) in expected["models"].as_object().unwrap() {
                let channels = by(&done, "channel_id", id, model).await;
                for (channel, credit) in expected["credit"].as_object().unwrap() {
                    let found = channels[channel];
                    let at = format!("{policy} {id} {model} {channel}");
                    assert!((found.0 - credit.as_f64().unwrap()).abs() < TOLERANCE, "{at}: {found:?}");
                    assert_eq!(found.1, expected["gross_minor"][channel].as_i64().unwrap(), "{at}");
                    assert_eq!(found.2, expected["net_minor"][channel].as_i64().unwrap(), "{at}");
                }
            }
        }
        assert_eq!(done.outcome.reporting_currency, "RUB");
        assert_eq!(done.outcome.books.iter().filter(|b| !b.ok).count(), 0);
        assert_eq!(
            done.rows("SELECT DISTINCT model FROM attribution ORDER BY model").await.len(),
            Model::RULES.len()
        );
    }
}

fn edges(fixture: &Value) -> Value {
    let rows = fixture["edges"].as_array().unwrap().iter().map(|edge| {
        let (left_type, left_value) = edge[0].as_str().unwrap().split_once(':').unwrap();
        let (right_type, right_value) = edge[1].as_str().unwrap().split_once(':').unwrap();
        json!({"left_type": left_type, "left_value": left_value,
               "right_type": right_type, "right_value": right_value})
    });
    rows.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_components() {
    let fixture = fixture("09_identity_components.json");
    for (guard, components) in
        [(100, &fixture["expected"]["plain"]), (3, &fixture["expected"]["guarded"]["components"])]
    {
        let mut world = World::with(json!({"identity": {"max_contacts": guard}}));
        world.add("identity_edges", edges(&fixture));
        let done = world.run().await;
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for row in done
            .rows("SELECT person_id, id_type || ':' || id_value FROM identity_map WHERE NOT is_shared")
            .await
        {
            let (person, member) = row.split_once(" | ").unwrap();
            found.entry(person.to_string()).or_default().push(member.to_string());
        }
        let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for component in components.as_array().unwrap() {
            let members = component["members"]
                .as_array()
                .unwrap()
                .iter()
                .map(|m| m.as_str().unwrap().to_string())
                .collect();
            wanted.insert(component["person_id"].as_str().unwrap().to_string(), members);
        }
        found.values_mut().chain(wanted.values_mut()).for_each(|members| members.sort());
        assert_eq!(found, wanted, "guard {guard}");
        let shared = done.rows("SELECT id_type || ':' || id_value FROM identity_map WHERE is_shared").await;
        let blocked: Vec<String> = match guard {
            3 => fixture["expected"]["guarded"]["blocked"]
                .as_array()
                .unwrap()
                .iter()
                .map(|b| b.as_str().unwrap().into())
                .collect(),
            _ => Vec::new(),
        };
        assert_eq!(shared, blocked);
    }
}
