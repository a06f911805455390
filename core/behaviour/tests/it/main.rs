//! The suite on a good source, and on bad ones that differ from it by one flaw each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod flaws;
mod recordings;
mod sinks;
mod source;
mod vendor;
