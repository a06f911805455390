//! The Logs API, call by call.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use serde::Deserialize;
use throughline_core::http::{Account, HttpClient, HttpRequest, HttpResponseHead, Judge, Method, Verdict};
use throughline_core::time::US_PER_DAY;
use throughline_core::{Clock, Context, Error, ErrorKind, Result, Secret};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::config::Settings;
use super::fields::Kind;
pub(crate) use crate::days::Days;

/// The Logs API takes 10 requests per second and address, and 3 at a time of one login.
const PER_SECOND: f64 = 8.0;
const PARALLEL: u32 = 3;
/// What tidies up after a stop may take so long, by the machine's clock: a person waits.
const TIDY: Duration = Duration::from_secs(3);
/// A part of some hundred megabytes on a slow line.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(3600);
const DOWNLOAD_MAX_BYTES: u64 = 64 << 30;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LogRequest {
    pub request_id: u64,
    #[serde(default)]
    source: Source,
    date1: String,
    date2: String,
    #[serde(default)]
    fields: Vec<String>,
    pub status: Status,
    #[serde(default)]
    pub size: u64,
    #[serde(default)]
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Part {
    #[serde(rename = "part_number")]
    pub number: u64,
    pub size: u64,
}

/// The API's pages show a list, its answers a text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Source {
    One(String),
    Many(Vec<String>),
}

impl Default for Source {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Created,
    Processed,
    Canceled,
    ProcessingFailed,
    AwaitingRetry,
    CleanedByUser,
    CleanedAutomaticallyAsTooOld,
    #[serde(other)]
    Unknown,
}

impl Status {
    /// Being prepared.
    pub fn is_waiting(self) -> bool {
        matches!(self, Self::Created | Self::AwaitingRetry)
    }
}

impl LogRequest {
    pub fn is_of(&self, kind: Kind) -> bool {
        match &self.source {
            Source::One(one) => one == kind.stream(),
            Source::Many(many) => many.iter().any(|s| s == kind.stream()),
        }
    }
    pub fn is_equal(&self, kind: Kind, days: Days, fields: &[String]) -> bool {
        self.is_of(kind)
            && self.date1 == days.first.to_string()
            && self.date2 == days.last.to_string()
            && self.fields == fields
    }
}

#[derive(Debug, Deserialize)]
struct OneRequest {
    log_request: LogRequest,
}
#[derive(Debug, Deserialize)]
struct AllRequests {
    #[serde(default)]
    requests: Vec<LogRequest>,
}
#[derive(Debug, Deserialize)]
struct EvaluationAnswer {
    log_request_evaluation: Evaluation,
}
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Evaluation {
    pub possible: bool,
    #[serde(default)]
    pub max_possible_day_quantity: i64,
}
#[derive(Debug, Deserialize)]
struct CounterAnswer {
    counter: Counter,
}
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Counter {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub site: String,
    #[serde(default)]
    pub time_zone_name: Option<String>,
}

/// `{"errors":[{"error_type":..,"message":..}],"code":429,"message":..}`
#[derive(Debug, Default, Deserialize)]
struct Failure {
    #[serde(default)]
    errors: Vec<FailureDetail>,
    #[serde(default)]
    message: String,
}
#[derive(Debug, Deserialize)]
struct FailureDetail {
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    message: String,
}

