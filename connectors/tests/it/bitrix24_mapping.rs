//! From Bitrix24's records to canonical tables.

use std::collections::HashMap;

use serde_json::{Value, json};
use throughline_core::ErrorKind;
use throughline_core::token::VisitToken;

use crate::crm_tables::{self, lines, row, with};
use crate::fixture::{Asked, Reply, Server};
use crate::harness::secret;
use crate::support::{Landing, World, map, readme_options};

/// The only command of a batch, and what a batch answers when it is answered so.
fn command(asked: &Asked) -> (String, String) {
    let body = asked.json();
    let commands = body["cmd"].as_object().unwrap();
    assert_eq!((commands.len(), &body["halt"]), (1, &json!(0)), "nothing here fills a page");
    let (name, command) = commands.iter().next().unwrap();
    (name.clone(), command.as_str().unwrap().to_owned())
}

fn page(name: &str, page: &Value) -> Reply {
    Reply::json(&json!({
        "result": {"result": {name: page}, "result_error": [], "result_total": [], "result_next": [],
                   "result_time": {name: {"operating": 0.2, "operating_reset_at": 1_788_221_400}}},
        "time": {"start": 1.5, "finish": 1.75},
    }))
}

fn refusal(name: &str, refusal: &Value) -> Reply {
    Reply::json(&json!({"result": {"result": [], "result_error": {name: refusal}, "result_time": []}}))
}

/// The sample that answers a command.
fn sample(command: &str) -> &'static str {
    let kinds = |deals, leads, contacts| match command {
        c if c.contains("entityTypeId=2") => deals,
        c if c.contains("entityTypeId=1") => leads,
        _ => contacts,
    };
    match command.split('?').next().unwrap() {
        "crm.item.list" if command.contains("select[0]=id&") => kinds(
            include_str!("../../src/bitrix24/samples/deal_ids.json"),
            include_str!("../../src/bitrix24/samples/lead_ids.json"),
            include_str!("../../src/bitrix24/samples/contact_ids.json"),
        ),
        "crm.item.list" => {
            assert!(command.contains("&useOriginalUfNames=Y") && command.contains("&start=-1"), "{command}");
            kinds(
                include_str!("../../src/bitrix24/samples/deals.json"),
                include_str!("../../src/bitrix24/samples/leads.json"),
                include_str!("../../src/bitrix24/samples/contacts.json"),
            )
        }
        "crm.stagehistory.list" => kinds(
            include_str!("../../src/bitrix24/samples/deal_stage_history.json"),
            include_str!("../../src/bitrix24/samples/lead_stage_history.json"),
            "",
        ),
        "crm.activity.list" => include_str!("../../src/bitrix24/samples/activities.json"),
        other => panic!("{other}"),
    }
}

/// Our samples, answered to those who ask for them.
fn samples(asked: &Asked, token: &str) -> Reply {
    let path =
        asked.path.strip_prefix("/rest/1/code012345678901/").unwrap_or_else(|| panic!("{}", asked.path));
    match path {
        "batch" => {
            let (name, command) = command(asked);
            let text = sample(&command).replace("visit-00000000000", token);
            page(&name, &serde_json::from_str(&text).unwrap())
        }
        "crm.category.list" => Reply::text(200, include_str!("../../src/bitrix24/samples/categories.json")),
        "crm.status.list" => Reply::text(200, include_str!("../../src/bitrix24/samples/statuses.json")),
        "user.get" => Reply::text(200, include_str!("../../src/bitrix24/samples/users.json")),
        "crm.item.list" | "crm.stagehistory.list" | "crm.activity.list" => {
            assert_eq!(asked.json()["start"], 0, "counting");
            Reply::json(&json!({"result": {"items": []}, "total": 3}))
        }
        other => panic!("{other}"),
    }
}

fn options(url: &str) -> Value {
    let webhook = secret(&format!("{url}/rest/1/code012345678901/"));
    json!({"portal": "p.example", "webhook": webhook, "phone_region": "RU",
           "token_field": "UF_CRM_1721244707107", "lead_token_field": "UF_CRM_1720019876534"})
}

async fn tables(token: String, more: Value) -> HashMap<String, Vec<Value>> {
    let server = Server::start(move |asked| samples(asked, &token)).await;
    let options = with(options(&server.url), &more);
    crm_tables::tables(&throughline_connectors::bitrix24::connector(), options).await
}

