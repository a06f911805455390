//! The inbox on real files: group commit, keys, retention, a full disk, company, and kills.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use throughline_core::time::FixedClock;
use throughline_core::{Clock as _, ErrorKind};
use throughline_store::inbox::{
    Appended, DeliveryHash, INBOX_FILE, Inbox, InboxOptions, InboxReader, NewDelivery, Refused, Retention,
};

const DAY: u64 = 86_400;

fn delivery(source: &str, key: &str, body: &str) -> NewDelivery {
    at(source, key, body, 1_000_000)
}

fn at(source: &str, key: &str, body: &str, received_at_us: i64) -> NewDelivery {
    NewDelivery {
        source: source.into(),
        received_at_us,
        key: (!key.is_empty()).then(|| DeliveryHash::of(key.as_bytes())),
        headers: "{}".into(),
        body: body.into(),
    }
}

fn open(folder: &Path, retention: Retention, clock: &Arc<FixedClock>) -> Inbox {
    let options = InboxOptions {
        retention,
        clock: clock.clone(),
        upkeep_every: Duration::from_millis(10),
        ..InboxOptions::default()
    };
    Inbox::open(folder.join(INBOX_FILE), options).unwrap()
}

/// Waits until `wanted`, at most some seconds.
async fn until(mut wanted: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if wanted() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come to pass");
}

#[tokio::test]
async fn what_comes_twice_is_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(folder.path().join(INBOX_FILE), InboxOptions::default()).unwrap();
    let group =
        vec![delivery("wa", "a", "Привет"), delivery("wa", "a", "twin"), delivery("vk", "a", "مرحبا")];
    let done = inbox.append(group).await.unwrap();
    assert_eq!(done, [Appended::Stored(1), Appended::Duplicate, Appended::Stored(2)]);
    assert_eq!(inbox.append(vec![delivery("wa", "a", "again")]).await.unwrap(), [Appended::Duplicate]);
    let unkeyed = vec![delivery("wa", "", "x"), delivery("wa", "", "x")];
    assert_eq!(inbox.append(unkeyed).await.unwrap(), [Appended::Stored(3), Appended::Stored(4)]);

    let second = Inbox::open(folder.path().join(INBOX_FILE), InboxOptions::default()).unwrap_err();
    assert!(second.is_temporary() && second.to_string().contains("being received into"), "{second}");

    let reader = InboxReader::open(folder.path().join(INBOX_FILE)).unwrap();
    let read = reader.read("wa", 0, 100, 1 << 20).unwrap();
    assert_eq!(read.iter().map(|d| d.seq).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(read[0].body, "Привет".as_bytes());
    assert_eq!(reader.read("wa", 1, 1, 1 << 20).unwrap()[0].seq, 3);
    assert_eq!(reader.read("wa", 0, 100, 1).unwrap().len(), 1);
    assert_eq!(reader.read("none", 0, 100, 1).unwrap(), []);
    drop(inbox);
    // Over a restart, too.
    let inbox = Inbox::open(folder.path().join(INBOX_FILE), InboxOptions::default()).unwrap();
    assert_eq!(inbox.append(vec![delivery("wa", "a", "again")]).await.unwrap(), [Appended::Duplicate]);
    assert_eq!(inbox.append(vec![delivery("wa", "b", "new")]).await.unwrap(), [Appended::Stored(5)]);
}

#[tokio::test]
async fn many_at_once_share_commits() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(folder.path().join(INBOX_FILE), InboxOptions::default()).unwrap();
    let all: Vec<_> = (0..500)
        .map(|n| {
            let inbox = inbox.clone();
            tokio::spawn(
                async move { inbox.append(vec![delivery("wa", &n.to_string(), "x")]).await.unwrap() },
            )
        })
        .collect();
    let mut seqs = Vec::new();
    for one in all {
        let Appended::Stored(seq) = one.await.unwrap()[0] else { panic!() };
        seqs.push(seq);
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>());
    assert_eq!(inbox.waiting(), 0);
}

