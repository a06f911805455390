use serde_json::json;
use throughline_core::{Committable, ErrorKind, Receipt, TxnId};
use throughline_store::{Epoch, EpochStatus, SinkTxn};

use crate::Folder;

fn epoch(epoch_no: i64) -> Epoch {
    let part = |sink: &str| SinkTxn {
        sink: sink.into(),
        txn: TxnId(format!("{sink}-{epoch_no}")),
        staged: vec![Committable { table: "визиты".into(), rows: 3, detail: json!({"file": "a"}) }],
    };
    Epoch {
        pipeline: "shop".into(),
        epoch_no,
        run: None,
        txns: vec![part("warehouse"), part("csv")],
        inputs_hash: format!("h{epoch_no}"),
        state_before: json!({"n": epoch_no - 1}),
        state_after: json!({"n": epoch_no}),
        counts: json!({"visits": 3}),
        prepared_at_us: 50,
    }
}

fn receipt() -> Receipt {
    Receipt { rows: 3, location: "/out".into() }
}

#[tokio::test]
async fn a_prepared_epoch_is_found_by_the_next_process_until_all_sinks_have_it() {
    let folder = Folder::new();
    let store = folder.open();
    assert_eq!(store.last_epoch("shop").await.unwrap(), None);
    store.prepare(epoch(1)).await.unwrap();
    drop(store);

    let store = folder.open();
    let open = store.open_epochs("shop").await.unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].txns[0].staged, epoch(1).txns[0].staged);
    assert_eq!(open[0].txns.iter().map(|t| t.sink.as_str()).collect::<Vec<_>>(), ["warehouse", "csv"]);
    assert_eq!((&open[0].state_before, &open[0].state_after), (&json!({"n": 0}), &json!({"n": 1})));

    // One sink is not all.
    store.sink_committed(&TxnId("warehouse-1".into()), &receipt(), 60).await.unwrap();
    let error = store.commit_epoch("shop", 1, 61).await.unwrap_err();
    assert!(error.to_string().contains("csv"), "{error}");
    drop(store);

    let store = folder.open();
    let open = store.open_epochs("shop").await.unwrap();
    assert_eq!(open[0].txns[0].receipt, Some(receipt()));
    assert_eq!(open[0].txns[1].receipt, None);
    store.sink_committed(&TxnId("warehouse-1".into()), &receipt(), 99).await.unwrap();
    store.sink_committed(&TxnId("csv-1".into()), &receipt(), 62).await.unwrap();
    store.commit_epoch("shop", 1, 63).await.unwrap();
    store.commit_epoch("shop", 1, 99).await.unwrap();
    assert_eq!(store.open_epochs("shop").await.unwrap(), []);
    let last = store.last_epoch("shop").await.unwrap().unwrap();
    assert_eq!((last.status, last.finished_at_us), (EpochStatus::Committed, Some(63)));
    assert_eq!(last.txns[0].committed_at_us, Some(60));
}

#[tokio::test]
async fn epochs_come_one_after_the_other() {
    let folder = Folder::new();
    let store = folder.open();
    let bug = |r: throughline_core::Result<()>| assert_eq!(r.unwrap_err().kind(), ErrorKind::Bug);
    bug(store.prepare(epoch(2)).await);
    store.prepare(epoch(1)).await.unwrap();
    store.prepare(epoch(1)).await.unwrap();
    bug(store.prepare(Epoch { inputs_hash: "other".into(), ..epoch(1) }).await);
    bug(store.prepare(epoch(2)).await);
    bug(store.sink_committed(&TxnId("nobody".into()), &receipt(), 1).await);
    bug(store.commit_epoch("shop", 2, 1).await);

    store.abandon_epoch("shop", 1, "the sink was removed", 70).await.unwrap();
    bug(store.commit_epoch("shop", 1, 1).await);
    store.prepare(epoch(2)).await.unwrap();
    let all = store.epochs("shop", 10).await.unwrap();
    assert_eq!(all.iter().map(|e| e.epoch_no).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(all[1].note.as_deref(), Some("the sink was removed"));
    assert_eq!(store.last_committed_epoch("shop").await.unwrap(), None);
}

#[tokio::test]
async fn an_epoch_whose_txn_is_known_already_is_refused_whole() {
    let folder = Folder::new();
    let store = folder.open();
    store.prepare(epoch(1)).await.unwrap();
    let twin = Epoch { pipeline: "другой".into(), ..epoch(1) };
    assert!(store.prepare(twin).await.is_err());
    assert_eq!(store.last_epoch("другой").await.unwrap(), None);
}
