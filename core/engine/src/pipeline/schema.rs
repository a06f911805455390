//! JSON Schema of pipeline files, for editors: the same keys as docs/pipeline-file.md.
//!
//! A source's schema depends on its `connector`: an `if`/`then` for each, so that an editor completes
//! the options of the one that is named. Definitions a connector's schema refers to stay its own: they
//! are moved under a name of the connector, since two connectors may call different things alike.

use serde_json::{Map, Value as Json, json};

use super::tables;
use crate::registry::Registry;

/// Draft 2020-12. `throughline schema` prints it.
pub fn schema(registry: &Registry) -> Json {
    let mut defs = Map::new();
    let sources: Vec<(&str, &str, Json)> =
        registry.sources.iter().map(|c| (c.name(), c.summary(), c.schema())).collect();
    let sinks: Vec<(&str, &str, Json)> =
        registry.sinks.iter().map(|c| (c.name(), c.summary(), c.schema())).collect();
    let alerters: Vec<(&str, &str, Json)> =
        registry.alerters.iter().map(|c| (c.name(), c.summary(), c.schema())).collect();
    let attribution = schemars::schema_for!(throughline_attribution::Settings).to_value();
    let source = endpoint("source", source_keys(), sources, &mut defs);
    let sink = endpoint("sink", sink_keys(), sinks, &mut defs);
    let alert = endpoint("alert", alert_keys(), alerters, &mut defs);
    let attribution = adopt("attribution", attribution, &mut defs);
    let receiver = adopt("receiver", schemars::schema_for!(super::ReceiverSettings).to_value(), &mut defs);
    let http = adopt("http", schemars::schema_for!(super::HttpSettings).to_value(), &mut defs);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Throughline pipeline",
        "type": "object",
        "additionalProperties": false,
        "required": ["source"],
        "properties": {
            "pipeline": pipeline(),
            "schedule": schedule(),
            "http": http,
            "engine": engine(),
            "receiver": receiver,
            "source": { "type": "array", "items": source, "description": "Where data comes from." },
            "attribution": attribution,
            "transform": { "type": "array", "items": transform(), "description": "SQL of your own, one SELECT each." },
            "sink": { "type": "array", "items": sink, "description": "Where the tables go." },
            "alert": { "type": "array", "items": alert, "description": "Whom to tell when something is wrong." },
            "test": { "type": "array", "items": test(), "description": "Rows in, rows expected: run by `throughline test`." },
        },
        "$defs": defs,
    })
}

fn object(doc: &str, required: &[&str], properties: Json) -> Json {
    json!({
        "type": "object", "description": doc, "additionalProperties": false,
        "required": required, "properties": properties,
    })
}

fn text(doc: &str) -> Json {
    json!({ "type": "string", "description": doc })
}

fn pipeline() -> Json {
    object(
        "The pipeline as a whole.",
        &[],
        json!({
            "name": text("Default: the file's name, or its folder's when the file is pipeline.toml."),
            "state": { "type": "string", "default": ".throughline", "description": "Folder of what outlives a run, from the folder of this file." },
        }),
    )
}

fn duration(doc: &str, default: &str) -> Json {
    json!({ "type": "string", "pattern": "^\\s*([0-9]+[smhd]\\s*)+$", "default": default, "description": doc })
}

fn schedule() -> Json {
    object(
        "When `throughline schedule` runs this pipeline.",
        &["cron"],
        json!({
            "cron": text("5 fields (minute hour day month weekday), or 6 with seconds in front."),
            "time_zone": { "type": "string", "default": "UTC", "description": "IANA name, such as Europe/Moscow." },
            "overlap": { "enum": ["skip", "queue"], "default": "skip", "description": "When the run before still runs." },
            "missed": { "enum": ["once", "skip"], "default": "once", "description": "When times passed with nobody there to run." },
            "retry": object("After a failure that may pass.", &[], json!({
                "attempts": { "type": "integer", "minimum": 1, "maximum": 100, "default": 4, "description": "Runs in all, the first included." },
                "wait": duration("Before the second run; doubled for each that follows.", "1m"),
                "max_wait": duration("The longest wait.", "1h"),
            })),
        }),
    )
}

fn engine() -> Json {
    object(
        "How much of the machine a run may take.",
        &[],
        json!({
            "memory": { "type": "string", "pattern": "^\\s*[0-9.]+\\s*([kKmMgG][iI]?)?[bB]\\s*$", "default": "512MB", "description": "What SQL may hold before it spills to disk." },
            "parallel_streams": { "type": "integer", "minimum": 1, "maximum": 64, "default": 4, "description": "Streams read at the same time." },
            "threads": { "type": "integer", "minimum": 1, "maximum": 1024, "description": "Threads for SQL; default: one per core." },
            "keep_steps": { "type": "boolean", "default": false, "description": "Keep the rows of every step of attribution as files, for looking into." },
            "rebuild_below": { "type": "integer", "minimum": 0, "maximum": 1_000_000_000, "default": 100_000, "description": "With fewer records every run attributes all of them; with more, those that new ones touch." },
        }),
    )
}

fn source_keys() -> Json {
    json!({
        "name": text("Default: the connector's name."),
        "streams": { "type": "array", "minItems": 1, "items": { "type": "string" }, "description": "Streams to read; default: all." },
        "on_incomplete": { "enum": ["fail", "publish"], "default": "fail", "description": "When a stream read less than the vendor says there is." },
    })
}

