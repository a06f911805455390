use std::io::Read as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int64Array,
    ListBuilder, RecordBatch, StringArray, StringBuilder, StringViewArray, TimestampMicrosecondArray,
    TimestampSecondArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use serde_json::json;

use crate::{build, context, publish, stream, table};

fn one_column(array: ArrayRef) -> RecordBatch {
    let schema = Schema::new(vec![Field::new("v", array.data_type().clone(), true)]);
    RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap()
}

/// The lines behind the header.
async fn lines(options: serde_json::Value, array: ArrayRef) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let sink = build("csv", folder.path(), options);
    let batch = one_column(array);
    publish(&sink, "t1", &table("t", batch.schema()), vec![batch]).await;
    let text = std::fs::read_to_string(folder.path().join("out/current/t.csv")).unwrap();
    text.lines().skip(1).map(str::to_owned).collect()
}

#[tokio::test]
async fn texts_of_all_scripts_come_back_as_they_were() {
    let hard = [
        Some("простой"),
        Some("مرحبا بالعالم"),
        Some("a,b"),
        Some("say \"да\""),
        Some("two\nlines"),
        Some("\r\n"),
        Some(""),
        None,
        Some(" edge "),
        Some("=1+1"),
        Some("👩‍👩‍👧 NUL:\0"),
        Some("\u{feff}bom inside"),
        Some("\\N"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![
        Field::new("имя, \"полное\"", DataType::Utf8View, true),
        Field::new("n", DataType::Int64, false),
    ]));
    let batch = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(StringViewArray::from(hard.to_vec())),
            Arc::new(Int64Array::from_iter_values(0..hard.len() as i64)),
        ],
    )
    .unwrap();
    let sink = build("csv", folder.path(), json!({"null": "\\N"}));
    let rows =
        publish(&sink, "t1", &table("визиты", schema), vec![batch.slice(0, 5), batch.slice(5, 8)]).await;
    assert_eq!(rows, 13);

    let path = folder.path().join("out/current/визиты.csv");
    let raw = std::fs::read_to_string(&path).unwrap();
    let mut reader = csv::ReaderBuilder::new().has_headers(true).from_path(&path).unwrap();
    assert_eq!(&reader.headers().unwrap()[0], "имя, \"полное\"");
    let found: Vec<String> = reader.records().map(|r| r.unwrap()[0].to_owned()).collect();
    let expected: Vec<&str> = hard.iter().map(|t| t.unwrap_or("\\N")).collect();
    assert_eq!(found, expected);
    // What reads alike is told apart by quotes.
    assert!(
        raw.contains("\n\\N,7\n") && raw.contains("\n\"\\N\",12\n") && raw.contains("\n\"\",6\n"),
        "{raw}"
    );
}

