//! Tests of the whole program, most of them through the binary as users run it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// The command line itself, so that documented commands are read as the program reads them.
#[path = "../../src/args.rs"]
#[allow(dead_code)]
mod args;

mod alerts;
mod auth;
mod bad_data;
mod bitrix24;
mod blocks;
mod command;
mod connector_test;
mod connectors_page;
mod crash;
mod direct;
mod docs;
mod faults;
mod floors;
mod foreign;
mod forget;
mod forget_chats;
mod forget_received;
mod ga4;
mod history;
mod hubspot;
mod link;
mod links;
mod paths;
mod plugins;
mod postgresql;
mod quickstart;
mod receiving;
mod salesforce;
mod scheduling;
mod serve;
mod sinks_crash;
mod studio;
mod truth;
mod uploads;
mod write_back;
