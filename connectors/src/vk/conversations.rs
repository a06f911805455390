//! The list of conversations, the one with the latest message first.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;
use throughline_core::{Context, Error, Result};

use super::client::{Answer, Api, List, PAGE, response};

/// Where a conversation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Talk {
    pub peer: i64,
    /// Of its last message; 0 where messages have no ids of the community's own.
    pub last_id: i64,
    /// Unix seconds.
    pub last_date: i64,
}

#[derive(Deserialize)]
struct Item {
    conversation: Conversation,
    #[serde(default)]
    last_message: Option<Message>,
}
#[derive(Deserialize)]
struct Conversation {
    peer: Peer,
    #[serde(default)]
    last_message_id: i64,
}
#[derive(Deserialize)]
struct Peer {
    id: i64,
}
#[derive(Default, Deserialize)]
struct Message {
    #[serde(default)]
    date: i64,
}

/// Pages through the list. New messages bring conversations to its front meanwhile, so what is asked for next is not
/// a number of places but a message: what comes before or again does not matter.
pub(super) struct Pages<'a> {
    ctx: &'a Context,
    api: &'a Api,
    seen: HashSet<i64>,
    /// VK's own number of conversations, when it was first asked.
    count: Option<u64>,
    next: Option<(&'static str, i64)>,
    over: bool,
}

impl<'a> Pages<'a> {
    pub fn new(ctx: &'a Context, api: &'a Api) -> Self {
        Self { ctx, api, seen: HashSet::new(), count: None, next: None, over: false }
    }

    /// VK's own number of conversations.
    pub fn count(&self) -> u64 {
        self.count.unwrap_or_default()
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Begins once more with the first page, for those that came to the front meanwhile; false when nobody is
    /// missing.
    pub fn again(&mut self) -> bool {
        (self.next, self.over) = (None, false);
        (self.seen.len() as u64) < self.count()
    }

    /// Gives each conversation of the next page that was not there yet to `each`; false when there is none.
    pub async fn next(&mut self, mut each: impl FnMut(Talk, &RawValue, u64)) -> Result<bool> {
        const METHOD: &str = "messages.getConversations";
        if self.over {
            return Ok(false);
        }
        self.ctx.check_cancelled()?;
        let mut params = vec![self.api.group(), ("count", PAGE.to_string()), ("filter", "all".to_owned())];
        if let Some((name, value)) = self.next {
            params.push((name, value.to_string()));
        }
        let (body, exchange) = match self.api.call(self.ctx, METHOD, &params).await? {
            Answer::Good { body, exchange } => (body, exchange),
            Answer::Unreachable(failure) => return Err(failure.error()),
        };
        let list: List<'_> = response(METHOD, &body)?;
        let count = *self.count.get_or_insert(list.count);
        let (before, length) = (self.seen.len(), list.items.len());
        let mut last = Talk::default();
        for raw in list.items {
            let item: Item = serde_json::from_str(raw.get()).map_err(|e| {
                Error::protocol(format!("VK's answer to {METHOD}: a conversation without {e}"))
            })?;
            last = Talk {
                peer: item.conversation.peer.id,
                last_id: item.conversation.last_message_id,
                last_date: item.last_message.unwrap_or_default().date,
            };
            if self.seen.insert(last.peer) {
                each(last, raw, exchange);
            }
        }
        let new = self.seen.len() - before;
        self.next = Some(if last.last_id > 0 {
            ("start_message_id", last.last_id)
        } else {
            let places = self.next.filter(|(name, _)| *name == "offset").map_or(before as i64, |(_, at)| at);
            ("offset", places + length as i64)
        });
        self.over = new == 0 || self.seen.len() as u64 >= count;
        Ok(new > 0)
    }
}
