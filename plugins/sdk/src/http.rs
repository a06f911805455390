//! HTTP by the host.

use serde::{Deserialize, Serialize};
use throughline_plugin_abi as abi;

use crate::error::{Error, Result};
use crate::host::{Host, absent};

/// The vendor's limits on one account: all requests that name the same key share them.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    /// The account, e.g. its subdomain. No secret.
    pub key: String,
    /// Requests a second.
    pub per_second: f64,
    /// Requests at once after a rest.
    pub burst: u32,
    /// Requests under way at the same time.
    pub parallel: u32,
}

/// A request. GET, PUT and DELETE are repeated when their answer is lost; of others [`Request::idempotent`]
/// says it.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    pub method: &'static str,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub account: Option<Account>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
    /// Statuses besides 2xx that are an answer and no error.
    pub accept: Vec<u16>,
    #[serde(skip)]
    pub body: Vec<u8>,
}

impl Request {
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    pub fn post(url: impl Into<String>, body: Vec<u8>) -> Self {
        Self { body, ..Self::new("POST", url) }
    }

    pub fn new(method: &'static str, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            account: None,
            idempotent: None,
            accept: Vec::new(),
            body: Vec::new(),
        }
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    #[must_use]
    pub fn account(mut self, account: Account) -> Self {
        self.account = Some(account);
        self
    }
}

/// A good answer, whole and decompressed.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Number in the host's request log: give it with the rows.
    pub exchange: u64,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

#[derive(Deserialize)]
struct Head {
    status: u16,
    headers: Vec<(String, String)>,
    exchange: u64,
}

pub(crate) fn raw_http(host: &Host, request: &Request) -> Result<Response> {
    let (table, scope) = host.parts();
    let http = table.http.ok_or_else(|| absent("http"))?;
    let json = serde_json::to_string(request)?;
    let (mut head, mut body, mut error) = (abi::tl_buf::EMPTY, abi::tl_buf::EMPTY, abi::tl_error::empty());
    // SAFETY: the inputs outlive the call, the outputs are empty and ours.
    unsafe {
        let (asked, sent) = (abi::tl_str::of(&json), abi::tl_str::of_bytes(&request.body));
        match http(table.ctx, scope, asked, sent, &raw mut head, &raw mut body, &raw mut error) {
            abi::TL_OK => {
                let Head { status, headers, exchange } = serde_json::from_slice(&head.take())?;
                Ok(Response { status, headers, exchange, body: body.take() })
            }
            code => Err(Error::of(code, &mut error)),
        }
    }
}
