//! Options of a VK community.

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Options, PointerAt, Secret};

use super::client::Api;
use super::long_poll::LongPoll;
use super::statistics::Statistics;
use crate::webhook::{VK, Webhook, pulled};

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Files of received events: a path or a pattern (`inbox/*.jsonl*`). Each line is one delivery: `{"received_at":
    /// .., "headers": {..}, "body": ".."}`. Without it there are no events, only the history.
    pub inbox: Option<String>,
    /// A token of the community with the right to messages. With it the history of all conversations is read.
    pub token: Option<Secret>,
    /// The community's number, with `token`.
    pub group_id: Option<u64>,
    /// A token of a user who administers the community, with the right `stats`: reads the community's statistics.
    pub user_token: Option<Secret>,
    /// First day of statistics, `YYYY-MM-DD`, with `user_token`.
    pub statistics_from: Option<String>,
    /// Ask for events (Bots Long Poll) at the beginning of each run and write them into the folder of `inbox`. Needs
    /// `token` and `inbox`. Default false: somebody else receives them, or nobody.
    #[serde(default)]
    pub long_poll: bool,
    /// In place of `https://api.vk.com`.
    pub base_url: Option<String>,
    /// Go on when an inbox file was replaced or cut although it may have held events that were not read. Default
    /// false: an error.
    #[serde(default)]
    pub accept_replaced: bool,
}

pub(super) struct Settings {
    /// At least one of these three.
    pub inbox: Option<Webhook>,
    pub api: Option<Api>,
    pub statistics: Option<Statistics>,
    /// With both.
    pub long_poll: Option<LongPoll>,
}

pub(super) fn read(options: &Options) -> Result<Settings, ConfigErrors> {
    let config: Config = parse_options(&options.value)?;
    let mut errors = ConfigErrors::new();
    let mut wrong = |message: &str, pointer: &str, at| errors.push(option_error(message, pointer, at));
    if config.inbox.is_none() && config.token.is_none() && config.user_token.is_none() {
        wrong(
            "name an `inbox` of received events, a `token` to read the history, a `user_token` for statistics, or more of them",
            "",
            PointerAt::Value,
        );
    }
    if config.group_id == Some(0) {
        wrong("`group_id` is the community's number, without a minus", "/group_id", PointerAt::Value);
    }
    if config.token.is_none() && config.user_token.is_none() {
        for (name, given) in
            [("group_id", config.group_id.is_some()), ("base_url", config.base_url.is_some())]
        {
            if given {
                wrong(
                    &format!("`{name}` is of use only with `token` or `user_token`"),
                    &format!("/{name}"),
                    PointerAt::Key,
                );
            }
        }
    }
    let mut long_poll = None;
    match (config.long_poll, &config.inbox, config.token.is_some()) {
        (true, Some(inbox), true) => {
            let name = format!("vk-{}", config.group_id.unwrap_or_default());
            match pulled::Place::new(&options.base_dir, inbox, &name) {
                Ok(place) => long_poll = Some(LongPoll { place }),
                Err(message) => wrong(&message, "/inbox", PointerAt::Value),
            }
        }
        (true, ..) => {
            wrong("`long_poll` needs `token`, `group_id` and `inbox`", "/long_poll", PointerAt::Key)
        }
        (false, ..) => {}
    }
    if config.inbox.is_none() && config.accept_replaced {
        wrong("`accept_replaced` is of use only with `inbox`", "/accept_replaced", PointerAt::Key);
    }
    let base_url =
        config.base_url.as_deref().unwrap_or("https://api.vk.com").trim_end_matches('/').to_owned();
    let of_user = config.user_token.is_some();
    let start_on = config.statistics_from.as_deref().map(|day| day.parse::<NaiveDate>());
    let statistics = match (config.user_token, start_on) {
        (Some(token), Some(Ok(start_on))) => config.group_id.map(|group_id| {
            let api = Api { token, of_user: true, group_id, base_url: base_url.clone() };
            Statistics { api, start_on }
        }),
        (None, None) => None,
        (Some(_), None) => {
            wrong("`user_token` needs `statistics_from`: the first day of statistics", "", PointerAt::Value);
            None
        }
        (_, Some(Err(_))) => {
            wrong("this is no day; write YYYY-MM-DD", "/statistics_from", PointerAt::Value);
            None
        }
        (None, Some(Ok(_))) => {
            let message = "`statistics_from` is of use only with `user_token`";
            wrong(message, "/statistics_from", PointerAt::Key);
            None
        }
    };
    let api = match (config.token, config.group_id) {
        (Some(token), Some(group_id)) => Some(Api { token, of_user: false, group_id, base_url }),
        (Some(_), None) => {
            wrong("missing field `group_id`: the community's number", "", PointerAt::Value);
            None
        }
        (None, None) if of_user => {
            wrong("missing field `group_id`: the community's number", "", PointerAt::Value);
            None
        }
        _ => None,
    };
    let mut webhook = None;
    if let Some(inbox) = config.inbox {
        let value = json!({"inbox": inbox, "accept_replaced": config.accept_replaced});
        let options = Options { name: options.name.clone(), value, base_dir: options.base_dir.clone() };
        match Webhook::new(&VK, &options) {
            Ok(inbox) => webhook = Some(inbox),
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() { Ok(Settings { inbox: webhook, api, statistics, long_poll }) } else { Err(errors) }
}
