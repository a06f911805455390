//! Options of a `ga4` source.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret, money};

use super::reports::{self, Report};
use crate::checks;
use crate::google::{Credentials, Given};

/// Rows that Google gives in one answer at most.
const MOST_ROWS: u64 = 250_000;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Number of the property, from Admin, Property details. Not the measurement id (`G-...`).
    #[schemars(range(min = 1))]
    pub property: u64,
    /// Key file (JSON) of a service account that may view the property: `{ file = "key.json" }`.
    pub service_account: Option<Secret>,
    /// In place of a service account: the OAuth client through which a user signed in.
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
    /// What a sign-in gave elsewhere, for the scope `analytics.readonly`. Without it `throughline auth` signs in.
    pub refresh_token: Option<Secret>,
    /// First day to read, `YYYY-MM-DD`, in the property's time zone.
    pub start_on: String,
    /// Days before today that every run reads again, because Google completes and corrects them. Default 3.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 90))]
    pub restate_days: u32,
    /// Days that are read again once a week: key events are credited anew for up to 12 days. Default 14; 0 for none.
    #[serde(default = "fourteen")]
    #[schemars(range(min = 0, max = 400))]
    pub weekly_restate_days: u32,
    /// ISO 4217 code that Google converts money into. Default: the property's own currency.
    pub currency: Option<String>,
    /// Further dimensions of `ad_costs`, e.g. `["sessionGoogleAdsAdGroupId", "sessionGoogleAdsKeyword"]`.
    #[serde(default)]
    pub cost_dimensions: Vec<String>,
    /// Reports of one's own. Each lands as a raw table of its name.
    #[serde(default)]
    pub reports: Vec<OwnReport>,
    /// What a report may lack without the run being incomplete: `thresholding`, `other_row`, `sampling`. It is
    /// told all the same.
    #[serde(default)]
    pub accept: Vec<Loss>,
    /// Rows of one answer. Default 25000.
    #[serde(default = "page")]
    #[schemars(range(min = 1, max = 250_000))]
    pub page_rows: u64,
    /// Where the API is. Default `https://analyticsdata.googleapis.com`.
    #[serde(default = "api")]
    pub base_url: String,
    /// Where refresh tokens are redeemed. Default `https://oauth2.googleapis.com/token`.
    pub token_url: Option<String>,
    /// Where `throughline auth` sends the browser. Default `https://accounts.google.com/o/oauth2/v2/auth`.
    pub auth_url: Option<String>,
}

/// A report of one's own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnReport {
    /// Name of the stream, e.g. `landing_pages`.
    pub name: String,
    /// API names, at most 8: `date` is asked for besides.
    pub dimensions: Vec<String>,
    /// API names, at most 10.
    pub metrics: Vec<String>,
}

/// Ways in which a report says less than there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    Thresholding,
    OtherRow,
    Sampling,
}

fn three() -> u32 {
    3
}
fn fourteen() -> u32 {
    14
}
fn page() -> u64 {
    25_000
}
fn api() -> String {
    "https://analyticsdata.googleapis.com".into()
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub property: u64,
    pub credentials: Credentials,
    pub start_on: NaiveDate,
    pub restate_days: u32,
    pub weekly_restate_days: u32,
    pub currency: Option<String>,
    pub reports: Vec<Report>,
    pub accept: Vec<Loss>,
    pub page_rows: u64,
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
                (config.property, 1..=u64::MAX, "/property"),
                (u64::from(config.restate_days), 1..=90, "/restate_days"),
                (u64::from(config.weekly_restate_days), 0..=400, "/weekly_restate_days"),
                (config.page_rows, 1..=MOST_ROWS, "/page_rows"),
            ],
            &mut wrong,
        );
        let currency = config.currency.map(|c| c.trim().to_ascii_uppercase());
        if let Some(currency) = currency.as_ref().filter(|c| money::exponent(c).is_none()) {
            wrong(format!("{currency:?} is no currency; write its ISO 4217 code, e.g. EUR"), "/currency");
        }
        let reports = reports::all(&config.cost_dimensions, &config.reports, &mut wrong);
        let Some(credentials) = credentials else { return Err(errors) };
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            property: config.property,
            credentials,
            start_on,
            restate_days: config.restate_days,
            weekly_restate_days: config.weekly_restate_days,
            currency,
            reports,
            accept: config.accept,
            page_rows: config.page_rows,
            base_url: config.base_url.trim_end_matches('/').to_owned(),
        })
    }

    /// Stands for everything that decides what a row says: when it changes, days that were read before must
    /// not stand beside days that are read now.
    pub fn shape(&self, report: &Report) -> String {
        let currency = self.currency.as_deref().unwrap_or_default();
        mark(&format!("{}|{}|{currency}", self.property, report.fields()))
    }
}

/// Sixteen hexadecimal digits of a text's SHA-256.
pub(crate) fn mark(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}
