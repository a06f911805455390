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
