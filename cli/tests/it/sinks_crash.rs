//! One pipeline with a folder, a bucket and PostgreSQL, its process ended at the steps of publishing: whatever each
//! had got by then, in the end all show the same epoch, each row once.
//!
//! What comes before publishing knows of no sink; crash.rs ends runs there.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use serde_json::Value;

use crate::command::{expect, throughline};
use crate::postgresql::cluster::{Cluster, PASSWORD};
use crate::studio::{Tables, assert_equal, tables};

#[path = "../../../sinks/tests/it/buckets/servers.rs"]
#[allow(dead_code)]
mod servers;

const BUCKET: &str = "crash-lake";

/// Where runs end, one after the other on one state: each goes on from where the last was killed. Before the first
/// sink commits all of them show one epoch, which may be the recovered one of the run before. A step with a number is
/// passed once a sink, in the order of the file. Each run computes all of attribution, so they are few.
const ENDS: [(&str, bool); 5] = [
    ("publish.prepared:1", true),
    ("publish.staged:3", true),
    // The folder and the bucket have committed, PostgreSQL has not.
    ("publish.sink_committed:2", false),
    ("publish.staging:3", true),
    ("", true),
];

fn pipeline(lake: u16, warehouse: u16) -> String {
    format!(
        r#"
[pipeline]
name = "shop"

[attribution]
models = ["last_touch"]

[[source]]
name = "orders"
connector = "file"
path = "orders.csv"
into = "conversions"
mapping = "SELECT id AS conversion_id, person AS person_id, parse_instant(at, 'UTC') AS ts, 'won' AS type FROM file"

[[source]]
name = "clicks"
connector = "file"
path = "clicks.csv"
into = "touches"
mapping = "SELECT id AS touch_id, person AS person_id, parse_instant(at, 'UTC') AS ts, 'page' AS kind, 'main' AS channel FROM file"

[[sink]]
name = "files"
connector = "parquet"
path = "out"
tables = ["conversions", "touches"]

[[sink]]
name = "lake"
connector = "parquet"
path = "s3://{BUCKET}/shop"
tables = ["conversions", "touches"]
[sink.s3]
endpoint = "http://127.0.0.1:{lake}"
access_key_id = {{ env = "LAKE_ID" }}
secret_access_key = {{ env = "LAKE_KEY" }}

[[sink]]
name = "warehouse"
connector = "postgresql"
port = {warehouse}
database = "postgres"
user = "postgres"
password = {{ env = "WAREHOUSE_PASSWORD" }}
tables = ["conversions", "touches"]
"#
    )
}

/// What the bucket leads a reader to, by way of a folder.
fn in_lake(lake: &servers::Server, folder: &Path) -> Tables {
    let get = |name: &str| {
        let (status, body) = lake.ask("GET", &format!("/{BUCKET}/{name}"));
        assert_eq!(status, 200, "{name}");
        body
    };
    let current: Value = serde_json::from_slice(&get("shop/current.json")).unwrap();
    let _ = std::fs::remove_dir_all(folder);
    for (table, found) in current["tables"].as_object().unwrap() {
        std::fs::create_dir_all(folder.join(table)).unwrap();
        for file in found["files"].as_array().unwrap() {
            let name = file.as_str().unwrap().strip_prefix(&format!("s3://{BUCKET}/")).unwrap();
            std::fs::write(folder.join(table).join(name.rsplit('/').next().unwrap()), get(name)).unwrap();
        }
    }
    tables(folder)
}

fn in_warehouse(cluster: &Cluster, table: &str, key: &str) -> Vec<String> {
    let rows = cluster.query(&format!("SELECT {key} FROM throughline.{table}"));
    let mut keys: Vec<String> = rows.into_iter().flatten().map(|id| format!("{key}={id}")).collect();
    keys.sort();
    keys
}

fn keys(rows: &[String], key: &str) -> Vec<String> {
    let of =
        |row: &String| row.split('|').find(|cell| cell.starts_with(&format!("{key}="))).unwrap().to_owned();
    let mut keys: Vec<String> = rows.iter().map(of).collect();
    keys.sort();
    keys
}

fn write_inputs(folder: &Path, rows: usize) {
    for (file, part) in [("orders.csv", 2), ("clicks.csv", 1)] {
        let line = |i: usize| format!("{file}-{i},p{i},2026-09-0{}T10:00:00Z\n", 1 + i % 9);
        let lines: String = (0..rows / part).map(line).collect();
        std::fs::write(folder.join(file), format!("id,person,at\n{lines}")).unwrap();
    }
}

#[test]
fn ended_while_publishing_all_sinks_show_one_epoch() {
    let (Some(lake), Some(cluster)) = (servers::moto(), Cluster::start()) else { return };
    assert_eq!(lake.ask("PUT", &format!("/{BUCKET}")).0, 200);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("pipeline.toml"), pipeline(lake.port, cluster.port)).unwrap();
    let names = [("LAKE_ID", "AK"), ("LAKE_KEY", "sEcr3t-of-the-lake"), ("WAREHOUSE_PASSWORD", PASSWORD)];
    let run = |failpoint: &str| {
        let mut command = throughline(folder, &["run"]);
        command.envs(names);
        if !failpoint.is_empty() {
            command.env("THROUGHLINE_FAILPOINT", failpoint);
        }
        command.output().unwrap()
    };
    write_inputs(folder, 0);
    assert!(run("").status.success());
    let (mut rows, mut seen) = (0, Vec::new());
    for (failpoint, whole) in ENDS {
        // Rows that are new and rows that were there, in each epoch.
        rows += 3;
        write_inputs(folder, rows);
        let output = run(failpoint);
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        match failpoint {
            "" => assert!(output.status.success(), "{said}"),
            _ => assert_eq!(output.status.signal(), Some(6), "no run passes {failpoint}: {said}"),
        }
        assert!(!said.contains("sEcr3t") && !said.contains(PASSWORD), "{said}");
        if whole {
            let expected = tables(&folder.join("out/current"));
            seen.push(expected["touches"].len());
            assert_equal(&in_lake(lake, &folder.join("lake")), &expected, failpoint);
            for (table, key) in [("conversions", "conversion_id"), ("touches", "touch_id")] {
                assert_eq!(
                    in_warehouse(&cluster, table, key),
                    keys(&expected[table], key),
                    "{failpoint}: {table}"
                );
            }
        }
        let epochs = cluster.query("SELECT count(*), count(DISTINCT txn) FROM throughline_staging.epochs");
        assert_eq!(epochs[0][0], epochs[0][1], "{failpoint}");
    }
    // What was prepared was committed by the next run, what was only staged was not.
    assert_eq!(seen, [0, 3, 9, 15]);
    // `check` signs in to all of them, with the keys of the environment.
    let output = throughline(folder, &["check"]).envs(names).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("honoured"), "{said}");
    expect(folder, &["check", "--offline"], 2);
}
