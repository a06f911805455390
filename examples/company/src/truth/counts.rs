//! Sums of the truth.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{last_export_end, state};
use crate::chat;
use crate::company::Company;
use crate::costs::costs;
use crate::deal::Deal;
use crate::metrika::rows::{hit_at, hits};
use crate::person::Kind;
use crate::story::{DAY, Variant};
use crate::text::rfc3339;

/// Sums that every reader can check against the vendors' interfaces at the same `now`.
#[derive(Default, Serialize, Clone, PartialEq, Debug)]
pub struct Counts {
    pub now: String,
    /// People who visited or wrote by now.
    pub people: u64,
    /// Visits of people by now.
    pub visits: u64,
    /// Visits a complete Metrica export up to yesterday holds: robots that are still there included.
    pub metrica_visits: u64,
    pub metrica_hits: u64,
    pub inquiries: u64,
    pub inquiries_by_token: BTreeMap<&'static str, u64>,
    pub inquiries_by_state: BTreeMap<&'static str, u64>,
    pub leads: u64,
    pub leads_deleted: u64,
    pub leads_open: u64,
    pub leads_won: u64,
    pub leads_lost: u64,
    /// Price of won, not deleted deals, roubles.
    pub revenue: u64,
    pub leads_of_chats: u64,
    pub contacts: u64,
    pub crm_events: u64,
    pub messages_in: u64,
    pub messages_echoed: u64,
    /// Different (message, status) pairs.
    pub statuses: u64,
    pub sent_by_api: u64,
    pub failed: u64,
    pub unsubscribes: u64,
    pub opt_outs: u64,
    pub deliveries: u64,
    pub deliveries_repeated: u64,
    pub cost_rows: u64,
    /// Minor units by currency.
    pub cost_minor: BTreeMap<&'static str, u64>,
    pub clicks: u64,
}

/// Counts everything at `now`. Walks the whole company: keep the answer.
pub fn counts(company: &Company, now: i64) -> Counts {
    let mut c = Counts { now: rfc3339(now), ..Counts::default() };
    let end = last_export_end(company, now);
    for k in 0..company.people() {
        let s = company.story(k);
        let robot = s.person.kind == Kind::Robot;
        for v in s.visits.iter().filter(|v| v.at <= now) {
            c.visits += u64::from(!robot);
            if v.at < end && (!robot || now < v.at + 2 * DAY) {
                c.metrica_visits += 1;
                let hits = (0..hits(v, now)).filter(|h| hit_at(v, *h, now) < end);
                c.metrica_hits += hits.count() as u64;
            }
        }
        let seen = s.visits.iter().any(|v| v.at <= now) || s.inquiries.iter().any(|i| i.at <= now);
        c.people += u64::from(seen && !robot);
        for i in s.inquiries.iter().filter(|i| i.at <= now) {
            c.inquiries += 1;
            *c.inquiries_by_token.entry(i.variant.name()).or_default() += 1;
            *c.inquiries_by_state.entry(i.variant.state()).or_default() += 1;
        }
        for d in s.deals.iter().filter(|d| d.created <= now) {
            count_deal(&mut c, d, now);
            c.leads_of_chats += u64::from(d.inquiry.is_some() && !d.view(now).deleted);
        }
    }
    for i in 0..company.cfg.history {
        let d = crate::deal::history_deal(&company.cfg, u64::from(i));
        if d.created <= now {
            count_deal(&mut c, &d, now);
        }
    }
    c.contacts = u64::from(company.contacts_until(now));
    count_chats(company, now, &mut c);
    for cost in costs(company, now) {
        c.cost_rows += 1;
        c.clicks += cost.clicks;
        *c.cost_minor.entry(cost.leaf.currency).or_default() += cost.cost_minor;
    }
    c
}

fn count_deal(c: &mut Counts, d: &Deal, now: i64) {
    let view = d.view(now);
    c.crm_events += 1 + d.changes.iter().filter(|x| x.at <= now).count() as u64;
    match state(d, now) {
        "deleted" => {
            c.leads_deleted += 1;
            return;
        }
        "won" => {
            c.leads_won += 1;
            c.revenue += u64::from(view.price);
        }
        "lost" => c.leads_lost += 1,
        _ => c.leads_open += 1,
    }
    c.leads += 1;
}

/// What arrived by `now`: an event counts from the moment its first delivery came.
fn count_chats(company: &Company, now: i64, c: &mut Counts) {
    for d in crate::whatsapp::deliveries(company).iter().take_while(|d| d.at <= now) {
        c.deliveries += 1;
        if d.repeated {
            c.deliveries_repeated += 1;
            continue;
        }
        for r in &company.chats()[d.first..d.first + d.len] {
            let Some((_, e)) = company.chat(*r) else { continue };
            match e.what {
                chat::What::Status { state, .. } => {
                    c.statuses += 1;
                    c.sent_by_api += u64::from(state == chat::State::Sent);
                    c.failed += u64::from(matches!(state, chat::State::Failed(_)));
                }
                chat::What::Echo(_) => c.messages_echoed += 1,
                chat::What::OptOut => c.opt_outs += 1,
                chat::What::Stop(_) => c.unsubscribes += 1,
                _ => {}
            }
            c.messages_in += u64::from(e.is_incoming());
        }
    }
}

/// Share of button-borne inquiries whose phrase arrived untouched, in thousandths.
pub fn intact_permille(c: &Counts) -> u64 {
    let of_button: u64 =
        c.inquiries_by_token.iter().filter(|(v, _)| **v != Variant::NoPhrase.name()).map(|(_, n)| *n).sum();
    let intact = c.inquiries_by_token.get(Variant::Intact.name()).copied().unwrap_or(0);
    (intact * 1000).checked_div(of_button).unwrap_or(0)
}
