//! Requests of a manifest: URL, account, credentials, and asking. What answers mean is in [`judge`](super::judge).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use serde_json::Value;
use throughline_core::http::{Account, HttpRequest, HttpResponseHead, Method};
use throughline_core::{Context, Error, ErrorKind, Result, Secret};

use super::judge::Found;
use super::moments::us;
use super::oauth::Tokens;
use super::options::Given;
use super::plan::{Plan, Request};
use super::run::Run;
use super::spec::{AuthKind, Encoding};
use super::template::{Scope, as_text};

/// Times an answer that came cut off is asked for.
pub(super) const ASKED: u32 = 4;

/// A manifest with a user's options: everything that asks the vendor.
pub(crate) struct Connection {
    pub plan: Arc<Plan>,
    pub given: Given,
    /// The way to sign in.
    auth: Option<usize>,
    pub(super) tokens: Tokens,
    pub(super) run: Mutex<Option<Arc<Run>>>,
}

/// A good answer.
pub(crate) struct Answer {
    pub head: HttpResponseHead,
    pub body: Bytes,
    /// No records: an empty answer, or a rule says so.
    pub empty: bool,
    /// What a rule wants to be told of it.
    pub told: Option<String>,
}

/// What became of a request besides an error.
pub(crate) enum Outcome {
    Answer(Answer),
    /// The cursor is void.
    Restart,
}

impl Connection {
    pub fn new(plan: Arc<Plan>, given: Given) -> Self {
        let auth = plan
            .auth
            .iter()
            .position(|a| a.spec.when.as_ref().is_none_or(|w| given.get(w).is_some_and(|v| !v.is_null())));
        Self { plan, given, auth, tokens: Tokens::default(), run: Mutex::default() }
    }

    /// Options, `base_url` and what came with the token.
    pub fn value(&self, name: &str) -> Option<Value> {
        if name == "base_url" {
            return self.address().map(Value::String);
        }
        if let Some(value) = self.given.get(name) {
            return Some(value.clone());
        }
        let kept = name.strip_prefix("token.")?;
        self.tokens.cached().and_then(|pair| pair.extra.get("kept")?.get(kept).cloned())
    }

