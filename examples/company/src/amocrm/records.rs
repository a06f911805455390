//! Leads, contacts and events as JSON, written straight into the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::amocrm::ACCOUNT_ID;
use crate::amocrm::query::Query;
use crate::company::{Company, Lead, Owner};
use crate::deal::{Deal, FIRST_USER, LOST, What};
use crate::faults::Fault;
use crate::person::OFFICE_PHONE;
use crate::rng::For;
use crate::story::{Brought, Contact, Story};
use crate::text::{push_int, push_json, push_uint};
use crate::words::LOSS_REASONS;

pub struct Writer<'a> {
    pub company: &'a Company,
    pub now: i64,
    pub base: &'a str,
    pub query: &'a Query,
    pub faults: &'a [Fault],
}

pub fn contact_updated(c: &Contact, now: i64) -> i64 {
    c.office_added.filter(|t| *t <= now).unwrap_or(c.created).max(c.created)
}

pub fn contact_user(s: &Story) -> u64 {
    s.deals.first().map_or(u64::from(FIRST_USER), |d| u64::from(d.user()))
}

/// Who made a change: 0 is the robot, which makes leads of chats.
pub fn event_user(lead: &Lead, n: u8) -> u64 {
    if n == 0 && lead.deal.inquiry.is_some() { 0 } else { u64::from(lead.deal.user()) }
}

