//! Window functions over whole groups: the same numbers however rows are cut into batches.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::TryStreamExt;
use throughline_sql::{LocalEngine, LocalOptions, SqlEngine, TableRef};

/// Groups of 1, 2, ... rows, some larger than a batch, and rows without a group.
fn table(batch_rows: usize) -> TableRef {
    let mut groups: Vec<Option<i64>> = vec![None; 700];
    for (group, size) in [1, 2, 511, 512, 513, 1, 3000, 1, 1].into_iter().enumerate() {
        groups.extend(std::iter::repeat_n(Some(group as i64), size));
    }
    groups.extend((100..600).map(Some));
    let values: Vec<i64> = (0..groups.len() as i64).collect();
    let schema = Arc::new(Schema::new(vec![
        Field::new("g", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
    ]));
    let batches = groups
        .chunks(batch_rows)
        .zip(values.chunks(batch_rows))
        .map(|(g, v)| {
            let columns: Vec<arrow::array::ArrayRef> =
                vec![Arc::new(Int64Array::from(g.to_vec())), Arc::new(Int64Array::from(v.to_vec()))];
            RecordBatch::try_new(schema.clone(), columns).unwrap()
        })
        .collect();
    TableRef::Rows { schema, batches }
}

#[tokio::test]
async fn each_group_is_whole() {
    for (batch_rows, threads, memory_bytes) in [(64, 1, 8 << 20), (512, 2, 64 << 20), (100_000, 3, 64 << 20)]
    {
        let folder = tempfile::tempdir().unwrap();
        let engine = LocalEngine::new(LocalOptions {
            memory_bytes,
            spill_dir: folder.path().join("spill"),
            threads,
            held_bytes: 0,
        })
        .unwrap();
        engine.bind("t", &table(batch_rows)).await.unwrap();
        // Two functions of one window, and one over two columns.
        let select = "SELECT w.v, w.n, w.total, w.again, e.n AS want_n, e.total AS want_total FROM (\
            SELECT g, v, count(*) OVER (PARTITION BY g) AS n, sum(v) OVER (PARTITION BY g) AS total, \
                   count(*) OVER (PARTITION BY g, v) AS again FROM t) AS w \
            JOIN (SELECT g, count(*) AS n, sum(v) AS total FROM t GROUP BY g) AS e \
              ON e.g = w.g OR (e.g IS NULL AND w.g IS NULL)";
        let rows: Vec<RecordBatch> = engine.read(select, &[]).await.unwrap().try_collect().await.unwrap();
        let mut seen = vec![false; 700 + 4542 + 500];
        for batch in &rows {
            let column = |at: usize| batch.column(at).as_primitive::<Int64Type>();
            for row in 0..batch.num_rows() {
                assert_eq!(column(1).value(row), column(4).value(row));
                assert_eq!(column(2).value(row), column(5).value(row));
                assert_eq!(column(3).value(row), 1);
                assert!(!column(5).is_null(row));
                assert!(
                    !std::mem::replace(&mut seen[column(0).value(row) as usize], true),
                    "a row came twice"
                );
            }
        }
        assert!(seen.into_iter().all(|there| there), "a row is missing");
    }
}

#[tokio::test]
async fn no_rows_and_no_groups() {
    let folder = tempfile::tempdir().unwrap();
    let engine = LocalEngine::new(LocalOptions {
        memory_bytes: 64 << 20,
        spill_dir: folder.path().join("spill"),
        threads: 2,
        held_bytes: 0,
    })
    .unwrap();
    engine.bind("t", &table(64)).await.unwrap();
    let none = "SELECT count(n) FROM (SELECT count(*) OVER (PARTITION BY g) AS n FROM t WHERE v < 0)";
    assert_eq!(engine.scalar_i64(none).await.unwrap(), 0);
    let all = "SELECT max(n) FROM (SELECT count(*) OVER () AS n FROM t)";
    assert_eq!(engine.scalar_i64(all).await.unwrap(), 700 + 4542 + 500);
}
