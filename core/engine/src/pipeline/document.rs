//! The pipeline file as a tree in which every key and value knows its place.

use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::report::Report;
use crate::diagnostic::{Diagnostic, SourceText};

/// Pipeline files are written by hand; what is larger is something else.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

pub type Value<'d> = Spanned<DeValue<'d>>;

/// Parses the text; `None` when it is no TOML, which is reported.
pub fn parse<'d>(source: &'d Arc<SourceText>, report: &Report) -> Option<DeTable<'d>> {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    let twice = |e: &toml::de::Error| e.message() == "duplicate key";
    // Behind a slip of syntax the parser guesses, so that one looks like many: only the first is
    // told. A key written twice is no guess, and everything else can still be checked.
    let broken = errors.iter().find(|e| !twice(e));
    for error in errors.iter().filter(|e| twice(e)).chain(broken) {
        let span = error.span().unwrap_or(source.text.len()..source.text.len());
        report.push(if twice(error) {
            let key = source.text.get(span.clone()).unwrap_or_default();
            let hint =
                "keep one of them; a source, sink, transform or test of several is written [[source]], ...";
            Diagnostic::new(source, span, format!("key \"{key}\" is written twice")).hint(hint.to_owned())
        } else {
            Diagnostic::new(source, span, format!("not valid TOML: {}", error.message()))
        });
    }
    if broken.is_some() { None } else { Some(root.into_inner()) }
}

/// What a person calls the type of a value.
pub fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `{ env = ".." }` or `{ file = ".." }`: what a user writes where a secret is wanted.
pub fn is_secret_form(value: &DeValue<'_>) -> bool {
    value.as_table().is_some_and(|t| t.len() == 1 && (t.contains_key("env") || t.contains_key("file")))
}

/// What a JSON pointer names, or the nearest thing above it that exists, and its place: of the value,
/// or with `key` of the key it stands behind.
pub fn value_at<'v, 'd>(owner: &'v Value<'d>, pointer: &str, key: bool) -> (Range<usize>, &'v Value<'d>) {
    let mut value = owner;
    let mut span = owner.span();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let next = match value.get_ref() {
            DeValue::Table(table) => table.iter().find(|(k, _)| k.get_ref().as_ref() == part),
            DeValue::Array(list) => {
                let Some(item) = part.parse::<usize>().ok().and_then(|i| list.get(i)) else { break };
                value = item;
                span = item.span();
                continue;
            }
            _ => None,
        };
        let Some((name, inner)) = next else { break };
        value = inner;
        span = if key { name.span() } else { inner.span() };
    }
    (span, value)
}

/// The byte offset, in the file, of character `target` (from 0) of a string value: what an SQL error
/// needs to point into `sql = """ .. """`. `None` when the value is not the string that the text at
/// `span` writes.
pub fn offset_in_string(text: &str, span: Range<usize>, value: &str, target: usize) -> Option<usize> {
    let raw = text.get(span.clone())?;
    let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let long = raw.starts_with(&quote.to_string().repeat(3)) && raw.len() >= 6;
    let fence = if long { 3 } else { 1 };
    let body = raw.get(fence..raw.len().checked_sub(fence)?)?;
    let mut rest = body;
    if long {
        rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).unwrap_or(rest);
    }
    let mut expected = value.chars();
    let mut passed = 0;
    loop {
        // A backslash at the end of a line swallows the break and the indent behind it.
        if quote == '"'
            && let Some(after) = rest.strip_prefix('\\')
            && after.trim_start_matches([' ', '\t', '\r']).starts_with('\n')
        {
            rest = after.trim_start_matches([' ', '\t', '\r', '\n']);
            continue;
        }
        if passed == target {
            return Some(span.start + fence + (body.len() - rest.len()));
        }
        let (c, length) = if quote == '"' && rest.starts_with('\\') {
            escape(rest)?
        } else {
            // The parser hands on a line break as the file has it, or as a bare line feed.
            let c = rest.chars().next()?;
            if c == '\r' && expected.as_str().starts_with('\n') { ('\n', 2) } else { (c, c.len_utf8()) }
        };
        if expected.next()? != c {
            return None;
        }
        rest = rest.get(length..)?;
        passed += 1;
    }
}

/// One escape of a basic string: what it stands for, and how many bytes it takes.
fn escape(rest: &str) -> Option<(char, usize)> {
    let code = |digits: usize| -> Option<(char, usize)> {
        let hex = rest.get(2..2 + digits)?;
        Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, 2 + digits))
    };
    match rest[1..].chars().next()? {
        'b' => Some(('\u{8}', 2)),
        't' => Some(('\t', 2)),
        'n' => Some(('\n', 2)),
        'f' => Some(('\u{c}', 2)),
        'r' => Some(('\r', 2)),
        'e' => Some(('\u{1b}', 2)),
        c @ ('"' | '\\') => Some((c, 2)),
        'x' => code(2),
        'u' => code(4),
        'U' => code(8),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    /// Finds `needle` inside the decoded value and in the file; both must be the same place.
    fn check(text: &str, needle: &str) {
        let table = DeTable::parse(text).unwrap().into_inner();
        let value = table.get("sql").unwrap();
        let decoded = value.get_ref().as_str().unwrap();
        let target = decoded[..decoded.find(needle).unwrap()].chars().count();
        let offset = offset_in_string(text, value.span(), decoded, target).unwrap();
        assert!(text[offset..].starts_with(needle), "{text:?}: {:?}", &text[offset..]);
    }

    #[test]
    fn a_place_in_a_string_is_a_place_in_the_file() {
        for text in [
            "sql = 'select HERE'",
            "sql = \"select \\\"x\\\" HERE\"",
            "sql = \"\\u0416\\t\\x41 HERE\"",
            "sql = '''\nselect 'ж',\n  HERE'''",
            "sql = \"\"\"\r\nselect 1,\r\n  HERE\r\n\"\"\"",
            "sql = \"\"\"select \\\n     a, \\\n\n   HERE \"\" \"\"\"",
            "sql = \"\"\"\n\"q\" HERE\"\"\"\"",
            "sql = '''HERE'''",
        ] {
            check(text, "HERE");
        }
        let text = "sql = 'ab'";
        assert_eq!(offset_in_string(text, 6..10, "ab", 2), Some(9));
        assert_eq!(offset_in_string(text, 6..10, "other", 2), None);
    }

    #[test]
    fn pointers_find_keys_values_and_the_nearest_thing() {
        let text = "[[source]]\nname = \"x\"\nlist = [1, { a = 2 }]\n\"a/b\" = 1\n";
        let table = DeTable::parse(text).unwrap().into_inner();
        let source = &table.get("source").unwrap().get_ref().as_array().unwrap()[0];
        let at = |pointer: &str, key| &text[value_at(source, pointer, key).0];
        assert_eq!(at("", false), "[[source]]");
        assert_eq!(at("/name", true), "name");
        assert_eq!(at("/name", false), "\"x\"");
        assert_eq!(at("/list/1/a", false), "2");
        assert_eq!(at("/list/1/b", false), "{ a = 2 }");
        assert_eq!(at("/list/9", false), "[1, { a = 2 }]");
        assert_eq!(at("/a~1b", true), "\"a/b\"");
        assert_eq!(at("/nothing/here", false), "[[source]]");
    }
}
