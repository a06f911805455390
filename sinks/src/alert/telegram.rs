//! A message by a Telegram bot: `sendMessage` of the Bot API, <https://core.telegram.org/bots/api#sendmessage>.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use throughline_core::connector::parse_options;
use throughline_core::http::{Account, HttpRequest, HttpResponseHead, Method, Verdict};
use throughline_core::{
    AlertConnector, AlertMessage, Alerter, CheckReport, ConfigErrors, Context, DynAlerter, Error, ErrorKind,
    Options, Result, Secret,
};

use super::MOST_ANSWER_BYTES;

/// "1-4096 characters after entities parsing"; a margin for characters that Telegram counts as two.
const MOST_CHARS: usize = 3500;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TelegramOptions {
    /// The bot's token, from @BotFather.
    token: Secret,
    /// Number of the chat, or `@name` of a channel. The bot must be a member; a person must have started it.
    chat_id: ChatId,
    /// In place of `https://api.telegram.org`.
    #[serde(default = "api")]
    base_url: String,
}

#[derive(Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum ChatId {
    Number(i64),
    Name(String),
}

impl ChatId {
    fn json(&self) -> Value {
        match self {
            Self::Number(number) => json!(number),
            Self::Name(name) => json!(name),
        }
    }
}

fn api() -> String {
    "https://api.telegram.org".into()
}

pub(super) struct TelegramConnector;

impl AlertConnector for TelegramConnector {
    fn name(&self) -> &str {
        "telegram"
    }
    fn summary(&self) -> &str {
        "a message by a Telegram bot"
    }
    fn schema(&self) -> Value {
        schemars::schema_for!(TelegramOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynAlerter, ConfigErrors> {
        parse_options::<TelegramOptions>(&options.value).map(|o| Arc::new(Telegram(o)) as DynAlerter)
    }
}

struct Telegram(TelegramOptions);

impl Telegram {
    async fn call(&self, ctx: &Context, method: &str, body: &Value) -> Result<Value> {
        let bot = self.0.token.expose().split(':').next().unwrap_or_default();
        // "Avoid sending more than one message per second in a chat", https://core.telegram.org/bots/faq.
        let account =
            Account { key: format!("telegram:{bot}").into(), per_second: 1.0, burst: 3, parallel: 1 };
        let url = format!("{}/bot{}/{method}", self.0.base_url.trim_end_matches('/'), self.0.token.expose());
        let mut request = HttpRequest::new(Method::Post, url, account).json(body);
        request.timeout = Duration::from_secs(20);
        request.attempts = 3;
        request.max_response_bytes = MOST_ANSWER_BYTES;
        // A message that came twice is better than none.
        request.idempotent = true;
        request.judge = Some(Arc::new(judge));
        let answer = ctx.http.send(request).await?.bytes().await?;
        serde_json::from_slice(&answer)
            .map_err(|e| Error::protocol(format!("Telegram's answer to {method} is no JSON: {e}")))
    }
}

/// An error is `{"ok":false,"error_code":..,"description":..,"parameters":{"retry_after":..}}`.
fn judge(head: &HttpResponseHead, body: &[u8]) -> Verdict {
    if (200..300).contains(&head.status) {
        return Verdict::Accept;
    }
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = said["description"].as_str().unwrap_or("no description").to_owned();
    match head.status {
        429 => Verdict::Retry {
            after: said["parameters"]["retry_after"].as_u64().map(Duration::from_secs),
            account_wide: true,
            why: words,
        },
        401 | 404 => Verdict::Fail(Arc::new(
            Error::new(ErrorKind::Auth, format!("Telegram does not know this bot: {words}"))
                .hint("take the token from @BotFather"),
        )),
        400 | 403 => Verdict::Fail(Arc::new(
            Error::config(format!("Telegram refuses the chat: {words}"))
                .hint("the bot must be a member of the chat, or the person must have pressed Start"),
        )),
        _ => Verdict::ByStatus,
    }
}

#[async_trait]
impl Alerter for Telegram {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let me = self.call(ctx, "getMe", &json!({})).await?;
        let chat = self.call(ctx, "getChat", &json!({ "chat_id": self.0.chat_id.json() })).await?;
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let chat = &chat["result"];
        let name = ["title", "username", "first_name"].iter().find_map(|key| chat[*key].as_str());
        let facts = vec![
            ("bot".to_owned(), format!("@{}", text(&me["result"]["username"]))),
            ("chat".to_owned(), format!("{} ({})", name.unwrap_or("?"), text(&chat["type"]))),
        ];
        Ok(CheckReport { facts, warnings: Vec::new() })
    }

    async fn send(&self, ctx: &Context, message: &AlertMessage) -> Result<()> {
        let body = json!({
            "chat_id": self.0.chat_id.json(),
            "text": message.text(MOST_CHARS),
            "link_preview_options": { "is_disabled": true },
        });
        self.call(ctx, "sendMessage", &body).await.map(drop)
    }
}
