//! Telegram's Bot API, <https://core.telegram.org/bots/api>: getUpdates with its offset, getMe, and webhooks as far as
//! they stand in the way.
//!
//! What people write to the studio in WhatsApp they write here to its bot. A bot receives what comes in, and blocks;
//! what it sends itself it is not told.

use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

use crate::call::Call;
use crate::chat::{Event, What, event_text};
use crate::company::{ChatRef, Company};
use crate::reply::{Reply, lock, pairs};
use crate::story::{Brought, Story, Variant};
use crate::token::text;

pub const TOKEN: &str = "700000001:AAcompany-telegram-bot-token";
pub const BOT_ID: u64 = 700_000_001;
const FIRST_UPDATE: i64 = 730_000_001;
const FIRST_USER: u64 = 5_000_000_000;
/// Kinds of updates that an empty list leaves out.
const NOT_BY_DEFAULT: [&str; 3] = ["chat_member", "message_reaction", "message_reaction_count"];

#[derive(Clone, Debug)]
pub struct Options {
    /// Updates are kept so long, by the company's clock.
    pub kept_s: i64,
}

impl Default for Options {
    fn default() -> Options {
        Options { kept_s: 86_400 }
    }
}

#[derive(Default)]
struct Remembered {
    /// Updates below are confirmed.
    confirmed: i64,
    webhook: String,
    /// Empty: the default.
    allowed: Vec<String>,
}

pub struct Telegram {
    options: Options,
    remembered: Mutex<Remembered>,
    /// Chats that are updates, in the order they come.
    updates: OnceLock<Vec<ChatRef>>,
}

pub fn refuse(code: u16, description: &str) -> Reply {
    let mut error = json!({"ok": false, "error_code": code, "description": description});
    if code == 429 {
        error["description"] = "Too Many Requests: retry after 5".into();
        error["parameters"] = json!({"retry_after": 5});
    }
    Reply::json(code, error.to_string())
}

fn result(value: &Value) -> Reply {
    Reply::json(200, json!({"ok": true, "result": value}).to_string())
}

impl Telegram {
    pub fn new(options: Options) -> Telegram {
        Telegram { options, remembered: Mutex::default(), updates: OnceLock::new() }
    }

    pub fn answer(&self, call: &Call) -> Reply {
        let Some(method) = call
            .path
            .strip_prefix("/bot")
            .and_then(|p| p.strip_prefix(TOKEN))
            .and_then(|p| p.strip_prefix('/'))
        else {
            return refuse(401, "Unauthorized");
        };
        let Some(params) = params(call) else {
            return refuse(400, "Bad Request: can't parse the parameters");
        };
        match method.to_ascii_lowercase().as_str() {
            "getupdates" => self.get_updates(call, &params),
            "getme" => result(
                &json!({"id": BOT_ID, "is_bot": true, "first_name": "Studio", "username": "studio_svet_bot",
                "can_join_groups": true, "can_read_all_group_messages": false, "supports_inline_queries": false}),
            ),
            "getwebhookinfo" => {
                let remembered = lock(&self.remembered);
                let waiting = self.waiting(call.company, call.now, remembered.confirmed).len();
                result(&json!({"url": remembered.webhook, "has_custom_certificate": false,
                    "pending_update_count": waiting}))
            }
            "setwebhook" | "deletewebhook" => {
                lock(&self.remembered).webhook = params["url"].as_str().unwrap_or_default().to_owned();
                result(&Value::Bool(true))
            }
            _ => refuse(404, "Not Found"),
        }
    }

    fn get_updates(&self, call: &Call, params: &Value) -> Reply {
        let mut remembered = lock(&self.remembered);
        if !remembered.webhook.is_empty() {
            return refuse(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the \
                 webhook first",
            );
        }
        if let Some(allowed) = params["allowed_updates"].as_array() {
            remembered.allowed = allowed.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        }
        let all = self.updates(call.company);
        let offset = params["offset"].as_i64().unwrap_or(0);
        if offset < 0 {
            let reached = all.partition_point(|r| r.received <= call.now) as i64;
            remembered.confirmed = remembered.confirmed.max(FIRST_UPDATE + reached + offset);
        } else if offset > 0 {
            remembered.confirmed = remembered.confirmed.max(offset);
        }
        let limit = params["limit"].as_u64().unwrap_or(100).clamp(1, 100) as usize;
        let given: Vec<Value> = self
            .waiting(call.company, call.now, remembered.confirmed)
            .filter_map(|(id, r)| update(call.company, id, *r))
            .filter(|u| {
                let kinds = u.as_object().map(|o| o.keys().map(String::as_str).collect::<Vec<_>>());
                kinds.unwrap_or_default().iter().any(|kind| {
                    *kind != "update_id"
                        && match remembered.allowed.as_slice() {
                            [] => !NOT_BY_DEFAULT.contains(kind),
                            list => list.iter().any(|l| l == kind),
                        }
                })
            })
            .take(limit)
            .collect();
        result(&given.into())
    }

