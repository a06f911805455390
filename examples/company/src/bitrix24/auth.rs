//! An incoming webhook, whose secret is its address, and OAuth, whose refresh tokens are good once. The server that
//! gives tokens is not the portal, though both answer here.

use std::sync::Mutex;

use serde_json::json;

use super::{Call, PORTAL, Refusal, refuse};
use crate::consent::Consents;
use crate::reply::{Reply, lock, pairs};

pub const WEBHOOK_CODE: &str = "k3y9portal7hook5a";
pub const CLIENT_ID: &str = "local.66f0c1d2e3f4a5.12345678";
pub const CLIENT_SECRET: &str = "company-bitrix24-client-secret";
pub const CODE: &str = "company-bitrix24-authorization-code";

#[derive(Default)]
struct Issued {
    /// Pairs given so far; the last one is good.
    number: u64,
    expired: bool,
    code_used: bool,
}

#[derive(Default)]
pub struct Auth {
    issued: Mutex<Issued>,
    pub consents: Consents,
}

fn access(number: u64) -> String {
    format!("company-bitrix24-access-{number:08}")
}

/// Number 0 is the one that an installation hands out.
pub fn refresh(number: u64) -> String {
    format!("company-bitrix24-refresh-{number:08}")
}

/// The address of the webhook on a server.
pub fn webhook(url: &str) -> String {
    format!("{url}/rest/1/{WEBHOOK_CODE}/")
}

impl Auth {
    /// The access token is void from now on.
    pub fn expire(&self) {
        lock(&self.issued).expired = true;
    }

    /// The method that a path asks for, when whoever asks may.
    pub fn method(&self, path: &str, token: Option<&str>) -> Result<String, Refusal> {
        let parts: Vec<&str> = path.trim_start_matches("/rest/").split('/').collect();
        let method = |name: &str| Ok(name.strip_suffix(".json").unwrap_or(name).to_owned());
        match parts.as_slice() {
            ["1", code, name] if *code == WEBHOOK_CODE => method(name),
            [_, _, _] => refuse(401, "INVALID_CREDENTIALS", "Invalid request credentials"),
            [name] => {
                let issued = lock(&self.issued);
                match token {
                    None => refuse(401, "NO_AUTH_FOUND", "Wrong authorization data"),
                    Some(given) if issued.number == 0 || given != access(issued.number) => {
                        refuse(401, "invalid_token", "Unable to get application by token")
                    }
                    Some(_) if issued.expired => {
                        refuse(401, "expired_token", "The access token provided has expired.")
                    }
                    Some(_) => method(name),
                }
            }
            _ => refuse(404, "ERROR_METHOD_NOT_FOUND", "Method not found!"),
        }
    }

    /// `GET /oauth/token/`.
    pub(super) fn grant(&self, call: &Call) -> Reply {
        let wrong = |status, code, text: &str| Refusal { status, code, text: text.into() }.reply();
        let query = pairs(call.query);
        let field = |name: &str| query.iter().find(|(n, _)| n == name).map_or("", |(_, v)| v.as_str());
        if call.method != "GET" {
            return wrong(400, "invalid_request", "a GET is needed");
        }
        if field("client_id") != CLIENT_ID || field("client_secret") != CLIENT_SECRET {
            return wrong(401, "invalid_client", "Invalid client");
        }
        let mut issued = lock(&self.issued);
        match field("grant_type") {
            "refresh_token" if field("refresh_token") == refresh(issued.number) => {}
            "authorization_code" if field("code") == CODE && !issued.code_used => issued.code_used = true,
            "authorization_code" if self.consents.redeem(field("code"), None, "") => {}
            _ => return wrong(400, "invalid_grant", "The refresh token is used up"),
        }
        issued.number += 1;
        issued.expired = false;
        let answer = json!({
            "access_token": access(issued.number), "refresh_token": refresh(issued.number),
            "client_endpoint": format!("{}/rest/", call.base), "server_endpoint": format!("{}/rest/", call.base),
            "domain": PORTAL, "expires": call.now + 3600, "expires_in": 3600, "member_id": "a223c6b3710f85df22e9377d6c4f7553",
            "scope": "crm,user", "status": "L", "user_id": 1,
        });
        Reply::json(200, answer.to_string())
    }
}