fn sink_keys() -> Json {
    json!({
        "name": text("Default: the connector's name."),
        "tables": { "type": "array", "minItems": 1, "items": { "type": "string" }, "description": "Tables to write; default: all." },
        "hash": { "type": "array", "minItems": 1, "items": { "enum": ["phone", "email"] }, "description": "Goes out as HMAC-SHA256 in place of the clear value." },
        "hash_key": secret("Key of the hashes, 16 bytes or more: { env = \"NAME\" } or { file = \"path\" }."),
    })
}

fn alert_keys() -> Json {
    let span = json!({ "type": "string", "pattern": "^\\s*([0-9]+[smhd]\\s*)+$" });
    json!({
        "name": text("Default: the connector's name."),
        "on": { "type": "array", "minItems": 1, "items": { "enum": super::ALERT_CODES }, "description": "What to tell; default: all of it." },
        "repeat_after": duration("What lasts is told again after so long.", "12h"),
        "fresh": { "type": "object", "additionalProperties": span, "description": "Sources of data_quality_daily, and how old their newest record may be." },
    })
}

fn secret(doc: &str) -> Json {
    let mut schema = schemars::schema_for!(throughline_core::Secret).to_value();
    if let Some(object) = schema.as_object_mut() {
        object.shift_remove("$schema");
        object.shift_remove("title");
        object.insert("description".into(), doc.into());
    }
    schema
}

fn transform() -> Json {
    let mut schema = object(
        "One SELECT that makes a table.",
        &["name"],
        json!({
            "name": { "type": "string", "pattern": "^[a-z][a-z0-9_]{0,63}$", "description": "The table it makes; with the name of a canonical table it takes that one's place." },
            "sql": text("One SELECT."),
            "file": text("A file with one SELECT, from the folder of this file."),
            "stage": { "enum": ["before", "after"], "description": "The side of attribution it runs on; default: by the tables it reads." },
        }),
    );
    schema["oneOf"] = json!([{ "required": ["sql"] }, { "required": ["file"] }]);
    schema
}

fn test() -> Json {
    let rows = json!({ "type": "array", "items": { "type": "object" } });
    let input: Map<String, Json> =
        tables::canonical_names().map(|name| (name.to_owned(), rows.clone())).collect();
    object(
        "Rows in, rows expected.",
        &["name", "now", "expect"],
        json!({
            "name": text("What it shows."),
            // TOML date-times are no JSON type; editors hand them on as text.
            "now": { "description": "What the clock says: 2026-01-31T12:00:00Z." },
            "input": { "type": "object", "additionalProperties": false, "properties": input, "description": "Rows of canonical tables." },
            "expect": { "type": "object", "minProperties": 1, "additionalProperties": rows, "description": "All rows of output tables, with the columns that matter." },
        }),
    )
}

/// `[[source]]`, `[[sink]]` or `[[alert]]`: our keys, and by connector its own.
fn endpoint(what: &str, own: Json, kinds: Vec<(&str, &str, Json)>, defs: &mut Map<String, Json>) -> Json {
    let mut arms = Vec::new();
    let mut names = Vec::new();
    for (name, summary, options) in kinds {
        let mut schema = adopt(&format!("{what}.{name}"), options, defs);
        let mut properties = own.as_object().cloned().unwrap_or_default();
        properties.insert("connector".into(), json!({ "const": name }));
        if let Some(Json::Object(given)) = schema.get("properties") {
            // Our keys never reach the connector.
            properties.extend(
                given
                    .iter()
                    .filter(|(k, _)| own.get(k.as_str()).is_none())
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
        }
        schema["properties"] = Json::Object(properties);
        arms.push(json!({
            "if": { "properties": { "connector": { "const": name } }, "required": ["connector"] },
            "then": schema,
        }));
        names.push(json!({ "const": name, "description": summary }));
    }
    json!({
        "type": "object",
        "required": ["connector"],
        "properties": { "connector": { "oneOf": names } },
        "allOf": arms,
    })
}

/// Moves a schema's definitions under `owner` in ours, and what refers to them along.
fn adopt(owner: &str, mut schema: Json, defs: &mut Map<String, Json>) -> Json {
    if let Some(object) = schema.as_object_mut() {
        object.shift_remove("$schema");
        object.shift_remove("title");
        if let Some(Json::Object(inner)) = object.shift_remove("$defs") {
            for (name, mut definition) in inner {
                move_refs(&mut definition, owner);
                defs.insert(format!("{owner}.{name}"), definition);
            }
        }
    }
    move_refs(&mut schema, owner);
    schema
}

fn move_refs(schema: &mut Json, owner: &str) {
    match schema {
        Json::Object(object) => {
            for (key, value) in object.iter_mut() {
                match value {
                    Json::String(target) if key == "$ref" => {
                        if let Some(name) = target.strip_prefix("#/$defs/") {
                            *target = format!("#/$defs/{owner}.{name}");
                        }
                    }
                    other => move_refs(other, owner),
                }
            }
        }
        Json::Array(list) => list.iter_mut().for_each(|item| move_refs(item, owner)),
        _ => {}
    }
}
