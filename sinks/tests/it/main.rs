//! The sinks through their public door: options in, files or tables out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod buckets;
mod csv;
mod epochs;
mod folders;
mod nothing;
mod options;
mod parquet;
mod postgresql;
mod singer;
mod singer_modes;
mod smtp;
mod suite;
mod uploads;

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::StreamExt as _;
use serde_json::{Value, json};
use throughline_core::{
    BatchStream, ConfigErrors, Context, DynSink, FixedClock, Options, Result, SinkConnector, Table, TxnId,
};

fn context() -> Context {
    nothing::context("out", Arc::new(FixedClock::at_us(1_758_000_000_000_000)))
}

fn connector(name: &str) -> Box<dyn SinkConnector> {
    throughline_sinks::all().into_iter().find(|c| c.name() == name).unwrap()
}

fn try_build(name: &str, base: &Path, value: Value) -> Result<DynSink, ConfigErrors> {
    connector(name).build(&Options { name: "out".into(), value, base_dir: base.to_owned() })
}

fn build(name: &str, base: &Path, more: Value) -> DynSink {
    let mut value = json!({"path": "out"});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    try_build(name, base, value).unwrap()
}

fn table(name: &str, schema: SchemaRef) -> Table {
    Table {
        name: name.into(), schema, key: vec!["id".into()], partition_by: None, doc: "Визиты".into()
    }
}

fn stream(batches: Vec<RecordBatch>) -> BatchStream {
    futures::stream::iter(batches.into_iter().map(Ok)).boxed()
}

/// Stages one table and commits it as an epoch of its own.
async fn publish(sink: &DynSink, txn: &str, table: &Table, batches: Vec<RecordBatch>) -> u64 {
    let (ctx, txn) = (context(), TxnId(txn.into()));
    let staged = sink.stage(&ctx, table, stream(batches), &txn).await.unwrap();
    sink.commit(&ctx, &txn, &[staged]).await.unwrap().rows
}
