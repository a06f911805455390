//! `throughline connector new` and `throughline connector test`: manifests of users, tested offline.

use std::path::Path;

use throughline_behaviour::CHECKS;

use crate::command::{copy_folder, expect, repository, run, throughline};
use crate::studio::Studio;

fn new(folder: &Path) {
    let said = expect(folder, &["connector", "new", "shop", "--manifest"], 0);
    assert!(said.contains("throughline connector test ./shop.toml"), "{said}");
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from:?} is not in {}", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_new_manifest_passes_and_loads_and_runs() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    new(folder);
    let said = expect(folder, &["connector", "test", "shop.toml"], 0);
    assert!(said.contains("shop.orders") && said.contains("0 failed"), "{said}");
    for part in ["5 rows by 3 requests", "2 rows from 2026-02-26", "stopped at 3 of 3"] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&expect(folder, &["connector", "test", "shop.toml", "--json"], 0)).unwrap();
    assert_eq!((json["passed"].as_bool(), json["source"].as_str()), (Some(true), Some("shop")));
    // Whatever can be looked at was looked at.
    for outcome in json["outcomes"].as_array().unwrap().iter().filter(|o| o["stream"] != "managers") {
        assert_eq!(outcome["result"], "passed", "{outcome:#}");
    }
    let one = expect(folder, &["connector", "test", "shop.toml", "--stream", "managers"], 0);
    assert!(one.contains("shop.managers") && !one.contains("shop.orders"), "{one}");

    // And it is a connector: a pipeline on the same answers fills tables.
    let pipeline = "[pipeline]\nname = \"shop\"\n[attribution]\nreporting_currency = \"EUR\"\n[http]\nreplay = \"shop.answers.jsonl\"\n\
                    [[source]]\nname = \"shop\"\nconnector = \"rest\"\nmanifest = \"shop.toml\"\nshop = \"flowers\"\n\
                    token = { env = \"SHOP_TOKEN\" }\n[[sink]]\nname = \"out\"\nconnector = \"csv\"\npath = \"out\"\n";
    std::fs::write(folder.join("pipeline.toml"), pipeline).unwrap();
    let output = throughline(folder, &["run"]).env("SHOP_TOKEN", "not-a-real-token").output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("dead letter"), "{said}");
    let mut query = throughline(
        folder,
        &["query", "SELECT name, state, value_minor FROM in_deals ORDER BY deal_id", "--format", "csv"],
    );
    let output = query.env("SHOP_TOKEN", "not-a-real-token").output().unwrap();
    let rows = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        rows.contains("Тюльпаны") && rows.contains("won,4990") && rows.contains("lost,7250"),
        "{rows}{output:?}"
    );
}

#[test]
fn nothing_is_ever_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("shop.answers.jsonl"), "mine").unwrap();
    let output = run(folder, &["connector", "new", "shop", "--manifest"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("shop.answers.jsonl exists already"),
        "{output:?}"
    );
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1, "all files or none");
    assert_eq!(std::fs::read_to_string(folder.join("shop.answers.jsonl")).unwrap(), "mine");
    // Elsewhere, and under names that are none.
    expect(folder, &["connector", "new", "shop", "--manifest", "--dir", "a/b"], 0);
    expect(folder, &["connector", "test", "a/b/shop.toml"], 0);
    for name in ["Shop", "../shop", "", "7up", "a b"] {
        assert_eq!(run(folder, &["connector", "new", name, "--manifest"]).status.code(), Some(2), "{name:?}");
    }
    assert_eq!(run(folder, &["connector", "new", "other"]).status.code(), Some(2), "--manifest is needed");
}

