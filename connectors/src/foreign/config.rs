//! Options of sources that are other people's programs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{ConfigErrors, Mapping, Options, PointerAt, Result, StreamSpec, canonical};
use throughline_foreign::{EnvValue, Given, Start};

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The program: a path from the pipeline's folder, e.g. `.venv/bin/tap-github`, or a name that is found on
    /// PATH.
    pub command: String,
    /// Arguments before our own.
    #[serde(default)]
    pub args: Vec<String>,
    /// The program's own settings, which it gets as a file. Secrets in it are written as everywhere.
    #[serde(default = "empty")]
    pub config: Value,
    /// Its streams: what it prints when asked to discover them, saved as a file beside the pipeline.
    pub catalog: PathBuf,
    /// Streams that are read whole each time, although they could be read incrementally.
    #[serde(default)]
    pub full_refresh: Vec<String>,
    /// Further environment variables of the process. Of ours it sees PATH, HOME and the like alone.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// How long it may write nothing, in seconds. Default 600.
    #[serde(default = "ten_minutes")]
    pub time_limit_s: u32,
    /// SELECTs from the streams into canonical tables.
    #[serde(default)]
    pub mappings: Vec<MappingConfig>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MappingConfig {
    /// The canonical table, e.g. `deals`.
    pub into: String,
    /// The streams that the SELECT reads.
    pub from: Vec<String>,
    /// The SELECT.
    pub sql: String,
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}
fn ten_minutes() -> u32 {
    600
}

/// Streams, as one of the protocols describes them.
pub(crate) trait Streams: Sized + Default {
    /// How a person gets the file.
    const HOW: &str;
    /// `what`: the file's name, for errors.
    fn parse(bytes: &[u8], what: &str, full_refresh: &[String]) -> Result<Self>;
    fn specs(&self) -> Vec<StreamSpec>;
}

/// Options that were found good.
pub(crate) struct Settings<S> {
    pub start: Start,
    pub streams: S,
    pub mappings: Vec<Mapping>,
}

impl<S: Streams> Settings<S> {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong =
            |pointer: String, message: String| errors.push(option_error(message, pointer, PointerAt::Value));
        let command = config.command.clone();
        let given = Given {
            command: config.command,
            args: config.args,
            config: config.config,
            env: config.env,
            time_limit_s: config.time_limit_s,
        };
        let start = given.start(&options.base_dir, |pointer, message| wrong(pointer.to_owned(), message));
        let path = options.base_dir.join(&config.catalog);
        let file = path.display().to_string();
        let streams = std::fs::read(&path)
            .map_err(|e| format!("cannot read {file}: {e}"))
            .and_then(|bytes| S::parse(&bytes, &file, &config.full_refresh).map_err(|e| e.to_string()))
            .unwrap_or_else(|message| {
                wrong("/catalog".into(), format!("{message}; save what it prints: {command} {}", S::HOW));
                S::default()
            });
        let specs = streams.specs();
        let known = |name: &str| specs.iter().any(|s| s.name == name);
        for (i, name) in config.full_refresh.iter().enumerate().filter(|(_, name)| !known(name)) {
            wrong(format!("/full_refresh/{i}"), format!("the catalog has no stream {name:?}"));
        }
        let mut mappings = Vec::new();
        for (i, mapping) in config.mappings.into_iter().enumerate() {
            if canonical::table(&mapping.into).is_none() {
                wrong(
                    format!("/mappings/{i}/into"),
                    format!("there is no canonical table {:?}", mapping.into),
                );
            }
            for (j, stream) in mapping.from.iter().enumerate().filter(|(_, stream)| !known(stream)) {
                wrong(format!("/mappings/{i}/from/{j}"), format!("the catalog has no stream {stream:?}"));
            }
            mappings.push(Mapping {
                into: mapping.into,
                from: mapping.from,
                sql: mapping.sql,
                origin: format!("mappings[{i}] of the source {}", options.name),
                params: Vec::new(),
            });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { start, streams, mappings })
    }
}
