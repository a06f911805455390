//! The edge of the internet: webhooks of messengers and events of sites, into the durable inbox.
//!
//! ```text
//! server (connections, time limits) -> route (which endpoint) -> verify (is it the vendor's)
//!     -> inbox (durable) -> answer; outlet: from the inbox into files that pipelines read
//! ```
//! As little as possible happens here: nothing is parsed beyond what the proof of origin needs, nothing waits
//! for a pipeline, and 2xx means that it is on disk. docs/receiver.md tells it to users.
//!
//! [`consent`] stands apart: it waits on loopback for a browser that a vendor sends back.

mod address;
mod answer;
mod body;
pub mod consent;
mod endpoint;
mod metrics;
mod outlet;
mod rate;
mod route;
mod server;
mod site;
mod state;
mod tls;
mod verify;

pub use address::Network;
pub use endpoint::{Hook, Site, Verify};
pub use outlet::{OUTLET_FOLDER, outlet, prepare};
pub use server::{Limits, Receiver, Settings};
pub use tls::TlsFiles;

/// For fuzzing and tests: everything that reads bytes of the internet.
#[doc(hidden)]
pub mod parsers {
    pub use crate::address::client_address;
    pub use crate::site::events;
    pub use crate::verify::{Checked, check_post, handshake};
}
