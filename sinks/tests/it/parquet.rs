use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    StringViewArray, TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use serde_json::{Value, json};
use throughline_core::{Error, ErrorKind, Table, TxnId};

use crate::{build, context, publish, stream, table};

fn open(path: &Path) -> ParquetRecordBatchReaderBuilder<std::fs::File> {
    ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(path).unwrap()).unwrap()
}

fn read(path: &Path) -> RecordBatch {
    let builder = open(path);
    let schema = builder.schema().clone();
    let batches: Vec<_> = builder.build().unwrap().map(|b| b.unwrap()).collect();
    concat_batches(&schema, &batches).unwrap()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn id_and_text(from: i64, n: usize) -> RecordBatch {
    let ids = Int64Array::from_iter_values(from..from + n as i64);
    let texts = StringArray::from_iter_values((0..n).map(|i| format!("кампания {}", i % 10)));
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("campaign", DataType::Utf8, true),
    ]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(texts)]).unwrap()
}

#[tokio::test]
async fn every_type_comes_back_and_the_file_tells_what_it_is() {
    let doc = |text: &str| HashMap::from([("doc".to_owned(), text.to_owned())]);
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false).with_metadata(doc("номер")),
        Field::new("имя", DataType::Utf8View, true),
        Field::new("at", at, true),
        Field::new("amount", DataType::Decimal128(38, 9), true),
        Field::new("phones", list, true),
    ]));
    let mut phones = ListBuilder::new(StringBuilder::new());
    phones.append_value([Some("+7"), None]);
    phones.append_null();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2])),
        Arc::new(StringViewArray::from(vec![Some("مرحبا \"да\"\n"), None])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![Some(1_756_711_800_123_456), None]).with_timezone("UTC"),
        ),
        Arc::new(Decimal128Array::from(vec![Some(-1), None]).with_precision_and_scale(38, 9).unwrap()),
        Arc::new(phones.finish()),
    ];
    let batch = RecordBatch::try_new(schema.clone(), columns.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sink = build("parquet", folder.path(), json!({}));
    assert_eq!(publish(&sink, "t1", &table("visits", schema), vec![batch]).await, 2);

    let path = folder.path().join("out/current/visits/part-00000.parquet");
    let found = read(&path);
    assert_eq!(found.schema().field(1).data_type(), &DataType::Utf8, "views are no form for files");
    for (i, column) in columns.iter().enumerate().filter(|(i, _)| *i != 1) {
        assert_eq!(found.column(i), column);
    }
    let names = found.column(1).as_any().downcast_ref::<StringArray>().unwrap();
    assert_eq!(names, &StringArray::from(vec![Some("مرحبا \"да\"\n"), None]));

    let builder = open(&path);
    let meta = builder.metadata();
    let about: HashMap<&str, &str> = meta
        .file_metadata()
        .key_value_metadata()
        .unwrap()
        .iter()
        .map(|kv| (kv.key.as_str(), kv.value.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!((about["throughline.table"], about["throughline.doc"]), ("visits", "Визиты"));
    assert_eq!((about["throughline.key"], about["throughline.column_docs"]), ("id", r#"{"id":"номер"}"#));
    let column = meta.row_group(0).column(0);
    assert!(matches!(column.compression(), Compression::ZSTD(_)));
    assert!(column.statistics().unwrap().min_bytes_opt().is_some());

    let manifest = std::fs::read(folder.path().join("out/current/_manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let file = &manifest["tables"][0]["files"][0];
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(std::fs::read(&path).unwrap());
    assert_eq!(file["sha256"], hash.iter().map(|b| format!("{b:02x}")).collect::<String>());
    assert_eq!((&file["path"], &file["rows"]), (&json!("visits/part-00000.parquet"), &json!(2)));
    assert_eq!((&manifest["txn"], &manifest["committed_at"]), (&json!("t1"), &json!("2025-09-16T05:20:00Z")));
    assert_eq!(manifest["tables"][0]["columns"][0]["doc"], "номер");
}

#[tokio::test]
async fn options_shape_the_file() {
    for (word, expected) in [("snappy", Compression::SNAPPY), ("none", Compression::UNCOMPRESSED)] {
        let folder = tempfile::tempdir().unwrap();
        let sink = build("parquet", folder.path(), json!({"compression": word, "row_group_rows": 1000}));
        let schema = id_and_text(0, 1).schema();
        let batches = vec![id_and_text(0, 1500), id_and_text(1500, 1500)];
        publish(&sink, "t1", &table("t", schema), batches).await;
        let builder = open(&folder.path().join("out/current/t/part-00000.parquet"));
        let groups = builder.metadata().row_groups();
        assert_eq!(groups.iter().map(|g| g.num_rows()).collect::<Vec<_>>(), [1000, 1000, 1000]);
        assert_eq!(groups[0].column(1).compression(), expected);
    }
}

#[tokio::test]
async fn a_table_without_rows_has_its_columns() {
    for options in [json!({}), json!({"partition": true})] {
        let folder = tempfile::tempdir().unwrap();
        let sink = build("parquet", folder.path(), options);
        let schema = id_and_text(0, 1).schema();
        assert_eq!(publish(&sink, "t1", &table("t", schema.clone()), vec![]).await, 0);
        let found = read(&folder.path().join("out/current/t/part-00000.parquet"));
        assert_eq!((found.num_rows(), found.num_columns()), (0, 2));
    }
}

#[tokio::test]
async fn days_become_folders_and_rows_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("date", DataType::Date32, true),
    ]));
    // 400 days, more than are open at once, in no order.
    let days: Vec<Option<i32>> = (0..10_000).map(|i| (i % 11 != 0).then_some(20_000 + i * 7 % 400)).collect();
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(0..10_000)), Arc::new(Date32Array::from(days.clone()))];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let batches = vec![batch.slice(0, 6_000), batch.slice(6_000, 4_000)];
    let by_day = Table { partition_by: Some("date".into()), ..table("t", schema) };

    let sink = build("parquet", folder.path(), json!({"partition": true}));
    assert_eq!(publish(&sink, "t1", &by_day, batches.clone()).await, 10_000);
    let epoch = std::fs::canonicalize(folder.path().join("out/current/t")).unwrap();
    let mut seen = Vec::new();
    let mut last: HashMap<String, i64> = HashMap::new();
    for file in files(&epoch) {
        let day = file.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let rows = read(&file);
        assert_eq!(rows.num_columns(), 1, "the day is in the folder's name");
        for id in rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values() {
            let expected = match days[usize::try_from(*id).unwrap()] {
                None => "date=__HIVE_DEFAULT_PARTITION__".to_owned(),
                Some(d) => format!(
                    "date={}",
                    chrono::DateTime::from_timestamp(i64::from(d) * 86_400, 0).unwrap().date_naive()
                ),
            };
            assert_eq!(day, expected);
            assert!(last.insert(day.clone(), *id).is_none_or(|before| before < *id));
            seen.push(*id);
        }
    }
    seen.sort_unstable();
    assert!(seen.iter().copied().eq(0..10_000), "every row once");

    // Without the option the column stays and there are no folders.
    let folder = tempfile::tempdir().unwrap();
    let sink = build("parquet", folder.path(), json!({}));
    publish(&sink, "t1", &by_day, batches).await;
    let found = read(&folder.path().join("out/current/t/part-00000.parquet"));
    assert_eq!(found.columns(), batch.columns());
}

