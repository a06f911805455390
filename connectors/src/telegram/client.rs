//! The Bot API, <https://core.telegram.org/bots/api>: `getUpdates`, and what `check` asks.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use throughline_core::http::{Account, HttpRequest, HttpResponseHead, Method, Verdict};
use throughline_core::{Context, Error, ErrorKind, Result, Secret};

/// Of an error's words so much is shown.
const SHOWN: usize = 300;
/// Updates of one answer; Telegram gives no more.
pub(super) const PAGE: usize = 100;

/// A bot. Its token is a part of every address: the HTTP client takes it out of what people see.
#[derive(Clone, Debug)]
pub(super) struct Bot {
    /// Its number, as the user gave it.
    pub account: String,
    pub token: Secret,
    /// Without a slash at its end.
    pub base_url: String,
    pub allowed_updates: Vec<String>,
}

/// One update, as it came.
pub(super) struct Update {
    pub id: i64,
    pub text: String,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    result: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Numbered {
    update_id: i64,
}

/// The `update_id` of an update.
pub(super) fn id(update: &str) -> Option<i64> {
    serde_json::from_str::<Numbered>(update).ok().map(|n| n.update_id)
}

#[derive(Deserialize)]
struct Failure {
    #[serde(default)]
    error_code: u16,
    #[serde(default)]
    description: String,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Default, Deserialize)]
struct Parameters {
    retry_after: Option<u64>,
}

impl Bot {
    /// # Errors
    /// The token is none, or another bot's: updates would go under the wrong name.
    fn token(&self) -> Result<&str> {
        let token = self.token.expose();
        let parts = token.split_once(':');
        let part =
            |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        match parts {
            Some((number, rest)) if part(number) && part(rest) => {
                if self.account != number && self.account.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(Error::config(format!(
                        "the token is that of bot {number}, not {}",
                        self.account
                    ))
                    .hint("`account` is the number in front of the token's colon"));
                }
                Ok(token)
            }
            _ => Err(Error::new(ErrorKind::Auth, "the option `token` is no token of a bot")
                .hint("@BotFather gives one like 123456789:AAE..")),
        }
    }

    /// The next updates, oldest first. Those below `offset` are confirmed by it: Telegram forgets them.
    pub async fn updates(&self, ctx: &Context, offset: Option<i64>, limit: usize) -> Result<Vec<Update>> {
        // An empty list would mean Telegram's own choice; the last list is remembered when there is none.
        let mut body = json!({"limit": limit, "timeout": 0, "allowed_updates": self.allowed_updates});
        if let (Some(offset), Some(body)) = (offset, body.as_object_mut()) {
            body.insert("offset".into(), offset.into());
        }
        let answer = self.call(ctx, "getUpdates", &body).await?;
        let wrong = |e: String| Error::protocol(format!("Telegram's answer to getUpdates: {e}"));
        let answer: Answer<'_> = serde_json::from_slice(&answer).map_err(|e| wrong(e.to_string()))?;
        let update = |raw: &RawValue| {
            let id = id(raw.get()).ok_or_else(|| wrong("an update without update_id".into()))?;
            Ok(Update { id, text: raw.get().to_owned() })
        };
        answer.result.into_iter().map(update).collect()
    }

    /// What a method without parameters gives.
    pub async fn ask(&self, ctx: &Context, method: &str) -> Result<Value> {
        let answer = self.call(ctx, method, &json!({})).await?;
        let mut answer: Value = serde_json::from_slice(&answer)
            .map_err(|e| Error::protocol(format!("Telegram's answer to {method} is no JSON: {e}")))?;
        Ok(answer["result"].take())
    }

    async fn call(&self, ctx: &Context, method: &str, body: &Value) -> Result<bytes::Bytes> {
        let key = format!("telegram:{}", self.account).into();
        let account = Account { key, per_second: 10.0, burst: 5, parallel: 1 };
        let url = format!("{}/bot{}/{method}", self.base_url, self.token()?);
        let mut request = HttpRequest::new(Method::Post, url, account).json(body);
        // The same offset gives the same updates.
        request.idempotent = true;
        request.judge = Some(Arc::new(judge));
        ctx.http.send(request).await?.bytes().await
    }
}

