//! Options of a `yandex_metrica` source.

use std::time::Duration;

use chrono::NaiveDate;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret};

use super::fields::{self, Kind};
use crate::checks;
use crate::yandex::{Access, Given};

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Number of the counter.
    pub counter: u64,
    /// OAuth token with the right `metrika:read` on the counter.
    pub token: Option<Secret>,
    /// In place of a token: the application that `throughline auth` lets a user into.
    pub client_id: Option<String>,
    pub client_secret: Option<Secret>,
    /// First day to read, `YYYY-MM-DD` in the counter's time zone.
    pub start_on: String,
    /// Days before today that every run reads again, because Metrica goes on correcting them. Default 4.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 60))]
    pub restate_days: u32,
    /// Days that one log request spans at most. Default 31.
    #[serde(default = "thirty_one")]
    #[schemars(range(min = 1, max = 365))]
    pub request_days: u32,
    /// Attribution model of the traffic source. Default `lastsign`. After a change read again with
    /// `--full-refresh`: rows read before have the sources of the model they were read with.
    #[serde(default)]
    pub attribution: Attribution,
    /// Further fields, by their names in the Logs API, e.g. `ym:s:regionCityID`. They land in the raw
    /// tables `visits` (`ym:s:`) and `hits` (`ym:pv:`).
    #[serde(default)]
    pub fields: Vec<String>,
    /// Fields of the usual lists to leave out, e.g. one that Metrica has withdrawn.
    #[serde(default)]
    pub skip_fields: Vec<String>,
    /// The visit parameter (`ym(ID, 'params', {tl_token: '..'})`) and URL parameter that carries the visit
    /// token. Default `tl_token`.
    #[serde(default = "tl_token")]
    pub token_param: String,
    /// IANA name of the counter's time zone. Without it Metrica is asked.
    pub time_zone: Option<String>,
    /// Seconds before the first question whether a log request is ready; later pauses grow from it to two
    /// minutes. Default 20: small logs take about that long.
    #[serde(default = "twenty")]
    #[schemars(range(min = 0, max = 600))]
    pub poll_after_s: u32,
    /// Whether a part must have as many bytes as Metrica announced. Default true.
    #[serde(default = "yes")]
    pub verify_size: bool,
    /// Where the API is. Default `https://api-metrika.yandex.net`.
    #[serde(default = "api")]
    pub base_url: String,
    /// Where consents and tokens are given. Default `https://oauth.yandex.ru`.
    pub oauth_url: Option<String>,
}

/// The models of the Logs API; the words are those of its field names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Attribution {
    First,
    Last,
    #[default]
    Lastsign,
    LastYandexDirectClick,
    CrossDeviceFirst,
    CrossDeviceLast,
    CrossDeviceLastSignificant,
    CrossDeviceLastYandexDirectClick,
    Automatic,
}

impl Attribution {
    /// As it stands in field names. Naming the model there, not in the request's parameter, makes
    /// the column header tell it.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::Lastsign => "lastsign",
            Self::LastYandexDirectClick => "last_yandex_direct_click",
            Self::CrossDeviceFirst => "cross_device_first",
            Self::CrossDeviceLast => "cross_device_last",
            Self::CrossDeviceLastSignificant => "cross_device_last_significant",
            Self::CrossDeviceLastYandexDirectClick => "cross_device_last_yandex_direct_click",
            Self::Automatic => "automatic",
        }
    }
}

