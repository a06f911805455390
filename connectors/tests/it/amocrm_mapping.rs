//! From amoCRM's records to canonical tables.

use std::collections::HashMap;

use serde_json::{Value, json};
use throughline_core::token::VisitToken;

use crate::crm_tables::{self, row, with};
use crate::fixture::{Asked, Reply, Server};
use crate::harness::secret;

fn samples(asked: &Asked, token: &str) -> Reply {
    if asked.param("page").is_some_and(|page| page != "1") {
        return Reply::text(204, "");
    }
    let deleted = asked.param("with").is_some_and(|w| w.contains("only_deleted"));
    Reply::text(
        200,
        &match asked.path.as_str() {
            "/api/v4/leads" if deleted => {
                include_str!("../../src/amocrm/samples/deleted_leads.json").to_owned()
            }
            "/api/v4/leads" => {
                include_str!("../../src/amocrm/samples/leads.json").replace("visit-00000000000", token)
            }
            "/api/v4/contacts" => include_str!("../../src/amocrm/samples/contacts.json").to_owned(),
            "/api/v4/events" => include_str!("../../src/amocrm/samples/events.json").to_owned(),
            "/api/v4/users" => include_str!("../../src/amocrm/samples/users.json").to_owned(),
            "/api/v4/leads/pipelines" => include_str!("../../src/amocrm/samples/pipelines.json").to_owned(),
            "/api/v4/account" => include_str!("../../src/amocrm/samples/account.json").to_owned(),
            other => panic!("{other}"),
        },
    )
}

async fn tables(token: String, more: Value) -> HashMap<String, Vec<Value>> {
    let server = Server::start(move |asked| samples(asked, &token)).await;
    let options = json!({"subdomain": "shop", "token": secret("x"), "base_url": server.url});
    crm_tables::tables(&throughline_connectors::amocrm::connector(), with(options, &more)).await
}

#[tokio::test]
async fn leads_become_deals() {
    let token = VisitToken::from_number(123_456_789_012).unwrap();
    let bare = token.as_str().to_owned();
    for written in [bare.clone(), format!("[visit-{bare}]")] {
        let tables = tables(written, json!({})).await;
        let deals = &tables["deals"];
        assert_eq!(deals.len(), 3);
        let won = row(deals, "deal_id", "amocrm:shop:5001");
        assert_eq!(
            *won,
            json!({
                "deal_id": "amocrm:shop:5001", "created_at": "2026-08-29T10:40:00Z", "state": "won",
                "name": "Заявка из WhatsApp", "contact_id": "amocrm:shop:6001", "pipeline": "Продажи",
                "status_id": "142", "status": "Успешно реализовано", "value_minor": 1_250_000, "currency": "RUB",
                "closed_at": "2026-08-29T11:40:00Z", "updated_at": "2026-08-29T11:40:00Z",
                "operator_id": "amocrm:shop:701", "token": bare, "source": "yandex", "tags": ["whatsapp"],
                "is_deleted": false
            })
        );
        // In the basket since.
        let open = row(deals, "deal_id", "amocrm:shop:5002");
        assert_eq!(
            (&open["state"], &open["is_deleted"], &open["status"]),
            (&json!("open"), &json!(true), &json!("Новая"))
        );
        assert!(
            open.get("contact_id").is_none()
                && open.get("name").is_none()
                && open.get("operator_id").is_none()
        );
        // Restored from it, with a price in kopecks.
        let lost = row(deals, "deal_id", "amocrm:shop:5003");
        assert_eq!(
            (&lost["state"], &lost["is_deleted"], &lost["value_minor"]),
            (&json!("lost"), &json!(false), &json!(99_050))
        );
        assert_eq!(lost["lost_reason"], "Дорого");
        let links = &tables["deal_contacts"];
        assert_eq!(links.len(), 3);
        assert_eq!(row(links, "contact_id", "amocrm:shop:6002")["is_main"], false);
    }
}

#[tokio::test]
async fn the_rest_of_the_tables() {
    let tables = tables("nothing".into(), json!({"currency": "KZT", "token_field": "32"})).await;
    let deal = row(&tables["deals"], "deal_id", "amocrm:shop:5001");
    assert_eq!(deal["currency"], "KZT");
    assert!(deal.get("token").is_none());
    let anna = row(&tables["contacts"], "contact_id", "amocrm:shop:6001");
    assert_eq!((&anna["phone_e164"], &anna["email"]), (&json!("+79123456789"), &json!("anna@example.com")));
    assert_eq!(tables["contacts"].len(), 2);
    let edges = &tables["identity_edges"];
    assert_eq!(edges.len(), 2, "{edges:#?}");
    assert_eq!(row(edges, "right_type", "phone")["right_value"], "+79123456789");
    assert_eq!(row(edges, "right_type", "email")["left_value"], "amocrm:shop:6001");
    let events = &tables["deal_events"];
    let moved = row(events, "kind", "status_changed");
    assert_eq!((&moved["status_before"], &moved["status_after"]), (&json!("91"), &json!("142")));
    assert!(row(events, "kind", "created").get("operator_id").is_none());
    assert_eq!(
        tables["operators"],
        [json!({"operator_id": "amocrm:shop:701", "name": "Ольга", "email": "olga@shop.example",
                "team": "Отдел продаж", "crm_user_id": "701"})]
    );
}
