//! A disk that cannot be flushed, is full, and loses its power: what was acknowledged is handed on once.
//!
//! `faults.c` stands in front of libc in the process that receives. After a failed fsync the system forgets that
//! pages were not written: who only tries again believes in data that the next power cut takes away.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::kill::start_with;
use crate::support::{Reply, meta_signature, reply, request};

struct Disk {
    folder: tempfile::TempDir,
    library: PathBuf,
    acknowledged: BTreeSet<String>,
    refused: Vec<String>,
    sent: usize,
}

impl Disk {
    /// `None` where there is no C compiler.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/faults.c");
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-w", "-o"])
            .arg(&library)
            .arg(source)
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: no C compiler makes the library of faults");
            return None;
        }
        for name in ["state", "shadow"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        Some(Self { folder, library, acknowledged: BTreeSet::new(), refused: Vec::new(), sent: 0 })
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state").canonicalize().unwrap()
    }

    fn start(&self) -> (Child, u16) {
        let (switch, shadow) = (self.folder.path().join("switch"), self.folder.path().join("shadow"));
        let env: [(&str, &Path); 4] = [
            ("LD_PRELOAD", &self.library),
            ("TL_DISK_SWITCH", &switch),
            ("TL_DISK_WATCH", &self.state()),
            ("TL_DISK_SHADOW", &shadow),
        ];
        start_with(&self.state(), &env)
    }

    /// `eio inbox.db-wal`; empty: all is well.
    fn switch(&self, how: &str) {
        let (new, path) = (self.folder.path().join("switch.new"), self.folder.path().join("switch"));
        std::fs::write(&new, how).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// New deliveries of so many bytes; how many were acknowledged. Refused ones are told to come again.
    fn post(&mut self, port: u16, count: usize, bytes: usize) -> usize {
        let fresh = (self.sent..self.sent + count).map(|n| format!("{n}:{}", "x".repeat(bytes)));
        let fresh: Vec<String> = fresh.collect();
        self.sent += count;
        self.send(port, fresh)
    }

    fn send(&mut self, port: u16, bodies: Vec<String>) -> usize {
        let mut good = 0;
        for body in bodies {
            let signature = meta_signature(body.as_bytes());
            let bytes = request("POST", "/hooks/wa", &[("X-Hub-Signature-256", &signature)], body.as_bytes());
            let reply = ask(port, &bytes);
            match reply.status {
                200 => {
                    good += 1;
                    self.acknowledged.insert(body);
                }
                503 => {
                    assert!(reply.head.contains("retry-after: "), "{}", reply.head);
                    self.refused.push(body);
                }
                other => panic!("{other}"),
            }
        }
        good
    }

    /// The vendor's second attempt.
    fn again(&mut self, port: u16) {
        let bodies = std::mem::take(&mut self.refused);
        let count = bodies.len();
        assert_eq!(self.send(port, bodies), count);
    }

    /// Ends the process at once; then files are as the disk had them.
    fn power_cut(&self, mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
        let mut files = vec![self.state()];
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
                continue;
            }
            let name = path.to_str().unwrap().replace('/', "%");
            if name.ends_with("-shm") || name.ends_with(".lock") {
                continue;
            }
            let on_disk = std::fs::read(self.folder.path().join("shadow").join(name)).unwrap_or_default();
            std::fs::write(&path, on_disk).unwrap();
        }
    }

    /// Stops it as a person would, and looks at what was handed on.
    fn end(mut self, mut child: Child, port: u16) {
        self.again(port);
        child.stdin.take().unwrap().write_all(b"stop\n").unwrap();
        child.wait().unwrap();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.state().join("inbox/wa")).unwrap() {
            for line in std::fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                found.push(line["body"].as_str().unwrap().to_owned());
            }
        }
        let once: BTreeSet<String> = found.iter().cloned().collect();
        assert_eq!(once.len(), found.len(), "something is there twice");
        let short = |body: &String| body.chars().take(12).collect::<String>();
        let lost: Vec<_> = self.acknowledged.difference(&once).map(short).collect();
        assert!(lost.is_empty(), "lost {lost:?} of {}", self.acknowledged.len());
        assert_eq!(self.acknowledged.len(), self.sent);
        let whole: String = rusqlite::Connection::open(self.state().join("inbox.db"))
            .unwrap()
            .query_row("PRAGMA integrity_check", [], |r| r.get(0))
            .unwrap();
        assert_eq!(whole, "ok");
    }
}

