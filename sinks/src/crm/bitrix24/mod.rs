#![doc = include_str!("README.md")]
//!
//! API: <https://apidocs.bitrix24.com/api-reference/crm/universal/crm-item-update.html>,
//! <https://apidocs.bitrix24.com/api-reference/how-to-call-rest-api/batch.html>,
//! <https://apidocs.bitrix24.com/api-reference/crm/deals/user-defined-fields/crm-deal-userfield-add.html>.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use throughline_core::http::Method;
use throughline_core::{Call, Error, Result};

use super::field::{CrmField, Kind};
use super::vendor::{ATTEMPTS, About, Change, Line, NewField, Values, Vendor, pause, text};

pub(super) struct Bitrix24;

const ABOUT: About = About {
    name: "bitrix24",
    summary: "Attribution into fields of deals in Bitrix24",
    readme: include_str!("README.md"),
    options: &["portal", "webhook", "client_id", "client_secret", "code", "refresh_token", "oauth_url"],
    batch: 50,
    read_by_source: &["UF_CRM_TL_TOKEN", "utmSource", "utmMedium", "utmCampaign"],
};

/// Of deals.
const ENTITY: u8 = 2;
const PREFIX: &str = "UF_CRM_";
/// Errors of a command that another attempt may not meet.
const MOMENTARY: &[&str] = &[
    "QUERY_LIMIT_EXCEEDED",
    "OPERATION_TIME_LIMIT",
    "INTERNAL_SERVER_ERROR",
    "ERROR_UNEXPECTED_ANSWER",
    "ERROR_CORE",
];

#[async_trait]
impl Vendor for Bitrix24 {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    async fn fields(&self, line: &Line<'_>) -> Result<Vec<CrmField>> {
        let body = json!({ "entityTypeId": ENTITY, "useOriginalUfNames": "Y" });
        let answer = line.json(Call::new(Method::Post, "/crm.item.fields").body(body).repeatable()).await?;
        let fields = answer["result"]["fields"].as_object();
        let fields =
            fields.ok_or_else(|| Error::protocol("Bitrix24's answer to crm.item.fields has no fields"))?;
        Ok(fields.iter().map(|(key, value)| field(key, value)).collect())
    }

    fn refuses_name(&self, name: &str) -> Option<String> {
        let good = name.strip_prefix(PREFIX).is_some_and(|rest| {
            !rest.is_empty()
                && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        });
        (!good).then(|| {
            format!("a field of one's own is called {PREFIX} and then capital Latin letters, digits, _")
        })
    }

    async fn create(&self, line: &Line<'_>, field: &NewField) -> Result<()> {
        let kind = if field.number { "double" } else { "string" };
        // Bitrix24 puts the prefix before the name itself.
        let name = field.name.strip_prefix(PREFIX).unwrap_or(&field.name);
        let body = json!({ "fields": {
            "FIELD_NAME": name, "USER_TYPE_ID": kind, "XML_ID": field.name, "EDIT_FORM_LABEL": field.label,
            "LIST_COLUMN_LABEL": field.label, "LIST_FILTER_LABEL": field.label, "SHOW_FILTER": "Y",
        }});
        line.json(Call::new(Method::Post, "/crm.deal.userfield.add").body(body)).await.map(drop)
    }

    async fn read(
        &self,
        line: &Line<'_>,
        deals: &[String],
        fields: &[&CrmField],
    ) -> Result<BTreeMap<String, Values>> {
        let select: Vec<&str> = ["id"].into_iter().chain(fields.iter().map(|f| f.key.as_str())).collect();
        let body = json!({
            "entityTypeId": ENTITY, "select": select, "filter": { "@id": deals }, "order": { "id": "ASC" },
            "start": -1, "useOriginalUfNames": "Y",
        });
        let answer = line.json(Call::new(Method::Post, "/crm.item.list").body(body).repeatable()).await?;
        let items = answer["result"]["items"].as_array();
        let items =
            items.ok_or_else(|| Error::protocol("Bitrix24's answer to crm.item.list has no items"))?;
        let mut found = BTreeMap::new();
        for item in items {
            let Some(id) = text(&item["id"]) else {
                return Err(Error::protocol("Bitrix24 gave a deal without its id"));
            };
            let value = |field: &&CrmField| {
                let value = text(&item[&field.key])?;
                Some((field.key.clone(), field.label_of(&value).to_owned()))
            };
            found.insert(id, fields.iter().filter_map(value).collect());
        }
        Ok(found)
    }

