//! Bitrix24's REST: CRM lists of 50, stage history, statuses, users, activities, `batch`, an incoming webhook and OAuth.
//!
//! What a client could get wrong is refused: more than 50 commands, a batch in a batch, fields that cannot be filtered
//! by, a filter with an empty value. With `start=-1` nothing is counted; without it every list tells its total.

pub mod auth;
pub mod batch;
pub mod lists;
pub mod params;
pub mod records;
pub mod table;
pub mod write;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use serde_json::{Value, json};

use crate::call::Call;
use crate::changed::Changed;
use crate::company::Company;
use crate::faults::Fault;
use crate::reply::{Reply, lock, pairs};
use crate::text::rfc3339;
use crate::written::Written;
use auth::Auth;
use table::{Kind, Table};

pub const PORTAL: &str = "studio.bitrix24.example";

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The bucket's size; 0: no limit of requests. It loses 2 a second.
    pub burst: usize,
}

pub struct Bitrix {
    pub auth: Auth,
    options: Options,
    bucket: Mutex<(f64, Option<Instant>)>,
    /// Moments in seconds.
    changed: Changed<Kind, Table>,
    /// What clients wrote into deals.
    pub written: Written,
}

/// What a method gives, or why not.
pub struct Given {
    pub result: Value,
    pub total: Option<usize>,
    pub next: Option<usize>,
}

pub struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub text: String,
}

impl Given {
    pub fn only(result: Value) -> Result<Self, Refusal> {
        Ok(Self { result, total: None, next: None })
    }
}

pub fn refuse<T>(status: u16, code: &'static str, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { status, code, text: text.into() })
}

impl Refusal {
    pub fn json(&self) -> Value {
        json!({ "error": self.code, "error_description": self.text })
    }
    fn reply(&self) -> Reply {
        Reply::json(self.status, self.json().to_string())
    }
}

impl Bitrix {
    pub fn new(options: Options) -> Self {
        Self {
            auth: Auth::default(),
            options,
            bucket: Mutex::default(),
            changed: Changed::default(),
            written: Written::default(),
        }
    }

    pub fn answer(&self, call: &Call) -> Reply {
        if call.path.starts_with("/oauth/token") {
            return self.auth.grant(call);
        }
        if call.path.starts_with("/oauth/authorize") {
            return self.auth.consents.ask(call.query, auth::CLIENT_ID, false, &[("domain", PORTAL)]);
        }
        if self.is_full() {
            return limit(503, call.now);
        }
        let params = match params::of(call) {
            Ok(params) => params,
            Err(refusal) => return refusal.reply(),
        };
        let method = match self.auth.method(call.path, params["auth"].as_str()) {
            Ok(method) => method,
            Err(refusal) => return refusal.reply(),
        };
        for fault in call.faults {
            if let Fault::Touch { rows } = fault {
                self.touch(call.company, call.now, *rows);
            }
        }
        let mut worked = 0.2;
        for fault in call.faults {
            if let Fault::Operating { ms } = fault {
                worked = *ms as f64 / 1000.0;
            }
        }
        let given = match method.as_str() {
            "batch" => batch::answer(self, call, &params, worked),
            method => self.call(call, method, &params),
        };
        match given {
            Err(refusal) => refusal.reply(),
            Ok(given) => {
                let mut body = json!({ "result": given.result });
                if let Some(total) = given.total {
                    body["total"] = total.into();
                }
                if let Some(next) = given.next {
                    body["next"] = next.into();
                }
                body["time"] = time(call.now, (method != "batch").then_some(worked));
                Reply::json(200, body.to_string())
            }
        }
    }

