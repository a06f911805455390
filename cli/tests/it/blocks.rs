//! Fenced blocks of Markdown pages, and the commands in them.

use std::path::Path;

pub struct Block {
    /// Page and line, for messages.
    pub place: String,
    pub language: String,
    /// The word behind the language, e.g. `fragment`.
    pub word: String,
    /// What stands behind that word.
    pub rest: String,
    pub text: String,
}

pub fn of_page(root: &Path, page: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(page).unwrap();
    let name = page.strip_prefix(root).unwrap().display().to_string();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (i, line) in text.lines().enumerate() {
        if let Some(mut block) = open.take() {
            if line.trim() == "```" {
                blocks.push(block);
            } else {
                block.text += line;
                block.text.push('\n');
                open = Some(block);
            }
            continue;
        }
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let mut words = info.split([' ', ',']).filter(|w| !w.is_empty()).map(str::to_owned);
            open = Some(Block {
                place: format!("{name}:{}", i + 1),
                language: words.next().unwrap_or_default(),
                word: words.next().unwrap_or_default(),
                rest: words.collect::<Vec<_>>().join(" "),
                text: String::new(),
            });
        }
    }
    assert!(open.is_none(), "{name}: a block is never closed");
    blocks
}

/// The words of every command in a block: lines joined at `\`, cut at `|`, `&`, `;`, `>` and comments.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", " ");
    text.lines().flat_map(|line| one_line(line.trim_start().trim_start_matches("$ "))).collect()
}

fn one_line(line: &str) -> Vec<Vec<String>> {
    let (mut all, mut words) = (Vec::new(), Vec::new());
    let (mut word, mut in_word, mut quote) = (String::new(), false, None);
    for c in line.chars().chain([' ']) {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => word.push(c),
            None if c == '\'' || c == '"' => (quote, in_word) = (Some(c), true),
            None if c == '#' && !in_word => break,
            None if c.is_whitespace() || "|&;>".contains(c) => {
                if in_word {
                    words.push(std::mem::take(&mut word));
                    in_word = false;
                }
                if !c.is_whitespace() {
                    all.push(std::mem::take(&mut words));
                }
            }
            None => {
                word.push(c);
                in_word = true;
            }
        }
    }
    all.push(words);
    for words in &mut all {
        // NAME=value in front of a command.
        let settings = words.iter().take_while(|w| w.contains('=') && !w.starts_with('-')).count();
        words.drain(..settings);
    }
    all.retain(|words| !words.is_empty());
    all
}

#[test]
fn commands_are_cut_as_a_shell_does() {
    let found = commands("$ A=1 x \"a b\" 'c # d' # gone\ny \\\n  z | w > file && v\n# none\n");
    let found: Vec<Vec<&str>> = found.iter().map(|w| w.iter().map(String::as_str).collect()).collect();
    assert_eq!(found, [vec!["x", "a b", "c # d"], vec!["y", "z"], vec!["w"], vec!["file"], vec!["v"]]);
}
