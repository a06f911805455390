//! Worlds from recordings: what nobody recorded is told, and is no failure where it could not be known.

use std::sync::Arc;

use serde_json::json;
use throughline_behaviour::{Offline, Suite, Verdict};
use throughline_core::{Redactor, Source};

use crate::source::{Flaw, ShopSource};

/// A recording of a whole read of the orders.
fn recording(folder: &std::path::Path, pages: &[(i64, std::ops::RangeInclusive<i64>)]) -> Suite {
    let path = folder.join("answers.jsonl");
    let mut text =
        json!({"throughline_cassette": 1, "recorded_at": "2026-09-01T00:00:00Z"}).to_string() + "\n";
    for (after, ids) in pages {
        let items: Vec<_> = ids.clone().map(|id| json!({"id": id, "total": id * 10})).collect();
        let url = format!("https://vendor.example/orders?after={after}");
        let body = json!({"items": items, "total": 3}).to_string();
        text += &(json!({"method": "GET", "url": url, "status": 200, "headers": {}, "body": body})
            .to_string()
            + "\n");
    }
    std::fs::write(&path, text).unwrap();
    let world = Offline::open("shop", &path, Redactor::new()).unwrap();
    let source = || Ok(Arc::new(ShopSource(Flaw::None)) as Arc<dyn Source>);
    Suite::new("shop", source, move || world.setting()).streams(["orders"])
}

#[tokio::test]
#[allow(clippy::reversed_empty_ranges)]
async fn one_recording_serves_every_read() {
    let folder = tempfile::tempdir().unwrap();
    let report = recording(folder.path(), &[(0, 1..=2), (2, 3..=3), (3, 1..=0)]).run().await;
    assert!(report.passed(), "{}", report.text());
    // What only windows ask was not recorded.
    let windows = report.outcomes.iter().find(|o| o.check.name == "windows").unwrap();
    assert!(
        matches!(&windows.verdict, Verdict::Skipped { why } if why.contains("no recorded answer to GET")),
        "{windows:?}"
    );
    let (passed, failed, skipped) = report.counts();
    assert_eq!((passed, failed, skipped), (15, 0, 2), "{}", report.text());
}

#[tokio::test]
async fn a_whole_read_must_be_recorded_wholly() {
    let folder = tempfile::tempdir().unwrap();
    let report = recording(folder.path(), &[(0, 1..=2), (2, 3..=3)]).run().await;
    assert_eq!(report.failed(), ["read"], "{}", report.text());
    assert!(
        report.text().contains("no recorded answer to GET https://vendor.example/orders"),
        "{}",
        report.text()
    );
}
