#![doc = include_str!("README.md")]
//!
//! API: <https://developers.hubspot.com/docs/api-reference/crm-deals-v3/guide>,
//! <https://developers.hubspot.com/docs/api-reference/crm-properties-v3/guide>.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use throughline_core::http::Method;
use throughline_core::{Call, Error, Result};

use super::field::{CrmField, Kind};
use super::vendor::{ATTEMPTS, About, Change, Line, NewField, Values, Vendor, parse, pause, text};

pub(super) struct Hubspot;

const ABOUT: About = About {
    name: "hubspot",
    summary: "Attribution into properties of deals in HubSpot",
    readme: include_str!("README.md"),
    options: &["hub_id", "token", "client_id", "client_secret", "redirect_uri", "code", "refresh_token"],
    batch: 100,
    read_by_source: &["tl_token", "utm_source", "utm_medium", "utm_campaign", "hs_analytics_source"],
};

/// Of a property of one line or several.
const TEXT_CHARS: usize = 65_536;
const PROPERTIES: &str = "/crm/v3/properties/deals";
const READ: &str = "/crm/v3/objects/deals/batch/read";
const UPDATE: &str = "/crm/v3/objects/deals/batch/update";
const NOT_FOUND: &str = "OBJECT_NOT_FOUND";

#[async_trait]
impl Vendor for Hubspot {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    async fn fields(&self, line: &Line<'_>) -> Result<Vec<CrmField>> {
        let answer = line.json(Call::get(PROPERTIES)).await?;
        let list = answer["results"].as_array();
        let list = list.ok_or_else(|| Error::protocol("HubSpot's list of properties has no results"))?;
        Ok(list.iter().filter_map(field).collect())
    }

    fn refuses_name(&self, name: &str) -> Option<String> {
        let good = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        (!good).then(|| "an internal name has small Latin letters, digits and _, a letter first".into())
    }

    async fn create(&self, line: &Line<'_>, field: &NewField) -> Result<()> {
        let (kind, shown) = if field.number { ("number", "number") } else { ("string", "text") };
        let body = json!({
            "name": field.name, "label": field.label, "type": kind, "fieldType": shown, "groupName": "dealinformation",
        });
        line.json(Call::new(Method::Post, PROPERTIES).body(body)).await.map(drop)
    }

    async fn read(
        &self,
        line: &Line<'_>,
        deals: &[String],
        fields: &[&CrmField],
    ) -> Result<BTreeMap<String, Values>> {
        let names: Vec<&str> = fields.iter().map(|f| f.key.as_str()).collect();
        let mut open: Vec<&String> = deals.iter().collect();
        let mut found = BTreeMap::new();
        for attempt in 0.. {
            let inputs: Vec<Value> = open.iter().map(|id| json!({ "id": id })).collect();
            let body = json!({ "properties": names, "inputs": inputs });
            let call = Call::new(Method::Post, READ).body(body).repeatable().accept(207);
            let answer = line.json(call).await?;
            for record in answer["results"].as_array().into_iter().flatten() {
                let Some(id) = text(&record["id"]) else {
                    return Err(Error::protocol("HubSpot gave a deal without its id").temporary(None));
                };
                let value = |field: &&CrmField| {
                    let value = text(&record["properties"][&field.key])?;
                    Some((field.key.clone(), field.label_of(&value).to_owned()))
                };
                found.insert(id, fields.iter().filter_map(value).collect());
            }
            let gone: BTreeSet<String> =
                errors(&answer).filter(|error| error["category"] == NOT_FOUND).flat_map(ids).collect();
            // What is neither there nor told to be missing failed for the moment.
            open.retain(|id| !found.contains_key(*id) && !gone.contains(*id));
            // What it does not tell of in the end is as if it were not there: it is not written, and told.
            if open.is_empty() || attempt + 1 >= ATTEMPTS {
                break;
            }
            pause(line, attempt).await?;
        }
        Ok(found)
    }

