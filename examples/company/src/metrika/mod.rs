//! Yandex Metrica: the Logs API, and as much of the reporting API as tells how many visits a day had.

pub mod fields;
pub mod requests;
pub mod rows;
mod stat;
