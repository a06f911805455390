//! `markov_order` of the settings: a number or `"auto"`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many channels back a state of the Markov chain looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkovOrder {
    /// The smallest order that the next one does not better.
    Auto,
    Fixed(u32),
}

impl MarkovOrder {
    /// A state of more channels is a single journey, no model.
    pub const HIGHEST: u32 = 10;
}

impl Serialize for MarkovOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Fixed(order) => serializer.serialize_u32(*order),
        }
    }
}

impl<'de> Deserialize<'de> for MarkovOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

struct Form;

impl Visitor<'_> for Form {
    type Value = MarkovOrder;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from 1 to {} or \"auto\"", MarkovOrder::HIGHEST)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<MarkovOrder, E> {
        match text {
            "auto" => Ok(MarkovOrder::Auto),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_u64<E: Error>(self, order: u64) -> Result<MarkovOrder, E> {
        match u32::try_from(order) {
            Ok(n) if (1..=MarkovOrder::HIGHEST).contains(&n) => Ok(MarkovOrder::Fixed(n)),
            _ => Err(E::invalid_value(serde::de::Unexpected::Unsigned(order), &self)),
        }
    }

    fn visit_i64<E: Error>(self, order: i64) -> Result<MarkovOrder, E> {
        match u64::try_from(order) {
            Ok(n) => self.visit_u64(n),
            Err(_) => Err(E::invalid_value(serde::de::Unexpected::Signed(order), &self)),
        }
    }
}

impl JsonSchema for MarkovOrder {
    fn schema_name() -> Cow<'static, str> {
        "MarkovOrder".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "integer", "minimum": 1, "maximum": Self::HIGHEST }, { "const": "auto" }]
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_order_is_a_number_or_auto() {
        assert_eq!(serde_json::from_str::<MarkovOrder>("\"auto\"").unwrap(), MarkovOrder::Auto);
        assert_eq!(serde_json::from_str::<MarkovOrder>("3").unwrap(), MarkovOrder::Fixed(3));
        for wrong in ["0", "11", "-1", "\"first\"", "1.5"] {
            let error = serde_json::from_str::<MarkovOrder>(wrong).unwrap_err().to_string();
            assert!(error.contains("from 1 to 10 or \"auto\""), "{wrong}: {error}");
        }
    }
}
