//! A person's consent, given in a browser: OAuth 2.0's authorisation code (RFC 6749, section 4.1, and RFC 8252 for
//! programs on a person's own machine).
//!
//! The connector knows the vendor: where the browser is sent, what it sends back, how a code becomes a pair of
//! tokens and where that pair is kept. Whoever runs it knows the person: opens the browser, waits for what comes
//! back and checks that it belongs to the question (`state`).

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::context::Context;
use crate::error::Result;
use crate::secret::Secret;
use crate::time::InstantUs;

/// What must be known before a person is asked.
#[derive(Clone, Debug)]
pub struct Terms {
    /// For people, e.g. `amocrm`.
    pub vendor: String,
    /// Name in the token store.
    pub account: String,
    pub redirect: Redirect,
    /// Whether the vendor takes a proof that the code comes back to who asked (PKCE, RFC 7636).
    pub pkce: bool,
    /// For people: what to do at the vendor's before.
    pub note: Option<String>,
}

/// Where the vendor sends the browser back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// The user wrote into the pipeline which address is registered with the vendor.
    Registered(String),
    /// This machine.
    Loopback {
        /// `127.0.0.1`, or `localhost` for vendors that take no IP address.
        host: String,
        /// `None`: the vendor takes any port.
        port: Option<u16>,
        /// From its slash on.
        path: String,
    },
}

/// One question to a person.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    pub redirect_uri: &'a str,
    pub state: &'a str,
    /// SHA-256 of the verifier in base64url, with PKCE.
    pub challenge: Option<&'a str>,
}

/// What came back, its `state` found good.
#[derive(Clone, Debug)]
pub struct Returned {
    pub code: Secret,
    /// What else came, less `code` and `state`.
    pub params: BTreeMap<String, String>,
    /// The address that the question named. `None` for a code that was got elsewhere: the option's, if any.
    pub redirect_uri: Option<String>,
    pub verifier: Option<Secret>,
}

/// Tokens that are stored now.
#[derive(Clone, Debug)]
pub struct Granted {
    pub account: String,
    /// What was granted, in the vendor's words, where it tells.
    pub scopes: Option<String>,
    /// Of the access token.
    pub expires_at_us: Option<InstantUs>,
    /// Whether the program renews it by itself.
    pub renewable: bool,
}

#[async_trait]
pub trait Consent: Send + Sync {
    /// # Errors
    /// Kind `Config` when an option it stands on is not set.
    fn terms(&self) -> Result<Terms>;

    /// The address that the browser is sent to.
    ///
    /// # Errors
    /// Kind `Config` when an option it stands on is not set.
    fn url(&self, question: &Question<'_>) -> Result<String>;

    /// Redeems a code and stores the tokens, durably, in place of those there are.
    ///
    /// # Errors
    /// Kind `Auth` when the vendor refuses, or the consent is for another account than the pipeline's.
    async fn redeem(&self, ctx: &Context, returned: Returned) -> Result<Granted>;
}

pub type DynConsent = Arc<dyn Consent>;
