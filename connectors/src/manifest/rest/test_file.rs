//! The file that says what a connector is tested with, offline: `shop.test.toml` beside a manifest, `plugin.test.toml`
//! beside a plugin. docs/connector-tests.md has its keys.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use throughline_core::connector::{option_error, parse_options};
use throughline_core::time::InstantUs;
use throughline_core::{ConfigErrors, Error, Place, instant};

use crate::manifest::problems::Document;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    answers: Option<String>,
    streams: Vec<String>,
    from: Option<String>,
    to: Option<String>,
    options: Map<String, Value>,
}

/// What stands in it.
pub struct TestFile {
    /// A cassette of the vendor's answers, a path from [`TestFile::folder`].
    pub answers: Option<String>,
    /// Empty: all.
    pub streams: Vec<String>,
    /// For windowed streams.
    pub window: Option<(InstantUs, InstantUs)>,
    /// As in `[[source]]`, secrets as they are written.
    pub options: Map<String, Value>,
    path: PathBuf,
    text: String,
}

impl TestFile {
    /// A file that is not there says nothing.
    ///
    /// # Errors
    /// Everything that is wrong with it, with file, line and column.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(vec![whole(path, format!("cannot be read: {e}"))]),
        };
        let name = path.display().to_string();
        let document = Document::parse(&text, &name)?;
        let keys: Keys = parse_options(&document.json())
            .map_err(|errors| errors.iter().map(|e| document.locate(e)).collect::<ConfigErrors>())?;
        let window = window(path, keys.from.as_deref(), keys.to.as_deref())?;
        let (answers, streams, options) = (keys.answers, keys.streams, keys.options);
        Ok(Self { answers, streams, window, options, path: path.to_owned(), text })
    }

    /// Where relative paths in it start.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// What is wrong with its options, at their places in the file. What is missing there has no line in it.
    pub fn located(&self, errors: &ConfigErrors) -> ConfigErrors {
        let name = self.path.display().to_string();
        let document = match Document::parse(&self.text, &name) {
            Ok(document) => document,
            Err(errors) => return errors,
        };
        let located = |error: &Error| match error.place() {
            Some(Place::Option { pointer, at }) => {
                let there = option_error(error.message(), format!("/options{pointer}"), *at);
                document.locate(&hinted(there, error))
            }
            _ => hinted(whole(&self.path, error.to_string()), error),
        };
        errors.iter().map(located).collect()
    }
}

fn hinted(to: Error, from: &Error) -> Error {
    match from.hint_text() {
        Some(hint) => to.hint(hint),
        None => to,
    }
}

fn window(
    path: &Path,
    from: Option<&str>,
    to: Option<&str>,
) -> Result<Option<(InstantUs, InstantUs)>, ConfigErrors> {
    let mut errors = ConfigErrors::new();
    let mut bound = |key: &str, text: Option<&str>| {
        let found = text.map(|t| instant::parse(t, Some(instant::Zone::Fixed(0))));
        if found == Some(None) {
            let message = "write a day or an instant, as 2026-03-01 or 2026-03-01T12:00:00Z";
            errors.push(whole(path, format!("{key}: {message}")));
        }
        found.flatten()
    };
    let window = match (bound("from", from), bound("to", to)) {
        (Some(from), Some(to)) if from < to => Some((from, to)),
        (None, None) => None,
        _ => {
            errors.push(whole(path, "`from` and `to` belong together, `from` before `to`"));
            None
        }
    };
    if errors.is_empty() { Ok(window) } else { Err(errors) }
}

pub(super) fn whole(path: &Path, message: impl Into<String>) -> Error {
    Error::config(message).at(Place::File { path: path.display().to_string(), line: 1, column: 1 })
}
