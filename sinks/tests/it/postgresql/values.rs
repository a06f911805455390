//! What stands in the tables, whom they let in, and what is refused.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array, Int64Array,
    ListBuilder, RecordBatch, StringArray, StringBuilder, StringViewArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, UInt64Array,
};
use arrow::datatypes::{Field, Schema as ArrowSchema};
use serde_json::json;
use throughline_core::{Error, ErrorKind, Place, Table, TxnId};

use super::cluster::{CERTIFICATE, PASSWORD};
use super::{Cluster, Schema};
use crate::suite::{self, Subject as _, epoch};
use crate::{connector, context, stream, try_build};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| {
            let doc = HashMap::from([("doc".to_owned(), format!("о столбце 'it''s' {name}"))]);
            Field::new(*name, array.data_type().clone(), true).with_metadata(doc)
        })
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), arrays).unwrap()
}

async fn refused(schema: &Schema<'_>, table: &Table, rows: RecordBatch) -> Error {
    let txn = TxnId("refused".into());
    let error = schema.sink().stage(&context(), table, stream(vec![rows]), &txn).await.unwrap_err();
    assert_eq!(schema.staged(), 0, "{error}");
    error
}

#[tokio::test]
async fn every_type_comes_back() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some("a\0\"б"), None]);
    list.append_null();
    list.append_value([None::<&str>; 0]);
    let long = "столбец_".repeat(9);
    let instants = vec![Some(1_756_711_800_123_456), None, Some(-62_135_596_800_000_000)];
    let rows = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("small", Arc::new(Int16Array::from(vec![Some(i16::MIN), None, Some(7)]))),
        ("unsigned", Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)]))),
        (
            "amount",
            Arc::new(
                Decimal128Array::from(vec![Some(-1_234_567_890_123_456_789_i128), None, Some(10)])
                    .with_precision_and_scale(38, 9)
                    .unwrap(),
            ),
        ),
        ("credit", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(-1e300)]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("day", Arc::new(Date32Array::from(vec![Some(20_000), None, Some(2_932_896)]))),
        ("at", Arc::new(TimestampMicrosecondArray::from(instants).with_timezone("UTC"))),
        ("local", Arc::new(TimestampNanosecondArray::from(vec![Some(-1), None, Some(1_001)]))),
        ("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\0\xff'"[..]), None, Some(b"")]))),
        ("text", Arc::new(StringViewArray::from(vec![Some("NUL \0 مرحبا\t\\N"), None, Some("")]))),
        ("tags", Arc::new(list.finish())),
        // Quotes, PostgreSQL's own name, and one that would be cut.
        ("a\"b; DROP", Arc::new(Int64Array::from(vec![1, 1, 1]))),
        ("xmin", Arc::new(Int64Array::from(vec![5, 5, 5]))),
        (&format!("{long}1"), Arc::new(Int64Array::from(vec![1, 1, 1]))),
        (&format!("{long}2"), Arc::new(Int64Array::from(vec![2, 2, 2]))),
    ]);
    let table = Table {
        name: "Визиты \"все\"".into(),
        schema: rows.schema(),
        key: vec!["id".into()],
        partition_by: Some("day".into()),
        doc: "Чьи-то визиты".into(),
    };
    epoch(&schema.sink(), "t1", &[(table.clone(), vec![rows.clone()])]).await;
    let shown = schema.shown("Визиты \"все\"");
    let found = cluster.query(&format!("SET TimeZone = 'UTC'; SELECT * FROM {shown} ORDER BY id"));
    let first = [
        "1",
        "-32768",
        "18446744073709551615",
        "-1234567890.123456789",
        "0.1",
        "t",
        "2024-10-04",
        "2025-09-01 07:30:00.123456+00",
        "1969-12-31 23:59:59.999999",
        "\\x00ff27",
        "NUL \u{fffd} مرحبا\t\\N",
        "[\"a�\\\"б\", null]",
        "1",
        "5",
        "1",
        "2",
    ];
    assert_eq!(found[0], first);
    assert!(found[1][1..12].iter().all(|v| v == "∅"), "{:?}", found[1]);
    let third = [
        "3",
        "7",
        "0",
        "0.000000010",
        "-1e+300",
        "f",
        "9999-12-31",
        "0001-01-01 00:00:00+00",
        "1970-01-01 00:00:00.000001",
        "\\x",
        "",
        "[]",
    ];
    assert_eq!(found[2][..12], third);

    let described = cluster.query(&format!(
        "SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) FROM pg_attribute \
         WHERE attrelid = '{shown}'::regclass AND attnum > 0 ORDER BY attnum"
    ));
    let types: Vec<&str> = described.iter().map(|c| c[1].as_str()).collect();
    assert_eq!(
        types[..12],
        [
            "bigint",
            "smallint",
            "numeric(20,0)",
            "numeric(38,9)",
            "double precision",
            "boolean",
            "date",
            "timestamp with time zone",
            "timestamp without time zone",
            "bytea",
            "text",
            "jsonb"
        ]
    );
    assert_eq!((described[12][0].as_str(), described[13][0].as_str()), ("a\"b; DROP", "xmin_"));
    assert!(described[14][0].len() == 63 || described[14][0].len() == 62, "{}", described[14][0]);
    assert_ne!(described[14][0], described[15][0]);
    assert_eq!(described[0][2], "о столбце 'it''s' id");
    let about = cluster.value(&format!("SELECT obj_description('{shown}'::regclass)"));
    assert_eq!(about, "Чьи-то визиты");
    let indexes = format!(
        "SELECT indexdef FROM pg_indexes WHERE tablename = 'Визиты \"все\"' AND schemaname = '{}' ORDER BY 1",
        schema.name
    );
    let indexes = cluster.query(&indexes);
    assert!(indexes.len() == 2 && indexes.iter().any(|i| i[0].ends_with("(day)")), "{indexes:?}");
    assert!(
        indexes.iter().any(|i| i[0].contains("UNIQUE") && i[0].contains("Визиты \"\"все\"\"_pkey")),
        "{indexes:?}"
    );

    // The same rows again: nothing is written.
    let versions = format!("SELECT string_agg(xmin::text || ctid::text, ' ' ORDER BY id) FROM {shown}");
    let before = cluster.value(&versions);
    epoch(&schema.sink(), "t2", &[(table, vec![rows])]).await;
    assert_eq!(cluster.value(&versions), before);
}

