//! What one person did: visits, inquiries, deals. The whole story follows from (seed, k), so nothing of it is
//! kept in memory.

use crate::ads::{LEAVES, Origin};
use crate::config::Config;
use crate::deal::{Deal, deal};
use crate::person::{Kind, Person, history_person, person};
use crate::rng::{For, Rng};
use crate::token::{Token, has_letter, token};
use crate::words::PAGES;

pub const DAY: i64 = 86_400;
/// Two inquiries of a person are at least this far apart, and a chat is over long before.
const APART: i64 = 4 * DAY;
const MAX_VISITS: usize = 32;

#[derive(Clone, Copy, Debug)]
pub struct Visit {
    pub no: u8,
    pub at: i64,
    pub device: u8,
    pub origin: Origin,
    pub page: u8,
    pub views: u8,
    pub seconds: u32,
    /// The 50-bit number of its token.
    pub number: u64,
    /// Clicked the WhatsApp button.
    pub click: Option<i64>,
}

impl Visit {
    pub fn token(&self) -> Token {
        token(self.number)
    }
}

/// What happened to the prepared phrase between the button and the chat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    Intact,
    TextAdded,
    LowerCase,
    LookAlikes,
    BracketsLost,
    LabelLost,
    SymbolChanged,
    Truncated,
    TwoIds,
    Deleted,
    /// Saw the number on the site and typed a message of their own.
    OwnWords,
    /// Never had a prepared phrase: no visit brought this message.
    NoPhrase,
}

impl Variant {
    pub const ALL: [Variant; 12] = [
        Variant::Intact,
        Variant::TextAdded,
        Variant::LowerCase,
        Variant::LookAlikes,
        Variant::BracketsLost,
        Variant::LabelLost,
        Variant::SymbolChanged,
        Variant::Truncated,
        Variant::TwoIds,
        Variant::Deleted,
        Variant::OwnWords,
        Variant::NoPhrase,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Variant::Intact => "intact",
            Variant::TextAdded => "text_added",
            Variant::LowerCase => "lower_case",
            Variant::LookAlikes => "look_alikes",
            Variant::BracketsLost => "brackets_lost",
            Variant::LabelLost => "label_lost",
            Variant::SymbolChanged => "symbol_changed",
            Variant::Truncated => "truncated",
            Variant::TwoIds => "two_ids",
            Variant::Deleted => "deleted",
            Variant::OwnWords => "own_words",
            Variant::NoPhrase => "no_phrase",
        }
    }

    /// `token_state` that a right reader finds.
    pub fn state(self) -> &'static str {
        match self {
            Variant::Intact | Variant::TextAdded | Variant::LowerCase | Variant::LookAlikes => "ok",
            Variant::BracketsLost | Variant::LabelLost => "edited",
            Variant::SymbolChanged | Variant::Truncated | Variant::TwoIds => "invalid",
            Variant::Deleted | Variant::OwnWords | Variant::NoPhrase => "missing",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Brought {
    /// The WhatsApp button of visit number `n`.
    Visit(u8),
    /// A click-to-WhatsApp ad.
    Ad(u16),
    /// A known customer writes again without a visit.
    Again,
    /// An answer to broadcast number `n`.
    Broadcast(u8),
}

#[derive(Clone, Copy, Debug)]
pub struct Inquiry {
    pub no: u8,
    pub at: i64,
    pub brought: Brought,
    pub variant: Variant,
    pub operator: u8,
}

#[derive(Clone, Copy, Debug)]
pub struct Contact {
    pub no: u8,
    pub created: i64,
    /// When the office number was added, for those who have it.
    pub office_added: Option<i64>,
}

/// A broadcast reached this person.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    pub no: u8,
    pub at: i64,
    /// Answered with a stop word.
    pub stop: bool,
}

pub struct Story {
    pub person: Person,
    pub visits: Vec<Visit>,
    pub inquiries: Vec<Inquiry>,
    pub deals: Vec<Deal>,
    pub contacts: Vec<Contact>,
    pub broadcasts: Vec<Received>,
}

