//! Records of the reports, made from the company's people when they are asked for.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fields::{Report, local};
use super::{Asked, Call};
use crate::chat::{BROADCAST_CONV, Event, Sender, State, What, event_text, events};
use crate::company::{Company, VisitRef};
use crate::metrika::rows::start_url;
use crate::story::{Brought, DAY, Story};
use crate::words::{OPERATORS, answers};

const FIRST_VISITOR: u64 = 4_510_001;
const FIRST_PERSON: u64 = 3_310_001;
const FIRST_CHAT: u64 = 90_210_001;
const FIRST_MESSAGE: u64 = 501;
const FIRST_SESSION: u64 = 7_710_001;
const FIRST_EMPLOYEE: u64 = 55;
const CHANNELS: [(u64, &str, &str, &str); 3] = [
    (17, "telegram", "Бот студии", "studio_svet_bot"),
    (18, "whatsapp", "WhatsApp", "79990000000"),
    (19, "comagic", "Чат на сайте", ""),
];

/// An event `n` of person `k` that is a message.
#[derive(Clone, Copy)]
struct Written {
    at: i64,
    k: u32,
    n: u16,
    conv: u8,
}

/// Messages in order, and chats: conversations by their first message.
pub struct Index {
    messages: Vec<Written>,
    /// Positions of first messages, in order.
    chats: Vec<u32>,
    /// Chat by person and conversation: its number from 0.
    numbers: BTreeMap<(u32, u8), u32>,
}

impl Index {
    pub fn new(company: &Company) -> Index {
        let mut messages = Vec::new();
        for k in 0..company.people() {
            let story = company.story(k);
            if story.inquiries.is_empty() {
                continue;
            }
            for (n, e) in events(&company.cfg, &story).iter().enumerate() {
                if is_message(e) {
                    messages.push(Written { at: e.at, k: k as u32, n: n as u16, conv: e.conv });
                }
            }
        }
        messages.sort_unstable_by_key(|w| (w.at, w.k, w.n));
        let (mut chats, mut numbers) = (Vec::new(), BTreeMap::new());
        for (n, written) in messages.iter().enumerate() {
            numbers.entry((written.k, written.conv)).or_insert_with(|| {
                chats.push(n as u32);
                chats.len() as u32 - 1
            });
        }
        Index { messages, chats, numbers }
    }

    /// The records of a page, and how many the window has.
    pub fn page(&self, call: &Call, report: Report, asked: &Asked) -> (Vec<Value>, usize) {
        let company = call.company;
        // Both ends count: a window of seconds ends with the second that is named.
        let till = asked.till.min(call.now);
        let take = |all: &[u32]| -> Vec<u32> {
            let from = asked.offset.min(all.len());
            all[from..from.saturating_add(asked.limit).min(all.len())].to_vec()
        };
        let chosen = |record: Value| -> Value {
            let get = |name: &&'static str| ((*name).to_owned(), record[*name].clone());
            Value::Object(asked.fields.iter().map(get).collect())
        };
        match report {
            Report::Messages => {
                let from = self.messages.partition_point(|w| w.at < asked.from) as u32;
                let to = self.messages.partition_point(|w| w.at <= till) as u32;
                let all: Vec<u32> = (from..to.max(from)).collect();
                let found = take(&all).into_iter().map(|n| chosen(self.message(company, n))).collect();
                (found, all.len())
            }
            Report::Chats => {
                let at = |chat: &u32| self.messages[*chat as usize].at;
                let all: Vec<u32> = (0..self.chats.len() as u32)
                    .filter(|c| (asked.from..=till).contains(&at(&self.chats[*c as usize])))
                    .collect();
                let found = take(&all).into_iter().map(|c| chosen(self.chat(call, c))).collect();
                (found, all.len())
            }
            Report::Sessions => {
                let from = asked.from.max(company.cfg.start_at() - DAY);
                let all: Vec<VisitRef> = company
                    .visits_between(from, till.saturating_add(1), call.now)
                    .filter(|v| !v.robot)
                    .collect();
                let places: Vec<u32> = (0..all.len() as u32).collect();
                let record = |n: u32| chosen(session(company, all[n as usize]));
                (take(&places).into_iter().map(record).collect(), all.len())
            }
            Report::Channels => {
                let all: Vec<u32> = (0..CHANNELS.len() as u32).collect();
                let record = |n: u32| {
                    let (id, kind, name, external) = CHANNELS[n as usize];
                    chosen(json!({"id": id, "name": name, "type": kind, "status": "active", "group_id": null,
                        "group_name": null, "employee_id": null, "employee_full_name": null,
                        "channel_external_id": if external.is_empty() { Value::Null } else { external.into() }}))
                };
                (take(&all).into_iter().map(record).collect(), all.len())
            }
            Report::Employees => {
                let all: Vec<u32> = (0..OPERATORS.len() as u32).collect();
                let record = |n: u32| {
                    let (name, email, team) = OPERATORS[n as usize];
                    let (first, last) = name.split_once(' ').unwrap_or((name, ""));
                    chosen(json!({"id": FIRST_EMPLOYEE + u64::from(n), "login": email, "first_name": first,
                        "last_name": last, "patronymic": null, "full_name": format!("{last} {first}"),
                        "status": "available", "status_id": 1, "email": email,
                        "groups": [{"group_id": 7 + n / 2, "group_name": team}]}))
                };
                (take(&all).into_iter().map(record).collect(), all.len())
            }
        }
    }

