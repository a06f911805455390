//! From Salesforce's records to canonical tables.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throughline_connectors::salesforce::SalesforceConnector;
use throughline_core::SourceConnector;
use throughline_core::token::VisitToken;

use crate::crm_tables::{lines, row, with};
use crate::fixture::{Asked, Reply, Server};
use crate::harness::secret;
use crate::support::{map, map_batches, readme_options, us};

macro_rules! sample {
    ($name:literal) => {
        include_str!(concat!("../../src/salesforce/samples/", $name))
    };
}

const ORG: &str = "00D5g0000000001EAA";

/// The object that a query is about.
pub fn object(soql: &str) -> &str {
    soql.split(" FROM ").nth(1).unwrap().split(' ').next().unwrap()
}

/// What is described, in the order of a sample's columns.
fn fields(object: &str) -> Vec<String> {
    if object == "OpportunityHistory" {
        let header = sample!("opportunity_history.csv").lines().next().unwrap();
        return header.split(',').map(|n| n.trim_matches('"').to_owned()).collect();
    }
    let page: Value = serde_json::from_str(&page(object)).unwrap();
    let names = page["records"][0].as_object().map(|r| r.keys().cloned().collect()).unwrap_or_default();
    let names: Vec<String> = names;
    if names.is_empty() { vec!["Id".into(), "SystemModstamp".into()] } else { names }
}

fn page(object: &str) -> String {
    match object {
        "Opportunity" => sample!("opportunities.json").into(),
        "OpportunityContactRole" => sample!("opportunity_contact_roles.json").into(),
        "Lead" => sample!("leads.json").into(),
        "Contact" => sample!("contacts.json").into(),
        other => {
            let all: Value = serde_json::from_str(sample!("others.json")).unwrap();
            let list = all.get(other).cloned().unwrap_or_else(|| json!([]));
            json!({"totalSize": list.as_array().unwrap().len(), "done": true, "records": list}).to_string()
        }
    }
}

/// Our samples, answered to those who ask for them; the history comes by a job.
fn samples(asked: &Asked, token: &str, base: &str) -> Reply {
    let root = "/services/data/v61.0";
    let path = asked.path.strip_prefix(root).unwrap_or(&asked.path);
    if path == "/services/oauth2/token" {
        let id = format!("https://login.salesforce.com/id/{ORG}/0055g0000000001AAA");
        return Reply::json(&json!({"access_token": "x", "instance_url": base, "id": id}));
    }
    if let Some(object) = path.strip_prefix("/sobjects/").and_then(|p| p.strip_suffix("/describe")) {
        let kind = |name: &str| match name {
            "Amount" => "currency",
            "IsDeleted" | "IsClosed" | "IsWon" | "IsPrimary" => "boolean",
            _ => "string",
        };
        let describe = |name: &String| json!({"name": name, "type": kind(name), "filterable": true});
        let fields: Vec<Value> = fields(object).iter().filter(|n| *n != "attributes").map(describe).collect();
        return Reply::json(&json!({ "fields": fields }));
    }
    match path {
        "/queryAll" => {
            let soql = asked.param("q").unwrap();
            if object(soql) == "OpportunityHistory" {
                return Reply::json(&json!({"totalSize": 9, "done": true, "records": []}));
            }
            Reply::text(200, &page(object(soql)).replace("visit-00000000000", token))
        }
        "/jobs/query" => {
            assert_eq!(object(asked.json()["query"].as_str().unwrap()), "OpportunityHistory");
            Reply::json(&json!({"id": "7505g0000000001AAA", "state": "UploadComplete"}))
        }
        "/jobs/query/7505g0000000001AAA" => Reply::json(
            &json!({"id": "7505g0000000001AAA", "state": "JobComplete", "numberRecordsProcessed": 4}),
        ),
        "/jobs/query/7505g0000000001AAA/results" => Reply::text(200, sample!("opportunity_history.csv"))
            .header("sforce-locator", "null")
            .header("sforce-numberofrecords", "4"),
        other => panic!("{other}"),
    }
}

/// A server that knows where it is, for the answer with the token.
pub async fn serve(answer: impl Fn(&Asked, &str) -> Reply + Send + Sync + 'static) -> Server {
    let base = Arc::new(Mutex::new(String::new()));
    let known = base.clone();
    let server = Server::start(move |asked| answer(asked, &known.lock().unwrap())).await;
    base.lock().unwrap().clone_from(&server.url);
    server
}

