//! One line of a source's output: the Airbyte protocol, version 0.
//! <https://docs.airbyte.com/understanding-airbyte/airbyte-protocol>

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use throughline_core::{Error, ErrorKind, Redactor};

use crate::foreign::line::text;

#[derive(Debug)]
pub(super) enum Message<'a> {
    Record {
        stream: Cow<'a, str>,
        data: &'a str,
    },
    State(State),
    Catalog(Value),
    Connection {
        succeeded: bool,
        said: String,
    },
    Log {
        level: Cow<'a, str>,
        text: String,
    },
    /// TRACE of the type ERROR.
    Failed(Failure),
    /// A stream's status: STARTED, RUNNING, COMPLETE, INCOMPLETE.
    Status {
        stream: String,
        status: String,
    },
    /// CONTROL: the settings as they must be from now on.
    Config(Value),
    /// A message of another type, which says nothing that is needed.
    Other,
    /// No message: programs print what they should log.
    Noise,
}

#[derive(Debug)]
pub(super) struct State {
    /// Of one stream; `None`: of all.
    pub stream: Option<String>,
    /// What the source wants back, as its file of states.
    pub file: Value,
    /// How many records of the stream it counted since the state before.
    pub records: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failure {
    message: Option<String>,
    internal_message: Option<String>,
    failure_type: Option<String>,
}

impl Failure {
    pub fn into_error(self, redactor: &Redactor) -> Error {
        let said =
            self.message.or(self.internal_message.clone()).unwrap_or_else(|| "without a message".into());
        let said = redactor.redact(&said).into_owned();
        let error = |kind| Error::new(kind, format!("the source failed: {said}"));
        let error = match self.failure_type.as_deref() {
            Some("config_error") => error(ErrorKind::Config),
            Some("transient_error") => error(ErrorKind::Io).temporary(None),
            _ => error(ErrorKind::Io),
        };
        match self.internal_message {
            Some(within) if !said.contains(&within) => error.with("within", redactor.redact(&within)),
            _ => error,
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    record: Option<Record<'a>>,
    #[serde(borrow, default)]
    state: Option<&'a RawValue>,
    #[serde(borrow, default)]
    catalog: Option<&'a RawValue>,
    #[serde(borrow, default)]
    log: Option<Log<'a>>,
    #[serde(borrow, default)]
    trace: Option<&'a RawValue>,
    #[serde(borrow, default)]
    control: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "connectionStatus")]
    connection: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Log<'a> {
    #[serde(borrow, default)]
    level: Cow<'a, str>,
    #[serde(default)]
    message: String,
}

/// # Errors
/// What is wrong with a line that is a message.
pub(super) fn message(line: &[u8]) -> Result<Message<'_>, String> {
    let is_record = |text: &[u8]| matches!(message(text), Ok(Message::Record { .. }));
    let Some(text) = text(line, is_record)? else { return Ok(Message::Noise) };
    let line: Line<'_> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let value = |part: Option<&RawValue>, name: &str| -> Result<Value, String> {
        let part = part.ok_or_else(|| format!("{} without {name}", line.kind))?;
        serde_json::from_str(part.get()).map_err(|e| e.to_string())
    };
    Ok(match line.kind.as_ref() {
        "RECORD" => {
            let record = line.record.ok_or("RECORD without a record")?;
            Message::Record { stream: record.stream, data: record.data.get() }
        }
        "STATE" => Message::State(state(value(line.state, "a state")?)?),
        "CATALOG" => Message::Catalog(value(line.catalog, "a catalog")?),
        "CONNECTION_STATUS" => {
            let status = value(line.connection, "a connectionStatus")?;
            let said = status["message"].as_str().unwrap_or("without a message").to_owned();
            Message::Connection { succeeded: status["status"] == "SUCCEEDED", said }
        }
        "LOG" => {
            let log = line.log.ok_or("LOG without a log")?;
            Message::Log { level: log.level, text: log.message }
        }
        "TRACE" => trace(value(line.trace, "a trace")?),
        "CONTROL" => match value(line.control, "a control")? {
            control if control["type"] == "CONNECTOR_CONFIG" => {
                let config = control["connectorConfig"]["config"].clone();
                if config.is_object() {
                    Message::Config(config)
                } else {
                    return Err("CONTROL without a config".into());
                }
            }
            _ => Message::Other,
        },
        _ => Message::Other,
    })
}