#[tokio::test]
async fn deals_are_won_when_they_came_into_their_stage() {
    let token = VisitToken::from_number(123_456_789_012).unwrap();
    let bare = token.as_str().to_owned();
    for written in [bare.clone(), format!("[visit-{bare}]")] {
        let tables = tables(written, json!({})).await;
        let deals = &tables["deals"];
        assert_eq!(deals.len(), 6, "four deals and two leads that are none: {deals:#?}");
        assert_eq!(
            *row(deals, "deal_id", "bitrix24:p.example:9001"),
            json!({
                "deal_id": "bitrix24:p.example:9001", "created_at": "2026-08-29T10:40:00Z", "state": "won",
                "name": "Заявка с WhatsApp", "contact_id": "bitrix24:p.example:501", "pipeline": "Корпоративные",
                "status_id": "C1:WON", "status": "Договор подписан", "value_minor": 1_250_050, "currency": "EUR",
                // Not the close date, which was a plan for December.
                "closed_at": "2026-08-30T09:15:00Z", "updated_at": "2026-08-30T09:15:01Z",
                "operator_id": "bitrix24:p.example:6", "token": bare, "source": "google", "medium": "cpc",
                "campaign": "Свадьба", "is_deleted": false
            })
        );
        // Made of a lead: from the lead's moment, with its source. Open, whatever its close date says.
        let open = row(deals, "deal_id", "bitrix24:p.example:9002");
        assert_eq!((&open["state"], &open["created_at"]), (&json!("open"), &json!("2026-08-30T06:30:00Z")));
        assert_eq!((&open["source"], &open["campaign"]), (&json!("yandex"), &json!("Бренд")));
        for empty in ["closed_at", "name", "operator_id", "contact_id", "currency", "value_minor", "token"] {
            assert!(open.get(empty).is_none(), "{empty} of {open}");
        }
        // Brought in as closed: then its date counts. Not among the ids any more: deleted.
        let lost = row(deals, "deal_id", "bitrix24:p.example:9003");
        assert_eq!((&lost["state"], &lost["closed_at"]), (&json!("lost"), &json!("2024-03-01T00:00:00Z")));
        assert_eq!((&lost["value_minor"], &lost["currency"]), (&json!(99_050), &json!("USD")));
        assert_eq!((&lost["lost_reason"], &lost["is_deleted"]), (&json!("Дорого"), &json!(true)));
        assert_eq!(
            (&lost["medium"], lost.get("source")),
            (&json!("email"), None),
            "no halves of two campaigns"
        );
        // Without history the time of the last move; what the stage means is told by the list of stages.
        let old = row(deals, "deal_id", "bitrix24:p.example:9010");
        assert_eq!((&old["state"], &old["closed_at"]), (&json!("won"), &json!("2026-08-21T05:59:59Z")));
        assert_eq!((&old["value_minor"], &old["pipeline"]), (&json!(1_999_999), &json!("Продажи")));
        assert_eq!(old["is_deleted"], false, "newest of all ids");
        // Leads that are no deal. A stage of the list of sources has the same id and is another thing.
        let lead = row(deals, "deal_id", "bitrix24:p.example:lead_72");
        assert_eq!((&lead["state"], &lead["status"]), (&json!("open"), &json!("Не обработан")));
        assert_eq!(
            (&lead["contact_id"], &lead["token"]),
            (&json!("bitrix24:p.example:lead_72"), &json!(bare))
        );
        let junk = row(deals, "deal_id", "bitrix24:p.example:lead_73");
        assert_eq!((&junk["state"], &junk["closed_at"]), (&json!("lost"), &json!("2026-08-31T07:05:00Z")));
        assert_eq!(junk["lost_reason"], "Некачественный лид");
    }
}

