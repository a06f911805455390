//! A tap's catalog: what its streams are, and the copy of it in which one of them is selected.

use serde_json::{Map, Value, json};
use throughline_core::{Capabilities, Error, Result, StreamSpec};

use crate::foreign::config::Streams;
use crate::foreign::schema;

/// The catalog as the tap printed it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap {
    streams: Vec<Stream>,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// `tap_stream_id`, or `stream`.
    pub name: String,
    /// What the tap calls it in its messages.
    pub stream: String,
    pub key: Vec<String>,
    pub incremental: bool,
    json: Value,
}

impl Streams for Tap {
    const HOW: &str = "--config FILE --discover";

    fn parse(bytes: &[u8], what: &str, full_refresh: &[String]) -> Result<Self> {
        let wrong = |problem: String| Error::config(format!("{what} is no Singer catalog: {problem}"));
        let json: Value = serde_json::from_slice(bytes).map_err(|e| wrong(e.to_string()))?;
        let list = json["streams"].as_array().ok_or_else(|| wrong("it has no list of streams".into()))?;
        let streams = list
            .iter()
            .map(|json| Stream::parse(json, full_refresh))
            .collect::<Result<Vec<_>, String>>()
            .map_err(wrong)?;
        Ok(Self { streams })
    }

    fn specs(&self) -> Vec<StreamSpec> {
        self.streams.iter().map(Stream::spec).collect()
    }
}

impl Tap {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.streams.iter().map(|s| s.name.as_str())
    }

    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|s| s.name == name)
    }

    /// The catalog with this stream selected and all others not.
    pub fn selecting(&self, name: &str) -> Value {
        let streams: Vec<Value> = self.streams.iter().map(|s| s.selected(s.name == name)).collect();
        json!({ "streams": streams })
    }
}

impl Stream {
    fn parse(json: &Value, full_refresh: &[String]) -> Result<Self, String> {
        let text = |key: &str| json[key].as_str().map(str::to_owned);
        let stream = text("stream").or_else(|| text("tap_stream_id")).ok_or("a stream without a name")?;
        let name = text("tap_stream_id").unwrap_or_else(|| stream.clone());
        let about = metadata(json, &[]);
        let texts = |value: Option<&Value>| -> Option<Vec<String>> {
            let list = value?.as_array()?;
            Some(list.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        };
        let key = texts(json.get("key_properties"))
            .filter(|k| !k.is_empty())
            .or_else(|| texts(about.and_then(|m| m.get("table-key-properties"))))
            .unwrap_or_default();
        let method = about
            .and_then(|m| m.get("replication-method"))
            .or_else(|| about.and_then(|m| m.get("forced-replication-method")))
            .or_else(|| json.get("replication_method"));
        let incremental = method.and_then(Value::as_str).is_some_and(|m| m != "FULL_TABLE")
            && !full_refresh.contains(&name);
        if incremental && key.is_empty() {
            return Err(format!(
                "the stream {name} is read incrementally and has no key (key_properties): what a tap sends twice \
                 would count twice; name it in full_refresh"
            ));
        }
        Ok(Self { name, stream, key, incremental, json: json.clone() })
    }

    fn spec(&self) -> StreamSpec {
        StreamSpec {
            name: self.name.clone(),
            doc: format!("The stream {} of the tap.", self.stream),
            key: self.key.clone(),
            columns: schema::columns(&self.json["schema"]),
            restates: None,
            capabilities: Capabilities {
                incremental: self.incremental,
                resumable: self.incremental,
                ..Capabilities::default()
            },
        }
    }

    fn selected(&self, selected: bool) -> Value {
        let mut json = self.json.clone();
        if let Some(stream) = json.as_object_mut() {
            // The old way and the new.
            stream.insert("selected".into(), selected.into());
            let metadata = stream.entry("metadata").or_insert_with(|| json!([]));
            let Some(entries) = metadata.as_array_mut() else { return json };
            if !entries.iter().any(|e| breadcrumb_is(e, &[])) {
                entries.insert(0, json!({ "breadcrumb": [], "metadata": {} }));
            }
            for entry in entries {
                let is_stream = breadcrumb_is(entry, &[]);
                let Some(about) = entry.get_mut("metadata").and_then(Value::as_object_mut) else { continue };
                let unsupported = about.get("inclusion").is_some_and(|i| i == "unsupported");
                // Columns that the user took out stay out.
                if is_stream && !self.incremental {
                    about.insert("replication-method".into(), "FULL_TABLE".into());
                }
                if is_stream || (selected && !unsupported && !about.contains_key("selected")) {
                    about.insert("selected".into(), selected.into());
                }
            }
        }
        json
    }
}

fn breadcrumb_is(entry: &Value, path: &[&str]) -> bool {
    entry["breadcrumb"]
        .as_array()
        .is_some_and(|b| b.iter().map(Value::as_str).eq(path.iter().map(|p| Some(*p))))
}

fn metadata<'a>(stream: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    let entries = stream["metadata"].as_array()?;
    entries.iter().find(|e| breadcrumb_is(e, path))?["metadata"].as_object()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use throughline_core::ColumnType;