#[tokio::test]
async fn a_stage_that_fails_leaves_nothing_and_readers_keep_what_they_had() {
    let folder = tempfile::tempdir().unwrap();
    let sink = build("parquet", folder.path(), json!({}));
    let (ctx, good) = (context(), id_and_text(0, 10));
    let about = table("t", good.schema());
    publish(&sink, "t1", &about, vec![good.clone()]).await;
    let before = std::fs::read_link(folder.path().join("out/current")).unwrap();
    let t2 = TxnId("t2".into());
    let staging = folder.path().join("out/staging/t2");

    use futures::StreamExt as _;
    let broken = futures::stream::iter([Ok(good.clone()), Err(Error::data("page 3 is cut"))]).boxed();
    let error = sink.stage(&ctx, &about, broken, &t2).await.unwrap_err();
    assert!(error.to_string().contains("page 3 is cut"), "{error}");

    let other = good.project(&[0]).unwrap();
    let error = sink.stage(&ctx, &about, stream(vec![good.clone(), other]), &t2).await.unwrap_err();
    assert!(error.to_string().contains("1 columns in place of 2"), "{error}");

    let null = RecordBatch::try_new(
        Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("campaign", DataType::Utf8, true),
        ])),
        vec![Arc::new(Int64Array::from(vec![None])), Arc::new(StringArray::from(vec!["x"]))],
    )
    .unwrap();
    let error = sink.stage(&ctx, &about, stream(vec![null]), &t2).await.unwrap_err();
    assert!(error.to_string().contains("id"), "{error}");

    // Stopped in the middle: by the run's end, and by the future being dropped.
    let stopping = context();
    let stop = stopping.cancel.clone();
    let rows = stream(vec![good.clone(); 5]).inspect(move |_| stop.cancel()).boxed();
    let error = sink.stage(&stopping, &about, rows, &t2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let endless = futures::stream::iter([Ok(good.clone())]).chain(futures::stream::pending()).boxed();
    let short = std::time::Duration::from_millis(50);
    assert!(tokio::time::timeout(short, sink.stage(&ctx, &about, endless, &t2)).await.is_err());
    for _ in 0..200 {
        // The writing thread learns of it a moment later.
        if std::fs::read_dir(&staging).unwrap().next().is_none() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    sink.abort(&ctx, &t2).await.unwrap();
    assert!(!staging.exists());
    assert_eq!(std::fs::read_link(folder.path().join("out/current")).unwrap(), before);
}

#[tokio::test]
async fn equal_rows_give_equal_files() {
    let mut hashes = Vec::new();
    for _ in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let sink = build("parquet", folder.path(), json!({}));
        let rows = id_and_text(0, 5000);
        publish(&sink, "t1", &table("t", rows.schema()), vec![rows]).await;
        hashes.push(std::fs::read(folder.path().join("out/current/t/part-00000.parquet")).unwrap());
    }
    assert!(hashes[0] == hashes[1]);
}
