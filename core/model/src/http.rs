//! HTTP as connectors see it: a request with what the client must know to be polite, and a response.
//!
//! The client itself (`throughline-http`) does TLS, proxies, rate limits, `Retry-After`, retries,
//! redaction and cassettes. A connector or a plugin only says what it wants.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::error::{Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// The limits a vendor sets on one account. All requests of a process that name the same `key`
/// share one token bucket, whatever pipeline or stream they come from.
#[derive(Clone, Debug)]
pub struct Account {
    /// Vendor and account, e.g. `amocrm:shop.amocrm.ru`. Shown to people; holds no secret.
    pub key: Arc<str>,
    /// Requests per second the bucket refills at.
    pub per_second: f64,
    /// Requests that may go at once after a rest.
    pub burst: u32,
    /// Requests under way at the same time.
    pub parallel: u32,
}

/// What a vendor's answer means, for answers that HTTP alone does not explain (an error inside a
/// 200, a quota that ends at midnight, a 403 that is a rate limit).
#[derive(Clone, Debug)]
pub enum Verdict {
    /// A good answer: give it to the connector.
    Accept,
    /// Try again, not before `after` where known; the whole account waits when `account_wide`.
    Retry { after: Option<Duration>, account_wide: bool, why: String },
    /// Give up with this error.
    Fail(Arc<Error>),
    /// Let the client decide by status: 2xx good, 408, 425, 429 and 5xx again, the rest fail.
    ByStatus,
}

/// Looks at status, headers and body of a whole answer. Not called for streamed good answers.
pub type Judge = Arc<dyn Fn(&HttpResponseHead, &[u8]) -> Verdict + Send + Sync>;

#[derive(Clone)]
pub struct HttpRequest {
    pub method: Method,
    /// Absolute. Base URLs are overridden by the connector's `base_url` option, never here.
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Bytes>,
    pub account: Account,
    /// May be sent again when the answer was lost: GET and absolute writes yes, a create no.
    pub idempotent: bool,
    /// From sending to the end of the body, one attempt. Default 60 s. For a streamed body: to its
    /// head, and then for each piece, since the reader may be slow.
    pub timeout: Duration,
    /// Attempts in all, the first included. Default 6.
    pub attempts: u32,
    /// The largest body accepted, after decompression, in bytes. Default 64 MiB.
    pub max_response_bytes: u64,
    pub judge: Option<Judge>,
}

impl HttpRequest {
    pub fn new(method: Method, url: impl Into<String>, account: Account) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            account,
            idempotent: matches!(method, Method::Get | Method::Put | Method::Delete),
            timeout: Duration::from_secs(60),
            attempts: 6,
            max_response_bytes: 64 << 20,
            judge: None,
        }
    }
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
    #[must_use]
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Some(Bytes::from(body.to_string()));
        self.header("content-type", "application/json")
    }
}

#[derive(Clone, Debug)]
pub struct HttpResponseHead {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Number of this exchange in the run's request log: rows carry it as `_tl_req`.
    pub exchange: u64,
}

impl HttpResponseHead {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

pub struct HttpResponse {
    pub head: HttpResponseHead,
    /// Decompressed. A body that ends before its announced length is an error, never a short read.
    pub body: BoxStream<'static, Result<Bytes>>,
}

impl HttpResponse {
    /// The whole body. The client has already enforced `max_response_bytes`.
    pub async fn bytes(mut self) -> Result<Bytes> {
        let mut whole = BytesMut::new();
        let mut first: Option<Bytes> = None;
        while let Some(chunk) = self.body.next().await {
            let chunk = chunk?;
            match first.take() {
                None if whole.is_empty() => first = Some(chunk),
                None => whole.extend_from_slice(&chunk),
                Some(earlier) => {
                    whole.extend_from_slice(&earlier);
                    whole.extend_from_slice(&chunk);
                }
            }
        }
        Ok(first.unwrap_or_else(|| whole.freeze()))
    }
}

#[async_trait]
pub trait HttpClient: Send + Sync {
    /// Sends, waits and retries as the request allows; the answer is whole (buffered), judged good.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse>;

    /// Like [`HttpClient::send`] for bodies too large to hold: a good answer's body streams. Retries
    /// end once the head was good; a body that breaks is the caller's to ask for again.
    async fn stream(&self, request: HttpRequest) -> Result<HttpResponse>;
}
