//! Options of a `yandex_direct` source.

use chrono::NaiveDate;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret, money};

use super::fields::{self, Level};
use crate::checks;
use crate::yandex::{Access, Given};

/// Rows that Direct puts into one report at most.
const MOST_ROWS: u64 = 1_000_000;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// OAuth token with the right `direct:api`, of an application whose access to the API was approved.
    pub token: Option<Secret>,
    /// In place of a token: the application that `throughline auth` lets a user into.
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
    /// Logins of advertisers, e.g. `["shop-msk", "shop-spb"]`: an agency's clients. Without them the
    /// token's own account is read.
    #[serde(default)]
    pub logins: Vec<String>,
    /// First day to read, `YYYY-MM-DD`. Direct keeps three years.
    pub start_on: String,
    /// Whether costs include VAT. Default true: what was paid. After a change all days are read again.
    #[serde(default = "yes")]
    pub include_vat: bool,
    /// How deep costs are split: `campaign`, `adgroup`, `ad` or `keyword` (default).
    #[serde(default)]
    pub level: Level,
    /// Further fields of the report, e.g. `["AdNetworkType", "Device"]`. They land in the raw table `ads`;
    /// those that are no numbers split its rows.
    #[serde(default)]
    pub fields: Vec<String>,
    /// Days before today that every run reads again, because Direct takes back clicks of robots. Default 7.
    #[serde(default = "seven")]
    #[schemars(range(min = 1, max = 90))]
    pub restate_days: u32,
    /// Days that are read again once a week. Default 30; 0 for none.
    #[serde(default = "thirty")]
    #[schemars(range(min = 0, max = 1000))]
    pub weekly_restate_days: u32,
    /// Days that one report spans at most. Default 31.
    #[serde(default = "thirty_one")]
    #[schemars(range(min = 1, max = 365))]
    pub request_days: u32,
    /// Rows of a report from which on its days are split, at most what Direct gives. Default 1000000.
    #[serde(default = "most_rows")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub report_rows: u64,
    /// ISO 4217 code of the accounts' currency. Without it Direct is asked.
    pub currency: Option<String>,
    /// IANA name of the time zone of Direct's days. Default `Europe/Moscow`.
    #[serde(default = "moscow")]
    pub time_zone: String,
    /// `auto` (default), `online` or `offline`: how Direct is asked to make reports.
    #[serde(default)]
    pub processing: Processing,
    /// Version of the reports: `v501` (default) knows unified campaigns, `v5` does not.
    #[serde(default)]
    pub api_version: ApiVersion,
    /// Where the API is. Default `https://api.direct.yandex.com`.
    #[serde(default = "api")]
    pub base_url: String,
    /// Where consents and tokens are given. Default `https://oauth.yandex.ru`.
    pub oauth_url: Option<String>,
}

/// The header `processingMode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Processing {
    #[default]
    Auto,
    Online,
    Offline,
}

