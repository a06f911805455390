//! The `file` connector on files of every kind, whole, edited and broken.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Int32Array, ListArray, RecordBatch, StructArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Int32Type};
use serde_json::{Value, json};
use throughline_connectors::file::FileConnector;
use throughline_core::{DynSource, ErrorKind, ReadEvent, ReadRequest, SourceConnector};

use super::support::{Break, Landing, World, map, readme_options, spec};

const NOW: &str = "2026-09-10T09:00:00Z";
const COSTS: &str = "system,day,cost_minor,currency\nmanual,2026-09-01,100,RUB\nmanual,2026-09-02,250,RUB\n";

fn source(world: &World, options: Value) -> DynSource {
    world.build(&FileConnector, options)
}

async fn read(world: &World, options: Value) -> (DynSource, Landing) {
    let source = source(world, options);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "file").await.unwrap();
    (source, landing)
}

async fn fails(world: &World, options: Value) -> throughline_core::Error {
    let source = source(world, options);
    let mut landing = Landing::default();
    let error = landing.run(&source, &world.ctx, "file").await.unwrap_err();
    assert!(landing.batches(&spec(&source, "file")).is_empty(), "rows of a broken file count");
    error
}

fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn every_format_and_packing_gives_the_same_rows() {
    let world = World::at(NOW);
    let jsonl = "{\"system\":\"manual\",\"day\":\"2026-09-01\",\"cost_minor\":100,\"currency\":\"RUB\"}\n\n\
                 {\"system\":\"manual\",\"day\":\"2026-09-02\",\"cost_minor\":250,\"currency\":\"RUB\"}";
    world.write("a.csv", COSTS);
    world.write("a.csv.gz", gz(COSTS.as_bytes()));
    world.write("a.csv.zst", zstd::encode_all(COSTS.as_bytes(), 3).unwrap());
    world.write("a.tsv", COSTS.replace(',', "\t"));
    world.write("a.jsonl", jsonl);
    world.write("a.ndjson.gz", gz(jsonl.as_bytes()));
    for name in ["a.csv", "a.csv.gz", "a.csv.zst", "a.tsv", "a.jsonl", "a.ndjson.gz"] {
        let (source, landing) = read(&world, json!({"path": name, "into": "costs"})).await;
        let tables = map(&source, &[("file".to_owned(), landing)].into()).await;
        let expected = json!([
            {"system": "manual", "day": "2026-09-01", "cost_minor": 100, "currency": "RUB"},
            {"system": "manual", "day": "2026-09-02", "cost_minor": 250, "currency": "RUB"},
        ]);
        assert_eq!(Value::from(tables["costs"].clone()), expected, "{name}");
    }
}

#[tokio::test]
async fn parquet_lands_in_the_types_of_raw_tables() {
    let world = World::at(NOW);
    let tags = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
    let inner: arrow::array::ArrayRef = Arc::new(Int32Array::from(vec![7]));
    let nested = StructArray::from(vec![(Arc::new(Field::new("a", DataType::Int32, true)), inner)]);
    let batch = RecordBatch::try_from_iter([
        ("n", Arc::new(Int32Array::from(vec![-5])) as arrow::array::ArrayRef),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![1_500]))),
        ("text", Arc::new(arrow::array::LargeStringArray::from(vec!["привет"]))),
        ("tags", Arc::new(tags)),
        ("nested", Arc::new(nested)),
        ("bytes", Arc::new(arrow::array::BinaryArray::from(vec![&b"\x01\xff"[..]]))),
        (
            "big",
            Arc::new(
                arrow::array::Decimal128Array::from(vec![12_345]).with_precision_and_scale(10, 2).unwrap(),
            ),
        ),
    ])
    .unwrap();
    let file = std::fs::File::create(world.path("a.parquet")).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let options = json!({"path": "a.parquet", "into": "costs", "mapping": "SELECT text AS system FROM file"});
    let (source, landing) = read(&world, options).await;
    let spec = spec(&source, "file");
    let value = |name: &str| landing.column(&spec, name).join("|");
    assert_eq!(value("n"), "-5");
    assert_eq!(value("at"), "1970-01-01T00:00:01.500Z");
    assert_eq!(value("text"), "привет");
    assert_eq!(value("tags"), "[1,null]");
    assert_eq!(value("nested"), "{\"a\":7}");
    assert_eq!(value("bytes"), "01ff");
    assert_eq!(value("big"), "123.450000000");
    let types: Vec<String> = spec.columns.iter().map(|c| format!("{} {:?}", c.name, c.kind)).collect();
    assert_eq!(
        types,
        ["n Int", "at Instant", "text Text", "tags Text", "nested Text", "bytes Text", "big Decimal"]
    );

    let whole = std::fs::read(world.path("a.parquet")).unwrap();
    world.write("cut.parquet", &whole[..whole.len() - 20]);
    let error = fails(&world, json!({"path": "cut.parquet", "into": "costs", "extra": "ignore"})).await;
    assert!(error.to_string().contains("cut.parquet is no whole Parquet file"), "{error}");
}

