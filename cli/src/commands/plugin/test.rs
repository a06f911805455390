//! `throughline plugin test`

use std::sync::Arc;

use serde_json::Value;
use throughline_behaviour::{Offline, SinkSuite, Suite};
use throughline_connectors::manifest::rest::test_file::TestFile;
use throughline_core::secret::SECRET_KEY;
use throughline_core::{ConfigErrors, Error, Options, Redactor, Result, SinkConnector, SourceConnector};
use throughline_plugin_host::{Installed, Kind, PluginSink, PluginSource};

use super::super::{Outcome, connector_test};
use crate::args::PluginTestArgs;
use crate::output::Output;
use crate::setup;

pub async fn run(args: &PluginTestArgs, output: &Output) -> Outcome {
    let installed = Arc::new(Installed::of_file(&args.library, &setup::runner())?);
    let name = installed.manifest.name.clone();
    let wrong = |errors: &ConfigErrors| connector_test::wrong(&args.with, errors);
    let test = TestFile::load(&args.with).map_err(|errors| wrong(&errors))?;
    let redactor = Redactor::new();
    let mut value = Value::Object(test.options.clone());
    made_up(&mut value, &redactor);
    value["isolation"] = if args.in_thread { "thread" } else { "process" }.into();
    let options = Options { name: name.clone(), value, base_dir: test.folder().to_path_buf() };
    let empty = empty_cassette()?;
    let answers = test.answers.as_ref().map_or(empty.path().to_owned(), |path| test.folder().join(path));
    let world = Arc::new(Offline::open(&name, &answers, redactor)?);
    let report = match installed.manifest.kind {
        Kind::Sink => {
            let connector: &'static dyn SinkConnector =
                Box::leak(Box::new(PluginSink::new(installed, setup::runner())));
            // What is wrong with the options themselves is told before the suite finds all that follows from it.
            connector.build(&options).map_err(|errors| wrong(&test.located(&errors)))?;
            SinkSuite::of_connector(connector, &options, move || world.setting()).run().await
        }
        Kind::Source => {
            let connector: &'static dyn SourceConnector =
                Box::leak(Box::new(PluginSource::new(installed, setup::runner())));
            connector.build(&options).map_err(|errors| wrong(&test.located(&errors)))?;
            let mut suite = Suite::of_connector(connector, &options, move || world.setting());
            if !test.streams.is_empty() {
                suite = suite.streams(&test.streams);
            }
            if let Some((from_us, to_us)) = test.window {
                suite = suite.window(from_us, to_us);
            }
            suite.run().await
        }
    };
    Ok(connector_test::tell(&report, output))
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
fn empty_cassette() -> Result<tempfile::NamedTempFile> {
    let failed = |e: std::io::Error| Error::io("write", "an empty cassette", e);
    let file = tempfile::Builder::new().suffix(".jsonl").tempfile().map_err(failed)?;
    let head = "{\"throughline_cassette\": 1, \"recorded_at\": \"2026-03-01T09:00:00.000000Z\"}\n";
    std::fs::write(file.path(), head).map_err(failed)?;
    Ok(file)
}
