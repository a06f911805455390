//! `throughline connector foreign check`: what is missing before somebody else's program can be a source, or a
//! sink.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use throughline_core::{Context, Redactor};
use throughline_foreign::{Files, Program, Start};

use super::config::Streams;

/// Which protocol the program speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Singer,
    SingerTarget,
    Airbyte,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Step {
    pub what: &'static str,
    /// What was found; of what failed: the reason.
    pub found: Result<String, String>,
    /// What to do about a failure.
    pub to_do: String,
}

/// Looks at a program, each step only when the one before it went well.
///
/// `command` is a path from `folder` or a name on PATH, `config` the program's settings, where there are any yet.
pub async fn examine(
    ctx: &Context,
    kind: Kind,
    command: &str,
    folder: &Path,
    config: Option<&Value>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let (package, arguments): (String, &[&str]) = match kind {
        Kind::Singer | Kind::SingerTarget => (command_name(command), &["--help"]),
        Kind::Airbyte => (format!("airbyte-{}", command_name(command)), &["spec"]),
    };
    let install = format!("python3 -m venv .venv && .venv/bin/pip install {package}");
    let Some(program) = step(&mut steps, "program", found(command, folder), &install) else { return steps };
    let anew = format!("make the virtual environment anew, in the place it stays: {install}");
    if step(&mut steps, "interpreter", interpreter(&program), &anew).is_none() {
        return steps;
    }
    let start = Start {
        program,
        folder: PathBuf::from("."),
        args: Vec::new(),
        config: config.cloned().unwrap_or_else(|| json!({})),
        env: Vec::new(),
        silence: Duration::from_secs(120),
        redactor: Redactor::new(),
    };
    let answer = ask(ctx, &start, arguments, None).await;
    let mut speaks = answer.and_then(|answer| speaks(kind, &answer));
    if let (Kind::SingerTarget, Ok((_, found))) = (kind, &mut speaks) {
        *found += replaces(ctx, &start).await;
    }
    let broken = format!("run it by hand and mend what it says: {command} {}", arguments.join(" "));
    if step(&mut steps, "protocol", speaks, &broken).is_none() || config.is_none() {
        return steps;
    }
    let arguments: &[&str] = match kind {
        Kind::Singer => &["--discover"],
        Kind::SingerTarget => {
            // It looks at its settings, finds nothing to read, and ends.
            let started = ask(ctx, &start, &[], Some(&start.config)).await;
            let started = started.map(|_| ((), "it starts with them, and ends well".to_owned()));
            step(&mut steps, "settings", started, SETTINGS);
            return steps;
        }
        Kind::Airbyte => &["discover"],
    };
    let streams =
        ask(ctx, &start, arguments, Some(&start.config)).await.and_then(|answer| streams(kind, &answer));
    step(&mut steps, "streams", streams, SETTINGS);
    steps
}

const SETTINGS: &str = "see whether the settings are right; the program's documentation has them";

/// Whether a target says that it takes away rows of older versions: `mode = "replace"` needs it.
async fn replaces(ctx: &Context, start: &Start) -> &'static str {
    let about = ask(ctx, start, &["--about", "--format=json"], None).await.unwrap_or_default();
    let about: Value = serde_json::from_slice(about.trim_ascii()).unwrap_or_default();
    match about["capabilities"].as_array() {
        Some(known) if known.iter().any(|c| c == "activate-version") => {
            "; it knows versions: mode = \"upsert\", \"replace\" or \"append\""
        }
        Some(_) => "; it knows no versions: mode = \"upsert\" or \"append\"",
        None => "; it does not say whether it knows versions: mode = \"upsert\" or \"append\"",
    }
}

/// Notes what was found; gives it when it was good.
fn step<T>(
    steps: &mut Vec<Step>,
    what: &'static str,
    found: Result<(T, String), String>,
    to_do: &str,
) -> Option<T> {
    let (value, found) = match found {
        Ok((value, said)) => (Some(value), Ok(said)),
        Err(why) => (None, Err(why)),
    };
    let to_do = if found.is_ok() { String::new() } else { to_do.to_owned() };
    steps.push(Step { what, found, to_do });
    value
}

