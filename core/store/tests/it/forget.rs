//! Requests to forget, their marks, and the changes of stored places.

use serde_json::json;
use throughline_core::Checkpoint;
use throughline_store::{DeadLetterFilter, LandCommit, Mark, NewDeadLetter, NewSegment, ReplacedSegment};

use crate::{Folder, begin};

fn mark(first: u8, region: Option<&str>) -> Mark {
    let mut hash = [0; 16];
    hash[0] = first;
    Mark { hash, region: region.map(str::to_owned) }
}

#[tokio::test]
async fn marks_outlive_their_request() {
    let folder = Folder::new();
    let store = folder.open();
    let first = store.begin_forget("shop", 5, vec![mark(1, Some("RU")), mark(2, None)]).await.unwrap();
    // The same person again, with one mark more.
    let second = store.begin_forget("shop", 6, vec![mark(1, Some("RU")), mark(3, None)]).await.unwrap();
    assert!(store.forget_marks("other").await.unwrap().is_empty());
    let mut marks: Vec<u8> = store.forget_marks("shop").await.unwrap().iter().map(|m| m.hash[0]).collect();
    marks.sort_unstable();
    assert_eq!(marks, [1, 2, 3]);
    assert_eq!(store.forget_requests("shop", true).await.unwrap().len(), 2);
    store.note_forget(vec![first], json!({"a": 1}), None).await.unwrap();
    store.note_forget(vec![first], json!({"a": 2}), Some(9)).await.unwrap();
    let open = store.forget_requests("shop", true).await.unwrap();
    assert_eq!(open.iter().map(|r| r.id).collect::<Vec<_>>(), [second]);
    let all = store.forget_requests("shop", false).await.unwrap();
    assert_eq!((all[0].finished_at_us, all[0].report.clone()), (Some(9), Some(json!({"a": 2}))));
    drop(store);
    let store = folder.open();
    assert_eq!(store.forget_marks("shop").await.unwrap().len(), 3);
    let key = store.forget_key().unwrap();
    assert_eq!(key.expose(), folder.open().forget_key().unwrap().expose(), "made once");
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(folder.path().join("forget.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_segment_is_switched_and_its_old_file_is_garbage() {
    let folder = Folder::new();
    let store = folder.open();
    let run = begin(&store).await;
    let letter = |raw: &str| NewDeadLetter {
        pipeline: "shop".into(),
        source: "crm".into(),
        stream: "leads".into(),
        stage: "read".into(),
        reason: "no".into(),
        place: "page 1".into(),
        raw: raw.as_bytes().to_vec(),
        schema_version: 1,
    };
    store
        .land(LandCommit {
            pipeline: "shop".into(),
            source: "crm".into(),
            stream: "leads".into(),
            generation: 1,
            run,
            at_us: 1,
            segments: vec![NewSegment {
                file: "a.parquet".into(),
                rows: 10,
                bytes: 100,
                seq_from: 0,
                schema: json!({"columns": []}),
                window: None,
            }],
            checkpoint: Some(Checkpoint(json!(1))),
            windows_ended: Vec::new(),
            rejects: vec![letter("secret-person-1234"), letter("two")],
        })
        .await
        .unwrap();
    let segment = store.all_segments("shop").await.unwrap().remove(0);
    assert_eq!((segment.source.as_str(), segment.generation, segment.rows), ("crm", 1, 10));
    let replaced = ReplacedSegment {
        id: segment.id,
        file: "a.f1.parquet".into(),
        rows: 7,
        bytes: 70,
        schema: json!({"columns": [], "content": null}),
    };
    let old = store.replace_segments("shop", vec![replaced.clone()]).await.unwrap();
    assert_eq!(
        (old, store.garbage("shop").await.unwrap()),
        (vec!["a.parquet".into()], vec!["a.parquet".to_owned()])
    );
    let after = store.all_segments("shop").await.unwrap().remove(0);
    assert_eq!((after.file.as_str(), after.rows, after.bytes, after.seq_from), ("a.f1.parquet", 7, 70, 0));
    // Rows that follow still begin where the old ones ended.
    assert_eq!(store.stream_state("shop", "crm", "leads").await.unwrap().next_seq, 10);
    let missing = ReplacedSegment { id: 999, ..replaced };
    assert!(store.replace_segments("shop", vec![missing]).await.is_err());

    store
        .change_checkpoints("shop", "crm", "leads", Some(Checkpoint(json!(2))), Some(Checkpoint(json!(3))))
        .await
        .unwrap();
    let state = store.stream_state("shop", "crm", "leads").await.unwrap();
    assert_eq!((state.checkpoint, state.pending_checkpoint), (Some(Checkpoint(json!(2))), None));

    let letters = store.dead_letters(DeadLetterFilter::default(), 10).await.unwrap();
    let id = letters.iter().find(|l| l.raw.starts_with(b"secret")).unwrap().id;
    assert_eq!(store.delete_dead_letters(vec![id, 12_345]).await.unwrap(), 1);
    assert_eq!(store.dead_letters(DeadLetterFilter::default(), 10).await.unwrap().len(), 1);
    drop(store);
    // Not even in free pages of the file.
    let bytes = std::fs::read(folder.db()).unwrap();
    assert!(!bytes.windows(18).any(|w| w == b"secret-person-1234"));
}
