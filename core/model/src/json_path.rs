//! A small path language over JSON text that stays text: raw columns keep nested values byte for
//! byte, and a mapping takes out of them what it needs without building trees.
//!
//! `a.b`, `a["odd key"]`, `a.*` (every value of an object), `[0]`, `[*]` (every element), `[field_code=PHONE]` (the elements whose field
//! equals that, as text), in any row: `[field_code=PHONE].values[*].value`. The empty path is the whole
//! value. What is not there, or not of the shape the path expects (`[]` where an object was), is no
//! match and no error.

use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Members,
    Index(usize),
    All,
    Where { keys: Vec<String>, equals: String },
}

/// The text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotJson;

impl JsonPath {
    /// # Errors
    /// What is wrong with the path and where, for the author of the SQL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let at = text.len() - rest.len();
            if let Some(inside) = rest.strip_prefix('[') {
                let close =
                    closing(inside).ok_or_else(|| format!("\"[\" at {at} of path {text:?} is not closed"))?;
                steps.push(bracket(&inside[..close]).ok_or_else(|| {
                    format!(
                        "[{}] in path {text:?} is none of [0], [*], [\"key\"], [field=value]",
                        &inside[..close]
                    )
                })?);
                rest = &inside[close + 1..];
                if let Some(next) = rest.strip_prefix('.') {
                    if next.is_empty() || next.starts_with(['.', '[']) {
                        return Err(format!("a key is missing behind the last \".\" of {text:?}"));
                    }
                    rest = next;
                } else if !rest.is_empty() && !rest.starts_with('[') {
                    return Err(format!("a \".\" is missing behind the \"]\" in path {text:?}"));
                }
                continue;
            }
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("a key is missing at {at} of path {text:?}"));
            }
            steps.push(match &rest[..end] {
                "*" => Step::Members,
                key => Step::Key(key.to_string()),
            });
            rest = &rest[end..];
            if let Some(next) = rest.strip_prefix('.') {
                if next.is_empty() || next.starts_with('[') {
                    return Err(format!("a key is missing behind the last \".\" of {text:?}"));
                }
                rest = next;
            }
        }
        Ok(Self(steps))
    }

    /// The first match as text, like [`as_text`].
    ///
    /// # Errors
    /// [`NotJson`]
    pub fn first<'a>(&self, json: &'a str) -> Result<Option<Cow<'a, str>>, NotJson> {
        let mut found = None;
        walk(json.trim(), &self.0, &mut |raw| {
            found = as_text(raw);
            found.is_some()
        })?;
        Ok(found)
    }

    /// Every match that is not null as text.
    ///
    /// # Errors
    /// [`NotJson`]; some matches may have been given before.
    pub fn each<'a>(&self, json: &'a str, found: &mut dyn FnMut(Cow<'a, str>)) -> Result<(), NotJson> {
        walk(json.trim(), &self.0, &mut |raw| {
            if let Some(text) = as_text(raw) {
                found(text);
            }
            false
        })
        .map(drop)
    }
}

/// A string without its quotes and escapes; anything else as it stands; `None` for null.
pub fn as_text(raw: &str) -> Option<Cow<'_, str>> {
    if raw == "null" {
        return None;
    }
    let Some(inside) = raw.strip_prefix('"').and_then(|r| r.strip_suffix('"')) else {
        return Some(Cow::Borrowed(raw));
    };
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    // A lone surrogate is legal JSON and no text: it stays as it is written.
    Some(serde_json::from_str(raw).map_or(Cow::Borrowed(inside), Cow::Owned))
}

/// A whole number: `12`, `"12"`, `12.0`; nothing for fractions and what is beyond 64 bits.
pub fn as_int(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let (whole, fraction) = text.split_once('.')?;
    if whole.is_empty() || whole.starts_with('+') || !fraction.bytes().all(|b| b == b'0') {
        return None;
    }
    whole.parse().ok()
}

fn bracket(inside: &str) -> Option<Step> {
    let inside = inside.trim();
    if inside == "*" {
        return Some(Step::All);
    }
    if let Some(key) = quoted(inside) {
        return Some(Step::Key(key.to_string()));
    }
    if let Some((keys, value)) = inside.split_once('=') {
        let keys: Vec<String> = keys.trim().split('.').map(|k| k.trim().to_string()).collect();
        if keys.iter().any(String::is_empty) {
            return None;
        }
        let value = value.trim();
        return Some(Step::Where { keys, equals: quoted(value).unwrap_or(value).to_string() });
    }
    inside.parse().ok().filter(|_| inside.bytes().all(|b| b.is_ascii_digit())).map(Step::Index)
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"'))
}

/// The `]` that is not inside quotes.
fn closing(inside: &str) -> Option<usize> {
    let mut quotes = false;
    inside.char_indices().find_map(|(i, c)| match c {
        '"' => {
            quotes = !quotes;
            None
        }
        ']' if !quotes => Some(i),
        _ => None,
    })
}

