//! Sinks that write attribution into CRMs, against the simulated company's.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod behaviour;
mod broken;
mod company_crm;
mod options;
mod undo;
mod writing;
