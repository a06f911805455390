//! Access tokens and the org's address that comes with them.
//!
//! Salesforce does not say how long a token lives, so one is used until it is refused. Where the app rotates refresh
//! tokens, the one in an answer makes the older void: it is durable before anything uses it, and buying is a task of
//! its own, so that a run that is stopped loses nothing.
//!
//! <https://help.salesforce.com/s/articleView?id=sf.remoteaccess_oauth_flows.htm>

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use throughline_core::consent::Returned;
use throughline_core::http::{Account, HttpRequest, Method, Verdict};
use throughline_core::{Context, Error, ErrorKind, Result, Secret, TokenLease, TokenPair};

use super::config::{Settings, is_address};
use super::id;
use crate::jwt::SigningKey;

const TIMEOUT: Duration = Duration::from_secs(30);
/// Claims may last three minutes; clocks differ a little.
const CLAIM_LASTS_S: i64 = 150;

/// How the app signs in.
#[derive(Clone, Debug)]
pub(crate) enum Grant {
    Refresh {
        token: Secret,
        secret: Option<Secret>,
    },
    /// A user's refresh token that a browser brought.
    Consent {
        secret: Option<Secret>,
    },
    Signed {
        username: String,
        key: SigningKey,
    },
    Client {
        secret: Secret,
    },
    /// What stands in a key's place where there are no secrets (a pipeline that is only looked at).
    Unreadable,
}

/// A token and where it is good.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub token: Secret,
    /// Without a slash at its end.
    pub instance: String,
}

#[derive(Debug)]
pub(crate) struct Access {
    settings: Settings,
    cached: Mutex<Option<TokenPair>>,
}

#[derive(Deserialize)]
struct Bought {
    access_token: String,
    instance_url: String,
    /// `https://login.salesforce.com/id/ORG/USER`.
    #[serde(default)]
    id: String,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    scope: Option<String>,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    error: String,
    #[serde(default)]
    error_description: String,
}

impl Access {
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Self { settings: settings.clone(), cached: Mutex::new(None) })
    }

    /// Stands for the credentials; not reversible.
    fn mark(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &str| {
            hash.update(part);
            hash.update([0]);
        };
        add(&self.settings.login_url);
        add(&self.settings.client_id);
        match &self.settings.grant {
            Grant::Refresh { token, .. } => add(token.expose()),
            Grant::Signed { username, key } => {
                add(username);
                add(&key.mark);
            }
            Grant::Client { secret } => add(secret.expose()),
            Grant::Consent { .. } => add("consent"),
            Grant::Unreadable => {}
        }
        hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
    }

    fn keep(&self, pair: &TokenPair) -> Result<Session> {
        *self.cached.lock().unwrap_or_else(PoisonError::into_inner) = Some(pair.clone());
        session(&self.settings, pair)
    }

    /// A session to use now; `refused` is a token that was just refused.
    ///
    /// # Errors
    /// `Auth` when Salesforce gives none, or one of another org; temporary ones of the network.
    pub async fn session(&self, ctx: &Context, refused: Option<&Secret>) -> Result<Session> {
        if matches!(self.settings.grant, Grant::Unreadable) {
            return Err(Error::config("private_key is no private key")
                .hint("write private_key = { file = \"key.pem\" }, the key of the app's certificate"));
        }
        let from = self.mark();
        let usable = |pair: &TokenPair| {
            pair.extra.get("from").and_then(serde_json::Value::as_str) == Some(from.as_str())
                && refused.is_none_or(|r| *r != pair.access)
        };
        let cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(pair) = cached.filter(usable) {
            return session(&self.settings, &pair);
        }
        let account = self.account();
        if let Some(pair) = ctx.tokens.load(&account).await?.filter(usable) {
            return self.keep(&pair);
        }
        let lease = ctx.tokens.lease(&account).await?;
        let current = lease.current().await?;
        if let Some(pair) = current.as_ref().filter(|pair| usable(pair)) {
            return self.keep(pair);
        }
        // Credentials written anew into the pipeline win over a pair that came from others.
        let ours = |p: &TokenPair| p.extra.get("from").and_then(serde_json::Value::as_str) == Some(&from);
        let stored = current.filter(ours).and_then(|pair| pair.refresh);
        let buying = buy(self.settings.clone(), ctx.clone(), lease, stored, from.clone(), None);
        let pair = tokio::spawn(buying)
            .await
            .map_err(|e| Error::bug(format!("renewing an access token broke off: {e}")))??;
        self.keep(&pair)
    }

    /// Name in the token store.
    pub fn account(&self) -> String {
        format!("salesforce:{}:{}", self.settings.org, self.settings.client_id)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Redeems a code that a browser brought.
    ///
    /// # Errors
    /// `Auth` when Salesforce refuses, `Config` when the user is of another org: then nothing is kept.
    pub async fn redeem(&self, ctx: &Context, returned: Returned) -> Result<TokenPair> {
        let lease = ctx.tokens.lease(&self.account()).await?;
        let buying = buy(self.settings.clone(), ctx.clone(), lease, None, self.mark(), Some(returned));
        let pair = tokio::spawn(buying)
            .await
            .map_err(|e| Error::bug(format!("buying an access token broke off: {e}")))??;
        self.keep(&pair)?;
        Ok(pair)
    }
}

