//! Values that are never printed, and the net below them: text from outside passes through a
//! [`Redactor`] before anybody sees it.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use memchr::memmem::Finder;
use serde::de::{Deserialize, Deserializer, Error as _};

/// The key under which the engine hands a resolved secret to a connector's options. A user writes
/// `{ env = "NAME" }` or `{ file = "path" }`; the engine reads it, registers it for redaction, and
/// puts `{ "$secret": value }` in its place, so that an option that must be secret can refuse a
/// value written into the file in clear.
pub const SECRET_KEY: &str = "$secret";

/// A resolved secret. `Debug` and `Display` print `***`; [`Secret::expose`] is the only way out.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(value: impl Into<Arc<str>>) -> Self {
        Self(value.into())
    }
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Resolved {
            #[serde(rename = "$secret")]
            value: String,
        }
        Resolved::deserialize(deserializer).map(|r| Self::new(r.value)).map_err(|e| {
            // An option that is not there is missing, not in clear.
            let said = e.to_string();
            if said.starts_with("missing field `") && !said.contains(SECRET_KEY) {
                return e;
            }
            D::Error::custom(
                "a secret is written as { env = \"NAME\" } or { file = \"path\" }, never in clear",
            )
        })
    }
}

/// For `throughline schema`: what a user writes, not what the engine resolves it to.
impl schemars::JsonSchema for Secret {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A secret: { env = \"NAME\" } or { file = \"path\" }, never in clear.",
            "oneOf": [
                { "type": "object", "properties": { "env": { "type": "string" } }, "required": ["env"], "additionalProperties": false },
                { "type": "object", "properties": { "file": { "type": "string" } }, "required": ["file"], "additionalProperties": false }
            ]
        })
    }
}

/// What stands in place of a secret.
pub const REDACTED: &str = "***";

/// Shorter secrets are not searched for: three characters are found in every text, and replacing
/// them would ruin it without hiding anything.
const SHORTEST: usize = 4;

/// From this length on a secret is also searched for inside base64 of a longer text (`user:password`).
const SHORTEST_IN_BASE64: usize = 8;

/// Shorter parts of a secret address are words, not codes.
const SHORTEST_CODE: usize = 10;

/// Takes registered secrets out of text: as they are, percent-encoded, JSON-escaped or in base64.
///
/// Clones share one list, so that a token bought in the middle of a run is hidden everywhere from
/// then on. One redactor belongs to one run: nothing is ever taken off the list.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Patterns>>);

#[derive(Default)]
struct Patterns {
    registered: HashSet<Box<str>>,
    finders: Vec<Finder<'static>>,
}

impl Redactor {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn register(&self, secret: &Secret) {
        self.register_text(secret.expose());
    }

    /// Registers a secret and the forms it takes in URLs, JSON and headers. White space around it does
    /// not count; shorter than 4 characters is ignored.
    pub fn register_text(&self, secret: &str) {
        let secret = secret.trim();
        if secret.len() < SHORTEST {
            return;
        }
        let known = |patterns: &Patterns| patterns.registered.contains(secret);
        if known(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let forms = forms(secret);
        let mut patterns = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if patterns.registered.insert(secret.into()) {
            patterns.finders.extend(forms.iter().map(|form| Finder::new(form.as_bytes()).into_owned()));
        }
        drop(patterns);
        // An address that is a secret (a webhook's) is so by the codes in its path, whatever host stands before it.
        if let Some(url) = url::Url::parse(secret).ok().filter(|url| url.has_host()) {
            let codes = url.path_segments().into_iter().flatten().filter(|code| code.len() >= SHORTEST_CODE);
            codes.for_each(|code| self.register_text(code));
        }
    }

    /// The text with `***` for each secret.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.redact_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            // A UTF-8 pattern matches UTF-8 text only at character boundaries, so nothing is lost here.
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// The same for text in an unknown or broken encoding.
    pub fn redact_bytes<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let mut found: Vec<Range<usize>> = Vec::new();
        for finder in &self.0.read().unwrap_or_else(PoisonError::into_inner).finders {
            let mut from = 0;
            // One byte on, not one match on: `aa` is in `aaa` twice, and all three must go.
            while let Some(at) = finder.find(&text[from..]) {
                let start = from + at;
                found.push(start..start + finder.needle().len());
                from = start + 1;
            }
        }
        replace(text, found)
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let registered = self.0.read().unwrap_or_else(PoisonError::into_inner).registered.len();
        write!(f, "Redactor({registered} secrets)")
    }
}

/// Puts `***` in place of each range. Ranges that overlap become one: two secrets that share
/// characters leave no rest of either.
pub fn replace(text: &[u8], mut ranges: Vec<Range<usize>>) -> Cow<'_, [u8]> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    ranges.sort_by_key(|range| range.start);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let mut ranges = ranges.into_iter().peekable();
    while let Some(mut range) = ranges.next() {
        while let Some(next) = ranges.next_if(|next| next.start < range.end) {
            range.end = range.end.max(next.end);
        }
        out.extend_from_slice(&text[at..range.start]);
        out.extend_from_slice(REDACTED.as_bytes());
        at = range.end;
    }
    out.extend_from_slice(&text[at..]);
    Cow::Owned(out)
}

