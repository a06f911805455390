//! A source's catalog, and the configured one in which a single stream is to be read.

use serde_json::{Value, json};
use throughline_core::{Capabilities, Error, Result, StreamSpec};

use super::message::{Message, message};
use crate::foreign::config::Streams;
use crate::foreign::schema;

#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    streams: Vec<Stream>,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub name: String,
    pub key: Vec<String>,
    pub incremental: bool,
    cursor: Vec<String>,
    json: Value,
}

impl Streams for Known {
    const HOW: &str = "discover --config FILE";

    /// The file may be all that `discover` printed, or the catalog alone.
    fn parse(bytes: &[u8], what: &str, full_refresh: &[String]) -> Result<Self> {
        let wrong = |problem: &str| Error::config(format!("{what} is no Airbyte catalog: {problem}"));
        let catalog = serde_json::from_slice::<Value>(bytes).ok().filter(|v| v["streams"].is_array());
        let printed = || {
            bytes.split(|b| *b == b'\n').find_map(|line| match message(line) {
                Ok(Message::Catalog(catalog)) => Some(catalog),
                _ => None,
            })
        };
        let catalog =
            catalog.or_else(printed).ok_or_else(|| wrong("it has no message CATALOG and no streams"))?;
        let list = catalog["streams"].as_array().ok_or_else(|| wrong("it has no list of streams"))?;
        let stream = |json: &Value| Stream::parse(json, full_refresh).map_err(|problem| wrong(&problem));
        Ok(Self { streams: list.iter().map(stream).collect::<Result<_>>()? })
    }

    fn specs(&self) -> Vec<StreamSpec> {
        self.streams.iter().map(Stream::spec).collect()
    }
}

impl Known {
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.streams.iter().map(|s| s.name.as_str())
    }

    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|s| s.name == name)
    }
}

impl Stream {
    fn parse(json: &Value, full_refresh: &[String]) -> Result<Self, String> {
        let name = json["name"].as_str().ok_or("a stream without a name")?.to_owned();
        // A key is a list of paths; a path into an object is no column here.
        let paths = json["source_defined_primary_key"].as_array().cloned().unwrap_or_default();
        let key: Vec<String> = paths
            .iter()
            .map(|path| match path.as_array().map(Vec::as_slice) {
                Some([Value::String(column)]) => Some(column.clone()),
                _ => None,
            })
            .collect::<Option<_>>()
            .unwrap_or_default();
        let cursor: Vec<String> = json["default_cursor_field"]
            .as_array()
            .map(|path| path.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default();
        let can =
            json["supported_sync_modes"].as_array().is_some_and(|m| m.iter().any(|m| m == "incremental"));
        let knows_how = json["source_defined_cursor"] == true || !cursor.is_empty();
        // Without a key, what a source sends twice would count twice: such a stream is read whole.
        let incremental = can && knows_how && !key.is_empty() && !full_refresh.contains(&name);
        Ok(Self { name, key, incremental, cursor, json: json.clone() })
    }

    fn spec(&self) -> StreamSpec {
        StreamSpec {
            name: self.name.clone(),
            doc: format!("The stream {} of the source.", self.name),
            key: self.key.clone(),
            columns: schema::columns(&self.json["json_schema"]),
            restates: None,
            capabilities: Capabilities {
                incremental: self.incremental,
                resumable: self.incremental,
                count: true,
                ..Capabilities::default()
            },
        }
    }

    /// The catalog that `read` is given.
    pub fn configured(&self) -> Value {
        let (sync, destination) = match self.incremental {
            true => ("incremental", "append_dedup"),
            false => ("full_refresh", "overwrite"),
        };
        let key: Vec<[&String; 1]> = self.key.iter().map(|k| [k]).collect();
        json!({ "streams": [{
            "stream": self.json, "sync_mode": sync, "destination_sync_mode": destination,
            "cursor_field": self.cursor, "primary_key": key,
        }] })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn catalog() -> Value {
        json!({ "streams": [
            { "name": "users", "json_schema": { "properties": { "id": { "type": "integer" } } },
              "supported_sync_modes": ["full_refresh", "incremental"], "source_defined_cursor": true,
              "default_cursor_field": ["updated_at"], "source_defined_primary_key": [["id"]] },
            { "name": "log", "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"],
              "default_cursor_field": ["at"] },
            { "name": "nested", "json_schema": {}, "supported_sync_modes": ["full_refresh"],
              "source_defined_primary_key": [["a", "b"]] }
        ] })
    }

    #[test]
    fn the_catalog_alone_and_all_that_was_printed_are_the_same() {
        let alone = Known::parse(catalog().to_string().as_bytes(), "x", &[]).unwrap();
        let printed = format!(
            "{}\nnoise\n{}\n",
            json!({"type": "LOG", "log": {"message": "a"}}),
            json!({"type": "CATALOG", "catalog": catalog()})
        );
        let printed = Known::parse(printed.as_bytes(), "x", &[]).unwrap();
        assert_eq!(alone.names().collect::<Vec<_>>(), printed.names().collect::<Vec<_>>());
        assert!(Known::parse(b"{}", "x", &[]).is_err() && Known::parse(b"", "x", &[]).is_err());
    }

    #[test]
    fn only_what_can_be_counted_once_is_read_incrementally() {
        let known = Known::parse(catalog().to_string().as_bytes(), "x", &[]).unwrap();
        let incremental: Vec<bool> = known.streams.iter().map(|s| s.incremental).collect();
        assert_eq!(incremental, [true, false, false]);
        assert_eq!(known.stream("users").unwrap().key, ["id"]);
        assert!(known.stream("nested").unwrap().key.is_empty());
        let configured = known.stream("users").unwrap().configured();
        assert_eq!(configured["streams"][0]["sync_mode"], "incremental");
        assert_eq!(configured["streams"][0]["primary_key"], json!([["id"]]));
        let whole = Known::parse(catalog().to_string().as_bytes(), "x", &["users".to_owned()]).unwrap();
        assert_eq!(whole.stream("users").unwrap().configured()["streams"][0]["sync_mode"], "full_refresh");
    }
}
