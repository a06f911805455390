//! One run of a target at a time: two that load one epoch at once would count it twice where they append.

use std::fs::{File, TryLockError};
use std::sync::Arc;
use std::time::Duration;

use throughline_core::{Context, Error, Result};

use crate::epoch_folder::EpochFolder;

const LOCK: &str = ".throughline-target";
/// Between two looks at a lock that another process holds.
const LOOK: Duration = Duration::from_millis(200);

/// Waits until no other process runs the target, and keeps them from it until the file is dropped.
pub(super) async fn alone(folder: &Arc<EpochFolder>, ctx: &Context) -> Result<Option<File>> {
    let path = folder.root().join(LOCK);
    // Without its folder there is nothing to commit; which the commit tells.
    if !folder.root().is_dir() {
        return Ok(None);
    }
    let failed = |e| Error::io("lock", path.display(), e);
    let file = File::options().create(true).append(true).open(&path).map_err(failed)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            // A file system without locks: the pipeline's own lock is what is left.
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => return Ok(None),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
            Err(TryLockError::WouldBlock) => {}
        }
        tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => return Err(Error::cancelled()),
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}
