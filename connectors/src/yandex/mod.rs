//! How sources of Yandex sign in: with a token that somebody got, or as an application that a user let in.

use serde_json::json;
use throughline_core::{Context, DynConsent, Result, Secret};

use crate::manifest::SignIn;

const PATH: &str = "connectors/src/yandex/oauth.toml";

/// The options that say how to sign in, as a user wrote them.
pub(crate) struct Given<'a> {
    pub token: Option<&'a Secret>,
    pub client_id: Option<&'a str>,
    pub client_secret: Option<&'a Secret>,
    pub oauth_url: Option<&'a str>,
}

#[derive(Clone, Debug)]
pub(crate) enum Access {
    Token(Secret),
    Application(SignIn),
}

impl Access {
    /// Tells `wrong` what is wrong, with the option it is about.
    pub fn new(given: &Given<'_>, scope: &str, wrong: &mut dyn FnMut(String, &str)) -> Option<Self> {
        match (given.token, given.client_id, given.client_secret) {
            (Some(token), None, None) => Some(Self::Token(token.clone())),
            (Some(_), id, _) => {
                let place = if id.is_some() { "/client_id" } else { "/client_secret" };
                wrong("token signs in already: leave out one of the two ways".into(), place);
                None
            }
            (None, Some(id), Some(secret)) => {
                let values = json!({
                    "client_id": id, "client_secret": secret.expose(), "scope": scope,
                    "oauth_url": given.oauth_url.map(|url| url.trim_end_matches('/')),
                });
                let values = values.as_object().cloned().unwrap_or_default();
                match SignIn::new(include_str!("oauth.toml"), PATH, values) {
                    Ok(application) => Some(Self::Application(application)),
                    Err(problems) => {
                        problems.iter().for_each(|p| wrong(p.to_string(), "/client_id"));
                        None
                    }
                }
            }
            (None, Some(_), None) => {
                wrong("client_secret is needed too, to sign in as an application".into(), "");
                None
            }
            (None, None, Some(_)) => {
                wrong("client_id is needed too, to sign in as an application".into(), "");
                None
            }
            (None, None, None) => {
                wrong("token is needed, or client_id and client_secret of an application".into(), "");
                None
            }
        }
    }

    /// # Errors
    /// `Auth` when nobody let the application in, or nobody does any more; temporary ones of the network.
    pub async fn token(&self, ctx: &Context) -> Result<Secret> {
        match self {
            Self::Token(token) => Ok(token.clone()),
            Self::Application(application) => application.token(ctx, None).await,
        }
    }

    pub fn consent(&self) -> Option<DynConsent> {
        match self {
            Self::Token(_) => None,
            Self::Application(application) => application.consent(),
        }
    }
}
