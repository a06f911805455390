//! Values that are never printed.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};

/// The key under which the engine hands a resolved secret to a connector's options. A user writes
/// `{ env = "NAME" }` or `{ file = "path" }`; the engine reads it, registers it for redaction, and
/// puts `{ "$secret": value }` in its place, so that an option that must be secret can refuse a
/// value written into the file in clear.
pub const SECRET_KEY: &str = "$secret";

/// A resolved secret. `Debug` and `Display` print `***`; [`Secret::expose`] is the only way out.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Resolved {
            #[serde(rename = "$secret")]
            value: String,
        }
        Resolved::deserialize(deserializer).map(|r| Self::new(r.value)).map_err(|_| {
            D::Error::custom("a secret is written as { env = \"NAME\" } or { file = \"path\" }, never in clear")
        })
    }
}

/// For `throughline schema`: what a user writes, not what the engine resolves it to.
impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A secret: { env = \"NAME\" } or { file = \"path\" }, never in clear.",
            "oneOf": [
                { "type": "object", "properties": { "env": { "type": "string" } }, "required": ["env"], "additionalProperties": false },
                { "type": "object", "properties": { "file": { "type": "string" } }, "required": ["file"], "additionalProperties": false }
            ]
        })
    }
}
