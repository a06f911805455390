//! One request and what its answers mean: where it goes, how fast, and the rules for refusals.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`
    Form,
    /// In the URL.
    Query,
}

/// A request: all values are templates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestOf {
    /// Behind `base_url`, or a whole URL.
    pub path: String,
    #[serde(default = "get")]
    pub method: String,
    /// Query parameters. One whose template has no value is left out; a list repeats it.
    #[serde(default)]
    pub query: Map<String, Value>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Members whose template has no value are left out; a text that is one placeholder alone
    /// becomes a value of the placeholder's type.
    pub body: Option<Value>,
    #[serde(default)]
    pub encoding: Encoding,
    /// A POST that only reads may be sent again when the answer was lost. Default: true.
    #[serde(default = "yes")]
    pub repeatable: bool,
    /// The limit of its own (`limits.apart`) that it counts against. Default: the account's.
    pub limit: Option<String>,
}

fn get() -> String {
    "GET".into()
}
fn yes() -> bool {
    true
}

/// The limits of one account of the vendor, shared by everything in the process that reads it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    pub per_second: f64,
    /// Requests that may go at once after a rest.
    pub burst: u32,
    /// Requests under way at the same time.
    pub parallel: u32,
    /// Template of the account's name. Default: the manifest's name and the host.
    pub account: Option<String>,
    /// For one attempt.
    pub timeout: String,
    /// Attempts in all.
    pub attempts: u32,
    /// The longest answer, in bytes.
    pub response_bytes: u64,
    /// Limits that some requests have of their own (a search, reports), by the name they stand under in
    /// the request's `limit`.
    pub apart: BTreeMap<String, LimitApart>,
}

/// A limit of its own: what counts against it does not count against the account's.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitApart {
    pub per_second: f64,
    /// Requests that may go at once after a rest.
    #[serde(default = "one")]
    pub burst: u32,
    /// Requests under way at the same time.
    #[serde(default = "one")]
    pub parallel: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_second: 5.0,
            burst: 5,
            parallel: 4,
            account: None,
            timeout: "60s".into(),
            attempts: 6,
            response_bytes: 64 << 20,
            apart: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A good answer in spite of its status.
    Accept,
    /// A good answer without records.
    Empty,
    /// A good answer; the hint is told in the run's report.
    Tell,
    /// A good answer; requests to the same path wait before they are sent again.
    Pause,
    /// Try this request again.
    Retry,
    /// We are too fast: the whole account waits.
    SlowDown,
    /// Renew the token once, then ask again.
    Renew,
    /// Credentials or rights do not suffice.
    Auth,
    NotFound,
    /// What was asked for is wrong: a person must edit the pipeline.
    Config,
    /// Fails.
    Fail,
    /// Fails, and nothing is asked of this account again in this run.
    Stop,
    /// The cursor is void: read the window again from its beginning.
    Restart,
}

/// One rule: all conditions that are given must hold.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// HTTP statuses. Empty: any.
    #[serde(default)]
    pub status: Vec<u16>,
    /// Path in the body that must be there (and not null; with `[*]`, one is enough) ...
    pub path: Option<String>,
    /// ... and hold one of these, as text.
    #[serde(default)]
    pub is: Vec<String>,
    /// ... or anything but these: with `[*]` in the path, one such value is enough.
    #[serde(default)]
    pub is_not: Vec<String>,
    /// ... or a number that is larger.
    pub more_than: Option<f64>,
    /// The body contains this.
    pub contains: Option<String>,
    /// An earlier answer to this source had this status.
    pub after_status: Option<u16>,
    pub action: Action,
    /// How long to wait, for `retry`, `slow_down` and `pause`. First `wait_header`, then `wait_path`, then this,
    /// then the client's own growing pauses.
    pub wait: Option<String>,
    /// Response header with seconds to wait.
    pub wait_header: Option<String>,
    /// Path in the body with seconds to wait, or with `wait_until = true` the unix second to wait for.
    pub wait_path: Option<String>,
    #[serde(default)]
    pub wait_until: bool,
    /// Path in the body with the vendor's message, shown to the user.
    pub message_path: Option<String>,
    /// What to do about it, shown to the user.
    pub hint: Option<String>,
}

fn one() -> u32 {
    1
}
