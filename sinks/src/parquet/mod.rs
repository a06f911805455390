#![doc = include_str!("README.md")]

mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use parquet::basic::{Compression as Codec, ZstdLevel};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{
    BatchStream, CheckReport, Committable, ConfigErrors, Context, DynSink, Guarantee, Options, PointerAt,
    Receipt, Result, Sink, SinkConnector, Table, TxnId,
};

use crate::epoch_folder::{self, EpochFolder, Owner};
use crate::staging;
use writer::{Layout, ParquetTable};

const NAME: &str = "parquet";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ParquetOptions {
    /// Folder for the tables, relative to the pipeline file. It must be empty, new, or this sink's.
    path: String,
    /// Epochs that stay on disk, the current one included; 2 or more.
    #[serde(default = "default_keep_epochs")]
    keep_epochs: usize,
    #[serde(default)]
    compression: Compression,
    /// Rows per row group at most, 1000 to 10000000. Fewer where rows are wide.
    #[serde(default = "default_row_group_rows")]
    row_group_rows: usize,
    /// Hive folders, `date=2026-09-01/`, for tables that have a date to partition by. That column is then in
    /// the folder names and not in the files.
    #[serde(default)]
    partition: bool,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Compression {
    #[default]
    Zstd,
    Snappy,
    None,
}

fn default_keep_epochs() -> usize {
    2
}
fn default_row_group_rows() -> usize {
    1_000_000
}

pub(crate) struct ParquetConnector;

impl SinkConnector for ParquetConnector {
    fn name(&self) -> &str {
        NAME
    }
    fn summary(&self) -> &str {
        "Parquet files in a folder, whole epochs at once"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(ParquetOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        let given: ParquetOptions = parse_options(&options.value)?;
        let mut errors = epoch_folder::option_errors(&given.path, given.keep_epochs);
        if !(1_000..=10_000_000).contains(&given.row_group_rows) {
            errors.push(option_error(
                format!("row_group_rows = {} is not between 1000 and 10000000", given.row_group_rows),
                "/row_group_rows",
                PointerAt::Value,
            ));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let codec = match given.compression {
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
            Compression::Snappy => Codec::SNAPPY,
            Compression::None => Codec::UNCOMPRESSED,
        };
        let owner = Owner { connector: NAME.into(), sink: options.name.clone() };
        Ok(Arc::new(ParquetSink {
            folder: Arc::new(EpochFolder::new(options.base_dir.join(given.path), owner, given.keep_epochs)),
            layout: Layout { codec, row_group_rows: given.row_group_rows, ..Layout::default() },
            partition: given.partition,
        }))
    }
}

struct ParquetSink {
    folder: Arc<EpochFolder>,
    layout: Layout,
    partition: bool,
}

#[async_trait]
impl Sink for ParquetSink {
    async fn check(&self, _: &Context) -> Result<CheckReport> {
        staging::blocking(&self.folder, EpochFolder::check).await
    }

    async fn stage(
        &self,
        ctx: &Context,
        table: &Table,
        rows: BatchStream,
        txn: &TxnId,
    ) -> Result<Committable> {
        let layout = self.layout.clone();
        let partition_by = table.partition_by.clone().filter(|_| self.partition);
        let about = table.clone();
        let item = table.name.clone();
        staging::stage(&self.folder, ctx, table, rows, txn, item, move |path, schema| {
            ParquetTable::open(path, schema, &about, partition_by.as_deref(), layout)
        })
        .await
    }

    async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        let (txn, staged, now_us) = (txn.clone(), staged.to_vec(), ctx.clock.now_us());
        staging::blocking(&self.folder, move |folder| folder.commit(&txn, &staged, now_us)).await
    }

    async fn drop_older(&self, _: &Context, txn: &TxnId) -> Result<Option<u64>> {
        let txn = txn.clone();
        staging::blocking(&self.folder, move |folder| folder.drop_older(&txn)).await.map(Some)
    }

    async fn abort(&self, _: &Context, txn: &TxnId) -> Result<()> {
        let txn = txn.clone();
        staging::blocking(&self.folder, move |folder| folder.abort(&txn)).await
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}
