//! VK's API of a community, <https://dev.vk.com/method>: conversations, their history, people.
//!
//! What people write to the studio in WhatsApp they write here to its community; answers are here too.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::call::Call;
use crate::chat::{BROADCAST_CONV, Event, Sender, State, What, event_text};
use crate::company::Company;
use crate::faults::Fault;
use crate::reply::{Reply, pairs};
use crate::story::Story;
use crate::words::answers;

pub const TOKEN: &str = "vk1.a.company-community-token";
/// Of a user who administers the community: `stats.get` takes no other.
pub const USER_TOKEN: &str = "vk1.a.company-user-token";
pub const GROUP_ID: u64 = 200_000_001;
const FIRST_USER: i64 = 1_000_001;
const FIRST_MESSAGE: i64 = 481;
const MOST: usize = 200;

/// A message: event `n` of person `k`.
#[derive(Clone, Copy)]
struct Written {
    at: i64,
    k: u32,
    n: u16,
}

#[derive(Default)]
struct Index {
    /// In the order of their ids.
    all: Vec<Written>,
    by_person: BTreeMap<u32, Vec<u32>>,
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Events that Long Poll still has.
    pub kept: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { kept: 10_000 }
    }
}

pub struct Vk {
    options: Options,
    index: OnceLock<Index>,
}

/// An error is an answer with status 200.
pub fn refuse(code: i64, text: &str) -> Reply {
    let error = json!({"error": {"error_code": code, "error_msg": text, "request_params":
        [{"key": "method", "value": "messages.getHistory"}, {"key": "v", "value": "5.199"}]}});
    Reply::json(200, error.to_string())
}

/// What a fault's status stands for.
pub fn failure(status: u16) -> Reply {
    match status {
        429 => refuse(6, "Too many requests per second"),
        420 => refuse(9, "Flood control"),
        403 => refuse(15, "Access denied"),
        401 => refuse(5, "User authorization failed: invalid access_token (4)."),
        500 => refuse(10, "Internal server error: Unknown error, try later"),
        _ => Reply::new(status, "text/html", "<html><body>Bad gateway</body></html>"),
    }
}

fn ok(value: &Value) -> Reply {
    Reply::json(200, json!({ "response": value }).to_string())
}

struct Params(Vec<(String, String)>);

impl Params {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A number, or what VK says of something that is none.
    fn int(&self, name: &str, default: i64) -> Result<i64, Reply> {
        self.text(name).map_or(Ok(default), |v| v.parse()).map_err(|_| wrong(name))
    }
}

fn wrong(name: &str) -> Reply {
    refuse(100, &format!("One of the parameters specified was missing or invalid: {name} is invalid"))
}

/// The key of Long Poll lasts until the next day.
fn key(now: i64) -> String {
    format!("company-long-poll-key-{}", now.div_euclid(86_400))
}

impl Vk {
    pub fn new(options: Options) -> Vk {
        Vk { options, index: OnceLock::new() }
    }

    pub fn answer(&self, call: &Call) -> Reply {
        if call.path == format!("/vk-long-poll/{GROUP_ID}") {
            return self.long_poll(call);
        }
        let body = String::from_utf8_lossy(call.body);
        let params = Params(pairs(call.query).into_iter().chain(pairs(&body)).collect());
        let bearer = call.authorization.strip_prefix("Bearer ");
        let method = call.path.strip_prefix("/method/").unwrap_or_default();
        match params.text("access_token").or(bearer) {
            Some(TOKEN) if method == "stats.get" => {
                return refuse(27, "Group authorization failed: method is unavailable with group auth.");
            }
            Some(TOKEN) => {}
            Some(USER_TOKEN) if method == "stats.get" => {}
            _ => return failure(401),
        }
        if params.text("v").is_none_or(|v| !v.starts_with("5.")) {
            return refuse(8, "Invalid request: v (version) is required");
        }
        let made = match method {
            "stats.get" => statistics(call, &params),
            "messages.getConversations" => self.conversations(call, &params),
            "messages.getHistory" => self.history(call, &params),
            "users.get" => users(call, &params),
            "groups.getLongPollServer" => of_group(&params).map(|()| {
                let ts = self.events(call).to_string();
                ok(&json!({"key": key(call.now), "server": format!("{}/vk-long-poll/{GROUP_ID}", call.base), "ts": ts}))
            }),
            _ => Err(refuse(3, "Unknown method passed")),
        };
        made.unwrap_or_else(|refused| refused)
    }

