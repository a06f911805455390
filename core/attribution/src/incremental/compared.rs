//! One side of a comparison: every row of a table as a number of 16 bytes in a scratch file, so that a table is
//! decoded once, however large it is, and memory holds sums alone.

use std::path::{Path, PathBuf};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use futures::TryStreamExt;
use rustc_hash::FxHashSet;
use throughline_core::{Error, Result};
use throughline_sql::{TableRef, wide_row_hashes};

use super::{files, scratch};
use crate::runner::Runner;

/// Rows are summed up by so many parts of all numbers, some 8 to 16 rows in each; where the sums of two sides are
/// equal, so are the rows. 64 MB for each side at most.
fn parts_of(rows: usize) -> usize {
    (rows / 16).next_power_of_two().clamp(1 << 8, 1 << 22)
}

pub(super) struct Side<'a> {
    table: &'a TableRef,
    parts: Vec<Part>,
    sums: Vec<u128>,
}

struct Part {
    /// A file that can be read again row by row; `None`: the whole table, by the engine.
    parquet: Option<PathBuf>,
    numbers: PathBuf,
    rows: usize,
}

impl<'a> Side<'a> {
    /// Goes over two tables, both at once where they are files; `folder` is a fresh one.
    pub async fn both(runner: &Runner<'_>, [a, b]: [&'a TableRef; 2], folder: &Path) -> Result<(Self, Self)> {
        let folders = [folder.join("before"), folder.join("now")];
        for folder in &folders {
            std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder.display(), e))?;
        }
        let [of_a, of_b] = &folders;
        if let (Some(files_a), Some(files_b)) = (files::readable(a)?, files::readable(b)?) {
            let parts = parts_of(files::count(files_a)?.max(files::count(files_b)?));
            let (of_a, of_b) = std::thread::scope(|scope| {
                let beside = scope.spawn(|| of_files(files_a, of_a, parts));
                let b = of_files(files_b, of_b, parts);
                let a = beside.join().map_err(|_| Error::bug("comparing two tables died"));
                (a.and_then(|a| a), b)
            });
            let ((a_parts, a_sums), (b_parts, b_sums)) = (of_a?, of_b?);
            let side = |table, parts, sums| Self { table, parts, sums };
            return Ok((side(a, a_parts, a_sums), side(b, b_parts, b_sums)));
        }
        // Rows in memory, or files of an older shape: how many is not known beforehand.
        let parts = parts_of(1 << 20);
        Ok((Self::read(runner, a, of_a, parts).await?, Self::read(runner, b, of_b, parts).await?))
    }

    async fn read(runner: &Runner<'_>, table: &'a TableRef, folder: &Path, parts: usize) -> Result<Self> {
        let mut numbers = Numbers::create(folder.join("all"))?;
        let mut sums = vec![0; parts];
        runner.bind("i_compared", table).await?;
        let mut rows = runner.read("SELECT * FROM i_compared").await?;
        while let Some(batch) = rows.try_next().await? {
            numbers.add(&batch, &mut sums)?;
        }
        Ok(Self { table, parts: vec![numbers.finish(None)?], sums })
    }

    /// Gives the numbers of rows that may be missing on the other side; `false` from `see` ends it.
    pub fn each_unlike(&self, other: &Self, mut see: impl FnMut(u128) -> bool) -> Result<()> {
        for part in &self.parts {
            let mut numbers = scratch::Reader::open(&part.numbers)?;
            for _ in 0..part.rows {
                let number = u128::from_ne_bytes(numbers.next()?);
                let place = place(number, &self.sums);
                if self.sums[place] != other.sums[place] && !see(number) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The rows with these numbers.
    pub async fn rows(&self, runner: &Runner<'_>, wanted: &FxHashSet<u128>) -> Result<Vec<RecordBatch>> {
        let mut found = Vec::new();
        for part in &self.parts {
            let Some(parquet) = &part.parquet else {
                runner.bind("i_compared", self.table).await?;
                let mut rows = runner.read("SELECT * FROM i_compared").await?;
                while let Some(batch) = rows.try_next().await? {
                    let numbers = wide_row_hashes(batch.columns())?;
                    let keep: BooleanArray = numbers.iter().map(|n| Some(wanted.contains(n))).collect();
                    if keep.true_count() > 0 {
                        found.push(filter_record_batch(&batch, &keep)?);
                    }
                }
                continue;
            };
            let mut numbers = scratch::Reader::open(&part.numbers)?;
            let mut keep = Vec::with_capacity(part.rows);
            for _ in 0..part.rows {
                keep.push(wanted.contains(&u128::from_ne_bytes(numbers.next()?)));
            }
            let keep = [BooleanArray::from(keep)];
            if keep[0].true_count() > 0 {
                for batch in files::rows(parquet, &keep)? {
                    found.push(batch?);
                }
            }
        }
        Ok(found)
    }
}

fn of_files(found: &[PathBuf], folder: &Path, parts: usize) -> Result<(Vec<Part>, Vec<u128>)> {
    let mut sums = vec![0; parts];
    let mut parts = Vec::with_capacity(found.len());
    for (number, file) in found.iter().enumerate() {
        let mut numbers = Numbers::create(folder.join(number.to_string()))?;
        for batch in files::all(file)? {
            numbers.add(&batch?, &mut sums)?;
        }
        parts.push(numbers.finish(Some(file.clone()))?);
    }
    Ok((parts, sums))
}

/// Both sides have as many sums.
fn place(number: u128, sums: &[u128]) -> usize {
    number as usize % sums.len()
}

/// The rows of a part under way.
struct Numbers {
    scratch: scratch::Writer,
    rows: usize,
}

impl Numbers {
    fn create(path: PathBuf) -> Result<Self> {
        Ok(Self { scratch: scratch::Writer::create(path)?, rows: 0 })
    }

    fn add(&mut self, batch: &RecordBatch, sums: &mut [u128]) -> Result<()> {
        for number in wide_row_hashes(batch.columns())? {
            let sum = &mut sums[place(number, sums)];
            *sum = sum.wrapping_add(number);
            self.scratch.write(number.to_ne_bytes())?;
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    fn finish(self, parquet: Option<PathBuf>) -> Result<Part> {
        Ok(Part { parquet, numbers: self.scratch.finish()?, rows: self.rows })
    }
}
