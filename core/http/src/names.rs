//! Secrets known by the name they stand under, before anybody registered their value: what a vendor
//! hands out in answers (`access_token`), and what requests carry (`client_secret`, `Authorization`).

use std::ops::Range;

use memchr::memmem;
use throughline_core::Redactor;

/// Query parameters, compared in lower case without `_`, `-` and `.`. Whole names: `page_token` and
/// `filter[key]` are data.
const QUERY: &[&str] = &[
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "appsecret",
    "appsecretproof",
    "assertion",
    "auth",
    "authkey",
    "authorization",
    "authtoken",
    "bearer",
    "clientassertion",
    "clientsecret",
    "hapikey",
    "idtoken",
    "jwt",
    "key",
    "oauthtoken",
    "passwd",
    "password",
    "privatekey",
    "pwd",
    "refreshtoken",
    "secret",
    "secretkey",
    "sessionid",
    "sessiontoken",
    "sig",
    "signature",
    "token",
    "xamzsecuritytoken",
    "xamzsignature",
];

const HEADERS: &[&str] = &[
    "authorization",
    "proxyauthorization",
    "cookie",
    "apikey",
    "authtoken",
    "accesstoken",
    "apitoken",
    "authkey",
];

/// Fields of bodies. Exact, because data has fields named `key` and `token` too.
const FIELDS: &[&str] = &[
    "access_token",
    "accessToken",
    "refresh_token",
    "refreshToken",
    "id_token",
    "idToken",
    "client_secret",
    "clientSecret",
    "app_secret",
    "auth_token",
    "authToken",
    "session_token",
    "sessionToken",
    "api_key",
    "apiKey",
    "apikey",
    "private_key",
    "password",
    "passwd",
    "client_assertion",
    "assertion",
    "jwt",
];

/// Values shorter than this are hidden where they stand but not looked for elsewhere: nobody said
/// that they are secret, and `key=2024` must not hide every 2024.
const SHORTEST_LEARNED: usize = 12;

pub fn is_secret_query(name: &str) -> bool {
    QUERY.contains(&plain(name).as_str())
}

pub fn is_secret_header(name: &str) -> bool {
    let name = plain(name);
    HEADERS.contains(&name.strip_prefix('x').unwrap_or(&name)) || is_secret_query(&name)
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | '.')).map(|c| c.to_ascii_lowercase()).collect()
}

/// Registers the value of a header or query parameter whose name says that it is secret.
pub fn learn(redactor: &Redactor, value: &str) {
    // `Bearer xyz`: the scheme is no secret.
    let value = value.trim().rsplit_once(' ').map_or(value.trim(), |(_, credential)| credential);
    if value.len() >= SHORTEST_LEARNED {
        redactor.register_text(value);
    }
}

/// Registers the tokens that a body hands out or carries.
pub fn learn_from_body(redactor: &Redactor, body: &[u8]) {
    for range in secret_values(body) {
        if let Ok(value) = std::str::from_utf8(&body[range]) {
            learn(redactor, value);
        }
    }
}

/// Where the values of secret fields are in JSON, in JSON inside a JSON string, or in a form.
pub fn secret_values(body: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for name in FIELDS {
        for at in memmem::find_iter(body, name) {
            let before = at.checked_sub(1).map(|i| body[i]);
            if before.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
                continue;
            }
            found.extend(value_after(body, at + name.len()));
        }
    }
    found
}