impl Failure {
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }
    fn is(&self, kind: &str) -> bool {
        self.errors.iter().any(|e| e.error_type == kind)
    }
    fn text(&self) -> String {
        match self.errors.first() {
            Some(e) if e.message.is_empty() => e.error_type.clone(),
            Some(e) => format!("{}: {}", e.error_type, e.message),
            None if self.message.is_empty() => "no reason given".into(),
            None => self.message.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
    account: Account,
    base: String,
    authorization: String,
    counter: u64,
    cancel: CancellationToken,
}

impl Client {
    pub fn new(ctx: &Context, settings: &Settings, token: &Secret) -> Self {
        let host = settings.base_url.rsplit_once("//").map_or(settings.base_url.as_str(), |(_, host)| host);
        Self {
            http: ctx.http.clone(),
            clock: ctx.clock.clone(),
            account: Account {
                // Limits count per login and per address: all counters share them.
                key: format!("yandex_metrica:{host}").into(),
                per_second: PER_SECOND,
                burst: 4,
                parallel: PARALLEL,
            },
            base: format!("{}/management/v1/counter/{}", settings.base_url, settings.counter),
            authorization: format!("OAuth {}", token.expose()),
            counter: settings.counter,
            cancel: ctx.cancel.clone(),
        }
    }

    /// `GET counter/{id}`.
    pub async fn counter(&self) -> Result<Counter> {
        let answer: CounterAnswer = self.call(Method::Get, "", &[]).await?;
        Ok(answer.counter)
    }

    /// Whether so many days can be had in one request.
    pub async fn evaluate(&self, kind: Kind, days: Days, fields: &[String]) -> Result<Evaluation> {
        let query = Self::query(kind, days, fields);
        let answer: EvaluationAnswer = self.call(Method::Get, "/logrequests/evaluate", &query).await?;
        Ok(answer.log_request_evaluation)
    }

    /// Not idempotent: a lost answer may have made a request.
    pub async fn create(&self, kind: Kind, days: Days, fields: &[String]) -> Result<LogRequest> {
        let query = Self::query(kind, days, fields);
        let answer: OneRequest = self.call(Method::Post, "/logrequests", &query).await?;
        Ok(answer.log_request)
    }

    /// All requests of the counter, also those of other logins.
    pub async fn list(&self) -> Result<Vec<LogRequest>> {
        let answer: AllRequests = self.call(Method::Get, "/logrequests", &[]).await?;
        Ok(answer.requests)
    }

    pub async fn status(&self, id: u64) -> Result<LogRequest> {
        let answer: OneRequest = self.call(Method::Get, &format!("/logrequest/{id}"), &[]).await?;
        Ok(answer.log_request)
    }

    /// Frees what a processed request holds. A request that is gone or clean already is fine.
    pub async fn clean(&self, id: u64) -> Result<()> {
        self.end(id, "clean").await
    }

    /// Stops a request that is being prepared. One that is ready or gone is fine.
    pub async fn cancel(&self, id: u64) -> Result<()> {
        self.end(id, "cancel").await
    }

    async fn end(&self, id: u64, how: &str) -> Result<()> {
        let mut request = self.request(Method::Post, &format!("/logrequest/{id}/{how}"), &[]);
        request.idempotent = true;
        let usual = self.judge();
        request.judge = Some(Arc::new(move |head, body| match head.status {
            400 | 404 => Verdict::Accept,
            _ => usual(head, body),
        }));
        // After a stop it is tried as well, but nobody waits for it for long: the next run would find the note.
        let sent = self.http.send(request);
        tokio::pin!(sent);
        tokio::select! {
            biased;
            done = &mut sent => done.map(drop),
            () = self.stopped_for(TIDY) => Err(Error::cancelled()),
        }
    }

    /// So long after a stop.
    async fn stopped_for(&self, wait: Duration) {
        self.cancel.cancelled().await;
        tokio::time::sleep(wait).await;
    }

    /// Streams a part into a file; gives its length in bytes and the exchange.
    pub async fn download(&self, id: u64, part: u64, into: &Path) -> Result<(u64, u64)> {
        let mut request = self.request(Method::Get, &format!("/logrequest/{id}/part/{part}/download"), &[]);
        request.timeout = DOWNLOAD_TIMEOUT;
        request.max_response_bytes = DOWNLOAD_MAX_BYTES;
        let mut response = self.unless_stopped(self.http.stream(request)).await?;
        let failed = |e| Error::io("write", into.display(), e);
        let mut file = tokio::fs::File::create(into).await.map_err(failed)?;
        let mut bytes = 0;
        while let Some(chunk) = self.unless_stopped(async { response.body.next().await.transpose() }).await? {
            bytes += chunk.len() as u64;
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        Ok((bytes, response.head.exchange))
    }

    fn query(kind: Kind, days: Days, fields: &[String]) -> Vec<(&'static str, String)> {
        vec![
            ("date1", days.first.to_string()),
            ("date2", days.last.to_string()),
            ("source", kind.stream().to_owned()),
            ("fields", fields.join(",")),
        ]
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> HttpRequest {
        let mut url = format!("{}{path}", self.base);
        if !query.is_empty() {
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            url.push('?');
            url.push_str(&query);
        }
        let mut request = HttpRequest::new(method, url, self.account.clone());
        request.judge = Some(self.judge());
        request.header("authorization", self.authorization.clone())
    }

    /// A stop ends what is asked for at once. What tidies up after it ([`Client::end`]) goes on.
    async fn unless_stopped<T>(&self, asked: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::cancelled()),
            answer = asked => answer,
        }
    }

    async fn call<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T> {
        let sent = async { self.http.send(self.request(method, path, query)).await?.bytes().await };
        let body = self.unless_stopped(sent).await?;
        serde_json::from_slice(&body).map_err(|e| {
            let what = path.rsplit('/').next().unwrap_or(path);
            Error::protocol(format!("Metrica's answer to {what:?} is not what its pages describe: {e}"))
        })
    }

    fn judge(&self) -> Judge {
        let (clock, counter) = (self.clock.clone(), self.counter);
        Arc::new(move |head, body| judge(head, body, counter, clock.now_us()))
    }
}

/// What an answer means. The English pages name status 420 for quotas, the Russian ones 429.
fn judge(head: &HttpResponseHead, body: &[u8], counter: u64, now_us: i64) -> Verdict {
    if (200..300).contains(&head.status) {
        return Verdict::Accept;
    }
    let failure = Failure::read(body);
    let why = failure.text();
    let fail = |error: Error| Verdict::Fail(Arc::new(error));
    match head.status {
        420 | 429 if failure.is("quota_requests_by_uid") => {
            // 5000 requests of a login a day, counted anew at 00:00 GMT: no use to ask before.
            let left = US_PER_DAY - now_us.rem_euclid(US_PER_DAY);
            fail(
                Error::new(
                    ErrorKind::RateLimited,
                    format!("the login's requests of today are used up ({why})"),
                )
                .hint("Metrica counts anew at 00:00 GMT")
                .temporary(Some(Duration::from_micros(left.unsigned_abs()))),
            )
        }
        420 | 429 => Verdict::Retry { after: None, account_wide: true, why },
        401 => fail(
            Error::new(ErrorKind::Auth, format!("Metrica does not accept the token ({why})"))
                .hint("get a new one with the right metrika:read; a changed password makes old ones void"),
        ),
        403 => fail(
            Error::new(ErrorKind::Auth, format!("the token has no right on counter {counter} ({why})"))
                .hint("let the counter's owner give this login access, or check the number of the counter"),
        ),
        404 => {
            fail(Error::new(ErrorKind::NotFound, format!("Metrica does not know what was asked for ({why})")))
        }
        400 if failure.is("limit_exceeded") => fail(
            Error::new(
                ErrorKind::RateLimited,
                format!("Metrica prepares no more logs for counter {counter} ({why})"),
            )
            .hint("10 GB of prepared logs may wait: clean old log requests of this counter")
            .temporary(None),
        ),
        400..=407 | 409..=424 | 426..=428 | 430..=499 => {
            fail(Error::new(ErrorKind::Config, format!("Metrica refuses the request ({why})")).hint(
                "check `fields` and `start_on`; a field that Metrica has withdrawn goes into `skip_fields`",
            ))
        }
        _ => Verdict::ByStatus,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn verdict(status: u16, body: &str, now_us: i64) -> Verdict {
        let head = HttpResponseHead { status, headers: Vec::new(), exchange: 1 };
        judge(&head, body.as_bytes(), 7, now_us)
    }

    #[test]
    fn quotas_end_at_midnight_or_soon() {
        let uid = r#"{"errors":[{"error_type":"quota_requests_by_uid","message":"Quota"}],"code":429}"#;
        let evening = 3 * US_PER_DAY - 3_600_000_000;
        for status in [420, 429] {
            let Verdict::Fail(error) = verdict(status, uid, evening) else { panic!() };
            let after = Some(Duration::from_secs(3600));
            assert_eq!(error.retry(), throughline_core::Retry::Temporary { after });
            let parallel = uid.replace("by_uid", "x");
            assert!(matches!(verdict(status, &parallel, 0), Verdict::Retry { account_wide: true, .. }));
        }
        assert!(matches!(verdict(503, "oops", 0), Verdict::ByStatus));
        let Verdict::Fail(error) = verdict(403, "", 0) else { panic!() };
        assert_eq!(error.kind(), ErrorKind::Auth);
    }

    #[test]
    fn answers_in_both_shapes() {
        let one: OneRequest = serde_json::from_str(
            r#"{"log_request":{"request_id":7,"source":["visits"],"date1":"2026-09-01","date2":"2026-09-02",
                "fields":["a"],"status":"a_new_one","parts":[{"part_number":0,"size":5}]}}"#,
        )
        .unwrap();
        let day = |d: &str| d.parse::<NaiveDate>().unwrap();
        let days = Days { first: day("2026-09-01"), last: day("2026-09-02") };
        assert!(one.log_request.is_equal(Kind::Visits, days, &["a".into()]));
        assert!(!one.log_request.is_equal(Kind::Hits, days, &["a".into()]));
        assert_eq!(one.log_request.status, Status::Unknown);
    }
}