fn session(settings: &Settings, pair: &TokenPair) -> Result<Session> {
    let org = pair.extra.get("org").and_then(serde_json::Value::as_str);
    if let Some(org) = org.filter(|org| *org != settings.org) {
        return Err(Error::config(format!(
            "these credentials are of the org {org}, not of {}",
            settings.org
        ))
        .hint("correct org_id, or sign in to the other org; a sandbox is an org of its own"));
    }
    let instance = pair.extra.get("instance_url").and_then(serde_json::Value::as_str).unwrap_or_default();
    if !is_address(instance) {
        return Err(Error::protocol("Salesforce gave a token without the org's address (instance_url)"));
    }
    Ok(Session { token: pair.access.clone(), instance: instance.trim_end_matches('/').to_owned() })
}

fn form(
    settings: &Settings,
    stored: Option<&Secret>,
    returned: Option<&Returned>,
    now_s: i64,
) -> Result<String> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    match &settings.grant {
        Grant::Consent { secret } => {
            form.append_pair("client_id", &settings.client_id);
            if let Some(secret) = secret {
                form.append_pair("client_secret", secret.expose());
            }
            match (returned, stored) {
                (Some(returned), _) => {
                    form.append_pair("grant_type", "authorization_code");
                    form.append_pair("code", returned.code.expose());
                    form.append_pair("redirect_uri", returned.redirect_uri.as_deref().unwrap_or_default());
                    if let Some(verifier) = &returned.verifier {
                        form.append_pair("code_verifier", verifier.expose());
                    }
                }
                (None, Some(stored)) => {
                    form.append_pair("grant_type", "refresh_token");
                    form.append_pair("refresh_token", stored.expose());
                }
                (None, None) => {
                    return Err(Error::new(ErrorKind::Auth, "nobody has let this program into Salesforce yet")
                        .hint("run `throughline auth SOURCE` with the name of the source, and allow it in the browser"));
                }
            }
        }
        Grant::Refresh { token, secret } => {
            form.append_pair("grant_type", "refresh_token");
            form.append_pair("client_id", &settings.client_id);
            if let Some(secret) = secret {
                form.append_pair("client_secret", secret.expose());
            }
            form.append_pair("refresh_token", stored.unwrap_or(token).expose());
        }
        Grant::Signed { username, key } => {
            let claims = json!({
                "iss": settings.client_id, "sub": username, "aud": settings.audience, "exp": now_s + CLAIM_LASTS_S,
            });
            let claim = key.sign(&json!({"alg": "RS256", "typ": "JWT"}), &claims);
            let claim = claim.ok_or_else(|| Error::config("private_key cannot sign"))?;
            form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
            form.append_pair("assertion", &claim);
        }
        Grant::Client { secret } => {
            form.append_pair("grant_type", "client_credentials");
            form.append_pair("client_id", &settings.client_id);
            form.append_pair("client_secret", secret.expose());
        }
        Grant::Unreadable => {}
    }
    Ok(form.finish())
}