async fn tables(token: String, more: Value) -> HashMap<String, Vec<Value>> {
    let server = serve(move |asked, base| samples(asked, &token, base)).await;
    let options = json!({"org_id": &ORG[..15], "client_id": "c", "client_secret": secret("s"),
        "login_url": server.url, "phone_region": "DE", "time_zone": "Europe/Berlin", "bulk_from": 9});
    let source = build(with(options, &more));
    let world = crate::harness::World::new();
    let mut batches = HashMap::new();
    for stream in source.catalog().streams {
        let mut all = Vec::new();
        let request = crate::harness::request(&stream.name, None);
        let mut events = source.read(&world.ctx, request).await.unwrap();
        while let Some(event) = futures::StreamExt::next(&mut events).await {
            match event.unwrap() {
                throughline_core::ReadEvent::Batch(batch) => all.push(batch.rows),
                throughline_core::ReadEvent::Rejected(reject) => panic!("{reject:?}"),
                throughline_core::ReadEvent::Count(count) => assert_eq!(count.expected, count.read),
                _ => {}
            }
        }
        batches.insert(stream.name, all);
    }
    map_batches(&source, &source.catalog(), batches).await
}

pub fn build(value: Value) -> throughline_core::DynSource {
    let options = throughline_core::Options { name: "crm".into(), value, base_dir: ".".into() };
    SalesforceConnector.build(&options).map_err(|e| format!("{e:?}")).unwrap()
}

fn id(record: &str) -> String {
    format!("salesforce:{ORG}:{record}")
}

#[tokio::test]
async fn deals_are_won_when_they_came_into_their_stage() {
    let token = VisitToken::from_number(123_456_789_012).unwrap();
    let bare = token.as_str().to_owned();
    for written in [bare.clone(), format!("[visit-{bare}]")] {
        let tables = tables(written, json!({})).await;
        let deals = &tables["deals"];
        // Four opportunities, and two leads that are none.
        assert_eq!(deals.len(), 6, "{deals:#?}");
        assert_eq!(
            *row(deals, "deal_id", &id("0065g00000AAAA1AAE")),
            json!({
                // From the moment the lead was made.
                "deal_id": id("0065g00000AAAA1AAE"), "created_at": "2026-08-28T08:00:00Z", "state": "won",
                "name": "WhatsApp inquiry", "contact_id": id("0035g0000000001AAA"), "pipeline": "Weddings",
                "status_id": "Closed Won", "status": "Closed Won", "value_minor": 1_250_050, "currency": "EUR",
                // Not the close date, which was a plan for December.
                "closed_at": "2026-08-30T09:15:00Z", "updated_at": "2026-08-30T09:15:00Z",
                "operator_id": id("0055g0000000001AAA"), "token": bare, "source": "google", "medium": "cpc",
                "campaign": "Свадьба", "lead_id": id("00Q5g0000000001AAA"), "is_deleted": false
            })
        );
        let gone = row(deals, "deal_id", &id("0065g00000AAAA2AAE"));
        assert_eq!((&gone["state"], &gone["is_deleted"]), (&json!("open"), &json!(true)));
        // Of a queue, not of a person.
        for empty in ["closed_at", "name", "operator_id", "value_minor", "source", "lead_id", "pipeline"] {
            assert!(gone.get(empty).is_none(), "{empty} of {gone}");
        }
        // Brought in as closed: then its date counts, a day in Berlin. The org's currency.
        let lost = row(deals, "deal_id", &id("0065g00000AAAA3AAE"));
        assert_eq!((&lost["state"], &lost["closed_at"]), (&json!("lost"), &json!("2024-02-29T23:00:00Z")));
        assert_eq!((&lost["value_minor"], &lost["currency"]), (&json!(99_000), &json!("CHF")));
        assert_eq!(lost["lost_reason"], "Дорого");
        // A person account; a currency without minor units, a number in its scientific form.
        let person = row(deals, "deal_id", &id("0065g00000AAAA4AAE"));
        assert_eq!(person["contact_id"], json!(id("0035g0000000009AAA")));
        assert_eq!((&person["value_minor"], &person["currency"]), (&json!(10_000), &json!("JPY")));
        let lead = row(deals, "deal_id", &id("00Q5g0000000002AAA"));
        assert_eq!(
            (&lead["state"], &lead["token"], &lead["source"]),
            (&json!("open"), &json!(bare), &json!("yandex"))
        );
        assert_eq!((&lead["contact_id"], &lead["lead_id"]), (&lead["deal_id"], &lead["deal_id"]));
        let unfit = row(deals, "deal_id", &id("00Q5g0000000003AAA"));
        assert_eq!((&unfit["state"], &unfit["closed_at"]), (&json!("lost"), &json!("2026-08-31T08:00:00Z")));
        assert_eq!(unfit["lost_reason"], "Unqualified");
    }
}

