//! A person who is forgotten is gone from everything that is stored, does not come back, and money stays.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{copy_folder, throughline};
use crate::studio::{PipelineShape, Studio, Tables, assert_equal, tables};

/// A company with a pipeline that has run in `first`, everything of its own in that folder.
fn studio() -> (Studio, PathBuf) {
    let studio = Studio::start(150, |config, _| config.days = 12);
    let folder = studio.folder().join("first");
    let file = studio.write_pipeline_in(&folder, &PipelineShape::default());
    copy_folder(&studio.folder().join("studio/inbox"), &folder.join("inbox"));
    let text = std::fs::read_to_string(&file).unwrap();
    let shared = studio.folder().join("studio/inbox/*.jsonl");
    let own = text.replace(shared.to_str().unwrap(), "inbox/*.jsonl");
    assert_ne!(own, text);
    std::fs::write(&file, own).unwrap();
    studio.expect_in(&folder, &["run"], 0);
    (studio, folder)
}

fn query(studio: &Studio, folder: &Path, sql: &str) -> Vec<Value> {
    let out = studio.expect_in(folder, &["query", sql, "--limit", "0", "--json"], 0);
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(studio: &Studio, folder: &Path, sql: &str) -> i64 {
    query(studio, folder, sql)[0].as_object().unwrap().values().next().unwrap().as_i64().unwrap()
}

/// Who wrote after a visit and bought: phone, contact, deal.
fn customer(studio: &Studio, folder: &Path) -> (String, String, String) {
    let found = query(
        studio,
        folder,
        "SELECT c.phone_e164 AS phone, c.contact_id AS contact, d.deal_id AS deal FROM in_deals AS d \
         JOIN in_contacts AS c ON c.contact_id = d.contact_id \
         JOIN inquiries AS q ON q.crm_deal_id = d.deal_id AND q.visit_id IS NOT NULL \
         JOIN conversions AS k ON k.crm_deal_id = d.deal_id AND k.type = 'won' \
         WHERE c.phone_e164 IS NOT NULL ORDER BY d.deal_id LIMIT 1",
    );
    let text = |name: &str| found[0][name].as_str().unwrap().to_owned();
    (text("phone"), text("contact"), text("deal"))
}

/// Every file of the state, the sink and the inbox, as text: Parquet by its rows.
fn everything(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join(".throughline"), folder.join("out"), folder.join("inbox")];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "parquet") {
                let parent = path.parent().unwrap().to_owned();
                // `tables` reads folders of Parquet files.
                let rows: Vec<String> = tables(parent.parent().unwrap())
                    .remove(parent.file_name().unwrap().to_str().unwrap())
                    .unwrap_or_default();
                found.push((path, rows.join("\n")));
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.push((path, String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
    assert!(found.len() > 10);
    found
}

fn assert_nowhere(folder: &Path, words: &[&str], when: &str) {
    for (path, text) in everything(folder) {
        for word in words {
            if let Some(at) = text.find(word) {
                let around = text[..at].char_indices().rev().nth(60).map_or(0, |(i, _)| i);
                panic!("{when}: {word} is still in {}: ..{}", path.display(), &text[around..at + word.len()]);
            }
        }
    }
}

const MONEY: &str = "SELECT CAST(sum(value_minor) AS BIGINT) AS n FROM in_deals WHERE state = 'won'";
const NET: &str = "SELECT CAST(sum(net) * 100 AS BIGINT) AS n FROM attribution WHERE model = 'linear'";

#[test]
fn a_forgotten_person_is_gone_and_does_not_come_back() {
    let (studio, folder) = studio();
    let (phone, contact, deal) = customer(&studio, &folder);
    let digits = phone.trim_start_matches('+').to_owned();
    let words = [digits.as_str(), contact.as_str()];
    let original_inbox = studio.folder().join("original");
    copy_folder(&folder.join("inbox"), &original_inbox);
    let count = |table: &str| number(&studio, &folder, &format!("SELECT count(*) AS n FROM {table}"));
    let before: Vec<i64> = ["in_deals", "in_contacts", "in_messages", "in_visits"].map(count).into();
    let (money, net) = (number(&studio, &folder, MONEY), number(&studio, &folder, NET));

    // Looking changes nothing.
    let files = everything(&folder);
    let dry = studio.expect_in(&folder, &["forget", &phone, "--dry-run", "--json"], 0);
    let dry: Value = serde_json::from_str(&dry).unwrap();
    let places = |value: &Value| -> Vec<String> {
        value["removed"].as_array().unwrap().iter().map(|s| s["place"].as_str().unwrap().to_owned()).collect()
    };
    let seen = places(&dry);
    for place in [
        "landed rows of crm.contacts",
        "landed rows of crm.leads",
        "landed rows of whatsapp.messages",
        "landed rows of metrica.visits",
    ] {
        assert!(seen.iter().any(|p| p == place), "{place}: {dry:#}");
    }
    assert!(seen.iter().any(|p| p.starts_with("inbox file inbox/")), "{dry:#}");
    for ((path, text), (_, now)) in files.iter().zip(everything(&folder)) {
        let is_state = path.to_string_lossy().contains("state.db");
        assert!(is_state || *text == now, "{} changed", path.display());
    }
    // Nobody is there to be asked.
    studio.expect_in(&folder, &["forget", &phone], 2);

    let done = studio.expect_in(&folder, &["forget", &phone, "--yes", "--json"], 0);
    let done: Value = serde_json::from_str(&done).unwrap();
    assert_eq!(done["left"], serde_json::json!([]), "{done:#}");
    assert_eq!(done["deals_kept_without_person"], serde_json::json!([deal]));
    assert!(done["tables"].as_array().unwrap().iter().any(|t| t["table"] == "inquiries"), "{done:#}");
    assert_nowhere(&folder, &words, "forgotten");
    assert_eq!(std::fs::read_dir(folder.join("out/epochs")).unwrap().count(), 1, "older epochs are gone");

    let check = |when: &str| {
        let count = |table: &str| number(&studio, &folder, &format!("SELECT count(*) AS n FROM {table}"));
        assert_eq!(count("in_deals"), before[0], "{when}: every deal stays");
        assert_eq!(count("in_contacts"), before[1] - 1, "{when}");
        assert!(count("in_messages") < before[2] && count("in_visits") < before[3], "{when}");
        assert_eq!(
            (number(&studio, &folder, MONEY), number(&studio, &folder, NET)),
            (money, net),
            "{when}: money stays"
        );
        let kept = query(
            &studio,
            &folder,
            &format!("SELECT contact_id, name, token, value_minor FROM in_deals WHERE deal_id = '{deal}'"),
        );
        assert!(kept[0].get("contact_id").is_none_or(Value::is_null), "{when}: {kept:?}");
        assert!(kept[0]["value_minor"].as_i64().unwrap() > 0);
        let channels = query(
            &studio,
            &folder,
            &format!(
                "SELECT DISTINCT a.channel_id FROM attribution AS a JOIN conversions AS c ON c.conversion_id = a.conversion_id \
             WHERE c.crm_deal_id = '{deal}'"
            ),
        );
        assert_eq!(channels, [serde_json::json!({"channel_id": "(none)"})], "{when}");
    };
    check("forgotten");

    // What the vendors have is as it was: neither the next read nor a read of everything brings it back.
    studio.expect_in(&folder, &["run"], 0);
    assert_nowhere(&folder, &words, "the next read");
    let report = studio.expect_in(&folder, &["run", "--full-refresh", "--json"], 0);
    assert!(report.contains("forgotten_dropped"), "{report}");
    check("read anew");
    assert_nowhere(&folder, &words, "read anew");
    // Deliveries kept elsewhere, given back.
    for entry in std::fs::read_dir(&original_inbox).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(
            &path,
            folder.join("inbox").join(format!("again-{}", path.file_name().unwrap().to_str().unwrap())),
        )
        .unwrap();
    }
    studio.expect_in(&folder, &["run"], 0);
    check("deliveries again");
    for entry in std::fs::read_dir(folder.join("inbox")).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("again-") {
            std::fs::remove_file(path).unwrap();
        }
    }
    assert_nowhere(&folder, &words, "deliveries again");

    let again = studio.expect_in(&folder, &["forget", &phone, "--yes"], 0);
    assert!(again.contains("was forgotten before"), "{again}");
    studio.expect_in(&folder, &["identity", "show", &phone], 1);
    studio.expect_in(&folder, &["forget", "+79990001122", "--yes"], 1);
    assert!(studio.expect_in(&folder, &["forget", "--resume"], 0).contains("nothing was broken off"));
    studio.stop();
}

