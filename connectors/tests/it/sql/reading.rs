//! Every row once: around batches, from run to run, through broken connections.

use futures::StreamExt as _;
use serde_json::json;
use throughline_core::{ErrorKind, ReadEvent, ReadRequest};

use super::{Db, NOW, all, numbers};
use crate::support::{Break, Landing, World, spec};

/// As in the connector.
const BATCH: usize = 8_192;

fn incremental(table: &str) -> serde_json::Value {
    json!([{"name": "orders", "table": table, "key": ["id"], "cursor": "at", "overlap_s": 60}])
}

#[tokio::test]
async fn every_row_comes_once_around_a_batch() {
    for db in all() {
        let world = World::at(NOW);
        for n in [0, 1, BATCH - 1, BATCH, BATCH + 1] {
            let table = db.table(n);
            for streams in [incremental(&table), json!([{"name": "orders", "table": table}])] {
                let source = db.source(&world, streams);
                let mut landing = Landing::default();
                landing.run(&source, &world.ctx, "orders").await.unwrap();
                let ids = numbers(&landing.column(&spec(&source, "orders"), "id"));
                assert_eq!(ids, (1..=n as i64).collect::<Vec<_>>(), "{n}");
                let count = &landing.counts[0];
                assert_eq!((count.expected, count.read), (n as u64, n as u64));
            }
        }
    }
}

#[tokio::test]
async fn later_runs_read_what_is_new_and_what_came_late() {
    for db in all() {
        let world = World::at(NOW);
        let table = db.table(1_000);
        let source = db.source(&world, incremental(&table));
        let spec = spec(&source, "orders");
        let mut landing = Landing::default();
        landing.run(&source, &world.ctx, "orders").await.unwrap();
        // An equal cursor, one within the overlap, a change, and a new row.
        db.query(&format!(
            "INSERT INTO {table} SELECT 1001, at, 'equal' FROM {table} WHERE id = 1000; \
             INSERT INTO {table} SELECT 1002, at, 'late' FROM {table} WHERE id = 950; \
             UPDATE {table} SET word = 'changed', at = '2026-09-02 00:00:00' WHERE id = 5; \
             INSERT INTO {table} VALUES (1003, '2026-09-02 00:00:00', 'новый')"
        ));
        let before = landing.column(&spec, "id").len();
        landing.run(&source, &world.ctx, "orders").await.unwrap();
        let (ids, words) = (landing.column(&spec, "id"), landing.column(&spec, "word"));
        let mut new: Vec<(i64, &str)> =
            ids.iter().zip(&words).skip(before).map(|(i, w)| (i.parse().unwrap(), w.as_str())).collect();
        new.sort_unstable();
        new.retain(|(_, word)| !word.starts_with("xxx"));
        assert_eq!(new, [(5, "changed"), (1001, "equal"), (1002, "late"), (1003, "новый")]);
        // The 61 rows of the last minute came again, and no more.
        assert_eq!(ids.len() - before, 4 + 61, "{ids:?}");
        let mut distinct = numbers(&ids);
        distinct.dedup();
        assert_eq!(distinct.len(), 1_003);
    }
}

#[tokio::test]
async fn a_run_that_broke_off_goes_on_where_it_was() {
    for db in all() {
        let world = World::at(NOW);
        let n = 2 * BATCH + 5;
        let table = db.table(n);
        // All cursors equal: the key alone tells where it was.
        db.query(&format!("UPDATE {table} SET at = '2026-09-01 00:00:00'"));
        for stop in 1..=3 {
            let mut landing = Landing::default();
            let source = db.source(&world, incremental(&table));
            let spec = spec(&source, "orders");
            let at = Break { after_checkpoints: Some(stop), never_committed: true };
            landing.run_until(&source, &world.ctx, "orders", at).await.unwrap();
            assert!(landing.column(&spec, "id").len() < n || stop == 3);
            let again = db.source(&world, incremental(&table));
            landing.run(&again, &world.ctx, "orders").await.unwrap();
            assert_eq!(numbers(&landing.column(&spec, "id")), (1..=n as i64).collect::<Vec<_>>(), "{stop}");
            // What came late while it lay broken is read by the run after.
            db.query(&format!("DELETE FROM {table} WHERE id < 0; INSERT INTO {table} VALUES (-{stop}, '2026-08-31 23:59:30', 'late')"));
            landing.run(&again, &world.ctx, "orders").await.unwrap();
            assert!(landing.column(&spec, "id").contains(&format!("-{stop}")));
            db.query(&format!("DELETE FROM {table} WHERE id < 0"));
        }
    }
}

