//! HubSpot's CRM: objects v3 (list, search, batch read), associations v4, owners, pipelines, properties, OAuth.
//!
//! What a client could get wrong is refused: a search that goes beyond 10,000 records, more than 200 or 100
//! records at once, unknown properties in filters, the same id twice in a batch.

pub mod auth;
pub mod directory;
pub mod index;
pub mod limits;
pub mod objects;
pub mod search;
pub mod write;

use std::sync::Arc;

use serde_json::{Value, json};

use crate::call::Call;
use crate::changed::Changed;
use crate::company::Company;
use crate::faults::Fault;
use crate::reply::{Reply, pairs};
use crate::written::Written;
use auth::Auth;
use index::{Index, Kind};
use limits::Limiter;

/// The account's number.
pub const HUB_ID: u64 = 24_681_357;

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Requests in 10 seconds; 0: no limit.
    pub per_10s: usize,
    /// Searches in a second; 0: no limit.
    pub searches: usize,
    /// Requests in all; 0: no limit. The company's day does not end.
    pub daily: u64,
}

pub struct Hubspot {
    pub auth: Auth,
    pub limiter: Limiter,
    /// Moments in milliseconds.
    changed: Changed<Kind, Index>,
    /// What clients wrote into deals.
    pub written: Written,
}

impl Hubspot {
    pub fn new(options: Options) -> Self {
        Self {
            auth: Auth::default(),
            limiter: Limiter::new(options),
            changed: Changed::default(),
            written: Written::default(),
        }
    }

    pub fn answer(&self, call: &Call) -> Reply {
        if call.path == "/oauth/v1/token" {
            return self.auth.grant(call);
        }
        if call.path.ends_with("/authorize") {
            return self.auth.consents.ask(call.query, auth::CLIENT_ID, false, &[]);
        }
        if !self.auth.allows(call.authorization) {
            return refuse(
                401,
                "INVALID_AUTHENTICATION",
                "Authentication credentials not found or not valid.",
            );
        }
        let searches = call.path.ends_with("/search");
        if let Some(reply) = self.limiter.refuse(searches) {
            return reply;
        }
        for fault in call.faults {
            if let Fault::Touch { rows } = fault {
                self.touch(call.company, call.now, *rows);
            }
        }
        let mut reply = self.route(call);
        // Search tells nothing of the limits.
        if !searches {
            reply.headers.extend(self.limiter.headers());
        }
        reply
    }

    fn route(&self, call: &Call) -> Reply {
        let parts: Vec<&str> = call.path.split('/').filter(|p| !p.is_empty()).collect();
        match (call.method, parts.as_slice()) {
            ("POST", ["crm", "v3", "objects", kind, "search"]) => {
                with_kind(kind, |kind| search::answer(call, &self.written, kind, &self.index(call, kind)))
            }
            ("POST", ["crm", "v3", "objects", kind, "batch", "read"]) => with_kind(kind, |kind| {
                objects::batch_read(call, &self.written, kind, &self.index(call, kind))
            }),
            ("POST", ["crm", "v3", "objects", "deals" | "0-3", "batch", "update"]) => {
                write::update(self, call, &self.index(call, Kind::Deals))
            }
            ("POST", ["crm", "v3", "properties", "deals"]) => write::make(self, call),
            ("GET", ["crm", "v3", "objects", kind]) => {
                with_kind(kind, |kind| objects::list(call, &self.written, kind, &self.index(call, kind)))
            }
            ("POST", ["crm", "v4", "associations", "deals", "contacts", "batch", "read"]) => {
                objects::associations(call, &self.index(call, Kind::Deals))
            }
            ("GET", rest) => directory::answer(call, &self.written, rest),
            _ => refuse(405, "METHOD_NOT_ALLOWED", "the method is not allowed here"),
        }
    }

    fn index(&self, call: &Call, kind: Kind) -> Arc<Index> {
        let make = |deals: &_| Index::new(call.company, kind, call.now, deals);
        self.changed.list(kind, call.now, 4, make)
    }

    /// Forgets what was made for an earlier moment.
    pub fn forget(&self) {
        self.changed.forget();
    }

    /// Lets some visible deals change at this very moment.
    pub fn touch(&self, company: &Company, now: i64, rows: usize) {
        self.changed.touch(company, now, now * 1000, rows);
    }

    /// Lets deals have been changed at one moment.
    pub fn change(&self, positions: impl IntoIterator<Item = u32>, at_ms: i64) {
        self.changed.change(positions, at_ms);
    }
}

fn with_kind(name: &str, answer: impl FnOnce(Kind) -> Reply) -> Reply {
    match name {
        "deals" | "0-3" => answer(Kind::Deals),
        "contacts" | "0-1" => answer(Kind::Contacts),
        _ => refuse(400, "VALIDATION_ERROR", &format!("Unable to infer object type from: {name}")),
    }
}

/// HubSpot's error object.
pub fn refuse(status: u16, category: &str, message: &str) -> Reply {
    let body = json!({
        "status": "error", "message": message, "correlationId": "6f0d5f5c-0000-4000-8000-000000000001",
        "category": category,
    });
    Reply::json(status, body.to_string())
}

/// A parameter that must be a number from 1 to some most.
fn limit(query: &[(String, String)], default: usize, most: usize) -> Result<usize, Reply> {
    let Some((_, text)) = query.iter().find(|(name, _)| name == "limit") else { return Ok(default) };
    text.parse().ok().filter(|n| (1..=most).contains(n)).ok_or_else(|| {
        refuse(400, "VALIDATION_ERROR", &format!("limit {text:?}: a number from 1 to {most} is needed"))
    })
}

fn query(call: &Call) -> Vec<(String, String)> {
    pairs(call.query)
}

fn body(call: &Call) -> Result<Value, Reply> {
    serde_json::from_slice(call.body)
        .map_err(|e| refuse(400, "VALIDATION_ERROR", &format!("Invalid input JSON: {e}")))
}
