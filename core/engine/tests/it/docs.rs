//! Every whole TOML example in the documentation is accepted.

use std::path::Path;

use throughline_engine::pipeline::{LoadOptions, check_sql, load_text};

use crate::fakes::{env, registry};

/// The blocks that open with ```` ```toml ````; a fragment says so behind the word.
pub fn examples(page: &str) -> Vec<(usize, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    let text = std::fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for (i, line) in text.lines().enumerate() {
        match &mut block {
            None if line == "```toml" => block = Some((i + 2, String::new())),
            None => {}
            Some(_) if line == "```" => found.extend(block.take()),
            Some((_, text)) => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    found
}

#[tokio::test]
async fn examples_are_accepted() {
    let spill = tempfile::tempdir().unwrap();
    for page in ["pipeline-file.md", "scheduling.md"] {
        let examples = examples(page);
        assert!(!examples.is_empty(), "{page}");
        for (line, text) in examples {
            let options = LoadOptions { env: &env, state_dir: None };
            let pipeline = load_text(page, &text, Path::new("/nowhere"), &registry(), &options)
                .unwrap_or_else(|d| panic!("{page}:{line}\n{}", d.render(false)));
            let wrong = check_sql(&pipeline, spill.path()).await.unwrap();
            assert!(wrong.is_empty(), "{page}:{line}\n{}", wrong.render(false));
        }
    }
}

/// Every key of the schema is told of in the reference, and the other way round nothing is invented:
/// the examples above are read with unknown keys as errors.
#[test]
fn every_key_is_documented() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let text = ["pipeline-file.md", "scheduling.md"]
        .map(|p| std::fs::read_to_string(docs.join(p)).unwrap())
        .concat();
    let schema = throughline_engine::pipeline::schema(&registry());
    for section in ["pipeline", "schedule", "http", "engine", "receiver", "transform", "test"] {
        let about = &schema["properties"][section];
        let about = if about["items"].is_object() { &about["items"] } else { about };
        let about = match about["$ref"].as_str() {
            Some(target) => &schema["$defs"][target.trim_start_matches("#/$defs/")],
            None => about,
        };
        let keys: Vec<&String> = about["properties"].as_object().unwrap().keys().collect();
        assert!(!keys.is_empty());
        for key in keys {
            let named = [format!("`{key}`"), format!("`{key}."), format!("[[test.{key}.")];
            assert!(named.iter().any(|n| text.contains(n)), "[{section}] {key} is not in the reference");
        }
    }
}