#[tokio::test]
async fn a_spreadsheet_export_through_a_mapping() {
    let world = World::at(NOW);
    let text =
        "Дата;Расход;Кампания\r\n2026-09-01;\"1 234,50\";\"Осень; \"\"скидки\"\"\"\r\n2026-09-02;-;Зима\r\n";
    let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(text);
    world.write("costs.csv", &bytes);
    let mapping = "SELECT 'manual' AS system, try_cast(\"Дата\" AS DATE) AS day, 'RUB' AS currency, \
                   minor_units(replace(replace(\"Расход\", ' ', ''), ',', '.'), 'RUB') AS cost_minor, \
                   \"Кампания\" AS campaign FROM file WHERE \"Расход\" IS NOT NULL";
    let options = json!({"path": "costs.csv", "into": "costs", "delimiter": ";", "encoding": "windows-1251",
                         "null": ["", "-"], "mapping": mapping});
    let (source, landing) = read(&world, options).await;
    let tables = map(&source, &[("file".to_owned(), landing)].into()).await;
    let expected = json!([{"system": "manual", "day": "2026-09-01", "currency": "RUB", "cost_minor": 123_450,
                           "campaign": "Осень; \"скидки\""}]);
    assert_eq!(Value::from(tables["costs"].clone()), expected);
}

#[tokio::test]
async fn bad_records_go_alone() {
    let world = World::at(NOW);
    let mut text = COSTS.as_bytes().to_vec();
    text.extend_from_slice(
        b"manual,2026-09-03,1\nmanual,2026-09-03,\xFF,RUB\n\"manual\"x,2026-09-03,1,RUB\n",
    );
    text.extend_from_slice(b"manual,2026-09-03,");
    text.extend(std::iter::repeat_n(b'7', (20 << 20) + 1));
    text.extend_from_slice(b",RUB\nmanual,2026-09-04,5,RUB\n");
    world.write("a.csv", text);
    let (source, landing) = read(&world, json!({"path": "a.csv", "into": "costs"})).await;
    assert_eq!(landing.column(&spec(&source, "file"), "day"), ["2026-09-01", "2026-09-02", "2026-09-04"]);
    let places: Vec<&str> = landing.rejects.iter().map(|r| r.place.as_str()).collect();
    assert_eq!(places, ["a.csv:4", "a.csv:5", "a.csv:6", "a.csv:7"]);
    assert_eq!(&landing.rejects[0].raw[..], b"manual,2026-09-03,1");
    assert_eq!(landing.rejects[3].raw.len(), 1 << 20);
    assert!(landing.rejects[3].reason.contains("20971521 bytes"), "{}", landing.rejects[3].reason);

    world.write("a.jsonl", b"{\"system\":\"m\"}\nnot json\n[1]\n{\"system\":\"\xFF\"}\n{\"system\":\"n\"}\n");
    let (source, landing) = read(&world, json!({"path": "a.jsonl", "into": "costs"})).await;
    assert_eq!(landing.column(&spec(&source, "file"), "system"), ["m", "n"]);
    let places: Vec<&str> = landing.rejects.iter().map(|r| r.place.as_str()).collect();
    assert_eq!(places, ["a.jsonl:2", "a.jsonl:3", "a.jsonl:4"]);
}

#[tokio::test]
async fn a_cut_or_damaged_file_is_an_error_and_leaves_what_was() {
    let world = World::at(NOW);
    let mut lines = String::from("system,day,cost_minor,currency\n");
    for i in 0..200_000_u64 {
        lines.push_str(&format!("m{},2026-09-01,{},RUB\n", i.wrapping_mul(0x9E37_79B9), i));
    }
    let whole = gz(lines.as_bytes());
    world.write("a.csv.gz", gz(COSTS.as_bytes()));
    let source = source(&world, json!({"path": "a.csv.gz", "into": "costs"}));
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "file").await.unwrap();
    world.write("a.csv.gz", &whole[..whole.len() / 2]);
    let error = landing.run(&source, &world.ctx, "file").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("ends in the middle of its gzip data, at byte"), "{error}");
    assert_eq!(
        landing.column(&spec(&source, "file"), "day"),
        ["2026-09-01", "2026-09-02"],
        "old rows were lost"
    );
    // Whole again: read from the start, nothing of the broken try counts.
    world.write("a.csv.gz", &whole);
    landing.run(&source, &world.ctx, "file").await.unwrap();
    assert_eq!(landing.column(&spec(&source, "file"), "day").len(), 200_000);

    let packed = zstd::encode_all(lines.as_bytes(), 3).unwrap();
    world.write("b.csv.zst", &packed[..packed.len() / 2]);
    let error = fails(&world, json!({"path": "b.csv.zst", "into": "costs"})).await;
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    world.write("c.csv.gz", b"system,day\nthis is no gzip");
    let error = fails(&world, json!({"path": "c.csv.gz", "into": "costs"})).await;
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    world.write("d.csv", format!("{COSTS}\"open,2026-09-01,1,RUB\n{}", "x\n".repeat(1000)));
    let error = fails(&world, json!({"path": "d.csv", "into": "costs"})).await;
    assert!(error.to_string().contains("d.csv:4: a quote is opened"), "{error}");
}

