#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Attribution over the real engine.

mod bad_input;
mod campaigns;
mod cohorts;
mod consents;
mod credits;
mod documents;
mod explain;
mod fixtures;
mod identity;
mod incremental;
mod journeys;
mod learned;
mod merges;
mod messengers;
mod models;
mod models_properties;
mod money;
mod operators;
mod persons;
mod properties;
mod quality;
mod scale;
mod support;
mod tests_ab;
