//! The one HTTP client of Throughline.
//!
//! Connectors say what they want ([`throughline_core::http::HttpRequest`]); here is how it is got:
//! TLS and proxies, the rate limits of a vendor's account shared by the whole process ([`Limits`]),
//! `Retry-After` and retries, limits on what comes back, redaction of everything a person may see,
//! and recordings of the exchanges that stand in for the network ([`cassette`]). docs/http.md is the
//! user's side of it.
//!
//! It knows no vendor.

pub mod cassette;
mod client;
mod fault;
mod flow;
mod gunzip;
mod limits;
mod log;
mod names;
pub mod query;
mod retry;
mod settings;
mod target;
mod transport;

pub use client::Client;
pub use limits::Limits;
pub use log::{Exchange, RequestLog, TracingLog};
pub use settings::HttpSettings;
