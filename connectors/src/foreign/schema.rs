//! Columns out of a stream's JSON Schema.

use serde_json::Value;
use throughline_core::{ColumnSpec, ColumnType};

pub(crate) fn columns(schema: &Value) -> Vec<ColumnSpec> {
    let properties = schema["properties"].as_object();
    let column = |(name, schema): (&String, &Value)| ColumnSpec {
        name: name.clone(),
        kind: kind(schema),
        doc: schema["description"].as_str().unwrap_or_default().to_owned(),
    };
    properties.into_iter().flatten().map(column).collect()
}

/// The contract's type of a column. Whatever may be of several kinds is text, which holds all of them; so are
/// instants, which programs write in many ways.
fn kind(schema: &Value) -> ColumnType {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(list) => list.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
        _ => Vec::new(),
    };
    match types.as_slice() {
        ["integer"] => ColumnType::Int,
        ["number"] => ColumnType::Decimal,
        ["boolean"] => ColumnType::Bool,
        ["object" | "array"] => ColumnType::Json,
        _ => ColumnType::Text,
    }
}
