//! What others see of a bucket: a reader in the middle of epochs, and DuckDB by the README's words.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use serde_json::json;

use super::{Lake, servers};
use crate::connector;
use crate::suite::{epoch, rows, table};

/// Resolves `current.json` once and reads all that it names: never a mixture, never a file that is gone, never back.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_reader_always_sees_one_whole_epoch() {
    let Some(lake) = Lake::s3("parquet") else { return };
    let (lake, stop) = (Arc::new(lake), Arc::new(AtomicBool::new(false)));
    let reader = std::thread::spawn({
        let (lake, stop) = (lake.clone(), stop.clone());
        move || {
            let (mut seen, mut last) = (0, 0);
            while !stop.load(Ordering::SeqCst) {
                let Some(current) = lake.current() else { continue };
                let number = current["number"].as_i64().unwrap();
                for name in ["a", "b"] {
                    let file = current["tables"][name]["files"][0].as_str().unwrap();
                    let found = super::parquet_rows(
                        lake.get(file).expect("a file that readers are sent to"),
                        &["id"],
                    );
                    assert_eq!(found, vec![vec![number.to_string()]; 20], "{name} in epoch {number}");
                }
                assert!(number >= last, "never back");
                (seen, last) = (seen + 1, number);
            }
            seen
        }
    });
    let sink = lake.with(&json!({"keep_epochs": 3}));
    for n in 1..=12 {
        let of = rows(&[(n, Some("x"), 1); 20]);
        let tables = ["a", "b"].map(|name| (table(name, &[], &of), vec![of.clone()]));
        epoch(&sink, &format!("t{n}"), &tables).await;
        assert_eq!(lake.current().unwrap()["number"], n);
    }
    stop.store(true, Ordering::SeqCst);
    assert!(reader.join().unwrap() > 0);
    assert_eq!(lake.names("commits").len(), 3);
}

/// The README's words, run by a program of others on what the sink wrote: days in folders, thirty tables.
#[tokio::test]
async fn duckdb_reads_it_as_the_readme_says() {
    let Some(lake) = Lake::s3("parquet") else { return };
    let of = rows(&[(1, Some("a"), 20_000), (2, None, 20_001), (2, None, 20_001)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("channel_id", of.column(0).clone()),
        ("net", Arc::new(Int64Array::from(vec![5, 7, i64::from(i32::MAX)]))),
        ("date", of.column(2).clone()),
    ];
    let of = RecordBatch::try_from_iter(columns).unwrap();
    let mut tables = vec![(table("channel_daily", &[], &of), vec![of.clone()])];
    tables.extend((0..30).map(|i| (table(&format!("table_{i}"), &[], &of), vec![of.slice(0, i % 3)])));
    epoch(&lake.with(&json!({"partition": true})), "t1", &tables).await;

    let readme = connector("parquet").readme().to_owned();
    let sql = readme.split("```sql").nth(1).unwrap().split("```").next().unwrap();
    let place = lake.options["path"].as_str().unwrap();
    let port = servers::moto().unwrap().port;
    let sql = sql.replace("s3://shop-lake/marketing", place).replace(
        "REGION 'eu-central-1'",
        &format!("REGION 'us-east-1', ENDPOINT '127.0.0.1:{port}', URL_STYLE 'path', USE_SSL false"),
    );
    let program = "
import glob, os, sys
try:
    import duckdb, duckdb_extension_httpfs as httpfs
except ImportError:
    print('missing')
    sys.exit()
found = glob.glob(os.path.dirname(httpfs.__file__) + '/extensions/*/httpfs.duckdb_extension')
database = duckdb.connect()
database.execute(f\"LOAD '{found[0]}'\")
print(database.execute(sys.argv[1]).fetchall())
print(database.execute(\"SELECT date::text, count(*) FROM read_parquet(getvariable('tables').channel_daily.files, \"
    \"hive_partitioning = true) GROUP BY 1 ORDER BY 1\").fetchall())
print(database.execute(\"SELECT count(*) FROM read_parquet(getvariable('tables').table_0.path || '/*/*.parquet')\").fetchall())
";
    let python = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/moto-venv/bin/python");
    let output = Command::new(python).args(["-c", program, &sql]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if said.trim() == "missing" {
        eprintln!("SKIPPED: DuckDB's httpfs is not installed (sh tools/object-stores.sh)");
        return;
    }
    assert!(output.status.success(), "{}\n{sql}", String::from_utf8_lossy(&output.stderr));
    let expected = "[(1, 5), (2, 2147483654)]\n[('2024-10-04', 1), ('2024-10-05', 2)]\n[(0,)]\n";
    assert_eq!(said, expected);
}
