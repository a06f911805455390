use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;
use serde_json::json;
use throughline_core::ErrorKind;
use throughline_store::{NewRun, RunEnd, RunStatus, Store};

use crate::{Folder, begin};

#[tokio::test]
async fn runs_outlive_the_process() {
    let folder = Folder::new();
    let store = folder.open();
    let first = begin(&store).await;
    let second = begin(&store).await;
    assert!(second > first);
    let end = RunEnd { status: RunStatus::Incomplete, finished_at_us: 30, report: json!({"строк": 7}) };
    store.finish_run(first, end.clone()).await.unwrap();
    assert_eq!(store.finish_run(first, end).await.unwrap_err().kind(), ErrorKind::Bug);
    drop(store);

    assert!(!folder.path().join("state.db-wal").exists(), "closing folds the log into the one file");
    let store = folder.open();
    assert_eq!(store.mark_crashed("other", 40).await.unwrap(), []);
    assert_eq!(store.mark_crashed("shop", 40).await.unwrap(), [second]);
    let runs = store.runs(Some("shop"), 10).await.unwrap();
    assert_eq!(
        runs.iter().map(|r| r.status).collect::<Vec<_>>(),
        [RunStatus::Crashed, RunStatus::Incomplete]
    );
    assert_eq!(store.run(first).await.unwrap().unwrap().report, Some(json!({"строк": 7})));
    assert_eq!(store.runs(None, 1).await.unwrap().len(), 1);
    store.verify().await.unwrap();
}

