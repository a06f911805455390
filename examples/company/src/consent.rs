//! The page at which a person lets an application in, less the person: whoever is sent here said yes, or no.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::reply::{Reply, lock, pairs};

struct Given {
    code: String,
    redirect_uri: String,
    challenge: Option<String>,
    used: bool,
}

#[derive(Default)]
pub struct Consents {
    given: Mutex<Vec<Given>>,
    /// The redirect address in the application's settings, besides the vendor's first one.
    registered: Mutex<Option<String>>,
    denies: AtomicBool,
}

impl std::fmt::Debug for Consents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Consents")
    }
}

impl Consents {
    /// The application's redirect address from now on.
    pub fn register(&self, redirect_uri: &str) {
        *lock(&self.registered) = Some(redirect_uri.to_owned());
    }

    pub fn is_registered(&self, redirect_uri: &str) -> bool {
        lock(&self.registered).as_deref() == Some(redirect_uri)
    }

    /// From now on every person says no.
    pub fn deny(&self, denies: bool) {
        self.denies.store(denies, Ordering::SeqCst);
    }

    /// Sends the browser back, with `more` besides code and state. Without an address in the question it goes to the
    /// registered one; `any` takes addresses that are not registered (desktop applications).
    pub fn ask(&self, query: &str, client_id: &str, any: bool, more: &[(&str, &str)]) -> Reply {
        let query = pairs(query);
        let get = |name: &str| query.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        let page = |status, text: &str| Reply::new(status, "text/html; charset=utf-8", text.to_owned());
        if get("client_id") != Some(client_id) {
            return page(400, "unknown application");
        }
        let registered = lock(&self.registered).clone();
        let redirect = match (get("redirect_uri"), registered) {
            (Some(asked), known) if any || known.as_deref() == Some(asked) => asked.to_owned(),
            (None, Some(known)) => known,
            _ => return page(400, "redirect_uri_mismatch"),
        };
        if get("code_challenge").is_some() && get("code_challenge_method") != Some("S256") {
            return page(400, "code_challenge_method");
        }
        let state = get("state").unwrap_or_default();
        let Ok(mut back) = url::Url::parse(&redirect) else { return page(400, "redirect_uri") };
        if self.denies.load(Ordering::SeqCst) {
            back.query_pairs_mut().append_pair("error", "access_denied").append_pair("state", state);
        } else {
            let mut given = lock(&self.given);
            let code = format!("company-consent-code-{:04}", given.len() + 1);
            back.query_pairs_mut().append_pair("code", &code).append_pair("state", state).extend_pairs(more);
            let challenge = get("code_challenge").map(str::to_owned);
            given.push(Given { code, redirect_uri: redirect, challenge, used: false });
        }
        let mut reply = page(302, "");
        reply.headers.push(("location", back.into()));
        reply
    }

    /// Whether a code is good: once, for the address it was given to, and with the verifier of its challenge.
    pub fn redeem(&self, code: &str, redirect_uri: Option<&str>, verifier: &str) -> bool {
        let mut given = lock(&self.given);
        let Some(one) = given.iter_mut().find(|g| g.code == code && !g.used) else { return false };
        let proven = one
            .challenge
            .as_ref()
            .is_none_or(|challenge| *challenge == URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
        one.used = proven && redirect_uri.is_none_or(|uri| uri == one.redirect_uri);
        one.used
    }
}
