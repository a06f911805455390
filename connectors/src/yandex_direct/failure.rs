//! Direct's errors: `{"error":{"request_id":..,"error_code":53,"error_string":..,"error_detail":..}}`,
//! with any status, 200 too.
//!
//! Codes: <https://yandex.com/dev/direct/doc/en/concepts/errors-list>.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use throughline_core::http::{HttpResponseHead, Verdict};
use throughline_core::{Error, ErrorKind};

/// Points are given back hour by hour.
const POINTS_WAIT: Duration = Duration::from_secs(3600);
/// Of an error's words so much is shown.
const SHOWN: usize = 300;

#[derive(Debug, Deserialize)]
struct Envelope {
    error: Failure,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    /// A number; some answers have it as text.
    error_code: serde_json::Value,
    #[serde(default)]
    error_string: String,
    #[serde(default)]
    error_detail: String,
    #[serde(default)]
    request_id: String,
}

impl Failure {
    pub fn read(body: &[u8]) -> Option<Self> {
        if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
            return None;
        }
        serde_json::from_slice::<Envelope>(body).ok().map(|e| e.error)
    }

    fn code(&self) -> u64 {
        let code = &self.error_code;
        code.as_u64().or_else(|| code.as_str().and_then(|c| c.parse().ok())).unwrap_or(0)
    }

    /// Code and text as Direct gave them.
    pub fn words(&self) -> String {
        let mut words = format!("error {}: {}", self.code(), self.error_string);
        if !self.error_detail.is_empty() {
            words.push_str(": ");
            words.push_str(&self.error_detail);
        }
        words.chars().take(SHOWN).collect()
    }

    pub fn is_queue_full(&self) -> bool {
        self.code() == 9000
    }

    /// The report's parameters do not fit: also when its name was used for others.
    pub fn is_refusal(&self) -> bool {
        (4000..5000).contains(&self.code())
    }

    /// It says more than its status.
    pub fn has_code(&self) -> bool {
        self.code() > 0
    }

    /// Trouble of the server that passes.
    pub fn is_of_the_server(&self) -> bool {
        matches!(self.code(), 52 | 1000..=1019)
    }

    /// As an error of the run.
    pub fn error(&self, login: &str) -> Error {
        let words = self.words();
        let error = match self.code() {
            53 => Error::new(ErrorKind::Auth, format!("Direct does not accept the token ({words})"))
                .hint("get a new one with the right direct:api; a changed password makes old ones void"),
            58 => Error::new(
                ErrorKind::Auth,
                format!("the application has no access to Direct's API ({words})"),
            )
            .hint("ask for it in Direct under Tools, API, and wait until it is approved"),
            54 | 513 | 3000 => Error::new(
                ErrorKind::Auth,
                format!("the token has no right on {login} ({words})"),
            )
            .hint(
                "check `logins`; a client of an agency is read with the agency's token, an advertiser with \
                     its own and without `logins`",
            ),
            152 => Error::new(ErrorKind::RateLimited, format!("the points of {login} are used up ({words})"))
                .hint("Direct gives points back every hour")
                .temporary(Some(POINTS_WAIT)),
            56 | 506 => Error::new(ErrorKind::RateLimited, format!("Direct is asked too often ({words})"))
                .temporary(None),
            9000 => Error::new(
                ErrorKind::RateLimited,
                format!("five reports of {login} wait in Direct's queue ({words})"),
            )
            .hint("other programs order reports too; the next run goes on with this one")
            .temporary(None),
            52 | 1000..=1019 => {
                Error::new(ErrorKind::Io, format!("Direct is in trouble ({words})")).temporary(None)
            }
            _ => Error::new(ErrorKind::Config, format!("Direct refuses the report of {login} ({words})"))
                .hint("check `fields`, `level` and `start_on`"),
        };
        if self.request_id.is_empty() { error } else { error.with("request id", &self.request_id) }
    }

    /// What to do with the answer.
    pub fn verdict(&self, head: &HttpResponseHead, login: Option<&str>) -> Verdict {
        match self.code() {
            52 | 1000..=1019 => Verdict::Retry { after: None, account_wide: false, why: self.words() },
            56 | 506 => Verdict::Retry { after: None, account_wide: true, why: self.words() },
            // An unknown code with a status that tells enough.
            0 => without_words(head),
            _ => Verdict::Fail(Arc::new(self.error(login.unwrap_or("this account")))),
        }
    }
}

/// An answer that does not say why: its status decides.
pub(crate) fn without_words(_: &HttpResponseHead) -> Verdict {
    Verdict::ByStatus
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use throughline_core::Retry;

    use super::*;

    fn failure(code: &str) -> Failure {
        let body = format!(
            "{{\"error\":{{\"request_id\":\"8\",\"error_code\":{code},\"error_string\":\"Нет\",\"error_detail\":\"da\"}}}}"
        );
        Failure::read(body.as_bytes()).unwrap()
    }

    #[test]
    fn codes_are_told_apart() {
        for (code, kind) in [
            ("53", ErrorKind::Auth),
            ("\"54\"", ErrorKind::Auth),
            ("58", ErrorKind::Auth),
            ("152", ErrorKind::RateLimited),
            ("9000", ErrorKind::RateLimited),
            ("8000", ErrorKind::Config),
            ("4001", ErrorKind::Config),
            ("1000", ErrorKind::Io),
        ] {
            let error = failure(code).error("shop");
            assert_eq!(error.kind(), kind, "{code}");
            assert!(error.to_string().contains("Нет: da"), "{error}");
        }
        let points = failure("152").error("shop");
        assert_eq!(points.retry(), Retry::Temporary { after: Some(POINTS_WAIT) });
        let head = HttpResponseHead { status: 200, headers: Vec::new(), exchange: 1 };
        for passing in ["52", "1002", "56", "506"] {
            assert!(matches!(failure(passing).verdict(&head, None), Verdict::Retry { .. }), "{passing}");
        }
        assert!(Failure::read(b"Date\tCost\n").is_none() && Failure::read(b"{\"result\":{}}").is_none());
    }
}
