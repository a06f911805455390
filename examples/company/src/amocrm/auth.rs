//! OAuth of amoCRM: every refresh gives a new pair and voids the old one at once.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::consent::Consents;
use crate::reply::{Reply, lock};
use crate::rng::{For, Rng};
use crate::text::push_json;

pub const CLIENT_ID: &str = "8f2e9d3c-0c4b-4a47-9d2a-5b0c1f6f7a11";
pub const CLIENT_SECRET: &str = "company-amocrm-client-secret";
pub const REDIRECT_URI: &str = "https://studio.example/amocrm/callback";
/// A code of the first installation; good once.
pub const CODE: &str = "company-amocrm-authorization-code";
/// The token without rotation that an administrator may make.
pub const LONG_LIVED: &str = "company-amocrm-long-lived-token";

#[derive(Debug)]
struct Pair {
    generation: u64,
    issued: Instant,
    expired: bool,
    code_used: bool,
}

#[derive(Debug)]
pub struct Auth {
    seed: u64,
    ttl: Duration,
    pair: Mutex<Pair>,
    pub consents: Consents,
}

#[derive(Deserialize)]
struct Grant {
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    client_secret: String,
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    code: String,
}

impl Auth {
    pub fn new(seed: u64, ttl: Duration) -> Auth {
        Auth {
            seed,
            ttl,
            consents: Consents::default(),
            pair: Mutex::new(Pair {
                generation: 1,
                issued: Instant::now(),
                expired: false,
                code_used: false,
            }),
        }
    }

    fn token(&self, generation: u64, access: bool) -> String {
        let mut r = Rng::new(self.seed, For::Id, u64::from(access) << 40 | generation, 77);
        let kind = if access { "access" } else { "refresh" };
        format!("{kind}-{generation}-{:016x}{:016x}{:016x}", r.draw(), r.draw(), r.draw())
    }

    /// The pair that is good now.
    pub fn current(&self) -> (String, String) {
        let g = lock(&self.pair).generation;
        (self.token(g, true), self.token(g, false))
    }

    /// Voids the access token; the refresh token stays good.
    pub fn expire(&self) {
        lock(&self.pair).expired = true;
    }

    pub fn allows(&self, authorization: &str) -> bool {
        let Some(t) = authorization.strip_prefix("Bearer ") else { return false };
        if t == LONG_LIVED {
            return true;
        }
        let p = lock(&self.pair);
        !p.expired && p.issued.elapsed() < self.ttl && t == self.token(p.generation, true)
    }

    /// `POST /oauth2/access_token`; true when a new pair was made.
    pub fn grant(&self, body: &[u8], now: i64) -> (Reply, bool) {
        let no = |status, title: &str, hint: &str| (Reply::problem(status, title, hint), false);
        let Ok(g) = serde_json::from_slice::<Grant>(body) else {
            return no(400, "Bad Request", "A JSON body is needed");
        };
        if g.client_id != CLIENT_ID || g.client_secret != CLIENT_SECRET {
            return no(401, "Unauthorized", "Client authentication failed");
        }
        if g.redirect_uri != REDIRECT_URI && !self.consents.is_registered(&g.redirect_uri) {
            return no(400, "Bad Request", "redirect_uri differs from the integration's");
        }
        let mut p = lock(&self.pair);
        match g.grant_type.as_str() {
            "refresh_token" if g.refresh_token == self.token(p.generation, false) => {}
            "refresh_token" => {
                return no(401, "Unauthorized", "The refresh token is invalid: token has been revoked");
            }
            "authorization_code" if g.code == CODE && !p.code_used => p.code_used = true,
            "authorization_code" if self.consents.redeem(&g.code, Some(&g.redirect_uri), "") => {}
            "authorization_code" => {
                return no(400, "Bad Request", "Authorization code has expired or was used");
            }
            _ => return no(400, "Bad Request", "grant_type: authorization_code or refresh_token"),
        }
        p.generation += 1;
        p.issued = Instant::now();
        p.expired = false;
        let mut b = format!(
            "{{\"token_type\":\"Bearer\",\"expires_in\":{},\"server_time\":{now},\"access_token\":",
            self.ttl.as_secs()
        );
        push_json(&mut b, &self.token(p.generation, true));
        b.push_str(",\"refresh_token\":");
        push_json(&mut b, &self.token(p.generation, false));
        b.push('}');
        (Reply::json(200, b), true)
    }
}
