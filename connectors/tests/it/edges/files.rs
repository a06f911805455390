//! Files and inboxes around batches of 8,192 rows, and around the checkpoints in the middle of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use serde_json::{Value, json};
use throughline_connectors::file::FileConnector;
use throughline_connectors::whatsapp::WhatsappConnector;
use throughline_connectors::whatsapp_export::WhatsappExportConnector;
use throughline_core::DynSource;

use super::around;
use crate::support::{Break, Landing, World, spec};

/// As in the connectors.
const BATCH: usize = 8192;
const NOW: &str = "2026-09-10T09:00:00Z";

/// Values of one column, once read whole and once broken off behind the first checkpoint.
async fn both_ways(source: &DynSource, world: &World, stream: &str, column: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for first in [None, Some(1)] {
        let mut landing = Landing::default();
        let breaks = Break { after_checkpoints: first, never_committed: true };
        if first.is_some() {
            landing.run_until(source, &world.ctx, stream, breaks).await.unwrap();
        }
        landing.run(source, &world.ctx, stream).await.unwrap();
        assert_eq!(landing.rejects.len(), 0);
        found.push(landing.column(&spec(source, stream), column));
    }
    found
}

fn file(world: &World, name: &str) -> DynSource {
    let mapping = "SELECT CAST(n AS VARCHAR) AS deal_id, 'open' AS state, now() AS created_at FROM file";
    world.build(&FileConnector, json!({"path": name, "into": "deals", "mapping": mapping}))
}

#[tokio::test]
async fn rows_of_files() {
    let world = World::at(NOW);
    for count in around([BATCH]) {
        let numbers: Vec<i64> = (0..count as i64).collect();
        world.write(
            "a.csv",
            numbers.iter().map(|n| format!("{n}\n")).fold("n\n".to_owned(), |all, n| all + &n),
        );
        world.write("a.jsonl", numbers.iter().map(|n| format!("{{\"n\":{n}}}\n")).collect::<String>());
        let column: ArrayRef = Arc::new(Int64Array::from(numbers.clone()));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let parquet = std::fs::File::create(world.path("a.parquet")).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(parquet, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let wanted: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        for name in ["a.csv", "a.jsonl", "a.parquet"] {
            for found in both_ways(&file(&world, name), &world, "file", "n").await {
                assert_eq!(found, wanted, "{name}");
            }
        }
    }
}

/// The first batch behind 50,000 rows ends with a checkpoint.
#[tokio::test]
async fn rows_of_a_file_around_a_checkpoint_in_it() {
    let world = World::at(NOW);
    let first = 50_000_usize.div_ceil(BATCH) * BATCH;
    for count in [first - 1, first, first + 1] {
        let lines = (0..count).fold("n\n".to_owned(), |all, n| all + &n.to_string() + "\n");
        world.write("a.csv", lines);
        for found in both_ways(&file(&world, "a.csv"), &world, "file", "n").await {
            assert!(found.iter().enumerate().all(|(n, value)| *value == n.to_string()));
            assert_eq!(found.len(), count);
        }
    }
}

/// A delivery of WhatsApp with one record in one of its lists.
fn delivery(list: &str, id: &str) -> String {
    let record = json!({"from": "79160000001", "recipient_id": "79160000001", "id": id, "timestamp": "1788250000",
        "type": "text", "status": "read", "text": {"body": "да"}});
    let value = json!({"metadata": {"phone_number_id": "55"}, list: [record]});
    let entry = json!([{"id": "1", "changes": [{"field": "messages", "value": value}]}]);
    let body = json!({"object": "whatsapp_business_account", "entry": entry}).to_string();
    json!({"received_at": "2026-09-01T10:00:00Z", "headers": {}, "body": body}).to_string() + "\n"
}

#[tokio::test]
async fn deliveries_of_an_inbox() {
    for count in around([BATCH]) {
        let world = World::at(NOW);
        let ids: Vec<String> = (0..count).map(|n| format!("w{n}")).collect();
        world.write("inbox.jsonl", ids.iter().map(|id| delivery("messages", id)).collect::<String>());
        let source = world.build(&WhatsappConnector, json!({"inbox": "inbox*"}));
        for found in both_ways(&source, &world, "messages", "id").await {
            assert_eq!(found, ids);
        }
    }
}

/// A checkpoint comes behind 50,000 deliveries, also when they hold nothing of a stream.
#[tokio::test]
async fn deliveries_of_an_inbox_around_a_checkpoint() {
    let (message, status) = (delivery("messages", "m"), delivery("statuses", "s"));
    for before in [49_998, 49_999, 50_000] {
        let world = World::at(NOW);
        world.write("inbox.jsonl", message.repeat(before) + &status + &message);
        let source = world.build(&WhatsappConnector, json!({"inbox": "inbox*"}));
        for found in both_ways(&source, &world, "statuses", "id").await {
            assert_eq!(found, ["s"], "behind {before}");
        }
    }
}

#[tokio::test]
async fn messages_of_an_exported_chat() {
    for count in around([BATCH]) {
        let world = World::at(NOW);
        let line = |n: usize| format!("13.03.2026, 14:05 - Анна: № {n}\n");
        world.write("chat.txt", (0..count).map(line).collect::<String>());
        let options: Value =
            json!({"path": "*.txt", "operators": ["Студия"], "account": "55", "time_zone": "Europe/Moscow"});
        let source = world.build(&WhatsappExportConnector, options);
        for found in both_ways(&source, &world, "messages", "text").await {
            let wanted: Vec<String> = (0..count).map(|n| format!("№ {n}")).collect();
            assert_eq!(found, wanted);
        }
    }
}
