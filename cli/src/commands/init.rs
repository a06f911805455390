//! `throughline init`

use std::io::Write;

use throughline_core::Error;

use super::Outcome;
use crate::args::InitArgs;
use crate::exit;
use crate::output::{GOOD, Output, paint};

/// A pipeline that a shop could start from; a test checks that it loads.
pub const TEMPLATE: &str = include_str!("../../templates/pipeline.toml");

pub fn run(args: &InitArgs, output: &Output) -> Outcome {
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).open(&args.path).map_err(|e| {
            let error = Error::io("write", args.path.display(), e);
            if args.path.exists() {
                Error::config(format!("{} exists already; nothing was written", args.path.display()))
            } else {
                error
            }
        })?;
    file.write_all(TEMPLATE.as_bytes()).map_err(|e| Error::io("write", args.path.display(), e))?;
    output.result(&serde_json::json!({ "written": args.path }), || {
        format!(
            "{} {}\nNext: edit it, then throughline check --offline {}\n",
            paint(GOOD, "wrote"),
            args.path.display(),
            args.path.display()
        )
    });
    Ok(exit::DONE)
}
