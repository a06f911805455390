//! The vocabulary: what may stand in a manifest. docs/manifest.md is its reference with examples.
//!
//! Keys that take a template say so; the placeholders are in [`super::template`]. Paths are those of
//! [`Path`](crate::records::Path). Durations are written `30s`, `10m`, `2h`, `7d`, `500ms`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use throughline_core::ColumnType;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AuthKind {
    /// `Authorization: Bearer <token>`
    Bearer,
    /// `<name>: <token>`
    Header,
    /// `?<name>=<token>`, never in logs or checkpoints
    Query,
    /// `Authorization: Basic` of `user` and `password`
    Basic,
    /// An access token bought with a refresh token, kept in the token store
    Oauth2,
    /// The address itself is the secret (an incoming webhook): `base_url`
    Url,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuthSpec {
    pub kind: AuthKind,
    /// An option: this way is used when it is given. Without `when`, always.
    pub when: Option<String>,
    /// Template of the base URL for those who sign in this way, in place of the manifest's.
    pub base_url: Option<String>,
    /// Template of the token, for `bearer`, `header` and `query`.
    pub token: Option<String>,
    /// Name of the header or query parameter.
    pub name: Option<String>,
    /// Template of the user name, for `basic`.
    pub user: Option<String>,
    /// Template of the password, for `basic`.
    pub password: Option<String>,
    pub oauth2: Option<Oauth2>,
}

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

/// How an access token is bought and kept. The pair in the token store is renewed by one process at a
/// time, at 80 % of its life, and saved durably before its first use.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oauth2 {
    /// Template.
    pub token_url: String,
    #[serde(default = "post")]
    pub method: String,
    #[serde(default)]
    pub encoding: Encoding,
    /// What a renewal sends. `{refresh_token}` is the stored one, or at first the option of that name.
    pub refresh: Map<String, Value>,
    /// What buys the first pair from an authorisation code, and the option that holds the code.
    pub first: Option<Map<String, Value>>,
    pub code: Option<String>,
    /// How a person lets us in through a browser: `throughline auth`. Needs `first`.
    pub authorize: Option<Authorize>,
    /// Buying twice gives two good tokens: a request whose answer was lost may be sent again.
    #[serde(default)]
    pub repeatable: bool,
    /// Template of the name in the token store: vendor, account and application.
    pub account: String,
    /// Paths in the answer.
    #[serde(default = "access_token")]
    pub access_token: String,
    #[serde(default = "refresh_token")]
    pub refresh_token: String,
    /// What was granted, words between spaces or commas.
    #[serde(default = "scope")]
    pub scope: String,
    /// Seconds the access token lives.
    #[serde(default = "expires_in")]
    pub expires_in: String,
    /// Its life where the answer does not say it. Without either it is used until it is refused.
    pub life: Option<String>,
    /// Further values of the answer to keep, as name and path: `{token.<name>}` in templates.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// The header and the word before the token.
    #[serde(default = "authorization")]
    pub header: String,
    #[serde(default = "bearer")]
    pub scheme: String,
    /// The token is not sent in a header but as this member of a JSON body; of a request without one, as
    /// this query parameter.
    pub param: Option<String>,
}

/// The way through a browser. Here and in `first`, `{redirect_uri}` is the address that the browser comes back to
/// (the option of that name where it is given), `{state}`, `{challenge}` and `{verifier}` are made anew each time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorize {
    /// Template of the address that the browser is sent to.
    pub url: String,
    /// An option that takes its place where it is given: other clouds, proxies.
    pub option: Option<String>,
    /// Its parameters, templates. `{state}` must be among them; with `{challenge}` (SHA-256, PKCE), `first` sends
    /// `{verifier}`.
    pub query: Map<String, Value>,
    /// Host of the address on this machine that it comes back to: `127.0.0.1`, or `localhost` for vendors that take
    /// no IP address.
    #[serde(default = "loopback")]
    pub host: String,
    /// Its port. Without one any that is free, for vendors that do not compare it.
    pub port: Option<u16>,
    /// Its path.
    #[serde(default = "callback")]
    pub path: String,
    /// What must come back with the code, as parameter and template: a consent for another account is refused.
    #[serde(default)]
    pub expect: BTreeMap<String, String>,
    /// What must be granted, templates: compared with the words of the answer's `scope`, where it has one.
    #[serde(default)]
    pub needs: Vec<String>,
    /// What to do at the vendor's before, for people.
    pub note: Option<String>,
}