    /// One method, alone or in a batch.
    pub fn call(&self, call: &Call, method: &str, params: &Value) -> Result<Given, Refusal> {
        match method {
            "crm.item.list" => {
                let kind = match params::int(&params["entityTypeId"]) {
                    Some(1) => Kind::Leads,
                    Some(2) => Kind::Deals,
                    Some(3) => Kind::Contacts,
                    _ => return refuse(400, "NOT_FOUND", "Smart process not found"),
                };
                lists::page(self, call, kind, params)
            }
            "crm.item.fields" => write::fields(self, params),
            "crm.item.update" => write::update(self, call, params),
            "crm.deal.userfield.add" => write::make(self, params),
            "crm.stagehistory.list" => {
                let kind = match params::int(&params["entityTypeId"]) {
                    Some(1) => Kind::LeadHistory,
                    Some(2) => Kind::DealHistory,
                    _ => return refuse(400, "ENTITY_TYPE_NOT_SUPPORTED", "entity is not supported"),
                };
                lists::page(self, call, kind, params)
            }
            "crm.activity.list" => lists::page(self, call, Kind::Activities, params),
            "crm.category.list" => lists::categories(params),
            "crm.status.list" => lists::statuses(params),
            "user.get" => lists::users(call, params),
            "server.time" => Given::only(rfc3339(call.now).into()),
            "batch" => refuse(400, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage"),
            _ => refuse(404, "ERROR_METHOD_NOT_FOUND", "Method not found!"),
        }
    }

    fn is_full(&self) -> bool {
        if self.options.burst == 0 {
            return false;
        }
        let mut bucket = lock(&self.bucket);
        let now = Instant::now();
        let lost = bucket.1.map_or(0.0, |since| now.duration_since(since).as_secs_f64() * 2.0);
        *bucket = ((bucket.0 - lost).max(0.0), Some(now));
        if bucket.0 >= self.options.burst as f64 {
            return true;
        }
        bucket.0 += 1.0;
        false
    }

    pub fn table(&self, call: &Call, kind: Kind) -> Arc<Table> {
        let make = |deals: &_| Table::new(call.company, kind, call.now, deals);
        self.changed.list(kind, call.now, 8, make)
    }

    /// Forgets what was made for an earlier moment.
    pub fn forget(&self) {
        self.changed.forget();
    }

    /// Lets some deals change at this very moment.
    pub fn touch(&self, company: &Company, now: i64, rows: usize) {
        self.changed.touch(company, now, now, rows);
    }

    /// Lets deals have been changed at one moment.
    pub fn change(&self, positions: impl IntoIterator<Item = u32>, at: i64) {
        self.changed.change(positions, at);
    }
}

/// What every answer tells of the time it took; a batch tells of its commands instead.
pub fn time(now: i64, operating: Option<f64>) -> Value {
    let mut time = json!({
        "start": now as f64 + 0.25, "finish": now as f64 + 0.5, "duration": 0.25, "processing": 0.2,
        "date_start": records::local(now), "date_finish": records::local(now),
    });
    if let Some(operating) = operating {
        time["operating"] = operating.into();
        time["operating_reset_at"] = (now + RESET_S).into();
    }
    time
}

/// Seconds until a part of a method's time comes back.
pub const RESET_S: i64 = 90;

/// 503: too many requests; 429: a method has worked for too long.
pub fn limit(status: u16, now: i64) -> Reply {
    let mut body = if status == 503 {
        json!({"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"})
    } else {
        json!({"error": "OPERATION_TIME_LIMIT", "error_description": "Method is blocked due to operation time limit."})
    };
    if status == 429 {
        body["time"] = time(now, Some(481.0));
    }
    Reply::json(status, body.to_string())
}

/// An error of the server, or of the credentials.
pub fn failure(status: u16) -> Reply {
    let (code, text) = match status {
        401 => ("expired_token", "The access token provided has expired."),
        403 => ("ACCESS_DENIED", "Access denied!"),
        _ => ("INTERNAL_SERVER_ERROR", "Internal server error"),
    };
    Refusal { status, code, text: text.into() }.reply()
}

/// What a request is about, for faults that are to meet one list: its method and object, also inside of a batch.
pub fn about(path: &str, query: &str, body: &[u8]) -> String {
    let params: Value = serde_json::from_slice(body).unwrap_or_else(|_| pairs(query).into_iter().collect());
    if let Some(first) = params["cmd"].as_object().and_then(|c| c.values().next()).and_then(Value::as_str) {
        return first.to_owned();
    }
    let method = path.rsplit('/').next().unwrap_or_default();
    format!("{method}?entityTypeId={}&start={}", params["entityTypeId"], params["start"])
}