#[tokio::test]
async fn columns_are_checked_before_rows_are_read() {
    let world = World::at(NOW);
    world.write("a.csv", "system,day,cost_minor,curency\n");
    let error = fails(&world, json!({"path": "a.csv", "into": "costs"})).await.to_string();
    assert!(
        error.contains("costs has not: \"curency\"") && error.contains("did you mean \"currency\"?"),
        "{error}"
    );
    let error = fails(&world, json!({"path": "a.csv", "into": "costs", "extra": "ignore"})).await.to_string();
    assert!(error.contains("a.csv lacks \"currency\" of costs"), "{error}");
    world.write("b.jsonl", "{\"system\":\"m\",\"campain\":\"x\"}\n");
    let error = fails(&world, json!({"path": "b.jsonl", "into": "costs"})).await.to_string();
    assert!(error.contains("did you mean \"campaign\"?"), "{error}");
    world.write("c.csv", "day,day\n1,2\n");
    let error = fails(&world, json!({"path": "c.csv", "into": "costs"})).await.to_string();
    assert!(error.contains("names the column \"day\" twice"), "{error}");
    world.write("d.csv", b"\xFF\xFEd\0a\0");
    let error = fails(&world, json!({"path": "d.csv", "into": "costs"})).await.to_string();
    assert!(error.contains("encoding = \"utf-16le\""), "{error}");
    let error = fails(&world, json!({"path": "a.cvs", "into": "costs"})).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("did you mean \"a.csv\"?"), "{error}");
    world.write("e.txt", COSTS);
    let error = fails(&world, json!({"path": "e.txt", "into": "costs"})).await.to_string();
    assert!(error.contains("does not tell its format"), "{error}");
    let (source, landing) = read(
        &world,
        json!({"path": "e.txt", "format": "csv", "into": "costs", "header": false,
               "columns": [{"name": "system", "type": "text"}, {"name": "day", "type": "text"},
                           {"name": "cost_minor", "type": "text"}, {"name": "currency", "type": "text"}]}),
    )
    .await;
    assert_eq!(landing.column(&spec(&source, "file"), "system"), ["system", "manual", "manual"]);
}

