//! Options of a `ga4_bigquery` source.

use chrono::NaiveDate;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret};

use super::fields;
use crate::checks;
use crate::google::{Credentials, Given};

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Google Cloud project in which queries run, and which pays for them.
    pub project: String,
    /// Project of the export, where it is another one.
    pub data_project: Option<String>,
    /// Dataset of the export, `analytics_` and the property's number.
    pub dataset: String,
    /// Key file (JSON) of a service account: `{ file = "key.json" }`.
    pub service_account: Option<Secret>,
    /// In place of a service account: the OAuth client through which a user signed in.
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
    /// What a sign-in gave elsewhere, for the scope `bigquery`. Without it `throughline auth` signs in.
    pub refresh_token: Option<Secret>,
    /// First day to read, `YYYY-MM-DD`, in the property's time zone.
    pub start_on: String,
    /// Days back from the newest one read whose tables are looked at again in every run: Google adds late events for
    /// three days. Only tables that changed are read. Default 5.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 60))]
    pub restate_days: u32,
    /// Whether to read, for days without a daily table, the one that events stream into. Every run then reads it
    /// again. Default false.
    #[serde(default)]
    pub intraday: bool,
    /// Event parameter, user property or parameter of the page's address that holds the visit token. Default
    /// `tl_token`.
    #[serde(default = "tl_token")]
    pub token_param: String,
    /// Further event parameters that get a column of their own, `param_NAME`.
    #[serde(default)]
    pub params: Vec<String>,
    /// Further columns of the export, e.g. `["ecommerce", "items"]`; they cost what they weigh.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Bytes that the query of one day may be billed at most; beyond it the query fails and costs nothing. Default
    /// 21474836480 (20 GiB).
    #[serde(default = "twenty_gib")]
    #[schemars(range(min = 10_485_760))]
    pub most_billed_bytes: u64,
    /// Rows of one answer; Google cuts it at 10 MB in any case. Default 10000.
    #[serde(default = "ten_thousand")]
    #[schemars(range(min = 1, max = 100_000))]
    pub page_rows: u64,
    /// Where the dataset is, e.g. `EU`. Without it Google is asked.
    pub location: Option<String>,
    /// IANA name of the property's time zone, for `--from` and `--to` alone. Default `UTC`.
    #[serde(default = "utc")]
    pub time_zone: String,
    /// Where the API is. Default `https://bigquery.googleapis.com`.
    #[serde(default = "api")]
    pub base_url: String,
    /// Where refresh tokens are redeemed. Default `https://oauth2.googleapis.com/token`.
    pub token_url: Option<String>,
    /// Where `throughline auth` sends the browser. Default `https://accounts.google.com/o/oauth2/v2/auth`.
    pub auth_url: Option<String>,
}

fn five() -> u32 {
    5
}
fn tl_token() -> String {
    "tl_token".into()
}
fn twenty_gib() -> u64 {
    20 << 30
}
fn ten_thousand() -> u64 {
    10_000
}
fn utc() -> String {
    "UTC".into()
}
fn api() -> String {
    "https://bigquery.googleapis.com".into()
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub project: String,
    pub data_project: String,
    pub dataset: String,
    /// The property's number, else the dataset's name: what visits are named after.
    pub account: String,
    pub credentials: Credentials,
    pub start_on: NaiveDate,
    pub restate_days: u32,
    pub intraday: bool,
    pub token_param: String,
    /// Of events, each with a column.
    pub params: Vec<String>,
    /// Asked for, where the day's table has them.
    pub columns: Vec<String>,
    pub most_billed_bytes: u64,
    pub page_rows: u64,
    pub location: Option<String>,
    pub time_zone: Tz,
    pub base_url: String,
}

impl Settings {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, pointer: &str| {
            errors.push(option_error(message, pointer, PointerAt::Value));
        };
        let credentials = Credentials::new(
            &Given {
                service_account: config.service_account.as_ref(),
                client_id: config.client_id.as_deref(),
                client_secret: config.client_secret.as_ref(),
                refresh_token: config.refresh_token.as_ref(),
                token_url: config.token_url.as_deref(),
                auth_url: config.auth_url.as_deref(),
            },
            super::SCOPE,
            &mut wrong,
        );
        let start_on = checks::day(&config.start_on, "/start_on", &mut wrong);
        checks::within(
            &[
                (u64::from(config.restate_days), 1..=60, "/restate_days"),
                (config.page_rows, 1..=100_000, "/page_rows"),
                (config.most_billed_bytes, 10 << 20..=i64::MAX as u64, "/most_billed_bytes"),
            ],
            &mut wrong,
        );
        // These stand in addresses and in SQL.
        let is_project =
            |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b));
        let is_name = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        for (project, pointer) in
            [(Some(&config.project), "/project"), (config.data_project.as_ref(), "/data_project")]
        {
            if let Some(project) = project.filter(|p| !is_project(p)) {
                wrong(format!("{project:?} is no id of a Google Cloud project"), pointer);
            }
        }
        if !is_name(&config.dataset) {
            wrong(
                format!("{:?} is no dataset; write analytics_ and the property's number", config.dataset),
                "/dataset",
            );
        }
        if let Some(location) =
            config.location.as_ref().filter(|l| !l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
        {
            wrong(format!("{location:?} is no location; write e.g. EU or europe-west3"), "/location");
        }
        for (i, column) in config.columns.iter().enumerate() {
            if !is_name(column) {
                wrong(
                    format!("{column:?} is no column of the export; write the name of a top-level one"),
                    &format!("/columns/{i}"),
                );
            }
        }
        for (i, param) in config.params.iter().enumerate() {
            if !is_name(param) {
                wrong(format!("{param:?} is no name of an event parameter"), &format!("/params/{i}"));
            }
        }
        if config.token_param.is_empty() {
            wrong("the parameter has a name".into(), "/token_param");
        }
        let time_zone = checks::time_zone(&config.time_zone, "/time_zone", &mut wrong);
        let Some(credentials) = credentials else { return Err(errors) };
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            data_project: config.data_project.unwrap_or_else(|| config.project.clone()),
            project: config.project,
            account: config.dataset.strip_prefix("analytics_").unwrap_or(&config.dataset).to_owned(),
            dataset: config.dataset,
            credentials,
            start_on,
            restate_days: config.restate_days,
            intraday: config.intraday,
            token_param: config.token_param,
            params: fields::params(&config.params),
            columns: fields::columns(&config.columns),
            most_billed_bytes: config.most_billed_bytes,
            page_rows: config.page_rows,
            location: config.location,
            time_zone,
            base_url: config.base_url.trim_end_matches('/').to_owned(),
        })
    }

    /// Stands for everything that decides what a row says: when it changes, days that were read before must
    /// not stand beside days that are read now.
    pub fn shape(&self) -> String {
        let (columns, params) = (self.columns.join(","), self.params.join(","));
        mark(&format!("{}.{}|{columns}|{params}|{}", self.data_project, self.dataset, self.token_param))
    }
}

/// Sixteen hexadecimal digits of a text's SHA-256.
pub(crate) fn mark(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}
