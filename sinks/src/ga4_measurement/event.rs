//! Rows as events, within Google's limits, or why they cannot be.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value, json};
use throughline_core::Result;
use throughline_core::time::InstantUs;

use super::PURCHASE;
use crate::upload::line::{Line, Rows, Weighed, amount};

/// Events may be told so long after they happened.
const BACKDATED_US: i64 = 72 * 3_600_000_000;
const NAME_CHARS: usize = 40;
const VALUE_CHARS: usize = 100;

const NO_CLIENT: &str = "no client_id: Google Analytics knows nobody without one";
const NO_SESSION: &str = "no session_id: the event would belong to no visit, and to no source";
const OLD: &str = "it happened more than 72 hours ago: Google Analytics takes nothing older";
const FUTURE: &str = "it is in the future: it is sent when its time has come";

/// Why a text is no name of an event or parameter.
pub(super) fn bad_name(name: &str) -> Option<&'static str> {
    if !name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        Some("it does not begin with a letter")
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Some("it has other signs than letters, digits and _")
    } else if name.len() > NAME_CHARS {
        Some("it is longer than 40 signs")
    } else if ["ga_", "google_", "firebase_", "gtag."].iter().any(|p| name.starts_with(p)) {
        Some("Google keeps names that begin so for itself")
    } else {
        None
    }
}

pub(super) fn is_purchase(event: &str) -> bool {
    let event: Value = serde_json::from_str(event).unwrap_or_default();
    event["name"] == PURCHASE && event["params"]["transaction_id"].is_string()
}

pub(super) fn weigh(events: &BTreeMap<String, String>, rows: &Rows, now: InstantUs) -> Result<Vec<Weighed>> {
    let (id, at, client) = (rows.needed("id")?, rows.needed("at")?, rows.needed("client_id")?);
    let session = rows.needed("session_id")?;
    let (kind, event) = (rows.column("type")?, rows.column("event")?);
    let transaction = rows.column("transaction_id")?;
    let (minor, currency) = (rows.column("value_minor")?, rows.column("currency")?);
    let weigh = |row| -> Result<Line, Weighed> {
        let of_type = kind.get(row).and_then(|kind| events.get(kind)).map(String::as_str);
        let name = event.get(row).or(of_type).ok_or(Weighed::Left("its type has no event in `events`"))?;
        let id = id.get(row).ok_or(Weighed::Left("no id"))?;
        let refused = |why: String| Weighed::Refused { id: id.to_owned(), why };
        if let Some(why) = bad_name(name) {
            return Err(refused(format!("{name:?} is no name of an event: {why}")));
        }
        let at = at.instant(row).ok_or_else(|| refused("`at` is no instant".into()))?;
        if at > now {
            return Err(Weighed::Left(FUTURE));
        }
        if now.saturating_sub(at) > BACKDATED_US {
            return Err(Weighed::Left(OLD));
        }
        let client = client.get(row).ok_or(Weighed::Left(NO_CLIENT))?;
        let session = session.get(row).ok_or(Weighed::Left(NO_SESSION))?;
        let mut params = Map::new();
        params.insert("session_id".into(), session.into());
        params.insert("engagement_time_msec".into(), 1.into());
        params.insert("transaction_id".into(), transaction.get(row).unwrap_or(id).into());
        if let Some(minor) = minor.get(row) {
            let currency =
                currency.get(row).ok_or_else(|| refused("an amount without its currency".into()))?;
            let value =
                amount(minor, currency).and_then(|text| text.parse::<f64>().ok()).and_then(Number::from_f64);
            let value =
                value.ok_or_else(|| refused(format!("{minor} minor units of {currency:?} are no amount")))?;
            params.insert("value".into(), Value::Number(value));
            params.insert("currency".into(), currency.into());
        }
        for (name, value) in &params {
            if value.as_str().is_some_and(|v| v.chars().count() > VALUE_CHARS) {
                return Err(refused(format!("{name} is longer than {VALUE_CHARS} signs")));
            }
        }
        let text = json!({"name": name, "timestamp_micros": at, "params": params}).to_string();
        Ok(Line { id: id.to_owned(), text, to: client.to_owned() })
    };
    Ok((0..rows.len()).map(|row| weigh(row).map_or_else(|w| w, Weighed::Line)).collect())
}
