//! The company: its settings and a compact index of what happened when. A visit costs the index 16 bytes, a
//! lead 16; everything else is made again from the seed when it is asked for.

use std::sync::OnceLock;

use crate::ads::{LEAVES, Origin};
use crate::chat::{self, Event};
use crate::config::Config;
use crate::deal::{Deal, What, history_contact, history_deal};
use crate::person::Kind;
use crate::story::{Contact, DAY, Story, history_story, story, visit_id};

#[derive(Clone, Copy)]
pub struct VisitRef {
    pub at: i64,
    pub k: u32,
    pub no: u8,
    pub robot: bool,
}

#[derive(Clone, Copy)]
pub struct LeadRef {
    pub created: i64,
    pub k: u32,
    pub n: u8,
}

#[derive(Clone, Copy)]
pub struct ContactRef {
    pub created: i64,
    pub k: u32,
    pub n: u8,
}

#[derive(Clone, Copy)]
pub struct ChatRef {
    pub received: i64,
    pub k: u32,
    /// Place in the person's list of events.
    pub n: u16,
}

/// An event of the CRM: change `n` of a lead, 0 being its creation.
#[derive(Clone, Copy)]
pub struct EventRef {
    pub at: i64,
    pub lead: u32,
    pub n: u8,
}

pub struct Company {
    pub cfg: Config,
    people: u64,
    last_cap: usize,
    pub visits: Vec<VisitRef>,
    leads: Vec<LeadRef>,
    contacts: Vec<ContactRef>,
    /// Visits by leaf and day, so that clicks are never fewer than visits.
    clicks: Vec<u32>,
    chats: OnceLock<Vec<ChatRef>>,
    events: OnceLock<Vec<EventRef>>,
}

pub const FIRST_LEAD_ID: u64 = 30_000_001;
pub const FIRST_CONTACT_ID: u64 = 50_000_001;

impl Company {
    pub fn new(cfg: Config) -> Company {
        let mut c = Company {
            people: 0,
            last_cap: usize::MAX,
            visits: Vec::with_capacity(cfg.visits as usize + cfg.visits as usize / 50),
            leads: Vec::new(),
            contacts: Vec::new(),
            clicks: vec![0; LEAVES.len() * cfg.days as usize],
            chats: OnceLock::new(),
            events: OnceLock::new(),
            cfg,
        };
        let mut left = c.cfg.visits;
        let mut k = 0u32;
        while left > 0 && k < u32::MAX {
            let cap = usize::try_from(left).unwrap_or(usize::MAX);
            let s = story(&c.cfg, u64::from(k), cap);
            c.last_cap = cap;
            c.index(k, &s);
            if s.person.kind == Kind::Visitor {
                left -= (s.visits.len() as u64).min(left);
            }
            k += 1;
        }
        c.people = u64::from(k);
        c.visits.sort_unstable_by_key(|v| (v.at, v.k, v.no));
        c.leads.sort_unstable_by_key(|v| (v.created, v.k, v.n));
        c.contacts.sort_unstable_by_key(|v| (v.created, v.k, v.n));
        c
    }

    fn index(&mut self, k: u32, s: &Story) {
        let robot = s.person.kind == Kind::Robot;
        for v in &s.visits {
            self.visits.push(VisitRef { at: v.at, k, no: v.no, robot });
            if let Origin::Ad(leaf) = v.origin {
                let day =
                    (self.cfg.day_of(v.at) - self.cfg.start_day()).clamp(0, i64::from(self.cfg.days) - 1);
                if let Some(n) =
                    self.clicks.get_mut(usize::from(leaf) * self.cfg.days as usize + day as usize)
                {
                    *n += 1;
                }
            }
        }
        for (n, d) in s.deals.iter().enumerate() {
            self.leads.push(LeadRef { created: d.created, k, n: n as u8 });
        }
        for c in &s.contacts {
            self.contacts.push(ContactRef { created: c.created, k, n: c.no });
        }
    }