/// Visits by hour of the local day.
const HOURS: [u32; 24] =
    [6, 3, 2, 1, 1, 2, 6, 14, 28, 40, 52, 58, 60, 58, 54, 52, 50, 54, 60, 66, 70, 62, 40, 18];

/// The story of person `k`, of whom at most `cap` visits happened.
pub fn story(cfg: &Config, k: u64, cap: usize) -> Story {
    let person = person(cfg, k);
    let mut s = Story {
        person,
        visits: Vec::new(),
        inquiries: Vec::new(),
        deals: Vec::new(),
        contacts: Vec::new(),
        broadcasts: Vec::new(),
    };
    match person.kind {
        Kind::Visitor => {
            s.visits = visits(cfg, &person, cap.min(MAX_VISITS));
            from_visits(cfg, &mut s);
        }
        Kind::Robot => s.visits = robot_visits(cfg, k),
        Kind::ClickToChat => {
            let mut r = cfg.rng(For::Inquiries, k, 0);
            let at = cfg.start_at() + r.range(0, i64::from(cfg.days) * DAY - 1);
            let leaves: Vec<u16> =
                (0..LEAVES.len()).filter(|i| LEAVES[*i].click_to_chat).map(|i| i as u16).collect();
            if !leaves.is_empty() {
                let brought = Brought::Ad(r.pick(&leaves));
                inquire(cfg, &mut s, at, brought, Variant::NoPhrase);
            }
        }
        Kind::WalkIn => {
            let mut r = cfg.rng(For::Inquiries, k, 0);
            let at = cfg.start_at() + r.range(0, i64::from(cfg.days) * DAY - 1);
            let mut r = cfg.rng(For::Deal, k, 99);
            s.deals.push(deal(&mut r, at, None, 0));
        }
        Kind::History => {}
    }
    come_back(cfg, &mut s);
    broadcasts(cfg, &mut s);
    s.inquiries.sort_by_key(|i| i.at);
    contacts(cfg, &mut s);
    s
}

fn moment(cfg: &Config, r: &mut Rng, day: i64) -> i64 {
    cfg.start_at() + day * DAY + r.weighted(&HOURS) as i64 * 3600 + r.range(0, 3599)
}

fn visits(cfg: &Config, p: &Person, cap: usize) -> Vec<Visit> {
    let mut r = cfg.rng(For::Visits, p.k, 0);
    let mut wanted = 1 + r.weighted(&[55, 20, 11, 6, 4, 2, 1, 1]);
    if wanted == 8 {
        wanted += r.below(5) as usize;
    }
    let mut at = {
        let day = r.below(u64::from(cfg.days.max(1))) as i64;
        moment(cfg, &mut r, day)
    };
    let mut out = Vec::with_capacity(wanted.min(cap));
    for no in 0..wanted.min(cap) {
        if no > 0 {
            at += match r.weighted(&[15, 40, 30, 15]) {
                0 => r.range(1900, 6 * 3600),
                1 => r.range(20 * 3600, 3 * DAY),
                2 => r.range(3 * DAY, 10 * DAY),
                _ => r.range(10 * DAY, 35 * DAY),
            };
        }
        if at >= cfg.end_at() {
            break;
        }
        let origin = origin(&mut r, no == 0);
        let views = 1 + r.weighted(&[34, 22, 14, 10, 8, 5, 4, 3]) as u8;
        let seconds = if views == 1 { r.range(3, 90) } else { r.range(20, 150 * i64::from(views)) } as u32;
        let click = r
            .permille(if no == 0 { 105 } else { 165 })
            .then(|| at + r.range(5, i64::from(seconds.max(6)) - 1));
        out.push(Visit {
            no: no as u8,
            at,
            device: u8::from(r.permille(if no == 0 { 0 } else { 220 })),
            origin,
            page: r.below(PAGES.len() as u64) as u8,
            views,
            seconds,
            number: cfg.rng(For::Token, p.k, no as u64).draw() >> 14,
            click,
        });
    }
    out
}

