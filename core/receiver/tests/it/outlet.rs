//! From the inbox into files: each delivery has one line, whatever happens in between.

use std::path::Path;
use std::time::Duration;

use throughline_receiver::{outlet, prepare};
use throughline_store::inbox::{DeliveryHash, INBOX_FILE, Inbox, InboxOptions, InboxReader, NewDelivery};
use tokio_util::sync::CancellationToken;

fn delivery(body: &[u8]) -> NewDelivery {
    NewDelivery {
        source: "wa".into(),
        received_at_us: 1_767_225_600_000_000,
        key: Some(DeliveryHash::of(body)),
        headers: r#"{"x-hub-signature-256":"sha256=00"}"#.into(),
        body: body.to_vec(),
    }
}

/// Hands on what there is.
async fn drain(inbox: &Inbox, folder: &Path) {
    let stop = CancellationToken::new();
    stop.cancel();
    outlet(inbox.clone(), vec!["wa".into()], folder.to_owned(), stop).await;
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(folder.join("wa")).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let text: String = files(folder).iter().map(|f| std::fs::read_to_string(f).unwrap()).collect();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().filter(|l| !l.trim().is_empty()).map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[tokio::test]
async fn a_delivery_is_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("inbox");
    let inbox = Inbox::open(folder.path().join(INBOX_FILE), InboxOptions::default()).unwrap();
    drain(&inbox, &out).await;
    assert!(!out.exists(), "nothing came, so nothing is written");
    prepare(&inbox, &["wa".into()], &out).unwrap();
    assert_eq!((files(&out).len(), lines(&out).len()), (1, 0), "but a run finds a file");
    inbox.append(vec![delivery("{\"a\":\"Привет\\n\"}".as_bytes()), delivery(&[0xFF, 0])]).await.unwrap();
    drain(&inbox, &out).await;
    let all = lines(&out);
    assert_eq!(all[0]["body"], "{\"a\":\"Привет\\n\"}");
    assert_eq!(all[0]["received_at"], 1_767_225_600_000_000_i64);
    assert_eq!(all[0]["headers"]["x-hub-signature-256"], "sha256=00");
    assert_eq!((&all[1]["body_base64"], &all[1]["body"]), (&"/wA=".into(), &serde_json::Value::Null));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(&files(&out)[0]).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    drain(&inbox, &out).await;
    assert_eq!((files(&out).len(), lines(&out).len()), (1, 2));
    // The files are taken away: what was in them is not written again, what comes is.
    std::fs::remove_dir_all(&out).unwrap();
    inbox.append(vec![delivery(b"3")]).await.unwrap();
    prepare(&inbox, &["wa".into()], &out).unwrap();
    drain(&inbox, &out).await;
    assert_eq!(lines(&out).iter().map(|l| l["seq"].as_i64().unwrap()).collect::<Vec<_>>(), [3]);
}