fn loopback() -> String {
    "127.0.0.1".into()
}
fn callback() -> String {
    "/throughline".into()
}
fn post() -> String {
    "POST".into()
}
fn access_token() -> String {
    "access_token".into()
}
fn refresh_token() -> String {
    "refresh_token".into()
}
fn scope() -> String {
    "scope".into()
}
fn expires_in() -> String {
    "expires_in".into()
}
fn authorization() -> String {
    "Authorization".into()
}
fn bearer() -> String {
    "Bearer".into()
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

/// A list that only the vendor knows, such as the names of an object's fields.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LookupSpec {
    pub request: RequestOf,
    /// Path of the values, e.g. `results[*].name`. None there is an error.
    pub path: String,
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

/// A cheap request that succeeds when credentials and rights suffice.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub request: RequestOf,
    /// What to show of the answer: label and path.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
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

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stream {
    pub name: String,
    #[serde(default)]
    pub doc: String,
    pub request: RequestOf,
    /// Path of the list of records; `.` is the whole answer.
    pub records: String,
    /// `records` leads to one object, which is the only record.
    #[serde(default)]
    pub single: bool,
    /// An answer without the path of `records` has none. Else it is an error.
    #[serde(default)]
    pub may_be_missing: bool,
    /// With `[*]` in `records`: members of the enclosing element that its records get.
    #[serde(default)]
    pub carry: Vec<String>,
    /// Columns taken from inside of a record: name and path, e.g. `deal_id = "from.id"`. The path is a
    /// template of options: so a column can be the one that a user names.
    #[serde(default)]
    pub lift: BTreeMap<String, String>,
    /// Only walked by other streams, as their parent: users never see it.
    #[serde(default)]
    pub hidden: bool,
    /// Columns that identify a record.
    #[serde(default)]
    pub key: Vec<String>,
    /// Columns the SELECTs rely on, and their types. Others land as they come.
    #[serde(default)]
    pub columns: BTreeMap<String, ColumnType>,
    #[serde(default)]
    pub paging: Paging,
    /// Reads only what changed.
    pub incremental: Option<Incremental>,
    /// Reads a report by days and replaces whole days.
    pub days: Option<Days>,
    /// One read per record of another stream.
    pub parent: Option<Parent>,
    /// The vendor's own number of records.
    pub count: Option<Count>,
    /// Records do not move between pages while they are read: no second looks.
    #[serde(default)]
    pub stable: bool,
    /// The vendor tells of deleted records (in a column or a stream).
    #[serde(default)]
    pub deletes: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PagingKind {
    /// Everything is in one answer.
    #[default]
    None,
    /// `{page}` counts pages.
    Page,
    /// `{offset}` counts records.
    Offset,
    /// `{cursor}` is taken from each answer.
    Cursor,
    /// Each answer holds the URL of the next.
    Next,
    /// `{last}` is the largest key so far.
    Keyset,
}

/// How one answer leads to the next.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Paging {
    pub kind: PagingKind,
    /// Records per page: `{size}`.
    pub size: Option<u64>,
    /// Number of the first page, default 1; for `offset` of the first record, default 0.
    pub first: Option<u64>,
    /// `cursor`, `next`: where it is in the body. Nothing there (or null, false, empty) ends the stream.
    pub path: Option<String>,
    /// `cursor`, `next`: where it is in the headers; `link` is read as a Link header with rel=next.
    pub header: Option<String>,
    /// `page`, `offset`: a path that holds something (not null, false, empty) while there are more.
    pub more: Option<String>,
    /// `offset`: path of the number of records in all.
    pub total: Option<String>,
    /// `keyset`: path of the number of records from `{last}` on. A page that has them all is the last.
    pub left: Option<String>,
    /// A page with fewer than `size` records is the last one. Else only `more`, `total` or an empty page
    /// end the stream, because some vendors send short pages in the middle.
    pub short_page_ends: bool,
    /// `keyset`: the column, and what comes before all its values.
    pub column: Option<String>,
    pub start: Option<String>,
    /// `keyset`: the next run goes on behind the last key of this one.
    pub across_runs: bool,
    /// `next`: query parameters to take out of the URL because they hold secrets.
    pub strip: Vec<String>,
    /// A total of records in the body, for the progress bar.
    pub progress: Option<String>,
    /// `keyset`: many pages in one request.
    pub chain: Option<Chain>,
}

/// Commands of one request that are carried out one after the other, each a page: `{chain}` in the request is
/// an object of them, and each begins behind the last record of the one before. They grow from one to `pages`
/// as pages come back full, so that a short list costs little. What stands behind the first page that is not
/// full is no answer to anything: it is passed over, errors too.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chain {
    /// The most commands in a request.
    pub pages: u32,
    /// Template of a command; values are percent-encoded. `{last}` is the key to begin behind.
    pub command: String,
    /// Template of `{last}` in every command but the first: how the vendor names the last key of the command
    /// `{before}`.
    pub last: String,
    /// Path of the object with the answer to each command, by its name. `records` is a path in such an answer.
    pub answers: String,
    /// Path of the object with the refusals, by the names of commands. The rules of `errors` judge each as if
    /// it had come alone.
    pub refusals: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OrderOf {
    Asc,
}

/// Windows over the time a record was changed (or made). `{from}` and `{to}` are the window's bounds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incremental {
    /// The column with the time the windows are over.
    pub cursor: String,
    /// How times are written: `unix`, `unix_ms`, `iso`, or a pattern such as `%Y-%m-%d %H:%M:%S`.
    pub format: String,
    /// Template of the zone for formats without an offset. Default UTC.
    pub zone: Option<String>,
    /// The vendor's upper bound belongs to the window: `{to}` is one step earlier.
    #[serde(default)]
    pub to_inclusive: bool,
    /// The vendor's lower bound does not belong to the window: `{from}` is one step earlier.
    #[serde(default)]
    pub from_exclusive: bool,
    /// The smallest difference of two times. Default by `format`: 1s, for `unix_ms` and `iso` 1ms.
    pub resolution: Option<String>,
    /// Read again before the last run's end, for changes that appear late.
    #[serde(default = "zero")]
    pub overlap: String,
    /// The window ends this long before now, for the same reason.
    #[serde(default = "zero")]
    pub lag: String,
    /// The longest window to ask for.
    pub step: Option<String>,
    /// A window whose first page says (`left` or `total` of the paging) that there are so many records or
    /// more is halved, until there are fewer or it cannot be shorter. For lists that end at some number.
    pub split: Option<u64>,
    /// Template of where the first run begins (`YYYY-MM-DD` or a whole instant). Without it `{from}` has
    /// no value then.
    pub start: Option<String>,
    /// The records come ordered by `cursor`. Pages then begin at the last time seen, so that a
    /// record that moves while pages are turned moves nothing else out of sight.
    pub order: Option<OrderOf>,
}

