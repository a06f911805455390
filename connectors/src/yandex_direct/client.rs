//! Direct's interfaces, call by call: `reports`, and `clients` for login and currency.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;
use serde_json::json;
use throughline_core::http::{Account, HttpClient, HttpRequest, HttpResponseHead, Judge, Method, Verdict};
use throughline_core::{Context, Error, ErrorKind, Result, Secret};
use tokio::io::AsyncWriteExt;

use super::config::Settings;
use super::failure::{self, Failure};
use crate::days::Days;

/// 20 requests in 10 seconds, of one user.
const PER_SECOND: f64 = 1.8;
const BURST: u32 = 5;
/// A report of a million rows on a slow line.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(600);
const DOWNLOAD_MAX_BYTES: u64 = 4 << 30;
/// Answers 500 and 502 say that a report took too long as well as that something fell over: after so many of
/// them it is the report.
const HEAVY_AFTER: u32 = 3;
/// So much of a good answer is looked at: it may be an error.
const START_BYTES: usize = 4096;
/// Between two questions when Direct names no pause.
const USUAL_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// Before a full queue is tried again.
const QUEUE_WAIT: Duration = Duration::from_secs(30);

/// Whose costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advertiser {
    pub login: String,
    pub currency: String,
    /// What is left of the day's points, as Direct writes it: `10/20828/64000`.
    pub units: Option<String>,
}

/// What Direct says to the question for a report.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is in the file; the number of the exchange.
    Ready(u64),
    /// In the queue or in work.
    Waiting(Duration),
    /// Five reports of the user wait already.
    QueueFull(Duration, Error),
    /// It takes longer than Direct allows.
    TooHeavy(Error),
    /// It does not fit its name.
    Refused(Error),
}

#[derive(Debug, Deserialize)]
struct ClientsAnswer {
    result: Clients,
}
#[derive(Debug, Deserialize)]
struct Clients {
    #[serde(rename = "Clients", default)]
    clients: Vec<Owner>,
}
#[derive(Debug, Deserialize)]
struct Owner {
    #[serde(rename = "Login", default)]
    login: String,
    #[serde(rename = "Currency", default)]
    currency: String,
}

#[derive(Clone)]
pub(crate) struct Client {
    http: Arc<dyn HttpClient>,
    account: Account,
    settings: Settings,
    token: Secret,
}

impl Client {
    pub fn new(ctx: &Context, settings: &Settings, token: Secret) -> Self {
        let host = settings.base_url.rsplit_once("//").map_or(settings.base_url.as_str(), |(_, host)| host);
        let account = Account {
            key: format!("yandex_direct:{host}").into(),
            per_second: PER_SECOND,
            burst: BURST,
            parallel: 2,
        };
        Self { http: ctx.http.clone(), account, settings: settings.clone(), token }
    }

    /// Login and currency: of the advertiser, or of the token's own account.
    pub async fn advertiser(&self, login: Option<&str>) -> Result<Advertiser> {
        let body = json!({"method": "get", "params": {"FieldNames": ["Login", "Currency"]}});
        let mut request = self.request("/json/v5/clients", login, &body);
        let (who, asked) = (login.map(str::to_owned), login.unwrap_or("the token's own account"));
        request.judge = Some(Arc::new(move |head, body| match Failure::read(body) {
            Some(failure) => failure.verdict(head, who.as_deref()),
            None => failure::without_words(head),
        }));
        let response = self.http.send(request).await?;
        let units = response.head.header("units").map(str::to_owned);
        let body = response.bytes().await?;
        let answer: ClientsAnswer = serde_json::from_slice(&body).map_err(|e| {
            Error::protocol(format!("Direct's answer to Clients.get is not what its pages describe: {e}"))
        })?;
        let Some(owner) = answer.result.clients.into_iter().next() else {
            return Err(Error::new(ErrorKind::NotFound, format!("Direct knows no advertiser {asked}"))
                .hint("an agency's token needs `logins`: those of its clients"));
        };
        let login = login.map_or(owner.login, str::to_owned);
        if login.is_empty() {
            return Err(Error::protocol("Direct's answer to Clients.get names no login"));
        }
        Ok(Advertiser { login, currency: owner.currency, units })
    }

    /// What is asked for, less the name: two questions are one when these texts are equal.
    pub fn question(&self, days: Days) -> serde_json::Value {
        json!({
            "SelectionCriteria": {"DateFrom": days.first.to_string(), "DateTo": days.last.to_string()},
            "FieldNames": self.settings.fields,
            "OrderBy": [{"Field": "Date"}],
            "Page": {"Limit": self.settings.report_rows},
            "ReportType": "CUSTOM_REPORT",
            "DateRangeType": "CUSTOM_DATE",
            "Format": "TSV",
            "IncludeVAT": if self.settings.include_vat { "YES" } else { "NO" },
            "IncludeDiscount": "NO",
        })
    }

