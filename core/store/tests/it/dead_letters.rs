use throughline_store::{
    DEAD_LETTER_RAW_LIMIT_BYTES, DeadLetterFilter, DeadLetterState, LettersAdded, NewDeadLetter,
    ResolveUnseen, RunId,
};

use crate::{Folder, begin};

fn letter(stage: &str, reason: &str, raw: &[u8]) -> NewDeadLetter {
    NewDeadLetter {
        pipeline: "shop".into(),
        source: "crm".into(),
        stream: "leads".into(),
        stage: stage.into(),
        reason: reason.into(),
        place: "page 3, record 17".into(),
        raw: raw.to_vec(),
        schema_version: 1,
    }
}

fn resolve(stage: &str, run: RunId) -> ResolveUnseen {
    ResolveUnseen {
        pipeline: "shop".into(),
        source: "crm".into(),
        stream: None,
        stage: stage.into(),
        run,
        at_us: 500,
    }
}

#[tokio::test]
async fn a_record_met_again_is_one_letter_and_one_that_passes_is_resolved() {
    let folder = Folder::new();
    let store = folder.open();
    let first = begin(&store).await;
    let raw = b"\xff\x00 not UTF-8 \n";
    let letters =
        vec![letter("map", "no date", raw), letter("map", "no price", b"{}"), letter("read", "cut", b"{")];
    let added = store.add_dead_letters(first, 100, letters).await.unwrap();
    assert_eq!(added, LettersAdded { new: 3, seen_again: 0 });

    // The next run maps everything again, one record still fails.
    let second = begin(&store).await;
    let again = NewDeadLetter { place: "page 9".into(), ..letter("map", "no date", raw) };
    let added = store.add_dead_letters(second, 200, vec![again.clone()]).await.unwrap();
    assert_eq!(added, LettersAdded { new: 0, seen_again: 1 });
    assert_eq!(store.resolve_unseen(resolve("map", second)).await.unwrap(), 1);
    assert_eq!(store.resolve_unseen(resolve("map", second)).await.unwrap(), 0);

    let open = DeadLetterFilter { state: Some(DeadLetterState::Open), ..Default::default() };
    let open = store.dead_letters(open, 10).await.unwrap();
    assert_eq!(open.iter().map(|l| l.reason.as_str()).collect::<Vec<_>>(), ["cut", "no date"]);
    assert_eq!(open[1].raw, raw);
    assert_eq!((open[1].run, open[1].last_seen_run, open[1].place.as_str()), (first, second, "page 9"));
    assert_eq!((open[1].created_at_us, open[1].last_seen_at_us), (100, 200));

    // Replayed, and rejected once more: open again.
    let id = open[1].id;
    assert_eq!(store.mark_replayed(vec![id, 999], 300).await.unwrap(), 1);
    assert_eq!(store.dead_letter(id).await.unwrap().unwrap().state, DeadLetterState::Replayed);
    store.add_dead_letters(second, 400, vec![again]).await.unwrap();
    let found = store.dead_letter(id).await.unwrap().unwrap();
    assert_eq!((found.state, found.replayed_at_us), (DeadLetterState::Open, None));

    let counts = store.dead_letter_counts("shop").await.unwrap();
    let seen: Vec<_> = counts.iter().map(|c| (c.stage.as_str(), c.open, c.replayed, c.resolved)).collect();
    assert_eq!(seen, [("map", 1, 0, 1), ("read", 1, 0, 0)]);
}

#[tokio::test]
async fn filters_narrow_and_pages_follow() {
    let folder = Folder::new();
    let store = folder.open();
    let run = begin(&store).await;
    let many = (0..10).map(|i| letter("read", "bad", format!("{i}").as_bytes())).collect();
    store.add_dead_letters(run, 1, many).await.unwrap();
    let other = NewDeadLetter { source: "метрика".into(), ..letter("read", "bad", b"0") };
    store.add_dead_letters(run, 1, vec![other]).await.unwrap();

    let filter = DeadLetterFilter {
        pipeline: Some("shop".into()),
        source: Some("crm".into()),
        stream: Some("leads".into()),
        stage: Some("read".into()),
        run: Some(run),
        ..Default::default()
    };
    let page = store.dead_letters(filter.clone(), 6).await.unwrap();
    assert_eq!(page.len(), 6);
    let next = DeadLetterFilter { before_id: Some(page[5].id), ..filter };
    assert_eq!(store.dead_letters(next, 6).await.unwrap().len(), 4);
    let none = DeadLetterFilter { source: Some("' OR 1=1 --".into()), ..Default::default() };
    assert_eq!(store.dead_letters(none, 6).await.unwrap(), []);
    assert_eq!(store.dead_letter(-1).await.unwrap(), None);
}

#[tokio::test]
async fn a_huge_payload_is_cut_and_says_so() {
    let folder = Folder::new();
    let store = folder.open();
    let run = begin(&store).await;
    let huge = vec![b'x'; DEAD_LETTER_RAW_LIMIT_BYTES + 5];
    let exact = vec![b'x'; DEAD_LETTER_RAW_LIMIT_BYTES];
    let letters = vec![letter("read", "huge", &huge), letter("read", "fits", &exact)];
    store.add_dead_letters(run, 1, letters.clone()).await.unwrap();
    assert_eq!(store.add_dead_letters(run, 2, letters).await.unwrap().seen_again, 2);
    let found = store.dead_letters(DeadLetterFilter::default(), 9).await.unwrap();
    assert_eq!(found[1].raw.len(), DEAD_LETTER_RAW_LIMIT_BYTES);
    assert_eq!(found[1].reason, "huge; the payload of 1048581 bytes is cut to 1048576");
    assert_eq!((found[0].reason.as_str(), found[0].raw.len()), ("fits", DEAD_LETTER_RAW_LIMIT_BYTES));
}
