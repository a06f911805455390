//! The ground truth: what really happened by `now`, for tests to compare with. Nothing here is served by the
//! vendors' interfaces; amounts are whole roubles as in the CRM, instants are RFC 3339 in UTC.

mod counts;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::ads::{LEAVES, Origin, Source};
use crate::chat::wamid;
use crate::company::{Company, Lead, Owner};
use crate::costs::costs;
use crate::deal::{Deal, LOST, WON};
use crate::person::Kind;
use crate::story::{Brought, Inquiry, Story, Visit, visit_id};
use crate::text::{push_csv, push_uint, rfc3339};
use crate::token;

pub use counts::{Counts, counts, intact_permille};

pub const VISITS_HEADER: &str = "visit_id,client_id,person,at,token,button_clicked_at,entrance_page,\
traffic,source,medium,campaign_id,campaign,ad_id,ad,keyword,\
sign_traffic,sign_source,sign_medium,sign_campaign_id,sign_campaign,sign_ad_id,sign_ad,sign_keyword,shared_device\n";

pub const INQUIRIES_HEADER: &str = "person,phone,at,message_id,brought_by,visit_id,token,token_variant,token_state,\
lead_id\n";

pub const DEALS_HEADER: &str = "lead_id,kind,person,contact_id,phone,inquiry_at,message_id,brought_by,token_variant,\
token_state,token,visit_id,client_id,visit_at,\
traffic,source,medium,campaign_id,campaign,ad_id,ad,keyword,\
sign_traffic,sign_source,sign_medium,sign_campaign_id,sign_campaign,sign_ad_id,sign_ad,sign_keyword,\
first_visit_id,first_source,first_campaign,visits_before,status,value,currency,created_at,closed_at,\
shared_device,office_phone\n";

pub const CAMPAIGNS_HEADER: &str =
    "basis,source,medium,campaign_id,campaign,visits,inquiries,deals,won,revenue,cost_minor,currency\n";

/// Metrica shows visits of days that are over.
pub fn last_export_end(company: &Company, now: i64) -> i64 {
    company.cfg.midnight(company.cfg.day_of(now))
}

fn push_source(out: &mut String, s: &Source) {
    for t in [s.traffic, s.source, s.medium] {
        out.push(',');
        push_csv(out, t);
    }
    push_id(out, s.campaign_id);
    out.push(',');
    push_csv(out, s.campaign);
    push_id(out, s.ad_id);
    out.push(',');
    push_csv(out, s.ad);
    out.push(',');
    push_csv(out, s.keyword);
}

fn push_id(out: &mut String, id: u64) {
    out.push(',');
    if id != 0 {
        push_uint(out, id);
    }
}

/// What brought an inquiry: its own source, and the last significant one.
fn sources(s: &Story, i: &Inquiry) -> (Source<'static>, Source<'static>) {
    match i.brought {
        Brought::Visit(no) => {
            let own = s.visit(no).map_or(Origin::Direct, |v| v.origin);
            (own.source(), s.last_significant(no, false).source())
        }
        Brought::Ad(leaf) => (Origin::Ad(leaf).source(), Origin::Ad(leaf).source()),
        Brought::Again | Brought::Broadcast(_) => Default::default(),
    }
}

fn brought(b: Brought) -> &'static str {
    match b {
        Brought::Visit(_) => "visit",
        Brought::Ad(_) => "click_to_chat",
        Brought::Again => "again",
        Brought::Broadcast(_) => "broadcast",
    }
}

fn visit_of<'a>(s: &'a Story, i: &Inquiry) -> Option<&'a Visit> {
    match i.brought {
        Brought::Visit(no) => s.visit(no),
        _ => None,
    }
}

fn shared_device(company: &Company, s: &Story) -> bool {
    let k = s.person.k;
    s.person.shares_device || (k + 1 < company.people() && company.story(k + 1).person.shares_device)
}

fn push_at(out: &mut String, at: Option<i64>) {
    if let Some(at) = at {
        out.push_str(&rfc3339(at));
    }
}

