//! Any bytes at all: no parser panics, no request stops the server, nothing false is accepted.

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use throughline_receiver::parsers::{Checked, check_post, client_address, events, handshake};

use crate::support::{Server, raw, settings};

/// Text of these characters, or of these words.
fn text(of: &'static [&'static str], most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(of), 0..most).prop_map(|words| words.concat())
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"id\"",
    "\"kind\"",
    "\"at\"",
    "\"visit\"",
    "\"0123456789abcdef\"",
    "1",
    "1e999",
    "-",
    "null",
    "\"\\ud800\"",
    " ",
    "Привет",
];
const ADDRESSES: &[&str] =
    &["1", ".", ":", ",", " ", "[", "]", "\"", "f", "1.2.3.4", "127.0.0.1", "::1", "unknown", "/8"];
const WORDS: &[&str] = &[
    "hub.mode=subscribe",
    "hub.verify_token=",
    "hub.challenge=1",
    "&",
    "=",
    "%",
    "%ff",
    "sig=",
    "vt-",
    "x",
    "+",
    "ж",
    "00",
];

proptest! {
    #[test]
    fn site_events(body in prop::collection::vec(any::<u8>(), 0..512)) {
        let _ = events(&body);
    }

    #[test]
    fn site_events_of_json(inner in text(JSON, 24)) {
        let _ = events(inner.as_bytes());
        let _ = events(format!("{{\"v\":1,\"events\":[{inner}]}}").as_bytes());
    }

    #[test]
    fn forwarded_addresses(headers in prop::collection::vec(text(ADDRESSES, 12), 0..4)) {
        let trusted = [crate::support::TRUSTED.parse().unwrap()];
        let headers: Vec<&[u8]> = headers.iter().map(|h| h.as_bytes()).collect();
        let outside = "9.9.9.9".parse().unwrap();
        prop_assert_eq!(client_address(outside, headers.iter().copied(), &trusted), outside);
        client_address("127.0.0.1".parse().unwrap(), headers.into_iter(), &trusted);
    }

    #[test]
    fn nothing_unproved_is_accepted(
        body in prop::collection::vec(any::<u8>(), 0..256),
        value in prop::collection::vec(any::<u8>(), 0..90),
        query in text(WORDS, 12),
        path in prop::option::of(text(WORDS, 4)),
    ) {
        for hook in settings().hooks {
            let mut headers = HeaderMap::new();
            for name in ["x-hub-signature-256", "x-viber-content-signature", "x-telegram-bot-api-secret-token", "authorization", "x-flow-key"] {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
            let checked = check_post(&hook.verify, &headers, path.as_deref(), &query, &body);
            prop_assert!(!matches!(checked, Checked::Good(_)));
            prop_assert!(matches!(handshake(&hook.verify, &query), Checked::Bad(_)));
        }
    }

    #[test]
    fn one_flipped_bit_is_found(body in prop::collection::vec(any::<u8>(), 1..128), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let hook = settings().hooks.remove(0);
        let mut headers = HeaderMap::new();
        let signature = crate::support::meta_signature(&body);
        headers.insert("x-hub-signature-256", HeaderValue::from_str(&signature).unwrap());
        prop_assert!(matches!(check_post(&hook.verify, &headers, None, "", &body), Checked::Good(Some(_))));
        let mut other = body.clone();
        other[at.index(body.len())] ^= 1 << bit;
        prop_assert_eq!(check_post(&hook.verify, &headers, None, "", &other), Checked::Bad("signature"));
    }
}

/// Requests that are broken in every way a generator finds; afterwards it still serves.
#[tokio::test]
async fn broken_requests() {
    let mut quick = settings();
    quick.limits.head_timeout = std::time::Duration::from_millis(50);
    quick.limits.body_timeout = std::time::Duration::from_millis(50);
    let server = Server::with(quick, throughline_store::inbox::InboxOptions::default()).await;
    let whole = crate::support::request(
        "POST",
        "/hooks/vk?a=%ff",
        &[("X-Forwarded-For", "1.2.3.4"), ("Transfer-Encoding", "chunked")],
        b"5\r\nhello\r\n0\r\n\r\n",
    );
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move |most: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % most as u64).unwrap()
    };
    for _ in 0..150 {
        let mut bytes = whole.clone();
        for _ in 0..=next(6) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = u8::try_from(next(256)).unwrap(),
                1 => bytes.truncate(at + 1),
                2 => bytes.insert(at, b'\n'),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        let reply = raw(server.address, &bytes).await;
        assert!(reply.status == 0 || reply.status >= 400, "{}: {reply:?}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(server.get("/healthz").await.status, 200);
    assert!(server.stored("vk").is_empty());
}
