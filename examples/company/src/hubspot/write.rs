//! `batch/update` of deals, and properties that are made.
//!
//! A property that is not there or a value that does not fit refuses the whole batch; a deal that is not there is an
//! error of its own inside of a 207.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::index::Index;
use super::objects::{inputs, instant};
use super::{Call, Hubspot, body, directory, refuse};
use crate::faults::Fault;
use crate::reply::Reply;
use crate::written::Made;

/// Name and type of a property that may be written.
fn kind(written: &[Made], name: &str) -> Result<String, String> {
    if name.starts_with("hs_") {
        return Err(format!("{name} is a read only property; its value cannot be set."));
    }
    let own = directory::DEALS.iter().find(|(n, _)| *n == name).map(|(_, kind)| (*kind).to_owned());
    let made = || written.iter().find(|f| f.key == name).map(|f| f.kind.clone());
    own.or_else(made).ok_or_else(|| format!("Property \"{name}\" does not exist"))
}

fn values(written: &[Made], given: &Value) -> Result<BTreeMap<String, Value>, String> {
    let mut values = BTreeMap::new();
    for (name, value) in given.as_object().into_iter().flatten() {
        let kind = kind(written, name)?;
        let text = match value {
            // Null is passed over.
            Value::Null => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if kind == "number" && !text.is_empty() && text.parse::<f64>().is_err() {
            return Err(format!("{text:?} was not a valid number."));
        }
        // An empty text clears.
        values.insert(name.clone(), if text.is_empty() { Value::Null } else { text.into() });
    }
    Ok(values)
}

pub fn update(hubspot: &Hubspot, call: &Call, index: &Index) -> Reply {
    let work = || -> Result<Reply, Reply> {
        let body = body(call)?;
        let ids = inputs(&body, 100)?;
        let made = hubspot.written.made();
        let mut changes = Vec::new();
        for (given, id) in body["inputs"].as_array().into_iter().flatten().zip(ids) {
            let values = values(&made, &given["properties"]).map_err(|why| {
                refuse(400, "VALIDATION_ERROR", &format!("Property values were not valid: {why}"))
            })?;
            changes.push((id, values));
        }
        let lost = call.faults.iter().map(|f| if let Fault::Partial { rows } = f { *rows } else { 0 }).max();
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        let error = |category: &str, message: &str, id: u64| json!({"status": "error", "category": category, "message": message, "context": {"ids": [id.to_string()]}});
        for (n, (id, values)) in changes.into_iter().enumerate() {
            match index.by_id(id).filter(|e| !e.archived) {
                _ if n < lost.unwrap_or(0) => errors.push(error("INTERNAL_ERROR", "internal error", id)),
                None => errors.push(error("OBJECT_NOT_FOUND", "Could not get some DEAL objects", id)),
                Some(entry) => {
                    hubspot.written.write(entry.pos, values);
                    hubspot.change([entry.pos], call.now * 1000);
                    results.push(json!({"id": id.to_string(), "updatedAt": instant(call.now * 1000), "archived": false}));
                }
            }
        }
        let moment = instant(call.now * 1000);
        let mut answer =
            json!({"status": "COMPLETE", "results": results, "startedAt": moment, "completedAt": moment});
        if errors.is_empty() {
            return Ok(Reply::json(200, answer.to_string()));
        }
        answer["numErrors"] = errors.len().into();
        answer["errors"] = errors.into();
        Ok(Reply::json(207, answer.to_string()))
    };
    work().unwrap_or_else(|reply| reply)
}

pub fn make(hubspot: &Hubspot, call: &Call) -> Reply {
    let given = match body(call) {
        Ok(given) => given,
        Err(reply) => return reply,
    };
    let text = |name: &str| given[name].as_str().unwrap_or_default().to_owned();
    let (key, label, kind) = (text("name"), text("label"), text("type"));
    let fits = match kind.as_str() {
        "string" => matches!(text("fieldType").as_str(), "text" | "textarea"),
        "number" => text("fieldType") == "number",
        _ => false,
    };
    if key.is_empty() || label.is_empty() || text("groupName").is_empty() || !fits {
        return refuse(
            400,
            "VALIDATION_ERROR",
            "name, label, groupName, type and a fieldType that fits are needed",
        );
    }
    let known = hubspot.written.made();
    if known.iter().any(|f| f.key == key) || directory::DEALS.iter().any(|(name, _)| *name == key) {
        return refuse(409, "OBJECT_ALREADY_EXISTS", &format!("A property named '{key}' already exists."));
    }
    hubspot.written.make(Made { key, code: String::new(), label, kind });
    Reply::json(201, given.to_string())
}
