//! An HTTP client between a source and its world: it counts, breaks what it is told to break, and holds
//! answers back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use throughline_core::http::{HttpClient, HttpRequest, HttpResponse, HttpResponseHead, Verdict};
use throughline_core::{Error, ErrorKind, Result};
use tokio::sync::Notify;

/// What becomes of one exchange; the others are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Pass,
    /// The exchange of this number (from 1) goes wrong.
    Fault {
        at: usize,
        kind: Kind,
    },
    /// No answer ever comes to it.
    Hang {
        at: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An error that further attempts did not mend; nothing was sent.
    Fails,
    /// The answer broke off in the middle.
    Cut,
    /// A page of some gateway, with the status of a good answer.
    Html,
    /// JSON whose second half is missing although the vendor announced no more.
    HalfJson,
}

impl Kind {
    /// Fits behind "request 3".
    pub fn words(self) -> &'static str {
        match self {
            Self::Fails => "failed for good",
            Self::Cut => "was answered only in part",
            Self::Html => "was answered with a web page in place of data",
            Self::HalfJson => "was answered with half of its JSON",
        }
    }
}

pub(crate) struct Watch {
    inner: Arc<dyn HttpClient>,
    plan: Plan,
    asked: AtomicUsize,
    fired: AtomicBool,
    hangs: Notify,
}

const HTML: &str = "<!DOCTYPE html>\n<html><body><h1>Please wait</h1></body></html>\n";

impl Watch {
    pub fn new(inner: Arc<dyn HttpClient>, plan: Plan) -> Self {
        let (asked, fired) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { inner, plan, asked, fired, hangs: Notify::new() }
    }

    /// Exchanges so far; attempts that the client repeats by itself count as one.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Whether the plan came true.
    pub fn fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    /// Waits until a request hangs.
    pub async fn hangs(&self) {
        self.hangs.notified().await;
    }

    async fn exchange(&self, request: HttpRequest, streaming: bool) -> Result<HttpResponse> {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        match self.plan {
            Plan::Fault { at, kind } if at == number => self.broken(request, kind, streaming).await,
            // What must not be asked twice (a new token) must not be dropped half way either.
            Plan::Hang { at } if at == number && request.idempotent => {
                self.fired.store(true, Ordering::SeqCst);
                self.hangs.notify_one();
                std::future::pending().await
            }
            _ => self.pass(request, streaming).await,
        }
    }

    async fn pass(&self, request: HttpRequest, streaming: bool) -> Result<HttpResponse> {
        if streaming { self.inner.stream(request).await } else { self.inner.send(request).await }
    }

    async fn broken(&self, request: HttpRequest, kind: Kind, streaming: bool) -> Result<HttpResponse> {
        // Of a request that may go out only once, the answer must not be lost: the vendor would believe
        // that we have it.
        let kind = if request.idempotent { kind } else { Kind::Fails };
        let judge = request.judge.clone();
        let (head, body) = match kind {
            Kind::Fails => {
                self.fired.store(true, Ordering::SeqCst);
                return Err(Error::new(
                    ErrorKind::Io,
                    "no connection: the behaviour suite broke this request",
                ));
            }
            Kind::Html => {
                let head = HttpResponseHead {
                    status: 200,
                    headers: vec![("content-type".into(), "text/html".into())],
                    exchange: 0,
                };
                (head, Bytes::from_static(HTML.as_bytes()))
            }
            Kind::Cut | Kind::HalfJson => {
                let answer = self.pass(request, streaming).await?;
                let head = answer.head.clone();
                let body = answer.bytes().await?;
                let half = body.slice(..body.len() / 2);
                if kind == Kind::Cut {
                    self.fired.store(true, Ordering::SeqCst);
                    return cut(head, half, streaming);
                }
                // Of other formats nobody can tell that a half is one.
                if !matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) {
                    return Ok(whole(head, body));
                }
                (head, half)
            }
        };
        self.fired.store(true, Ordering::SeqCst);
        // As the real client does: streamed good answers are not judged.
        let verdict = match judge {
            Some(judge) if !streaming => judge(&head, &body),
            _ => Verdict::ByStatus,
        };
        match verdict {
            Verdict::Accept | Verdict::ByStatus => Ok(whole(head, body)),
            Verdict::Retry { why, .. } => Err(Error::protocol(why).temporary(None)),
            Verdict::Fail(error) => Err(Error::new(error.kind(), error.message())),
        }
    }
}

fn whole(head: HttpResponseHead, body: Bytes) -> HttpResponse {
    HttpResponse { head, body: futures::stream::iter((!body.is_empty()).then_some(Ok(body))).boxed() }
}

/// A buffered answer that broke off is an error of the client; a streamed one breaks under its reader.
fn cut(head: HttpResponseHead, half: Bytes, streaming: bool) -> Result<HttpResponse> {
    let message = format!("the answer broke off after {} bytes: the behaviour suite cut it", half.len());
    let error = Error::protocol(message).temporary(None);
    if !streaming {
        return Err(error);
    }
    Ok(HttpResponse { head, body: futures::stream::iter([Ok(half), Err(error)]).boxed() })
}

#[async_trait]
impl HttpClient for Watch {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.exchange(request, false).await
    }
    async fn stream(&self, request: HttpRequest) -> Result<HttpResponse> {
        self.exchange(request, true).await
    }
}
