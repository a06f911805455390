//! What the edge reads of a stranger, from samples grown wrong: nothing panics or takes long, and nothing that is
//! not proved is taken.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use throughline_receiver::Verify;
use throughline_receiver::parsers::{Checked, check_post, client_address, events, handshake};

use crate::support::{TRUSTED, meta_signature, settings};

#[path = "../../../../tests/fuzz/mutate.rs"]
mod mutate;

use mutate::{PARTS, fuzz, grows_evenly};

#[derive(serde::Deserialize)]
struct Kept {
    id: String,
}

#[test]
fn events_of_a_site() {
    let event = r#"{"id":"0123456789ABCDEFGHJK","kind":"visit","at":1788256800000,"sent":1788256800100,"token":"HHR3D1196WD","visitor":"ABCDEFGHJK0123456789","url":"https://shop.example/диваны?utm_source=yandex","utm":{"source":"yandex"},"click_ids":{"yclid":"77"},"first":{"at":1},"link":null,"screen":"1920x1080"}"#;
    let seeds = [
        format!(r#"{{"v":1,"sent":1788256800100,"events":[{event}]}}"#),
        format!(r#"{{"v":1,"events":[{event},{event},{{"id":"short","kind":"page","at":1}}]}}"#),
        r#"{"v":1,"events":[]}"#.to_owned(),
    ]
    .map(String::into_bytes);
    fuzz("events of a site", &seeds, |input, _| {
        let Ok((found, _)) = events(input) else { return };
        assert!(found.len() <= 200);
        for event in found {
            // Whatever numbers it holds: 1e999 is JSON too.
            let kept: Kept = serde_json::from_str(&event.json).expect("what is kept is JSON with an id");
            assert!((16..=64).contains(&kept.id.len()));
        }
    });
}

#[test]
fn long_bodies_take_long_and_no_longer() {
    grows_evenly("events of a site", b"{\"v\":1,\"events\":[", b"]}", PARTS, |input| {
        let _ = events(input);
    });
    let hooks = settings().hooks;
    grows_evenly("proofs", b"{\"secret\":\"", b"\"}", PARTS, |input| {
        for hook in &hooks {
            let _ = check_post(&hook.verify, &HeaderMap::new(), None, "", input);
        }
    });
}

const NAMES: [&str; 6] = [
    "x-hub-signature-256",
    "x-viber-content-signature",
    "x-telegram-bot-api-secret-token",
    "authorization",
    "x-flow-key",
    "idempotency-key",
];

/// No secret is near enough to be guessed. Lines: a header's value, the query, what is behind the hook; the rest is the body.
#[test]
fn headers_queries_and_proofs() {
    let seeds = [
        format!("{}\nhub.mode=subscribe&hub.verify_token=&hub.challenge=42\nmessage\n{{}}", meta_signature(b"{}")),
        "Bearer wz_k\nsig=00\nchat/close\n{\"test\": true}".to_owned(),
        "Basic Y21f\n\nin-the-\n{\"type\":\"confirmation\"}".to_owned(),
        "tl_s\n%ff=&a=b\n\n{\"type\":\"message_new\",\"secret\":\"cb_secret\",\"event_id\":\"1\",\"object\":{}}".to_owned(),
    ]
    .map(String::into_bytes);
    let hooks = settings().hooks;
    fuzz("headers, queries and proofs", &seeds, |input, _| {
        let mut parts = input.splitn(4, |b| *b == b'\n');
        let value = parts.next().unwrap_or_default();
        let query = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let rest = parts.next().filter(|r| !r.is_empty()).map(|r| String::from_utf8_lossy(r).into_owned());
        let body = parts.next().unwrap_or_default();
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(value) {
            for name in NAMES {
                headers.append(HeaderName::from_static(name), value.clone());
            }
        }
        for hook in &hooks {
            let checked = check_post(&hook.verify, &headers, rest.as_deref(), &query, body);
            let signed = value == meta_signature(body).as_bytes();
            let may = signed && matches!(hook.verify, Verify::Meta { .. }) && rest.is_none();
            assert!(may || !matches!(checked, Checked::Good(_)), "{}: {checked:?}", hook.source);
            assert!(matches!(handshake(&hook.verify, &query), Checked::Bad(_)), "{}", hook.source);
        }
    });
}

#[test]
fn forwarded_addresses() {
    let seeds = ["1.2.3.4, 127.0.0.1", "[::1]:80, unknown", "\"[2001:db8::1]\",, 10.0.0.1:9"]
        .map(|s| s.as_bytes().to_vec());
    let trusted = [TRUSTED.parse().unwrap()];
    let outside = "9.9.9.9".parse().unwrap();
    fuzz("forwarded addresses", &seeds, |input, _| {
        let headers = || input.split(|b| *b == b'\n');
        assert_eq!(client_address(outside, headers(), &trusted), outside);
        client_address("127.0.0.1".parse().unwrap(), headers(), &trusted);
    });
}
