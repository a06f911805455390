//! Files under a table's schema: missing columns, narrower types, and statistics of all that.

use std::sync::Arc;

use arrow::array::{BooleanArray, Decimal128Array, Int32Array, Int64Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, TimeUnit};
use throughline_sql::{SqlEngine, TableRef};

use crate::{batch, lab, lines, schema};

fn utf8(name: &str) -> Field {
    Field::new(name, DataType::Utf8, true)
}

#[tokio::test]
async fn a_text_column_reads_integers_decimals_and_booleans_of_older_files() {
    let lab = lab();
    let decimals = Decimal128Array::from(vec![12_500_000_000, -1, 7_000_000_000])
        .with_precision_and_scale(38, 9)
        .unwrap();
    let files = vec![
        lab.file(
            "1.parquet",
            &batch(vec![("id", Arc::new(Int64Array::from(vec![Some(9), None, Some(200)])))]),
        ),
        lab.file(
            "2.parquet",
            &batch(vec![("id", Arc::new(decimals)), ("x", Arc::new(Int64Array::from(vec![1, 2, 3])))]),
        ),
        lab.file("3.parquet", &batch(vec![("id", Arc::new(StringArray::from(vec!["привет", "مرحبا"])))])),
        lab.file("4.parquet", &batch(vec![("id", Arc::new(UInt64Array::from(vec![u64::MAX])))])),
        lab.file("5.parquet", &batch(vec![("id", Arc::new(BooleanArray::from(vec![true])))])),
        lab.file("6.parquet", &batch(vec![("y", Arc::new(BooleanArray::from(vec![true])))])),
    ];
    let table =
        TableRef::Parquet { files, schema: schema(vec![utf8("id"), Field::new("x", DataType::Int64, true)]) };
    lab.engine.bind("t", &table).await.unwrap();

    assert_eq!(
        lab.lines("SELECT id, x FROM t ORDER BY id NULLS LAST, x").await,
        [
            "-0.000000001 | 2",
            "12.5 | 1",
            "18446744073709551615 | -",
            "200 | -",
            "7 | 3",
            "9 | -",
            "true | -",
            "привет | -",
            "مرحبا | -",
            "- | -",
            "- | -",
        ]
    );
    // Statistics of an integer column must not answer for its text.
    assert_eq!(
        lab.lines("SELECT max(id), min(id), count(id), count(*) FROM t").await,
        ["مرحبا | -0.000000001 | 9 | 11"]
    );
    for (id, found) in
        [("9", "1"), ("200", "1"), ("12.5", "1"), ("12.500000000", "0"), ("привет", "1"), ("true", "1")]
    {
        let select = format!("SELECT count(*) FROM t WHERE id = '{id}'");
        assert_eq!(lab.lines(&select).await, [found], "{id}");
    }
    // '5' lies between the integers 9 and 200 only as a number, '1000' only as text.
    assert_eq!(
        lab.lines("SELECT id FROM t WHERE id > '1' AND id < '3' ORDER BY id").await,
        ["12.5", "18446744073709551615", "200"]
    );
    assert_eq!(lab.lines("SELECT id FROM t WHERE id IN ('7', '9') ORDER BY id").await, ["7", "9"]);
    assert_eq!(lab.lines("SELECT max(id) FROM t WHERE x IS NULL AND id < 'a'").await, ["9"]);
    assert_eq!(lab.lines("SELECT id FROM t WHERE id LIKE '2%'").await, ["200"]);
}

