//! A request as the vendors see it.

use axum::http::HeaderMap;

use crate::company::Company;
use crate::faults::Fault;

/// One call to one vendor. What a vendor does not look at may be anything.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub company: &'a Company,
    /// Unix seconds, by the company's clock.
    pub now: i64,
    /// Scheme and host under which we were asked, without a slash at the end: for links in answers.
    pub base: &'a str,
    pub method: &'a str,
    pub path: &'a str,
    /// Behind the question mark, encoded.
    pub query: &'a str,
    pub authorization: &'a str,
    pub headers: Option<&'a HeaderMap>,
    pub body: &'a [u8],
    /// Those that struck this call and that the vendor itself must play.
    pub faults: &'a [Fault],
}

impl<'a> Call<'a> {
    /// An empty call at that moment, to be filled in by who asks without a connection.
    pub fn of(company: &'a Company, now: i64) -> Call<'a> {
        Call {
            company,
            now,
            base: "",
            method: "GET",
            path: "",
            query: "",
            authorization: "",
            headers: None,
            body: &[],
            faults: &[],
        }
    }

    /// A header by its name in lower case; empty where there is none, or none that is text.
    pub fn header(&self, name: &str) -> &'a str {
        self.headers.and_then(|h| h.get(name)).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }
}
