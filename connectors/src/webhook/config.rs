//! Options of a source that reads received webhooks.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret};

use super::{Proof, Vendor};
use crate::checks;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Files of received webhooks: a path or a pattern (`inbox/*.jsonl`). Name rotated files too
    /// (`inbox.jsonl*`). Each line is one delivery: `{"received_at": .., "headers": {..}, "body": ".."}`.
    inbox: String,
    /// Our bot or account, in ids of conversations and messages. Deliveries do not name it; do not change it
    /// later.
    account: Option<String>,
    /// The app's secret. With it every delivery must carry its signature, and one that does not fit goes to
    /// the dead letters.
    app_secret: Option<Secret>,
    /// The bot's token. With it every delivery must carry its signature, and one that does not fit goes to the
    /// dead letters.
    auth_token: Option<Secret>,
    /// The app that our bot sends with: what other apps send was written by a person. Without it whatever an
    /// app sent is the bot's.
    app_id: Option<String>,
    /// Go on when an inbox file was replaced or cut although it may have held deliveries that were not
    /// read. Default false: an error.
    #[serde(default)]
    accept_replaced: bool,
}

/// Options that were found good.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub base_dir: PathBuf,
    pub inbox: String,
    pub account: Option<String>,
    pub app_id: Option<String>,
    pub secret: Option<Secret>,
    pub accept_replaced: bool,
}

/// The option that holds what a vendor signs with.
pub(super) fn secret_name(proof: Proof) -> &'static str {
    match proof {
        Proof::Meta => "app_secret",
        Proof::Viber => "auth_token",
        Proof::None => "",
    }
}

/// Options that other vendors have and this one has not.
fn foreign(vendor: &Vendor) -> impl Iterator<Item = &'static str> {
    let secret = secret_name(vendor.proof);
    let (account, app_id) = (vendor.needs_account, vendor.takes_app_id);
    [
        ("account", account),
        ("app_id", app_id),
        ("app_secret", secret == "app_secret"),
        ("auth_token", secret == "auth_token"),
    ]
    .into_iter()
    .filter(|(_, taken)| !taken)
    .map(|(name, _)| name)
}

pub(super) fn schema(vendor: &Vendor) -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    if let Some(properties) = schema.get_mut("properties").and_then(|p| p.as_object_mut()) {
        for name in foreign(vendor) {
            properties.shift_remove(name);
        }
    }
    if vendor.needs_account
        && let Some(required) = schema.get_mut("required").and_then(|r| r.as_array_mut())
    {
        required.push("account".into());
    }
    schema
}

impl Settings {
    pub fn new(vendor: &Vendor, options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        for name in foreign(vendor) {
            if options.value.get(name).is_some() {
                let message = format!("{} has no option `{name}`", vendor.name);
                errors.push(option_error(message, format!("/{name}"), PointerAt::Key));
            }
        }
        let mut wrong = |message: String, pointer: &str| {
            errors.push(option_error(message, pointer, PointerAt::Value));
        };
        if config.inbox.is_empty() {
            wrong("name the file of received webhooks".into(), "/inbox");
        } else {
            checks::file_pattern(&config.inbox, &options.base_dir, "/inbox", &mut wrong);
        }
        if vendor.needs_account {
            match &config.account {
                None => wrong(
                    "missing field `account`: which of our bots or accounts this inbox is of".into(),
                    "",
                ),
                Some(account) if account.trim().is_empty() || account.contains(':') => {
                    wrong("`account` is a short name without a colon, e.g. the bot's id".into(), "/account");
                }
                Some(_) => {}
            }
        }
        let name = secret_name(vendor.proof);
        let secret = if vendor.proof == Proof::Viber { config.auth_token } else { config.app_secret };
        if secret.as_ref().is_some_and(|s| s.expose().is_empty()) {
            wrong("the secret is empty".into(), &format!("/{name}"));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            base_dir: options.base_dir.clone(),
            inbox: config.inbox,
            account: config.account,
            app_id: config.app_id,
            secret,
            accept_replaced: config.accept_replaced,
        })
    }
}
