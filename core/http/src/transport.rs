//! Requests on the wire: reqwest, with our rules about where credentials may go.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use throughline_core::http::{HttpRequest, Method};
use throughline_core::{Error, ErrorKind, Redactor, Result};
use url::Url;

use crate::fault::Fault;
use crate::flow::Body;
use crate::gunzip::gunzip;
use crate::names;
use crate::settings::HttpSettings;
use crate::target::{Target, is_localhost};

/// Redirects followed within one attempt.
const MOST_REDIRECTS: u32 = 5;

/// The head of an answer, and its body as it comes.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

/// The network.
pub struct Live {
    /// Other machines: through the proxy where there is one. An `Err` says why it cannot be used (no
    /// trusted certificates on this machine): that matters only to those who need it.
    outside: Result<reqwest::Client, String>,
    /// This machine: never through a proxy, names only to loopback addresses.
    local: reqwest::Client,
    redactor: Redactor,
}

impl Live {
    pub fn new(settings: &HttpSettings, redactor: &Redactor) -> Result<Self> {
        let mut certificates = Vec::new();
        for path in &settings.extra_ca {
            let pem =
                std::fs::read(path).map_err(|e| Error::io("reading [http] extra_ca", path.display(), e))?;
            match reqwest::Certificate::from_pem_bundle(&pem) {
                Ok(found) if !found.is_empty() => certificates.extend(found),
                _ => {
                    let message =
                        format!("[http] extra_ca: {} holds no certificate in PEM form", path.display());
                    return Err(Error::config(message).hint("it has lines -----BEGIN CERTIFICATE-----"));
                }
            }
        }
        let base = || {
            reqwest::Client::builder()
                .user_agent(concat!("throughline/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(settings.connect_timeout_s.into()))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .pool_max_idle_per_host(16)
        };
        let local = base().no_proxy().dns_resolver(LoopbackOnly).tls_certs_only(certificates.clone()).build();
        let local = local.map_err(|e| Error::config(format!("[http] extra_ca: {}", chain(&e))))?;
        let mut outside = base().https_only(true).tls_certs_merge(certificates);
        match settings.proxy.as_ref().map(|proxy| proxy.expose().trim()) {
            // reqwest reads HTTPS_PROXY, ALL_PROXY and NO_PROXY.
            None => {
                for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
                    let url = std::env::var(name).ok().and_then(|given| Url::parse(&given).ok());
                    if let Some(password) = url.as_ref().and_then(Url::password) {
                        redactor.register_text(password);
                    }
                }
            }
            Some("none") => outside = outside.no_proxy(),
            Some(given) => {
                let url = Url::parse(given).ok().filter(|url| {
                    url.has_host()
                        && matches!(url.scheme(), "http" | "https" | "socks4" | "socks5" | "socks5h")
                });
                // The text itself may hold a password: it is not shown.
                let wrong = || {
                    Error::config("[http] proxy is no URL").hint("such as \"http://proxy.example.com:3128\"")
                };
                let url = url.ok_or_else(wrong)?;
                if let Some(password) = url.password() {
                    redactor.register_text(password);
                }
                let proxy = reqwest::Proxy::all(url).map_err(|_| wrong())?;
                outside = outside.proxy(proxy.no_proxy(reqwest::NoProxy::from_env()));
            }
        }
        let outside = outside.build().map_err(|e| chain(&e));
        Ok(Self { outside, local, redactor: redactor.clone() })
    }

    /// Sends and waits for the head. Redirects to the same scheme, host and port are followed; another
    /// is given back as it came, since nobody knows whether credentials may go there.
    pub async fn open(&self, request: &HttpRequest, target: &Target) -> Result<Answer, Fault> {
        let client = if target.local { Ok(&self.local) } else { self.outside.as_ref() };
        let client =
            client.map_err(|why| {
                let error = Error::config(format!("no TLS on this machine: {why}"));
                Fault::Final(error.hint(
                    "install the system's certificates (ca-certificates), or name some by [http] extra_ca",
                ))
            })?;
        let headers = headers(request, target)?;
        let mut url = target.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let mut call = client.request(method(request.method), url.clone()).headers(headers.clone());
            if let Some(body) = &request.body {
                call = call.body(body.clone());
            }
            let response = call.send().await.map_err(|e| self.fault(target, &e))?;
            match self.redirection(request, target, &url, &response) {
                Some(next) => url = next,
                None => return self.answer(target, response),
            }
        }
        let message = format!(
            "{}: more than {MOST_REDIRECTS} redirects, the last to itself or in a circle",
            target.title
        );
        Err(Fault::Final(Error::protocol(message)))
    }

