//! The store on real files: what it promises holds over reopening, killing and company.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod crash;
mod dead_letters;
mod forget;
mod landing;
mod ledger;
mod locks;
mod opening;
mod tokens;

use serde_json::json;
use throughline_store::{LandCommit, NewRun, NewSegment, RunId, STATE_FILE, Store};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
    fn path(&self) -> &std::path::Path {
        self.0.path()
    }
    fn db(&self) -> std::path::PathBuf {
        self.0.path().join(STATE_FILE)
    }
    fn open(&self) -> Store {
        Store::open(self.db()).unwrap()
    }
}

async fn begin(store: &Store) -> RunId {
    let run = NewRun { pipeline: "shop".into(), kind: "run".into(), started_at_us: 10, detail: json!({}) };
    store.begin_run(run).await.unwrap()
}

fn segment(file: impl Into<String>, rows: u64, seq_from: i64) -> NewSegment {
    NewSegment { file: file.into(), rows, bytes: rows * 100, seq_from, schema: json!(["id"]), window: None }
}

fn commit(run: RunId, generation: i64, segments: Vec<NewSegment>) -> LandCommit {
    LandCommit {
        pipeline: "shop".into(),
        source: "crm".into(),
        stream: "leads".into(),
        generation,
        run,
        at_us: 20,
        segments,
        checkpoint: None,
        windows_ended: vec![],
        rejects: vec![],
    }
}

/// This test binary again, in a process of its own that runs only `test`, told by `TL_CHILD`.
fn child(test: &str, folder: &std::path::Path) -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env("TL_CHILD", folder)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    command
}

/// The folder a parent test has given this process; `None` in an ordinary test run.
fn child_folder() -> Option<std::path::PathBuf> {
    std::env::var_os("TL_CHILD").map(Into::into)
}
