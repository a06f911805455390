//! The JSON Schema says the same as the loader: what one accepts the other does.
//!
//! A validator of the few words our schemas use stands here in place of a crate: the one there is
//! would turn on features of crates that the SQL engine shares, and build that twice.

use serde_json::Value as Json;
use throughline_engine::pipeline::schema;

use crate::docs::examples;
use crate::fakes::registry;
use crate::pipeline::{CRM, WHOLE};

/// What is wrong with `value`, as `path: word`.
fn validate(root: &Json, schema: &Json, value: &Json, path: &str, wrong: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else {
        if schema == &Json::Bool(false) {
            wrong.push(format!("{path}: false"));
        }
        return;
    };
    let good = |schema: &Json| {
        let mut inner = Vec::new();
        validate(root, schema, value, path, &mut inner);
        inner.is_empty()
    };
    let list = |word: &str| rules.get(word).and_then(Json::as_array).into_iter().flatten();
    for (word, rule) in rules {
        let ok = match word.as_str() {
            "$ref" => {
                let target = rule.as_str().unwrap().strip_prefix('#').unwrap();
                validate(root, root.pointer(target).expect(target), value, path, wrong);
                true
            }
            "type" => {
                let is = |name: &Json| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "null" => value.is_null(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    other => panic!("type {other}"),
                };
                rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is))
            }
            "const" => value == rule,
            "enum" => list("enum").any(|v| v == value),
            "oneOf" => list("oneOf").filter(|s| good(s)).count() == 1,
            "anyOf" => list("anyOf").any(good),
            "allOf" => {
                list("allOf").for_each(|s| validate(root, s, value, path, wrong));
                true
            }
            "if" => {
                if good(rule)
                    && let Some(then) = rules.get("then")
                {
                    validate(root, then, value, path, wrong);
                }
                true
            }
            "required" => {
                list("required").all(|key| value.get(key.as_str().unwrap()).is_some() || !value.is_object())
            }
            "minimum" => value.as_f64().is_none_or(|v| v >= rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|v| v <= rule.as_f64().unwrap()),
            "minItems" => value.as_array().is_none_or(|v| v.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => value.as_array().is_none_or(|v| v.len() as u64 <= rule.as_u64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|v| v.len() as u64 >= rule.as_u64().unwrap()),
            "items" => {
                for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                    validate(root, rule, item, &format!("{path}[{i}]"), wrong);
                }
                true
            }
            "properties" => {
                for (key, rule) in rule.as_object().unwrap() {
                    if let Some(inner) = value.get(key) {
                        validate(root, rule, inner, &format!("{path}.{key}"), wrong);
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = rules.get("properties").and_then(Json::as_object);
                for (key, inner) in value.as_object().into_iter().flatten() {
                    if !known.is_some_and(|k| k.contains_key(key)) {
                        validate(root, rule, inner, &format!("{path}.{key}"), wrong);
                    }
                }
                true
            }
            "$schema" | "$defs" | "title" | "description" | "default" | "then" | "format" | "pattern"
            | "examples" => true,
            other => panic!("the validator does not know {other}"),
        };
        if !ok {
            wrong.push(format!("{path}: {word}"));
        }
    }
}

/// As editors do: TOML as JSON, date-times as text.
fn errors(text: &str) -> Vec<String> {
    let schema = schema(&registry());
    let value: toml::Table = toml::from_str(text).unwrap();
    let mut wrong = Vec::new();
    validate(&schema, &schema, &plain(toml::Value::Table(value)), "", &mut wrong);
    wrong
}

fn plain(value: toml::Value) -> Json {
    match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(n) => n.into(),
        toml::Value::Float(n) => n.into(),
        toml::Value::Boolean(b) => b.into(),
        toml::Value::Datetime(when) => when.to_string().into(),
        toml::Value::Array(list) => list.into_iter().map(plain).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(k, v)| (k, plain(v))).collect(),
    }
}

#[test]
fn what_the_loader_accepts_the_schema_accepts() {
    let mut texts = vec![WHOLE.to_owned(), CRM.to_owned()];
    texts.push(format!("{CRM}[http]\nproxy = {{ env = \"P\" }}\nclock = \"2026-01-31T12:00:00Z\"\n"));
    for page in ["pipeline-file.md", "scheduling.md"] {
        texts.extend(examples(page).into_iter().map(|(_, text)| text));
    }
    for text in texts {
        assert_eq!(errors(&text), [""; 0], "{text}");
    }
}

#[test]
fn what_the_loader_refuses_for_its_form_the_schema_refuses() {
    for (text, expected) in [
        ("[pipeline]\nname = \"a\"\n", ": required"),
        (&format!("{CRM}colour = 1\n"), ".source[0].colour: false"),
        (&CRM.replace("{ env = \"CRM_SECRET\" }", "\"clear\""), ".source[0].client_secret: oneOf"),
        (&CRM.replace("subdomain = \"shop\"\n", ""), ".source[0]: required"),
        (&CRM.replace("\"crm\"", "\"cmr\""), ".source[0].connector: oneOf"),
        (&format!("{CRM}[engine]\nthreads = 0\n"), ".engine.threads: minimum"),
        (&format!("{CRM}[attribution]\nmodels = [\"x\"]\n"), ".attribution.models[0]"),
        (&format!("{CRM}[schedule]\ncron = \"0 6 * * *\"\noverlap = \"no\"\n"), ".schedule.overlap: enum"),
        (&format!("{CRM}[[sink]]\nconnector = \"csv\"\n"), ".sink[0]: required"),
        (&format!("{CRM}[[transform]]\nname = \"a\"\n"), ".transform[0]: oneOf"),
    ] {
        let found = errors(text);
        assert!(found.iter().any(|e| e.starts_with(expected)), "{expected}: {found:?}\n{text}");
    }
}
