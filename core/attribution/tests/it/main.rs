#![allow(clippy::unwrap_used, clippy::expect_used)]
//! Attribution over the real engine.

mod documents;
mod explain;
mod fixtures;
mod identity;
mod journeys;
mod messengers;
mod money;
mod properties;
mod scale;
mod support;
