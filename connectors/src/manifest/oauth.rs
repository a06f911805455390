//! Access tokens that are bought with refresh tokens, and must survive a crash.
//!
//! A vendor that rotates makes the old pair void with the answer that carries the new one. So one
//! refresher at a time holds the lease, looks again whether another was faster, renews, and saves the
//! new pair durably before anything uses it. From the request to the save it is a task of its own: who waits for
//! it may be stopped or dropped, and the pair is saved all the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use throughline_core::consent::Returned;
use throughline_core::http::{HttpClient, HttpRequest};
use throughline_core::{Clock, Context, Error, ErrorKind, Result, Secret, TokenLease, TokenPair};

use super::client::Connection;
use super::moments::us;
use super::plan::{OauthPlan, Plan};
use super::spec::Oauth2;
use super::template::as_text;

/// The pair in use, so that not every request asks the store.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<Option<TokenPair>>);

/// Part of its life a token is used for.
const USED_PERCENT: i64 = 80;

impl Tokens {
    pub fn cached(&self) -> Option<TokenPair> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, pair: &TokenPair) -> TokenPair {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pair.clone());
        pair.clone()
    }

    /// A token to use now. `refused` is one the vendor has just refused.
    pub async fn access(
        &self,
        connection: &Connection,
        ctx: &Context,
        index: usize,
        refused: Option<&Secret>,
    ) -> Result<TokenPair> {
        let (_, spec) = oauth2(&connection.plan, index)?;
        let account = account(connection, index)?;
        let from = fingerprint(connection, spec);
        let usable = |pair: &TokenPair| {
            let due = pair.extra.get("renew_at_us").and_then(Value::as_i64);
            let ours = pair.extra.get("from").and_then(Value::as_str) == Some(from.as_str());
            ours && refused.is_none_or(|r| *r != pair.access)
                && due.is_none_or(|due| ctx.clock.now_us() < due)
        };
        if let Some(pair) = self.cached().filter(usable) {
            return Ok(pair);
        }
        if let Some(pair) = ctx.tokens.load(&account).await?.filter(usable) {
            return Ok(self.keep(&pair));
        }
        let lease = ctx.tokens.lease(&account).await?;
        let current = lease.current().await?;
        if let Some(pair) = current.as_ref().filter(|pair| usable(pair)) {
            return Ok(self.keep(pair));
        }
        // Credentials written anew into the pipeline win over a stored pair that came from others.
        let current = current.filter(|p| p.extra.get("from").and_then(Value::as_str) == Some(from.as_str()));
        let purchase = Purchase::new(connection, ctx, index, current.as_ref(), from, None)?;
        self.carry_out(purchase, lease).await
    }

    /// Redeems the code that a browser brought; the pair takes the place of any that is stored.
    pub async fn redeem(
        &self,
        connection: &Connection,
        ctx: &Context,
        index: usize,
        returned: &Returned,
    ) -> Result<TokenPair> {
        let lease = ctx.tokens.lease(&account(connection, index)?).await?;
        let from = fingerprint(connection, oauth2(&connection.plan, index)?.1);
        let purchase = Purchase::new(connection, ctx, index, None, from, Some(returned))?;
        self.carry_out(purchase, lease).await
    }

    async fn carry_out(&self, purchase: Purchase, lease: Box<dyn TokenLease>) -> Result<TokenPair> {
        // The lease goes with it: the run's end waits for leases.
        let bought = tokio::spawn(purchase.carry_out(lease)).await;
        let pair = bought.map_err(|e| Error::bug(format!("buying an access token broke off: {e}")))??;
        Ok(self.keep(&pair))
    }
}

/// Name in the token store.
pub(super) fn account(connection: &Connection, index: usize) -> Result<String> {
    let (plan, _) = oauth2(&connection.plan, index)?;
    plan.account
        .text(&|n| connection.value(n))
        .ok_or_else(|| Error::config("oauth2 needs an option that is not set: its account has no name"))
}

const AUTHORISE: &str =
    "run `throughline auth SOURCE` with the name of the source, and allow it in the browser";

fn plan_name(connection: &Connection) -> &str {
    &connection.plan.spec.name
}

