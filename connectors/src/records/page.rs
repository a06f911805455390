//! Finds the records in a vendor's answer.

use throughline_core::{Error, Result};

use super::builder::RecordsBuilder;
use super::path::{Path, Step, key_is, key_text, malformed};
use super::scan::{Malformed, Scan};

/// Where the records are in an answer.
#[derive(Clone, Debug)]
pub struct Selector {
    pub path: Path,
    /// The path leads to one object that is the only record, not to a list of them.
    pub single: bool,
    /// An answer without the path has no records (vendors that leave an empty list out); else it
    /// is an error.
    pub may_be_missing: bool,
    /// For paths with `[*]`: members of the enclosing element that every record of it gets.
    pub carry: Vec<String>,
    /// Columns taken from inside of each record: name and path. What is not there is null.
    pub lift: Vec<(String, Path)>,
}

impl Selector {
    /// A list of records at a path.
    ///
    /// # Errors
    /// `Config` when it is no path.
    pub fn list(path: &str) -> Result<Self> {
        let path = Path::parse(path).map_err(Error::config)?;
        Ok(Self { path, single: false, may_be_missing: false, carry: Vec::new(), lift: Vec::new() })
    }
}

/// What was in a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// All records, rejected ones included.
    pub records: u64,
    pub rejected: u64,
}

struct Walk<'a, 'e> {
    page: &'a [u8],
    /// The whole page, when all of it is UTF-8.
    text: Option<&'a str>,
    selector: &'e Selector,
    extra: &'e [(&'e str, &'e str)],
    carried: Vec<(&'e str, &'a str)>,
    found: Found,
}

enum Stop {
    Malformed(Malformed),
    Selector(Error),
}

impl From<Malformed> for Stop {
    fn from(m: Malformed) -> Self {
        Self::Malformed(m)
    }
}

impl RecordsBuilder {
    /// Takes the records of a vendor's answer. A record that cannot be used is rejected alone.
    ///
    /// # Errors
    /// `Protocol` when the answer is not whole JSON, or the selector finds nothing or something that
    /// is no list. What came before the error must not be used.
    pub fn push_page(&mut self, answer: &[u8], selector: &Selector) -> Result<Found> {
        self.push_page_with(answer, selector, &[])
    }

    /// Like [`RecordsBuilder::push_page`], with further columns for every record.
    pub fn push_page_with(
        &mut self,
        answer: &[u8],
        selector: &Selector,
        extra: &[(&str, &str)],
    ) -> Result<Found> {
        let mut walk = Walk {
            page: answer,
            text: std::str::from_utf8(answer).ok(),
            selector,
            extra,
            carried: Vec::new(),
            found: Found::default(),
        };
        let mut scan = Scan::new(answer);
        let walked = walk.go(self, &mut scan, selector.path.steps()).and_then(|()| Ok(scan.end()?));
        match walked {
            Ok(()) => Ok(walk.found),
            Err(Stop::Malformed(at)) => Err(malformed(self.page(), answer, at)),
            Err(Stop::Selector(error)) => Err(error),
        }
    }
}

