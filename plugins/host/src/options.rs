//! Options of a `[[source]]` or `[[sink]]` that are the host's, not the plugin's; and where secrets stay.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use throughline_core::secret::SECRET_KEY;
use throughline_core::{ConfigErrors, Error, Options, PointerAt, Redactor, connector};

use crate::watch::Limits;

/// Where a plugin runs. The same library can do both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In this process: the fastest, and a plugin that crashes takes everything along.
    Thread,
    /// In a process of its own, one for each stream: a crash costs one attempt.
    Process,
}

pub(crate) const MEMORY_LIMIT_MB: u64 = 1024;
pub(crate) const TIME_LIMIT_S: u64 = 300;

/// A plugin's options, and how it is to be run.
#[derive(Clone)]
pub(crate) struct Setup {
    pub isolation: Isolation,
    pub limits: Limits,
    /// For the plugin: each secret is `{"$secret": pointer}`, and given out by the host one by one.
    pub config: Value,
    pub secrets: HashMap<String, String>,
    pub redactor: Redactor,
}

/// The host's own options, as JSON Schema properties.
pub(crate) fn properties() -> Map<String, Value> {
    let Value::Object(properties) = json!({
        "isolation": { "enum": ["process", "thread"], "default": "process",
            "description": "Where the plugin runs: in a process of its own, or, faster, in the host's." },
        "memory_limit_mb": { "type": "integer", "minimum": 0, "default": MEMORY_LIMIT_MB,
            "description": "Memory of the plugin's process in MiB; 0 for no limit. Of isolation = \"process\"." },
        "time_limit_s": { "type": "integer", "minimum": 1, "default": TIME_LIMIT_S,
            "description": "How long the plugin may give no sign of life, in seconds; waiting for HTTP does not count." },
    }) else {
        return Map::new();
    };
    properties
}

pub(crate) fn setup(options: &Options) -> Result<Setup, ConfigErrors> {
    let mut errors = ConfigErrors::new();
    let mut config = options.value.clone();
    let mut take = |name: &str| config.as_object_mut().and_then(|o| o.shift_remove(name));
    let isolation = match take("isolation") {
        None => Isolation::Process,
        Some(word) if word == "process" => Isolation::Process,
        Some(word) if word == "thread" => Isolation::Thread,
        Some(_) => {
            errors.push(wrong("/isolation", "isolation is \"process\" or \"thread\""));
            Isolation::Process
        }
    };
    let mut number = |name: &str, least: u64, most: u64, default: u64| match take(name) {
        None => default,
        Some(value) => value.as_u64().filter(|n| (least..=most).contains(n)).unwrap_or_else(|| {
            errors.push(wrong(
                &format!("/{name}"),
                &format!("a whole number from {least} to {most} is needed"),
            ));
            default
        }),
    };
    let memory = number("memory_limit_mb", 0, 1 << 20, MEMORY_LIMIT_MB);
    let silence = number("time_limit_s", 1, 86_400, TIME_LIMIT_S);
    if !errors.is_empty() {
        return Err(errors);
    }
    let (mut secrets, redactor) = (HashMap::new(), Redactor::new());
    hide(&mut config, &mut String::new(), &mut secrets);
    secrets.values().for_each(|secret| redactor.register_text(secret));
    let limits = Limits { memory_bytes: memory << 20, silence: Duration::from_secs(silence) };
    Ok(Setup { isolation, limits, config, secrets, redactor })
}

/// Makes paths absolute: those of properties with `"format": "path"` start at the pipeline's folder, as everywhere.
pub(crate) fn from_folder(schema: &Value, folder: &std::path::Path, config: &mut Value) {
    // Of a folder that is itself given relatively: a plugin's process may stand somewhere else.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let Some(properties) = schema["properties"].as_object() else { return };
    for (key, _) in properties.iter().filter(|(_, property)| property["format"] == "path") {
        if let Some(Value::String(path)) = config.get_mut(key) {
            *path = folder.join(path.as_str()).display().to_string();
        }
    }
}

/// Holds options against the plugin's own schema: keys that are not in it, that are missing, or whose value is of
/// another type. So plugins that look at no more than they need are as strict as all others.
pub(crate) fn held_against(schema: &Value, config: &Value) -> ConfigErrors {
    let mut errors = ConfigErrors::new();
    let (Some(properties), Some(config)) = (schema["properties"].as_object(), config.as_object()) else {
        return errors;
    };
    let pointer = |key: &str| format!("/{}", key.replace('~', "~0").replace('/', "~1"));
    for (key, value) in config {
        let Some(property) = properties.get(key) else {
            if schema["additionalProperties"] != Value::Bool(true) {
                let known: Vec<String> = properties.keys().map(|k| format!("`{k}`")).collect();
                let message = format!("unknown field `{key}`, expected one of {}", known.join(", "));
                errors.push(connector::option_error(message, pointer(key), PointerAt::Key));
            }
            continue;
        };
        if property["secret"] == Value::Bool(true) {
            if value.get(SECRET_KEY).is_none() {
                let message =
                    "a secret is written as { env = \"NAME\" } or { file = \"path\" }, never in clear";
                errors.push(wrong(&pointer(key), message));
            }
            continue;
        }
        let fits = match property["type"].as_str() {
            Some("string") => value.is_string(),
            Some("integer") => value.is_i64() || value.is_u64(),
            Some("number") => value.is_number(),
            Some("boolean") => value.is_boolean(),
            Some("object") => value.is_object(),
            Some("array") => value.is_array(),
            _ => true,
        };
        if !fits {
            let named = property["type"].as_str().unwrap_or_default();
            errors.push(wrong(&pointer(key), &format!("expected {named}")));
        }
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !config.contains_key(key) {
            errors.push(wrong(&pointer(key), &format!("missing field `{key}`")));
        }
    }
    errors
}

