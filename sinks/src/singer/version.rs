//! Versions for ACTIVATE_VERSION: each is later than all before it, whatever the clock does.

use std::sync::Arc;

use throughline_core::time::InstantUs;
use throughline_core::{Error, Result};

use crate::epoch_folder::EpochFolder;
use crate::files::write_whole;
use crate::staging;

const FILE: &str = ".throughline-version";

/// Milliseconds since 1970 as a rule, as taps count. Durable when it returns.
pub(super) async fn next(folder: &Arc<EpochFolder>, now_us: InstantUs) -> Result<i64> {
    staging::blocking(folder, move |folder| {
        folder.own()?;
        let path = folder.root().join(FILE);
        let last = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse::<i64>().map_err(|e| {
                Error::data(format!("{} cannot be read: {e}", path.display()))
                    .hint("write into it the largest version that the target's tables hold, or 0")
            })?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => 0,
            Err(e) => return Err(Error::io("read", path.display(), e)),
        };
        let next = (now_us / 1000).max(last.saturating_add(1));
        write_whole(&path, next.to_string().as_bytes())?;
        Ok(next)
    })
    .await
}
