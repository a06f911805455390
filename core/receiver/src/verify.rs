//! Is it the vendor's? Over the raw bytes, in constant time, before anything else looks at them.

use hmac::{Hmac, Mac};
use hyper::HeaderMap;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use throughline_core::Secret;
use throughline_store::inbox::DeliveryHash;

use crate::endpoint::{Verify, is_name};

/// What came of a look at a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is the vendor's, and is known by this; `None` when its vendor has no key and may send the same twice.
    Good(Option<DeliveryHash>),
    /// It is nothing to keep; answer with this.
    Answer(String),
    /// The reason, for metrics and logs.
    Bad(&'static str),
}

/// A POST: `rest` is what stands behind `/hooks/<source>/`, a secret or the name of an event.
pub fn check_post(
    verify: &Verify,
    headers: &HeaderMap,
    rest: Option<&str>,
    query: &str,
    body: &[u8],
) -> Checked {
    // Only where something is expected may there be something: a wrong URL should be found at once.
    if rest.is_some() && !matches!(verify, Verify::Path { .. } | Verify::Comagic { .. }) {
        return Checked::Bad("path");
    }
    let whole = || Checked::Good(Some(DeliveryHash::of(body)));
    match verify {
        Verify::Meta { app_secret, .. } => {
            match text(headers, "x-hub-signature-256").and_then(|h| h.trim().strip_prefix("sha256=")) {
                None => Checked::Bad("no_signature"),
                Some(hex) if signed(app_secret, body, hex) => whole(),
                Some(_) => Checked::Bad("signature"),
            }
        }
        Verify::Viber { auth_token } => {
            let in_query = || parameter(query, "sig");
            match text(headers, "x-viber-content-signature").map(str::to_owned).or_else(in_query) {
                None => Checked::Bad("no_signature"),
                Some(hex) if signed(auth_token, body, hex.trim()) => whole(),
                Some(_) => Checked::Bad("signature"),
            }
        }
        Verify::Telegram { secret } => match text(headers, "x-telegram-bot-api-secret-token") {
            None => Checked::Bad("no_secret"),
            // By the body, not by update_id: that may start anew at random after a quiet week.
            Some(given) if same(secret.expose(), given) => whole(),
            Some(_) => Checked::Bad("secret"),
        },
        Verify::Vk { secret, confirmation } => vk(secret, confirmation.as_ref(), body),
        Verify::Bearer { token } => {
            let given = text(headers, "authorization").and_then(|h| h.trim().split_once(' '));
            match given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) {
                Some((_, given)) if same(token.expose(), given.trim()) => whole(),
                Some(_) => Checked::Bad("secret"),
                // Wazzup asks so before it knows the key. Nothing is kept of it.
                None if is_test(body) => Checked::Answer(String::new()),
                None => Checked::Bad("no_secret"),
            }
        }
        // Builders may well send the same again and mean it: a pressed button has no number.
        Verify::Header { name, secret } => match text(headers, name) {
            None => Checked::Bad("no_secret"),
            Some(given) if same(secret.expose(), given.trim()) => Checked::Good(request_key(headers)),
            Some(_) => Checked::Bad("secret"),
        },
        Verify::Comagic { secret } => comagic(secret, headers, rest, body),
        Verify::Path { secret } => match rest {
            None => Checked::Bad("no_secret"),
            Some(given) if same(secret.expose(), given) => Checked::Good(request_key(headers)),
            Some(_) => Checked::Bad("secret"),
        },
    }
}

/// Meta's handshake: `?hub.mode=subscribe&hub.verify_token=..&hub.challenge=..`, answered with the challenge.
pub fn handshake(verify: &Verify, query: &str) -> Checked {
    let Verify::Meta { verify_token: Some(token), .. } = verify else { return Checked::Bad("method") };
    if parameter(query, "hub.mode").as_deref() != Some("subscribe") {
        return Checked::Bad("handshake");
    }
    match parameter(query, "hub.verify_token") {
        Some(given) if same(token.expose(), &given) => {}
        Some(_) => return Checked::Bad("secret"),
        None => return Checked::Bad("no_secret"),
    }
    // A number, says Meta; nothing that a browser could take for a page goes back in any case.
    match parameter(query, "hub.challenge") {
        Some(challenge)
            if (1..=128).contains(&challenge.len())
                && challenge.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')) =>
        {
            Checked::Answer(challenge)
        }
        _ => Checked::Bad("handshake"),
    }
}

