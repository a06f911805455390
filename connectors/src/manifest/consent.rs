//! A manifest's way through a browser, as a [`Consent`]; and, for vendors whose connector is code, that part of a
//! manifest alone.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use throughline_core::consent::{Granted, Question, Redirect, Returned, Terms};
use throughline_core::{ConfigErrors, Consent, Context, DynConsent, Error, ErrorKind, Result, Secret};

use super::client::Connection;
use super::oauth::{account, oauth2};
use super::plan::AuthorizePlan;
use super::spec::Authorize;
use super::template::as_text;
use super::{Manifest, options};

/// `None` where the way to sign in that the user chose needs no browser.
pub(super) fn consent(connection: &Arc<Connection>) -> Option<DynConsent> {
    let index = connection.oauth()?;
    let (plan, _) = oauth2(&connection.plan, index).ok()?;
    plan.authorize.as_ref()?;
    Some(Arc::new(ByBrowser { connection: connection.clone(), index }))
}

struct ByBrowser {
    connection: Arc<Connection>,
    index: usize,
}

impl ByBrowser {
    fn parts(&self) -> Result<(&AuthorizePlan, &Authorize)> {
        let (plan, spec) = oauth2(&self.connection.plan, self.index)?;
        plan.authorize
            .as_ref()
            .zip(spec.authorize.as_ref())
            .ok_or_else(|| Error::bug("a consent without a way through a browser"))
    }

    fn vendor(&self) -> &str {
        &self.connection.plan.spec.name
    }
}

#[async_trait]
impl Consent for ByBrowser {
    fn terms(&self) -> Result<Terms> {
        let (plan, spec) = self.parts()?;
        let redirect = match self.connection.given.get("redirect_uri").and_then(as_text) {
            Some(registered) => Redirect::Registered(registered),
            None => Redirect::Loopback { host: spec.host.clone(), port: spec.port, path: spec.path.clone() },
        };
        Ok(Terms {
            vendor: self.vendor().to_owned(),
            account: account(&self.connection, self.index)?,
            redirect,
            pkce: plan.pkce,
            note: spec.note.clone(),
        })
    }

    fn url(&self, question: &Question<'_>) -> Result<String> {
        let (plan, spec) = self.parts()?;
        let scope = |name: &str| match name {
            "redirect_uri" => Some(question.redirect_uri.into()),
            "state" => Some(question.state.into()),
            "challenge" => question.challenge.map(Into::into),
            other => self.connection.value(other),
        };
        let given = spec.option.as_ref().and_then(|name| self.connection.given.get(name)).and_then(as_text);
        let url = given
            .or_else(|| plan.url.text(&scope))
            .ok_or_else(|| Error::config("the address of the consent needs an option that is not set"))?;
        let mut url = url::Url::parse(&url)
            .map_err(|e| Error::config(format!("the address of the consent is no URL: {e}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::config(format!("a browser is not sent to {}:", url.scheme())));
        }
        url.query_pairs_mut().extend_pairs(plan.query.pairs(&scope));
        Ok(url.into())
    }

    async fn redeem(&self, ctx: &Context, returned: Returned) -> Result<Granted> {
        let (plan, _) = self.parts()?;
        for (name, expected) in &plan.expect {
            let Some(expected) = expected.text(&|n| self.connection.value(n)) else { continue };
            // A code that was got elsewhere comes alone.
            if let Some(came) = returned.params.get(name)
                && !came.eq_ignore_ascii_case(&expected)
            {
                let what = format!(
                    "the consent is for another account of {}: {name} is {came:?}, and the pipeline's is {expected:?}",
                    self.vendor()
                );
                return Err(Error::new(ErrorKind::Auth, what).hint(
                    "sign in to the right account in the browser and run it again, or mend the pipeline",
                ));
            }
        }
        let pair = self.connection.tokens.redeem(&self.connection, ctx, self.index, &returned).await?;
        Ok(Granted {
            account: account(&self.connection, self.index)?,
            scopes: pair.extra.get("scopes").and_then(as_text),
            expires_at_us: pair.expires_at_us,
            renewable: pair.refresh.is_some(),
        })
    }
}

/// A vendor's OAuth application, for connectors that are code: a manifest with one way to sign in and no streams.
#[derive(Clone)]
pub(crate) struct SignIn(Arc<Connection>);

impl SignIn {
    /// `given` holds options that were checked; secrets in clear.
    ///
    /// # Errors
    /// What is wrong with the manifest: a test reads every one.
    pub fn new(manifest: &str, path: &str, given: Map<String, Value>) -> Result<Self, ConfigErrors> {
        let none = |file: &str| Err(format!("there is no file {file:?}"));
        let manifest = Manifest::read(manifest, path, &none)?;
        let mut values = options::Given::default();
        for (name, option) in &manifest.0.spec.options {
            if let Some(value) = given.get(name).filter(|v| !v.is_null()).or(option.default.as_ref()) {
                values.set(name, value.clone());
            }
        }
        Ok(Self(Arc::new(Connection::new(manifest.0, values))))
    }

    /// A token to use now; `refused` is one that was just refused.
    ///
    /// # Errors
    /// `Auth` when the vendor gives none; temporary ones of the network.
    pub async fn token(&self, ctx: &Context, refused: Option<&Secret>) -> Result<Secret> {
        let index = self.0.oauth().ok_or_else(|| Error::bug("an application without oauth2"))?;
        Ok(self.0.tokens.access(&self.0, ctx, index, refused).await?.access)
    }

    pub fn consent(&self) -> Option<DynConsent> {
        consent(&self.0)
    }
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignIn(***)")
    }
}
