//! What a source implements.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::catalog::{Manifest, Mapping, Stream};
use crate::error::{Error, ErrorKind, Result};
use crate::event::Event;
use crate::host::Host;

/// A source with its options. Several streams may be read at once, on threads of their own.
pub trait Source: Send + Sync + Sized + 'static {
    /// The options. With `#[serde(deny_unknown_fields)]` a misspelt one is found, and pointed at in the file.
    type Config: DeserializeOwned;

    /// Whether [`Source::discover`] says more than [`Source::catalog`].
    const DISCOVERS: bool = false;
    /// Whether [`Source::committed`] does something.
    const ACKNOWLEDGES: bool = false;

    fn manifest() -> Manifest;

    /// Checks the options and keeps them. Asks nobody.
    fn open(config: Self::Config, host: &Host) -> Result<Self>;

    /// Whether credentials and rights suffice.
    fn check(&self, host: &Host) -> Result<Report>;

    /// The streams under these options.
    fn catalog(&self) -> Vec<Stream> {
        Self::manifest().streams
    }

    /// The same after asking the vendor.
    fn discover(&self, _host: &Host) -> Result<Vec<Stream>> {
        Ok(self.catalog())
    }

    fn mappings(&self) -> Vec<Mapping> {
        Vec::new()
    }

    fn read(&self, host: &Host, request: ReadRequest) -> Result<Box<dyn Reader>>;

    /// What stands before the checkpoint is durable at the host: it may be acknowledged upstream. May come
    /// again, and from another process.
    fn committed(&self, _host: &Host, _stream: &str, _checkpoint: &Value) -> Result<()> {
        Err(Error::new(ErrorKind::Unsupported, "nothing is acknowledged"))
    }
}

/// One read of one stream.
///
/// Everything between two checkpoints must come again when reading goes on from the first of them. A record is
/// never left out in silence. [`Event::End`] is a promise that nothing is missing.
pub trait Reader: Send {
    /// The next event; not called again after [`Event::End`] or an error.
    fn next(&mut self, host: &Host) -> Result<Event>;
}

#[derive(Clone, Debug, Deserialize)]
pub struct ReadRequest {
    pub stream: String,
    /// Of a backfill that the user asked for; µs since 1970 UTC, half-open.
    pub from_us: Option<i64>,
    pub to_us: Option<i64>,
    /// A dry run: stop after this many pages.
    pub max_pages: Option<u64>,
    /// Where to go on; `None` reads from the beginning.
    #[serde(skip)]
    pub checkpoint: Option<Value>,
}

impl ReadRequest {
    /// The checkpoint as the plugin's own type.
    ///
    /// # Errors
    /// It is of another shape: another version of the plugin wrote it.
    pub fn checkpoint<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.checkpoint.clone().map(serde_json::from_value).transpose().map_err(|e| {
            Error::new(ErrorKind::Data, format!("the checkpoint cannot be read: {e}"))
                .hint("read the stream anew: throughline run --full-refresh")
        })
    }
}

/// What `throughline check` prints.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    pub facts: Vec<(String, String)>,
    pub warnings: Vec<String>,
}