impl Writer<'_> {
    fn self_link(&self, out: &mut String, entity: &str, id: u64) {
        out.push_str("\"_links\":{\"self\":{\"href\":\"");
        out.push_str(self.base);
        out.push_str("/api/v4/");
        out.push_str(entity);
        out.push('/');
        push_uint(out, id);
        out.push_str("\"}}");
    }

    /// One lead; `touched` is the moment a fault changed it.
    pub fn lead(&self, out: &mut String, pos: u32, touched: Option<i64>, written: BTreeMap<String, Value>) {
        let lead = self.company.lead(pos);
        let (d, view) = (&lead.deal, lead.deal.view(self.now));
        let id = self.company.lead_id(pos);
        let number = |out: &mut String, name: &str, n: i64| {
            out.push_str(name);
            push_int(out, n);
        };
        number(out, "{\"id\":", id as i64);
        out.push_str(",\"name\":\"");
        out.push_str(match d.inquiry {
            Some(_) => "WhatsApp: заявка №",
            None => "Сделка №",
        });
        push_uint(out, id);
        out.push_str("\",\"price\":");
        self.price(out, view.price);
        number(out, ",\"responsible_user_id\":", i64::from(d.user()));
        out.push_str(",\"group_id\":0");
        number(out, ",\"status_id\":", i64::from(view.status));
        number(out, ",\"pipeline_id\":", i64::from(d.pipeline().id));
        out.push_str(",\"loss_reason_id\":");
        if view.status == LOST {
            push_uint(out, u64::from(loss(d).0))
        } else {
            out.push_str("null")
        }
        out.push_str(",\"source_id\":null");
        number(out, ",\"created_by\":", event_user(&lead, 0) as i64);
        number(
            out,
            ",\"updated_by\":",
            i64::from(if touched.is_some() { d.user() } else { view.updated_by }),
        );
        number(out, ",\"created_at\":", d.created);
        number(out, ",\"updated_at\":", view.updated.max(touched.unwrap_or(i64::MIN)));
        out.push_str(",\"closed_at\":");
        match view.closed {
            Some(t) => push_int(out, t),
            None => out.push_str("null"),
        }
        out.push_str(",\"closest_task_at\":null,\"is_deleted\":");
        out.push_str(if view.deleted { "true" } else { "false" });
        out.push_str(",\"custom_fields_values\":");
        let mut fields = String::new();
        self.lead_fields(&mut fields, &lead);
        out.push_str(&super::write::merged(&fields, written));
        out.push_str(",\"score\":null");
        number(out, ",\"account_id\":", ACCOUNT_ID as i64);
        if self.query.with("is_price_modified_by_robot") {
            out.push_str(",\"is_price_modified_by_robot\":false");
        }
        self.drifts(out);
        out.push(',');
        self.self_link(out, "leads", id);
        out.push_str(",\"_embedded\":{\"tags\":");
        if d.inquiry.is_some() && d.fields == 2 {
            out.push_str("[{\"id\":310011,\"name\":\"whatsapp\",\"color\":null}]");
        } else {
            out.push_str("[]");
        }
        out.push_str(",\"companies\":[]");
        if self.query.with("contacts") {
            let contact = self.company.contact_id(self.company.contact_of(&lead));
            out.push_str(",\"contacts\":[{\"id\":");
            push_uint(out, contact);
            out.push_str(",\"is_main\":true,");
            self.self_link(out, "contacts", contact);
            out.push_str("}]");
        }
        if self.query.with("loss_reason") {
            out.push_str(",\"loss_reason\":[");
            if view.status == LOST {
                let _ = write!(out, "{{\"id\":{},\"name\":\"{}\",\"sort\":10000}}", loss(d).0, loss(d).1);
            }
            out.push(']');
        }
        if self.query.with("catalog_elements") {
            out.push_str(",\"catalog_elements\":[]");
        }
        out.push_str("}}");
    }

    fn price(&self, out: &mut String, price: u32) {
        let drifted = |variant: &str| self.drift(variant);
        if drifted("price_text") {
            let _ = write!(out, "\"{price}\"");
        } else {
            push_uint(out, u64::from(price));
            if drifted("price_decimal") {
                out.push_str(".00");
            }
        }
    }

    /// Whether a drift is on and this page already shows it.
    fn drift(&self, variant: &str) -> bool {
        self.faults.iter().any(
            |f| matches!(f, Fault::Drift { variant: v, page, late } if v == variant && (*late || self.query.page >= *page)),
        )
    }

    /// Fields of their own for drifts that no real field shows: present on all pages while the fault is on.
    fn drifts(&self, out: &mut String) {
        for f in self.faults {
            let Fault::Drift { variant, page, late } = f else { continue };
            let late = *late || self.query.page >= *page;
            out.push_str(match (variant.as_str(), late) {
                ("nested_grows", false) => ",\"x_nested\":{\"a\":1}",
                ("nested_grows", true) => ",\"x_nested\":{\"a\":2,\"b\":{\"c\":\"ещё\"}}",
                ("item_grows", false) => ",\"x_items\":[{\"n\":1}]",
                ("item_grows", true) => ",\"x_items\":[{\"n\":1,\"m\":[2]},{\"k\":null}]",
                ("array_for_object", false) => ",\"x_object\":{\"a\":1}",
                ("array_for_object", true) => ",\"x_object\":[]",
                ("null_then_text", false) => ",\"x_text\":null",
                ("null_then_text", true) => ",\"x_text\":\"появилось\"",
                ("int_then_decimal", false) => ",\"x_number\":12",
                ("int_then_decimal", true) => ",\"x_number\":12.345678901",
                ("beyond_64_bits", false) => ",\"x_big\":9223372036854775807",
                ("beyond_64_bits", true) => ",\"x_big\":340282366920938463463374607431768211455",
                ("changed_type", false) => ",\"x_type\":7",
                ("changed_type", true) => ",\"x_type\":\"seven\"",
                _ => "",
            });
        }
    }

    fn lead_fields(&self, out: &mut String, lead: &Lead) {
        let d = &lead.deal;
        if d.fields == 0 {
            // Not an empty list but null, always.
            out.push_str(if self.drift("empty_list_for_null") { "[]" } else { "null" });
            return;
        }
        out.push('[');
        if d.fields != 2 {
            let city = match &lead.owner {
                Owner::Person(s) => s.person.city().0,
                Owner::History(_) => "Moscow",
            };
            let _ = write!(
                out,
                "{{\"field_id\":812001,\"field_name\":\"Город\",\"field_code\":null,\"field_type\":\"text\",\
                 \"values\":[{{\"value\":\"{city}\"}}]}}"
            );
        }
        if d.fields >= 2 {
            if d.fields == 3 {
                out.push(',');
            }
            out.push_str(
                "{\"field_id\":812003,\"field_name\":\"Откуда узнали\",\"field_code\":null,\"field_type\":\
                 \"select\",\"values\":[{\"value\":\"Реклама\",\"enum_id\":912001,\"enum_code\":null}]}",
            );
        }
        if d.fields == 3
            && let Owner::Person(s) = &lead.owner
            && let Some(Brought::Visit(no)) = d.inquiry.and_then(|i| s.inquiry(i)).map(|i| i.brought)
            && let Some(v) = s.visit(no)
        {
            let source = v.origin.source();
            for (n, (code, value)) in [
                ("UTM_SOURCE", source.source),
                ("UTM_MEDIUM", source.medium),
                ("UTM_CAMPAIGN", source.campaign),
            ]
            .into_iter()
            .enumerate()
            {
                if source.utm && !value.is_empty() {
                    let _ = write!(
                        out,
                        ",{{\"field_id\":{},\"field_name\":\"{}\",\"field_code\":\"{code}\",\"field_type\":\
                         \"tracking_data\",\"values\":[{{\"value\":",
                        811_001 + n,
                        code.to_lowercase()
                    );
                    push_json(out, value);
                    out.push_str("}]}");
                }
            }
        }
        out.push(']');
    }

    pub fn contact(&self, out: &mut String, pos: u32) {
        let (s, c) = self.company.contact(pos);
        let id = self.company.contact_id(pos);
        let p = &s.person;
        let _ = write!(out, "{{\"id\":{id},\"name\":");
        push_json(out, &p.name());
        out.push_str(",\"first_name\":");
        push_json(out, p.first);
        out.push_str(",\"last_name\":");
        push_json(out, p.last);
        let user = contact_user(&s);
        let _ = write!(
            out,
            ",\"responsible_user_id\":{user},\"group_id\":0,\"created_by\":0,\"updated_by\":0,\"created_at\":{},\
             \"updated_at\":{},\"closest_task_at\":null,\"is_deleted\":false,\"is_unsorted\":false,\
             \"custom_fields_values\":",
            c.created,
            contact_updated(&c, self.now)
        );
        self.contact_fields(out, &s, &c);
        let _ = write!(out, ",\"account_id\":{ACCOUNT_ID},");
        self.self_link(out, "contacts", id);
        out.push_str(",\"_embedded\":{\"tags\":[],\"companies\":[]");
        if self.query.with("leads") {
            out.push_str(",\"leads\":[");
            let mut first = true;
            for lead in self.leads_of(&s, &c, pos) {
                if !first {
                    out.push(',');
                }
                first = false;
                let _ = write!(out, "{{\"id\":{lead},");
                self.self_link(out, "leads", lead);
                out.push('}');
            }
            out.push(']');
        }
        out.push_str("}}");
    }

    fn leads_of(&self, s: &Story, c: &Contact, pos: u32) -> Vec<u64> {
        let history = pos < self.company.history_contacts();
        s.deals
            .iter()
            .enumerate()
            .filter(|(_, d)| d.created <= self.now && !d.view(self.now).deleted)
            .filter(|(_, d)| {
                s.contacts.get(usize::from(d.contact)).or(s.contacts.first()).map(|x| x.no) == Some(c.no)
            })
            .map(|(n, d)| {
                let lead = if history {
                    pos * 2 + n as u32
                } else {
                    self.company.lead_pos(s.person.k as u32, n as u8, d.created)
                };
                self.company.lead_id(lead)
            })
            .collect()
    }

    fn contact_fields(&self, out: &mut String, s: &Story, c: &Contact) {
        let mut r = self.company.cfg.rng(For::Contact, s.person.phone, u64::from(c.no));
        if s.person.kind == crate::person::Kind::History && r.permille(10) {
            out.push_str("null"); // an old contact without a phone
            return;
        }
        out.push_str(
            "[{\"field_id\":810001,\"field_name\":\"Телефон\",\"field_code\":\"PHONE\",\"field_type\":\
             \"multitext\",\"values\":[{\"value\":",
        );
        push_json(out, &s.person.phone_as_typed(r.draw()));
        out.push_str(",\"enum_id\":910001,\"enum_code\":\"MOB\"}");
        if c.office_added.is_some_and(|t| t <= self.now) {
            let _ =
                write!(out, ",{{\"value\":\"{OFFICE_PHONE}\",\"enum_id\":910002,\"enum_code\":\"WORK\"}}");
        }
        out.push_str("]}");
        if let Some(email) = s.person.email() {
            out.push_str(
                ",{\"field_id\":810003,\"field_name\":\"Email\",\"field_code\":\"EMAIL\",\"field_type\":\
                 \"multitext\",\"values\":[{\"value\":",
            );
            push_json(out, &email);
            out.push_str(",\"enum_id\":910011,\"enum_code\":\"WORK\"}]}");
        }
        out.push(']');
    }

    /// Event at place `i` of the company's list.
    pub fn event(&self, out: &mut String, i: u32) {
        let Some(e) = self.company.events().get(i as usize) else { return };
        let lead = self.company.lead(e.lead);
        let id = event_id(e.at, e.lead, e.n);
        let lead_id = self.company.lead_id(e.lead);
        let _ = write!(
            out,
            "{{\"id\":\"{id}\",\"type\":\"{}\",\"entity_id\":{lead_id},\"entity_type\":\"lead\",\"created_by\":{},\
             \"created_at\":{},",
            lead.type_of_change(e.n),
            event_user(&lead, e.n),
            e.at
        );
        let pipeline = lead.deal.pipeline().id;
        let status = |out: &mut String, id: u32| {
            let _ = write!(out, "[{{\"lead_status\":{{\"id\":{id},\"pipeline_id\":{pipeline}}}}}]");
        };
        let sale = |out: &mut String, n: u32| {
            let _ = write!(out, "[{{\"sale_field_value\":{{\"sale\":{n}}}}}]");
        };
        let change = e.n.checked_sub(1).and_then(|n| lead.deal.changes.get(usize::from(n)));
        out.push_str("\"value_after\":");
        match change.map(|c| c.what) {
            Some(What::Status { to, .. }) => status(out, to),
            Some(What::Price { to, .. }) => sale(out, to),
            _ => out.push_str("[]"),
        }
        out.push_str(",\"value_before\":");
        match change.map(|c| c.what) {
            Some(What::Status { from, .. }) => status(out, from),
            Some(What::Price { from, .. }) => sale(out, from),
            _ => out.push_str("[]"),
        }
        let _ = write!(out, ",\"account_id\":{ACCOUNT_ID},\"_links\":{{\"self\":{{\"href\":\"");
        let _ = write!(
            out,
            "{}/api/v4/events/{id}\"}}}},\"_embedded\":{{\"entity\":{{\"id\":{lead_id},",
            self.base
        );
        self.self_link(out, "leads", lead_id);
        out.push_str("}}}");
    }
}

