//! Access tokens: bought with a service account's signed claim, or in the name of a user who let an OAuth client in;
//! kept in the host's token store so that runs and processes share them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use throughline_core::http::{HttpRequest, Method, Verdict};
use throughline_core::{Context, DynConsent, Error, ErrorKind, Result, Secret, TokenPair};

use super::account;
use super::key::ServiceKey;
use crate::manifest::SignIn;

const USER: &str = "connectors/src/google/user.toml";
/// Of a user's refresh token that stands in the pipeline.
const STALE: &str = "the refresh token may be revoked, unused for six months, or of a consent screen in testing (seven \
                     days): sign in again by `throughline auth SOURCE`, or put a new one into the pipeline";
/// Part of its life a token is used for.
const USED_PERCENT: i64 = 90;
const TIMEOUT: Duration = Duration::from_secs(30);

/// The options that say how to sign in, as a user wrote them.
pub(crate) struct Given<'a> {
    pub service_account: Option<&'a Secret>,
    pub client_id: Option<&'a str>,
    pub client_secret: Option<&'a Secret>,
    pub refresh_token: Option<&'a Secret>,
    pub token_url: Option<&'a str>,
    pub auth_url: Option<&'a str>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    Service(ServiceKey),
    User {
        client_id: String,
        /// Whether the refresh token stands in the pipeline; else a browser brings it.
        written: bool,
        sign_in: SignIn,
    },
    /// What stands in a key file's place where there are no secrets (a pipeline that is only looked at): why it
    /// cannot sign.
    Unreadable(String),
}

impl Credentials {
    /// Tells `wrong` what is wrong, with the option it is about.
    pub fn new(given: &Given<'_>, scope: &str, wrong: &mut dyn FnMut(String, &str)) -> Option<Self> {
        let user = [
            ("/client_id", given.client_id.is_some()),
            ("/client_secret", given.client_secret.is_some()),
            ("/refresh_token", given.refresh_token.is_some()),
        ];
        let some_user = user.iter().any(|(_, there)| *there);
        match given.service_account {
            Some(_) if some_user => {
                let place = user.iter().find(|(_, there)| *there).map_or("/client_id", |(name, _)| name);
                wrong("service_account signs in already: leave out one of the two ways".into(), place);
                None
            }
            Some(key) => match ServiceKey::read(key.expose()) {
                Ok(key) => Some(Self::Service(key)),
                Err(why) if !key.expose().trim_start().starts_with('{') => Some(Self::Unreadable(why)),
                Err(why) => {
                    wrong(why, "/service_account");
                    None
                }
            },
            None if !some_user => {
                wrong(
                    "service_account is needed, or client_id and client_secret of an OAuth client".into(),
                    "",
                );
                None
            }
            None => {
                let (Some(client_id), Some(client_secret)) = (given.client_id, given.client_secret) else {
                    let needed = user[..2].iter();
                    let missing: Vec<&str> =
                        needed.filter(|(_, there)| !there).map(|(name, _)| &name[1..]).collect();
                    wrong(format!("{} is needed too, to sign in as a user", missing.join(" and ")), "");
                    return None;
                };
                // Users of one client are told apart by the refresh tokens that are written for them.
                let user = given.refresh_token.map(|r| format!(":{}", mark(r.expose())));
                let values = json!({
                    "client_id": client_id, "client_secret": client_secret.expose(),
                    "refresh_token": given.refresh_token.map(Secret::expose), "user": user,
                    "scope": scope, "scope_name": scope.rsplit('/').next(),
                    "token_url": given.token_url, "auth_url": given.auth_url,
                });
                let values = values.as_object().cloned().unwrap_or_default();
                match SignIn::new(include_str!("user.toml"), USER, values) {
                    Ok(sign_in) => Some(Self::User {
                        client_id: client_id.to_owned(),
                        written: given.refresh_token.is_some(),
                        sign_in,
                    }),
                    Err(problems) => {
                        problems.iter().for_each(|p| wrong(p.to_string(), "/client_id"));
                        None
                    }
                }
            }
        }
    }

    /// For people: who has to have rights on what is read.
    pub fn who(&self) -> String {
        match self {
            Self::Service(key) => key.email.clone(),
            Self::User { client_id, .. } => format!("the user of the client {client_id}"),
            Self::Unreadable(_) => "nobody".into(),
        }
    }

    /// The user's way through a browser.
    pub fn consent(&self) -> Option<DynConsent> {
        match self {
            Self::User { sign_in, .. } => sign_in.consent(),
            Self::Service(_) | Self::Unreadable(_) => None,
        }
    }
}

