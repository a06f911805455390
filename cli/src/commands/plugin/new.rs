//! `throughline plugin new`
//!
//! What is written are the examples of this repository, which its tests build, under another name. A Rust plugin
//! gets the kit along, as source: so it fits this program, and is built without a registry that has it.

use std::path::Path;

use throughline_core::{Error, Result};

use crate::args::{PluginLanguage, PluginNewArgs};
use crate::output::{GOOD, Output, paint};

macro_rules! plugins {
    ($path:literal) => {
        include_str!(concat!("../../../../plugins/", $path))
    };
}

/// Path below the project, and text; the example's name stands for the plugin's.
type File = (&'static str, &'static str);

const RUST: &[File] = &[
    ("Cargo.toml", include_str!("../../../templates/plugin/Cargo.toml")),
    ("src/lib.rs", plugins!("examples/tickets/src/lib.rs")),
    ("plugin.test.toml", plugins!("examples/tickets/plugin.test.toml")),
    ("answers.jsonl", plugins!("examples/tickets/answers.jsonl")),
];

const C: &[File] = &[
    ("{{NAME}}.c", plugins!("examples/counter_c/counter.c")),
    ("Makefile", include_str!("../../../templates/plugin/Makefile")),
    ("plugin.test.toml", plugins!("examples/counter_c/plugin.test.toml")),
    ("throughline_plugin.h", throughline_plugin_abi::HEADER),
];

/// The kit, below `kit/`.
const KIT: &[File] = &[
    ("abi/Cargo.toml", include_str!("../../../templates/plugin/kit-abi.toml")),
    ("abi/include/throughline_plugin.h", throughline_plugin_abi::HEADER),
    ("abi/src/lib.rs", plugins!("abi/src/lib.rs")),
    ("abi/src/values.rs", plugins!("abi/src/values.rs")),
    ("sdk/Cargo.toml", include_str!("../../../templates/plugin/kit-sdk.toml")),
    ("sdk/src/lib.rs", plugins!("sdk/src/lib.rs")),
    ("sdk/src/catalog.rs", plugins!("sdk/src/catalog.rs")),
    ("sdk/src/error.rs", plugins!("sdk/src/error.rs")),
    ("sdk/src/event.rs", plugins!("sdk/src/event.rs")),
    ("sdk/src/host.rs", plugins!("sdk/src/host.rs")),
    ("sdk/src/http.rs", plugins!("sdk/src/http.rs")),
    ("sdk/src/sink.rs", plugins!("sdk/src/sink.rs")),
    ("sdk/src/source.rs", plugins!("sdk/src/source.rs")),
    ("sdk/src/export/mod.rs", plugins!("sdk/src/export/mod.rs")),
    ("sdk/src/export/sink.rs", plugins!("sdk/src/export/sink.rs")),
    ("sdk/src/export/source.rs", plugins!("sdk/src/export/source.rs")),
];

pub fn run(args: &PluginNewArgs, output: &Output) -> Result<()> {
    let name = args.name.as_str();
    let folder = args.dir.clone().unwrap_or_else(|| name.into());
    if folder.exists() {
        let message = format!("{} exists already; nothing was written", folder.display());
        return Err(Error::config(message).hint("choose another name, or --dir"));
    }
    let (files, example, next) = match args.lang {
        PluginLanguage::Rust => {
            (RUST, "tickets", format!("cargo build && throughline plugin test target/debug/lib{name}.so"))
        }
        PluginLanguage::C => (C, "counter", format!("make && throughline plugin test lib{name}.so")),
    };
    for (path, text) in files {
        let text = text.replace("{{NAME}}", name).replace("{{VERSION}}", env!("CARGO_PKG_VERSION"));
        // Its name in its own manifest; streams and words stay those of the example.
        let text = text
            .replace(&format!("name: \"{example}\","), &format!("name: \"{name}\","))
            .replace(&format!("\\\"name\\\":\\\"{example}\\\""), &format!("\\\"name\\\":\\\"{name}\\\""));
        put(&folder.join(path.replace("{{NAME}}", name)), &text)?;
    }
    if args.lang == PluginLanguage::Rust {
        for (path, text) in KIT {
            put(&folder.join("kit").join(path), &text.replace("{{VERSION}}", env!("CARGO_PKG_VERSION")))?;
        }
    }
    output.result(&serde_json::json!({ "written": folder }), || {
        format!("{} {}\nNext: cd {} && {next}\n", paint(GOOD, "wrote"), folder.display(), folder.display())
    });
    Ok(())
}

fn put(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(folder).map_err(|e| Error::io("make", folder.display(), e))?;
    std::fs::write(path, text).map_err(|e| Error::io("write", path.display(), e))
}