    fn message(&self, company: &Company, n: u32) -> Value {
        let w = self.messages[n as usize];
        let story = company.story(u64::from(w.k));
        let Some(e) = events(&company.cfg, &story).get(usize::from(w.n)).copied() else { return Value::Null };
        let chat = self.numbers.get(&(w.k, w.conv)).copied().unwrap_or_default();
        let (channel, kind, ..) = channel(w.k);
        let (mut source, mut operator) = ("visitor", None);
        let mut text = event_text(&company.cfg, &story, &e);
        match e.what {
            What::Echo(o) => (source, operator) = ("operator", Some(usize::from(o) % OPERATORS.len())),
            What::Status { sender, .. } => {
                let list = answers(story.person.lang());
                text = Some(list[n as usize % list.len()].to_owned());
                match sender {
                    Sender::Operator(o) => {
                        (source, operator) = ("operator", Some(usize::from(o) % OPERATORS.len()));
                    }
                    Sender::Bot => source = "chatbot",
                    Sender::Broadcast(_) => source = "retention",
                }
            }
            _ => {}
        }
        let image = matches!(e.what, What::Image);
        let resource = if image {
            json!({"size": 20_480, "type": "image", "file_url": "https://files.example/f.png", "file_name": "f.png",
                "mime_type": "image/png"})
        } else {
            json!({})
        };
        json!({"id": FIRST_MESSAGE + u64::from(n), "chat_id": FIRST_CHAT + u64::from(chat), "channel_id": channel,
            "channel_type": kind, "date_time": local(company, w.at), "is_group_chat": false,
            "visitor_id": FIRST_VISITOR + u64::from(w.k), "text": text, "source": source, "resource": resource,
            "employee_id": operator.map(|o| FIRST_EMPLOYEE + o as u64),
            "employee_full_name": operator.map(|o| OPERATORS[o].0)})
    }

    fn chat(&self, call: &Call, c: u32) -> Value {
        let company = call.company;
        let w = self.messages[self.chats[c as usize] as usize];
        let story = company.story(u64::from(w.k));
        let (id, kind, name, _) = channel(w.k);
        let inquiry = story.inquiry(w.conv);
        let brought = inquiry.and_then(|i| match i.brought {
            Brought::Visit(no) => story.visit(no),
            _ => None,
        });
        // What becomes of a chat shows hours later, without any trace of when.
        let age = call.now - w.at;
        let over = age > 3600;
        let rating =
            (over && c.is_multiple_of(3) && age > 3600 * i64::from(2 + c % 18)).then_some(1 + (c / 3) % 5);
        let operator = inquiry.map(|i| usize::from(i.operator) % OPERATORS.len());
        let mut chat = json!({
            "id": FIRST_CHAT + u64::from(c), "status": if over { "succeed" } else { "active" },
            "initiator": if w.conv >= BROADCAST_CONV { "operator" } else { "visitor" },
            "date_time": local(company, w.at), "answer_time": 42, "communication_id": FIRST_CHAT + u64::from(c),
            "communication_type": "chat", "chat_channel_id": id, "chat_channel_type": kind, "chat_channel_name": name,
            "chat_user_id": (987_000_000 + w.k).to_string(), "chat_username": format!("client_{}", w.k),
            "is_group_chat": false, "is_transfer": false, "employee_raiting": rating, "tags": [],
            "employee_id": operator.map(|o| FIRST_EMPLOYEE + o as u64),
            "employee_full_name": operator.map(|o| OPERATORS[o].0),
            "visitor_phone_number": story.person.phone, "visitor_id": FIRST_VISITOR + u64::from(w.k),
            "visitor_ids": [FIRST_VISITOR + u64::from(w.k)], "person_id": FIRST_PERSON + u64::from(w.k),
            "visitor_city": story.person.city().0,
        });
        if let Some(visit) = brought {
            of_visit(company, &story, visit.no, &mut chat);
            chat["visitor_session_id"] = session_id(w.k, visit.no).into();
        }
        chat
    }
}

/// Where a visit came from, as sessions and chats tell it.
fn of_visit(company: &Company, story: &Story, no: u8, record: &mut Value) {
    let Some(visit) = story.visit(no) else { return };
    let source = visit.origin.source();
    let page = start_url(story, visit);
    let param = |name: &str| {
        let url = url::Url::parse(&page).ok()?;
        url.query_pairs().find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    };
    for name in ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "yclid", "gclid"] {
        record[name] = param(name).into();
    }
    record["ym_client_id"] = story.person.client_id(&company.cfg, visit.device).to_string().into();
    record["channel"] = if source.traffic == "ad" { "paid" } else { source.traffic }.into();
    record["referrer"] = visit.origin.referrer().into();
    record["entrance_page"] = page.into();
    record["campaign_id"] = source.campaign_id.into();
    record["campaign_name"] = source.campaign.into();
    record["site_domain_name"] = "studio.example".into();
}

fn session(company: &Company, r: VisitRef) -> Value {
    let story = company.story(u64::from(r.k));
    let Some(visit) = story.visit(r.no) else { return Value::Null };
    let mut record = json!({"id": session_id(r.k, r.no), "date_time": local(company, r.at),
        "duration": visit.seconds, "hits_count": visit.views, "visitor_id": FIRST_VISITOR + u64::from(r.k),
        "person_id": FIRST_PERSON + u64::from(r.k), "visitor_device": "mobile", "visitor_city": story.person.city().0,
        "visitor_country": story.person.country.iso, "site_id": 1201, "communications": []});
    of_visit(company, &story, r.no, &mut record);
    record
}

fn channel(k: u32) -> (u64, &'static str, &'static str, &'static str) {
    CHANNELS[k as usize % CHANNELS.len()]
}

/// What came in, what the office wrote by hand, and what was sent for it.
fn is_message(e: &Event) -> bool {
    e.is_incoming() || matches!(e.what, What::Echo(_) | What::Status { state: State::Sent, .. })
}

fn session_id(k: u32, no: u8) -> u64 {
    FIRST_SESSION + u64::from(k) * 256 + u64::from(no)
}
