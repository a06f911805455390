//! Whether a record belongs to somebody who is to be forgotten, by keyed hashes of identifiers alone.
//!
//! Every leaf of a record is asked: as a phone (in any writing), as an e-mail, as an id. What stands in free
//! text (a message's body, a note) makes the record nobody's: there the words are masked. Short vendor
//! numbers (`123`) count only in the source they come from and under a name that says whose they are
//! (`contact_id`, `from`): a deal may have the number of a contact.

use std::collections::HashSet;
use std::ops::Range;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use throughline_core::phone::{self, Region};
use throughline_core::{Error, Result};
use throughline_store::Mark;

use super::leaves::{Leaf, leaves, may_be_json, replaced};
use crate::personal::{self, Found};

/// In place of what was masked in free text.
pub const MASK: &str = "[forgotten]";

/// What a short number may be the number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Contact,
    User,
    Browser,
    Visit,
    Deal,
}

impl Class {
    pub const ALL: [Self; 5] = [Self::Contact, Self::User, Self::Browser, Self::Visit, Self::Deal];
    /// A deal is known by its number, but is not a person's record.
    pub const OF_PEOPLE: [Self; 4] = [Self::Contact, Self::User, Self::Browser, Self::Visit];

    pub fn word(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::User => "user",
            Self::Browser => "browser",
            Self::Visit => "visit",
            Self::Deal => "deal",
        }
    }

    /// Names in a path that say that a number is one of these.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Contact => &["contact", "contacts", "client", "customer", "buyer", "person"],
            Self::User => &[
                "from",
                "to",
                "user",
                "chat",
                "sender",
                "recipient",
                "peer",
                "wa",
                "contact",
                "contacts",
                "client",
                "customer",
                "subscriber",
                "visitor",
                "person",
            ],
            Self::Browser => &["client", "clientid", "cid", "browser", "ym", "ga"],
            Self::Visit => &["visit", "visitid", "session"],
            Self::Deal => &["deal", "deals", "lead", "leads"],
        }
    }
}

/// The hashes of one pipeline.
pub struct Marks {
    base: Hmac<Sha256>,
    known: HashSet<[u8; 16]>,
    regions: Vec<Region>,
    /// Marks of short numbers are there: only then are such leaves hashed.
    any: bool,
}

impl Marks {
    pub fn new(key: &[u8], marks: &[Mark]) -> Result<Self> {
        let base =
            Hmac::<Sha256>::new_from_slice(key).map_err(|e| Error::bug(format!("a forget key: {e}")))?;
        let mut regions: Vec<Region> =
            marks.iter().filter_map(|m| m.region.as_deref()).filter_map(phone::region).collect();
        regions.sort_by_key(ToString::to_string);
        regions.dedup();
        Ok(Self { base, known: marks.iter().map(|m| m.hash).collect(), regions, any: !marks.is_empty() })
    }

    pub fn is_empty(&self) -> bool {
        !self.any
    }

    /// The hash of one identifier.
    pub fn hash(&self, kind: &str, value: &str) -> [u8; 16] {
        let mut mac = self.base.clone();
        mac.update(kind.as_bytes());
        mac.update(b"\0");
        mac.update(value.as_bytes());
        let whole = mac.finalize().into_bytes();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        half
    }

    pub fn has(&self, kind: &str, value: &str) -> bool {
        self.known.contains(&self.hash(kind, value))
    }

    fn is_phone(&self, text: &str, named: bool) -> bool {
        if !(7..=15).contains(&digits_of(text)) {
            return false;
        }
        let folded = personal::folded(text);
        let digits = folded.bytes().filter(u8::is_ascii_digit).count();
        let written = |c: char| {
            c.is_ascii_digit()
                || " +()-./\u{a0}\u{202f}".contains(c)
                || ('\u{2010}'..='\u{2015}').contains(&c)
        };
        if !(7..=15).contains(&digits) || !folded.chars().all(written) {
            return false;
        }
        let bare = digits == folded.len();
        if bare && digits < 11 && !named {
            return false;
        }
        let known = |text: &str, home: Option<Region>| {
            phone::parse(text, home).is_some_and(|p| self.has("phone", &p.e164))
        };
        let full = if folded.trim_start().starts_with('+') { folded.clone() } else { format!("+{folded}") };
        known(&full, None) || self.regions.iter().any(|r| known(&folded, Some(*r)))
    }
}

