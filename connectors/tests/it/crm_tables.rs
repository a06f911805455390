//! What tests of CRMs' mappings share: the tables that samples come to, and looks into them.

use std::collections::HashMap;

use serde_json::Value;
use throughline_core::SourceConnector;

use crate::support::{World, map, read_all};

/// Options, and `more` over them.
pub fn with(mut options: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        options[key] = value.clone();
    }
    options
}

/// Canonical tables after one read of every stream.
pub async fn tables(connector: &dyn SourceConnector, options: Value) -> HashMap<String, Vec<Value>> {
    let world = World::at("2026-09-01T00:00:00Z");
    let source = world.build(connector, options);
    let landed = read_all(&source, &world.ctx).await;
    map(&source, &landed).await
}

pub fn row<'a>(rows: &'a [Value], column: &str, value: &str) -> &'a Value {
    rows.iter().find(|r| r[column] == value).unwrap_or_else(|| panic!("no {column} = {value} in {rows:#?}"))
}

/// Columns of each row in a line, sorted; `-` is null. Ids stand without the `prefix` that all of them have.
pub fn lines<'a>(rows: impl IntoIterator<Item = &'a Value>, prefix: &str, columns: &[&str]) -> Vec<String> {
    let text = |value: Option<&Value>| match value {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.strip_prefix(prefix).unwrap_or(text).to_owned(),
        Some(other) => other.to_string(),
    };
    let line = |row: &Value| columns.iter().map(|name| text(row.get(name))).collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = rows.into_iter().map(line).collect();
    lines.sort();
    lines
}
