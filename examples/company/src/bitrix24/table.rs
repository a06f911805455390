//! What the lists know of every record: enough to filter and order, made once for each moment.

use std::collections::BTreeMap;

use crate::amocrm::records::contact_updated;
use crate::company::Company;
use crate::deal::What;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Deals,
    Leads,
    Contacts,
    DealHistory,
    LeadHistory,
    Activities,
}

impl Kind {
    /// Names of the id and of the time that a list can be filtered by.
    pub fn fields(self) -> (&'static str, &'static str) {
        match self {
            Kind::Deals | Kind::Leads | Kind::Contacts => ("id", "updatedTime"),
            Kind::DealHistory | Kind::LeadHistory => ("ID", "CREATED_TIME"),
            Kind::Activities => ("ID", "LAST_UPDATED"),
        }
    }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub id: u64,
    /// Place of the deal or contact in the company.
    pub pos: u32,
    /// When it was changed last, in seconds.
    pub at: i64,
    /// Of a history: which of the deal's stages, 0 being the first.
    pub step: u16,
}

/// All records there are, by id.
pub struct Table {
    pub kind: Kind,
    pub entries: Vec<Entry>,
}

/// A lead that became the deal at this place.
pub fn is_converted(pos: u32) -> bool {
    pos % 5 == 2
}

/// Somebody who left a phone number and was no customer: a lead without a deal.
pub fn is_junk(pos: u32) -> bool {
    pos % 11 == 3
}

pub fn lead_id(pos: u32, junk: bool) -> u64 {
    u64::from(pos) * 2 + 1 + u64::from(junk)
}

impl Table {
    pub fn new(company: &Company, kind: Kind, now: i64, changed: &BTreeMap<u32, i64>) -> Self {
        let entries = match kind {
            Kind::Contacts => contacts(company, now),
            Kind::DealHistory => deal_history(company, now),
            Kind::LeadHistory => lead_history(company, now),
            Kind::Deals | Kind::Leads | Kind::Activities => of_deals(company, kind, now, changed),
        };
        Self { kind, entries }
    }

    pub fn by_id(&self, id: u64) -> Option<&Entry> {
        self.entries.binary_search_by_key(&id, |e| e.id).ok().and_then(|i| self.entries.get(i))
    }
}

fn of_deals(company: &Company, kind: Kind, now: i64, changed: &BTreeMap<u32, i64>) -> Vec<Entry> {
    let mut all = Vec::new();
    for pos in 0..company.leads_until(now) {
        let deal = company.lead(pos).deal;
        let view = deal.view(now);
        match kind {
            Kind::Leads => {
                let entry =
                    |junk| Entry { id: lead_id(pos, junk), pos, at: deal.created, step: u16::from(junk) };
                all.extend(is_converted(pos).then(|| entry(false)));
                all.extend(is_junk(pos).then(|| entry(true)));
            }
            Kind::Activities => all.push(Entry { id: u64::from(pos) + 1, pos, at: deal.created, step: 0 }),
            _ if view.deleted => {}
            _ => {
                // Whoever changes something leaves the time of it.
                let at = changed.get(&pos).map_or(view.updated, |at| view.updated.max(*at));
                all.push(Entry { id: company.lead_id(pos), pos, at, step: 0 });
            }
        }
    }
    all
}

fn contacts(company: &Company, now: i64) -> Vec<Entry> {
    (0..company.contacts_until(now))
        .map(|pos| {
            let at = contact_updated(&company.contact(pos).1, now);
            Entry { id: company.contact_id(pos), pos, at, step: 0 }
        })
        .collect()
}

/// Entries are numbered as they arise, and those of a deleted deal go with it.
fn deal_history(company: &Company, now: i64) -> Vec<Entry> {
    let mut all = Vec::new();
    for pos in 0..company.leads_until(now) {
        let deal = company.lead(pos).deal;
        all.push((deal.created, pos, 0, deal.deleted_at()));
        let moves = deal.changes.iter().filter(|c| c.at <= now && matches!(c.what, What::Status { .. }));
        for (step, change) in moves.enumerate() {
            all.push((change.at, pos, step as u16 + 1, deal.deleted_at()));
        }
    }
    numbered(all, now)
}

fn lead_history(company: &Company, now: i64) -> Vec<Entry> {
    let mut all = Vec::new();
    for pos in 0..company.leads_until(now) {
        let created = company.lead(pos).deal.created;
        for junk in [false, true] {
            if if junk { is_junk(pos) } else { is_converted(pos) } {
                // Even steps are a lead's beginning, odd ones its end.
                all.push((created, pos, u16::from(junk) * 2, None));
                all.push((created, pos, u16::from(junk) * 2 + 1, None));
            }
        }
    }
    numbered(all, now)
}

fn numbered(mut all: Vec<(i64, u32, u16, Option<i64>)>, now: i64) -> Vec<Entry> {
    all.sort_unstable_by_key(|(at, pos, step, _)| (*at, *pos, *step));
    all.into_iter()
        .enumerate()
        .filter(|(_, (.., deleted))| deleted.is_none_or(|at| at > now))
        .map(|(n, (at, pos, step, _))| Entry { id: n as u64 + 1, pos, at, step })
        .collect()
}
