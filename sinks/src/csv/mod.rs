#![doc = include_str!("README.md")]

mod cells;
mod writer;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
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
use writer::{CsvTable, Form};

const NAME: &str = "csv";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CsvOptions {
    /// Folder for the tables, relative to the pipeline file, or a bucket: "s3://bucket/prefix",
    /// "gs://bucket/prefix", "az://container/prefix". It must be empty, new, or this sink's.
    path: String,
    /// Epochs that stay, the current one included; 2 or more.
    #[serde(default = "default_keep_epochs")]
    keep_epochs: usize,
    /// One ASCII sign between cells, e.g. "," or ";" or "\t".
    #[serde(default = "default_delimiter")]
    delimiter: String,
    /// What stands for a missing value. An empty text is always written as "".
    #[serde(default)]
    null: String,
    /// Begin files with a byte-order mark, by which Excel knows that they are UTF-8.
    #[serde(default)]
    bom: bool,
    /// Put ' before texts that a spreadsheet would run as a formula (those that begin with = + - @). It
    /// changes such texts, phone numbers among them, so it is off unless people open the files in one.
    #[serde(default)]
    formula_guard: bool,
    /// Write `.csv.gz`.
    #[serde(default)]
    gzip: bool,
    /// Keys for a bucket of S3's protocol.
    s3: Option<S3Options>,
    /// Key for a bucket of Google Cloud Storage.
    gcs: Option<GcsOptions>,
    /// Keys for a container of Azure Blob Storage.
    azure: Option<AzureOptions>,
}

fn default_keep_epochs() -> usize {
    2
}
fn default_delimiter() -> String {
    ",".into()
}

pub(crate) struct CsvConnector;

impl SinkConnector for CsvConnector {
    fn name(&self) -> &str {
        NAME
    }
    fn summary(&self) -> &str {
        "CSV files in a folder or a bucket, whole epochs at once"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(CsvOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        let given: CsvOptions = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let delimiter = match given.delimiter.as_bytes() {
            [byte] if is_delimiter(*byte) => *byte,
            _ => {
                errors.push(option_error(
                    format!(
                        "delimiter = {:?} is not one ASCII sign other than a letter, a digit, a quote, or a line end",
                        given.delimiter
                    ),
                    "/delimiter",
                    PointerAt::Value,
                ));
                b','
            }
        };
        if given.null.bytes().any(|b| matches!(b, b'"' | b'\r' | b'\n') || b == delimiter) {
            errors.push(option_error(
                format!("null = {:?} holds the delimiter, a quote or a line end", given.null),
                "/null",
                PointerAt::Value,
            ));
        }
        let owner = Owner { connector: NAME.into(), sink: options.name.clone() };
        let stores = StoreOptions { s3: given.s3, gcs: given.gcs, azure: given.azure };
        let destination = Destination::new(&given.path, stores, owner, given.keep_epochs, &options.base_dir);
        let destination = both(destination, errors)?;
        Ok(Arc::new(CsvSink {
            destination,
            form: Form {
                delimiter,
                null: given.null,
                bom: given.bom,
                formula_guard: given.formula_guard,
                gzip: given.gzip,
            },
        }))
    }
}

fn is_delimiter(byte: u8) -> bool {
    byte == b'\t'
        || (byte.is_ascii_graphic() && !byte.is_ascii_alphanumeric() && byte != b'"' && byte != b'\'')
}

struct CsvSink {
    destination: Destination,
    form: Form,
}

#[async_trait]
impl Sink for CsvSink {
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
        let form = self.form.clone();
        let item = format!("{}.csv{}", table.name, if form.gzip { ".gz" } else { "" });
        let open =
            move |files: Box<dyn TableFiles>, schema: &SchemaRef| CsvTable::open(&*files, schema, form);
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
