//! Rows of query results (`{"f":[{"v":..}]}`) become records: JSON objects by the names of the schema.
//!
//! All scalars come as text; records nest `f`, lists are lists of `{"v":..}`. What is null is left out.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::fields::{TOKEN, USER_TOKEN, param_column};
use crate::records::json_string;

/// A column as tables and results describe it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(default)]
pub(crate) struct Field {
    pub name: String,
    #[serde(rename = "type")]
    kind: String,
    mode: String,
    fields: Vec<Field>,
}

#[derive(Debug, Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    f: Vec<Cell<'a>>,
}

#[derive(Debug, Deserialize)]
struct Cell<'a> {
    #[serde(borrow)]
    v: Content<'a>,
}

#[derive(Debug)]
enum Content<'a> {
    Null,
    Text(Cow<'a, str>),
    List(Vec<Cell<'a>>),
    Record(Vec<Cell<'a>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value of a query's result")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Content::Null)
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
                Ok(Content::Text(value.to_string().into()))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
                Ok(Content::Text(value.to_string().into()))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
                Ok(Content::Text(value.to_string().into()))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
                Ok(Content::Text(value.to_string().into()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut cells = Vec::new();
                while let Some(cell) = list.next_element()? {
                    cells.push(cell);
                }
                Ok(Content::List(cells))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut cells = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if key == "f" {
                        cells = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Content::Record(cells))
            }
        }
        deserializer.deserialize_any(Walk)
    }
}

/// Writes rows of one result as records.
pub(crate) struct Writer<'a> {
    fields: &'a [Field],
    /// Event parameters that get a column, with its name.
    params: Vec<(&'a str, String)>,
    token_param: &'a str,
    /// Members that every record begins with.
    head: String,
    out: String,
}

impl<'a> Writer<'a> {
    /// `every`: names and texts that stand in every record.
    pub fn new(
        fields: &'a [Field],
        params: &'a [String],
        token_param: &'a str,
        every: &[(&str, &str)],
    ) -> Self {
        let mut head = String::from("{");
        for (n, (name, value)) in every.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            let _ = write!(head, "{comma}{}:{}", json_string(name), json_string(value));
        }
        let params = params.iter().map(|p| (p.as_str(), json_string(&param_column(p)))).collect();
        Self { fields, params, token_param, head, out: String::new() }
    }

    /// The record of a row.
    ///
    /// # Errors
    /// Why it is none.
    pub fn record(&mut self, row: &str) -> Result<&str, String> {
        let row: Row<'_> = serde_json::from_str(row).map_err(|e| format!("is no row of a result: {e}"))?;
        if row.f.len() != self.fields.len() {
            return Err(format!("has {} values, the result has {} columns", row.f.len(), self.fields.len()));
        }
        self.out.clear();
        self.out.push_str(&self.head);
        for (field, cell) in self.fields.iter().zip(&row.f) {
            if matches!(cell.v, Content::Null) {
                continue;
            }
            member(&mut self.out, &field.name);
            content(&mut self.out, field, &cell.v)?;
            match (field.name.as_str(), &cell.v) {
                ("event_params", Content::List(list)) => {
                    for (param, column) in &self.params {
                        lift(&mut self.out, field, list, param, column);
                    }
                    lift(&mut self.out, field, list, self.token_param, &json_string(TOKEN));
                }
                ("user_properties", Content::List(list)) => {
                    lift(&mut self.out, field, list, self.token_param, &json_string(USER_TOKEN));
                }
                _ => {}
            }
        }
        self.out.push('}');
        Ok(&self.out)
    }
}

fn member(out: &mut String, name: &str) {
    if !out.ends_with('{') {
        out.push(',');
    }
    out.push_str(&json_string(name));
    out.push(':');
}

