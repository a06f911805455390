//! What outlives a run: one SQLite file per state folder, with runs, landed segments and checkpoints,
//! the publish ledger, dead letters, tokens and notes. `docs/state.md` tells it to users.
//!
//! A write is durable (fsync) when its future resolves, and it is all or nothing. Writes go through
//! one thread that takes what is waiting into one transaction (group commit): a hundred tasks that
//! write at once pay for one fsync. Reads have connections of their own and see what is committed.
//! A future that is dropped after its first poll does not undo its write.
//!
//! Several processes may share a folder; [`Store::lock_pipeline`] keeps one pipeline from running
//! twice.

mod db;
mod dead_letters;
mod files;
mod forget;
pub mod inbox;
mod landing;
mod ledger;
mod lock;
mod notes;
mod runs;
mod store;
mod token_key;
mod tokens;
mod writer;

pub use dead_letters::{
    DEAD_LETTER_RAW_LIMIT_BYTES, DeadLetter, DeadLetterCount, DeadLetterFilter, DeadLetterState,
    LettersAdded, NewDeadLetter, ResolveUnseen,
};
pub use forget::{ForgetRequest, Mark, ReplacedSegment};
pub use landing::{
    BegunGeneration, LandCommit, Landed, NewSegment, NewWindow, SegmentRow, StreamState, WindowRow,
};
pub use ledger::{Epoch, EpochRow, EpochStatus, SinkTxn, SinkTxnRow};
pub use lock::{LockAttempt, LockHolder, PipelineLock};
pub use runs::{NewRun, RunEnd, RunId, RunRow, RunStatus};
pub use store::{STATE_FILE, Store};
pub use token_key::TokenKey;
