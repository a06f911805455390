#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Attribution over the real engine.

mod documents;
mod explain;
mod fixtures;
mod identity;
mod journeys;
mod messengers;
mod models;
mod models_properties;
mod money;
mod properties;
mod scale;
mod support;