#[tokio::test]
async fn more_than_may_wait_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let options = InboxOptions { queue: 2, queue_bytes: 4096, ..InboxOptions::default() };
    let inbox = Inbox::open(folder.path().join(INBOX_FILE), options).unwrap();
    let holder = rusqlite::Connection::open(folder.path().join(INBOX_FILE)).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let first = tokio::spawn({
        let inbox = inbox.clone();
        async move { inbox.append(vec![delivery("wa", "first", "x")]).await }
    });
    // The writer has it, and waits for the holder.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let all: Vec<_> = (0..20)
        .map(|n| {
            let inbox = inbox.clone();
            tokio::spawn(async move { inbox.append(vec![delivery("wa", &n.to_string(), "x")]).await })
        })
        .collect();
    // All but two; or but one, when the machine is so busy that the writer has not taken the first yet.
    until(|| all.iter().filter(|t| t.is_finished()).count() >= 18).await;
    let large = vec![delivery("wa", "large", &"x".repeat(5000))];
    assert!(matches!(inbox.append(large.clone()).await, Err(Refused::Busy)));
    holder.execute_batch("ROLLBACK").unwrap();
    first.await.unwrap().unwrap();
    let mut stored = 1;
    for one in all {
        match one.await.unwrap() {
            Ok(_) => stored += 1,
            Err(Refused::Busy) => {}
            Err(Refused::Failed(e)) => panic!("{e}"),
        }
    }
    assert!((2..=3).contains(&stored), "{stored}");
    // Larger than the queue, but alone.
    inbox.append(large).await.unwrap();
    let reader = InboxReader::open(inbox.path()).unwrap();
    assert_eq!(reader.state("wa").unwrap().stored, stored + 1);
}

