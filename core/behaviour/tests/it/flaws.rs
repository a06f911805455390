use std::time::Duration;

use serde_json::json;
use throughline_behaviour::{Bounds, CHECKS, Report, Suite, Verdict};
use throughline_core::{Options, SourceConnector};

use crate::source::{Flaw, SECRET, Shop};
use crate::vendor::{DAY_US, FIRST_DAY, context};

fn suite(flaw: Flaw) -> Suite {
    let value = json!({"account": "лавка", "size": 10, "token": {"$secret": SECRET}});
    let options = Options { name: "shop".into(), value, base_dir: ".".into() };
    let connector: &'static dyn SourceConnector = Box::leak(Box::new(Shop(flaw)));
    let from = FIRST_DAY * DAY_US;
    Suite::of_connector(connector, &options, context).window(from, from + 4 * DAY_US)
}

async fn run(flaw: Flaw) -> Report {
    suite(flaw).run().await
}

#[tokio::test]
async fn a_good_source_passes_every_check() {
    let report = run(Flaw::None).await;
    assert!(report.passed(), "{}", report.text());
    let (passed, failed, skipped) = report.counts();
    // Of lines, which have neither a number nor windows, and of days, which have no number.
    assert_eq!((passed, failed, skipped), (3 + 3 * 14 - 3, 0, 3), "{}", report.text());
    for check in CHECKS {
        let done = report.outcomes.iter().filter(|o| o.check == *check);
        assert!(
            done.clone().any(|o| matches!(o.verdict, Verdict::Passed { .. })),
            "{} never ran",
            check.name
        );
    }
    // Nothing passed for want of something to look at.
    let text = report.text();
    for part in [
        "35 rows by 5 requests",
        "25 rows by 4 requests",
        "16 rows by 8 requests",
        "stopped at 3 of 3 checkpoints",
        "stopped at 2 of 2 checkpoints",
        "stopped at 7 of 7 checkpoints",
        "20 rows from 2026-08-01T00:00:00Z to 2026-08-05T00:00:00Z",
        "6 rows by 3 requests, none of them new",
        "shop Лавка",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

/// Each flaw, a stream that has it, and the checks that must find it: these and no others.
const CAUGHT: &[(Flaw, &str, &[&str])] = &[
    (Flaw::KeyIsNoColumn, "orders", &["catalog"]),
    (Flaw::KeyIsAList, "orders", &["catalog"]),
    (Flaw::MappingOfNoTable, "orders", &["catalog"]),
    (Flaw::MappingOfNoStream, "orders", &["catalog"]),
    (Flaw::DiscoversLess, "orders", &["catalog"]),
    (Flaw::TakesUnknownOptions, "orders", &["options"]),
    (Flaw::PointsElsewhere, "orders", &["options"]),
    (Flaw::NeedsNothing, "orders", &["options"]),
    (Flaw::ChecksBadly, "orders", &["connection"]),
    (Flaw::FailsAtTheEnd, "orders", &["read"]),
    (Flaw::ReusesWindowIds, "days", &["events"]),
    (Flaw::RowsOutsideWindows, "days", &["events"]),
    (Flaw::LeavesWindowsOpen, "days", &["events"]),
    (Flaw::NestsWindows, "days", &["events"]),
    (Flaw::NullKey, "orders", &["rows"]),
    (Flaw::KeyOfTwo, "orders", &["rows"]),
    (Flaw::EngineColumn, "orders", &["rows"]),
    (Flaw::LiesAboutCount, "orders", &["counts"]),
    (Flaw::LiesAboutTotal, "orders", &["counts"]),
    (Flaw::CountsNothing, "orders", &["counts"]),
    (Flaw::OtherRowsEachTime, "orders", &["repeatable"]),
    (Flaw::NoCheckpoints, "orders", &["checkpoints"]),
    (Flaw::SecretInCheckpoints, "orders", &["checkpoints"]),
    (Flaw::CommittedOnce, "orders", &["checkpoints"]),
    (Flaw::LosesARowAtResume, "orders", &["resumable"]),
    (Flaw::LosesAPageAtResume, "orders", &["resumable"]),
    (Flaw::DoublesARowAtResume, "lines", &["resumable"]),
    (Flaw::ForgetsItsWindow, "days", &["resumable"]),
    (Flaw::NewRowsNextTime, "orders", &["incremental"]),
    (Flaw::IgnoresMaxPages, "orders", &["dry_read"]),
    (Flaw::DryReadsElse, "orders", &["dry_read"]),
    (Flaw::LosesTheBorder, "orders", &["windows"]),
    (Flaw::NoWindows, "orders", &["windows"]),
    (Flaw::IgnoresCancel, "orders", &["cancel", "cancel_request"]),
    (Flaw::IgnoresCancelInRequests, "orders", &["cancel_request"]),
    (Flaw::StopsNormally, "days", &["cancel", "cancel_request"]),
    (Flaw::StopsWithAnotherError, "orders", &["cancel", "cancel_request"]),
    (Flaw::SwallowsErrors, "orders", &["http_errors", "http_rubbish"]),
    (Flaw::GoesOnBehindErrors, "orders", &["http_errors", "http_rubbish"]),
    (Flaw::NamelessErrors, "orders", &["http_errors", "http_rubbish"]),
    (Flaw::TellsSecrets, "orders", &["http_errors", "http_rubbish"]),
    (Flaw::TakesRubbish, "orders", &["http_rubbish"]),
    (Flaw::TakesHalves, "lines", &["http_rubbish"]),
];

#[tokio::test]
async fn every_flaw_is_caught_by_the_check_meant_for_it() {
    let mut wrong = String::new();
    for (flaw, stream, checks) in CAUGHT {
        // Short only where it is waited for: machines may be busy.
        let hangs = matches!(flaw, Flaw::IgnoresCancel | Flaw::IgnoresCancelInRequests);
        let cancel = if hangs { Duration::from_millis(300) } else { Bounds::default().cancel };
        let bounds = Bounds { cancel, ..Bounds::default() };
        let report = suite(*flaw).streams([*stream]).bounds(bounds).run().await;
        if report.failed() != *checks {
            wrong += &format!("--- {flaw:?} should fail {checks:?}\n{}", report.text());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn a_source_that_hangs_or_panics_ends_the_suite_all_the_same() {
    let bounds = Bounds { read: Duration::from_secs(1), ..Bounds::default() };
    let report = suite(Flaw::Hangs).streams(["orders"]).bounds(bounds).run().await;
    assert_eq!(report.failed(), ["read"], "{}", report.text());
    assert!(report.text().contains("no end in time"), "{}", report.text());
    let report = suite(Flaw::Panics).streams(["orders"]).run().await;
    assert_eq!(report.failed(), ["read"], "{}", report.text());
    assert!(report.text().contains("panicked"), "{}", report.text());
    let report =
        suite(Flaw::None).bounds(Bounds { rows: 12, ..Bounds::default() }).streams(["orders"]).run().await;
    assert!(report.text().contains("more than 12 rows"), "{}", report.text());
}

#[tokio::test]
async fn a_report_says_what_where_and_what_to_do() {
    let report = suite(Flaw::LosesARowAtResume).streams(["orders"]).run().await;
    let text = report.text();
    for part in [
        "✗ 10 resumable",
        "where:    orders, checkpoint 1 of 4",
        "1 row lost, e.g. {id: 11, total: 110}",
        "to do:",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let json = report.json();
    assert_eq!((json["passed"].as_bool(), json["source"].as_str()), (Some(false), Some("shop")));
    let outcomes = json["outcomes"].as_array().unwrap();
    let failed: Vec<_> = outcomes.iter().filter(|o| o["result"] == "failed").collect();
    assert_eq!(
        (failed.len(), failed[0]["name"].as_str(), failed[0]["number"].as_u64()),
        (1, Some("resumable"), Some(10))
    );
    assert_eq!(failed[0]["stream"], "orders");
    assert_eq!(failed[0]["failures"].as_array().unwrap().len(), 2);
    let unknown = suite(Flaw::None).streams(["order"]).run().await;
    assert_eq!(unknown.failed(), ["read"]);
    assert!(unknown.text().contains("orders, lines, days"), "{}", unknown.text());
}
