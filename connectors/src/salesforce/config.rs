//! Options of a `salesforce` source.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret};

use super::access::Grant;
use super::id;
use super::objects::{MARKS, Object, built_in};
use crate::checks;
use crate::jwt::SigningKey;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The org's id, 15 or 18 symbols that begin with `00D` (Setup, Company Information). Ids of records begin with
    /// it, and credentials of another org are refused.
    pub org_id: String,
    /// Consumer key of the external client app.
    pub client_id: String,
    /// Consumer secret of the app: for `refresh_token`, and alone for the client credentials of the app.
    pub client_secret: Option<Secret>,
    /// A user's refresh token. Only the first run uses it where the app rotates them.
    pub refresh_token: Option<Secret>,
    /// A user lets the app in by `throughline auth`: the refresh token is then kept, and not written here.
    #[serde(default)]
    pub consent: bool,
    /// The user in whose name the app signs in with `private_key`.
    pub username: Option<String>,
    /// Private key (PEM, PKCS #8) of the certificate in the app: `{ file = "key.pem" }`.
    pub private_key: Option<Secret>,
    /// Where to sign in: `https://test.salesforce.com` for sandboxes, or the org's own `https://NAME.my.salesforce.com`,
    /// which client credentials need. Default `https://login.salesforce.com`.
    #[serde(default = "login")]
    pub login_url: String,
    /// Whom a signed claim is for, where that is not `login_url`.
    pub audience: Option<String>,
    /// Version of the API. Default `61.0`.
    #[serde(default = "version")]
    pub api_version: String,
    /// Read nothing that was last changed before this day, `YYYY-MM-DD`. Default: everything.
    pub start_on: Option<String>,
    /// Further objects to read, by their API names, e.g. `["Task", "Visit__c"]`: each is a stream of that name.
    #[serde(default)]
    pub objects: Vec<String>,
    /// API name of the field of opportunities and leads with the visit token. Default `TL_Token__c`.
    #[serde(default = "token_field")]
    pub token_field: String,
    /// The same for the source. Default `utm_source__c`.
    #[serde(default = "source_field")]
    pub source_field: String,
    /// The same for the medium. Default `utm_medium__c`.
    #[serde(default = "medium_field")]
    pub medium_field: String,
    /// The same for the campaign. Default `utm_campaign__c`.
    #[serde(default = "campaign_field")]
    pub campaign_field: String,
    /// The same for the reason of a loss. Default `Loss_Reason__c`.
    #[serde(default = "lost_reason_field")]
    pub lost_reason_field: String,
    /// Statuses of leads that are lost. Default `["Closed - Not Converted", "Unqualified"]`.
    #[serde(default = "lost_statuses")]
    pub lost_lead_statuses: Vec<String>,
    /// Currency (ISO 4217) of amounts that tell none, when the org's own is not known or not the right one.
    pub currency: Option<String>,
    /// IANA name of the zone in which close dates are days. Default `UTC`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Country of phone numbers written without one, two letters. Default: such numbers are not used.
    #[serde(default)]
    pub phone_region: String,
    /// Minutes before the last read's end that are read again: what a long transaction changed shows up late.
    /// Default 10.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 1440))]
    pub overlap_minutes: u32,
    /// Records from which on a read goes through a bulk job. Default 10000.
    #[serde(default = "ten_thousand")]
    #[schemars(range(min = 1))]
    pub bulk_from: u64,
    /// Records of one answer of a query. Default 2000.
    #[serde(default = "two_thousand")]
    #[schemars(range(min = 200, max = 2000))]
    pub page_rows: u64,
    /// Records of one piece of a bulk job's results. Default 50000.
    #[serde(default = "fifty_thousand")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub bulk_rows: u64,
    /// Percent of the org's daily API requests, all programs together, beyond which nothing is asked any more.
    /// Default 80.
    #[serde(default = "eighty")]
    #[schemars(range(min = 1, max = 100))]
    pub most_daily_percent: u32,
    /// Percent of the org's daily API requests that one run of this source sends at most. Default 25.
    #[serde(default = "twenty_five")]
    #[schemars(range(min = 1, max = 100))]
    pub most_run_percent: u32,
}

