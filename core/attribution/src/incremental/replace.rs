//! A published table with some of its rows replaced. Files that hold none of them are linked, not written again.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use throughline_core::{Error, Result};
use throughline_sql::{TableRef, Written};

use super::exchange::{Exchange, Fate};
use super::files;
use super::patch::Patch;
use crate::host::HostTable;
use crate::tables::OutputSpec;

/// Every run adds a file of what is new. Once so many files hold fewer rows than a row group has, they become one.
const SMALL_FILES: usize = 8;
const SMALL_ROWS: usize = 128 * 1024;

/// Writes the table into a fresh folder; `None` when a row that is to go or to change is not there once, a key is
/// there twice, or the files have other columns: what is kept of the epoch before does not fit its tables.
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
    if !exchange.unique || !files::hold(files, &schema)? {
        return Ok(None);
    }
    std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder.display(), e))?;
    let patches: Vec<Patch> =
        files.iter().map(|file| Patch::of(file, spec.key, exchange)).collect::<Result<_>>()?;
    let hits: usize = patches.iter().map(|patch| patch.hits().count()).sum();
    if hits != exchange.fates.len() {
        return Ok(None);
    }
    let joins = patches.iter().filter(|patch| patch.rows < SMALL_ROWS).count() > SMALL_FILES;

    let mut parts: Vec<PathBuf> = Vec::new();
    let mut rows = 0;
    let mut inserted = exchange.inserted();
    let mut joined = Vec::new();
    for (file, patch) in files.iter().zip(&patches) {
        let left = patch.rows - patch.gone();
        if joins && patch.rows < SMALL_ROWS {
            for fate in patch.hits() {
                if let Fate::Becomes(row) = fate {
                    inserted[row as usize] = true;
                }
            }
            joined.push(file);
            continue;
        }
        if left == 0 {
            continue;
        }
        let part = folder.join(format!("kept-{}.parquet", parts.len()));
        match patch.hits().next() {
            None => link(file, &part)?,
            Some(_) => patch.write(file, &part, exchange)?,
        }
        parts.push(part);
        rows += left as u64;
    }
    let inserted = BooleanArray::from(inserted);
    if inserted.true_count() > 0 || !joined.is_empty() || parts.is_empty() {
        let own = folder.join("new");
        let mut table = HostTable::create(&own, schema.clone())?;
        for file in joined {
            stays(file, spec, exchange, &mut table)?;
        }
        table.write(filter_record_batch(&exchange.new, &inserted)?.columns().to_vec())?;
        let written = table.finish()?;
        sync(&own)?;
        rows += written.rows;
        parts.extend(written.files);
    }
    sync(folder)?;
    Ok(Some(Written { files: parts, schema, rows }))
}

/// Copies the rows of a file that stay as they are.
fn stays(file: &Path, spec: &OutputSpec, exchange: &Exchange, table: &mut HostTable) -> Result<()> {
    let keys = super::exchange::key_columns(spec);
    for batch in files::all(file)? {
        let batch = batch?;
        let mut stays = vec![true; batch.num_rows()];
        for (row, _) in exchange.fates.among(&batch.project(&keys)?)? {
            stays[row] = false;
        }
        table.write(filter_record_batch(&batch, &stays.into())?.columns().to_vec())?;
    }
    Ok(())
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