fn command_name(command: &str) -> String {
    Path::new(command).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn found(command: &str, folder: &Path) -> Result<(PathBuf, String), String> {
    let candidates: Vec<PathBuf> = match command.contains(std::path::MAIN_SEPARATOR) {
        true => vec![folder.join(command)],
        false => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|p| p.join(command))
            .collect(),
    };
    let program = candidates
        .into_iter()
        .find(|p| p.is_file())
        .ok_or_else(|| format!("there is no program {command}"))?;
    #[cfg(unix)]
    if let Ok(about) = program.metadata()
        && std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o111 == 0
    {
        return Err(format!("{} may not be executed", program.display()));
    }
    let shown = program.display().to_string();
    Ok((program, shown))
}

/// A script names its interpreter in its first line; a virtual environment that was moved still names the old place.
fn interpreter(program: &Path) -> Result<((), String), String> {
    let bytes = std::fs::read(program).map_err(|e| format!("cannot read {}: {e}", program.display()))?;
    let Some(line) = bytes.strip_prefix(b"#!").and_then(|rest| rest.split(|b| *b == b'\n').next()) else {
        return Ok(((), "a program of its own".into()));
    };
    let line = String::from_utf8_lossy(line).trim().to_owned();
    let path = line.split_whitespace().next().unwrap_or_default();
    if Path::new(path).is_file() {
        Ok(((), line))
    } else {
        Err(format!("its interpreter {path} is not there"))
    }
}

async fn ask(
    ctx: &Context,
    start: &Start,
    arguments: &[&str],
    config: Option<&Value>,
) -> Result<Vec<u8>, String> {
    let asking = async {
        let files = Files::new(ctx)?;
        let config = config.map(|c| files.put("config.json", c)).transpose()?;
        let mut args: Vec<&std::ffi::OsStr> = arguments.iter().map(AsRef::as_ref).collect();
        if let Some(config) = &config {
            args.extend(["--config".as_ref(), config.as_os_str()]);
        }
        Program::start(start, files, &args)?.answer(ctx).await
    };
    asking.await.map_err(|e: throughline_core::Error| e.message().to_owned())
}

fn speaks(kind: Kind, answer: &[u8]) -> Result<((), String), String> {
    let text = String::from_utf8_lossy(answer);
    match kind {
        Kind::Singer if text.contains("--discover") && text.contains("--catalog") => {
            Ok(((), "a Singer tap".into()))
        }
        Kind::Singer if text.contains("--properties") => Ok(((), "an old Singer tap".into())),
        Kind::Singer => {
            Err("it knows no --discover and no --catalog: it is no Singer tap, or an unusual one".into())
        }
        Kind::SingerTarget if text.contains("--discover") => {
            Err("it knows --discover: it is a Singer tap, which is a source (singer), no target".into())
        }
        Kind::SingerTarget if text.contains("--config") => Ok(((), "a Singer target".into())),
        Kind::SingerTarget => Err("it knows no --config: it is no Singer target, or an unusual one".into()),
        Kind::Airbyte => {
            let spec = text.lines().find_map(|line| {
                let message: Value = serde_json::from_str(line).ok()?;
                Some(message["spec"]["connectionSpecification"].clone()).filter(Value::is_object)
            });
            let spec = spec.ok_or("it prints no SPEC: it is no Airbyte source")?;
            let required = spec["required"].as_array();
            let required: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
            let needs = if required.is_empty() { "no settings".to_owned() } else { required.join(", ") };
            Ok(((), format!("an Airbyte source; it needs {needs}")))
        }
    }
}

fn streams(kind: Kind, answer: &[u8]) -> Result<((), String), String> {
    let what = "what it discovered";
    let specs = match kind {
        Kind::Singer | Kind::SingerTarget => crate::singer::Tap::parse(answer, what, &[]).map(|t| t.specs()),
        Kind::Airbyte => crate::airbyte::Known::parse(answer, what, &[]).map(|k| k.specs()),
    };
    let specs = specs.map_err(|e| e.message().to_owned())?;
    let names: Vec<&str> = specs.iter().map(|s| s.name.as_str()).collect();
    Ok(((), names.join(", ")))
}
