#![doc = include_str!("README.md")]

mod writer;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use parquet::basic::{Compression as Codec, ZstdLevel};
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{
    BatchStream, CheckReport, Committable, ConfigErrors, Context, DynSink, Guarantee, Options, PointerAt,
    Receipt, Result, Sink, SinkConnector, Table, TxnId,
};

use crate::bucket::{AzureOptions, GcsOptions, S3Options, StoreOptions};
use crate::destination::{Destination, both};
use crate::epoch_folder::Owner;
use crate::files::TableFiles;
use writer::{Layout, ParquetTable};

const NAME: &str = "parquet";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ParquetOptions {
    /// Folder for the tables, relative to the pipeline file, or a bucket: "s3://bucket/prefix",
    /// "gs://bucket/prefix", "az://container/prefix". It must be empty, new, or this sink's.
    path: String,
    /// Epochs that stay, the current one included; 2 or more.
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
    /// Keys for a bucket of S3's protocol.
    s3: Option<S3Options>,
    /// Key for a bucket of Google Cloud Storage.
    gcs: Option<GcsOptions>,
    /// Keys for a container of Azure Blob Storage.
    azure: Option<AzureOptions>,
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
        "Parquet files in a folder or a bucket, whole epochs at once"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(ParquetOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        let given: ParquetOptions = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        if !(1_000..=10_000_000).contains(&given.row_group_rows) {
            errors.push(option_error(
                format!("row_group_rows = {} is not between 1000 and 10000000", given.row_group_rows),
                "/row_group_rows",
                PointerAt::Value,
            ));
        }
        let owner = Owner { connector: NAME.into(), sink: options.name.clone() };
        let stores = StoreOptions { s3: given.s3, gcs: given.gcs, azure: given.azure };
        let destination = Destination::new(&given.path, stores, owner, given.keep_epochs, &options.base_dir);
        let destination = both(destination, errors)?;
        let codec = match given.compression {
            Compression::Zstd => Codec::ZSTD(ZstdLevel::default()),
            Compression::Snappy => Codec::SNAPPY,
            Compression::None => Codec::UNCOMPRESSED,
        };
        Ok(Arc::new(ParquetSink {
            destination,
            layout: Layout { codec, row_group_rows: given.row_group_rows, ..Layout::default() },
            partition: given.partition,
        }))
    }
}

struct ParquetSink {
    destination: Destination,
    layout: Layout,
    partition: bool,
}

#[async_trait]
impl Sink for ParquetSink {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        self.destination.check(ctx).await
    }

    async fn stage(
        &self,
        ctx: &Context,
        table: &Table,
        rows: BatchStream,
        txn: &TxnId,
    ) -> Result<Committable> {
        let mut layout = self.layout.clone();
        if self.destination.is_bucket() {
            // Parts on their way take their share.
            layout.memory_bytes /= 2;
        }
        let partition_by = table.partition_by.clone().filter(|_| self.partition);
        let about = table.clone();
        let item = table.name.clone();
        let open = move |files: Box<dyn TableFiles>, schema: &SchemaRef| {
            ParquetTable::open(files, schema, &about, partition_by.as_deref(), layout)
        };
        self.destination.stage(ctx, table, rows, txn, item, open).await
    }

    async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        self.destination.commit(ctx, txn, staged).await
    }

    async fn drop_older(&self, ctx: &Context, txn: &TxnId) -> Result<Option<u64>> {
        self.destination.drop_older(ctx, txn).await.map(Some)
    }

    async fn abort(&self, ctx: &Context, txn: &TxnId) -> Result<()> {
        self.destination.abort(ctx, txn).await
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}
