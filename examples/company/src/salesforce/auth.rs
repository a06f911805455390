//! `/services/oauth2/token`: refresh tokens, which rotate on demand, claims signed with a key, and the credentials of
//! the app. No answer says how long a token lives.

use std::sync::Mutex;

use serde_json::{Value, json};

use super::objects::Kind;
use super::{Call, Options};
use crate::consent::Consents;
use crate::ga4::auth::signed;
use crate::reply::{Reply, lock, pairs};

pub const CLIENT_ID: &str = "3MVG9company-salesforce-consumer-key";
pub const CLIENT_SECRET: &str = "company-salesforce-consumer-secret";
pub const REFRESH_TOKEN: &str = "5Aep861company-salesforce-refresh-token";
pub const USERNAME: &str = "etl@studio-svet.example";
/// Seconds that a claim may last.
const CLAIM_LASTS_S: i64 = 180;

#[derive(Default)]
struct Issued {
    /// Tokens given so far; those from `good_from` on are good.
    number: u64,
    good_from: u64,
    /// How often the refresh token was changed.
    turns: u64,
}

#[derive(Default)]
pub struct Auth {
    issued: Mutex<Issued>,
    pub consents: Consents,
}

fn refresh_token(turns: u64) -> String {
    if turns == 0 { REFRESH_TOKEN.to_owned() } else { format!("{REFRESH_TOKEN}-{turns}") }
}

fn token(number: u64) -> String {
    format!("{}!AQcompany-{number}", &Kind::Organization.id(0)[..15])
}

/// The org's id.
pub fn org() -> String {
    Kind::Organization.id(0)
}

fn refuse(error: &str, description: &str) -> Reply {
    Reply::json(400, json!({"error": error, "error_description": description}).to_string())
}

impl Auth {
    /// Every access token is void from now on.
    pub fn expire(&self) {
        let mut issued = lock(&self.issued);
        issued.good_from = issued.number + 1;
    }

    pub fn allows(&self, authorization: &str) -> bool {
        let issued = lock(&self.issued);
        let given = authorization.strip_prefix("Bearer ").unwrap_or_default();
        (issued.good_from.max(1)..=issued.number).any(|n| token(n) == given)
    }

    pub fn grant(&self, call: &Call, options: &Options) -> Reply {
        if call.method != "POST" {
            return refuse("invalid_request", "must use HTTP POST");
        }
        let body = String::from_utf8_lossy(call.body);
        let form = pairs(&body);
        let get = |name: &str| form.iter().find(|(k, _)| k == name).map_or("", |(_, v)| v.as_str());
        let app = get("client_id") == CLIENT_ID && get("client_secret") == CLIENT_SECRET;
        let mut issued = lock(&self.issued);
        let mut answer = json!({
            "instance_url": call.base, "token_type": "Bearer", "scope": "api refresh_token",
            "id": format!("{}/id/{}/{}", call.base, org(), Kind::User.id(0)),
            "issued_at": (call.now * 1000).to_string(), "signature": "c2lnbmF0dXJl",
        });
        match get("grant_type") {
            "refresh_token" if !app => return refuse("invalid_client", "invalid client credentials"),
            "refresh_token" if get("refresh_token") != refresh_token(issued.turns) => {
                return refuse("invalid_grant", "expired access/refresh token");
            }
            "refresh_token" => {
                if options.rotate {
                    issued.turns += 1;
                    answer["refresh_token"] = refresh_token(issued.turns).into();
                }
            }
            "authorization_code"
                if app
                    && self.consents.redeem(get("code"), Some(get("redirect_uri")), get("code_verifier")) =>
            {
                answer["refresh_token"] = refresh_token(issued.turns).into();
            }
            "authorization_code" => return refuse("invalid_grant", "authentication failure"),
            "client_credentials" if app => {}
            "client_credentials" => return refuse("invalid_client", "invalid client credentials"),
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                if let Err(why) = claim(get("assertion"), call) {
                    return refuse("invalid_grant", &why);
                }
            }
            _ => return refuse("unsupported_grant_type", "grant type not supported"),
        }
        issued.number += 1;
        answer["access_token"] = Value::from(token(issued.number));
        Reply::json(200, answer.to_string())
    }
}

fn claim(jwt: &str, call: &Call) -> Result<(), String> {
    let (header, claims) = signed(jwt).map_err(|_| "invalid assertion".to_owned())?;
    if header["alg"] != "RS256" || claims["iss"] != CLIENT_ID {
        return Err("invalid assertion".to_owned());
    }
    if claims["sub"] != USERNAME {
        return Err("user hasn't approved this consumer".to_owned());
    }
    if claims["aud"] != call.base {
        return Err("audience is invalid".to_owned());
    }
    let left = claims["exp"].as_i64().unwrap_or_default() - call.now;
    if (1..=CLAIM_LASTS_S).contains(&left) { Ok(()) } else { Err("expired authorization code".to_owned()) }
}
