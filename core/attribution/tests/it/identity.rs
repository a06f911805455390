//! Who is one person and who is not.

use serde_json::{Value, json};

use crate::support::{Done, World};

fn visit(id: &str, client: Option<&str>, token: Option<&str>, at: &str) -> Value {
    json!({"visit_id": id, "started_at": at, "ym_client_id": client, "token": token})
}

fn message(id: &str, user: &str, token: Option<&str>, at: &str) -> Value {
    json!({"platform": "whatsapp", "message_id": id, "conversation_id": format!("whatsapp:1:{user}"), "ts": at,
           "direction": "in", "sender_kind": "customer", "text": "здравствуйте", "user_id": user,
           "token": token, "token_state": "ok"})
}

async fn people(done: &Done, table: &str, key: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut found = Vec::new();
    for row in done.rows(&format!("SELECT {key}, person_id FROM {table} ORDER BY {key}")).await {
        let (key, person) = row.split_once(" | ").unwrap();
        let n = names.iter().position(|p| p == person).unwrap_or_else(|| {
            names.push(person.to_string());
            names.len() - 1
        });
        found.push(format!("{key}={}", char::from(b'A' + n as u8)));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switchboard_number_joins_nobody() {
    let contact = |id: &str, phone: &str, email: Option<&str>| json!({"contact_id": id, "phone_e164": phone, "email": email});
    let mut world = World::default();
    world.add(
        "contacts",
        json!([
            contact("1", "+78005550000", Some("a@x.example")),
            contact("2", "+78005550000", Some("A@x.example ")),
            contact("3", "+78005550000", None),
            contact("4", "+78005550000", None),
            contact("5", "+79990000001", None),
            contact("6", "+79990000001", None),
        ]),
    );
    world.add(
        "deals",
        (1..=6)
            .map(|i| {
                json!({"deal_id": format!("d{i}"), "contact_id": i.to_string(),
        "created_at": "2026-03-01T00:00:00Z", "state": "open"})
            })
            .collect(),
    );
    let done = world.run().await;
    // 1 and 2 share an address written two ways, 5 and 6 a phone; the number of four joins nobody.
    assert_eq!(
        people(&done, "conversions", "conversion_id").await,
        ["lead:d1=A", "lead:d2=A", "lead:d3=B", "lead:d4=C", "lead:d5=D", "lead:d6=D"]
    );
    assert_eq!(done.rows("SELECT id_value FROM identity_map WHERE is_shared").await, ["+78005550000"]);
    assert!(done.notice("identifier_shared").unwrap().starts_with("1 "));

    world.settings.identity.ignore = vec!["phone:+79990000001".into(), "email:A@X.example".into()];
    let done = world.run().await;
    assert_eq!(
        people(&done, "conversions", "conversion_id").await,
        ["lead:d1=A", "lead:d2=B", "lead:d3=C", "lead:d4=D", "lead:d5=E", "lead:d6=F"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_browser_gives_each_writer_his_own_visit() {
    let mut world = World::default();
    world.add(
        "visits",
        json!([
            visit("v1", Some("family"), Some("00000000000"), "2026-03-01T10:00:00Z"),
            visit("v2", Some("family"), Some("0000000001Y"), "2026-03-01T11:00:00Z"),
            visit("v3", Some("family"), None, "2026-03-01T12:00:00Z"),
            visit("v4", Some("own"), Some("0000000010Z"), "2026-03-01T10:00:00Z"),
            visit("v5", Some("own"), None, "2026-03-02T10:00:00Z"),
            visit("v6", None, None, "2026-03-02T10:00:00Z"),
        ]),
    );
    world.add(
        "messages",
        json!([
            message("m1", "79160000001", Some("00000000000"), "2026-03-01T10:05:00Z"),
            message("m2", "79160000002", Some("0000000001Y"), "2026-03-01T11:05:00Z"),
            message("m3", "79160000003", Some("0000000010Z"), "2026-03-01T10:05:00Z"),
        ]),
    );
    let done = world.run().await;
    assert_eq!(people(&done, "visits", "visit_id").await, ["v1=A", "v2=B", "v3=C", "v4=D", "v5=D", "v6=E"]);
    assert_eq!(done.rows("SELECT id_value FROM identity_map WHERE is_shared").await, ["family"]);
    let writers = done.rows("SELECT v.visit_id, q.inquiry_id FROM visits AS v JOIN inquiries AS q ON q.person_id = v.person_id ORDER BY v.visit_id").await;
    assert_eq!(writers, ["v1 | whatsapp:m1", "v2 | whatsapp:m2", "v4 | whatsapp:m3", "v5 | whatsapp:m3"]);

    // Whoever says that two people on one browser are one person gets that.
    world.settings.identity.max_people_per_device = 2;
    let done = world.run().await;
    assert_eq!(people(&done, "visits", "visit_id").await, ["v1=A", "v2=A", "v3=A", "v4=B", "v5=B", "v6=C"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identifier_may_be_somebodys_for_a_time() {
    let edge = |value: &str, contact: &str, from: Option<&str>, to: Option<&str>| {
        json!({"left_type": "ym_client", "left_value": value, "right_type": "crm_contact", "right_value": contact,
               "valid_from": from, "valid_to": to})
    };
    let mut world = World::default();
    world.add("contacts", json!([{"contact_id": "1"}, {"contact_id": "2"}]));
    world.add(
        "identity_edges",
        json!([
            edge("kiosk", "1", Some("2026-03-01T10:00:00Z"), Some("2026-03-01T11:00:00Z")),
            edge("kiosk", "2", Some("2026-03-01T11:00:00Z"), None),
        ]),
    );
    world.add(
        "visits",
        json!([
            visit("before", Some("kiosk"), None, "2026-03-01T09:59:59Z"),
            visit("first", Some("kiosk"), None, "2026-03-01T10:00:00Z"),
            visit("second", Some("kiosk"), None, "2026-03-01T11:00:00Z"),
        ]),
    );
    world.add(
        "deals",
        json!([
            {"deal_id": "d1", "contact_id": "1", "created_at": "2026-03-02T00:00:00Z", "state": "open"},
            {"deal_id": "d2", "contact_id": "2", "created_at": "2026-03-02T00:00:00Z", "state": "open"},
        ]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows(
            "SELECT conversion_id, touch_id FROM attribution WHERE model = 'linear' ORDER BY conversion_id"
        )
        .await,
        ["lead:d1 | visit:first", "lead:d2 | visit:second"]
    );
    assert_eq!(
        done.rows(
            "SELECT valid_from, valid_to FROM identity_map WHERE valid_from IS NOT NULL ORDER BY valid_from"
        )
        .await,
        ["2026-03-01T10:00:00Z | 2026-03-01T11:00:00Z", "2026-03-01T11:00:00Z | -"]
    );
    assert_eq!(people(&done, "visits", "visit_id").await, ["before=A", "first=B", "second=C"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_persons_keep_their_names_and_join_known_ones() {
    let mut world = World::default();
    world.add("contacts", json!([{"contact_id": "501"}]));
    world.add("visits", json!([]));
    world.add(
        "touches",
        json!([
            {"touch_id": "t1", "person_id": "user 17", "ts": "2026-03-01T00:00:00Z", "channel": "tv"},
            {"touch_id": "t2", "person_id": "p_27eb64e965a3b163", "ts": "2026-03-01T00:00:00Z", "channel": "radio"},
        ]),
    );
    world.add(
        "conversions",
        json!([{"conversion_id": "c", "person_id": "user 17", "ts": "2026-03-02T00:00:00Z"}]),
    );
    world.add(
        "deals",
        json!([{"deal_id": "d", "contact_id": "501", "created_at": "2026-03-02T00:00:00Z", "state": "open"}]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT conversion_id, person_id, channel_id FROM attribution WHERE model = 'linear' ORDER BY conversion_id").await,
        ["c | user 17 | tv", "lead:d | p_27eb64e965a3b163 | radio"]
    );
}
