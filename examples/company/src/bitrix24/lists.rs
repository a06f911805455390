//! Lists: 50 records a page, filters, order; and the small ones.

use serde_json::{Value, json};

use super::records::{local, record, stage_id};
use super::table::{Entry, Kind, Table};
use super::{Bitrix, Call, Given, Refusal, params, refuse};
use crate::deal::{FIRST_USER, LOST, PIPELINES, WON};
use crate::words::OPERATORS;

const PAGE: usize = 50;

/// A condition on one field: values from one to another.
struct Filter {
    by_time: bool,
    from: i64,
    to: i64,
    /// These alone.
    of: Option<Vec<i64>>,
}

/// The list in a method's result.
pub fn records(result: &mut Value) -> Option<&mut Vec<Value>> {
    match result {
        Value::Array(list) => Some(list),
        Value::Object(map) => map.get_mut("items")?.as_array_mut(),
        _ => None,
    }
}

fn filter(table: &Table, key: &str, value: &Value) -> Result<Option<Filter>, Refusal> {
    let (id, time) = table.kind.fields();
    // The older methods let an empty value pass, and then it filters nothing.
    let older = table.kind == super::table::Kind::Activities;
    let name = key.trim_start_matches(['>', '<', '=', '!', '@', '%']);
    let operator = &key[..key.len() - name.len()];
    if name != id && name != time {
        return refuse(
            400,
            "INVALID_ARG_VALUE",
            format!("Invalid filter: field '{name}' is not allowed in filter"),
        );
    }
    if older && value.as_str() == Some("") {
        return Ok(None);
    }
    if operator == "@" && name == id {
        let list = match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(map) => map.values().collect(),
            _ => Vec::new(),
        };
        let of: Option<Vec<i64>> = list.into_iter().map(params::int).collect();
        if of.as_ref().is_none_or(Vec::is_empty) {
            return refuse(
                400,
                "INVALID_ARG_VALUE",
                format!("Invalid filter: field '{name}' has invalid value"),
            );
        }
        return Ok(Some(Filter { by_time: false, from: i64::MIN, to: i64::MAX, of }));
    }
    let number = if name == id {
        params::int(value)
    } else {
        value.as_str().and_then(|t| chrono::DateTime::parse_from_rfc3339(t).ok()).map(|t| t.timestamp())
    };
    let Some(number) = number else {
        return refuse(400, "INVALID_ARG_VALUE", format!("Invalid filter: field '{name}' has invalid value"));
    };
    let (from, to) = match operator {
        ">" => (number.saturating_add(1), i64::MAX),
        ">=" => (number, i64::MAX),
        "<" => (i64::MIN, number.saturating_sub(1)),
        "<=" => (i64::MIN, number),
        "" | "=" => (number, number),
        _ => return refuse(400, "INVALID_ARG_VALUE", format!("Invalid filter: {key}")),
    };
    Ok(Some(Filter { by_time: name == time, from, to, of: None }))
}

/// A page of one of the long lists.
pub fn page(bitrix: &Bitrix, call: &Call, kind: Kind, params: &Value) -> Result<Given, Refusal> {
    let table = bitrix.table(call, kind);
    let mut filters = Vec::new();
    for (key, value) in params["filter"].as_object().into_iter().flatten() {
        filters.extend(filter(&table, key, value)?);
    }
    let (id, _) = kind.fields();
    let mut descending = false;
    for (field, direction) in params["order"].as_object().into_iter().flatten() {
        if field != id {
            return refuse(
                400,
                "INVALID_ARG_VALUE",
                format!("Invalid order: field '{field}' is not allowed in order"),
            );
        }
        descending = direction.as_str().is_some_and(|d| d.eq_ignore_ascii_case("desc"));
    }
    let fits = |e: &&Entry| {
        filters.iter().all(|f| {
            let value = if f.by_time { e.at } else { i64::try_from(e.id).unwrap_or(i64::MAX) };
            (f.from..=f.to).contains(&value) && f.of.as_ref().is_none_or(|of| of.contains(&value))
        })
    };
    // Below this id nothing can fit: the lists are long and asked for page by page.
    let least = filters.iter().filter(|f| !f.by_time).map(|f| f.from).max().unwrap_or(0).max(0);
    let begin = table.entries.partition_point(|e| (e.id as i64) < least);
    let select = params::texts(&params["select"]);
    let start = params::int(&params["start"]).unwrap_or(0);
    let entries = &table.entries[begin..];
    let (found, total): (Vec<&Entry>, Option<usize>) = if start < 0 {
        let page = if descending {
            entries.iter().rev().filter(fits).take(PAGE).collect()
        } else {
            entries.iter().filter(fits).take(PAGE).collect()
        };
        (page, None)
    } else {
        let mut all: Vec<&Entry> = entries.iter().filter(fits).collect();
        if descending {
            all.reverse();
        }
        let total = all.len();
        (all.into_iter().skip(start as usize / PAGE * PAGE).take(PAGE).collect(), Some(total))
    };
    let written = &bitrix.written;
    let list: Vec<Value> = found.iter().map(|e| record(call, written, kind, e, (&select, params))).collect();
    let result = if kind == Kind::Activities { json!(list) } else { json!({ "items": list }) };
    Ok(Given { result, total, next: total.and_then(|total| next(start, total)) })
}

