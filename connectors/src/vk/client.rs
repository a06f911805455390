//! VK's API, call by call: `messages.getConversations`, `messages.getHistory`, `users.get`, `stats.get`,
//! <https://dev.vk.com/method>. Parameters, the token among them, go in a form: never in an address.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use throughline_core::http::{Account, HttpRequest, Method};
use throughline_core::{Context, Error, Result, Secret};

use super::failure::{Failure, judge};

/// What our tables are made of.
const VERSION: &str = "5.199";
/// Conversations or messages of one answer; VK gives no more.
pub(super) const PAGE: usize = 200;
/// People of one question; VK takes no more.
pub(super) const PEOPLE: usize = 1000;
/// VK allows a community 20 requests a second.
const PER_SECOND: f64 = 15.0;
/// And a user 3.
const PER_SECOND_OF_USER: f64 = 2.5;

/// A community.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub token: Secret,
    /// Whether the token is a user's and not the community's.
    pub of_user: bool,
    pub group_id: u64,
    /// Without a slash at its end.
    pub base_url: String,
}

/// A page of a list, each item as it came.
#[derive(Deserialize)]
pub(super) struct List<'a> {
    /// Of the whole list.
    #[serde(default)]
    pub count: u64,
    #[serde(borrow)]
    pub items: Vec<&'a RawValue>,
}

/// A good answer, or what stands in the way of one conversation.
pub(super) enum Answer {
    Good { body: Bytes, exchange: u64 },
    Unreachable(Failure),
}

#[derive(Deserialize)]
struct Response<T> {
    response: T,
}

/// The `response` of a good answer.
pub(super) fn response<'a, T: Deserialize<'a>>(method: &str, body: &'a [u8]) -> Result<T> {
    serde_json::from_slice::<Response<T>>(body)
        .map(|r| r.response)
        .map_err(|e| Error::protocol(format!("VK's answer to {method} is not what its pages describe: {e}")))
}

impl Api {
    pub async fn call(&self, ctx: &Context, method: &str, params: &[(&str, String)]) -> Result<Answer> {
        let (whose, per_second) = if self.of_user { ("user", PER_SECOND_OF_USER) } else { ("", PER_SECOND) };
        let key = format!("vk:{}{whose}", self.group_id).into();
        let account = Account { key, per_second, burst: 3, parallel: 3 };
        let url = format!("{}/method/{method}", self.base_url);
        let mut request = HttpRequest::new(Method::Post, url, account)
            .header("content-type", "application/x-www-form-urlencoded");
        request.body = Some(Bytes::from(self.form(params)));
        // It only reads.
        request.idempotent = true;
        request.judge = Some(Arc::new(judge));
        let answer = ctx.http.send(request).await?;
        let exchange = answer.head.exchange;
        let body = answer.bytes().await?;
        Ok(match Failure::read(&body) {
            Some(failure) => Answer::Unreachable(failure),
            None => Answer::Good { body, exchange },
        })
    }

    /// Of methods that ask for no conversation.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        ctx: &Context,
        method: &str,
        params: &[(&str, String)],
    ) -> Result<T> {
        match self.call(ctx, method, params).await? {
            Answer::Good { body, .. } => response(method, &body),
            Answer::Unreachable(failure) => Err(failure.error()),
        }
    }

    fn form(&self, params: &[(&str, String)]) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(params).append_pair("v", VERSION).append_pair("access_token", self.token.expose());
        form.finish()
    }

    pub fn group(&self) -> (&'static str, String) {
        ("group_id", self.group_id.to_string())
    }
}