#[tokio::test]
async fn what_is_wrong_is_refused_before_anything_is_shown() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    let good = suite::rows(&[(1, Some("a"), 1)]);
    let about = suite::table("visits", &["id"], &good);
    epoch(&schema.sink(), "t1", &[(about.clone(), vec![good.clone()])]).await;

    let far = suite::rows(&[(1, Some("a"), 1), (77, Some("b"), 2_932_897)]);
    let error = refused(&schema, &about, far).await;
    let said = format!("{error:?} {error}");
    for part in ["visits", "\"date\"", "row 2", "id = 77", "9999"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert_eq!(error.kind(), ErrorKind::Data);

    let twice = suite::rows(&[(1, Some("a"), 1), (1, Some("b"), 1)]);
    let error = refused(&schema, &about, twice.clone()).await;
    assert!(error.to_string().contains("two rows have the same key (id)"), "{error}");
    // With nulls in the key, for which there is no primary key.
    let nulls = suite::rows(&[(1, None, 1), (1, None, 1)]);
    let error = refused(&schema, &suite::table("visits", &["id", "имя"], &nulls), nulls.clone()).await;
    assert!(error.to_string().contains("two rows have the same key"), "{error}");

    // A table of somebody else.
    cluster.query(&format!("CREATE TABLE {} (id bigint)", schema.shown("mine")));
    let error = refused(&schema, &suite::table("mine", &["id"], &good), good.clone()).await;
    assert!(error.to_string().contains("has not made it"), "{error}");
    // Somebody has dropped what was published: the engine is told, and publishes it again.
    let of =
        [(suite::table("gone", &["id"], &good), vec![good.clone()]), (about.clone(), vec![good.clone()])];
    let staged = epoch(&schema.sink(), "t2", &of).await;
    cluster.query(&format!("DROP TABLE {}", schema.shown("gone")));
    let error = schema.sink().commit(&context(), &TxnId("t2".into()), &staged).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Data && error.to_string().contains("gone"), "{error}");
    epoch(&schema.sink(), "t3", &of).await;
    assert_eq!(schema.read("gone", &["id"]).unwrap(), [["1"]]);
    let report = schema.sink().check(&context()).await.unwrap();
    assert!(report.facts.iter().any(|(k, v)| k == "names taken by others" && v == "mine"), "{report:?}");

    // A schema of another sink.
    let mut options = schema.options();
    let other = |options: &serde_json::Value| {
        let options =
            throughline_core::Options { name: "other".into(), value: options.clone(), base_dir: "/".into() };
        connector("postgresql").build(&options).map_err(|e| format!("{e:?}")).unwrap()
    };
    let error = other(&options).check(&context()).await.unwrap_err();
    assert!(error.to_string().contains("belongs to the sink \"out\""), "{error}");
    options["schema"] = json!("elsewhere");
    let done =
        other(&options).stage(&context(), &about, stream(vec![good.clone()]), &TxnId("x".into())).await;
    assert!(done.is_err());
    // A role that is not there.
    let sink = schema.sink_with(json!({"readers": ["nobody here"]}));
    let error = sink.stage(&context(), &about, stream(vec![good]), &TxnId("y".into())).await.unwrap_err();
    assert!(error.to_string().contains("no role \"nobody here\""), "{error}");
    assert_eq!(schema.read("visits", &["id"]).unwrap(), [["1"]]);
}

