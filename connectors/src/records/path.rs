//! Paths into a vendor's answer: where the records are, where the next link is.

use std::fmt;
use std::ops::Range;

use throughline_core::{Error, Result};

use super::scan::{Malformed, Scan, Shape, Span};
use super::text::unescape;

/// `_embedded.leads`, `items[*].rows`, `errors[0].code`, `"odata.value"`; the empty path is the
/// whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
    /// `[*]`: every element of an array, every value of an object.
    Each,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Path {
    /// # Errors
    /// A message without place when the text is no path.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let mut steps = Vec::new();
        let mut rest = text.trim();
        if rest == "." {
            rest = "";
        }
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix('[') {
                let Some((index, behind)) = inside.split_once(']') else {
                    return Err(format!("path {text:?}: '[' without ']'"));
                };
                steps.push(if index == "*" {
                    Step::Each
                } else {
                    Step::Index(
                        index
                            .parse()
                            .map_err(|_| format!("path {text:?}: [{index}] is neither a number nor [*]"))?,
                    )
                });
                rest = behind;
            } else {
                if !steps.is_empty() {
                    rest = rest
                        .strip_prefix('.')
                        .ok_or_else(|| format!("path {text:?}: a '.' was expected before {rest:?}"))?;
                }
                let (key, behind) = match rest.strip_prefix('"') {
                    Some(quoted) => quoted
                        .split_once('"')
                        .ok_or_else(|| format!("path {text:?}: a quote that does not end"))?,
                    None => rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len())),
                };
                if key.is_empty() {
                    return Err(format!("path {text:?} has an empty step"));
                }
                steps.push(Step::Key(key.to_owned()));
                rest = behind;
            }
        }
        Ok(Self { text: text.trim().to_owned(), steps })
    }

    pub fn is_root(&self) -> bool {
        self.steps.is_empty()
    }
    /// Whether it leads to many values: it holds a `[*]`.
    pub fn is_many(&self) -> bool {
        self.steps.contains(&Step::Each)
    }
    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The value at this path, as its JSON text; `None` when there is none. `[*]` takes the first.
    ///
    /// # Errors
    /// `Protocol` when the answer is no JSON up to there.
    pub fn find<'a>(&self, answer: &'a [u8]) -> Result<Option<&'a str>> {
        let mut scan = Scan::new(answer);
        let found = find(&mut scan, &self.steps).map_err(|m| malformed("the answer", answer, m))?;
        match found {
            None => Ok(None),
            Some(range) => std::str::from_utf8(&answer[range])
                .map(Some)
                .map_err(|_| Error::protocol(format!("{} in the answer is no UTF-8", self.text))),
        }
    }

    /// Like [`Path::find`], for a value to use: strings without quotes and escapes, numbers as they
    /// are written; `None` for null, objects and lists too.
    pub fn scalar(&self, answer: &[u8]) -> Result<Option<String>> {
        Ok(self.find(answer)?.and_then(scalar_text))
    }
}

impl Path {
    /// Every value at this path that is neither null, an object nor a list, as [`Path::scalar`] gives one:
    /// `[*]` takes each element.
    ///
    /// # Errors
    /// `Protocol` when the answer is no JSON.
    pub fn all(&self, answer: &[u8]) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut scan = Scan::new(answer);
        all(&mut scan, &self.steps, &mut found).map_err(|m| malformed("the answer", answer, m))?;
        Ok(found)
    }
}

impl Path {
    /// The members of the object at this path, in order: names and JSON texts. None where there is no object.
    ///
    /// # Errors
    /// `Protocol` when the answer is no JSON.
    pub fn members<'a>(&self, answer: &'a [u8]) -> Result<Vec<(String, &'a str)>> {
        let Some(object) = self.find(answer)? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let mut scan = Scan::new(object.as_bytes());
        if scan.peek() != b'{' {
            return Ok(found);
        }
        scan.each::<Malformed>(|scan, key| {
            let value = scan.value()?.range;
            if let Some(name) = key.and_then(|key| key_text(scan.bytes, &key)) {
                found.push((name, &object[value]));
            }
            Ok(())
        })
        .map_err(|m| malformed("the answer", answer, m))?;
        Ok(found)
    }

    /// False when one of its keys stands nowhere in the answer: much quicker than looking.
    pub fn may_lead_somewhere(&self, answer: &[u8]) -> bool {
        let stands = |what: &[u8]| memchr::memmem::find(answer, what).is_some();
        self.steps.iter().all(|step| match step {
            Step::Key(key) => stands(format!("\"{key}\"").as_bytes()),
            Step::Index(_) | Step::Each => true,
        }) || stands(br"\u00") // A key may be written with escapes.
    }

    /// How many elements the list at this path has; 0 where there is no list.
    ///
    /// # Errors
    /// `Protocol` when the answer is no JSON.
    pub fn count(&self, answer: &[u8]) -> Result<u64> {
        let Some(list) = self.find(answer)? else { return Ok(0) };
        let mut scan = Scan::new(list.as_bytes());
        let mut count = 0;
        if scan.peek() == b'[' {
            scan.each::<Malformed>(|scan, _| {
                count += 1;
                scan.value().map(|_| ())
            })
            .map_err(|m| malformed("the answer", answer, m))?;
        }
        Ok(count)
    }
}

