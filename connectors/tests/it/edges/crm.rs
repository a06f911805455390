//! Lists of CRMs that the simulated company has too few records for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{around, exactly, one_missing, whole};
use crate::amocrm::amocrm;
use crate::bitrix24::bitrix24;
use crate::fixture::{Asked, Reply, Server};
use crate::harness::{NOW, secret};
use crate::hubspot::hubspot;
use crate::salesforce_mapping::{build, object, serve};

/// A list of amoCRM's: filter, order, pages, 204 when nothing is found.
fn of_amocrm(asked: &Asked, count: i64, missing: i64) -> Reply {
    let name = asked.path.rsplit('/').next().unwrap();
    let at = |id: i64| NOW - 100_000 + id / 3;
    let edge = |side: &str, default: i64| {
        let bound = |by: &str| asked.int(&format!("filter[{by}][{side}]"));
        bound("updated_at").or(bound("created_at")).unwrap_or(default)
    };
    let within = edge("from", i64::MIN)..=edge("to", i64::MAX);
    let mut found: Vec<i64> = (1..=count).filter(|id| within.contains(&at(*id))).collect();
    if name == "events" {
        // The newest comes first, whatever is asked for.
        found.reverse();
    }
    let (page, limit) = (asked.int("page").unwrap() as usize, asked.int("limit").unwrap() as usize);
    assert!(limit <= if name == "events" { 100 } else { 250 });
    let shown = found.iter().skip((page - 1) * limit).take(limit);
    let id = |id: i64| if name == "events" { json!(format!("e{id}")) } else { json!(id) };
    let records: Vec<Value> = shown
        .map(|n| json!({"id": id(*n), "created_at": at(*n), "updated_at": at(*n), "name": "Анна"}))
        .collect();
    if records.is_empty() {
        return Reply::text(204, "");
    }
    let mut body = json!({"_page": page, "_links": {"self": {"href": "x"}}, "_embedded": {name: records}});
    if page * limit < found.len() {
        body["_links"]["next"] = json!({"href": "x"});
    }
    if name == "users" {
        body["_total_items"] = json!(count + missing);
    }
    Reply::json(&body)
}

#[tokio::test]
async fn lists_of_amocrm() {
    for (stream, size) in [("contacts", 250), ("deleted_leads", 250), ("events", 100), ("users", 250)] {
        for count in around([size, 2 * size]) {
            let server = Server::start(move |asked| of_amocrm(asked, count as i64, 0)).await;
            let got = whole(&amocrm(&server.url, json!({})), stream).await;
            exactly(&got, "id", count, stream == "users");
        }
    }
    let server = Server::start(|asked| of_amocrm(asked, 251, 1)).await;
    one_missing(&whole(&amocrm(&server.url, json!({})), "users").await, 251);
}

/// HubSpot by ids: lists turned by `after`, search by the last id, batches by what was found.
fn of_hubspot(asked: &Asked, count: u64) -> Reply {
    let record = |id: u64| json!({"id": id.to_string(), "properties": {}, "archived": true});
    if asked.path.ends_with("/search") {
        let body = asked.json();
        let filters = body["filterGroups"][0]["filters"].as_array().unwrap();
        let by_id = filters.iter().find(|f| f["propertyName"] == "hs_object_id");
        let last = by_id.map_or(0, |f| f["value"].as_str().unwrap().parse::<u64>().unwrap());
        let limit = body["limit"].as_u64().unwrap() as usize;
        assert!(limit <= 200);
        let found: Vec<Value> = (last + 1..=count).take(limit).map(record).collect();
        return Reply::json(&json!({"total": count.saturating_sub(last), "results": found}));
    }
    if asked.path.ends_with("/batch/read") {
        let body = asked.json();
        let inputs = body["inputs"].as_array().unwrap();
        assert!((1..=100).contains(&inputs.len()));
        let link = |deal: &Value| json!({"from": {"id": deal["id"]}, "to": [{"toObjectId": 1}]});
        return Reply::json(&json!({"results": inputs.iter().map(link).collect::<Vec<_>>()}));
    }
    let (from, limit) = (asked.int("after").unwrap_or(0) as u64, asked.int("limit").unwrap() as u64);
    let to = count.min(from + limit);
    let mut body = json!({"results": (from + 1..=to).map(record).collect::<Vec<_>>()});
    if to < count {
        body["paging"] = json!({"next": {"after": to.to_string()}});
    }
    Reply::json(&body)
}

#[tokio::test]
async fn lists_of_hubspot() {
    for count in around([100, 200]) {
        let server = Server::start(move |asked| of_hubspot(asked, count as u64)).await;
        let source = hubspot(&server.url, json!({}));
        for stream in ["archived_deals", "archived_contacts", "owners", "archived_owners"] {
            exactly(&whole(&source, stream).await, "id", count, false);
        }
        exactly(&whole(&source, "open_deal_contacts").await, "deal_id", count, false);
        exactly(&whole(&source, "deal_contacts").await, "deal_id", count, true);
    }
}

