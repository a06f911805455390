//! A table on its way into the bucket: where it will stay, and where nobody looks before it is committed.

use arrow::datatypes::SchemaRef;
use throughline_core::{BatchStream, Committable, Context, Error, Result, Table, TxnId};

use super::upload::uploads;
use super::{Bucket, DATA, unless_stopped};
use crate::epoch_folder::{StagedTable, folder_name, table_name};
use crate::files::TableFiles;
use crate::staging::{TableWriter, feed, plain};

impl Bucket {
    /// Stages `table`; `item` is its file or folder, and begins with the table's name.
    pub(crate) async fn stage<W: TableWriter>(
        &self,
        ctx: &Context,
        table: &Table,
        rows: BatchStream,
        txn: &TxnId,
        item: &str,
        open: impl FnOnce(Box<dyn TableFiles>, &SchemaRef) -> Result<W> + Send + 'static,
    ) -> Result<Committable> {
        let txn = folder_name(txn)?;
        table_name(&table.name)?;
        ctx.check_cancelled()?;
        unless_stopped(ctx, self.own()).await?;
        let table = plain(table);
        // A place of its own for each try: nothing that comes late from another can get into it.
        let kind = item.strip_prefix(table.name.as_str()).unwrap_or_default();
        let item = format!("{}-{}{kind}", table.name, random_id()?);
        let (files, sending) = uploads(format!("{DATA}/{txn}/{item}"));
        let schema = table.schema.clone();
        let writing =
            feed(ctx, &table, rows, move |rows| rows.through(Box::new(open(Box::new(files), &schema)?)));
        let (written, sent) = futures::future::join(writing, sending.run(ctx, &self.place)).await;
        match (written, sent) {
            (Ok(files), Ok(())) => StagedTable::new(&table, item, files).into_committable(),
            // A stream that broke off is said as it is; else the writer only knows that its upload ended.
            (Err(error), Ok(())) => Err(error),
            (_, Err(error)) => Err(error.with("table", &table.name)),
        }
    }
}

/// Sixteen hexadecimal digits that nobody else has.
pub(super) fn random_id() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|e| Error::bug(format!("no random number from the system: {e}")))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}