#[tokio::test]
async fn the_rest_of_the_tables() {
    let tables = tables("nothing".into(), json!({"currency": "KZT"})).await;
    assert_eq!(row(&tables["deals"], "deal_id", "bitrix24:p.example:9002")["currency"], "KZT");
    let prefix = "bitrix24:p.example:";
    let links = lines(&tables["deal_contacts"], prefix, &["deal_id", "contact_id", "is_main"]);
    assert_eq!(
        links,
        [
            "9001 499 false",
            "9001 501 true",
            "9003 499 true",
            "9010 501 true",
            "lead_72 lead_72 true",
            "lead_73 499 true",
        ]
    );
    let contacts = &tables["contacts"];
    assert_eq!(contacts.len(), 4, "{contacts:#?}");
    let anna = row(contacts, "contact_id", "bitrix24:p.example:501");
    assert_eq!((&anna["phone_e164"], &anna["email"]), (&json!("+79123456789"), &json!("anna@example.com")));
    assert_eq!((&anna["name"], &anna["is_deleted"]), (&json!("Анна Ким"), &json!(false)));
    let omar = row(contacts, "contact_id", "bitrix24:p.example:499");
    assert_eq!(
        (&omar["phone_e164"], &omar["name"]),
        (&json!("+971507654321"), &json!("Omar")),
        "a note is passed over"
    );
    assert_eq!(row(contacts, "contact_id", "bitrix24:p.example:502")["is_deleted"], true);
    let lead = row(contacts, "contact_id", "bitrix24:p.example:lead_72");
    assert_eq!((&lead["name"], &lead["email"]), (&json!("ООО Ромашка"), &json!("romashka@example.com")));
    let edges = lines(&tables["identity_edges"], prefix, &["left_value", "right_type", "right_value"]);
    assert_eq!(
        edges,
        [
            "499 phone +971507654321",
            "501 email anna.work@example.com",
            "501 email anna@example.com",
            "501 phone +79123456789",
            "lead_71 crm_contact 501",
            "lead_71 phone +79123456789",
            "lead_72 email romashka@example.com",
            "lead_72 phone +971501234567",
            "lead_73 crm_contact 499",
        ]
    );
    let columns = ["deal_id", "at", "kind", "status_before", "status_after"];
    let events = lines(&tables["deal_events"], prefix, &columns);
    assert_eq!(
        events,
        [
            "9001 2026-08-29T10:40:00Z created - -",
            // The same stage twice is one move.
            "9001 2026-08-29T11:30:00Z status_changed C1:NEW C1:EXECUTING",
            "9001 2026-08-30T09:15:00Z status_changed C1:EXECUTING C1:WON",
            "9002 2026-08-30T07:00:00Z created - -",
            "9003 2026-08-28T06:00:00Z created - -",
            "9010 2026-08-20T06:00:00Z created - -",
            "lead_72 2026-08-31T06:30:00Z created - -",
            "lead_73 2026-08-31T07:00:00Z created - -",
            "lead_73 2026-08-31T07:05:00Z status_changed NEW JUNK",
        ]
    );
    let operators = &tables["operators"];
    assert_eq!(
        *row(operators, "crm_user_id", "6"),
        json!({"operator_id": "bitrix24:p.example:6", "name": "Ольга Р.", "email": "olga@shop.example",
               "crm_user_id": "6"})
    );
    assert_eq!(operators.len(), 2);
}

#[test]
fn the_readme_example_builds() {
    for part in [0, 1] {
        let readme = include_str!("../../src/bitrix24/README.md");
        let cut = readme.match_indices("```toml").nth(part).unwrap().0;
        let (connector, options) = readme_options(&readme[cut..]);
        assert_eq!(connector, "bitrix24");
        World::at("2026-09-01T00:00:00Z").build(&throughline_connectors::bitrix24::connector(), options);
    }
}

