#![doc = include_str!("README.md")]
//!
//! API: <https://www.amocrm.ru/developers/content/crm_platform/leads-api>,
//! <https://www.amocrm.ru/developers/content/crm_platform/custom-fields>.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use throughline_core::http::Method;
use throughline_core::{Call, Error, Result};

use super::field::{CrmField, Kind};
use super::vendor::{About, Change, Line, NewField, Values, Vendor, parse, text};

pub(super) struct Amocrm;

const ABOUT: About = About {
    name: "amocrm",
    summary: "Attribution into fields of deals in amoCRM and Kommo",
    readme: include_str!("README.md"),
    options: &[
        "subdomain",
        "domain",
        "token",
        "client_id",
        "client_secret",
        "redirect_uri",
        "code",
        "refresh_token",
    ],
    // 250 are accepted, 50 recommended.
    batch: 50,
    read_by_source: &["TL_TOKEN", "UTM_SOURCE", "UTM_MEDIUM", "UTM_CAMPAIGN"],
};

/// "Максимальная длина текстового поля": what is longer is refused, or cut by amoCRM itself.
const TEXT_CHARS: usize = 256;
const LEADS: &str = "/api/v4/leads";
const FIELDS: &str = "/api/v4/leads/custom_fields";
/// Pages of 250 fields; nobody has so many.
const MOST_PAGES: u32 = 40;

#[async_trait]
impl Vendor for Amocrm {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    async fn fields(&self, line: &Line<'_>) -> Result<Vec<CrmField>> {
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let call = Call::get(FIELDS).query("limit", "250").query("page", page.to_string());
            let answer = line.json(call).await?;
            let list = answer["_embedded"]["custom_fields"].as_array();
            all.extend(list.into_iter().flatten().filter_map(field));
            if answer["_links"]["next"].is_null() {
                return Ok(all);
            }
        }
        Err(Error::protocol(format!("amoCRM's list of fields does not end after {MOST_PAGES} pages")))
    }

    fn refuses_name(&self, name: &str) -> Option<String> {
        if name.bytes().all(|b| b.is_ascii_digit()) {
            return Some(
                "it is a number, and amoCRM numbers fields itself; give a code such as TL_SOURCE".into(),
            );
        }
        let good = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        (!good).then(|| "a code has Latin letters, digits and _".into())
    }

    async fn create(&self, line: &Line<'_>, field: &NewField) -> Result<()> {
        let kind = if field.number { "numeric" } else { "text" };
        let body = json!([{ "name": field.label, "code": field.name, "type": kind }]);
        line.json(Call::new(Method::Post, FIELDS).body(body)).await.map(drop)
    }

    async fn read(
        &self,
        line: &Line<'_>,
        deals: &[String],
        fields: &[&CrmField],
    ) -> Result<BTreeMap<String, Values>> {
        let mut call = Call::get(LEADS).query("limit", "250");
        for deal in deals {
            call = call.query("filter[id][]", deal);
        }
        let answer = line.json(call).await?;
        let leads = answer["_embedded"]["leads"].as_array();
        let mut found = BTreeMap::new();
        for lead in leads.into_iter().flatten() {
            let Some(id) = text(&lead["id"]) else {
                return Err(Error::protocol("amoCRM gave a lead without its id"));
            };
            let mut values = Values::new();
            for held in lead["custom_fields_values"].as_array().into_iter().flatten() {
                let key = text(&held["field_id"]).unwrap_or_default();
                if !fields.iter().any(|f| f.key == key) {
                    continue;
                }
                let all = held["values"].as_array();
                let all: Vec<String> =
                    all.into_iter().flatten().filter_map(|value| text(&value["value"])).collect();
                values.insert(key, all.join(", "));
            }
            found.insert(id, values);
        }
        Ok(found)
    }

    /// A batch with a bad item is refused whole, with its errors by item: the others are sent again without it.
    async fn write(
        &self,
        line: &Line<'_>,
        changes: &[Change],
        fields: &[&CrmField],
    ) -> Result<Vec<Option<String>>> {
        let mut answers: Vec<Option<String>> = vec![None; changes.len()];
        let mut open: Vec<usize> = (0..changes.len()).collect();
        while !open.is_empty() {
            let items: Vec<Value> =
                open.iter().filter_map(|n| changes.get(*n).map(|change| item(*n, change, fields))).collect();
            let call = Call::new(Method::Patch, LEADS).body(items.into()).repeatable().accept(400);
            let answer = line.call(call).await?;
            if answer.status != 400 {
                let body = parse(&answer, LEADS)?;
                let written: Vec<String> = body["_embedded"]["leads"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|lead| text(&lead["id"]))
                    .collect();
                for n in open {
                    if let (Some(change), Some(answer)) = (changes.get(n), answers.get_mut(n))
                        && !written.contains(&change.deal)
                    {
                        *answer = Some("amoCRM did not say that it wrote this deal".into());
                    }
                }
                return Ok(answers);
            }
            let body = parse(&answer, LEADS)?;
            let refused = refusals(&body);
            let before = open.len();
            open.retain(|n| !refused.contains_key(n));
            if open.len() == before {
                // It does not say which: each alone.
                if let [only] = open[..] {
                    if let Some(answer) = answers.get_mut(only) {
                        *answer = Some(said(&body));
                    }
                    return Ok(answers);
                }
                for n in open {
                    if let (Some(change), Some(answer)) = (changes.get(n), answers.get_mut(n)) {
                        let one = Box::pin(self.write(line, std::slice::from_ref(change), fields)).await?;
                        *answer = one.into_iter().next().flatten();
                    }
                }
                return Ok(answers);
            }
            for (n, why) in refused {
                if let Some(answer) = answers.get_mut(n) {
                    *answer = Some(why);
                }
            }
        }
        Ok(answers)
    }
}

