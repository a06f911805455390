//! The examples in C and C++, read whole, stopped and gone on with, in both places.

use arrow::array::AsArray;
use serde_json::json;
use throughline_core::{ErrorKind, Place, ReadEvent, SourceConnector};

use crate::support::{calls, connector, context, counter, events, numbers, options, request, source};

#[tokio::test(flavor = "multi_thread")]
async fn c_counts_alike_in_both_places() {
    for isolation in ["thread", "process"] {
        let source = source(counter(), isolation, json!({ "last": 10, "batch": 4 }));
        let ctx = context();
        assert_eq!(source.check(&ctx).await.unwrap().facts, [("last".to_owned(), "10".to_owned())]);
        assert_eq!(source.catalog().streams[0].key, ["n"]);
        let (whole, error) = events(&source, &ctx, request("numbers", None)).await;
        assert!(error.is_none(), "{isolation}: {error:?}");
        assert_eq!(numbers(&whole, "n"), (1..=10).collect::<Vec<_>>(), "{isolation}");
        let Some(ReadEvent::Batch(batch)) = whole.first() else { panic!("{isolation}: {whole:?}") };
        assert_eq!(batch.rows.column(1).as_string::<i32>().value(1), "№ 2");
        assert_eq!(batch.page, "batch 1");
        let checkpoints: Vec<_> = whole
            .iter()
            .filter_map(|e| if let ReadEvent::Checkpoint(c) = e { Some(c.0.clone()) } else { None })
            .collect();
        assert_eq!(checkpoints, [json!({"read": 4}), json!({"read": 8}), json!({"read": 10})]);
        let (rest, error) = events(&source, &ctx, request("numbers", Some(checkpoints[1].clone()))).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(numbers(&rest, "n"), [9, 10], "{isolation}");
        let (_, error) = events(&source, &ctx, request("numbers", Some(json!("rubbish")))).await;
        assert_eq!(error.unwrap().kind(), ErrorKind::Data, "{isolation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_streams_are_read_at_once() {
    for isolation in ["thread", "process"] {
        let source = source(counter(), isolation, json!({ "last": 50_000, "batch": 1000 }));
        let ctx = context();
        let reads = (0..6).map(|_| events(&source, &ctx, request("numbers", None)));
        for (events, error) in futures::future::join_all(reads).await {
            assert!(error.is_none(), "{isolation}: {error:?}");
            assert_eq!(numbers(&events, "n").len(), 50_000);
        }
    }
}

#[test]
fn a_wrong_option_is_pointed_at() {
    for isolation in ["thread", "process"] {
        for (value, pointer) in [
            (json!({ "last": -1, "isolation": isolation }), "/last"),
            (json!({ "batch": 0, "isolation": isolation }), "/batch"),
            (json!({ "isolation": "fork" }), "/isolation"),
        ] {
            let errors = connector(counter()).build(&options(value)).map(|_| ()).unwrap_err();
            assert!(
                matches!(errors[0].place(), Some(Place::Option { pointer: p, .. }) if p == pointer),
                "{isolation}: {errors:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cpp_reads_calls_and_names_the_line_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.tsv");
    std::fs::write(&path, "a\t1\t+79161234567\t12\nб\t2\t+966501234567\t0\n").unwrap();
    for isolation in ["thread", "process"] {
        let source = source(calls(), isolation, json!({ "path": path }));
        let ctx = context();
        let (whole, error) = events(&source, &ctx, request("calls", None)).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(numbers(&whole, "seconds"), [12, 0]);
        let (rest, error) = events(&source, &ctx, request("calls", Some(json!(2)))).await;
        assert!(error.is_none() && numbers(&rest, "seconds").is_empty(), "{error:?}");
        let (_, error) = events(&source, &ctx, request("calls", Some(json!(3)))).await;
        assert!(error.unwrap().message().contains("shorter than it was"));
    }
    std::fs::write(&path, "a\t1\t+79161234567\t12\nb\tnoon\t\t\n").unwrap();
    let source = source(calls(), "process", json!({ "path": path }));
    let (_, error) = events(&source, &context(), request("calls", None)).await;
    assert!(error.unwrap().message().contains("calls.tsv:2: no call"));
}
