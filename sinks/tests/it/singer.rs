//! Singer targets: a good one, and those that do what targets do.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Value, json};
use throughline_core::{Committable, DynSink, Error, ErrorKind, Options, Receipt, Table, TxnId};

use crate::{connector, context, stream, table, try_build};

/// A folder with a target: a shell script that is given the folder as `$STUDIO`.
pub(crate) struct Studio {
    folder: tempfile::TempDir,
}

/// Takes all that it is sent, keeps it, and prints the state that came last.
pub(crate) const GOOD: &str = r#"
cat > "$STUDIO/input"; cat "$STUDIO/input" >> "$STUDIO/loaded"
echo run >> "$STUDIO/runs"
echo "loading..."; echo '[1]'; printf '\377\376\n{ half of\n'
sed -n -E '$s/^\{"type":"STATE","value":(.*)\}$/\1/p' "$STUDIO/input"
"#;

impl Studio {
    pub(crate) fn new(script: &str) -> Self {
        let studio = Self { folder: tempfile::tempdir().unwrap() };
        studio.target(script);
        studio
    }

    /// Another target in place of the one before.
    pub(crate) fn target(&self, script: &str) {
        let path = self.path().join("target.sh");
        // Never written where it may be running: a file that is open for writing cannot be started.
        let fresh = self.path().join("target.new");
        std::fs::write(&fresh, format!("#!/bin/sh\n{script}\n")).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&fresh, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(fresh, path).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn options(&self, extra: Value) -> Value {
        let mut value = json!({
            "path": "spool", "command": "./target.sh", "env": { "STUDIO": self.path() }, "time_limit_s": 20,
            "config": { "password": { "$secret": "target-secret" }, "batch": 5 },
        });
        value.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        value
    }

    pub(crate) fn sink(&self, extra: Value) -> DynSink {
        try_build("singer", self.path(), self.options(extra)).unwrap_or_else(|e| panic!("{e:?}"))
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    /// Records that the good target loaded, whatever stream they are of.
    pub(crate) fn loaded(&self) -> Vec<Value> {
        let all = self.read("loaded");
        let messages = all.lines().map(|l| serde_json::from_str::<Value>(l).unwrap());
        messages.filter(|m| m["type"] == "RECORD").map(|m| m["record"].clone()).collect()
    }

    pub(crate) fn spooled(&self) -> Vec<String> {
        let mut names = Vec::new();
        for part in ["spool/staging", "spool/epochs"] {
            for txn in std::fs::read_dir(self.path().join(part)).into_iter().flatten().flatten() {
                for file in std::fs::read_dir(txn.path()).unwrap().flatten() {
                    names.push(file.file_name().to_string_lossy().into_owned());
                }
            }
        }
        names.sort();
        names
    }
}

pub(crate) fn deals(ids: std::ops::Range<i64>) -> RecordBatch {
    let schema =
        Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("имя", DataType::Utf8, true)]);
    let names = ids.clone().map(|i| (i % 2 == 0).then(|| format!("Сделка \"{i}\"")));
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(Int64Array::from_iter_values(ids.clone())), Arc::new(names.collect::<StringArray>())];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

pub(crate) fn about(name: &str) -> Table {
    table(name, deals(0..0).schema())
}

pub(crate) async fn stage(
    sink: &DynSink,
    txn: &str,
    tables: &[(Table, RecordBatch)],
) -> Result<Vec<Committable>, Error> {
    let mut staged = Vec::new();
    for (table, rows) in tables {
        staged.push(sink.stage(&context(), table, stream(vec![rows.clone()]), &TxnId(txn.into())).await?);
    }
    Ok(staged)
}

