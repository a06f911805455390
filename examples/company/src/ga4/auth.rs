//! `https://oauth2.googleapis.com/token`: signed claims of a service account, and a user's refresh token.

use std::sync::{Mutex, OnceLock};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Call, pretty, refuse};
use crate::consent::Consents;
use crate::reply::{Reply, lock, pairs};

pub const EMAIL: &str = "throughline@studio-svet.iam.gserviceaccount.com";
pub const KEY_ID: &str = "2f6c1e0a9b";
pub const CLIENT_ID: &str = "77-studio.apps.googleusercontent.com";
pub const CLIENT_SECRET: &str = "company-google-client-secret";
pub const REFRESH_TOKEN: &str = "1//company-google-refresh-token";
pub const ANALYTICS: &str = "https://www.googleapis.com/auth/analytics.readonly";
pub const BIGQUERY: &str = "https://www.googleapis.com/auth/bigquery";
/// Seconds that an access token lives.
const LIFE_S: i64 = 3600;

struct Token {
    text: String,
    scope: String,
    until: i64,
}

pub struct Auth {
    seed: u64,
    skew_s: i64,
    tokens: Mutex<Vec<Token>>,
    given: Mutex<u64>,
    pub consents: Consents,
}

/// Made when somebody asks for it: its making takes a while, and nothing in a repository should look like a key.
fn key() -> Option<&'static KeyPair> {
    static KEY: OnceLock<Option<KeyPair>> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).ok()).as_ref()
}

/// The private key as text (PEM).
pub fn pem() -> String {
    let der = key().and_then(|k| k.as_der().ok());
    let text = der.map(|der| STANDARD.encode(der.as_ref())).unwrap_or_default();
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

/// The key file as Google Cloud hands it out; `base` is where the company answers.
pub fn key_file(base: &str) -> String {
    let pem = pem();
    let file = json!({
        "type": "service_account", "project_id": super::bigquery::PROJECT, "private_key_id": KEY_ID, "private_key": pem,
        "client_email": EMAIL, "client_id": "104000000000000000077",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth", "token_uri": format!("{base}/token"),
        "universe_domain": "googleapis.com",
    });
    pretty(&file)
}

fn denied(error: &str, description: &str) -> Reply {
    Reply::json(400, pretty(&json!({"error": error, "error_description": description})))
}

impl Auth {
    pub fn new(seed: u64, skew_s: i64) -> Auth {
        Auth {
            seed,
            skew_s,
            tokens: Mutex::default(),
            given: Mutex::default(),
            consents: Consents::default(),
        }
    }

    /// Every access token is void from now on.
    pub fn expire(&self) {
        lock(&self.tokens).clear();
    }

    pub fn grant(&self, call: &Call) -> Reply {
        if call.method != "POST" {
            return refuse(405, "METHOD_NOT_ALLOWED", "", "POST is needed");
        }
        let body = String::from_utf8_lossy(call.body);
        let form = pairs(&body);
        let get = |name: &str| form.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str());
        let mut first = false;
        let scope = match get("grant_type") {
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                match claims(get("assertion"), call, self.skew_s) {
                    Ok(scope) => scope,
                    Err(why) => return denied("invalid_grant", &why),
                }
            }
            "refresh_token" => {
                if (get("client_id"), get("client_secret")) != (CLIENT_ID, CLIENT_SECRET) {
                    return Reply::json(
                        401,
                        pretty(&json!({"error": "invalid_client", "error_description": "Unauthorized"})),
                    );
                }
                if get("refresh_token") != REFRESH_TOKEN {
                    return denied("invalid_grant", "Token has been expired or revoked.");
                }
                format!("{ANALYTICS} {BIGQUERY}")
            }
            "authorization_code" => {
                if (get("client_id"), get("client_secret")) != (CLIENT_ID, CLIENT_SECRET)
                    || !self.consents.redeem(get("code"), Some(get("redirect_uri")), get("code_verifier"))
                {
                    return denied("invalid_grant", "Malformed auth code.");
                }
                first = true;
                format!("{ANALYTICS} {BIGQUERY}")
            }
            _ => return denied("unsupported_grant_type", "Invalid grant_type"),
        };
        let mut given = lock(&self.given);
        *given += 1;
        let text = format!("ya29.c.company-{}-{}", self.seed, *given);
        lock(&self.tokens).push(Token { text: text.clone(), scope: scope.clone(), until: call.now + LIFE_S });
        let mut answer =
            json!({"access_token": text, "expires_in": LIFE_S - 1, "token_type": "Bearer", "scope": scope});
        // Only somebody's consent gives a refresh token.
        if first {
            answer["refresh_token"] = REFRESH_TOKEN.into();
        }
        Reply::json(200, pretty(&answer))
    }

    /// # Errors
    /// The answer to somebody without a good token for the scope.
    pub fn allows(&self, call: &Call, scope: &str) -> Result<(), Reply> {
        let token = call.authorization.strip_prefix("Bearer ").unwrap_or_default();
        let tokens = lock(&self.tokens);
        let Some(found) = tokens.iter().find(|t| t.text == token && call.now < t.until) else {
            return Err(super::failure(call.path, 401));
        };
        if found.scope.split(' ').any(|s| s == scope) {
            return Ok(());
        }
        Err(refuse(
            403,
            "PERMISSION_DENIED",
            "insufficientPermissions",
            "Request had insufficient authentication scopes.",
        ))
    }
}

/// Header and claims of a claim that our key signed.
pub fn signed(jwt: &str) -> Result<(Value, Value), String> {
    let bad = || "Invalid JWT: Token must be in JWT form".to_owned();
    let (signed, signature) = jwt.rsplit_once('.').ok_or_else(bad)?;
    let (header, claims) = signed.split_once('.').ok_or_else(bad)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| bad());
    let header: Value = serde_json::from_slice(&decode(header)?).map_err(|_| bad())?;
    let claims: Value = serde_json::from_slice(&decode(claims)?).map_err(|_| bad())?;
    let key = key().ok_or("no key")?;
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(signed.as_bytes(), &decode(signature)?).map_err(|_| "Invalid JWT Signature.".to_owned())?;
    Ok((header, claims))
}

/// The scope of a signed claim that is as it should be.
fn claims(jwt: &str, call: &Call, skew_s: i64) -> Result<String, String> {
    let (header, claims) = signed(jwt)?;
    if header["alg"] != "RS256" || header["typ"] != "JWT" || header["kid"] != KEY_ID {
        return Err("Invalid JWT header".to_owned());
    }
    let aud = format!("{}/token", call.base);
    if claims["iss"] != EMAIL || claims["aud"] != aud.as_str() {
        return Err("Invalid JWT: iss or aud".to_owned());
    }
    let (iat, exp) = (claims["iat"].as_i64().unwrap_or(0), claims["exp"].as_i64().unwrap_or(0));
    if exp - iat > 3600 || exp <= call.now || iat > call.now + skew_s {
        return Err(
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
                .to_owned(),
        );
    }
    let scope = claims["scope"].as_str().unwrap_or_default();
    if scope.is_empty() {
        return Err("Invalid OAuth scope or ID token audience provided.".to_owned());
    }
    Ok(scope.to_owned())
}
