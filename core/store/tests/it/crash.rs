//! Kill -9 in the middle of writing: what was told to be durable is there, and all of it fits together.

use std::io::{BufRead as _, BufReader, Write as _};

use serde_json::json;
use throughline_core::{Checkpoint, Committable, TxnId};
use throughline_store::{Epoch, NewDeadLetter, STATE_FILE, SinkTxn, Store};

use crate::{Folder, begin, child, child_folder, commit, segment};

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_kill() {
    let folder = Folder::new();
    let mut acknowledged = 0;
    for round in 1..=4_u64 {
        let mut writer = child("crash::child_that_writes", folder.path()).spawn().unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let until = acknowledged + 7 * i64::try_from(round).unwrap();
        while acknowledged < until {
            if let Some(n) = lines.next().unwrap().unwrap().strip_prefix("landed ") {
                acknowledged = n.parse().unwrap();
            }
        }
        writer.kill().unwrap();
        writer.wait().unwrap();

        let store = folder.open();
        store.verify().await.unwrap();
        let state = store.stream_state("shop", "crm", "leads").await.unwrap();
        assert!(state.next_seq >= acknowledged * 2, "{} < {acknowledged} * 2", state.next_seq);
        let segments = store.segments("shop", "crm", "leads", 1).await.unwrap();
        let mut next = 0;
        for segment in &segments {
            assert_eq!(segment.seq_from, next);
            next += i64::try_from(segment.rows).unwrap();
        }
        // The checkpoint, the rows, the rejects: of the same commit.
        let commits = i64::try_from(segments.len()).unwrap();
        assert_eq!((state.next_seq, state.checkpoint), (next, Some(Checkpoint(json!(commits)))));
        let counts = store.dead_letter_counts("shop").await.unwrap();
        assert_eq!(counts[0].open, segments.len() as u64);
        // The ledger: an epoch is there with all of its parts.
        for epoch in store.epochs("shop", 1000).await.unwrap() {
            assert_eq!(epoch.txns.len(), 3);
        }
        assert_eq!(store.mark_crashed("shop", 1).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn child_that_writes() {
    let Some(folder) = child_folder() else { return };
    let store = Store::open(folder.join(STATE_FILE)).unwrap();
    let run = begin(&store).await;
    let state = store.stream_state("shop", "crm", "leads").await.unwrap();
    let mut seq = state.next_seq;
    let mut epoch_no = store.last_epoch("shop").await.unwrap().map_or(1, |e| e.epoch_no + 1);
    loop {
        let n = seq / 2 + 1;
        let mut land = commit(run, 1, vec![segment(format!("raw/{n}"), 2, seq)]);
        land.checkpoint = Some(Checkpoint(json!(n)));
        land.rejects = vec![NewDeadLetter {
            pipeline: "shop".into(),
            source: "crm".into(),
            stream: "leads".into(),
            stage: "read".into(),
            reason: "bad".into(),
            place: format!("{n}"),
            raw: format!("{n}").into_bytes(),
            schema_version: 1,
        }];
        let part = |i: i32| SinkTxn {
            sink: format!("s{i}"),
            txn: TxnId(format!("{epoch_no}/{i}")),
            staged: vec![Committable { table: "t".into(), rows: 1, detail: json!({"n": n}) }],
        };
        let epoch = Epoch {
            pipeline: "shop".into(),
            epoch_no,
            run: Some(run),
            txns: (0..3).map(part).collect(),
            inputs_hash: n.to_string(),
            state_before: json!(n - 1),
            state_after: json!(n),
            counts: json!({}),
            prepared_at_us: n,
        };
        let open = store.open_epochs("shop").await.unwrap();
        for old in open {
            store.abandon_epoch("shop", old.epoch_no, "next round", 1).await.unwrap();
        }
        let (landed, prepared) = tokio::join!(store.land(land), store.prepare(epoch));
        seq = landed.unwrap().next_seq;
        prepared.unwrap();
        epoch_no += 1;
        println!("landed {n}");
        std::io::stdout().flush().unwrap();
    }
}