/// Stands for a secret; not reversible.
fn mark(secret: &str) -> String {
    Sha256::digest(secret).iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// Hands out access tokens of one scope.
#[derive(Debug)]
pub(crate) struct Access {
    credentials: Credentials,
    scope: &'static str,
    /// The pair in use, so that not every request asks the store.
    cached: Mutex<Option<TokenPair>>,
}

#[derive(Deserialize)]
struct Bought {
    access_token: String,
    #[serde(default)]
    expires_in: Option<u64>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Access {
    pub fn new(credentials: Credentials, scope: &'static str) -> Arc<Self> {
        Arc::new(Self { credentials, scope, cached: Mutex::new(None) })
    }

    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    fn keep(&self, pair: &TokenPair) -> Secret {
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some(pair.clone());
        pair.access.clone()
    }

    /// A token to use now; `refused` is one that was just refused.
    ///
    /// # Errors
    /// `Auth` when Google gives none; temporary ones of the network.
    pub async fn token(&self, ctx: &Context, refused: Option<&Secret>) -> Result<Secret> {
        let key = match &self.credentials {
            Credentials::Service(key) => key,
            Credentials::User { written, sign_in, .. } => {
                return sign_in.token(ctx, refused).await.map_err(|error| match error.kind() {
                    ErrorKind::Auth if *written => error.hint(STALE),
                    _ => error,
                });
            }
            Credentials::Unreadable(why) => {
                return Err(Error::config(format!("service_account: {why}"))
                    .hint("download the account's key as JSON in Google Cloud and write service_account = { file = \"key.json\" }"));
            }
        };
        let from = key.mark.clone();
        let usable = |pair: &TokenPair| {
            let due = pair.extra.get("renew_at_us").and_then(serde_json::Value::as_i64);
            pair.extra.get("from").and_then(serde_json::Value::as_str) == Some(from.as_str())
                && refused.is_none_or(|r| *r != pair.access)
                && due.is_none_or(|due| ctx.clock.now_us() < due)
        };
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(pair) = cached.filter(usable) {
            return Ok(pair.access);
        }
        let scope = self.scope.rsplit('/').next().unwrap_or(self.scope);
        let account = format!("google:{scope}:{from}");
        if let Some(pair) = ctx.tokens.load(&account).await?.filter(usable) {
            return Ok(self.keep(&pair));
        }
        // One buyer at a time; another may just have been faster.
        let mut lease = ctx.tokens.lease(&account).await?;
        if let Some(pair) = lease.current().await?.filter(usable) {
            return Ok(self.keep(&pair));
        }
        let pair = self.buy(ctx, key, &from).await?;
        lease.save(&pair).await?;
        Ok(self.keep(&pair))
    }

    async fn buy(&self, ctx: &Context, key: &ServiceKey, from: &str) -> Result<TokenPair> {
        let now = ctx.clock.now_us();
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", &key.assertion(self.scope, now.div_euclid(1_000_000))?)
            .finish();
        let mut request = HttpRequest::new(Method::Post, &key.token_uri, account("google_oauth", from, 1))
            .header("content-type", "application/x-www-form-urlencoded");
        request.body = Some(form.into());
        // Asking twice gives two tokens, and both are good.
        request.idempotent = true;
        request.timeout = TIMEOUT;
        request.max_response_bytes = 1 << 20;
        let (who, now_s) = (self.credentials.clone(), now.div_euclid(1_000_000));
        request.judge = Some(Arc::new(move |head, body| {
            if !(400..500).contains(&head.status) || matches!(head.status, 408 | 429) {
                return Verdict::ByStatus;
            }
            let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
            Verdict::Fail(Arc::new(refused_because(&who, &refusal, head.header("date"), now_s)))
        }));
        let body = ctx.http.send(request).await?.bytes().await?;
        // The answer is secret: nothing of it goes into a message.
        let bought: Bought = serde_json::from_slice(&body)
            .map_err(|_| Error::protocol("Google answered the token request without an access token"))?;
        let life = bought.expires_in.map(|s| i64::try_from(s.min(86_400)).unwrap_or(3600) * 1_000_000);
        Ok(TokenPair {
            access: Secret::new(bought.access_token),
            refresh: None,
            expires_at_us: life.map(|life| now.saturating_add(life)),
            extra: json!({"from": from, "renew_at_us": life.map(|life| now.saturating_add(life / 100 * USED_PERCENT))}),
        })
    }
}

/// Why there is no token, and what to do.
fn refused_because(who: &Credentials, refusal: &Refusal, date: Option<&str>, now_s: i64) -> Error {
    let said: String =
        format!("{} {}", refusal.error, refusal.error_description).trim().chars().take(300).collect();
    let said = if said.is_empty() { "no reason given".to_owned() } else { said };
    let error = Error::new(ErrorKind::Auth, format!("Google gives {} no access token ({said})", who.who()));
    let theirs = date.and_then(|d| chrono::DateTime::parse_from_rfc2822(d).ok()).map(|d| d.timestamp());
    match theirs.filter(|t| (t - now_s).abs() > 120) {
        Some(theirs) => error.hint(format!(
            "this machine's clock is {} seconds away from Google's: set it, or let NTP do it",
            (theirs - now_s).abs()
        )),
        None => error
            .hint("look in Google Cloud whether the account and this key of it still exist, and are enabled"),
    }
}