#[tokio::test]
async fn keys_with_nulls_or_too_long_are_merged_all_the_same() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    // Nothing that compresses, so that no index takes it.
    let mut seed = 1_u64;
    let long: String = (0..6_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(b'!' + (seed >> 40) as u8 % 90)
        })
        .collect();
    let key = ["id", "имя"];
    let epochs: [&[(i64, Option<&str>, i32)]; 5] = [
        &[(1, Some("a"), 1), (2, Some("b"), 1)],
        &[(1, None, 1), (2, Some("b"), 2), (2, None, 3)],
        &[(1, None, 4), (2, Some(&long), 2)],
        &[(1, None, 4), (2, Some(&long), 5)],
        &[(1, Some("a"), 1), (2, Some("b"), 7)],
    ];
    let primary = format!(
        "SELECT count(*) FROM pg_constraint WHERE contype = 'p' AND conrelid = '{}'::regclass",
        schema.shown("costs")
    );
    for (n, of) in epochs.iter().enumerate() {
        let rows = suite::rows(of);
        epoch(&schema.sink(), &format!("t{n}"), &[(suite::table("costs", &key, &rows), vec![rows.clone()])])
            .await;
        let mut expected: Vec<[String; 2]> =
            of.iter().map(|(id, name, _)| [id.to_string(), name.unwrap_or("∅").to_owned()]).collect();
        expected.sort();
        assert_eq!(schema.read("costs", &key).unwrap(), expected, "epoch {n}");
        let days =
            cluster.value(&format!("SELECT sum(date - DATE '1970-01-01') FROM {}", schema.shown("costs")));
        assert_eq!(days, of.iter().map(|r| r.2).sum::<i32>().to_string(), "epoch {n}");
        if n < 4 {
            assert_eq!(cluster.value(&primary), if n == 0 { "1" } else { "0" }, "epoch {n}");
        }
    }
    // When the rows with long keys have left the files, there is an index again.
    cluster.query(&format!("VACUUM {}", schema.shown("costs")));
    let rows = suite::rows(epochs[4]);
    epoch(&schema.sink(), "again", &[(suite::table("costs", &key, &rows), vec![rows.clone()])]).await;
    assert_eq!(cluster.value(&primary), "1");
    // Another key altogether.
    let rows = suite::rows(epochs[0]);
    epoch(&schema.sink(), "other", &[(suite::table("costs", &["имя"], &rows), vec![rows.clone()])]).await;
    assert_eq!(schema.read("costs", &key).unwrap().len(), 2);
}

fn texts(columns: &[(&str, &[&str])]) -> RecordBatch {
    let column = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    batch(columns.iter().map(|(name, values)| (*name, column(values))).collect())
}