impl Processing {
    pub fn header(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Online => "online",
            Self::Offline => "offline",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApiVersion {
    V5,
    #[default]
    V501,
}

impl ApiVersion {
    pub fn path(self) -> &'static str {
        match self {
            Self::V5 => "v5",
            Self::V501 => "v501",
        }
    }
}

fn yes() -> bool {
    true
}
fn seven() -> u32 {
    7
}
fn thirty() -> u32 {
    30
}
fn thirty_one() -> u32 {
    31
}
fn most_rows() -> u64 {
    MOST_ROWS
}
fn moscow() -> String {
    "Europe/Moscow".into()
}
fn api() -> String {
    "https://api.direct.yandex.com".into()
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub access: Access,
    pub logins: Vec<String>,
    pub start_on: NaiveDate,
    pub include_vat: bool,
    pub more_fields: Vec<String>,
    /// What is asked for, in the order of columns.
    pub fields: Vec<String>,
    pub restate_days: u32,
    pub weekly_restate_days: u32,
    pub request_days: u32,
    pub report_rows: u64,
    pub currency: Option<String>,
    pub time_zone: Tz,
    pub processing: Processing,
    pub api_version: ApiVersion,
    pub base_url: String,
}

impl Settings {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, pointer: &str| {
            errors.push(option_error(message, pointer, PointerAt::Value));
        };
        let access = Access::new(
            &Given {
                token: config.token.as_ref(),
                client_id: config.client_id.as_deref(),
                client_secret: config.client_secret.as_ref(),
                oauth_url: config.oauth_url.as_deref(),
            },
            "direct:api",
            &mut wrong,
        );
        let start_on = checks::day(&config.start_on, "/start_on", &mut wrong);
        checks::within(
            &[
                (u64::from(config.restate_days), 1..=90, "/restate_days"),
                (u64::from(config.weekly_restate_days), 0..=1000, "/weekly_restate_days"),
                (u64::from(config.request_days), 1..=365, "/request_days"),
                (config.report_rows, 1..=MOST_ROWS, "/report_rows"),
            ],
            &mut wrong,
        );
        let mut logins: Vec<String> = Vec::new();
        for (i, login) in config.logins.iter().enumerate() {
            let place = format!("/logins/{i}");
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._@".contains(&b);
            if login.is_empty() || !login.bytes().all(fits) {
                wrong(format!("{login:?} is no login of Yandex"), &place);
            } else if logins.iter().any(|l| l.eq_ignore_ascii_case(login)) {
                wrong(format!("{login} is there twice; its costs would count twice"), &place);
            }
            logins.push(login.clone());
        }
        for (i, field) in config.fields.iter().enumerate() {
            if let Some(why) = fields::refused(field) {
                wrong(format!("{field:?} cannot be asked for: {why}"), &format!("/fields/{i}"));
            }
        }
        let currency = config.currency.map(|c| c.trim().to_ascii_uppercase());
        if let Some(currency) = currency.as_ref().filter(|c| money::exponent(c).is_none()) {
            wrong(format!("{currency:?} is no currency; write its ISO 4217 code, e.g. RUB"), "/currency");
        }
        let time_zone = checks::time_zone(&config.time_zone, "/time_zone", &mut wrong);
        let Some(access) = access.filter(|_| errors.is_empty()) else { return Err(errors) };
        Ok(Self {
            access,
            logins,
            start_on,
            include_vat: config.include_vat,
            fields: fields::list(config.level, &config.fields),
            more_fields: config.fields,
            restate_days: config.restate_days,
            weekly_restate_days: config.weekly_restate_days,
            request_days: config.request_days,
            report_rows: config.report_rows,
            currency,
            time_zone,
            processing: config.processing,
            api_version: config.api_version,
            base_url: config.base_url.trim_end_matches('/').to_owned(),
        })
    }

    pub fn vat(&self) -> &'static str {
        if self.include_vat { "with" } else { "without" }
    }

    /// Stands for the list of fields.
    pub fn fields_mark(&self) -> String {
        mark(&self.fields.join(","))
    }

    /// Stands for everything that decides what a row says: when it changes, days that were read before must
    /// not stand beside days that are read now.
    pub fn shape(&self) -> String {
        mark(&format!(
            "{}|{}|{}|{}",
            self.fields.join(","),
            self.logins.join(","),
            self.vat(),
            self.currency.as_deref().unwrap_or_default()
        ))
    }
}

/// Sixteen hexadecimal digits of a text's SHA-256.
pub(crate) fn mark(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(mut value: serde_json::Value) -> Result<Settings, Vec<String>> {
        value["token"] = serde_json::json!({"$secret": "t0ken"});
        Settings::new(&Options { name: "direct".into(), value, base_dir: Default::default() })
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_wrong_option_is_told() {
        let errors = settings(serde_json::json!({
            "start_on": "01.09.2026", "restate_days": 0, "report_rows": 2_000_000, "time_zone": "Moscow",
            "logins": ["a", "A", "б"], "fields": ["ClickType", "Week"], "currency": "рубли"
        }))
        .unwrap_err();
        assert_eq!(errors.len(), 9, "{errors:#?}");
    }

    #[test]
    fn what_a_row_says_has_a_mark() {
        let of = |more: serde_json::Value| {
            let mut value = serde_json::json!({"start_on": "2026-09-01"});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            settings(value).unwrap().shape()
        };
        let usual = of(serde_json::json!({}));
        assert_eq!(usual, of(serde_json::json!({"restate_days": 3, "include_vat": true})));
        for change in [
            serde_json::json!({"include_vat": false}),
            serde_json::json!({"level": "ad"}),
            serde_json::json!({"fields": ["Device"]}),
            serde_json::json!({"logins": ["a"]}),
            serde_json::json!({"currency": "RUB"}),
        ] {
            assert_ne!(usual, of(change.clone()), "{change}");
        }
    }
}
