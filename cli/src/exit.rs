//! Exit codes, for scripts.

use throughline_core::{Error, ErrorKind};
use throughline_engine::run::{RunReport, RunStatus};

pub const DONE: u8 = 0;
pub const FAILED: u8 = 1;
/// The command, a pipeline file or an option is wrong: a person must edit.
pub const WRONG: u8 = 2;
/// A vendor's own count says that records are missing.
pub const INCOMPLETE: u8 = 3;
/// Failed for now: the same command may succeed later.
pub const TRY_LATER: u8 = 4;
pub const TEST_FAILED: u8 = 5;
/// Stopped by a signal, as shells say it.
pub const STOPPED: u8 = 130;

pub fn of_error(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Cancelled => STOPPED,
        ErrorKind::Config => WRONG,
        _ if error.is_temporary() => TRY_LATER,
        _ => FAILED,
    }
}

pub fn of_run(report: &RunReport) -> u8 {
    match report.status {
        RunStatus::Succeeded => DONE,
        RunStatus::Incomplete => INCOMPLETE,
        RunStatus::Cancelled => STOPPED,
        RunStatus::Failed => {
            if report.errors.iter().all(|e| e.kind == "config") {
                WRONG
            } else if report.errors.iter().all(|e| e.temporary) {
                TRY_LATER
            } else {
                FAILED
            }
        }
    }
}