#[tokio::test]
async fn values_are_exact() {
    let plain = || json!({});
    let micros = vec![Some(1_756_711_800_000_000), Some(1_756_711_800_123_456), Some(-1), None];
    let times = TimestampMicrosecondArray::from(micros.clone());
    assert_eq!(
        lines(plain(), Arc::new(times.clone().with_timezone("UTC"))).await,
        ["2025-09-01T07:30:00Z", "2025-09-01T07:30:00.123456Z", "1969-12-31T23:59:59.999999Z", ""]
    );
    assert_eq!(
        lines(plain(), Arc::new(times.clone().with_timezone("Europe/Moscow"))).await[0],
        "2025-09-01T07:30:00Z"
    );
    assert_eq!(lines(plain(), Arc::new(times)).await[0], "2025-09-01T07:30:00");
    assert_eq!(lines(plain(), Arc::new(TimestampSecondArray::from(vec![0]))).await, ["1970-01-01T00:00:00"]);
    assert_eq!(
        lines(plain(), Arc::new(Date32Array::from(vec![20_332, -1]))).await,
        ["2025-09-01", "1969-12-31"]
    );
    let decimals =
        Decimal128Array::from(vec![12_340_000_000_i128, -1, 0]).with_precision_and_scale(38, 9).unwrap();
    assert_eq!(lines(plain(), Arc::new(decimals)).await, ["12.340000000", "-0.000000001", "0.000000000"]);
    assert_eq!(lines(plain(), Arc::new(UInt64Array::from(vec![u64::MAX]))).await, [u64::MAX.to_string()]);
    assert_eq!(lines(plain(), Arc::new(Int64Array::from(vec![i64::MIN]))).await, [i64::MIN.to_string()]);
    assert_eq!(lines(plain(), Arc::new(BooleanArray::from(vec![Some(true), None]))).await, ["true", ""]);
    let floats = lines(plain(), Arc::new(Float64Array::from(vec![0.1, 1e300, -0.0]))).await;
    let back: Vec<f64> = floats.iter().map(|f| f.parse().unwrap()).collect();
    assert_eq!(back, [0.1, 1e300, -0.0]);

    let mut list = ListBuilder::new(StringBuilder::new());
    list.append_value([Some("а\"б"), None]);
    list.append_value(Vec::<Option<&str>>::new());
    list.append_null();
    assert_eq!(lines(plain(), Arc::new(list.finish())).await, [r#""[""а\""б"",null]""#, "[]", ""]);
    let words: DictionaryArray<Int32Type> = vec![Some("да"), None, Some("да")].into_iter().collect();
    assert_eq!(lines(plain(), Arc::new(words)).await, ["да", "", "да"]);
}

#[tokio::test]
async fn a_time_outside_the_calendar_is_an_error_and_shows_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let sink = build("csv", folder.path(), json!({}));
    let batch = one_column(Arc::new(TimestampSecondArray::from(vec![0, i64::MAX])));
    let (ctx, txn) = (context(), throughline_core::TxnId("t1".into()));
    let staged = sink.stage(&ctx, &table("t", batch.schema()), stream(vec![batch]), &txn).await;
    let error = staged.unwrap_err().to_string();
    assert!(error.contains("\"v\", row 1") && error.contains("no time of the calendar"), "{error}");
    assert!(!folder.path().join("out/current").exists());
    assert_eq!(std::fs::read_dir(folder.path().join("out/staging/t1")).unwrap().count(), 0);
}

#[tokio::test]
async fn formulas_are_guarded_only_on_demand_and_only_in_texts() {
    let texts = || Arc::new(StringArray::from(vec!["=cmd()", "+7 912", "-x", "@a", "\tz", "ok"]));
    let guarded = lines(json!({"formula_guard": true}), texts()).await;
    assert_eq!(guarded, ["'=cmd()", "'+7 912", "'-x", "'@a", "'\tz", "ok"]);
    let plain = lines(json!({}), texts()).await;
    assert_eq!(plain, ["=cmd()", "+7 912", "-x", "@a", "\"\tz\"", "ok"]);
    let numbers = lines(json!({"formula_guard": true}), Arc::new(Int64Array::from(vec![-5]))).await;
    assert_eq!(numbers, ["-5"]);
}

#[tokio::test]
async fn delimiter_mark_and_gzip() {
    let folder = tempfile::tempdir().unwrap();
    let sink =
        build("csv", folder.path(), json!({"delimiter": ";", "bom": true, "gzip": true, "null": "NULL"}));
    let schema = Arc::new(Schema::new(vec![
        Field::new("a", DataType::Utf8, true),
        Field::new("b", DataType::Utf8, true),
    ]));
    let texts = |v: Vec<Option<&str>>| Arc::new(StringArray::from(v)) as ArrayRef;
    let columns = vec![texts(vec![Some("x;y"), None]), texts(vec![Some("1,5"), Some("NULL")])];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    publish(&sink, "t1", &table("t", schema), vec![batch]).await;
    let file = std::fs::File::open(folder.path().join("out/current/t.csv.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    assert_eq!(text, "\u{feff}a;b\n\"x;y\";1,5\nNULL;\"NULL\"\n");
}

#[tokio::test]
async fn a_table_without_rows_has_its_header() {
    let folder = tempfile::tempdir().unwrap();
    let sink = build("csv", folder.path(), json!({}));
    let schema = one_column(Arc::new(Int64Array::from(vec![1]))).schema();
    assert_eq!(publish(&sink, "t1", &table("t", schema), vec![]).await, 0);
    assert_eq!(std::fs::read_to_string(folder.path().join("out/current/t.csv")).unwrap(), "v\n");
}