    fn conversations(&self, call: &Call, params: &Params) -> Result<Reply, Reply> {
        of_group(params)?;
        let index = self.index(call.company);
        let mut talks: Vec<(u32, u32)> = index
            .by_person
            .iter()
            .filter_map(|(k, own)| until(index, own, call.now).last().map(|last| (*last, *k)))
            .collect();
        talks.sort_unstable_by(|a, b| b.cmp(a));
        let total = talks.len();
        let from = params.int("start_message_id", 0)?;
        if from > 0 {
            talks.retain(|(last, _)| FIRST_MESSAGE + i64::from(*last) <= from);
        }
        let items: Vec<Value> = page(&talks, params)?
            .iter()
            .map(|(last, k)| {
                let last_id = FIRST_MESSAGE + i64::from(*last);
                let peer = FIRST_USER + i64::from(*k);
                json!({"conversation": {"peer": {"id": peer, "type": "user", "local_id": peer},
                    "last_message_id": last_id, "in_read": last_id, "out_read": last_id, "is_marked_unread": false,
                    "important": false, "can_write": {"allowed": true}},
                    "last_message": message(call.company, index, *last)})
            })
            .collect();
        Ok(ok(&json!({"count": total, "items": items})))
    }

    fn history(&self, call: &Call, params: &Params) -> Result<Reply, Reply> {
        of_group(params)?;
        let index = self.index(call.company);
        let peer = params.int("peer_id", 0)?;
        let own = u32::try_from(peer - FIRST_USER).ok().and_then(|k| index.by_person.get(&k));
        let Some(own) = own else { return Err(refuse(936, "Contact not found")) };
        let mut own: Vec<u32> = until(index, own, call.now).to_vec();
        let total = own.len();
        let rev = params.int("rev", 0)? == 1;
        let from = params.int("start_message_id", 0)?;
        if !rev {
            own.reverse();
        }
        if from > 0 {
            own.retain(|n| {
                (FIRST_MESSAGE + i64::from(*n) <= from) != rev || FIRST_MESSAGE + i64::from(*n) == from
            });
        }
        let mut items: Vec<Value> =
            page(&own, params)?.iter().map(|n| message(call.company, index, *n)).collect();
        for fault in call.faults {
            match fault {
                Fault::LeaveOut { rows } => items.truncate(items.len().saturating_sub(*rows)),
                Fault::Malformed { row, .. } => {
                    if let Some(item) = items.get_mut(*row) {
                        *item = "no message".into();
                    }
                }
                _ => {}
            }
        }
        Ok(ok(&json!({"count": total, "items": items})))
    }

    /// How many there were.
    fn events(&self, call: &Call) -> usize {
        self.index(call.company).all.partition_point(|w| w.at <= call.now)
    }

    fn long_poll(&self, call: &Call) -> Reply {
        let params = Params(pairs(call.query));
        let count = self.events(call);
        let failed = |value: Value| Reply::json(200, value.to_string());
        let Some(ts) = params.text("ts").and_then(|t| t.parse::<usize>().ok()).filter(|ts| *ts <= count)
        else {
            return failed(json!({"failed": 3}));
        };
        if params.text("key") != Some(key(call.now).as_str()) {
            return failed(json!({"failed": 2}));
        }
        if ts + self.options.kept < count {
            return failed(json!({"failed": 1, "ts": count - self.options.kept}));
        }
        let index = self.index(call.company);
        let to = count.min(ts + 50);
        let updates: Vec<Value> = (ts..to).map(|n| event(&message(call.company, index, n as u32))).collect();
        // A text, although failed 1 has a number.
        Reply::json(200, json!({"ts": to.to_string(), "updates": updates}).to_string())
    }

