//! Every misdeed in both places, each in a host of its own: what it costs stands in docs/plugins.md.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures::StreamExt;
use serde_json::{Value, json};
use throughline_core::{ErrorKind, ReadEvent};

use crate::support::{compile, context, plugins, program, request, runner, rust_plugin, source};

const BEGIN: &str = "<!-- misdeeds: made by the tests -->\n";
const END: &str = "<!-- end of misdeeds -->";

/// Misdeeds of code: `tests/plugins/hostile.rs`.
const OF_CODE: [&str; 15] = [
    "panic while it is opened",
    "never come back from open",
    "panic",
    "abort",
    "touch memory that is not its own",
    "leave with exit code 0",
    "loop for ever",
    "sleep for ever",
    "take all memory",
    "write on standard output",
    "claim more rows than came",
    "name a column as the engine's",
    "send text that is no UTF-8",
    "end a window that never began, with rubbish",
    "say its secret",
];

/// Misdeeds at the interface: `tests/plugins/hostile.c`.
const OF_INTERFACE: [&str; 13] = [
    "a status that is none",
    "an error without a message",
    "an event of an unknown kind",
    "JSON that is none",
    "a batch without an array",
    "no schema with the first batch",
    "a schema with another type",
    "a schema with a type that is none",
    "fewer columns than the schema",
    "a negative length",
    "columns of different length",
    "no reader and no error",
    "a catalog that is none",
];

/// What stays of these in a thread is the end of the host: nothing can be done about it there.
const ENDS_THE_HOST: [&str; 4] =
    ["abort", "touch memory that is not its own", "leave with exit code 0", "take all memory"];

/// What only a limit of time can end.
const SILENT: [&str; 3] = ["never come back from open", "loop for ever", "sleep for ever"];

enum Outcome {
    Told { rows: u64, error: String },
    HostDied(String),
}

fn once(library: &Path, misdeed: &str, isolation: &str) -> Outcome {
    let options = json!({
        "misdeed": misdeed, "isolation": isolation, "memory_limit_mb": 256,
        // Long where nothing waits for it, so that a busy machine changes no outcome.
        "time_limit_s": if SILENT.contains(&misdeed) { 1 } else { 120 },
        "token": { "$secret": "hunter2-hunter2" }
    });
    let output = Command::new("sh")
        // Memory of the host, so that a leak in a thread does not take the machine.
        .args(["-c", "ulimit -d 600000; exec \"$0\" \"$@\""])
        .arg(program("once"))
        .arg(library)
        .args([&options.to_string(), "rows"])
        .env("RUNNER", runner().program)
        .env("RUST_BACKTRACE", "0")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let said: Option<Value> = printed.lines().rev().find_map(|l| serde_json::from_str(l).ok());
    match (output.status.success(), said) {
        (true, Some(said)) => Outcome::Told {
            rows: said["rows"].as_u64().unwrap(),
            error: said["error"].as_str().unwrap_or_default().to_owned(),
        },
        _ => Outcome::HostDied(match output.status.signal() {
            Some(signal) => format!("signal {signal}"),
            None => format!("exit code {}", output.status.code().unwrap()),
        }),
    }
}

/// The error without what differs from machine to machine.
fn short(error: &str) -> String {
    let mut text = error.to_owned();
    for cut in ["; its memory was seen", "; it said last", " (memory_limit_mb", " (plugin: "] {
        text.truncate(text.find(cut).unwrap_or(text.len()));
    }
    for prefix in ["once.rows, batch 1: ", "once.rows, batch 2: "] {
        text = text.strip_prefix(prefix).map(str::to_owned).unwrap_or(text);
    }
    let digits =
        |text: &str| text.split("took ").nth(1).is_some_and(|t| t.starts_with(|c: char| c.is_ascii_digit()));
    if digits(&text) {
        text = "the plugin's process took too much memory and was killed".into();
    }
    if text.starts_with("the plugin's process wrote between the frames") || text.contains("frame") {
        text = "the plugin's process wrote between the frames".into();
    }
    text.replace('|', "\\|")
}

