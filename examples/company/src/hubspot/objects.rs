//! Deals and contacts as JSON: lists, batches by id, and who belongs to which deal.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::index::{Entry, Index, Kind, millis};
use super::{Call, body, limit, query, refuse};
use crate::company::Owner;
use crate::deal::{LOST, PIPELINES, WON, What};
use crate::faults::Fault;
use crate::reply::Reply;
use crate::story::Brought;
use crate::text::rfc3339;
use crate::words::LOSS_REASONS;
use crate::written::Written;

/// What a request wants to know of every record.
pub struct Asked {
    properties: Vec<String>,
    history: Vec<String>,
}

impl Asked {
    /// # Errors
    /// What is wrong with the lists.
    pub fn read(body: &Value, kind: Kind) -> Result<Self, String> {
        let names = |key: &str| -> Result<Vec<String>, String> {
            match &body[key] {
                Value::Null => Ok(Vec::new()),
                Value::Array(list) => list
                    .iter()
                    .map(|v| v.as_str().map(str::to_owned).ok_or_else(|| format!("{key} must be texts")))
                    .collect(),
                _ => Err(format!("{key} must be a list")),
            }
        };
        Ok(Self::of(kind, names("properties")?, names("propertiesWithHistory")?))
    }

    fn of(kind: Kind, mut properties: Vec<String>, history: Vec<String>) -> Self {
        // What is given when nothing is asked for, and what always comes along.
        let default: &[&str] = match kind {
            _ if !properties.is_empty() => &["hs_object_id"],
            Kind::Deals => &["amount", "closedate", "dealname", "dealstage", "pipeline", "hs_object_id"],
            Kind::Contacts => &["email", "firstname", "lastname", "hs_object_id"],
        };
        properties.extend(default.iter().map(|d| (*d).to_owned()));
        properties.extend(["createdate".to_owned(), kind.modified().to_owned()]);
        Self { properties, history }
    }
}

/// RFC 3339 with milliseconds.
pub fn instant(ms: i64) -> String {
    let seconds = rfc3339(ms.div_euclid(1000));
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), ms.rem_euclid(1000))
}

pub fn stage_id(pipeline: usize, status: u32) -> String {
    let steps = PIPELINES.get(pipeline).map_or(&PIPELINES[0].steps, |p| &p.steps);
    match (status, pipeline) {
        (WON, 0) => "closedwon".to_owned(),
        (LOST, 0) => "closedlost".to_owned(),
        (WON, n) => format!("7512{n}901"),
        (LOST, n) => format!("7512{n}902"),
        (status, n) => {
            let step = steps.iter().position(|s| s.0 == status).unwrap_or_default();
            let named = ["appointmentscheduled", "qualifiedtobuy", "presentationscheduled", "contractsent"];
            if n == 0 { named[step].to_owned() } else { format!("7512{n}00{step}") }
        }
    }
}

