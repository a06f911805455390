//! The pipeline files of a folder, and which of them changed since the last look.
//!
//! Looks at content, not at times: copying a file back with its old time is a change all the same.
//! A change counts once two looks in a row saw the same, so that a file caught half written is not
//! reported as broken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// Larger than any pipeline file; what is larger is reported by loading it, not read here.
const MOST_BYTES: u64 = 2 << 20;

type Content = [u8; 32];

pub struct Watch {
    roots: Vec<PathBuf>,
    seen: BTreeMap<PathBuf, Seen>,
}

struct Seen {
    /// Of the pipeline file, and of those it names.
    content: [Content; 2],
    /// What was last handed out as changed.
    told: Option<[Content; 2]>,
    /// Files the pipeline names (SQL), which are part of it.
    also: Vec<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// New or edited: load it.
    Changed(PathBuf),
    Removed(PathBuf),
}

impl Watch {
    /// Files, and folders whose `*.toml` and `*/pipeline.toml` are meant.
    pub fn new(roots: Vec<PathBuf>) -> Self {
        Self { roots, seen: BTreeMap::new() }
    }

    /// Files beside the pipeline file whose change is a change of the pipeline.
    pub fn also(&mut self, path: &Path, files: Vec<PathBuf>) {
        if let Some(seen) = self.seen.get_mut(path) {
            // Taking more files into account is no change by itself; an edit of the pipeline file since the look
            // is one, and the next look finds it.
            seen.content[1] = content(&files);
            seen.also = files;
            seen.told = Some(seen.content);
        }
    }

    /// What changed. With `settled`, as at the start, a file counts at its first sight.
    pub fn look(&mut self, settled: bool) -> Vec<Change> {
        let files: Vec<PathBuf> = self.roots.iter().flat_map(|root| pipeline_files(root)).collect();
        let mut changes = Vec::new();
        let gone: Vec<PathBuf> = self.seen.keys().filter(|path| !files.contains(path)).cloned().collect();
        for path in gone {
            self.seen.remove(&path);
            changes.push(Change::Removed(path));
        }
        for path in files {
            let also = self.seen.get(&path).map(|s| s.also.clone()).unwrap_or_default();
            let content = [content(std::slice::from_ref(&path)), content(&also)];
            let unseen = Seen { content: [[0; 32]; 2], told: None, also };
            let seen = self.seen.entry(path.clone()).or_insert(unseen);
            let stable = settled || seen.content == content;
            seen.content = content;
            if stable && seen.told != Some(content) {
                seen.told = Some(content);
                changes.push(Change::Changed(path));
            }
        }
        changes
    }
}

/// The pipeline files a folder holds, in the order of their names; a file is itself.
pub fn pipeline_files(root: &Path) -> Vec<PathBuf> {
    if !root.is_dir() {
        return if root.exists() { vec![root.to_path_buf()] } else { Vec::new() };
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            let inner = path.join("pipeline.toml");
            if inner.is_file() {
                files.push(inner);
            }
        } else if path.extension().is_some_and(|e| e == "toml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn content(files: &[PathBuf]) -> Content {
    let mut hash = Sha256::new();
    for file in files {
        let small = std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.len() <= MOST_BYTES);
        // A file that cannot be read is a content of its own: when it can be again, that is a change.
        let bytes = if small { std::fs::read(file).ok() } else { None };
        hash.update([u8::from(bytes.is_some())]);
        hash.update(bytes.unwrap_or_default());
    }
    hash.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_once_and_when_they_have_settled() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.toml");
        let sql = dir.path().join("q.sql");
        std::fs::write(&file, "x").unwrap();
        std::fs::write(dir.path().join("notes.txt"), "x").unwrap();
        std::fs::create_dir(dir.path().join("shop")).unwrap();
        std::fs::write(dir.path().join("shop/pipeline.toml"), "x").unwrap();
        let changed = |p: &Path| Change::Changed(p.to_path_buf());
        let mut watch = Watch::new(vec![dir.path().to_path_buf()]);
        assert_eq!(watch.look(true), [changed(&file), changed(&dir.path().join("shop/pipeline.toml"))]);
        assert_eq!(watch.look(false), []);

        std::fs::write(&file, "y").unwrap();
        assert_eq!(watch.look(false), [], "half written, for all we know");
        assert_eq!(watch.look(false), [changed(&file)]);
        assert_eq!(watch.look(false), []);

        watch.also(&file, vec![sql.clone()]);
        assert_eq!(watch.look(false), []);
        std::fs::write(&sql, "select 1").unwrap();
        watch.look(false);
        assert_eq!(watch.look(false), [changed(&file)]);

        // Edited while it was loaded: what was loaded is the text before.
        std::fs::write(&file, "z").unwrap();
        watch.look(false);
        assert_eq!(watch.look(false), [changed(&file)]);
        std::fs::write(&file, "newer").unwrap();
        watch.also(&file, vec![sql.clone()]);
        watch.look(false);
        assert_eq!(watch.look(false), [changed(&file)]);

        std::fs::remove_file(&file).unwrap();
        assert_eq!(watch.look(false), [Change::Removed(file)]);
    }
}
