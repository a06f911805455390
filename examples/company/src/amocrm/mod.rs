//! amoCRM's API v4: OAuth with rotation, leads, contacts, events and the directories.

pub mod auth;
pub mod directory;
pub mod query;
pub mod records;
pub mod write;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::call::Call;
use crate::company::Company;
use crate::faults::Fault;
use crate::reply::{Reply, lock};
use crate::written::Written;
use query::{Order, Query, Range};
use records::Writer;

pub const ACCOUNT_ID: u64 = 31_415_926;
pub const SUBDOMAIN: &str = "studiosvet";
const MAX_LIMIT: u64 = 250;
const MAX_EVENTS: u64 = 100;
/// Lists of positions kept for further pages of the same question.
const KEPT: usize = 8;

/// What changed apart from the story: rows touched by a fault.
#[derive(Default)]
struct Changed {
    updated: HashMap<u32, i64>,
    lists: Vec<(String, Arc<List>)>,
    turn: u64,
}

/// Answer to a question, all pages of it.
#[derive(Default)]
struct List {
    positions: Vec<u32>,
    /// Of each position, when they ascend: who pages by the time last seen asks a new question with every
    /// page, and each is a part of this list.
    updated: Vec<i64>,
}

#[derive(Default)]
pub struct Crm {
    changed: Mutex<Changed>,
    /// What clients wrote into leads.
    pub written: Written,
}

