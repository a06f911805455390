//! What Salesforce answers: descriptions, pages of queries, jobs, errors.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use throughline_core::{Error, Result};

/// Of an error's words so much is shown.
const SHOWN: usize = 400;

/// `GET sobjects/NAME/describe`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Description {
    #[serde(default)]
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Field {
    pub name: String,
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub filterable: bool,
}

impl Field {
    /// Whether it can stand in any query: parts of addresses and places are fields of their own, files are none of a
    /// table.
    fn is_plain(&self) -> bool {
        !matches!(self.kind.as_str(), "address" | "location" | "base64" | "complexvalue")
    }
}

impl Description {
    /// Fields to read, the id first.
    pub fn plain(self) -> Vec<Field> {
        let (ids, mut rest): (Vec<Field>, Vec<Field>) =
            self.fields.into_iter().filter(Field::is_plain).partition(|f| f.name == "Id");
        let mut all = ids;
        all.append(&mut rest);
        all
    }
}

/// The field by which changes are found. What is only ever added has the time of that alone.
pub(crate) fn cursor(fields: &[Field]) -> Option<&'static str> {
    ["SystemModstamp", "LastModifiedDate", "CreatedDate"]
        .into_iter()
        .find(|name| fields.iter().any(|f| f.name == *name && f.filterable))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct QueryAnswer<'a> {
    total_size: u64,
    done: bool,
    #[serde(default)]
    next_records_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
}

/// A page of a query's records.
#[derive(Debug)]
pub(crate) struct Page {
    /// Of the whole query.
    pub total: u64,
    /// A path.
    pub next: Option<String>,
    /// The answer, its records still text.
    pub body: Bytes,
    pub exchange: u64,
}

impl Page {
    pub fn read(body: Bytes, exchange: u64) -> Result<Self> {
        let body = match serde_json::from_slice::<QueryAnswer<'_>>(&body) {
            Ok(_) => body,
            Err(why) => match without_nan(&body) {
                Some(mended) => mended.into(),
                None => return Err(strange("a query", &why)),
            },
        };
        let answer: QueryAnswer<'_> =
            serde_json::from_slice(&body).map_err(|why| strange("a query", &why))?;
        let next = match (answer.done, answer.next_records_url) {
            (true, _) => None,
            (false, Some(next)) => Some(next.into_owned()),
            (false, None) => return Err(strange("a query", &"there is more, but not where")),
        };
        let total = answer.total_size;
        Ok(Self { total, next, exchange, body: body.clone() })
    }

    /// The records, each as its JSON text.
    pub fn records(&self) -> Result<Vec<&str>> {
        let answer: QueryAnswer<'_> =
            serde_json::from_slice(&self.body).map_err(|why| strange("a query", &why))?;
        Ok(answer.records.into_iter().map(RawValue::get).collect())
    }
}

/// Computed numbers can be none, and are written as JSON does not allow. They become null.
fn without_nan(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len());
    let (mut at, mut inside, mut found) = (0, false, false);
    while let Some(byte) = body.get(at) {
        if !inside {
            let rest = body.get(at..)?;
            let none =
                [b"NaN".as_slice(), b"-Infinity", b"Infinity"].into_iter().find(|w| rest.starts_with(w));
            if let Some(word) = none {
                out.extend_from_slice(b"null");
                at += word.len();
                found = true;
                continue;
            }
        }
        match byte {
            b'"' => inside = !inside,
            b'\\' if inside => {
                out.push(*byte);
                at += 1;
                if let Some(escaped) = body.get(at) {
                    out.push(*escaped);
                    at += 1;
                }
                continue;
            }
            _ => {}
        }
        out.push(*byte);
        at += 1;
    }
    found.then_some(out)
}

/// A bulk job.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job {
    pub id: String,
    pub state: JobState,
    #[serde(default)]
    pub error_message: Option<String>,
    #[serde(default)]
    pub number_records_processed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) enum JobState {
    UploadComplete,
    InProgress,
    JobComplete,
    Aborted,
    Failed,
    #[serde(other)]
    Unknown,
}

/// `GET limits`, the two that matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Limits {
    pub daily_api_requests: Limit,
    #[serde(rename = "DailyBulkV2QueryJobs")]
    pub daily_bulk_jobs: Limit,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Limit {
    pub max: u64,
    pub remaining: u64,
}

/// An error: `[{"errorCode":"MALFORMED_QUERY","message":".."}]`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Failure {
    pub error_code: String,
    pub message: String,
}

impl Failure {
    pub fn read(body: &[u8]) -> Self {
        let list: Vec<Self> = serde_json::from_slice(body).unwrap_or_default();
        list.into_iter().next().unwrap_or_default()
    }

    /// As Salesforce wrote it, cut short.
    pub fn words(&self) -> String {
        let words = match (self.error_code.as_str(), self.message.trim()) {
            ("", "") => "no reason given".to_owned(),
            (code, "") => code.to_owned(),
            ("", message) => message.to_owned(),
            (code, message) => format!("{code}: {message}"),
        };
        words.chars().take(SHOWN).collect()
    }
}

pub(crate) fn strange(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::protocol(format!("Salesforce's answer to {what} is not what its pages describe: {why}"))
        .temporary(None)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_do_not_spoil_a_page() {
        let body =
            r#"{"totalSize":2,"done":true,"records":[{"Id":"NaN \" Infinity","A":NaN},{"A":-Infinity}]}"#;
        let page = Page::read(Bytes::from_static(body.as_bytes()), 1).unwrap();
        assert_eq!(page.records().unwrap(), [r#"{"Id":"NaN \" Infinity","A":null}"#, r#"{"A":null}"#]);
        for bad in
            [r#"{"totalSize":2,"done":true}"#, r#"{"totalSize":1,"done":false,"records":[]}"#, "NaN", ""]
        {
            assert!(Page::read(Bytes::from_static(bad.as_bytes()), 1).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields_that_can_be_read() {
        let text = r#"{"fields":[{"name":"Name","type":"string"},{"name":"MailingAddress","type":"address"},
            {"name":"CreatedDate","type":"datetime","filterable":true},{"name":"Id","type":"id"}]}"#;
        let fields = serde_json::from_str::<Description>(text).unwrap().plain();
        assert_eq!(fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["Id", "Name", "CreatedDate"]);
        assert_eq!(cursor(&fields), Some("CreatedDate"));
        assert_eq!(cursor(&fields[..2]), None);
    }
}
