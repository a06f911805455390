//! Bots Long Poll, <https://dev.vk.com/api/bots/getting-started>: events that VK keeps for whoever asks, written into the
//! inbox.
//!
//! `ts` is how far we are. It is remembered when what came before it is flushed; what a crash leaves between the two
//! comes again and is known by the end of the inbox. The key lasts some hours and is asked for by each run.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use throughline_core::http::{Account, HttpRequest, HttpResponseHead, Method, Verdict};
use throughline_core::{Context, Error, Notice, Result};

use super::client::Api;
use crate::webhook::pulled;

/// How far we are.
const TS: &str = "vk_long_poll_ts";
/// Seconds that VK may wait for an event before it answers that there is none.
const WAIT: u32 = 1;
/// Events whose ids are looked at: what one answer may have held.
const REMEMBERED: usize = 1000;
/// Refusals in a row before we believe that it will not become better.
const REFUSALS: u32 = 5;
/// Answers of one run: an end, also when somebody writes every second.
const ANSWERS: u32 = 10_000;

#[derive(Clone, Debug)]
pub(super) struct LongPoll {
    pub place: pulled::Place,
}

#[derive(Deserialize)]
struct Session {
    key: String,
    server: String,
    ts: Ts,
}

/// A number, or the text of one.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Ts {
    Number(u64),
    Text(String),
}

impl Ts {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    failed: Option<u32>,
    ts: Option<Ts>,
    #[serde(borrow, default)]
    updates: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Event {
    event_id: String,
}

fn id(event: &str) -> Option<String> {
    serde_json::from_str::<Event>(event).ok().map(|e| e.event_id)
}

impl LongPoll {
    /// Takes over all there is; what a person should know of it.
    pub async fn poll(&self, ctx: &Context, api: &Api) -> Result<Vec<Notice>> {
        let file = self.place.open(ctx).await?;
        let mut session = start(ctx, api).await?;
        let remembered = ctx.notes.get(TS).await?.and_then(|v| v.as_str().map(str::to_owned));
        let mut ts = match remembered {
            Some(ts) => ts,
            // What was before is the history's.
            None => {
                let ts = session.ts.text();
                remember(ctx, &ts).await?;
                ts
            }
        };
        let mut known = file.last(REMEMBERED, id).await?;
        let (mut notices, mut refusals) = (Vec::new(), 0);
        for _ in 0..ANSWERS {
            ctx.check_cancelled()?;
            let body = ask(ctx, api, &session, &ts).await?;
            let answer: Answer<'_> = serde_json::from_slice(&body).map_err(|e| {
                Error::protocol(format!("VK's Long Poll does not answer as its page describes: {e}"))
            })?;
            if let Some(failed) = answer.failed {
                refusals += 1;
                if refusals > REFUSALS {
                    return Err(Error::protocol(format!(
                        "VK's Long Poll answers failed {failed} again and again"
                    ))
                    .hint("check that Long Poll is on: in the community, Manage, API usage, Long Poll API"));
                }
                if failed != 1 {
                    session = start(ctx, api).await?;
                }
                if failed != 2 {
                    ts = answer.ts.filter(|_| failed == 1).as_ref().unwrap_or(&session.ts).text();
                    notices.push(lost(failed));
                    remember(ctx, &ts).await?;
                }
                continue;
            }
            refusals = 0;
            if answer.updates.is_empty() {
                break;
            }
            let new: Vec<String> = answer
                .updates
                .iter()
                .map(|event| event.get().to_owned())
                .filter(|event| id(event).is_none_or(|id| !known.contains(&id)))
                .collect();
            known.clear();
            file.append(ctx.clock.now_us(), &new).await?;
            let Some(next) = answer.ts else {
                return Err(Error::protocol("VK's Long Poll gave events and not how far they go (ts)"));
            };
            ts = next.text();
            remember(ctx, &ts).await?;
        }
        Ok(notices)
    }
}

async fn remember(ctx: &Context, ts: &str) -> Result<()> {
    ctx.notes.put(TS, Some(json!(ts))).await
}

async fn start(ctx: &Context, api: &Api) -> Result<Session> {
    api.ask(ctx, "groups.getLongPollServer", &[api.group()]).await
}

async fn ask(ctx: &Context, api: &Api, session: &Session, ts: &str) -> Result<bytes::Bytes> {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("act", "a_check")
        .append_pair("key", &session.key)
        .append_pair("ts", ts)
        .append_pair("wait", &WAIT.to_string())
        .finish();
    let scheme = if session.server.contains("://") { "" } else { "https://" };
    let key = format!("vk_long_poll:{}", api.group_id).into();
    let account = Account { key, per_second: 10.0, burst: 5, parallel: 1 };
    let mut request = HttpRequest::new(Method::Get, format!("{scheme}{}?{query}", session.server), account);
    request.judge = Some(Arc::new(judge));
    ctx.http.send(request).await?.bytes().await
}

fn judge(head: &HttpResponseHead, body: &[u8]) -> Verdict {
    if !(200..300).contains(&head.status) {
        return Verdict::ByStatus;
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
        Ok(_) => Verdict::Accept,
        Err(e) => Verdict::Retry {
            after: None,
            account_wide: false,
            why: format!("the answer is no whole JSON: {e}"),
        },
    }
}

fn lost(failed: u32) -> Notice {
    Notice {
        code: "events_may_be_lost".into(),
        message: format!(
            "VK's Long Poll does not have all events since the last run any more (failed {failed}): messages come with \
             the history, reads, permissions and edits in between are lost; schedule the pipeline more often"
        ),
    }
}
