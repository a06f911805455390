//! Stores that answer slowly, wrongly or not at all, and processes that are killed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use throughline_core::{Committable, DynSink, ErrorKind, TxnId};

use super::proxy::Fault;
use super::{Lake, SECRET};
use crate::suite::{COLUMNS, Subject as _, epoch, rows, stage, table};
use crate::{context, try_build};

type Tables = Vec<(throughline_core::Table, Vec<arrow::array::RecordBatch>)>;

/// Two tables whose rows hold the number of their epoch.
fn tables(n: i64) -> Tables {
    let of = rows(&(0..50).map(|i| (i, Some("x"), i32::try_from(n).unwrap())).collect::<Vec<_>>());
    vec![(table("a", &["id"], &of), vec![of.clone()]), (table("b", &[], &of), vec![of])]
}

fn day(n: i64) -> String {
    chrono::DateTime::from_timestamp(n * 86_400, 0).unwrap().date_naive().to_string()
}

/// The epoch that a reader sees, whole; `None` before the first.
fn seen(lake: &Lake) -> Option<String> {
    let mut days: Vec<String> = Vec::new();
    for name in ["a", "b"] {
        let rows = lake.read(name, &["date"])?;
        assert_eq!(rows.len(), 50);
        days.extend(rows.into_iter().flatten());
    }
    days.dedup();
    assert_eq!(days.len(), 1, "a mixture of two epochs");
    days.pop()
}

/// Each passes: by the client's own tries, or by looking up what became of it.
#[tokio::test]
async fn what_passes_is_waited_for_and_nothing_is_there_twice() {
    let Some(lake) = Lake::s3("parquet") else { return };
    epoch(&lake.sink(), "t0", &tables(0)).await;
    let faults: [(&'static str, &str, Fault); 13] = [
        ("PUT", "/data/", Fault::Answer(503, "SlowDown")),
        ("PUT", "/data/", Fault::Answer(429, "TooManyRequests")),
        ("PUT", "/data/", Fault::Cut),
        ("PUT", "/data/", Fault::DoAndCut),
        ("GET", "list-type=2", Fault::Answer(500, "InternalError")),
        ("POST", "?delete", Fault::DoAndCut),
        ("PUT", "/commits/", Fault::Answer(503, "SlowDown")),
        ("PUT", "/commits/", Fault::DoAndAnswer(500, "InternalError")),
        ("PUT", "/commits/", Fault::Cut),
        ("PUT", "/commits/", Fault::DoAndCut),
        ("PUT", "/commits/", Fault::Answer(409, "ConditionalRequestConflict")),
        ("PUT", "/commits/", Fault::DoAndAnswer(412, "PreconditionFailed")),
        ("PUT", "/current.json", Fault::DoAndAnswer(500, "InternalError")),
    ];
    for (n, (method, part, fault)) in (1..).zip(faults) {
        // Deleting begins with the third epoch.
        lake.proxy().fault(method, part, 1, fault.clone());
        let what = format!("{method} {part} {fault:?}");
        let sink = lake.with(&json!({"keep_epochs": 2}));
        let txn = TxnId(format!("t{n}"));
        let staged = stage(&sink, &txn.0, &tables(n)).await;
        assert_eq!(seen(&lake), Some(day(n - 1)), "{what}: staging is invisible");
        if sink.commit(&context(), &txn, &staged).await.is_err() {
            // The engine commits again in the next run.
            lake.with(&json!({"keep_epochs": 2})).commit(&context(), &txn, &staged).await.expect(&what);
        }
        assert_eq!(seen(&lake), Some(day(n)), "{what}");
        let numbers: Vec<Value> = lake
            .names("commits")
            .iter()
            .map(|name| serde_json::from_slice::<Value>(&lake.get(name).unwrap()).unwrap()["number"].clone())
            .collect();
        assert_eq!(numbers.last().and_then(Value::as_i64), Some(n + 1), "{what}: {numbers:?}");
        assert!(numbers.len() <= 3, "{what}: {numbers:?}");
        if part != "?delete" || n > 2 {
            assert_eq!(lake.proxy().mend(), 0, "{what}: the fault was met");
        }
    }
}

#[tokio::test]
async fn what_does_not_pass_is_told_without_secrets_and_readers_keep_what_they_had() {
    let Some(lake) = Lake::s3("parquet") else { return };
    epoch(&lake.sink(), "t0", &tables(0)).await;
    let txn = TxnId("t1".into());
    lake.proxy().fault("PUT", "/data/", 100, Fault::Answer(403, "AccessDenied"));
    let (about, batches) = tables(1).remove(0);
    let error = lake.sink().stage(&context(), &about, crate::stream(batches), &txn).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    let said = format!("{error:?}");
    assert!(
        said.contains("AccessDenied") && said.contains("/data/t1/a-") && said.contains("table: a"),
        "{said}"
    );
    assert!(!said.contains(SECRET), "{said}");
    let error = lake.sink().check(&context()).await;
    assert!(error.is_ok(), "only data is refused: {error:?}");
    lake.proxy().mend();

    let staged = stage(&lake.sink(), "t1", &tables(1)).await;
    lake.proxy().fault("PUT", "/commits/", 100, Fault::Answer(403, "AccessDenied"));
    let error = lake.sink().commit(&context(), &txn, &staged).await.unwrap_err();
    assert_eq!((error.kind(), seen(&lake)), (ErrorKind::Auth, Some(day(0))), "{error}");
    lake.proxy().mend();

    // A bucket that is not there.
    let mut options = lake.options.clone();
    options["path"] = json!("s3://no-such-bucket/shop");
    let sink = try_build("parquet", Path::new("/"), options.clone()).unwrap();
    let error = sink.check(&context()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("NoSuchBucket"), "{error}");
    lake.sink().commit(&context(), &txn, &staged).await.unwrap();
    assert_eq!(seen(&lake), Some(day(1)));
}

/// A large table goes in parts; what a stopped or failed upload began is given up.
#[tokio::test]
async fn a_large_table_goes_in_parts() {
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    let Some(lake) = Lake::s3("parquet") else { return };
    let schema = std::sync::Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]));
    // Numbers that no encoding makes smaller: 11 MB.
    let batch = |b: i64| {
        let ids = (0..100_000).map(|i| (b * 100_000 + i).wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64));
        RecordBatch::try_new(schema.clone(), vec![std::sync::Arc::new(Int64Array::from_iter_values(ids))])
            .unwrap()
    };
    let about = throughline_core::Table { partition_by: None, ..table("big", &["id"], &batch(0)) };
    let sink = lake.with(&json!({"row_group_rows": 100_000, "compression": "none"}));
    lake.proxy().fault("PUT", "partNumber=2", 1, Fault::Answer(503, "SlowDown"));
    lake.proxy().fault("POST", "uploadId=", 1, Fault::DoAndAnswer(500, "InternalError"));
    epoch(&sink, "t1", &[(about.clone(), (0..14).map(batch).collect())]).await;
    assert_eq!(lake.proxy().mend(), 0);
    let parts = lake.proxy().seen().iter().filter(|s| s.contains("partNumber=")).count();
    assert!(parts >= 3, "{parts}");
    let ids = lake.read("big", &["id"]).unwrap();
    assert_eq!(ids.len(), 1_400_000);

    lake.proxy().fault("PUT", "partNumber=2", 100, Fault::Answer(403, "AccessDenied"));
    let rows = crate::stream((0..14).map(batch).collect());
    let error = sink.stage(&context(), &about, rows, &TxnId("t2".into())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    let given_up =
        lake.proxy().seen().iter().filter(|s| s.starts_with("DELETE") && s.contains("uploadId=")).count();
    assert_eq!(given_up, 1);
    sink.abort(&context(), &TxnId("t2".into())).await.unwrap();
    assert_eq!(lake.staged(), 0);
}