fn next(start: i64, total: usize) -> Option<usize> {
    let next = (start.max(0) as usize / PAGE + 1) * PAGE;
    (next < total).then_some(next)
}

/// A page of a list that is short enough to be made whole.
fn part(all: Vec<Value>, params: &Value) -> (Vec<Value>, usize, Option<usize>) {
    let start = params::int(&params["start"]).unwrap_or(0);
    let total = all.len();
    (
        all.into_iter().skip(start.max(0) as usize / PAGE * PAGE).take(PAGE).collect(),
        total,
        next(start, total),
    )
}

pub fn categories(params: &Value) -> Result<Given, Refusal> {
    if params::int(&params["entityTypeId"]) != Some(2) {
        return refuse(400, "NOT_FOUND", "Smart process not found");
    }
    let all: Vec<Value> = PIPELINES
        .iter()
        .enumerate()
        .map(|(n, p)| {
            json!({"id": n, "name": p.name, "sort": 100 * (n + 1), "entityTypeId": 2,
                   "isDefault": if n == 0 { "Y" } else { "N" }, "originId": "", "originatorId": ""})
        })
        .collect();
    let total = all.len();
    Ok(Given { result: json!({ "categories": all }), total: Some(total), next: None })
}

pub fn statuses(params: &Value) -> Result<Given, Refusal> {
    let mut all = Vec::new();
    let mut add = |entity: &str, id: &str, name: &str, semantics: Option<&str>| {
        let n = all.len();
        all.push(json!({
            "ID": (101 + 2 * n).to_string(), "ENTITY_ID": entity, "STATUS_ID": id, "NAME": name, "NAME_INIT": "",
            "SORT": (10 * (n + 1)).to_string(), "SYSTEM": "N", "CATEGORY_ID": null, "COLOR": "#39A8EF",
            "SEMANTICS": semantics,
            "EXTRA": {"SEMANTICS": match semantics { Some("S") => "success", Some("F") => "failure", _ => "process" }},
        }));
    };
    add("STATUS", "NEW", "Не обработан", None);
    add("STATUS", "CONVERTED", "Качественный лид", Some("S"));
    add("STATUS", "JUNK", "Некачественный лид", Some("F"));
    for (n, pipeline) in PIPELINES.iter().enumerate() {
        let entity = if n == 0 { "DEAL_STAGE".to_owned() } else { format!("DEAL_STAGE_{n}") };
        for step in &pipeline.steps {
            add(&entity, &stage_id(n, step.0), step.1, None);
        }
        add(&entity, &stage_id(n, WON), "Сделка успешна", Some("S"));
        add(&entity, &stage_id(n, LOST), "Сделка провалена", Some("F"));
    }
    for (n, source) in ["Звонок", "Веб-сайт", "Реклама", "Чат"].iter().enumerate() {
        add("SOURCE", &format!("SOURCE_{n}"), source, None);
    }
    // Other lists of words, so that there are more than a page holds.
    for n in 0..40 {
        add("INDUSTRY", &format!("INDUSTRY_{n}"), &format!("Отрасль {n}"), None);
    }
    let wanted = params["filter"]["ENTITY_ID"].as_str();
    let all = all.into_iter().filter(|s| wanted.is_none_or(|w| s["ENTITY_ID"] == w)).collect();
    let (page, total, next) = part(all, params);
    Ok(Given { result: json!(page), total: Some(total), next })
}

pub fn users(call: &Call, params: &Value) -> Result<Given, Refusal> {
    let registered = local(call.company.cfg.start_at());
    // The last one has left.
    let all = OPERATORS
        .iter()
        .enumerate()
        .map(|(n, (name, email, _))| {
            let (first, last) = name.split_once(' ').unwrap_or((name, ""));
            json!({
                "ID": (FIRST_USER as usize + n).to_string(), "ACTIVE": n + 1 < OPERATORS.len(), "NAME": first,
                "LAST_NAME": last, "SECOND_NAME": "", "EMAIL": email, "DATE_REGISTER": registered, "TIME_ZONE": "",
                "IS_ONLINE": "N", "TIMESTAMP_X": {}, "LAST_ACTIVITY_DATE": {}, "PERSONAL_GENDER": "",
                "UF_DEPARTMENT": [1], "USER_TYPE": "employee",
            })
        })
        .collect();
    let (page, total, next) = part(all, params);
    Ok(Given { result: json!(page), total: Some(total), next })
}
