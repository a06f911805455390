//! Options of a `singer` source.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::secret::SECRET_KEY;
use throughline_core::{ConfigErrors, Mapping, Options, PointerAt, Redactor, Secret, canonical};

use super::catalog::Tap;

/// What a user writes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The tap's program: a path from the pipeline's folder, e.g. `.venv/bin/tap-github`, or a name that is found
    /// on PATH.
    pub command: String,
    /// Further arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// The tap's own settings, which it gets as a file. Secrets in it are written as everywhere.
    #[serde(default = "empty")]
    pub config: Value,
    /// The tap's streams: what `--discover` prints, saved as a file beside the pipeline.
    pub catalog: PathBuf,
    /// Further environment variables of the process. Of ours it sees PATH, HOME and the like alone.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// How long the tap may write nothing, in seconds. Default 600.
    #[serde(default = "ten_minutes")]
    pub time_limit_s: u32,
    /// SELECTs from the streams into canonical tables.
    #[serde(default)]
    pub mappings: Vec<MappingConfig>,
}

/// A text, or a secret.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvValue {
    Text(String),
    Secret(Secret),
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

/// Options that were found good.
pub(super) struct Settings {
    pub program: PathBuf,
    pub args: Vec<String>,
    /// With secrets in clear: it goes into a file of the run's own, and nowhere else.
    pub config: Value,
    pub env: Vec<(String, String)>,
    pub tap: Tap,
    pub silence: Duration,
    pub mappings: Vec<Mapping>,
    /// Knows the secrets: what the tap says passes through it.
    pub redactor: Redactor,
}

impl Settings {
    pub fn new(options: &Options) -> Result<Self, ConfigErrors> {
        let config: Config = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong =
            |pointer: String, message: String| errors.push(option_error(message, pointer, PointerAt::Value));
        // A word alone is looked for on PATH, as a shell does.
        let program = match config.command.contains(std::path::MAIN_SEPARATOR) {
            true => options.base_dir.join(&config.command),
            false => PathBuf::from(&config.command),
        };
        if config.command.is_empty()
            || (config.command.contains(std::path::MAIN_SEPARATOR) && !program.is_file())
        {
            wrong("/command".into(), format!("there is no program {}", program.display()));
        }
        if !config.config.is_object() {
            wrong("/config".into(), "config is a table: the tap's own settings".into());
        }
        let path = options.base_dir.join(&config.catalog);
        let tap = std::fs::read(&path)
            .map_err(|e| format!("cannot read {}: {e}", path.display()))
            .and_then(|bytes| Tap::parse(&bytes, &path.display().to_string()).map_err(|e| e.to_string()));
        let tap = tap.unwrap_or_else(|message| {
            let hint = format!("save what the tap prints: {} --config FILE --discover", config.command);
            wrong("/catalog".into(), format!("{message}; {hint}"));
            Tap::default()
        });
        let mut mappings = Vec::new();
        for (i, mapping) in config.mappings.into_iter().enumerate() {
            if canonical::table(&mapping.into).is_none() {
                wrong(
                    format!("/mappings/{i}/into"),
                    format!("there is no canonical table {:?}", mapping.into),
                );
            }
            for (j, stream) in mapping.from.iter().enumerate() {
                if tap.stream(stream).is_none() {
                    wrong(format!("/mappings/{i}/from/{j}"), format!("the catalog has no stream {stream:?}"));
                }
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
        let redactor = Redactor::new();
        let mut clear = config.config;
        in_clear(&mut clear, &redactor);
        let env = config.env.into_iter().map(|(name, value)| match value {
            EnvValue::Text(text) => (name, text),
            EnvValue::Secret(secret) => {
                redactor.register(&secret);
                (name, secret.expose().to_owned())
            }
        });
        Ok(Self {
            program,
            args: config.args,
            config: clear,
            env: env.collect(),
            tap,
            silence: Duration::from_secs(u64::from(config.time_limit_s.max(1))),
            mappings,
            redactor,
        })
    }
}

/// Puts secrets in place of what stands for them.
fn in_clear(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::Object(map) => {
            if let (1, Some(Value::String(secret))) = (map.len(), map.get(SECRET_KEY)) {
                redactor.register_text(secret);
                *value = Value::from(secret.as_str());
                return;
            }
            map.values_mut().for_each(|v| in_clear(v, redactor));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| in_clear(v, redactor)),
        _ => {}
    }
}
