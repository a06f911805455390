#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bad_configs;
mod cron;
mod daemon;
mod docs;
mod fakes;
mod pipeline;
mod schema;
