//! The company's records as Salesforce would hold them.
//!
//! Every seventh inquiry begins as a lead, which becomes an opportunity when somebody first does something with it.

use serde_json::{Map, Value, json};

use super::objects::Kind;
use crate::amocrm::records::contact_updated;
use crate::company::{Company, Lead, Owner};
use crate::deal::{Deal, FIRST_USER, LOST, PIPELINES, WON, What};
use crate::hubspot::index::millis;
use crate::hubspot::objects::instant;
use crate::story::Brought;
use crate::text::push_date;
use crate::words::{LOSS_REASONS, OPERATORS};

/// What is needed to find a record, and to make it when it is asked for.
#[derive(Clone, Debug)]
pub struct Row {
    pub id: String,
    pub created_ms: i64,
    pub changed_ms: i64,
    pub deleted: bool,
    /// Place of a lead, contact or person in the company.
    pos: u32,
    /// Number of a record that belongs to it.
    n: u32,
}

pub const CAMPAIGNS: [&str; 3] = ["Свадьба мечты", "Осенний свет", "Wedding day"];
pub const WON_STAGE: &str = "Closed Won";
pub const LOST_STAGE: &str = "Closed Lost";

fn begins_as_lead(pos: u32) -> bool {
    pos % 7 == 3
}

/// When a deal became an opportunity.
fn opportunity_since(pos: u32, deal: &Deal) -> Option<i64> {
    if !begins_as_lead(pos) {
        return Some(deal.created);
    }
    deal.changes.first().filter(|c| c.what != What::Deleted).map(|c| c.at)
}

/// Contacts of an opportunity: most have one, some two or none.
pub fn contacts_of(company: &Company, lead: &Lead) -> Vec<u32> {
    if lead.pos % 23 == 8 {
        return Vec::new();
    }
    let main = company.contact_of(lead);
    if lead.pos % 9 == 4 && main > 0 { vec![main, main - 1] } else { vec![main] }
}

/// Stage and price after each step of an opportunity, by `now`.
fn steps(pos: u32, deal: &Deal, now: i64) -> Vec<(i64, String, u32)> {
    let Some(since) = opportunity_since(pos, deal).filter(|at| *at <= now) else { return Vec::new() };
    let mut stage = stage(deal, deal.pipeline().steps[1].0);
    let mut price = 0;
    let mut all = vec![(since, stage.clone(), price)];
    for change in deal.changes.iter().filter(|c| c.at <= now) {
        match change.what {
            What::Status { to, .. } => stage = self::stage(deal, to),
            What::Price { to, .. } => price = to,
            What::Deleted => continue,
        }
        all.push((change.at, stage.clone(), price));
    }
    all
}

fn stage(deal: &Deal, status: u32) -> String {
    match status {
        WON => WON_STAGE.to_owned(),
        LOST => LOST_STAGE.to_owned(),
        _ => {
            let step = deal.pipeline().steps.iter().find(|s| s.0 == status);
            step.map_or_else(|| "?".to_owned(), |s| s.1.to_owned())
        }
    }
}

/// Everything of one kind at `now`, by id.
pub fn rows(company: &Company, kind: Kind, now: i64) -> Vec<Row> {
    let start = company.cfg.start_at() * 1000;
    let listed = |count: usize| {
        let row = |n: usize| Row {
            id: kind.id(n as u64),
            created_ms: start,
            changed_ms: start,
            deleted: false,
            pos: n as u32,
            n: 0,
        };
        (0..count).map(row).collect::<Vec<Row>>()
    };
    let mut all = Vec::new();
    match kind {
        Kind::User => return listed(OPERATORS.len()),
        Kind::Campaign => return listed(CAMPAIGNS.len()),
        Kind::OpportunityStage => return listed(stages().len()),
        Kind::RecordType => return listed(PIPELINES.len()),
        Kind::Organization => return listed(1),
        Kind::Contact | Kind::Account | Kind::CampaignMember => {
            for pos in 0..company.contacts_until(now) {
                if (kind == Kind::Account && pos % 5 != 0) || (kind == Kind::CampaignMember && pos % 4 != 0) {
                    continue;
                }
                let (_, contact) = company.contact(pos);
                let changed =
                    if kind == Kind::Contact { contact_updated(&contact, now) } else { contact.created };
                all.push(Row {
                    id: kind.id(company.contact_id(pos)),
                    created_ms: millis(contact.created, pos),
                    changed_ms: millis(changed, pos),
                    deleted: false,
                    pos,
                    n: 0,
                });
            }
        }
        _ => {
            for pos in 0..company.leads_until(now) {
                of_deal(company, kind, now, pos, &mut all);
            }
        }
    }
    all
}

