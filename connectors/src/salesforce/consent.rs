//! A user who lets the app in: the web server flow with PKCE,
//! <https://help.salesforce.com/s/articleView?id=xcloud.remoteaccess_oauth_web_server_flow_ca.htm>.

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::consent::{Granted, Question, Redirect, Returned, Terms};
use throughline_core::{Consent, Context, DynConsent, Error, Result};

use super::access::{Access, Grant};

/// The port in the address that is registered in the app.
const PORT: u16 = 17_865;

/// `None` where the app signs in otherwise.
pub(super) fn of(access: &Arc<Access>) -> Option<DynConsent> {
    match access.settings().grant {
        Grant::Consent { .. } => Some(Arc::new(ByBrowser(access.clone()))),
        _ => None,
    }
}

struct ByBrowser(Arc<Access>);

#[async_trait]
impl Consent for ByBrowser {
    fn terms(&self) -> Result<Terms> {
        Ok(Terms {
            vendor: "Salesforce".into(),
            account: self.0.account(),
            redirect: Redirect::Loopback {
                host: "localhost".into(),
                port: Some(PORT),
                path: "/throughline".into(),
            },
            pkce: true,
            note: Some("the redirect address below must be a callback URL of the app, with the scopes api and refresh_token".into()),
        })
    }

    fn url(&self, question: &Question<'_>) -> Result<String> {
        let settings = self.0.settings();
        let mut url = url::Url::parse(&format!("{}/services/oauth2/authorize", settings.login_url))
            .map_err(|e| Error::config(format!("login_url is no URL: {e}")))?;
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", question.redirect_uri)
            .append_pair("scope", "api refresh_token")
            .append_pair("state", question.state)
            .append_pair("code_challenge", question.challenge.unwrap_or_default())
            .append_pair("code_challenge_method", "S256");
        Ok(url.into())
    }

    async fn redeem(&self, ctx: &Context, returned: Returned) -> Result<Granted> {
        let pair = self.0.redeem(ctx, returned).await?;
        Ok(Granted {
            account: self.0.account(),
            scopes: pair.extra.get("scopes").and_then(|s| s.as_str()).map(str::to_owned),
            expires_at_us: pair.expires_at_us,
            renewable: pair.refresh.is_some(),
        })
    }
}
