//! Google: sign-in of service accounts and users, the Data API of Analytics 4, and the export of its events to
//! BigQuery.

pub mod auth;
pub mod bigquery;
pub mod events;
pub mod report;

use serde_json::{Value, json};

use crate::call::Call;
use crate::reply::Reply;

pub const PROPERTY: u64 = 412_000_777;

#[derive(Clone, Debug)]
pub struct Options {
    /// Days back from today whose numbers are not complete yet.
    pub young_days: i64,
    /// Combinations of a day beyond which the rest is rolled up into `(other)`; 0: never.
    pub cardinality: usize,
    /// Rows of fewer users are withheld; 0: never.
    pub threshold: u64,
    /// One of so many events is read for a report; 1: all.
    pub sample: u64,
    /// Tokens of the project an hour, and of the property a day.
    pub hour_tokens: i64,
    pub day_tokens: i64,
    /// Metrics this account must not see.
    pub hidden: Vec<&'static str>,
    /// A signed claim may be so many seconds ahead of the company's clock.
    pub skew_s: i64,
    pub export: bigquery::Options,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            young_days: 0,
            cardinality: 0,
            threshold: 0,
            sample: 1,
            hour_tokens: 14_000,
            day_tokens: 200_000,
            hidden: Vec::new(),
            skew_s: 300,
            export: bigquery::Options::default(),
        }
    }
}

pub struct Google {
    pub options: Options,
    pub auth: auth::Auth,
    spent: report::Spent,
    jobs: bigquery::Jobs,
}

/// Google's error object, with BigQuery's reason where there is one.
pub fn refuse(status: u16, name: &str, reason: &str, message: &str) -> Reply {
    let mut error = json!({"code": status, "message": message, "status": name});
    if !reason.is_empty() {
        error["errors"] = json!([{"message": message, "domain": "global", "reason": reason}]);
    }
    Reply::json(status, pretty(&json!({ "error": error })))
}

/// Google writes its answers over many lines.
pub fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// What a status without more says.
pub fn failure(path: &str, status: u16) -> Reply {
    let (name, reason) = match status {
        400 => ("INVALID_ARGUMENT", "invalid"),
        401 => ("UNAUTHENTICATED", "authError"),
        403 => ("PERMISSION_DENIED", "accessDenied"),
        404 => ("NOT_FOUND", "notFound"),
        429 => ("RESOURCE_EXHAUSTED", "rateLimitExceeded"),
        503 => ("UNAVAILABLE", "backendError"),
        _ => ("INTERNAL", "internalError"),
    };
    let message = if status == 429 {
        "Exhausted concurrent requests quota."
    } else {
        "Error encountered during execution."
    };
    refuse(status, name, if path.starts_with("/bigquery/") { reason } else { "" }, message)
}

impl Google {
    pub fn new(seed: u64, options: Options) -> Google {
        Google {
            auth: auth::Auth::new(seed, options.skew_s),
            options,
            spent: report::Spent::default(),
            jobs: bigquery::Jobs::default(),
        }
    }

    /// How many queries ran: each is billed.
    pub fn queries(&self) -> usize {
        self.jobs.count()
    }

    pub fn answer(&self, call: &Call) -> Reply {
        if call.path == "/token" {
            return self.auth.grant(call);
        }
        if call.path == "/o/oauth2/v2/auth" {
            return self.auth.consents.ask(call.query, auth::CLIENT_ID, true, &[]);
        }
        let scope = if call.path.starts_with("/bigquery/") { auth::BIGQUERY } else { auth::ANALYTICS };
        if let Err(reply) = self.auth.allows(call, scope) {
            return reply;
        }
        if call.path.starts_with("/bigquery/v2/") {
            return bigquery::answer(&self.options.export, &self.jobs, call);
        }
        report::answer(&self.options, &self.spent, call)
    }
}