/// The vendor's documented shapes through the connector, where they are at hand.
#[tokio::test]
async fn documented_answers_become_rows() {
    let Some(folder) = crate::support::shared("api/crm/samples/bitrix24") else { return };
    let sample = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let read = async |answer: Box<dyn Fn(&Asked) -> Reply + Send + Sync>, stream: &str| {
        let server = Server::start(answer).await;
        let world = crate::harness::World::new();
        let source = world_source(&server.url);
        crate::harness::read(&world, &source, crate::harness::request(stream, None)).await
    };
    for (stream, file, key) in [
        ("leads", "crm_item_list_1.json", "id"),
        ("leads", "crm_item_get_1.json", "id"),
        ("deals", "crm_item_add_2.json", "id"),
        ("deal_stage_history", "crm_stagehistory_list_1.json", "ID"),
        ("statuses", "crm_status_list_1.json", "ID"),
        ("categories", "crm_category_list_1.json", "id"),
        ("users", "user_get_1.json", "ID"),
    ] {
        let whole = sample(file);
        let mut result = whole["result"].clone();
        if let Some(item) = result.get("item").cloned() {
            result = json!({ "items": [item] });
        }
        // A documented page need not be in the order we ask for.
        if let Some(items) = result.get_mut("items").and_then(Value::as_array_mut) {
            items.sort_by_key(|item| item[key].as_i64());
        }
        let records = [&result["items"], &result["categories"], &result];
        let records = records.iter().find_map(|list| list.as_array()).unwrap().clone();
        let total = records.len();
        let answer = Box::new(move |asked: &Asked| match asked.path.rsplit('/').next().unwrap() {
            "batch" => page(&command(asked).0, &result),
            _ if asked.json()["start"] == 0
                && stream.ends_with('s')
                && whole["result"]["items"].is_array() =>
            {
                Reply::json(&json!({"result": {"items": []}, "total": total}))
            }
            "crm.item.list" | "crm.stagehistory.list" => {
                Reply::json(&json!({"result": {"items": []}, "total": total}))
            }
            _ => Reply::json(&whole),
        });
        let got = read(answer, stream).await.ok();
        assert_eq!((got.rejects.len(), got.latest(key).len()), (0, records.len()), "{file}");
        assert!(got.counts.iter().all(|c| c.expected == c.read) && !got.counts.is_empty(), "{file}");
        // Nothing of a record is lost on the way: objects and lists are kept byte for byte.
        for record in &records {
            for (name, value) in
                record.as_object().unwrap().iter().filter(|(_, v)| v.is_object() || v.is_array())
            {
                let kept = got.rows.iter().any(|row| {
                    row.get(name)
                        .is_some_and(|t| serde_json::from_str::<Value>(t).ok().as_ref() == Some(value))
                });
                assert!(kept, "{file}: {name}");
            }
        }
    }
    // Documented refusals, alone and inside of a batch: errors that say what the vendor said.
    for (file, kind) in [
        ("crm_item_list_2.json", ErrorKind::Protocol),
        ("crm_item_get_2.json", ErrorKind::Protocol),
        ("crm_stagehistory_list_2.json", ErrorKind::Protocol),
        ("crm_status_list_2.json", ErrorKind::Protocol),
        ("crm_deal_list_2.json", ErrorKind::Protocol),
        ("crm_contact_list_2.json", ErrorKind::Auth),
        ("crm_lead_list_1.json", ErrorKind::Auth),
        ("event_offline_get_2.json", ErrorKind::Auth),
        ("oauth_refresh_2.json", ErrorKind::Auth),
    ] {
        let told = sample(file);
        let said = told["error_description"].as_str().unwrap().to_owned();
        let alone = told.to_string();
        let error = read(Box::new(move |_| Reply::text(400, &alone)), "categories").await.error.unwrap();
        assert!(error.kind() == kind && error.to_string().contains(&said), "{file}: {error:?}");
        let inside = Box::new(move |asked: &Asked| refusal(&command(asked).0, &told));
        let error = read(inside, "deals").await.error.unwrap();
        assert!(error.kind() == kind && error.to_string().contains(&said), "{file}: {error:?}");
    }
    for file in ["batch_2.json", "batch_3.json"] {
        let told = sample(file);
        let first = told["result"]["result_error"]["get_user"].clone();
        let error =
            read(Box::new(move |asked: &Asked| refusal(&command(asked).0, &first)), "deals").await.error;
        assert!(error.unwrap().hint_text().unwrap().contains("crm and user"), "{file}");
    }
    // Shapes of methods that we do not ask for are lists and objects like the others.
    use throughline_connectors::records::{Limits, Path, RecordsBuilder, Selector};
    for (file, path) in [
        ("crm_deal_list_1.json", "result"),
        ("crm_contact_list_1.json", "result"),
        ("event_offline_get_1.json", "result.events"),
        ("crm_item_batch_import_1.json", "result.items"),
    ] {
        let mut records = RecordsBuilder::new(Limits::default());
        let text = sample(file).to_string();
        let found = records.push_page(text.as_bytes(), &Selector::list(path).unwrap()).unwrap();
        assert!(found.records > 0 && found.rejected == 0, "{file}");
    }
    for file in std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()) {
        if file.extension().is_some_and(|e| e == "json") {
            let text = std::fs::read(&file).unwrap();
            assert!(!Path::parse(".").unwrap().members(&text).unwrap().is_empty(), "{file:?}");
        }
    }
}

fn world_source(url: &str) -> throughline_core::DynSource {
    use throughline_core::SourceConnector;
    let options = throughline_core::Options { name: "crm".into(), value: options(url), base_dir: ".".into() };
    throughline_connectors::bitrix24::connector().build(&options).unwrap()
}

