//! What values land as, what `check` and `discover` tell, and what is refused.

use serde_json::{Value, json};
use throughline_connectors::sql::SqlConnector;
use throughline_core::{ColumnType, ErrorKind, SourceConnector as _};

use super::{Db, NOW, all};
use crate::support::{Landing, World, map, readme_options, spec};

/// A column, its text, and what lands.
type Case = (&'static str, &'static str, &'static str);

const POSTGRESQL: &[Case] = &[
    ("i", "'-9223372036854775808'::bigint", "-9223372036854775808"),
    ("num", "12345678901234567890.123456789::numeric", "12345678901234567890.123456789"),
    ("finer", "0.00000000001::numeric", "0.00000000001"),
    ("nan", "'NaN'::numeric", "NaN"),
    ("f", "0.1::float8", "0.1"),
    ("b", "true", "true"),
    ("tz", "'2026-03-29 02:30:00.123456+03'::timestamptz", "2026-03-28T23:30:00.123456Z"),
    ("local", "'2026-09-01 10:00:00'::timestamp", "2026-09-01T10:00:00Z"),
    ("inf", "'infinity'::timestamptz", "infinity"),
    ("d", "'2026-09-01'::date", "2026-09-01"),
    ("doc", "'{\"b\": 1, \"a\": [null]}'::json", "{\"b\": 1, \"a\": [null]}"),
    ("list", "array['a,b', null, 'привет']", "[\"a,b\",null,\"привет\"]"),
    ("nums", "array[[1,2],[3,4]]", "[[1,2],[3,4]]"),
    ("id", "'7d444840-9dc0-11d1-b245-5ffdce74fad2'::uuid", "7d444840-9dc0-11d1-b245-5ffdce74fad2"),
    ("bytes", "'\\x00ff'::bytea", "00ff"),
    ("money", "'-12.50'::money", "-12.500000000"),
    ("word", "E'tab\\t \"quote\" \\\\ مرحبا'", "tab\t \"quote\" \\ مرحبا"),
    ("nothing", "NULL::int", "NULL"),
];

const MYSQL: &[Case] = &[
    ("i", "CAST(18446744073709551615 AS UNSIGNED)", "18446744073709551615"),
    ("num", "CAST('12345678901234567890.123456789' AS DECIMAL(38,9))", "12345678901234567890.123456789"),
    ("finer", "CAST('0.00000000001' AS DECIMAL(30,11))", "0.00000000001"),
    ("f", "CAST(0.1 AS DOUBLE)", "0.1"),
    ("single", "(SELECT v FROM floats)", "16777216.0"),
    ("flag", "(SELECT flag FROM floats)", "1"),
    ("zero", "(SELECT day FROM floats)", "NULL"),
    ("bits", "(SELECT bits FROM floats)", "5"),
    ("stamp", "(SELECT at FROM floats)", "2026-09-01T10:00:00Z"),
    ("local", "CAST('2026-09-01 10:00:00.25' AS DATETIME(6))", "2026-09-01T10:00:00.250Z"),
    ("d", "CAST('2026-09-01' AS DATE)", "2026-09-01"),
    ("doc", "'{\"b\": 1, \"a\": [null]}'", "{\"b\": 1, \"a\": [null]}"),
    ("bytes", "X'00ff'", "00ff"),
    ("word", "'tab\\t \"quote\" \\\\ مرحبا 😀'", "tab\t \"quote\" \\ مرحبا 😀"),
    ("nothing", "NULL", "NULL"),
];

#[tokio::test]
async fn values_land_exactly() {
    for db in all() {
        let world = World::at(NOW);
        let cases = if let Db::Mysql(_) = db {
            db.query(
                "SET sql_mode = ''; CREATE TABLE floats (v float, flag tinyint(1), day date, bits bit(8), at timestamp); \
                 SET time_zone = '+03:00'; \
                 INSERT INTO floats VALUES (16777216, 1, '0000-00-00', b'101', '2026-09-01 13:00:00')",
            );
            MYSQL
        } else {
            POSTGRESQL
        };
        let columns: Vec<String> = cases.iter().map(|(name, sql, _)| format!("{sql} AS {name}")).collect();
        let streams = json!([{"name": "s", "query": format!("SELECT {}", columns.join(", "))}]);
        let source = db.source(&world, streams);
        let mut landing = Landing::default();
        landing.run(&source, &world.ctx, "s").await.unwrap();
        for (name, sql, value) in cases {
            assert_eq!(landing.column(&spec(&source, "s"), name), [*value], "{name} {sql}");
        }
        let zeros: Vec<&str> = landing.notices.iter().map(|n| n.code.as_str()).collect();
        assert_eq!(zeros, if matches!(db, Db::Mysql(_)) { &["zero_dates"][..] } else { &[] });
    }
}

#[tokio::test]
async fn check_and_discover_tell_what_is_there() {
    for db in all() {
        let world = World::at(NOW);
        let table = db.table(1);
        let source =
            db.source(&world, json!([{"name": "orders", "table": table, "key": ["id"], "cursor": "at"}]));
        let report = source.check(&world.ctx).await.unwrap();
        let facts: std::collections::HashMap<_, _> = report.facts.into_iter().collect();
        assert_eq!(facts["stream orders"], "3 columns");
        assert!(facts["server"].contains("127.0.0.1"), "{facts:?}");
        assert_eq!(report.warnings.len(), usize::from(matches!(db, Db::Postgresql(_))), "a superuser");
        let found = source.discover(&world.ctx).await.unwrap().stream("orders").unwrap().clone();
        let kinds: Vec<_> = found.columns.iter().map(|c| (c.name.as_str(), c.kind)).collect();
        assert_eq!(kinds, [("id", ColumnType::Int), ("at", ColumnType::Instant), ("word", ColumnType::Text)]);
    }
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    for db in all() {
        let world = World::at(NOW);
        let table = db.table(1);
        let streams = |value: Value| json!([value]);
        let fails = async |options: Value| {
            let source = world.build(&SqlConnector, options);
            let error = source.check(&world.ctx).await.unwrap_err();
            assert!(!error.to_string().contains("пароль"), "{error}");
            assert!(!error.is_temporary(), "{error}");
            error
        };
        let mut wrong = db.options(streams(json!({"name": "s", "table": table})));
        wrong["password"] = json!({"$secret": "пароль but another"});
        let error = fails(wrong).await;
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
        let error = fails(db.options(streams(json!({"name": "s", "table": "not_there"})))).await;
        assert!(error.to_string().contains("not_there"), "{error}");
        let error = fails(db.options(streams(json!({"name": "s", "table": table, "key": ["nr"]})))).await;
        assert!(error.to_string().contains("no column \"nr\""), "{error}");
        let error = fails(db.options(streams(json!({"name": "s", "query": "SELECT FROM WHERE"})))).await;
        assert!(error.to_string().contains("SQL"), "{error}");
        let zoned = match db {
            Db::Postgresql(_) => "SELECT now()::timestamp AS at",
            Db::Mysql(_) => "SELECT CAST(now() AS DATETIME) AS at",
        };
        let mut zoneless = db.options(streams(json!({"name": "s", "query": zoned})));
        zoneless.as_object_mut().unwrap().remove("time_zone");
        let error = fails(zoneless).await;
        assert!(error.to_string().contains("times without a zone"), "{error}");
        if let Db::Mysql(_) = db {
            let error = fails(db.options(streams(json!({"name": "s", "table": "hidden.t"})))).await;
            assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
        }
        // Nothing can be written, whatever the user may.
        if let Db::Postgresql(_) = db {
            let query = format!("WITH gone AS (DELETE FROM {table} RETURNING id) SELECT * FROM gone");
            let source = db.source(&world, streams(json!({"name": "s", "query": query})));
            let error = Landing::default().run(&source, &world.ctx, "s").await.unwrap_err();
            assert_eq!(db.query(&format!("SELECT count(*) FROM {table}"))[0][0], "1", "{error}");
        }
    }
}

#[tokio::test]
async fn tls_is_verified() {
    for db in all() {
        let world = World::at(NOW);
        world.write("ca.pem", super::cluster::CERTIFICATE);
        let mut options = db.options(json!([{"name": "s", "query": "SELECT 1 AS one"}]));
        (options["host"], options["tls"], options["ca"]) =
            (json!("localhost"), json!("verify"), json!("ca.pem"));
        let report = world.build(&SqlConnector, options.clone()).check(&world.ctx).await.unwrap();
        assert!(report.facts.iter().any(|(_, value)| value == "TLS, verified"), "{report:?}");
        // Nobody whom the machine trusts has signed it.
        options.as_object_mut().unwrap().remove("ca");
        let error = world.build(&SqlConnector, options).check(&world.ctx).await.unwrap_err();
        assert!(error.to_string().contains("TLS"), "{error}");
        assert!(!error.is_temporary(), "{error}");
    }
}

#[tokio::test]
async fn the_readmes_example_maps_deals() {
    for db in all() {
        let world = World::at(NOW);
        let (connector, mut options) = readme_options(SqlConnector.readme());
        assert_eq!(connector, "sql");
        let table = db.fresh("shop_orders");
        db.query(&format!(
            "CREATE TABLE {table} (id bigint PRIMARY KEY, phone varchar(40), total numeric(12,2), state varchar(20), \
             created_at timestamp NOT NULL, updated_at timestamp NOT NULL); \
             INSERT INTO {table} VALUES (7, '+79001234567', 1990.50, 'paid', '2026-09-01 10:00:00', '2026-09-02 10:00:00')"
        ));
        let ours = db.options(json!([]));
        for (key, value) in ours.as_object().unwrap() {
            if key != "tables" && key != "time_zone" {
                options[key] = value.clone();
            }
        }
        options.as_object_mut().unwrap().remove("tls");
        options["tables"][0]["table"] = json!(table);
        let source = world.build(&SqlConnector, options);
        let mut landing = Landing::default();
        landing.run(&source, &world.ctx, "orders").await.unwrap();
        let tables = map(&source, &[("orders".to_owned(), landing)].into()).await;
        let deal = &tables["deals"][0];
        assert_eq!(deal["value_minor"], json!(199_050), "{deal}");
        assert_eq!(deal["state"], "won");
        // And with nothing there yet.
        let empty = map(&source, &[("orders".to_owned(), Landing::default())].into()).await;
        assert!(empty["deals"].is_empty());
    }
}
