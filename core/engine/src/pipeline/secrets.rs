//! Connector options as JSON, with every `{ env = ".." }` and `{ file = ".." }` resolved.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};
use throughline_core::secret::SECRET_KEY;
use throughline_core::{Redactor, Secret};
use toml::de::DeValue;

use super::document::{Value, is_secret_form};
use super::report::Report;

/// A token or a key, perhaps a private key in PEM: more is another file by mistake.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// What stands for a secret that nobody needs: recorded exchanges hold none.
const REPLAYED: &str = "replayed";

pub struct Secrets<'a> {
    pub env: &'a dyn Fn(&str) -> Option<String>,
    pub base_dir: &'a Path,
    /// `[http] replay` is set, so a secret that is missing is not missed.
    pub replayed: bool,
    pub report: &'a Report,
    /// Knows every secret that was resolved.
    pub redactor: &'a Redactor,
    /// The files secrets were read from.
    files: RefCell<Vec<PathBuf>>,
}

impl<'a> Secrets<'a> {
    pub fn new(
        env: &'a dyn Fn(&str) -> Option<String>,
        base_dir: &'a Path,
        replayed: bool,
        report: &'a Report,
        redactor: &'a Redactor,
    ) -> Self {
        Self { env, base_dir, replayed, report, redactor, files: RefCell::default() }
    }

    pub fn files(&self) -> Vec<PathBuf> {
        self.files.take()
    }

    /// The value as JSON. What cannot be turned is reported and becomes null.
    pub fn json(&self, who: &str, value: &Value<'_>) -> Json {
        match value.get_ref() {
            DeValue::String(text) => Json::String(text.to_string()),
            DeValue::Integer(number) => {
                let (text, radix) = (number.as_str(), number.radix());
                let signed = i64::from_str_radix(text, radix).map(Json::from);
                signed.or_else(|_| u64::from_str_radix(text, radix).map(Json::from)).unwrap_or_else(|_| {
                    self.report.error(
                        value.span(),
                        format!("{who}: the number does not fit into 64 bits"),
                        None,
                    );
                    Json::Null
                })
            }
            DeValue::Float(number) => {
                let finite = number.as_str().parse::<f64>().ok().and_then(serde_json::Number::from_f64);
                finite.map(Json::Number).unwrap_or_else(|| {
                    self.report.error(value.span(), format!("{who}: not a finite number"), None);
                    Json::Null
                })
            }
            DeValue::Boolean(flag) => Json::Bool(*flag),
            DeValue::Datetime(when) => Json::String(when.to_string()),
            DeValue::Array(list) => list.iter().map(|item| self.json(who, item)).collect(),
            DeValue::Table(_) if is_secret_form(value.get_ref()) => {
                let secret = self.resolve(who, value).unwrap_or_else(|| Secret::new(REPLAYED));
                Json::Object(Map::from_iter([(SECRET_KEY.to_owned(), secret.expose().into())]))
            }
            DeValue::Table(table) => {
                table.iter().map(|(key, inner)| (key.get_ref().to_string(), self.json(who, inner))).collect()
            }
        }
    }

    /// The secret a `{ env = ".." }` or `{ file = ".." }` names; `None` is reported, but for replays.
    pub fn resolve(&self, who: &str, value: &Value<'_>) -> Option<Secret> {
        let (key, inner) = value.get_ref().as_table()?.iter().next()?;
        let Some(name) = inner.get_ref().as_str().map(str::trim) else {
            let message = format!("{who}: {} must be text", key.get_ref());
            self.report.error(inner.span(), message, "{ env = \"NAME\" } or { file = \"path\" }".to_owned());
            return None;
        };
        let in_env = key.get_ref() == "env";
        let read = if in_env { self.read_env(name) } else { self.read_file(name) };
        match read {
            Ok(text) => {
                let secret = Secret::new(text);
                self.redactor.register(&secret);
                Some(secret)
            }
            Err(_) if self.replayed => None,
            Err((message, hint)) => {
                self.report.error(inner.span(), format!("{who}: {message}"), hint);
                None
            }
        }
    }

    fn read_env(&self, name: &str) -> Result<String, (String, String)> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err((
                format!("\"{name}\" cannot be the name of an environment variable"),
                "{ env = \"NAME\" }".into(),
            ));
        }
        match (self.env)(name) {
            None => Err((
                format!("the environment variable {name} is not set"),
                format!("export {name}=.. and run again"),
            )),
            Some(text) if text.trim().is_empty() => Err((
                format!("the environment variable {name} is empty"),
                format!("export {name}=.. and run again"),
            )),
            Some(text) => Ok(text),
        }
    }

    fn read_file(&self, name: &str) -> Result<String, (String, String)> {
        let path = self.base_dir.join(name);
        self.files.borrow_mut().push(path.clone());
        let shown = path.display();
        let hint = || "the path starts at the folder of the pipeline file".to_owned();
        let size = std::fs::metadata(&path)
            .map_err(|e| (format!("cannot read the secret file {shown}: {e}"), hint()))?;
        if !size.is_file() {
            return Err((format!("the secret file {shown} is not a file"), hint()));
        }
        if size.len() > MAX_SECRET_BYTES {
            return Err((
                format!("the secret file {shown} has {} bytes", size.len()),
                "at most 64 KiB".into(),
            ));
        }
        let text = std::fs::read_to_string(&path)
            .map_err(|e| (format!("cannot read the secret file {shown}: {e}"), hint()))?;
        // Editors and `echo` end a file with a line break that is no part of the secret.
        let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
        if text.trim().is_empty() {
            return Err((format!("the secret file {shown} is empty"), "write the secret into it".into()));
        }
        Ok(text.to_owned())
    }
}