#[tokio::test]
async fn dashboards_get_wide_views_and_no_more_rights_than_to_read() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    cluster.query("CREATE ROLE \"Дашборд \"\"1\"\"\" LOGIN; CREATE ROLE stranger LOGIN");
    let reader = "Дашборд \"1\"";
    let sink = schema.sink_with(json!({"readers": [reader]}));
    let daily = texts(&[("date", &["1", "2"]), ("channel_id", &["paid", "organic"])]);
    let channels = texts(&[("channel_id", &["paid"]), ("channel", &["Реклама"]), ("group", &["платно"])]);
    let of = |daily: &RecordBatch, channels: &RecordBatch| {
        [
            (suite::table("channel_daily", &["date", "channel_id"], daily), vec![daily.clone()]),
            (suite::table("dim_channel", &["channel_id"], channels), vec![channels.clone()]),
        ]
    };
    epoch(&sink, "t1", &of(&daily, &channels)).await;
    let wide = schema.shown("channel_daily_wide");
    let select = format!("SELECT date, channel, channel_group FROM {wide} ORDER BY date");
    assert_eq!(cluster.psql(reader, &select).unwrap(), [["1", "Реклама", "платно"], ["2", "∅", "∅"]]);
    for (who, sql) in [
        ("stranger", select.clone()),
        (reader, format!("DELETE FROM {}", schema.shown("channel_daily"))),
        (reader, format!("SELECT * FROM {}", schema.own("epochs"))),
        (reader, format!("CREATE TABLE {} (a int)", schema.shown("x"))),
    ] {
        let error = cluster.psql(who, &sql).unwrap_err();
        assert!(error.contains("permission denied"), "{who}: {sql}: {error}");
    }

    // Somebody builds on the view; columns come, and his view stays.
    let built = schema.shown("мой отчёт");
    cluster.query(&format!("CREATE VIEW {built} AS SELECT channel, date FROM {wide}"));
    let daily = texts(&[("channel_id", &["paid"]), ("chats", &["5"]), ("date", &["3"])]);
    let channels = texts(&[
        ("channel_id", &["paid"]),
        ("is_paid", &["t"]),
        ("channel", &["Ads"]),
        ("group", &["платно"]),
    ]);
    epoch(&sink, "t2", &of(&daily, &channels)).await;
    assert_eq!(cluster.query(&format!("SELECT * FROM {built}")), [["Ads", "3"]]);
    let more = format!("SELECT chats, channel_is_paid FROM {wide}");
    assert_eq!(cluster.psql(reader, &more).unwrap(), [["5", "t"]]);

    // A table that is no longer published goes; with somebody's view on it, it is empty.
    cluster.query(&format!(
        "CREATE VIEW {} AS SELECT * FROM {}",
        schema.shown("v2"),
        schema.shown("dim_channel")
    ));
    epoch(&sink, "t3", &of(&daily, &channels)[..1]).await;
    assert_eq!(cluster.value(&format!("SELECT count(*) FROM {}", schema.shown("v2"))), "0");
    epoch(&sink, "t4", &of(&daily, &channels)).await;
    assert_eq!(cluster.value(&format!("SELECT count(*) FROM {}", schema.shown("v2"))), "1");
}

#[tokio::test]
async fn a_type_below_somebodys_view_widens_only_without_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    let whole = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1]))),
        ("sum", Arc::new(Int16Array::from(vec![7]))),
    ]);
    let wider = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1]))),
        ("sum", Arc::new(Int64Array::from(vec![1 << 40]))),
    ]);
    let channels = |ids: &[i64]| {
        batch(vec![
            ("id", Arc::new(Int64Array::from(ids.to_vec()))),
            ("name", Arc::new(StringArray::from(vec!["x"; ids.len()]))),
        ])
    };
    let of = |rows: &RecordBatch| {
        let dim = channels(&[1]);
        [
            (suite::table("deals", &["id"], rows), vec![rows.clone()]),
            (suite::table("dim_thing", &["id"], &dim), vec![dim.clone()]),
        ]
    };
    epoch(&schema.sink(), "t1", &of(&whole)).await;
    cluster.query(&format!(
        "CREATE VIEW {} AS SELECT sum FROM {}; ALTER TABLE {} ADD COLUMN note text DEFAULT 'моя'",
        schema.shown("theirs"),
        schema.shown("deals_wide"),
        schema.shown("deals")
    ));
    let error = refused(&schema, &of(&wider)[0].0, wider.clone()).await;
    let said = error.to_string();
    assert!(said.contains("theirs") && said.contains("\"sum\""), "{said}");
    cluster.query(&format!("DROP VIEW {}", schema.shown("theirs")));
    epoch(&schema.sink(), "t2", &of(&wider)).await;
    let found = cluster.query(&format!("SELECT sum, thing_name FROM {}", schema.shown("deals_wide")));
    assert_eq!(found, [["1099511627776", "x"]]);
    assert_eq!(cluster.value(&format!("SELECT note FROM {}", schema.shown("deals"))), "моя");
    // Back to the narrow type.
    let error = refused(&schema, &of(&whole)[0].0, whole).await;
    assert!(error.to_string().contains("bigint in the database and smallint in this run"), "{error}");
}