/// Where a record stands.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Of the pipeline file; empty where a record has no source.
    pub source: String,
    /// The stream's only key column and what it numbers.
    pub key: Option<(String, Class)>,
}

/// What the name of a value says of it.
pub struct Place {
    /// People write here: what stands in it is spoken of.
    free: bool,
    phone: bool,
    /// What a short number here is the number of.
    classes: Vec<Class>,
}

impl Place {
    pub fn of(scope: &Scope, path: &[String]) -> Self {
        let last: Vec<String> = path.last().map(|name| words(name)).unwrap_or_default();
        let says = |names: &[&str]| last.iter().any(|w| names.contains(&w.as_str()));
        let by_key = match &scope.key {
            Some((column, class)) if path.len() == 1 && &path[0] == column => Some(*class),
            _ => None,
        };
        let classes = match by_key {
            _ if scope.source.is_empty() => Vec::new(),
            Some(class) => vec![class],
            None => {
                let all: Vec<String> = path.iter().flat_map(|name| words(name)).collect();
                let named = |class: &Class| all.iter().any(|w| class.words().contains(&w.as_str()));
                Class::ALL.into_iter().filter(named).collect()
            }
        };
        Self { free: says(FREE), phone: says(PHONE), classes }
    }
}

/// Text that people write.
const FREE: &[&str] = &[
    "text",
    "body",
    "caption",
    "comment",
    "note",
    "notes",
    "description",
    "title",
    "name",
    "message",
    "subject",
];

const PHONE: &[&str] =
    &["phone", "phones", "tel", "mobile", "msisdn", "whatsapp", "wa", "viber", "value", "number", "contact"];

/// Digits of any script.
fn digits_of(text: &str) -> usize {
    match text.is_ascii() {
        true => text.bytes().filter(u8::is_ascii_digit).count(),
        false => text.chars().filter(|c| personal::digit(*c).is_some()).count(),
    }
}

/// What became of one value.
#[derive(Debug, Default)]
pub struct Judged {
    /// It holds an identifier that the record goes by.
    pub owner: bool,
    /// It holds the number of a deal of the person.
    pub deal: bool,
    /// The value without what names the person; `Some(None)` is null, `None` leaves it.
    pub masked: Option<Option<String>>,
}

impl Marks {
    /// Judges one value of a record by the name it stands under.
    pub fn judge(&self, scope: &Scope, path: &[String], text: &str) -> Judged {
        self.judge_at(scope, path, &Place::of(scope, path), text)
    }

    /// The same where many values stand under one name.
    pub fn judge_at(&self, scope: &Scope, path: &[String], place: &Place, text: &str) -> Judged {
        if text.is_empty() {
            return Judged::default();
        }
        if may_be_json(text)
            && let Some(judged) = self.judge_json(scope, path, text)
        {
            return judged;
        }
        if !place.free {
            if self.owns(scope, place, text.trim()) {
                return Judged { owner: true, masked: Some(None), ..Judged::default() };
            }
            if self.owns_number(scope, place, text.trim(), true) {
                return Judged { deal: true, ..Judged::default() };
            }
        }
        // Most values are neither: a look at the bytes is enough.
        let spans = match text.contains('@') || digits_of(text) >= 9 {
            true => self.mentions(text),
            false => Vec::new(),
        };
        if spans.is_empty() {
            return Judged::default();
        }
        let edits: Vec<_> = spans.into_iter().map(|span| (span, MASK.to_owned())).collect();
        Judged { masked: Some(Some(replaced(text, &edits))), ..Judged::default() }
    }

