//! Records that are new, gone or changed between two versions of a canonical table.

use std::hash::Hasher;
use std::io::Read;
use std::path::Path;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use futures::TryStreamExt;
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use throughline_core::{Error, Result};
use throughline_sql::TableRef;

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

/// More rows than these are compared in no less time than computing everything anew takes.
const MOST_ROWS: usize = 1 << 24;

/// What differs; `None` when too much of it would have to be looked at.
pub(super) async fn within(runner: &Runner<'_>, versions: &Versions) -> Result<Option<Difference>> {
    let Versions { before, now, .. } = versions;
    let mut found = Difference::default();
    if is_empty(before) && is_empty(now) {
        return Ok(Some(found));
    }
    // How often a row is there now, less how often it was there before.
    let mut balance: FxHashMap<u128, i64> = FxHashMap::default();
    for (table, sign) in [(before, -1), (now, 1)] {
        runner.bind("i_compared", table).await?;
        let mut hashes = RowHashes::default();
        let mut rows = runner.read("SELECT * FROM i_compared").await?;
        while let Some(batch) = rows.try_next().await? {
            for hash in hashes.of(&batch)? {
                *balance.entry(hash).or_default() += sign;
            }
            if balance.len() > MOST_ROWS {
                return Ok(None);
            }
        }
    }
    balance.retain(|_, n| *n != 0);
    if balance.is_empty() {
        return Ok(Some(found));
    }
    for (table, into) in [(before, &mut found.gone), (now, &mut found.new)] {
        runner.bind("i_compared", table).await?;
        let mut hashes = RowHashes::default();
        let mut rows = runner.read("SELECT * FROM i_compared").await?;
        while let Some(batch) = rows.try_next().await? {
            let differs: BooleanArray =
                hashes.of(&batch)?.into_iter().map(|hash| Some(balance.contains_key(&hash))).collect();
            if differs.true_count() > 0 {
                into.push(filter_record_batch(&batch, &differs)?);
            }
        }
    }
    Ok(Some(found))
}

/// Hashes of whole rows, wide enough that no two rows share one by chance.
#[derive(Default)]
pub(super) struct RowHashes {
    converter: Option<RowConverter>,
}

impl RowHashes {
    pub fn of(&mut self, batch: &RecordBatch) -> Result<Vec<u128>> {
        let mut all = Vec::with_capacity(batch.num_rows());
        self.each(batch, |bytes| all.push(wide_hash(bytes)))?;
        Ok(all)
    }

    /// The rows of `batch` that are among `wanted`: their numbers and what is kept of them there.
    pub fn among<T: Copy>(&mut self, batch: &RecordBatch, wanted: &Wanted<T>) -> Result<Vec<(usize, T)>> {
        let mut found = Vec::new();
        let mut row = 0;
        self.each(batch, |bytes| {
            if wanted.short.contains(&short_hash(bytes))
                && let Some(kept) = wanted.long.get(&wide_hash(bytes))
            {
                found.push((row, *kept));
            }
            row += 1;
        })?;
        Ok(found)
    }

    /// Every row as bytes that are equal when the row is.
    fn each(&mut self, batch: &RecordBatch, mut see: impl FnMut(&[u8])) -> Result<()> {
        if self.converter.is_none() {
            let fields =
                batch.schema().fields().iter().map(|f| SortField::new(f.data_type().clone())).collect();
            self.converter = Some(RowConverter::new(fields)?);
        }
        let Some(converter) = &mut self.converter else { return Err(Error::bug("no converter")) };
        let rows = converter.convert_columns(batch.columns())?;
        rows.iter().for_each(|row| see(row.data()));
        Ok(())
    }
}

/// Rows to be found again by their hashes, each with something of its own.
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
    pub fn add(&mut self, batch: &RecordBatch, mut of_row: impl FnMut(usize) -> T) -> Result<()> {
        let mut row = 0;
        RowHashes::default().each(batch, |bytes| {
            self.short.insert(short_hash(bytes));
            self.long.insert(wide_hash(bytes), of_row(row));
            row += 1;
        })
    }

    pub fn len(&self) -> usize {
        self.long.len()
    }
}

fn short_hash(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

fn wide_hash(bytes: &[u8]) -> u128 {
    // SipHash twice over, the second time behind another beginning.
    let half = |salt: u8| {
        let mut hasher = std::hash::DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(bytes);
        hasher.finish()
    };
    u128::from(half(1)) << 64 | u128::from(half(2))
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