/// A column for the value of one parameter, as text.
fn lift(out: &mut String, field: &Field, list: &[Cell<'_>], param: &str, column: &str) {
    let place = |fields: &[Field], name: &str| fields.iter().position(|f| f.name == name);
    let (Some(key), Some(value)) = (place(&field.fields, "key"), place(&field.fields, "value")) else {
        return;
    };
    let found = list.iter().find_map(|cell| match &cell.v {
        Content::Record(parts) => match (parts.get(key).map(|c| &c.v), parts.get(value).map(|c| &c.v)) {
            (Some(Content::Text(name)), Some(Content::Record(values))) if name == param => Some(values),
            _ => None,
        },
        _ => None,
    });
    let text = found.and_then(|values| {
        values.iter().find_map(|c| match &c.v {
            Content::Text(text) => Some(text),
            _ => None,
        })
    });
    if let Some(text) = text {
        out.push(',');
        out.push_str(column);
        out.push(':');
        out.push_str(&json_string(text));
    }
}

fn content(out: &mut String, field: &Field, value: &Content<'_>) -> Result<(), String> {
    match value {
        Content::Null => out.push_str("null"),
        Content::Text(text) => scalar(out, field, text),
        Content::List(list) => {
            out.push('[');
            for (n, cell) in list.iter().enumerate() {
                if n > 0 {
                    out.push(',');
                }
                content(out, field, &cell.v)?;
            }
            out.push(']');
        }
        Content::Record(cells) => {
            if cells.len() != field.fields.len() {
                return Err(format!(
                    "has {} values in {}, not {}",
                    cells.len(),
                    field.name,
                    field.fields.len()
                ));
            }
            out.push('{');
            for (inner, cell) in field.fields.iter().zip(cells) {
                if !matches!(cell.v, Content::Null) {
                    member(out, &inner.name);
                    content(out, inner, &cell.v)?;
                }
            }
            out.push('}');
        }
    }
    Ok(())
}

/// Whole numbers and truth are written as such; a fraction keeps its digits.
fn scalar(out: &mut String, field: &Field, text: &str) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    // 64 bits have 19 digits.
    let whole = (1..=19).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'));
    match field.kind.as_str() {
        "INTEGER" | "INT64" if whole => out.push_str(text),
        "BOOLEAN" | "BOOL" if text == "true" || text == "false" => out.push_str(text),
        "FLOAT" | "FLOAT64" if whole || serde_json::from_str::<f64>(text).is_ok_and(f64::is_finite) => {
            out.push_str(text);
        }
        _ => out.push_str(&json_string(text)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fields() -> Vec<Field> {
        let params = r#"{"name":"event_params","type":"RECORD","mode":"REPEATED","fields":[{"name":"key","type":"STRING"},
            {"name":"value","type":"RECORD","fields":[{"name":"string_value","type":"STRING"},
            {"name":"int_value","type":"INTEGER"},{"name":"double_value","type":"FLOAT"}]}]}"#;
        let geo = r#"{"name":"geo","type":"RECORD","fields":[{"name":"city","type":"STRING"}]}"#;
        let text = format!(
            r#"[{{"name":"at","type":"INTEGER"}},{params},{geo},{{"name":"on","type":"BOOLEAN"}},{{"name":"odd","type":"RANGE"}}]"#
        );
        serde_json::from_str(&text).unwrap()
    }

    fn record(row: &str) -> Result<String, String> {
        let (fields, params) = (fields(), ["page".to_owned(), "n".to_owned()]);
        Writer::new(&fields, &params, "tl", &[("day", "2026-09-01")]).record(row).map(str::to_owned)
    }

    #[test]
    fn nested_rows_become_records() {
        let row = r#"{"f":[{"v":"9007199254740993"},{"v":[
            {"v":{"f":[{"v":"page"},{"v":{"f":[{"v":"https:\/\/a.example\/?q=\"я\""},{"v":null},{"v":null}]}}]}},
            {"v":{"f":[{"v":"n"},{"v":{"f":[{"v":null},{"v":"7"},{"v":null}]}}]}},
            {"v":{"f":[{"v":"tl"},{"v":{"f":[{"v":null},{"v":null},{"v":"1.5E-5"}]}}]}}]},
            {"v":{"f":[{"v":"دبي"}]}},{"v":"true"},{"v":null}]}"#;
        let record = record(row).unwrap();
        let value: serde_json::Value = serde_json::from_str(&record).unwrap();
        let expected = serde_json::json!({
            "day": "2026-09-01", "at": 9_007_199_254_740_993_i64,
            "event_params": [{"key": "page", "value": {"string_value": "https://a.example/?q=\"я\""}},
                {"key": "n", "value": {"int_value": 7}}, {"key": "tl", "value": {"double_value": 1.5e-5}}],
            "param_page": "https://a.example/?q=\"я\"", "param_n": "7", "event_token": "1.5E-5",
            "geo": {"city": "دبي"}, "on": true,
        });
        assert_eq!(value, expected);
        // Lists and records without anything in them.
        let empty = super::tests::record(
            r#"{"f":[{"v":null},{"v":[]},{"v":{"f":[{"v":null}]}},{"v":null},{"v":null}]}"#,
        );
        assert_eq!(empty.unwrap(), r#"{"day":"2026-09-01","event_params":[],"geo":{}}"#);
    }

    #[test]
    fn what_does_not_fit_stays_text_or_is_told() {
        let odd = record(r#"{"f":[{"v":"007"},{"v":null},{"v":null},{"v":"TRUE"},{"v":"[1, 2)"}]}"#).unwrap();
        assert_eq!(odd, r#"{"day":"2026-09-01","at":"007","on":"TRUE","odd":"[1, 2)"}"#);
        assert!(record(r#"{"f":[{"v":"1"}]}"#).unwrap_err().contains("has 1 values"));
        assert!(record(r#"{"g":[]}"#).unwrap_err().contains("no row"));
        let short = record(r#"{"f":[{"v":null},{"v":null},{"v":{"f":[]}},{"v":null},{"v":null}]}"#);
        assert!(short.unwrap_err().contains("0 values in geo"));
    }
}
