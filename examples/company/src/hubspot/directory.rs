//! The small lists: account, owners, pipelines, properties.

use serde_json::{Value, json};

use super::objects::{instant, pipeline_id, stage_id};
use super::{Call, HUB_ID, limit, query, refuse};
use crate::deal::{FIRST_USER, LOST, PIPELINES, WON};
use crate::reply::Reply;
use crate::words::OPERATORS;
use crate::written::{Made, Written};

pub const DEALS: &[(&str, &str)] = &[
    ("amount", "number"),
    ("closed_lost_reason", "string"),
    ("closedate", "datetime"),
    ("createdate", "datetime"),
    ("deal_currency_code", "enumeration"),
    ("dealname", "string"),
    ("dealstage", "enumeration"),
    ("description", "string"),
    ("hs_analytics_source", "enumeration"),
    ("hs_is_closed", "bool"),
    ("hs_is_closed_won", "bool"),
    ("hs_lastmodifieddate", "datetime"),
    ("hs_object_id", "number"),
    ("hubspot_owner_id", "enumeration"),
    ("pipeline", "enumeration"),
    ("studio_city", "string"),
    ("tl_token", "string"),
    ("utm_campaign", "string"),
    ("utm_medium", "string"),
    ("utm_source", "string"),
];

const CONTACTS: &[(&str, &str)] = &[
    ("city", "string"),
    ("createdate", "datetime"),
    ("email", "string"),
    ("firstname", "string"),
    ("hs_additional_emails", "enumeration"),
    ("hs_merged_object_ids", "enumeration"),
    ("hs_object_id", "number"),
    ("hs_whatsapp_phone_number", "string"),
    ("hubspot_owner_id", "enumeration"),
    ("lastmodifieddate", "datetime"),
    ("lastname", "string"),
    ("mobilephone", "string"),
    ("phone", "string"),
    ("state", "string"),
];

pub fn answer(call: &Call, written: &Written, parts: &[&str]) -> Reply {
    match parts {
        ["account-info", "v3", "details"] => account(),
        ["crm", "v3", "owners"] => owners(call),
        ["crm", "v3", "pipelines", "deals"] => pipelines(call),
        ["crm", "v3", "properties", "deals"] => properties(DEALS, &written.made()),
        ["crm", "v3", "properties", "contacts"] => properties(CONTACTS, &[]),
        _ => refuse(404, "OBJECT_NOT_FOUND", "resource not found"),
    }
}

fn account() -> Reply {
    let body = json!({
        "portalId": HUB_ID, "accountType": "STANDARD", "timeZone": "Europe/Moscow", "companyCurrency": "RUB",
        "additionalCurrencies": [], "utcOffset": "+03:00", "utcOffsetMilliseconds": 10_800_000,
        "uiDomain": "app.hubspot.com", "dataHostingLocation": "eu1",
    });
    Reply::json(200, body.to_string())
}

fn owners(call: &Call) -> Reply {
    let query = query(call);
    let limit = match limit(&query, 100, 500) {
        Ok(limit) => limit,
        Err(reply) => return reply,
    };
    let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let archived = get("archived").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let after: usize = get("after").and_then(|v| v.parse().ok()).unwrap_or_default();
    let made = instant(call.company.cfg.start_at() * 1000);
    // The last one has left.
    let all: Vec<Value> = OPERATORS
        .iter()
        .enumerate()
        .filter(|(n, _)| (n + 1 == OPERATORS.len()) == archived)
        .map(|(n, (name, email, team))| {
            let id = FIRST_USER as usize + n;
            let (first, last) = name.split_once(' ').unwrap_or((name, ""));
            json!({
                "id": id.to_string(), "email": email, "type": "PERSON", "firstName": first, "lastName": last,
                "userId": if archived { Value::Null } else { json!(id) }, "userIdIncludingInactive": id,
                "createdAt": made, "updatedAt": made, "archived": archived,
                "teams": [{"id": n.to_string(), "name": team, "primary": true}],
            })
        })
        .collect();
    let page: Vec<&Value> = all.iter().skip(after).take(limit).collect();
    let mut answer = json!({ "results": page });
    if after + limit < all.len() {
        answer["paging"] = json!({ "next": { "after": (after + limit).to_string() } });
    }
    Reply::json(200, answer.to_string())
}

fn pipelines(call: &Call) -> Reply {
    let made = instant(call.company.cfg.start_at() * 1000);
    let stage = |id: String, label: &str, order: usize, ends: Option<&str>| {
        json!({
            "id": id, "label": label, "displayOrder": order, "archived": false, "createdAt": made, "updatedAt": made,
            "metadata": {"isClosed": ends.is_some().to_string(), "probability": ends.unwrap_or("0.5")},
        })
    };
    let results: Vec<Value> = PIPELINES
        .iter()
        .enumerate()
        .map(|(n, p)| {
            let mut stages: Vec<Value> =
                p.steps.iter().enumerate().map(|(i, s)| stage(stage_id(n, s.0), s.1, i, None)).collect();
            stages.push(stage(stage_id(n, WON), "Успешно реализовано", 4, Some("1.0")));
            stages.push(stage(stage_id(n, LOST), "Закрыто и не реализовано", 5, Some("0.0")));
            json!({
                "id": pipeline_id(n), "label": p.name, "displayOrder": n, "archived": false, "createdAt": made,
                "updatedAt": made, "stages": stages,
            })
        })
        .collect();
    Reply::json(200, json!({ "results": results }).to_string())
}

fn properties(all: &[(&str, &str)], made: &[Made]) -> Reply {
    let own = all.iter().map(|(name, kind)| (*name, *name, *kind));
    let made = made.iter().map(|field| (field.key.as_str(), field.label.as_str(), field.kind.as_str()));
    let results: Vec<Value> = own
        .chain(made)
        .map(|(name, label, kind)| {
            json!({
                "name": name, "label": label, "type": kind,
                "modificationMetadata": { "readOnlyValue": name.starts_with("hs_") }, "fieldType": "text", "groupName": "information",
                "hasUniqueValue": name == "hs_object_id", "hidden": false, "options": [],
            })
        })
        .collect();
    Reply::json(200, json!({ "results": results }).to_string())
}