/// Bitrix24's lists of so many records, by batches whose commands begin where the one before ended, and by offsets.
fn of_bitrix24(asked: &Asked, count: u64, missing: u64) -> Reply {
    let body = asked.json();
    let method = asked.path.rsplit('/').next().unwrap();
    // Both spellings of the id: older methods shout.
    let record = |id: u64| json!({"id": id, "ID": id.to_string()});
    if method != "batch" {
        let start = body["start"].as_u64().unwrap();
        assert_eq!(start % 50, 0, "a page begins at a multiple of 50");
        let records: Vec<Value> = (start + 1..=count).take(50).map(record).collect();
        let lists = ["crm.status.list", "user.get", "crm.activity.list"];
        let result = if lists.contains(&method) { json!(records) } else { json!({ "items": records }) };
        return Reply::json(&json!({"result": result, "total": count + missing}));
    }
    let mut answers: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (name, command) in body["cmd"].as_object().unwrap() {
        let pairs =
            url::form_urlencoded::parse(command.as_str().unwrap().split_once('?').unwrap().1.as_bytes());
        let last = pairs.into_owned().find(|(n, _)| n.eq_ignore_ascii_case("filter[>id]")).unwrap().1;
        let last = match last.strip_prefix("$result[").and_then(|rest| rest.split_once(']')) {
            // What is not there is nothing, and nothing filters nothing.
            Some((before, _)) => answers[before].get(49).copied().unwrap_or(0),
            None => last.parse().unwrap(),
        };
        answers.insert(name.clone(), (last + 1..=count).take(50).collect());
    }
    let result: serde_json::Map<String, Value> = answers
        .into_iter()
        .map(|(name, ids)| (name, json!({"items": ids.into_iter().map(record).collect::<Vec<_>>()})))
        .collect();
    Reply::json(&json!({"result": {"result": result, "result_error": [], "result_time": {}}}))
}

#[tokio::test]
async fn lists_of_bitrix24() {
    let streams = [
        ("leads", "id", true),
        ("lead_ids", "id", false),
        ("contact_ids", "id", false),
        ("deal_stage_history", "ID", true),
        ("lead_stage_history", "ID", true),
        ("users", "ID", true),
        ("statuses", "ID", true),
    ];
    // Batches of 1, 2 and 4 pages end at 50, 150 and 350 records.
    for count in around([50, 100, 150, 350]) {
        let server = Server::start(move |asked| of_bitrix24(asked, count as u64, 0)).await;
        let source = bitrix24(&server.url, json!({}));
        for (stream, key, counted) in streams {
            exactly(&whole(&source, stream).await, key, count, counted);
        }
    }
    let server = Server::start(|asked| of_bitrix24(asked, 100, 1)).await;
    let source = bitrix24(&server.url, json!({}));
    for (stream, ..) in streams.into_iter().filter(|(_, _, counted)| *counted) {
        one_missing(&whole(&source, stream).await, 100);
    }
}

const ORG: &str = "00D5g0000000001EAA";

/// A Salesforce with so many records of each object, `missing` more of which are counted.
fn of_salesforce(asked: &Asked, base: &str, count: u64, missing: u64) -> Reply {
    let root = "/services/data/v61.0";
    let path = asked.path.strip_prefix(root).unwrap_or(&asked.path);
    let record =
        |n: u64| json!({"Id": format!("0015g{n:010}AAA"), "SystemModstamp": "2026-08-01T10:00:00.000+0000"});
    let page = |from: u64| {
        let to = count.min(from + 200);
        let mut body = json!({"totalSize": count + missing, "done": to == count,
            "records": (from..to).map(record).collect::<Vec<_>>()});
        if to < count {
            body["nextRecordsUrl"] = json!(format!("{root}/query/01g5g00000000{to}AAA-{to}"));
        }
        Reply::json(&body)
    };
    if path.ends_with("/describe") {
        let field = |name: &str| json!({"name": name, "type": "string", "filterable": true});
        return Reply::json(&json!({"fields": [field("Id"), field("SystemModstamp")]}));
    }
    if let Some(from) = path.strip_prefix("/query/") {
        return page(from.rsplit('-').next().unwrap().parse().unwrap());
    }
    let job = json!({"id": "7505g0000000001AAA", "state": "JobComplete", "numberRecordsProcessed": count + missing});
    match path {
        "/services/oauth2/token" => {
            let id = format!("https://login.salesforce.com/id/{ORG}/0055g0000000001AAA");
            Reply::json(&json!({"access_token": "x", "instance_url": base, "id": id}))
        }
        "/jobs/query" | "/jobs/query/7505g0000000001AAA" => Reply::json(&job),
        "/jobs/query/7505g0000000001AAA/results" => {
            let from = asked.param("locator").map_or(0, |l| l.trim_start_matches('L').parse().unwrap());
            let to = count.min(from + asked.int("maxRecords").unwrap() as u64);
            let line =
                |n: u64| format!("\"{}\",\"2026-08-01T10:00:00.000Z\"\n", record(n)["Id"].as_str().unwrap());
            let lines: String = (from..to).map(line).collect();
            let next = if to < count { format!("L{to}") } else { "null".into() };
            Reply::text(200, &format!("\"Id\",\"SystemModstamp\"\n{lines}"))
                .header("sforce-locator", &next)
                .header("sforce-numberofrecords", &(to - from).to_string())
        }
        _ => {
            assert!(!object(asked.param("q").unwrap()).is_empty());
            page(0)
        }
    }
}

/// Pages of whole lists, and pieces of jobs; objects with changes are read around their pages in `salesforce`.
#[tokio::test]
async fn lists_of_salesforce() {
    for (count, missing) in around([200, 400]).into_iter().map(|n| (n, 0)).chain([(201, 1)]) {
        let server = serve(move |asked, base| of_salesforce(asked, base, count as u64, missing)).await;
        let options = |more: Value| {
            let mut value = json!({"org_id": ORG, "client_id": "c", "client_secret": secret("s"),
                "login_url": server.url, "page_rows": 200});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            value
        };
        let (by_query, by_job) =
            (build(options(json!({}))), build(options(json!({"bulk_from": 1, "bulk_rows": 50}))));
        for (source, stream) in [(&by_query, "stages"), (&by_query, "leads"), (&by_job, "leads")] {
            let got = whole(source, stream).await;
            if missing > 0 {
                one_missing(&got, count);
            } else {
                exactly(&got, "Id", count, true);
            }
        }
    }
}
