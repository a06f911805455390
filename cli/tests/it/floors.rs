//! ARCHITECTURE.md, "Floors": a crate imports only from lower floors.

use std::collections::BTreeMap;
use std::process::Command;

/// Floor of each crate; dependencies for tests do not count.
const FLOORS: &[(&str, u8)] = &[
    ("throughline-features", 0),
    ("throughline-core", 0),
    ("throughline-foreign", 1),
    ("throughline-http", 1),
    ("throughline-postgresql", 1),
    ("throughline-store", 1),
    ("throughline-sql", 1),
    ("throughline-attribution", 2),
    ("throughline-behaviour", 2),
    ("throughline-connectors", 2),
    ("throughline-sinks", 2),
    ("throughline-plugin-abi", 0),
    ("throughline-plugin", 1),
    ("throughline-plugin-host", 2),
    ("throughline-engine", 3),
    ("throughline-receiver", 3),
    ("throughline", 4),
    ("company", 0),
];

/// What a crate may import of its own floor: nothing, but for these.
const SIDEWAYS: &[(&str, &str)] =
    &[("throughline-core", "throughline-features"), ("company", "throughline-features")];

/// Crates that must not reach a library, however indirectly.
const NEVER: &[(&str, &str)] = &[
    ("throughline-core", "datafusion"),
    ("throughline-connectors", "datafusion"),
    ("throughline-sinks", "datafusion"),
    ("throughline-http", "datafusion"),
    ("throughline-behaviour", "datafusion"),
    ("throughline-store", "reqwest"),
    ("throughline-store", "throughline-http"),
    ("throughline-attribution", "throughline-http"),
    ("throughline-plugin", "throughline-core"),
    ("throughline-plugin-host", "datafusion"),
    ("throughline-engine", "throughline-connectors"),
    ("throughline-engine", "throughline-sinks"),
    ("throughline-receiver", "datafusion"),
    ("throughline-receiver", "throughline-connectors"),
    ("throughline-receiver", "throughline-http"),
    ("throughline-receiver", "reqwest"),
    ("company", "throughline-core"),
];

fn metadata() -> serde_json::Value {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Package name to the names of its normal and build dependencies.
fn imports() -> BTreeMap<String, Vec<String>> {
    let metadata = metadata();
    let name_of: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["id"].as_str().unwrap(), p["name"].as_str().unwrap()))
        .collect();
    metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| {
            let deps = node["deps"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|d| d["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"] != "dev"))
                .map(|d| name_of[d["pkg"].as_str().unwrap()].to_owned())
                .collect();
            (name_of[node["id"].as_str().unwrap()].to_owned(), deps)
        })
        .collect()
}

#[test]
fn a_crate_imports_only_from_lower_floors() {
    let imports = imports();
    let floor = |name: &str| FLOORS.iter().find(|(n, _)| *n == name).map(|(_, f)| *f);
    for (name, own) in FLOORS {
        for import in imports.get(*name).unwrap_or_else(|| panic!("no crate {name}")) {
            let Some(other) = floor(import) else {
                assert!(!import.starts_with("throughline"), "{import} has no floor in this test");
                continue;
            };
            assert!(
                other < *own || SIDEWAYS.contains(&(name, import)),
                "{name} (floor {own}) imports {import} (floor {other})"
            );
        }
    }
}

#[test]
fn some_crates_never_reach_some_libraries() {
    let imports = imports();
    for (name, never) in NEVER {
        let mut seen = vec![(*name).to_owned()];
        let mut at = 0;
        while at < seen.len() {
            // It holds features equal and is called by nobody.
            let called =
                imports.get(&seen[at]).into_iter().flatten().filter(|i| *i != "throughline-features");
            for import in called {
                assert_ne!(import, never, "{name} reaches {never} through {}", seen[at]);
                if !seen.contains(import) {
                    seen.push(import.clone());
                }
            }
            at += 1;
        }
    }
}