fn zero() -> String {
    "0s".into()
}

/// A report restated for some days. `{from}` and `{to}` are the first and the last day of the window;
/// its rows replace all rows of these days.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Days {
    /// The column with the day.
    pub column: String,
    /// How days are written. Default `%Y-%m-%d`.
    #[serde(default = "day")]
    pub format: String,
    /// Template of the zone the vendor's days are in. Default UTC.
    pub zone: Option<String>,
    /// Days before the last one to read again.
    #[serde(default)]
    pub again: u32,
    /// Days asked for at once.
    #[serde(default = "one")]
    pub step: u32,
    /// Template of the first day of the first run.
    pub start: String,
    /// Whether the day that is not over is read too.
    #[serde(default)]
    pub today: bool,
}

fn day() -> String {
    "%Y-%m-%d".into()
}
fn one() -> u32 {
    1
}

/// The stream whose records are walked: `{parent.<column>}` is a value of the record.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parent {
    pub stream: String,
    /// Columns of the parent to use; the first one is its key.
    pub columns: Vec<String>,
    /// So many parents in one request: `{parent.ids}` is the list of their first columns.
    pub batch: Option<u32>,
    /// Columns every record gets from its parent: new name and parent's column. Not with `batch`.
    #[serde(default)]
    pub add: BTreeMap<String, String>,
    /// The column with the key of the parent that a record answers. A parent of a batch that no record
    /// answers then gets one with this column alone: it has nothing now, whatever it had before.
    pub answers: Option<String>,
}

/// Compared with what was read: less means that something is missing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// The number in the answer.
    pub path: String,
    /// The vendor counts no further: such a number says nothing.
    pub at_most: Option<u64>,
    /// A request of its own. Without it, the first page of each window holds the number.
    pub request: Option<RequestOf>,
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
