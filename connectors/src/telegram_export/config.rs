//! Options of exported chats.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt};

use crate::checks;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Exports: a path or a pattern, e.g. `exports/*/result.json`; `.gz` and `.zst` are unpacked.
    pub path: String,
    /// Our account, in ids of conversations and messages. The `account` of a `telegram` source that reads the same chats
    /// over a business connection: then they go on where the files end. Do not change it later.
    pub account: String,
    /// Who in groups is ours, as the files write it: `["user123456789"]`. In a chat of two, and in the export of a whole
    /// account, the files tell.
    #[serde(default)]
    pub operators: Vec<String>,
    /// Where the program was when it exported, an IANA name, e.g. `Europe/Moscow`: only for old exports, which have no
    /// `date_unixtime`.
    pub time_zone: Option<String>,
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub base_dir: PathBuf,
    pub path: String,
    pub account: String,
    pub operators: Vec<i64>,
    pub time_zone: Option<String>,
}

impl Settings {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, pointer: &str| {
            errors.push(option_error(message, pointer, PointerAt::Value));
        };
        if config.path.is_empty() {
            wrong("name the exports".into(), "/path");
        } else {
            checks::file_pattern(&config.path, &options.base_dir, "/path", &mut wrong);
        }
        if config.account.trim().is_empty() || config.account.contains(':') {
            wrong("`account` is a short name without a colon, e.g. our id".into(), "/account");
        }
        let mut operators = Vec::new();
        for (n, operator) in config.operators.iter().enumerate() {
            match operator.strip_prefix("user").unwrap_or(operator).parse() {
                Ok(id) => operators.push(id),
                Err(_) => wrong(
                    format!("{operator:?} is no id; `from_id` in the file has it, like user123456789"),
                    &format!("/operators/{n}"),
                ),
            }
        }
        if let Some(zone) = &config.time_zone {
            checks::time_zone(zone, "/time_zone", &mut wrong);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            base_dir: options.base_dir.clone(),
            path: config.path,
            account: config.account,
            operators,
            time_zone: config.time_zone,
        })
    }
}