fn ask(port: u16, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    reply(&all)
}

fn health(port: u16) -> u16 {
    ask(port, &request("GET", "/healthz", &[], b"")).status
}

fn until_well(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while health(port) != 200 {
        assert!(Instant::now() < deadline, "it does not come back by itself");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_log_that_cannot_be_flushed_acknowledges_nothing() {
    let Some(mut disk) = Disk::new() else { return };
    let (mut child, mut port) = disk.start();
    for round in 0..4 {
        assert_eq!(disk.post(port, 10, 500), 10);
        disk.switch("eio inbox.db-wal");
        assert_eq!(disk.post(port, 10, 500), 0);
        assert_eq!(health(port), 503);
        if round % 2 == 0 {
            // It is over: health comes back although nobody sends anything, and what comes again is taken.
            disk.switch("");
            until_well(port);
            disk.again(port);
        }
        disk.power_cut(child);
        disk.switch("");
        (child, port) = disk.start();
    }
    disk.end(child, port);
}

#[test]
fn files_that_cannot_be_flushed_are_written_again() {
    let Some(mut disk) = Disk::new() else { return };
    let (mut child, mut port) = disk.start();
    for round in 0..4 {
        assert_eq!(disk.post(port, 10, 500), 10);
        disk.switch("eio .jsonl");
        // The inbox keeps them: they are acknowledged.
        assert_eq!(disk.post(port, 10, 500), 10);
        std::thread::sleep(Duration::from_millis(700));
        disk.switch("");
        if round % 2 == 0 {
            // Long enough for handing on, and for dropping what was handed on.
            std::thread::sleep(Duration::from_millis(900));
        }
        disk.power_cut(child);
        (child, port) = disk.start();
    }
    disk.end(child, port);
}

#[test]
fn a_database_that_cannot_be_flushed_keeps_its_log() {
    let Some(mut disk) = Disk::new() else { return };
    let (mut child, mut port) = disk.start();
    for round in 0..4 {
        assert_eq!(disk.post(port, 8, 1_000_000), 8);
        // Who reads for long lets a part of the log be folded in, not flushed.
        let path = disk.state().join("inbox.db");
        let reader = rusqlite::Connection::open(path).unwrap();
        reader.execute_batch("BEGIN; SELECT count(*) FROM deliveries").unwrap();
        // More than the log takes before it is folded in.
        assert_eq!(disk.post(port, 16, 1_000_000), 16);
        disk.switch("eio /inbox.db");
        drop(reader);
        assert_eq!(disk.post(port, 4, 1_000_000), 4);
        if round % 2 == 0 {
            // Well again before the cut: the whole log is folded once more, not what SQLite believes is left of it.
            disk.switch("");
            until_folded(&disk.state());
            assert_eq!(disk.post(port, 1, 500), 1);
        }
        disk.power_cut(child);
        disk.switch("");
        (child, port) = disk.start();
    }
    disk.end(child, port);
}

fn until_folded(state: &Path) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while std::fs::metadata(state.join("inbox.db-wal")).unwrap().len() > 0 {
        assert!(Instant::now() < deadline, "the log is not folded in");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_full_disk_is_told_and_passes() {
    let Some(mut disk) = Disk::new() else { return };
    let (mut child, mut port) = disk.start();
    for full in ["inbox.db-wal", ".jsonl"] {
        assert_eq!(disk.post(port, 10, 500), 10);
        disk.switch(&format!("enospc {full}"));
        let taken = disk.post(port, 10, 20_000);
        assert_eq!(taken, if full == ".jsonl" { 10 } else { 0 });
        std::thread::sleep(Duration::from_millis(400));
        disk.switch("");
        until_well(port);
        disk.again(port);
        disk.power_cut(child);
        (child, port) = disk.start();
    }
    disk.end(child, port);
}