fn login() -> String {
    "https://login.salesforce.com".into()
}
fn version() -> String {
    "61.0".into()
}
fn token_field() -> String {
    "TL_Token__c".into()
}
fn source_field() -> String {
    "utm_source__c".into()
}
fn medium_field() -> String {
    "utm_medium__c".into()
}
fn campaign_field() -> String {
    "utm_campaign__c".into()
}
fn lost_reason_field() -> String {
    "Loss_Reason__c".into()
}
fn lost_statuses() -> Vec<String> {
    vec!["Closed - Not Converted".into(), "Unqualified".into()]
}
fn utc() -> String {
    "UTC".into()
}
fn ten() -> u32 {
    10
}
fn ten_thousand() -> u64 {
    10_000
}
fn two_thousand() -> u64 {
    2_000
}
fn fifty_thousand() -> u64 {
    50_000
}
fn eighty() -> u32 {
    80
}
fn twenty_five() -> u32 {
    25
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// 18 symbols.
    pub org: String,
    pub client_id: String,
    pub grant: Grant,
    pub login_url: String,
    pub audience: String,
    /// E.g. `/services/data/v61.0`.
    pub root: String,
    pub start_on: Option<NaiveDate>,
    pub objects: Vec<Object>,
    /// Fields behind [`MARKS`], in their order.
    pub marks: [String; MARKS.len()],
    pub lost_lead_statuses: Vec<String>,
    pub currency: Option<String>,
    pub time_zone: String,
    pub phone_region: String,
    pub overlap_ms: i64,
    pub bulk_from: u64,
    pub page_rows: u64,
    pub bulk_rows: u64,
    pub most_daily_percent: u32,
    pub most_run_percent: u32,
}

impl Settings {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, pointer: &str| {
            errors.push(option_error(message, pointer, PointerAt::Value));
        };
        let org = id::long(&config.org_id).filter(|id| id.starts_with("00D"));
        if org.is_none() {
            wrong(
                format!("{:?} is no org's id; it is under Setup, Company Information", config.org_id),
                "/org_id",
            );
        }
        let grant = grant(&config, &mut wrong);
        for (address, pointer) in
            [(Some(&config.login_url), "/login_url"), (config.audience.as_ref(), "/audience")]
        {
            if let Some(address) = address.filter(|a| !is_address(a)) {
                wrong(format!("{address:?} is no https address"), pointer);
            }
        }
        let parts: Vec<&str> = config.api_version.split('.').collect();
        let number = |p: &&str| !p.is_empty() && p.len() <= 3 && p.bytes().all(|b| b.is_ascii_digit());
        if parts.len() != 2 || !parts.iter().all(number) {
            wrong(format!("{:?} is no version; write e.g. \"61.0\"", config.api_version), "/api_version");
        }
        let start_on = config.start_on.as_deref().map(|day| checks::day(day, "/start_on", &mut wrong));
        checks::within(
            &[
                (u64::from(config.overlap_minutes), 1..=1440, "/overlap_minutes"),
                (config.bulk_from, 1..=i64::MAX as u64, "/bulk_from"),
                (config.page_rows, 200..=2000, "/page_rows"),
                (config.bulk_rows, 1..=1_000_000, "/bulk_rows"),
                (u64::from(config.most_daily_percent), 1..=100, "/most_daily_percent"),
                (u64::from(config.most_run_percent), 1..=100, "/most_run_percent"),
            ],
            &mut wrong,
        );
        let marks = [
            config.token_field,
            config.source_field,
            config.medium_field,
            config.campaign_field,
            config.lost_reason_field,
        ];
        let options = ["token", "source", "medium", "campaign", "lost_reason"];
        for (field, option) in marks.iter().zip(options) {
            if !is_name(field) {
                wrong(
                    format!("{field:?} is no field's API name, such as TL_Token__c"),
                    &format!("/{option}_field"),
                );
            }
        }
        let mut objects = built_in();
        for (n, name) in config.objects.iter().enumerate() {
            let pointer = format!("/objects/{n}");
            if !is_name(name) {
                wrong(format!("{name:?} is no object's API name, such as Task or Visit__c"), &pointer);
            } else if let Some(there) = objects.iter().find(|o| o.name.eq_ignore_ascii_case(name)) {
                wrong(format!("{name} is read already, as the stream {}", there.stream), &pointer);
            } else {
                objects.push(Object::other(name));
            }
        }
        let code = |c: &String| c.len() == 3 && c.bytes().all(|b| b.is_ascii_uppercase());
        if let Some(currency) = config.currency.as_ref().filter(|c| !code(c)) {
            wrong(format!("{currency:?} is no currency; write e.g. \"EUR\""), "/currency");
        }
        checks::time_zone(&config.time_zone, "/time_zone", &mut wrong);
        for (n, status) in config.lost_lead_statuses.iter().enumerate() {
            if status.contains('|') {
                wrong("a status with | in it cannot be told".into(), &format!("/lost_lead_statuses/{n}"));
            }
        }
        let (Some(org), Some(grant)) = (org, grant) else { return Err(errors) };
        if !errors.is_empty() {
            return Err(errors);
        }
        let login_url = config.login_url.trim_end_matches('/').to_owned();
        Ok(Self {
            org,
            client_id: config.client_id,
            grant,
            audience: config.audience.unwrap_or_else(|| login_url.clone()),
            login_url,
            root: format!("/services/data/v{}", config.api_version),
            start_on,
            objects,
            marks,
            lost_lead_statuses: config.lost_lead_statuses,
            currency: config.currency,
            time_zone: config.time_zone,
            phone_region: config.phone_region,
            overlap_ms: i64::from(config.overlap_minutes) * 60_000,
            bulk_from: config.bulk_from,
            page_rows: config.page_rows,
            bulk_rows: config.bulk_rows,
            most_daily_percent: config.most_daily_percent,
            most_run_percent: config.most_run_percent,
        })
    }

    pub fn object(&self, stream: &str) -> Option<&Object> {
        self.objects.iter().find(|o| o.stream == stream)
    }
}

