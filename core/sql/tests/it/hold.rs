//! What a step leaves for the steps that follow: few rows in memory, more in files, the same rows either way.

use std::sync::Arc;

use arrow::array::Int64Array;
use throughline_sql::{HELD_BYTES, LocalEngine, LocalOptions, SqlEngine, TableRef};

use crate::{Lab, batch, files_in, lab};

fn lab_that_holds(held_bytes: usize) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let spill_dir = dir.path().join("spill");
    let engine =
        LocalEngine::new(LocalOptions { memory_bytes: 256 << 20, spill_dir, threads: 2, held_bytes })
            .unwrap();
    Lab { dir, engine }
}

/// Two files, so that two streams come out of a scan.
async fn numbers(lab: &Lab, first: i64, second: i64) {
    let rows = |from: i64, to: i64| batch(vec![("n", Arc::new(Int64Array::from_iter_values(from..to)))]);
    let (a, b) = (rows(0, first), rows(first, first + second));
    let files = vec![lab.file("a.parquet", &a), lab.file("b.parquet", &b)];
    lab.engine.bind("numbers", &TableRef::Parquet { files, schema: a.schema() }).await.unwrap();
}

const SELECT: &str = "SELECT n, CAST(n AS VARCHAR) AS word FROM numbers";

/// How many rows are in memory, how many files there are, and whether every number is there once.
async fn held(lab: &Lab, rows: i64) -> (usize, usize) {
    let folder = lab.path("held");
    let table = lab.engine.hold("held", SELECT, &[], &folder).await.unwrap();
    lab.engine.bind("held", &table).await.unwrap();
    let told =
        lab.lines("SELECT count(*), count(DISTINCT n), coalesce(sum(n), 0), count(word) FROM held").await;
    assert_eq!(told, [format!("{rows} | {rows} | {} | {rows}", rows * (rows - 1) / 2)]);
    match table {
        TableRef::Rows { batches, .. } => {
            (batches.iter().map(|b| b.num_rows()).sum(), files_in(&folder).len())
        }
        TableRef::Parquet { files, .. } => {
            assert_eq!(files_in(&folder).len(), files.len());
            (0, files.len())
        }
    }
}

#[tokio::test]
async fn few_rows_stay_in_memory() {
    let lab = lab();
    numbers(&lab, 10, 5).await;
    assert_eq!(held(&lab, 15).await, (15, 0));
}

#[tokio::test]
async fn many_rows_go_into_files() {
    let lab = lab();
    numbers(&lab, 200_000, 200_000).await;
    assert_eq!(held(&lab, 400_000).await.0, 0);
}

/// Of two streams one has more than its part of the memory, the other less.
#[tokio::test]
async fn no_row_is_lost_between_memory_and_files() {
    for (first, second) in [(200_000, 3), (3, 200_000), (0, 200_000)] {
        let lab = lab();
        numbers(&lab, first, second).await;
        let (rows, files) = held(&lab, first + second).await;
        assert!(rows == 0 && files >= 1, "{rows} in memory, {files} files");
    }
}

#[tokio::test]
async fn who_wants_to_look_gets_files_of_all() {
    for rows in [0, 3] {
        let lab = lab_that_holds(0);
        numbers(&lab, rows, 0).await;
        let (in_memory, files) = held(&lab, rows).await;
        assert!(in_memory == 0 && files >= 1, "{rows}: {in_memory} in memory, {files} files");
    }
}

#[tokio::test]
async fn what_fails_leaves_no_folder() {
    for held_bytes in [0, HELD_BYTES] {
        let lab = lab_that_holds(held_bytes);
        numbers(&lab, 3, 0).await;
        let error = lab
            .engine
            .hold("bad", "SELECT 1 / n AS x FROM numbers", &[], &lab.path("bad"))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("division by zero") && error.to_string().contains("bad"),
            "{error}"
        );
        assert!(!lab.path("bad").exists());
    }
}
