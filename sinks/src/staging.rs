//! From a stream of batches to a staged table: batches go through a short channel to a thread that may
//! block, so memory stays at a few batches and what the writer itself holds.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use futures::StreamExt as _;
use throughline_core::{BatchStream, Committable, Context, Error, Result, Table, TxnId};
use tokio::sync::mpsc;

use crate::epoch_folder::{EpochFolder, StagedTable};
use crate::files::FileEntry;

/// Batches between the one who computes them and the one who writes them.
const QUEUE: usize = 2;

/// Writes one table into its file or folder.
pub(crate) trait TableWriter: Send {
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Everything durable but the folders' entries.
    fn finish(self: Box<Self>) -> Result<Vec<FileEntry>>;
}

enum Message {
    Rows(RecordBatch),
    /// Without it the stream was cut, and what is written is not the table.
    End,
}

/// The rows of one table, on the thread that writes them.
pub(crate) struct Feed {
    table: Table,
    rows: mpsc::Receiver<Message>,
}

impl Feed {
    /// Writes all of them, to the end.
    pub(crate) fn through(mut self, mut writer: Box<impl TableWriter>) -> Result<Vec<FileEntry>> {
        loop {
            match self.rows.blocking_recv() {
                Some(Message::Rows(batch)) => writer.write(&batch)?,
                Some(Message::End) => return writer.finish(),
                None => return Err(Error::data(format!("the rows of table {} broke off", self.table.name))),
            }
        }
    }
}

/// Feeds the rows of `table`, whose schema is [`plain`], to `work` on a thread that may block.
pub(crate) async fn feed<T: Send + 'static>(
    ctx: &Context,
    table: &Table,
    mut rows: BatchStream,
    work: impl FnOnce(Feed) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (send, receive) = mpsc::channel(QUEUE);
    let feed = Feed { table: table.clone(), rows: receive };
    let writing = tokio::task::spawn_blocking(move || work(feed));
    let feeding = async {
        while let Some(batch) = rows.next().await {
            ctx.check_cancelled()?;
            let batch = conform(batch?, table)?;
            if send.send(Message::Rows(batch)).await.is_err() {
                // The writer has failed and says why itself.
                return Ok(());
            }
        }
        let _ = send.send(Message::End).await;
        Ok(())
    };
    let fed: Result<()> = feeding.await;
    drop(send);
    let written =
        writing.await.map_err(|e| Error::bug(format!("writing table {} broke off: {e}", table.name)))?;
    fed?;
    written.map_err(|e| e.with("table", &table.name))
}

/// Stages `table`; `open` gives the writer for the path it is told, under the schema it is told.
pub(crate) async fn stage<W: TableWriter>(
    folder: &Arc<EpochFolder>,
    ctx: &Context,
    table: &Table,
    rows: BatchStream,
    txn: &TxnId,
    item: String,
    open: impl FnOnce(&Path, &SchemaRef) -> Result<W> + Send + 'static,
) -> Result<Committable> {
    let table = plain(table);
    let (folder, about, txn) = (folder.clone(), table.clone(), txn.clone());
    feed(ctx, &table, rows, move |rows| write(&folder, &about, &txn, item, rows, open)).await
}

fn write<W: TableWriter>(
    folder: &EpochFolder,
    table: &Table,
    txn: &TxnId,
    item: String,
    rows: Feed,
    open: impl FnOnce(&Path, &SchemaRef) -> Result<W>,
) -> Result<Committable> {
    let draft = folder.draft(txn, &table.name, &item)?;
    match open(&draft.path(), &table.schema).and_then(|writer| rows.through(Box::new(writer))) {
        Ok(files) => {
            folder.stage(draft)?;
            StagedTable::new(table, item, files).into_committable()
        }
        Err(error) => {
            // What cannot be removed now is removed by the next try or the abort.
            let _ = draft.discard();
            Err(error)
        }
    }
}

/// The table as it is written: arrow's views are a form for computing that few readers know.
pub(crate) fn plain(table: &Table) -> Table {
    Table { schema: plain_schema(&table.schema), ..table.clone() }
}

fn plain_schema(schema: &SchemaRef) -> SchemaRef {
    fn plain_type(kind: &DataType) -> DataType {
        match kind {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            DataType::List(field) => DataType::List(plain_field(field)),
            DataType::LargeList(field) => DataType::LargeList(plain_field(field)),
            DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
            other => other.clone(),
        }
    }
    fn plain_field(field: &Arc<Field>) -> Arc<Field> {
        Arc::new(field.as_ref().clone().with_data_type(plain_type(field.data_type())))
    }
    let fields: Vec<_> = schema.fields().iter().map(plain_field).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The batch under the table's schema; an error when that would change a value.
pub(crate) fn conform(batch: RecordBatch, table: &Table) -> Result<RecordBatch> {
    let wrong = |what: String| Error::bug(format!("rows of table {} do not fit it: {what}", table.name));
    if batch.num_columns() != table.schema.fields().len() {
        return Err(wrong(format!(
            "{} columns in place of {}",
            batch.num_columns(),
            table.schema.fields().len()
        )));
    }
    let exact = CastOptions { safe: false, ..Default::default() };
    let mut columns = Vec::with_capacity(batch.num_columns());
    for ((field, found), column) in
        table.schema.fields().iter().zip(batch.schema_ref().fields()).zip(batch.columns())
    {
        if field.name() != found.name() {
            return Err(wrong(format!("column {:?} in place of {:?}", found.name(), field.name())));
        }
        columns.push(if column.data_type() == field.data_type() {
            column.clone()
        } else {
            cast_with_options(column, field.data_type(), &exact)
                .map_err(|e| wrong(format!("column {:?}: {e}", field.name())))?
        });
    }
    RecordBatch::try_new(table.schema.clone(), columns).map_err(|e| wrong(e.to_string()))
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    folder: &Arc<EpochFolder>,
    work: impl FnOnce(&EpochFolder) -> Result<T> + Send + 'static,
) -> Result<T> {
    let folder = folder.clone();
    tokio::task::spawn_blocking(move || work(&folder))
        .await
        .map_err(|e| Error::bug(format!("work on the sink's folder broke off: {e}")))?
}
