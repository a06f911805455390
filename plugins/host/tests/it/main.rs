//! Plugins as users have them: real libraries, in both places, good ones and bad ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod examples;
mod folder;
mod hostile;
mod memory;
mod negotiation;
mod sinks;
mod support;
mod tickets;