/// Gives matches to `found` until it returns true; says whether it did.
fn walk<'a>(raw: &'a str, steps: &[Step], found: &mut dyn FnMut(&'a str) -> bool) -> Result<bool, NotJson> {
    let Some((step, rest)) = steps.split_first() else {
        let value: &'a RawValue = serde_json::from_str(raw).map_err(|_| NotJson)?;
        return Ok(found(value.get()));
    };
    match (step, raw.as_bytes().first()) {
        (Step::Key(key), Some(b'{')) => match member(raw, key)? {
            Some(value) => walk(value, rest, found),
            None => Ok(false),
        },
        (Step::Members, Some(b'{')) => members(raw, &mut |value| walk(value, rest, found)),
        (Step::Index(_) | Step::All | Step::Where { .. }, Some(b'[')) => {
            let mut index = 0;
            elements(raw, &mut |element| {
                let wanted = match step {
                    Step::Index(i) => *i == index,
                    Step::Where { keys, equals } => field_is(element, keys, equals)?,
                    _ => true,
                };
                index += 1;
                if wanted { walk(element, rest, found) } else { Ok(false) }
            })
        }
        // Not of that shape: no match, if it is JSON at all.
        _ => serde_json::from_str::<&RawValue>(raw).map(|_| false).map_err(|_| NotJson),
    }
}

fn field_is(element: &str, keys: &[String], equals: &str) -> Result<bool, NotJson> {
    let mut value = element;
    for key in keys {
        if !value.starts_with('{') {
            return Ok(false);
        }
        match member(value, key)? {
            Some(inner) => value = inner,
            None => return Ok(false),
        }
    }
    Ok(as_text(value).is_some_and(|text| text == equals))
}

/// The value of a key, the last where a key is given twice, as other JSON readers take it.
fn member<'a>(object: &'a str, key: &str) -> Result<Option<&'a str>, NotJson> {
    struct Member<'k>(&'k str);
    impl<'de> Visitor<'de> for Member<'_> {
        type Value = Option<&'de str>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(wanted) = map.next_key_seed(KeyIs(self.0))? {
                if wanted {
                    found = Some(map.next_value::<&'de RawValue>()?.get());
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    let mut json = serde_json::Deserializer::from_str(object);
    let found = json.deserialize_map(Member(key)).map_err(|_| NotJson)?;
    json.end().map_err(|_| NotJson)?;
    Ok(found)
}

struct KeyIs<'k>(&'k str);

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a key")
    }
    fn visit_str<E>(self, key: &str) -> Result<bool, E> {
        Ok(key == self.0)
    }
}

type Each<'f, 'a> = dyn FnMut(&'a str) -> Result<bool, NotJson> + 'f;

/// Gives the elements of an array to `each` until it returns true.
fn elements<'a>(array: &'a str, each: &mut Each<'_, 'a>) -> Result<bool, NotJson> {
    struct Elements<'e, 'f, 'a>(&'e mut Each<'f, 'a>);
    impl<'de> Visitor<'de> for Elements<'_, '_, 'de> {
        type Value = Result<bool, NotJson>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut outcome = Ok(false);
            while let Some(element) = seq.next_element::<&'de RawValue>()? {
                // The rest is only read to know that it is JSON.
                if outcome == Ok(false) {
                    outcome = (self.0)(element.get());
                }
            }
            Ok(outcome)
        }
    }
    let mut json = serde_json::Deserializer::from_str(array);
    let outcome = json.deserialize_seq(Elements(each)).map_err(|_| NotJson)?;
    json.end().map_err(|_| NotJson)?;
    outcome
}