#[tokio::test]
async fn settings_are_the_durable_ones() {
    let folder = Folder::new();
    let store = folder.open();
    begin(&store).await;
    let conn = Connection::open(folder.db()).unwrap();
    let mode: String = conn.pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
    assert_eq!(mode, "wal");
    let version: i64 = conn.pragma_query_value(None, "user_version", |r| r.get(0)).unwrap();
    assert_eq!(version, 2);
    let not_strict: i64 = conn
        .query_row(
            "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite_%' AND strict = 0",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(not_strict, 0);
    let mode = std::fs::metadata(folder.path().join("locks")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn files_that_are_not_ours_are_refused() {
    let folder = Folder::new();
    std::fs::write(folder.db(), b"name,cost\nads,12\n").unwrap();
    let error = Store::open(folder.db()).unwrap_err();
    assert!(error.to_string().contains("no SQLite database"), "{error}");
    assert_eq!(std::fs::read(folder.db()).unwrap(), b"name,cost\nads,12\n", "left as it was");

    let folder = Folder::new();
    Connection::open(folder.db()).unwrap().execute_batch("CREATE TABLE theirs (a)").unwrap();
    let error = Store::open(folder.db()).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");

    let folder = Folder::new();
    drop(folder.open());
    Connection::open(folder.db()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = Store::open(folder.db()).unwrap_err();
    assert!(error.to_string().contains("newer Throughline: its version is 99"), "{error}");

    let folder = Folder::new();
    std::fs::create_dir(folder.db()).unwrap();
    let error = Store::open(folder.db()).unwrap_err();
    assert!(error.to_string().contains("state.db"), "{error}");
}

#[tokio::test]
async fn damage_is_told_and_not_worked_with() {
    let folder = Folder::new();
    let store = folder.open();
    for _ in 0..200 {
        begin(&store).await;
    }
    drop(store);
    let whole = std::fs::read(folder.db()).unwrap();

    std::fs::write(folder.db(), &whole[..whole.len() / 2]).unwrap();
    let error = Store::open(folder.db()).unwrap_err();
    assert!(error.to_string().contains("damaged") && error.to_string().contains("backup"), "{error}");

    let mut torn = whole.clone();
    // Behind the first page, which holds the header and the schema.
    let half = torn.len() / 2;
    torn[half..].fill(0xAA);
    std::fs::write(folder.db(), &torn).unwrap();
    let error = Store::open(folder.db()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");

    std::fs::write(folder.db(), &whole).unwrap();
    assert_eq!(folder.open().runs(None, 1000).await.unwrap().len(), 200);
}

#[tokio::test]
async fn a_backup_is_a_whole_state() {
    let folder = Folder::new();
    let store = folder.open();
    let run = begin(&store).await;
    let copy = Folder::new();
    store.backup(copy.db()).await.unwrap();
    assert!(store.backup(copy.db()).await.unwrap_err().to_string().contains("exists already"));
    assert_eq!(copy.open().run(run).await.unwrap(), store.run(run).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_tasks_write_and_read_at_once() {
    let folder = Folder::new();
    let store = folder.open();
    let tasks: Vec<_> = (0..100)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move {
                let notes = store.notes("shop", &format!("s{}", i % 7));
                let mut mine = Vec::new();
                for j in 0..10 {
                    let run = NewRun {
                        pipeline: format!("p{i}"),
                        kind: "run".into(),
                        started_at_us: j,
                        detail: json!({"task": i}),
                    };
                    mine.push(store.begin_run(run).await.unwrap());
                    notes.put(&format!("k{i}/{j}"), Some(json!(j))).await.unwrap();
                    // What has resolved is seen by every reader.
                    assert_eq!(store.runs(Some(&format!("p{i}")), 99).await.unwrap().len(), mine.len());
                }
                mine
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 1000);
    let mut notes = 0;
    for s in 0..7 {
        notes += store.notes("shop", &format!("s{s}")).list("k").await.unwrap().len();
    }
    assert_eq!(notes, 1000);
}

#[tokio::test]
async fn a_write_that_fails_takes_no_other_with_it() {
    let folder = Folder::new();
    let store = folder.open();
    let run = begin(&store).await;
    // Polled together, so that they may share a transaction.
    let bad = store.finish_run(
        throughline_store::RunId(999),
        RunEnd { status: RunStatus::Failed, finished_at_us: 1, report: json!(null) },
    );
    let notes = store.notes("shop", "crm");
    let good = notes.put("k", Some(json!(1)));
    let (bad, good) = tokio::join!(bad, good);
    assert!(bad.is_err());
    good.unwrap();
    assert_eq!(notes.get("k").await.unwrap(), Some(json!(1)));
    assert_eq!(store.run(run).await.unwrap().unwrap().status, RunStatus::Running);
}

#[tokio::test]
async fn notes_are_kept_by_key() {
    let folder = Folder::new();
    let notes = folder.open().notes("shop", "метрика");
    notes.put("report/2", Some(json!({"id": 2}))).await.unwrap();
    notes.put("report/1", Some(json!(1))).await.unwrap();
    notes.put("report_x", Some(json!(0))).await.unwrap();
    notes.put("report/1", Some(json!(11))).await.unwrap();
    let list = notes.list("report/").await.unwrap();
    assert_eq!(list, [("report/1".to_owned(), json!(11)), ("report/2".to_owned(), json!({"id": 2}))]);
    notes.put("report/2", None).await.unwrap();
    assert_eq!(notes.get("report/2").await.unwrap(), None);
    assert_eq!(folder.open().notes("other", "метрика").list("").await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_notes_go_together_and_come_in_parts() {
    let folder = Folder::new();
    let notes = folder.open().notes("shop", "crm");
    let key = |n: usize| format!("deal:{n:03}");
    let all = (0..100).map(|n| (key(n), Some(json!(n)))).chain([("deam".into(), Some(json!(0)))]).collect();
    notes.put_many(all).await.unwrap();
    notes.put_many(vec![(key(7), None), (key(8), Some(json!("new")))]).await.unwrap();
    let asked = [key(7), key(8), key(9)];
    assert_eq!(notes.get_many(&asked).await.unwrap(), [None, Some(json!("new")), Some(json!(9))]);
    let (mut after, mut seen): (Option<String>, _) = (None, Vec::new());
    loop {
        let part = notes.page("deal:", after.as_deref(), 40).await.unwrap();
        let Some((last, _)) = part.last() else { break };
        after = Some(last.clone());
        seen.extend(part.into_iter().map(|(key, _)| key));
    }
    assert_eq!(seen, (0..100).filter(|n| *n != 7).map(key).collect::<Vec<_>>());
    assert_eq!(folder.open().notes("shop", "crm2").page("", None, 9).await.unwrap(), []);
}
