use serde_json::json;
use throughline_core::{Checkpoint, ErrorKind};
use throughline_store::{NewDeadLetter, NewWindow, Store, StreamState};

use crate::{Folder, begin, commit, segment};

async fn state(store: &Store) -> StreamState {
    store.stream_state("shop", "crm", "leads").await.unwrap()
}

async fn files(store: &Store, generation: i64) -> Vec<String> {
    let segments = store.segments("shop", "crm", "leads", generation).await.unwrap();
    segments.into_iter().map(|s| s.file).collect()
}

fn reject(raw: &str) -> NewDeadLetter {
    NewDeadLetter {
        pipeline: "shop".into(),
        source: "crm".into(),
        stream: "leads".into(),
        stage: "read".into(),
        reason: "no id".into(),
        place: "page 1".into(),
        raw: raw.into(),
        schema_version: 1,
    }
}

#[tokio::test]
async fn a_commit_is_whole_and_in_order() {
    let folder = Folder::new();
    let store = folder.open();
    let run = begin(&store).await;
    assert_eq!(state(&store).await.generation, 1);

    let mut first = commit(run, 1, vec![segment("a", 3, 0), segment("b", 0, 3), segment("c", 4, 3)]);
    first.checkpoint = Some(Checkpoint(json!({"page": 2})));
    first.rejects = vec![reject("x"), reject("y"), reject("x")];
    let landed = store.land(first).await.unwrap();
    assert_eq!((landed.next_seq, landed.rejects.new, landed.rejects.seen_again), (7, 2, 1));

    // A gap, an overlap, a foreign generation, a file twice: refused, and nothing of them stays.
    for (generation, segments) in [
        (1, vec![segment("d", 1, 8)]),
        (1, vec![segment("d", 1, 6)]),
        (2, vec![segment("d", 1, 7)]),
        (1, vec![segment("d", 1, 7), segment("d", 1, 8)]),
    ] {
        let mut bad = commit(run, generation, segments);
        bad.checkpoint = Some(Checkpoint(json!("never")));
        bad.rejects = vec![reject("z")];
        assert_eq!(store.land(bad).await.unwrap_err().kind(), ErrorKind::Bug);
    }
    drop(store);

    let store = folder.open();
    let found = state(&store).await;
    assert_eq!((found.next_seq, found.checkpoint), (7, Some(Checkpoint(json!({"page": 2})))));
    assert_eq!(files(&store, 1).await, ["a", "b", "c"]);
    assert_eq!(store.dead_letter_counts("shop").await.unwrap()[0].open, 2);
    let segments = store.segments("shop", "crm", "leads", 1).await.unwrap();
    assert_eq!((segments[2].rows, segments[2].bytes, segments[2].seq_from), (4, 400, 3));
    assert_eq!(store.landed_streams("shop").await.unwrap(), [("crm".to_owned(), "leads".to_owned())]);
    assert_eq!(store.segment_files("shop").await.unwrap().len(), 3);
    assert_eq!(state(&store).await, store.stream_state("shop", "crm", "leads").await.unwrap());
    assert_eq!(store.stream_state("shop", "crm", "contacts").await.unwrap().next_seq, 0);
}

#[tokio::test]
async fn a_backfill_leaves_the_checkpoint() {
    let folder = Folder::new();
    let store = folder.open();
    let run = begin(&store).await;
    let mut first = commit(run, 1, vec![segment("a", 1, 0)]);
    first.checkpoint = Some(Checkpoint(json!(1)));
    store.land(first).await.unwrap();
    store.land(commit(run, 1, vec![segment("b", 1, 1)])).await.unwrap();
    assert_eq!(state(&store).await.checkpoint, Some(Checkpoint(json!(1))));
}

#[tokio::test]
async fn windows_are_ordered_by_their_end() {
    let folder = Folder::new();
    let store = folder.open();
    let run = begin(&store).await;
    let window = |id: &str, from_on| NewWindow { id: id.into(), from_on, to_on: from_on + 7, slice: None };
    let mut land = commit(run, 1, vec![]);
    land.windows_ended = vec![window("w1", 100), window("w2", 107)];
    store.land(land).await.unwrap();
    let mut land = commit(run, 1, vec![]);
    land.windows_ended = vec![window("w1", 101)];
    store.land(land).await.unwrap();
    let windows = store.windows("shop", "crm", "leads", 1).await.unwrap();
    let seen: Vec<_> = windows.iter().map(|w| (w.id.as_str(), w.from_on, w.ended_order)).collect();
    assert_eq!(seen, [("w2", 107, 2), ("w1", 101, 3)]);
}

#[tokio::test]
async fn a_full_refresh_replaces_the_generation_at_once() {
    let folder = Folder::new();
    let store = folder.open();
    let run = begin(&store).await;
    let mut old = commit(run, 1, vec![segment("old", 5, 0)]);
    old.checkpoint = Some(Checkpoint(json!("old")));
    store.land(old).await.unwrap();

    let begun = store.begin_generation("shop", "crm", "leads").await.unwrap();
    assert_eq!((begun.generation, begun.dropped_files.len()), (2, 0));
    store.land(commit(run, 2, vec![segment("unfinished", 2, 5)])).await.unwrap();

    // Begun anew: the unfinished one goes, the current one stays.
    let begun = store.begin_generation("shop", "crm", "leads").await.unwrap();
    assert_eq!((begun.generation, begun.dropped_files), (3, vec!["unfinished".to_owned()]));
    assert!(store.land(commit(run, 2, vec![segment("late", 1, 7)])).await.is_err());
    let mut new = commit(run, 3, vec![segment("new", 6, 7)]);
    new.checkpoint = Some(Checkpoint(json!("new")));
    store.land(new).await.unwrap();
    let before = state(&store).await;
    assert_eq!((before.generation, before.pending, before.next_seq), (1, Some(3), 13));
    assert_eq!(before.checkpoint, Some(Checkpoint(json!("old"))));
    assert_eq!(before.pending_checkpoint, Some(Checkpoint(json!("new"))));
    assert_eq!(files(&store, 1).await, ["old"]);

    assert_eq!(store.promote_generation("shop", "crm", "leads").await.unwrap(), ["old"]);
    let after = state(&store).await;
    assert_eq!((after.generation, after.pending, after.checkpoint), (3, None, before.pending_checkpoint));
    assert_eq!(files(&store, 3).await, ["new"]);
    assert!(store.promote_generation("shop", "crm", "leads").await.is_err());
    drop(store);

    let store = folder.open();
    assert_eq!(store.garbage("shop").await.unwrap(), ["old", "unfinished"]);
    store.garbage_deleted(vec!["old".into()]).await.unwrap();
    assert_eq!(store.garbage("shop").await.unwrap(), ["unfinished"]);

    // A generation number never comes back, so files of two refreshes never share a name.
    assert_eq!(store.begin_generation("shop", "crm", "leads").await.unwrap().generation, 4);
    assert_eq!(store.drop_pending("shop", "crm", "leads").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.begin_generation("shop", "crm", "leads").await.unwrap().generation, 5);

    assert_eq!(store.drop_source("shop", "crm").await.unwrap(), ["new"]);
    assert_eq!(state(&store).await.checkpoint, None);
    assert_eq!(store.garbage("shop").await.unwrap(), ["new", "unfinished"]);
    assert_eq!(store.landed_streams("shop").await.unwrap(), []);
}
