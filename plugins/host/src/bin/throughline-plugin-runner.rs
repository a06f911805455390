//! `throughline plugin-host` alone, without the engine around it: for tests, and for hosts that are not the
//! `throughline` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let memory = match (args.next().as_deref(), args.next()) {
        (Some("--memory"), Some(bytes)) => bytes.parse().ok(),
        _ => None,
    };
    match memory {
        Some(bytes) => ExitCode::from(throughline_plugin_host::run_child(bytes)),
        None => {
            eprintln!("this program is started by Throughline: throughline-plugin-runner --memory BYTES");
            ExitCode::from(2)
        }
    }
}
