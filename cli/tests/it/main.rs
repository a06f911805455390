//! Tests of the whole program, most of them through the binary as users run it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod command;
mod floors;