fn all(scan: &mut Scan<'_>, steps: &[Step], to: &mut Vec<String>) -> std::result::Result<(), Malformed> {
    let first = scan.peek();
    let Some((step, rest)) = steps.split_first() else {
        let range = scan.value()?.range;
        to.extend(std::str::from_utf8(&scan.bytes[range]).ok().and_then(scalar_text));
        return Ok(());
    };
    if !matches!((step, first), (Step::Each, b'{' | b'[') | (Step::Index(_), b'[') | (Step::Key(_), b'{')) {
        return scan.value().map(|_| ());
    }
    let mut position = 0;
    scan.each::<Malformed>(|scan, key| {
        let here = match (step, &key) {
            (Step::Key(name), Some(key)) => key_is(scan.bytes, key, name),
            (Step::Index(index), _) => position == *index,
            (Step::Each, _) => true,
            _ => false,
        };
        position += 1;
        if here { all(scan, rest, to) } else { scan.value().map(|_| ()) }
    })
}

/// The text of a JSON scalar; `None` for null, objects and lists.
pub fn scalar_text(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => {
            let mut out = String::new();
            unescape(json.get(1..json.len() - 1)?, &mut out);
            Some(out)
        }
        b'{' | b'[' | b'n' => None,
        _ => Some(json.to_owned()),
    }
}

fn find(scan: &mut Scan<'_>, steps: &[Step]) -> std::result::Result<Option<Range<usize>>, Malformed> {
    let Some((step, rest)) = steps.split_first() else { return Ok(Some(scan.value()?.range)) };
    let first = scan.peek();
    let fits = match step {
        Step::Key(_) => first == b'{',
        Step::Index(_) => first == b'[',
        Step::Each => matches!(first, b'{' | b'['),
    };
    if !fits {
        scan.value()?;
        return Ok(None);
    }
    // The last of equal keys wins, as it does in records.
    let mut found = None;
    let mut position = 0;
    scan.each::<Malformed>(|scan, key| {
        let here = match (step, &key) {
            (Step::Key(name), Some(key)) => key_is(scan.bytes, key, name),
            (Step::Index(index), _) => position == *index,
            (Step::Each, _) => position == 0,
            _ => false,
        };
        position += 1;
        if here {
            found = find(scan, rest)?;
            Ok(())
        } else {
            scan.value().map(|_| ())
        }
    })?;
    Ok(found)
}

pub(crate) fn key_is(bytes: &[u8], key: &Span, name: &str) -> bool {
    match key.shape {
        Shape::Escaped => key_text(bytes, key).is_some_and(|text| text == name),
        _ => &bytes[key.inner()] == name.as_bytes(),
    }
}

/// The key as text; `None` when it is no UTF-8.
pub(crate) fn key_text(bytes: &[u8], key: &Span) -> Option<String> {
    let raw = std::str::from_utf8(&bytes[key.inner()]).ok()?;
    let mut out = String::with_capacity(raw.len());
    unescape(raw, &mut out);
    Some(out)
}

/// The error for an answer that stops being JSON.
pub(crate) fn malformed(what: &str, bytes: &[u8], at: Malformed) -> Error {
    let first = bytes.iter().find(|b| !b.is_ascii_whitespace());
    let error = Error::protocol(format!("{what} is no JSON: {} at byte {}", at.what, at.offset))
        .with("bytes", bytes.len());
    match first {
        None => Error::protocol(format!("{what} is empty where JSON was expected")).temporary(None),
        Some(b'<') => error.hint("it begins like a web page: does base_url point at the API?"),
        Some(_) if at.offset >= bytes.len() => {
            error.hint("it was cut off on its way; run again").temporary(None)
        }
        Some(_) => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn finds_scalars() {
        let answer = br#"{"a":{"b.c":[1,{"d":"x\u0416"}],"n":null},"t":1,"t":2,"\u006bey":true}"#;
        let at = |path: &str| Path::parse(path).unwrap().scalar(answer).unwrap();
        assert_eq!(at(r#"a."b.c"[1].d"#).as_deref(), Some("xЖ"));
        assert_eq!(at(r#"a."b.c"[0]"#).as_deref(), Some("1"));
        assert_eq!(at("a.n"), None);
        assert_eq!(at("a"), None);
        assert_eq!(at("a.x.y"), None);
        assert_eq!(at("t.x"), None);
        assert_eq!(at("t").as_deref(), Some("2"));
        assert_eq!(at("key").as_deref(), Some("true"));
        assert_eq!(Path::parse("").unwrap().find(b" [1] ").unwrap(), Some("[1]"));
        assert!(Path::parse("a").unwrap().find(b"{\"a\":").is_err());
    }

    #[test]
    fn finds_all() {
        let answer = br#"{"rows":[{"n":"a"},{"n":2},{"n":null},{"m":3},{"n":[4]},5],"one":"x"}"#;
        let at = |path: &str| Path::parse(path).unwrap().all(answer).unwrap();
        assert_eq!(at("rows[*].n"), ["a", "2"]);
        assert_eq!(at("rows[1].n"), ["2"]);
        assert_eq!(at("one"), ["x"]);
        assert_eq!(at("none[*]"), Vec::<String>::new());
        assert!(Path::parse("a[*]").unwrap().all(b"{\"a\":[1,").is_err());
    }

    #[test]
    fn wrong_paths_say_why() {
        for (path, part) in
            [("a..b", "empty step"), ("a[x]", "[x]"), ("a[0", "without"), ("a[0]b", "'.'"), ("\"a", "quote")]
        {
            let message = Path::parse(path).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