#[tokio::test]
async fn integers_and_decimals_of_one_column_are_one_decimal_column() {
    let lab = lab();
    let decimals = Decimal128Array::from(vec![1_500_000_000]).with_precision_and_scale(38, 9).unwrap();
    let files = vec![
        lab.file("1.parquet", &batch(vec![("v", Arc::new(Int64Array::from(vec![i64::MAX, -3])))])),
        lab.file("2.parquet", &batch(vec![("v", Arc::new(decimals))])),
        lab.file("3.parquet", &batch(vec![("v", Arc::new(Int32Array::from(vec![5])))])),
    ];
    let wide = TableRef::Parquet {
        files: files.clone(),
        schema: schema(vec![Field::new("v", DataType::Decimal128(38, 9), true)]),
    };
    lab.engine.bind("t", &wide).await.unwrap();
    assert_eq!(
        lab.lines("SELECT decimal_text(v) FROM t ORDER BY v").await,
        ["-3", "1.5", "5", "9223372036854775807"]
    );
    assert_eq!(
        lab.lines("SELECT decimal_text(max(v)), decimal_text(min(v)) FROM t").await,
        ["9223372036854775807 | -3"]
    );
    assert_eq!(lab.lines("SELECT count(*) FROM t WHERE v > 2").await, ["2"]);

    // The other way round something would be lost: refused, not cut.
    let narrow = TableRef::Parquet { files, schema: schema(vec![Field::new("v", DataType::Int64, true)]) };
    lab.engine.bind("n", &narrow).await.unwrap();
    let refused = lab.read("SELECT v FROM n", &[]).await.unwrap_err();
    assert!(refused.to_string().contains("would lose something"), "{refused}");
}

#[tokio::test]
async fn no_files_are_an_empty_table_and_odd_paths_are_found() {
    let lab = lab();
    let columns = schema(vec![
        Field::new("ym:s:visitID", DataType::UInt64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("tags", DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))), true),
    ]);
    lab.engine.bind("empty", &TableRef::Parquet { files: vec![], schema: columns.clone() }).await.unwrap();
    assert_eq!(lab.engine.scalar_i64("SELECT count(*) FROM empty").await.unwrap(), 0);

    std::fs::create_dir(lab.path("папка [1] *%20 x")).unwrap();
    let file = lab.file(
        "папка [1] *%20 x/part-0.parquet",
        &batch(vec![("ym:s:visitID", Arc::new(UInt64Array::from(vec![7])))]),
    );
    lab.engine.bind("visits", &TableRef::Parquet { files: vec![file], schema: columns }).await.unwrap();
    assert_eq!(lab.lines("SELECT \"ym:s:visitID\", at, tags FROM visits").await, ["7 | - | -"]);
    assert_eq!(lab.lines("SELECT v.\"ym:s:visitID\" FROM VISITS AS v").await, ["7"]);
}

#[tokio::test]
async fn a_table_bound_again_replaces_the_old_one_and_views_take_parameters() {
    let lab = lab();
    lab.rows("t", batch(vec![("a", Arc::new(Int64Array::from(vec![1, 2, 3])))])).await;
    let params = [("least".to_string(), throughline_core::Param::Int(2))];
    lab.engine.bind_view("v", "SELECT a, a * 10 AS b FROM t WHERE a >= $least", &params).await.unwrap();
    assert_eq!(lab.lines("SELECT b FROM v ORDER BY b").await, ["20", "30"]);
    lab.rows("t", batch(vec![("a", Arc::new(Int64Array::from(vec![50])))])).await;
    assert_eq!(lab.lines("SELECT a FROM t").await, ["50"]);
    lab.engine.bind_view("v", "SELECT 1 AS one", &[]).await.unwrap();
    assert_eq!(lines(&lab.read("SELECT * FROM v", &[]).await.unwrap()), ["1"]);
}

#[tokio::test]
async fn a_file_that_is_gone_or_broken_is_an_error() {
    let lab = lab();
    let columns = schema(vec![utf8("a")]);
    let gone = TableRef::Parquet { files: vec![lab.path("gone.parquet")], schema: columns.clone() };
    let e = lab.engine.bind("gone", &gone).await.unwrap_err();
    assert!(e.to_string().contains("gone.parquet"), "{e}");
    std::fs::write(lab.path("none.parquet"), "").unwrap();
    let none = TableRef::Parquet { files: vec![lab.path("none.parquet")], schema: columns.clone() };
    assert!(lab.engine.bind("none", &none).await.unwrap_err().to_string().contains("too short"));

    let whole = lab.file("cut.parquet", &batch(vec![("a", Arc::new(StringArray::from(vec!["x"; 500])))]));
    let bytes = std::fs::read(&whole).unwrap();
    std::fs::write(&whole, &bytes[..bytes.len() / 2]).unwrap();
    lab.engine.bind("cut", &TableRef::Parquet { files: vec![whole], schema: columns }).await.unwrap();
    let e = lab.read("SELECT a FROM cut", &[]).await.unwrap_err();
    assert!(e.to_string().contains("Parquet"), "{e}");
}
