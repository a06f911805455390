//! Plugins: shared libraries that are sources and sinks, loaded into this process or run in one of their own.
//!
//! `throughline-plugin-abi` has the interface, docs/plugins.md the guide. Here:
//! * [`Folder`]: which plugins are installed, and which of them are allowed to run.
//! * [`sources`] and [`sinks`]: installed plugins as connectors, in no way different from built-in ones.
//! * [`run_child`]: the other end of `isolation = "process"`.
//!
//! One trait stands in the middle, `session::Session`: a plugin that is asked. `native` asks a library in this
//! process, `process` asks `child` through pipes, which asks `native` there. Everything above knows only
//! sessions, so that a plugin behaves alike in both places.

// A plugin's functions are called through C: `load`, `native` and `services` are the places where that is done.
#![allow(unsafe_code)]

mod bridge;
mod check;
mod child;
mod events;
mod failure;
mod folder;
mod load;
mod manifest;
mod native;
mod options;
mod process;
mod running;
mod services;
mod session;
mod sink;
mod source;
mod watch;
mod wire;

pub use child::run_child;
pub use folder::{Folder, Installed, search_path};
pub use manifest::{Kind, Manifest};
pub use options::Isolation;
pub use process::Runner;
pub use sink::PluginSink;
pub use source::PluginSource;

use std::sync::Arc;

use throughline_core::{SinkConnector, SourceConnector};

/// The installed plugins that are sources, as connectors.
pub fn sources(installed: &[Installed], runner: &Runner) -> Vec<Box<dyn SourceConnector>> {
    let of_kind = installed.iter().filter(|p| p.manifest.kind == Kind::Source);
    of_kind
        .map(|plugin| {
            let connector: Box<dyn SourceConnector> =
                Box::new(PluginSource::new(Arc::new(plugin.clone()), runner.clone()));
            connector
        })
        .collect()
}

/// The installed plugins that are sinks, as connectors.
pub fn sinks(installed: &[Installed], runner: &Runner) -> Vec<Box<dyn SinkConnector>> {
    let of_kind = installed.iter().filter(|p| p.manifest.kind == Kind::Sink);
    of_kind
        .map(|plugin| {
            let connector: Box<dyn SinkConnector> =
                Box::new(PluginSink::new(Arc::new(plugin.clone()), runner.clone()));
            connector
        })
        .collect()
}
