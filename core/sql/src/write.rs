//! Streams of batches into Parquet files of one fresh folder; or, for what only this run reads, into memory
//! where they are few.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::{Stream, StreamExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use throughline_core::{Error, Result};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::local::Failure;
use crate::normal::normal_batch;
use crate::{TableRef, Written};

/// Enough for good compression and skipping, little enough to hold one per file while writing.
const ROW_GROUP_ROWS: usize = 128 * 1024;
const ROW_GROUP_BYTES: usize = 64 * 1024 * 1024;
const RUN_DICTIONARY_BYTES: usize = 128 * 1024;

/// Who reads the files.
#[derive(Clone, Copy)]
enum Life {
    /// Anybody, any time: flushed to the disk and small.
    Durable,
    /// The steps that follow: quick to write and to read, gone after a crash.
    Run,
}

/// Makes the folder, which must not exist; its parents are made if need be.
pub(crate) fn fresh_folder(folder: &Path) -> Result<()> {
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(|e| Error::io("make the folder", parent.display(), e))?;
    }
    fs::create_dir(folder).map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => Error::bug(format!(
            "the folder {} exists: a step is written into a fresh folder only",
            folder.display()
        )),
        _ => Error::io("make the folder", folder.display(), e),
    })
}

/// One file for each stream that has rows; one empty file when none has, so that the folder can be
/// read by any tool.
pub(crate) async fn parts(
    streams: Vec<SendableRecordBatchStream>,
    schema: SchemaRef,
    folder: &Path,
) -> Result<Written, Failure> {
    let mut tasks = JoinSet::new();
    for (number, stream) in streams.into_iter().enumerate() {
        let path = folder.join(format!("part-{number}.parquet"));
        let schema = SchemaRef::clone(&schema);
        tasks.spawn(async move {
            let rows = one_part(stream, path.clone(), schema, Life::Durable).await?;
            Ok::<_, Failure>(rows.map(|rows| (number, path, rows)))
        });
    }
    let mut done = Vec::new();
    while let Some(finished) = tasks.join_next().await {
        // Leaving early drops the set, which stops the other parts.
        let part =
            finished.map_err(|e| Error::bug(format!("a writer of {} died: {e}", folder.display())))??;
        done.extend(part);
    }
    done.sort();
    if done.is_empty() {
        let path = folder.join("part-0.parquet");
        create(&path, &schema, Life::Durable).and_then(|writer| finish(writer, &path, Life::Durable))?;
        done.push((0, path, 0));
    }
    sync_folder(folder)?;
    if let Some(parent) = folder.parent() {
        sync_folder(parent)?;
    }
    let rows = done.iter().map(|(_, _, rows)| rows).sum();
    Ok(Written { files: done.into_iter().map(|(_, path, _)| path).collect(), schema, rows })
}

/// What becomes of one stream whose rows only this run reads.
enum Held {
    Rows(Vec<RecordBatch>),
    File(PathBuf),
}

/// Few rows stay in memory; the folder is there either way.
pub(crate) async fn hold(
    streams: Vec<SendableRecordBatchStream>,
    schema: SchemaRef,
    folder: &Path,
    held_bytes: usize,
) -> Result<TableRef, Failure> {
    let limit = held_bytes / streams.len().max(1);
    let mut tasks = JoinSet::new();
    for (number, stream) in streams.into_iter().enumerate() {
        let path = folder.join(format!("part-{number}.parquet"));
        let schema = SchemaRef::clone(&schema);
        tasks.spawn(async move { Ok::<_, Failure>((number, hold_one(stream, path, schema, limit).await?)) });
    }
    let mut parts = Vec::new();
    while let Some(finished) = tasks.join_next().await {
        let part =
            finished.map_err(|e| Error::bug(format!("a writer of {} died: {e}", folder.display())))??;
        parts.push(part);
    }
    parts.sort_by_key(|(number, _)| *number);
    let mut batches = Vec::new();
    let mut files = Vec::new();
    for (_, part) in parts {
        match part {
            Held::Rows(rows) => batches.extend(rows),
            Held::File(path) => files.push(path),
        }
    }
    if files.is_empty() && held_bytes > 0 {
        return Ok(TableRef::Rows { schema, batches });
    }
    if files.is_empty() || !batches.is_empty() {
        let path = folder.join("part-held.parquet");
        let mut writer = create(&path, &schema, Life::Run)?;
        for batch in batches {
            writer.write(&batch).map_err(|e| broken(&path, e))?;
        }
        finish(writer, &path, Life::Run)?;
        files.push(path);
    }
    Ok(TableRef::Parquet { files, schema })
}

