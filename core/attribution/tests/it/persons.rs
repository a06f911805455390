//! Whose an identifier is, and by which record.

use serde_json::json;
use throughline_attribution::{Identity, Person, person};

use crate::support::{Done, World};

fn world() -> World {
    let mut world = World::with(json!({"identity": {"ignore": ["email:office@studio.example"]}}));
    world.add("visits", json!([
        {"visit_id": "ym:1:1", "started_at": "2026-03-01T10:00:00Z", "token": "HHR3D1196WD", "ym_client_id": "77", "ga_client_id": "9.1"},
        {"visit_id": "ym:1:2", "started_at": "2026-03-02T10:00:00Z", "ym_client_id": "77"},
        {"visit_id": "ym:1:3", "started_at": "2026-03-02T11:00:00Z"},
    ]));
    let message = |id: &str, at: &str, user: &str, token: Option<&str>| {
        json!({"platform": "whatsapp", "message_id": id, "conversation_id": format!("whatsapp:1:{user}"), "ts": at,
               "direction": "in", "sender_kind": "customer", "text": "Здравствуйте", "user_id": user,
               "token": token, "token_state": if token.is_some() { "ok" } else { "missing" }})
    };
    world.add(
        "messages",
        json!([
            message("m2", "2026-03-05T10:00:00Z", "79161234567", None),
            message("m1", "2026-03-01T10:05:00Z", "79161234567", Some("HHR3D1196WD")),
            message("m3", "2026-03-05T10:00:00Z", "971501234567", None),
        ]),
    );
    let contact = |n: u32, phone: Option<&str>, email: Option<&str>| {
        json!({"contact_id": format!("amocrm:studio:{n}"), "phone_e164": phone, "email": email,
               "created_at": "2026-03-01T11:00:00Z"})
    };
    world.add(
        "contacts",
        json!([
            contact(1, Some("+79161234567"), Some(" Anna@Example.org ")),
            contact(2, Some("+971501234567"), Some("office@studio.example")),
            contact(3, Some("+74951111111"), None),
            contact(4, Some("+74951111111"), None),
            contact(5, Some("+74951111111"), None),
            contact(6, Some("+74951111111"), None),
        ]),
    );
    let edge = |left: (&str, &str), right: (&str, &str), from: Option<&str>| {
        json!({"left_type": left.0, "left_value": left.1, "right_type": right.0, "right_value": right.1,
               "evidence": "call 15", "valid_from": from, "valid_to": from.map(|_| "2026-04-01T00:00:00Z")})
    };
    world.add(
        "identity_edges",
        json!([
            edge(("crm_contact", "amocrm:studio:1"), ("phone", "+79037654321"), None),
            edge(("crm_contact", "amocrm:studio:1"), ("phone", "+74951111111"), None),
            edge(("crm_contact", "amocrm:studio:2"), ("phone", "+79990000000"), Some("2026-03-01T00:00:00Z")),
        ]),
    );
    world.add(
        "deals",
        json!([{"deal_id": "amocrm:studio:10", "contact_id": "amocrm:studio:1", "created_at": "2026-03-01T12:00:00Z",
                "state": "won", "closed_at": "2026-03-02T12:00:00Z", "value_minor": 100, "currency": "RUB",
                "token": "HHR3D1196WD"}]),
    );
    world
}

async fn ask(done: &Done, who: &str) -> Person {
    person(&done.engine, &identity(), who).await.unwrap_or_else(|e| panic!("{who}: {e}"))
}

fn identity() -> Identity {
    world().settings.identity
}

