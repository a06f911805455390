//! Sources: one folder per vendor.
//!
//! Most vendors are a manifest and a few SELECTs; the runtime that reads them is `manifest`. What
//! every one of them shares, from bytes to columns, is [`records`].

pub mod file;
mod flow;
mod lines;
mod local;
pub mod records;
pub mod yandex_metrica;