fn four() -> u32 {
    4
}
fn thirty_one() -> u32 {
    31
}
fn twenty() -> u32 {
    20
}
fn yes() -> bool {
    true
}
fn tl_token() -> String {
    "tl_token".into()
}
fn api() -> String {
    "https://api-metrika.yandex.net".into()
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub counter: u64,
    pub access: Access,
    pub start_on: NaiveDate,
    pub restate_days: u32,
    pub request_days: u32,
    pub attribution: Attribution,
    pub visit_fields: Vec<String>,
    pub hit_fields: Vec<String>,
    pub token_param: String,
    pub time_zone: Option<Tz>,
    pub poll_after: Duration,
    pub verify_size: bool,
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
            "metrika:read",
            &mut wrong,
        );
        let start_on = checks::day(&config.start_on, "/start_on", &mut wrong);
        checks::within(
            &[
                (u64::from(config.restate_days), 1..=60, "/restate_days"),
                (u64::from(config.request_days), 1..=365, "/request_days"),
                (u64::from(config.poll_after_s), 0..=600, "/poll_after_s"),
            ],
            &mut wrong,
        );
        if config.token_param.is_empty() {
            wrong("a parameter has a name".into(), "/token_param");
        }
        let time_zone =
            config.time_zone.as_deref().map(|name| checks::time_zone(name, "/time_zone", &mut wrong));
        for (i, field) in config.fields.iter().enumerate() {
            if Kind::of_field(field).is_none() || field.contains([',', ' ', '<', '>']) {
                wrong(
                    format!("{field:?} is no field name; they begin with ym:s: (visits) or ym:pv: (hits)"),
                    &format!("/fields/{i}"),
                );
            }
        }
        let prefix = config.attribution.prefix();
        let lists = Kind::ALL.map(|kind| fields::list(kind, prefix, &config.fields, &config.skip_fields));
        for (i, field) in config.skip_fields.iter().enumerate() {
            if fields::REQUIRED.contains(&field.as_str()) {
                wrong(format!("{field} cannot be left out"), &format!("/skip_fields/{i}"));
            }
        }
        for (kind, list) in Kind::ALL.iter().zip(&lists) {
            let length = list.join(",").len();
            if length > fields::MAX_CHARS {
                let over = length - fields::MAX_CHARS;
                wrong(
                    format!(
                        "the fields of {} come to {length} characters, {over} more than Metrica takes in one \
                         request; leave some out with `skip_fields`",
                        kind.stream()
                    ),
                    "/fields",
                );
            }
        }
        let Some(access) = access.filter(|_| errors.is_empty()) else { return Err(errors) };
        let [visit_fields, hit_fields] = lists;
        Ok(Self {
            counter: config.counter,
            access,
            start_on,
            restate_days: config.restate_days,
            request_days: config.request_days,
            attribution: config.attribution,
            visit_fields,
            hit_fields,
            token_param: config.token_param,
            time_zone,
            poll_after: Duration::from_secs(config.poll_after_s.into()),
            verify_size: config.verify_size,
            base_url: config.base_url.trim_end_matches('/').to_owned(),
        })
    }

    pub fn fields(&self, kind: Kind) -> &[String] {
        match kind {
            Kind::Visits => &self.visit_fields,
            Kind::Hits => &self.hit_fields,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(mut value: serde_json::Value) -> Result<Settings, Vec<String>> {
        value["token"] = serde_json::json!({"$secret": "t0ken"});
        Settings::new(&Options { name: "ym".into(), value, base_dir: Default::default() })
            .map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_usual_lists_fit_every_model() {
        let longest = "cross_device_last_yandex_direct_click";
        let s = settings(serde_json::json!({"counter": 1, "start_on": "2026-09-01", "attribution": longest}));
        let s = s.unwrap();
        assert!(s.visit_fields.contains(&format!("ym:s:{longest}TrafficSource")), "{:?}", s.visit_fields);
        assert!(s.hit_fields.iter().all(|f| f.starts_with("ym:pv:")));
    }

    #[test]
    fn every_wrong_option_is_told() {
        let errors = settings(serde_json::json!({
            "counter": 1, "start_on": "01.09.2026", "time_zone": "Moscow", "fields": ["regionCityID"],
            "skip_fields": ["ym:s:visitID"], "restate_days": 0
        }))
        .unwrap_err();
        assert_eq!(errors.len(), 5, "{errors:#?}");
    }
}