#[tokio::test]
async fn after_a_crash_it_goes_on_behind_the_last_whole_line() {
    let folder = tempfile::tempdir().unwrap();
    let (out, path) = (folder.path().join("inbox"), folder.path().join(INBOX_FILE));
    let inbox = Inbox::open(&path, InboxOptions::default()).unwrap();
    for n in 0..10 {
        inbox.append(vec![delivery(format!("{n}").as_bytes())]).await.unwrap();
    }
    drain(&inbox, &out).await;
    let whole = std::fs::read(&files(&out)[0]).unwrap();
    let ends: Vec<usize> =
        whole.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1).collect();
    let cursor = rusqlite::Connection::open(&path).unwrap();
    // The cursor may be behind the file, by anything; the file may end anywhere behind the cursor.
    for (cursor_at, keep) in
        [(10, whole.len()), (4, whole.len()), (0, ends[6] + 5), (3, ends[3]), (0, 7), (0, 0)]
    {
        cursor.execute("UPDATE readers SET seq = ?1", [cursor_at]).unwrap();
        std::fs::write(&files(&out)[0], &whole[..keep]).unwrap();
        drain(&inbox, &out).await;
        assert_eq!(std::fs::read(&files(&out)[0]).unwrap(), whole, "{cursor_at} {keep}");
    }
    // What was not flushed and lost: a line that cannot be read back, and what stands behind it, is written anew.
    let mut holes = whole.clone();
    holes[ends[4] + 3..ends[6] + 9].fill(0);
    let mut torn = whole[..ends[8]].to_vec();
    torn.extend_from_slice(&[0; 5000]);
    for broken in [holes, torn, [&whole[..ends[5]], b"rubbish\n"].concat()] {
        cursor.execute("UPDATE readers SET seq = 2", []).unwrap();
        std::fs::write(&files(&out)[0], &broken).unwrap();
        drain(&inbox, &out).await;
        assert_eq!(std::fs::read(&files(&out)[0]).unwrap(), whole);
    }
    // Cut off when the next file was begun: what is in the one before is not in it, too.
    cursor.execute("UPDATE readers SET seq = 2", []).unwrap();
    std::fs::write(&files(&out)[0], &whole[..ends[4]]).unwrap();
    let begun = files(&out)[0].file_name().unwrap().to_str().unwrap().replace("01.jsonl", "06.jsonl");
    std::fs::write(out.join("wa").join(&begun), "").unwrap();
    drain(&inbox, &out).await;
    assert_eq!(
        lines(&out).iter().map(|l| l["seq"].as_i64().unwrap()).collect::<Vec<_>>(),
        (1..=10).collect::<Vec<_>>()
    );
    std::fs::remove_file(out.join("wa").join(begun)).unwrap();
    std::fs::write(&files(&out)[0], &whole).unwrap();
    // Somebody was forgotten: lines of spaces at the end. The cursor knows better.
    let spaces: Vec<u8> = whole.iter().map(|b| if *b == b'\n' { b'\n' } else { b' ' }).collect();
    std::fs::write(&files(&out)[0], &spaces).unwrap();
    inbox.append(vec![delivery(b"next")]).await.unwrap();
    drain(&inbox, &out).await;
    assert_eq!(lines(&out).iter().map(|l| l["seq"].as_i64().unwrap()).collect::<Vec<_>>(), [11]);
}

#[tokio::test]
async fn an_older_or_a_new_inbox_repeats_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let (out, path) = (folder.path().join("inbox"), folder.path().join(INBOX_FILE));
    let inbox = Inbox::open(&path, InboxOptions::default()).unwrap();
    inbox.append(vec![delivery(b"1")]).await.unwrap();
    let backup = folder.path().join("backup.db");
    rusqlite::Connection::open(&path).unwrap().execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    inbox.append(vec![delivery(b"2"), delivery(b"3")]).await.unwrap();
    drain(&inbox, &out).await;
    drop(inbox);
    std::fs::rename(&backup, &path).unwrap();
    let inbox = Inbox::open(&path, InboxOptions::default()).unwrap();
    prepare(&inbox, &["wa".into()], &out).unwrap();
    inbox.append(vec![delivery(b"4")]).await.unwrap();
    drain(&inbox, &out).await;
    let bodies =
        |out: &Path| lines(out).iter().map(|l| l["body"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(bodies(&out), ["1", "2", "3", "4"]);
    drop(inbox);
    std::fs::remove_file(&path).unwrap();
    let inbox = Inbox::open(&path, InboxOptions::default()).unwrap();
    prepare(&inbox, &["wa".into()], &out).unwrap();
    inbox.append(vec![delivery(b"5")]).await.unwrap();
    drain(&inbox, &out).await;
    assert_eq!(files(&out).len(), 2);
    let mut all = bodies(&out);
    all.sort();
    assert_eq!(all, ["1", "2", "3", "4", "5"]);
}

#[tokio::test]
async fn trouble_with_files_stops_nothing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("inbox");
    std::fs::write(&out, "a file where the folder should be").unwrap();
    let inbox = Inbox::open(folder.path().join(INBOX_FILE), InboxOptions::default()).unwrap();
    let stop = CancellationToken::new();
    let task = tokio::spawn(outlet(inbox.clone(), vec!["wa".into()], out.clone(), stop.clone()));
    inbox.append(vec![delivery(b"1")]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(400)).await;
    let reader = InboxReader::open(inbox.path()).unwrap();
    assert_eq!(reader.readers().unwrap()[0].unread, 1);
    std::fs::remove_file(&out).unwrap();
    for _ in 0..200 {
        if reader.readers().unwrap()[0].unread == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(lines(&out).len(), 1);
    stop.cancel();
    task.await.unwrap();
}