/// The value that follows a name: `": "value"`, `\":\"value\"` or `=value`.
fn value_after(body: &[u8], mut at: usize) -> Option<Range<usize>> {
    if body.get(at) == Some(&b'=') {
        let length = body[at + 1..].iter().take_while(|b| {
            !matches!(b, b'&' | b'"' | b'\'' | b'<' | b'\\' | b';') && !b.is_ascii_whitespace()
        });
        let range = at + 1..at + 1 + length.count();
        return (!range.is_empty()).then_some(range);
    }
    let quote = quote_at(body, at)?;
    at = skip_space(body, at + quote.len());
    if body.get(at) != Some(&b':') {
        return None;
    }
    at = skip_space(body, at + 1);
    // Numbers, null and objects are no tokens.
    if quote_at(body, at)? != quote {
        return None;
    }
    let start = at + quote.len();
    let mut end = start;
    while end < body.len() {
        if quote.len() == 1 {
            match body[end] {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        } else {
            // One level down, a quotation mark inside the value has more backslashes than its ends.
            match quote_at(body, end) {
                Some(closing) if closing.len() <= quote.len() => break,
                Some(escaped) => end += escaped.len(),
                None => end += 1,
            }
        }
    }
    Some(start..end.min(body.len()))
}

/// A quotation mark with the backslashes before it.
fn quote_at(body: &[u8], at: usize) -> Option<&[u8]> {
    let slashes = body.get(at..)?.iter().take_while(|b| **b == b'\\').count();
    (slashes < 8 && body.get(at + slashes) == Some(&b'"')).then(|| &body[at..=at + slashes])
}

fn skip_space(body: &[u8], mut at: usize) -> usize {
    while body.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use throughline_core::secret::replace;

    use super::*;

    fn hide(body: &str) -> String {
        String::from_utf8(replace(body.as_bytes(), secret_values(body.as_bytes())).into_owned()).unwrap()
    }

    #[test]
    fn tokens_go_by_name() {
        let cases = [
            (
                r#"{"access_token":"abc","expires_in":5,"refresh_token" : "d\"e\\"}"#,
                r#"{"access_token":"***","expires_in":5,"refresh_token" : "***"}"#,
            ),
            ("client_id=1&client_secret=s%20x&code=2", "client_id=1&client_secret=***&code=2"),
            (r#"{"body":"{\"id_token\":\"abc\",\"a\":1}"}"#, r#"{"body":"{\"id_token\":\"***\",\"a\":1}"}"#),
            (
                r#"{"my_access_token_x":"a","access_token":null,"api_key":{"a":1}}"#,
                r#"{"my_access_token_x":"a","access_token":null,"api_key":{"a":1}}"#,
            ),
            (r#"{"access_token":"cut"#, r#"{"access_token":"***"#),
            (r#"{"access_token"#, r#"{"access_token"#),
            (r#"{"access_token":"#, r#"{"access_token":"#),
            (r#"{"password":""}"#, r#"{"password":"***"}"#),
        ];
        for (body, expected) in cases {
            assert_eq!(hide(body), expected);
        }
    }

    #[test]
    fn names_are_whole() {
        for name in ["access_token", "API-Key", "client.secret", "token", "X-Amz-Signature"] {
            assert!(is_secret_query(name), "{name}");
        }
        for name in ["page_token", "pageToken", "filter[key]", "monkey", "tokens"] {
            assert!(!is_secret_query(name), "{name}");
        }
        for name in ["Authorization", "X-Api-Key", "x-auth-token", "Cookie"] {
            assert!(is_secret_header(name), "{name}");
        }
        assert!(!is_secret_header("content-type"));
    }

    #[test]
    fn nonsense_does_not_confuse_it() {
        use rand::{Rng, SeedableRng};
        let mut rng = rand::rngs::StdRng::seed_from_u64(3);
        let parts: [&[u8]; 12] = [
            b"access_token",
            b"jwt",
            b"\"",
            b"\\",
            b":",
            b"=",
            b" ",
            b"&",
            b"\xff",
            "й".as_bytes(),
            b"secret",
            b"{",
        ];
        for _ in 0..20_000 {
            let mut body = Vec::new();
            for _ in 0..rng.random_range(0..12) {
                body.extend_from_slice(parts[rng.random_range(0..parts.len())]);
            }
            for range in secret_values(&body) {
                assert!(range.start <= range.end && range.end <= body.len(), "{range:?} {body:?}");
            }
            let hidden = replace(&body, secret_values(&body)).into_owned();
            assert_eq!(
                replace(&hidden, secret_values(&hidden)),
                hidden,
                "hiding twice changes nothing: {body:?}"
            );
        }
    }
}