/// Ends every other connection that reads `table`.
fn kill(db: Db, table: &str) -> usize {
    match db {
        Db::Postgresql(cluster) => cluster
            .query(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE query LIKE '%{table}%' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ))
            .len(),
        Db::Mysql(server) => {
            let found = server.query(&format!(
                "SELECT id FROM information_schema.processlist WHERE info LIKE '%{table}%' AND user = 'reader'"
            ));
            for row in &found {
                server.query(&format!("KILL CONNECTION {}", row[0]));
            }
            found.len()
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_the_connection_is_asked_for_the_rest() {
    for db in all() {
        let world = World::at(NOW);
        let n = 5 * BATCH;
        let table = db.table(n);
        db.query(&format!("UPDATE {table} SET word = repeat('y', 1000)"));
        for keyed in [true, false] {
            let streams =
                if keyed { incremental(&table) } else { json!([{"name": "orders", "table": table}]) };
            let source = db.source(&world, streams);
            let request =
                ReadRequest { stream: "orders".into(), checkpoint: None, window: None, max_pages: None };
            let mut events = source.read(&world.ctx, request).await.unwrap();
            let (mut ids, mut killed, mut failed) = (Vec::new(), 0, None);
            let mut counts = Vec::new();
            while let Some(event) = events.next().await {
                match event {
                    Ok(ReadEvent::Batch(batch)) => {
                        let column = batch.rows.column_by_name("id").unwrap();
                        let column =
                            arrow::array::AsArray::as_primitive::<arrow::datatypes::Int64Type>(column);
                        ids.extend(column.values().iter().copied());
                        if killed == 0 {
                            killed = kill(db, &table);
                        }
                    }
                    Ok(ReadEvent::Count(count)) => counts.push((count.expected, count.read)),
                    Ok(_) => {}
                    Err(e) => failed = Some(e),
                }
            }
            assert_eq!(killed, 1);
            if keyed {
                assert!(failed.is_none(), "{failed:?}");
                assert_eq!(ids, (1..=n as i64).collect::<Vec<_>>());
                assert_eq!(counts, [(n as u64, n as u64)]);
            } else {
                // Without an order nobody knows which rows are missing: the next run reads them all.
                let error = failed.unwrap();
                assert!(error.is_temporary(), "{error}");
                assert!(ids.len() < n && counts.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn a_preview_reads_a_little_and_keeps_no_place() {
    for db in all() {
        let world = World::at(NOW);
        let source = db.source(&world, incremental(&db.table(3 * BATCH)));
        let request =
            ReadRequest { stream: "orders".into(), checkpoint: None, window: None, max_pages: Some(1) };
        let mut events = source.read(&world.ctx, request).await.unwrap();
        let mut rows = 0;
        while let Some(event) = events.next().await {
            match event.unwrap() {
                ReadEvent::Batch(batch) => rows += batch.rows.num_rows(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(rows, BATCH);
    }
}

#[tokio::test]
async fn rows_without_a_place_in_the_order_are_refused() {
    for db in all() {
        let world = World::at(NOW);
        let table = db.table(3);
        db.query(&format!("INSERT INTO {table} VALUES (4, NULL, 'x')"));
        let source = db.source(&world, incremental(&table));
        let mut landing = Landing::default();
        let error = landing.run(&source, &world.ctx, "orders").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("no value in the cursor or the key"), "{error}");
        let query = format!("SELECT * FROM {table} WHERE at IS NOT NULL; -- those that have one");
        let query = query.replace(';', "");
        let streams = json!([{"name": "orders", "query": query, "key": ["id"], "cursor": "at"}]);
        let source = db.source(&world, streams);
        landing.run(&source, &world.ctx, "orders").await.unwrap();
        assert_eq!(landing.column(&spec(&source, "orders"), "id").len(), 3);
    }
}
