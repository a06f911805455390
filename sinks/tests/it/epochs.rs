//! Readers and killers: what is seen from outside while epochs follow one another.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use throughline_core::{Committable, DynSink, TxnId};

use crate::{build, context, stream, table};

const TABLES: [&str; 3] = ["visits", "deals", "costs"];

/// Every row of every table of epoch `n` holds `n`.
fn rows(n: i64) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(Int64Array::from(vec![n; 500]))]).unwrap()
}

async fn stage_all(sink: &DynSink, n: i64) -> (TxnId, Vec<Committable>) {
    let (ctx, txn) = (context(), TxnId(format!("txn-{n}")));
    let mut staged = Vec::new();
    for name in TABLES {
        let batch = rows(n);
        staged.push(sink.stage(&ctx, &table(name, batch.schema()), stream(vec![batch]), &txn).await.unwrap());
    }
    (txn, staged)
}

/// The epoch a reader sees when it resolves `current` once; `None` before the first.
fn read(root: &Path, csv: bool) -> Option<i64> {
    let epoch = std::fs::canonicalize(root.join("current")).ok()?;
    let mut seen = Vec::new();
    for name in TABLES {
        let values: Vec<i64> = if csv {
            let text = std::fs::read_to_string(epoch.join(format!("{name}.csv"))).unwrap();
            text.lines().skip(1).map(|line| line.parse().unwrap()).collect()
        } else {
            let file = std::fs::File::open(epoch.join(name).join("part-00000.parquet")).unwrap();
            let batches = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
            batches
                .flat_map(|b| {
                    b.unwrap().column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
                })
                .collect()
        };
        assert_eq!(values.len(), 500);
        seen.extend(values);
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "one epoch in all tables");
    Some(seen[0])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_reader_always_sees_one_whole_epoch() {
    for name in ["parquet", "csv"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("out");
        let sink = build(name, folder.path(), json!({"keep_epochs": 100}));
        let stop = Arc::new(AtomicBool::new(false));
        let reader = std::thread::spawn({
            let (stop, root) = (stop.clone(), root.clone());
            move || {
                let (mut seen, mut last) = (0, 0);
                while !stop.load(Ordering::SeqCst) {
                    if let Some(n) = read(&root, name == "csv") {
                        assert!(n >= last, "never back");
                        (seen, last) = (seen + 1, n);
                    }
                }
                seen
            }
        });
        for n in 1..=40 {
            let (txn, staged) = stage_all(&sink, n).await;
            sink.commit(&context(), &txn, &staged).await.unwrap();
            assert_eq!(read(&root, name == "csv"), Some(n));
        }
        stop.store(true, Ordering::SeqCst);
        assert!(reader.join().unwrap() > 0);
    }
}

/// The test binary again, publishing without end until it is killed.
fn publisher(folder: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "epochs::child_that_publishes", "--nocapture", "--test-threads=1"])
        .env("TL_CHILD", folder)
        .stdout(std::process::Stdio::piped());
    command
}

#[tokio::test]
async fn killed_at_any_moment_it_goes_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("out");
    let ledger = folder.path().join("ledger.json");
    let mut last = 0;
    for round in 0..12_u64 {
        let mut child = publisher(folder.path()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Into the run, then a little further into some step of a commit.
        while !lines.next().unwrap().unwrap().starts_with("published") {}
        std::thread::sleep(std::time::Duration::from_micros(round * 700));
        child.kill().unwrap();
        child.wait().unwrap();

        let seen = read(&root, false).unwrap();
        assert!(seen >= last, "{seen} < {last}");
        // A fresh process commits what was prepared, from the ledger alone.
        let sink = build("parquet", folder.path(), json!({}));
        let (n, staged): (i64, Vec<Committable>) =
            serde_json::from_slice(&std::fs::read(&ledger).unwrap()).unwrap();
        let txn = TxnId(format!("txn-{n}"));
        let receipt = sink.commit(&context(), &txn, &staged).await.unwrap();
        assert_eq!(receipt, sink.commit(&context(), &txn, &staged).await.unwrap());
        // What was staged for the next epoch was not prepared.
        sink.abort(&context(), &TxnId(format!("txn-{}", n + 1))).await.unwrap();
        assert_eq!(read(&root, false), Some(n));
        assert_eq!(std::fs::read_dir(root.join("staging")).unwrap().count(), 0);
        assert!(std::fs::read_dir(root.join("epochs")).unwrap().count() <= 3);
        last = n;
    }
}

#[tokio::test]
async fn child_that_publishes() {
    let Some(folder) = std::env::var_os("TL_CHILD") else { return };
    let folder = Path::new(&folder);
    let sink = build("parquet", folder, json!({}));
    let mut n = read(&folder.join("out"), false).unwrap_or(0);
    loop {
        n += 1;
        let (txn, staged) = stage_all(&sink, n).await;
        // The ledger: prepared by one rename.
        std::fs::write(folder.join("part"), serde_json::to_vec(&(n, &staged)).unwrap()).unwrap();
        std::fs::rename(folder.join("part"), folder.join("ledger.json")).unwrap();
        sink.commit(&context(), &txn, &staged).await.unwrap();
        println!("published {n}");
        std::io::stdout().flush().unwrap();
    }
}
