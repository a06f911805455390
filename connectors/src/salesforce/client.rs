//! Salesforce over REST, call by call.
//!
//! <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/>,
//! <https://developer.salesforce.com/docs/atlas.en-us.api_asynch.meta/api_asynch/>

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::json;
use throughline_core::http::{Account, HttpRequest, HttpResponse, HttpResponseHead, Method, Verdict};
use throughline_core::{Context, Error, ErrorKind, Result};
use tokio::io::AsyncWriteExt;

use super::access::{Access, Session};
use super::answer::{Description, Failure, Job, Limits, Page, strange};
use super::config::Settings;
use super::usage::{QUOTA_PAUSE, Usage};

const PARALLEL: u32 = 4;
/// 2,000 records with all their fields.
const MAX_BYTES: u64 = 256 << 20;
/// Salesforce itself gives up on a query after two minutes.
const TIMEOUT: Duration = Duration::from_secs(180);
/// Of results, for each piece that arrives.
const PIECE_MAX_BYTES: u64 = 8 << 30;

/// Marks an error that a fresh access token may mend.
const REFUSED: (&str, &str) = ("access token", "refused");
/// The name under which errors carry Salesforce's code.
const CODE: &str = "code";

/// Salesforce's code of an error, e.g. `QUERY_TIMEOUT`.
pub(crate) fn code(error: &Error) -> &str {
    error.context().iter().find(|(name, _)| *name == CODE).map_or("", |(_, code)| code.as_str())
}

#[derive(Clone)]
pub(crate) struct Client {
    ctx: Context,
    access: Arc<Access>,
    settings: Arc<Settings>,
    usage: Arc<Usage>,
}

/// A piece of a job's results, in a file.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Where the next one is.
    pub next: Option<String>,
    /// By Salesforce's word.
    pub records: u64,
    pub exchange: u64,
}

impl Client {
    pub fn new(ctx: &Context, access: &Arc<Access>, settings: &Arc<Settings>, usage: Arc<Usage>) -> Self {
        Self { ctx: ctx.clone(), access: access.clone(), settings: settings.clone(), usage }
    }

    /// Fields of an object, and Salesforce's clock in milliseconds since 1970.
    pub async fn describe(&self, object: &str) -> Result<(Description, Option<i64>)> {
        let answer = self.get(&format!("/sobjects/{object}/describe")).await?;
        let date = answer.head.header("date").and_then(|d| chrono::DateTime::parse_from_rfc2822(d).ok());
        let description = parse(&answer.bytes().await?, "a description")?;
        Ok((description, date.map(|d| d.timestamp_millis())))
    }

    /// The first page of a query, deleted records included.
    pub async fn query(&self, soql: &str) -> Result<Page> {
        let path = self.path(soql);
        self.page(self.request(Method::Get, &path)).await
    }

    /// Whether a query is short enough to stand in an address.
    pub fn fits(&self, soql: &str) -> bool {
        // Servers take 16 KiB of request line and headers.
        self.path(soql).len() <= 12_000
    }

