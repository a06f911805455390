//! A private app's token, which lasts, and OAuth, whose access tokens end and whose refresh token stays.

use std::sync::Mutex;

use serde_json::json;

use super::{Call, refuse};
use crate::consent::Consents;
use crate::reply::{Reply, lock, pairs};

pub const PRIVATE_TOKEN: &str = "pat-eu1-company-hubspot-private-app";
pub const CLIENT_ID: &str = "5b7d1a90-2a3c-4b55-8f1e-9a2d7c6e4f10";
pub const CLIENT_SECRET: &str = "company-hubspot-client-secret";
pub const REDIRECT_URI: &str = "https://studio.example/hubspot/callback";
pub const CODE: &str = "company-hubspot-authorization-code";
pub const REFRESH_TOKEN: &str = "company-hubspot-refresh-token";

#[derive(Default)]
struct Issued {
    /// Access tokens given so far; the last one is good.
    number: u64,
    expired: bool,
    code_used: bool,
}

#[derive(Default)]
pub struct Auth {
    issued: Mutex<Issued>,
    pub consents: Consents,
}

fn token(number: u64) -> String {
    format!("company-hubspot-access-{number}")
}

impl Auth {
    /// The access token is void from now on.
    pub fn expire(&self) {
        lock(&self.issued).expired = true;
    }

    pub fn allows(&self, authorization: &str) -> bool {
        let Some(given) = authorization.strip_prefix("Bearer ") else { return false };
        let issued = lock(&self.issued);
        given == PRIVATE_TOKEN || (issued.number > 0 && !issued.expired && given == token(issued.number))
    }

    pub(super) fn grant(&self, call: &Call) -> Reply {
        if call.method != "POST" {
            return refuse(405, "METHOD_NOT_ALLOWED", "POST is needed");
        }
        let Ok(text) = std::str::from_utf8(call.body) else {
            return refuse(400, "VALIDATION_ERROR", "a form is needed");
        };
        let form = pairs(text);
        let field = |name: &str| form.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str());
        if field("client_id") != CLIENT_ID || field("client_secret") != CLIENT_SECRET {
            return refuse(400, "BAD_CLIENT_SECRET", "missing or invalid client id or secret");
        }
        if field("redirect_uri") != REDIRECT_URI && !self.consents.is_registered(field("redirect_uri")) {
            return refuse(400, "MISMATCH_REDIRECT_URI_AUTH_CODE", "redirect_uri differs from the app's");
        }
        let mut issued = lock(&self.issued);
        match field("grant_type") {
            "refresh_token" if field("refresh_token") == REFRESH_TOKEN => {}
            "authorization_code" if field("code") == CODE && !issued.code_used => issued.code_used = true,
            "authorization_code" if self.consents.redeem(field("code"), Some(field("redirect_uri")), "") => {}
            _ => return refuse(400, "BAD_REFRESH_TOKEN", "missing or unknown code or refresh token"),
        }
        issued.number += 1;
        issued.expired = false;
        let answer = json!({
            "token_type": "bearer", "access_token": token(issued.number), "refresh_token": REFRESH_TOKEN,
            "expires_in": 1800,
        });
        Reply::json(200, answer.to_string())
    }
}
