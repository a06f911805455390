//! The example sink: staged, committed by another process, aborted, cut off.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use futures::StreamExt;
use serde_json::json;
use throughline_core::{
    BatchStream, Committable, DynSink, Error, Guarantee, Options, SinkConnector, Table, TxnId,
};
use throughline_plugin_host::{Folder, PluginSink};

use crate::support::{context, runner, rust_plugin};

fn sink(plugins: &Path, isolation: &str, out: &Path) -> DynSink {
    let installed = Folder(plugins.to_path_buf()).install(&rust_plugin("jsonl"), &runner(), &[]).unwrap();
    let value = json!({ "path": out, "isolation": isolation });
    let options = Options { name: "out".into(), value, base_dir: ".".into() };
    PluginSink::new(Arc::new(installed), runner()).build(&options).unwrap_or_else(|e| panic!("{e:?}"))
}

fn rows(from: i64) -> RecordBatch {
    let columns: [(&str, ArrayRef); 2] = [
        ("id", Arc::new(Int64Array::from(vec![from, from + 1]))),
        ("name", Arc::new(StringArray::from(vec![Some("Анна"), None]))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn table() -> Table {
    Table {
        name: "deals".into(),
        schema: rows(0).schema(),
        key: vec!["id".into()],
        partition_by: None,
        doc: "Deals.".into(),
    }
}

fn stream(batches: Vec<Result<RecordBatch, Error>>) -> BatchStream {
    futures::stream::iter(batches).boxed()
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_staged_and_shown_at_once_in_both_places() {
    for isolation in ["thread", "process"] {
        let folder = tempfile::tempdir().unwrap();
        let (plugins, out) = (folder.path().join("plugins"), folder.path().join("out"));
        let first = sink(&plugins, isolation, &out);
        assert_eq!(first.guarantee(), Guarantee::ExactlyOnce);
        let (ctx, txn) = (context(), TxnId("t1".into()));
        first.check(&ctx).await.unwrap();
        let staged = first.stage(&ctx, &table(), stream(vec![Ok(rows(1)), Ok(rows(3))]), &txn).await.unwrap();
        assert_eq!(staged, Committable { table: "deals".into(), rows: 4, detail: json!({}) });
        assert!(!out.join("current").exists(), "nobody sees what is not committed");
        // A fresh process commits, and once more.
        let fresh = sink(&plugins, isolation, &out);
        for _ in 0..2 {
            let receipt = fresh.commit(&ctx, &txn, std::slice::from_ref(&staged)).await.unwrap();
            assert_eq!(receipt.rows, 4);
        }
        let text = std::fs::read_to_string(out.join("current/deals.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 4, "{isolation}: {text}");
        assert!(text.starts_with("{\"id\":1,\"name\":\"Анна\"}\n"), "{text}");
        // Staged again under its name, it is replaced; aborted, it is gone; and once more is no error.
        let txn = TxnId("t2".into());
        for _ in 0..2 {
            first.stage(&ctx, &table(), stream(vec![Ok(rows(9))]), &txn).await.unwrap();
        }
        assert_eq!(std::fs::read_to_string(out.join("t2/deals.jsonl")).unwrap().lines().count(), 2);
        first.abort(&ctx, &txn).await.unwrap();
        first.abort(&ctx, &txn).await.unwrap();
        assert!(!out.join("t2").exists());
        assert_eq!(std::fs::read_to_string(out.join("current/deals.jsonl")).unwrap(), text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_sinks_passes() {
    for isolation in ["thread", "process"] {
        let folder = tempfile::tempdir().unwrap();
        let installed =
            throughline_plugin_host::Installed::of_file(&rust_plugin("jsonl"), &runner()).unwrap();
        let connector: &'static dyn SinkConnector =
            Box::leak(Box::new(PluginSink::new(Arc::new(installed), runner())));
        let value = json!({ "path": "out", "isolation": isolation });
        let options = Options { name: "out".into(), value, base_dir: folder.path().to_path_buf() };
        let report =
            throughline_behaviour::SinkSuite::of_connector(connector, &options, || Ok(context())).run().await;
        assert!(report.passed(), "{isolation}: {}", report.text());
        assert!(folder.path().join("out/current/behaviour_one.jsonl").is_file());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_break_off_are_never_prepared() {
    for isolation in ["thread", "process"] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let sink = sink(&folder.path().join("plugins"), isolation, &out);
        let broken = stream(vec![Ok(rows(1)), Err(Error::data("the disk of the host broke"))]);
        let error = sink.stage(&context(), &table(), broken, &TxnId("t1".into())).await.unwrap_err();
        assert_eq!(error.message(), "the disk of the host broke");
        // The plugin's side ends a moment later.
        for _ in 0..100 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            assert!(!out.join("t1/deals.jsonl").exists(), "{isolation}: half a table was prepared");
        }
    }
}
