//! The events of one received webhook, each into a row of its own.

use chrono::SecondsFormat;
use serde::Deserialize;
use serde_json::value::RawValue;
use throughline_core::{Reject, Secret};

use super::{Proof, Split};
use crate::records::{RecordsBuilder, json_string};
use crate::whatsapp::flatten::Members;
use crate::whatsapp::inbox::{Delivery, Item};
use crate::whatsapp::read::{Records, rejected};
use crate::whatsapp::signature;

pub(crate) struct Events {
    pub split: Split,
    pub proof: Proof,
    pub secret: Option<Secret>,
}

const NULL: &str = "null";
const ENTRY_LISTS: [&str; 2] = ["messaging", "standby"];

impl Records for Events {
    fn tells_notices(&self) -> bool {
        true
    }

    fn take(&self, item: &Item<'_>, records: &mut RecordsBuilder, rejects: &mut Vec<Reject>) {
        let mut reject = |reason: String, raw: &[u8]| rejects.push(rejected(reason, raw, &item.place));
        let delivery = match (item.broken.clone(), Delivery::read(item.record)) {
            (None, Ok(delivery)) => delivery,
            (Some(reason), _) | (None, Err(reason)) => return reject(reason, item.record),
        };
        if let Some(secret) = &self.secret
            && let Err(reason) = self.verify(secret, &delivery)
        {
            return reject(reason.to_owned(), item.record);
        }
        let Ok(body) = std::str::from_utf8(&delivery.body) else {
            return reject("the body is no UTF-8".into(), &delivery.body);
        };
        let received_at = delivery.received_at.map_or_else(|| NULL.to_owned(), |at| as_text(at.get()));
        let mut rows = Rows { received_at: &received_at, place: &item.place, records };
        let taken = match self.split {
            Split::Whole => {
                rows.push(body, &[]);
                Ok(())
            }
            Split::ByPath => rows.by_path(body, &delivery),
            Split::Entries => rows.entries(body),
            Split::Lists(lists) => rows.lists(body, lists),
        };
        if let Err(reason) = taken {
            reject(reason, body.as_bytes());
        }
    }
}

impl Events {
    fn verify(&self, secret: &Secret, delivery: &Delivery<'_>) -> Result<(), &'static str> {
        match self.proof {
            Proof::Meta => signature::verify(secret, delivery.signature.as_deref(), &delivery.body),
            Proof::Viber => {
                signature::verify_viber(secret, delivery.viber_signature.as_deref(), &delivery.body)
            }
            Proof::None => Ok(()),
        }
    }
}

/// The moment of receipt as RFC 3339: the receiver writes microseconds since 1970.
fn as_text(json: &str) -> String {
    let moment = json.parse::<i64>().ok().and_then(chrono::DateTime::from_timestamp_micros);
    moment.map_or_else(|| json.to_owned(), |at| json_string(&at.to_rfc3339_opts(SecondsFormat::AutoSi, true)))
}

struct Rows<'a> {
    /// JSON text.
    received_at: &'a str,
    place: &'a str,
    records: &'a mut RecordsBuilder,
}

impl Rows<'_> {
    fn push(&mut self, event: &str, more: &[(&str, &str)]) {
        // VK puts the webhook's secret into every body: it is no data.
        let mut extra = vec![("received_at", self.received_at), ("secret", NULL)];
        extra.extend_from_slice(more);
        self.records.push_with(event.as_bytes(), &extra, self.place);
    }

    fn by_path(&mut self, body: &str, delivery: &Delivery<'_>) -> Result<(), String> {
        let Some(path) = delivery.path.as_deref() else {
            return Err("no `:path` among its headers says which event it is".into());
        };
        let method = delivery.method.as_deref().map_or_else(|| NULL.to_owned(), json_string);
        self.push(body, &[("method", &method), ("path", &json_string(path))]);
        Ok(())
    }

    /// `{"object": .., "entry": [{"id": .., "messaging": [..]}]}`.
    fn entries(&mut self, body: &str) -> Result<(), String> {
        #[derive(Deserialize)]
        struct Body<'a> {
            #[serde(borrow, default)]
            object: Option<&'a RawValue>,
            #[serde(borrow, default)]
            entry: Option<Vec<&'a RawValue>>,
        }
        let whole: Body<'_> =
            serde_json::from_str(body).map_err(|e| format!("the body is no webhook of Meta: {e}"))?;
        let object = whole.object.map_or(NULL, RawValue::get);
        let Some(entries) = whole.entry else {
            // The dashboard's tests have another shape: {"field": .., "value": {..}}.
            self.push(body, &[]);
            return Ok(());
        };
        for entry in entries {
            let members: Members<'_> =
                serde_json::from_str(entry.get()).map_err(|e| format!("an entry is no object: {e}"))?;
            let id = members.get("id").map_or(NULL, RawValue::get);
            let mut any = false;
            for list in ENTRY_LISTS {
                let name = json_string(list);
                for event in items(&members, list)? {
                    any = true;
                    self.push(event.get(), &[("entry_id", id), ("object", object), ("list", &name)]);
                }
            }
            if !any {
                // Changes of a page and what else Meta may add.
                self.push(entry.get(), &[("entry_id", id), ("object", object)]);
            }
        }
        Ok(())
    }

    fn lists(&mut self, body: &str, lists: &[&str]) -> Result<(), String> {
        let members: Members<'_> =
            serde_json::from_str(body).map_err(|e| format!("the body is no JSON object: {e}"))?;
        // The receiver gives an event of a site as a delivery of its own.
        if lists == ["events"] && members.get("events").is_none() {
            self.push(body, &[("list", "\"events\"")]);
            return Ok(());
        }
        // The tracker says when, by the browser's clock, it sent them.
        let sent = members.get("sent").map(RawValue::get);
        for list in lists {
            let name = json_string(list);
            let mut extra = vec![("list", name.as_str())];
            extra.extend(sent.map(|sent| ("sent", sent)));
            for event in items(&members, list)? {
                self.push(event.get(), &extra);
            }
        }
        if members.names().any(|name| !lists.contains(&name) && !matches!(name, "v" | "sent")) {
            // Without the lists, which have been taken.
            let mut extra: Vec<(&str, &str)> = lists.iter().map(|list| (*list, NULL)).collect();
            extra.push(("list", NULL));
            self.push(body, &extra);
        }
        Ok(())
    }
}

fn items<'a>(members: &Members<'a>, list: &str) -> Result<Vec<&'a RawValue>, String> {
    match members.get(list) {
        None => Ok(Vec::new()),
        Some(items) => serde_json::from_str(items.get()).map_err(|_| format!("{list} is no list")),
    }
}
