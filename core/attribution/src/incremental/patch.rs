//! A Parquet file with some of its rows replaced or taken out. Of each row group only the columns that differ are
//! encoded anew; the others are copied as they lie there.

use std::fs::File;
use std::path::Path;

use arrow::array::{Array, MutableArrayData};
use arrow::array::{ArrayRef, make_array};
use arrow::compute::cast;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::arrow::arrow_writer::{ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use throughline_core::{Error, ErrorKind, Result};

use super::exchange::{Exchange, Fate};
use super::files;

/// Rows of one row group that do not stay as they are, in their order.
type Hits = Vec<(usize, Fate)>;

/// What is to be done to a file.
pub(super) struct Patch {
    groups: Vec<Hits>,
    pub rows: usize,
}

impl Patch {
    /// Looks the file's keys up.
    pub fn of(file: &Path, key: &[&str], exchange: &Exchange) -> Result<Self> {
        let sizes: Vec<usize> = metadata(file)?.row_groups().iter().map(|g| g.num_rows() as usize).collect();
        let mut patch = Self { groups: vec![Hits::new(); sizes.len()], rows: sizes.iter().sum() };
        if exchange.fates.len() == 0 {
            return Ok(patch);
        }
        let (mut group, mut before, mut row) = (0, 0, 0);
        for batch in files::columns(file, key)? {
            let batch = batch?;
            for (at, fate) in exchange.fates.among(&batch)? {
                while row + at - before >= sizes[group] {
                    before += sizes[group];
                    group += 1;
                }
                patch.groups[group].push((row + at - before, fate));
            }
            row += batch.num_rows();
        }
        Ok(patch)
    }

    pub fn hits(&self) -> impl Iterator<Item = Fate> {
        self.groups.iter().flatten().map(|(_, fate)| *fate)
    }

    pub fn gone(&self) -> usize {
        self.hits().filter(|fate| *fate == Fate::Goes).count()
    }

    /// Writes the file as `part`, durably.
    pub fn write(&self, file: &Path, part: &Path, exchange: &Exchange) -> Result<()> {
        let broken = |e: ParquetError| {
            Error::new(ErrorKind::Io, format!("write {} anew: {e}", file.display())).caused_by(e)
        };
        let input = File::open(file).map_err(|e| Error::io("open", file.display(), e))?;
        let metadata = metadata(file)?;
        let columns = Columns::of(&input, metadata.clone()).map_err(broken)?;
        let output = File::create_new(part).map_err(|e| Error::io("create", part.display(), e))?;
        let mut writer = SerializedFileWriter::new(
            output,
            metadata.file_metadata().schema_descr().root_schema_ptr(),
            properties(&metadata)?.into(),
        )
        .map_err(broken)?;
        let encoders = ArrowRowGroupWriterFactory::new(&writer, columns.reader.schema().clone());
        for (n, hits) in self.groups.iter().enumerate() {
            let group = metadata.row_group(n);
            let goes = hits.iter().filter(|(_, fate)| *fate == Fate::Goes).count();
            if goes == group.num_rows() as usize {
                continue;
            }
            let differs = match goes {
                0 => exchange.columns_of(hits.iter().map(|(_, fate)| *fate)),
                _ => u128::MAX,
            };
            let mut out = writer.next_row_group().map_err(broken)?;
            for (column, mut encoder) in
                encoders.create_column_writers(n).map_err(broken)?.into_iter().enumerate()
            {
                if differs & (1 << column) == 0 {
                    out.append_column(&input, as_it_lies(&metadata, n, column)).map_err(broken)?;
                    continue;
                }
                let old = columns.read(n, column).map_err(broken)?;
                let now = spliced(&old, exchange.new.column(column), hits)?;
                for leaf in compute_leaves(columns.reader.schema().field(column), &now).map_err(broken)? {
                    encoder.write(&leaf).map_err(broken)?;
                }
                encoder.close().and_then(|chunk| chunk.append_to_row_group(&mut out)).map_err(broken)?;
            }
            out.close().map_err(broken)?;
        }
        let output = writer.into_inner().map_err(broken)?;
        output.sync_all().map_err(|e| Error::io("flush", part.display(), e))
    }
}

/// With the indices of pages, where the file has them.
fn metadata(file: &Path) -> Result<std::sync::Arc<ParquetMetaData>> {
    let open = File::open(file).map_err(|e| Error::io("open", file.display(), e))?;
    ParquetMetaDataReader::new()
        .with_page_index_policy(PageIndexPolicy::Optional)
        .parse_and_finish(&open)
        .map(Into::into)
        .map_err(|e| Error::new(ErrorKind::Io, format!("read {}: {e}", file.display())).caused_by(e))
}

/// As the engine writes what stays, with the file's own notes: Arrow's schema is among them.
fn properties(metadata: &ParquetMetaData) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1).map_err(|e| Error::bug(e.to_string()))?;
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_key_value_metadata(metadata.file_metadata().key_value_metadata().cloned())
        .build())
}

