//! From HubSpot's records to canonical tables.

use std::collections::HashMap;

use serde_json::{Value, json};
use throughline_core::token::VisitToken;

use crate::crm_tables::{self, lines, row, with};
use crate::fixture::{Asked, Reply, Server};
use crate::harness::secret;
use crate::support::{World, map, read_all, readme_options};

/// Our samples, answered to those who ask for them.
fn samples(asked: &Asked, token: &str) -> Reply {
    let archived = asked.param("archived") == Some("true");
    let sample = |text: &str| Reply::text(200, text);
    match asked.path.as_str() {
        "/crm/v3/objects/deals/search" => search(asked, &["9001", "9002", "9003"], 3),
        "/crm/v3/objects/contacts/search" => search(asked, &["498", "499", "501"], 3),
        "/crm/v3/objects/deals/batch/read" => {
            let body = asked.json();
            assert_eq!(body["inputs"], json!([{"id": "9001"}, {"id": "9002"}, {"id": "9003"}]));
            assert_eq!(body["properties"], json!(["dealname", "amount"]), "discovered");
            sample(&include_str!("../../src/hubspot/samples/deals.json").replace("visit-00000000000", token))
        }
        "/crm/v3/objects/contacts/batch/read" => {
            sample(include_str!("../../src/hubspot/samples/contacts.json"))
        }
        "/crm/v4/associations/deals/contacts/batch/read" => {
            Reply::text(207, include_str!("../../src/hubspot/samples/associations.json"))
        }
        "/crm/v3/objects/deals" => sample(include_str!("../../src/hubspot/samples/archived_deals.json")),
        "/crm/v3/objects/contacts" => sample(r#"{"results":[]}"#),
        "/crm/v3/owners" if archived => {
            sample(include_str!("../../src/hubspot/samples/archived_owners.json"))
        }
        "/crm/v3/owners" => sample(include_str!("../../src/hubspot/samples/owners.json")),
        "/crm/v3/pipelines/deals" => sample(include_str!("../../src/hubspot/samples/pipelines.json")),
        "/crm/v3/properties/deals" | "/crm/v3/properties/contacts" => {
            sample(include_str!("../../src/hubspot/samples/properties.json"))
        }
        "/account-info/v3/details" => sample(include_str!("../../src/hubspot/samples/account.json")),
        other => panic!("{other}"),
    }
}

/// Ids behind the one that was asked for.
fn search(asked: &Asked, ids: &[&str], total: usize) -> Reply {
    let body = asked.json();
    let filters = body["filterGroups"][0]["filters"].as_array().unwrap();
    let last = filters.iter().find(|f| f["propertyName"] == "hs_object_id");
    let last: i64 = last.map_or(0, |f| f["value"].as_str().unwrap().parse().unwrap());
    let found: Vec<Value> = ids
        .iter()
        .filter(|id| id.parse::<i64>().unwrap() > last)
        .map(|id| json!({"id": id, "properties": {"hs_object_id": id}, "archived": false}))
        .collect();
    Reply::json(&json!({"total": total.min(found.len()), "results": found}))
}

async fn tables(token: String, more: Value) -> HashMap<String, Vec<Value>> {
    let server = Server::start(move |asked| samples(asked, &token)).await;
    let options = json!({"hub_id": "7", "token": secret("x"), "base_url": server.url, "phone_region": "RU"});
    crm_tables::tables(&throughline_connectors::hubspot::connector(), with(options, &more)).await
}

#[tokio::test]
async fn deals_are_won_when_they_came_into_their_stage() {
    let token = VisitToken::from_number(123_456_789_012).unwrap();
    let bare = token.as_str().to_owned();
    for written in [bare.clone(), format!("[visit-{bare}]")] {
        let tables = tables(written, json!({})).await;
        let deals = &tables["deals"];
        assert_eq!(deals.len(), 4);
        assert_eq!(
            *row(deals, "deal_id", "hubspot:7:9001"),
            json!({
                "deal_id": "hubspot:7:9001", "created_at": "2026-08-29T10:40:00.120Z", "state": "won",
                "name": "WhatsApp inquiry", "contact_id": "hubspot:7:501", "pipeline": "Sales",
                "status_id": "closedwon", "status": "Closed won", "value_minor": 1_250_050, "currency": "EUR",
                // Not the close date, which was a plan for December.
                "closed_at": "2026-08-30T09:15:00.400Z", "updated_at": "2026-08-30T09:15:00.500Z",
                "operator_id": "hubspot:7:701", "token": bare, "source": "google", "medium": "cpc",
                "campaign": "Свадьба", "is_deleted": false
            })
        );
        // Deleted since; and open, whatever its close date says.
        let open = row(deals, "deal_id", "hubspot:7:9002");
        assert_eq!((&open["state"], &open["is_deleted"]), (&json!("open"), &json!(true)));
        for empty in ["closed_at", "name", "operator_id", "contact_id", "value_minor", "source"] {
            assert!(open.get(empty).is_none(), "{empty} of {open}");
        }
        // Brought in as closed: then its date counts. Nothing is calculated, so the stage says what it is.
        let lost = row(deals, "deal_id", "hubspot:7:9003");
        assert_eq!((&lost["state"], &lost["closed_at"]), (&json!("lost"), &json!("2024-03-01T00:00:00Z")));
        assert_eq!((&lost["value_minor"], &lost["currency"]), (&json!(99_050), &json!("USD")));
        assert_eq!(lost["lost_reason"], "Дорого");
        // Known from the list of deleted ones alone.
        let gone = row(deals, "deal_id", "hubspot:7:8800");
        assert_eq!((&gone["state"], &gone["is_deleted"]), (&json!("lost"), &json!(true)));
    }
}

#[tokio::test]
async fn the_rest_of_the_tables() {
    let tables = tables("nothing".into(), json!({"currency": "KZT", "token_field": "x_custom_score"})).await;
    assert_eq!(row(&tables["deals"], "deal_id", "hubspot:7:9003")["currency"], "KZT");
    let links = &tables["deal_contacts"];
    assert_eq!(links.len(), 2, "{links:#?}");
    assert_eq!(row(links, "contact_id", "hubspot:7:501")["is_main"], true);
    assert_eq!(row(links, "contact_id", "hubspot:7:499")["is_main"], false);
    let contacts = &tables["contacts"];
    let anna = row(contacts, "contact_id", "hubspot:7:501");
    assert_eq!((&anna["phone_e164"], &anna["email"]), (&json!("+79123456789"), &json!("anna@example.com")));
    assert_eq!((&anna["name"], &anna["is_deleted"]), (&json!("Анна Ким"), &json!(false)));
    assert_eq!(row(contacts, "contact_id", "hubspot:7:499")["phone_e164"], "+971501234567");
    assert_eq!(row(contacts, "contact_id", "hubspot:7:498")["is_deleted"], true, "merged into 501");
    let edges = lines(&tables["identity_edges"], "", &["left_value", "right_type", "right_value"]);
    assert_eq!(
        edges,
        [
            "hubspot:7:498 crm_contact hubspot:7:497",
            "hubspot:7:499 phone +971501234567",
            "hubspot:7:501 crm_contact hubspot:7:497",
            "hubspot:7:501 crm_contact hubspot:7:498",
            "hubspot:7:501 email anna.work@example.com",
            "hubspot:7:501 email anna@example.com",
            "hubspot:7:501 phone +79123456789",
        ]
    );
    let of_one = tables["deal_events"].iter().filter(|e| e["deal_id"] == "hubspot:7:9001");
    let events = lines(of_one, "", &["at", "kind", "status_before", "status_after", "operator_id"]);
    assert_eq!(
        events,
        [
            "2026-08-29T10:40:00.120Z created - - -",
            "2026-08-29T10:45:00Z owner_changed - - hubspot:7:702",
            "2026-08-29T11:00:00Z value_changed - - hubspot:7:701",
            "2026-08-29T11:30:00Z status_changed qualifiedtobuy contractsent -",
            "2026-08-30T09:15:00.400Z status_changed contractsent closedwon hubspot:7:701",
        ]
    );
    let deleted: Vec<&Value> = tables["deal_events"].iter().filter(|e| e["kind"] == "deleted").collect();
    assert_eq!(deleted.len(), 2);
    let operators = &tables["operators"];
    assert_eq!(
        *row(operators, "crm_user_id", "701"),
        json!({"operator_id": "hubspot:7:701", "name": "Ольга Р.", "email": "olga@shop.example", "team": "Sales",
               "crm_user_id": "701"})
    );
    assert_eq!(operators.len(), 2);
}

#[test]
fn the_readme_example_builds() {
    for part in [0, 1] {
        let readme = include_str!("../../src/hubspot/README.md");
        let cut = readme.match_indices("```toml").nth(part).unwrap().0;
        let (connector, options) = readme_options(&readme[cut..]);
        assert_eq!(connector, "hubspot");
        World::at("2026-09-01T00:00:00Z").build(&throughline_connectors::hubspot::connector(), options);
    }
}

/// The vendor's documented shapes through the connector, where they are at hand.
#[tokio::test]
async fn documented_answers_become_rows() {
    let Some(folder) = crate::support::shared("api/crm/samples/hubspot") else { return };
    let sample = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    // (stream, the path it is answered on, sample, key and its values)
    for (stream, path, file, key, values) in [
        ("archived_deals", "/crm/v3/objects/deals", "deals.json", "id", vec!["6744192456", "6744457152"]),
        ("archived_contacts", "/crm/v3/objects/contacts", "contacts.json", "id", vec!["1", "51"]),
        (
            "contacts",
            "/crm/v3/objects/contacts/batch/read",
            "contacts_with_history.json",
            "id",
            vec!["1", "51"],
        ),
        ("deals", "/crm/v3/objects/deals/batch/read", "deals.json", "id", vec!["6744192456", "6744457152"]),
        ("deals", "/crm/v3/objects/deals/batch/read", "deals_upsert_207.json", "id", vec!["6744192456"]),
        (
            "deal_contacts",
            "/crm/v4/associations/deals/contacts/batch/read",
            "associations_batch_read.json",
            "deal_id",
            vec!["6744192456"],
        ),
        ("deal_properties", "/crm/v3/properties/deals", "contacts_properties.json", "name", vec![]),
        ("contact_properties", "/crm/v3/properties/contacts", "contacts_properties.json", "name", vec![]),
    ] {
        let body = sample(file);
        let all: Value = serde_json::from_str(&body).unwrap();
        let count = all["results"].as_array().unwrap().len();
        let found = values.clone();
        let server = Server::start(move |asked| {
            if asked.path == path {
                return Reply::text(if body.contains("numErrors") { 207 } else { 200 }, &body);
            }
            if asked.path.ends_with("/search") {
                return search(asked, &found, found.len());
            }
            samples(asked, "")
        })
        .await;
        let world = crate::harness::World::new();
        let source = crate::hubspot::hubspot(&server.url, json!({}));
        let got = crate::harness::read(&world, &source, crate::harness::request(stream, None)).await.ok();
        assert_eq!(got.rejects, [], "{file}");
        let latest = got.latest(key);
        assert_eq!(latest.len(), count, "{file}");
        for value in values {
            assert!(latest.contains_key(value), "{file}: {value}");
        }
        // Nothing of a record is lost on the way: every member is a column, kept byte for byte.
        for record in all["results"].as_array().unwrap() {
            for (name, value) in record.as_object().unwrap() {
                if value.is_object() {
                    let kept = got.rows.iter().any(|row| {
                        row.get(name)
                            .is_some_and(|text| serde_json::from_str::<Value>(text).unwrap() == *value)
                    });
                    assert!(kept, "{file}: {name}");
                }
            }
        }
    }
    // The search page tells of more than search can show.
    let page: Value = serde_json::from_str(&sample("deals_search_page1.json")).unwrap();
    assert!(page["total"].as_u64().unwrap() > 10_000 && page["results"][0]["id"].is_string());
    // Other objects' lists have the same shape.
    use throughline_connectors::records::{Limits, RecordsBuilder, Selector};
    for file in ["companies.json", "products.json", "quotes.json", "tickets.json"] {
        let mut records = RecordsBuilder::new(Limits::default());
        let found = records.push_page(sample(file).as_bytes(), &Selector::list("results").unwrap()).unwrap();
        assert!(found.records > 0 && found.rejected == 0, "{file}");
    }
    // And the documented refusal is waited for.
    let (refusal, turn) = (sample("error_429.json"), std::sync::Mutex::new(0));
    let server = Server::start(move |asked| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        if *turn == 1 { Reply::text(429, &refusal) } else { samples(asked, "") }
    })
    .await;
    let world = crate::harness::World::new();
    let source = crate::hubspot::hubspot(&server.url, json!({}));
    let got = crate::harness::read(&world, &source, crate::harness::request("pipelines", None)).await.ok();
    assert_eq!(got.rows.len(), 1);
    assert!(world.now() - crate::harness::NOW >= 10, "the window of 10 seconds is waited for");
}

