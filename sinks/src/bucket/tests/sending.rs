//! Files in parts.

use super::super::upload::with_parts;
use super::*;
use crate::files::TableFiles;

/// Writes files of these sizes at once, a bit of each in turn; what was sent, by the store.
async fn sent(lake: &Lake, rules: Vec<Rule>, sizes: &[usize], part: usize) -> Result<Vec<FileEntry>> {
    let (files, sending) = with_parts("data/t1/visits-1".into(), part);
    let sizes = sizes.to_vec();
    let writing = tokio::task::spawn_blocking(move || {
        let mut open: Vec<Box<dyn TableFile>> =
            (0..sizes.len()).map(|i| files.create(&format!("part-{i}")).unwrap()).collect();
        let longest = sizes.iter().max().copied().unwrap_or(0);
        for at in (0..longest).step_by(7) {
            for (file, size) in open.iter_mut().zip(&sizes) {
                let bytes: Vec<u8> = (at..(at + 7).min(*size)).map(|b| (b % 251) as u8).collect();
                file.write_all(&bytes).map_err(|e| Error::io("write", "a test", e))?;
                assert!(file.held() <= part * 2);
            }
        }
        open.into_iter().enumerate().map(|(i, file)| file.finish(format!("part-{i}"), 1)).collect()
    });
    let bucket = lake.broken(rules);
    let ctx = context();
    let (written, done) = futures::future::join(writing, sending.run(&ctx, &bucket.place)).await;
    done?;
    written.unwrap()
}

#[tokio::test]
async fn a_file_of_any_size_arrives_whole() {
    for part in [10, 64] {
        let sizes = [0, 1, part - 1, part, part + 1, 2 * part, 2 * part + 1, 10 * part + 3];
        let lake = Lake::default();
        let entries = sent(&lake, vec![], &sizes, part).await.unwrap();
        for (i, size) in sizes.iter().enumerate() {
            let (bytes, _) =
                lake.open().place.read(&format!("data/t1/visits-1/part-{i}")).await.unwrap().unwrap();
            let expected: Vec<u8> = (0..*size).map(|b| (b % 251) as u8).collect();
            assert_eq!(bytes, expected, "{size} in parts of {part}");
            use sha2::Digest as _;
            let hash = sha2::Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect::<String>();
            assert_eq!((entries[i].bytes, &entries[i].sha256), (*size as u64, &hash));
        }
    }
}

#[tokio::test]
async fn an_upload_that_fails_is_told_by_its_reason() {
    let denied = || object_store::Error::PermissionDenied { path: "x".into(), source: "AccessDenied".into() };
    for what in ["put", "multipart"] {
        let lake = Lake::default();
        let error = sent(
            &lake,
            vec![Rule::before(what, "part-1", 1, denied)],
            &[5, if what == "put" { 5 } else { 500 }, 500],
            10,
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
        assert!(error.to_string().contains("visits-1/part-1"), "{error}");
    }
    // Through the sink: the reason is the upload's, with the table's name.
    let lake = Lake::default();
    let bucket = lake.broken(vec![Rule::before("put", "data/", 1, denied)]);
    let error = stage_one(&bucket, &txn("t1"), "visits", vec![1]).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Auth && error.to_string().contains("table: visits"), "{error}");
}

#[tokio::test]
async fn a_run_that_is_stopped_stops_its_uploads() {
    let lake = Lake::default();
    let (files, sending) = with_parts("data/t1/visits-1".into(), 10);
    let ctx = context();
    let stop = ctx.cancel.clone();
    let writing = tokio::task::spawn_blocking(move || {
        let mut file = files.create("part-0").unwrap();
        file.write_all(&[1; 100]).ok();
        stop.cancel();
        while file.write_all(&[1; 100]).is_ok() {}
    });
    let bucket = lake.open();
    let (_, done) = futures::future::join(writing, sending.run(&ctx, &bucket.place)).await;
    assert_eq!(done.unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!(lake.store.list(None).collect::<Vec<_>>().await.len(), 0);
}
