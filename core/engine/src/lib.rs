//! Floor 3: pipeline files, the run loop and the scheduler.
//!
//! A run is told in [`run`]: land ([`land`]), map ([`map`]), attribute, publish ([`publish`]), and tell people
//! what went wrong ([`alert`]). This crate
//! knows no vendor and no HTTP.

mod alert;
pub mod diagnostic;
pub mod failpoint;
pub mod forget;
pub mod land;
pub mod map;
mod personal;
pub mod pipeline;
pub mod progress;
pub mod publish;
pub mod registry;
pub mod run;
pub mod schedule;
mod suggest;
mod write_back;