    async fn write(
        &self,
        line: &Line<'_>,
        changes: &[Change],
        fields: &[&CrmField],
    ) -> Result<Vec<Option<String>>> {
        let mut answers: BTreeMap<&str, Option<String>> = BTreeMap::new();
        // A batch that is refused whole is halved until what is wrong stands alone.
        let mut batches: Vec<(&[Change], u32)> = vec![(changes, 0)];
        while let Some((batch, attempt)) = batches.pop() {
            let inputs: Vec<Value> = batch.iter().map(|change| input(change, fields)).collect();
            let body = json!({ "inputs": inputs });
            let call =
                Call::new(Method::Post, UPDATE).body(body).repeatable().accept(207).accept(400).accept(404);
            let answer = line.call(call).await?;
            let body = parse(&answer, UPDATE)?;
            if answer.status >= 400 {
                match batch {
                    [only] => drop(answers.insert(&only.deal, Some(said(&body)))),
                    _ => {
                        let (left, right) = batch.split_at(batch.len() / 2);
                        batches.push((right, attempt));
                        batches.push((left, attempt));
                    }
                }
                continue;
            }
            let written: BTreeSet<String> =
                body["results"].as_array().into_iter().flatten().filter_map(|r| text(&r["id"])).collect();
            let mut refused: BTreeMap<String, (bool, String)> = BTreeMap::new();
            for error in errors(&body) {
                let momentary = matches!(error["category"].as_str(), Some("INTERNAL_ERROR" | "RATE_LIMITS"));
                refused.extend(ids(error).map(|id| (id, (momentary, said(error)))));
            }
            let mut waited = false;
            for change in batch {
                let answer = match refused.get(&change.deal) {
                    _ if written.contains(&change.deal) => None,
                    Some((true, _)) if attempt + 1 < ATTEMPTS => {
                        if !waited {
                            pause(line, attempt).await?;
                            waited = true;
                        }
                        batches.push((std::slice::from_ref(change), attempt + 1));
                        continue;
                    }
                    Some((_, why)) => Some(why.clone()),
                    None => Some("HubSpot did not say that it wrote this deal".into()),
                };
                answers.insert(&change.deal, answer);
            }
        }
        Ok(changes.iter().map(|c| answers.remove(c.deal.as_str()).flatten()).collect())
    }
}

fn field(value: &Value) -> Option<CrmField> {
    let key = text(&value["name"])?;
    let label = text(&value["label"]).unwrap_or_else(|| key.clone());
    let flag = |value: &Value| value.as_bool().unwrap_or(false);
    let kind = match value["type"].as_str().unwrap_or_default() {
        _ if flag(&value["modificationMetadata"]["readOnlyValue"]) || flag(&value["calculated"]) => {
            Kind::Other("read only".into())
        }
        "string" => Kind::Text { most: TEXT_CHARS },
        "number" => Kind::Number,
        "enumeration" if value["fieldType"] == "checkbox" => Kind::Other("several options".into()),
        "enumeration" => {
            let options = value["options"].as_array().into_iter().flatten();
            Kind::Choice(options.filter_map(|o| Some((text(&o["value"])?, text(&o["label"])?))).collect())
        }
        other => Kind::Other(other.to_owned()),
    };
    Some(CrmField { names: vec![key.clone(), label.clone()], key, label, kind })
}

/// An empty text clears; null would be passed over.
fn input(change: &Change, fields: &[&CrmField]) -> Value {
    let properties: Map<String, Value> = change
        .values
        .iter()
        .map(|(key, value)| {
            let value = value.as_deref().unwrap_or_default();
            let option = fields.iter().find(|f| f.key == *key).and_then(|f| f.option(value));
            (key.clone(), option.unwrap_or(value).into())
        })
        .collect();
    json!({ "id": change.deal, "properties": properties })
}

fn errors(body: &Value) -> impl Iterator<Item = &Value> {
    body["errors"].as_array().into_iter().flatten()
}

fn ids(error: &Value) -> impl Iterator<Item = String> + '_ {
    let list = ["ids", "id"].into_iter().filter_map(|name| error["context"][name].as_array()).flatten();
    list.filter_map(text)
}

fn said(error: &Value) -> String {
    let part = |name: &str| text(&error[name]).unwrap_or_default();
    let mut said = format!("HubSpot refused it: {} {}", part("category"), part("message"));
    for detail in errors(error).filter_map(|e| text(&e["message"])).take(3) {
        said += &format!("; {detail}");
    }
    said
}