/// The company's own truth, through stage history, merged lists and joins.
#[tokio::test]
async fn deals_agree_with_the_companys_truth() {
    use company::deal::What;
    let cfg = company::Config { seed: 7, visits: 1_500, history: 150, ..company::Config::default() };
    let now = crate::harness::NOW;
    let options = company::Options { now: Some(now), ..company::Options::default() };
    let company = company::Server::new(company::Company::new(cfg), options).start().await.unwrap();
    let world = World::at("2026-09-01T00:00:00Z");
    let token = secret(company::hubspot::auth::PRIVATE_TOKEN);
    let options = json!({"hub_id": "7", "token": token, "base_url": company.url(), "phone_region": "RU"});
    let source = world.build(&throughline_connectors::hubspot::connector(), options);
    let landed = read_all(&source, &world.ctx).await;
    let tables = map(&source, &landed).await;
    let c = &company.server.company;
    let deals: HashMap<&str, &Value> =
        tables["deals"].iter().map(|d| (d["deal_id"].as_str().unwrap(), d)).collect();
    assert_eq!((deals.len(), tables["deals"].len()), (c.leads_until(now) as usize, deals.len()));
    let (mut won, mut lost, mut deleted, mut events) = (0, 0, 0, 0);
    for pos in 0..c.leads_until(now) {
        let lead = c.lead(pos);
        let view = lead.deal.view(now);
        let deal = deals[format!("hubspot:7:{}", c.lead_id(pos)).as_str()];
        let state = match view.status {
            company::deal::WON => "won",
            company::deal::LOST => "lost",
            _ => "open",
        };
        assert_eq!((&deal["state"], &deal["is_deleted"]), (&json!(state), &json!(view.deleted)), "{deal}");
        deleted += usize::from(view.deleted);
        match view.closed.filter(|_| !view.deleted) {
            Some(at) => {
                let found =
                    chrono::DateTime::parse_from_rfc3339(deal["closed_at"].as_str().unwrap()).unwrap();
                assert_eq!(found.timestamp(), at, "{deal}");
                *(if state == "won" { &mut won } else { &mut lost }) += 1;
            }
            None => assert!(view.deleted || deal.get("closed_at").is_none(), "{deal}"),
        }
        let value = deal.get("value_minor").and_then(Value::as_i64).unwrap_or(0);
        assert_eq!((value, &deal["currency"]), (i64::from(view.price) * 100, &json!("RUB")));
        assert!(deal.get("pipeline").is_some() && deal.get("status").is_some(), "{deal}");
        if !view.deleted {
            let contact = c.contact_id(c.contact_of(&lead));
            let contact = (pos % 23 != 7).then(|| json!(format!("hubspot:7:{contact}")));
            assert_eq!(deal.get("contact_id"), contact.as_ref());
            let moves = lead.deal.changes.iter().filter(|x| x.at <= now);
            // The first price is no change of one.
            let prices =
                moves.clone().filter(|x| matches!(x.what, What::Price { .. })).count().saturating_sub(1);
            events += 1 + prices + moves.filter(|x| matches!(x.what, What::Status { .. })).count();
        }
    }
    assert!(won > 50 && lost > 50 && deleted > 0, "{won} {lost} {deleted}");
    let told = tables["deal_events"].iter().filter(|e| e["kind"] != "deleted").count();
    assert_eq!((told, tables["deal_events"].len() - told), (events, deleted));
    let contacts = &tables["contacts"];
    assert_eq!(contacts.len() as u32, c.contacts_until(now));
    for pos in 0..c.contacts_until(now) {
        let (story, _) = c.contact(pos);
        let id = format!("hubspot:7:{}", c.contact_id(pos));
        let phone = row(contacts, "contact_id", &id)["phone_e164"].as_str().unwrap().to_owned();
        assert_eq!(phone, story.person.e164(), "{id}");
    }
    assert_eq!(tables["operators"].len(), company::words::OPERATORS.len());
}