fn of_deal(company: &Company, kind: Kind, now: i64, pos: u32, all: &mut Vec<Row>) {
    let lead = company.lead(pos);
    let (deal, number) = (&lead.deal, company.lead_id(pos));
    let view = deal.view(now);
    let since = opportunity_since(pos, deal).filter(|at| *at <= now);
    let mut push = |id: String, created: i64, changed: i64, deleted: bool, n: u32| {
        all.push(Row {
            id,
            created_ms: millis(created, pos),
            changed_ms: millis(changed, pos),
            deleted,
            pos,
            n,
        });
    };
    match (kind, since) {
        (Kind::Opportunity, Some(since)) => push(kind.id(number), since, view.updated, view.deleted, 0),
        (Kind::OpportunityHistory, Some(_)) => {
            for (n, (at, ..)) in steps(pos, deal, now).into_iter().enumerate() {
                push(kind.id(number * 16 + n as u64), at, at, view.deleted, n as u32);
            }
        }
        (Kind::OpportunityContactRole, Some(since)) => {
            for n in 0..contacts_of(company, &lead).len() as u32 {
                // Of the main contact the opportunity itself tells, or its role.
                if n > 0 || pos.is_multiple_of(3) {
                    push(kind.id(number * 16 + u64::from(n)), since, since, view.deleted, n);
                }
            }
        }
        (Kind::Lead, since) if begins_as_lead(pos) => {
            let gone = since.is_none() && view.deleted;
            let changed = if gone { view.updated } else { since.unwrap_or(deal.created) };
            push(kind.id(number), deal.created, changed, gone, 0);
        }
        (Kind::LeadHistory, Some(since)) if begins_as_lead(pos) => {
            push(kind.id(number), since, since, false, 0);
        }
        _ => {}
    }
}

fn stages() -> Vec<(&'static str, bool, bool)> {
    let mut all: Vec<(&str, bool, bool)> =
        PIPELINES.iter().flat_map(|p| p.steps.iter().map(|s| (s.1, false, false))).collect();
    all.extend([(WON_STAGE, true, true), (LOST_STAGE, true, false)]);
    all
}

/// A moment as JSON answers write it.
fn moment(ms: i64) -> Value {
    instant(ms).replace('Z', "+0000").into()
}

fn date(at: i64) -> String {
    let mut text = String::new();
    push_date(&mut text, at.div_euclid(86_400));
    text
}

fn user(number: u32) -> String {
    Kind::User.id(u64::from(number.saturating_sub(FIRST_USER)))
}

/// All fields of a record.
pub fn record(company: &Company, kind: Kind, row: &Row, now: i64) -> Map<String, Value> {
    let mut record = match kind {
        Kind::Opportunity => opportunity(company, row, now),
        Kind::Lead => lead(company, row, now),
        Kind::Contact => contact(company, row),
        _ => other(company, kind, row, now),
    };
    record["Id"] = row.id.clone().into();
    record["IsDeleted"] = row.deleted.into();
    record["CreatedDate"] = moment(row.created_ms);
    record["SystemModstamp"] = moment(row.changed_ms);
    record["LastModifiedDate"] = moment(row.changed_ms);
    let mut fields = record.as_object().cloned().unwrap_or_default();
    // A text without anything in it is none.
    fields.values_mut().filter(|v| **v == "").for_each(|v| *v = Value::Null);
    fields
}

fn opportunity(company: &Company, row: &Row, now: i64) -> Value {
    let lead = company.lead(row.pos);
    let (deal, view) = (&lead.deal, lead.deal.view(now));
    let pipeline = u64::from(deal.pipeline) % PIPELINES.len() as u64;
    let main = contacts_of(company, &lead).first().map(|c| Kind::Contact.id(company.contact_id(*c)));
    // The close date is a plan; people rarely correct it when the deal ends.
    let planned = deal.created + 30 * 86_400;
    let close = view.closed.filter(|_| !row.pos.is_multiple_of(3)).unwrap_or(planned);
    let closed = view.status == WON || view.status == LOST;
    let mut record = json!({
        "Name": format!("{}, \"№{}\"", if deal.inquiry.is_some() { "WhatsApp: заявка" } else { "Сделка" }, row.pos),
        "Description": if row.pos.is_multiple_of(5) { json!("первая строка\nвторая, с запятой") } else { Value::Null },
        "AccountId": null, "RecordTypeId": Kind::RecordType.id(pipeline), "StageName": stage(deal, view.status),
        "Amount": if view.price > 0 { json!(f64::from(view.price)) } else { Value::Null },
        "Probability": if view.status == WON { 100.0 } else { 10.0 }, "CloseDate": date(close),
        "IsClosed": closed, "IsWon": view.status == WON, "LeadSource": "Web", "OwnerId": user(deal.user()),
        "ContactId": main.filter(|_| !row.pos.is_multiple_of(3)),
        "Loss_Reason__c": (view.status == LOST)
            .then(|| LOSS_REASONS[usize::from(deal.loss_reason) % LOSS_REASONS.len()].1),
        "Studio_City__c": "Москва",
    });
    marks(&lead, &mut record);
    record
}