#[tokio::test]
async fn a_full_disk_acknowledges_nothing_and_damages_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at_us(1_000_000));
    let retention = Retention { max_bytes: Some(400_000), ..Retention::default() };
    let inbox = open(folder.path(), retention.clone(), &clock);
    let body = "x".repeat(20_000);
    let mut stored = 0;
    let error = loop {
        match inbox.append(vec![delivery("wa", &stored.to_string(), &body)]).await {
            Ok(_) => stored += 1,
            Err(Refused::Failed(e)) => break e,
            Err(Refused::Busy) => panic!(),
        }
    };
    assert!(stored > 5 && inbox.is_failing());
    assert!(error.is_temporary() && error.to_string().contains("no space"), "{error}");
    let reader = InboxReader::open(inbox.path()).unwrap();
    assert_eq!(reader.state("wa").unwrap().stored, stored);
    // Nobody has read anything, so nothing was dropped. Once somebody has, there is room.
    reader.advance("wa", "r", 5).unwrap();
    until(|| reader.state("wa").unwrap().dropped >= 5).await;
    assert_eq!(reader.read("wa", 0, 1, 1).unwrap()[0].seq, 6);
    let again = inbox.append(vec![delivery("wa", &stored.to_string(), &body)]).await.unwrap();
    assert!(matches!(again[0], Appended::Stored(_)), "a refused one's key is not taken for known");
    assert!(!inbox.is_failing());
    // What was dropped is still known.
    assert_eq!(inbox.append(vec![delivery("wa", "0", &body)]).await.unwrap(), [Appended::Duplicate]);
    drop(inbox);
    let conn = rusqlite::Connection::open(folder.path().join(INBOX_FILE)).unwrap();
    let whole: String = conn.query_row("PRAGMA integrity_check", [], |r| r.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

#[tokio::test]
async fn what_nobody_has_read_outlives_every_clock() {
    let folder = tempfile::tempdir().unwrap();
    let start = 1_800_000_000_000_000;
    let clock = Arc::new(FixedClock::at_us(start));
    let retention = Retention { keep: Some(Duration::from_secs(DAY)), ..Retention::default() };
    let inbox = open(folder.path(), retention, &clock);
    for n in 0..10 {
        inbox.append(vec![at("wa", &n.to_string(), "x", start)]).await.unwrap();
        inbox.append(vec![at("vk", &n.to_string(), "x", start)]).await.unwrap();
    }
    let reader = InboxReader::open(inbox.path()).unwrap();
    reader.register("wa", "slow").unwrap();
    reader.advance("wa", "fast", 19).unwrap();
    // The clock jumps ten years ahead.
    clock.sleep(Duration::from_secs(3650 * DAY)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(reader.state("wa").unwrap().stored, 10);
    reader.advance("wa", "slow", 7).unwrap();
    until(|| reader.state("wa").unwrap().stored == 6).await;
    assert_eq!(reader.state("wa").unwrap().dropped_through, 7);
    assert_eq!(reader.state("vk").unwrap().stored, 10, "it has no reader");
    // A reader never goes back, and its lag is told.
    reader.advance("wa", "fast", 3).unwrap();
    let states = reader.readers().unwrap();
    assert_eq!(states.iter().map(|r| (r.seq, r.unread)).collect::<Vec<_>>(), [(19, 0), (7, 6)]);
    // Keys outlive the jump by their number.
    assert_eq!(inbox.append(vec![at("wa", "0", "x", start)]).await.unwrap(), [Appended::Duplicate]);
    // And back: before everything that is stored.
    inbox.append(vec![at("wa", "back", "x", 5)]).await.unwrap();
    assert_eq!(reader.read("wa", 19, 10, 1000).unwrap().last().unwrap().received_at_us, 5);
}

#[tokio::test]
async fn keys_go_when_they_are_old_and_many() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(FixedClock::at_us(1_000_000));
    let retention = Retention { keep_keys: Duration::from_secs(DAY), least_keys: 3, ..Retention::default() };
    let inbox = open(folder.path(), retention, &clock);
    for n in 0..10 {
        inbox.append(vec![delivery("wa", &n.to_string(), "x")]).await.unwrap();
    }
    clock.sleep(Duration::from_secs(2 * DAY)).await;
    let conn = rusqlite::Connection::open(inbox.path()).unwrap();
    let keys = || conn.query_row("SELECT count(*) FROM keys", [], |r| r.get::<_, i64>(0)).unwrap();
    until(|| keys() == 3).await;
    assert_eq!(inbox.append(vec![delivery("wa", "9", "x")]).await.unwrap(), [Appended::Duplicate]);
    assert!(matches!(inbox.append(vec![delivery("wa", "0", "x")]).await.unwrap()[0], Appended::Stored(_)));
}

/// What was handed on and dropped leaves neither the file nor its log, without a restart.
#[tokio::test]
async fn what_was_dropped_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let start = 1_800_000_000_000_000;
    let clock = Arc::new(FixedClock::at_us(start));
    let retention = Retention { keep: Some(Duration::ZERO), ..Retention::default() };
    let inbox = open(folder.path(), retention, &clock);
    let secret = "79161234567".repeat(50);
    inbox.append(vec![at("wa", "a", &secret, start), at("wa", "b", &secret, start)]).await.unwrap();
    inbox.advance("wa".into(), "r".into(), 2).await.unwrap();
    clock.sleep(Duration::from_secs(1)).await;
    let holds = |path: &std::path::Path| {
        let bytes = if path.is_file() { std::fs::read(path).unwrap() } else { Vec::new() };
        bytes.windows(11).any(|w| w == b"79161234567")
    };
    until(|| std::fs::read_dir(folder.path()).unwrap().all(|file| !holds(&file.unwrap().path()))).await;
    assert_eq!(inbox.reader().unwrap().state("wa").unwrap().dropped, 2);
    assert_eq!(inbox.append(vec![delivery("wa", "a", "x")]).await.unwrap(), [Appended::Duplicate]);
}

/// As one file, for whoever copies it.
#[tokio::test]
async fn a_closed_inbox_has_no_log() {
    let folder = tempfile::tempdir().unwrap();
    let inbox = Inbox::open(folder.path().join(INBOX_FILE), InboxOptions::default()).unwrap();
    inbox.append(vec![delivery("wa", "a", "x")]).await.unwrap();
    assert!(folder.path().join("inbox.db-wal").metadata().unwrap().len() > 0);
    drop(inbox);
    assert!(!folder.path().join("inbox.db-wal").exists() && !folder.path().join("inbox.db-shm").exists());
}

