//! Options of a Telegram bot.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret};

use super::client::Bot;
use super::poll::Poller;
use crate::webhook::{TELEGRAM, Webhook, pulled};

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Files of updates: a path or a pattern (`inbox/*.jsonl*`). Each line is one delivery: `{"received_at": ..,
    /// "headers": {..}, "body": ".."}`. With `token` new files are written into the same folder.
    pub inbox: String,
    /// The bot's token, from @BotFather. With it updates are asked for (getUpdates) at the beginning of each run and
    /// written into the folder of `inbox`. Without it somebody else writes them, e.g. `throughline serve`.
    pub token: Option<Secret>,
    /// Our bot, in ids of conversations and messages: the number in front of the colon of its token. Do not change
    /// it later.
    pub account: String,
    /// Kinds of updates to ask for. Default: `message`, `edited_message`, `business_message`,
    /// `edited_business_message`, `callback_query`, `my_chat_member`.
    pub allowed_updates: Option<Vec<String>>,
    /// In place of `https://api.telegram.org`: a Bot API server of one's own.
    pub base_url: Option<String>,
    /// Go on when an inbox file was replaced or cut although it may have held updates that were not read. Default
    /// false: an error.
    #[serde(default)]
    pub accept_replaced: bool,
}

/// What the tables are made of.
const ALLOWED: [&str; 6] = [
    "message",
    "edited_message",
    "business_message",
    "edited_business_message",
    "callback_query",
    "my_chat_member",
];

pub(super) fn read(options: &Options) -> Result<(Webhook, Option<Poller>), ConfigErrors> {
    let config: Config = parse_options(&options.value)?;
    let mut errors = ConfigErrors::new();
    let mut wrong =
        |message: String, pointer: &str| errors.push(option_error(message, pointer, PointerAt::Value));
    let word = |w: &String| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    if config.allowed_updates.as_ref().is_some_and(|a| a.is_empty() || !a.iter().all(word)) {
        wrong("name kinds of updates, e.g. [\"message\", \"my_chat_member\"]".into(), "/allowed_updates");
    }
    let mut poller = None;
    if let Some(token) = config.token {
        match pulled::Place::new(&options.base_dir, &config.inbox, &format!("telegram-{}", config.account)) {
            Err(message) => wrong(message, "/inbox"),
            Ok(place) => {
                let allowed = config.allowed_updates;
                let bot = Bot {
                    account: config.account.clone(),
                    token,
                    base_url: base_url(config.base_url.as_deref()),
                    allowed_updates: allowed.unwrap_or_else(|| ALLOWED.map(str::to_owned).to_vec()),
                };
                poller = Some(Poller { bot, place });
            }
        }
    } else {
        for (name, given) in
            [("allowed_updates", config.allowed_updates.is_some()), ("base_url", config.base_url.is_some())]
        {
            if given {
                wrong(format!("`{name}` is of use only with `token`"), &format!("/{name}"));
            }
        }
    }
    let value =
        json!({"inbox": config.inbox, "account": config.account, "accept_replaced": config.accept_replaced});
    let inbox = Options { name: options.name.clone(), value, base_dir: options.base_dir.clone() };
    match Webhook::new(&TELEGRAM, &inbox) {
        Ok(inbox) if errors.is_empty() => Ok((inbox, poller)),
        Ok(_) => Err(errors),
        Err(more) => {
            errors.extend(more);
            Err(errors)
        }
    }
}

fn base_url(given: Option<&str>) -> String {
    given.unwrap_or("https://api.telegram.org").trim_end_matches('/').to_owned()
}
