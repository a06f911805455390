//! More rows than memory: sorts, aggregations and joins go through the disk and give the same answer.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, StringArray};
use throughline_core::ErrorKind;
use throughline_sql::{LocalEngine, SqlEngine, TableRef};

use crate::{Lab, batch, lab_with};

const ROWS: i64 = 400_000;

/// 400,000 rows of about 100 bytes in 4 files.
async fn big(lab: &Lab) {
    let mut files = Vec::new();
    let quarter = ROWS / 4;
    for part in 0..4 {
        let numbers = part * quarter..(part + 1) * quarter;
        // Scattered order, every key once.
        let ids: Vec<i64> = numbers.map(|n| n * 7919 % ROWS).collect();
        let texts: Vec<String> = ids.iter().map(|id| format!("{:064}-{id}", id % 1000)).collect();
        let rows = batch(vec![
            ("id", Arc::new(Int64Array::from(ids))),
            ("word", Arc::new(StringArray::from(texts))),
        ]);
        files.push(lab.file(&format!("big-{part}.parquet"), &rows));
        if part == 0 {
            let schema = rows.schema();
            lab.engine.bind("empty", &TableRef::Parquet { files: vec![], schema }).await.unwrap();
        }
    }
    let schema = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![0]))),
        ("word", Arc::new(StringArray::from(vec![""]))),
    ])
    .schema();
    lab.engine.bind("big", &TableRef::Parquet { files, schema }).await.unwrap();
}

async fn step(lab: &Lab, name: &str, select: &str) {
    let written = lab.engine.write(name, select, &[], &lab.path(name)).await.unwrap();
    lab.engine.bind(name, &written.table()).await.unwrap();
}

async fn number(engine: &LocalEngine, select: &str) -> i64 {
    engine.scalar_i64(select).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sort_aggregate_and_join_spill_under_a_tiny_limit() {
    let lab = lab_with(16 << 20, 2);
    big(&lab).await;
    step(&lab, "sorted", "SELECT id, word FROM big ORDER BY word, id").await;
    assert_eq!(number(&lab.engine, "SELECT count(*) FROM sorted").await, ROWS);

    step(&lab, "grouped", "SELECT word, count(*) AS n, max(id) AS top FROM big GROUP BY word").await;
    assert_eq!(number(&lab.engine, "SELECT count(*) FROM grouped").await, ROWS);
    assert_eq!(number(&lab.engine, "SELECT sum(n) FROM grouped").await, ROWS);

    // Neither side fits: a hash join fails, its sorted stand-in does it.
    let join = "SELECT a.id, b.word FROM big a JOIN big b ON a.word = b.word";
    step(&lab, "joined", join).await;
    assert_eq!(number(&lab.engine, "SELECT count(*) FROM joined").await, ROWS);
    assert_eq!(number(&lab.engine, "SELECT sum(id) FROM joined").await, ROWS * (ROWS - 1) / 2);

    let read = "SELECT count(*) FROM big a JOIN big b ON a.word = b.word";
    assert_eq!(number(&lab.engine, read).await, ROWS);

    let windowed = "SELECT id, CAST(row_number() OVER (PARTITION BY id % 1000 ORDER BY word, id) AS BIGINT) AS n FROM big";
    step(&lab, "windowed", windowed).await;
    assert_eq!(number(&lab.engine, "SELECT max(n) FROM windowed").await, ROWS / 1000);

    let left: Vec<_> = walk(&lab.path("spill"));
    assert!(left.is_empty(), "spill files stayed: {left:?}");
}

/// Two inputs of a repartition that spill at once wait for each other for ever in DataFusion 55 (its issue 24883,
/// whose query this is).
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn what_is_parted_between_threads_spills_and_comes_to_an_end() {
    const TRIES: usize = 5;
    const LONG: Duration = Duration::from_secs(60);
    let lab = lab_with(1 << 20, 2);
    let mut files = Vec::new();
    for part in 0..2 {
        let ids: Vec<i64> = (part * 50_000..(part + 1) * 50_000).collect();
        let words: Vec<String> = ids.iter().map(|id| format!("{:064}", id % 3370)).collect();
        let groups = ids.iter().map(|id| id % 13).collect::<Int64Array>();
        let rows = batch(vec![("g", Arc::new(groups)), ("word", Arc::new(StringArray::from(words)))]);
        files.push(lab.file(&format!("words-{part}.parquet"), &rows));
        if part == 1 {
            let schema = rows.schema();
            lab.engine.bind("words", &TableRef::Parquet { files: files.clone(), schema }).await.unwrap();
        }
    }
    for attempt in 0..TRIES {
        let counting = lab.lines("SELECT g, count(DISTINCT word) AS n FROM words GROUP BY g ORDER BY g");
        let counted = tokio::time::timeout(LONG, counting).await;
        let lines = counted.unwrap_or_else(|_| panic!("try {attempt}: nothing after {LONG:?}"));
        assert_eq!(lines.len(), 13, "{lines:?}");
        assert!(lines.iter().all(|line| line.ends_with("| 3370")), "{lines:?}");
    }
}

/// Two sorts a join and a thread: even the first batches of wide rows are more than the limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_many_joins_fits_into_little_memory() {
    let lab = lab_with(32 << 20, 2);
    let rows: Vec<i64> = (0..30_000).collect();
    let texts: Vec<String> = rows.iter().map(|id| format!("{id:0300}")).collect();
    let wide =
        batch(vec![("id", Arc::new(Int64Array::from(rows))), ("word", Arc::new(StringArray::from(texts)))]);
    let files = vec![lab.file("wide.parquet", &wide)];
    lab.engine.bind("wide", &TableRef::Parquet { files, schema: wide.schema() }).await.unwrap();
    let words: Vec<String> = (0..9).map(|n| format!("t{n}.word AS w{n}")).collect();
    let joins: Vec<String> =
        (1..9).map(|n| format!("JOIN wide t{n} ON t{n}.id = (t{}.id * 7) % 30000", n - 1)).collect();
    let select = format!("SELECT t0.id, {} FROM wide t0 {}", words.join(", "), joins.join(" "));
    step(&lab, "many", &select).await;
    let counts = lab.lines("SELECT count(*), count(DISTINCT id), count(DISTINCT w8) FROM many").await;
    assert_eq!(counts, ["30000 | 30000 | 30000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_spill_says_which_setting_helps() {
    let lab = lab_with(2 << 20, 2);
    big(&lab).await;
    let e = lab.read("SELECT array_agg(word) AS all_words FROM big", &[]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Config, "{e}");
    assert!(e.to_string().contains("raise `memory` under [engine]"), "{e}");
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}
