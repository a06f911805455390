//! A run that goes on from the epoch before gives the very tables of a run that computes everything.

use serde_json::json;
use throughline_attribution::Scope;
use throughline_sql::SqlEngine;

use crate::properties::{Dice, tangle};
use crate::support::{Done, NOW_US, World};

const DAY_US: i64 = 86_400_000_000;

/// Runs `world` from what `before` left and from nothing, and compares every table.
async fn same(before: &Done, world: &World, what: &str) -> Done {
    let mut whole = world.clone();
    whole.previous = before.previous();
    whole.before = None;
    let mut going_on = whole.clone();
    going_on.before = Some(before.before());
    let (whole, part) = (whole.run().await, going_on.run().await);
    let (expected, found) = (whole.everything().await, part.everything().await);
    for (table, rows) in &expected {
        let missing: Vec<_> = rows.iter().filter(|r| !found[table].contains(r)).take(5).collect();
        let extra: Vec<_> = found[table].iter().filter(|r| !rows.contains(r)).take(5).collect();
        assert!(rows == &found[table], "{what}: {table}: missing {missing:#?}, instead {extra:#?}");
    }
    // What is kept for the run after the next is the same too.
    for state in &whole.outcome.state {
        let name = state.name;
        let select = format!("SELECT * FROM {name}");
        let (mut a, mut b) = (whole.rows(&select).await, part.rows(&select).await);
        // Nothing is as good as a row of nothing.
        for rows in [&mut a, &mut b] {
            rows.retain(|r| !(name == "state_told" || name == "state_books") || !r.ends_with("| 0"));
            rows.sort();
        }
        assert_eq!(a, b, "{what}: {name}");
    }
    let codes = |done: &Done| {
        let mut codes: Vec<_> =
            done.outcome.notices.iter().map(|n| (n.code.clone(), n.message.clone())).collect();
        codes.sort();
        codes
    };
    assert_eq!(codes(&whole), codes(&part), "{what}");
    part
}

fn is_part(done: &Done) -> bool {
    matches!(done.outcome.scope, Scope::Part { .. })
}

/// Takes away, changes and adds rows at random.
fn change(world: &mut World, dice: &mut Dice, size: u64) {
    let other = story(dice.roll(1 << 30) + 1, size).tables;
    for (name, rows) in &mut world.tables {
        for _ in 0..dice.roll(3) {
            if rows.is_empty() {
                continue;
            }
            let at = dice.roll(rows.len() as u64) as usize;
            match dice.roll(3) {
                0 => {
                    rows.remove(at);
                }
                1 => {
                    // Another row under the same key, or the same twice in a table without keys.
                    let from = &other[name][dice.roll(other[name].len() as u64) as usize];
                    let mut row = from.clone();
                    for key in throughline_core::canonical::table(name).unwrap().key {
                        row[*key] = rows[at][*key].clone();
                    }
                    rows[at] = row;
                }
                _ => {
                    let mut row = other[name][dice.roll(other[name].len() as u64) as usize].clone();
                    for key in [
                        "visit_id",
                        "message_id",
                        "deal_id",
                        "contact_id",
                        "refund_id",
                        "hit_id",
                        "event_id",
                        "touch_id",
                    ] {
                        let owns = throughline_core::canonical::table(name).unwrap().key.contains(&key);
                        if owns && row[key].is_string() {
                            row[key] =
                                json!(format!("{}n{}", row[key].as_str().unwrap(), dice.roll(1 << 40)));
                        }
                    }
                    rows.push(row);
                }
            }
        }
    }
}

