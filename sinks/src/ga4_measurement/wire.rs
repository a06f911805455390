//! The Measurement Protocol's two addresses: one that collects, and one that only looks.

use std::sync::Arc;

use serde_json::{Value, json, value::RawValue};
use throughline_core::http::{Account, HttpRequest, Method, Verdict};
use throughline_core::{Context, Error, Result, Secret};

use crate::upload::vendor::{Failure, Part, Taken};

/// Google takes no longer body.
const BODY_BYTES: usize = 130_000;

pub(super) struct Wire {
    base_url: String,
    pub measurement_id: String,
    api_secret: Secret,
}

#[derive(serde::Serialize)]
struct Body<'a> {
    client_id: &'a str,
    events: Vec<&'a RawValue>,
}

impl Wire {
    pub fn new(base_url: &str, measurement_id: String, api_secret: Secret) -> Self {
        Self { base_url: base_url.trim_end_matches('/').to_owned(), measurement_id, api_secret }
    }

    fn request(&self, path: &str, body: &Value) -> HttpRequest {
        let account = Account {
            key: format!("google_analytics events:{}", self.measurement_id).into(),
            per_second: 20.0,
            burst: 20,
            parallel: 2,
        };
        // The secret has no other place: the client takes it out of what it logs and of errors.
        let secret: String = self
            .api_secret
            .expose()
            .bytes()
            .map(|b| match b {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
                _ => format!("%{b:02X}"),
            })
            .collect();
        let url =
            format!("{}{path}?measurement_id={}&api_secret={secret}", self.base_url, self.measurement_id);
        HttpRequest::new(Method::Post, url, account).json(body)
    }

    /// Asks the debug endpoint whether events of these names are in order.
    pub async fn validate(&self, ctx: &Context, names: &[&str]) -> Result<()> {
        let events: Vec<Value> = names
            .iter()
            .take(super::EVENTS)
            .map(|name| {
                json!({"name": name, "params": {"session_id": "1", "engagement_time_msec": 1, "currency": "USD",
                    "value": 1.5, "transaction_id": "throughline-check"}})
            })
            .collect();
        let body =
            json!({"client_id": "1.1", "validation_behavior": "ENFORCE_RECOMMENDATIONS", "events": events});
        let mut request = self.request("/debug/mp/collect", &body);
        request.idempotent = true;
        let answer = ctx.http.send(request).await?.bytes().await?;
        let answer: Value = serde_json::from_slice(&answer)
            .map_err(|e| Error::protocol(format!("the debug endpoint's answer is no JSON: {e}")))?;
        let messages = answer["validationMessages"].as_array().cloned().unwrap_or_default();
        if messages.is_empty() {
            return Ok(());
        }
        let told: Vec<String> = messages
            .iter()
            .map(|m| format!("{}: {}", text(&m["fieldPath"]), text(&m["description"])))
            .collect();
        Err(Error::config(format!("Google Analytics would not take these events: {}", told.join("; ")))
            .hint("look at `events`"))
    }

    /// Sends a part, client by client. Who sent some of it and lost an answer does not know of the rest.
    pub async fn send(&self, ctx: &Context, part: &Part<'_>) -> Result<Taken, Failure> {
        let mut clients: Vec<&str> = part.lines.iter().map(|line| line.to.as_str()).collect();
        clients.sort_unstable();
        clients.dedup();
        let mut refused = Vec::new();
        for (at, client) in clients.into_iter().enumerate() {
            let of_client = || part.lines.iter().enumerate().filter(|(_, line)| line.to == client);
            let events: Vec<&RawValue> =
                of_client().filter_map(|(_, line)| serde_json::from_str(&line.text).ok()).collect();
            let body = serde_json::to_value(Body { client_id: client, events })
                .map_err(|e| Failure::NotTaken(Error::bug(e.to_string())))?;
            if body.to_string().len() >= BODY_BYTES {
                refused.extend(of_client().map(|(at, _)| (at, "too long for one request".to_owned())));
                continue;
            }
            let mut request = self.request("/mp/collect", &body);
            // Whatever came, Google says 2xx. Anything else is of something in between.
            request.judge = Some(Arc::new(|head, _| match head.status {
                400..=499 if head.status != 429 => {
                    Verdict::Fail(Arc::new(Error::protocol(format!("the answer was {}", head.status))))
                }
                _ => Verdict::ByStatus,
            }));
            if let Err(error) = ctx.http.send(request).await {
                let none_went = at == 0 && error.kind() == throughline_core::ErrorKind::Protocol;
                return Err(if none_went { Failure::NotTaken(error) } else { Failure::Unknown(error) });
            }
        }
        Ok(Taken { watch: None, refused })
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
