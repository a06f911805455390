//! `X-Hub-Signature-256`: HMAC-SHA256 of the raw body with the app's secret.
//!
//! Source: Meta, "Webhooks: validating payloads". Meta escapes non-ASCII text as `\uXXXX` and signs that
//! form: the received bytes are checked, never JSON written anew.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use throughline_core::Secret;

/// Why a delivery cannot be trusted. Compares in constant time.
pub(crate) fn verify(secret: &Secret, header: Option<&str>, body: &[u8]) -> Result<(), &'static str> {
    let header = header.ok_or("the delivery has no X-Hub-Signature-256")?;
    let hex =
        header.trim().strip_prefix("sha256=").ok_or("X-Hub-Signature-256 does not begin with sha256=")?;
    let given = bytes(hex).ok_or("X-Hub-Signature-256 is no 64 hexadecimal digits")?;
    fits(secret, &given, body, "X-Hub-Signature-256 does not fit the body: not from Meta, or another app's")
}

/// `X-Viber-Content-Signature`: the same with the bot's token, without a prefix.
///
/// Source: Viber REST Bot API, "Callbacks: validating the signature".
pub(crate) fn verify_viber(secret: &Secret, header: Option<&str>, body: &[u8]) -> Result<(), &'static str> {
    let header = header.ok_or("the delivery has no X-Viber-Content-Signature")?;
    let given = bytes(header.trim()).ok_or("X-Viber-Content-Signature is no 64 hexadecimal digits")?;
    fits(
        secret,
        &given,
        body,
        "X-Viber-Content-Signature does not fit the body: not from Viber, or another bot's",
    )
}

fn fits(secret: &Secret, given: &[u8; 32], body: &[u8], otherwise: &'static str) -> Result<(), &'static str> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).map_err(|_| "the secret is unusable")?;
    mac.update(body);
    mac.verify_slice(given).map_err(|_| otherwise)
}

fn bytes(hex: &str) -> Option<[u8; 32]> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_viber() {
        let key = Secret::new("4453b6ac12345678-e02c5f12174805f9-daec9cbb5448c51f");
        let body = r#"{"event":"message","message":{"type":"text","text":"привет"}}"#.as_bytes();
        let good = "9ea8c1808a28bcdc5721860f10b895f9fa1ed844a6e9bd5b2dbf32e18f51da26";
        assert_eq!(verify_viber(&key, Some(good), body), Ok(()));
        for (header, body) in [(None, body), (Some(&good[1..]), body), (Some(good), &body[1..])] {
            assert!(verify_viber(&key, header, body).is_err());
        }
    }

    #[test]
    fn vectors() {
        let key = Secret::new("test_app_secret");
        let ascii = br#"{"object":"page","entry":[]}"#;
        let good = "sha256=5da47c9c7409e70d7a1851f0cfd9bc27786bd99587a9bf1dd5b51e23a2de03cf";
        assert_eq!(verify(&key, Some(good), ascii), Ok(()));
        let escaped = br#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messages":[{"text":{"body":"\u043f\u0440\u0438\u0432\u0435\u0442"}}]}}]}]}"#;
        let good = "sha256=432f3f3c1815a0bcbb300f92a9d97e7a3cf5ce645ace3e758e7ae3cd54cc96fd";
        assert_eq!((escaped.len(), verify(&key, Some(good), escaped)), (172, Ok(())));
        // The same JSON written anew.
        let anew = r#"{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messages":[{"text":{"body":"привет"}}]}}]}]}"#;
        assert!(verify(&key, Some(good), anew.as_bytes()).is_err());
        for bad in [None, Some(""), Some("sha256=00"), Some("sha1=x"), Some(&good[..70]), Some("sha256=зз")]
        {
            assert!(verify(&key, bad, escaped).is_err(), "{bad:?}");
        }
        assert!(verify(&Secret::new("other"), Some(good), escaped).is_err());
    }
}
