//! A person's WhatsApp conversations as a list of events: messages, the office's answers, delivery states,
//! opt-outs. Each event has the time that stands in it and the time the webhook brings it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::config::Config;
use crate::rng::{For, Rng};
use crate::story::{Brought, DAY, Inquiry, Story, Variant};
use crate::token::{damaged, look_alike, text, token};
use crate::words::{OPERATORS, PAGES, answers, broadcast_replies, follow_ups, own_words, stop_words};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Sent,
    Delivered,
    Read,
    Failed(u16),
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Sent => "sent",
            State::Delivered => "delivered",
            State::Read => "read",
            State::Failed(_) => "failed",
        }
    }
}

/// Who sent an outgoing message, as the sender put it into `biz_opaque_callback_data`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    Bot,
    Operator(u8),
    Broadcast(u8),
}

impl Sender {
    pub fn label(self) -> String {
        match self {
            Sender::Bot => "bot:welcome".to_owned(),
            Sender::Operator(o) => format!("agent:{}", crate::deal::FIRST_USER + u32::from(o)),
            Sender::Broadcast(b) => {
                format!(
                    "broadcast:{}",
                    crate::words::BROADCASTS[usize::from(b) % crate::words::BROADCASTS.len()]
                )
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The inquiry's first message.
    First,
    Text(u8),
    Image,
    Reaction {
        to: u8,
    },
    Unsupported,
    Stop(u8),
    /// Written in the WhatsApp Business app: the webhook carries the text.
    Echo(u8),
    Status {
        state: State,
        sender: Sender,
    },
    /// The platform's own notice that the person stopped marketing.
    OptOut,
}

#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Inquiry number, or 200 + number of the broadcast.
    pub conv: u8,
    /// Message number within the conversation.
    pub msg: u8,
    pub at: i64,
    pub received: i64,
    pub what: What,
}

impl Event {
    pub fn is_incoming(&self) -> bool {
        matches!(self.what, What::First | What::Text(_) | What::Image | What::Unsupported | What::Stop(_))
    }
}

pub const BROADCAST_CONV: u8 = 200;

/// WhatsApp's message id: base64 inside, so with `/`, `+` and `=`.
pub fn wamid(cfg: &Config, k: u64, conv: u8, msg: u8) -> String {
    let mut r = cfg.rng(For::Id, k, u64::from(conv) << 8 | u64::from(msg));
    let mut bytes = [0u8; 25];
    bytes[..8].copy_from_slice(&k.to_be_bytes());
    bytes[8] = conv;
    bytes[9] = msg;
    bytes[10..18].copy_from_slice(&r.draw().to_be_bytes());
    bytes[18..].copy_from_slice(&r.draw().to_be_bytes()[..7]);
    // The fixed part of the front would make all ids begin alike: mix it with the random part.
    for (i, b) in bytes.iter_mut().take(10).enumerate() {
        *b ^= (cfg.seed as u8).wrapping_mul(31).wrapping_add((i as u8).wrapping_mul(0x5B));
    }
    format!("wamid.HBgL{}", STANDARD.encode(bytes))
}

/// The text of an inquiry's first message.
pub fn first_text(cfg: &Config, s: &Story, i: &Inquiry) -> String {
    let lang = s.person.lang();
    let mut r = cfg.rng(For::Chat, s.person.k, 1000 + u64::from(i.no));
    let visit = match i.brought {
        Brought::Visit(no) => s.visit(no),
        Brought::Broadcast(_) => return r.pick(broadcast_replies(lang)).to_owned(),
        Brought::Ad(_) | Brought::Again => None,
    };
    let Some(visit) = visit else { return r.pick(own_words(lang)).to_owned() };
    let phrase = PAGES[usize::from(visit.page) % PAGES.len()].prefill(lang);
    let t = visit.token();
    match i.variant {
        Variant::Intact => format!("{phrase} [ID:{}]", text(&t)),
        Variant::TextAdded => format!("{phrase} [ID:{}]\n{}", text(&t), r.pick(follow_ups(lang))),
        Variant::LowerCase => format!("{phrase} [id:{}]", text(&t).to_lowercase()),
        Variant::LookAlikes => format!("{phrase} [ID:{}]", look_alike(&t)),
        Variant::BracketsLost => format!("{phrase} ID {}", text(&t)),
        Variant::LabelLost => format!("{phrase} {}", text(&t)),
        Variant::SymbolChanged => {
            let bad = damaged(&t, r.below(10) as usize, r.below(31) as u8);
            format!("{phrase} [ID:{}]", text(&bad))
        }
        Variant::Truncated => format!("{phrase} [ID:{}]", &text(&t)[..r.range(4, 9) as usize]),
        Variant::TwoIds => {
            // A friend's message forwarded below one's own: never the same number.
            let other = token((visit.number ^ (1 + r.below(1 << 40))) & ((1 << 50) - 1));
            format!("{phrase} [ID:{}] [ID:{}]", text(&t), text(&other))
        }
        Variant::Deleted => phrase.to_owned(),
        Variant::OwnWords | Variant::NoPhrase => r.pick(own_words(lang)).to_owned(),
    }
}

/// Everything that WhatsApp tells about this person, in the order it happened.
pub fn events(cfg: &Config, s: &Story) -> Vec<Event> {
    let mut out = Vec::new();
    for i in &s.inquiries {
        let mut r = cfg.rng(For::Chat, s.person.k, u64::from(i.no));
        inquiry(cfg, &mut r, i, &mut out);
    }
    for b in &s.broadcasts {
        let mut r = cfg.rng(For::Chat, s.person.k, u64::from(BROADCAST_CONV + b.no));
        let conv = BROADCAST_CONV + b.no;
        let read = outgoing(&mut r, &mut out, conv, 0, b.at, Sender::Broadcast(b.no));
        if b.stop {
            let at = read.max(b.at) + r.range(20, 7200);
            push(&mut r, &mut out, conv, 1, at, What::Stop(r_pick(at, stop_words(s.person.lang()).len())));
            if r.permille(500) {
                push(&mut r, &mut out, conv, 1, at + 1, What::OptOut);
            }
        }
    }
    out
}

fn r_pick(from: i64, n: usize) -> u8 {
    (from.unsigned_abs() % n.max(1) as u64) as u8
}

fn push(r: &mut Rng, out: &mut Vec<Event>, conv: u8, msg: u8, at: i64, what: What) {
    // Mostly at once, sometimes late: webhooks come out of order.
    let late = match what {
        What::Status { .. } => r.permille(30),
        _ => r.permille(5),
    };
    let received = at + if late { r.range(60, 7200) } else { r.range(0, 3) };
    out.push(Event { conv, msg, at, received, what });
}

/// States of a message sent through the API; says when it was read, or the sending time.
fn outgoing(r: &mut Rng, out: &mut Vec<Event>, conv: u8, msg: u8, at: i64, sender: Sender) -> i64 {
    let status = |state| What::Status { state, sender };
    if r.permille(match sender {
        Sender::Broadcast(_) => 60,
        _ => 12,
    }) {
        let code = r.pick(&[131_026u32, 131_047, 131_049, 130_472]);
        // Codes are six digits: kept as the difference from 130000 to stay small.
        push(r, out, conv, msg, at + 1, status(State::Failed((code - 130_000) as u16)));
        return at;
    }
    push(r, out, conv, msg, at, status(State::Sent));
    if r.permille(30) {
        return at; // the phone is off
    }
    let delivered = at + r.range(1, 20);
    let read = r.permille(860).then(|| delivered + r.range(0, 1800));
    // A message read at once may never be reported as delivered.
    if read.is_none() || !r.permille(40) {
        push(r, out, conv, msg, delivered, status(State::Delivered));
    }
    if let Some(read) = read {
        push(r, out, conv, msg, read, status(State::Read));
    }
    read.unwrap_or(at)
}

/// The next time somebody is in the office, 9 to 21 local.
fn in_office(cfg: &Config, at: i64, r: &mut Rng) -> i64 {
    let local = (at + cfg.offset(at)).rem_euclid(DAY);
    if local < 9 * 3600 {
        at + 9 * 3600 - local + r.range(30, 1800)
    } else if local >= 21 * 3600 {
        at + 33 * 3600 - local + r.range(30, 1800)
    } else {
        at
    }
}

fn inquiry(cfg: &Config, r: &mut Rng, i: &Inquiry, out: &mut Vec<Event>) {
    let operator = Sender::Operator(i.operator % OPERATORS.len() as u8);
    let mut msg = 0;
    let mut at = i.at;
    push(r, out, i.no, msg, at, What::First);
    if r.permille(600) {
        msg += 1;
        outgoing(r, out, i.no, msg, at + 3, Sender::Bot);
    }
    if r.permille(15) {
        return; // nobody answered
    }
    let rounds = 1 + r.weighted(&[40, 30, 20, 10]);
    for round in 0..rounds {
        if round > 0 {
            at += r.range(30, 5 * 3600);
            msg += 1;
            let what = match r.weighted(&[88, 5, 4, 3]) {
                0 => What::Text(r.below(8) as u8),
                1 => What::Image,
                2 => What::Unsupported,
                _ => What::Reaction { to: 0 },
            };
            push(r, out, i.no, msg, at, what);
        }
        at = in_office(cfg, at + r.range(40, 2400), r);
        msg += 1;
        if r.permille(300) {
            push(r, out, i.no, msg, at, What::Echo(r_pick(at, 8)));
        } else {
            outgoing(r, out, i.no, msg, at, operator);
        }
    }
}

/// The text an event carries, if any.
pub fn event_text(cfg: &Config, s: &Story, e: &Event) -> Option<String> {
    let lang = s.person.lang();
    let from = |list: &[&str], n: u8| Some(list[usize::from(n) % list.len()].to_owned());
    match e.what {
        What::First => s.inquiry(e.conv).map(|i| first_text(cfg, s, i)),
        What::Text(n) => from(follow_ups(lang), n),
        What::Stop(n) => from(stop_words(lang), n),
        What::Echo(n) => from(answers(lang), n),
        What::Image => from(follow_ups(lang), 0),
        _ => None,
    }
}