    /// What relative paths stand behind: the user's, or that of the way to sign in, or the manifest's. A path
    /// that signs in (a webhook's) stays when the user's address takes the host's place.
    fn address(&self) -> Option<String> {
        let value = |name: &str| self.value(name);
        let given = self.given.get("base_url").and_then(as_text);
        let own = self.auth.and_then(|i| self.plan.auth.get(i)?.base_url.as_ref());
        let Some(own) = own else {
            return given.or_else(|| self.plan.base_url.text(&value));
        };
        let own = own.text(&value)?;
        let own = own.trim_end_matches('/');
        let Some(given) = given else { return Some(own.to_owned()) };
        let path = own.split_once("://").map_or("", |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
        Some(format!("{given}{path}"))
    }

    fn base_url(&self) -> Result<String> {
        self.value("base_url").and_then(|v| as_text(&v)).ok_or_else(|| {
            Error::config(format!(
                "the address of {} is not known: an option it stands on is not set",
                self.plan.spec.name
            ))
        })
    }

    /// The account, or its share that has a limit of its own.
    fn account_of(&self, apart: Option<&str>) -> Result<Account> {
        let account = self.account()?;
        let Some((name, limit)) = apart.and_then(|name| Some((name, self.plan.spec.limits.apart.get(name)?)))
        else {
            return Ok(account);
        };
        Ok(Account {
            key: format!("{} {name}", account.key).into(),
            per_second: limit.per_second,
            burst: limit.burst,
            parallel: limit.parallel,
        })
    }

    pub fn account(&self) -> Result<Account> {
        let limits = &self.plan.spec.limits;
        let key = match self.plan.account.as_ref().and_then(|t| t.text(&|n| self.value(n))) {
            Some(key) => key,
            // Before the first token nobody knows an address that comes with it.
            None => {
                let url = self.address().and_then(|url| url::Url::parse(&url).ok());
                let host = url.and_then(|u| u.host_str().map(str::to_owned)).unwrap_or_default();
                format!("{}:{host}", self.plan.spec.name)
            }
        };
        Ok(Account {
            key: key.into(),
            per_second: limits.per_second,
            burst: limits.burst,
            parallel: limits.parallel,
        })
    }

    /// Asks, with credentials. `scope` adds the stream's placeholders. What the request needs to have
    /// looked up is asked for before, once.
    pub async fn ask(&self, ctx: &Context, request: &Request, scope: Scope<'_>) -> Result<Outcome> {
        let run = self.run(ctx);
        let mut found = Vec::with_capacity(request.lookups.len());
        for index in &request.lookups {
            found.push(self.look_up(ctx, &run, *index).await?);
        }
        let all = |name: &str| match name.strip_prefix("lookup.") {
            None => scope(name),
            Some(name) => found.iter().find(|(of, _)| *of == name).map(|(_, value)| value.clone()),
        };
        self.ask_now(ctx, &run, request, &all).await
    }

    /// What was taken from an answer; `None` when the answer came cut off and is to be asked for again: one that
    /// was may have a length that fits, and then only its JSON tells.
    pub async fn whole<T>(&self, ctx: &Context, taken: Result<T>, asked: &mut u32) -> Result<Option<T>> {
        *asked += 1;
        match taken {
            Err(error) if error.is_temporary() && *asked < ASKED => {
                ctx.sleep(Duration::from_millis(250 << *asked)).await?;
                Ok(None)
            }
            taken => taken.map(Some),
        }
    }

    pub(super) async fn ask_now(
        &self,
        ctx: &Context,
        run: &Arc<Run>,
        request: &Request,
        scope: Scope<'_>,
    ) -> Result<Outcome> {
        let mut refused: Option<Secret> = None;
        loop {
            ctx.check_cancelled()?;
            if let Some(error) = &*run.stopped.lock().unwrap_or_else(PoisonError::into_inner) {
                return Err(copy(error));
            }
            self.wait_out(ctx, run, &request.topic).await?;
            let pair = match self.oauth() {
                None => None,
                Some(index) => Some(self.tokens.access(self, ctx, index, refused.as_ref()).await?),
            };
            let mut http = self.request(request, scope)?;
            self.sign(&mut http, pair.as_ref().map(|p| p.access.expose()))?;
            let found = Arc::new(Found::default());
            http.judge = Some(self.judge(&found, run, ctx, request));
            let renew = |found: &Found| pair.is_some() && found.renew.load(Ordering::SeqCst);
            match ctx.http.send(http).await {
                Ok(response) => {
                    let head = response.head.clone();
                    let body = response.bytes().await?;
                    if let Some(pause) = found.pause.lock().unwrap_or_else(PoisonError::into_inner).take() {
                        let until = ctx.clock.now_us().saturating_add(us(pause));
                        let mut pauses = run.pauses.lock().unwrap_or_else(PoisonError::into_inner);
                        pauses.insert(request.topic.clone(), until);
                    }
                    let empty = head.status == 204 || found.empty.load(Ordering::SeqCst);
                    let told = found.told.lock().unwrap_or_else(PoisonError::into_inner).take();
                    return Ok(Outcome::Answer(Answer { head, body, empty, told }));
                }
                Err(_) if found.restart.load(Ordering::SeqCst) => return Ok(Outcome::Restart),
                // Once: a new token that is refused too will not get better by a third.
                Err(_) if renew(&found) && refused.is_none() => refused = pair.map(|p| p.access),
                Err(error) => {
                    if let Some(stop) = found.stop.lock().unwrap_or_else(PoisonError::into_inner).take() {
                        *run.stopped.lock().unwrap_or_else(PoisonError::into_inner) = Some(stop);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Waits while the vendor wants no more requests of a kind.
    async fn wait_out(&self, ctx: &Context, run: &Run, topic: &str) -> Result<()> {
        let until = run.pauses.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied();
        let left = until.map_or(0, |until| until.saturating_sub(ctx.clock.now_us()));
        match u64::try_from(left) {
            Ok(left) if left > 0 => ctx.sleep(Duration::from_micros(left)).await,
            _ => Ok(()),
        }
    }

    pub(super) fn oauth(&self) -> Option<usize> {
        self.auth.filter(|i| self.plan.auth.get(*i).is_some_and(|a| a.oauth2.is_some()))
    }

    /// A request without credentials and judge.
    fn request(&self, request: &Request, scope: Scope<'_>) -> Result<HttpRequest> {
        let all = |name: &str| scope(name).or_else(|| self.value(name));
        let missing = |what: &str| {
            Error::config(format!(
                "{what} of a request of {} needs an option that is not set",
                self.plan.spec.name
            ))
        };
        let encode = |text: String| {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
        };
        let mut url = match scope("url") {
            Some(Value::String(next)) => self.next_url(&next)?,
            _ => {
                // A whole URL as the path is not encoded: its scheme and slashes are its own.
                let path = request.path.text_with(&all, encode).ok_or_else(|| missing("the path"))?;
                let whole = if path.contains("://") { path } else { format!("{}{path}", self.base_url()?) };
                url::Url::parse(&whole).map_err(|e| {
                    // It may hold a secret: it is not told.
                    Error::config(format!("the address of a request is no URL: {e}")).hint("look at base_url")
                })?
            }
        };
        if scope("url").is_none() {
            add_query(&mut url, request.query.pairs(&all));
        }
        let limits = &self.plan.spec.limits;
        let mut http = HttpRequest::new(request.method, "", self.account_of(request.limit.as_deref())?);
        for (name, template) in self.plan.headers.iter().chain(&request.headers) {
            if let Some(value) = template.text(&all) {
                http = http.header(name, value);
            }
        }
        if let Some(body) = &request.body {
            http = fill(http, &mut url, request.encoding, body.value(&all).unwrap_or(Value::Null));
        }
        http.url = url.to_string();
        http.idempotent = http.idempotent || request.repeatable;
        http.timeout = self.plan.timeout;
        http.attempts = limits.attempts;
        http.max_response_bytes = limits.response_bytes;
        Ok(http)
    }

    /// A URL the vendor gave for the next page: only to the host we speak to, credentials go with it.
    pub fn next_url(&self, next: &str) -> Result<url::Url> {
        let base = url::Url::parse(&self.base_url()?)
            .map_err(|e| Error::config(format!("base_url is no URL: {e}")))?;
        let mut url = base
            .join(next)
            .map_err(|e| Error::protocol(format!("the link to the next page is no URL: {e}")))?;
        if url.host_str() != base.host_str() {
            if self.given.get("base_url").is_none() {
                return Err(Error::protocol(format!(
                    "the link to the next page leads to another host, {:?}",
                    url.host_str().unwrap_or_default()
                ))
                .hint("credentials are not sent there"));
            }
            // Behind another address, links still name the vendor's own.
            let _ = url.set_scheme(base.scheme());
            let _ = url.set_host(base.host_str());
            let _ = url.set_port(base.port());
        }
        Ok(url)
    }

    fn sign(&self, http: &mut HttpRequest, access: Option<&str>) -> Result<()> {
        let Some(auth) = self.auth.and_then(|i| self.plan.auth.get(i)) else { return Ok(()) };
        let all = |name: &str| self.value(name);
        let text = |template: &Option<super::template::Template>| {
            template.as_ref().and_then(|t| t.text(&all)).ok_or_else(|| {
                Error::new(ErrorKind::Config, "the credentials need an option that is not set")
            })
        };
        let name = || auth.spec.name.clone().unwrap_or_default();
        match auth.spec.kind {
            AuthKind::Bearer => {
                http.headers.push(("Authorization".into(), format!("Bearer {}", text(&auth.token)?)))
            }
            AuthKind::Header => http.headers.push((name(), text(&auth.token)?)),
            AuthKind::Query => {
                let mut url = url::Url::parse(&http.url).map_err(|e| Error::config(e.to_string()))?;
                url.query_pairs_mut().append_pair(&name(), &text(&auth.token)?);
                http.url = url.to_string();
            }
            AuthKind::Basic => {
                let pair = format!("{}:{}", text(&auth.user)?, text(&auth.password)?);
                let coded = base64::engine::general_purpose::STANDARD.encode(pair);
                http.headers.push(("Authorization".into(), format!("Basic {coded}")));
            }
            AuthKind::Url => {}
            AuthKind::Oauth2 => {
                if let (Some(access), Some(oauth)) = (access, &auth.spec.oauth2) {
                    if let Some(name) = &oauth.param {
                        return with_param(http, name, access);
                    }
                    http.headers.push((oauth.header.clone(), format!("{} {access}", oauth.scheme)));
                }
            }
        }
        Ok(())
    }
}

fn add_query(url: &mut url::Url, pairs: Vec<(String, String)>) {
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
}

/// A token as a member of a JSON body, or else as a query parameter.
fn with_param(http: &mut HttpRequest, name: &str, token: &str) -> Result<()> {
    if let Some(Ok(Value::Object(mut body))) = http.body.as_ref().map(|body| serde_json::from_slice(body)) {
        body.insert(name.to_owned(), token.into());
        http.body = Some(Bytes::from(Value::Object(body).to_string()));
        return Ok(());
    }
    let mut url = url::Url::parse(&http.url).map_err(|e| Error::config(e.to_string()))?;
    url.query_pairs_mut().append_pair(name, token);
    http.url = url.to_string();
    Ok(())
}

/// Puts a body where its encoding wants it.
pub(super) fn fill(
    mut http: HttpRequest,
    url: &mut url::Url,
    encoding: Encoding,
    body: Value,
) -> HttpRequest {
    let pairs = |body: &Value| -> Vec<(String, String)> {
        let Value::Object(map) = body else { return Vec::new() };
        map.iter().filter_map(|(k, v)| Some((k.clone(), as_text(v)?))).collect()
    };
    match encoding {
        Encoding::Json => http.json(&body),
        Encoding::Form => {
            let form =
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs(&body)).finish();
            http.body = Some(Bytes::from(form));
            http.header("content-type", "application/x-www-form-urlencoded")
        }
        Encoding::Query => {
            add_query(url, pairs(&body));
            http
        }
    }
}

/// Errors are not cloned; what a person needs of one is.
fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message());
    match error.hint_text() {
        Some(hint) => copy.hint(hint),
        None => copy,
    }
}

impl Connection {
    /// The request that buys a token.
    pub(super) fn token_request(
        &self,
        url: &str,
        method: Method,
        encoding: Encoding,
        body: Value,
    ) -> Result<HttpRequest> {
        let mut url = url::Url::parse(url).map_err(|e| Error::config(format!("token_url is no URL: {e}")))?;
        let mut http = fill(HttpRequest::new(method, "", self.account()?), &mut url, encoding, body);
        for (name, template) in &self.plan.headers {
            if let Some(value) = template.text(&|n| self.value(n)) {
                http = http.header(name, value);
            }
        }
        http.url = url.to_string();
        // The answer makes the old refresh token void: a lost one must not be asked for again.
        http.idempotent = false;
        http.timeout = self.plan.timeout;
        http.max_response_bytes = 1 << 20;
        Ok(http)
    }
}
