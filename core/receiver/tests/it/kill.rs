//! Kill -9 under load, 30 times: every acknowledged webhook is handed on exactly once, and a vendor that
//! sends again what it is not sure of makes no second.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use throughline_core::SystemClock;
use throughline_receiver::{Receiver, outlet, prepare};
use throughline_store::inbox::{INBOX_FILE, Inbox, InboxOptions, Retention};
use tokio_util::sync::CancellationToken;

use crate::support::{meta_signature, reply, request, settings};

#[test]
fn kills() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut unsure: Vec<String> = Vec::new();
    let mut random = 0xD1B5_4A32_D192_ED03_u64;
    for round in 0..30 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let (mut child, port) = start(folder.path());
        let again = std::mem::take(&mut unsure);
        let senders: Vec<_> = (0..8)
            .map(|n| {
                let again: Vec<String> = again.iter().skip(n).step_by(8).cloned().collect();
                std::thread::spawn(move || send(port, again, &format!("{round}.{n}")))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(60 + random % 240));
        child.kill().unwrap();
        child.wait().unwrap();
        for sender in senders {
            let (known, open) = sender.join().unwrap();
            acknowledged.extend(known);
            unsure.extend(open);
        }
    }
    assert!(acknowledged.len() > 500, "{}", acknowledged.len());
    // A last time, to its end: what is unsure is sent again, and the rest is handed on.
    let (mut child, port) = start(folder.path());
    unsure.extend(acknowledged.iter().take(50).cloned());
    for body in unsure {
        assert_eq!(post(port, &body), Some(200));
        acknowledged.insert(body);
    }
    child.stdin.take().unwrap().write_all(b"stop\n").unwrap();
    child.wait().unwrap();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder.path().join("inbox/wa")).unwrap() {
        for line in std::fs::read_to_string(entry.unwrap().path()).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            found.push(line["body"].as_str().unwrap().to_owned());
        }
    }
    let once: BTreeSet<String> = found.iter().cloned().collect();
    assert_eq!(once.len(), found.len(), "something is there twice");
    let lost: Vec<_> = acknowledged.difference(&once).collect();
    assert!(lost.is_empty(), "lost {lost:?}");
}

fn start(folder: &Path) -> (Child, u16) {
    start_with(folder, &[])
}

pub fn start_with(folder: &Path, env: &[(&str, &Path)]) -> (Child, u16) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .envs(env.iter().copied())
        .args(["--exact", "kill::child_that_serves", "--nocapture", "--test-threads=1"])
        .env("TL_CHILD", folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = loop {
        let line = lines.next().unwrap().unwrap();
        // The harness begins the line with the test's name.
        if let Some((_, port)) = line.split_once("port ") {
            break port.parse().unwrap();
        }
    };
    // Nobody reads what else it says; the pipe is large enough for that.
    std::thread::spawn(move || lines.for_each(drop));
    (child, port)
}

/// Sends until nobody answers: what was acknowledged, and what was sent without an answer.
fn send(port: u16, again: Vec<String>, name: &str) -> (Vec<String>, Vec<String>) {
    let (mut known, mut open) = (Vec::new(), Vec::new());
    let fresh =
        (0..).map(|n| format!(r#"{{"entry":[{{"id":"{name}.{n}","pad":"{}"}}]}}"#, "x".repeat(n % 700)));
    let mut bodies = again.into_iter().chain(fresh);
    for body in bodies.by_ref() {
        match post(port, &body) {
            Some(200) => known.push(body),
            answer => {
                assert!(answer.is_none() || answer == Some(503), "{answer:?}");
                open.push(body);
                if answer.is_none() {
                    break;
                }
            }
        }
    }
    // Those of before that it did not come to.
    open.extend(bodies.take_while(|b| !b.contains(&format!("\"{name}."))));
    (known, open)
}

fn post(port: u16, body: &str) -> Option<u16> {
    let signature = meta_signature(body.as_bytes());
    let bytes = request("POST", "/hooks/wa", &[("X-Hub-Signature-256", &signature)], body.as_bytes());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.write_all(&bytes).ok()?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).ok()?;
    Some(reply(&all).status).filter(|s| *s > 0)
}

#[test]
fn child_that_serves() {
    let Some(folder) = std::env::var_os("TL_CHILD").map(PathBuf::from) else { return };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let options = InboxOptions {
            retention: Retention { keep: Some(Duration::ZERO), ..Retention::default() },
            upkeep_every: Duration::from_millis(5),
            ..InboxOptions::default()
        };
        let inbox = Inbox::open(folder.join(INBOX_FILE), options).unwrap();
        let out = folder.join("inbox");
        prepare(&inbox, &["wa".into()], &out).unwrap();
        let receiver = Receiver::bind(settings(), inbox.clone(), Arc::new(SystemClock)).await.unwrap();
        println!("port {}", receiver.addresses().0.unwrap().port());
        let stop = CancellationToken::new();
        let outlet = tokio::spawn(outlet(inbox, vec!["wa".into()], out, stop.clone()));
        let ended = stop.clone();
        std::thread::spawn(move || {
            let mut line = String::new();
            if std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {
                ended.cancel();
            }
        });
        receiver.serve(stop).await;
        outlet.await.unwrap();
    });
}
