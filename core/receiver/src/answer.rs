//! Answers: short, plain, never an echo of what came, and with the headers that a browser should see.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

pub type Answer = Response<Full<Bytes>>;

const SAFETY: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
];

/// A body with its type; the safety headers.
pub fn with(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    for (name, value) in SAFETY {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with(status, "text/plain; charset=utf-8", body)
}

/// 204.
pub fn empty() -> Answer {
    let mut answer = text(StatusCode::NO_CONTENT, Bytes::new());
    answer.headers_mut().remove(header::CONTENT_TYPE);
    answer
}

pub fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "not found\n")
}

pub fn method_not_allowed(allow: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n");
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}

/// 503 or 429: come back in some seconds.
pub fn later(status: StatusCode, why: &'static str) -> Answer {
    let mut answer = text(status, why);
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    answer
}