    /// `None` when it is no JSON after all.
    fn judge_json(&self, scope: &Scope, above: &[String], text: &str) -> Option<Judged> {
        let (mut owner, mut deal) = (false, false);
        let mut edits: Vec<(Range<usize>, String)> = Vec::new();
        let whole = leaves(text, &mut |leaf: &Leaf<'_>| {
            let mut path = above.to_vec();
            path.extend_from_slice(leaf.path);
            let judged = self.judge(scope, &path, &leaf.text);
            owner |= judged.owner;
            deal |= judged.deal;
            if let Some(masked) = judged.masked {
                let with = match masked {
                    Some(text) if leaf.is_string => serde_json::Value::String(text).to_string(),
                    _ => "null".to_owned(),
                };
                edits.push((leaf.span.clone(), with));
            }
        });
        if !whole {
            return None;
        }
        let masked = (!edits.is_empty()).then(|| Some(replaced(text, &edits)));
        Some(Judged { owner, deal, masked })
    }

    fn owns(&self, scope: &Scope, place: &Place, text: &str) -> bool {
        if text.is_empty() || text.len() > 400 {
            return false;
        }
        if text.contains('@') && self.has("email", &text.to_lowercase()) {
            return true;
        }
        if self.is_phone(text, place.phone) {
            return true;
        }
        if text.chars().any(char::is_whitespace) {
            return false;
        }
        if is_strong(text) && self.has("id", text) {
            return true;
        }
        self.owns_number(scope, place, text, false)
    }

    /// A vendor's own number, in a place that says whose it is.
    fn owns_number(&self, scope: &Scope, place: &Place, text: &str, deals: bool) -> bool {
        text.len() <= 64
            && place
                .classes
                .iter()
                .filter(|class| (**class == Class::Deal) == deals)
                .any(|class| self.has(&number_kind(&scope.source, *class), text))
    }

    /// Phones and addresses of forgotten people in free text.
    fn mentions(&self, text: &str) -> Vec<Range<usize>> {
        personal::find(text, true)
            .into_iter()
            .filter_map(|found| match found {
                Found::Phone(range) => self.is_phone(&text[range.clone()], true).then_some(range),
                Found::Email(range) => {
                    self.has("email", &text[range.clone()].to_lowercase()).then_some(range)
                }
            })
            .collect()
    }
}

/// The kind under which a short number of a source is hashed.
pub fn number_kind(source: &str, class: Class) -> String {
    format!("number:{source}:{}", class.word())
}

/// Long enough to be nobody else's in any source: words of 8 characters with a letter, numbers of 12 digits.
pub fn is_strong(text: &str) -> bool {
    let count = text.chars().count();
    if text.chars().any(char::is_whitespace) {
        return false;
    }
    if text.chars().any(char::is_alphabetic) {
        return (8..=200).contains(&count);
    }
    text.bytes().filter(u8::is_ascii_digit).count() >= 12 && count <= 64
}

