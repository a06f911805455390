//! The client against real sockets: a server that writes what it is told, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bodies;
mod cassettes;
mod retries;
mod safety;
mod server;
mod tls;

use std::sync::{Arc, Mutex};

use throughline_core::http::{Account, HttpRequest, Method};
use throughline_core::{Clock, FixedClock, Redactor};
use throughline_http::{Client, Exchange, HttpSettings, Limits, RequestLog};

pub const START_US: i64 = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z

pub fn account() -> Account {
    Account { key: "vendor:shop".into(), per_second: 1000.0, burst: 1000, parallel: 100 }
}

pub fn get(url: impl Into<String>) -> HttpRequest {
    HttpRequest::new(Method::Get, url, account())
}

pub fn post(url: impl Into<String>, body: &str) -> HttpRequest {
    let mut request = HttpRequest::new(Method::Post, url, account());
    request.body = Some(body.to_owned().into());
    request
}

/// A client whose waits are instant and add up on its clock.
pub struct Kit {
    pub client: Client,
    pub clock: Arc<FixedClock>,
    pub redactor: Redactor,
    pub log: Arc<Log>,
}

impl Kit {
    pub fn new(settings: &HttpSettings) -> Self {
        Self::sharing(settings, Arc::default())
    }

    pub fn sharing(settings: &HttpSettings, limits: Arc<Limits>) -> Self {
        let clock = Arc::new(FixedClock::at_us(START_US));
        let (redactor, log) = (Redactor::new(), Arc::<Log>::default());
        let client = Client::new(settings, limits, clock.clone(), redactor.clone()).unwrap();
        Self { client: client.with_seed(1).with_log(log.clone()), clock, redactor, log }
    }

    pub fn waited_s(&self) -> f64 {
        (self.clock.now_us() - START_US) as f64 / 1e6
    }
}

impl Default for Kit {
    fn default() -> Self {
        Self::new(&HttpSettings::default())
    }
}

/// `number method url status bytes` of each exchange.
#[derive(Default)]
pub struct Log(Mutex<Vec<String>>);

impl Log {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl RequestLog for Log {
    fn exchange(&self, e: &Exchange<'_>) {
        let status = e.status.map_or("-".to_owned(), |s| s.to_string());
        self.0.lock().unwrap().push(format!(
            "{} {} {} {status} {}",
            e.number,
            e.method.as_str(),
            e.url,
            e.bytes
        ));
    }
}
