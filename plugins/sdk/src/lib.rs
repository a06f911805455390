//! The safe kit for Throughline plugins in Rust.
//!
//! A source implements [`Source`] and is exported by [`export_source!`]; a sink implements [`Sink`] and is
//! exported by [`export_sink!`]. `crate-type = ["cdylib"]` makes the library, `throughline plugin test` tries it,
//! `throughline plugin install` installs it. docs/plugins.md takes you through all of it.
//!
//! Calls block, and every read and write has a thread of its own: no async runtime is needed. HTTP, the clock,
//! secrets and logging are the [`Host`]'s, so that a plugin needs no TLS and can be tested offline.
//!
//! A panic becomes an error of that one read or write. So a plugin cannot be built with `panic = "abort"`.

// The border itself is C: `export`, `host`, `http` and `error` cross it, plugins do not have to.
#![allow(unsafe_code)]

#[cfg(panic = "abort")]
compile_error!("a plugin must not be built with panic = \"abort\": a panic would end the whole host");

mod catalog;
mod error;
mod event;
#[doc(hidden)]
pub mod export;
mod host;
mod http;
mod sink;
mod source;

pub use arrow_array;
pub use arrow_schema;
pub use serde;
pub use serde_json;
#[doc(hidden)]
pub use throughline_plugin_abi as abi;

pub use catalog::{Capabilities, Column, ColumnType, Manifest, Mapping, Restates, Stream};
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, Rows};
pub use host::{Host, Level, Secret};
pub use http::{Account, Request, Response};
pub use sink::{Committable, Guarantee, Receipt, Reject, Sink, Table, Writer};
pub use source::{ReadRequest, Reader, Report, Source};

/// Makes a type that implements [`Source`] the plugin of this library.
#[macro_export]
macro_rules! export_source {
    ($source:ty) => {
        /// # Safety
        /// Called by the host, as `throughline_plugin.h` says.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn tl_plugin_init_v1(
            host_abi: u32,
            host: *const $crate::abi::tl_host,
            out: *mut $crate::abi::tl_plugin,
            error: *mut $crate::abi::tl_error,
        ) -> i32 {
            // SAFETY: passed on as it came.
            unsafe { $crate::export::init_source::<$source>(host_abi, host, out, error) }
        }
    };
}

/// Makes a type that implements [`Sink`] the plugin of this library.
#[macro_export]
macro_rules! export_sink {
    ($sink:ty) => {
        /// # Safety
        /// Called by the host, as `throughline_plugin.h` says.
        #[allow(unsafe_code)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn tl_plugin_init_v1(
            host_abi: u32,
            host: *const $crate::abi::tl_host,
            out: *mut $crate::abi::tl_plugin,
            error: *mut $crate::abi::tl_error,
        ) -> i32 {
            // SAFETY: passed on as it came.
            unsafe { $crate::export::init_sink::<$sink>(host_abi, host, out, error) }
        }
    };
}