    fn redirection(
        &self,
        request: &HttpRequest,
        target: &Target,
        from: &Url,
        response: &reqwest::Response,
    ) -> Option<Url> {
        // 301 to 303 turn a POST into a GET, which is not what was asked for.
        let follows = match response.status().as_u16() {
            301..=303 => request.method == Method::Get,
            307 | 308 => true,
            _ => false,
        };
        let location = response.headers().get("location").filter(|_| follows)?;
        target.redirected(from, location.to_str().ok()?)
    }

    fn answer(&self, target: &Target, response: reqwest::Response) -> Result<Answer, Fault> {
        let status = response.status().as_u16();
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut headers: Vec<(String, String)> =
            response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let coding =
            headers.iter().find(|(name, _)| name == "content-encoding").map(|(_, coding)| coding.as_str());
        let packed = match coding.map(str::trim) {
            None | Some("" | "identity") => false,
            Some(coding) if coding.eq_ignore_ascii_case("gzip") || coding.eq_ignore_ascii_case("x-gzip") => {
                true
            }
            Some(coding) => {
                let title = &target.title;
                let message =
                    format!("{title}: the answer is in content-encoding {coding}, which was not asked for");
                return Err(Fault::Final(Error::protocol(message)));
            }
        };
        let redactor = self.redactor.clone();
        let body = response.bytes_stream().map_err(move |e| redactor.redact(&chain(&e)).into_owned()).boxed();
        if !packed {
            return Ok(Answer { status, headers, body });
        }
        // They told of the packed form, which nobody will see.
        headers.retain(|(name, _)| name != "content-encoding" && name != "content-length");
        Ok(Answer { status, headers, body: gunzip(body) })
    }

    fn fault(&self, target: &Target, e: &reqwest::Error) -> Fault {
        let why = self.redactor.redact(&chain(e)).into_owned();
        let title = &target.title;
        if why.contains("invalid peer certificate") {
            let error = Error::config(format!("{title}: the server's certificate is not trusted: {why}"));
            return Fault::Final(
                error.hint("behind a proxy that opens TLS, name its certificate by [http] extra_ca"),
            );
        }
        if e.is_builder() {
            return Fault::Final(Error::config(format!("{title}: {why}")));
        }
        let error = |what: &str| Error::new(ErrorKind::Io, format!("{title}: {what}: {why}")).temporary(None);
        if e.is_connect() { Fault::NotSent(error("no connection")) } else { Fault::Lost(error("no answer")) }
    }
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

fn headers(request: &HttpRequest, target: &Target) -> Result<HeaderMap, Fault> {
    let mut map = HeaderMap::with_capacity(request.headers.len());
    for (name, value) in &request.headers {
        let (Ok(key), Ok(mut content)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        else {
            let message = format!("{}: header {name:?} holds characters that HTTP forbids", target.title);
            let hint = "is there a line end or a stray character in the secret it is made of?";
            return Err(Fault::Final(Error::config(message).hint(hint)));
        };
        content.set_sensitive(names::is_secret_header(name));
        map.append(key, content);
    }
    if !map.contains_key(ACCEPT_ENCODING) {
        map.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(map)
}

/// What reqwest says, causes included, without the URL, which may hold a secret.
fn chain(e: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause = e.source();
    while let Some(inner) = cause {
        let text = inner.to_string();
        // Some causes repeat what they wrap.
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        cause = inner.source();
    }
    if parts.is_empty() {
        let what = if e.is_timeout() { "timed out" } else { "the request could not be made" };
        return what.to_owned();
    }
    parts.join(": ")
}

/// Names of this machine must lead to this machine: a hosts file or a DNS server that says otherwise
/// would carry plain text away.
struct LoopbackOnly;

impl Resolve for LoopbackOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = match tokio::net::lookup_host((name.as_str(), 0)).await {
                Ok(found) => found.collect(),
                // RFC 6761: resolvers may leave names under localhost to us.
                Err(_) if is_localhost(name.as_str()) => vec![([127, 0, 0, 1], 0).into()],
                Err(e) => return Err(e.into()),
            };
            if let Some(other) = found.iter().find(|address| !address.ip().to_canonical().is_loopback()) {
                let message = format!("{} leads to {}, which is not this machine", name.as_str(), other.ip());
                return Err(io::Error::other(message).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