fn state(state: Value) -> Result<State, String> {
    // A count is written as 100.0.
    let records = state["sourceStats"]["recordCount"].as_f64().filter(|n| *n >= 0.0).map(|n| n as u64);
    let mut file = state;
    if let Some(file) = file.as_object_mut() {
        file.remove("sourceStats");
        file.remove("destinationStats");
    }
    Ok(match file["type"].as_str() {
        Some("STREAM") => {
            let stream =
                file["stream"]["stream_descriptor"]["name"].as_str().ok_or("a state of no stream")?;
            State { stream: Some(stream.to_owned()), file: Value::Array(vec![file]), records }
        }
        Some("GLOBAL") => State { stream: None, file: Value::Array(vec![file]), records: None },
        // Of sources from before states of streams: one object for all.
        Some("LEGACY") | None => State { stream: None, file: file["data"].clone(), records: None },
        Some(other) => return Err(format!("a state of the unknown type {other}")),
    })
}

fn trace(trace: Value) -> Message<'static> {
    match trace["type"].as_str() {
        Some("ERROR") => Message::Failed(serde_json::from_value(trace["error"].clone()).unwrap_or_default()),
        Some("STREAM_STATUS") => {
            let about = &trace["stream_status"];
            let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
            Message::Status {
                stream: text(&about["stream_descriptor"]["name"]),
                status: text(&about["status"]),
            }
        }
        _ => Message::Other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn of(value: &Value) -> String {
        let text = value.to_string();
        format!("{:?}", message(text.as_bytes()))
    }

    #[test]
    fn messages_of_the_protocol_are_known() {
        let record = r#"{"type":"RECORD","record":{"stream":"users","data":{"id":1},"emitted_at":1}}"#;
        let found = message(record.as_bytes()).unwrap();
        assert!(
            matches!(found, Message::Record { ref stream, data: r#"{"id":1}"# } if stream == "users"),
            "{found:?}"
        );
        let state = json!({"type": "STATE", "state": {"type": "STREAM", "sourceStats": {"recordCount": 3.0},
            "stream": {"stream_descriptor": {"name": "users"}, "stream_state": {"seed": 1}}}});
        let Message::State(state) = message(state.to_string().leak().as_bytes()).unwrap() else { panic!() };
        assert_eq!((state.stream.as_deref(), state.records), (Some("users"), Some(3)));
        assert_eq!(
            state.file,
            json!([{"type": "STREAM", "stream": {"stream_descriptor": {"name": "users"}, "stream_state": {"seed": 1}}}])
        );
        let legacy = of(&json!({"type": "STATE", "state": {"data": {"users": 1}}}));
        assert!(legacy.contains("stream: None") && legacy.contains("users"), "{legacy}");
        assert!(of(&json!({"type": "CONTROL", "control": {"type": "CONNECTOR_CONFIG", "connectorConfig": {"config": {"a": 1}}}})).contains("Config"));
        assert!(of(&json!({"type": "TRACE", "trace": {"type": "ESTIMATE"}})).contains("Other"));
        assert!(of(&json!({"type": "SPEC", "spec": {}})).contains("Other"));
        assert!(format!("{:?}", message(b"warning: deprecated")).contains("Noise"));
        let behind = format!("{:?}", message(format!("done: {record}").as_bytes()));
        assert!(behind.contains("behind other text"), "{behind}");
    }

    #[test]
    fn half_messages_are_told() {
        for wrong in [
            json!({"type": "RECORD"}),
            json!({"type": "RECORD", "record": {"stream": "a"}}),
            json!({"type": "STATE"}),
            json!({"type": "STATE", "state": {"type": "STREAM"}}),
            json!({"type": "STATE", "state": {"type": "NEW"}}),
            json!({"type": "CONTROL", "control": {"type": "CONNECTOR_CONFIG"}}),
            json!({"no": "type"}),
        ] {
            assert!(message(wrong.to_string().as_bytes()).is_err(), "{wrong}");
        }
        assert!(message(b"{\"type\":\"LOG\",\"log\":\"\xff\"}").is_err());
    }

    #[test]
    fn failures_have_their_kinds_and_no_secrets() {
        let redactor = Redactor::new();
        redactor.register_text("token-1234");
        let error = |failure_type: &str| {
            Failure {
                message: Some("bad token-1234".into()),
                internal_message: Some("401 for token-1234".into()),
                failure_type: Some(failure_type.into()),
            }
            .into_error(&redactor)
        };
        assert_eq!(error("config_error").kind(), ErrorKind::Config);
        assert!(error("transient_error").is_temporary());
        assert_eq!(error("system_error").to_string(), "the source failed: bad *** (within: 401 for ***)");
    }
}
