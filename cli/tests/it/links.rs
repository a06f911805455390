//! Links of the documentation lead somewhere: to a file of the repository, and to a heading that it has. Paths that a
//! page only names, without a link, are there too.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::command::repository;

/// Every page of the repository.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && name != "node_modules" && !name.starts_with('.') {
                pages(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The page without its code: what stands there is no link.
fn prose(text: &str) -> String {
    let mut kept = String::new();
    let mut code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            kept.extend(line.split('`').step_by(2));
            kept.push('\n');
        }
    }
    kept
}

/// Where `[words](target)` leads, but for other sites.
fn links(prose: &str) -> Vec<&str> {
    prose
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ', '\n']).next())
        .filter(|link| !link.contains("://") && !link.starts_with("mailto:"))
        .collect()
}

/// Names of the headings, as hosts of repositories make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let name = |heading: &str| -> String {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        heading.trim().to_lowercase().chars().filter(kept).collect::<String>().replace(' ', "-")
    };
    text.lines().filter(|l| l.starts_with('#')).map(|l| name(l.trim_start_matches('#'))).collect()
}

/// What is wrong with a link on that page.
fn wrong(page: &Path, link: &str) -> Option<String> {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target =
        if path.is_empty() { page.to_owned() } else { page.parent().unwrap_or(Path::new("")).join(path) };
    if !target.exists() {
        return Some(format!("{link}: there is no such file"));
    }
    if anchor.is_empty() || target.extension().is_none_or(|e| e != "md") {
        return None;
    }
    let there = anchors(&std::fs::read_to_string(&target).unwrap());
    (!there.contains(anchor)).then(|| format!("{link}: there is no such heading"))
}

#[test]
fn links_lead_somewhere() {
    let root = repository();
    let mut found = Vec::new();
    pages(&root, &mut found);
    let (mut told, mut checked) = (String::new(), 0);
    for page in &found {
        let text = std::fs::read_to_string(page).unwrap();
        for link in links(&prose(&text)) {
            checked += 1;
            if let Some(why) = wrong(page, link) {
                told += &format!("\n{}: {why}", page.strip_prefix(&root).unwrap_or(page).display());
            }
        }
    }
    assert!(told.is_empty(), "links that lead nowhere:{told}");
    assert!(checked > 60, "only {checked} links were found");
}

#[test]
fn named_files_are_there() {
    let root = repository();
    let mut found = Vec::new();
    pages(&root.join("docs"), &mut found);
    found.extend(["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|p| root.join(p)));
    let (mut told, mut checked) = (String::new(), 0);
    for page in &found {
        let text = std::fs::read_to_string(page).unwrap();
        let words = text.split(|c: char| c.is_whitespace() || "`()[]\"',;|".contains(c));
        for word in words {
            let path = word.trim_end_matches(['.', ':']);
            let ours = ["core/", "cli/", "connectors/", "sinks/", "plugins/", "docs/", "tools/"]
                .iter()
                .any(|folder| path.starts_with(folder));
            let source = [".rs", ".md", ".sql", ".sh", ".py", ".h"].iter().any(|end| path.ends_with(end));
            if ours && source && !path.contains(['*', '<', '{']) && !is_example(path) {
                checked += 1;
                if !root.join(path).exists() {
                    told += &format!("\n{}: {path}", page.strip_prefix(&root).unwrap_or(page).display());
                }
            }
        }
    }
    assert!(told.is_empty(), "pages name files that are not there:{told}");
    assert!(checked > 20, "only {checked} files were named");
}

/// A word in capitals stands for the reader's own.
fn is_example(path: &str) -> bool {
    path.split(['/', '.'])
        .any(|part| part.len() > 1 && part.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        && !path.ends_with("README.md")
}

#[test]
fn what_is_a_link() {
    let text =
        "See [a](b.md#c-d) and `[x](y)`.\n```sh\n[no](link)\n```\n[out](https://e.example) [in](#here)";
    assert_eq!(links(&prose(text)), ["b.md#c-d", "#here"]);
    assert!(
        anchors("# One, two\n## Über `x`").is_superset(&BTreeSet::from(["one-two".into(), "über-x".into()]))
    );
}
