//! `[[alert]]`: people are told once when trouble begins, again while it lasts, and once when it is over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hmac::{Hmac, Mac};
use serde_json::{Value, json};

use crate::command::throughline;

const KEY: &str = "a key of sixteen";
const TOKEN: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

/// What came, in order: path, signature, body.
type Came = Arc<Mutex<Vec<(String, Option<String>, Vec<u8>)>>>;

/// Takes everything; the first message to a chat of Telegram is refused.
fn receive() -> (String, Came) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let came = Came::default();
    let kept = came.clone();
    std::thread::spawn(move || {
        let mut chats = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut path, mut length, mut signature) = (String::new(), 0, None);
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap() == 0 || line == "\r\n" {
                    break;
                }
                match line.trim_end().split_once(": ").map(|(n, v)| (n.to_lowercase(), v.to_owned())) {
                    Some((name, value)) if name == "content-length" => length = value.parse().unwrap(),
                    Some((name, value)) if name == "x-throughline-signature-256" => signature = Some(value),
                    Some(_) => {}
                    None => path = line.split(' ').nth(1).unwrap().to_owned(),
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            chats += usize::from(path.ends_with("/sendMessage"));
            let refused = path.ends_with("/sendMessage") && chats == 1;
            let (status, answer) = match refused {
                true => (
                    "403 Forbidden",
                    r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was blocked by the user"}"#,
                ),
                false => ("200 OK", r#"{"ok":true,"result":{}}"#),
            };
            kept.lock().unwrap().push((path, signature, body));
            let length = answer.len();
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
            );
        }
    });
    (address, came)
}

fn write_pipeline(folder: &Path, address: &str, clock: &str) {
    let text = format!(
        r#"
[http]
clock = "{clock}"

[[source]]
name = "costs"
connector = "file"
path = "costs.csv"
into = "costs"
columns = [{{ name = "day", type = "date" }}, {{ name = "cost", type = "decimal" }}]
mapping = "SELECT 'hand' AS system, day, minor_units(cost, 'RUB') AS cost_minor, 'RUB' AS currency FROM file"

[[sink]]
connector = "csv"
path = "out"

[[alert]]
connector = "webhook"
url = {{ env = "HOOK" }}
sign_key = {{ env = "KEY" }}
fresh = {{ visits = "1d", "costs:hand" = "36h" }}

[[alert]]
name = "ops"
connector = "telegram"
token = {{ env = "BOT" }}
chat_id = -1001234567890
base_url = "{address}"
on = ["failed"]
"#
    );
    std::fs::write(folder.join("pipeline.toml"), text).unwrap();
}

#[test]
fn people_are_told_once_and_when_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (address, came) = receive();
    let run = |code: i32| -> (Value, Vec<Value>, Vec<Value>) {
        let output = throughline(folder.path(), &["run", "--json"])
            .env("HOOK", format!("{address}/hook?key=hidden"))
            .env("KEY", KEY)
            .env("BOT", TOKEN)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let all = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{all}");
        assert!(!all.contains("hidden") && !all.contains("AAHdqTcv") && !all.contains(KEY), "{all}");
        let (mut hooks, mut chats) = (Vec::new(), Vec::new());
        for (path, signature, body) in came.lock().unwrap().drain(..) {
            let value: Value = serde_json::from_slice(&body).unwrap();
            if path == "/hook?key=hidden" {
                let mut mac = Hmac::<sha2::Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
                mac.update(&body);
                let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
                assert_eq!(signature.unwrap(), format!("sha256={hex}"));
                hooks.push(value);
            } else {
                assert_eq!(path, format!("/bot{TOKEN}/sendMessage"));
                assert_eq!(value["chat_id"], json!(-1_001_234_567_890_i64));
                chats.push(value);
            }
        }
        (serde_json::from_str(&said).unwrap(), hooks, chats)
    };
    let codes = |message: &Value, part: &str| -> Vec<String> {
        let list = message[part].as_array().unwrap();
        list.iter().map(|t| t["code"].as_str().unwrap().to_owned()).collect()
    };
    let not_sent =
        |report: &Value| report["notices"].as_array().unwrap().iter().any(|n| n["code"] == "alert_not_sent");

    // The file is missing: both are told, one refuses to hear it, and the run ends as it would.
    write_pipeline(folder.path(), &address, "2026-09-30T09:00:00Z");
    let (report, hooks, chats) = run(1);
    assert_eq!((hooks.len(), chats.len()), (1, 1));
    assert_eq!(codes(&hooks[0], "troubles"), ["failed"]);
    let text = hooks[0]["text"].as_str().unwrap();
    assert!(text.contains("no file matches \"costs.csv\"") && text.contains("runs show 1"), "{text}");
    assert!(not_sent(&report), "{report:#}");

    // Still so: who heard it is not told again.
    let (report, hooks, chats) = run(1);
    assert_eq!((hooks.len(), chats.len()), (0, 1));
    assert!(chats[0]["text"].as_str().unwrap().contains("✗ failed: "), "{}", chats[0]);
    assert!(!not_sent(&report), "{report:#}");

    // It is over, and other things are wrong.
    std::fs::write(folder.path().join("costs.csv"), "day,cost\n2026-09-27,12.50\nbroken,1\n").unwrap();
    let (_, hooks, chats) = run(0);
    assert_eq!((hooks.len(), chats.len()), (1, 1));
    assert_eq!(codes(&hooks[0], "over"), ["failed"]);
    assert_eq!(codes(&hooks[0], "troubles"), ["dead_letters", "stale"]);
    let text = hooks[0]["text"].as_str().unwrap();
    for part in [
        "visits has no record at all",
        "the newest record of costs:hand is of 2026-09-27",
        "1 rows could not",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(chats[0]["text"].as_str().unwrap().contains("✓ failed is over"), "{}", chats[0]);

    // Nothing is new, and nobody hears it twice.
    let (_, hooks, chats) = run(0);
    assert_eq!((hooks.len(), chats.len()), (0, 0));

    // Half a day later it is told again.
    write_pipeline(folder.path(), &address, "2026-09-30T22:00:00Z");
    let (_, hooks, _) = run(0);
    assert_eq!(codes(&hooks[0], "troubles"), ["dead_letters", "stale"]);
    assert_eq!(hooks[0]["troubles"][1]["since"], json!(1_790_758_800_000_000_i64));
}
