//! Who asks: the ways to sign in, how tokens are bought, and the way through a browser.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::request::Encoding;

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
