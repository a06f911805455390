//! The `throughline` command.

mod allocator;
mod args;
mod bars;
mod commands;
mod consent;
mod exit;
mod output;
mod receiving;
mod setup;
mod text;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, ColorWhen};
use crate::output::Output;

fn main() -> ExitCode {
    allocator::settle();
    let cli = Cli::parse();
    match cli.color {
        ColorWhen::Auto => {}
        ColorWhen::Always => anstream::ColorChoice::Always.write_global(),
        ColorWhen::Never => anstream::ColorChoice::Never.write_global(),
    }
    setup::logging(cli.verbose);
    let output = Output { json: cli.json };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: cannot start: {error}");
            return ExitCode::from(exit::FAILED);
        }
    };
    let code = runtime.block_on(commands::run(cli.command, &output));
    // A blocking read of a connector must not keep a finished command from ending.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    ExitCode::from(code)
}
