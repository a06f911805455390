//! What is uploaded into web analytics: Yandex Metrica's offline data, and Google Analytics' Measurement Protocol. It is
//! kept, so that a test can compare.

pub mod ga4;
pub mod metrika;

use std::sync::Mutex;

use crate::call::Call;
use crate::reply::Reply;
use ga4::Collected;
use metrika::File;

#[derive(Default)]
pub struct Uploads {
    files: Mutex<Vec<File>>,
    events: Mutex<Vec<Collected>>,
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
