//! One request, from its path to its answer.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Body;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use throughline_store::inbox::{Appended, NewDelivery, Refused};

use crate::address::{client_address, household};
use crate::answer::{self, Answer};
use crate::body::{self, BodyError};
use crate::endpoint::Verify;
use crate::metrics::add;
use crate::site;
use crate::state::{Endpoint, Kind, State};
use crate::verify::{self, Checked};

/// An answer, and what the access log says of it: the endpoint and a reason, never the path, which may hold a
/// secret.
pub struct Done {
    pub answer: Answer,
    pub source: Option<String>,
    pub note: &'static str,
    pub client: IpAddr,
}

/// Headers that hold secrets, and what tells more of a visitor than is needed.
const NOT_KEPT: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-telegram-bot-api-secret-token",
    "x-forwarded-for",
    "x-real-ip",
    "forwarded",
];
/// Of a visitor's request only these are.
const KEPT_OF_SITES: [&str; 2] = ["user-agent", "origin"];

/// A site's batch of events is small.
const SITE_BODY: usize = 64 << 10;

pub async fn handle<B: Body<Data = Bytes>>(state: &State, peer: IpAddr, request: Request<B>) -> Done {
    let forwarded = request.headers().get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    let client = client_address(peer, forwarded, &state.settings.trusted_proxies);
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let plain = |answer, note| Done { answer, source: None, note, client };
    let (endpoint, done) = match parts.as_slice() {
        ["hooks", source, rest @ ..] => {
            match state.hooks.get(*source).filter(|e| rest.len() <= e.path_parts()) {
                Some(endpoint) => {
                    let rest = (!rest.is_empty()).then(|| rest.join("/"));
                    (endpoint, hook(state, endpoint, client, rest.as_deref(), request).await)
                }
                None => {
                    state.nowhere.reject("unknown_source");
                    return plain(answer::not_found(), "unknown_source");
                }
            }
        }
        ["site", source, what @ ("events" | "tracker.js")] => match state.sites.get(*source) {
            Some(endpoint) if *what == "events" => (endpoint, events(state, endpoint, client, request).await),
            Some(endpoint) => (endpoint, tracker(state, endpoint, &request)),
            None => {
                state.nowhere.reject("unknown_source");
                return plain(answer::not_found(), "unknown_source");
            }
        },
        ["healthz"] => return plain(health(state), "health"),
        _ => {
            state.nowhere.reject("unknown_path");
            return plain(answer::not_found(), "unknown_path");
        }
    };
    let (answer, note) = done;
    Done { answer, source: Some(endpoint.source.to_string()), note, client }
}

/// 200 while what comes can be made durable.
pub fn health(state: &State) -> Answer {
    if state.inbox.is_failing() {
        answer::later(StatusCode::SERVICE_UNAVAILABLE, "the inbox cannot be written\n")
    } else {
        answer::text(StatusCode::OK, "ok\n")
    }
}

type Told = (Answer, &'static str);

async fn hook<B: Body<Data = Bytes>>(
    state: &State,
    endpoint: &Endpoint,
    client: IpAddr,
    rest: Option<&str>,
    request: Request<B>,
) -> Told {
    let Kind::Hook(verify) = &endpoint.kind else { return (answer::not_found(), "unknown_source") };
    let begun = state.instant();
    let counts = &endpoint.counts;
    add(&counts.received, 1);
    let reject = |answer: Answer, reason: &'static str| {
        counts.reject(reason);
        (answer, reason)
    };
    let forbidden = |reason: &'static str| {
        state.guesses.take(household(client), begun);
        reject(answer::text(StatusCode::FORBIDDEN, "forbidden\n"), reason)
    };
    if !state.guesses.has(household(client), begun) {
        return reject(answer::later(StatusCode::TOO_MANY_REQUESTS, "too many requests\n"), "guessing");
    }
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default();
    if head.method == Method::GET && matches!(verify, Verify::Meta { .. }) {
        return match verify::handshake(verify, query) {
            Checked::Answer(challenge) => (answer::text(StatusCode::OK, challenge), "handshake"),
            Checked::Bad(reason) => forbidden(reason),
            Checked::Good(_) => forbidden("handshake"),
        };
    }
    let by_path = verify.tells_event_by_path();
    if head.method != Method::POST && !(by_path && head.method == Method::PATCH) {
        return reject(answer::method_not_allowed(if by_path { "POST, PATCH" } else { "POST" }), "method");
    }
    let mut body = match take_body(state, &head.headers, body, state.settings.limits.body_bytes).await {
        Ok(body) => body,
        Err((answer, reason)) => return reject(answer, reason),
    };
    add(&counts.received_bytes, body.len());
    let key = match verify::check_post(verify, &head.headers, rest, query, &body) {
        Checked::Good(key) => key,
        Checked::Answer(text) => return (answer::text(StatusCode::OK, text), "handshake"),
        Checked::Bad(reason) => return forbidden(reason),
    };
    add(&counts.verified, 1);
    if let Verify::Vk { secret, .. } = verify {
        // It has proved the delivery; kept, it would only be a secret in clear.
        blank(&mut body, secret.expose().as_bytes());
    }
    let secret_header = match verify {
        Verify::Header { name, .. } => name.as_str(),
        _ => "",
    };
    let kept = |name: &str| !NOT_KEPT.contains(&name) && !name.eq_ignore_ascii_case(secret_header);
    let path = format!("/{}", rest.unwrap_or_default());
    let event = [(":method", head.method.as_str()), (":path", path.as_str())];
    let delivery = NewDelivery {
        source: endpoint.source.clone(),
        received_at_us: state.now_us(),
        key,
        headers: headers_json(&head.headers, kept, if by_path { &event } else { &[] }),
        body,
    };
    match append(state, endpoint, vec![delivery]).await {
        Ok(()) => {
            counts.took(begun.elapsed());
            (accepted(verify), "accepted")
        }
        Err(told) => told,
    }
}