    async fn write(
        &self,
        line: &Line<'_>,
        changes: &[Change],
        fields: &[&CrmField],
    ) -> Result<Vec<Option<String>>> {
        let mut answers: Vec<Option<String>> = vec![None; changes.len()];
        let mut open: Vec<(usize, &Change)> = changes.iter().enumerate().collect();
        for attempt in 0.. {
            let commands: Map<String, Value> =
                open.iter().map(|(n, change)| (format!("d{n}"), command(change, fields).into())).collect();
            let call =
                Call::new(Method::Post, "/batch").body(json!({ "halt": 0, "cmd": commands })).repeatable();
            let answer = line.json(call).await?;
            let (done, wrong) = (&answer["result"]["result"], &answer["result"]["result_error"]);
            let mut again = Vec::new();
            for (n, change) in open {
                let name = format!("d{n}");
                let error = &wrong[&name];
                let momentary = error["error"].as_str().is_some_and(|code| MOMENTARY.contains(&code));
                let why = if !error.is_null() {
                    if momentary && attempt + 1 < ATTEMPTS {
                        again.push((n, change));
                        continue;
                    }
                    let part = |name: &str| text(&error[name]).unwrap_or_default();
                    Some(format!("Bitrix24 refused it: {} {}", part("error"), part("error_description")))
                } else if done[&name].is_null() {
                    Some("Bitrix24 did not say that it wrote this deal".to_owned())
                } else {
                    None
                };
                if let Some(answer) = answers.get_mut(n) {
                    *answer = why;
                }
            }
            if again.is_empty() {
                break;
            }
            open = again;
            pause(line, attempt).await?;
        }
        Ok(answers)
    }
}

fn field(key: &str, value: &Value) -> CrmField {
    let label = text(&value["title"]).unwrap_or_else(|| key.to_owned());
    let flag = |name: &str| value[name].as_bool().unwrap_or(value[name] == "Y");
    let kind = match value["type"].as_str().unwrap_or_default() {
        _ if flag("isReadOnly") => Kind::Other("read only".into()),
        _ if flag("isMultiple") => Kind::Other("several values".into()),
        "string" | "text" | "url" => Kind::Text { most: usize::MAX },
        "double" | "integer" => Kind::Number,
        "enumeration" => {
            let items = value["items"].as_array().into_iter().flatten();
            Kind::Choice(items.filter_map(|i| Some((text(&i["ID"])?, text(&i["VALUE"])?))).collect())
        }
        other => Kind::Other(other.to_owned()),
    };
    let upper = text(&value["upperName"]);
    let names = [Some(key.to_owned()), upper, Some(label.clone())].into_iter().flatten().collect();
    CrmField { key: key.to_owned(), names, label, kind }
}

/// `crm.item.update?entityTypeId=2&id=5&fields[UF_CRM_X]=...`
fn command(change: &Change, fields: &[&CrmField]) -> String {
    let mut command =
        format!("crm.item.update?entityTypeId={ENTITY}&id={}&useOriginalUfNames=Y", encoded(&change.deal));
    for (key, value) in &change.values {
        let value = value.as_deref().unwrap_or_default();
        let option = fields.iter().find(|f| f.key == *key).and_then(|f| f.option(value));
        let _ = write!(command, "&fields%5B{}%5D={}", encoded(key), encoded(option.unwrap_or(value)));
    }
    command
}

/// Percent-encoded, all but what RFC 3986 calls unreserved.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
