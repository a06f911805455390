//! How much of what it writes a stream may hold back: all streams of the process share one budget.
//!
//! A row group is compressed and written as a whole, so until then it is held in memory: the larger, the better it
//! packs and the quicker it is read. A few streams have room for large ones; where a daemon pulls for a hundred
//! pipelines, each has less.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Of all streams that land at the same time.
const ALL_BYTES: usize = 128 << 20;
/// The largest row group of one stream, and the least that is worth a row group.
const MOST_BYTES: usize = 32 << 20;
const LEAST_BYTES: usize = 1 << 20;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Held as long as a file is being written.
pub(super) struct Share(());

impl Share {
    pub(super) fn take() -> Self {
        OPEN.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// Bytes that may be held back now.
    pub(super) fn bytes(&self) -> usize {
        of(OPEN.load(Ordering::Relaxed))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

fn of(open: usize) -> usize {
    (ALL_BYTES / open.max(1)).clamp(LEAST_BYTES, MOST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_streams_hold_much_and_many_little() {
        assert_eq!(of(0), MOST_BYTES);
        assert_eq!(of(4), MOST_BYTES);
        assert_eq!(of(32), 4 << 20);
        assert_eq!(of(1_000), LEAST_BYTES);
    }
}