fn loss(d: &Deal) -> (u32, &'static str) {
    LOSS_REASONS[usize::from(d.loss_reason) % LOSS_REASONS.len()]
}

/// 26 symbols in the manner of a ULID: time first, then what tells equal times apart.
fn event_id(at: i64, lead: u32, n: u8) -> String {
    const SYMBOLS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let value = (at as u128) << 80 | u128::from(lead) << 40 | u128::from(n) << 24 | u128::from(lead ^ 0x5A5A);
    (0..26).map(|i| char::from(SYMBOLS[(value >> (5 * (25 - i)) & 31) as usize])).collect()
}

/// Makes the record that begins at `start` unusable, and nothing else of the page.
pub fn spoil(out: &mut String, start: usize, variant: &str) {
    let record = out[start..].to_owned();
    let replaced = |from: &str, to: &str| {
        let at = record.find(from)? + from.len();
        let end = at + record[at..].find([',', '}'])?;
        Some(format!("{}{to}{}", &record[..at], &record[end..]))
    };
    let bad = match variant {
        "text_for_time" => replaced("\"created_at\":", "\"yesterday\""),
        "text_for_price" => replaced("\"price\":", "\"много\""),
        "no_id" => replaced("\"id\":", "null"),
        "not_an_object" => Some("\"a text where a record was\"".to_owned()),
        _ => None,
    };
    if let Some(bad) = bad {
        out.truncate(start);
        out.push_str(&bad);
    }
}
