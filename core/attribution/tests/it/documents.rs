//! The pages that are written from the code.

use std::path::Path;

use throughline_attribution::{Settings, output_tables, tables_markdown};

#[test]
fn tables_page_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/tables.md");
    let wanted = tables_markdown();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/tables.md is old: run the test with UPDATE_EXPECT=1");
}

#[test]
fn every_setting_and_table_is_explained_in_the_attribution_page() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/attribution.md");
    let page = std::fs::read_to_string(path).unwrap();
    let schema = serde_json::to_value(schemars::schema_for!(Settings)).unwrap();
    for (name, property) in schema["properties"].as_object().unwrap() {
        assert!(page.contains(&format!("`{name}`")), "docs/attribution.md says nothing of {name}");
        assert!(property.is_object());
    }
    for table in output_tables() {
        assert!(page.contains(table.name), "docs/attribution.md says nothing of table {}", table.name);
    }
}

#[test]
fn keys_and_partitions_are_columns() {
    for table in output_tables() {
        for name in table.key.iter().chain(table.partition_by.iter()) {
            assert!(table.columns.iter().any(|c| c.name == *name), "{}: {name}", table.name);
        }
    }
}

/// docs/portable-sql.md: one SELECT a file, nothing that engines read differently.
#[test]
fn steps_keep_to_portable_sql() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/steps");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text.lines().filter(|l| !l.trim_start().starts_with("--")).collect();
        let code = code.join("\n");
        assert!(code.starts_with("SELECT"), "{name}: a step is one SELECT");
        // Only what stands outside of text literals counts.
        let bare: String = code.split('\'').step_by(2).collect::<Vec<_>>().join("''");
        let lower = bare.to_lowercase();
        for word in [
            ";",
            "::",
            "select *",
            "not in (",
            " using (",
            "qualify",
            "filter (",
            "regexp",
            "interval",
            "recursive",
            "ilike",
            "group by all",
            "epoch",
            "arrow_cast",
            "now()",
            "current_",
            "random(",
            "limit ",
        ] {
            assert!(!lower.contains(word), "{name}: `{word}` is not portable");
        }
        // A division is one of floats, made so on both sides.
        for (at, _) in bare.match_indices('/') {
            let divisor = bare[at + 1..].trim_start();
            let float = ["CAST(", "sum(decay)", "leads ", "sales "].iter().any(|d| divisor.starts_with(d));
            assert!(float, "{name}: a divisor without CAST: {}", &divisor[..divisor.len().min(40)]);
        }
        files += 1;
    }
    assert!(files > 60, "{files} steps");
}
