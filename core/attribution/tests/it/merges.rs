//! What changed since the epoch before: merged identifiers, rows that came late.

use serde_json::{Value, json};
use throughline_attribution::Previous;
use throughline_sql::TableRef;

use crate::support::{Done, World};

fn previous(done: &Done) -> Previous {
    let table = |name: &str| -> Option<TableRef> {
        done.outcome.tables.iter().find(|t| t.name == name).map(|t| t.written.table())
    };
    Previous {
        identity_map: table("identity_map"),
        identity_merges: table("identity_merges"),
        data_quality_daily: table("data_quality_daily"),
    }
}

fn visit(id: &str, at: &str, token: Option<&str>, client: &str) -> Value {
    json!({"visit_id": id, "started_at": at, "token": token, "ym_client_id": client, "source": "google", "medium": "cpc"})
}

const MERGES: &str =
    "SELECT ts, id_type, id_value, reason FROM identity_merges ORDER BY ts, id_type, id_value";

#[tokio::test(flavor = "multi_thread")]
async fn who_becomes_somebody_else_is_told_with_the_tie_that_did_it() {
    // 2026-03-04
    let mut world = World { now_us: Some(1_772_582_400_000_000), ..World::default() };
    world.add(
        "visits",
        json!([
            visit("v1", "2026-03-01T10:00:00Z", Some("HHR3D1196WD"), "77"),
            visit("v2", "2026-03-01T11:00:00Z", None, "88")
        ]),
    );
    let first = world.run().await;
    assert!(first.rows(MERGES).await.is_empty(), "nobody was anybody before");

    // The next day the browser's owner writes with the token of his visit.
    world.now_us = Some(1_772_668_800_000_000); // 2026-03-05
    world.previous = previous(&first);
    world.add(
        "messages",
        json!([{"platform": "whatsapp", "message_id": "m1", "conversation_id": "whatsapp:1:79161234567",
                "ts": "2026-03-04T10:00:00Z", "direction": "in", "sender_kind": "customer", "text": "Здравствуйте",
                "user_id": "79161234567", "token": "HHR3D1196WD", "token_state": "ok"}]),
    );
    let second = world.run().await;
    assert_eq!(
        second.rows(MERGES).await,
        ["2026-03-05T00:00:00Z | ym_client | 77 | ym_client:77 = visit:v1 (browser of the visit)"]
    );
    let was = first.one("SELECT person_id FROM identity_map WHERE id_value = '77'").await;
    let is = second.one("SELECT person_id FROM identity_map WHERE id_type = 'phone'").await;
    assert_eq!(
        second.one("SELECT from_person_id, into_person_id FROM identity_merges").await,
        format!("{was} | {is}")
    );

    // Then the CRM learns his phone: everything he was goes over to the contact. The first row stays.
    world.now_us = Some(1_772_755_200_000_000); // 2026-03-06
    world.previous = previous(&second);
    world.add("contacts", json!([{"contact_id": "crm:1:501", "phone_e164": "+79161234567"}]));
    let third = world.run().await;
    let reason = "crm_contact:crm:1:501 = phone:+79161234567 (CRM contact)";
    assert_eq!(
        third.rows(MERGES).await,
        [
            "2026-03-05T00:00:00Z | ym_client | 77 | ym_client:77 = visit:v1 (browser of the visit)"
                .to_string(),
            format!("2026-03-06T00:00:00Z | phone | +79161234567 | {reason}"),
            format!("2026-03-06T00:00:00Z | visit | v1 | {reason}"),
            format!("2026-03-06T00:00:00Z | wa_user | 79161234567 | {reason}"),
            format!("2026-03-06T00:00:00Z | ym_client | 77 | {reason}"),
        ]
    );

    // Nothing new, nothing told; and a tie that is gone parts them.
    world.now_us = Some(1_772_841_600_000_000); // 2026-03-07
    world.previous = previous(&third);
    let fourth = world.run().await;
    assert_eq!(fourth.rows(MERGES).await.len(), 5);
    world.settings.identity.ignore = vec!["phone:+79161234567".into()];
    world.previous = previous(&fourth);
    world.add("contacts", json!([{"contact_id": "crm:1:7", "name": "Другой"}]));
    let fifth = world.run().await;
    let parted = fifth
        .rows("SELECT id_type, reason FROM identity_merges WHERE ts > TIMESTAMP '2026-03-06T12:00:00Z' ORDER BY id_type")
        .await;
    assert_eq!(parted.len(), 4, "{parted:?}");
    assert!(parted.iter().all(|row| row.ends_with("parted: no longer tied to that person")), "{parted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_day_that_was_over_are_late() {
    let mut world = World::default();
    world.add(
        "visits",
        json!([
            visit("v1", "2026-03-01T10:00:00Z", None, "1"),
            visit("v2", "2026-03-02T10:00:00Z", None, "2")
        ]),
    );
    let first = world.run().await;
    let late =
        "SELECT date, \"rows\", late_rows FROM data_quality_daily WHERE source = 'visits' ORDER BY date";
    assert_eq!(first.rows(late).await, ["2026-03-01 | 1 | 0", "2026-03-02 | 1 | 0"]);
    world.previous = previous(&first);
    world.add(
        "visits",
        json!([
            visit("v3", "2026-03-01T12:00:00Z", None, "3"),
            visit("v4", "2026-02-28T12:00:00Z", None, "4"),
            // The newest day of the last run was not over, and a new day is not late.
            visit("v5", "2026-03-02T12:00:00Z", None, "5"),
            visit("v6", "2026-03-03T12:00:00Z", None, "6"),
        ]),
    );
    let second = world.run().await;
    let wanted = ["2026-02-28 | 1 | 1", "2026-03-01 | 2 | 1", "2026-03-02 | 2 | 0", "2026-03-03 | 1 | 0"];
    assert_eq!(second.rows(late).await, wanted);
    // Another run over the same rows finds nothing more, and forgets nothing.
    world.previous = previous(&second);
    assert_eq!(world.run().await.rows(late).await, wanted);
}