/// Puts stars in the place of `secret`, wherever it stands.
fn blank(body: &mut [u8], secret: &[u8]) {
    let mut at = 0;
    while let Some(window) = body.get_mut(at..at + secret.len()).filter(|w| !w.is_empty()) {
        if window == secret {
            window.fill(b'*');
            at += secret.len();
        } else {
            at += 1;
        }
    }
}

/// What each vendor takes for "received".
fn accepted(verify: &Verify) -> Answer {
    match verify {
        Verify::Vk { .. } => answer::text(StatusCode::OK, "ok"),
        // Builders read the answer into their flow and stop at one that is no JSON.
        Verify::Header { .. } | Verify::Path { .. } | Verify::Bearer { .. } | Verify::Comagic { .. } => {
            answer::with(StatusCode::OK, "application/json", "{}")
        }
        _ => answer::text(StatusCode::OK, Bytes::new()),
    }
}

async fn events<B: Body<Data = Bytes>>(
    state: &State,
    endpoint: &Endpoint,
    client: IpAddr,
    request: Request<B>,
) -> Told {
    let begun = state.instant();
    let counts = &endpoint.counts;
    let origin = allowed(endpoint, request.headers());
    let with_cors = |mut answer: Answer, reason: &'static str| {
        cors(&mut answer, origin.as_ref());
        (answer, reason)
    };
    if request.method() == Method::OPTIONS {
        return with_cors(answer::empty(), "preflight");
    }
    add(&counts.received, 1);
    let reject = |answer: Answer, reason: &'static str| {
        counts.reject(reason);
        with_cors(answer, reason)
    };
    if request.method() != Method::POST {
        return reject(answer::method_not_allowed("POST, OPTIONS"), "method");
    }
    if origin.is_none() {
        return reject(answer::text(StatusCode::FORBIDDEN, "forbidden\n"), "origin");
    }
    if !state.events.take(household(client), begun) {
        return reject(answer::later(StatusCode::TOO_MANY_REQUESTS, "too many requests\n"), "rate");
    }
    let (head, body) = request.into_parts();
    let body = match take_body(state, &head.headers, body, SITE_BODY).await {
        Ok(body) => body,
        Err((answer, reason)) => return reject(answer, reason),
    };
    add(&counts.received_bytes, body.len());
    let (found, bad) = match site::events(&body) {
        Ok(found) => found,
        Err(reason) => return reject(answer::text(StatusCode::BAD_REQUEST, "no events\n"), reason),
    };
    for _ in 0..bad {
        counts.reject("event");
    }
    if found.is_empty() && bad > 0 {
        return with_cors(answer::text(StatusCode::BAD_REQUEST, "no events\n"), "event");
    }
    add(&counts.verified, found.len());
    let headers = headers_json(&head.headers, |name| KEPT_OF_SITES.contains(&name), &[]);
    let received_at_us = state.now_us();
    let deliveries = found
        .into_iter()
        .map(|event| NewDelivery {
            source: endpoint.source.clone(),
            received_at_us,
            key: Some(event.key),
            headers: headers.clone(),
            body: event.json.into_bytes(),
        })
        .collect();
    match append(state, endpoint, deliveries).await {
        Ok(()) => {
            counts.took(begun.elapsed());
            with_cors(answer::empty(), "accepted")
        }
        Err((answer, reason)) => with_cors(answer, reason),
    }
}