impl Crm {
    pub fn answer(&self, call: &Call) -> Reply {
        match (call.method, call.path) {
            ("GET", _) => {}
            ("PATCH", "/api/v4/leads") => return write::patch(self, call),
            ("POST", "/api/v4/leads/custom_fields") => return write::make(self, call),
            _ => return Reply::problem(405, "Method Not Allowed", "This cannot be written here"),
        }
        let path = call.path.strip_prefix("/api/v4/").unwrap_or("");
        let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty()).collect();
        match parts.as_slice() {
            ["leads"] => self.list(call, Kind::Leads),
            ["contacts"] => self.list(call, Kind::Contacts),
            ["events"] => self.list(call, Kind::Events),
            ["leads", id] if is_number(id) => self.lead(call, id),
            ["contacts", id] if is_number(id) => self.contact(call, id),
            _ => directory::answer(call, &parts, &self.written),
        }
    }

    /// Forgets kept lists; `now` has moved.
    pub fn forget(&self) {
        lock(&self.changed).lists.clear();
    }

    /// Lets some visible leads change at this very moment, as managers do while somebody pages.
    pub fn touch(&self, company: &Company, now: i64, rows: usize) {
        let mut c = lock(&self.changed);
        let n = u64::from(company.leads_until(now));
        for _ in 0..rows {
            if n > 0 {
                let pos = (c.turn.wrapping_mul(7_919) + 3) % n;
                c.turn += 1;
                c.updated.insert(pos as u32, now);
            }
        }
        c.lists.clear();
    }

    fn updated(&self, pos: u32) -> Option<i64> {
        lock(&self.changed).updated.get(&pos).copied()
    }

    fn lead(&self, call: &Call, id: &str) -> Reply {
        let query = match Query::parse(call.query, MAX_LIMIT) {
            Ok(q) => q,
            Err(reply) => return reply,
        };
        let until = call.company.leads_until(call.now);
        match id.parse().ok().and_then(|id| call.company.lead_at_id(id)).filter(|p| *p < until) {
            Some(pos) => {
                let mut out = String::new();
                writer(call, &query).lead(&mut out, pos, self.updated(pos), self.written.of(pos));
                Reply::hal(out)
            }
            None => Reply::problem(404, "Not Found", "No such lead"),
        }
    }

    fn contact(&self, call: &Call, id: &str) -> Reply {
        let query = match Query::parse(call.query, MAX_LIMIT) {
            Ok(q) => q,
            Err(reply) => return reply,
        };
        let until = call.company.contacts_until(call.now);
        match id.parse().ok().and_then(|id| call.company.contact_at_id(id)).filter(|p| *p < until) {
            Some(pos) => {
                let mut out = String::new();
                writer(call, &query).contact(&mut out, pos);
                Reply::hal(out)
            }
            None => Reply::problem(404, "Not Found", "No such contact"),
        }
    }

    fn list(&self, call: &Call, kind: Kind) -> Reply {
        let max = if kind == Kind::Events { MAX_EVENTS } else { MAX_LIMIT };
        let query = match Query::parse(call.query, max) {
            Ok(q) => q,
            Err(reply) => return reply,
        };
        if let Err(reply) = query.only_known(kind.filters()) {
            return reply;
        }
        for f in call.faults {
            if let Fault::Touch { rows } = f {
                self.touch(call.company, call.now, *rows);
            }
        }
        let list = self.positions(call, kind, &query);
        let mut positions = list.positions.as_slice();
        if !list.updated.is_empty() {
            let range = query.range("updated_at");
            let from = list.updated.partition_point(|at| *at < range.from);
            let to = list.updated.partition_point(|at| *at <= range.to);
            positions = positions.get(from..to).unwrap_or_default();
        }
        let from = (query.page - 1).saturating_mul(query.limit);
        if from >= positions.len() as u64 {
            return Reply::nothing();
        }
        let to = from.saturating_add(query.limit).min(positions.len() as u64);
        let full = to - from == query.limit;
        let more = to < positions.len() as u64 || (full && call.faults.contains(&Fault::NextWhenFull));
        let page = &positions[from as usize..to as usize];

        let w = writer(call, &query);
        let mut out = String::with_capacity(page.len() * 1100 + 512);
        push_head(&mut out, call, &query, more, kind.name());
        for (n, pos) in page.iter().enumerate() {
            if n > 0 {
                out.push(',');
            }
            let start = out.len();
            match kind {
                Kind::Leads => w.lead(&mut out, *pos, self.updated(*pos), self.written.of(*pos)),
                Kind::Contacts => w.contact(&mut out, *pos),
                Kind::Events => w.event(&mut out, *pos),
            }
            for f in call.faults {
                if let Fault::Malformed { variant, row } = f
                    && *row == n
                {
                    records::spoil(&mut out, start, variant);
                }
            }
        }
        out.push_str("]}}");
        Reply::hal(out)
    }

    fn positions(&self, call: &Call, kind: Kind, query: &Query) -> Arc<List> {
        let order = query.order();
        let by_updated = order.by_updated && !order.descending && kind != Kind::Events;
        let asked = if by_updated { query.key_but("filter[updated_at]") } else { query.key.clone() };
        let key = format!("{kind:?} {} {asked}", call.now);
        let range = if by_updated { Range::ALL } else { query.range("updated_at") };
        {
            let c = lock(&self.changed);
            if let Some((_, list)) = c.lists.iter().find(|(k, _)| *k == key) {
                return list.clone();
            }
        }
        let updated = if kind == Kind::Leads { lock(&self.changed).updated.clone() } else { HashMap::new() };
        let rows = match kind {
            Kind::Leads => lead_rows(call, query, range, &updated),
            Kind::Contacts => contact_rows(call, query, range),
            Kind::Events => event_positions(call, query).into_iter().map(|p| (0, p)).collect(),
        };
        let list = Arc::new(List {
            updated: if by_updated { rows.iter().map(|(at, _)| *at).collect() } else { Vec::new() },
            positions: rows.into_iter().map(|(_, p)| p).collect(),
        });
        let mut c = lock(&self.changed);
        if c.lists.len() >= KEPT {
            c.lists.remove(0);
        }
        c.lists.push((key, list.clone()));
        list
    }
}

fn is_number(s: &str) -> bool {
    !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit())
}

fn writer<'a>(call: &'a Call<'a>, query: &'a Query) -> Writer<'a> {
    Writer { company: call.company, now: call.now, base: call.base, query, faults: call.faults }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Leads,
    Contacts,
    Events,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Leads => "leads",
            Kind::Contacts => "contacts",
            Kind::Events => "events",
        }
    }

    fn filters(self) -> &'static [&'static str] {
        match self {
            Kind::Leads => {
                &["id", "created_at", "updated_at", "closed_at", "responsible_user_id", "pipeline_id"]
            }
            Kind::Contacts => &["id", "created_at", "updated_at", "responsible_user_id"],
            Kind::Events => &["id", "created_at", "type", "entity", "entity_id", "created_by"],
        }
    }
}

