//! `{name}` in texts of a manifest.
//!
//! Names are options, `base_url`, `token.<kept value>`, in streams also `from`, `to`, `page`, `offset`,
//! `cursor`, `last`, `size`, `parent.<column>`, `parent.ids` and `parent.records`, and `lookup.<name>`. `{{` and `}}` are braces. A text that
//! is one placeholder alone keeps the value's type in a JSON body, and a list repeats a query
//! parameter; `{name|text}` makes it text (lists joined by commas).

use serde_json::{Map, Value};

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Name { name: String, as_text: bool },
}

/// Values by name; `None` is "has no value here".
pub(crate) type Scope<'a> = &'a (dyn Fn(&str) -> Option<Value> + Sync);

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(behind) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = behind;
                continue;
            }
            if brace == "}" {
                return Err(format!("{text:?}: a '}}' without '{{'; a brace itself is written '}}}}'"));
            }
            let Some((inside, behind)) = rest.split_once('}') else {
                return Err(format!("{text:?}: a '{{' without '}}'; a brace itself is written '{{{{'"));
            };
            rest = behind;
            let (name, filter) = inside.split_once('|').map_or((inside, None), |(n, f)| (n, Some(f)));
            if !matches!(filter, None | Some("text")) {
                return Err(format!("{text:?}: after '|' only 'text' can stand"));
            }
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Name { name: name.trim().to_owned(), as_text: filter.is_some() });
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// A text without placeholders, whatever braces stand in it.
    pub fn literal(text: String) -> Self {
        Self(vec![Part::Text(text)])
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Name { name, .. } => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// As text; `None` when a placeholder has no value.
    pub fn text(&self, scope: Scope<'_>) -> Option<String> {
        self.text_with(scope, |value| value)
    }

    /// As text, with values put through `encode`.
    pub fn text_with(&self, scope: Scope<'_>, encode: impl Fn(String) -> String) -> Option<String> {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Name { name, .. } => out.push_str(&encode(as_text(&scope(name)?)?)),
            }
        }
        Some(out)
    }

    /// As a JSON value: one placeholder alone keeps its type.
    pub fn value(&self, scope: Scope<'_>) -> Option<Value> {
        match self.0.as_slice() {
            [Part::Name { name, as_text: false }] => scope(name).filter(|v| !v.is_null()),
            _ => self.text(scope).map(Value::String),
        }
    }
}

/// The text of a value; lists are joined by commas; `None` for null and objects.
pub(crate) fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Object(_) => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(list) => Some(list.iter().filter_map(as_text).collect::<Vec<_>>().join(",")),
    }
}

/// A JSON value whose texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Leaf(Value),
    Template(Template),
    List(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

impl Tree {
    /// Errors come with the JSON pointer of their text below `value`.
    pub fn parse(value: &Value) -> Result<Self, (String, String)> {
        let below = |step: String| {
            move |(pointer, message): (String, String)| {
                (format!("/{}{pointer}", step.replace('~', "~0").replace('/', "~1")), message)
            }
        };
        Ok(match value {
            Value::String(text) => Self::Template(Template::parse(text).map_err(|e| (String::new(), e))?),
            Value::Array(list) => Self::List(
                list.iter()
                    .enumerate()
                    .map(|(i, v)| Self::parse(v).map_err(below(i.to_string())))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(map) => Self::Object(
                map.iter()
                    .map(|(k, v)| Self::parse(v).map_err(below(k.clone())).map(|tree| (k.clone(), tree)))
                    .collect::<Result<_, _>>()?,
            ),
            other => Self::Leaf(other.clone()),
        })
    }

    /// Every template with its pointer.
    pub fn templates(&self, pointer: &str, each: &mut dyn FnMut(&str, &Template)) {
        match self {
            Self::Leaf(_) => {}
            Self::Template(template) => each(pointer, template),
            Self::List(list) => {
                for (i, tree) in list.iter().enumerate() {
                    tree.templates(&format!("{pointer}/{i}"), each);
                }
            }
            Self::Object(members) => {
                for (key, tree) in members {
                    let key = key.replace('~', "~0").replace('/', "~1");
                    tree.templates(&format!("{pointer}/{key}"), each);
                }
            }
        }
    }

    /// Members and elements without value are left out.
    pub fn value(&self, scope: Scope<'_>) -> Option<Value> {
        match self {
            Self::Leaf(value) => Some(value.clone()),
            Self::Template(template) => template.value(scope),
            Self::List(list) => Some(Value::Array(list.iter().filter_map(|t| t.value(scope)).collect())),
            Self::Object(members) => {
                let mut map = Map::new();
                for (key, tree) in members {
                    if let Some(value) = tree.value(scope) {
                        map.insert(key.clone(), value);
                    }
                }
                Some(Value::Object(map))
            }
        }
    }

    /// The members as pairs of texts, for queries and forms; lists repeat their key.
    pub fn pairs(&self, scope: Scope<'_>) -> Vec<(String, String)> {
        let Some(Value::Object(map)) = self.value(scope) else { return Vec::new() };
        let mut pairs = Vec::new();
        for (key, value) in map {
            match value {
                Value::Array(list) => {
                    pairs.extend(list.iter().filter_map(as_text).map(|text| (key.clone(), text)));
                }
                other => pairs.extend(as_text(&other).map(|text| (key, text))),
            }
        }
        pairs
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope(name: &str) -> Option<Value> {
        match name {
            "n" => Some(json!(7)),
            "who" => Some(json!("Ж b")),
            "list" => Some(json!(["a", 2])),
            _ => None,
        }
    }

    #[test]
    fn renders() {
        let text = |t: &str| Template::parse(t).unwrap().text(&scope);
        assert_eq!(text("x{n}/{who}{{}}").as_deref(), Some("x7/Ж b{}"));
        assert_eq!(text("{list}").as_deref(), Some("a,2"));
        assert_eq!(text("a{none}b"), None);
        for wrong in ["{a", "a}", "{a|b}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn trees_keep_types_and_leave_out_what_has_no_value() {
        let tree = Tree::parse(&json!({
            "limit": "{n}", "text": "{n|text}", "ids": "{list}", "gone": "{none}",
            "deep": [{"a": "{none}", "b": true}, "{none}"]
        }))
        .unwrap();
        let value = tree.value(&scope).unwrap();
        assert_eq!(value, json!({"limit": 7, "text": "7", "ids": ["a", 2], "deep": [{"b": true}]}));
        let pairs =
            Tree::parse(&json!({"id": "{list}", "ids": "{list|text}", "p": 1})).unwrap().pairs(&scope);
        assert_eq!(
            pairs,
            [
                ("id".into(), "a".into()),
                ("id".into(), "2".into()),
                ("ids".into(), "a,2".into()),
                ("p".into(), "1".into())
            ]
        );
        let (pointer, _) = Tree::parse(&json!({"a": [1, {"b/c": "{x"}]})).unwrap_err();
        assert_eq!(pointer, "/a/1/b~1c");
    }
}