fn forms(secret: &str) -> HashSet<String> {
    let mut forms = HashSet::from([secret.to_owned()]);
    // Percent-encoding: as HTML forms, as RFC 3986 asks, and as little as a URL needs.
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let strict = form.replace('+', "%20").replace('*', "%2A").replace("%7E", "~");
    let mut encoded = vec![form, strict];
    if let Ok(mut url) = url::Url::parse("https://h/") {
        url.set_query(Some(secret));
        encoded.extend(url.query().map(str::to_owned));
        url.set_path(secret);
        encoded.push(url.path().trim_start_matches('/').to_owned());
    }
    forms.extend(encoded.iter().map(|text| lower_hex(text)));
    forms.extend(encoded);
    // JSON: as serde writes it, and as PHP does (`\/`, `\u0439`).
    let json = serde_json::Value::from(secret).to_string();
    let json = json.get(1..json.len() - 1).unwrap_or_default();
    let mut php = String::new();
    for c in json.replace('/', "\\/").chars() {
        if c.is_ascii() {
            php.push(c);
        } else {
            php.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    forms.extend([json.to_owned(), php]);
    for engine in [&base64::engine::general_purpose::STANDARD, &base64::engine::general_purpose::URL_SAFE] {
        forms.insert(engine.encode(secret));
        if secret.len() >= SHORTEST_IN_BASE64 {
            forms.extend((0..3).map(|offset| base64_core(engine, secret, offset)));
        }
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

/// The characters of base64 that depend on the secret alone when `offset` (mod 3) bytes come before it.
fn base64_core(engine: &base64::engine::GeneralPurpose, secret: &str, offset: usize) -> String {
    let mut padded = vec![0; offset];
    padded.extend_from_slice(secret.as_bytes());
    let whole = padded.len() / 3 * 4;
    let text = engine.encode(padded);
    text.get((offset * 8).div_ceil(6)..whole).unwrap_or_default().to_owned()
}

/// `%2F` as `%2f`: both are written.
fn lower_hex(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut hex = 0;
    for c in text.chars() {
        out.push(if hex > 0 { c.to_ascii_lowercase() } else { c });
        hex = if c == '%' { 2_u8 } else { hex.saturating_sub(1) };
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    fn hidden(secret: &str, text: &str) -> String {
        let redactor = Redactor::new();
        redactor.register(&Secret::new(secret));
        redactor.redact(text).into_owned()
    }

    #[test]
    fn an_address_is_hidden_by_its_codes() {
        let secret = "https://shop.bitrix24.ru/rest/1/k3y9portal7hook5a/";
        let shown = hidden(secret, "https://SHOP.bitrix24.ru/rest/1/k3y9portal7hook5a/crm.item.list");
        assert_eq!(shown, "https://SHOP.bitrix24.ru/rest/1/***/crm.item.list");
        assert!(!hidden(secret, "http://127.0.0.1/rest/1/k3y9portal7hook5a/batch").contains("k3y9"));
        assert_eq!(hidden(secret, "the rest of it"), "the rest of it");
        assert_eq!(hidden("no:address/longerthanten", "longerthanten"), "longerthanten");
    }

    #[test]
    fn every_form_of_a_secret_is_hidden() {
        let secret = "p+s/w=rd й~\"x*";
        let percent = "p%2Bs%2Fw%3Drd%20%D0%B9~%22x%2A";
        let cases = [
            secret.to_owned(),
            url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
            percent.to_owned(),
            "p%2bs%2fw%3drd%20%d0%b9~%22x%2a".to_owned(),
            url::Url::parse(&format!("https://h/?{secret}")).unwrap().query().unwrap().to_owned(),
            serde_json::to_string(secret).unwrap(),
            "p+s\\/w=rd \\u0439~\\\"x*".to_owned(),
        ];
        for case in cases {
            let shown = hidden(secret, &format!("a {case} z"));
            assert!(
                !shown.contains("rd") && shown.starts_with("a ") && shown.ends_with(" z"),
                "{case}: {shown}"
            );
        }
    }

    #[test]
    fn base64_of_a_longer_text_is_hidden() {
        for user in ["u", "us", "use", "user"] {
            let header = base64::engine::general_purpose::STANDARD.encode(format!("{user}:long-password:x"));
            let shown = hidden("long-password", &header);
            assert!(shown.contains(REDACTED), "{header} {shown}");
            let leaked =
                base64::engine::general_purpose::STANDARD_NO_PAD.decode(shown.split("***").next().unwrap());
            assert!(leaked.is_err() || !String::from_utf8_lossy(&leaked.unwrap()).contains("long"));
        }
    }

    #[test]
    fn overlaps_leave_nothing() {
        let redactor = Redactor::new();
        redactor.register_text("abcdef");
        redactor.register_text("defghi");
        redactor.register_text("zzzz");
        assert_eq!(redactor.redact("1abcdefghi2"), "1***2");
        assert_eq!(redactor.redact("zzzzz."), "***.");
        assert_eq!(redactor.redact("Привет abcdef مرحبا"), "Привет *** مرحبا");
        assert!(matches!(redactor.redact("nothing"), Cow::Borrowed(_)));
        assert_eq!(redactor.redact_bytes(b"\xff abcdef \xfe").as_ref(), b"\xff *** \xfe");
    }

    #[test]
    fn short_secrets_are_ignored_and_debug_shows_none() {
        let redactor = Redactor::new();
        redactor.register_text("abc");
        redactor.register_text("  \n");
        assert_eq!(redactor.redact("abc"), "abc");
        let clone = redactor.clone();
        clone.register_text("secret-value\n");
        assert_eq!(redactor.redact("secret-value"), "***");
        assert_eq!(format!("{redactor:?}"), "Redactor(1 secrets)");
    }
}