#[tokio::test]
async fn an_edited_file_never_counts_twice() {
    let mut world = World::at(NOW);
    std::fs::create_dir(world.path("in")).unwrap();
    world.write("in/a.csv", COSTS);
    world.write("in/b.csv", COSTS.replace("manual", "other"));
    let options = json!({"path": "in/*.csv", "into": "costs"});
    let source = source(&world, options.clone());
    let spec = spec(&source, "file");
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "file").await.unwrap();
    let sorted = |landing: &Landing| {
        let mut costs: Vec<String> = landing
            .column(&spec, "system")
            .into_iter()
            .zip(landing.column(&spec, "cost_minor"))
            .map(|(a, b)| format!("{a} {b}"))
            .collect();
        costs.sort();
        costs.join(", ")
    };
    assert_eq!(sorted(&landing), "manual 100, manual 250, other 100, other 250");

    // Nothing new: nothing is read.
    world.later("2026-09-10T10:00:00Z");
    let before = landing.checkpoint.clone();
    landing.run(&source, &world.ctx, "file").await.unwrap();
    assert_eq!(landing.checkpoint, before);
    assert_eq!(landing.batches(&spec).len(), 2);

    // Edited, back again, and edited once more under a clock that stands still.
    for (text, expected) in [
        ("system,day,cost_minor,currency\nmanual,2026-09-01,7,RUB\n", "manual 7, other 100, other 250"),
        (COSTS, "manual 100, manual 250, other 100, other 250"),
        ("system,day,cost_minor,currency\n", "other 100, other 250"),
    ] {
        world.write("in/a.csv", text);
        landing.run(&source, &world.ctx, "file").await.unwrap();
        assert_eq!(sorted(&landing), expected);
    }

    std::fs::remove_file(world.path("in/b.csv")).unwrap();
    landing.run(&source, &world.ctx, "file").await.unwrap();
    assert_eq!(sorted(&landing), "");
    assert!(landing.notices.iter().any(|n| n.code == "file_gone" && n.message.contains("in/b.csv")));

    // All gone is a disk that is not there, not deleted data.
    world.write("in/a.csv", COSTS);
    landing.run(&source, &world.ctx, "file").await.unwrap();
    std::fs::remove_file(world.path("in/a.csv")).unwrap();
    assert_eq!(landing.run(&source, &world.ctx, "file").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(sorted(&landing), "manual 100, manual 250");
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_file_loses_and_repeats_nothing() {
    let world = World::at(NOW);
    let mut lines = String::from("system,day,cost_minor,currency\n");
    for i in 0..130_000 {
        lines.push_str(&format!("m,2026-09-01,{i},RUB\n"));
        if i % 1000 == 0 {
            lines.push_str("broken\n");
        }
    }
    world.write("big.csv", &lines);
    let json: String = (0..130_000)
        .map(|i| {
            format!("{{\"system\":\"m\",\"day\":\"2026-09-01\",\"cost_minor\":{i},\"currency\":\"RUB\"}}\n")
        })
        .collect();
    world.write("big.jsonl", json);
    for (name, rejects) in [("big.csv", 130), ("big.jsonl", 0)] {
        for crash_at in 1..=2 {
            let source = source(&world, json!({"path": name, "into": "costs"}));
            let mut landing = Landing::default();
            let breaks = Break { after_checkpoints: Some(crash_at), ..Break::default() };
            landing.run_until(&source, &world.ctx, "file", breaks).await.unwrap();
            let spec = spec(&source, "file");
            assert!(landing.batches(&spec).is_empty(), "an unfinished file counts");
            landing.run(&source, &world.ctx, "file").await.unwrap();
            let mut costs: Vec<u32> =
                landing.column(&spec, "cost_minor").iter().map(|c| c.parse().unwrap()).collect();
            costs.sort_unstable();
            assert_eq!(costs, (0..130_000).collect::<Vec<u32>>(), "{name}, crash {crash_at}");
            assert_eq!(landing.rejects.len(), rejects);
        }
    }
    // Changed between crash and resume: the rows that landed do not count.
    let source = source(&world, json!({"path": "big.csv", "into": "costs"}));
    let mut landing = Landing::default();
    let breaks = Break { after_checkpoints: Some(1), ..Break::default() };
    landing.run_until(&source, &world.ctx, "file", breaks).await.unwrap();
    world.write("big.csv", COSTS);
    landing.run(&source, &world.ctx, "file").await.unwrap();
    assert_eq!(landing.column(&spec(&source, "file"), "cost_minor"), ["100", "250"]);
}

#[tokio::test]
async fn a_preview_is_small_and_replaces_nothing() {
    let world = World::at(NOW);
    world.write("a.csv", COSTS);
    world.write("b.csv", COSTS);
    let source = source(&world, json!({"path": ["a.csv", "b.csv"], "into": "costs"}));
    let request = ReadRequest { stream: "file".into(), checkpoint: None, window: None, max_pages: Some(1) };
    let events: Vec<_> = futures::StreamExt::collect(source.read(&world.ctx, request).await.unwrap()).await;
    assert_eq!(events.len(), 1);
    assert!(matches!(&events[0], Ok(ReadEvent::Batch(b)) if b.rows.num_rows() == 2 && b.page == "a.csv:2"));
}

#[tokio::test]
async fn the_readme_example_is_good() {
    let (connector, options) = readme_options(FileConnector.readme());
    assert_eq!(connector, "file");
    let world = World::at(NOW);
    let early = source(&world, options.clone());
    assert_eq!(early.check(&world.ctx).await.unwrap_err().kind(), ErrorKind::NotFound);
    std::fs::create_dir(world.path("data")).unwrap();
    world.write("data/costs-2026-09.csv", include_bytes!("../../src/file/samples/costs-2026-09.csv"));
    let (source, landing) = read(&world, options).await;
    let tables = map(&source, &[("file".to_owned(), landing)].into()).await;
    let row = |day: &str, cost: i64, from: &str, campaign: &str| {
        json!({"system": "manual", "day": day, "cost_minor": cost, "currency": "RUB", "source": from,
               "medium": "cpc", "campaign": campaign})
    };
    let expected =
        [row("2026-09-01", 123_450, "yandex", "Осень"), row("2026-09-02", 90_000, "vk", "Скидки; финал")];
    assert_eq!(tables["costs"], expected);
}
