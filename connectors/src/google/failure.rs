//! Google's errors: `{"error":{"code":429,"message":..,"status":"RESOURCE_EXHAUSTED","errors":[{"reason":..}]}}`.
//!
//! <https://cloud.google.com/apis/design/errors>, <https://cloud.google.com/bigquery/docs/error-messages>.

use serde::Deserialize;

/// Of an error's words so much is shown.
const SHOWN: usize = 400;

#[derive(Debug, Deserialize)]
struct Envelope {
    error: Failure,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Failure {
    #[serde(default)]
    message: String,
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    errors: Vec<Detail>,
}

#[derive(Debug, Deserialize)]
struct Detail {
    #[serde(default)]
    reason: String,
}

impl Failure {
    /// What an answer says, if it is an error of Google's.
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Envelope>(body).ok().map(|e| e.error)
    }

    /// BigQuery's word for it, e.g. `rateLimitExceeded`.
    pub fn reason(&self) -> &str {
        self.errors.first().map_or("", |e| e.reason.as_str())
    }

    /// As Google wrote it, cut short.
    pub fn words(&self) -> String {
        let mut words = if self.message.is_empty() { "no reason given" } else { &self.message }.to_owned();
        for mark in [self.status.as_str(), self.reason()] {
            if !mark.is_empty() && !words.contains(mark) {
                words = format!("{mark}: {words}");
            }
        }
        words.chars().take(SHOWN).collect()
    }

    pub fn says(&self, text: &str) -> bool {
        self.message.to_ascii_lowercase().contains(text)
    }
}