async fn buy(
    settings: Settings,
    ctx: Context,
    mut lease: Box<dyn TokenLease>,
    stored: Option<Secret>,
    from: String,
    returned: Option<Returned>,
) -> Result<TokenPair> {
    let now_s = ctx.clock.now_us().div_euclid(1_000_000);
    let key = format!("salesforce_oauth:{}", settings.login_url);
    let account = Account { key: key.into(), per_second: 5.0, burst: 5, parallel: 1 };
    let url = format!("{}/services/oauth2/token", settings.login_url);
    let mut request = HttpRequest::new(Method::Post, url, account)
        .header("content-type", "application/x-www-form-urlencoded");
    request.body = Some(form(&settings, stored.as_ref(), returned.as_ref(), now_s)?.into());
    // A refresh token that may rotate is sent once: the second answer would make the first one void.
    request.idempotent = !matches!(settings.grant, Grant::Refresh { .. } | Grant::Consent { .. });
    request.timeout = TIMEOUT;
    request.max_response_bytes = 1 << 20;
    let (grant, login) = (settings.grant.clone(), settings.login_url.clone());
    request.judge = Some(Arc::new(move |head, body| {
        if !(400..500).contains(&head.status) || matches!(head.status, 408 | 429) {
            return Verdict::ByStatus;
        }
        let refusal: Refusal = serde_json::from_slice(body).unwrap_or_default();
        if refusal.error == "server_error" || refusal.error_description.contains("try again") {
            return Verdict::Retry { after: None, account_wide: false, why: refusal.error };
        }
        Verdict::Fail(Arc::new(refused(&grant, &login, &refusal)))
    }));
    let sent = ctx.http.send(request).await;
    let body = match sent {
        Ok(answer) => answer.bytes().await?,
        // It may have been carried out, and then the older refresh token is void and the new one lost.
        Err(e) if e.context().iter().any(|(key, value)| *key == "outcome" && value == "unknown") => {
            let said =
                format!("Salesforce's answer with the new access token did not arrive: {}", e.message());
            return Err(Error::new(ErrorKind::Io, said)
                .hint("run again; if the refresh token is refused then, sign in anew and put the new one into the pipeline")
                .temporary(None)
                .caused_by(e));
        }
        Err(e) => return Err(e),
    };
    // The answer is secret: nothing of it goes into a message.
    let bought: Bought = serde_json::from_slice(&body).map_err(|_| {
        Error::protocol("Salesforce answered the token request without access_token and instance_url")
    })?;
    let mut told = bought.id.rsplit('/');
    let org = told.nth(1).and_then(id::long).filter(|org| org.starts_with("00D"));
    let pair = TokenPair {
        access: Secret::new(bought.access_token),
        refresh: bought.refresh_token.map(Secret::new).or(stored),
        expires_at_us: None,
        extra: json!({"from": from, "instance_url": bought.instance_url, "org": org, "scopes": bought.scope}),
    };
    if returned.is_some() {
        session(&settings, &pair)?;
    }
    // Also when it is of another org: the older refresh token may be void now.
    lease.save(&pair).await?;
    session(&settings, &pair)?;
    Ok(pair)
}

/// Why there is no token, and what to do.
fn refused(grant: &Grant, login: &str, refusal: &Refusal) -> Error {
    let said: String =
        format!("{} {}", refusal.error, refusal.error_description).trim().chars().take(300).collect();
    let said = if said.is_empty() { "no reason given".to_owned() } else { said };
    let error = Error::new(ErrorKind::Auth, format!("Salesforce gives no access token at {login} ({said})"));
    error.hint(match grant {
        Grant::Refresh { .. } => {
            "the refresh token may be revoked, expired or used up: sign in anew and put the new one into the pipeline; \
             sandboxes sign in at https://test.salesforce.com"
        }
        Grant::Consent { .. } => {
            "a code is good once and for a short time, and a refresh token until it is revoked: run `throughline auth SOURCE` \
             again; sandboxes sign in at https://test.salesforce.com"
        }
        Grant::Signed { .. } => {
            "does the app hold this key's certificate, is the user admitted to it (Manage, Permission Sets), and is this \
             machine's clock right? Sandboxes sign in at https://test.salesforce.com"
        }
        Grant::Client { .. } | Grant::Unreadable => {
            "client credentials need login_url = \"https://NAME.my.salesforce.com\", the flow switched on in the app, and \
             a user to run as"
        }
    })
}
