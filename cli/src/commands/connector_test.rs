//! `throughline connector test`

use std::path::Path;

use throughline_behaviour::{Offline, Report, Suite};
use throughline_connectors::manifest::rest::trial::Trial;
use throughline_core::{ConfigErrors, Error, Place};
use throughline_engine::diagnostic::{Diagnostic, Diagnostics};

use super::{Outcome, Stop};
use crate::args::ConnectorTestArgs;
use crate::exit;
use crate::output::Output;

pub async fn run(args: &ConnectorTestArgs, output: &Output) -> Outcome {
    let trial = Trial::load(&args.file).map_err(|errors| wrong(&args.file, &errors))?;
    let world = Offline::open(trial.manifest.name(), &trial.answers, trial.redactor)?;
    let (manifest, options) = (trial.manifest.clone(), trial.options.clone());
    let source = move || manifest.source(&options).map_err(first);
    let mut suite = Suite::new(trial.manifest.name(), source, move || world.setting());
    let manifest = trial.manifest.clone();
    suite =
        suite.options(trial.manifest.options_schema(), trial.options, move |given| manifest.source(given));
    if let Some((from_us, to_us)) = trial.window {
        suite = suite.window(from_us, to_us);
    }
    let streams = if args.stream.is_empty() { &trial.streams } else { &args.stream };
    if !streams.is_empty() {
        suite = suite.streams(streams);
    }
    Ok(tell(&suite.run().await, output))
}

/// Prints what the suite found of any source, and gives the exit code.
pub fn tell(report: &Report, output: &Output) -> u8 {
    output.result(&report.json(), || report.text());
    if report.passed() { exit::DONE } else { exit::TEST_FAILED }
}

fn first(errors: ConfigErrors) -> Error {
    errors.into_iter().next().unwrap_or_else(|| Error::bug("options were refused without an error"))
}

/// Everything that is wrong with the files, as with a pipeline's.
pub fn wrong(path: &Path, errors: &ConfigErrors) -> Stop {
    let one = |error: &Error| {
        let diagnostic = match error.place() {
            Some(Place::File { path, line, column }) => {
                Diagnostic::elsewhere(path, *line, *column, error.message())
            }
            _ => Diagnostic::whole_file(path.display().to_string(), error.message()),
        };
        diagnostic.hint(error.hint_text().map(str::to_owned))
    };
    Stop::File(Diagnostics::new(errors.iter().map(one).collect()))
}
