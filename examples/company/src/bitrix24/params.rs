//! Parameters as PHP reads them: JSON, or `filter[>id]=5&select[0]=*`.

use serde_json::{Map, Value};

use super::{Call, Refusal, refuse};
use crate::reply::pairs;

/// Of a whole request.
pub fn of(call: &Call) -> Result<Value, Refusal> {
    if call.method != "POST" {
        return Ok(nested(call.query));
    }
    match serde_json::from_slice::<Value>(call.body) {
        Ok(value @ Value::Object(_)) => Ok(value),
        _ if call.body.is_empty() => Ok(Value::Object(Map::new())),
        _ => refuse(400, "INVALID_REQUEST", "Invalid request."),
    }
}

/// Of a command in a batch.
pub fn nested(query: &str) -> Value {
    let mut root = Map::new();
    for (name, value) in pairs(query) {
        let (first, rest) = name.split_at(name.find('[').unwrap_or(name.len()));
        let steps: Vec<&str> = rest.split('[').skip(1).map(|step| step.trim_end_matches(']')).collect();
        put(&mut root, first, &steps, value);
    }
    Value::Object(root)
}

fn put(to: &mut Map<String, Value>, key: &str, steps: &[&str], value: String) {
    let key = if key.is_empty() { to.len().to_string() } else { key.to_owned() };
    let Some((next, rest)) = steps.split_first() else {
        to.insert(key, Value::String(value));
        return;
    };
    let below = to.entry(key).or_insert_with(|| Value::Object(Map::new()));
    if !below.is_object() {
        *below = Value::Object(Map::new());
    }
    if let Value::Object(below) = below {
        put(below, next, rest, value);
    }
}

/// `5` and `"5"`.
pub fn int(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64(),
    }
}

/// The texts of a list, which PHP also writes as an object with numbers for keys.
pub fn texts(value: &Value) -> Vec<String> {
    let text = |v: &Value| v.as_str().map(str::to_owned);
    match value {
        Value::Array(list) => list.iter().filter_map(text).collect(),
        Value::Object(map) => map.values().filter_map(text).collect(),
        _ => Vec::new(),
    }
}

/// Puts results of earlier commands in place of `$result[command][key]...`. What is not there is an empty text.
pub fn resolve(value: &mut Value, results: &Map<String, Value>) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|v| resolve(v, results)),
        Value::Array(list) => list.iter_mut().for_each(|v| resolve(v, results)),
        Value::String(text) => {
            let Some(path) = text.strip_prefix("$result[").and_then(|t| t.strip_suffix(']')) else { return };
            let mut steps = path.split("][");
            let mut at = steps.next().and_then(|first| results.get(first));
            for step in steps {
                at = at.and_then(|v| match v {
                    Value::Array(list) => list.get(step.parse::<usize>().ok()?),
                    other => other.get(step),
                });
            }
            *text = match at {
                Some(Value::String(found)) => found.clone(),
                Some(found) if !found.is_null() => found.to_string(),
                _ => String::new(),
            };
        }
        _ => {}
    }
}
