//! Parquet files, batch by batch.

use std::fs::File;
use std::path::Path;

use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use throughline_core::{Error, Result};

use super::arrow_types::normal;
use super::columns::Shape;
use super::sending::Sending;

const BATCH_ROWS: usize = 8192;

fn builder(file: &str, path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let opened = File::open(path).map_err(|e| Error::io("open", path.display(), e))?;
    ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|e| {
        Error::protocol(format!("{file} is no whole Parquet file: {e}"))
            .hint("put the whole file there and run again")
            .caused_by(e)
    })
}

pub(crate) fn schema(file: &str, path: &Path) -> Result<SchemaRef> {
    Ok(builder(file, path)?.schema().clone())
}

pub(crate) fn send(file: &str, path: &Path, shape: &Shape, to: &mut Sending<'_>) -> Result<()> {
    let damaged = |e: String| Error::protocol(format!("{file} cannot be read: {e}"));
    let reader = builder(file, path)?;
    let names: Vec<&str> = reader.schema().fields().iter().map(|f| f.name().as_str()).collect();
    shape.check_names(file, &names)?;
    let skip = usize::try_from(to.skip).map_err(|_| Error::bug("a checkpoint beyond the address space"))?;
    let mut reader =
        reader.with_batch_size(BATCH_ROWS).with_offset(skip).build().map_err(|e| damaged(e.to_string()))?;
    to.records = to.skip;
    let mut row = to.skip;
    for batch in &mut reader {
        let batch = normal(&batch.map_err(|e| damaged(e.to_string()))?).map_err(|e| {
            damaged(format!("{} (in rows {row} to {})", e.message(), row + BATCH_ROWS as u64))
        })?;
        let rows = batch.num_rows() as u64;
        to.records += rows;
        if !to.batch(batch, format!("{file}, row {}", row + 1))? {
            break;
        }
        row += rows;
    }
    Ok(())
}
