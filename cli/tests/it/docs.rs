//! The documentation is true: every TOML block loads, every command is one that the program knows.
//!
//! * ` ```toml ` is a pipeline or some sections of one; what is lacking for a whole one is added here.
//!   ` ```toml fragment ` (or another word) must be TOML and no more. ` ```toml,ignore WHY ` is left out.
//! * Lines of ` ```sh ` blocks that call the program are read by its own command line, and run where
//!   that changes nothing; `make` targets and scripts they name must be there.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;

use crate::args::{Cli, Command, ConnectorCommand, IdentityCommand};
use crate::blocks::{self, Block};
use crate::command::{binary, copy_folder, expect, repository, throughline};

/// Every page that a user reads.
fn pages() -> Vec<PathBuf> {
    let root = repository();
    let mut found = vec![root.join("CONTRIBUTING.md"), root.join("ARCHITECTURE.md")];
    found.extend(Some(root.join("README.md")).filter(|p| p.is_file()));
    let folder = |path: &str| {
        let entries = std::fs::read_dir(root.join(path)).unwrap();
        entries.map(|e| e.unwrap().path()).collect::<Vec<_>>()
    };
    found.extend(folder("docs").into_iter().filter(|p| p.extension().is_some_and(|e| e == "md")));
    for parent in ["connectors/src", "sinks/src", "sinks/src/crm", "examples"] {
        found.extend(folder(parent).into_iter().map(|p| p.join("README.md")).filter(|p| p.is_file()));
    }
    found.sort();
    assert!(found.len() > 12, "{found:#?}");
    found
}

fn all_blocks() -> Vec<Block> {
    pages().iter().flat_map(|page| blocks::of_page(&repository(), page)).collect()
}