async fn hold_one(
    mut stream: SendableRecordBatchStream,
    path: PathBuf,
    schema: SchemaRef,
    limit: usize,
) -> Result<Held, Failure> {
    let (mut held, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        if batch.num_rows() == 0 {
            continue;
        }
        let batch = normal_batch(&batch, &schema)?;
        // Counts what a slice keeps alive, not what it shows.
        bytes += batch.get_array_memory_size();
        held.push(batch);
        if bytes > limit {
            let all = futures::stream::iter(held.into_iter().map(Ok)).chain(stream);
            one_part(all, path.clone(), schema, Life::Run).await?;
            return Ok(Held::File(path));
        }
    }
    Ok(Held::Rows(held))
}

enum Next {
    Rows(RecordBatch),
    /// The stream ended well. A channel that closes without it means that it did not.
    End,
}

/// The stream is polled here and its rows are encoded on a thread of their own.
async fn one_part(
    mut stream: impl Stream<Item = Result<RecordBatch, DataFusionError>> + Unpin,
    path: PathBuf,
    schema: SchemaRef,
    life: Life,
) -> Result<Option<u64>, Failure> {
    let (sender, receiver) = mpsc::channel(2);
    let shown = path.display().to_string();
    let writer = tokio::task::spawn_blocking(move || encode(receiver, &path, &schema, life));
    let mut outcome = Ok(());
    while let Some(batch) = stream.next().await {
        match batch {
            // The writer is gone: its own error says why.
            Ok(batch) => {
                if sender.send(Next::Rows(batch)).await.is_err() {
                    break;
                }
            }
            Err(e) => {
                outcome = Err(Failure::Sql(e));
                break;
            }
        }
    }
    if outcome.is_ok() {
        let _ = sender.send(Next::End).await;
    }
    drop(sender);
    let written = writer.await.map_err(|e| Error::bug(format!("the writer of {shown} died: {e}")))?;
    outcome?;
    Ok(written?)
}

fn encode(
    mut receiver: mpsc::Receiver<Next>,
    path: &Path,
    schema: &SchemaRef,
    life: Life,
) -> Result<Option<u64>> {
    let mut writer = None;
    let mut rows = 0;
    while let Some(next) = receiver.blocking_recv() {
        let batch = match next {
            Next::Rows(batch) if batch.num_rows() == 0 => continue,
            Next::Rows(batch) => batch,
            Next::End => {
                let Some(writer) = writer else { return Ok(None) };
                finish(writer, path, life)?;
                return Ok(Some(rows));
            }
        };
        let open = match &mut writer {
            Some(open) => open,
            None => writer.insert(create(path, schema, life)?),
        };
        rows += batch.num_rows() as u64;
        open.write(&normal_batch(&batch, schema)?).map_err(|e| broken(path, e))?;
    }
    Ok(None)
}

fn create(path: &Path, schema: &SchemaRef, life: Life) -> Result<ArrowWriter<File>> {
    let builder = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES));
    let properties = match life {
        Life::Durable => {
            let level = ZstdLevel::try_new(1).map_err(|e| Error::bug(e.to_string()))?;
            builder.set_compression(Compression::ZSTD(level)).build()
        }
        // Read whole, so nobody skips by smallest and largest values; and ids, each another, are found out early
        // to be no words of a dictionary.
        Life::Run => builder
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_dictionary_page_size_limit(RUN_DICTIONARY_BYTES)
            .build(),
    };
    let file = File::create_new(path).map_err(|e| Error::io("create", path.display(), e))?;
    ArrowWriter::try_new(file, SchemaRef::clone(schema), Some(properties)).map_err(|e| broken(path, e))
}

fn finish(writer: ArrowWriter<File>, path: &Path, life: Life) -> Result<()> {
    let file = writer.into_inner().map_err(|e| broken(path, e))?;
    match life {
        Life::Durable => file.sync_all().map_err(|e| Error::io("flush", path.display(), e)),
        Life::Run => Ok(()),
    }
}

fn broken(path: &Path, e: parquet::errors::ParquetError) -> Error {
    Error::new(throughline_core::ErrorKind::Io, format!("write {}: {e}", path.display())).caused_by(e)
}

fn sync_folder(folder: &Path) -> Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)
        .and_then(|f| f.sync_all())
        .map_err(|e| Error::io("flush the folder", folder.display(), e))
}