#[test]
fn what_is_no_inbox_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(INBOX_FILE);
    let none = InboxReader::open(&path).err().unwrap();
    assert_eq!(none.kind(), ErrorKind::NotFound);
    std::fs::write(&path, "no database at all, but some text that is long enough".repeat(100)).unwrap();
    assert_eq!(Inbox::open(&path, InboxOptions::default()).unwrap_err().kind(), ErrorKind::Data);
    std::fs::remove_file(&path).unwrap();
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    assert_eq!(Inbox::open(&path, InboxOptions::default()).unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test]
async fn a_torn_or_foreign_tail_of_the_log_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(INBOX_FILE);
    let inbox = Inbox::open(&path, InboxOptions::default()).unwrap();
    for n in 0..20 {
        inbox.append(vec![delivery("wa", &n.to_string(), &"x".repeat(3000))]).await.unwrap();
    }
    // As after a power cut: the file and its log, copied while it is open, the log's end torn or overwritten.
    for (n, cut) in [1_u64, 13, 4000, 5000, 9000].into_iter().enumerate() {
        let copy = tempfile::tempdir().unwrap();
        let to = copy.path().join(INBOX_FILE);
        std::fs::copy(&path, &to).unwrap();
        let log = copy.path().join("inbox.db-wal");
        std::fs::copy(folder.path().join("inbox.db-wal"), &log).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
        file.set_len(file.metadata().unwrap().len() - cut).unwrap();
        if n % 2 == 0 {
            std::fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(&[0xAB; 5000]).unwrap();
        }
        let repaired = Inbox::open(&to, InboxOptions::default()).unwrap();
        let left = InboxReader::open(&to).unwrap().read("wa", 0, 100, 1 << 20).unwrap();
        assert!((16..20).contains(&left.len()), "{}", left.len());
        assert!(left.iter().enumerate().all(|(i, d)| d.seq == i as i64 + 1 && d.body.len() == 3000));
        repaired.append(vec![delivery("wa", "new", "x")]).await.unwrap();
    }
}

/// Kill -9 at random moments, in commits and in compaction: what was acknowledged is there exactly once, and
/// what is sent again makes no second.
#[test]
fn kills() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = std::collections::BTreeSet::new();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for round in 0..30 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_receives", "--nocapture", "--test-threads=1"])
            .env("TL_CHILD", folder.path())
            .env("TL_ROUND", round.to_string())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let most = 20 + random % 400;
        for _ in 0..most {
            let line = lines.next().unwrap().unwrap();
            if let Some(key) = line.strip_prefix("ack ") {
                acknowledged.insert(key.to_owned());
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had still said is acknowledged too.
        for line in lines.map_while(Result::ok) {
            if let Some(key) = line.strip_prefix("ack ").filter(|k| k.ends_with('.')) {
                acknowledged.insert(key.to_owned());
            }
        }
        let path = folder.path().join(INBOX_FILE);
        let reader = InboxReader::open(&path).unwrap();
        let found: Vec<String> = reader
            .read("kept", 0, usize::MAX >> 1, usize::MAX)
            .unwrap()
            .into_iter()
            .map(|d| String::from_utf8(d.body).unwrap())
            .collect();
        let once: std::collections::BTreeSet<String> = found.iter().cloned().collect();
        assert_eq!(once.len(), found.len(), "round {round}: something is there twice");
        let lost: Vec<_> = acknowledged.difference(&once).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
    }
    assert!(acknowledged.len() > 1000, "{}", acknowledged.len());
    let inbox = Inbox::open(folder.path().join(INBOX_FILE), InboxOptions::default()).unwrap();
    let again = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(inbox.append(acknowledged.iter().map(|key| delivery("kept", key, key)).collect()));
    assert!(again.unwrap().iter().all(|a| *a == Appended::Duplicate));
}

#[test]
fn child_that_receives() {
    let Some(folder) = std::env::var_os("TL_CHILD") else { return };
    let round = std::env::var("TL_ROUND").unwrap();
    let options = InboxOptions {
        retention: Retention { keep: Some(Duration::ZERO), ..Retention::default() },
        upkeep_every: Duration::from_millis(1),
        ..InboxOptions::default()
    };
    let path = Path::new(&folder).join(INBOX_FILE);
    let inbox = Inbox::open(&path, options).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        for task in 0..32 {
            let (inbox, round) = (inbox.clone(), round.clone());
            tokio::spawn(async move {
                for n in 0.. {
                    let key = format!("{round}/{task}/{n}.");
                    // Of a source that is read and dropped all the time, too.
                    let both = vec![delivery("kept", &key, &key), delivery("dropped", &key, &key)];
                    let done = inbox.append(both).await.unwrap();
                    let Appended::Stored(seq) = done[1] else { panic!() };
                    println!("ack {key}");
                    if n % 8 == 0 {
                        inbox.advance("dropped".into(), "r".into(), seq).await.unwrap();
                    }
                }
            });
        }
        std::future::pending::<()>().await;
    });
}