/// An error is `{"ok":false,"error_code":..,"description":..,"parameters":{"retry_after":..}}`.
fn judge(head: &HttpResponseHead, body: &[u8]) -> Verdict {
    if (200..300).contains(&head.status) {
        return match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            Ok(_) => Verdict::Accept,
            Err(e) => Verdict::Retry {
                after: None,
                account_wide: false,
                why: format!("the answer is no whole JSON: {e}"),
            },
        };
    }
    let Ok(said) = serde_json::from_slice::<Failure>(body) else { return Verdict::ByStatus };
    let words: String = said.description.chars().take(SHOWN).collect();
    let fail = |error: Error| Verdict::Fail(Arc::new(error));
    match if said.error_code == 0 { head.status } else { said.error_code } {
        429 => Verdict::Retry {
            after: said.parameters.retry_after.map(Duration::from_secs),
            account_wide: true,
            why: words,
        },
        409 if words.contains("webhook") => fail(
            Error::config(format!("Telegram gives no updates while the bot has a webhook ({words})")).hint(
                "either receive: take `token` out and let `throughline serve` write the inbox; or ask: call \
                 deleteWebhook once, without drop_pending_updates",
            ),
        ),
        409 => fail(Error::config(format!("another program asks for this bot's updates ({words})")).hint(
            "an update is given to one of them only: stop the other program, or take `token` out and let it \
                 write the inbox",
        )),
        401 | 404 => fail(
            Error::new(ErrorKind::Auth, format!("Telegram does not know this bot ({words})"))
                .hint("take the token from @BotFather"),
        ),
        403 => fail(Error::new(ErrorKind::Auth, format!("Telegram refuses the bot ({words})"))),
        400 => fail(
            Error::config(format!("Telegram refuses the question ({words})")).hint("check `allowed_updates`"),
        ),
        _ => Verdict::ByStatus,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn verdict(status: u16, body: &str) -> Verdict {
        judge(&HttpResponseHead { status, headers: Vec::new(), exchange: 1 }, body.as_bytes())
    }

    #[test]
    fn answers_are_told_apart() {
        let error = |code: u16, words: &str| {
            format!(
                "{{\"ok\":false,\"error_code\":{code},\"description\":\"{words}\",\"parameters\":{{\"retry_after\":35}}}}"
            )
        };
        let wait = verdict(429, &error(429, "Too Many Requests: retry after 35"));
        assert!(
            matches!(wait, Verdict::Retry { after: Some(d), account_wide: true, .. } if d.as_secs() == 35)
        );
        for (code, words, hint) in [
            (409, "Conflict: can't use getUpdates method while webhook is active", "deleteWebhook"),
            (409, "Conflict: terminated by other getUpdates request", "stop the other program"),
            (401, "Unauthorized", "BotFather"),
            (404, "Not Found", "BotFather"),
        ] {
            let Verdict::Fail(e) = verdict(code, &error(code, words)) else { panic!("{code}") };
            assert!(e.hint_text().unwrap().contains(hint) && e.to_string().contains(words), "{e}");
        }
        assert!(matches!(verdict(502, "<html>"), Verdict::ByStatus));
        assert!(matches!(verdict(500, &error(500, "Internal")), Verdict::ByStatus));
    }

    #[test]
    fn tokens() {
        let bot = |account: &str, token: &str| {
            let bot = Bot {
                account: account.into(),
                token: Secret::new(token),
                base_url: String::new(),
                allowed_updates: Vec::new(),
            };
            bot.token().map(str::to_owned).map_err(|e| e.to_string())
        };
        assert!(bot("123456789", "123456789:AAexample_token-0").is_ok());
        assert!(bot("shop", "123456789:AAexample_token-0").is_ok());
        assert!(bot("5", "123456789:AAexample_token-0").is_err_and(|e| !e.contains("AAexample")));
        for bad in ["", "123456789", ":AAexample_token-0", "1:", "1:/../getMe/aaaaaa", "1:a?b"] {
            assert!(bot("1", bad).is_err(), "{bad}");
        }
    }
}