    /// People of the period, robots included.
    pub fn people(&self) -> u64 {
        self.people
    }

    pub fn story(&self, k: u64) -> Story {
        let cap = if k + 1 == self.people { self.last_cap } else { usize::MAX };
        story(&self.cfg, k, cap)
    }

    /// Visits that ad `leaf` brought on the n-th day of the period.
    pub fn visits_of_leaf(&self, leaf: usize, n: usize) -> u32 {
        self.clicks.get(leaf * self.cfg.days as usize + n).copied().unwrap_or(0)
    }

    /// Visits that began in `[from, to)` and are in Metrica at `now`: robots leave it after two days.
    pub fn visits_between(&self, from: i64, to: i64, now: i64) -> impl Iterator<Item = VisitRef> + '_ {
        let a = self.visits.partition_point(|v| v.at < from);
        let b = self.visits.partition_point(|v| v.at < to);
        self.visits[a..b.max(a)].iter().copied().filter(move |v| !v.robot || now < v.at + 2 * DAY)
    }

    // ------------------------------------------------------------------ leads: history first, then the period

    pub fn lead_count(&self) -> u32 {
        self.cfg.history + self.leads.len() as u32
    }

    /// Leads made by then: they stand in the order of creation.
    pub fn leads_until(&self, now: i64) -> u32 {
        let h = if now >= self.cfg.start_at() {
            self.cfg.history
        } else {
            partition(self.cfg.history, |i| history_deal(&self.cfg, u64::from(i)).created <= now)
        };
        h + self.leads.partition_point(|l| l.created <= now) as u32
    }

    pub fn lead_id(&self, pos: u32) -> u64 {
        // Ids rise with gaps, as in any shared numbering.
        FIRST_LEAD_ID + u64::from(pos) * 2
    }

    pub fn lead_at_id(&self, id: u64) -> Option<u32> {
        let d = id.checked_sub(FIRST_LEAD_ID)?;
        (d % 2 == 0 && d / 2 < u64::from(self.lead_count())).then_some((d / 2) as u32)
    }

    pub fn lead(&self, pos: u32) -> Lead {
        if pos < self.cfg.history {
            let i = u64::from(pos);
            let j = history_contact(i);
            return Lead {
                pos,
                deal: history_deal(&self.cfg, i),
                owner: Owner::History(j),
                n: (i % 2) as u8,
            };
        }
        let r = self.leads[(pos - self.cfg.history) as usize % self.leads.len().max(1)];
        let story = self.story(u64::from(r.k));
        let deal = story.deals[usize::from(r.n) % story.deals.len().max(1)].clone();
        Lead { pos, deal, owner: Owner::Person(Box::new(story)), n: r.n }
    }

    /// Where a person's n-th deal stands.
    pub fn lead_pos(&self, k: u32, n: u8, created: i64) -> u32 {
        let i = self.leads.partition_point(|l| (l.created, l.k, l.n) < (created, k, n));
        self.cfg.history + i as u32
    }

    // ------------------------------------------------------------------ contacts, in the same manner

    pub fn history_contacts(&self) -> u32 {
        self.cfg.history.div_ceil(2)
    }

    pub fn contact_count(&self) -> u32 {
        self.history_contacts() + self.contacts.len() as u32
    }

    pub fn contacts_until(&self, now: i64) -> u32 {
        let h = if now >= self.cfg.start_at() {
            self.history_contacts()
        } else {
            partition(self.history_contacts(), |j| history_deal(&self.cfg, u64::from(j) * 2).created <= now)
        };
        h + self.contacts.partition_point(|c| c.created <= now) as u32
    }

    pub fn contact_id(&self, pos: u32) -> u64 {
        FIRST_CONTACT_ID + u64::from(pos) * 3
    }

    pub fn contact_at_id(&self, id: u64) -> Option<u32> {
        let d = id.checked_sub(FIRST_CONTACT_ID)?;
        (d % 3 == 0 && d / 3 < u64::from(self.contact_count())).then_some((d / 3) as u32)
    }

    pub fn contact(&self, pos: u32) -> (Story, Contact) {
        if pos < self.history_contacts() {
            let s = history_story(&self.cfg, u64::from(pos));
            let c = s.contacts[0];
            return (s, c);
        }
        let r = self.contacts[(pos - self.history_contacts()) as usize % self.contacts.len().max(1)];
        let s = self.story(u64::from(r.k));
        let c = s.contacts[usize::from(r.n) % s.contacts.len().max(1)];
        (s, c)
    }

    pub fn contact_pos(&self, k: u32, c: &Contact) -> u32 {
        let i = self.contacts.partition_point(|x| (x.created, x.k, x.n) < (c.created, k, c.no));
        self.history_contacts() + i as u32
    }

    /// The contact a deal belongs to.
    pub fn contact_of(&self, lead: &Lead) -> u32 {
        match &lead.owner {
            Owner::History(j) => *j as u32,
            Owner::Person(s) => self.contact_of_deal(s, &lead.deal),
        }
    }

    pub fn contact_of_deal(&self, s: &Story, d: &Deal) -> u32 {
        let c = s.contacts.get(usize::from(d.contact)).or(s.contacts.first());
        c.map_or(0, |c| self.contact_pos(s.person.k as u32, c))
    }

    // ------------------------------------------------------------------ events of WhatsApp and of the CRM

    /// Everything WhatsApp will ever say, in the order it arrives.
    pub fn chats(&self) -> &[ChatRef] {
        self.chats.get_or_init(|| {
            let mut out = Vec::new();
            for k in 0..self.people {
                let s = self.story(k);
                if s.inquiries.is_empty() {
                    continue;
                }
                for (n, e) in chat::events(&self.cfg, &s).iter().enumerate() {
                    out.push(ChatRef { received: e.received, k: k as u32, n: n as u16 });
                }
            }
            out.sort_unstable_by_key(|c| (c.received, c.k, c.n));
            out
        })
    }

    pub fn chat(&self, r: ChatRef) -> Option<(Story, Event)> {
        let s = self.story(u64::from(r.k));
        let e = chat::events(&self.cfg, &s).get(usize::from(r.n)).copied()?;
        Some((s, e))
    }

    /// Changes of all leads, oldest first.
    pub fn events(&self) -> &[EventRef] {
        self.events.get_or_init(|| {
            let mut out = Vec::new();
            for pos in 0..self.lead_count() {
                let lead = self.lead(pos);
                out.push(EventRef { at: lead.deal.created, lead: pos, n: 0 });
                for (n, c) in lead.deal.changes.iter().enumerate() {
                    out.push(EventRef { at: c.at, lead: pos, n: n as u8 + 1 });
                }
            }
            out.sort_unstable_by_key(|e| (e.at, e.lead, e.n));
            out
        })
    }
}

/// First index in 0..n for which `f` is false.
fn partition(n: u32, f: impl Fn(u32) -> bool) -> u32 {
    let (mut lo, mut hi) = (0, n);
    while lo < hi {
        let mid = lo + (hi - lo) / 2;
        if f(mid) { lo = mid + 1 } else { hi = mid }
    }
    lo
}

pub enum Owner {
    History(u64),
    Person(Box<Story>),
}

/// A deal with what is needed to show it.
pub struct Lead {
    pub pos: u32,
    pub deal: Deal,
    pub owner: Owner,
    /// Number of the deal among its owner's.
    pub n: u8,
}

impl Lead {
    pub fn type_of_change(&self, n: u8) -> &'static str {
        match n.checked_sub(1).and_then(|i| self.deal.changes.get(usize::from(i))).map(|c| c.what) {
            None => "lead_added",
            Some(What::Status { .. }) => "lead_status_changed",
            Some(What::Price { .. }) => "sale_field_changed",
            Some(What::Deleted) => "lead_deleted",
        }
    }
}

/// Metrica's id of a visit, by reference.
pub fn id_of(v: VisitRef) -> u64 {
    visit_id(u64::from(v.k), v.no)
}