    use super::*;

    fn catalog() -> Value {
        json!({ "streams": [
            { "tap_stream_id": "crm-deals", "stream": "deals", "key_properties": ["id"],
              "schema": { "properties": { "id": { "type": ["null", "integer"] }, "price": { "type": "number" },
                "mixed": { "type": ["string", "integer"] }, "tags": { "type": "array" } } },
              "metadata": [
                { "breadcrumb": [], "metadata": { "replication-method": "INCREMENTAL" } },
                { "breadcrumb": ["properties", "id"], "metadata": { "inclusion": "automatic" } },
                { "breadcrumb": ["properties", "price"], "metadata": { "selected": false } },
                { "breadcrumb": ["properties", "tags"], "metadata": { "inclusion": "unsupported" } } ] },
            { "stream": "users", "schema": {} }
        ] })
    }

    #[test]
    fn streams_have_names_keys_and_types() {
        let tap = Tap::parse(catalog().to_string().as_bytes(), "x", &[]).unwrap();
        let specs = tap.specs();
        assert_eq!((specs[0].name.as_str(), specs[1].name.as_str()), ("crm-deals", "users"));
        assert_eq!(specs[0].key, ["id"]);
        assert!(specs[0].capabilities.incremental && !specs[1].capabilities.incremental);
        let kinds: Vec<ColumnType> = specs[0].columns.iter().map(|c| c.kind).collect();
        assert_eq!(kinds, [ColumnType::Int, ColumnType::Decimal, ColumnType::Text, ColumnType::Json]);
    }

    #[test]
    fn one_stream_is_selected_and_what_was_taken_out_stays_out() {
        let tap = Tap::parse(catalog().to_string().as_bytes(), "x", &[]).unwrap();
        let selected = tap.selecting("crm-deals");
        let metadata = selected["streams"][0]["metadata"].as_array().unwrap();
        let flags: Vec<&Value> = metadata.iter().map(|m| &m["metadata"]["selected"]).collect();
        assert_eq!(flags, [&json!(true), &json!(true), &json!(false), &Value::Null]);
        assert_eq!(selected["streams"][1]["metadata"][0]["metadata"]["selected"], json!(false));
        assert_eq!(selected["streams"][1]["selected"], json!(false));
    }

    #[test]
    fn what_would_count_twice_is_refused() {
        let json = json!({ "streams": [{ "stream": "log", "metadata": [
            { "breadcrumb": [], "metadata": { "replication-method": "LOG_BASED" } }] }] });
        let error = Tap::parse(json.to_string().as_bytes(), "catalog.json", &[]).unwrap_err().to_string();
        assert!(error.contains("would count twice"), "{error}");
        // Read whole each time it counts once, and the tap is told so.
        let whole = Tap::parse(json.to_string().as_bytes(), "catalog.json", &["log".to_owned()]).unwrap();
        assert!(!whole.stream("log").unwrap().incremental);
        let metadata = &whole.selecting("log")["streams"][0]["metadata"][0]["metadata"];
        assert_eq!(metadata["replication-method"], "FULL_TABLE");
        for rubbish in ["", "[]", "{\"streams\": [{}]}"] {
            assert!(Tap::parse(rubbish.as_bytes(), "x", &[]).is_err(), "{rubbish}");
        }
    }
}