#[tokio::test]
async fn the_rest_of_the_tables() {
    let more =
        json!({"currency": "KZT", "token_field": "name", "lost_lead_statuses": ["Open - Not Contacted"]});
    let tables = tables("nothing".into(), more).await;
    let deals = &tables["deals"];
    assert_eq!(row(deals, "deal_id", &id("0065g00000AAAA3AAE"))["currency"], "KZT");
    assert_eq!(row(deals, "deal_id", &id("00Q5g0000000002AAA"))["state"], "lost");
    assert_eq!(row(deals, "deal_id", &id("00Q5g0000000003AAA"))["state"], "open");
    let prefix = id("");
    let links = lines(&tables["deal_contacts"], &prefix, &["deal_id", "contact_id", "is_main"]);
    assert_eq!(
        links,
        [
            "0065g00000AAAA1AAE 0035g0000000001AAA true",
            "0065g00000AAAA1AAE 0035g0000000002AAA false",
            "0065g00000AAAA2AAE 0035g0000000002AAA true",
            "0065g00000AAAA3AAE 0035g0000000002AAA true",
        ]
    );
    let contacts = &tables["contacts"];
    assert_eq!(contacts.len(), 5, "three contacts, and two leads that are none");
    let anna = row(contacts, "contact_id", &id("0035g0000000001AAA"));
    assert_eq!((&anna["phone_e164"], &anna["email"]), (&json!("+4915123456789"), &json!("anna@example.com")));
    assert_eq!((&anna["name"], &anna["region"]), (&json!("Anna Schmidt"), &json!("Berlin")));
    assert_eq!(row(contacts, "contact_id", &id("0035g0000000003AAA"))["is_deleted"], true);
    assert_eq!(row(contacts, "contact_id", &id("00Q5g0000000002AAA"))["name"], "Cem Kaya");
    let edges = lines(&tables["identity_edges"], &prefix, &["left_value", "right_value"]);
    assert_eq!(
        edges,
        [
            "0035g0000000001AAA +4915123456789",
            "0035g0000000001AAA +49301234567",
            "0035g0000000001AAA anna@example.com",
            "0035g0000000003AAA +12025550143",
            "0035g0000000003AAA 0035g0000000002AAA",
            "0035g0000000003AAA bo@example.com",
            "00Q5g0000000001AAA +4915123456789",
            "00Q5g0000000001AAA 0035g0000000001AAA",
            "00Q5g0000000001AAA anna@example.com",
            "00Q5g0000000002AAA +491511111111",
            "00Q5g0000000002AAA +491522222222",
        ]
    );
    let of_one = tables["deal_events"].iter().filter(|e| e["deal_id"] == id("0065g00000AAAA1AAE"));
    let events = lines(of_one, "", &["at", "kind", "status_before", "status_after"]);
    assert_eq!(
        events,
        [
            "2026-08-29T10:40:00Z created - -",
            "2026-08-29T11:30:00Z status_changed Prospecting Proposal, \"final\"",
            "2026-08-30T09:15:00Z status_changed Proposal, \"final\" Closed Won",
            "2026-08-30T09:15:00Z value_changed - -",
        ]
    );
    let deleted = tables["deal_events"].iter().filter(|e| e["kind"] == "deleted").count();
    assert_eq!(deleted, 1);
    let of_lead = |record: &str| tables["deal_events"].iter().filter(|e| e["deal_id"] == id(record)).count();
    assert_eq!(
        [of_lead("00Q5g0000000002AAA"), of_lead("00Q5g0000000001AAA")],
        [1, 0],
        "one is a deal by now"
    );
    assert_eq!(
        tables["operators"],
        [json!({"operator_id": id("0055g0000000001AAA"), "name": "Olga R.", "email": "olga@shop.example",
                "team": "Sales", "crm_user_id": "0055g0000000001AAA"})]
    );
}

#[test]
fn the_readme_example_builds() {
    let (connector, value) = readme_options(SalesforceConnector.readme());
    assert_eq!(connector, "salesforce");
    let source = build(value);
    assert!(source.catalog().stream("Visit__c").is_some_and(|s| s.capabilities.incremental));
}

