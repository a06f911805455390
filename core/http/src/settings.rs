//! `[http]` of a pipeline file.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use throughline_core::{Error, Result, Secret};

/// How a pipeline reaches the network, or that it does not.
#[derive(Clone, Debug, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// A cassette: every request is answered from this recording, on the recording's clock, and the
    /// network is not touched.
    pub replay: Option<PathBuf>,
    /// A cassette to write: every exchange goes into this file, without secrets. JSON lines; `.gz` or
    /// `.zst` at the end of the name compresses.
    pub record: Option<PathBuf>,
    /// An instant (RFC 3339) at which the run's clock stands still, for recordings and demonstrations: the
    /// same pipeline then asks for the same windows however often it runs.
    pub clock: Option<FixedInstant>,
    /// A proxy in place of the one named by `HTTPS_PROXY`, e.g. `http://proxy.example.com:3128`;
    /// `none` goes direct. With a password in it, write `{ env = "NAME" }` or `{ file = "path" }`.
    #[serde(deserialize_with = "text_or_secret")]
    #[schemars(with = "Option<TextOrSecret>")]
    pub proxy: Option<Secret>,
    /// PEM files with certificates to trust besides the system's.
    pub extra_ca: Vec<PathBuf>,
    /// The longest wait that a vendor may ask for (`Retry-After`) before the run gives up, in seconds.
    /// Default 600.
    #[schemars(range(min = 1, max = 86400))]
    pub max_wait_s: u32,
    /// For a connection to be made, TLS included, in seconds. Default 10.
    #[schemars(range(min = 1, max = 600))]
    pub connect_timeout_s: u32,
}

/// Microseconds since the Unix epoch, written as RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedInstant(pub i64);

impl<'de> Deserialize<'de> for FixedInstant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        chrono::DateTime::parse_from_rfc3339(&text)
            .map(|t| Self(t.timestamp_micros()))
            .map_err(|_| serde::de::Error::custom("an instant is written like 2026-10-01T12:00:00Z"))
    }
}

impl schemars::JsonSchema for FixedInstant {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Instant".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            replay: None,
            record: None,
            clock: None,
            proxy: None,
            extra_ca: Vec::new(),
            max_wait_s: 600,
            connect_timeout_s: 10,
        }
    }
}

impl HttpSettings {
    /// # Errors
    /// Settings that contradict each other or are out of range.
    pub fn check(&self) -> Result<()> {
        if self.replay.is_some() && self.record.is_some() {
            return Err(
                Error::config("[http] replay and record cannot stand together").hint("remove one of them")
            );
        }
        if !(1..=86_400).contains(&self.max_wait_s) {
            return Err(Error::config(format!(
                "[http] max_wait_s = {} is not from 1 to 86400",
                self.max_wait_s
            )));
        }
        if !(1..=600).contains(&self.connect_timeout_s) {
            let message =
                format!("[http] connect_timeout_s = {} is not from 1 to 600", self.connect_timeout_s);
            return Err(Error::config(message));
        }
        Ok(())
    }

    pub(crate) fn max_wait(&self) -> Duration {
        Duration::from_secs(self.max_wait_s.into())
    }
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum TextOrSecret {
    Text(String),
    Secret(Secret),
}

fn text_or_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(Option::<TextOrSecret>::deserialize(deserializer)?.map(|given| match given {
        TextOrSecret::Text(text) => Secret::new(text),
        TextOrSecret::Secret(secret) => secret,
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_users_write_and_refuses_the_rest() {
        let settings: HttpSettings = serde_json::from_value(serde_json::json!({
            "record": "a.jsonl.zst", "proxy": "http://p:1", "extra_ca": ["ca.pem"], "max_wait_s": 5,
        }))
        .unwrap();
        assert_eq!(settings.proxy.as_ref().map(Secret::expose), Some("http://p:1"));
        assert_eq!((settings.max_wait_s, settings.connect_timeout_s), (5, 10));
        settings.check().unwrap();
        let secret = serde_json::from_value::<HttpSettings>(
            serde_json::json!({ "proxy": { "$secret": "http://u:p@h" } }),
        );
        assert_eq!(secret.unwrap().proxy.unwrap().expose(), "http://u:p@h");
        let unknown =
            serde_json::from_value::<HttpSettings>(serde_json::json!({ "reply": "x" })).unwrap_err();
        assert!(unknown.to_string().contains("unknown field `reply`"), "{unknown}");
        let both = HttpSettings { replay: Some("a".into()), record: Some("b".into()), ..Default::default() };
        assert!(both.check().is_err());
        assert!(HttpSettings { max_wait_s: 0, ..Default::default() }.check().is_err());
    }

    #[test]
    fn the_schema_tells_users_what_to_write() {
        let schema = serde_json::to_string(&schemars::schema_for!(HttpSettings)).unwrap();
        assert!(
            schema.contains("\"additionalProperties\":false") && schema.contains("in seconds"),
            "{schema}"
        );
    }
}
