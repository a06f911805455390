//! Records as JSON.

use serde_json::{Map, Value, json};

use super::Call;
use super::table::{Entry, Kind, is_converted, lead_id};
use crate::company::Owner;
use crate::deal::{Deal, LOST, PIPELINES, WON, What};
use crate::story::Brought;
use crate::written::Written;

/// RFC 3339 in the portal's zone.
pub fn local(at: i64) -> String {
    let zone = chrono::FixedOffset::east_opt(3 * 3600);
    let at = chrono::DateTime::from_timestamp(at, 0).unwrap_or_default();
    zone.map_or_else(|| at.to_rfc3339(), |zone| at.with_timezone(&zone).to_rfc3339())
}

pub fn stage_id(pipeline: usize, status: u32) -> String {
    let steps = PIPELINES.get(pipeline).map_or(&PIPELINES[0].steps, |p| &p.steps);
    let name = match status {
        WON => "WON",
        LOST => "LOSE",
        status => {
            let step = steps.iter().position(|s| s.0 == status).unwrap_or_default();
            ["NEW", "PREPARATION", "EXECUTING", "FINAL_INVOICE"][step]
        }
    };
    if pipeline == 0 { name.to_owned() } else { format!("C{pipeline}:{name}") }
}

fn semantics(status: u32) -> &'static str {
    match status {
        WON => "S",
        LOST => "F",
        _ => "P",
    }
}

/// The ids of a deal's contacts: most have one, some have two or none.
pub fn contacts_of(call: &Call, pos: u32) -> Vec<u64> {
    if pos % 23 == 7 {
        return Vec::new();
    }
    let main = call.company.contact_of(&call.company.lead(pos));
    let mut all = vec![call.company.contact_id(main)];
    if pos % 9 == 4 && main > 0 {
        all.push(call.company.contact_id(main - 1));
    }
    all
}

/// One record, with what was selected and what clients wrote into it.
pub fn record(
    call: &Call,
    written: &Written,
    kind: Kind,
    entry: &Entry,
    (select, params): (&[String], &Value),
) -> Value {
    let whole = match kind {
        Kind::Deals => {
            let mut deal = deal(call, entry);
            if let Value::Object(deal) = &mut deal {
                deal.extend(written.made().into_iter().map(|field| (field.key, Value::Null)));
                deal.extend(written.of(entry.pos));
            }
            deal
        }
        Kind::Leads => lead(call, entry),
        Kind::Contacts => contact(call, entry),
        Kind::DealHistory => deal_step(call, entry),
        Kind::LeadHistory => lead_step(entry),
        Kind::Activities => activity(call, entry),
    };
    let Value::Object(whole) = whole else { return whole };
    let all = select.is_empty() || select.iter().any(|s| s == "*");
    let original = params["useOriginalUfNames"] == "Y";
    let mut shown = Map::new();
    for (name, value) in whole {
        // Phones and addresses cannot be chosen by name, communications only so.
        let wanted = match name.as_str() {
            "fm" => select.iter().any(|s| s == "*"),
            "COMMUNICATIONS" => select.contains(&name),
            _ => all || select.contains(&name) || name == kind.fields().0,
        };
        if wanted {
            let name = match name.strip_prefix("UF_CRM_").filter(|_| !original) {
                Some(rest) => format!("ufCrm{rest}"),
                None => name,
            };
            shown.insert(name, value);
        }
    }
    Value::Object(shown)
}

fn deal(call: &Call, entry: &Entry) -> Value {
    let lead = call.company.lead(entry.pos);
    let (deal, view) = (&lead.deal, lead.deal.view(call.now));
    let pipeline = usize::from(deal.pipeline) % PIPELINES.len();
    let contacts = contacts_of(call, entry.pos);
    let moved = deal.changes.iter().rfind(|c| c.at <= call.now && matches!(c.what, What::Status { .. }));
    let (source, medium, campaign) = utm(call, entry.pos);
    json!({
        "id": entry.id, "createdTime": local(deal.created), "updatedTime": local(entry.at), "createdBy": deal.user(),
        "assignedById": deal.user(), "opened": "Y", "title": format!("Сделка #{}", entry.id),
        "leadId": if is_converted(entry.pos) { lead_id(entry.pos, false) } else { 0 },
        "contactId": contacts.first().copied().unwrap_or(0), "contactIds": contacts, "companyId": 0,
        "categoryId": pipeline, "stageId": stage_id(pipeline, view.status), "stageSemanticId": semantics(view.status),
        "closed": if view.closed.is_some() { "Y" } else { "N" }, "opportunity": f64::from(view.price) + 0.5,
        "currencyId": "RUB", "begindate": local(deal.created), "closedate": local(deal.created + 30 * 86_400),
        "sourceId": "SOURCE_1", "movedTime": local(moved.map_or(deal.created, |c| c.at)), "observers": [],
        "utmSource": source, "utmMedium": medium, "utmCampaign": campaign, "utmContent": null, "utmTerm": null,
        "UF_CRM_1721244707107": null, "UF_CRM_CITY": city(&lead.owner), "entityTypeId": 2,
    })
}

fn city(owner: &Owner) -> Value {
    match owner {
        Owner::Person(story) => story.person.city().0.into(),
        _ => Value::Null,
    }
}

