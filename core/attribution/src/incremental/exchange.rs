//! Rows of a published table to take out, to put in, and to replace where they are.

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take};
use futures::TryStreamExt;
use rustc_hash::FxHashSet;
use throughline_core::{Error, Result};

use throughline_sql::wide_row_hashes;

use super::difference::Wanted;
use crate::runner::Runner;
use crate::tables::OutputSpec;

/// The columns of a row in which it differs, a bit each.
type Columns = u128;

/// What becomes of a row that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Goes,
    /// This row of [`Exchange::new`] takes its place.
    Becomes(u32),
}

pub(super) struct Exchange {
    /// By the key of the row.
    pub fates: Wanted<Fate>,
    /// With all columns of the table.
    pub new: RecordBatch,
    /// Where a row of `new` differs from the one whose place it takes; `None` when there was none of its key.
    differs: Vec<Option<Columns>>,
    /// Whether no key is there twice on a side; otherwise nobody knows which row takes which one's place.
    pub unique: bool,
}

impl Exchange {
    /// `had` and `have` are names of bound tables with all columns of `spec`.
    pub async fn between(runner: &Runner<'_>, spec: &OutputSpec, had: &str, have: &str) -> Result<Self> {
        if spec.columns.len() > Columns::BITS as usize {
            return Err(Error::bug(format!("{} has too many columns to be exchanged", spec.name)));
        }
        let columns: Vec<String> = spec.columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
        let select = |table: &str| format!("SELECT {} FROM {table}", columns.join(", "));
        let had_rows = hashes(runner, &select(had)).await?;
        let (new, have_rows) = without(runner, &select(have), &had_rows).await?;
        let (gone, _) = without(runner, &select(had), &have_rows).await?;

        Self::of(spec, &gone, new)
    }

    /// `gone` and `new`: rows of one side that the other has not.
    pub fn of(spec: &OutputSpec, gone: &RecordBatch, new: RecordBatch) -> Result<Self> {
        let keys = key_columns(spec);
        let mut places = Wanted::default();
        places.add(&gone.project(&keys)?, |row| row as u32)?;
        let mut own = Wanted::default();
        own.add(&new.project(&keys)?, |_| ())?;
        let pairs = places.among(&new.project(&keys)?)?;
        let mut fates = vec![Fate::Goes; gone.num_rows()];
        let mut differs = vec![None; new.num_rows()];
        let changes = changes(gone, &new, &pairs)?;
        for ((of_new, of_gone), changed) in pairs.into_iter().zip(changes) {
            fates[of_gone as usize] = Fate::Becomes(of_new as u32);
            differs[of_new] = Some(changed);
        }
        let mut wanted = Wanted::default();
        wanted.add(&gone.project(&keys)?, |row| fates[row])?;
        let unique = places.len() == gone.num_rows() && own.len() == new.num_rows();
        Ok(Self { fates: wanted, new, differs, unique })
    }

    /// Puts these rows, with all columns of `spec`, in the place of those with their keys, from which they differ in
    /// `column` alone.
    pub fn also(&mut self, spec: &OutputSpec, rows: &RecordBatch, column: &str) -> Result<()> {
        let changed = spec.columns.iter().position(|c| c.name == column);
        let changed = changed.ok_or_else(|| Error::bug(format!("{} has no {column}", spec.name)))?;
        let first = self.new.num_rows();
        self.fates.add(&rows.project(&key_columns(spec))?, |row| Fate::Becomes((first + row) as u32))?;
        let schema = self.new.schema();
        let rows = RecordBatch::try_new(schema.clone(), rows.columns().to_vec())?;
        self.new = concat_batches(&schema, [&self.new, &rows])?;
        self.differs.resize(self.new.num_rows(), Some(1 << changed));
        Ok(())
    }

    /// The columns that differ in any of the rows that take another's place.
    pub fn columns_of(&self, fates: impl Iterator<Item = Fate>) -> Columns {
        fates.fold(0, |all, fate| match fate {
            Fate::Goes => all,
            Fate::Becomes(row) => all | self.differs[row as usize].unwrap_or(Columns::MAX),
        })
    }

    /// Which rows of `new` take nobody's place.
    pub fn inserted(&self) -> Vec<bool> {
        self.differs.iter().map(Option::is_none).collect()
    }
}

pub(super) fn key_columns(spec: &OutputSpec) -> Vec<usize> {
    spec.columns.iter().enumerate().filter(|(_, c)| spec.key.contains(&c.name)).map(|(n, _)| n).collect()
}

async fn hashes(runner: &Runner<'_>, select: &str) -> Result<FxHashSet<u128>> {
    let mut all = FxHashSet::default();
    let mut rows = runner.read(select).await?;
    while let Some(batch) = rows.try_next().await? {
        all.extend(wide_row_hashes(batch.columns())?);
    }
    Ok(all)
}

/// The rows that are not among `others`, and the hashes of all.
async fn without(
    runner: &Runner<'_>,
    select: &str,
    others: &FxHashSet<u128>,
) -> Result<(RecordBatch, FxHashSet<u128>)> {
    let (mut kept, mut all) = (Vec::new(), FxHashSet::default());
    let mut rows = runner.read(select).await?;
    while let Some(batch) = rows.try_next().await? {
        let own = wide_row_hashes(batch.columns())?;
        let differs: BooleanArray = own.iter().map(|hash| Some(!others.contains(hash))).collect();
        all.extend(own);
        if differs.true_count() > 0 {
            kept.push(filter_record_batch(&batch, &differs)?);
        }
    }
    Ok((concat_batches(&runner.describe(select).await?, &kept)?, all))
}

/// The columns in which the rows of each pair differ.
fn changes(gone: &RecordBatch, new: &RecordBatch, pairs: &[(usize, u32)]) -> Result<Vec<Columns>> {
    let of_new = UInt32Array::from_iter_values(pairs.iter().map(|p| p.0 as u32));
    let of_gone = UInt32Array::from_iter_values(pairs.iter().map(|p| p.1));
    let mut changed = vec![0; pairs.len()];
    for n in 0..new.num_columns() {
        let side = |batch: &RecordBatch, rows: &UInt32Array| -> Result<Vec<u128>> {
            wide_row_hashes(&[take(batch.column(n), rows, None)?])
        };
        let (old, now) = (side(gone, &of_gone)?, side(new, &of_new)?);
        for (row, (old, now)) in old.into_iter().zip(now).enumerate() {
            if old != now {
                changed[row] |= 1 << n;
            }
        }
    }
    Ok(changed)
}
