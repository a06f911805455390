//! Rows of whole numbers, one after the other, out of a stream of batches.

use arrow::array::Int64Array;
use futures::TryStreamExt;
use throughline_core::{BatchStream, Result};

use crate::host::ints;
use crate::runner::Runner;

/// The columns must have no nulls.
pub(crate) struct Cursor<const N: usize> {
    stream: BatchStream,
    names: [&'static str; N],
    columns: Vec<Int64Array>,
    rows: usize,
    row: usize,
}

impl<const N: usize> Cursor<N> {
    pub async fn open(runner: &Runner<'_>, select: &str, names: [&'static str; N]) -> Result<Self> {
        Ok(Self { stream: runner.read(select).await?, names, columns: Vec::new(), rows: 0, row: 0 })
    }

    /// The row that comes next, without taking it.
    pub async fn peek(&mut self) -> Result<Option<[i64; N]>> {
        while self.row == self.rows {
            let Some(batch) = self.stream.try_next().await? else { return Ok(None) };
            self.columns = self.names.iter().map(|name| ints(&batch, name)).collect::<Result<_>>()?;
            (self.rows, self.row) = (batch.num_rows(), 0);
        }
        Ok(Some(std::array::from_fn(|i| self.columns[i].value(self.row))))
    }

    /// Takes the row [`Self::peek`] shows.
    pub fn skip(&mut self) {
        self.row += 1;
    }

    pub async fn next(&mut self) -> Result<Option<[i64; N]>> {
        let row = self.peek().await?;
        if row.is_some() {
            self.skip();
        }
        Ok(row)
    }
}
