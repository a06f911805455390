//! VK's errors: `{"error":{"error_code":6,"error_msg":..,"request_params":[..]}}` with status 200.
//!
//! Codes: <https://dev.vk.com/reference/errors>. `request_params` repeat the question and are not shown.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use throughline_core::http::{HttpResponseHead, Verdict};
use throughline_core::{Error, ErrorKind};

/// Of an error's words so much is shown.
const SHOWN: usize = 300;
const FLOOD_WAIT: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Deserialize)]
struct Envelope {
    error: Failure,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Failure {
    error_code: i64,
    #[serde(default)]
    error_msg: String,
}

impl Failure {
    pub fn read(body: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Envelope>(body).ok().map(|e| e.error)
    }

    /// Code and text as VK gave them.
    pub fn words(&self) -> String {
        format!("error {}: {}", self.error_code, self.error_msg).chars().take(SHOWN).collect()
    }

    /// One conversation cannot be read, whatever we do; the others can.
    pub fn is_of_the_peer(&self) -> bool {
        matches!(self.error_code, 18 | 30 | 900 | 901 | 902 | 917 | 927 | 936 | 945 | 946)
    }

    /// As an error of the run.
    pub fn error(&self) -> Error {
        let words = self.words();
        match self.error_code {
            5 | 1116 => Error::new(ErrorKind::Auth, format!("VK does not accept the token ({words})"))
                .hint("make one in the community under Manage, API usage, Access tokens"),
            7 | 15 | 27 | 28 | 203 => Error::new(
                ErrorKind::Auth,
                format!("the token has no right to this ({words})"),
            )
            .hint(
                "it needs the right to messages, and messages must be on in the community; check `group_id`",
            ),
            14 => Error::new(ErrorKind::Auth, format!("VK wants a captcha ({words})"))
                .hint("ask less often; a community's token is not asked for one"),
            6 => {
                Error::new(ErrorKind::RateLimited, format!("VK is asked too often ({words})")).temporary(None)
            }
            9 => Error::new(ErrorKind::RateLimited, format!("VK sees a flood of one question ({words})"))
                .hint("run again in an hour or later: asking on makes it last")
                .temporary(Some(FLOOD_WAIT)),
            29 => Error::new(ErrorKind::RateLimited, format!("VK's limit of the day is reached ({words})"))
                .hint("run again tomorrow; what was read stays read")
                .temporary(Some(DAY)),
            1 | 10 => Error::new(ErrorKind::Io, format!("VK is in trouble ({words})")).temporary(None),
            _ => Error::config(format!("VK refuses the question ({words})")).hint("check `group_id`"),
        }
    }
}

/// What to do with an answer.
pub(super) fn judge(head: &HttpResponseHead, body: &[u8]) -> Verdict {
    if !(200..300).contains(&head.status) {
        return Verdict::ByStatus;
    }
    let again = |after, account_wide, why| Verdict::Retry { after, account_wide, why };
    match Failure::read(body) {
        Some(failure) => match failure.error_code {
            6 => again(Some(Duration::from_secs(1)), true, failure.words()),
            1 | 10 => again(None, false, failure.words()),
            _ if failure.is_of_the_peer() => Verdict::Accept,
            _ => Verdict::Fail(Arc::new(failure.error())),
        },
        None => match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            Ok(_) => Verdict::Accept,
            Err(e) => again(None, false, format!("the answer is no whole JSON: {e}")),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn verdict(code: i64) -> Verdict {
        let head = HttpResponseHead { status: 200, headers: Vec::new(), exchange: 1 };
        let params = "[{\"key\":\"access_token\",\"value\":\"hush\"}]";
        let body = format!(
            "{{\"error\":{{\"error_code\":{code},\"error_msg\":\"слова\",\"request_params\":{params}}}}}"
        );
        judge(&head, body.as_bytes())
    }

    #[test]
    fn codes_are_told_apart() {
        let one_second = Some(Duration::from_secs(1));
        assert!(
            matches!(verdict(6), Verdict::Retry { after, account_wide: true, .. } if after == one_second)
        );
        assert!(matches!(verdict(10), Verdict::Retry { after: None, account_wide: false, .. }));
        assert!(matches!(verdict(917), Verdict::Accept));
        for (code, kind) in [
            (5, ErrorKind::Auth),
            (15, ErrorKind::Auth),
            (14, ErrorKind::Auth),
            (9, ErrorKind::RateLimited),
            (29, ErrorKind::RateLimited),
            (100, ErrorKind::Config),
            (113, ErrorKind::Config),
        ] {
            let Verdict::Fail(e) = verdict(code) else { panic!("{code}") };
            assert_eq!(e.kind(), kind);
            assert!(e.to_string().contains("слова") && !format!("{e:?}").contains("hush"), "{e:?}");
        }
        let head = HttpResponseHead { status: 200, headers: Vec::new(), exchange: 1 };
        assert!(matches!(judge(&head, b"{\"response\":{\"count"), Verdict::Retry { .. }));
        assert!(matches!(judge(&head, b"{\"response\":[]}"), Verdict::Accept));
    }
}
