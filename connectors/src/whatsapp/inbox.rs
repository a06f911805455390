//! Where received webhooks come from: something that gives them in order and can be resumed.
//!
//! Today these are files ([`super::file_inbox`]); an HTTP receiver with a durable inbox will give the
//! same records.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use throughline_core::{Checkpoint, Notice, Result};

/// Deliveries behind a checkpoint.
pub(crate) trait Inbox: Send {
    /// The next one; `None` when there is no more for now.
    fn next(&mut self) -> Result<Option<Item<'_>>>;
    /// Resumes behind the last item given.
    fn position(&self) -> Checkpoint;
    /// What a person should know of the inbox itself.
    fn take_notices(&mut self) -> Vec<Notice>;
}

pub(crate) struct Item<'a> {
    /// The record as it is kept.
    pub record: &'a [u8],
    /// For messages: `inbox.jsonl:17`.
    pub place: String,
    /// Why it cannot be used at all.
    pub broken: Option<String>,
}

/// A webhook as it was received.
pub(crate) struct Delivery<'a> {
    /// JSON text of when it was received.
    pub received_at: Option<&'a RawValue>,
    /// `X-Hub-Signature-256`.
    pub signature: Option<Cow<'a, str>>,
    /// `X-Viber-Content-Signature`.
    pub viber_signature: Option<Cow<'a, str>>,
    /// Where it was sent to, behind its hook, of vendors that say there what it is: `/message`.
    pub path: Option<Cow<'a, str>>,
    /// How it was sent, of the same vendors.
    pub method: Option<Cow<'a, str>>,
    /// The raw bytes that the signature covers.
    pub body: Cow<'a, [u8]>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    received_at: Option<&'a RawValue>,
    #[serde(borrow, default)]
    headers: Option<Headers<'a>>,
    #[serde(borrow, default)]
    body: Option<Text<'a>>,
    #[serde(borrow, default)]
    body_base64: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Of all headers only the signatures, and path and method, which the receiver puts among them.
#[derive(Default)]
struct Headers<'a> {
    meta: Option<Cow<'a, str>>,
    viber: Option<Cow<'a, str>>,
    path: Option<Cow<'a, str>>,
    method: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum HeaderValue<'a> {
    #[serde(borrow)]
    One(Cow<'a, str>),
    #[serde(borrow)]
    Many(Vec<Cow<'a, str>>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Headers_;
        impl<'de> Visitor<'de> for Headers_ {
            type Value = Headers<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of headers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers<'de>, A::Error> {
                let mut found = Headers::default();
                while let Some(Text(name)) = map.next_key::<Text<'de>>()? {
                    let place = if name.eq_ignore_ascii_case("x-hub-signature-256") {
                        &mut found.meta
                    } else if name.eq_ignore_ascii_case("x-viber-content-signature") {
                        &mut found.viber
                    } else if name == ":path" {
                        &mut found.path
                    } else if name == ":method" {
                        &mut found.method
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    *place = match map.next_value::<HeaderValue<'de>>()? {
                        HeaderValue::One(value) => Some(value),
                        HeaderValue::Many(values) => values.into_iter().next(),
                    };
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(Headers_)
    }
}

impl<'a> Delivery<'a> {
    /// Reads a record of the inbox, or says why it is none.
    pub fn read(record: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(record)
            .map_err(|e| format!("the record is no UTF-8 at byte {}", e.valid_up_to()))?;
        let envelope: Envelope<'a> =
            serde_json::from_str(text).map_err(|e| format!("the record is no webhook delivery: {e}"))?;
        let body = match (envelope.body, envelope.body_base64) {
            (Some(Text(Cow::Borrowed(body))), None) => Cow::Borrowed(body.as_bytes()),
            (Some(Text(Cow::Owned(body))), None) => Cow::Owned(body.into_bytes()),
            (None, Some(Text(encoded))) => {
                use base64::Engine as _;
                let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.as_bytes());
                Cow::Owned(decoded.map_err(|e| format!("body_base64 is no base64: {e}"))?)
            }
            (None, None) => return Err("the record has neither body nor body_base64".into()),
            (Some(_), Some(_)) => return Err("the record has both body and body_base64".into()),
        };
        let Headers { meta: signature, viber: viber_signature, path, method } =
            envelope.headers.unwrap_or_default();
        Ok(Self { received_at: envelope.received_at, signature, viber_signature, path, method, body })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_in_every_form() {
        let plain = br#"{"received_at":"2026-09-01T10:00:00Z","x":1,"headers":{"Host":["a"],"x-hub-SIGNATURE-256":"sha256=ab"},"body":"{\"a\":\"\\u043f\"}"}"#;
        let d = Delivery::read(plain).unwrap();
        assert_eq!(&*d.body, br#"{"a":"\u043f"}"#);
        assert_eq!(d.signature.as_deref(), Some("sha256=ab"));
        assert_eq!(d.received_at.unwrap().get(), "\"2026-09-01T10:00:00Z\"");
        let coded =
            br#"{"received_at":5,"headers":{"X-Hub-Signature-256":["sha256=cd"]},"body_base64":"e30="}"#;
        let d = Delivery::read(coded).unwrap();
        assert_eq!((&*d.body, d.signature.as_deref()), (b"{}".as_slice(), Some("sha256=cd")));
        for bad in
            ["", "[]", "{}", r#"{"body":{}}"#, r#"{"body":"","body_base64":""}"#, r#"{"body_base64":"*"}"#]
        {
            assert!(Delivery::read(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
