//! What is known of a plugin without running it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use throughline_plugin_abi as abi;

use crate::failure::Failure;
use crate::session::Answer;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Source,
    Sink,
}

/// `plugin.toml` in the folder of an installed plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The word behind `connector =`.
    pub name: String,
    pub kind: Kind,
    pub version: String,
    /// Version of the interface, e.g. `1.0`.
    pub abi: String,
    /// File name of the library, beside this file.
    pub library: String,
    /// Of the library, 64 hex digits.
    pub sha256: String,
    pub license: String,
    /// The lowest version of Throughline it works with.
    pub min_host: String,
    pub summary: String,
}

/// What the library says of itself (`tl_plugin.manifest`), kept beside `plugin.toml` as `describe.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Described {
    pub name: String,
    pub kind: Kind,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub summary: String,
    #[serde(default)]
    pub readme: String,
    #[serde(default)]
    pub license: String,
    #[serde(default)]
    pub min_host: String,
    #[serde(default)]
    pub config_schema: Value,
    #[serde(default)]
    pub streams: Vec<throughline_core::StreamSpec>,
    #[serde(default)]
    pub guarantee: Option<throughline_core::Guarantee>,
    /// Optional functions that are there; filled in by the host.
    #[serde(default)]
    pub offers: Vec<String>,
}

impl Described {
    pub fn read(json: Value) -> Answer<Self> {
        let described: Self = serde_json::from_value(json)
            .map_err(|e| Failure::new(abi::TL_PANIC, format!("the plugin's manifest: {e}")))?;
        if !is_name(&described.name) {
            let what =
                format!("the plugin's manifest: the name {:?} is not of a-z, 0-9 and _", described.name);
            return Err(Failure::new(abi::TL_PANIC, what));
        }
        Ok(described)
    }

    pub fn offers(&self, function: &str) -> bool {
        self.offers.iter().any(|o| o == function)
    }
}

/// Whether a word can stand behind `connector =` and in file names.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Whether version `have` is not older than `need`; what is no version is taken as 0.
pub(crate) fn at_least(have: &str, need: &str) -> bool {
    let parts = |text: &str| -> Vec<u64> {
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts: Vec<u64> = numbers.split('.').map(|n| n.trim().parse().unwrap_or(0)).collect();
        parts.resize(3, 0);
        parts
    };
    parts(have) >= parts(need)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(at_least("0.10.0", "0.9.1"));
        assert!(at_least("1.0", ""));
        assert!(!at_least("0.1.0", "0.1.1"));
        assert!(at_least("1.2.3-beta", "1.2.3"));
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("acme_crm2"));
        for bad in ["", "2a", "A", "a-b", "../x", "é"] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