    fn path(&self, soql: &str) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", soql).finish();
        format!("{}/queryAll?{query}", self.settings.root)
    }

    /// A further page, at the path that the one before told.
    pub async fn next(&self, path: &str) -> Result<Page> {
        // Where Salesforce sends us, the token goes along: nowhere but to itself.
        if !path.starts_with("/services/data/") || path.contains("..") {
            return Err(strange("a query", &"nextRecordsUrl is no path of the API"));
        }
        self.page(self.request(Method::Get, path)).await
    }

    async fn page(&self, request: HttpRequest) -> Result<Page> {
        let size = format!("batchSize={}", self.settings.page_rows);
        let answer = self.send(request.header("sforce-query-options", size)).await?;
        let exchange = answer.head.exchange;
        Page::read(answer.bytes().await?, exchange)
    }

    /// Starts a bulk job. Started twice, because an answer was lost, one of them is never looked at.
    pub async fn start(&self, soql: &str) -> Result<Job> {
        let body = json!({
            "operation": "queryAll", "query": soql, "contentType": "CSV", "columnDelimiter": "COMMA", "lineEnding": "LF",
        });
        let mut request =
            self.request(Method::Post, &format!("{}/jobs/query", self.settings.root)).json(&body);
        request.idempotent = true;
        let answer = self.send(request).await?;
        parse(&answer.bytes().await?, "a new job")
    }

    pub async fn job(&self, id: &str) -> Result<Job> {
        let answer = self.get(&format!("/jobs/query/{id}")).await?;
        parse(&answer.bytes().await?, "a job")
    }

    /// Drops a job and its results; one that is gone is fine.
    pub async fn drop_job(&self, id: &str) -> Result<()> {
        let path = format!("{}/jobs/query/{id}", self.settings.root);
        match self.send(self.request(Method::Delete, &path)).await {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts a piece of a job's results into a file.
    pub async fn piece(&self, job: &str, locator: &str, into: &Path) -> Result<Piece> {
        let most = self.settings.bulk_rows.to_string();
        let mut query = vec![("maxRecords", most.as_str())];
        if !locator.is_empty() {
            query.push(("locator", locator));
        }
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let path = format!("{}/jobs/query/{job}/results?{query}", self.settings.root);
        let mut request = self.request(Method::Get, &path).header("accept", "text/csv");
        request.max_response_bytes = PIECE_MAX_BYTES;
        let mut answer = self.exchange(request, true).await?;
        let failed = |e| Error::io("write", into.display(), e);
        let mut file = tokio::fs::File::create(into).await.map_err(failed)?;
        while let Some(chunk) = answer.body.next().await {
            file.write_all(&chunk?).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        // Without these it is no piece, but a web page that somebody put in between.
        let told = |name: &str| {
            answer.head.header(name).ok_or_else(|| strange("a job's results", &format!("it lacks {name}")))
        };
        let records = told("sforce-numberofrecords")?
            .parse()
            .map_err(|_| strange("a job's results", &"sforce-numberofrecords is no number"))?;
        // The last one says "null", in a word.
        let next = Some(told("sforce-locator")?).filter(|l| !l.is_empty() && *l != "null");
        Ok(Piece { next: next.map(str::to_owned), records, exchange: answer.head.exchange })
    }

    pub async fn limits(&self) -> Result<Limits> {
        let answer = self.get("/limits").await?;
        parse(&answer.bytes().await?, "limits")
    }

    async fn get(&self, path: &str) -> Result<HttpResponse> {
        self.send(self.request(Method::Get, &format!("{}{path}", self.settings.root))).await
    }

    /// `url` is a path until there is a session.
    fn request(&self, method: Method, path: &str) -> HttpRequest {
        let key = format!("salesforce:{}", self.settings.org);
        let account = Account { key: key.into(), per_second: 10.0, burst: 10, parallel: PARALLEL };
        let mut request = HttpRequest::new(method, path, account);
        request.timeout = TIMEOUT;
        request.max_response_bytes = MAX_BYTES;
        request.judge = Some(Arc::new(judge));
        request
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.exchange(request, false).await
    }

    async fn exchange(&self, request: HttpRequest, streamed: bool) -> Result<HttpResponse> {
        self.usage.within(&self.settings)?;
        let session = self.access.session(&self.ctx, None).await?;
        let answer = match self.once(&request, &session, streamed).await {
            Err(error) if error.context().iter().any(|(name, value)| (*name, value.as_str()) == REFUSED) => {
                let fresh = self.access.session(&self.ctx, Some(&session.token)).await?;
                self.once(&request, &fresh, streamed).await?
            }
            answer => answer?,
        };
        self.usage.told(answer.head.header("sforce-limit-info"));
        Ok(answer)
    }

    async fn once(&self, request: &HttpRequest, session: &Session, streamed: bool) -> Result<HttpResponse> {
        let mut request =
            request.clone().header("authorization", format!("Bearer {}", session.token.expose()));
        request.url = format!("{}{}", session.instance, request.url);
        self.usage.sending();
        match streamed {
            true => self.ctx.http.stream(request).await,
            false => self.ctx.http.send(request).await,
        }
    }
}

fn parse<T: DeserializeOwned>(body: &Bytes, what: &str) -> Result<T> {
    serde_json::from_slice(body).map_err(|e| strange(what, &e))
}

fn judge(head: &HttpResponseHead, body: &[u8]) -> Verdict {
    let failure = Failure::read(body);
    let words = failure.words();
    let retry = |account_wide| Verdict::Retry { after: None, account_wide, why: words.clone() };
    let fail = |error: Error| Verdict::Fail(Arc::new(error.with(CODE, &failure.error_code)));
    match (head.status, failure.error_code.as_str()) {
        (200 | 201, _) => match body.trim_ascii_end().last() {
            Some(b'}' | b']') => Verdict::Accept,
            // Cut, with a length that fits; an HTML page.
            _ => Verdict::Retry { after: None, account_wide: false, why: "the answer is no whole JSON".into() },
        },
        (200..300, _) => Verdict::Accept,
        (401, _) => {
            let message = format!("Salesforce does not accept the access token ({words})");
            Verdict::Fail(Arc::new(Error::new(ErrorKind::Auth, message).with(REFUSED.0, REFUSED.1)))
        }
        (_, "REQUEST_LIMIT_EXCEEDED") if failure.message.contains("Concurrent") => retry(true),
        (_, "REQUEST_LIMIT_EXCEEDED") => fail(
            Error::new(ErrorKind::RateLimited, format!("the org's API requests are used up ({words})"))
                .hint("what was read is safe; requests of the last 24 hours count, so some come back every hour and the next run goes on")
                .temporary(Some(QUOTA_PAUSE)),
        ),
        (406, _) | (_, "UNABLE_TO_LOCK_ROW") => retry(false),
        (_, "QUERY_TIMEOUT") => fail(
            Error::new(ErrorKind::Io, format!("Salesforce gave up on a query ({words})"))
                .hint("run again later; if it stays so, begin at a later day with start_on")
                .temporary(None),
        ),
        (_, "INVALID_QUERY_LOCATOR") => fail(
            Error::new(ErrorKind::Protocol, format!("Salesforce forgot a query ({words})")).temporary(None),
        ),
        (404, _) => fail(Error::new(ErrorKind::NotFound, format!("Salesforce knows nothing of it ({words})"))),
        (403, _) => fail(
            Error::new(ErrorKind::Auth, format!("the user may not read it ({words})"))
                .hint("give the user API Enabled and, in a permission set, the right to read the objects and View All"),
        ),
        (400, _) => fail(Error::config(format!("Salesforce does not take the question ({words})"))),
        _ => Verdict::ByStatus,
    }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn errors_mean_what_they_say() {
        let verdict = |status, code: &str, message: &str| {
            let head = HttpResponseHead { status, headers: Vec::new(), exchange: 1 };
            judge(&head, json!([{"errorCode": code, "message": message}]).to_string().as_bytes())
        };
        let kind = |verdict| match verdict {
            Verdict::Fail(error) => error.kind(),
            other => panic!("{other:?}"),
        };
        let total = verdict(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
        assert_eq!(kind(total), ErrorKind::RateLimited);
        let many = verdict(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.");
        assert!(matches!(many, Verdict::Retry { account_wide: true, .. }));
        assert_eq!(kind(verdict(400, "MALFORMED_QUERY", "unexpected token")), ErrorKind::Config);
        assert_eq!(kind(verdict(403, "INSUFFICIENT_ACCESS", "no")), ErrorKind::Auth);
        assert!(matches!(verdict(503, "SERVER_UNAVAILABLE", "later"), Verdict::ByStatus));
        let html = HttpResponseHead { status: 200, headers: Vec::new(), exchange: 1 };
        assert!(matches!(judge(&html, b"<html>"), Verdict::Retry { .. }));
    }
}
