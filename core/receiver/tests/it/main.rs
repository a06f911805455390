//! The receiver over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bytes;
mod edge;
#[cfg(target_os = "linux")]
mod faults;
mod fuzz;
mod hooks;
mod kill;
mod outlet;
mod sites;
mod support;
mod tls;
