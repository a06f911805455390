//! Writing steps, parameters, and the types that come out.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::DataType;
use throughline_core::Param;
use throughline_sql::{SqlEngine, check_syntax, sql_tables};

use crate::{batch, files_in, lab, lines};

fn text(name: &str, value: Option<&str>) -> (String, Param) {
    (name.into(), Param::Text(value.map(Into::into)))
}

#[tokio::test]
async fn a_step_is_written_once_into_a_fresh_folder_and_reads_back() {
    let lab = lab();
    let names = StringArray::from(vec![Some("Иван"), None, Some("مريم")]);
    lab.rows("t", batch(vec![("id", Arc::new(Int64Array::from(vec![1, 2, 3]))), ("name", Arc::new(names))]))
        .await;
    let select = "SELECT id, upper(name) AS name, arrow_cast(name, 'Utf8View') AS viewed, \
                  arrow_cast(name, 'Dictionary(Int32, Utf8)') AS coded, NULL AS nothing, \
                  row_number() OVER (ORDER BY id) AS n FROM t";
    let folder = lab.path("table/run=1/step=2");
    let written = lab.engine.write("names", select, &[], &folder).await.unwrap();
    assert_eq!(written.rows, 3);
    assert_eq!(files_in(&folder).len(), written.files.len());
    let kinds: Vec<_> = written.schema.fields().iter().map(|f| f.data_type().clone()).collect();
    let utf8 = DataType::Utf8;
    assert_eq!(kinds, [DataType::Int64, utf8.clone(), utf8.clone(), utf8.clone(), utf8, DataType::UInt64]);
    assert_eq!(lab.engine.describe(select, &[]).await.unwrap(), written.schema);

    lab.engine.bind("names", &written.table()).await.unwrap();
    assert_eq!(
        lab.lines("SELECT * FROM names ORDER BY id").await,
        ["1 | ИВАН | Иван | Иван | - | 1", "2 | - | - | - | - | 2", "3 | مريم | مريم | مريم | - | 3"]
    );
    let again = lab.engine.write("names", select, &[], &folder).await.unwrap_err();
    assert!(again.to_string().contains("fresh folder"), "{again}");
    assert_eq!(files_in(&folder).len(), written.files.len());
}

#[tokio::test]
async fn a_step_without_rows_leaves_an_empty_file_with_its_schema() {
    let lab = lab();
    let written = lab
        .engine
        .write("none", "SELECT 1 AS a, 'x' AS b WHERE false", &[], &lab.path("none"))
        .await
        .unwrap();
    assert_eq!((written.rows, written.files.len()), (0, 1));
    lab.engine.bind("none", &written.table()).await.unwrap();
    assert_eq!(lab.engine.scalar_i64("SELECT count(b) FROM none").await.unwrap(), 0);
}

#[tokio::test]
async fn a_step_that_fails_leaves_no_folder() {
    let lab = lab();
    lab.rows("t", batch(vec![("a", Arc::new(Int64Array::from(vec![1, 0])))])).await;
    let e = lab.engine.write("bad", "SELECT 1 / a AS x FROM t", &[], &lab.path("bad")).await.unwrap_err();
    assert!(e.to_string().contains("division by zero") && e.to_string().contains("bad"), "{e}");
    assert!(!lab.path("bad").exists());
}

#[tokio::test]
async fn parameters_have_types_and_may_be_null() {
    let lab = lab();
    let params = [
        text("word", Some("it's; DROP \\ $x \u{0}кот")),
        text("none", None),
        ("n".into(), Param::Int(i64::MIN)),
        ("limit".into(), Param::Int(2)),
        ("yes".into(), Param::Bool(true)),
    ];
    let select = "SELECT $word AS word, $none AS none, upper($none) AS up, coalesce($none, 'z') AS z, $n AS n, $yes AS yes";
    assert_eq!(
        lines(&lab.read(select, &params).await.unwrap()),
        ["it's; DROP \\ $x \u{0}кот | - | - | z | -9223372036854775808 | true"]
    );
    let kinds: Vec<_> = lab
        .engine
        .describe(select, &params)
        .await
        .unwrap()
        .fields()
        .iter()
        .map(|f| f.data_type().clone())
        .collect();
    let utf8 = || DataType::Utf8;
    assert_eq!(kinds, [utf8(), utf8(), utf8(), utf8(), DataType::Int64, DataType::Boolean]);
    let limited = "SELECT x FROM (VALUES (1), (2), (3)) AS v(x) ORDER BY x LIMIT $limit";
    assert_eq!(lines(&lab.read(limited, &params).await.unwrap()), ["1", "2"]);

    let e = lab.read("SELECT\n  $nope", &params).await.unwrap_err();
    assert!(e.to_string().contains("placeholder $nope has no value"), "{e}");
    assert_eq!(e.context(), [("sql_line", "2".to_string()), ("sql_column", "3".to_string())]);
}

#[tokio::test]
async fn one_number_is_one_number() {
    let lab = lab();
    assert_eq!(lab.engine.scalar_i64("SELECT sum(x) FROM (VALUES (1), (41)) AS v(x)").await.unwrap(), 42);
    for wrong in [
        "SELECT 1, 2",
        "SELECT 1 WHERE false",
        "SELECT CAST(NULL AS BIGINT)",
        "SELECT * FROM (VALUES (1), (2)) v",
    ] {
        assert!(lab.engine.scalar_i64(wrong).await.is_err(), "{wrong}");
    }
}

#[test]
fn the_tables_of_a_select_are_known_without_any() {
    let sql = "WITH a AS (SELECT * FROM Leads), b AS (SELECT * FROM a JOIN \"Deals\" d ON true) \
               SELECT *, (SELECT max(x) FROM costs) FROM b WHERE EXISTS (SELECT 1 FROM leads)";
    assert_eq!(sql_tables(sql).unwrap(), ["Deals", "costs", "leads"]);
    assert_eq!(sql_tables("SELECT 1").unwrap(), [""; 0]);
    check_syntax("SELECT unnest(a) FROM t -- a comment; with a semicolon").unwrap();
    check_syntax("SELECT 1;").unwrap();
}
