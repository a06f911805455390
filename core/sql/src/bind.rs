//! Tables for the engine: an explicit list of Parquet files, or rows in memory.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::context::SessionContext;
use datafusion::logical_expr::ScalarUDF;
use throughline_core::{Error, Result};

use crate::TableRef;
use crate::error;
use crate::normal::normal_batch;
use crate::widen::Widening;

/// Parquet's marks at both ends and the length of the footer.
const MIN_FILE_BYTES: u64 = 12;

pub(crate) fn provider(
    name: &str,
    table: &TableRef,
    ctx: &SessionContext,
    decimal_text: &Arc<ScalarUDF>,
) -> Result<Arc<dyn TableProvider>> {
    match table {
        TableRef::Rows { schema, batches } => {
            let schema = nullable(schema);
            let batches =
                batches.iter().map(|b| normal_batch(b, &schema)).collect::<Result<Vec<_>>>().map_err(
                    |e| {
                        Error::bug(format!(
                            "the rows given for table \"{name}\" do not fit its schema: {}",
                            e.message()
                        ))
                    },
                )?;
            memory(schema, batches)
        }
        TableRef::Parquet { files, schema } if files.is_empty() => memory(nullable(schema), Vec::new()),
        TableRef::Parquet { files, schema } => {
            let mut urls = Vec::with_capacity(files.len());
            for file in files {
                check(name, file)?;
                let whole = std::path::absolute(file).map_err(|e| Error::io("find", file.display(), e))?;
                let url = url::Url::from_file_path(&whole)
                    .map_err(|()| Error::bug(format!("{} is not a file path", whole.display())))?;
                // Not `parse`: a `*` or `[` in a folder's name is no pattern here.
                urls.push(ListingTableUrl::try_new(url, None).map_err(|e| error::running(&e))?);
            }
            let format = ParquetFormat::default().with_options(ctx.copied_table_options().parquet);
            let options = ListingOptions::new(Arc::new(format)).with_file_extension("");
            let config = ListingTableConfig::new_with_multi_paths(urls)
                .with_listing_options(options)
                .with_schema(nullable(schema))
                .with_expr_adapter_factory(Arc::new(Widening { decimal_text: Arc::clone(decimal_text) }));
            let table = ListingTable::try_new(config).map_err(|e| error::running(&e))?;
            Ok(Arc::new(table))
        }
    }
}

/// DataFusion takes a file that is missing or of no length for a table without rows.
fn check(name: &str, file: &Path) -> Result<()> {
    let found =
        std::fs::metadata(file).map_err(|e| Error::io("open", file.display(), e).with("table", name))?;
    if found.len() < MIN_FILE_BYTES {
        return Err(Error::data(format!(
            "{} is too short for a Parquet file: {} bytes",
            file.display(),
            found.len()
        ))
        .with("table", name));
    }
    Ok(())
}

fn memory(schema: SchemaRef, batches: Vec<arrow::array::RecordBatch>) -> Result<Arc<dyn TableProvider>> {
    MemTable::try_new(schema, vec![batches])
        .map(|t| Arc::new(t) as Arc<dyn TableProvider>)
        .map_err(|e| error::running(&e))
}

/// Whatever a table's owner promises about nulls, its files may be older than the promise.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> =
        schema.fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    Arc::new(Schema::new(fields))
}
