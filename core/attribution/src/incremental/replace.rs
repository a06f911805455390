//! A published table with some of its rows replaced. Files that hold none of them are linked, not written again.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use rustc_hash::{FxHashMap, FxHashSet};
use throughline_core::{Error, Result};
use throughline_sql::{TableRef, Written};

use super::difference::RowHashes;
use super::files;
use crate::host::HostTable;
use crate::runner::Runner;
use crate::tables::OutputSpec;

/// Rows to take out and to put in; those that are both stay where they are.
pub(super) struct Exchange {
    /// Hashes of the keys to take out.
    out: FxHashSet<u128>,
    new: Vec<RecordBatch>,
}

impl Exchange {
    /// `had` and `have` are names of bound tables with all columns of `spec`.
    pub async fn between(runner: &Runner<'_>, spec: &OutputSpec, had: &str, have: &str) -> Result<Self> {
        let columns: Vec<String> = spec.columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
        let select = |table: &str| format!("SELECT {} FROM {table}", columns.join(", "));
        let keys = key_columns(spec);
        // Whole rows by hash, with the hash of their key.
        let mut old: FxHashMap<u128, u128> = FxHashMap::default();
        let (mut whole, mut key) = (RowHashes::default(), RowHashes::default());
        let mut rows = runner.read(&select(had)).await?;
        while let Some(batch) = rows.try_next().await? {
            let (rows, keys) = (whole.of(&batch)?, key.of(&batch.project(&keys)?)?);
            old.extend(rows.into_iter().zip(keys));
        }
        let mut new = Vec::new();
        let mut rows = runner.read(&select(have)).await?;
        while let Some(batch) = rows.try_next().await? {
            let differs: BooleanArray =
                whole.of(&batch)?.into_iter().map(|hash| Some(old.remove(&hash).is_none())).collect();
            if differs.true_count() > 0 {
                new.push(filter_record_batch(&batch, &differs)?);
            }
        }
        Ok(Self { out: old.into_values().collect(), new })
    }

    /// Puts these rows, with all columns of `spec`, in the place of those with their keys.
    pub fn also(&mut self, spec: &OutputSpec, rows: &RecordBatch) -> Result<()> {
        let mut key = RowHashes::default();
        self.out.extend(key.of(&rows.project(&key_columns(spec))?)?);
        self.new.push(rows.clone());
        Ok(())
    }

    fn takes_out(&self, key: u128) -> bool {
        self.out.contains(&key)
    }
}

fn key_columns(spec: &OutputSpec) -> Vec<usize> {
    spec.columns.iter().enumerate().filter(|(_, c)| spec.key.contains(&c.name)).map(|(n, _)| n).collect()
}

/// Writes the table into a fresh folder; `None` when a row that is to be taken out is not there once: what is kept
/// of the epoch before does not fit its tables.
pub(super) fn write(
    folder: &Path,
    spec: &OutputSpec,
    schema: SchemaRef,
    was: &TableRef,
    exchange: &Exchange,
) -> Result<Option<Written>> {
    let TableRef::Parquet { files, .. } = was else {
        return Err(Error::bug(format!("{}: the table of the epoch before is no file", spec.name)));
    };
    std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder.display(), e))?;
    let mut parts: Vec<PathBuf> = Vec::new();
    let (mut rows, mut taken) = (0, 0);
    for file in files {
        let part = folder.join(format!("kept-{}.parquet", parts.len()));
        let found = places(file, spec, exchange)?;
        if found.hits == 0 {
            link(file, &part)?;
            parts.push(part);
            rows += found.rows;
            continue;
        }
        taken += found.hits;
        rows += found.rows - found.hits;
        if found.rows > found.hits {
            rewrite(file, &part, &schema, &found.keep)?;
            parts.push(part);
        }
    }
    if taken != exchange.out.len() {
        return Ok(None);
    }
    if !exchange.new.is_empty() || parts.is_empty() {
        let own = folder.join("new");
        let mut table = HostTable::create(&own, schema.clone())?;
        for batch in &exchange.new {
            table.write(batch.columns().to_vec())?;
        }
        let written = table.finish()?;
        sync(&own)?;
        rows += written.rows as usize;
        parts.extend(written.files);
    }
    sync(folder)?;
    Ok(Some(Written { files: parts, schema, rows: rows as u64 }))
}

/// Which rows of a file stay.
struct Places {
    keep: Vec<BooleanArray>,
    rows: usize,
    hits: usize,
}

fn places(file: &Path, spec: &OutputSpec, exchange: &Exchange) -> Result<Places> {
    let mut hashes = RowHashes::default();
    let mut found = Places { keep: Vec::new(), rows: 0, hits: 0 };
    for batch in files::columns(file, spec.key)? {
        let keep: BooleanArray =
            hashes.of(&batch?)?.into_iter().map(|key| Some(!exchange.takes_out(key))).collect();
        found.rows += keep.len();
        found.hits += keep.len() - keep.true_count();
        found.keep.push(keep);
    }
    Ok(found)
}

fn rewrite(file: &Path, part: &Path, schema: &SchemaRef, keep: &[BooleanArray]) -> Result<()> {
    let own = part.with_extension("folder");
    let mut table = HostTable::create(&own, schema.clone())?;
    for batch in files::rows(file, keep)? {
        table.write(batch?.columns().to_vec())?;
    }
    let written = table.finish()?;
    for made in &written.files {
        std::fs::rename(made, part).map_err(|e| Error::io("move", made.display(), e))?;
    }
    std::fs::remove_dir(&own).map_err(|e| Error::io("remove", own.display(), e))
}

/// One file under two names; where the disk knows no such thing, two files.
fn link(file: &Path, part: &Path) -> Result<()> {
    if std::fs::hard_link(file, part).is_ok() {
        return Ok(());
    }
    std::fs::copy(file, part).map_err(|e| Error::io("copy", file.display(), e))?;
    File::open(part).and_then(|f| f.sync_all()).map_err(|e| Error::io("flush", part.display(), e))
}

fn sync(folder: &Path) -> Result<()> {
    for folder in [Some(folder), folder.parent()].into_iter().flatten() {
        File::open(folder)
            .and_then(|f| f.sync_all())
            .map_err(|e| Error::io("flush the folder", folder.display(), e))?;
    }
    Ok(())
}