/// The company's own truth, through leads, stage history and roles, by queries and by jobs.
#[tokio::test]
async fn deals_agree_with_the_companys_truth() {
    use company::deal::What;
    let cfg = company::Config { seed: 7, visits: 1_500, history: 150, ..company::Config::default() };
    let now = crate::harness::NOW;
    let options = company::Options { now: Some(now), ..company::Options::default() };
    let company = company::Server::new(company::Company::new(cfg), options).start().await.unwrap();
    let org = company::salesforce::auth::org();
    let c = &company.server.company;
    for bulk_from in [100_000, 100] {
        let options =
            crate::salesforce::options(&company.url(), json!({"phone_region": "RU", "bulk_from": bulk_from}));
        let mut world = crate::support::World::at("2026-09-01T00:00:00Z");
        world.ctx.tokens = Arc::new(crate::harness::Tokens(Arc::default()));
        let source = world.build(&SalesforceConnector, options);
        let landed = crate::support::read_all(&source, &world.ctx).await;
        let tables = map(&source, &landed).await;
        let deals: HashMap<&str, &Value> =
            tables["deals"].iter().map(|d| (d["deal_id"].as_str().unwrap(), d)).collect();
        assert_eq!((deals.len(), tables["deals"].len()), (c.leads_until(now) as usize, deals.len()));
        let mut told: HashMap<&str, usize> = HashMap::new();
        for event in tables["deal_events"].iter().filter(|e| e["kind"] != "deleted") {
            *told.entry(event["deal_id"].as_str().unwrap()).or_default() += 1;
        }
        let (mut won, mut lost, mut leads, mut deleted) = (0, 0, 0, 0);
        for pos in 0..c.leads_until(now) {
            use company::salesforce::objects::Kind;
            let lead = c.lead(pos);
            let view = lead.deal.view(now);
            let name = |kind: Kind, number| format!("salesforce:{org}:{}", kind.id(number));
            let as_deal = deals.get(name(Kind::Opportunity, c.lead_id(pos)).as_str()).copied();
            let deal = as_deal.unwrap_or_else(|| deals[name(Kind::Lead, c.lead_id(pos)).as_str()]);
            leads += usize::from(as_deal.is_none());
            let state = match view.status {
                company::deal::WON => "won",
                company::deal::LOST => "lost",
                _ => "open",
            };
            assert_eq!(
                (&deal["state"], &deal["is_deleted"]),
                (&json!(state), &json!(view.deleted)),
                "{deal}"
            );
            deleted += usize::from(view.deleted);
            assert_eq!(us(deal["created_at"].as_str().unwrap()) / 1_000_000, lead.deal.created, "{deal}");
            assert_eq!(deal.get("lead_id").is_some(), pos % 7 == 3, "{deal}");
            match view.closed.filter(|_| !view.deleted) {
                Some(at) => {
                    assert_eq!(us(deal["closed_at"].as_str().unwrap()) / 1_000_000, at, "{deal}");
                    *(if state == "won" { &mut won } else { &mut lost }) += 1;
                }
                None => assert!(view.deleted || deal.get("closed_at").is_none(), "{deal}"),
            }
            let value = deal.get("value_minor").and_then(Value::as_i64).unwrap_or(0);
            assert_eq!((value, &deal["currency"]), (i64::from(view.price) * 100, &json!("RUB")), "{deal}");
            let mut events = 1;
            if as_deal.is_some() && !view.deleted {
                let main = company::salesforce::records::contacts_of(c, &lead).first().copied();
                // Whoever converted a lead is known even without a contact of the opportunity.
                let main = main.or((pos % 7 == 3).then(|| c.contact_of(&lead)));
                let main = main.map(|m| json!(name(Kind::Contact, c.contact_id(m))));
                assert_eq!(deal.get("contact_id"), main.as_ref(), "{deal}");
                let moves = lead.deal.changes.iter().filter(|x| x.at <= now);
                // The first price is no change of one.
                let prices = moves.clone().filter(|x| matches!(x.what, What::Price { .. })).count();
                events += prices.saturating_sub(1)
                    + moves.filter(|x| matches!(x.what, What::Status { .. })).count();
            }
            assert_eq!(told.get(deal["deal_id"].as_str().unwrap()), Some(&events), "{deal} {:?}", lead.deal);
        }
        assert!(won > 50 && lost > 50 && deleted > 0 && leads > 0, "{won} {lost} {deleted} {leads}");
        let gone = tables["deal_events"].iter().filter(|e| e["kind"] == "deleted").count();
        assert_eq!(gone, deleted);
        assert_eq!(tables["operators"].len(), company::words::OPERATORS.len());
        for pos in 0..c.contacts_until(now) {
            let id = format!(
                "salesforce:{org}:{}",
                company::salesforce::objects::Kind::Contact.id(c.contact_id(pos))
            );
            let (story, _) = c.contact(pos);
            assert_eq!(
                row(&tables["contacts"], "contact_id", &id)["phone_e164"],
                story.person.e164(),
                "{id}"
            );
        }
    }
}