/// Which of the ways to sign in is meant.
fn grant(config: &Config, wrong: &mut dyn FnMut(String, &str)) -> Option<Grant> {
    if config.consent {
        let other = [
            ("/refresh_token", config.refresh_token.is_some()),
            ("/private_key", config.private_key.is_some()),
            ("/username", config.username.is_some()),
        ];
        if let Some((place, _)) = other.iter().find(|(_, given)| *given) {
            wrong("consent signs in already: leave out one of the two ways".into(), place);
            return None;
        }
        return Some(Grant::Consent { secret: config.client_secret.clone() });
    }
    match (&config.private_key, &config.username, &config.refresh_token, &config.client_secret) {
        (Some(_), _, Some(_), _) => {
            wrong("private_key signs in already: leave out one of the two ways".into(), "/refresh_token");
            None
        }
        (Some(key), Some(username), None, _) => match SigningKey::from_pem(key.expose()) {
            Some(key) => Some(Grant::Signed { username: username.clone(), key }),
            // A pipeline that is only looked at has no secrets.
            None if !key.expose().contains("-----BEGIN") => Some(Grant::Unreadable),
            None => {
                wrong(
                    "private_key is no RSA key in PKCS #8 (-----BEGIN PRIVATE KEY-----); `openssl pkcs8 -topk8 \
                     -nocrypt` turns others into one"
                        .into(),
                    "/private_key",
                );
                None
            }
        },
        (Some(_), None, ..) => {
            wrong("username is needed too: in whose name the key signs in".into(), "");
            None
        }
        (None, Some(_), ..) => {
            wrong("username goes with private_key, which is missing".into(), "/username");
            None
        }
        (None, None, Some(token), secret) => {
            Some(Grant::Refresh { token: token.clone(), secret: secret.clone() })
        }
        (None, None, None, Some(secret)) => Some(Grant::Client { secret: secret.clone() }),
        (None, None, None, None) => {
            wrong(
                "a way to sign in is needed: refresh_token, or consent, or username and private_key, or client_secret alone"
                    .into(),
                "",
            );
            None
        }
    }
}

/// Goes into queries and addresses as it is.
fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 80
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Whether secrets may go there.
pub(crate) fn is_address(address: &str) -> bool {
    url::Url::parse(address).is_ok_and(|u| {
        let loopback = matches!(u.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        (u.scheme() == "https" && u.host_str().is_some()) || (u.scheme() == "http" && loopback)
    })
}
