//! The commits that stand in a bucket, and the object that tells readers of the newest.

use std::collections::BTreeMap;

use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use throughline_core::{Error, Result};

use super::place::Created;
use super::{Bucket, COMMITS, CURRENT, DATA};
use crate::epoch_folder::{FORMAT, Manifest};

/// Commits that are read at once.
const AT_ONCE: usize = 8;
/// Others may move `current.json` while we do; more often than that nobody does.
const ROUNDS: usize = 20;

/// What `current.json` holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Current {
    pub format: u32,
    /// Grows from epoch to epoch.
    pub number: u64,
    pub txn: String,
    /// RFC 3339, UTC.
    pub committed_at: String,
    /// Address of the epoch's manifest: columns, keys, files with rows and SHA-256.
    pub manifest: String,
    pub tables: BTreeMap<String, CurrentTable>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CurrentTable {
    pub rows: u64,
    /// Address of the table's folder or file; nothing else is in the folder.
    pub path: String,
    pub files: Vec<String>,
}

pub(super) fn commit_name(number: u64) -> String {
    format!("{COMMITS}/{number:010}.json")
}

pub(super) fn data_folder(txn: &str) -> String {
    format!("{DATA}/{txn}")
}

impl Bucket {
    /// All epochs that are committed and not deleted yet, the newest last.
    pub(super) async fn log(&self) -> Result<Vec<Manifest>> {
        let mut numbers: Vec<u64> = self
            .place
            .list(COMMITS)
            .await?
            .iter()
            .filter_map(|(name, _)| {
                name.strip_prefix(COMMITS)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok()
            })
            .collect();
        numbers.sort_unstable();
        let found: Vec<Option<Manifest>> =
            futures::stream::iter(numbers.into_iter().map(|number| self.manifest(number)))
                .buffered(AT_ONCE)
                .try_collect()
                .await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// `None` when another process has deleted it since it was listed.
    async fn manifest(&self, number: u64) -> Result<Option<Manifest>> {
        let name = commit_name(number);
        let Some((text, _)) = self.place.read(&name).await? else { return Ok(None) };
        let url = self.place.url(&name);
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| {
            Error::data(format!("{url} cannot be read: {e}"))
                .hint("something outside has changed the sink's objects; move it away and run again")
        })?;
        if manifest.format != FORMAT {
            return Err(Error::unsupported(format!("{url} is of format {}", manifest.format))
                .hint("it was written by a newer Throughline: use that one"));
        }
        if manifest.number != number {
            return Err(Error::data(format!("{url} is the commit of epoch {}", manifest.number))
                .hint("something outside has changed the sink's objects; move it away and run again"));
        }
        Ok(Some(manifest))
    }

    /// Puts the commit of an epoch where there must be none. This decides.
    pub(super) async fn decide(&self, manifest: &Manifest) -> Result<Created> {
        self.place.create(&commit_name(manifest.number), manifest.to_bytes()?).await
    }

    /// Lets `current.json` tell of this epoch, unless it tells of a later one.
    pub(super) async fn point_at(&self, manifest: &Manifest) -> Result<()> {
        for _ in 0..ROUNDS {
            let read = self.place.read(CURRENT).await?;
            if let Some((text, _)) = &read {
                match serde_json::from_slice::<Current>(text) {
                    Ok(current) if current.format > FORMAT => {
                        return Err(Error::unsupported(format!(
                            "{} is of format {}",
                            self.location(),
                            current.format
                        ))
                        .hint("it was written by a newer Throughline: use that one"));
                    }
                    Ok(current) if current.number >= manifest.number => return Ok(()),
                    Ok(_) => {}
                    // It says nothing that the commits do not say.
                    Err(e) => {
                        tracing::warn!(object = %self.location(), error = %e, "made anew: it cannot be read")
                    }
                }
            }
            let text = self.current(manifest)?;
            // Read again also after a good answer: a store without `If-Match` has let another come between.
            self.place.replace(CURRENT, text, read.map(|(_, version)| version)).await?;
        }
        Err(Error::new(
            throughline_core::ErrorKind::Io,
            format!("{} is changed by others all the time", self.location()),
        )
        .temporary(None)
        .hint("one sink writes to one place: is this pipeline running on many machines?"))
    }

    fn current(&self, manifest: &Manifest) -> Result<Vec<u8>> {
        let folder = data_folder(&manifest.txn);
        let url = |path: &str| self.place.url(&format!("{folder}/{path}"));
        let tables = manifest.tables.iter().map(|table| {
            let files = table.files.iter().map(|file| url(&file.path)).collect();
            (table.name.clone(), CurrentTable { rows: table.rows, path: url(&table.item), files })
        });
        let current = Current {
            format: FORMAT,
            number: manifest.number,
            txn: manifest.txn.clone(),
            committed_at: manifest.committed_at.clone(),
            manifest: self.place.url(&commit_name(manifest.number)),
            tables: tables.collect(),
        };
        let mut text =
            serde_json::to_vec_pretty(&current).map_err(|e| Error::bug(format!("{CURRENT}: {e}")))?;
        text.push(b'\n');
        Ok(text)
    }
}
