//! What users write in `[[source]]` for a manifest connector.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde_json::{Value, json};
use throughline_core::connector::option_error;
use throughline_core::secret::SECRET_KEY;
use throughline_core::{ConfigErrors, Param, PointerAt};

use super::spec::{Manifest, OptionSpec, OptionType};

/// Options after checks and defaults. Secrets are plain in here: nothing prints it.
#[derive(Clone, Default)]
pub(crate) struct Given {
    values: BTreeMap<String, Value>,
    secrets: Vec<String>,
}

impl Given {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }
    pub fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }
    /// For a SELECT; secrets never.
    pub fn param(&self, name: &str) -> Param {
        if self.secrets.iter().any(|s| s == name) {
            return Param::Text(None);
        }
        match self.values.get(name) {
            Some(Value::Bool(yes)) => Param::Bool(*yes),
            Some(Value::Number(n)) if n.is_i64() => Param::Int(n.as_i64().unwrap_or_default()),
            other => Param::Text(other.and_then(super::template::as_text)),
        }
    }
}

/// Reads a user's options by the manifest's declarations. `base_url` is always allowed.
pub(crate) fn read(manifest: &Manifest, options: &Value) -> Result<Given, ConfigErrors> {
    let mut errors = ConfigErrors::new();
    let mut given = Given::default();
    let empty = serde_json::Map::new();
    let map = match options {
        Value::Object(map) => map,
        Value::Null => &empty,
        _ => return Err(vec![option_error("options are a table", "", PointerAt::Value)]),
    };
    for (key, value) in map {
        let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        if key == "base_url" {
            match value.as_str().map(url::Url::parse) {
                Some(Ok(_)) => given.set(key, value.as_str().map_or("", |u| u.trim_end_matches('/')).into()),
                _ => errors.push(option_error(
                    "base_url is a whole URL, e.g. http://localhost:8080",
                    pointer,
                    PointerAt::Value,
                )),
            }
            continue;
        }
        let Some(spec) = manifest.options.get(key) else {
            let names: Vec<String> = manifest
                .options
                .keys()
                .map(String::as_str)
                .chain(["base_url"])
                .map(|n| format!("`{n}`"))
                .collect();
            // Serde's words, which the engine turns into a hint.
            let message = format!("unknown field `{key}`, expected one of {}", names.join(", "));
            errors.push(option_error(message, pointer, PointerAt::Key));
            continue;
        };
        if spec.kind == OptionType::Secret {
            match value.get(SECRET_KEY).and_then(Value::as_str) {
                Some(secret) => {
                    given.set(key, secret.into());
                    given.secrets.push(key.clone());
                }
                None => errors.push(option_error(
                    "a secret is written as { env = \"NAME\" } or { file = \"path\" }, never in clear",
                    pointer,
                    PointerAt::Value,
                )),
            }
            continue;
        }
        match fits(spec, value) {
            Ok(()) => given.set(key, value.clone()),
            Err(why) => errors.push(option_error(why, pointer, PointerAt::Value)),
        }
    }
    for (name, spec) in &manifest.options {
        if map.contains_key(name) {
            continue;
        }
        if let Some(default) = &spec.default {
            given.set(name, default.clone());
        } else if spec.required {
            errors.push(option_error(format!("missing field `{name}`"), "", PointerAt::Value));
        }
    }
    errors.extend(auth_given(manifest, map));
    if errors.is_empty() { Ok(given) } else { Err(errors) }
}

/// Some way to sign in must be chosen, and be complete.
fn auth_given(manifest: &Manifest, map: &serde_json::Map<String, Value>) -> Option<throughline_core::Error> {
    let ways: Vec<&str> = manifest.auth.iter().filter_map(|a| a.when.as_deref()).collect();
    let open = manifest.auth.iter().any(|a| a.when.is_none());
    let chosen = ways.iter().any(|w| map.contains_key(*w));
    if ways.is_empty() || open || chosen {
        return None;
    }
    Some(option_error(
        format!(
            "no credentials: give {}",
            ways.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" or ")
        ),
        "",
        PointerAt::Value,
    ))
}

/// Whether a value is of an option's type and one of its values.
pub(crate) fn fits(spec: &OptionSpec, value: &Value) -> Result<(), String> {
    let good = match spec.kind {
        OptionType::Text | OptionType::Secret => value.is_string(),
        OptionType::Int => value.is_i64(),
        OptionType::Bool => value.is_boolean(),
        OptionType::List => value.as_array().is_some_and(|l| l.iter().all(|v| v.is_string() || v.is_i64())),
        OptionType::Date => value.as_str().is_some_and(|d| d.parse::<NaiveDate>().is_ok()),
    };
    if !good {
        return Err(format!("expected {}, found {}", word(spec.kind), found(value)));
    }
    if let Some(text) = value.as_str()
        && !spec.values.is_empty()
        && !spec.values.iter().any(|v| v == text)
    {
        let all: Vec<String> = spec.values.iter().map(|v| format!("`{v}`")).collect();
        return Err(format!("unknown variant `{text}`, expected one of {}", all.join(", ")));
    }
    Ok(())
}

fn word(kind: OptionType) -> &'static str {
    match kind {
        OptionType::Text => "a text",
        OptionType::Int => "a whole number",
        OptionType::Bool => "true or false",
        OptionType::List => "a list of texts",
        OptionType::Secret => "a secret",
        OptionType::Date => "a date (YYYY-MM-DD)",
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::Object(_) => "a table".into(),
        Value::Array(_) => "a list".into(),
        other => other.to_string(),
    }
}

/// JSON Schema of the options.
pub(crate) fn schema(manifest: &Manifest) -> Value {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for (name, spec) in &manifest.options {
        let mut schema = match spec.kind {
            OptionType::Text => json!({"type": "string"}),
            OptionType::Int => json!({"type": "integer"}),
            OptionType::Bool => json!({"type": "boolean"}),
            OptionType::List => json!({"type": "array", "items": {"type": ["string", "integer"]}}),
            OptionType::Date => json!({"type": "string", "format": "date"}),
            OptionType::Secret => json!({"oneOf": [
                {"type": "object", "properties": {"env": {"type": "string"}}, "required": ["env"], "additionalProperties": false},
                {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"], "additionalProperties": false}
            ]}),
        };
        schema["description"] = spec.doc.clone().into();
        if let Some(default) = &spec.default {
            schema["default"] = default.clone();
        }
        if let Some(example) = &spec.example {
            schema["examples"] = json!([example]);
        }
        if !spec.values.is_empty() {
            schema["enum"] = json!(spec.values);
        }
        if spec.required {
            required.push(name.clone());
        }
        properties.insert(name.clone(), schema);
    }
    properties.insert(
        "base_url".into(),
        json!({"type": "string", "description": "Another address of the API, for tests and proxies."}),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": manifest.name,
        "description": manifest.summary,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}
