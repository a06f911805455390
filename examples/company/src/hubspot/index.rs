//! What search knows of every record: enough to filter and order, made once for each moment.

use std::collections::BTreeMap;

use crate::amocrm::records::contact_updated;
use crate::company::Company;
use crate::deal::{LOST, WON};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Deals,
    Contacts,
}

impl Kind {
    /// The property with the time of the last change.
    pub fn modified(self) -> &'static str {
        match self {
            Kind::Deals => "hs_lastmodifieddate",
            Kind::Contacts => "lastmodifieddate",
        }
    }
}

/// One record.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub id: u64,
    /// Its place in the company.
    pub pos: u32,
    pub modified_ms: i64,
    pub created_ms: i64,
    pub closed: bool,
    pub archived: bool,
}

/// All records there are, by id.
pub struct Index(Vec<Entry>);

impl Index {
    pub fn new(company: &Company, kind: Kind, now: i64, changed: &BTreeMap<u32, i64>) -> Self {
        let entries = match kind {
            Kind::Deals => (0..company.leads_until(now))
                .map(|pos| {
                    let lead = company.lead(pos);
                    let view = lead.deal.view(now);
                    let told = millis(view.updated, pos);
                    Entry {
                        id: company.lead_id(pos),
                        pos,
                        // Whoever changes something leaves the time of it.
                        modified_ms: changed.get(&pos).map_or(told, |at| told.max(*at)),
                        created_ms: millis(lead.deal.created, pos),
                        closed: view.status == WON || view.status == LOST,
                        archived: view.deleted,
                    }
                })
                .collect(),
            Kind::Contacts => (0..company.contacts_until(now))
                .map(|pos| {
                    let (_, contact) = company.contact(pos);
                    Entry {
                        id: company.contact_id(pos),
                        pos,
                        modified_ms: millis(contact_updated(&contact, now), pos),
                        created_ms: millis(contact.created, pos),
                        closed: false,
                        archived: false,
                    }
                })
                .collect(),
        };
        Self(entries)
    }

    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    pub fn by_id(&self, id: u64) -> Option<&Entry> {
        self.0.binary_search_by_key(&id, |e| e.id).ok().and_then(|i| self.0.get(i))
    }
}

/// Seconds of the story with milliseconds of their own, so that not all end in 000.
pub fn millis(seconds: i64, pos: u32) -> i64 {
    seconds * 1000 + i64::from(pos.wrapping_mul(37) % 1000)
}
