//! Floor 0 against the project's reference fixtures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fixtures;
mod fuzz;