fn wrong(pointer: &str, message: &str) -> Error {
    connector::option_error(message, pointer, PointerAt::Value)
}

/// Puts a secret's pointer in place of the secret.
fn hide(value: &mut Value, pointer: &mut String, secrets: &mut HashMap<String, String>) {
    let length = pointer.len();
    match value {
        Value::Object(map) => {
            if let (1, Some(secret)) = (map.len(), map.get_mut(SECRET_KEY)) {
                if let Some(clear) = secret.as_str() {
                    secrets.insert(pointer.clone(), clear.to_owned());
                }
                *secret = Value::from(pointer.as_str());
                return;
            }
            for (key, value) in map {
                *pointer += &format!("/{}", key.replace('~', "~0").replace('/', "~1"));
                hide(value, pointer, secrets);
                pointer.truncate(length);
            }
        }
        Value::Array(list) => {
            for (i, value) in list.iter_mut().enumerate() {
                *pointer += &format!("/{i}");
                hide(value, pointer, secrets);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn options(value: Value) -> Options {
        Options { name: "x".into(), value, base_dir: "/".into() }
    }

    #[test]
    fn secrets_are_named_and_kept() {
        let setup = setup(&options(json!({
            "isolation": "thread", "memory_limit_mb": 64, "time_limit_s": 5,
            "token": { "$secret": "s3cret" }, "accounts": [{ "a/b": { "$secret": "other" } }], "page": 7
        })))
        .map_err(|e| format!("{e:?}"))
        .unwrap();
        assert_eq!(setup.isolation, Isolation::Thread);
        assert_eq!(setup.limits.memory_bytes, 64 << 20);
        assert_eq!(
            setup.config,
            json!({ "token": { "$secret": "/token" }, "accounts": [{ "a/b": { "$secret": "/accounts/0/a~1b" } }], "page": 7 })
        );
        assert_eq!(setup.secrets["/token"], "s3cret");
        assert_eq!(setup.secrets["/accounts/0/a~1b"], "other");
        assert_eq!(setup.redactor.redact("a s3cret"), "a ***");
    }

    #[test]
    fn options_are_held_against_the_schema() {
        let schema = json!({ "type": "object", "required": ["token"], "properties": {
            "token": { "secret": true }, "pages": { "type": "integer" }, "free": {} } });
        let pointers = |config: Value| -> Vec<String> {
            held_against(&schema, &config).iter().map(|e| e.place().unwrap().to_string()).collect()
        };
        assert!(pointers(json!({ "token": { "$secret": "/token" }, "pages": 3, "free": [1] })).is_empty());
        assert_eq!(pointers(json!({ "token": "in clear" })), ["option /token"]);
        assert_eq!(
            pointers(json!({ "tokn": {}, "pages": 1.5 })),
            ["option /tokn", "option /pages", "option /token"]
        );
        // Without properties nothing is known, and with leave everything goes.
        assert!(held_against(&json!({}), &json!({ "a": 1 })).is_empty());
        let free = json!({ "properties": {}, "additionalProperties": true });
        assert!(held_against(&free, &json!({ "a": 1 })).is_empty());
    }

    #[test]
    fn paths_start_at_the_pipeline() {
        let schema = json!({ "properties": { "path": { "type": "string", "format": "path" }, "name": { "type": "string" } } });
        let mut config = json!({ "path": "out/x", "name": "out/x" });
        from_folder(&schema, std::path::Path::new("/shop"), &mut config);
        assert_eq!(config, json!({ "path": "/shop/out/x", "name": "out/x" }));
        let mut config = json!({ "path": "/elsewhere" });
        from_folder(&schema, std::path::Path::new("/shop"), &mut config);
        assert_eq!(config, json!({ "path": "/elsewhere" }));
    }

    #[test]
    fn wrong_options_of_the_host_are_told_together() {
        let errors =
            setup(&options(json!({ "isolation": "fork", "time_limit_s": 0, "memory_limit_mb": "a" })))
                .map(|_| ())
                .unwrap_err();
        assert_eq!(errors.len(), 3, "{errors:?}");
    }
}