#[tokio::test]
async fn every_way_to_sign_in_works_and_no_error_tells_the_password() {
    let Some(cluster) = Cluster::shared() else { return };
    let schema = Schema::new(cluster);
    cluster.query(
        "SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'old-password'; \
         CREATE ROLE clear LOGIN PASSWORD 'clear-password'",
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), CERTIFICATE).unwrap();
    let base = json!({"host": "127.0.0.1", "port": cluster.port, "database": "postgres", "schema": "x"});
    let check = async |more: serde_json::Value| {
        let mut options = base.clone();
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        try_build("postgresql", folder.path(), options).unwrap().check(&context()).await
    };
    let secret = |text: &str| json!({"$secret": text});
    let plain = check(json!({"user": "postgres", "password": secret(PASSWORD)})).await.unwrap();
    assert!(plain.facts.iter().any(|(k, v)| k == "server" && v.contains("PostgreSQL 1")), "{plain:?}");
    assert!(plain.warnings.iter().any(|w| w.contains("superuser")));
    let tls = json!({
        "user": "postgres", "password": secret(PASSWORD), "host": "localhost", "tls": "verify", "ca": "ca.pem"
    });
    let report = check(tls).await.unwrap();
    assert!(report.facts.iter().any(|(_, v)| v == "TLS, verified"), "{report:?}");
    // These roles may nothing: that they are told so shows that they came in.
    for (user, password) in [("old", "old-password"), ("clear", "clear-password")] {
        let error = check(json!({"user": user, "password": secret(password)})).await.unwrap_err();
        assert!(error.to_string().contains("may not make the schema"), "{error}");
        assert!(error.hint_text().unwrap().contains("GRANT CREATE"), "{error}");
    }
    for (more, said) in [
        (
            json!({"user": "postgres", "password": secret("hunter2-hunter2")}),
            "password authentication failed",
        ),
        (json!({"user": "old", "password": secret("hunter2-hunter2")}), "password authentication failed"),
        (json!({"user": "postgres"}), "for a password"),
        (json!({"user": "postgres", "password": secret(PASSWORD), "database": "none"}), "does not exist"),
        // Its certificate is for localhost and 127.0.0.1.
        (
            json!({"user": "postgres", "password": secret(PASSWORD), "host": "127.0.0.2", "tls": "verify", "ca": "ca.pem"}),
            "TLS with",
        ),
    ] {
        let error = check(more).await.unwrap_err();
        let all = format!("{error:?} {error}");
        assert!(all.contains(said), "{all}");
        assert!(!all.contains("hunter2") && !all.contains(PASSWORD), "{all}");
        assert!(!error.is_temporary(), "{all}");
    }
    drop(schema);
}

#[test]
fn every_wrong_option_is_told_with_its_place() {
    let wrong = |value: serde_json::Value| -> Vec<String> {
        let errors = try_build("postgresql", Path::new("/nowhere"), value).map(|_| ()).unwrap_err();
        let pointer = |e: &Error| match e.place() {
            Some(Place::Option { pointer, .. }) => pointer.clone(),
            other => panic!("{other:?}"),
        };
        errors.iter().map(pointer).collect()
    };
    let found = wrong(json!({
        "host": " ", "port": 0, "database": "", "user": "u", "schema": "pg_mine", "staging_schema": "pg_mine",
        "readers": ["public"], "tls": "off", "ca": "x.pem"
    }));
    assert_eq!(
        found,
        ["/host", "/database", "/port", "/schema", "/staging_schema", "/staging_schema", "/readers/0", "/ca"]
    );
    assert_eq!(wrong(json!({"database": "d", "user": "u", "password": "in clear"})), ["/password"]);
    assert_eq!(wrong(json!({"database": "d", "user": "u", "tls": "verify", "ca": "none.pem"})), ["/ca"]);
    assert_eq!(wrong(json!({"database": "d", "user": "u", "host": "/run", "tls": "verify"})), ["/tls"]);
}

/// The README's example names every option there is, and builds.
#[test]
fn the_readme_example_is_whole() {
    let connector = connector("postgresql");
    let (readme, schema) = (connector.readme().to_owned(), connector.schema());
    let example = readme.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    for option in schema["properties"].as_object().unwrap().keys().filter(|o| *o != "ca") {
        assert!(example.lines().any(|l| l.starts_with(&format!("{option} = "))), "{option}");
    }
    assert!(readme.contains("`ca = "));
}
