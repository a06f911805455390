//! What is uploaded into web analytics: Yandex Metrica's offline data, and Google Analytics' Measurement Protocol. It is
//! kept, so that a test can compare.

pub mod ga4;
pub mod metrika;

use std::sync::Mutex;

use crate::reply::Reply;
use ga4::Collected;
use metrika::File;

#[derive(Default)]
pub struct Uploads {
    files: Mutex<Vec<File>>,
    events: Mutex<Vec<Collected>>,
}

/// One call.
pub struct Call<'a> {
    pub now: i64,
    pub counter: u64,
    pub method: &'a str,
    pub path: &'a str,
    pub query: &'a str,
    pub authorization: &'a str,
    pub content_type: &'a str,
    pub body: &'a [u8],
}

impl Uploads {
    pub fn is_for(path: &str) -> bool {
        path.ends_with("/mp/collect")
            || path.starts_with("/cdp/api/v1/")
            || (path.starts_with("/management/v1/")
                && (path.contains("/offline_conversions/") || path.contains("/expense/")))
    }

    pub fn answer(&self, call: &Call) -> Reply {
        match call.path {
            "/mp/collect" | "/debug/mp/collect" => self.collect(call),
            _ => self.metrika(call),
        }
    }
}