/// The tables that [`tangle`] leaves empty.
fn with_the_rest(world: &mut World, dice: &mut Dice, size: u64) {
    let day = |dice: &mut Dice| {
        let at =
            chrono::DateTime::from_timestamp(1_772_323_200 + (dice.roll(40 * 86_400)) as i64, 0).unwrap();
        at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
    };
    let user = |dice: &mut Dice| (79_160_000_000 + dice.roll(size / 3 + 1)).to_string();
    let (mut rows, mut consents, mut edges, mut hits) = (vec![], vec![], vec![], vec![]);
    let (mut events, mut contacts, mut steps, mut touches, mut sales) =
        (vec![], vec![], vec![], vec![], vec![]);
    for i in 0..size {
        let maybe = |keeps: bool, value: &str| if keeps { json!(value) } else { json!(null) };
        let token = throughline_core::token::VisitToken::from_number(dice.roll(size)).unwrap();
        let status = ["sent", "delivered", "read", "failed", "clicked"][dice.roll(5) as usize];
        // Some of messages nobody landed.
        rows.push(json!({"platform": "whatsapp", "message_id": format!("m{}", dice.roll(size + 9)), "status": status,
            "at": day(dice), "user_id": user(dice), "price_category": maybe(dice.roll(2) > 0, "marketing")}));
        consents.push(json!({"platform": (["whatsapp", "whatsapp", "phone"][dice.roll(3) as usize]), "user_id": user(dice),
            "ts": day(dice), "action": (["opt_in", "opt_in", "opt_out"][dice.roll(3) as usize])}));
        hits.push(json!({"hit_id": format!("h{i}"), "at": day(dice), "kind": "page", "title": format!("т{}", dice.roll(4)),
            "url": format!("https://shop.example/{}", dice.roll(5)), "visit_id": format!("v{}", dice.roll(size)),
            "token": maybe(dice.roll(3) > 0, token.as_str())}));
        events.push(json!({"event_id": format!("e{i}"), "at": day(dice), "scenario": "добро пожаловать", "step": format!("s{}", dice.roll(3)),
            "kind": (["entered", "passed", "escalated", "fallback"][dice.roll(4) as usize]), "step_no": dice.roll(3) + 1,
            "session_id": maybe(dice.roll(2) > 0, &dice.roll(9).to_string()),
            "platform": "whatsapp", "conversation_id": format!("whatsapp:1:{}", user(dice))}));
        if i % 4 == 0 {
            contacts.push(json!({"deal_id": format!("d{}", dice.roll(size / 2)), "contact_id": dice.roll(size / 3 + 1).to_string(),
                "is_main": dice.roll(2) > 0}));
            steps.push(json!({"event_id": format!("g{i}"), "deal_id": format!("d{}", dice.roll(size / 2)), "at": day(dice),
                "kind": "status_changed", "status_after": (["142", "7"][dice.roll(2) as usize])}));
            touches.push(json!({"touch_id": format!("t{i}"), "person_id": format!("q{}", dice.roll(6)), "ts": day(dice),
                "channel": format!("own {}", dice.roll(3)), "campaign": "радио"}));
            sales.push(json!({"conversion_id": format!("k{i}"), "person_id": format!("q{}", dice.roll(6)), "ts": day(dice),
                "value_minor": dice.roll(9000), "currency": "RUB"}));
        }
        if i % 9 == 0 {
            edges.push(json!({"left_type": "ym_client", "left_value": dice.roll(size / 2 + 1).to_string(), "right_type": "phone",
                "right_value": format!("+{}", user(dice)), "valid_from": maybe(dice.roll(2) > 0, &day(dice))}));
        }
    }
    world.add("message_statuses", rows.into()).add("consents", consents.into()).add("hits", hits.into());
    world
        .add("scenario_events", events.into())
        .add("deal_contacts", contacts.into())
        .add("deal_events", steps.into());
    world.add("touches", touches.into()).add("conversions", sales.into()).add("identity_edges", edges.into());
    world.settings.qualified_statuses = vec!["142".into()];
    world.settings.conversions = serde_json::from_value(json!(["lead", "qualified", "won"])).unwrap();
}

/// The engine gives every key once.
fn without_repeats(world: &mut World) {
    for (name, rows) in &mut world.tables {
        let key = throughline_core::canonical::table(name).unwrap().key;
        let mut seen = std::collections::BTreeSet::new();
        rows.retain(|row| {
            let key: Vec<String> = key.iter().map(|k| row[*k].to_string()).collect();
            key.is_empty() || seen.insert(key)
        });
    }
}

fn story(seed: u64, size: u64) -> World {
    let mut world = tangle(seed, size);
    with_the_rest(&mut world, &mut Dice(seed + 11), size);
    without_repeats(&mut world);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn any_change_gives_the_tables_of_a_rebuild() {
    let mut parts = 0;
    for seed in [3, 77] {
        let size = 60;
        let mut world = story(seed, size);
        // Some days before the end of the story: inquiries close and people fall silent on the way.
        world.now_us = Some(NOW_US - 200 * DAY_US);
        world.in_files = seed == 77;
        let mut dice = Dice(seed + 5);
        let mut done = world.run().await;
        // Once nothing but time goes on, far enough for people to fall silent.
        for (step, changes, days) in [(1, true, -199), (2, seed == 77, 10)] {
            if changes {
                change(&mut world, &mut dice, size);
                without_repeats(&mut world);
            }
            world.now_us = Some(NOW_US + days * DAY_US);
            done = same(&done, &world, &format!("seed {seed}, step {step}")).await;
            parts += usize::from(is_part(&done));
        }
    }
    assert!(parts >= 3, "only {parts} runs went on from the one before");
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_lost_a_row_are_computed_anew() {
    let mut world = tangle(9, 24);
    without_repeats(&mut world);
    world.in_files = true;
    let first = world.run().await;
    let mut before = first.before();
    let folder = tempfile::tempdir().unwrap();
    let lost = "SELECT * FROM visits WHERE visit_id <> 'v7'";
    let visits = first.engine.write("visits", lost, &[], &folder.path().join("visits")).await.unwrap();
    before.tables.insert("visits".into(), visits.table());
    world.add("visits", json!([{"visit_id": "new", "started_at": "2026-03-20T10:00:00Z"}]));
    world.before = Some(before);
    let done = world.run().await;
    assert!(matches!(&done.outcome.scope, Scope::All { because } if because.contains("books do not close")));
    assert_eq!(done.one("SELECT count(*) FROM visits").await, "25");
}