fn utm(call: &Call, pos: u32) -> (Value, Value, Value) {
    let lead = call.company.lead(pos);
    let (mut source, mut medium, mut campaign) = (Value::Null, Value::Null, Value::Null);
    if let Owner::Person(story) = &lead.owner
        && let Some(Brought::Visit(no)) = lead.deal.inquiry.and_then(|i| story.inquiry(i)).map(|i| i.brought)
        && lead.deal.fields == 3
        && let Some(visit) = story.visit(no)
    {
        let of = visit.origin.source();
        for (to, value) in [(&mut source, of.source), (&mut medium, of.medium), (&mut campaign, of.campaign)]
        {
            if of.utm && !value.is_empty() {
                *to = value.into();
            }
        }
    }
    (source, medium, campaign)
}

/// Phones and addresses, as people typed them.
fn multifields(phone: &str, email: Option<String>, id: u64) -> Value {
    let mut all = vec![json!({"id": id * 4, "valueType": "WORK", "value": phone, "typeId": "PHONE"})];
    all.extend(
        email.map(|email| json!({"id": id * 4 + 1, "valueType": "WORK", "value": email, "typeId": "EMAIL"})),
    );
    all.push(json!({"id": id * 4 + 2, "valueType": "OPENLINE", "value": format!("imol|whatsapp|1|{id}|9"), "typeId": "IM"}));
    json!(all)
}

fn lead(call: &Call, entry: &Entry) -> Value {
    let junk = entry.step == 1;
    let of = call.company.lead(entry.pos);
    let (stage, semantics) = if junk { ("JUNK", "F") } else { ("CONVERTED", "S") };
    let contacts = if junk { Vec::new() } else { contacts_of(call, entry.pos) };
    json!({
        "id": entry.id, "createdTime": local(of.deal.created), "updatedTime": local(entry.at),
        "assignedById": of.deal.user(), "title": format!("Лид #{}", entry.id), "stageId": stage,
        "stageSemanticId": semantics, "movedTime": local(of.deal.created), "opportunity": 0, "currencyId": "RUB",
        "name": "Гость", "secondName": null, "lastName": entry.id.to_string(), "companyTitle": null,
        "contactId": contacts.first().copied().unwrap_or(0), "contactIds": contacts, "sourceId": "SOURCE_1",
        "fm": multifields(&format!("+7 495 {:03} {:04}", 100 + entry.id % 900, entry.id % 10_000), None, entry.id),
        "utmSource": null, "utmMedium": null, "utmCampaign": null, "utmContent": null, "utmTerm": null,
        "UF_CRM_1720019876534": null, "observers": [], "entityTypeId": 1,
    })
}

fn contact(call: &Call, entry: &Entry) -> Value {
    let (story, contact) = call.company.contact(entry.pos);
    let person = &story.person;
    let phone = person.phone_as_typed(u64::from(contact.no) + entry.id);
    json!({
        "id": entry.id, "createdTime": local(contact.created), "updatedTime": local(entry.at),
        "name": person.first, "secondName": null, "lastName": person.last,
        "assignedById": crate::amocrm::records::contact_user(&story), "typeId": "CLIENT", "sourceId": "SOURCE_1",
        "fm": multifields(&phone, person.email(), entry.id), "hasPhone": "Y", "leadId": null, "companyIds": [],
        "UF_CRM_CONTACT_NOTE": null, "entityTypeId": 3,
    })
}

/// The status a deal came into with one of its steps.
fn status(deal: &Deal, step: u16) -> u32 {
    let moves = deal.changes.iter().filter_map(|c| match c.what {
        What::Status { to, .. } => Some(to),
        _ => None,
    });
    let first = deal.pipeline().steps[1].0;
    usize::from(step).checked_sub(1).and_then(|n| moves.clone().nth(n)).unwrap_or(first)
}

fn deal_step(call: &Call, entry: &Entry) -> Value {
    let deal = call.company.lead(entry.pos).deal;
    let pipeline = usize::from(deal.pipeline) % PIPELINES.len();
    let status = status(&deal, entry.step);
    let kind = match (entry.step, status) {
        (0, _) => 1,
        (_, WON | LOST) => 3,
        _ => 2,
    };
    json!({
        "ID": entry.id, "TYPE_ID": kind, "OWNER_ID": call.company.lead_id(entry.pos),
        "CREATED_TIME": local(entry.at), "CATEGORY_ID": pipeline, "STAGE_SEMANTIC_ID": semantics(status),
        "STAGE_ID": stage_id(pipeline, status),
    })
}

fn lead_step(entry: &Entry) -> Value {
    let (junk, last) = (entry.step >= 2, entry.step % 2 == 1);
    let (stage, semantics) = match (last, junk) {
        (false, _) => ("NEW", "P"),
        (true, false) => ("CONVERTED", "S"),
        (true, true) => ("JUNK", "F"),
    };
    json!({
        "ID": entry.id, "TYPE_ID": if last { 3 } else { 1 }, "OWNER_ID": lead_id(entry.pos, junk),
        "CREATED_TIME": local(entry.at), "STATUS_SEMANTIC_ID": semantics, "STATUS_ID": stage,
    })
}

fn activity(call: &Call, entry: &Entry) -> Value {
    let at = local(entry.at);
    json!({
        "ID": entry.id.to_string(), "OWNER_ID": call.company.lead_id(entry.pos).to_string(), "OWNER_TYPE_ID": "2",
        "TYPE_ID": "2", "PROVIDER_ID": "VOXIMPLANT_CALL", "PROVIDER_TYPE_ID": "CALL", "SUBJECT": "Исходящий звонок",
        "CREATED": at, "LAST_UPDATED": at, "START_TIME": at, "END_TIME": at, "COMPLETED": "Y", "DIRECTION": "2",
        "SETTINGS": [], "RESULT_SUM": null,
        "COMMUNICATIONS": [{"ID": entry.id.to_string(), "TYPE": "PHONE", "VALUE": "+74951234567", "ENTITY_ID": "1"}],
    })
}
