use serde_json::{Value, json};
use throughline_core::Place;

use crate::{connector, context, try_build};

fn wrong(name: &str, value: Value) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let errors = try_build(name, folder.path(), value).map(|_| ()).unwrap_err();
    let pointer = |e: &throughline_core::Error| match e.place() {
        Some(Place::Option { pointer, .. }) => pointer.clone(),
        other => panic!("{other:?}"),
    };
    errors.iter().map(|e| (pointer(e), e.message().to_owned())).collect()
}

#[test]
fn every_wrong_option_is_told_with_its_place() {
    let found = wrong("parquet", json!({"path": " ", "keep_epochs": 1, "row_group_rows": 5}));
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["/path", "/keep_epochs", "/row_group_rows"], "{found:#?}");

    let found = wrong("csv", json!({"path": "x", "delimiter": "ж", "null": "a\nb"}));
    let places: Vec<&str> = found.iter().map(|(place, _)| place.as_str()).collect();
    assert_eq!(places, ["/delimiter", "/null"], "{found:#?}");
    for delimiter in ["", ",,", "a", "\"", "\n", "0"] {
        assert_eq!(wrong("csv", json!({"path": "x", "delimiter": delimiter})).len(), 1, "{delimiter:?}");
    }

    let found = wrong("parquet", json!({"pth": "x", "compression": "rar"}));
    assert!(found.iter().any(|(p, m)| p == "/pth" && m.contains("unknown field")), "{found:#?}");
    assert!(found.iter().any(|(p, m)| p == "/compression" && m.contains("zstd")), "{found:#?}");
    assert!(found.iter().any(|(_, m)| m.contains("missing field `path`")), "{found:#?}");
}

/// The README's example is one that works.
#[tokio::test]
async fn the_readme_example_builds() {
    for name in ["parquet", "csv"] {
        let readme = connector(name).readme().to_owned();
        let example = readme.split("```toml").nth(1).unwrap().split("```").next().unwrap();
        let mut options = serde_json::Map::new();
        for line in example.lines().map(|l| l.split(" #").next().unwrap().trim()).filter(|l| !l.is_empty()) {
            let Some((key, value)) = line.split_once(" = ") else {
                assert_eq!(line, "[[sink]]");
                continue;
            };
            // Keys that the engine reads itself.
            if !["name", "connector", "tables"].contains(&key) {
                options.insert(key.into(), serde_json::from_str(value).unwrap());
            }
        }
        // The example names every option there is, but for those of buckets.
        let schema = connector(name).schema();
        let mut known: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        known.retain(|key| !["s3", "gcs", "azure"].contains(&key.as_str()));
        let mut shown: Vec<&String> = options.keys().collect();
        shown.sort();
        let mut sorted = known.clone();
        sorted.sort();
        assert_eq!(shown, sorted, "{name}");

        let folder = tempfile::tempdir().unwrap();
        let sink = try_build(name, folder.path(), options.into()).unwrap();
        let report = sink.check(&context()).await.unwrap();
        assert!(report.facts.iter().any(|(_, fact)| fact.contains("will be made")), "{report:?}");
        assert_eq!(sink.guarantee().as_str(), "exactly-once");
        assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "a check makes nothing");
    }
}
