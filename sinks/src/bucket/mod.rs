//! Whole epochs in a bucket (S3, Google Cloud Storage, Azure), decided by one conditional put.
//!
//! ```text
//! <path>/_throughline.json              says that the place is a sink's, and whose
//! <path>/data/<txn>/<table>-<id>/...    a table as it was staged; nobody else ever writes there
//! <path>/commits/0000000007.json        epoch 7: its tables and files; made once, never changed
//! <path>/current.json                   where the tables of the newest epoch are: what readers open
//! ```
//! Nothing can be renamed in a bucket, so data is written where it stays, and an epoch is what the commit of the
//! next number says it is. That object is put on condition that there is none (`If-None-Match: *`): of two that
//! put the same number one gets it, and the other goes on from there. An answer that was lost is no riddle: the
//! object says whose it is. `current.json` follows, only ever to a higher number; a crash before it leaves readers
//! with the epoch before, and committing again goes on from there.

mod address;
mod commit;
mod failure;
mod log;
mod options;
mod place;
mod probe;
mod stage;
#[cfg(test)]
mod tests;
mod upload;

use std::sync::Arc;

use throughline_core::{CheckReport, Context, Error, ErrorKind, Result};
use tokio::sync::OnceCell;

pub(crate) use address::is_address;
pub(crate) use options::{AzureOptions, GcsOptions, S3Options, StoreOptions};

use crate::epoch_folder::{MARKER, Owner};
use place::Place;

const COMMITS: &str = "commits";
const DATA: &str = "data";
const CURRENT: &str = "current.json";

/// Called before each step of a commit; an error stands for a crash there.
type Steps = Arc<dyn Fn(&'static str) -> Result<()> + Send + Sync>;

pub(crate) struct Bucket {
    place: Place,
    owner: Owner,
    keep_epochs: usize,
    /// Set when the place was found, or made, this sink's.
    ours: OnceCell<()>,
    steps: Steps,
}

impl Bucket {
    pub(crate) fn new(place: Place, owner: Owner, keep_epochs: usize) -> Self {
        Self { place, owner, keep_epochs, ours: OnceCell::new(), steps: Arc::new(|_| Ok(())) }
    }

    #[cfg(test)]
    fn with_steps(mut self, steps: Steps) -> Self {
        self.steps = steps;
        self
    }

    pub(crate) async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let work = async {
            let mut report = CheckReport::default();
            let mut fact = |name: &str, value: String| report.facts.push((name.to_owned(), value));
            fact("path", self.place.url(""));
            fact("epochs kept", self.keep_epochs.to_string());
            let found = self.found().await?;
            probe::probe(&self.place).await?;
            fact("rights", "objects can be written, listed, read and removed".into());
            fact("conditional puts", "honoured".into());
            match found {
                Found::Empty => fact("state", "empty".into()),
                Found::Ours => match self.log().await?.pop() {
                    Some(current) => fact("current epoch", current.txn),
                    None => fact("state", "no epoch yet".into()),
                },
            }
            Ok(report)
        };
        unless_stopped(ctx, work).await
    }

    /// Whether the place may be used; touches nothing.
    async fn found(&self) -> Result<Found> {
        for _ in 0..3 {
            if let Some((text, _)) = self.place.read(MARKER).await? {
                let (place, marker) = (self.place.url(""), self.place.url(MARKER));
                return self.owner.read(&text, &place, &marker).map(|()| Found::Ours);
            }
            let mut foreign = self.place.first(4).await?;
            // Of a check that was broken off.
            foreign.retain(|name| !name.starts_with(probe::PREFIX));
            if foreign.is_empty() {
                return Ok(Found::Empty);
            }
            if foreign.iter().any(|name| name == MARKER) {
                // Made by another process since we looked.
                continue;
            }
            let more = if foreign.len() > 3 { ", ..." } else { "" };
            foreign.truncate(3);
            return Err(Error::config(format!(
                "{} holds objects of others: {}{more}",
                self.place.url(""),
                foreign.join(", ")
            ))
            .hint("give the sink a prefix of its own: it deletes old epochs there"));
        }
        Err(Error::new(ErrorKind::Io, format!("{} changes while it is looked at", self.place.url("")))
            .temporary(None))
    }

    /// Makes the place this sink's, once.
    async fn own(&self) -> Result<()> {
        let take = || async {
            if matches!(self.found().await?, Found::Empty) {
                let put = self.place.create(MARKER, self.owner.to_bytes()?).await;
                // Whoever made it, and whatever became of our put: what stands there counts.
                if let Some((text, _)) = self.place.read(MARKER).await? {
                    return self.owner.read(&text, &self.place.url(""), &self.place.url(MARKER));
                }
                put?;
            }
            Ok(())
        };
        self.ours.get_or_try_init(take).await.copied()
    }

    pub(crate) fn location(&self) -> String {
        self.place.url(CURRENT)
    }
}

enum Found {
    Empty,
    Ours,
}

/// Ends the work when the run is stopped. What was decided by then is decided; what was not is begun again.
async fn unless_stopped<T>(ctx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
    match ctx.cancel.run_until_cancelled(work).await {
        Some(done) => done,
        None => Err(Error::cancelled()),
    }
}
