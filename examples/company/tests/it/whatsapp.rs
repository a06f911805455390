use std::collections::{BTreeMap, BTreeSet};

use company::whatsapp::{APP_SECRET, deliveries, inbox_line, signature, write_inbox};
use company::{Company, Config};
use serde_json::Value;

fn small() -> Company {
    Company::new(Config { seed: 7, visits: 4_000, ..Config::default() })
}

#[test]
fn lines_are_signed_and_whole() {
    let c = small();
    let now = c.cfg.end_at();
    let counts = company::truth::counts(&c, now);
    let (mut messages, mut echoes, mut statuses) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let (mut repeated, mut bodies, mut late, mut last) = (0, BTreeSet::new(), 0, BTreeMap::new());
    let mut batches = 0;
    for d in deliveries(&c).iter().take_while(|d| d.at <= now) {
        let line: Value = serde_json::from_str(&inbox_line(&c, d)).unwrap();
        let body = line["body"].as_str().unwrap();
        assert!(body.is_ascii());
        assert_eq!(line["headers"]["x-hub-signature-256"], signature(APP_SECRET, body.as_bytes()));
        repeated += u64::from(!bodies.insert(body.to_owned()));
        let v: Value = serde_json::from_str(body).unwrap();
        assert_eq!(v["object"], "whatsapp_business_account");
        let entries = v["entry"].as_array().unwrap();
        let changes: Vec<&Value> =
            entries.iter().flat_map(|e| e["changes"].as_array().unwrap()).map(|x| &x["value"]).collect();
        batches += u64::from(changes.len() > 1);
        for value in changes {
            let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
            for m in list("messages") {
                let at: i64 = m["timestamp"].as_str().unwrap().parse().unwrap();
                let from = m["from"].as_str().unwrap().to_owned();
                late += u64::from(last.insert(from, at).is_some_and(|l| l > at));
                if m["type"] != "reaction" {
                    messages.insert(m["id"].as_str().unwrap().to_owned());
                }
            }
            for m in list("message_echoes") {
                echoes.insert(m["id"].as_str().unwrap().to_owned());
            }
            for s in list("statuses") {
                statuses.insert((s["id"].to_string(), s["status"].to_string()));
            }
        }
    }
    assert_eq!(messages.len() as u64, counts.messages_in);
    assert_eq!(echoes.len() as u64, counts.messages_echoed);
    assert_eq!(statuses.len() as u64, counts.statuses);
    assert_eq!(repeated, counts.deliveries_repeated);
    assert!(repeated > 0 && batches > 0 && late > 0, "{repeated} {batches} {late}");
    assert!(counts.unsubscribes > 0 && counts.opt_outs > 0 && counts.failed > 0);
}

#[test]
fn the_documented_signature_vector() {
    assert_eq!(
        signature("test_app_secret", br#"{"object":"page","entry":[]}"#),
        "sha256=5da47c9c7409e70d7a1851f0cfd9bc27786bd99587a9bf1dd5b51e23a2de03cf"
    );
}

#[test]
fn later_inboxes_only_grow() {
    let c = small();
    let dir = tempfile::tempdir().unwrap();
    let all = deliveries(&c);
    let read = || -> BTreeMap<String, Vec<u8>> {
        std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap()))
            .collect()
    };
    let now = c.cfg.start_at() + 20 * 86_400 + 40_000;
    let first = write_inbox(&c, &all, now, dir.path()).unwrap();
    let before = read();
    let second = write_inbox(&c, &all, now + 86_400, dir.path()).unwrap();
    let after = read();
    assert!(second > first);
    for (name, bytes) in &before {
        assert!(after[name].starts_with(bytes), "{name}");
    }
}