fn origin(r: &mut Rng, first: bool) -> Origin {
    let w: [u32; 7] = if first { [52, 21, 6, 5, 4, 2, 10] } else { [22, 20, 6, 3, 3, 8, 38] };
    match r.weighted(&w) {
        0 => {
            let mut weights = [0u32; 64];
            let n = LEAVES.len().min(64);
            for (w, l) in weights.iter_mut().zip(LEAVES.iter()) {
                *w = if l.click_to_chat { 0 } else { l.weight };
            }
            Origin::Ad(r.weighted(&weights[..n]) as u16)
        }
        1 => Origin::Organic(r.weighted(&[65, 35]) as u8),
        2 => Origin::Social(r.below(2) as u8),
        3 => Origin::Referral(r.below(2) as u8),
        4 => Origin::Messenger(r.below(2) as u8),
        5 => Origin::Email,
        _ => Origin::Direct,
    }
}

fn robot_visits(cfg: &Config, k: u64) -> Vec<Visit> {
    let mut r = cfg.rng(For::Visits, k, 1);
    let at = cfg.start_at() + r.range(0, i64::from(cfg.days) * DAY - 1);
    (0..r.range(1, 3))
        .map(|no| Visit {
            no: no as u8,
            at: at + no * 1860,
            device: 0,
            origin: Origin::Direct,
            page: 0,
            views: 1,
            seconds: 0,
            number: cfg.rng(For::Token, k, no as u64).draw() >> 14,
            click: None,
        })
        .filter(|v| v.at < cfg.end_at())
        .collect()
}

fn from_visits(cfg: &Config, s: &mut Story) {
    let mut free_from = i64::MIN;
    for v in s.visits.clone() {
        let mut r = cfg.rng(For::Inquiries, s.person.k, u64::from(v.no));
        let Some(click) = v.click.filter(|c| *c > free_from && r.permille(930)) else { continue };
        let mut variant = Variant::ALL[r.weighted(&[950, 8, 3, 3, 5, 5, 4, 3, 3, 9, 7])];
        if !has_letter(&v.token()) && matches!(variant, Variant::BracketsLost | Variant::LabelLost) {
            variant = Variant::Intact;
        }
        let at = click + r.range(4, 170);
        inquire(cfg, s, at, Brought::Visit(v.no), variant);
        free_from = at + APART;
    }
}

/// An inquiry, and the deal that the CRM makes of it.
fn inquire(cfg: &Config, s: &mut Story, at: i64, brought: Brought, variant: Variant) {
    let no = s.inquiries.len() as u8;
    let mut r = cfg.rng(For::Deal, s.person.k, u64::from(no));
    let lead = r.permille(850) && !matches!(brought, Brought::Broadcast(_));
    let mut operator = r.below(crate::words::OPERATORS.len() as u64) as u8;
    if lead {
        // Now and then a manager makes a second contact for a known person.
        let contact = u8::from(no > 0 && r.permille(60));
        let created = at + r.range(30, 600);
        let d = deal(&mut r, created, Some(no), contact);
        operator = d.operator;
        s.deals.push(d);
    }
    s.inquiries.push(Inquiry { no, at, brought, variant, operator });
}

fn far_from_all(s: &Story, at: i64) -> bool {
    s.inquiries.iter().all(|i| (i.at - at).abs() >= APART)
}

/// Some customers write again later, without a visit.
fn come_back(cfg: &Config, s: &mut Story) {
    for n in 0..s.deals.len() {
        let (Some(won), Some(_)) = (s.deals[n].won_at(), s.deals[n].inquiry) else { continue };
        let mut r = cfg.rng(For::Inquiries, s.person.k, 64 + n as u64);
        if !r.permille(200) {
            continue;
        }
        let at = won + r.range(3 * DAY, 20 * DAY);
        if at < cfg.end_at() && far_from_all(s, at) {
            inquire(cfg, s, at, Brought::Again, Variant::NoPhrase);
        }
    }
}

/// When broadcast `no` goes out: at noon of a day a third and two thirds into the period.
pub fn broadcast_at(cfg: &Config, no: u8) -> i64 {
    cfg.midnight(cfg.start_day() + i64::from(cfg.days) * (i64::from(no) + 1) / 3) + 12 * 3600
}

