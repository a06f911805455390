//! What a person sees of wrong SQL.

use std::sync::Arc;

use arrow::array::{Int64Array, StringArray};
use throughline_core::{Error, ErrorKind};
use throughline_sql::{SqlEngine, check_syntax};

use crate::{Lab, batch, lab};

async fn deals() -> Lab {
    let lab = lab();
    let ids = Arc::new(Int64Array::from(vec![1]));
    let names = Arc::new(StringArray::from(vec!["x"]));
    lab.rows("deals", batch(vec![("id", ids), ("state", names.clone()), ("Цена", names)])).await;
    lab
}

fn place(e: &Error) -> (usize, usize) {
    let of = |key| e.context().iter().find(|(k, _)| *k == key).map_or(0, |(_, v)| v.parse().unwrap());
    (of("sql_line"), of("sql_column"))
}

#[tokio::test]
async fn planning_errors_say_what_where_and_what_to_do() {
    let lab = deals().await;
    for (sql, line, column, says) in [
        (
            "SELECT id,\n  stat FROM deals",
            2,
            3,
            &[
                "column \"stat\" does not exist",
                "did you mean \"state\"?",
                "valid columns are id, state, Цена",
            ][..],
        ),
        ("SELECT 'ж', d.nope FROM deals d", 1, 13, &["column \"d.nope\" does not exist", "valid columns"]),
        ("SELECT id FROM deals WHERE stte = 'x'", 1, 28, &["column \"stte\"", "\"state\""]),
        ("SELECT Цена FROM deals", 0, 0, &[]),
        (
            "SELECT id FROM dealz",
            1,
            16,
            &["table \"dealz\" does not exist", "did you mean \"deals\"?", "there are deals"],
        ),
        ("SELECT uper(state) FROM deals", 1, 8, &["function \"uper\" does not exist", "upper"]),
        (
            "SELECT id FROM deals d JOIN deals e ON d.id = e.id",
            1,
            8,
            &["column \"id\" is in more than one table"],
        ),
        ("SELECT id FRM deals", 1, 15, &["SQL: "]),
        ("SELECT 'open FROM deals", 1, 8, &["SQL: unterminated string"]),
        ("SELECT id FROM deals WHERE", 1, 27, &["SQL: expected: an expression, found: EOF"]),
        ("SELECT state + 1 FROM deals", 0, 0, &[]),
        ("SELECT max(id), state FROM deals", 0, 0, &["state"]),
        (
            "SELECT id FROM deals UNION ALL SELECT id, state FROM deals",
            0,
            0,
            &["different number of columns"],
        ),
    ] {
        match lab.engine.describe(sql, &[]).await {
            Ok(schema) => assert!(says.is_empty(), "{sql}: {schema:?}"),
            Err(e) => {
                eprintln!("{sql:?}\n    {e}");
                assert_eq!(e.kind(), ErrorKind::Config, "{sql}: {e}");
                for part in says {
                    assert!(e.to_string().contains(part), "{sql}: {e}");
                }
                if line > 0 {
                    assert_eq!(place(&e), (line, column), "{sql}: {e}");
                }
                assert!(!e.to_string().contains("Error during planning"), "{e}");
            }
        }
    }
}

#[tokio::test]
async fn only_one_select_is_taken() {
    let lab = deals().await;
    for sql in [
        "",
        "-- nothing",
        "SELECT 1; SELECT 2",
        "DROP TABLE deals",
        "CREATE TABLE x AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc'",
        "COPY deals TO '/tmp/throughline-must-not-exist.parquet'",
        "INSERT INTO deals VALUES (1)",
        "DELETE FROM deals",
        "SET datafusion.execution.batch_size = 1",
        "EXPLAIN SELECT 1",
        "SHOW TABLES",
        "SELECT id INTO x FROM deals",
        "WITH x AS (INSERT INTO deals VALUES (1)) SELECT * FROM x",
        "SELECT * FROM (DELETE FROM deals) x",
        "BEGIN",
    ] {
        let e = check_syntax(sql).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Config, "{sql}: {e}");
        assert!(lab.engine.read(sql, &[]).await.is_err(), "{sql}");
        assert!(lab.engine.bind_view("v", sql, &[]).await.is_err(), "{sql}");
    }
    let second = check_syntax("SELECT 1;\n\n  SELECT 2").unwrap_err();
    assert_eq!(place(&second), (3, 3), "{second}");
    // No SELECT reads files that nobody bound.
    std::fs::write(lab.path("secret.csv"), "a\n1\n").unwrap();
    let sql = format!("SELECT * FROM '{}'", lab.path("secret.csv").display());
    assert!(lab.engine.read(&sql, &[]).await.is_err());
}

#[tokio::test]
async fn errors_while_rows_flow_are_about_data() {
    let lab = lab();
    lab.rows("t", batch(vec![("a", Arc::new(StringArray::from(vec!["1", "two"])))])).await;
    let e = lab.read("SELECT CAST(a AS BIGINT) FROM t", &[]).await.unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Data);
    assert!(e.to_string().contains("two"), "{e}");
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    let e = check_syntax(&deep).unwrap_err();
    assert!(e.to_string().contains("nested too deeply"), "{e}");
}