pub fn write_visits(company: &Company, now: i64, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(VISITS_HEADER.as_bytes())?;
    let mut row = String::new();
    for v in company.visits.iter().take_while(|v| v.at <= now).filter(|v| !v.robot) {
        let s = company.story(u64::from(v.k));
        let Some(visit) = s.visit(v.no) else { continue };
        row.clear();
        push_uint(&mut row, visit_id(s.person.k, v.no));
        let _ = write!(
            row,
            ",{},{},{},{},",
            s.person.client_id(&company.cfg, visit.device),
            s.person.k,
            rfc3339(v.at),
            token::text(&visit.token())
        );
        push_at(&mut row, visit.click);
        row.push(',');
        push_csv(&mut row, &crate::metrika::rows::start_url(&s, visit));
        push_source(&mut row, &visit.origin.source());
        push_source(&mut row, &s.last_significant(v.no, false).source());
        let _ = writeln!(row, ",{}", u8::from(shared_device(company, &s)));
        to.write_all(row.as_bytes())?;
    }
    Ok(())
}

pub fn write_inquiries(company: &Company, now: i64, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(INQUIRIES_HEADER.as_bytes())?;
    let mut row = String::new();
    for k in 0..company.people() {
        let s = company.story(k);
        for i in s.inquiries.iter().filter(|i| i.at <= now) {
            row.clear();
            let _ = write!(row, "{k},{},{},", s.person.e164(), rfc3339(i.at));
            push_csv(&mut row, &wamid(&company.cfg, k, i.no, 0));
            let _ = write!(row, ",{},", brought(i.brought));
            if let Some(v) = visit_of(&s, i) {
                let _ = write!(row, "{},{}", visit_id(k, v.no), token::text(&v.token()));
            } else {
                row.push(',');
            }
            let _ = write!(row, ",{},{},", i.variant.name(), i.variant.state());
            let deal = s.deals.iter().enumerate().find(|(_, d)| d.inquiry == Some(i.no) && d.created <= now);
            if let Some((n, d)) = deal {
                push_uint(&mut row, company.lead_id(company.lead_pos(k as u32, n as u8, d.created)));
            }
            row.push('\n');
            to.write_all(row.as_bytes())?;
        }
    }
    Ok(())
}

pub fn write_deals(company: &Company, now: i64, to: &mut dyn Write) -> io::Result<()> {
    to.write_all(DEALS_HEADER.as_bytes())?;
    let mut row = String::new();
    for pos in 0..company.leads_until(now) {
        row.clear();
        deal_row(company, now, &company.lead(pos), &mut row);
        to.write_all(row.as_bytes())?;
    }
    Ok(())
}

pub fn state(d: &Deal, now: i64) -> &'static str {
    let v = d.view(now);
    match v.status {
        _ if v.deleted => "deleted",
        WON => "won",
        LOST => "lost",
        _ => "open",
    }
}

fn deal_row(company: &Company, now: i64, lead: &Lead, row: &mut String) {
    let contact = company.contact_id(company.contact_of(lead));
    let d = &lead.deal;
    push_uint(row, company.lead_id(lead.pos));
    let story = match &lead.owner {
        Owner::Person(s) => Some(s),
        Owner::History(j) => {
            let p = crate::person::history_person(&company.cfg, *j);
            let _ = write!(row, ",history,,{contact},{}", p.e164());
            None
        }
    };
    if let Some(s) = story {
        let kind = if s.person.kind == Kind::WalkIn { "walk_in" } else { "chat" };
        let _ = write!(row, ",{kind},{},{contact},{}", s.person.k, s.person.e164());
    }
    let inquiry = story.and_then(|s| Some((s, s.inquiry(d.inquiry?)?)));
    if let Some((s, i)) = inquiry {
        row.push(',');
        push_at(row, Some(i.at));
        row.push(',');
        push_csv(row, &wamid(&company.cfg, s.person.k, i.no, 0));
        let _ = write!(row, ",{},{},{},", brought(i.brought), i.variant.name(), i.variant.state());
        if let Some(v) = visit_of(s, i) {
            let _ = write!(
                row,
                "{},{},{},{}",
                token::text(&v.token()),
                visit_id(s.person.k, v.no),
                s.person.client_id(&company.cfg, v.device),
                rfc3339(v.at)
            );
        } else {
            row.push_str(",,,");
        }
        let (own, sign) = sources(s, i);
        push_source(row, &own);
        push_source(row, &sign);
    } else {
        row.push_str(",,,none,no_phrase,missing,,,,");
        push_source(row, &Source::default());
        push_source(row, &Source::default());
    }
    match story.and_then(|s| Some((s, s.visits.first().filter(|v| v.at <= now)?))) {
        Some((s, first)) => {
            let source = first.origin.source();
            let _ = write!(row, ",{},{},", visit_id(s.person.k, first.no), source.source);
            push_csv(row, source.campaign);
            let by = inquiry.map_or(d.created, |(_, i)| i.at);
            let _ = write!(row, ",{}", s.visits.iter().filter(|v| v.at <= by).count());
        }
        None => row.push_str(",,,,0"),
    }
    let view = d.view(now);
    let _ = write!(row, ",{},{},RUB,{},", state(d, now), view.price, rfc3339(d.created));
    push_at(row, view.closed);
    let (shared, office) =
        story.map_or((false, false), |s| (shared_device(company, s), s.person.office_phone));
    let _ = writeln!(row, ",{},{}", u8::from(shared), u8::from(office));
}

