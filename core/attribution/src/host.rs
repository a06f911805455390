//! Tables made in Rust: written as Parquet beside the steps' own, so that size does not matter, and
//! read back column by column.

use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use throughline_core::{Error, Result};
use throughline_sql::{TableRef, Written};

/// As the engine's own steps: little enough to hold one while writing.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// One Parquet file in a folder of its own.
pub(crate) struct HostTable {
    path: PathBuf,
    schema: SchemaRef,
    writer: ArrowWriter<std::fs::File>,
    rows: u64,
}

impl HostTable {
    pub fn create(folder: &Path, schema: SchemaRef) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("make the folder", folder.display(), e))?;
        let path = folder.join("part-0.parquet");
        let file = std::fs::File::create(&path).map_err(|e| Error::io("create", path.display(), e))?;
        let level = ZstdLevel::try_new(1).map_err(|e| Error::bug(e.to_string()))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties))
            .map_err(|e| parquet_error(&path, e))?;
        Ok(Self { path, schema, writer, rows: 0 })
    }

    pub fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.rows += batch.num_rows() as u64;
        self.writer.write(&batch).map_err(|e| parquet_error(&self.path, e))
    }

    /// Durable when it returns.
    pub fn finish(self) -> Result<Written> {
        let Self { path, schema, writer, rows } = self;
        let file = writer.into_inner().map_err(|e| parquet_error(&path, e))?;
        file.sync_all().map_err(|e| Error::io("sync", path.display(), e))?;
        Ok(Written { files: vec![path], schema, rows })
    }
}

fn parquet_error(path: &Path, e: parquet::errors::ParquetError) -> Error {
    Error::new(throughline_core::ErrorKind::Io, format!("write {}: {e}", path.display())).caused_by(e)
}

pub(crate) fn memory_table(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<TableRef> {
    let batch = RecordBatch::try_new(schema.clone(), columns)?;
    Ok(TableRef::Rows { schema, batches: vec![batch] })
}

/// A column of text; what is not text is an error of ours.
pub(crate) fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    column(batch, name)?
        .as_string_opt::<i32>()
        .ok_or_else(|| Error::bug(format!("column {name} is not text")))
}

/// A column of whole numbers of any width.
pub(crate) fn ints(batch: &RecordBatch, name: &str) -> Result<Int64Array> {
    let column = cast(column(batch, name)?, &DataType::Int64)?;
    Ok(column.as_primitive::<Int64Type>().clone())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| Error::bug(format!("column {name} is missing from a step")))
}

/// The text of a row; null and empty are both `""`.
pub(crate) fn text_or_empty(column: &StringArray, row: usize) -> &str {
    if column.is_null(row) { "" } else { column.value(row) }
}
