//! One line of a tap's output.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::foreign::line::text;

/// The messages of the Singer specification, and those that taps made common since.
/// <https://hub.meltano.com/singer/spec>
#[derive(Debug)]
pub(super) enum Message<'a> {
    Record {
        stream: Cow<'a, str>,
        record: &'a str,
    },
    Schema {
        stream: Cow<'a, str>,
        key: Option<Vec<String>>,
    },
    State {
        value: &'a str,
    },
    /// Versions of a stream before this one are to be forgotten.
    ActivateVersion,
    Batch {
        stream: Cow<'a, str>,
    },
    /// A message of a type that is not known here.
    Unknown {
        kind: Cow<'a, str>,
    },
    /// No message: taps print what they should log.
    Noise,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    record: Option<&'a RawValue>,
    #[serde(borrow, default)]
    value: Option<&'a RawValue>,
    #[serde(default)]
    key_properties: Option<Vec<String>>,
}

/// # Errors
/// What is wrong with a line that is a message.
pub(super) fn message(line: &[u8]) -> Result<Message<'_>, String> {
    let is_record = |text: &[u8]| matches!(message(text), Ok(Message::Record { .. }));
    let Some(text) = text(line, is_record)? else { return Ok(Message::Noise) };
    let line: Line<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let (kind, stream) = (line.kind, line.stream);
    let stream = stream.ok_or_else(|| format!("{kind} without a stream"));
    Ok(match kind.as_ref() {
        "RECORD" => {
            Message::Record { record: line.record.ok_or("RECORD without a record")?.get(), stream: stream? }
        }
        "SCHEMA" => Message::Schema { stream: stream?, key: line.key_properties.filter(|k| !k.is_empty()) },
        "STATE" => Message::State { value: line.value.ok_or("STATE without a value")?.get() },
        "ACTIVATE_VERSION" => Message::ActivateVersion,
        "BATCH" => Message::Batch { stream: stream? },
        _ => Message::Unknown { kind },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_are_told_from_noise() {
        let of = |line: &'static str| format!("{:?}", message(line.as_bytes()));
        assert!(of(r#"{"type":"RECORD","stream":"a","record":{"x":1}}"#).contains(r#"record: "{\"x\":1}""#));
        assert!(of(r#"{"type":"STATE","value":{"a":[1]}}"#).contains("State"));
        assert!(of(r#"{"type":"SCHEMA","stream":"a","key_properties":[]}"#).contains("key: None"));
        assert!(of("Starting up...").contains("Noise"));
        assert!(of("").contains("Noise"));
        assert!(of(r#"sent {"type":"RECORD","stream":"a","record":{}} on"#).contains("Noise"));
        assert!(of(r#"sent {"type":"STATE","value":{}}"#).contains("Noise"));
        assert!(of(r#"50% {done} {"type":"RECORD","stream":"a","record":{}}"#).contains("behind other text"));
        assert!(message(b"\xff \"half\":1}").is_ok());
        assert!(of(r#"{"type":"NEW","x":1}"#).contains("Unknown"));
        for wrong in [r#"{"type":"RECORD","stream":"a"}"#, r#"{"half":"#, r#"{"type":"BATCH"}"#, r#"{"a":1}"#]
        {
            assert!(message(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(message(b"{\"type\":\"RECORD\",\"record\":\"\xff\"}").is_err());
    }
}
