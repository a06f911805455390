//! A simulated company of any size, with a known truth: ads, a site and its visitors, WhatsApp chats, an
//! amoCRM. It speaks the vendors' protocols on loopback, with their limits, quirks and, on demand, faults.
//!
//! It shares no code with the product, so it cannot share its mistakes: everything here is written from the
//! vendors' documentation. Everything follows from the seed; see README.md.

pub mod ads;
pub mod amocrm;
pub mod api;
pub mod bitrix24;
pub mod call;
mod changed;
pub mod chat;
pub mod comagic;
pub mod company;
pub mod config;
pub mod consent;
pub mod control;
pub mod costs;
pub mod deal;
pub mod direct;
mod edge;
mod facts;
pub mod faults;
pub mod ga4;
pub mod hubspot;
pub mod metrika;
pub mod output;
pub mod person;
pub mod reply;
pub mod rng;
pub mod salesforce;
pub mod server;
pub mod stats;
pub mod story;
pub mod telegram;
pub mod text;
pub mod token;
pub mod truth;
pub mod uploads;
pub mod vk;
pub mod whatsapp;
pub mod words;
pub mod written;

pub use call::Call;
pub use company::Company;
pub use config::Config;
pub use server::{Options, Running, Server};
