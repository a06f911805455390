//! A table's columns as the JSON Schema that its records obey.

use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Map, Value, json};
use throughline_core::{Error, Result};

use super::Decimals;

/// The schema of a table's records. Columns of its key hold a value in each.
///
/// # Errors
/// `Unsupported`, for a column whose type Singer cannot say.
pub(super) fn of(
    table: &str,
    schema: &Schema,
    key: &[String],
    decimals: Decimals,
) -> Result<Map<String, Value>> {
    let mut properties = Map::new();
    for field in schema.fields() {
        // Looked up before it is written; one within a list is not.
        let looked_up = match field.data_type() {
            DataType::Dictionary(_, value) => field.as_ref().clone().with_data_type(value.as_ref().clone()),
            _ => field.as_ref().clone(),
        };
        let nullable = field.is_nullable() && !key.contains(field.name());
        let property = property(&looked_up.with_nullable(nullable), decimals).map_err(|what| {
            Error::unsupported(format!(
                "column {:?} of table {table} is {what}, which Singer has no type for",
                field.name()
            ))
            .hint("leave the table out of this sink: `tables = [...]` names those that it gets")
        })?;
        properties.insert(field.name().clone(), property);
    }
    Ok(properties)
}

fn property(field: &Field, decimals: Decimals) -> Result<Value, String> {
    let mut property = kind(field.data_type(), decimals)?;
    if field.is_nullable() {
        property["type"] = json!([property["type"], "null"]);
    }
    if let Some(doc) = field.metadata().get("doc") {
        property["description"] = json!(doc);
    }
    Ok(property)
}

fn kind(of: &DataType, decimals: Decimals) -> Result<Value, String> {
    Ok(match of {
        DataType::Null => json!({ "type": "string" }),
        DataType::Boolean => json!({ "type": "boolean" }),
        of if of.is_integer() => json!({ "type": "integer" }),
        DataType::Float32 | DataType::Float64 => json!({ "type": "number" }),
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => match decimals {
            Decimals::Number => json!({ "type": "number" }),
            Decimals::Text => json!({ "type": "string", "format": "singer.decimal" }),
        },
        DataType::Utf8 | DataType::LargeUtf8 => json!({ "type": "string" }),
        DataType::Date32 => json!({ "type": "string", "format": "date" }),
        // RFC 3339 has no reading of a clock without its offset, and targets refuse what has another format than
        // its schema says.
        DataType::Timestamp(_, None) => json!({ "type": "string" }),
        DataType::Timestamp(_, Some(_)) => json!({ "type": "string", "format": "date-time" }),
        DataType::List(item) | DataType::LargeList(item) => {
            json!({ "type": "array", "items": property(item, decimals)? })
        }
        DataType::Struct(fields) => {
            let mut properties = Map::new();
            for field in fields {
                properties.insert(field.name().clone(), property(field, decimals)?);
            }
            json!({ "type": "object", "properties": properties })
        }
        DataType::Binary | DataType::LargeBinary => return Err("bytes".into()),
        other => return Err(other.to_string()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::TimeUnit;

    use super::*;

    fn said(of: DataType, nullable: bool) -> Value {
        let schema = Schema::new(vec![Field::new("x", of, nullable)]);
        super::of("t", &schema, &[], Decimals::Number).unwrap()["x"].clone()
    }

    #[test]
    fn types_are_those_of_json_schema() {
        assert_eq!(said(DataType::Int64, false), json!({ "type": "integer" }));
        assert_eq!(said(DataType::UInt8, true), json!({ "type": ["integer", "null"] }));
        assert_eq!(said(DataType::Decimal128(38, 9), false), json!({ "type": "number" }));
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert_eq!(said(utc, false)["format"], "date-time");
        assert_eq!(said(DataType::Timestamp(TimeUnit::Second, None), false), json!({ "type": "string" }));
        let list = DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)));
        assert_eq!(said(list, false), json!({ "type": "array", "items": { "type": ["string", "null"] } }));
        let object = DataType::Struct(vec![Field::new("a", DataType::Date32, false)].into());
        assert_eq!(said(object, true)["properties"]["a"]["format"], "date");
        let text = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        assert_eq!(said(text, false), json!({ "type": "string" }));
    }

    #[test]
    fn what_singer_cannot_say_is_refused_by_its_column() {
        for of in [DataType::Binary, DataType::Duration(TimeUnit::Second), DataType::Date64] {
            let schema = Schema::new(vec![Field::new("подпись", of, true)]);
            let error = super::of("deals", &schema, &[], Decimals::Number).unwrap_err();
            let said = error.to_string();
            assert!(said.contains("подпись") && said.contains("deals"), "{said}");
            assert!(error.hint_text().is_some());
        }
        let bytes = DataType::List(Arc::new(Field::new("item", DataType::Binary, true)));
        assert!(
            super::of("t", &Schema::new(vec![Field::new("x", bytes, true)]), &[], Decimals::Text).is_err()
        );
    }
}
