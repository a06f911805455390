//! `crm.item.update` and `crm.item.fields` of deals, and `crm.deal.userfield.add`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::table::Kind;
use super::{Bitrix, Call, Given, Refusal, params, refuse};
use crate::written::Made;

/// Fields that deals have from the start: name, type, read only.
const FIELDS: &[(&str, &str, bool)] = &[
    ("id", "integer", true),
    ("title", "string", false),
    ("opportunity", "double", false),
    ("createdTime", "datetime", true),
    ("updatedTime", "datetime", true),
    ("stageId", "crm_status", false),
    ("utmSource", "string", false),
    ("utmMedium", "string", false),
    ("utmCampaign", "string", false),
    ("UF_CRM_1721244707107", "string", false),
    ("UF_CRM_CITY", "string", false),
];

fn kind(bitrix: &Bitrix, name: &str) -> Option<(String, bool)> {
    let own = FIELDS.iter().find(|(n, _, _)| *n == name).map(|(_, kind, fixed)| ((*kind).to_owned(), *fixed));
    own.or_else(|| bitrix.written.made().into_iter().find(|f| f.key == name).map(|f| (f.kind, false)))
}

pub fn fields(bitrix: &Bitrix, given: &Value) -> Result<Given, Refusal> {
    if params::int(&given["entityTypeId"]) != Some(2) || given["useOriginalUfNames"] != "Y" {
        return refuse(400, "NOT_FOUND", "Only deals, and original names, are described here");
    }
    let one = |key: &str, title: &str, kind: &str, fixed: bool| {
        json!({
            "type": kind, "isRequired": false, "isReadOnly": fixed, "isImmutable": false, "isMultiple": false,
            "isDynamic": key.starts_with("UF_"), "title": title, "upperName": key.to_uppercase(),
        })
    };
    let mut all = serde_json::Map::new();
    for (name, kind, fixed) in FIELDS {
        all.insert((*name).to_owned(), one(name, name, kind, *fixed));
    }
    for field in bitrix.written.made() {
        all.insert(field.key.clone(), one(&field.key, &field.label, &field.kind, false));
    }
    Given::only(json!({ "fields": all }))
}

pub fn update(bitrix: &Bitrix, call: &Call, given: &Value) -> Result<Given, Refusal> {
    if params::int(&given["entityTypeId"]) != Some(2) || given["useOriginalUfNames"] != "Y" {
        return refuse(400, "NOT_FOUND", "Only deals are updated here, by original names");
    }
    let table = bitrix.table(call, Kind::Deals);
    let id = params::int(&given["id"]).and_then(|id| u64::try_from(id).ok());
    let Some(entry) = id.and_then(|id| table.by_id(id)).copied() else {
        return refuse(400, "NOT_FOUND", "Элемент не найден");
    };
    let mut values = BTreeMap::new();
    for (name, value) in given["fields"].as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match kind(bitrix, name) {
            // What is not there is passed over, as PHP does.
            None => continue,
            Some((_, true)) => {
                return refuse(400, "INVALID_ARG_VALUE", format!("Field '{name}' is read only"));
            }
            Some((kind, _)) if kind == "double" && !text.is_empty() => match text.parse::<f64>() {
                Ok(number) => drop(values.insert(name.clone(), json!(number))),
                Err(_) => return refuse(400, "INVALID_ARG_VALUE", format!("Field '{name}' is no number")),
            },
            Some(_) if text.is_empty() => drop(values.insert(name.clone(), Value::Null)),
            Some(_) => drop(values.insert(name.clone(), text.into())),
        }
    }
    bitrix.written.write(entry.pos, values);
    bitrix.change([entry.pos], call.now);
    Given::only(json!({ "item": { "id": entry.id } }))
}

pub fn make(bitrix: &Bitrix, given: &Value) -> Result<Given, Refusal> {
    let text = |name: &str| given["fields"][name].as_str().unwrap_or_default().to_owned();
    let (name, kind, label) = (text("FIELD_NAME"), text("USER_TYPE_ID"), text("EDIT_FORM_LABEL"));
    if name.is_empty() || name.starts_with("UF_CRM_UF_") || !matches!(kind.as_str(), "string" | "double") {
        return refuse(400, "ERROR_ARGUMENT", "FIELD_NAME and USER_TYPE_ID are needed");
    }
    let key = format!("UF_CRM_{}", name.trim_start_matches("UF_CRM_"));
    if kind_is_taken(bitrix, &key) {
        return refuse(400, "ERROR_CORE", format!("Поле {key} для объекта CRM_DEAL уже существует."));
    }
    bitrix.written.make(Made { key, code: name, label, kind });
    Given::only(bitrix.written.made().len().into())
}

fn kind_is_taken(bitrix: &Bitrix, key: &str) -> bool {
    kind(bitrix, key).is_some()
}
