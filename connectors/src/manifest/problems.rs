//! What is wrong with a manifest, and where in the file.

use serde_json::Value;
use throughline_core::{Error, Place, PointerAt};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::records::nearest;

/// Everything found so far; places are JSON pointers.
#[derive(Default)]
pub(crate) struct Problems(Vec<Error>);

impl Problems {
    pub fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.push(pointer, message, None);
    }
    pub fn push(&mut self, pointer: impl Into<String>, message: impl Into<String>, hint: Option<String>) {
        let error = throughline_core::connector::option_error(message, pointer, PointerAt::Value);
        self.0.push(match hint {
            Some(hint) => error.hint(hint),
            None => error,
        });
    }
    /// Takes what a parser of one text said.
    pub fn take<T>(&mut self, pointer: &str, parsed: Result<T, String>) -> Option<T> {
        parsed.map_err(|message| self.add(pointer, message)).ok()
    }
    /// A name that must be one of some.
    pub fn known<S: AsRef<str>>(&mut self, pointer: &str, what: &str, name: &str, names: &[S]) -> bool {
        if names.iter().any(|n| n.as_ref() == name) {
            return true;
        }
        self.push(pointer, format!("there is no {what} {name:?}"), hint(name, names));
        false
    }
    pub fn into_errors(self) -> Vec<Error> {
        self.0
    }
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// "did you mean", else all names.
pub(crate) fn hint<S: AsRef<str>>(wrong: &str, names: &[S]) -> Option<String> {
    if let Some(near) = nearest(wrong, names) {
        return Some(format!("did you mean {near:?}?"));
    }
    let all: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    (!all.is_empty()).then(|| format!("there are {}", all.join(", ")))
}

/// A TOML text as JSON, and the places of everything in it.
pub(crate) struct Document<'t> {
    text: &'t str,
    path: &'t str,
    root: Spanned<DeTable<'t>>,
}

impl<'t> Document<'t> {
    /// # Errors
    /// Every syntax error, with its place in the file.
    pub fn parse(text: &'t str, path: &'t str) -> Result<Self, Vec<Error>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let document = Self { text, path, root };
        if errors.is_empty() {
            return Ok(document);
        }
        Err(errors
            .iter()
            .map(|e| {
                let at = e.span().map_or(0, |span| span.start);
                Error::config(e.message().trim().to_owned()).at(document.place(at))
            })
            .collect())
    }

    pub fn json(&self) -> Value {
        table(self.root.get_ref())
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        Place::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// Turns a pointer into a place, and serde's words into ours.
    pub fn locate(&self, error: &Error) -> Error {
        let (pointer, at) = match error.place() {
            Some(Place::Option { pointer, at }) => (pointer.as_str(), *at),
            Some(Place::File { .. } | Place::Stream { .. }) | None => ("", PointerAt::Value),
        };
        let (message, hint) = humanize(error.message());
        let path = pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~");
        let message = if path.is_empty() || message.starts_with("unknown key") {
            message
        } else {
            format!("{path}: {message}")
        };
        let located = Error::config(message).at(self.place(self.offset(pointer, at)));
        match hint.or_else(|| error.hint_text().map(str::to_owned)) {
            Some(hint) => located.hint(hint),
            None => located,
        }
    }

    /// Where a pointer leads, or as far as it does.
    fn offset(&self, pointer: &str, at: PointerAt) -> usize {
        let mut offset = 0;
        let mut here: Option<&Spanned<DeValue<'_>>> = None;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match here.map(Spanned::get_ref) {
                None => entry(self.root.get_ref(), &step),
                Some(DeValue::Array(list)) => {
                    step.parse().ok().and_then(|i: usize| list.get(i)).map(|v| (v.span().start, v))
                }
                Some(DeValue::Table(inner)) => entry(inner, &step),
                Some(_) => None,
            };
            let Some((key, value)) = next else { break };
            offset = if at == PointerAt::Key { key } else { value.span().start };
            // A table written as `[a.b]` has the span of its header; one made of dotted keys, none.
            if offset == 0 {
                offset = key;
            }
            here = Some(value);
        }
        offset
    }
}

fn entry<'a, 't>(table: &'a DeTable<'t>, step: &str) -> Option<(usize, &'a Spanned<DeValue<'t>>)> {
    table.iter().find(|(k, _)| k.get_ref().as_ref() == step).map(|(k, v)| (k.span().start, v))
}

fn table(table: &DeTable<'_>) -> Value {
    Value::Object(table.iter().map(|(k, v)| (k.get_ref().to_string(), value(v.get_ref()))).collect())
}

fn value(from: &DeValue<'_>) -> Value {
    match from {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::String(number.as_str().to_owned()), Value::from),
        DeValue::Float(number) => number
            .as_str()
            .parse::<f64>()
            .map_or(Value::Null, |n| serde_json::Number::from_f64(n).map_or(Value::Null, Value::Number)),
        DeValue::Boolean(yes) => Value::Bool(*yes),
        DeValue::Datetime(at) => Value::String(at.to_string()),
        DeValue::Array(list) => Value::Array(list.iter().map(|v| value(v.get_ref())).collect()),
        DeValue::Table(inner) => table(inner),
    }
}

/// Serde says "unknown field `a`, expected one of `b`, `c`"; people have keys.
fn humanize(message: &str) -> (String, Option<String>) {
    let names =
        |list: &str| -> Vec<String> { list.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    for (start, ours) in [("unknown field `", "unknown key"), ("unknown variant `", "unknown value")] {
        if let Some((wrong, rest)) = message.strip_prefix(start).and_then(|m| m.split_once('`')) {
            return (format!("{ours} {wrong:?}"), hint(wrong, &names(rest)));
        }
    }
    if let Some(field) = message.strip_prefix("missing field `").and_then(|m| m.strip_suffix('`')) {
        return (format!("the key {field:?} is missing"), None);
    }
    (message.to_owned(), None)
}