#[test]
fn toml_blocks_load() {
    let mut wrong = String::new();
    let mut checked = 0;
    for block in all_blocks().iter().filter(|b| b.language == "toml") {
        match block.word.as_str() {
            "" => {
                checked += 1;
                if let Err(why) = check(block) {
                    let _ = write!(wrong, "\n--- {}\n{}\n{why}", block.place, block.text);
                }
            }
            "ignore" if block.rest.is_empty() => {
                let _ = write!(wrong, "\n--- {}: `ignore` without a reason", block.place);
            }
            "ignore" => {}
            _ => {
                if let Err(why) = block.text.parse::<toml::Table>() {
                    let _ = write!(wrong, "\n--- {}\n{why}", block.place);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "a block that is no pipeline opens with ```toml fragment{wrong}");
    eprintln!("{checked} blocks");
    assert!(checked > 15, "only {checked} blocks were found");
}

/// The block as a pipeline file of its own, checked by the program.
fn check(block: &Block) -> Result<(), String> {
    let table: toml::Table = block.text.parse().map_err(|e| format!("{e}"))?;
    // A manifest: the connectors' own tests load those.
    if table.contains_key("base_url") {
        return Ok(());
    }
    let folder = tempfile::tempdir().unwrap();
    let mut text = block.text.clone();
    if !table.contains_key("source") {
        text +=
            "\n[[source]]\nname = \"added\"\nconnector = \"file\"\npath = \"added.csv\"\ninto = \"deals\"\n";
    }
    check_text(folder.path(), &text, &table)
}

/// Checks a pipeline in `folder`, after making every secret and file it names.
fn check_text(folder: &Path, text: &str, table: &toml::Table) -> Result<(), String> {
    write(&folder.join("documented.toml"), text);
    let mut command = throughline(folder, &["check", "--offline", "documented.toml"]);
    supply(&toml::Value::Table(table.clone()), folder, &mut command);
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Sets the environment variables and writes the files a pipeline needs to load.
fn supply(value: &toml::Value, folder: &Path, command: &mut std::process::Command) {
    let table = match value {
        toml::Value::Table(table) => table,
        toml::Value::Array(list) => return list.iter().for_each(|v| supply(v, folder, command)),
        _ => return,
    };
    let text = |key: &str| table.get(key).and_then(toml::Value::as_str);
    if let (1, Some(name)) = (table.len(), text("env")) {
        command.env(name, "not-a-real-secret");
    } else if let (1, Some(path)) = (table.len(), text("file")) {
        write(&folder.join(path), "not-a-real-secret\n");
    } else if let Some(path) = text("file") {
        write(&folder.join(path), "SELECT 1 AS one\n");
    }
    if let Some(path) = text("replay") {
        write(&folder.join(path), "");
    }
    for path in table.get("extra_ca").and_then(toml::Value::as_array).into_iter().flatten() {
        write(&folder.join(path.as_str().unwrap()), "");
    }
    // A manifest of the user's own: any good one will do.
    if let Some(path) = text("manifest") {
        let example = repository().join("connectors/src/amocrm");
        copy_folder(&example, folder);
        std::fs::rename(folder.join("manifest.toml"), folder.join(path)).unwrap();
    }
    // A program that was never installed, and its catalog.
    if let (Some("singer" | "airbyte"), Some(program)) = (text("connector"), text("command")) {
        write(&folder.join(program), "");
    }
    if let Some(catalog) = text("catalog") {
        let streams: Vec<_> = table["streams"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| format!("{{\"name\": {s}, \"stream\": {s}}}"))
            .collect();
        write(&folder.join(catalog), &format!("{{\"streams\": [{}]}}", streams.join(", ")));
    }
    table.values().for_each(|v| supply(v, folder, command));
    // Clients of object stores look at keys before they ask anybody.
    let of_section = |section: &str, key: &str, kind: &str| -> Option<String> {
        Some(table.get(section)?.get(key)?.get(kind)?.as_str()?.to_owned())
    };
    if let Some(path) = of_section("gcs", "service_account", "file") {
        let key = company::ga4::auth::key_file("https://oauth2.googleapis.com");
        write(&folder.join(path), &key);
    }
    if let Some(name) = of_section("azure", "access_key", "env") {
        command.env(name, "bm90IGEgcmVhbCBzZWNyZXQ=");
    }
}

fn write(path: &Path, content: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// Every command of every page, with its place.
fn all_commands() -> Vec<(String, Vec<String>)> {
    let shell = |b: &Block| ["sh", "bash", "shell", "console", ""].contains(&b.language.as_str());
    let blocks = all_blocks();
    let lines = blocks
        .iter()
        .filter(|b| shell(b))
        .flat_map(|b| blocks::commands(&b.text).into_iter().map(|words| (b.place.clone(), words)));
    lines.collect()
}

#[test]
fn commands_are_understood() {
    let mut wrong = String::new();
    let mut understood = 0;
    for (place, words) in all_commands() {
        match command_line(&words) {
            None => {}
            Some(Ok(())) => understood += 1,
            Some(Err(why)) => {
                let _ = write!(wrong, "\n--- {place}: {}\n{why}", words.join(" "));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    eprintln!("{understood} commands");
    assert!(understood > 5, "only {understood} commands were found");
}

/// `None` when the line calls something else than the project's own.
fn command_line(words: &[String]) -> Option<Result<(), String>> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let there = |path: &str| match repository().join(path).exists() {
        true => Ok(()),
        false => Err(format!("there is no {path}")),
    };
    if let Some(args) = own_args(&words) {
        return Some(own(args));
    }
    match words.as_slice() {
        ["sh" | "bash", script, ..] if script.contains('/') => Some(there(script)),
        ["make", target, ..] => {
            let makefile = std::fs::read_to_string(repository().join("Makefile")).unwrap();
            let known = makefile.lines().any(|l| l.starts_with(&format!("{target}:")));
            Some(if known { Ok(()) } else { Err(format!("the Makefile has no target {target}")) })
        }
        _ => None,
    }
}

/// What stands behind the program's name, however it is called.
fn own_args<'a>(words: &'a [&'a str]) -> Option<&'a [&'a str]> {
    match words {
        ["throughline" | "./target/release/throughline" | "target/release/throughline", rest @ ..] => {
            Some(rest)
        }
        ["cargo", "run", rest @ ..] => {
            let split = rest.iter().position(|w| *w == "--")?;
            let ours = !rest[..split].contains(&"-p") || rest[..split].contains(&"throughline");
            ours.then(|| &rest[split + 1..])
        }
        _ => None,
    }
}

/// Reads arguments as the program would, and runs those that only print.
fn own(args: &[&str]) -> Result<(), String> {
    let cli = Cli::try_parse_from(["throughline"].iter().chain(args))
        .map_or_else(|e| if e.use_stderr() { Err(e.to_string()) } else { Ok(None) }, |cli| Ok(Some(cli)))?;
    for path in args.iter().filter(|a| a.starts_with("examples/") || a.starts_with("pipelines/")) {
        if !repository().join(path).exists() {
            return Err(format!("there is no {path}"));
        }
    }
    let prints = match cli.map(|c| c.command) {
        Some(Command::Schema | Command::Completions { .. }) => true,
        Some(Command::Connector(c)) => match c.command {
            ConnectorCommand::List => true,
            // The plugin of docs/plugins.md is shown by that page's own test.
            ConnectorCommand::Show { name } => name.to_lowercase() == name && name != "helpdesk",
            ConnectorCommand::New(_) | ConnectorCommand::Test(_) | ConnectorCommand::Foreign(_) => false,
        },
        None => true,
        Some(_) => false,
    };
    if prints {
        let folder = tempfile::tempdir().unwrap();
        expect(folder.path(), args, 0);
    }
    Ok(())
}

/// What pages show on the quickstart's tables, on a copy of the quickstart.
#[test]
fn quickstart_commands_run() {
    const PIPELINE: &str = "examples/quickstart/pipeline.toml";
    let folder = tempfile::tempdir().unwrap();
    let quickstart = folder.path().join("examples/quickstart");
    let mut commands = Vec::new();
    for (place, words) in all_commands() {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some(args) = own_args(&words) else { continue };
        let Ok(cli) = Cli::try_parse_from(["throughline"].iter().chain(args)) else { continue };
        let pipeline = match &cli.command {
            Command::Query(a) => &a.file.pipeline,
            Command::Explain(a) => &a.file.pipeline,
            Command::Identity(a) => match &a.command {
                IdentityCommand::Show { file, .. } => &file.pipeline,
            },
            Command::Forget(a) if a.dry_run => &a.file.pipeline,
            Command::Runs(a) => &a.file.pipeline,
            Command::Test(a) => &a.paths[0],
            Command::Check(a) if a.offline => &a.file.pipeline,
            _ => continue,
        };
        let args: Vec<String> = args.iter().map(|w| (*w).to_owned()).collect();
        match pipeline.to_str().unwrap() {
            PIPELINE => commands.push((folder.path(), place, args)),
            // Without a file named, the reader stands in a pipeline's folder.
            "pipeline.toml" => commands.push((&quickstart, place, args)),
            _ => {}
        }
    }
    if commands.is_empty() {
        return;
    }
    for entry in std::fs::read_dir(repository().join("examples/quickstart")).unwrap() {
        let entry = entry.unwrap();
        match entry.file_name().to_str().unwrap() {
            // What runs leave there.
            "out" | ".throughline" => {}
            name if entry.path().is_dir() => copy_folder(&entry.path(), &quickstart.join(name)),
            name => {
                std::fs::create_dir_all(&quickstart).unwrap();
                std::fs::copy(entry.path(), quickstart.join(name)).unwrap();
            }
        }
    }
    expect(folder.path(), &["run", PIPELINE], 0);
    for (at, place, args) in commands {
        eprintln!("{place}: {args:?}");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        expect(at, &args, 0);
    }
}

/// The ready pipelines load as they are, with any values for their secrets.
#[test]
fn ready_pipelines_load() {
    let ready = std::fs::read_dir(repository().join("pipelines")).unwrap().map(|e| e.unwrap().path());
    let mut paths: Vec<PathBuf> = ready.filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
    assert!(paths.len() >= 2);
    // Its own test needs data from outside; this much does not.
    paths.push(repository().join("examples/prepared-data/pipeline.toml"));
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let table: toml::Table = text.parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        if let Err(why) = check_text(folder.path(), &text, &table) {
            panic!("{}\n{why}", path.display());
        }
        // And their [[test]] blocks hold.
        if table.contains_key("test") {
            let mut command = throughline(folder.path(), &["test", "documented.toml"]);
            supply(&toml::Value::Table(table), folder.path(), &mut command);
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}\n{said}", path.display());
        }
    }
}

/// What `init` writes is a pipeline that loads and whose test holds, and it overwrites nothing.
#[test]
fn the_template_loads() {
    let folder = tempfile::tempdir().unwrap();
    expect(folder.path(), &["init"], 0);
    let text = std::fs::read_to_string(folder.path().join("pipeline.toml")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    for verb in [&["check", "--offline"][..], &["test"]] {
        let mut command = std::process::Command::new(binary());
        command.args(verb).current_dir(folder.path()).env("NO_COLOR", "1");
        supply(&toml::Value::Table(table.clone()), folder.path(), &mut command);
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{verb:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    expect(folder.path(), &["init"], 2);
    assert_eq!(std::fs::read_to_string(folder.path().join("pipeline.toml")).unwrap(), text);
}
