//! `throughline plugin test`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use throughline_behaviour::{Offline, SinkSuite, Suite};
use throughline_core::connector::parse_options;
use throughline_core::secret::SECRET_KEY;
use throughline_core::{Error, Options, Redactor, Result, SinkConnector, SourceConnector, instant};
use throughline_plugin_host::{Installed, Kind, PluginSink, PluginSource};

use super::super::{Outcome, connector_test};
use crate::args::PluginTestArgs;
use crate::output::Output;
use crate::setup;

/// `plugin.test.toml`
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TestFile {
    /// A cassette of the vendor's answers. None: the plugin uses no HTTP.
    answers: Option<PathBuf>,
    /// None: all.
    streams: Vec<String>,
    from: Option<String>,
    to: Option<String>,
    /// As in `[[source]]`; a secret is `{ secret = "made up" }`.
    options: Map<String, Value>,
}

pub async fn run(args: &PluginTestArgs, output: &Output) -> Outcome {
    let installed = Arc::new(Installed::of_file(&args.library, &setup::runner())?);
    let name = installed.manifest.name.clone();
    let test = read(&args.with)?;
    let beside = args.with.parent().unwrap_or(Path::new(""));
    let redactor = Redactor::new();
    let mut value = Value::Object(test.options);
    made_up(&mut value, &redactor);
    value["isolation"] = if args.in_thread { "thread" } else { "process" }.into();
    let options = Options { name: name.clone(), value, base_dir: beside.to_path_buf() };
    let answers = match &test.answers {
        Some(path) => beside.join(path),
        None => empty_cassette()?,
    };
    let world = Arc::new(Offline::open(&name, &answers, redactor)?);
    let report = match installed.manifest.kind {
        Kind::Sink => {
            let connector: &'static dyn SinkConnector =
                Box::leak(Box::new(PluginSink::new(installed, setup::runner())));
            // What is wrong with the options themselves is told before the suite finds all that follows from it.
            connector.build(&options).map_err(first)?;
            SinkSuite::of_connector(connector, &options, move || world.setting()).run().await
        }
        Kind::Source => {
            let connector: &'static dyn SourceConnector =
                Box::leak(Box::new(PluginSource::new(installed, setup::runner())));
            connector.build(&options).map_err(first)?;
            let mut suite = Suite::of_connector(connector, &options, move || world.setting());
            if !test.streams.is_empty() {
                suite = suite.streams(&test.streams);
            }
            if let Some((from_us, to_us)) = window(&args.with, test.from.as_deref(), test.to.as_deref())? {
                suite = suite.window(from_us, to_us);
            }
            suite.run().await
        }
    };
    Ok(connector_test::tell(&report, output))
}

fn read(path: &Path) -> Result<TestFile> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Error::io("read", path.display(), e)),
    };
    let wrong = |e: &dyn std::fmt::Display| Error::config(format!("{}: {e}", path.display()));
    let value: Value = toml::from_str(&text).map_err(|e| wrong(&e))?;
    parse_options(&value).map_err(|errors| wrong(&first(errors)))
}

/// Secrets as the engine hands them over, and unknown to whatever is printed.
fn made_up(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::Object(map) => {
            if let (1, Some(Value::String(secret))) = (map.len(), map.get("secret")) {
                redactor.register_text(secret);
                let secret = Value::from(secret.as_str());
                map.clear();
                map.insert(SECRET_KEY.into(), secret);
                return;
            }
            map.values_mut().for_each(|v| made_up(v, redactor));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| made_up(v, redactor)),
        _ => {}
    }
}

/// For plugins that ask nobody.
fn empty_cassette() -> Result<PathBuf> {
    let failed = |e: std::io::Error| Error::io("write", "an empty cassette", e);
    let file = tempfile::Builder::new().suffix(".jsonl").tempfile().map_err(failed)?;
    let head = "{\"throughline_cassette\": 1, \"recorded_at\": \"2026-03-01T09:00:00.000000Z\"}\n";
    std::fs::write(file.path(), head).map_err(failed)?;
    file.into_temp_path().keep().map_err(|e| failed(e.error))
}

fn window(path: &Path, from: Option<&str>, to: Option<&str>) -> Result<Option<(i64, i64)>> {
    let at = |text: &str| instant::parse(text, Some(instant::Zone::Fixed(0)));
    match (from, to) {
        (None, None) => Ok(None),
        (Some(from), Some(to)) => match (at(from), at(to)) {
            (Some(from), Some(to)) if from < to => Ok(Some((from, to))),
            _ => Err(Error::config(format!(
                "{}: `from` and `to` are days or instants, `from` before `to`",
                path.display()
            ))),
        },
        _ => Err(Error::config(format!("{}: `from` and `to` belong together", path.display()))),
    }
}

fn first(errors: Vec<Error>) -> Error {
    errors.into_iter().next().unwrap_or_else(|| Error::bug("options were refused without an error"))
}