impl<'a> Walk<'a, '_> {
    fn go(&mut self, to: &mut RecordsBuilder, scan: &mut Scan<'a>, steps: &[Step]) -> Result<(), Stop> {
        let first = scan.peek();
        let Some((step, rest)) = steps.split_first() else { return self.records(to, scan, first) };
        if matches!((step, first), (Step::Each, b'{' | b'[') | (Step::Index(_), b'[') | (Step::Key(_), b'{'))
        {
            return self.inside(to, scan, step, rest);
        }
        let start = scan.at;
        scan.value()?;
        // Null, or an empty list where an object would be: PHP's way to say "nothing in here".
        let nothing = matches!(scan.bytes[start..scan.at].trim_ascii(), b"null" | b"[]")
            || is_empty(&scan.bytes[start..scan.at]);
        if nothing || self.selector.may_be_missing {
            return Ok(());
        }
        let wanted = match step {
            Step::Key(key) => format!("an object with the key {key:?}"),
            Step::Index(_) => "a list".into(),
            Step::Each => "a list or an object".into(),
        };
        Err(Stop::Selector(self.error(to, format!("{wanted} was expected, {} was found", word(first)))))
    }

    fn inside(
        &mut self,
        to: &mut RecordsBuilder,
        scan: &mut Scan<'a>,
        step: &Step,
        rest: &[Step],
    ) -> Result<(), Stop> {
        let mut matched = false;
        let mut position = 0;
        let mut keys: Vec<String> = Vec::new();
        let mut more_keys = 0_usize;
        scan.each::<Stop>(|scan, key| {
            let here = match (step, &key) {
                (Step::Key(name), Some(key)) => key_is(scan.bytes, key, name),
                (Step::Index(index), _) => position == *index,
                (Step::Each, _) => true,
                _ => false,
            };
            position += 1;
            if !here {
                if let (Some(key), true) = (&key, keys.len() < 20) {
                    keys.extend(key_text(scan.bytes, key));
                } else {
                    more_keys += 1;
                }
                return Ok(scan.value().map(|_| ())?);
            }
            matched = true;
            if step != &Step::Each {
                return self.go(to, scan, rest);
            }
            if rest.is_empty() {
                return self.record(to, scan);
            }
            self.carry(scan)?;
            self.go(to, scan, rest)
        })?;
        if matched || step == &Step::Each || self.selector.may_be_missing {
            return Ok(());
        }
        let Step::Key(wanted) = step else {
            return Err(Stop::Selector(self.error(to, format!("the list there has {position} elements"))));
        };
        let there = if keys.is_empty() { "none".into() } else { keys.join(", ") };
        let and_more = if more_keys > 0 { format!(" and {more_keys} more") } else { String::new() };
        let error = self.error(to, format!("there is no {wanted:?}; the keys there are {there}{and_more}"));
        Err(Stop::Selector(match nearest(wanted, &keys) {
            Some(near) => error.hint(format!("did you mean {near:?}?")),
            None => error,
        }))
    }

    /// At the end of the path.
    fn records(&mut self, to: &mut RecordsBuilder, scan: &mut Scan<'a>, first: u8) -> Result<(), Stop> {
        if self.selector.single && first == b'{' {
            return self.record(to, scan);
        }
        if first == b'[' && !self.selector.single {
            return scan.each::<Stop>(|scan, _| self.record(to, scan));
        }
        let start = scan.at;
        let span = scan.value()?;
        let value = &scan.bytes[start..scan.at];
        if is_empty(value) || value == b"null" {
            return Ok(());
        }
        let mut lists = Vec::new();
        if first == b'{' {
            let mut again = Scan::new(scan.bytes);
            again.at = span.range.start;
            again.each::<Malformed>(|scan, key| {
                let list = scan.peek() == b'[';
                scan.value()?;
                if let (true, Some(key), true) = (list, &key, lists.len() < 20) {
                    lists.extend(key_text(scan.bytes, key));
                }
                Ok(())
            })?;
        }
        let error = if self.selector.single {
            self.error(to, format!("one object was expected, {} was found", word(first)))
        } else if first == b'{' {
            self.error(to, "it leads to one object, which would take the whole page for one record".into())
        } else {
            self.error(to, format!("a list of records was expected, {} was found", word(first)))
        };
        Err(Stop::Selector(match lists.as_slice() {
            [] => error,
            lists => {
                let dot = if self.selector.path.is_root() { "" } else { "." };
                let paths: Vec<String> =
                    lists.iter().map(|l| format!("\"{}{dot}{l}\"", self.selector.path)).collect();
                error.hint(format!("lists are at {}", paths.join(", ")))
            }
        }))
    }

    fn record(&mut self, to: &mut RecordsBuilder, scan: &mut Scan<'a>) -> Result<(), Stop> {
        self.found.records += 1;
        scan.peek();
        let start = scan.at;
        let object = to.scan_object(scan)?;
        let raw = &self.page[start..scan.at];
        let reason = if object.is_none() {
            "is no JSON object".to_owned()
        } else if raw.len() > to.limits().record_bytes {
            to.too_long(raw.len())
        } else {
            let text = match self.text {
                Some(page) => Ok(page.get(start..scan.at).unwrap_or_default()),
                None => std::str::from_utf8(raw),
            };
            match text {
                Ok(text) if self.carried.is_empty() && self.selector.lift.is_empty() => {
                    to.add(text, start, self.extra);
                    return Ok(());
                }
                Ok(text) => {
                    let mut extra: Vec<(&str, &str)> =
                        self.carried.iter().chain(self.extra.iter()).copied().collect();
                    for (name, path) in &self.selector.lift {
                        if let Ok(Some(value)) = path.find(text.as_bytes()) {
                            extra.push((name, value));
                        }
                    }
                    to.add(text, start, &extra);
                    return Ok(());
                }
                Err(e) => format!("is no UTF-8 at its byte {}", e.valid_up_to()),
            }
        };
        self.found.rejected += 1;
        let place = format!("{}, record {}", to.page(), self.found.records);
        to.reject(reason, place, raw);
        Ok(())
    }

    /// Looks ahead for the members that go into every record below the element that begins here.
    fn carry(&mut self, scan: &Scan<'a>) -> Result<(), Stop> {
        self.carried.clear();
        let mut ahead = Scan::new(scan.bytes);
        ahead.at = scan.at;
        if self.selector.carry.is_empty() || ahead.peek() != b'{' {
            return Ok(());
        }
        ahead.each::<Malformed>(|ahead, key| {
            let value = ahead.value()?;
            let Some(key) = key else { return Ok(()) };
            for name in &self.selector.carry {
                if key_is(ahead.bytes, &key, name)
                    && let Ok(json) = std::str::from_utf8(&self.page[value.range.clone()])
                {
                    self.carried.push((name, json));
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    fn error(&self, to: &RecordsBuilder, found: String) -> Error {
        let path = if self.selector.path.is_root() { ".".to_owned() } else { self.selector.path.to_string() };
        Error::protocol(format!("{}: no records at {path:?}: {found}", to.page()))
    }
}

fn is_empty(value: &[u8]) -> bool {
    match value {
        [b'[', inner @ .., b']'] | [b'{', inner @ .., b'}'] => inner.trim_ascii().is_empty(),
        _ => false,
    }
}

fn word(first: u8) -> &'static str {
    match first {
        b'{' => "an object",
        b'[' => "a list",
        b'"' => "a text",
        b'n' => "null",
        b't' | b'f' => "true or false",
        0 => "nothing",
        _ => "a number",
    }
}

/// The nearest of some names, when it is near enough to be meant.
pub(crate) fn nearest<'a, S: AsRef<str>>(wanted: &str, names: &'a [S]) -> Option<&'a str> {
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(wanted, name.as_ref()), name.as_ref()))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count().min(wanted.chars().count()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
