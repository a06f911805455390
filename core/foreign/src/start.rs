//! What a user writes of a program, and how it is started.

use std::collections::BTreeMap;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use throughline_core::secret::SECRET_KEY;
use throughline_core::{Redactor, Secret};

/// A text, or a secret.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum EnvValue {
    Text(String),
    Secret(Secret),
}

/// What every connector that runs a program asks of its user, under these names.
#[derive(Clone, Debug)]
pub struct Given {
    pub command: String,
    pub args: Vec<String>,
    pub config: Value,
    pub env: BTreeMap<String, EnvValue>,
    pub time_limit_s: u32,
}

/// How to start the program.
#[derive(Debug)]
pub struct Start {
    pub program: PathBuf,
    /// Where it runs, so that paths in its settings mean the same from wherever we are started.
    pub folder: PathBuf,
    pub args: Vec<String>,
    /// With secrets in clear: it goes into a file of the run's own, and nowhere else.
    pub config: Value,
    pub env: Vec<(String, String)>,
    pub silence: Duration,
    /// Knows the secrets: what the program says passes through it.
    pub redactor: Redactor,
}

impl Given {
    /// `wrong` is told the pointer of an option and what is wrong with it. `base_dir` is the pipeline's folder.
    pub fn start(self, base_dir: &Path, mut wrong: impl FnMut(&str, String)) -> Start {
        // A word alone is looked for on PATH, as a shell does.
        let is_path = self.command.contains(MAIN_SEPARATOR);
        let folder = absolute(base_dir);
        let program = if is_path { folder.join(&self.command) } else { PathBuf::from(&self.command) };
        if self.command.is_empty() || (is_path && !program.is_file()) {
            wrong("/command", format!("there is no program {}", program.display()));
        }
        if !self.config.is_object() {
            wrong("/config", "config is a table: the program's own settings".into());
        }
        let redactor = Redactor::new();
        let mut config = self.config;
        in_clear(&mut config, &redactor);
        let env = self.env.into_iter().map(|(name, value)| match value {
            EnvValue::Text(text) => (name, text),
            EnvValue::Secret(secret) => {
                redactor.register(&secret);
                (name, secret.expose().to_owned())
            }
        });
        Start {
            program,
            folder,
            args: self.args,
            config,
            env: env.collect(),
            silence: Duration::from_secs(u64::from(self.time_limit_s.max(1))),
            redactor: redactor.clone(),
        }
    }
}

/// The path from the root on; that of no folder is where we are.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(here).unwrap_or_else(|_| here.to_owned())
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