fn field(value: &Value) -> Option<CrmField> {
    let key = text(&value["id"])?;
    let label = text(&value["name"]).unwrap_or_default();
    let kind = match value["type"].as_str().unwrap_or_default() {
        "text" | "tracking_data" => Kind::Text { most: TEXT_CHARS },
        "textarea" | "url" => Kind::Text { most: usize::MAX },
        "numeric" => Kind::Number,
        "select" | "radiobutton" => {
            let options = value["enums"].as_array();
            let options = options.into_iter().flatten();
            Kind::Choice(options.filter_map(|o| Some((text(&o["id"])?, text(&o["value"])?))).collect())
        }
        other => Kind::Other(other.to_owned()),
    };
    let code = value["code"].as_str().map(str::to_owned);
    let names = [Some(key.clone()), code, Some(label.clone())].into_iter().flatten().collect();
    Some(CrmField { key, names, label, kind })
}

/// `request_id` comes back in errors, and nowhere else.
fn item(n: usize, change: &Change, fields: &[&CrmField]) -> Value {
    let values: Vec<Value> = change
        .values
        .iter()
        .map(|(key, value)| {
            let field = fields.iter().find(|f| f.key == *key);
            let values = match (value, field) {
                (None, _) => Value::Null,
                (Some(label), Some(field)) => match field.option(label) {
                    Some(option) => json!([{ "enum_id": number(option) }]),
                    None => json!([{ "value": label }]),
                },
                (Some(value), None) => json!([{ "value": value }]),
            };
            json!({ "field_id": number(key), "values": values })
        })
        .collect();
    json!({ "id": number(&change.deal), "request_id": n.to_string(), "custom_fields_values": values })
}

fn number(text: &str) -> Value {
    text.parse::<u64>().map_or_else(|_| text.into(), Value::from)
}

/// The vendor's words by item.
fn refusals(body: &Value) -> BTreeMap<usize, String> {
    let mut found: BTreeMap<usize, String> = BTreeMap::new();
    for item in body["validation-errors"].as_array().into_iter().flatten() {
        let Some(n) = text(&item["request_id"]).and_then(|n| n.parse().ok()) else { continue };
        let errors: Vec<String> = item["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| {
                let part = |name: &str| text(&error[name]).unwrap_or_default();
                format!("{} {}: {}", part("code"), part("path"), part("detail"))
            })
            .collect();
        found.insert(n, format!("amoCRM refused it: {}", errors.join("; ")));
    }
    found
}

fn said(body: &Value) -> String {
    let detail = text(&body["detail"]).or_else(|| text(&body["title"])).unwrap_or_else(|| body.to_string());
    format!("amoCRM refused it: {detail}")
}
