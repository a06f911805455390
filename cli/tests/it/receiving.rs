//! `throughline schedule` receives too: in the same process as the runs, and no run is in its way.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::serve::{BODY, PIPELINE, SIGNATURE, send, throughline};

/// Keeps a thread at work for longer than any test.
const BUSY: &str = r#"
[pipeline]
state = "busy"

[engine]
threads = 1

[schedule]
cron = "* * * * * *"

[[source]]
name = "rows"
connector = "file"
path = "rows.csv"
into = "deals"
mapping = "SELECT id AS deal_id, TIMESTAMP '2026-01-01 00:00:00' AS created_at, 'open' AS state FROM file"

[[transform]]
name = "pairs"
sql = "SELECT count(*) AS n FROM in_deals a, in_deals b WHERE levenshtein(repeat(a.deal_id, 15), repeat(b.deal_id, 15)) < 0"

[[sink]]
connector = "parquet"
path = "out-busy"
"#;

pub struct Daemon {
    child: Child,
    events: Receiver<Json>,
}

impl Daemon {
    pub fn start(folder: &Path, args: &[&str]) -> Self {
        let mut child = throughline(folder)
            .args(["--json", "schedule", "pipes"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, events) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                // An error is a document over several lines, and ends the process.
                if let Ok(event) = serde_json::from_str(&line) {
                    let _ = out.send(event);
                }
            }
        });
        Self { child, events }
    }

    pub fn until(&self, what: &str, wanted: impl Fn(&Json) -> bool) -> Json {
        let deadline = Instant::now() + Duration::from_secs(90);
        let mut seen = Vec::new();
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) if wanted(&event) => return event,
                Ok(event) => seen.push(event.to_string()),
                Err(RecvTimeoutError::Timeout) => panic!("no {what} within 90 s, but {seen:#?}"),
                Err(RecvTimeoutError::Disconnected) => panic!("the daemon ended before {what}: {seen:#?}"),
            }
        }
    }

    /// Waits so long, in which nothing unwanted may happen.
    pub fn never(&self, within: Duration, what: &str, unwanted: impl Fn(&Json) -> bool) {
        let deadline = Instant::now() + within;
        loop {
            match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(event) => assert!(!unwanted(&event), "{what}: {event}"),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => panic!("the daemon ended"),
            }
        }
    }

    fn signal(&self) {
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().unwrap().success());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn is<'a>(event: &'a str, pipeline: &'a str) -> impl Fn(&Json) -> bool + 'a {
    move |found| found["event"] == event && (pipeline.is_empty() || found["pipeline"] == pipeline)
}

/// `pipes/shop.toml`, which runs each second.
fn shop(folder: &Path, edit: impl Fn(String) -> String) {
    std::fs::create_dir_all(folder.join("pipes")).unwrap();
    let text = PIPELINE.replace("[receiver]", "[schedule]\ncron = \"* * * * * *\"\n\n[receiver]");
    std::fs::write(folder.join("pipes/shop.toml"), edit(text)).unwrap();
}

fn hook() -> String {
    format!("POST /hooks/whatsapp HTTP/1.1\r\nX-Hub-Signature-256: {SIGNATURE}")
}

fn messages(folder: &Path) -> String {
    let query = ["query", "SELECT count(*) AS n, min(token) AS token FROM in_messages", "--format", "csv"];
    let rows = throughline(folder).args(query).args(["-p", "pipes/shop.toml"]).output().unwrap();
    String::from_utf8(rows.stdout).unwrap()
}

#[test]
fn a_daemon_receives_while_its_pipelines_run() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path(), |text| text);
    let mut daemon = Daemon::start(folder.path(), &[]);
    let receiving = daemon.until("receiver", is("receiving", ""));
    let address = receiving["listening"].as_str().unwrap().to_owned();
    daemon.until("run", is("started", "shop"));
    for _ in 0..2 {
        assert!(send(&address, &hook(), BODY).starts_with("HTTP/1.1 200"));
    }
    // The run under way may have it or not; one that begins when it was there does.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let finished = daemon.until("end of a run", is("finished", "shop"));
        assert_eq!(finished["status"], "succeeded", "{finished}");
        let found = messages(folder.path());
        if found.contains("1,HHR3D1196WD") {
            break;
        }
        assert!(Instant::now() < deadline, "{found}");
    }
    // One that leaves the other runs no time takes none from the receiver.
    let rows: String = (0..3000).map(|n| format!("{n}\n")).collect();
    std::fs::write(folder.path().join("pipes/rows.csv"), format!("id\n{rows}")).unwrap();
    std::fs::write(folder.path().join("pipes/busy.toml"), BUSY).unwrap();
    daemon.until("run of busy", is("started", "busy"));
    for _ in 0..20 {
        let begun = Instant::now();
        let reply = send(&address, &hook(), BODY);
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        assert!(begun.elapsed() < Duration::from_secs(3), "a run delayed an answer: {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    // Nobody else receives into the same inbox; who only runs may come beside it.
    for command in [&["serve", "pipes/shop.toml"][..], &["schedule", "pipes"]] {
        let second = throughline(folder.path()).args(command).output().unwrap();
        let said = String::from_utf8_lossy(&second.stderr).into_owned();
        assert_eq!(second.status.code(), Some(4), "{said}");
        assert!(said.contains("is being received into already: process"), "{said}");
    }
    let beside = Daemon::start(folder.path(), &["--no-receiver"]);
    let first = beside.until("event", |_| true);
    assert_eq!(first["event"], "loaded", "{first}");
    drop(beside);
    // No new connections, all handed on; and then the runs end, or are told to.
    daemon.signal();
    daemon.until("end of the receiver", is("received", ""));
    assert!(TcpStream::connect(&address).is_err());
    daemon.signal();
    assert!(daemon.child.wait().unwrap().success());
}

#[test]
fn an_edited_receiver_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let edited = |with: &'static str| {
        shop(folder.path(), |text| {
            let listen = "listen = \"127.0.0.1:0\"\nm";
            assert!(text.contains(listen));
            text.replace(listen, &format!("listen = \"{port}\"\nm"))
                .replace("* * * * * *", "0 0 1 1 *")
                .replace("[receiver.hooks.wazzup]", with)
        });
    };
    edited("[receiver.hooks.wazzup]");
    let daemon = Daemon::start(folder.path(), &[]);
    daemon.until("receiver", is("receiving", ""));
    let body = |secret: &str| format!(r#"{{"update_id":1,"secret":"{secret}"}}"#);
    let vk = "POST /hooks/vk HTTP/1.1";
    assert!(send(&port, vk, &body("wz_key_01")).starts_with("HTTP/1.1 404"));
    assert!(send(&port, &hook(), BODY).starts_with("HTTP/1.1 200"));
    edited(
        "[receiver.hooks.vk]\nverify = \"vk\"\nsecret = { env = \"WAZZUP_TOKEN\" }\n\n[receiver.hooks.wazzup]",
    );
    daemon.until("end of the one before", is("received", ""));
    daemon.until("new receiver", is("receiving", ""));
    assert!(send(&port, vk, &body("wz_key_01")).starts_with("HTTP/1.1 200"));
    std::fs::remove_file(folder.path().join("pipes/shop.toml")).unwrap();
    daemon.until("end of the receiver", is("received", ""));
    assert!(TcpStream::connect(&port).is_err());
}