    fn index(&self, company: &Company) -> &Index {
        self.index.get_or_init(|| {
            let mut all = Vec::new();
            for k in 0..company.people() {
                let story = company.story(k);
                if story.inquiries.is_empty() {
                    continue;
                }
                for (n, e) in crate::chat::events(&company.cfg, &story).iter().enumerate() {
                    if is_message(e) {
                        all.push(Written { at: e.at, k: k as u32, n: n as u16 });
                    }
                }
            }
            all.sort_unstable_by_key(|w| (w.at, w.k, w.n));
            let mut by_person: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for (n, written) in all.iter().enumerate() {
                by_person.entry(written.k).or_default().push(n as u32);
            }
            Index { all, by_person }
        })
    }

    /// All messages of all conversations until then.
    pub fn truth(&self, company: &Company, now: i64) -> Vec<Value> {
        let index = self.index(company);
        let count = index.all.partition_point(|w| w.at <= now) as u32;
        (0..count).map(|n| message(company, index, n)).collect()
    }

    /// People who wrote or were written to until then.
    pub fn people(&self, company: &Company, now: i64) -> usize {
        let index = self.index(company);
        index.by_person.values().filter(|own| !until(index, own, now).is_empty()).count()
    }
}

/// A message as the Callback API and Long Poll tell it.
pub fn event(message: &Value) -> Value {
    let (kind, object) = if message["out"] == 1 {
        ("message_reply", message.clone())
    } else {
        ("message_new", json!({"message": message, "client_info": {"keyboard": true, "lang_id": 0}}))
    };
    json!({"group_id": GROUP_ID, "type": kind, "event_id": format!("{:040x}", message["id"].as_i64().unwrap_or(0)),
        "v": "5.199", "object": object})
}

fn until<'a>(index: &Index, own: &'a [u32], now: i64) -> &'a [u32] {
    &own[..own.partition_point(|n| index.all[*n as usize].at <= now)]
}

fn of_group(params: &Params) -> Result<(), Reply> {
    match params.text("group_id") {
        None => Ok(()),
        Some(id) if id == GROUP_ID.to_string() => Ok(()),
        Some(_) => Err(refuse(15, "Access denied: no access to this group")),
    }
}

fn page<'a, T>(all: &'a [T], params: &Params) -> Result<&'a [T], Reply> {
    let count = usize::try_from(params.int("count", 20)?).map_err(|_| wrong("count"))?;
    let offset = usize::try_from(params.int("offset", 0)?).map_err(|_| wrong("offset"))?;
    if count > MOST {
        return Err(wrong("count"));
    }
    let from = offset.min(all.len());
    Ok(&all[from..(from + count).min(all.len())])
}

/// What came in, what the office wrote by hand, and what was sent for it.
fn is_message(e: &Event) -> bool {
    e.is_incoming() || matches!(e.what, What::Echo(_) | What::Status { state: State::Sent, .. })
}

fn message(company: &Company, index: &Index, n: u32) -> Value {
    let Some(written) = index.all.get(n as usize) else { return Value::Null };
    let story = company.story(u64::from(written.k));
    let events = crate::chat::events(&company.cfg, &story);
    let Some(e) = events.get(usize::from(written.n)) else { return Value::Null };
    let peer = FIRST_USER + i64::from(written.k);
    let number = index.by_person.get(&written.k).map_or(0, |own| own.partition_point(|m| *m < n)) + 1;
    let out = !e.is_incoming();
    let mut message = json!({"date": e.at, "from_id": if out { -(GROUP_ID as i64) } else { peer },
        "id": FIRST_MESSAGE + i64::from(n), "out": i32::from(out), "version": 10_000_211 + n, "attachments": [],
        "conversation_message_id": number, "fwd_messages": [], "important": false, "is_hidden": false,
        "peer_id": peer, "random_id": 0, "text": event_text(&company.cfg, &story, e).unwrap_or_default()});
    say(&story, e, n, &mut message);
    message
}