/// As users do: record a pipeline that reads the manifest, then test on the recording.
#[test]
fn a_recording_of_a_pipeline_is_all_a_test_needs() {
    let studio = Studio::start(200, |_, _| {});
    let folder = studio.folder();
    copy_folder(&repository().join("connectors/src/amocrm"), &folder.join("crm"));
    let options = format!("subdomain = \"studio\"\nbase_url = \"{}\"\n", studio.url());
    let pipeline = format!(
        "[pipeline]\nname = \"shop\"\n[http]\nrecord = \"crm/manifest.answers.jsonl.zst\"\nclock = \"{}\"\n\
         [[source]]\nname = \"crm\"\nconnector = \"rest\"\nmanifest = \"crm/manifest.toml\"\n{options}\
         token = {{ env = \"AMOCRM_TOKEN\" }}\n[[sink]]\nname = \"out\"\nconnector = \"parquet\"\npath = \"out\"\n",
        studio.clock()
    );
    std::fs::write(folder.join("pipeline.toml"), pipeline).unwrap();
    studio.expect(&["run"], 0);
    let test = format!(
        "streams = [\"leads\", \"contacts\", \"users\"]\n[options]\n{options}token = \"made-up-token\"\n"
    );
    std::fs::write(folder.join("crm/manifest.test.toml"), test).unwrap();
    // The vendor is gone: what comes, comes from the recording.
    studio.faults(&["500:every=1"]);
    let said = studio.expect(&["connector", "test", "crm/manifest.toml"], 0);
    let passed = |stream: &str, check: &str| {
        let of_stream = said.split(&format!("amocrm.{stream}\n")).nth(1).unwrap();
        of_stream.lines().take_while(|l| l.starts_with(' ')).any(|l| l.contains('✓') && l.contains(check))
    };
    for stream in ["leads", "contacts"] {
        for check in
            ["read", "rows", "repeatable", "resumable", "incremental", "dry_read", "cancel", "http_errors"]
        {
            assert!(passed(stream, check), "{stream}: {check}\n{said}");
        }
    }
    assert!(said.contains("13 windows        skipped: no recorded answer to GET"), "{said}");
    assert_eq!(studio.fired("500"), 0);
}

/// Mistakes that people make in manifests, and the check that tells them.
#[test]
fn mistakes_in_a_manifest_are_found_by_its_test() {
    for (from, to, check, said) in [
        // A key that does not tell records apart.
        (
            "key = [\"id\"]                    # what identifies a record",
            "key = [\"state\"]",
            "rows",
            "one record of the key",
        ),
        // The cursor is read from the wrong place: only the first page comes.
        ("path = \"next_cursor\"", "path = \"cursor\"", "counts", "5 expected, 2 read"),
        // The list of records is elsewhere.
        (
            "records = \"data\"                # where",
            "records = \"orders\" # where",
            "read",
            "the keys there are data",
        ),
        (
            "path = \"/managers\"",
            "path = \"/users\"",
            "read",
            "no recorded answer to GET https://flowers.example.com/api/v2/users",
        ),
        // The key is no column of the contract.
        ("id = \"int\"\ntitle", "number = \"int\"\ntitle", "catalog", "\"id\" among the columns"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        new(folder);
        edit(&folder.join("shop.toml"), from, to);
        let found = expect(folder, &["connector", "test", "shop.toml"], 5);
        let mark = format!("{check} ");
        let line = found.lines().find(|l| l.contains('✗') && l.contains(&mark));
        assert!(line.is_some() && found.contains(said), "{check}: {said}\n{found}");
    }
}

#[test]
fn wrong_files_are_told_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    new(folder);
    let fails = |said: &str| {
        let output = run(folder, &["connector", "test", "shop.toml"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(said), "{said:?} is not in\n{text}");
    };
    let (manifest, test) = (folder.join("shop.toml"), folder.join("shop.test.toml"));
    edit(&test, "shop = \"flowers\"", "shop = 7");
    fails("shop.test.toml:9:8");
    edit(&test, "shop = 7", "shop = \"flowers\"");
    edit(&test, "answers = \"shop.", "answers = \"other.");
    fails("other.answers.jsonl is not there");
    edit(&test, "answers = \"other.", "answers = \"shop.");
    edit(&manifest, "kind = \"cursor\"", "kind = \"cursors\"");
    fails("did you mean \"cursor\"?");
    edit(&manifest, "kind = \"cursors\"", "kind = \"cursor\"");
    std::fs::write(
        folder.join("shop.answers.jsonl"),
        "{\"throughline_cassette\":1,\"recorded_at\":\"2026-03-01T09:00:00Z\"}\nrubbish\n",
    )
    .unwrap();
    fails("shop.answers.jsonl:2: not an exchange");
    std::fs::remove_file(&manifest).unwrap();
    fails("shop.toml:1:1");
}

/// The page names every check there is, by its number.
#[test]
fn the_page_names_every_check() {
    let page = std::fs::read_to_string(repository().join("docs/connector-tests.md")).unwrap();
    for check in CHECKS {
        let row = format!("| {} | `{}` | {} |", check.number, check.name, check.promise);
        assert!(page.contains(&row), "{row}");
    }
}