    /// Asks for a report, or whether it is ready; what came of it goes into a file.
    pub async fn report(
        &self,
        login: &str,
        question: &serde_json::Value,
        name: &str,
        into: &Path,
    ) -> Result<Answer> {
        let mut params = question.clone();
        if let Some(params) = params.as_object_mut() {
            params.insert("ReportName".into(), name.into());
        }
        let path = format!("/json/{}/reports", self.settings.api_version.path());
        let client = (!self.settings.logins.is_empty()).then_some(login);
        let mut request = self
            .request(&path, client, &json!({"params": params}))
            .header("processingMode", self.settings.processing.header())
            .header("skipReportHeader", "true");
        request.timeout = DOWNLOAD_TIMEOUT;
        request.max_response_bytes = DOWNLOAD_MAX_BYTES;
        request.judge = Some(judge_report(login.to_owned()));
        let mut response = self.http.stream(request).await?;
        let head = response.head.clone();
        if head.status != 200 {
            let body = response.bytes().await?;
            return Ok(other(&head, &body, login));
        }
        let failed = |e| Error::io("write", into.display(), e);
        let mut file = tokio::fs::File::create(into).await.map_err(failed)?;
        let mut start = Vec::new();
        while let Some(chunk) = response.body.next().await {
            let chunk = chunk?;
            let more = chunk.len().min(START_BYTES - start.len());
            start.extend_from_slice(&chunk[..more]);
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        // An error may come with status 200. No report begins with a brace: its header comes first.
        match Failure::read(&start) {
            Some(failure) if failure.is_queue_full() => {
                Ok(Answer::QueueFull(QUEUE_WAIT, failure.error(login)))
            }
            Some(failure) if failure.is_refusal() => Ok(Answer::Refused(failure.error(login))),
            Some(failure) => Err(failure.error(login)),
            None => Ok(Answer::Ready(head.exchange)),
        }
    }

    fn request(&self, path: &str, login: Option<&str>, body: &serde_json::Value) -> HttpRequest {
        let url = format!("{}{path}", self.settings.base_url);
        let mut request = HttpRequest::new(Method::Post, url, self.account.clone())
            .json(body)
            .header("authorization", format!("Bearer {}", self.token.expose()))
            .header("accept-language", "en");
        if let Some(login) = login {
            request = request.header("client-login", login);
        }
        // The same name is the same report: asking again makes no second one.
        request.idempotent = true;
        request
    }
}

/// Retries what passes by itself; what the caller must weigh is let through.
fn judge_report(login: String) -> Judge {
    let heavy = AtomicU32::new(0);
    Arc::new(move |head, body| {
        let failure = Failure::read(body);
        match &failure {
            _ if (200..300).contains(&head.status) => return Verdict::Accept,
            Some(failure) if failure.is_queue_full() || failure.is_refusal() => return Verdict::Accept,
            Some(failure) if failure.has_code() && !failure.is_of_the_server() => {
                return failure.verdict(head, Some(&login));
            }
            _ => {}
        }
        // 52 and 1000 to 1002 are the server's own trouble, 500 and 502 without them perhaps the report's size.
        let own_trouble = failure.as_ref().is_some_and(Failure::is_of_the_server) && head.status != 502;
        match head.status {
            500 | 502 if !own_trouble && heavy.fetch_add(1, Ordering::Relaxed) + 1 >= HEAVY_AFTER => {
                Verdict::Accept
            }
            _ => match &failure {
                Some(failure) if own_trouble => failure.verdict(head, Some(&login)),
                _ => failure::without_words(head),
            },
        }
    })
}

/// An answer that is no report.
fn other(head: &HttpResponseHead, body: &[u8], login: &str) -> Answer {
    let seconds = head.header("retryin").and_then(|v| v.trim().parse::<u64>().ok());
    let wait = seconds.map(|s| Duration::from_secs(s.max(1)).min(LONGEST_WAIT));
    let failure = Failure::read(body);
    match (head.status, failure) {
        (201 | 202, None) => Answer::Waiting(wait.unwrap_or(USUAL_WAIT)),
        (_, Some(failure)) if failure.is_queue_full() => {
            Answer::QueueFull(wait.unwrap_or(QUEUE_WAIT), failure.error(login))
        }
        (500 | 502, failure) => {
            let words = failure.map(|f| format!(" ({})", f.words())).unwrap_or_default();
            Answer::TooHeavy(
                Error::new(
                    ErrorKind::Io,
                    format!(
                        "Direct answered {} to the question for a report of {login} again and again{words}",
                        head.status
                    ),
                )
                .hint("run again later; when it stays so, set a coarser `level`")
                .temporary(None),
            )
        }
        (_, Some(failure)) => Answer::Refused(failure.error(login)),
        (status, None) => Answer::Refused(Error::protocol(format!(
            "Direct answered {status} to the question for a report of {login}, without a word why"
        ))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn head(status: u16, headers: &[(&str, &str)]) -> HttpResponseHead {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        HttpResponseHead { status, headers, exchange: 1 }
    }

    #[test]
    fn pauses_are_as_told_within_reason() {
        for (told, seconds) in [("5", 5), ("0", 1), ("-7", 10), ("soon", 10), ("99999999999", 300)] {
            let Answer::Waiting(wait) = other(&head(202, &[("retryin", told)]), b"", "a") else { panic!() };
            assert_eq!(wait.as_secs(), seconds, "{told}");
        }
        let full = br#"{"error":{"error_code":9000,"error_string":"Too many reports in queue"}}"#;
        assert!(matches!(other(&head(400, &[]), full, "a"), Answer::QueueFull(..)));
    }

    #[test]
    fn a_report_that_falls_over_thrice_is_too_heavy() {
        let judge = judge_report("a".into());
        for _ in 0..2 {
            assert!(matches!(judge(&head(502, &[]), b""), Verdict::ByStatus));
        }
        assert!(matches!(judge(&head(502, &[]), b""), Verdict::Accept));
        // The server's own trouble is never the report's.
        let judge = judge_report("a".into());
        let own = br#"{"error":{"error_code":"1000","error_string":"Server error"}}"#;
        for _ in 0..5 {
            assert!(matches!(judge(&head(500, &[]), own), Verdict::Retry { account_wide: false, .. }));
            assert!(matches!(judge(&head(503, &[]), b""), Verdict::ByStatus));
        }
    }
}