/// The company's own truth, through stage history, leads, lists of ids and joins; and once more after deals were
/// deleted and won.
#[tokio::test]
async fn deals_agree_with_the_companys_truth() {
    use company::bitrix24::{auth, table};
    use company::deal::What;
    let cfg = company::Config { seed: 7, visits: 1_500, history: 150, ..company::Config::default() };
    let last = crate::harness::NOW;
    let server_options = company::Options { now: Some(last), ..company::Options::default() };
    let company = company::Server::new(company::Company::new(cfg), server_options).start().await.unwrap();
    // The first moment is the one before somebody deletes a deal.
    let all = &company.server.company;
    let deleted_at = (0..all.leads_until(last)).find_map(|pos| all.lead(pos).deal.deleted_at());
    let before = deleted_at.unwrap() - 1;
    let at = |now| chrono::DateTime::from_timestamp(now, 0).unwrap().to_rfc3339();
    let mut world = World::at(&at(before));
    let value =
        json!({"portal": "p", "webhook": secret(&auth::webhook(&company.url())), "phone_region": "RU"});
    let source = world.build(&throughline_connectors::bitrix24::connector(), value);
    let mut landed: HashMap<String, Landing> = HashMap::new();
    for now in [before, last] {
        // A minute later: what changed in the last one is left for the next run.
        world.later(&at(now + 61));
        company.server.set_now(now).unwrap();
        for stream in source.catalog().streams {
            // What has no windows is read anew.
            if !stream.capabilities.incremental {
                landed.remove(&stream.name);
            }
            landed
                .entry(stream.name.clone())
                .or_default()
                .run(&source, &world.ctx, &stream.name)
                .await
                .unwrap();
        }
        let tables = map(&source, &landed).await;
        let c = &company.server.company;
        let deals: HashMap<&str, &Value> =
            tables["deals"].iter().map(|d| (d["deal_id"].as_str().unwrap(), d)).collect();
        assert_eq!(deals.len(), tables["deals"].len(), "none twice");
        let (mut won, mut lost, mut deleted, mut shown) = (0, 0, 0, 0);
        for pos in 0..c.leads_until(now) {
            shown += usize::from(table::is_junk(pos));
            let lead = c.lead(pos);
            let view = lead.deal.view(now);
            let id = format!("bitrix24:p:{}", c.lead_id(pos));
            let Some(deal) = deals.get(id.as_str()) else {
                // Made and deleted between two reads: nobody saw it, but its lead.
                assert!(view.deleted, "{id}");
                shown += usize::from(table::is_converted(pos));
                continue;
            };
            shown += 1;
            if view.deleted {
                // The newest of all may not be noticed yet.
                deleted += usize::from(deal["is_deleted"] == true);
                continue;
            }
            let state = match view.status {
                company::deal::WON => "won",
                company::deal::LOST => "lost",
                _ => "open",
            };
            assert_eq!((&deal["state"], &deal["is_deleted"]), (&json!(state), &json!(false)), "{deal}");
            let closed = deal
                .get("closed_at")
                .map(|at| chrono::DateTime::parse_from_rfc3339(at.as_str().unwrap()).unwrap().timestamp());
            assert_eq!(closed, view.closed, "{deal}");
            won += usize::from(state == "won");
            lost += usize::from(state == "lost");
            let value = deal["value_minor"].as_i64();
            assert_eq!((value, &deal["currency"]), (Some(i64::from(view.price) * 100 + 50), &json!("RUB")));
            assert!(deal.get("pipeline").is_some() && deal.get("status").is_some(), "{deal}");
            let contact = c.contact_id(c.contact_of(&lead));
            let contact = (pos % 23 != 7).then(|| json!(format!("bitrix24:p:{contact}")));
            assert_eq!(deal.get("contact_id"), contact.as_ref());
            let moves = lead.deal.changes.iter().filter(|x| x.at <= now);
            let moves = moves.filter(|x| matches!(x.what, What::Status { .. })).count();
            let told = tables["deal_events"].iter().filter(|e| e["deal_id"] == id.as_str()).count();
            assert_eq!(told, moves + 1, "{id}");
        }
        assert_eq!(shown, deals.len(), "deals, and leads that are none");
        assert!(won > 20 && lost > 20, "{won} {lost}");
        assert_eq!(deleted > 0, now > before, "what we knew and is gone");
        let contacts = &tables["contacts"];
        let people = contacts.iter().filter(|p| !p["contact_id"].as_str().unwrap().contains("lead_"));
        assert_eq!(people.count() as u32, c.contacts_until(now));
        assert!(tables["identity_edges"].len() >= contacts.len(), "each has a phone");
    }
}