#[test]
fn each_misdeed_costs_one_attempt_of_one_stream() {
    let c: PathBuf = compile(
        &plugins().join("host/tests/plugins/hostile.c"),
        "libhostile_c.so",
        &["-O1", "-fPIC", "-shared"],
    );
    let rust = rust_plugin("hostile");
    let cases: Vec<(&Path, &str)> = OF_CODE
        .iter()
        .map(|m| (rust.as_path(), *m))
        .chain(OF_INTERFACE.iter().map(|m| (c.as_path(), *m)))
        .collect();
    // Most of the time is waited: a few at once.
    let outcomes: Vec<[Outcome; 2]> = std::thread::scope(|scope| {
        let run = |chunk: &[(&Path, &str)]| -> Vec<[Outcome; 2]> {
            chunk.iter().map(|(library, m)| ["thread", "process"].map(|i| once(library, m, i))).collect()
        };
        let threads: Vec<_> =
            cases.chunks(cases.len().div_ceil(4)).map(|c| scope.spawn(move || run(c))).collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    let mut table = String::from(
        "| misdeed | `isolation = \"thread\"` | `isolation = \"process\"` |\n| --- | --- | --- |\n",
    );
    for ((_, misdeed), [thread, process]) in cases.iter().zip(&outcomes) {
        // In a process nothing reaches the host but an error that says what happened.
        let Outcome::Told { rows, error } = process else { panic!("{misdeed}: the host of a process died") };
        let harmless = *misdeed == "write on standard output";
        assert_eq!(error.is_empty(), harmless, "{misdeed}: {error:?}");
        assert!(harmless || error.contains("plugin"), "{misdeed}: {error}");
        assert!(*rows == 3 || *rows == 0 || harmless, "{misdeed}: {rows} rows");
        assert!(!error.contains("hunter2"), "{misdeed}: {error}");
        match thread {
            Outcome::Told { error, .. } => {
                assert_eq!(error.is_empty(), harmless, "{misdeed}: {error:?}");
                assert!(!error.contains("hunter2"), "{misdeed}: {error}");
                assert!(!ENDS_THE_HOST.contains(misdeed), "{misdeed}: {error}");
            }
            Outcome::HostDied(how) => {
                assert!(ENDS_THE_HOST.contains(misdeed), "{misdeed}: the host died by {how}")
            }
        }
        let cell = |outcome: &Outcome| match outcome {
            Outcome::Told { error, .. } if error.is_empty() => {
                "nothing: it goes to standard error".to_owned()
            }
            Outcome::Told { error, .. } => format!("error: {}", short(error)),
            Outcome::HostDied(_) => "**the host ends**".to_owned(),
        };
        let thread = match (thread, harmless) {
            (Outcome::Told { .. }, true) => "nothing: it is the host's standard output".to_owned(),
            _ => cell(thread),
        };
        table += &format!("| {misdeed} | {thread} | {} |\n", cell(process));
    }
    in_the_docs(&table);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_a_read_that_does_not_listen() {
    for isolation in ["thread", "process"] {
        let source = source(&rust_plugin("hostile"), isolation, json!({ "misdeed": "sleep for ever" }));
        let ctx = context();
        let mut events = source.read(&ctx, request("rows", None)).await.unwrap();
        assert!(matches!(events.next().await, Some(Ok(ReadEvent::Batch(_)))));
        assert!(matches!(events.next().await, Some(Ok(ReadEvent::Checkpoint(_)))));
        ctx.cancel.cancel();
        let begun = std::time::Instant::now();
        let error = events.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{isolation}: {error}");
        assert!(begun.elapsed().as_secs() < 30, "{isolation}: {:?}", begun.elapsed());
        assert!(events.next().await.is_none());
    }
}

/// The table in docs/plugins.md is this one; with UPDATE_EXPECT it is written there.
fn in_the_docs(table: &str) {
    let path = plugins().parent().unwrap().join("docs/plugins.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the marker in docs/plugins.md");
    let (_, after) = rest.split_once(END).expect("the end marker in docs/plugins.md");
    let wanted = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, wanted).unwrap();
        return;
    }
    assert!(page == wanted, "docs/plugins.md has other outcomes; `make docs` writes them:\n{table}");
}
