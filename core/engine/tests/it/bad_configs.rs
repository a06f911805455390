//! Every file in tests/bad_configs is wrong, and its `.expected` is what a person is told.
//!
//! `UPDATE_EXPECT=1` writes the snapshots anew: read the difference, every line and column in it.

use std::path::{Path, PathBuf};

use throughline_engine::pipeline::{LoadOptions, load};

use crate::fakes::{env, registry};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/bad_configs")
}

#[test]
fn every_bad_file_is_explained() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let registry = registry();
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 60, "only {} files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let Err(diagnostics) = load(&path, &registry, &LoadOptions { env: &env, state_dir: None }) else {
            wrong.push(format!("{}: was accepted", path.display()));
            continue;
        };
        let root = format!("{}/", folder().display());
        let shown = diagnostics.render(false).replace(&root, "").replace('\r', "<CR>");
        for d in &diagnostics {
            assert!(!d.message.contains("s3cr3t"), "{d}");
            assert!(shown.contains(&format!("{}:{}", d.line, d.column)), "{d}\n{shown}");
        }
        assert!(!shown.contains("s3cr3t"), "a secret is shown:\n{shown}");
        let expected = path.with_extension("expected");
        if update {
            std::fs::write(&expected, &shown).unwrap();
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != shown {
            wrong.push(format!("{}:\n{shown}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
