//! A POST of JSON: to your own service, or to a chat that takes `{"text": ".."}` (Slack, Mattermost, Rocket.Chat).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use throughline_core::connector::parse_options;
use throughline_core::http::{Account, HttpRequest, Method};
use throughline_core::{
    AlertConnector, AlertMessage, Alerter, CheckReport, ConfigErrors, Context, DynAlerter, Error, Options,
    Result, Secret,
};

use super::MOST_ANSWER_BYTES;

/// Slack cuts a text beyond 40,000 characters, <https://docs.slack.dev/reference/methods/chat.postMessage>.
const MOST_CHARS: usize = 10_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WebhookOptions {
    /// Where to post. A secret: who knows the address of a chat can write there.
    url: Secret,
    /// `json`: the whole message; `text`: `{"text": ".."}` alone, as chats want it.
    #[serde(default)]
    format: Format,
    /// Key of `X-Throughline-Signature-256: sha256=..`, the HMAC-SHA256 of the body in hex.
    sign_key: Option<Secret>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    #[default]
    Json,
    Text,
}

pub(super) struct WebhookConnector;

impl AlertConnector for WebhookConnector {
    fn name(&self) -> &str {
        "webhook"
    }
    fn summary(&self) -> &str {
        "a POST of JSON, also to Slack and Mattermost"
    }
    fn schema(&self) -> Value {
        schemars::schema_for!(WebhookOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynAlerter, ConfigErrors> {
        parse_options::<WebhookOptions>(&options.value).map(|o| Arc::new(Webhook(o)) as DynAlerter)
    }
}

struct Webhook(WebhookOptions);

impl Webhook {
    /// The address without what may be secret in it.
    fn host(&self) -> &str {
        let rest = self.0.url.expose().split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default()
    }
}

#[async_trait]
impl Alerter for Webhook {
    async fn check(&self, _: &Context) -> Result<CheckReport> {
        let url = self.0.url.expose();
        if !(url.starts_with("https://") || url.starts_with("http://")) {
            return Err(Error::config("the url begins with neither https:// nor http://"));
        }
        let facts = vec![("host".to_owned(), self.host().to_owned())];
        let warnings = vec!["nobody can tell before the first alert whether it takes messages".to_owned()];
        Ok(CheckReport { facts, warnings })
    }

    async fn send(&self, ctx: &Context, message: &AlertMessage) -> Result<()> {
        let text = message.text(MOST_CHARS);
        let body = match self.0.format {
            Format::Text => json!({ "text": text }),
            Format::Json => {
                let mut body =
                    serde_json::to_value(message).map_err(|e| Error::bug(format!("an alert: {e}")))?;
                body["subject"] = message.subject().into();
                body["text"] = text.into();
                body
            }
        };
        let body = body.to_string();
        let account =
            Account { key: format!("alert:{}", self.host()).into(), per_second: 1.0, burst: 5, parallel: 1 };
        let mut request = HttpRequest::new(Method::Post, self.0.url.expose(), account)
            .header("content-type", "application/json");
        if let Some(key) = &self.0.sign_key {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
                .map_err(|e| Error::bug(format!("HMAC takes keys of any length: {e}")))?;
            mac.update(body.as_bytes());
            let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
            request = request.header("x-throughline-signature-256", format!("sha256={hex}"));
        }
        request.body = Some(Bytes::from(body));
        request.timeout = Duration::from_secs(20);
        request.attempts = 3;
        request.max_response_bytes = MOST_ANSWER_BYTES;
        // A message that came twice is better than none.
        request.idempotent = true;
        ctx.http.send(request).await.map(drop)
    }
}
