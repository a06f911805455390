//! What is told of each exchange while it happens.

use throughline_core::http::Method;

/// One request on the wire and its answer. Holds no secret.
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// The number that rows carry as `_tl_req`; a replay gives the recorded one.
    pub number: u64,
    pub method: Method,
    /// Redacted.
    pub url: &'a str,
    /// [`throughline_core::http::Account::key`].
    pub account: &'a str,
    /// `None`: there was no answer.
    pub status: Option<u16>,
    /// Of the body, decompressed, as far as it came.
    pub bytes: u64,
    /// From sending to the end of the body, on the machine's clock.
    pub ms: u64,
}

/// Told of every exchange at its end, attempts that failed included. Must not block.
pub trait RequestLog: Send + Sync {
    fn exchange(&self, exchange: &Exchange<'_>);
}

/// The default: a debug line per exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingLog;

impl RequestLog for TracingLog {
    fn exchange(&self, e: &Exchange<'_>) {
        tracing::debug!(
            number = e.number,
            method = e.method.as_str(),
            url = e.url,
            account = e.account,
            status = e.status,
            bytes = e.bytes,
            ms = e.ms,
            "http exchange"
        );
    }
}
