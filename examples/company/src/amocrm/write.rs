//! `PATCH /api/v4/leads` and `POST /api/v4/leads/custom_fields`.
//!
//! A batch with an item that cannot be written is refused whole, with the errors of each such item under its
//! `request_id`; without one, its number in the batch.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Call, Crm};
use crate::faults::Fault;
use crate::reply::{Reply, lock};
use crate::written::Made;

/// Fields that the account has from the start: number, name, code, type.
pub const FIELDS: &[(u32, &str, &str, &str)] = &[
    (811_001, "utm_source", "UTM_SOURCE", "tracking_data"),
    (811_002, "utm_medium", "UTM_MEDIUM", "tracking_data"),
    (811_003, "utm_campaign", "UTM_CAMPAIGN", "tracking_data"),
    (812_001, "Город", "", "text"),
    (812_003, "Откуда узнали", "", "select"),
];

/// Options of the one list.
pub const OPTIONS: &[(u32, &str)] = &[(912_001, "Реклама"), (912_002, "Знакомые"), (912_003, "Поиск")];

const MOST_ITEMS: usize = 250;
const TEXT_CHARS: usize = 256;
const FIRST_MADE: usize = 820_001;

struct Wrong {
    code: &'static str,
    path: String,
    detail: String,
}

fn wrong<T>(code: &'static str, path: impl Into<String>, detail: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { code, path: path.into(), detail: detail.into() })
}

/// Number and type of a field.
fn field(crm: &Crm, item: &Value) -> Option<(String, String, String, String)> {
    let made = crm.written.made();
    let own = FIELDS.iter().map(|(id, name, code, kind)| Made {
        key: id.to_string(),
        code: (*code).to_owned(),
        label: (*name).to_owned(),
        kind: (*kind).to_owned(),
    });
    let all: Vec<Made> = own.chain(made).collect();
    let found = match (&item["field_id"], item["field_code"].as_str()) {
        (Value::Number(id), _) => all.into_iter().find(|f| f.key == id.to_string()),
        (_, Some(code)) => all.into_iter().find(|f| f.code == code),
        _ => None,
    };
    found.map(|f| (f.key, f.label, f.code, f.kind))
}

/// What will stand in the lead's list of values; null empties a field.
fn value(crm: &Crm, n: usize, item: &Value) -> Result<(String, Value), Wrong> {
    let path = format!("custom_fields_values.{n}");
    let Some((key, label, code, kind)) = field(crm, item) else {
        return wrong(
            "NotSupportedChoice",
            format!("{path}.field_id"),
            "The value you selected is not a valid choice.",
        );
    };
    if item["values"].is_null() {
        return Ok((key, Value::Null));
    }
    let [only] = item["values"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        return wrong("InvalidType", format!("{path}.values"), "This value should be of type array.");
    };
    let at = format!("{path}.values.0.value");
    let held = match kind.as_str() {
        "select" => {
            let option = OPTIONS.iter().find(|(id, label)| {
                only["enum_id"].as_u64() == Some(u64::from(*id)) || only["value"].as_str() == Some(label)
            });
            let Some((id, label)) = option else {
                return wrong("NotSupportedChoice", at, "The value you selected is not a valid choice.");
            };
            json!({ "value": label, "enum_id": id, "enum_code": null })
        }
        "numeric" => {
            let text = only["value"].as_str().map_or_else(|| only["value"].to_string(), str::to_owned);
            if text.parse::<f64>().is_err() {
                return wrong("InvalidType", at, "This value should be of type numeric.");
            }
            json!({ "value": text })
        }
        _ => {
            let Some(text) = only["value"].as_str() else {
                return wrong("InvalidType", at, "This value should be of type string.");
            };
            if text.chars().count() > TEXT_CHARS {
                return wrong(
                    "TooLong",
                    at,
                    "This value is too long. It should have 256 characters or less.",
                );
            }
            json!({ "value": text })
        }
    };
    let code = if code.is_empty() { Value::Null } else { json!(code) };
    let id: u64 = key.parse().unwrap_or_default();
    let whole = json!({ "field_id": id, "field_name": label, "field_code": code, "field_type": kind, "values": [held] });
    Ok((key, whole))
}