#[derive(Default)]
struct Total {
    visits: u64,
    inquiries: u64,
    deals: u64,
    won: u64,
    revenue: u64,
    cost_minor: u64,
    currency: &'static str,
}

/// (basis, source, medium, campaign id, campaign)
type Key = (&'static str, &'static str, &'static str, u64, &'static str);

fn key(basis: &'static str, s: &Source<'static>) -> Key {
    if s.traffic.is_empty() {
        return (basis, "(none)", "(none)", 0, "");
    }
    if s.traffic == "direct" {
        return (basis, "(direct)", "(none)", 0, "");
    }
    (basis, s.source, s.medium, s.campaign_id, s.campaign)
}

/// Totals by campaign, by the visit's own source (`own`) and by Metrica's last significant one (`sign`). Each
/// basis adds up to the whole company: deals that no visit brought stand under `(none)`.
pub fn write_campaigns(company: &Company, now: i64, to: &mut dyn Write) -> io::Result<()> {
    let mut totals: BTreeMap<Key, Total> = BTreeMap::new();
    for k in 0..company.people() {
        let s = company.story(k);
        if s.person.kind != Kind::Robot {
            for v in s.visits.iter().filter(|v| v.at <= now) {
                totals.entry(key("own", &v.origin.source())).or_default().visits += 1;
                totals.entry(key("sign", &s.last_significant(v.no, false).source())).or_default().visits += 1;
            }
        }
        for i in s.inquiries.iter().filter(|i| i.at <= now) {
            let (own, sign) = sources(&s, i);
            totals.entry(key("own", &own)).or_default().inquiries += 1;
            totals.entry(key("sign", &sign)).or_default().inquiries += 1;
        }
        for d in s.deals.iter().filter(|d| d.created <= now) {
            let (own, sign) =
                d.inquiry.and_then(|i| s.inquiry(i)).map_or_else(Default::default, |i| sources(&s, i));
            add_deal(&mut totals, d, now, &own, &sign);
        }
    }
    for i in 0..company.cfg.history {
        let d = crate::deal::history_deal(&company.cfg, u64::from(i));
        if d.created <= now {
            add_deal(&mut totals, &d, now, &Source::default(), &Source::default());
        }
    }
    for c in costs(company, now) {
        let Some(i) = LEAVES.iter().position(|l| std::ptr::eq(l, c.leaf)) else { continue };
        let source = Origin::Ad(i as u16).source();
        for basis in ["own", "sign"] {
            let t = totals.entry(key(basis, &source)).or_default();
            t.cost_minor += c.cost_minor;
            t.currency = c.leaf.currency;
        }
    }
    let mut out = CAMPAIGNS_HEADER.to_owned();
    for ((basis, source, medium, id, campaign), t) in &totals {
        let _ = write!(out, "{basis},{source},{medium}");
        push_id(&mut out, *id);
        out.push(',');
        push_csv(&mut out, campaign);
        for n in [t.visits, t.inquiries, t.deals, t.won, t.revenue, t.cost_minor] {
            out.push(',');
            push_uint(&mut out, n);
        }
        let _ = writeln!(out, ",{}", t.currency);
    }
    to.write_all(out.as_bytes())
}

fn add_deal(
    totals: &mut BTreeMap<Key, Total>,
    d: &Deal,
    now: i64,
    own: &Source<'static>,
    sign: &Source<'static>,
) {
    let view = d.view(now);
    if view.deleted {
        return;
    }
    for (basis, source) in [("own", own), ("sign", sign)] {
        let t = totals.entry(key(basis, source)).or_default();
        t.deals += 1;
        if view.status == WON {
            t.won += 1;
            t.revenue += u64::from(view.price);
        }
    }
}
