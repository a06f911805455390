//! Cassettes: recorded HTTP exchanges that stand in for the network.
//!
//! A cassette is a file of JSON lines, perhaps compressed (`.gz`, `.zst`). The first line is a header:
//!
//! ```json
//! {"throughline_cassette":1,"recorded_at":"2026-03-01T09:00:00.000000Z"}
//! ```
//!
//! Each other line is one exchange:
//!
//! ```json
//! {"seq":1,"at_us":1772355600000000,"method":"GET","url":"https://a.example/x?page=1","status":200,"headers":{"content-type":"application/json"},"body":"{}"}
//! ```
//!
//! | field | meaning |
//! | --- | --- |
//! | `seq` | number of the exchange; rows read in a replay carry it. Without it: the line's place |
//! | `at_us` | when it was sent, microseconds since 1970 UTC; for people |
//! | `method`, `url` | what was asked. The order of differently named query parameters does not matter |
//! | `request_headers` | a few harmless ones, for people |
//! | `request_body`, `request_body_base64` | as text, or in base64 where it is no UTF-8 |
//! | `status`, `headers` | the answer; only headers that cannot hold a secret |
//! | `body`, `body_base64` | decompressed |
//! | `cut` | true: the body goes on, but was not read to its end |
//!
//! A request is answered when method, URL and body equal a recorded one's, both with secrets taken out
//! ([`Redactor`], and fields and parameters whose name says that they are secret). Equal requests get
//! their answers in the order of `seq`, each answer once.

mod record;
mod replay;

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use throughline_core::Redactor;
use throughline_core::secret::replace;
use throughline_core::time::InstantUs;

pub use record::Recorder;
pub use replay::Cassette;

use crate::names;

/// The format that this version writes and reads.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    throughline_cassette: u32,
    recorded_at: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
}

/// One line.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Line {
    seq: u64,
    at_us: InstantUs,
    method: String,
    url: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    request_headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_body_base64: Option<String>,
    status: u16,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

/// What an exchange leaves in the cassette besides the answer's body.
pub struct Draft {
    pub seq: u64,
    pub at_us: InstantUs,
    pub method: &'static str,
    /// [`crate::target::show`]n.
    pub url: String,
    pub request_headers: Vec<(String, String)>,
    /// Not redacted yet.
    pub request_body: bytes::Bytes,
    pub status: u16,
    pub headers: Vec<(String, String)>,
}

/// What makes two requests equal.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key([u8; 32]);

impl Key {
    /// `url` as shown, `body` redacted.
    fn new(method: &str, url: &str, body: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for part in [method.as_bytes(), url.as_bytes(), body] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// Headers of answers that connectors read and that hold no secret.
fn is_harmless(name: &str) -> bool {
    const WHOLE: &[&str] = &[
        "content-type",
        "content-disposition",
        "content-range",
        "date",
        "etag",
        "last-modified",
        "link",
        "location",
        "retry-after",
        "x-request-id",
    ];
    const BEGINNINGS: &[&str] = &[
        "x-ratelimit",
        "x-rate-limit",
        "ratelimit",
        "x-total",
        "x-page",
        "x-per-page",
        "x-next",
        "x-pagination",
        "x-wp-total",
    ];
    WHOLE.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

fn harmless(headers: &[(String, String)], redactor: &Redactor) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)) {
        if is_harmless(&name) && !names::is_secret_header(&name) {
            let value = redact_text(value, redactor);
            map.entry(name).and_modify(|all| *all = format!("{all}, {value}")).or_insert(value);
        }
    }
    map
}

fn redact_text(text: &str, redactor: &Redactor) -> String {
    String::from_utf8_lossy(&redact(text.as_bytes(), redactor)).into_owned()
}

/// A body without secrets: registered ones, and those known by their name.
pub fn redact<'b>(body: &'b [u8], redactor: &Redactor) -> std::borrow::Cow<'b, [u8]> {
    match replace(body, names::secret_values(body)) {
        std::borrow::Cow::Borrowed(body) => redactor.redact_bytes(body),
        std::borrow::Cow::Owned(body) => redactor.redact_bytes(&body).into_owned().into(),
    }
}

/// As text where it is text.
fn to_text(body: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(body) {
        _ if body.is_empty() => (None, None),
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(base64::engine::general_purpose::STANDARD.encode(body))),
    }
}

fn from_text(text: Option<String>, encoded: Option<&str>) -> Result<Vec<u8>, String> {
    match (text, encoded) {
        (Some(_), Some(_)) => Err("a body both as text and in base64".to_owned()),
        (Some(text), None) => Ok(text.into_bytes()),
        (None, Some(encoded)) => {
            base64::engine::general_purpose::STANDARD.decode(encoded).map_err(|e| format!("bad base64: {e}"))
        }
        (None, None) => Ok(Vec::new()),
    }
}