    fn updates(&self, company: &Company) -> &[ChatRef] {
        self.updates.get_or_init(|| {
            let told = |r: &&ChatRef| company.chat(**r).is_some_and(|(_, e)| is_update(&e));
            company.chats().iter().filter(told).copied().collect()
        })
    }

    fn waiting<'a>(
        &'a self,
        company: &'a Company,
        now: i64,
        confirmed: i64,
    ) -> impl ExactSizeIterator<Item = (i64, &'a ChatRef)> {
        let all = self.updates(company);
        let from = all.partition_point(|r| r.received <= now - self.options.kept_s);
        let from = from.max((confirmed - FIRST_UPDATE).clamp(0, all.len() as i64) as usize);
        let to = all.partition_point(|r| r.received <= now).max(from);
        all[from..to].iter().enumerate().map(move |(n, r)| (FIRST_UPDATE + (from + n) as i64, r))
    }

    /// Every update that came until then, whether anybody asked for it or not.
    pub fn truth(&self, company: &Company, now: i64) -> Vec<Value> {
        let all = self.updates(company).iter().take_while(|r| r.received <= now);
        all.enumerate().filter_map(|(n, r)| update(company, FIRST_UPDATE + n as i64, *r)).collect()
    }

    /// When the n-th update, from 0, comes.
    pub fn at(&self, company: &Company, n: usize) -> Option<i64> {
        self.updates(company).get(n).map(|r| r.received)
    }
}

/// Of a query, a form or a JSON object, whichever it is.
fn params(call: &Call) -> Option<Value> {
    if call.header("content-type").starts_with("application/json") {
        return serde_json::from_slice::<Value>(call.body).ok().filter(Value::is_object);
    }
    let body = std::str::from_utf8(call.body).ok()?;
    let mut params = serde_json::Map::new();
    for (name, value) in pairs(call.query).into_iter().chain(pairs(body)) {
        let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
        params.insert(name, value);
    }
    Some(params.into())
}

fn is_update(e: &Event) -> bool {
    e.is_incoming() || matches!(e.what, What::Reaction { .. } | What::OptOut)
}

fn number(e: &Event) -> u32 {
    u32::from(e.conv) * 100 + u32::from(e.msg) + 1
}

fn update(company: &Company, id: i64, r: ChatRef) -> Option<Value> {
    let (s, e) = company.chat(r)?;
    let user = FIRST_USER + s.person.k;
    let from = json!({"id": user, "is_bot": false, "first_name": s.person.first, "last_name": s.person.last,
        "username": format!("client_{}", s.person.k), "language_code": "ru"});
    let chat = json!({"id": user, "type": "private", "first_name": s.person.first, "last_name": s.person.last,
        "username": format!("client_{}", s.person.k)});
    Some(match e.what {
        What::OptOut => {
            let bot =
                json!({"id": BOT_ID, "is_bot": true, "first_name": "Studio", "username": "studio_svet_bot"});
            json!({"update_id": id, "my_chat_member": {"chat": chat, "from": from, "date": e.at,
                "old_chat_member": {"user": bot, "status": "member"},
                "new_chat_member": {"user": bot, "status": "kicked", "until_date": 0}}})
        }
        What::Reaction { to } => json!({"update_id": id, "message_reaction": {"chat": chat, "user": from,
            "message_id": u32::from(e.conv) * 100 + u32::from(to) + 1, "date": e.at, "old_reaction": [],
            "new_reaction": [{"type": "emoji", "emoji": "👍"}]}}),
        _ => {
            let mut message = json!({"message_id": number(&e), "from": from, "chat": chat, "date": e.at});
            said(company, &s, &e, &mut message);
            json!({"update_id": id, "message": message})
        }
    })
}

fn said(company: &Company, s: &Story, e: &Event, message: &mut Value) {
    let words = event_text(&company.cfg, s, e);
    match e.what {
        What::First => match start(s, e) {
            Some(payload) => {
                message["text"] = format!("/start {payload}").into();
                message["entities"] = json!([{"offset": 0, "length": 6, "type": "bot_command"}]);
            }
            None => message["text"] = words.into(),
        },
        What::Image => {
            message["photo"] = json!([{"file_id": format!("AgAC{}", number(e)), "file_unique_id": "AQAD", "width": 90,
                "height": 67}]);
            message["caption"] = words.into();
        }
        What::Unsupported => message["dice"] = json!({"emoji": "🎲", "value": 4}),
        _ => message["text"] = words.into(),
    }
}

/// The payload of the link that the person came by, where the button was pressed and nothing changed.
pub fn start(s: &Story, e: &Event) -> Option<String> {
    let inquiry = s.inquiry(e.conv)?;
    match (inquiry.brought, inquiry.variant) {
        (Brought::Visit(no), Variant::Intact) => s.visit(no).map(|v| text(&v.token()).to_owned()),
        _ => None,
    }
}