/// Gives the values of an object to `each` until it returns true.
fn members<'a>(object: &'a str, each: &mut Each<'_, 'a>) -> Result<bool, NotJson> {
    struct Members<'e, 'f, 'a>(&'e mut Each<'f, 'a>);
    impl<'de> Visitor<'de> for Members<'_, '_, 'de> {
        type Value = Result<bool, NotJson>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut outcome = Ok(false);
            while let Some((_, value)) = map.next_entry::<IgnoredAny, &'de RawValue>()? {
                if outcome == Ok(false) {
                    outcome = (self.0)(value.get());
                }
            }
            Ok(outcome)
        }
    }
    let mut json = serde_json::Deserializer::from_str(object);
    let outcome = json.deserialize_map(Members(each)).map_err(|_| NotJson)?;
    json.end().map_err(|_| NotJson)?;
    outcome
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FIELDS: &str = r#" [
        {"field_id": 11, "field_code": "PHONE", "values": [{"value": "+7 916", "enum": {"code":"WORK"}}, {"value": null}, {"value": 79161234567}]},
        {"field_id": 12, "field_code": null, "field_name": "Цвет, ] [", "values": [{"value": "сине\u0301-\"зелёный\""}]},
        {"field_id": 13, "values": []}
    ] "#;

    fn each(path: &str, json: &str) -> Option<Vec<String>> {
        let mut all = Vec::new();
        JsonPath::parse(path).unwrap().each(json, &mut |t| all.push(t.into_owned())).ok().map(|()| all)
    }
    fn first(path: &str, json: &str) -> Option<String> {
        JsonPath::parse(path).unwrap().first(json).ok().flatten().map(Cow::into_owned)
    }

    #[test]
    fn paths_find_what_mappings_need() {
        assert_eq!(each("[field_code=PHONE].values[*].value", FIELDS).unwrap(), ["+7 916", "79161234567"]);
        assert_eq!(each("[*].field_id", FIELDS).unwrap(), ["11", "12", "13"]);
        assert_eq!(each("[field_id=12].values[*].value", FIELDS).unwrap(), ["сине\u{301}-\"зелёный\""]);
        assert_eq!(each("[field_name=\"Цвет, ] [\"][\"field_id\"]", FIELDS).unwrap(), ["12"]);
        assert_eq!(each("[*].values[enum.code=WORK].value", FIELDS).unwrap(), ["+7 916"]);
        assert_eq!(first("[1].values[0].value", FIELDS).unwrap(), "сине\u{301}-\"зелёный\"");
        assert_eq!(first("[2].values", FIELDS).unwrap(), "[]");
        assert_eq!(first("a.b", r#"{"a":{"b":{"c":[1, 2]}}}"#).unwrap(), r#"{"c":[1, 2]}"#);
        assert_eq!(first("", " 12.50 ").unwrap(), "12.50");
        assert_eq!(first("", "\"x\"").unwrap(), "x");
        assert_eq!(first("a", r#"{"a":1,"a":2}"#).unwrap(), "2");
        assert_eq!(first("ключ", r#"{"\u043a\u043b\u044e\u0447":true}"#).unwrap(), "true");
        assert_eq!(first("a", r#"{"a":"\ud800"}"#).unwrap(), r"\ud800");
        let questions = r#"{"q":{"x":{"v":1},"y":{"v":"два"},"z":3,"*":{"v":4}}}"#;
        assert_eq!(each("q.*.v", questions).unwrap(), ["1", "два", "4"]);
        assert_eq!(first("q[\"*\"].v", questions).unwrap(), "4");
    }

    #[test]
    fn other_shapes_are_no_match_and_broken_text_is_not_json() {
        for (path, json) in [
            ("a.b", "[]"),
            ("a.b", r#"{"a":[]}"#),
            ("a.b", r#"{"a":"text"}"#),
            ("a", "null"),
            ("a", r#"{"a":null}"#),
            ("[0]", "{}"),
            ("*", "[1]"),
            ("a.*", r#"{"a":{}}"#),
            ("[5]", "[1]"),
            ("[x=1]", "[1,\"x\",null,[]]"),
            ("[x=null]", r#"[{"x":null}]"#),
            ("", "null"),
        ] {
            assert_eq!(JsonPath::parse(path).unwrap().first(json), Ok(None), "{path} {json}");
            assert_eq!(each(path, json).unwrap(), [""; 0], "{path} {json}");
        }
        for (path, json) in [
            ("", ""),
            ("a", ""),
            ("a", "{"),
            ("a", r#"{"a":1"#),
            ("a", r#"{"a":1}}"#),
            ("a", "nope"),
            ("[*]", "[1,]"),
            ("*", r#"{"a":1,}"#),
            ("*", r#"{"a":1}{"#),
            ("[0]", "[1] 2"),
            ("b", r#"{"a":tru}"#),
            ("", "01"),
            ("a", "{'a':1}"),
        ] {
            assert_eq!(JsonPath::parse(path).unwrap().first(json), Err(NotJson), "{path} {json}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(JsonPath::parse("[0][0].a").unwrap().first(&deep), Err(NotJson));
    }

    #[test]
    fn wrong_paths_say_so() {
        for wrong in
            [".a", "a.", "a..b", "[", "[]", "[x", "a[1", "[-1]", "[a=1", "[=1]", "[1]b", "a.[0]", "[a..b=1]"]
        {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(JsonPath::parse(" a . b"), JsonPath::parse("a . b"));
    }

    #[test]
    fn whole_numbers() {
        for (text, want) in [
            ("12", Some(12)),
            (" -7 ", Some(-7)),
            ("12.0", Some(12)),
            ("9223372036854775807", Some(i64::MAX)),
        ] {
            assert_eq!(as_int(text), want, "{text}");
        }
        for none in ["", "12.5", "9223372036854775808", "1e3", "true", "{}", ".0", "٣"] {
            assert_eq!(as_int(none), None, "{none}");
        }
    }
}
