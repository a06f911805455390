//! `connector foreign check`: every step, missing and there.

use std::path::Path;

use crate::command::{expect, run, throughline};

fn program(folder: &Path, name: &str, script: &str) {
    let path = folder.join(name);
    std::fs::write(&path, script).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

fn said(folder: &Path, args: &[&str]) -> String {
    let args: Vec<&str> = ["connector", "foreign", "check"].iter().chain(args).copied().collect();
    let output = run(folder, &args);
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_is_missing_is_told_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let out = said(folder, &["singer", ".venv/bin/tap-shop"]);
    assert!(out.contains("there is no program") && out.contains("pip install tap-shop"), "{out}");
    let out = said(folder, &["airbyte", "source-nowhere"]);
    assert!(out.contains("pip install airbyte-source-nowhere"), "{out}");
    program(folder, "tap-moved", "#!/nowhere/.venv/bin/python3\n");
    let out = said(folder, &["singer", "./tap-moved"]);
    assert!(out.contains("its interpreter /nowhere/.venv/bin/python3 is not there"), "{out}");
    program(folder, "tap-broken", "#!/bin/sh\necho 'No module named singer' >&2; exit 1\n");
    let out = said(folder, &["singer", "./tap-broken"]);
    assert!(out.contains("No module named singer") && out.contains("by hand"), "{out}");
    program(folder, "tap-other", "#!/bin/sh\necho usage\n");
    assert!(said(folder, &["singer", "./tap-other"]).contains("no Singer tap"));
    assert!(said(folder, &["airbyte", "./tap-other"]).contains("no Airbyte source"));
    std::fs::write(folder.join("plain"), "#!/bin/sh\n").unwrap();
    assert!(said(folder, &["singer", "./plain"]).contains("may not be executed"));
}

#[test]
fn what_is_there_is_told_too() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    std::fs::write(folder.join("config.json"), "{}").unwrap();
    let tap = "#!/bin/sh\n[ \"$1\" = --discover ] && echo '{\"streams\": [{\"stream\": \"deals\"}]}' && exit\n\
               echo 'usage: --config --catalog --discover --state'\n";
    program(folder, "tap-good", tap);
    let out = expect(folder, &["connector", "foreign", "check", "singer", "./tap-good"], 0);
    assert!(out.contains("a Singer tap") && out.contains("--config FILE"), "{out}");
    let out = expect(
        folder,
        &["connector", "foreign", "check", "singer", "./tap-good", "--config", "config.json"],
        0,
    );
    assert!(out.contains("deals"), "{out}");
    let source = "#!/bin/sh\n[ \"$1\" = spec ] && echo '{\"type\":\"SPEC\",\"spec\":{\"connectionSpecification\":{\"required\":[\"token\"]}}}'\n\
                  [ \"$1\" = discover ] && echo '{\"type\":\"CATALOG\",\"catalog\":{\"streams\":[{\"name\":\"users\"}]}}'\nexit 0\n";
    program(folder, "source-good", source);
    let out = expect(
        folder,
        &["--json", "connector", "foreign", "check", "airbyte", "./source-good", "--config", "config.json"],
        0,
    );
    let out: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["steps"][2]["found"], "an Airbyte source; it needs token");
    assert_eq!(out["steps"][3]["found"], "users");
}

#[test]
fn targets_are_looked_at_as_taps_are() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let out = said(folder, &["singer-target", ".venv/bin/target-shop"]);
    assert!(out.contains("pip install target-shop"), "{out}");
    program(folder, "tap", "#!/bin/sh\necho 'usage: --config --catalog --discover'\n");
    assert!(said(folder, &["singer-target", "./tap"]).contains("is a source (singer)"));
    program(folder, "other", "#!/bin/sh\necho usage\n");
    assert!(said(folder, &["singer-target", "./other"]).contains("no Singer target"));
    let target = "#!/bin/sh\n[ \"$1\" = --help ] && echo 'usage: [--config CONFIG]' && exit\n\
                  [ \"$1\" = --about ] && echo '{\"capabilities\": [\"activate-version\"]}' && exit\n\
                  [ \"$1\" = --config ] || exit 2\n\
                  grep -q database \"$2\" || { echo 'no database in the settings' >&2; exit 1; }\ncat\n";
    program(folder, "target-good", target);
    let check = ["connector", "foreign", "check", "singer-target", "./target-good"];
    let out = expect(folder, &check, 0);
    assert!(out.contains("a Singer target; it knows versions") && out.contains("--config FILE"), "{out}");
    std::fs::write(folder.join("good.json"), "{\"database\": 1}").unwrap();
    let out = expect(folder, &[&check[..], &["--config", "good.json"]].concat(), 0);
    assert!(out.contains("starts with them"), "{out}");
    std::fs::write(folder.join("bad.json"), "{}").unwrap();
    let out = said(folder, &["singer-target", "./target-good", "--config", "bad.json"]);
    assert!(out.contains("no database in the settings"), "{out}");
}

