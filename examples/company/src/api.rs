//! Whose path it is, and what that vendor says when it fails: one origin serves them all.

use crate::reply::Reply;
use crate::uploads::Uploads;
use crate::{bitrix24, comagic, direct, ga4, hubspot, salesforce, telegram, vk};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Api {
    Crm,
    Google,
    Salesforce,
    Metrika,
    Hubspot,
    Bitrix,
    Direct,
    Telegram,
    Comagic,
    Uploads,
    Vk,
    Control,
    None,
}

impl Api {
    pub fn of(path: &str) -> Api {
        if path.starts_with("/api/v4/") || path.starts_with("/oauth2/") || path == "/oauth" {
            Api::Crm
        } else if Uploads::is_for(path) {
            Api::Uploads
        } else if path.starts_with("/management/v1/") || path.starts_with("/stat/v1/") {
            Api::Metrika
        } else if ["/crm/", "/oauth/v1/", "/account-info/"].iter().any(|p| path.starts_with(p))
            || (path.starts_with("/oauth/") && path.ends_with("/authorize"))
        {
            Api::Hubspot
        } else if path.starts_with("/rest/")
            || path.starts_with("/oauth/token")
            || path.starts_with("/oauth/authorize")
        {
            Api::Bitrix
        } else if path.starts_with("/json/v5") {
            Api::Direct
        } else if path.starts_with("/bot") {
            Api::Telegram
        } else if path.starts_with("/method/") || path.starts_with("/vk-long-poll/") {
            Api::Vk
        } else if path == "/v2.0" {
            Api::Comagic
        } else if path == "/token"
            || path == "/o/oauth2/v2/auth"
            || path.starts_with("/v1beta/properties/")
            || path.starts_with("/bigquery/v2/")
        {
            Api::Google
        } else if path.starts_with("/services/oauth2/") || path.starts_with("/services/data/") {
            Api::Salesforce
        } else if path.starts_with("/_company/") {
            Api::Control
        } else {
            Api::None
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Api::Crm => "amocrm",
            Api::Metrika => "metrika",
            Api::Hubspot => "hubspot",
            Api::Bitrix => "bitrix24",
            Api::Direct => "direct",
            Api::Telegram => "telegram",
            Api::Vk => "vk",
            Api::Comagic => "comagic",
            Api::Uploads => "uploads",
            Api::Google => "google",
            Api::Salesforce => "salesforce",
            Api::Control => "company",
            Api::None => "nobody",
        }
    }
}

/// Neither vendor sends Retry-After; amoCRM's answer is not even JSON.
pub fn too_many(api: Api, status: u16) -> Reply {
    match api {
        Api::Metrika => Reply::metrika(status, "quota_requests_by_ip", "Quota exceeded"),
        Api::Hubspot => hubspot::limits::too_many("TEN_SECONDLY_ROLLING"),
        _ => Reply::new(
            status,
            "text/html",
            "<html><head><title>429 Too Many Requests</title></head><body><h1>Too Many Requests</h1></body></html>",
        ),
    }
}

/// The code that goes with a status; none stands for an answer that only the status explains.
fn direct_code(status: u16) -> u32 {
    match status {
        401 => 53,
        403 => 54,
        429 => 506,
        500 => 1000,
        503 => 52,
        _ => 0,
    }
}

/// What a fault's status stands for, at that path of that vendor.
pub fn failure(api: Api, path: &str, status: u16, now: i64) -> Reply {
    match (api, status) {
        (Api::Bitrix, 429 | 503) => bitrix24::limit(status, now),
        (Api::Bitrix, _) => bitrix24::failure(status),
        (Api::Direct, _) => direct::refuse(status, direct_code(status), "Server error", ""),
        (Api::Google, _) => ga4::failure(path, status),
        (Api::Salesforce, _) => salesforce::failure(path, status),
        (Api::Vk, _) => vk::failure(status),
        (Api::Comagic, _) => comagic::failure(status),
        (Api::Telegram, 429) => telegram::refuse(429, ""),
        (Api::Telegram, 409) => telegram::refuse(409, "Conflict: terminated by other getUpdates request"),
        (Api::Telegram, ..500) => telegram::refuse(status, "Forbidden"),
        (_, 420 | 429) => too_many(api, status),
        (Api::Metrika, 504) => Reply::metrika(504, "timeout", "Query is taking too long"),
        (Api::Metrika, 500..) => Reply::metrika(status, "backend_error", "Backend error"),
        (Api::Metrika, _) => Reply::metrika(status, "access_denied", "Access is denied"),
        (Api::Hubspot, _) => hubspot::refuse(status, "SERVER_ERROR", "internal error"),
        (_, 500..) => Reply::new(status, "text/html", "<html><body>Server error</body></html>"),
        _ => Reply::problem(status, "Forbidden", "Refused"),
    }
}