#[test]
fn broken_off_anywhere_the_end_is_the_same() {
    let (studio, first) = studio();
    let (phone, contact, _) = customer(&studio, &first);
    let words = [phone.trim_start_matches('+'), contact.as_str()];
    // Something in the dead letters too.
    let inbox = first.join("inbox/broken.jsonl");
    std::fs::write(&inbox, format!("{{\"body\": \"broken statuses {phone}\", \"x\": 1}}\n")).unwrap();
    studio.expect_in(&first, &["run"], 0);
    let copy = |name: &str| {
        let folder = studio.folder().join(name);
        // With links and rights.
        let copied = std::process::Command::new("cp").arg("-a").arg(&first).arg(&folder).status().unwrap();
        assert!(copied.success());
        folder
    };
    let undisturbed = copy("undisturbed");
    studio.expect_in(&undisturbed, &["forget", &phone, "--yes"], 0);
    let expected: Tables = studio.tables(&undisturbed);
    assert_nowhere(&undisturbed, &words, "undisturbed");
    let broken_off = |folder: &Path, name: &str| {
        let output = studio
            .command_in(folder, &["forget", &phone, "--yes"])
            .env("THROUGHLINE_FAILPOINT", name)
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(6), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let assert_done = |folder: &Path, what: &str| {
        assert_nowhere(folder, &words, what);
        assert_equal(&studio.tables(folder), &expected, what);
        assert_eq!(std::fs::read_dir(folder.join("out/epochs")).unwrap().count(), 1, "{what}");
    };
    // At every step in turn, on one state: each try goes on where the last was killed.
    let folder = copy("every");
    for name in throughline_engine::failpoint::FORGET_NAMES {
        broken_off(&folder, name);
        if *name == "forget.stored_done" {
            broken_off(&folder, "publish.prepared");
        }
    }
    let said = studio.expect_in(&folder, &["forget", &phone, "--yes"], 0);
    assert!(said.contains("was forgotten before"), "the last step was done: {said}");
    assert_done(&folder, "every step");
    // The inbox is read on from where it was.
    studio.expect_in(&folder, &["run"], 0);
    assert_equal(&studio.tables(&folder), &expected, "read on");
    // By its own word, and by any run.
    for (name, finish) in
        [("forget.segment_switched", &["forget", "--resume"][..]), ("forget.source_done", &["run"])]
    {
        let folder = copy(name);
        broken_off(&folder, name);
        studio.expect_in(&folder, finish, 0);
        assert_done(&folder, name);
    }
    studio.stop();
}

/// Prepared rows in files: other forms of the same identifiers, and money that must not move.
#[test]
fn rows_of_files_in_any_writing() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "pipeline.toml",
        r#"
[[source]]
name = "contacts"
connector = "file"
path = "contacts.csv"
into = "contacts"
mapping = "SELECT id AS contact_id, name, phone_e164(phone, 'RU') AS phone_e164, email FROM file"

[[source]]
name = "deals"
connector = "file"
path = "deals.csv"
into = "deals"
mapping = "SELECT deal_id, CAST(created_at AS TIMESTAMP) AS created_at, state, name, contact_id, CAST(value AS BIGINT) AS value_minor, 'RUB' AS currency, CAST(created_at AS TIMESTAMP) AS closed_at FROM file"

[[source]]
name = "links"
connector = "file"
path = "links.csv"
into = "deal_contacts"

[[sink]]
connector = "csv"
path = "out"
"#,
    );
    write(
        "contacts.csv",
        "id,name,phone,email,note\n1,Анна,8 (916) 123-45-67,Anna@Example.org,\n2,Борис,+7 903 765-43-21,,\"жена Анна, 89161234567\"\n",
    );
    write(
        "deals.csv",
        "deal_id,created_at,state,name,contact_id,value\n1,2026-03-01T10:00:00Z,won,Фотосессия Анны,1,500000\n2,2026-03-02T10:00:00Z,won,Борису,2,100\n10,2026-03-03T10:00:00Z,won,Борису,2,1\n",
    );
    write("links.csv", "deal_id,contact_id,is_main\n1,1,true\n1,2,false\n2,2,true\n");
    let run = |args: &[&str], code: i32| {
        let output = throughline(folder.path(), args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    };
    run(&["run"], 0);
    run(&["forget", "anna@example.org", "--yes"], 0);
    let deals = "SELECT deal_id, coalesce(contact_id, '-') AS c, coalesce(name, '-') AS n, value_minor FROM in_deals ORDER BY deal_id";
    let contacts = "SELECT contact_id, name FROM in_contacts ORDER BY 1";
    let links = "SELECT deal_id, contact_id FROM in_deal_contacts ORDER BY 1, 2";
    for (turn, args) in [&["runs"][..], &["run"], &["run", "--full-refresh"]].iter().enumerate() {
        run(args, 0);
        let shown = |sql: &str| run(&["query", sql, "--format", "csv"], 0);
        assert_eq!(
            shown(deals),
            "deal_id,c,n,value_minor\n1,-,-,500000\n10,2,Борису,1\n2,2,Борису,100\n",
            "{turn}"
        );
        assert_eq!(shown(contacts), "contact_id,name\n2,Борис\n", "{turn}");
        assert_eq!(shown(links), "deal_id,contact_id\n1,2\n2,2\n", "{turn}");
        for (path, text) in files(&folder.path().join("out")) {
            assert!(!text.contains("9161234567") && !text.contains("Анн"), "{}", path.display());
        }
    }
    // The user's own files are as they were.
    assert!(std::fs::read_to_string(folder.path().join("contacts.csv")).unwrap().contains("Анна"));
}

