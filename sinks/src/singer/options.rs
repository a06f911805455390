//! What a user writes.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use throughline_core::connector::option_error;
use throughline_core::{ConfigErrors, PointerAt};
use throughline_foreign::{EnvValue, Given, Start};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SingerOptions {
    /// Folder where an epoch waits for the target, relative to the pipeline file. It must be empty, new, or this
    /// sink's.
    pub path: String,
    /// The target: a path from the pipeline's folder, e.g. `.venv/bin/target-postgres`, or a name that is found on
    /// PATH.
    pub command: String,
    /// Arguments before our own.
    #[serde(default)]
    pub args: Vec<String>,
    /// The target's own settings, which it gets as a file. Secrets in it are written as everywhere.
    #[serde(default = "empty")]
    pub config: Value,
    /// Further environment variables of the process. Of ours it sees PATH, HOME and the like alone.
    #[serde(default)]
    pub env: BTreeMap<String, EnvValue>,
    /// How long it may neither read nor write anything, in seconds. Default 600.
    #[serde(default = "ten_minutes")]
    pub time_limit_s: u32,
    /// What becomes of rows that the target has already. Default `upsert`.
    #[serde(default)]
    pub mode: Mode,
    /// How decimals are written. Default `number`.
    #[serde(default)]
    pub decimals: Decimals,
    /// With mode = "replace": the target obeys ACTIVATE_VERSION, although it does not say so when it is asked.
    #[serde(default)]
    pub activate_version: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// Rows replace those of the same key. Rows that are gone here stay there.
    #[default]
    Upsert,
    /// The table is then what it is here. Only for targets that know how.
    Replace,
    /// All rows are added, with columns that tell their epoch.
    Append,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Decimals {
    /// JSON numbers with all their digits; a target that reads them as floating point keeps 15 of these.
    #[default]
    Number,
    /// Texts of the format `singer.decimal`.
    Text,
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}
fn ten_minutes() -> u32 {
    600
}

impl SingerOptions {
    /// # Errors
    /// Everything that is wrong with the options, each with its place.
    pub(super) fn start(self, base_dir: &Path) -> Result<Start, ConfigErrors> {
        let mut errors = ConfigErrors::new();
        let mut wrong =
            |pointer: &str, message: String| errors.push(option_error(message, pointer, PointerAt::Value));
        if self.path.trim().is_empty() {
            wrong("/path", "path is empty: name the folder where an epoch waits for the target".into());
        }
        if self.activate_version && self.mode != Mode::Replace {
            wrong("/activate_version", "activate_version is of use with mode = \"replace\" alone".into());
        }
        let given = Given {
            command: self.command,
            args: self.args,
            config: self.config,
            env: self.env,
            time_limit_s: self.time_limit_s,
        };
        let start = given.start(base_dir, wrong);
        if errors.is_empty() { Ok(start) } else { Err(errors) }
    }
}
