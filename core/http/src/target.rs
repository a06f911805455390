//! Where a request goes: which URLs are allowed, and how one is shown and compared.

use std::net::{Ipv4Addr, Ipv6Addr};

use throughline_core::http::{HttpRequest, Method};
use throughline_core::secret::REDACTED;
use throughline_core::{Error, Redactor, Result};
use url::{Host, Url};

use crate::names;

/// A checked request URL.
pub struct Target {
    pub url: Url,
    /// On this machine: plain http is allowed, a proxy is not used.
    pub local: bool,
    pub method: Method,
    /// The URL for people and cassettes, redacted.
    pub shown: String,
    /// `GET https://...`: how errors name the request.
    pub title: String,
}

impl Target {
    /// # Errors
    /// Config: no absolute http(s) URL, plain http to another machine, a password in the URL.
    pub fn new(request: &HttpRequest, redactor: &Redactor) -> Result<Self> {
        let given = request.url.as_str();
        let refused = |what: String, hint: &'static str| Err(Error::config(what).hint(hint));
        let mut url = match Url::parse(given) {
            Ok(url) => url,
            Err(e) => {
                let what = format!("not an absolute URL: {} ({e})", shorten(&redactor.redact(given), 200));
                return refused(what, "a base URL starts with https://");
            }
        };
        url.set_fragment(None);
        for (name, value) in url.query_pairs() {
            if names::is_secret_query(&name) {
                names::learn(redactor, &value);
            }
        }
        if let Some(password) = url.password() {
            redactor.register_text(password);
        }
        let shown = show(&url, redactor);
        if !url.username().is_empty() || url.password().is_some() {
            return refused(
                format!("{shown}: a user name in a URL"),
                "credentials belong in the connector's own options",
            );
        }
        let local = is_local(&url);
        match url.scheme() {
            "https" => {}
            "http" if local => {}
            "http" => {
                let what =
                    format!("{shown}: plain http would show credentials and data to everybody on the way");
                return refused(
                    what,
                    "use https://; http:// is for this machine alone (localhost, 127.0.0.1, ::1)",
                );
            }
            other => return refused(format!("{shown}: unknown scheme {other}"), "use https://"),
        }
        let title = format!("{} {shown}", request.method.as_str());
        Ok(Self { url, local, method: request.method, shown, title })
    }

    /// The same request at another place: only the same scheme, host and port will do.
    pub fn redirected(&self, from: &Url, location: &str) -> Option<Url> {
        let mut next = from.join(location).ok()?;
        next.set_fragment(None);
        let same =
            next.origin() == self.url.origin() && next.username().is_empty() && next.password().is_none();
        same.then_some(next)
    }
}

pub fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => is_loopback_v4(ip),
        Some(Host::Ipv6(ip)) => is_loopback_v6(ip),
        Some(Host::Domain(name)) => is_localhost(name),
        None => false,
    }
}

pub fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

fn is_loopback_v4(ip: Ipv4Addr) -> bool {
    ip.is_loopback()
}

fn is_loopback_v6(ip: Ipv6Addr) -> bool {
    ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(is_loopback_v4)
}

/// The URL with query parameters sorted by name and without secrets: what people see, and what a
/// cassette compares. Equal names keep their order, which may mean something.
pub fn show(url: &Url, redactor: &Redactor) -> String {
    let mut text = format!("{}://", url.scheme());
    text.push_str(url.host_str().unwrap_or_default());
    if let Some(port) = url.port() {
        text.push_str(&format!(":{port}"));
    }
    text.push_str(url.path());
    if let Some(query) = url.query().filter(|q| !q.is_empty()) {
        let mut pairs: Vec<(&str, Option<&str>)> = query
            .split('&')
            .map(|pair| pair.split_once('=').map_or((pair, None), |(n, v)| (n, Some(v))))
            .collect();
        pairs.sort_by_key(|(name, _)| *name);
        for (i, (name, value)) in pairs.into_iter().enumerate() {
            text.push(if i == 0 { '?' } else { '&' });
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(if names::is_secret_query(name) { REDACTED } else { value });
            }
        }
    }
    redactor.redact(&text).into_owned()
}

/// At most `length` characters, with a mark where something is missing.
pub fn shorten(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use throughline_core::http::Account;

    use super::*;

    fn target(url: &str) -> Result<Target> {
        let account = Account { key: "a".into(), per_second: 1.0, burst: 1, parallel: 1 };
        Target::new(&HttpRequest::new(Method::Get, url, account), &Redactor::new())
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for url in [
            "http://127.0.0.1:1/",
            "http://127.1/",
            "http://[::1]:80/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://a.localhost/",
            "http://[::ffff:127.0.0.1]/",
        ] {
            assert!(target(url).is_ok_and(|t| t.local), "{url}");
        }
        assert!(target("https://example.com/").is_ok_and(|t| !t.local));
        for url in [
            "http://example.com/",
            "http://0.0.0.0/",
            "http://192.168.0.1/",
            "http://localhost.example.com/",
            "http://127.0.0.1.nip.io/",
            "ftp://localhost/",
            "file:///etc/passwd",
            "/leads",
            "https://u:hunter22@example.com/",
        ] {
            let error = target(url).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("hunter22"), "{url}: {error}");
        }
    }

    #[test]
    fn shown_urls_are_sorted_and_hold_no_secret() {
        let redactor = Redactor::new();
        redactor.register_text("bot-secret");
        let url = Url::parse("https://h:8443/bot-secret/x?b=2&token=hush&a=%20&b=1&flag").unwrap();
        assert_eq!(show(&url, &redactor), "https://h:8443/***/x?a=%20&b=2&b=1&flag&token=***");
        assert_eq!(shorten("Привет", 3), "При…");
    }
}