/// Which credentials of the user a pair came from; not reversible.
fn fingerprint(connection: &Connection, spec: &Oauth2) -> String {
    let mut hash = Sha256::new();
    for name in ["refresh_token", spec.code.as_deref().unwrap_or("code")] {
        hash.update(connection.given.get(name).and_then(as_text).unwrap_or_default());
        hash.update([0]);
    }
    hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

/// The plan of a way to sign in, and what the manifest says of it.
pub(super) fn oauth2(plan: &Plan, index: usize) -> Result<(&OauthPlan, &Oauth2)> {
    let auth = plan.auth.get(index);
    match (auth.and_then(|a| a.oauth2.as_ref()), auth.and_then(|a| a.spec.oauth2.as_ref())) {
        (Some(plan), Some(spec)) => Ok((plan, spec)),
        _ => Err(Error::bug("a way to sign in without oauth2")),
    }
}

/// A renewal with all that it needs, so that it depends on nobody who may be stopped.
struct Purchase {
    request: HttpRequest,
    plan: Arc<Plan>,
    index: usize,
    /// The refresh token that is used up by it.
    refresh: Option<String>,
    from: String,
    /// Where the browser came back to: renewals name it again.
    redirect_uri: Option<String>,
    /// What a code must have brought.
    needs: Vec<String>,
    with_code: bool,
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
}

impl Purchase {
    fn new(
        connection: &Connection,
        ctx: &Context,
        index: usize,
        current: Option<&TokenPair>,
        from: String,
        returned: Option<&Returned>,
    ) -> Result<Self> {
        let (plan, spec) = oauth2(&connection.plan, index)?;
        let refresh = current
            .and_then(|p| p.refresh.as_ref().map(|r| r.expose().to_owned()))
            .or_else(|| connection.given.get("refresh_token").and_then(as_text))
            .filter(|_| returned.is_none());
        let code = spec.code.as_deref();
        let has_code = returned.is_some() || code.is_some_and(|name| connection.given.get(name).is_some());
        if let (None, Some(_), Some(_), false) = (&refresh, &plan.first, &plan.authorize, has_code) {
            let what = format!("nobody has let this program into {} yet", plan_name(connection));
            return Err(Error::new(ErrorKind::Auth, what).hint(AUTHORISE));
        }
        let redirect_uri = returned
            .and_then(|r| r.redirect_uri.clone())
            .or_else(|| connection.given.get("redirect_uri").and_then(as_text))
            .or_else(|| Some(current?.extra.get("redirect_uri")?.as_str()?.to_owned()));
        let scope = |name: &str| match (name, returned) {
            ("refresh_token", _) => refresh.clone().map(Value::String),
            ("redirect_uri", _) => redirect_uri.clone().map(Value::String),
            ("verifier", Some(r)) => r.verifier.as_ref().map(|v| v.expose().into()),
            (name, Some(r)) if Some(name) == code => Some(r.code.expose().into()),
            (other, _) => connection.value(other),
        };
        let needs = match (&plan.authorize, returned) {
            (Some(authorize), Some(_)) => authorize.needs.iter().filter_map(|t| t.text(&scope)).collect(),
            _ => Vec::new(),
        };
        let with_code = refresh.is_none() && has_code;
        let body = match (&refresh, &plan.first) {
            (Some(_), _) => plan.refresh.value(&scope),
            (None, Some(first)) => first.value(&scope),
            // Grants that need no refresh token (client credentials).
            (None, None) => plan.refresh.value(&scope),
        };
        let url = plan
            .url
            .text(&scope)
            .ok_or_else(|| Error::config("token_url needs an option that is not set"))?;
        let mut request =
            connection.token_request(&url, plan.method, spec.encoding, body.unwrap_or_default())?;
        // A code is good once, whatever the vendor does with refresh tokens.
        request.idempotent = spec.repeatable && !with_code;
        let (http, clock, plan) = (ctx.http.clone(), ctx.clock.clone(), connection.plan.clone());
        Ok(Self { request, plan, index, refresh, from, redirect_uri, needs, with_code, http, clock })
    }

    /// The new pair, when it is durable.
    async fn carry_out(self, mut lease: Box<dyn TokenLease>) -> Result<TokenPair> {
        let pair = self.buy().await?;
        lease.save(&pair).await?;
        Ok(pair)
    }

    async fn buy(self) -> Result<TokenPair> {
        let (plan, _) = oauth2(&self.plan, self.index)?;
        let vendor = &self.plan.spec.name;
        let (refresh, from) = (self.refresh, self.from);
        let by_browser = plan.authorize.is_some();
        let answer = match self.http.send(self.request).await {
            Ok(answer) => answer.bytes().await?,
            Err(error)
                if matches!(error.kind(), ErrorKind::Auth | ErrorKind::Protocol | ErrorKind::NotFound) =>
            {
                let (what, hint) = match (self.with_code, by_browser) {
                    (true, true) => (
                        "gave no tokens for the code",
                        "a code is good once and for a short time; client id, client secret and redirect address must be those of the application: run `throughline auth SOURCE` again",
                    ),
                    (true, false) => (
                        "gave no tokens for the code",
                        "a code is good once and for a short time: authorise again and put the new one into the pipeline",
                    ),
                    (false, true) => (
                        "did not renew the access token",
                        "the refresh token may be used up or revoked: run `throughline auth SOURCE`, or authorise again and put the new one into the pipeline",
                    ),
                    (false, false) => (
                        "did not renew the access token",
                        "the refresh token may be used up or revoked: authorise again and put the new one into the pipeline",
                    ),
                };
                let said = format!("{vendor} {what}: {}", error.message());
                return Err(Error::new(ErrorKind::Auth, said).hint(hint).caused_by(error));
            }
            // It may have been carried out, and then the old refresh token is void and the new one lost. The
            // next renewal will tell: it must be tried, and a person must know what its refusal means.
            Err(error)
                if error.context().iter().any(|(key, value)| *key == "outcome" && value == "unknown") =>
            {
                let said = format!(
                    "{vendor}'s answer with the new access token did not arrive: {}",
                    error.message()
                );
                return Err(Error::new(ErrorKind::Io, said)
                .hint("run again; when the refresh token is refused then, its successor was lost with this answer: authorise again and put the new one into the pipeline")
                .temporary(None)
                .caused_by(error));
            }
            Err(error) => return Err(error),
        };
        // The answer is secret: nothing of it goes into a message but what is missing.
        let missing = |what: &str| {
            Error::new(ErrorKind::Auth, format!("{vendor} answered the token request without {what}"))
                .hint("look at client id and secret, and authorise again")
        };
        let access =
            plan.access_token.scalar(&answer).ok().flatten().ok_or_else(|| missing("an access token"))?;
        let scopes = plan.scope.scalar(&answer).ok().flatten();
        if let Some(scopes) = &scopes {
            let granted: Vec<&str> = scopes.split([' ', ',']).collect();
            let lacking: Vec<&str> =
                self.needs.iter().map(String::as_str).filter(|n| !granted.contains(n)).collect();
            if !lacking.is_empty() {
                let what = format!("the consent lacks {}: nothing was stored", lacking.join(", "));
                return Err(Error::new(ErrorKind::Auth, what)
                    .hint("run it again and allow everything that the vendor's page asks for"));
            }
        }
        let refresh = plan.refresh_token.scalar(&answer).ok().flatten().or(refresh);
        let life = plan
            .expires_in
            .scalar(&answer)
            .ok()
            .flatten()
            .and_then(|s| s.parse::<u64>().ok())
            .map(|s| Duration::from_secs(s.min(86_400 * 3660)))
            .or(plan.life);
        let now = self.clock.now_us();
        let mut kept = serde_json::Map::new();
        for (name, path) in &plan.keep {
            if let Some(value) = path.scalar(&answer).ok().flatten() {
                kept.insert(name.clone(), value.into());
            }
        }
        Ok(TokenPair {
            access: Secret::new(access),
            refresh: refresh.map(Secret::new),
            expires_at_us: life.map(|life| now.saturating_add(us(life))),
            extra: json!({
                "from": from,
                "renew_at_us": life.map(|life| now.saturating_add(us(life) / 100 * USED_PERCENT)),
                "kept": kept,
                "scopes": scopes,
                "redirect_uri": self.redirect_uri,
            }),
        })
    }
}
