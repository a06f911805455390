//! A person is forgotten whose messages came by webhook, in deliveries that hold others too: the others' parts
//! stay, and nothing of the person comes back at the next run, whatever the vendor sends again.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::serve::{send, serve, stop, throughline};

const PIPELINE: &str = r#"
[pipeline]
name = "shop"

[receiver]
listen = "127.0.0.1:0"
metrics_listen = "none"

[receiver.hooks.facebook]
verify = "meta"
secret = { env = "APP_SECRET" }

[[source]]
name = "facebook"
connector = "facebook"
inbox = ".throughline/inbox/facebook/*.jsonl*"
app_secret = { env = "APP_SECRET" }

[[sink]]
connector = "parquet"
path = "out"
"#;

const ANNA: &str = "24680001112223";
const BORIS: &str = "24680009998887";

fn message(from: &str, mid: &str, at_ms: i64) -> Value {
    json!({"sender": {"id": from}, "recipient": {"id": "1112223334445"}, "timestamp": at_ms,
           "message": {"mid": mid, "text": format!("Здравствуйте, مرحبا: {mid}")}})
}

/// One delivery with so many messages.
fn deliver(to: &str, messages: &[Value]) {
    let body = json!({"object": "page", "entry": [{"id": "1112223334445", "time": 1_767_225_634_300_i64,
                      "messaging": messages}]})
    .to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(b"test_app_secret").unwrap();
    mac.update(body.as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    let head = format!("POST /hooks/facebook HTTP/1.1\r\nX-Hub-Signature-256: sha256={hex}");
    let reply = send(to, &head, &body);
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
}

fn run(folder: &Path, args: &[&str]) -> Value {
    let output = throughline(folder).args(args).arg("--json").output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{args:?}: {out}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&out).unwrap()
}

/// Of each stream, in a run's report.
fn each(report: &Value, key: &str) -> Value {
    report["streams"].as_array().unwrap().iter().map(|stream| stream[key].clone()).collect()
}

fn messages(folder: &Path) -> Vec<String> {
    let sql = ["query", "SELECT message_id FROM in_messages ORDER BY message_id", "--format", "csv"];
    let output = throughline(folder).args(sql).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().skip(1).map(str::to_owned).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

fn inbox(folder: &Path) -> String {
    let files = files(&folder.join(".throughline/inbox/facebook"));
    files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

/// Waits until a word of the last delivery is in the files.
fn until_handed_on(folder: &Path, word: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !inbox(folder).contains(word) {
        assert!(Instant::now() < deadline, "{word} was not handed on");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn who_came_by_webhook_is_forgotten_and_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("pipeline.toml"), PIPELINE).unwrap();
    let (child, address) = serve(folder);
    let shared = [message(ANNA, "m_anna1", 1_767_225_634_001), message(BORIS, "m_boris1", 1_767_225_634_002)];
    deliver(&address, &shared);
    deliver(&address, &[message(ANNA, "m_anna2", 1_767_225_640_000)]);
    deliver(&address, &[message(BORIS, "m_boris2", 1_767_225_650_000)]);
    until_handed_on(folder, "m_boris2");
    assert_eq!(each(&run(folder, &["run"]), "rows"), json!([4]));

    // The receiver runs meanwhile.
    let done = run(folder, &["forget", ANNA, "--yes"]);
    assert_eq!(done["left"], json!([]), "{done:#}");
    let places = done["removed"].to_string();
    assert!(places.contains("inbox file .throughline/inbox/facebook/"), "{done:#}");
    assert_eq!(messages(folder), ["m_boris1", "m_boris2"]);
    let left = inbox(folder);
    assert!(left.contains("m_boris1") && left.contains("m_boris2"), "{left}");
    for word in [ANNA, "m_anna1", "m_anna2"] {
        assert!(!left.contains(word), "{word} is in the inbox: {left}");
        for file in files(&folder.join("out")) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(word.len()).any(|w| w == word.as_bytes()), "{}", file.display());
        }
    }

    // The vendor sends again what it is not sure of, and both write once more.
    deliver(&address, &shared);
    deliver(
        &address,
        &[message(ANNA, "m_anna3", 1_767_225_660_000), message(BORIS, "m_boris3", 1_767_225_670_000)],
    );
    until_handed_on(folder, "m_boris3");
    let report = run(folder, &["run"]);
    // Signatures of what was changed were made anew: nothing is rejected.
    assert_eq!((each(&report, "rows"), each(&report, "rejected")), (json!([1]), json!([0])), "{report:#}");
    assert_eq!(messages(folder), ["m_boris1", "m_boris2", "m_boris3"], "{report:#}");
    assert_eq!(
        inbox(folder).matches("m_boris1").count(),
        left.matches("m_boris1").count(),
        "it was there before"
    );
    stop(child);
}
