//! Options of exported chats.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::phone::{self, Region};
use throughline_core::{ConfigErrors, Options, PointerAt};

use super::dates::DateOrder;
use super::head::clean;
use crate::checks;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Exported chats: a path or a pattern, e.g. `chats/*.zip`. `.txt` and `.zip` as WhatsApp makes them; a `.txt`
    /// may be packed further (`.gz`, `.zst`). One file is one chat.
    pub path: String,
    /// Names of ours, as they stand in the files: their messages went out, all others came in. Example:
    /// `["Студия Роза", "Ольга (менеджер)"]`.
    pub operators: Vec<String>,
    /// Our account, in ids of conversations. The `phone_number_id` of the Cloud API, where the `whatsapp` source reads
    /// the same number: then chats go on where the files end. Do not change it later.
    pub account: String,
    /// Where the phone was when it exported, an IANA name, e.g. `Europe/Moscow`: the files say only the local time.
    pub time_zone: String,
    /// Order of the numbers of a date: `dmy`, `mdy` or `ymd`. Without it every file's own dates tell; one that may be
    /// read in two ways is an error.
    pub date_order: Option<DateOrder>,
    /// Country of phone numbers without `+`, two letters, e.g. `RU`.
    pub phone_region: Option<String>,
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub base_dir: PathBuf,
    pub path: String,
    /// Cleaned as names in the files are.
    pub operators: Vec<String>,
    pub account: String,
    pub time_zone: String,
    pub date_order: Option<DateOrder>,
    pub region: Option<Region>,
}

impl Settings {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, pointer: &str| {
            errors.push(option_error(message, pointer, PointerAt::Value));
        };
        if config.path.is_empty() {
            wrong("name the exported chats".into(), "/path");
        } else {
            checks::file_pattern(&config.path, &options.base_dir, "/path", &mut wrong);
        }
        let operators: Vec<String> = config
            .operators
            .iter()
            .map(|name| clean(name).trim_start_matches('~').trim().to_owned())
            .collect();
        if operators.is_empty() || operators.iter().any(String::is_empty) {
            wrong("name those whose messages are ours, as the files name them".into(), "/operators");
        }
        if config.account.trim().is_empty() || config.account.contains(':') {
            wrong("`account` is a short name without a colon, e.g. our number".into(), "/account");
        }
        checks::time_zone(&config.time_zone, "/time_zone", &mut wrong);
        let region = config.phone_region.as_deref().map(phone::region);
        if region == Some(None) {
            let code = config.phone_region.as_deref().unwrap_or_default();
            wrong(
                format!("{code:?} is no country with phone numbers; write two letters, e.g. RU"),
                "/phone_region",
            );
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            base_dir: options.base_dir.clone(),
            path: config.path,
            operators,
            account: config.account,
            time_zone: config.time_zone,
            date_order: config.date_order,
            region: region.flatten(),
        })
    }
}
