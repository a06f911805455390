//! The quickstart as a newcomer runs it: from a recording, without a network.

use std::path::Path;

use serde_json::Value;

use crate::command::{copy_folder, expect, repository, run};

const SECRET: &str = "company-whatsapp-app-secret";

fn quickstart(folder: &Path) {
    copy_folder(&repository().join("examples/quickstart"), folder);
    // What a run of the examples in place may have left.
    let _ = std::fs::remove_dir_all(folder.join("out"));
}

fn json(folder: &Path, args: &[&str]) -> Value {
    serde_json::from_str(&expect(folder, args, 0)).unwrap()
}

#[test]
fn two_runs_a_query_an_explanation_and_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    quickstart(folder);

    let first = expect(folder, &["run"], 0);
    for part in
        ["paid_search", "1\u{a0}349\u{a0}300.00", "exactly-once", "Books balanced", "epoch 1 published"]
    {
        assert!(first.contains(part), "{part:?} is not in\n{first}");
    }
    let second = json(folder, &["run", "--json"]);
    assert_eq!(second["status"], "succeeded");
    assert_eq!(second["published"], false, "{second}");
    assert_eq!(second["epoch"], 1);
    let streams = second["streams"].as_array().unwrap();
    // Users, pipelines and account have no cursor and are read whole; of everything else nothing is new.
    let read: Vec<&str> =
        streams.iter().filter(|s| s["rows"] != 0).map(|s| s["stream"].as_str().unwrap()).collect();
    assert_eq!(read, ["users", "pipelines", "account"], "{second}");
    assert!(second["notices"].to_string().contains("nothing is new"), "{second}");

    let rows = expect(folder, &["query", "SELECT count(*) AS n FROM visits", "--json"], 0);
    assert_eq!(rows.trim(), r#"{"n":2000}"#);
    let explained = expect(folder, &["explain", "30000123"], 0);
    for part in ["SMVVNKXFRA9", "august_letter", "match_method token", "last_non_direct", "What is missing"] {
        assert!(explained.contains(part), "{part:?} is not in\n{explained}");
    }
    assert_eq!(json(folder, &["explain", "30000123", "--json"])["deal_id"], "amocrm:studio:30000123");

    let page = std::fs::read_to_string(folder.join("quickstart-report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("paid_search"));
    for request in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!page.contains(request), "the page is not self-contained: {request}");
    }
    for table in ["attribution", "channel_daily", "dim_campaign", "inquiries", "visits"] {
        assert!(folder.join("out/current").join(table).is_dir(), "{table}");
    }
    let runs = json(folder, &["runs", "--json"]);
    assert_eq!(runs.as_array().unwrap().len(), 2);
}

#[test]
fn its_tests_pass_and_a_wrong_expectation_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    quickstart(folder);
    expect(folder, &["test"], 0);
    let file = folder.join("pipeline.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("match_method = \"token\"", "match_method = \"identity\"")).unwrap();
    let told = expect(folder, &["test"], 5);
    assert!(told.contains("missing row") && told.contains("unexpected row"), "{told}");
}

#[test]
fn secrets_are_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    quickstart(folder);
    let output = run(folder, &["run", "-vv"]);
    assert!(output.status.success());
    let mut said = [output.stdout, output.stderr].concat();
    for entry in walk(folder) {
        if !entry.ends_with("whatsapp-app-secret.txt") {
            said.extend(std::fs::read(entry).unwrap());
        }
    }
    let found = said.windows(SECRET.len()).any(|w| w == SECRET.as_bytes());
    assert!(!found, "the secret was written somewhere");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}