fn vk(secret: &Secret, confirmation: Option<&Secret>, body: &[u8]) -> Checked {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "type", default)]
        kind: String,
        secret: Option<String>,
        event_id: Option<String>,
    }
    let Ok(parsed) = serde_json::from_slice::<Body>(body) else { return Checked::Bad("body") };
    let fits = parsed.secret.as_deref().map(|given| same(secret.expose(), given));
    match (parsed.kind.as_str(), fits) {
        (_, Some(false)) => Checked::Bad("secret"),
        // Asked before the secret is set, too; the code opens nothing.
        ("confirmation", _) => match confirmation {
            Some(code) => Checked::Answer(code.expose().to_owned()),
            None => Checked::Bad("no_confirmation"),
        },
        (_, None) => Checked::Bad("no_secret"),
        (_, Some(true)) => {
            let key = parsed.event_id.filter(|id| !id.is_empty());
            Checked::Good(Some(DeliveryHash::of(key.as_deref().map_or(body, str::as_bytes))))
        }
    }
}

/// Chat API callbacks: a bearer token, or `user:password` for Basic.
fn comagic(secret: &Secret, headers: &HeaderMap, event: Option<&str>, body: &[u8]) -> Checked {
    use base64::Engine as _;
    let decoded = |coded: &str| base64::engine::general_purpose::STANDARD.decode(coded).ok();
    let given = text(headers, "authorization").and_then(|h| h.trim().split_once(' '));
    let fits = match given.map(|(scheme, given)| (scheme.to_ascii_lowercase(), given.trim())) {
        Some((scheme, given)) if scheme == "bearer" => same(secret.expose(), given),
        Some((scheme, given)) if scheme == "basic" => decoded(given)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .is_some_and(|given| same(secret.expose(), &given)),
        _ => return Checked::Bad("no_secret"),
    };
    if !fits {
        return Checked::Bad("secret");
    }
    match event {
        Some(event) if event.split('/').all(is_name) => {
            // A message has a number; a chat may well be closed twice for the same reason.
            let numbered = matches!(event, "message" | "message/status");
            Checked::Good(
                numbered.then(|| DeliveryHash::of(&[event.as_bytes(), b"\n".as_slice(), body].concat())),
            )
        }
        _ => Checked::Bad("path"),
    }
}

fn is_test(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Test {
        test: bool,
    }
    serde_json::from_slice::<Test>(body).is_ok_and(|t| t.test)
}

/// `Idempotency-Key`, for whoever writes the flow and wants repeats to be known.
fn request_key(headers: &HeaderMap) -> Option<DeliveryHash> {
    text(headers, "idempotency-key").filter(|k| !k.is_empty()).map(|k| DeliveryHash::of(k.as_bytes()))
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The first value of a query parameter, decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    url::form_urlencoded::parse(query.as_bytes()).find(|(k, _)| k == name).map(|(_, v)| v.into_owned())
}

/// Equal texts, in a time that tells nothing of where they differ or how long the secret is.
pub fn same(secret: &str, given: &str) -> bool {
    let (a, b) = (Sha256::digest(secret.as_bytes()), Sha256::digest(given.as_bytes()));
    !secret.is_empty() && bool::from(a.as_slice().ct_eq(b.as_slice()))
}

fn signed(key: &Secret, body: &[u8], hex: &str) -> bool {
    let Some(given) = bytes_of(hex) else { return false };
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()) else { return false };
    mac.update(body);
    !key.expose().is_empty() && mac.verify_slice(&given).is_ok()
}

fn bytes_of(hex: &str) -> Option<[u8; 32]> {
    let hex = hex.as_bytes();
    let mut out = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        *byte = digit(pair.first()?)? << 4 | digit(pair.last()?)?;
    }
    Some(out)
}
