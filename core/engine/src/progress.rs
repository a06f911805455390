//! What a run tells whoever watches it. The terminal's bars are one listener, tests another.

pub trait Progress: Send + Sync {
    fn stream_started(&self, _stream: &str) {}
    /// `rows` so far in this run; `total` where the source knows it.
    fn stream_rows(&self, _stream: &str, _rows: u64, _total: Option<u64>) {}
    fn stream_finished(&self, _stream: &str, _rows: u64, _failed: bool) {}
    /// A stage of the whole run: map, attribute, publish.
    fn stage(&self, _name: &str, _detail: &str) {}
}

/// Nobody watches.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}
