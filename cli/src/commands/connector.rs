//! `throughline connector`

use serde_json::json;
use throughline_core::{AlertConnector, Error, SinkConnector, SourceConnector};

use super::Outcome;
use crate::args::{ConnectorArgs, ConnectorCommand};
use crate::output::{BOLD, DIM, Output, paint};
use crate::{exit, setup};

pub async fn run(args: &ConnectorArgs, output: &Output) -> Outcome {
    match &args.command {
        ConnectorCommand::List => list(output),
        ConnectorCommand::Show { name } => show(name, output)?,
        ConnectorCommand::New(args) => return super::connector_new::run(args, output),
        ConnectorCommand::Foreign(args) => return super::connector_foreign::run(args, output).await,
        ConnectorCommand::Test(args) => return super::connector_test::run(args, output).await,
    }
    Ok(exit::DONE)
}

fn list(output: &Output) {
    let registry = setup::registry();
    let sources: Vec<_> =
        registry.sources.iter().map(|c| json!({ "name": c.name(), "summary": c.summary() })).collect();
    let sinks: Vec<_> =
        registry.sinks.iter().map(|c| json!({ "name": c.name(), "summary": c.summary() })).collect();
    let alerts: Vec<_> =
        registry.alerters.iter().map(|c| json!({ "name": c.name(), "summary": c.summary() })).collect();
    output.result(&json!({ "sources": sources, "sinks": sinks, "alerts": alerts }), || {
        let mut text = paint(BOLD, "Sources") + "\n";
        for c in &registry.sources {
            text += &format!("  {:<16} {}\n", c.name(), c.summary());
        }
        text += &(paint(BOLD, "Sinks") + "\n");
        for c in &registry.sinks {
            text += &format!("  {:<16} {}\n", c.name(), c.summary());
        }
        text += &(paint(BOLD, "Alerts") + "\n");
        for c in &registry.alerters {
            text += &format!("  {:<16} {}\n", c.name(), c.summary());
        }
        text
    });
}

fn show(name: &str, output: &Output) -> Result<(), Error> {
    let registry = setup::registry();
    let source = registry.sources.iter().find(|c| c.name() == name);
    let sink = registry.sinks.iter().find(|c| c.name() == name);
    let alert = registry.alerters.iter().find(|c| c.name() == name);
    if source.is_none() && sink.is_none() && alert.is_none() {
        let names: Vec<&str> = registry
            .sources
            .iter()
            .map(|c| c.name())
            .chain(registry.sinks.iter().map(|c| c.name()))
            .chain(registry.alerters.iter().map(|c| c.name()))
            .collect();
        return Err(Error::config(format!("there is no connector {name:?}"))
            .hint(format!("there are {}", names.join(", "))));
    }
    let value = json!({
        "source": source.map(|c| json!({ "summary": c.summary(), "options": c.schema(), "streams": c.catalog().streams })),
        "sink": sink.map(|c| json!({ "summary": c.summary(), "options": c.schema() })),
        "alert": alert.map(|c| json!({ "summary": c.summary(), "options": c.schema() })),
    });
    output.result(&value, || {
        source.map(|c| source_text(c.as_ref())).unwrap_or_default()
            + &sink.map(|c| sink_text(c.as_ref())).unwrap_or_default()
            + &alert.map(|c| alert_text(c.as_ref())).unwrap_or_default()
    });
    Ok(())
}

fn source_text(connector: &dyn SourceConnector) -> String {
    let mut text = format!("{}\n\n", connector.readme().trim_end());
    text += &(paint(BOLD, "Streams") + "\n");
    for stream in connector.catalog().streams {
        let c = stream.capabilities;
        let words: Vec<&str> = [
            (c.incremental, "incremental"),
            (c.windowed, "windowed"),
            (c.resumable, "resumable"),
            (c.deletes, "deletes"),
            (c.webhook, "webhook"),
            (c.count, "count"),
        ]
        .into_iter()
        .filter_map(|(has, word)| has.then_some(word))
        .collect();
        text += &format!("  {:<20} {} {}\n", stream.name, stream.doc, paint(DIM, words.join(", ")));
    }
    text + &options_text(&connector.schema())
}

fn sink_text(connector: &dyn SinkConnector) -> String {
    format!("{}\n\n{}", connector.readme().trim_end(), options_text(&connector.schema()))
}

fn alert_text(connector: &dyn AlertConnector) -> String {
    format!("As [[alert]]: {} (docs/alerts.md)\n\n{}", connector.summary(), options_text(&connector.schema()))
}

fn options_text(schema: &serde_json::Value) -> String {
    let mut text = paint(BOLD, "Options") + "\n";
    let required: Vec<&str> = schema["required"]
        .as_array()
        .map(|r| r.iter().filter_map(|v| v.as_str()).collect())
        .unwrap_or_default();
    for (name, option) in schema["properties"].as_object().into_iter().flatten() {
        let doc = option["description"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
        let mark = if required.contains(&name.as_str()) { " (required)" } else { "" };
        text += &format!("  {name:<20} {doc}{mark}\n");
    }
    text
}