/// `recipientUser_id` -> recipient, user, id.
pub fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in name.chars() {
        if c.is_alphanumeric() {
            let begins = !last.is_alphanumeric() || (last.is_lowercase() && c.is_uppercase());
            match words.last_mut() {
                Some(word) if !begins => word.extend(c.to_lowercase()),
                _ => words.push(c.to_lowercase().collect()),
            }
        }
        last = c;
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn marks(kinds: &[(&str, &str)]) -> Marks {
        let key = [7; 32];
        let empty = Marks::new(&key, &[]).unwrap();
        let marks: Vec<Mark> = kinds
            .iter()
            .map(|(kind, value)| Mark {
                hash: empty.hash(kind, value),
                region: phone::parse(value, None).and_then(|p| p.region),
            })
            .collect();
        Marks::new(&key, &marks).unwrap()
    }

    fn judge(marks: &Marks, source: &str, name: &str, text: &str) -> (bool, Option<Option<String>>) {
        let scope = Scope { source: source.into(), key: Some(("id".into(), Class::Contact)) };
        let Judged { owner, masked, .. } = marks.judge(&scope, &[name.to_owned()], text);
        (owner, masked)
    }

    #[test]
    fn phones_are_found_in_any_writing_and_only_whole() {
        let m = marks(&[("phone", "+79161234567")]);
        for text in ["+79161234567", "79161234567", "8 (916) 123-45-67", "٧٩١٦١٢٣٤٥٦٧", " +7 916 123 45 67 "]
        {
            assert!(judge(&m, "crm", "phone", text).0, "{text}");
        }
        for text in ["+79161234568", "9161234567890", "+79161234567,5", "1790726400", "2026-03-01"] {
            assert!(!judge(&m, "crm", "phone", text).0, "{text}");
        }
        assert!(!judge(&m, "crm", "created", "9161234567").0, "ten bare digits may be an instant");
        assert!(judge(&m, "crm", "mobile", "9161234567").0);
    }

    #[test]
    fn what_is_spoken_of_is_masked_and_the_record_stays() {
        let m = marks(&[("phone", "+79161234567"), ("email", "anna@example.org")]);
        let (owner, masked) =
            judge(&m, "wa", "text", r#"{"body":"звоните Анне 8 916 123-45-67, Anna@Example.org"}"#);
        assert!(!owner);
        assert_eq!(masked.unwrap().unwrap(), r#"{"body":"звоните Анне [forgotten], [forgotten]"}"#);
        assert_eq!(judge(&m, "wa", "text", "звоните 8 916 123-45-68"), (false, None));
    }

    #[test]
    fn in_json_all_but_the_leaf_stays_as_it_was() {
        let m = marks(&[("email", "anna@example.org"), ("phone", "+79161234567")]);
        let text =
            r#"{ "n" : 1.50, "contact" : {"wa_id":"79161234567", "x":[ "anna@example.org" ]},"s":"\u043f" }"#;
        let (owner, masked) = judge(&m, "wa", "value", text);
        assert!(owner);
        assert_eq!(
            masked.unwrap().unwrap(),
            r#"{ "n" : 1.50, "contact" : {"wa_id":null, "x":[ null ]},"s":"\u043f" }"#
        );
        // JSON in a string in JSON, as an inbox keeps it.
        let outer = serde_json::json!({ "body": text }).to_string();
        let (owner, masked) = judge(&m, "wa", "record", &outer);
        assert!(owner && masked.unwrap().unwrap().contains(r#"\"wa_id\":null"#));
    }

    #[test]
    fn a_short_number_counts_where_its_name_says_whose_it_is() {
        let m = marks(&[("number:crm:contact", "123"), ("id", "amocrm:studio:123")]);
        assert!(judge(&m, "crm", "id", "123").0, "the key of its stream");
        assert!(judge(&m, "crm", "contact_id", "123").0);
        assert!(judge(&m, "crm", "_embedded", r#"{"contacts":[{"id":123,"is_main":true}]}"#).0);
        assert!(judge(&m, "any", "owner", "amocrm:studio:123").0, "its whole name is its own anywhere");
        for (source, name, text) in [
            ("other", "contact_id", "123"),
            ("crm", "pipeline_id", "123"),
            ("crm", "price", "123"),
            ("crm", "_embedded", r#"{"tags":[{"id":123}]}"#),
            ("crm", "contact_id", "1234"),
        ] {
            assert!(!judge(&m, source, name, text).0, "{source} {name} {text}");
        }
    }

    #[test]
    fn names_fall_into_words() {
        assert_eq!(words("ym:s:clientID"), ["ym", "s", "client", "id"]);
        assert_eq!(words("recipientUser_id"), ["recipient", "user", "id"]);
        assert_eq!(words("_embedded"), ["embedded"]);
        assert_eq!(words(""), [""; 0]);
    }
}