fn tracker<B>(state: &State, endpoint: &Endpoint, request: &Request<B>) -> Told {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        endpoint.counts.reject("method");
        return (answer::method_not_allowed("GET"), "method");
    }
    let known =
        request.headers().get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).is_some_and(|tags| {
            tags.split(',').any(|t| t.trim().trim_start_matches("W/") == state.tracker_tag)
        });
    let mut answer = if known {
        answer::text(StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        answer::with(StatusCode::OK, "text/javascript; charset=utf-8", state.tracker)
    };
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    if let Ok(tag) = HeaderValue::from_str(&state.tracker_tag) {
        headers.insert(header::ETAG, tag);
    }
    cors(&mut answer, allowed(endpoint, request.headers()).as_ref());
    (answer, "tracker")
}

/// The request's `Origin`, when it is one of the site's.
fn allowed(endpoint: &Endpoint, headers: &HeaderMap) -> Option<HeaderValue> {
    let Kind::Site { origins } = &endpoint.kind else { return None };
    let given = headers.get(header::ORIGIN)?;
    origins.iter().any(|o| o.as_bytes() == given.as_bytes()).then(|| given.clone())
}

fn cors(answer: &mut Answer, origin: Option<&HeaderValue>) {
    let headers = answer.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    let Some(origin) = origin else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    // Beacons go with credentials whether anybody wants them or not; we set no cookie and keep none.
    let fixed: [(HeaderName, &str); 4] = [
        (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, "true"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "content-type"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

async fn take_body<B: Body<Data = Bytes>>(
    state: &State,
    headers: &HeaderMap,
    body: B,
    most: usize,
) -> Result<Vec<u8>, Told> {
    // A signature covers the bytes as sent, and what unpacks may unpack to anything.
    if headers.get(header::CONTENT_ENCODING).is_some_and(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err((answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "no encoding, please\n"), "encoding"));
    }
    body::read(body, most, state.settings.limits.body_timeout, &state.room).await.map_err(|e| match e {
        BodyError::TooLarge => (answer::text(StatusCode::PAYLOAD_TOO_LARGE, "too large\n"), "too_large"),
        BodyError::TooSlow => (answer::text(StatusCode::REQUEST_TIMEOUT, "too slow\n"), "too_slow"),
        BodyError::Broken => (answer::text(StatusCode::BAD_REQUEST, "broken\n"), "broken"),
        BodyError::Crowded => (answer::later(StatusCode::SERVICE_UNAVAILABLE, "later\n"), "crowded"),
    })
}

/// Durable when it is `Ok`.
async fn append(state: &State, endpoint: &Endpoint, deliveries: Vec<NewDelivery>) -> Result<(), Told> {
    let counts = &endpoint.counts;
    let within: Duration = state.settings.limits.answer_timeout;
    let later = |reason: &'static str| {
        add(&counts.unavailable, 1);
        (answer::later(StatusCode::SERVICE_UNAVAILABLE, "later\n"), reason)
    };
    match tokio::time::timeout(within, state.inbox.append(deliveries)).await {
        Ok(Ok(done)) => {
            let stored = done.iter().filter(|d| matches!(d, Appended::Stored(_))).count();
            add(&counts.stored, stored);
            add(&counts.duplicates, done.len() - stored);
            Ok(())
        }
        Ok(Err(Refused::Busy)) => Err(later("busy")),
        Ok(Err(Refused::Failed(error))) => {
            tracing::error!(source = &*endpoint.source, "not stored, answered 503: {error}");
            Err(later("failed"))
        }
        // It may be stored yet: then the vendor's next attempt is known by its key.
        Err(_) => Err(later("slow")),
    }
}

/// Headers as a JSON object, in the order they came, behind `first`, whose names no client can send.
fn headers_json(headers: &HeaderMap, kept: impl Fn(&str) -> bool, first: &[(&str, &str)]) -> String {
    let mut object = serde_json::Map::new();
    for (name, value) in first {
        object.insert((*name).to_owned(), (*value).into());
    }
    for name in headers.keys().filter(|n| kept(n.as_str())) {
        let values: Vec<serde_json::Value> =
            headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes()).into()).collect();
        let value = match <[serde_json::Value; 1]>::try_from(values) {
            Ok([one]) => one,
            Err(many) => many.into(),
        };
        object.insert(name.as_str().to_owned(), value);
    }
    serde_json::Value::Object(object).to_string()
}

#[cfg(test)]
mod tests {
    use super::blank;

    #[test]
    fn a_secret_is_blanked_wherever_it_stands() {
        let mut body = br#"{"secret":"aab","text":"aaab"}"#.to_vec();
        blank(&mut body, b"aab");
        assert_eq!(body, br#"{"secret":"***","text":"a***"}"#);
        blank(&mut body, b"");
        blank(&mut [], b"x");
    }
}