fn as_it_lies(metadata: &ParquetMetaData, group: usize, column: usize) -> ColumnCloseResult {
    let row_group = metadata.row_group(group);
    let chunk = row_group.column(column);
    ColumnCloseResult {
        bytes_written: chunk.compressed_size() as u64,
        rows_written: row_group.num_rows() as u64,
        metadata: chunk.clone(),
        bloom_filter: None,
        column_index: metadata.column_index().and_then(|all| all.get(group)?.get(column)).cloned(),
        offset_index: metadata.offset_index().and_then(|all| all.get(group)?.get(column)).cloned(),
    }
}

/// Single columns of single row groups.
struct Columns<'a> {
    input: &'a File,
    reader: ArrowReaderMetadata,
}

impl<'a> Columns<'a> {
    fn of(input: &'a File, metadata: std::sync::Arc<ParquetMetaData>) -> parquet::errors::Result<Self> {
        let reader = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new())?;
        // One chunk of bytes a column: lists of plain values count as one, structures would not.
        let leaves = reader.parquet_schema().num_columns();
        if leaves != reader.schema().fields().len() {
            return Err(ParquetError::NYI("a table with columns of several parts".into()));
        }
        Ok(Self { input, reader })
    }

    fn read(&self, group: usize, column: usize) -> parquet::errors::Result<ArrayRef> {
        let rows = self.reader.metadata().row_group(group).num_rows() as usize;
        let mask = ProjectionMask::roots(self.reader.parquet_schema(), [column]);
        let mut batches =
            ParquetRecordBatchReaderBuilder::new_with_metadata(self.input.try_clone()?, self.reader.clone())
                .with_row_groups(vec![group])
                .with_projection(mask)
                .with_batch_size(rows)
                .build()?;
        match (batches.next(), batches.next()) {
            (Some(batch), None) => Ok(batch?.column(0).clone()),
            _ => Err(ParquetError::General("a row group that is not one batch".into())),
        }
    }
}

/// `old` with the rows of `hits` replaced by rows of `new`, or left out.
fn spliced(old: &ArrayRef, new: &ArrayRef, hits: &Hits) -> Result<ArrayRef> {
    let new = if new.data_type() == old.data_type() { new.clone() } else { cast(new, old.data_type())? };
    let (old, new) = (old.to_data(), new.to_data());
    let mut all = MutableArrayData::new(vec![&old, &new], false, old.len());
    let mut next = 0;
    for &(row, fate) in hits {
        all.try_extend(0, next, row)?;
        if let Fate::Becomes(by) = fate {
            all.try_extend(1, by as usize, by as usize + 1)?;
        }
        next = row + 1;
    }
    all.try_extend(0, next, old.len())?;
    Ok(make_array(all.freeze()))
}