/// Sorts `(key, position)` the way the question asks.
fn ordered(mut rows: Vec<(i64, u32)>, order: &Order) -> Vec<(i64, u32)> {
    if order.by_time {
        rows.sort_unstable();
    }
    if order.descending {
        rows.reverse();
    }
    rows
}

fn lead_rows(call: &Call, q: &Query, range: Range, updated: &HashMap<u32, i64>) -> Vec<(i64, u32)> {
    let order = q.order();
    let deleted = q.with("only_deleted");
    let mut rows = Vec::new();
    for pos in 0..call.company.leads_until(call.now) {
        let lead = call.company.lead(pos);
        let view = lead.deal.view(call.now);
        let at = updated.get(&pos).map_or(view.updated, |t| view.updated.max(*t));
        let fits = view.deleted == deleted
            && range.contains(at)
            && q.range("created_at").contains(lead.deal.created)
            && (q.range("closed_at").is_open()
                || view.closed.is_some_and(|c| q.range("closed_at").contains(c)))
            && q.one_of("id", call.company.lead_id(pos))
            && q.one_of("responsible_user_id", u64::from(lead.deal.user()))
            && q.one_of("pipeline_id", u64::from(lead.deal.pipeline().id));
        if fits {
            rows.push((if order.by_updated { at } else { lead.deal.created }, pos));
        }
    }
    ordered(rows, &order)
}

fn contact_rows(call: &Call, q: &Query, range: Range) -> Vec<(i64, u32)> {
    let order = q.order();
    let plain = q.has_no_filter() && !order.by_time;
    let mut rows = Vec::new();
    for pos in 0..call.company.contacts_until(call.now) {
        if plain {
            rows.push((0, pos));
            continue;
        }
        let (s, c) = call.company.contact(pos);
        let at = records::contact_updated(&c, call.now);
        let fits = range.contains(at)
            && q.range("created_at").contains(c.created)
            && q.one_of("id", call.company.contact_id(pos))
            && q.one_of("responsible_user_id", records::contact_user(&s));
        if fits {
            rows.push((if order.by_updated { at } else { c.created }, pos));
        }
    }
    ordered(rows, &order)
}

/// Events come newest first; nothing else can be asked for.
fn event_positions(call: &Call, q: &Query) -> Vec<u32> {
    let all = call.company.events();
    let end = all.partition_point(|e| e.at <= call.now);
    let created = q.range("created_at");
    let types = q.words("type");
    let entities = q.words("entity");
    if !entities.is_empty() && !entities.iter().any(|e| e == "lead") {
        return Vec::new();
    }
    let by = !q.ids("created_by").is_empty();
    (0..end as u32)
        .rev()
        .filter(|i| {
            let e = all[*i as usize];
            if !created.contains(e.at) || !q.one_of("entity_id", call.company.lead_id(e.lead)) {
                return false;
            }
            if types.is_empty() && !by {
                return true;
            }
            let lead = call.company.lead(e.lead);
            (types.is_empty() || types.iter().any(|t| t == lead.type_of_change(e.n)))
                && q.one_of("created_by", records::event_user(&lead, e.n))
        })
        .collect()
}

fn push_head(out: &mut String, call: &Call, q: &Query, more: bool, name: &str) {
    out.push_str("{\"_page\":");
    crate::text::push_uint(out, q.page);
    out.push_str(",\"_links\":{\"self\":{\"href\":\"");
    let link = |out: &mut String, page: u64| {
        out.push_str(call.base);
        out.push_str(call.path);
        out.push('?');
        out.push_str(&q.with_page(page));
    };
    link(out, q.page);
    out.push_str("\"}");
    if more {
        out.push_str(",\"next\":{\"href\":\"");
        link(out, q.page + 1);
        out.push_str("\"}");
    }
    if q.page > 1 {
        out.push_str(",\"first\":{\"href\":\"");
        link(out, 1);
        out.push_str("\"},\"prev\":{\"href\":\"");
        link(out, q.page - 1);
        out.push_str("\"}");
    }
    out.push_str("},\"_embedded\":{\"");
    out.push_str(name);
    out.push_str("\":[");
}