fn identifiers(person: &Person) -> Vec<String> {
    person.identifiers.iter().map(|k| k.id.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_identifier_with_the_record_that_tied_it() {
    let done = world().run().await;
    let anna = ask(&done, "+7 916 123-45-67").await;
    assert_eq!(
        identifiers(&anna),
        [
            "crm_contact:amocrm:studio:1",
            "phone:+79037654321",
            "phone:+79161234567",
            "email:anna@example.org",
            "wa_user:79161234567",
            "ym_client:77",
            "ga_client:9.1",
            "visit:ym:1:1",
        ]
    );
    assert!(anna.identifiers[0].is_canonical && anna.identifiers[0].tied_by.is_empty());
    assert_eq!((anna.visits, anna.inquiries, anna.deals), (2, 2, 1));
    let ties = |type_: &str| {
        let known = anna.identifiers.iter().find(|k| k.id.id_type == type_).unwrap();
        known
            .tied_by
            .iter()
            .map(|t| format!("{} {} {} x{}", t.table, t.record, t.at.as_deref().unwrap_or("-"), t.records))
            .collect::<Vec<_>>()
    };
    assert_eq!(ties("email"), ["in_contacts amocrm:studio:1 2026-03-01T11:00:00Z x1"]);
    // The earliest of the messages, and how many say the same.
    assert_eq!(ties("wa_user"), ["in_messages whatsapp:m1 2026-03-01T10:05:00Z x2"]);
    assert_eq!(
        ties("visit"),
        [
            "in_visits ym:1:1 2026-03-01T10:00:00Z x1",
            "in_visits ym:1:1 2026-03-01T10:00:00Z x1",
            "in_messages whatsapp:m1 2026-03-01T10:05:00Z x1",
            "in_deals amocrm:studio:10 2026-03-01T12:00:00Z x1",
        ]
    );
    let phone = &anna.identifiers[1];
    assert_eq!(
        (phone.tied_by[0].table.as_str(), phone.tied_by[0].record.as_str()),
        ("in_identity_edges", "call 15")
    );

    // The switchboard stands in her records and joins nobody.
    assert_eq!(anna.shared.len(), 1, "{:#?}", anna.shared);
    assert_eq!(anna.shared[0].id.to_string(), "phone:+74951111111");
    assert!(
        anna.shared[0].reason.contains("5 CRM contacts, more than max_contacts = 3"),
        "{}",
        anna.shared[0].reason
    );
    assert_eq!(anna.shared[0].seen_in.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_found_by_anything_known() {
    let done = world().run().await;
    let anna = ask(&done, "+79161234567").await;
    for who in [
        "8 (916) 123-45-67",
        "٨٩١٦١٢٣٤٥٦٧",
        "７９１６１２３４５６７",
        "phone:89161234567",
        "ANNA@example.org",
        "amocrm:studio:1",
        "crm_contact:amocrm:studio:1",
        "crm_contact:1",
        "wa_user:79161234567",
        "77",
        "visit:ym:1:1",
        anna.person_id.as_deref().unwrap(),
    ] {
        assert_eq!(ask(&done, who).await.person_id, anna.person_id, "{who}");
    }
    let dubai = ask(&done, "050 123 4567").await;
    assert_eq!(dubai.identifiers[0].id.to_string(), "crm_contact:amocrm:studio:2");
    // Ignored, and an edge for a time.
    assert_eq!(dubai.shared[0].id.to_string(), "email:office@studio.example");
    assert!(dubai.shared[0].reason.contains("ignore"), "{}", dubai.shared[0].reason);
    let bounded = dubai.identifiers.last().unwrap();
    assert_eq!(bounded.id.to_string(), "phone:+79990000000");
    assert_eq!(bounded.valid_from.as_deref(), Some("2026-03-01T00:00:00Z"));
    assert_eq!(bounded.tied_by.len(), 1);

    let office = ask(&done, "+7 495 111-11-11").await;
    assert_eq!((office.person_id, office.identifiers.len()), (None, 0));
    assert_eq!(office.shared[0].seen_in.len(), 5);

    let error = person(&done.engine, &identity(), "3").await.err().unwrap();
    assert!(error.to_string().contains("fits 2 persons"), "{error}");
    let error = person(&done.engine, &identity(), "anna@exampel.org").await.err().unwrap();
    assert!(error.hint_text().unwrap().contains("email:anna@example.org"), "{error:?}");
    for odd in ["", " ", "'", "%", "+", "p_", ":", "phone:", "\u{0}", "🙂"] {
        let error = person(&done.engine, &identity(), odd).await.err().unwrap();
        assert_eq!(error.kind(), throughline_core::ErrorKind::NotFound, "{odd:?}: {error}");
    }
}

/// The records told of are those that made the graph: no edge more, no edge less.
#[tokio::test(flavor = "multi_thread")]
async fn ties_are_the_edges_of_the_run() {
    let done = world().run().await;
    let _ = ask(&done, "77").await;
    let pairs = "SELECT DISTINCT l_type || ':' || l_value || ' ' || r_type || ':' || r_value FROM";
    let mut edges = done.rows(&format!("{pairs} x_edge_text")).await;
    let mut told = done.rows(&format!("{pairs} t_tie WHERE from_us IS NULL AND to_us IS NULL")).await;
    edges.sort();
    told.sort();
    assert_eq!(told, edges);
    assert!(edges.len() > 10, "{edges:?}");
}
