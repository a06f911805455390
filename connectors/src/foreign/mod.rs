//! Other people's connectors: programs that write messages to their standard output.
//!
//! What Singer taps and Airbyte sources share is here: options, records, schemas; the process is in
//! `throughline_foreign`. Each of the two protocols
//! has a folder of its own beside this one.

pub mod config;
pub mod examine;
pub(crate) mod line;
pub(crate) mod rows;
pub(crate) mod schema;
