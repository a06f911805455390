//! Named places where a test can kill the process.
//!
//! `THROUGHLINE_FAILPOINT=land.committed:3` ends the process, without any clean-up, the third time
//! it passes `land.committed`. The crash test of the commit protocol uses every name in [`NAMES`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Every failpoint, in the order in which a run passes them.
pub const NAMES: &[&str] = &[
    "run.begun",
    "land.segment_written",
    "land.committed",
    "land.acknowledged",
    "map.done",
    "attribute.done",
    "publish.staging",
    "publish.staged",
    "publish.prepared",
    "publish.sink_committed",
    "publish.committed",
    "publish.cleaned",
];

/// Those that only the forgetting of a person passes, in their order.
pub const FORGET_NAMES: &[&str] = &[
    "forget.segment_written",
    "forget.segment_switched",
    "forget.segment_removed",
    "forget.letters_deleted",
    "forget.source_done",
    "forget.checkpoints_changed",
    "forget.stored_done",
    "forget.epochs_dropped",
    "forget.finished",
];

struct Armed {
    name: String,
    pass: u32,
    passed: AtomicU32,
}

fn armed() -> Option<&'static Armed> {
    static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
    ARMED
        .get_or_init(|| {
            let setting = std::env::var("THROUGHLINE_FAILPOINT").ok()?;
            let (name, pass) = setting.split_once(':').unwrap_or((&setting, "1"));
            Some(Armed { name: name.to_owned(), pass: pass.parse().unwrap_or(1), passed: AtomicU32::new(0) })
        })
        .as_ref()
}

/// Ends the process here when a test armed this name.
pub fn pass(name: &'static str) {
    if let Some(armed) = armed()
        && armed.name == name
        && armed.passed.fetch_add(1, Ordering::SeqCst) + 1 == armed.pass
    {
        eprintln!("failpoint {name}: the process ends here");
        std::process::abort();
    }
}