/// Tracking fields that a form of the site filled.
fn marks(lead: &Lead, record: &mut Value) {
    if let Owner::Person(story) = &lead.owner
        && let Some(Brought::Visit(no)) = lead.deal.inquiry.and_then(|i| story.inquiry(i)).map(|i| i.brought)
        && lead.deal.fields == 3
        && let Some(visit) = story.visit(no)
    {
        record["TL_Token__c"] = crate::token::text(&visit.token()).to_owned().into();
        let source = visit.origin.source();
        for (name, value) in [
            ("utm_source__c", source.source),
            ("utm_medium__c", source.medium),
            ("utm_campaign__c", source.campaign),
        ] {
            if source.utm && !value.is_empty() {
                record[name] = value.into();
            }
        }
    }
}

fn lead(company: &Company, row: &Row, now: i64) -> Value {
    let lead = company.lead(row.pos);
    let (story, contact) = company.contact(company.contact_of(&lead));
    let person = &story.person;
    let since = opportunity_since(row.pos, &lead.deal).filter(|at| *at <= now);
    let contact_id = Kind::Contact.id(company.contact_id(company.contact_of(&lead)));
    let mut record = json!({
        "FirstName": person.first, "LastName": person.last, "Name": person.name(), "Company": "-", "State": person.city().0,
        "Phone": person.phone_as_typed(u64::from(contact.no)), "Email": person.email(),
        "Status": if since.is_some() { "Closed - Converted" } else { "Working - Contacted" },
        "OwnerId": user(lead.deal.user()), "IsConverted": since.is_some(), "ConvertedDate": since.map(date),
        "ConvertedContactId": since.map(|_| contact_id),
        "ConvertedOpportunityId": since.map(|_| Kind::Opportunity.id(company.lead_id(row.pos))),
    });
    marks(&lead, &mut record);
    record
}

fn contact(company: &Company, row: &Row) -> Value {
    let (story, contact) = company.contact(row.pos);
    let person = &story.person;
    let owner = crate::amocrm::records::contact_user(&story);
    json!({
        "FirstName": person.first, "LastName": person.last, "Name": person.name(), "MailingState": person.city().0,
        "Phone": person.phone_as_typed(u64::from(contact.no) + company.contact_id(row.pos)), "Email": person.email(),
        "OwnerId": user(owner as u32),
    })
}

fn other(company: &Company, kind: Kind, row: &Row, now: i64) -> Value {
    let n = row.pos as usize;
    match kind {
        Kind::OpportunityHistory => {
            let lead = company.lead(row.pos);
            let steps = steps(row.pos, &lead.deal, now);
            let step = steps.get(row.n as usize);
            json!({
                "OpportunityId": Kind::Opportunity.id(company.lead_id(row.pos)), "CreatedById": user(lead.deal.user()),
                "StageName": step.map(|s| s.1.clone()), "CloseDate": date(lead.deal.created + 30 * 86_400),
                "Amount": step.filter(|s| s.2 > 0).map(|s| f64::from(s.2)),
            })
        }
        Kind::OpportunityContactRole => {
            let lead = company.lead(row.pos);
            let contact = contacts_of(company, &lead).get(row.n as usize).copied();
            json!({
                "OpportunityId": Kind::Opportunity.id(company.lead_id(row.pos)), "Role": "Decision Maker",
                "ContactId": contact.map(|c| Kind::Contact.id(company.contact_id(c))), "IsPrimary": row.n == 0,
            })
        }
        Kind::LeadHistory => json!({
            "LeadId": Kind::Lead.id(company.lead_id(row.pos)), "Field": "leadConverted",
        }),
        Kind::Account => json!({ "Name": format!("Семья {n}") }),
        Kind::CampaignMember => json!({
            "CampaignId": Kind::Campaign.id((row.pos % 3).into()), "Status": "Responded",
            "ContactId": Kind::Contact.id(company.contact_id(row.pos)),
        }),
        Kind::User => {
            let (name, email, team) = OPERATORS[n % OPERATORS.len()];
            json!({"Name": name, "Email": email, "Department": team, "IsActive": n + 1 < OPERATORS.len()})
        }
        Kind::Campaign => json!({"Name": CAMPAIGNS[n % CAMPAIGNS.len()], "Type": "Email"}),
        Kind::OpportunityStage => {
            let (label, closed, won) = stages()[n % stages().len()];
            json!({"MasterLabel": label, "ApiName": label, "IsActive": true, "SortOrder": n + 1, "IsClosed": closed,
                   "IsWon": won})
        }
        Kind::RecordType => {
            json!({"Name": PIPELINES[n % PIPELINES.len()].name, "SobjectType": "Opportunity"})
        }
        Kind::Organization => json!({
            "Name": "Студия Свет", "OrganizationType": "Enterprise Edition", "DefaultCurrencyIsoCode": "RUB",
            "TimeZoneSidKey": "Europe/Moscow",
        }),
        _ => json!({}),
    }
}