/// A whole run into a Singer target, one that dies where nothing is committed and everything is prepared.
#[test]
fn a_target_gets_an_epoch_once_also_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let target = "#!/bin/sh\ncat > in; cat in >> loaded\ngrep -q pa55word-x \"$2\" || exit 1\n\
                  sed -n -E '$s/^\\{\"type\":\"STATE\",\"value\":(.*)\\}$/\\1/p' in\n";
    program(folder, "target.sh", target);
    std::fs::write(folder.join("rows.csv"), "id,name,cost\n1,Осень,1.00\n2,b,2.50\n").unwrap();
    let pipeline = r#"
        [[source]]
        name = "file"
        connector = "file"
        path = "rows.csv"
        into = "costs"
        mapping = """SELECT 'ads' AS system, DATE '2026-09-01' AS day, CAST(id AS VARCHAR) AS campaign_id,
            name AS campaign, minor_units(cost, 'RUB') AS cost_minor, 'RUB' AS currency FROM file"""
        [[sink]]
        name = "out"
        connector = "singer"
        path = "spool"
        command = "./target.sh"
        tables = ["costs"]
        config = { password = { env = "TARGET_PASSWORD" } }"#;
    std::fs::write(folder.join("pipeline.toml"), pipeline).unwrap();
    let run = |failpoint: Option<&str>| {
        let mut command = throughline(folder, &["run", "pipeline.toml"]);
        command.env("TARGET_PASSWORD", "pa55word-x");
        if let Some(name) = failpoint {
            command.env("THROUGHLINE_FAILPOINT", name);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.success(), failpoint.is_none(), "{output:?}");
    };
    run(Some("publish.prepared"));
    assert!(!folder.join("loaded").exists());
    run(None);
    let loaded = std::fs::read_to_string(folder.join("loaded")).unwrap();
    assert_eq!(loaded.lines().filter(|l| l.contains("RECORD")).count(), 2, "{loaded}");
    assert!(loaded.contains("2.50"), "money keeps its digits: {loaded}");
    run(None);
    assert_eq!(std::fs::read_to_string(folder.join("loaded")).unwrap(), loaded, "nothing is new");
}

/// A whole run from a program, one that dies where a state is durable and where it is not yet: what is read again
/// replaces what came.
#[test]
fn a_run_that_dies_goes_on_from_the_last_state() {
    let singer = r#"echo '{"type":"RECORD","stream":"ads","record":{"id":'$id',"cost":"1.50"}}'"#;
    let airbyte = r#"echo '{"type":"RECORD","record":{"stream":"ads","data":{"id":'$id',"cost":"1.50"},"emitted_at":1}}'"#;
    let state_of_singer = r#"echo '{"type":"STATE","value":{"last":'$id'}}'"#;
    let state_of_airbyte = r#"echo '{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"ads"},"stream_state":{"last":'$id'}},"sourceStats":{"recordCount":4.0}}}'"#;
    let of_singer = r#"{"streams": [{"stream": "ads", "key_properties": ["id"], "schema": {},
        "metadata": [{"breadcrumb": [], "metadata": {"replication-method": "INCREMENTAL"}}]}]}"#;
    let of_airbyte = r#"{"streams": [{"name": "ads", "json_schema": {}, "supported_sync_modes": ["incremental"],
        "source_defined_cursor": true, "source_defined_primary_key": [["id"]]}]}"#;
    for (connector, record, state, catalog) in
        [("singer", singer, state_of_singer, of_singer), ("airbyte", airbyte, state_of_airbyte, of_airbyte)]
    {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path();
        // Its state is the last of its arguments, when there is one.
        let source = format!(
            "#!/bin/sh\nid=0\nfor file; do :; done\ncase \"$file\" in *state.json) id=$(sed -E 's/.*\"last\":([0-9]+).*/\\1/' \"$file\");; esac\n\
             echo $id >> starts\nwhile [ $id -lt 12 ]; do\nid=$((id + 1))\n{record}\n[ $((id % 4)) = 0 ] && {state}\ndone\nexit 0\n"
        );
        program(folder, "source.sh", &source);
        std::fs::write(folder.join("catalog.json"), catalog).unwrap();
        let pipeline = format!(
            r#"
            [[source]]
            name = "ads"
            connector = "{connector}"
            command = "./source.sh"
            catalog = "catalog.json"
            [[source.mappings]]
            into = "costs"
            from = ["ads"]
            sql = """SELECT 'ads' AS system, DATE '2026-09-01' AS day, CAST(id AS VARCHAR) AS campaign_id,
                minor_units(cost, 'RUB') AS cost_minor, 'RUB' AS currency FROM ads"""
            [[sink]]
            connector = "csv"
            path = "out""#
        );
        std::fs::write(folder.join("pipeline.toml"), pipeline).unwrap();
        for failpoint in ["land.segment_written", "land.committed"] {
            let mut command = throughline(folder, &["run", "pipeline.toml"]);
            let output = command.env("THROUGHLINE_FAILPOINT", failpoint).output().unwrap();
            assert!(!output.status.success(), "{output:?}");
        }
        expect(folder, &["run", "pipeline.toml"], 0);
        let starts = std::fs::read_to_string(folder.join("starts")).unwrap();
        // The second run had all of it durable when it died, so the third has nothing to ask for.
        assert_eq!(starts, "0\n0\n12\n", "{connector}");
        let sum =
            "SELECT count(*) AS n, count(DISTINCT campaign_id) AS ids, sum(cost_minor) AS cost FROM in_costs";
        let rows = expect(folder, &["query", sum, "--format", "csv"], 0);
        assert!(rows.contains("12,12,1800"), "{connector}: {rows}");
    }
}