/// The test binary again, publishing without end until it is killed.
fn publisher(folder: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "buckets::faults::child_that_publishes", "--nocapture", "--test-threads=1"])
        .env("TL_BUCKET_CHILD", folder)
        .stdout(std::process::Stdio::piped());
    command
}

fn sink_of(folder: &Path) -> DynSink {
    let options = serde_json::from_slice(&std::fs::read(folder.join("options.json")).unwrap()).unwrap();
    try_build("parquet", folder, options).unwrap()
}

/// Between stage and commit, right after the deciding put, in the middle of deleting: wherever it hits.
#[tokio::test]
async fn killed_at_any_moment_it_goes_on_from_there() {
    let Some(lake) = Lake::s3("parquet") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("options.json"), lake.options.to_string()).unwrap();
    let mut last = 0;
    for round in 0..8_u64 {
        std::fs::write(folder.path().join("last"), last.to_string()).unwrap();
        let mut child = publisher(folder.path()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while !lines.next().unwrap().unwrap().starts_with("published") {}
        std::thread::sleep(std::time::Duration::from_millis(round * 13));
        child.kill().unwrap();
        child.wait().unwrap();

        let sink = sink_of(folder.path());
        let before = seen(&lake).unwrap();
        let (n, staged): (i64, Vec<Committable>) =
            serde_json::from_slice(&std::fs::read(folder.path().join("ledger.json")).unwrap()).unwrap();
        assert!(before == day(n) || before == day(n - 1), "{before} of {n}");
        let txn = TxnId(format!("txn-{n}"));
        let receipt = sink.commit(&context(), &txn, &staged).await.unwrap();
        assert_eq!(receipt, sink.commit(&context(), &txn, &staged).await.unwrap());
        // What was staged for the next epoch was not prepared.
        sink.abort(&context(), &TxnId(format!("txn-{}", n + 1))).await.unwrap();
        assert_eq!(seen(&lake), Some(day(n)));
        assert_eq!(lake.staged(), 0);
        assert!(lake.names("commits").len() <= 3);
        assert!(n > last);
        last = n;
    }
    assert!(lake.read("a", &COLUMNS).is_some());
}

#[tokio::test]
async fn child_that_publishes() {
    let Some(folder) = std::env::var_os("TL_BUCKET_CHILD") else { return };
    let folder = Path::new(&folder);
    let sink = sink_of(folder);
    let mut n: i64 = std::fs::read_to_string(folder.join("last")).unwrap().parse().unwrap();
    loop {
        n += 1;
        let staged = stage(&sink, &format!("txn-{n}"), &tables(n)).await;
        // The ledger: prepared by one rename.
        std::fs::write(folder.join("part"), serde_json::to_vec(&(n, &staged)).unwrap()).unwrap();
        std::fs::rename(folder.join("part"), folder.join("ledger.json")).unwrap();
        sink.commit(&context(), &TxnId(format!("txn-{n}")), &staged).await.unwrap();
        println!("published {n}");
        std::io::stdout().flush().unwrap();
    }
}