fn broadcasts(cfg: &Config, s: &mut Story) {
    let Some(first) = s.inquiries.iter().map(|i| i.at).min() else { return };
    for no in 0..crate::words::BROADCASTS.len() as u8 {
        let mut r = cfg.rng(For::Broadcast, s.person.k, u64::from(no));
        let at = broadcast_at(cfg, no) + r.range(0, 1800);
        if first + DAY > at || !r.permille(900) {
            continue;
        }
        let stop = r.permille(35);
        s.broadcasts.push(Received { no, at, stop });
        if stop {
            return;
        }
        let reply = at + r.range(300, 5 * 3600);
        if r.permille(40) && far_from_all(s, reply) && reply < cfg.end_at() {
            inquire(cfg, s, reply, Brought::Broadcast(no), Variant::NoPhrase);
        }
    }
}

fn contacts(cfg: &Config, s: &mut Story) {
    s.deals.sort_by_key(|d| d.created);
    let chat = s.inquiries.first().map(|i| i.at + 20);
    let first = match (chat, s.deals.first().map(|d| d.created)) {
        (Some(a), Some(b)) => a.min(b),
        (Some(a), None) | (None, Some(a)) => a,
        (None, None) => return,
    };
    let mut r = cfg.rng(For::Contact, s.person.k, 0);
    let office_added = s.person.office_phone.then(|| first + r.range(0, 3 * DAY));
    s.contacts.push(Contact { no: 0, created: first, office_added });
    if let Some(d) = s.deals.iter().find(|d| d.contact == 1) {
        s.contacts.push(Contact { no: 1, created: d.created, office_added: None });
    }
}

/// The story of history contact `j`: one contact and its one or two deals.
pub fn history_story(cfg: &Config, j: u64) -> Story {
    let person = history_person(cfg, j);
    let deals: Vec<Deal> =
        (2 * j..(2 * j + 2).min(u64::from(cfg.history))).map(|i| crate::deal::history_deal(cfg, i)).collect();
    let created = deals.first().map_or(cfg.start_at(), |d| d.created);
    Story {
        person,
        visits: Vec::new(),
        inquiries: Vec::new(),
        deals,
        contacts: vec![Contact { no: 0, created, office_added: None }],
        broadcasts: Vec::new(),
    }
}

impl Story {
    pub fn inquiry(&self, no: u8) -> Option<&Inquiry> {
        self.inquiries.iter().find(|i| i.no == no)
    }

    pub fn visit(&self, no: u8) -> Option<&Visit> {
        self.visits.get(usize::from(no))
    }

    /// The last significant source at visit `no` of the same browser, as Metrica's `lastsign` sees it.
    pub fn last_significant(&self, no: u8, across_devices: bool) -> Origin {
        let Some(v) = self.visit(no) else { return Origin::Direct };
        self.visits[..=usize::from(no)]
            .iter()
            .rev()
            .filter(|w| across_devices || w.device == v.device)
            .find(|w| w.origin.is_significant())
            .map_or(v.origin, |w| w.origin)
    }

    pub fn first_origin(&self, no: u8, across_devices: bool) -> Origin {
        let Some(v) = self.visit(no) else { return Origin::Direct };
        self.visits.iter().find(|w| across_devices || w.device == v.device).map_or(v.origin, |w| w.origin)
    }
}

/// Metrica's visit id: unique, and often beyond the range of a signed 64-bit number.
pub fn visit_id(k: u64, no: u8) -> u64 {
    const ODD: u64 = 0x5851_F42D_4C95_7F2D;
    ((k << 6 | u64::from(no)).wrapping_mul(ODD) & (u64::MAX >> 1)) + (1 << 62)
}

/// Metrica's id of one event of a visit.
pub fn watch_id(k: u64, no: u8, hit: u8) -> u64 {
    const ODD: u64 = 0x1405_7B7E_F767_814F;
    ((k << 14 | u64::from(no) << 8 | u64::from(hit)).wrapping_mul(ODD) & (u64::MAX >> 1)) + (1 << 60)
}