#[test]
fn prepared_conversions_keep_their_money_under_a_pseudonym() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let source = |into: &str| {
        format!(
            "[[source]]\nname = \"{into}\"\nconnector = \"file\"\npath = \"{into}.jsonl\"\ninto = \"{into}\"\n\n"
        )
    };
    write(
        "pipeline.toml",
        &(source("touches") + &source("conversions") + "[[sink]]\nconnector = \"csv\"\npath = \"out\"\n"),
    );
    let touch = |id: &str, person: &str| {
        format!(
            "{{\"touch_id\":\"{id}\",\"person_id\":\"{person}\",\"ts\":\"2026-03-01T10:00:00Z\",\"channel\":\"vk\"}}\n"
        )
    };
    let won = |id: &str, person: &str| {
        format!(
            "{{\"conversion_id\":\"{id}\",\"person_id\":\"{person}\",\"ts\":\"2026-03-02T10:00:00Z\",\"value_minor\":5000,\"currency\":\"RUB\"}}\n"
        )
    };
    write("touches.jsonl", &(touch("t1", "cust-17") + &touch("t2", "cust-18")));
    write("conversions.jsonl", &(won("c1", "cust-17") + &won("c2", "cust-17") + &won("c3", "cust-18")));
    let run = |args: &[&str], code: i32| {
        let output = throughline(folder.path(), args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}\n{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    };
    run(&["run"], 0);
    run(&["forget", "cust-17", "--yes"], 0);
    run(&["run", "--full-refresh"], 0);
    let shown = run(
        &[
            "query",
            "SELECT c.conversion_id AS id, c.person_id AS p, a.channel_id AS ch, a.net FROM conversions AS c JOIN attribution AS a \
             ON a.conversion_id = c.conversion_id WHERE a.model = 'linear' ORDER BY 1",
            "--format",
            "csv",
        ],
        0,
    );
    let rows: Vec<Vec<&str>> = shown.lines().skip(1).map(|l| l.split(',').collect()).collect();
    assert_eq!(rows.len(), 3, "{shown}");
    assert!(rows[0][1].starts_with("forgotten:") && rows[0][1] == rows[1][1], "{shown}");
    assert_eq!(
        (rows[0][2..].to_vec(), rows[2][1..].to_vec()),
        (vec!["(none)", "50.00"], vec!["cust-18", "vk", "50.00"])
    );
}

fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.clone(), String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned()));
        }
    }
    found
}

#[test]
fn a_sink_gets_phones_and_addresses_as_keyed_hashes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "pipeline.toml",
        r#"
[[source]]
name = "messages"
connector = "file"
path = "messages.jsonl"
into = "messages"

[[source]]
name = "contacts"
connector = "file"
path = "contacts.jsonl"
into = "contacts"

[[sink]]
name = "clear"
connector = "csv"
path = "clear"

[[sink]]
name = "hashed"
connector = "csv"
path = "hashed"
hash = ["phone", "email"]
hash_key = { env = "HASH_KEY" }
"#,
    );
    write(
        "messages.jsonl",
        "{\"platform\":\"whatsapp\",\"message_id\":\"wamid.HBgLNzkxNjEyMzQ1NjcVAgA=\",\"conversation_id\":\"whatsapp:5:79161234567\",\"ts\":\"2026-03-01T10:00:00Z\",\"direction\":\"in\",\"sender_kind\":\"customer\",\"text\":\"Мой номер 8 916 123-45-67\",\"user_id\":\"79161234567\",\"phone_e164\":\"+79161234567\"}\n",
    );
    write(
        "contacts.jsonl",
        "{\"contact_id\":\"1\",\"phone_e164\":\"+79161234567\",\"email\":\"anna@example.org\"}\n",
    );
    let run = |key: &str, code: i32| {
        let output = throughline(folder.path(), &["run", "--json"]).env("HASH_KEY", key).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    run("0123456789abcdef0123456789abcdef", 0);
    let all = |sink: &str| -> String {
        files(&folder.path().join(sink).join("epochs")).into_iter().map(|(_, text)| text).collect()
    };
    let clear = all("clear");
    assert!(clear.contains("79161234567") && clear.contains("anna@example.org"));
    let hashed = all("hashed");
    // HMAC-SHA256 of "+79161234567" and of "anna@example.org" under the key, by another program.
    for (what, hash) in [
        ("phone", "42ce4e7d8fe75143a93bec86e73a0ff32e08eb4eb534ca1a0c5f36a03fd10afa"),
        ("e-mail", "339cca9b145071ac4a233e5864bae8437af6942dcc80610fc1a4923b41e34df9"),
    ] {
        assert!(hashed.contains(hash), "{what}: {hashed}");
    }
    for clear in ["9161234567", "anna@", "HBgLNzkx", "916 123"] {
        assert!(!hashed.contains(clear), "{clear}: {hashed}");
    }
    // Another key is another export, although nothing else is new.
    let report: Value = serde_json::from_str(&run("ffffffffffffffffffffffffffffffff", 0)).unwrap();
    assert_eq!(report["published"], true);
    let output =
        throughline(folder.path(), &["check", "--offline"]).env("HASH_KEY", "short").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("at least 16"), "{output:?}");
}
