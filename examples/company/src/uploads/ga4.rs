//! Measurement Protocol of Google Analytics 4: <https://developers.google.com/analytics/devguides/collection/protocol/ga4>.
//!
//! Whatever comes is answered 204: garbage, wrong secrets, events of last week. Only the debug endpoint says what is
//! wrong, and it records nothing.

use serde_json::{Value, json};

use super::{Call, Uploads};
use crate::reply::{Reply, lock, pairs};

pub const MEASUREMENT_ID: &str = "G-STUDIO0001";
pub const API_SECRET: &str = "company-mp-secret-0123";

/// An event that was recorded.
#[derive(Clone, Debug)]
pub struct Collected {
    pub client_id: String,
    pub timestamp_micros: i64,
    pub name: String,
    pub params: Value,
}

impl Uploads {
    /// Every event that was recorded, in the order they came.
    pub fn events(&self) -> Vec<Collected> {
        lock(&self.events).clone()
    }

    pub(super) fn collect(&self, call: &Call) -> Reply {
        let query = pairs(call.query);
        let is = |name: &str, value: &str| query.iter().any(|(n, v)| n == name && v == value);
        let good = is("measurement_id", MEASUREMENT_ID) && is("api_secret", API_SECRET);
        let body: Value = serde_json::from_slice(call.body).unwrap_or_default();
        let wrong = wrong(&body, call.body.len());
        if call.path.starts_with("/debug/") {
            let messages: Vec<Value> = wrong
                .iter()
                .map(|(path, text)| json!({"fieldPath": path, "description": text, "validationCode": "VALUE_INVALID"}))
                .collect();
            return Reply::json(200, json!({ "validationMessages": messages }).to_string());
        }
        let at = body["timestamp_micros"].as_i64().unwrap_or(call.now * 1_000_000);
        let recent = (call.now * 1_000_000 - at) <= 72 * 3_600_000_000;
        if good && wrong.is_empty() && recent && call.method == "POST" {
            let events = body["events"].as_array().cloned().unwrap_or_default();
            lock(&self.events).extend(events.into_iter().map(|event| Collected {
                client_id: body["client_id"].as_str().unwrap_or_default().to_owned(),
                timestamp_micros: event["timestamp_micros"].as_i64().unwrap_or(at),
                name: event["name"].as_str().unwrap_or_default().to_owned(),
                params: event["params"].clone(),
            }));
        }
        Reply::new(204, "", "")
    }
}

fn wrong(body: &Value, bytes: usize) -> Vec<(&'static str, &'static str)> {
    let mut wrong = Vec::new();
    if body["client_id"].as_str().is_none_or(str::is_empty) {
        wrong.push(("client_id", "Measurement requires a client_id."));
    }
    let empty = Vec::new();
    let events = body["events"].as_array().unwrap_or(&empty);
    if events.is_empty() || events.len() > 25 {
        wrong.push(("events", "Between 1 and 25 events are needed."));
    }
    if bytes > 130_000 {
        wrong.push(("", "The body is over 130 kB."));
    }
    for event in events {
        let name = event["name"].as_str().unwrap_or_default();
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
        if !starts || name.len() > 40 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            wrong.push(("events.name", "Event name is invalid."));
        }
        let params = event["params"].as_object();
        if params.is_some_and(|p| p.len() > 25) {
            wrong.push(("events.params", "Too many params."));
        }
        for (name, value) in params.into_iter().flatten() {
            if name.len() > 40 || value.as_str().is_some_and(|v| v.chars().count() > 100) {
                wrong.push(("events.params", "A param is too long."));
            }
        }
    }
    wrong
}
