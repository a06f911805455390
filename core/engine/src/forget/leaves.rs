//! The leaves of a JSON text, each with its path and its place in the text: so that one can be replaced and
//! every other byte stay as the vendor sent it.

use std::borrow::Cow;
use std::ops::Range;

/// Deeper texts are taken for no JSON.
const DEPTH: usize = 128;

pub struct Leaf<'a> {
    /// Names of the objects' members on the way, lists left out.
    pub path: &'a [String],
    /// Its value as text.
    pub text: Cow<'a, str>,
    pub is_string: bool,
    /// In the JSON text, quotes included.
    pub span: Range<usize>,
}

/// Whether a text could be a JSON object or list.
pub fn may_be_json(text: &str) -> bool {
    let text = text.trim_ascii();
    (text.starts_with('{') && text.ends_with('}')) || (text.starts_with('[') && text.ends_with(']'))
}

/// Calls `each` for every string and number; false when the text is no JSON object or list (then some leaves
/// may have been given).
pub fn leaves(text: &str, each: &mut dyn FnMut(&Leaf<'_>)) -> bool {
    let mut walk = Walk { text, at: 0, path: Vec::new(), each };
    walk.space();
    if !matches!(walk.peek(), Some(b'{' | b'[')) {
        return false;
    }
    let whole = walk.value(0).is_some();
    walk.space();
    whole && walk.at == text.len()
}

struct Walk<'a, 'f> {
    text: &'a str,
    at: usize,
    path: Vec<String>,
    each: &'f mut dyn FnMut(&Leaf<'_>),
}

impl Walk<'_, '_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<()> {
        self.space();
        match self.peek()? {
            _ if depth > DEPTH => None,
            b'{' => self.members(depth),
            b'[' => self.items(depth),
            b'"' => {
                let span = self.string()?;
                let text = unescaped(&self.text[span.clone()])?;
                let leaf = Leaf { path: &self.path, text, is_string: true, span };
                (self.each)(&leaf);
                Some(())
            }
            _ => {
                let start = self.at;
                let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
                while self.peek().is_some_and(bare) {
                    self.at += 1;
                }
                let text = &self.text[start..self.at];
                match text {
                    "" => None,
                    "true" | "false" | "null" => Some(()),
                    _ => {
                        let text = Cow::Borrowed(text);
                        let leaf = Leaf { path: &self.path, text, is_string: false, span: start..self.at };
                        (self.each)(&leaf);
                        Some(())
                    }
                }
            }
        }
    }

    fn members(&mut self, depth: usize) -> Option<()> {
        self.eat(b'{')?;
        self.space();
        if self.peek()? == b'}' {
            return self.eat(b'}');
        }
        loop {
            self.space();
            let name = self.string()?;
            let name = unescaped(&self.text[name])?.into_owned();
            self.eat(b':')?;
            self.path.push(name);
            let whole = self.value(depth + 1);
            self.path.pop();
            whole?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.eat(b'}'),
            }
        }
    }

    fn items(&mut self, depth: usize) -> Option<()> {
        self.eat(b'[')?;
        self.space();
        if self.peek()? == b']' {
            return self.eat(b']');
        }
        loop {
            self.value(depth + 1)?;
            self.space();
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.eat(b']'),
            }
        }
    }

    /// From quote to quote.
    fn string(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(start..self.at);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }
}

fn unescaped(quoted: &str) -> Option<Cow<'_, str>> {
    let inside = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if !inside.contains('\\') {
        return Some(Cow::Borrowed(inside));
    }
    serde_json::from_str::<String>(quoted).ok().map(Cow::Owned)
}

/// The text with these parts replaced; `edits` are in order and do not overlap.
pub fn replaced(text: &str, edits: &[(Range<usize>, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (range, with) in edits {
        out.push_str(&text[at..range.start]);
        out.push_str(with);
        at = range.end;
    }
    out.push_str(&text[at..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> (bool, Vec<String>) {
        let mut found = Vec::new();
        let whole = leaves(text, &mut |leaf| {
            found.push(format!("{}={} {}", leaf.path.join("."), leaf.text, &text[leaf.span.clone()]));
        });
        (whole, found)
    }

    #[test]
    fn every_leaf_with_its_path_and_place() {
        let text = r#"{"a": [1, {"b\n": "x\"y"}], "c":{}, "ж":"\u043f", "d":[true,null,-1.5e3]}"#;
        let (whole, found) = all(text);
        assert!(whole);
        assert_eq!(found, ["a=1 1", "a.b\n=x\"y \"x\\\"y\"", "ж=п \"\\u043f\"", "d=-1.5e3 -1.5e3"]);
    }

    #[test]
    fn what_is_no_json_is_said() {
        for text in [
            "",
            "1",
            "\"a\"",
            "{",
            "[1,",
            "{\"a\"}",
            "[1 2]",
            "{\"a\":1}x",
            "[\"",
            "[\"\\",
            "{\"a\":\"\\",
            "[\"\\ж",
        ] {
            assert!(!all(text).0, "{text}");
        }
        assert!(!all(&"[".repeat(100_000)).0);
    }
}