fn say(story: &Story, e: &Event, n: u32, message: &mut Value) {
    match e.what {
        What::First => {
            if let Some(token) = crate::telegram::start(story, e) {
                message["text"] = "Начать".into();
                message["payload"] = "{\"command\":\"start\"}".into();
                message["ref"] = token.into();
                message["ref_source"] = "site".into();
            }
        }
        What::Image => {
            message["attachments"] = json!([{"type": "photo", "photo": {"id": 457_239_018 + n, "sizes": []}}])
        }
        What::Unsupported => {
            message["attachments"] = json!([{"type": "mini_app", "mini_app": {"app_id": 7}}])
        }
        What::Echo(_) => message["admin_author_id"] = 7_654_321.into(),
        What::Status { sender, .. } => {
            let list = answers(story.person.lang());
            message["text"] = list[n as usize % list.len()].into();
            match sender {
                Sender::Operator(o) => message["admin_author_id"] = (7_654_321 + u32::from(o)).into(),
                Sender::Bot | Sender::Broadcast(_) => {
                    message["random_id"] = (84_512_345 + u32::from(e.conv / BROADCAST_CONV)).into();
                }
            }
        }
        _ => {}
    }
}

/// What VK counted on a day (days since 1970); today only the hours that were.
pub fn day(now: i64, day: i64) -> Value {
    let hours = ((now - day * 86_400) / 3600).clamp(0, 24);
    let n = (day * 37).rem_euclid(91);
    json!({"period_from": day * 86_400, "period_to": day * 86_400 + 86_399,
        "visitors": {"views": n * 3 * hours / 24, "visitors": n * 2 * hours / 24, "mobile_views": n * hours / 24},
        "reach": {"reach": n * 9 * hours / 24, "reach_subscribers": n * 5 * hours / 24, "mobile_reach": n * 7 * hours / 24},
        "activity": {"likes": n % 7, "subscribed": n % 3, "unsubscribed": n % 2}})
}

fn statistics(call: &Call, params: &Params) -> Result<Reply, Reply> {
    of_group(params)?;
    let (from, to) = (params.int("timestamp_from", 0)?, params.int("timestamp_to", call.now)?);
    if params.text("interval").is_some_and(|i| i != "day") || from < 0 || to < from {
        return Err(wrong("interval"));
    }
    let last = to.min(call.now).div_euclid(86_400);
    let mut days: Vec<Value> = (from.div_euclid(86_400)..=last).map(|n| day(call.now, n)).collect();
    // The newest comes first.
    days.reverse();
    Ok(ok(&days.into()))
}

fn users(call: &Call, params: &Params) -> Result<Reply, Reply> {
    let ids: Vec<&str> =
        params.text("user_ids").unwrap_or_default().split(',').filter(|i| !i.is_empty()).collect();
    if ids.len() > 1000 {
        return Err(refuse(113, "Invalid user id"));
    }
    let mut found = Vec::new();
    for id in ids {
        let Some(k) = id.parse::<i64>().ok().and_then(|id| u64::try_from(id - FIRST_USER).ok()) else {
            continue;
        };
        if k < call.company.people() {
            let person = call.company.story(k).person;
            found.push(json!({"id": FIRST_USER + k as i64, "first_name": person.first, "last_name": person.last,
                "screen_name": format!("id{}", FIRST_USER + k as i64), "can_access_closed": true, "is_closed": false}));
        }
    }
    Ok(ok(&found.into()))
}
