//! The vocabulary: what may stand in a manifest. docs/manifest.md is its reference with examples.
//!
//! Keys that take a template say so; the placeholders are in [`super::template`]. Paths are those of
//! [`Path`](crate::records::Path). Durations are written `30s`, `10m`, `2h`, `7d`, `500ms`.

mod auth;
mod paging;
mod request;
mod stream;
mod windows;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

pub use auth::{AuthKind, AuthSpec, Authorize, Oauth2};
pub use paging::{Chain, Paging, PagingKind};
pub use request::{Action, Encoding, ErrorRule, LimitApart, Limits, RequestOf};
pub use stream::{Count, Parent, Stream};
pub use windows::{Days, Incremental, OrderOf};

/// A REST vendor in one file.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The word users write after `connector =`.
    pub name: String,
    /// One line for lists.
    #[serde(default)]
    pub summary: String,
    /// Template of what every relative `path` starts at, e.g. `https://{subdomain}.example.com`. Users
    /// override it with the option `base_url`.
    pub base_url: String,
    /// What users write in `[[source]]`, by name.
    #[serde(default)]
    pub options: BTreeMap<String, OptionSpec>,
    /// Ways to sign in; the first whose `when` is given is used.
    #[serde(default)]
    pub auth: Vec<AuthSpec>,
    #[serde(default)]
    pub limits: Limits,
    /// Values the vendor is asked for once, before the first request that uses them: `{lookup.<name>}`.
    #[serde(default)]
    pub lookups: BTreeMap<String, LookupSpec>,
    /// Sent with every request; values are templates.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What answers mean, first match counts. For answers without a rule: 2xx is good; 408, 425, 429
    /// and 5xx are tried again; 401 renews an `oauth2` token once; everything else fails.
    #[serde(default)]
    pub errors: Vec<ErrorRule>,
    /// What `throughline check` asks.
    pub check: Option<Check>,
    pub streams: Vec<Stream>,
    /// SELECTs that fill canonical tables.
    #[serde(default)]
    pub mappings: Vec<MappingSpec>,
    /// Further `$name` values for the SELECTs, as templates. Every option that is no secret is
    /// `$<option>` already.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OptionType {
    Text,
    Int,
    Bool,
    /// A list of texts.
    List,
    /// `{ env = ".." }` or `{ file = ".." }`; never printed.
    Secret,
    /// `YYYY-MM-DD`
    Date,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionSpec {
    #[serde(rename = "type")]
    pub kind: OptionType,
    pub doc: String,
    /// Used when the user gives none. Without it, see `required`.
    pub default: Option<Value>,
    /// Whether it must be given. What an unset option stands in is left out of requests.
    #[serde(default)]
    pub required: bool,
    /// The only values allowed.
    #[serde(default)]
    pub values: Vec<String>,
    /// For the documentation.
    pub example: Option<Value>,
}

/// A list that only the vendor knows, such as the names of an object's fields.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupSpec {
    pub request: RequestOf,
    /// Path of the values, e.g. `results[*].name`. None there is an error.
    pub path: String,
}

/// A cheap request that succeeds when credentials and rights suffice.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub request: RequestOf,
    /// What to show of the answer: label and path.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappingSpec {
    /// The canonical table.
    pub into: String,
    /// Streams the SELECT reads. It runs when the first of them is read.
    pub from: Vec<String>,
    /// The file with the SELECT, from the manifest's folder.
    pub sql: String,
}
