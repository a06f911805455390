//! A world that answers from a recording.

use std::path::Path;
use std::sync::Arc;

use throughline_core::{Context, Redactor, Result};
use throughline_http::Client;
use throughline_http::cassette::Cassette;
use tokio_util::sync::CancellationToken;

use crate::memory::{MemoryNotes, MemoryTokens};

/// A process's context, and what only its world knows.
pub struct Setting {
    pub ctx: Context,
    /// The first request that had no recorded answer, where answers are recorded.
    pub missing: Option<Arc<dyn Fn() -> Option<String> + Send + Sync>>,
}

impl From<Context> for Setting {
    fn from(ctx: Context) -> Self {
        Self { ctx, missing: None }
    }
}

/// Answers of a vendor from a cassette (docs/http.md), for any number of processes: each hears all answers
/// from the first on, on the recording's clock, and the last answer to a request as often as it asks.
pub struct Offline {
    name: Arc<str>,
    cassette: Cassette,
    redactor: Redactor,
    scratch: tempfile::TempDir,
}

impl Offline {
    /// `name` is the source's in messages; `redactor` knows the secrets that its requests will hold.
    ///
    /// # Errors
    /// Config or Io: the file is no cassette or cannot be read.
    pub fn open(name: &str, cassette: &Path, redactor: Redactor) -> Result<Self> {
        let scratch = tempfile::tempdir().map_err(|e| {
            throughline_core::Error::io("make a folder in", std::env::temp_dir().display(), e)
        })?;
        let cassette = Cassette::open(cassette, &redactor)?;
        Ok(Self { name: name.into(), cassette, redactor, scratch })
    }

    /// What a fresh process gets. Notes and tokens are empty.
    ///
    /// # Errors
    /// None today: the cassette was read when it was opened.
    pub fn setting(&self) -> Result<Setting> {
        let cassette = self.cassette.rewound(true);
        let asked = cassette.clone();
        let (client, clock) = Client::replaying(cassette, self.redactor.clone());
        let ctx = Context {
            name: self.name.clone(),
            clock,
            http: Arc::new(client),
            tokens: Arc::new(MemoryTokens::default()),
            notes: Arc::new(MemoryNotes::default()),
            cancel: CancellationToken::new(),
            scratch: self.scratch.path().to_owned(),
        };
        Ok(Setting { ctx, missing: Some(Arc::new(move || asked.missing())) })
    }
}
