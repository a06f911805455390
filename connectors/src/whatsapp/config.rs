//! Options of a `whatsapp` source.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret};

use crate::checks;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Files of received webhooks: a path or a pattern (`inbox/*.jsonl`). Name rotated files too
    /// (`inbox.jsonl*`). Each line is one delivery: `{"received_at": .., "headers": {..}, "body": ".."}`.
    pub inbox: String,
    /// The app's secret. With it every delivery must carry its signature, and one that does not fit goes
    /// to the dead letters.
    pub app_secret: Option<Secret>,
    /// Go on when an inbox file was replaced or cut although it may have held deliveries that were not
    /// read. Default false: an error.
    #[serde(default)]
    pub accept_replaced: bool,
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub base_dir: PathBuf,
    pub inbox: String,
    pub app_secret: Option<Secret>,
    pub accept_replaced: bool,
}

impl Settings {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, pointer: &str| {
            errors.push(option_error(message, pointer, PointerAt::Value));
        };
        if config.inbox.is_empty() {
            wrong("name the file of received webhooks".into(), "/inbox");
        } else {
            checks::file_pattern(&config.inbox, &options.base_dir, "/inbox", &mut wrong);
        }
        if config.app_secret.as_ref().is_some_and(|s| s.expose().is_empty()) {
            wrong("the secret is empty".into(), "/app_secret");
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            base_dir: options.base_dir.clone(),
            inbox: config.inbox,
            app_secret: config.app_secret,
            accept_replaced: config.accept_replaced,
        })
    }
}
