//! The key file of a service account, and the signed claims that buy an access token with it.
//!
//! <https://developers.google.com/identity/protocols/oauth2/service-account#jwt-auth>

use std::fmt;

use serde::Deserialize;
use throughline_core::{Error, Result};

use crate::jwt::SigningKey;

/// Seconds that a signed claim lasts: the longest that Google takes.
const LIFE_S: i64 = 3600;

/// As Google Cloud hands it out.
#[derive(Deserialize)]
struct File {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: String,
    #[serde(default)]
    private_key_id: String,
    #[serde(default)]
    token_uri: String,
}

/// A key that can sign. Nothing of the key itself is ever shown.
#[derive(Clone)]
pub(crate) struct ServiceKey {
    pub email: String,
    pub token_uri: String,
    id: String,
    key: SigningKey,
    /// Stands for the key; not reversible.
    pub mark: String,
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceKey({})", self.email)
    }
}

impl ServiceKey {
    /// Reads the text of a key file.
    ///
    /// # Errors
    /// What is wrong with it, in words that hold nothing of it but the account's address.
    pub fn read(text: &str) -> std::result::Result<Self, String> {
        // serde's messages quote what they stumble over: of a key file only the place is told.
        let file: File = serde_json::from_str(text).map_err(|e| {
            let place = if e.line() > 0 { format!(" (line {})", e.line()) } else { String::new() };
            format!(
                "this is no key file of a service account: it is not the JSON that Google Cloud hands out{place}"
            )
        })?;
        match file.kind.as_str() {
            "service_account" => {}
            "authorized_user" => {
                return Err(
                    "this is a user's sign-in, no key of a service account; write client_id, client_secret \
                            and refresh_token instead"
                        .into(),
                );
            }
            _ => {
                return Err(
                    "this is no key file of a service account: its type is not service_account".into()
                );
            }
        }
        let missing: Vec<&str> = [
            ("client_email", &file.client_email),
            ("private_key", &file.private_key),
            ("token_uri", &file.token_uri),
        ]
        .into_iter()
        .filter(|(_, value)| value.is_empty())
        .map(|(name, _)| name)
        .collect();
        if !missing.is_empty() {
            return Err(format!("the key file lacks {}; download it anew", missing.join(", ")));
        }
        let https = url::Url::parse(&file.token_uri).is_ok_and(|u| {
            let loopback = matches!(u.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
            u.scheme() == "https" || (u.scheme() == "http" && loopback)
        });
        if !https {
            return Err("token_uri of the key file is no https address".into());
        }
        let key = SigningKey::from_pem(&file.private_key).ok_or_else(|| {
            format!("the private key of {} cannot be used; download the key file anew", file.client_email)
        })?;
        let mark = key.mark.clone();
        Ok(Self { email: file.client_email, token_uri: file.token_uri, id: file.private_key_id, key, mark })
    }

    /// A signed claim for the scope, good for an hour from `now_s` (seconds since 1970) on.
    pub fn assertion(&self, scope: &str, now_s: i64) -> Result<String> {
        let mut header = serde_json::json!({"alg": "RS256", "typ": "JWT"});
        if !self.id.is_empty() {
            header["kid"] = self.id.as_str().into();
        }
        let claims = serde_json::json!({
            "iss": self.email, "scope": scope, "aud": self.token_uri, "iat": now_s, "exp": now_s + LIFE_S,
        });
        self.key
            .sign(&header, &claims)
            .ok_or_else(|| Error::config(format!("the private key of {} cannot sign", self.email)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bad_key_files_are_told_without_their_content() {
        let key =
            |more: &str| format!("{{\"type\":\"service_account\",\"client_email\":\"a@b.example\"{more}}}");
        let secret = "-----BEGIN PRIVATE KEY-----\\nc2VjcmV0\\n-----END PRIVATE KEY-----\\n";
        for (text, said) in [
            ("c2VjcmV0".to_owned(), "no key file"),
            ("{\"private_key\":\"c2VjcmV0\"".to_owned(), "no key file"),
            ("{\"type\":\"c2VjcmV0\"}".to_owned(), "type is not service_account"),
            ("{\"type\":\"authorized_user\",\"refresh_token\":\"c2VjcmV0\"}".to_owned(), "a user's sign-in"),
            (key(""), "lacks private_key, token_uri"),
            (key(&format!(",\"private_key\":\"{secret}\",\"token_uri\":\"http://a.example/t\"")), "no https"),
            (
                key(&format!(",\"private_key\":\"{secret}\",\"token_uri\":\"https://a.example/t\"")),
                "cannot be used",
            ),
            (key(",\"private_key\":\"c2VjcmV0\",\"token_uri\":\"https://a.example/t\""), "cannot be used"),
            (key(",\"private_key\":7,\"token_uri\":\"https://a.example/t\""), "no key file"),
        ] {
            let error = ServiceKey::read(&text).map(|k| k.email).unwrap_err();
            assert!(error.contains(said) && !error.contains("c2VjcmV0"), "{error}");
        }
    }
}