pub(crate) async fn commit(sink: &DynSink, txn: &str, staged: &[Committable]) -> Result<Receipt, Error> {
    sink.commit(&context(), &TxnId(txn.into()), staged).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_sinks_passes() {
    let studio = Studio::new(GOOD);
    let connector: &'static dyn throughline_core::SinkConnector = Box::leak(connector("singer"));
    for mode in ["upsert", "append"] {
        let value = studio.options(json!({ "mode": mode, "path": mode }));
        let options = Options { name: "out".into(), value, base_dir: studio.path().to_path_buf() };
        let report =
            throughline_behaviour::SinkSuite::of_connector(connector, &options, || Ok(context())).run().await;
        assert!(report.passed(), "{}", report.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_is_loaded_whole_and_once() {
    let studio = Studio::new(GOOD);
    let tables = [(about("deals"), deals(0..3)), (about("empty"), deals(0..0))];
    let staged = stage(&studio.sink(json!({})), "t1", &tables).await.unwrap();
    assert_eq!(studio.read("runs"), "", "staging runs no target");
    // A fresh process commits, and another commits again.
    let receipt = commit(&studio.sink(json!({})), "t1", &staged).await.unwrap();
    assert_eq!(receipt, commit(&studio.sink(json!({})), "t1", &staged).await.unwrap());
    assert_eq!((receipt.rows, studio.read("runs").as_str()), (3, "run\n"));
    let expected = [
        r#"{"type":"SCHEMA","stream":"deals","schema":{"type":"object","properties":{"id":{"type":"integer"},"имя":{"type":["string","null"]}}},"key_properties":["id"]}"#,
        r#"{"type":"RECORD","stream":"deals","record":{"id":0,"имя":"Сделка \"0\""}}"#,
        r#"{"type":"RECORD","stream":"deals","record":{"id":1,"имя":null}}"#,
        r#"{"type":"RECORD","stream":"deals","record":{"id":2,"имя":"Сделка \"2\""}}"#,
        r#"{"type":"SCHEMA","stream":"empty","schema":{"type":"object","properties":{"id":{"type":"integer"},"имя":{"type":["string","null"]}}},"key_properties":["id"]}"#,
        r#"{"type":"STATE","value":{"bookmarks":{"deals":{"epoch":"t1"},"empty":{"epoch":"t1"}}}}"#,
    ];
    assert_eq!(studio.read("loaded").lines().collect::<Vec<_>>(), expected);
    // What the target has is not kept twice.
    assert_eq!(studio.spooled(), ["_manifest.json"]);
    // The epoch after it, and the first again.
    let staged2 = stage(&studio.sink(json!({})), "t2", &[(about("deals"), deals(5..6))]).await.unwrap();
    commit(&studio.sink(json!({})), "t2", &staged2).await.unwrap();
    commit(&studio.sink(json!({})), "t1", &staged).await.unwrap();
    assert_eq!(studio.read("runs"), "run\nrun\n");
    // Somebody deleted the folder: the engine is told, and publishes anew.
    std::fs::remove_dir_all(studio.path().join("spool")).unwrap();
    let gone = commit(&studio.sink(json!({})), "t2", &staged2).await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::Data, "{gone}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gets_its_settings_and_nothing_of_ours() {
    let studio = Studio::new(&format!(
        "cp \"$2\" \"$STUDIO/seen-config\"; stat -c %a \"$2\" > \"$STUDIO/mode\"; echo \"$2\" > \"$STUDIO/place\"; \
         env > \"$STUDIO/seen-env\"; pwd -P > \"$STUDIO/where\"{GOOD}"
    ));
    let sink = studio.sink(json!({}));
    let staged = stage(&sink, "t1", &[(about("deals"), deals(0..1))]).await.unwrap();
    commit(&sink, "t1", &staged).await.unwrap();
    let config: Value = serde_json::from_str(&studio.read("seen-config")).unwrap();
    assert_eq!(config, json!({ "password": "target-secret", "batch": 5 }));
    assert_eq!(studio.read("mode").trim(), "600");
    assert!(!Path::new(studio.read("place").trim()).exists(), "the config goes with the run");
    assert!(!studio.read("seen-env").contains("CARGO"), "{}", studio.read("seen-env"));
    // Paths in its settings mean the same from wherever we are started.
    assert_eq!(Path::new(studio.read("where").trim()), studio.path().canonicalize().unwrap());
    let kept = serde_json::to_string(&staged).unwrap();
    assert!(!kept.contains("target-secret"), "the ledger holds no secrets");
}

/// Each of these fails the commit, says why, and costs nothing: the target is mended, and all is loaded.
#[tokio::test(flavor = "multi_thread")]
async fn what_targets_do_wrong_is_told_and_loaded_again() {
    let many = 0..4_000;
    let cases: &[(&str, &[&str])] = &[
        (
            "head -c 1000 > /dev/null; echo 'no room, said target-secret' >&2; exit 3",
            &["ended with exit code 3", "no room, said ***"],
        ),
        ("cat > /dev/null; kill -9 $$", &["was ended: signal: 9"]),
        ("cat > /dev/null", &["did not print the state"]),
        ("cat > /dev/null; echo 'all loaded'; echo '[1]'; echo null", &["did not print the state"]),
        (
            r#"cat > /dev/null; echo '{"bookmarks":{"deals":{"epoch":"t0"}}}'"#,
            &["printed another state", "t0"],
        ),
        (
            r#"cat > /dev/null; echo '{"bookmarks":{"deals":{"epoch":"t1"}}}'; echo '{}'"#,
            &["printed another state", "{}"],
        ),
        ("head -c 100 > /dev/null; exit 0", &["read only", "bytes"]),
        (
            r#"read a; read b; echo "row rejected: $b" | cut -c 1-80 >&2; exec 0<&-; exit 1"#,
            &["exit code 1", "row rejected"],
        ),
        ("head -c 34000000 /dev/zero | tr '\\0' x; cat > /dev/null", &["longer than"]),
        ("cat > /dev/null; exec 1>&-; exec sleep 60", &["did not end; it was killed"]),
    ];
    let failures = cases.iter().map(async |(script, said)| {
        let studio = Studio::new(script);
        let sink = studio.sink(json!({}));
        let staged = stage(&sink, "t1", &[(about("deals"), deals(many.clone()))]).await.unwrap();
        let error = commit(&sink, "t1", &staged).await.unwrap_err();
        let told = error.to_string();
        assert!(said.iter().all(|s| told.contains(s)), "{script}: {told}");
        assert!(!told.contains("target-secret"), "{told}");
        assert!(error.hint_text().is_some(), "{told}");
        assert!(
            !matches!(error.kind(), ErrorKind::Data | ErrorKind::Bug),
            "the epoch is not given up: {told}"
        );
        studio.target(GOOD);
        let receipt = commit(&studio.sink(json!({})), "t1", &staged).await.unwrap();
        let ids: Vec<_> = studio.loaded().iter().map(|r| r["id"].as_i64().unwrap()).collect();
        assert_eq!((receipt.rows, ids), (4_000, many.clone().collect::<Vec<_>>()));
    });
    futures::future::join_all(failures).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_is_stopped_and_one_that_is_slow_is_not() {
    for script in ["exec sleep 60", "cat > /dev/null; exec sleep 60"] {
        let studio = Studio::new(script);
        let sink = studio.sink(json!({ "time_limit_s": 1 }));
        let staged = stage(&sink, "t1", &[(about("deals"), deals(0..9_000))]).await.unwrap();
        let error = commit(&sink, "t1", &staged).await.unwrap_err();
        assert!(error.to_string().contains("read and wrote nothing for 1 s"), "{error}");
        assert!(error.is_temporary());
    }
    // It writes nothing for longer than its limit, but it reads.
    let studio =
        Studio::new(&format!("for i in 1 2 3 4; do head -c 70000 >> \"$STUDIO/part\"; sleep 1; done{GOOD}"));
    let sink = studio.sink(json!({ "time_limit_s": 3 }));
    let staged = stage(&sink, "t1", &[(about("deals"), deals(0..9_000))]).await.unwrap();
    commit(&sink, "t1", &staged).await.unwrap();
    let read = studio.read("part") + &studio.read("loaded");
    assert_eq!(read.lines().filter(|l| l.contains("RECORD")).count(), 9_000);
}

/// A script's end is not that of the program that it started: one that went on would load beside the next run.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_it_started_goes_on() {
    let worker = "(trap '' TERM; exec sleep 60) > /dev/null 2>&1 & echo $! > \"$STUDIO/worker\"";
    for then in ["cat > /dev/null; wait", "cat > /dev/null; exit 1"] {
        let studio = Studio::new(&format!("{worker}; {then}"));
        let sink = studio.sink(json!({ "time_limit_s": 1 }));
        let staged = stage(&sink, "t1", &[(about("deals"), deals(0..1))]).await.unwrap();
        commit(&sink, "t1", &staged).await.unwrap_err();
        let worker = Path::new("/proc").join(studio.read("worker").trim()).join("status");
        let runs = || std::fs::read_to_string(&worker).is_ok_and(|s| !s.contains("State:\tZ"));
        for _ in 0..500 {
            if !runs() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert!(!runs(), "{then}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_stops_its_target() {
    let studio = Studio::new("echo $$ > \"$STUDIO/pid\"; cat > /dev/null; exec sleep 60");
    let sink = studio.sink(json!({}));
    let staged = stage(&sink, "t1", &[(about("deals"), deals(0..1))]).await.unwrap();
    let ctx = context();
    let txn = TxnId("t1".into());
    let stop = async {
        while studio.read("pid").trim().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        ctx.cancel.cancel();
    };
    let (error, ()) = tokio::join!(sink.commit(&ctx, &txn, &staged), stop);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Cancelled);
    let process = Path::new("/proc").join(studio.read("pid").trim());
    assert!(!process.exists(), "it goes on alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_commit_at_once_run_it_once() {
    let studio = Studio::new(&format!("sleep 0.3{GOOD}"));
    let staged = stage(&studio.sink(json!({})), "t1", &[(about("deals"), deals(0..7))]).await.unwrap();
    let (one, two) = (studio.sink(json!({})), studio.sink(json!({})));
    let (one, two) = tokio::join!(commit(&one, "t1", &staged), commit(&two, "t1", &staged));
    assert_eq!(one.unwrap(), two.unwrap());
    assert_eq!(studio.read("runs"), "run\n");
}

/// Recovery commits before the run has made its folder for temporary files.
#[tokio::test(flavor = "multi_thread")]
async fn it_makes_the_folder_that_it_needs() {
    let studio = Studio::new(GOOD);
    let sink = studio.sink(json!({}));
    let staged = stage(&sink, "t1", &[(about("deals"), deals(0..1))]).await.unwrap();
    let ctx = throughline_core::Context { scratch: studio.path().join("scratch/2"), ..context() };
    sink.commit(&ctx, &TxnId("t1".into()), &staged).await.unwrap();
    assert_eq!(std::fs::read_dir(&ctx.scratch).unwrap().count(), 0);
}

/// The one moment that at-least-once is about: the target has ended, and our note of it is not there.
#[tokio::test(flavor = "multi_thread")]
async fn between_the_targets_end_and_our_note_it_loads_again() {
    let studio = Studio::new(&format!("touch \"$STUDIO/spool/epochs\"{GOOD}"));
    let sink = studio.sink(json!({}));
    let staged = stage(&sink, "t1", &[(about("deals"), deals(0..2))]).await.unwrap();
    commit(&sink, "t1", &staged).await.unwrap_err();
    assert_eq!(studio.loaded().len(), 2);
    studio.target(GOOD);
    std::fs::remove_file(studio.path().join("spool/epochs")).unwrap();
    assert_eq!(commit(&studio.sink(json!({})), "t1", &staged).await.unwrap().rows, 2);
    assert_eq!(studio.loaded().len(), 4, "by their key the second two replace the first");
    assert_eq!(sink.guarantee().as_str(), "at-least-once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_or_cut_meanwhile_is_not_loaded() {
    let studio = Studio::new(GOOD);
    let sink = studio.sink(json!({}));
    let staged = stage(&sink, "t1", &[(about("deals"), deals(0..50))]).await.unwrap();
    let file = studio.path().join("spool/staging/t1/deals.jsonl");
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let error = commit(&sink, "t1", &staged).await.unwrap_err();
    assert!(error.to_string().contains("cannot be committed"), "{error}");
    assert_eq!(studio.read("runs"), "");
}
