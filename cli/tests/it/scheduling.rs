//! `throughline schedule`: how many pipelines run at once, and how many of those compute.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::receiving::{Daemon, is};

/// Tells that it began, which is while its pipeline publishes, and goes on when it may. It does not wait for ever, so
/// that nothing stays behind a test that fails.
const TARGET: &str = r#"#!/bin/sh
cat > in
touch began
n=0
while [ ! -e go ] && [ $n -lt 2400 ]; do sleep 0.05; n=$((n + 1)); done
sed -n -E '$s/^\{"type":"STATE","value":(.*)\}$/\1/p' in
"#;

const HELD: &str = r#"[[sink]]
connector = "singer"
path = "spool-NAME"
command = "./target.sh"
tables = ["costs"]
"#;

const FREE: &str = r#"[[sink]]
connector = "csv"
path = "out-NAME"
"#;

fn pipeline(name: &str, sink: &str) -> String {
    let sink = sink.replace("NAME", name);
    format!(
        r#"[pipeline]
state = "{name}"

[schedule]
cron = "* * * * * *"

[[source]]
name = "rows"
connector = "file"
path = "rows.csv"
into = "costs"
mapping = """SELECT 'ads' AS system, DATE '2026-09-01' AS day, CAST(id AS VARCHAR) AS campaign_id,
    minor_units(cost, 'RUB') AS cost_minor, 'RUB' AS currency FROM file"""

{sink}"#
    )
}

/// `pipes`, where a first pipeline publishes until it may go on.
struct Pipes(PathBuf);

impl Pipes {
    fn at(path: PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let pipes = Self(path);
        pipes.write("rows.csv", "id,cost\n1,1.00\n2,2.50\n");
        pipes.write("target.sh", TARGET);
        #[cfg(unix)]
        std::fs::set_permissions(
            pipes.path("target.sh"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        pipes.write("first.toml", &pipeline("first", HELD));
        pipes
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn until(&self, what: &str, there: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !there(self) {
            assert!(Instant::now() < deadline, "{what} did not come within 90 s");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        // The target is a process of its own: it must not stay behind a test that fails.
        let _ = std::fs::write(self.path("go"), "");
    }
}

fn has_parquet(folder: &Path) -> bool {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .any(|path| path.extension().is_some_and(|e| e == "parquet") || (path.is_dir() && has_parquet(&path)))
}

#[test]
fn two_run_and_one_of_them_computes() {
    let folder = tempfile::tempdir().unwrap();
    let pipes = Pipes::at(folder.path().join("pipes"));
    let daemon = Daemon::start(folder.path(), &["--parallel", "2", "--computing", "1"]);
    pipes.until("publishing of first", |p| p.path("began").exists());
    pipes.write("second.toml", &pipeline("second", FREE));
    daemon.until("start of second", is("started", "second"));
    pipes.write("third.toml", &pipeline("third", FREE));
    pipes.until("rows of second", |p| has_parquet(&p.path("second/second/raw")));
    daemon.until("third pipeline", is("loaded", "third"));
    // Behind its last row a run computes at once, and a due pipeline is started at once. Here neither may be.
    let started = |event: &Json| is("started", "third")(event) || is("finished", "second")(event);
    daemon.never(Duration::from_secs(3), "two compute, or three run", started);
    assert!(!pipes.path("second/second/tables").exists(), "it computed without a place");
    pipes.write("go", "");
    let ended = daemon.until("end of first", is("finished", "first"));
    assert_eq!(ended["status"], "succeeded", "{ended}");
    daemon.until("start of third", is("started", "third"));
    pipes.until("tables of second", |p| p.path("second/second/tables").exists());
}