fn item(crm: &Crm, call: &Call, item: &Value) -> Result<(u32, BTreeMap<String, Value>), Wrong> {
    let pos = item["id"].as_u64().and_then(|id| call.company.lead_at_id(id));
    let pos = pos.filter(|pos| *pos < call.company.leads_until(call.now));
    let Some(pos) = pos.filter(|pos| !call.company.lead(*pos).deal.view(call.now).deleted) else {
        return wrong("NotFound", "id", "Lead not found");
    };
    let mut values = BTreeMap::new();
    for (n, given) in item["custom_fields_values"].as_array().into_iter().flatten().enumerate() {
        let (key, held) = value(crm, n, given)?;
        values.insert(key, held);
    }
    Ok((pos, values))
}

pub fn patch(crm: &Crm, call: &Call) -> Reply {
    let Ok(Value::Array(items)) = serde_json::from_slice::<Value>(call.body) else {
        return Reply::problem(400, "Bad Request", "A list of leads is needed");
    };
    if items.is_empty() || items.len() > MOST_ITEMS {
        return Reply::problem(400, "Bad Request", "From 1 to 250 leads are needed");
    }
    let refused = call
        .faults
        .iter()
        .map(|f| if let Fault::Partial { rows } = f { *rows } else { 0 })
        .max()
        .unwrap_or(0);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (n, given) in items.iter().enumerate() {
        let done = match n < refused {
            true => wrong("Locked", "id", "Сделку сейчас редактируют"),
            false => item(crm, call, given),
        };
        match done {
            Ok(done) => good.push(done),
            Err(wrong) => {
                let id = given["request_id"].as_str().map_or_else(|| n.to_string(), str::to_owned);
                let error = json!({ "code": wrong.code, "path": wrong.path, "detail": wrong.detail });
                bad.push(json!({ "request_id": id, "errors": [error] }));
            }
        }
    }
    if !bad.is_empty() {
        let body = json!({
            "validation-errors": bad, "title": "Bad Request", "type": "https://httpstatus.es/400", "status": 400,
            "detail": "Request validation failed",
        });
        return Reply::new(400, "application/problem+json", body.to_string());
    }
    let mut leads = Vec::new();
    for (pos, values) in good {
        crm.written.write(pos, values);
        lock(&crm.changed).updated.insert(pos, call.now);
        leads.push(json!({ "id": call.company.lead_id(pos), "updated_at": call.now }));
    }
    lock(&crm.changed).lists.clear();
    let link = format!("{}/api/v4/leads", call.base);
    Reply::hal(json!({ "_links": { "self": { "href": link } }, "_embedded": { "leads": leads } }).to_string())
}

/// Makes fields; a code that is taken is refused.
pub fn make(crm: &Crm, call: &Call) -> Reply {
    let Ok(Value::Array(items)) = serde_json::from_slice::<Value>(call.body) else {
        return Reply::problem(400, "Bad Request", "A list of fields is needed");
    };
    let mut made = Vec::new();
    for given in &items {
        let text = |name: &str| given[name].as_str().unwrap_or_default().to_owned();
        let (label, code, kind) = (text("name"), text("code"), text("type"));
        if label.is_empty() || !matches!(kind.as_str(), "text" | "numeric" | "textarea" | "select") {
            return Reply::invalid("type", "The value you selected is not a valid choice.");
        }
        let known = crm.written.made();
        if !code.is_empty()
            && (known.iter().any(|f| f.code == code) || FIELDS.iter().any(|(_, _, c, _)| *c == code))
        {
            return Reply::invalid("code", "A field with this code is there already.");
        }
        let key = (FIRST_MADE + known.len() * 2).to_string();
        made.push(json!({ "id": key.parse::<u64>().unwrap_or_default(), "name": label, "type": kind, "code": code }));
        crm.written.make(Made { key, code, label, kind });
    }
    let body = json!({ "_total_items": made.len(), "_embedded": { "custom_fields": made } });
    Reply::hal(body.to_string())
}

/// A lead's list of values with what was written put in.
pub fn merged(base: &str, written: BTreeMap<String, Value>) -> String {
    if written.is_empty() {
        return base.to_owned();
    }
    let mut list = match serde_json::from_str(base) {
        Ok(Value::Array(list)) => list,
        _ => Vec::new(),
    };
    list.retain(|held| !written.contains_key(&held["field_id"].to_string()));
    list.extend(written.into_values().filter(|value| !value.is_null()));
    if list.is_empty() { "null".to_owned() } else { Value::Array(list).to_string() }
}