pub fn pipeline_id(pipeline: usize) -> String {
    if pipeline == 0 { "default".to_owned() } else { format!("7512{pipeline}") }
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

/// One record, with what was asked for.
pub fn record(call: &Call, written: &Written, kind: Kind, entry: &Entry, asked: &Asked) -> Value {
    let (known, history) = match kind {
        Kind::Deals => deal(call, written, entry),
        Kind::Contacts => (contact(call, entry), Map::new()),
    };
    let mut properties = Map::new();
    for name in &asked.properties {
        // Unknown properties are passed over, known ones without a value are null.
        if let Some(value) = known.get(name) {
            properties.insert(name.clone(), value.clone());
        }
    }
    let mut record = json!({
        "id": entry.id.to_string(), "properties": properties, "createdAt": instant(entry.created_ms),
        "updatedAt": instant(entry.modified_ms), "archived": entry.archived,
    });
    if !asked.history.is_empty() {
        let list = |name: &String| history.get(name).cloned().unwrap_or_else(|| json!([]));
        record["propertiesWithHistory"] =
            asked.history.iter().map(|name| (name.clone(), list(name))).collect::<Map<_, _>>().into();
    }
    if entry.archived {
        record["archivedAt"] = instant(entry.modified_ms).into();
    }
    record
}

fn deal(call: &Call, written: &Written, entry: &Entry) -> (Map<String, Value>, Map<String, Value>) {
    let lead = call.company.lead(entry.pos);
    let (deal, view) = (&lead.deal, lead.deal.view(call.now));
    let pipeline = usize::from(deal.pipeline) % PIPELINES.len();
    let closed = view.status == WON || view.status == LOST;
    // The close date is a plan; people rarely correct it when the deal ends.
    let planned = deal.created + 30 * 86_400;
    let close_date = view.closed.filter(|_| !entry.pos.is_multiple_of(3)).unwrap_or(planned);
    let mut at = vec![(deal.created, stage_id(pipeline, PIPELINES[pipeline].steps[1].0))];
    let mut amounts = Vec::new();
    for change in deal.changes.iter().take_while(|c| c.at <= call.now) {
        match change.what {
            What::Status { to, .. } => at.push((change.at, stage_id(pipeline, to))),
            What::Price { to, .. } => amounts.push((change.at, to.to_string())),
            What::Deleted => {}
        }
    }
    let owner = deal.user().to_string();
    let entries = |list: &[(i64, String)]| -> Value {
        list.iter()
            .rev()
            .map(|(at, value)| {
                json!({"value": value, "timestamp": instant(millis(*at, entry.pos)), "sourceType": "CRM_UI",
                       "sourceId": format!("userId:{owner}"), "updatedByUserId": deal.user()})
            })
            .collect()
    };
    let mut history = Map::new();
    history.insert("dealstage".into(), entries(&at));
    history.insert("amount".into(), entries(&amounts));
    history.insert("hubspot_owner_id".into(), entries(&[(deal.created, owner.clone())]));
    let mut known = json!({
        "hs_object_id": entry.id.to_string(),
        "dealname": format!("{} №{}", if deal.inquiry.is_some() { "WhatsApp: заявка" } else { "Сделка" }, entry.id),
        "dealstage": stage_id(pipeline, view.status), "pipeline": pipeline_id(pipeline),
        "amount": if view.price > 0 { json!(view.price.to_string()) } else { Value::Null },
        "deal_currency_code": if entry.pos.is_multiple_of(2) { json!("RUB") } else { Value::Null },
        "createdate": instant(entry.created_ms), "closedate": instant(close_date * 1000),
        "hs_lastmodifieddate": instant(entry.modified_ms), "hubspot_owner_id": owner,
        "hs_is_closed": closed.to_string(), "hs_is_closed_won": (view.status == WON).to_string(),
        "closed_lost_reason": if view.status == LOST { json!(LOSS_REASONS[usize::from(deal.loss_reason) % LOSS_REASONS.len()].1) } else { Value::Null },
        "hs_analytics_source": if deal.inquiry.is_some() { "OTHER_CAMPAIGNS" } else { "OFFLINE" },
        "tl_token": null, "utm_source": null, "utm_medium": null, "utm_campaign": null, "studio_city": null,
        "description": null,
    });
    if let Owner::Person(story) = &lead.owner {
        known["studio_city"] = story.person.city().0.into();
        if let Some(Brought::Visit(no)) = deal.inquiry.and_then(|i| story.inquiry(i)).map(|i| i.brought)
            && deal.fields == 3
            && let Some(visit) = story.visit(no)
        {
            let source = visit.origin.source();
            for (name, value) in [
                ("utm_source", source.source),
                ("utm_medium", source.medium),
                ("utm_campaign", source.campaign),
            ] {
                if source.utm && !value.is_empty() {
                    known[name] = value.into();
                }
            }
        }
    }
    let mut known = known.as_object().cloned().unwrap_or_default();
    known.extend(written.made().into_iter().map(|field| (field.key, Value::Null)));
    known.extend(written.of(entry.pos));
    (known, history)
}

fn contact(call: &Call, entry: &Entry) -> Map<String, Value> {
    let (story, contact) = call.company.contact(entry.pos);
    let person = &story.person;
    let phone = person.phone_as_typed(u64::from(contact.no) + entry.id);
    let known = json!({
        "hs_object_id": entry.id.to_string(), "firstname": person.first, "lastname": person.last,
        "email": person.email(), "phone": phone, "mobilephone": null,
        "hs_additional_emails": null, "hs_merged_object_ids": null, "hs_whatsapp_phone_number": null,
        "createdate": instant(entry.created_ms), "lastmodifieddate": instant(entry.modified_ms),
        "hubspot_owner_id": crate::amocrm::records::contact_user(&story).to_string(),
        "city": person.city().0, "state": null,
    });
    known.as_object().cloned().unwrap_or_default()
}

/// `GET /crm/v3/objects/{type}`: by id, 100 at a time; `after` is the last id seen.
pub fn list(call: &Call, written: &Written, kind: Kind, index: &Index) -> Reply {
    let query = query(call);
    let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let words = |name: &str| -> Vec<String> {
        get(name)
            .into_iter()
            .flat_map(|v| v.split(','))
            .filter(|w| !w.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let asked = Asked::of(kind, words("properties"), words("propertiesWithHistory"));
    let most = if asked.history.is_empty() { 100 } else { 50 };
    let limit = match limit(&query, 10, most) {
        Ok(limit) => limit,
        Err(reply) => return reply,
    };
    let archived = get("archived").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let after = match get("after").map(str::parse::<u64>) {
        None => 0,
        Some(Ok(after)) => after,
        Some(Err(_)) => return refuse(400, "VALIDATION_ERROR", "after is not one of ours"),
    };
    let mut found = index.entries().iter().filter(|e| e.archived == archived && e.id > after);
    let page: Vec<&Entry> = found.by_ref().take(limit).collect();
    let more = found.next().is_some();
    let results: Vec<Value> = page.iter().map(|e| record(call, written, kind, e, &asked)).collect();
    let mut answer = json!({ "results": results });
    if let (true, Some(last)) = (more, page.last()) {
        let link = format!("{}{}?after={}", call.base, call.path, last.id);
        answer["paging"] = json!({ "next": { "after": last.id.to_string(), "link": link } });
    }
    Reply::json(200, answer.to_string())
}

/// The ids of a batch.
pub fn inputs(body: &Value, most: usize) -> Result<Vec<u64>, Reply> {
    let wrong = |why: String| refuse(400, "VALIDATION_ERROR", &why);
    let list = body["inputs"].as_array().ok_or_else(|| wrong("inputs must be a list".into()))?;
    if list.is_empty() || list.len() > most {
        return Err(wrong(format!("{} inputs: 1 to {most} are allowed", list.len())));
    }
    let ids: Option<Vec<u64>> = list.iter().map(|i| i["id"].as_str()?.parse().ok()).collect();
    let ids = ids.ok_or_else(|| wrong("an input needs an id, as text".into()))?;
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        return Err(wrong("Duplicate IDs found in batch input".into()));
    }
    Ok(ids)
}

/// The answer to a batch: 207 when something is not there.
fn batch(call: &Call, mut results: Vec<Value>, mut errors: Vec<Value>) -> Reply {
    for fault in call.faults {
        match fault {
            Fault::Partial { rows } => {
                let lost: Vec<Value> = results.drain(..(*rows).min(results.len())).collect();
                let ids: Vec<&Value> = lost.iter().map(|r| r.get("id").unwrap_or(&r["from"]["id"])).collect();
                errors.push(
                    json!({"status": "error", "category": "INTERNAL_ERROR", "message": "internal error",
                                   "context": {"ids": ids}}),
                );
            }
            Fault::LeaveOut { rows } => {
                results.drain(..(*rows).min(results.len()));
            }
            Fault::Malformed { variant, row } => {
                if let Some(record) = results.get_mut(*row) {
                    match variant.as_str() {
                        "not_an_object" => *record = json!("a text where a record was"),
                        "no_id" => record["id"] = Value::Null,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    let moment = instant(call.now * 1000);
    let mut answer =
        json!({ "status": "COMPLETE", "results": results, "startedAt": moment, "completedAt": moment });
    if errors.is_empty() {
        return Reply::json(200, answer.to_string());
    }
    answer["numErrors"] = errors.len().into();
    answer["errors"] = errors.into();
    Reply::json(207, answer.to_string())
}

/// `POST /crm/v3/objects/{type}/batch/read`: 100 at a time, 50 with history.
pub fn batch_read(call: &Call, written: &Written, kind: Kind, index: &Index) -> Reply {
    let read = || -> Result<Reply, Reply> {
        let body = body(call)?;
        let asked = Asked::read(&body, kind).map_err(|why| refuse(400, "VALIDATION_ERROR", &why))?;
        let ids = inputs(&body, if asked.history.is_empty() { 100 } else { 50 })?;
        let (mut results, mut missing) = (Vec::new(), Vec::new());
        for id in ids {
            match index.by_id(id).filter(|e| !e.archived) {
                Some(entry) => results.push(record(call, written, kind, entry, &asked)),
                None => missing.push(id.to_string()),
            }
        }
        let errors = if missing.is_empty() {
            Vec::new()
        } else {
            vec![
                json!({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some objects",
                        "context": {"ids": missing}}),
            ]
        };
        Ok(batch(call, results, errors))
    };
    read().unwrap_or_else(|reply| reply)
}

/// `POST /crm/v4/associations/deals/contacts/batch/read`: 100 at a time. A deal without contacts is an error of
/// its own inside of a 207.
pub fn associations(call: &Call, index: &Index) -> Reply {
    let read = || -> Result<Reply, Reply> {
        let (mut results, mut errors) = (Vec::new(), Vec::new());
        for id in inputs(&body(call)?, 100)? {
            let contacts = index.by_id(id).filter(|e| !e.archived).map(|e| contacts_of(call, e.pos));
            let to: Vec<Value> = contacts
                .into_iter()
                .flatten()
                .map(|c| {
                    json!({"toObjectId": c,
                           "associationTypes": [{"category": "HUBSPOT_DEFINED", "typeId": 3, "label": null}]})
                })
                .collect();
            if to.is_empty() {
                errors.push(json!({
                    "status": "error", "category": "OBJECT_NOT_FOUND",
                    "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
                    "message": format!("No contact is associated with deal {id}."),
                    "context": {"fromObjectId": [id.to_string()]},
                }));
            } else {
                results.push(json!({"from": {"id": id.to_string()}, "to": to}));
            }
        }
        Ok(batch(call, results, errors))
    };
    read().unwrap_or_else(|reply| reply)
}
