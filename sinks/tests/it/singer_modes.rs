//! What a Singer target is told of rows that it has already, and of types.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, ListBuilder, RecordBatch, StringBuilder, StringViewArray, StructArray,
    TimestampMicrosecondArray, TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use serde_json::{Value, json};
use throughline_core::{ErrorKind, Place, Table};

use crate::singer::{GOOD, Studio, about, commit, deals, stage};
use crate::{context, table, try_build};

/// The messages of one column of an epoch.
async fn spooled(array: ArrayRef, options: Value) -> Result<Vec<String>, throughline_core::Error> {
    let studio = Studio::new(GOOD);
    let schema = Schema::new(vec![Field::new("v", array.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap();
    let about = table("t", batch.schema());
    stage(&studio.sink(options), "t1", &[(about, batch)]).await?;
    Ok(studio.read("spool/staging/t1/t.jsonl").lines().map(str::to_owned).collect())
}

/// The values as they stand in the records.
async fn values(array: ArrayRef) -> Vec<String> {
    let lines = spooled(array, json!({})).await.unwrap();
    let value = |line: &String| {
        serde_json::from_str::<Value>(line).unwrap();
        let from = line.find("\"v\":").unwrap() + 4;
        line[from..line.len() - 2].to_owned()
    };
    lines[1..].iter().map(value).collect()
}

#[tokio::test]
async fn values_are_exact() {
    let texts = StringViewArray::from(vec![Some("да \"\\\n\u{1}مرحبا"), Some(""), None]);
    assert_eq!(values(Arc::new(texts)).await, ["\"да \\\"\\\\\\n\\u0001مرحبا\"", "\"\"", "null"]);
    assert_eq!(values(Arc::new(UInt64Array::from(vec![u64::MAX]))).await, [u64::MAX.to_string()]);
    assert_eq!(values(Arc::new(BooleanArray::from(vec![Some(true), None]))).await, ["true", "null"]);
    assert_eq!(values(Arc::new(Float64Array::from(vec![0.1, -0.0, 1e300]))).await, ["0.1", "-0.0", "1e+300"]);
    assert_eq!(values(Arc::new(Float32Array::from(vec![0.1]))).await, ["0.1"]);
    let decimals = || {
        let all = vec![12_340_000_000_i128, -1, 10_i128.pow(37) + 1];
        Arc::new(Decimal128Array::from(all).with_precision_and_scale(38, 9).unwrap())
    };
    let digits = ["12.340000000", "-0.000000001", "10000000000000000000000000000.000000001"];
    assert_eq!(values(decimals()).await, digits);
    let lines = spooled(decimals(), json!({ "decimals": "text" })).await.unwrap();
    assert!(lines[0].contains("singer.decimal"), "{}", lines[0]);
    assert!(lines[2].contains(r#"{"v":"-0.000000001"}"#), "{}", lines[2]);
    assert_eq!(
        values(Arc::new(Date32Array::from(vec![20_332, -1]))).await,
        ["\"2025-09-01\"", "\"1969-12-31\""]
    );
    let micros = TimestampMicrosecondArray::from(vec![1_756_711_800_123_456, -1]);
    assert_eq!(
        values(Arc::new(micros.clone().with_timezone("Europe/Moscow"))).await,
        ["\"2025-09-01T07:30:00.123456Z\"", "\"1969-12-31T23:59:59.999999Z\""]
    );
    assert_eq!(values(Arc::new(micros)).await[0], "\"2025-09-01T07:30:00.123456\"");
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some("а\"б"), None]);
    list.append_value(Vec::<Option<&str>>::new());
    list.append_null();
    assert_eq!(values(Arc::new(list.finish())).await, [r#"["а\"б",null]"#, "[]", "null"]);
    let words: DictionaryArray<Int32Type> = vec![Some("да"), None, Some("да")].into_iter().collect();
    assert_eq!(values(Arc::new(words)).await, ["\"да\"", "null", "\"да\""]);
    let member: ArrayRef = Arc::new(Date32Array::from(vec![0]));
    let object = StructArray::from(vec![(Arc::new(Field::new("день", DataType::Date32, false)), member)]);
    assert_eq!(values(Arc::new(object)).await, [r#"{"день":"1970-01-01"}"#]);
}

#[tokio::test]
async fn what_json_has_no_word_for_is_told_with_its_column() {
    let wrong: [ArrayRef; 5] = [
        Arc::new(Float64Array::from(vec![1.0, f64::NAN])),
        Arc::new(Float32Array::from(vec![1.0, f32::INFINITY])),
        Arc::new(Date32Array::from(vec![0, 2_932_897])),
        Arc::new(TimestampSecondArray::from(vec![0, 253_402_300_800]).with_timezone("UTC")),
        Arc::new(TimestampSecondArray::from(vec![0, i64::MAX])),
    ];
    for array in wrong {
        let error = spooled(array, json!({})).await.unwrap_err();
        assert!(error.to_string().contains("column \"v\", row 1"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Data);
    }
    let error = spooled(Arc::new(BinaryArray::from(vec![&b"x"[..]])), json!({})).await.unwrap_err();
    assert!(error.to_string().contains("\"v\" of table t is bytes"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// Answers `--about` from a file, else does as the good one.
fn with_about(about: &str) -> Studio {
    let studio = Studio::new(&format!(
        "if [ \"$1\" = --about ]; then echo asked >> \"$STUDIO/asked\"; cat \"$STUDIO/about\"; exit; fi{GOOD}"
    ));
    std::fs::write(studio.path().join("about"), about).unwrap();
    studio
}

fn keyless(name: &str) -> Table {
    Table { key: Vec::new(), ..about(name) }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_replaced_by_versions_where_the_target_knows_them() {
    let studio = with_about(r#"{"capabilities": ["about", "activate-version"]}"#);
    let replace = json!({ "mode": "replace" });
    let report = studio.sink(replace.clone()).check(&context()).await.unwrap();
    assert!(report.facts.iter().any(|(_, fact)| fact == "by ACTIVATE_VERSION"), "{report:?}");
    for txn in ["t1", "t2"] {
        let sink = studio.sink(replace.clone());
        let staged = stage(&sink, txn, &[(keyless("deals"), deals(0..2)), (about("b"), deals(0..0))]).await;
        commit(&sink, txn, &staged.unwrap()).await.unwrap();
    }
    let loaded = studio.read("loaded");
    let messages: Vec<Value> = loaded.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let versions = |stream: &str| -> Vec<i64> {
        let of = messages.iter().filter(|m| m["type"] == "ACTIVATE_VERSION" && m["stream"] == stream);
        of.map(|m| m["version"].as_i64().unwrap()).collect()
    };
    // The clock stands still, and versions grow.
    let found = versions("deals");
    assert!(found.len() == 2 && found[0] >= 1_758_000_000_000 && found[1] > found[0], "{found:?}");
    assert_eq!(versions("b").len(), 2, "an empty table is emptied there, too");
    let records: Vec<i64> =
        messages.iter().filter(|m| m["type"] == "RECORD").map(|m| m["version"].as_i64().unwrap()).collect();
    assert_eq!(records, [found[0], found[0], found[1], found[1]]);
    // Behind the records of its stream.
    let of_first: Vec<&str> = messages[..4].iter().map(|m| m["type"].as_str().unwrap()).collect();
    assert_eq!(of_first, ["SCHEMA", "RECORD", "RECORD", "ACTIVATE_VERSION"]);
    assert_eq!(studio.read("asked").lines().count(), 3, "once for each process");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_replace_is_refused() {
    let plain =
        r#"{"capabilities": ["about"], "settings": {"properties": {"load_method": {"type": "string"}}}}"#;
    let versions = r#"{"capabilities": ["activate-version"]}"#;
    let cases = [
        (plain, json!({}), "does not know ACTIVATE_VERSION"),
        (r#"{"capabilities": []}"#, json!({ "config": { "load_method": "overwrite" } }), "does not know"),
        ("usage: target", json!({}), "no JSON"),
        (versions, json!({ "config": { "activate_version": false } }), "activate_version = false"),
        (versions, json!({ "config": { "add_record_metadata": false } }), "add_record_metadata = false"),
    ];
    for (about_text, mut options, said) in cases {
        options["mode"] = json!("replace");
        let studio = with_about(about_text);
        let sink = studio.sink(options);
        let checked = sink.check(&context()).await.unwrap_err();
        let staged = stage(&sink, "t1", &[(about("deals"), deals(0..1))]).await.unwrap_err();
        for error in [checked, staged] {
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.kind() == ErrorKind::Config && error.hint_text().is_some());
        }
        assert_eq!(studio.read("runs").lines().count(), 1, "that was the check");
    }
    let old = Studio::new(&format!("[ \"$1\" = --about ] && exit 2{GOOD}"));
    let error = old.sink(json!({ "mode": "replace" })).check(&context()).await.unwrap_err();
    assert!(error.to_string().contains("does not answer --about"), "{error}");
    // Its user knows better.
    let told = old.sink(json!({ "mode": "replace", "activate_version": true }));
    stage(&told, "t1", &[(about("deals"), deals(0..1))]).await.unwrap();
    assert!(old.read("spool/staging/t1/deals.jsonl").contains("ACTIVATE_VERSION"));
    // It empties its tables by itself.
    let studio = with_about(plain);
    let options = json!({ "mode": "replace", "config": { "load_method": "overwrite" } });
    stage(&studio.sink(options), "t1", &[(keyless("deals"), deals(0..1))]).await.unwrap();
    assert!(!studio.read("spool/staging/t1/deals.jsonl").contains("version"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_rows_are_added_only_when_told() {
    let studio = Studio::new(GOOD);
    let sink = studio.sink(json!({}));
    let error = stage(&sink, "t1", &[(keyless("deals"), deals(0..1))]).await.unwrap_err();
    assert!(error.to_string().contains("deals has no key") && error.hint_text().is_some(), "{error}");
    let sink = studio.sink(json!({ "mode": "append" }));
    let staged = stage(&sink, "t1", &[(about("deals"), deals(0..1))]).await.unwrap();
    commit(&sink, "t1", &staged).await.unwrap();
    let first = studio.read("loaded").lines().next().unwrap().to_owned();
    assert!(first.ends_with(r#""key_properties":[]}"#) && first.contains("_throughline_txn"), "{first}");
    let at = "2025-09-16T05:20:00.000000Z";
    assert_eq!(
        studio.loaded(),
        [json!({ "id": 0, "имя": "Сделка \"0\"", "_throughline_txn": "t1", "_throughline_staged_at": at })]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_hold_values() {
    let studio = Studio::new(GOOD);
    let named = Table { key: vec!["имя".into()], ..about("deals") };
    let error = stage(&studio.sink(json!({})), "t1", &[(named.clone(), deals(0..2))]).await.unwrap_err();
    assert!(error.to_string().contains("\"имя\"") && error.kind() == ErrorKind::Data, "{error}");
    stage(&studio.sink(json!({})), "t1", &[(named.clone(), deals(0..1))]).await.unwrap();
    let first = studio.read("spool/staging/t1/deals.jsonl");
    assert!(first.contains(r#""имя":{"type":"string"}}"#), "{first}");
    stage(&studio.sink(json!({ "mode": "append" })), "t1", &[(named, deals(0..2))]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn check_starts_it_with_nothing_to_read() {
    let studio = Studio::new(GOOD);
    let report = studio.sink(json!({})).check(&context()).await.unwrap();
    assert!(report.facts.iter().any(|(_, fact)| fact.contains("target.sh")), "{report:?}");
    assert_eq!(studio.read("input"), "");
    assert!(!studio.path().join("spool").exists(), "a check makes nothing");
    studio.target("echo 'no database target-secret' >&2; exit 1");
    let error = studio.sink(json!({})).check(&context()).await.unwrap_err();
    assert!(error.to_string().contains("no database ***") && error.hint_text().is_some(), "{error}");
}

#[test]
fn wrong_options_are_pointed_at() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = |value: Value| -> Vec<String> {
        let errors = try_build("singer", folder.path(), value).map(|_| ()).unwrap_err();
        errors
            .iter()
            .map(|e| match e.place() {
                Some(Place::Option { pointer, .. }) => pointer.clone(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(
        wrong(json!({ "path": " ", "command": "./none", "config": [], "activate_version": true })),
        ["/path", "/activate_version", "/command", "/config"]
    );
    assert_eq!(wrong(json!({ "path": "x", "command": "t", "mode": "truncate" })), ["/mode"]);
    assert_eq!(wrong(json!({ "path": "x", "command": "t", "catalog": "c" })), ["/catalog"]);
}

/// The README's example names every option there is; that it loads, the tests of the program see to.
#[test]
fn the_readme_example_is_whole() {
    let connector = crate::connector("singer");
    let (readme, schema) = (connector.readme().to_owned(), connector.schema());
    let example = readme.split("```toml").nth(1).unwrap().split("```").next().unwrap();
    for option in schema["properties"].as_object().unwrap().keys() {
        assert!(example.lines().any(|l| l.starts_with(&format!("{option} = "))), "{option}");
    }
}
