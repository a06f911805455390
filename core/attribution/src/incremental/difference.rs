//! Records that are new, gone or changed between two versions of a canonical table.

use std::io::Read;
use std::path::Path;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;
use rustc_hash::{FxHashMap, FxHashSet};
use throughline_core::{Error, Result};
use throughline_sql::{TableRef, row_hashes, wide_row_hashes};

use super::compared::Side;
use crate::runner::Runner;

/// Rows in one version and not in the other.
#[derive(Default)]
pub(super) struct Difference {
    pub gone: Vec<RecordBatch>,
    pub new: Vec<RecordBatch>,
}

impl Difference {
    pub fn rows(&self) -> usize {
        self.gone.iter().chain(&self.new).map(RecordBatch::num_rows).sum()
    }
}

/// Where more rows than these may differ, computing everything anew takes no longer.
const MOST_ROWS: usize = 1 << 22;

/// What differs; `None` when too much does.
pub(super) async fn within(runner: &mut Runner<'_>, versions: &Versions) -> Result<Option<Difference>> {
    let Versions { before, now, .. } = versions;
    let mut found = Difference::default();
    if is_empty(before) && is_empty(now) {
        return Ok(Some(found));
    }
    let folder = runner.folder("compared");
    let (was, is) = Side::both(runner, [before, now], &folder).await?;
    // How often a row is there now, less how often it was there before.
    let mut balance: FxHashMap<u128, i64> = FxHashMap::default();
    for (side, other, sign) in [(&was, &is, -1), (&is, &was, 1)] {
        side.each_unlike(other, |row| {
            *balance.entry(row).or_default() += sign;
            balance.len() <= MOST_ROWS
        })?;
    }
    if balance.len() > MOST_ROWS {
        return Ok(None);
    }
    let differing: FxHashSet<u128> =
        balance.into_iter().filter(|(_, n)| *n != 0).map(|(row, _)| row).collect();
    if !differing.is_empty() {
        found.gone = was.rows(runner, &differing).await?;
        found.new = is.rows(runner, &differing).await?;
    }
    std::fs::remove_dir_all(&folder).map_err(|e| Error::io("remove", folder.display(), e))?;
    Ok(Some(found))
}

/// Rows to be found again by their values, each with something of its own.
pub(super) struct Wanted<T> {
    /// Quick to compute: tells most of what is not wanted.
    short: FxHashSet<u64>,
    long: FxHashMap<u128, T>,
}

impl<T> Default for Wanted<T> {
    fn default() -> Self {
        Self { short: FxHashSet::default(), long: FxHashMap::default() }
    }
}

impl<T: Copy> Wanted<T> {
    pub fn add(&mut self, batch: &RecordBatch, of_row: impl Fn(usize) -> T) -> Result<()> {
        self.short.extend(row_hashes(batch.columns())?);
        let long = wide_row_hashes(batch.columns())?;
        self.long.extend(long.into_iter().enumerate().map(|(row, hash)| (hash, of_row(row))));
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.long.len()
    }

    /// Which rows of `batch` are wanted, and what is kept of them here.
    pub fn among(&self, batch: &RecordBatch) -> Result<Vec<(usize, T)>> {
        let short = row_hashes(batch.columns())?;
        let wanted = |(_, hash): &(u32, u64)| self.short.contains(hash);
        let likely = (0..).zip(short).filter(wanted).map(|(row, _)| row).collect::<UInt32Array>();
        if likely.is_empty() {
            return Ok(Vec::new());
        }
        let long = wide_row_hashes(take_record_batch(batch, &likely)?.columns())?;
        let rows = likely.values().iter().zip(long);
        Ok(rows.filter_map(|(row, hash)| Some((*row as usize, *self.long.get(&hash)?))).collect())
    }
}

pub(super) fn is_empty(table: &TableRef) -> bool {
    match table {
        TableRef::Parquet { files, .. } => files.is_empty(),
        TableRef::Rows { batches, .. } => batches.iter().all(|b| b.num_rows() == 0),
    }
}

/// Two versions of a table: the files they share, and those of one of them.
pub(super) struct Versions {
    pub common: TableRef,
    pub before: TableRef,
    pub now: TableRef,
}

impl Versions {
    pub fn of(before: &TableRef, now: &TableRef) -> Result<Self> {
        let (TableRef::Parquet { files: old, schema: old_schema }, TableRef::Parquet { files: new, schema }) =
            (before, now)
        else {
            let common = TableRef::Rows { schema: schema_of(now), batches: Vec::new() };
            return Ok(Self { common, before: before.clone(), now: now.clone() });
        };
        let mut left = old.clone();
        let (mut common, mut only_new) = (Vec::new(), Vec::new());
        for file in new {
            let mut twin = None;
            for (at, other) in left.iter().enumerate() {
                if file == other || is_copy(file, other)? {
                    twin = Some(at);
                    break;
                }
            }
            match twin {
                Some(at) => {
                    left.swap_remove(at);
                    common.push(file.clone());
                }
                None => only_new.push(file.clone()),
            }
        }
        Ok(Self {
            common: TableRef::Parquet { files: common, schema: schema.clone() },
            before: TableRef::Parquet { files: left, schema: old_schema.clone() },
            now: TableRef::Parquet { files: only_new, schema: schema.clone() },
        })
    }
}

pub(super) fn schema_of(table: &TableRef) -> SchemaRef {
    let (TableRef::Parquet { schema, .. } | TableRef::Rows { schema, .. }) = table;
    schema.clone()
}

/// Whether two files of one size hold the same bytes.
fn is_copy(a: &Path, b: &Path) -> Result<bool> {
    let open = |path: &Path| std::fs::File::open(path).map_err(|e| Error::io("open", path.display(), e));
    let (mut a_file, mut b_file) = (open(a)?, open(b)?);
    let size = |file: &std::fs::File, path: &Path| {
        file.metadata().map(|m| m.len()).map_err(|e| Error::io("look at", path.display(), e))
    };
    if size(&a_file, a)? != size(&b_file, b)? {
        return Ok(false);
    }
    let (mut of_a, mut of_b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = a_file.read(&mut of_a).map_err(|e| Error::io("read", a.display(), e))?;
        if n == 0 {
            return Ok(true);
        }
        b_file.read_exact(&mut of_b[..n]).map_err(|e| Error::io("read", b.display(), e))?;
        if of_a[..n] != of_b[..n] {
            return Ok(false);
        }
    }
}
