//! Paths that come counted already, through the file connector: they give what the same journeys give as touches.

use std::fmt::Write as _;
use std::path::Path;

use crate::command;
use crate::studio::tables;

const ATTRIBUTION: &str = r#"
[attribution]
reporting_currency = "RUB"
models = ["markov", "shapley_ordered", "shapley_rate", "leave_one_out"]
markov_order = 2

[[sink]]
name = "lake"
connector = "parquet"
path = "out"
"#;

/// Path, conversions, nulls, value of each conversion in minor units.
const PATHS: [(&str, u64, u64, u64); 6] = [
    ("поиск>direct", 3, 9, 1_001),
    ("поиск>поиск>email", 2, 0, 990),
    ("email", 1, 4, 50_000),
    ("direct>поиск>email>direct", 1, 1, 3),
    ("direct", 0, 12, 0),
    ("", 2, 0, 700),
];

fn source(name: &str) -> String {
    format!(
        "[[source]]\nname = \"{name}\"\nconnector = \"file\"\npath = \"{name}.csv\"\ninto = \"{name}\"\n\n"
    )
}

fn run(folder: &Path, files: &[(&str, String)]) -> Vec<String> {
    std::fs::create_dir_all(folder).unwrap();
    let mut pipeline = String::new();
    for (name, content) in files {
        std::fs::write(folder.join(format!("{name}.csv")), content).unwrap();
        pipeline.push_str(&source(name));
    }
    std::fs::write(folder.join("pipeline.toml"), pipeline + ATTRIBUTION).unwrap();
    command::expect(folder, &["run"], 0);
    let tables = tables(&folder.join("out/current"));
    assert_eq!(tables["paths"].len(), PATHS.len());
    tables["attribution_channel"].clone()
}

#[test]
fn counted_paths_give_what_their_touches_give() {
    let folder = tempfile::tempdir().unwrap();
    let mut counted = String::from("path,conversions,nulls,value_minor\n");
    let mut touches = String::from("touch_id,person_id,ts,channel\n");
    let mut conversions = String::from("conversion_id,person_id,ts,value_minor,currency\n");
    for (i, (path, converted, nulls, value)) in PATHS.iter().enumerate() {
        let channels: Vec<&str> = path.split('>').filter(|c| !c.is_empty()).collect();
        // A list is JSON in a CSV field.
        let list = serde_json::to_string(&channels).unwrap().replace('"', "\"\"");
        writeln!(counted, "\"{list}\",{converted},{nulls},{}", converted * value).unwrap();
        for person in 0..converted + nulls {
            for (at, channel) in channels.iter().enumerate() {
                writeln!(touches, "{i}-{person}-{at},{i}-{person},2026-03-01T10:0{at}:00Z,{channel}")
                    .unwrap();
            }
            if person < *converted {
                writeln!(conversions, "{i}-{person},{i}-{person},2026-03-02T10:00:00Z,{value},RUB").unwrap();
            }
        }
    }
    let by_paths = run(&folder.path().join("counted"), &[("aggregated_paths", counted)]);
    let by_touches =
        run(&folder.path().join("touches"), &[("touches", touches), ("conversions", conversions)]);
    assert!(by_paths.len() > 20, "{by_paths:#?}");
    assert_eq!(by_paths, by_touches);
}
