//! `[pipeline]`, `[http]` and `[engine]`.

use std::path::{Path, PathBuf};

use super::attribution::parsed;
use super::document::{Value, value_at};
use super::secrets::Secrets;
use super::section::Section;
use super::{HttpSettings, LoadOptions, check_name};

pub struct General {
    pub name: String,
    pub state_dir: PathBuf,
}

pub fn general(
    section: Option<Section<'_>>,
    path: &Path,
    base_dir: &Path,
    options: &LoadOptions<'_>,
) -> General {
    let mut name = default_name(path);
    let mut state = PathBuf::from(".throughline");
    if let Some(section) = section {
        if let Some(given) = section.text("name")
            && check_name(&section, &given)
        {
            name = given.value.to_owned();
        }
        if let Some(given) = section.text("state") {
            if given.value.trim().is_empty() {
                section.error(
                    given.span,
                    "state is empty",
                    "a folder, from the folder of this file".to_owned(),
                );
            } else {
                state = PathBuf::from(given.value);
            }
        }
        section.finish();
    }
    General { name, state_dir: options.state_dir.clone().unwrap_or_else(|| base_dir.join(state)) }
}

/// The file's stem; for `pipeline.toml`, which says nothing, the name of its folder.
fn default_name(path: &Path) -> String {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = || {
        let whole = std::path::absolute(path).ok()?;
        Some(whole.parent()?.file_name()?.to_string_lossy().into_owned())
    };
    let name = if stem == "pipeline" { folder().unwrap_or(stem) } else { stem };
    // It becomes part of file names: letters of any script are fine there, separators are not.
    let name: String =
        name.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' }).take(64).collect();
    let name = name.trim_matches('-').to_owned();
    if name.is_empty() { "pipeline".to_owned() } else { name }
}

/// `[http]`: read like a connector's options; then its paths are made whole and must exist.
pub fn http(value: Option<&Value<'_>>, secrets: &Secrets<'_>) -> Option<HttpSettings> {
    let mut settings: HttpSettings = parsed("[http]", value, secrets)?;
    let Some(owner) = value else { return Some(settings) };
    let at = |pointer: &str| value_at(owner, pointer, false).0;
    let report = secrets.report;
    if let Err(error) = settings.check() {
        let pointer = if settings.replay.is_some() { "/record" } else { "" };
        let message = error.message().trim_start_matches("[http] ");
        report.error(at(pointer), format!("[http]: {message}"), error.hint_text().map(str::to_owned));
    }
    let existing = |path: &mut PathBuf, pointer: &str, what: &str| {
        *path = secrets.base_dir.join(&*path);
        if !path.is_file() {
            let message = format!("[http]: there is no {what} {}", path.display());
            report.error(at(pointer), message, "the path starts at the folder of this file".to_owned());
        }
    };
    if let Some(path) = &mut settings.replay {
        existing(path, "/replay", "recording");
    }
    for (i, path) in settings.extra_ca.iter_mut().enumerate() {
        existing(path, &format!("/extra_ca/{i}"), "certificate file");
    }
    if let Some(path) = &mut settings.record {
        *path = secrets.base_dir.join(&*path);
    }
    Some(settings)
}

/// `[engine]`: how much of the machine a run may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// What the SQL engine may hold before it spills to disk.
    pub memory_bytes: usize,
    /// Streams read at the same time.
    pub parallel_streams: usize,
    /// Threads of the SQL engine; by default one per core.
    pub threads: usize,
    /// Every step's rows stay as files beside the tables, until the next epoch.
    pub keep_steps: bool,
    /// With fewer canonical records every run attributes all of them: that is quicker than finding out which of them
    /// new ones touch.
    pub rebuild_below: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            memory_bytes: 512_000_000,
            parallel_streams: 4,
            threads: cores,
            keep_steps: false,
            rebuild_below: 100_000,
        }
    }
}

/// Less than this and the SQL engine cannot sort a single batch.
const LEAST_MEMORY: u64 = 32_000_000;

pub fn engine(section: Option<Section<'_>>) -> EngineSettings {
    let mut settings = EngineSettings::default();
    let Some(section) = section else { return settings };
    if let Some(memory) = section.bytes("memory") {
        if memory.value < LEAST_MEMORY {
            section.error(memory.span, "memory is too small to work with", "at least 32MB".to_owned());
        } else {
            settings.memory_bytes = usize::try_from(memory.value).unwrap_or(usize::MAX);
        }
    }
    if let Some(number) = section.whole("parallel_streams", 1..=64) {
        settings.parallel_streams = number as usize;
    }
    if let Some(number) = section.whole("threads", 1..=1024) {
        settings.threads = number as usize;
    }
    if let Some(keep) = section.flag("keep_steps") {
        settings.keep_steps = keep;
    }
    if let Some(number) = section.whole("rebuild_below", 0..=1_000_000_000) {
        settings.rebuild_below = number;
    }
    section.finish();
    settings
}
