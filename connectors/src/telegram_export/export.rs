//! The form of an export: one chat, or the whole account.
//!
//! ```text
//! {"name", "type", "id", "messages": [..]}
//! {"personal_information": {"user_id"}, "chats": {"list": [chat, ..]}, "left_chats": {"list": [..]}, ..}
//! ```

use std::io::Read;

use serde::Deserialize;
use throughline_core::Result;

use super::json::{Json, Stop};

/// A longer message is none of Telegram's.
pub(super) const MESSAGE_MAX: usize = 4 << 20;
/// Of other things that are looked into.
const SMALL: usize = 1 << 20;

/// Whom a message is in.
#[derive(Clone, Debug, Default)]
pub(super) struct Chat {
    /// Of a person or a group, without a sign.
    pub id: i64,
    /// As Telegram writes it: `personal_chat`, `private_supergroup`, ...
    pub kind: String,
    pub name: Option<String>,
    /// Whose export it is, where it says so.
    pub own: Option<i64>,
}

impl Chat {
    /// The chat's id in the Bot API; `None` where no customers write.
    pub fn bot_api_id(&self) -> Option<String> {
        match self.kind.as_str() {
            "personal_chat" => Some(self.id.to_string()),
            "private_group" => Some(format!("-{}", self.id)),
            "private_supergroup" | "public_supergroup" => Some(format!("-100{}", self.id)),
            _ => None,
        }
    }
    pub fn is_personal(&self) -> bool {
        self.kind == "personal_chat"
    }
}

pub(super) trait Take {
    /// A message as it stands there, cut at [`MESSAGE_MAX`]; its whole length; its place in the chat, from 1.
    fn message(&mut self, chat: &Chat, raw: &[u8], length: u64, number: u64) -> Result<()>;
    /// A chat whose messages are passed over.
    fn passed(&mut self, chat: &Chat);
}

#[derive(Deserialize)]
struct Person {
    user_id: Option<i64>,
}

/// Reads a whole export.
pub(super) fn walk<R: Read>(json: &mut Json<R>, take: &mut impl Take) -> Result<(), Stop> {
    let found = object(json, None, take)?;
    if json.peek()?.is_some() {
        return Err(json.wrong("there is something behind the export"));
    }
    if found { Ok(()) } else { Err(json.wrong("there are neither `messages` nor `chats` in it")) }
}

/// A chat, or the account around all chats; whether there was anything of either.
fn object<R: Read>(json: &mut Json<R>, own: Option<i64>, take: &mut impl Take) -> Result<bool, Stop> {
    json.require(b'{', "an object")?;
    let (mut chat, mut has_id) = (Chat { own, ..Chat::default() }, false);
    let (mut found, mut first) = (false, true);
    while json.more(&mut first, b'}')? {
        match json.key()?.as_str() {
            "name" => chat.name = small(json)?,
            "type" => chat.kind = small::<_, String>(json)?.unwrap_or_default(),
            "id" => {
                let id = small(json)?;
                has_id = id.is_some();
                chat.id = id.unwrap_or_default();
            }
            "personal_information" => chat.own = small::<_, Person>(json)?.and_then(|p| p.user_id),
            "messages" => {
                if !has_id || chat.kind.is_empty() {
                    return Err(
                        json.wrong("the messages of a chat whose `id` and `type` do not come before them")
                    );
                }
                found = true;
                messages(json, &chat, take)?;
            }
            // Only around the chats, not inside of one.
            "chats" | "left_chats" if own.is_none() && !has_id => {
                found = true;
                lists(json, chat.own, take)?;
            }
            _ => {
                json.value(None, 0)?;
            }
        }
    }
    Ok(found)
}

/// `{"about": .., "list": [..]}`.
fn lists<R: Read>(json: &mut Json<R>, own: Option<i64>, take: &mut impl Take) -> Result<(), Stop> {
    json.require(b'{', "an object with a list of chats")?;
    let mut first = true;
    while json.more(&mut first, b'}')? {
        if json.key()? != "list" {
            json.value(None, 0)?;
            continue;
        }
        json.require(b'[', "a list of chats")?;
        let mut first = true;
        while json.more(&mut first, b']')? {
            // A chat never holds chats: whoever it is of, it is not read as an account.
            object(json, Some(own.unwrap_or_default()), take)?;
        }
    }
    Ok(())
}

fn messages<R: Read>(json: &mut Json<R>, chat: &Chat, take: &mut impl Take) -> Result<(), Stop> {
    if chat.bot_api_id().is_none() {
        take.passed(chat);
        return json.value(None, 0).map(drop);
    }
    json.require(b'[', "a list of messages")?;
    let (mut first, mut number, mut raw) = (true, 0, Vec::new());
    while json.more(&mut first, b']')? {
        number += 1;
        raw.clear();
        let length = json.value(Some(&mut raw), MESSAGE_MAX)?;
        take.message(chat, &raw, length, number)?;
    }
    Ok(())
}

/// A small value; `None` for one of another kind.
fn small<R: Read, T: serde::de::DeserializeOwned>(json: &mut Json<R>) -> Result<Option<T>, Stop> {
    let mut raw = Vec::new();
    json.value(Some(&mut raw), SMALL)?;
    Ok(serde_json::from_slice(&raw).ok())
}
