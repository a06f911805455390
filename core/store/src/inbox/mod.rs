//! The durable inbox: one SQLite file, `inbox.db`, of what vendors and sites have sent, raw, in the order it
//! came. It stands apart from `state.db` so that whoever receives never waits for a pipeline.
//!
//! ```text
//! Inbox::append -> bounded queue -> one thread: a transaction for all that wait -> fsync -> acknowledged
//! InboxReader::read(source, after) -> InboxReader::advance once what was read is stored elsewhere
//! ```
//! * What was acknowledged is on disk: WAL with `synchronous=FULL`, and the answer comes after the commit.
//! * What a full or failing disk took with it is told to all who waited; nobody is acknowledged, the file
//!   stays whole and the next append tries again.
//! * A delivery whose key was seen is acknowledged and not stored again, also after the first was dropped.
//! * A file that cannot be flushed costs nothing: its log, which can be, keeps everything until it can.
//! * Retention drops only what every registered reader of the source has behind it.
//! * A tail that a crash has torn is no transaction: SQLite leaves it out when the file is opened.

mod db;
mod fold;
mod reader;
mod retention;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use throughline_core::time::InstantUs;
use throughline_core::{Clock, Error, SystemClock};

pub use reader::{Delivery, InboxReader, ReaderState, SourceState};
pub use writer::Inbox;

/// The file's name inside a state folder.
pub const INBOX_FILE: &str = "inbox.db";

/// One thing to be kept.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// Name of the source in the pipeline.
    pub source: Arc<str>,
    pub received_at_us: InstantUs,
    /// `None`: every delivery is stored.
    pub key: Option<DeliveryHash>,
    /// A JSON object: name to text, or to a list of texts. No secrets.
    pub headers: String,
    /// The raw bytes.
    pub body: Vec<u8>,
}

/// What became of it; durable either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    Stored(i64),
    /// A delivery of this source with the same key was acknowledged before.
    Duplicate,
}

/// The vendor's key of a delivery, as it is kept: 128 bits of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DeliveryHash(pub(crate) [u8; 16]);

impl DeliveryHash {
    /// Of the key itself, or of a whole body.
    pub fn of(key: &[u8]) -> Self {
        let mut half = [0; 16];
        for (to, from) in half.iter_mut().zip(Sha256::digest(key)) {
            *to = from;
        }
        Self(half)
    }
}

/// Why a delivery was not acknowledged.
#[derive(Debug)]
pub enum Refused {
    /// More waits than may wait: come back in a moment.
    Busy,
    /// It could not be written. Told to everybody of the group.
    Failed(Error),
}

/// What is kept for how long.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Deliveries older than this go once every reader has them. `None`, the default, keeps them for ever:
    /// a full refresh can only read what is here.
    pub keep: Option<Duration>,
    /// The file never grows beyond this; from 90% on the oldest deliveries that were read are dropped.
    pub max_bytes: Option<u64>,
    /// Keys are known for at least so long,
    pub keep_keys: Duration,
    /// and at least so many: a clock that jumps ahead does not make us forget what was delivered.
    pub least_keys: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: None, max_bytes: None, keep_keys: Duration::from_secs(30 * 86_400), least_keys: 500_000 }
    }
}

/// How an inbox is written.
#[derive(Clone)]
pub struct InboxOptions {
    pub retention: Retention,
    /// Appends that may wait; the next is [`Refused::Busy`].
    pub queue: usize,
    /// Bytes of bodies that may wait.
    pub queue_bytes: usize,
    /// Between two looks at what may be dropped; so long after the last delivery the log is emptied, too.
    pub upkeep_every: Duration,
    pub clock: Arc<dyn Clock>,
}

impl Default for InboxOptions {
    fn default() -> Self {
        Self {
            retention: Retention::default(),
            queue: 4096,
            queue_bytes: 64 << 20,
            upkeep_every: Duration::from_secs(60),
            clock: Arc::new(SystemClock),
        }
    }
}
