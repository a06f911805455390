//! `throughline check`

use serde::Serialize;
use throughline_core::{CheckReport, Error, ErrorKind};
use throughline_engine::run;
use throughline_store::{STATE_FILE, Store};

use super::Outcome;
use crate::args::CheckArgs;
use crate::output::{BAD, DIM, GOOD, Output, WARN, error_text, paint};
use crate::{exit, setup};

#[derive(Serialize)]
struct Checked {
    pipeline: String,
    parts: Vec<Part>,
}

#[derive(Serialize)]
struct Part {
    kind: &'static str,
    name: String,
    connector: String,
    guarantee: Option<&'static str>,
    facts: Vec<(String, String)>,
    warnings: Vec<String>,
    error: Option<String>,
}

pub async fn run(args: &CheckArgs, output: &Output) -> Outcome {
    let pipeline = setup::load(&args.file.pipeline)?;
    let mut parts = Vec::new();
    let mut errors: Vec<Error> = Vec::new();
    // Planning every mapping and transform over empty tables finds wrong SQL without a network.
    let wrong = throughline_engine::pipeline::check_sql(&pipeline, &std::env::temp_dir()).await?;
    if !wrong.is_empty() {
        return Err(wrong.into());
    }
    if args.offline {
        for source in &pipeline.sources {
            parts.push(offline("source", &source.name, &source.connector, None));
        }
        for sink in &pipeline.sinks {
            let guarantee = sink.sink.guarantee().as_str();
            parts.push(offline("sink", &sink.name, &sink.connector, Some(guarantee)));
        }
        for alert in &pipeline.alerts {
            parts.push(offline("alert", &alert.name, &alert.connector, None));
        }
    } else {
        let services = setup::services(&pipeline, false)?.lent;
        setup::stop_on_signal(services.cancel.clone());
        std::fs::create_dir_all(&pipeline.state_dir)
            .map_err(|e| Error::io("create", pipeline.state_dir.display(), e))?;
        let store = Store::open(pipeline.state_dir.join(STATE_FILE))?;
        let scratch = tempfile::tempdir().map_err(|e| Error::io("create", "a temporary folder", e))?;
        let context =
            |name: &str| run::context(&pipeline, &services, &store, name, scratch.path().to_owned());
        for source in &pipeline.sources {
            let outcome = source.source.check(&context(&source.name)?).await;
            parts.push(part("source", &source.name, &source.connector, None, outcome, &mut errors));
        }
        for sink in &pipeline.sinks {
            let outcome = sink.sink.check(&context(&sink.name)?).await;
            let guarantee = sink.sink.guarantee().as_str();
            parts.push(part("sink", &sink.name, &sink.connector, Some(guarantee), outcome, &mut errors));
        }
        for alert in &pipeline.alerts {
            let outcome = alert.alerter.check(&context(&alert.name)?).await;
            parts.push(part("alert", &alert.name, &alert.connector, None, outcome, &mut errors));
        }
    }
    let checked = Checked { pipeline: pipeline.name.clone(), parts };
    output.result(&checked, || as_text(&checked, args.offline));
    for error in &errors {
        if !output.json {
            anstream::eprintln!("{}", error_text(error));
        }
    }
    Ok(errors.iter().map(exit::of_error).max().unwrap_or(exit::DONE))
}

fn offline(kind: &'static str, name: &str, connector: &str, guarantee: Option<&'static str>) -> Part {
    let (name, connector) = (name.to_owned(), connector.to_owned());
    Part { kind, name, connector, guarantee, facts: Vec::new(), warnings: Vec::new(), error: None }
}

fn part(
    kind: &'static str,
    name: &str,
    connector: &str,
    guarantee: Option<&'static str>,
    outcome: Result<CheckReport, Error>,
    errors: &mut Vec<Error>,
) -> Part {
    let mut part = offline(kind, name, connector, guarantee);
    match outcome {
        Ok(report) => (part.facts, part.warnings) = (report.facts, report.warnings),
        Err(error) => {
            part.error = Some(error.to_string());
            // A refused key is for a person, whatever the vendor calls it.
            errors.push(if error.kind() == ErrorKind::Auth { error.with("checked", name) } else { error });
        }
    }
    part
}

fn as_text(checked: &Checked, offline: bool) -> String {
    let mut text = format!("{} {}\n", paint(GOOD, "✓"), checked.pipeline);
    for part in &checked.parts {
        let mark = if part.error.is_some() { paint(BAD, "✗") } else { paint(GOOD, "✓") };
        text += &format!("  {mark} {} {} ({})", part.kind, part.name, part.connector);
        if let Some(guarantee) = part.guarantee {
            text += &format!(", {guarantee}");
        }
        text.push('\n');
        for (key, value) in &part.facts {
            text += &format!("      {} {value}\n", paint(DIM, format!("{key}:")));
        }
        for warning in &part.warnings {
            text += &format!("      {} {warning}\n", paint(WARN, "warning:"));
        }
    }
    if offline {
        text += &format!("{}\n", paint(DIM, "checked offline: credentials and destinations were not tried"));
    }
    text
}
