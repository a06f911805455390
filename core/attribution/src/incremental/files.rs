//! Some rows, or some columns, of a Parquet file: what is not asked for is not decoded.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{BooleanArray, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection};
use throughline_core::{Error, ErrorKind, Result};
use throughline_sql::TableRef;

/// Rows of a batch, the same for every pass over a file: masks of one are laid over another.
const ROWS: usize = 8192;

/// Whether the files hold the columns of a table, in its types: then they can be read without being widened.
pub(super) fn hold(files: &[PathBuf], schema: &SchemaRef) -> Result<bool> {
    for file in files {
        if !same_types(builder(file)?.schema(), schema) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The files of a table that can be read as they are.
pub(super) fn readable(table: &TableRef) -> Result<Option<&[PathBuf]>> {
    Ok(match table {
        TableRef::Parquet { files, schema } if hold(files, schema)? => Some(files),
        _ => None,
    })
}

/// The rows of all files together.
pub(super) fn count(files: &[PathBuf]) -> Result<usize> {
    let mut rows = 0;
    for file in files {
        rows += builder(file)?.metadata().file_metadata().num_rows().max(0) as usize;
    }
    Ok(rows)
}

fn same_types(found: &Schema, wanted: &Schema) -> bool {
    let types = |schema: &Schema| -> Vec<_> {
        schema.fields().iter().map(|f| (f.name().clone(), f.data_type().clone())).collect()
    };
    types(found) == types(wanted)
}

/// All rows, of these columns.
pub(super) fn columns(file: &Path, names: &[&str]) -> Result<Batches> {
    let builder = builder(file)?;
    let wanted: Vec<usize> = builder
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, f)| names.contains(&f.name().as_str()))
        .map(|(n, _)| n)
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    Batches::of(file, builder.with_projection(mask))
}

/// All rows and columns.
pub(super) fn all(file: &Path) -> Result<Batches> {
    Batches::of(file, builder(file)?)
}

/// All columns, of the rows that `keep` says: masks that together are as long as the file.
pub(super) fn rows(file: &Path, keep: &[BooleanArray]) -> Result<Batches> {
    Batches::of(file, builder(file)?.with_row_selection(RowSelection::from_filters(keep)))
}

pub(super) struct Batches {
    file: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl Batches {
    fn of(file: &Path, builder: ParquetRecordBatchReaderBuilder<File>) -> Result<Self> {
        let reader = builder.with_batch_size(ROWS).build().map_err(|e| broken(file, &e))?;
        Ok(Self { file: file.to_owned(), reader })
    }
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(batch.map_err(|e| broken(&self.file, &e)))
    }
}

fn builder(file: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>> {
    let open = File::open(file).map_err(|e| Error::io("open", file.display(), e))?;
    ParquetRecordBatchReaderBuilder::try_new(open).map_err(|e| broken(file, &e))
}

fn broken(file: &Path, e: &dyn std::error::Error) -> Error {
    Error::new(ErrorKind::Io, format!("read {}: {e}", file.display()))
}
