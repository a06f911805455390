//! One Parquet file of landed rows, invisible until it is finished.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use sha2::{Digest, Sha256};
use throughline_core::{Error, Result};

use super::budget::Share;
use super::widen::conform;

/// Rows per Parquet row group: with some 30 columns of CRM text, about 50 MB before compression.
const ROW_GROUP_ROWS: usize = 32_768;

/// The engine's own columns of a raw table.
pub const SEQ: &str = "_tl_seq";
pub const EXCHANGE: &str = "_tl_req";
pub const WINDOW: &str = "_tl_window";
pub const PAGE: &str = "_tl_page";

/// Where a batch came from.
pub struct Origin<'a> {
    pub exchange: Option<u64>,
    pub page: &'a str,
    pub window: Option<&'a str>,
}

pub fn with_own_columns(vendor: &SchemaRef) -> SchemaRef {
    let mut fields = vec![
        Arc::new(Field::new(SEQ, DataType::Int64, false)),
        Arc::new(Field::new(EXCHANGE, DataType::Int64, true)),
        Arc::new(Field::new(WINDOW, DataType::Utf8, true)),
        Arc::new(Field::new(PAGE, DataType::Utf8, true)),
    ];
    fields.extend(vendor.fields().iter().cloned());
    Arc::new(Schema::new(fields))
}

pub struct SegmentWriter {
    /// `<first seq>-<generation>.parquet`: the same rows read again after a crash take the same name.
    pub path: PathBuf,
    temporary: PathBuf,
    writer: ArrowWriter<File>,
    vendor_schema: SchemaRef,
    schema: SchemaRef,
    pub seq_from: i64,
    pub rows: u64,
    content: Option<ContentHash>,
    share: Share,
}

/// Sees the vendor's columns as Arrow IPC: where they came from is left out, so that the same records
/// read again hash the same.
type ContentHash = arrow::ipc::writer::StreamWriter<HashWriter>;

#[derive(Default)]
struct HashWriter(Sha256);

impl std::io::Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A finished file, durable, not yet known to the ledger.
pub struct Finished {
    pub path: PathBuf,
    pub seq_from: i64,
    pub rows: u64,
    pub bytes: u64,
    pub schema: SchemaRef,
    pub content: Option<String>,
}

impl SegmentWriter {
    pub fn create(
        folder: &Path,
        generation: i64,
        seq_from: i64,
        vendor_schema: &SchemaRef,
        hash_content: bool,
    ) -> Result<Self> {
        let path = folder.join(format!("g{generation:04}-{seq_from:015}.parquet"));
        let temporary = path.with_extension("tmp");
        let file = File::create(&temporary).map_err(|e| Error::io("create", temporary.display(), e))?;
        let schema = with_own_columns(vendor_schema);
        let level = ZstdLevel::try_new(1).map_err(parquet_error)?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).map_err(parquet_error)?;
        let content = match hash_content {
            true => Some(ContentHash::try_new(HashWriter::default(), vendor_schema)?),
            false => None,
        };
        let vendor_schema = vendor_schema.clone();
        Ok(Self {
            path,
            temporary,
            writer,
            vendor_schema,
            schema,
            seq_from,
            rows: 0,
            content,
            share: Share::take(),
        })
    }

    pub fn vendor_schema(&self) -> &SchemaRef {
        &self.vendor_schema
    }

    pub fn append(&mut self, rows: &RecordBatch, origin: &Origin<'_>) -> Result<()> {
        let count = rows.num_rows();
        let seq = self.seq_from + self.rows as i64;
        let vendor = conform(rows, &self.vendor_schema)?;
        if let Some(content) = &mut self.content {
            content.write(&vendor)?;
        }
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        columns.push(Arc::new(Int64Array::from_iter_values(seq..seq + count as i64)));
        columns.push(match origin.exchange {
            Some(exchange) => Arc::new(Int64Array::from_value(exchange as i64, count)),
            None => new_null_array(&DataType::Int64, count),
        });
        columns.push(match origin.window {
            Some(window) => constant_text(window, count),
            None => new_null_array(&DataType::Utf8, count),
        });
        columns.push(constant_text(origin.page, count));
        columns.extend(vendor.columns().iter().cloned());
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.writer.write(&batch).map_err(parquet_error)?;
        // Whatever its rows: what is held, not what it will take when it is packed.
        if self.writer.memory_size() > self.share.bytes() {
            self.writer.flush().map_err(parquet_error)?;
        }
        self.rows += count as u64;
        Ok(())
    }

    /// Bytes on disk and in memory so far.
    pub fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    pub fn finish(self) -> Result<Finished> {
        let Self { path, temporary, writer, schema, seq_from, rows, content, .. } = self;
        let content = content
            .map(ContentHash::into_inner)
            .transpose()?
            .map(|hash| hash.0.finalize().iter().map(|b| format!("{b:02x}")).collect::<String>());
        let file = writer.into_inner().map_err(parquet_error)?;
        file.sync_all().map_err(|e| Error::io("flush", temporary.display(), e))?;
        let bytes = file.metadata().map_err(|e| Error::io("look at", temporary.display(), e))?.len();
        drop(file);
        std::fs::rename(&temporary, &path).map_err(|e| Error::io("rename to", path.display(), e))?;
        Ok(Finished { path, seq_from, rows, bytes, schema, content })
    }
}

fn constant_text(value: &str, count: usize) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(std::iter::repeat_n(value, count)))
}

fn parquet_error(e: parquet::errors::ParquetError) -> Error {
    Error::new(throughline_core::ErrorKind::Io, format!("write Parquet: {e}")).caused_by(e)
}

/// Makes renames and new files in a folder durable.
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io("flush folder", folder.display(), e))
}
