//! Between the connection and the vendors: counts requests, and strikes with the faults that are no vendor's own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, header};
use futures::stream;

use crate::api::{self, Api};
use crate::call::Call;
use crate::faults::Fault;
use crate::reply::Reply;
use crate::server::Server;
use crate::text::http_date;
use crate::{bitrix24, comagic};

const MAX_BODY: usize = 1 << 20;

/// What a request holds, its body read.
struct Incoming {
    head: Parts,
    base: String,
    body: Bytes,
}

impl Incoming {
    /// As the vendors see it.
    fn call<'a>(&'a self, server: &'a Server, faults: &'a [Fault]) -> Call<'a> {
        let mut call = Call {
            base: &self.base,
            method: self.head.method.as_str(),
            path: self.head.uri.path(),
            query: self.head.uri.query().unwrap_or(""),
            headers: Some(&self.head.headers),
            body: &self.body,
            faults,
            ..Call::of(&server.company, server.now())
        };
        call.authorization = call.header("authorization");
        call
    }
}

/// The words by which faults tell calls to one path apart.
fn about(call: &Call, api: Api) -> String {
    match api {
        // Its methods stand in the bodies of batches.
        Api::Bitrix => bitrix24::about(call.path, call.query, call.body),
        // Writes stand at the path of reads.
        _ if call.method == "PATCH" => "write".to_owned(),
        Api::Comagic => comagic::about(call.body),
        _ => call.query.to_owned(),
    }
}

pub(crate) async fn answer(State(server): State<Arc<Server>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return build(&server, Reply::json(413, "{\"error\":\"the body is over 1 MB\"}"), None);
    };
    let host = head.headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let base = format!("http://{host}");
    let incoming = Incoming { head, base, body };
    let api = Api::of(incoming.head.uri.path());
    if api == Api::Control {
        // Making the truth takes long: not on a thread that serves others.
        let shared = server.clone();
        let made =
            tokio::task::spawn_blocking(move || shared.dispatch(&incoming.call(&shared, &[]), api)).await;
        let reply = made.unwrap_or_else(|e| Reply::json(500, format!("{{\"error\":\"{e}\"}}")));
        return build(&server, reply, None);
    }
    let call = incoming.call(&server, &[]);
    let seen = server.stats.request(api.name(), call.method, call.path);
    if let Some(reply) = server.limit(api, seen) {
        return build(&server, reply, None);
    }
    let faults = server.faults.on(call.path, &about(&call, api));
    for f in &faults {
        match f {
            Fault::Slow { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Fault::ExpireToken => server.expire(),
            _ => {}
        }
    }
    if let Some(reply) = refusal(&faults, &call, api, server.now()) {
        return build(&server, reply, None);
    }
    let mut reply = server.dispatch(&incoming.call(&server, &faults), api);
    let mut cut = None;
    for f in &faults {
        match f {
            Fault::RotateDelay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Fault::Truncate { percent } => {
                let keep = reply.body.len() * *percent as usize / 100;
                reply.body.truncate(keep);
            }
            Fault::Cut { percent } => cut = Some(*percent),
            _ => {}
        }
    }
    build(&server, reply, cut)
}

/// The status that a fault answers with in the vendor's place.
fn refusal(faults: &[Fault], call: &Call, api: Api, now: i64) -> Option<Reply> {
    faults.iter().find_map(|fault| {
        let Fault::Status { status, retry_after, retry_date } = fault else { return None };
        let mut reply = api::failure(api, call.path, *status, now);
        if let Some(after) = retry_after {
            let value = match after.parse::<i64>() {
                Ok(seconds) if *retry_date => http_date(now + seconds),
                _ => after.clone(),
            };
            reply.headers.push(("retry-after", value));
        }
        Some(reply)
    })
}

/// The answer as it goes out; with `cut`, the connection breaks after that percentage of the body.
fn build(server: &Server, reply: Reply, cut: Option<u64>) -> Response<Body> {
    server.stats.answered(reply.status, reply.body.len());
    let mut b = Response::builder().status(reply.status).header(header::DATE, http_date(server.now()));
    if !reply.content_type.is_empty() {
        b = b.header(header::CONTENT_TYPE, reply.content_type);
    }
    for (name, value) in &reply.headers {
        if let Ok(v) = HeaderValue::from_str(value) {
            b = b.header(*name, v);
        }
    }
    let body = match cut {
        None => Body::from(reply.body),
        Some(percent) => {
            b = b.header(header::CONTENT_LENGTH, reply.body.len());
            let mut bytes = Bytes::from(reply.body);
            let keep = bytes.len() * percent as usize / 100;
            let first = bytes.split_to(keep);
            let broken = io::Error::new(io::ErrorKind::ConnectionAborted, "cut by a fault");
            Body::from_stream(stream::iter([Ok(first), Err(broken)]))
        }
    };
    b.body(body).unwrap_or_else(|_| Response::new(Body::empty()))
}
