//! `[[source]]` and `[[sink]]` (and what `[[alert]]` shares with them): our own keys, and the connector's options handed on to it.

use serde_json::{Map, Value as Json};
use throughline_core::{ConfigErrors, Mapping, Options};
use toml::de::{DeTable, DeValue};

use super::document::Value;
use super::secrets::Secrets;
use super::section::{At, Section};
use super::sql_text::SqlText;
use super::{OnIncomplete, SinkEntry, SourceEntry, check_name, hashing, source_of, tables, unique};
use crate::registry::Registry;
use crate::suggest;

pub fn sources(top: &Section<'_>, registry: &Registry, secrets: &Secrets<'_>) -> Vec<SourceEntry> {
    let mut entries = Vec::new();
    let mut names = Vec::new();
    let tables = top.tables("source");
    if tables.is_empty() && !top.table.contains_key("source") {
        let span = 0..0;
        top.report.error(
            span,
            "the pipeline reads nothing: it has no [[source]]",
            "add a [[source]]".to_owned(),
        );
    }
    for value in tables {
        let Some(table) = value.get_ref().as_table() else { continue };
        let section = Section::new(top.report, table, value.span(), "source");
        let connector = section.required_text("connector", "\"..\"");
        let name = name(&section, "source", connector.as_ref(), &mut names);
        let streams = section.texts("streams");
        let choices = [("fail", OnIncomplete::Fail), ("publish", OnIncomplete::Publish)];
        let on_incomplete = section.choice("on_incomplete", &choices).unwrap_or_default();
        let Some(connector) = connector else { continue };
        let Some(kind) = registry.source(connector.value) else {
            let message = format!("there is no source connector \"{}\"", connector.value);
            section.error(connector.span, message, registry.source_hint(connector.value));
            continue;
        };
        let name = name.unwrap_or_else(|| connector.value.to_owned());
        let options = options(&section, &name, secrets);
        let who = section.who.borrow().clone();
        report_missing(&section, &kind.schema(), &options.value);
        let source = match kind.build(&options) {
            Ok(source) => source,
            Err(errors) => {
                report_options(&section, &who, value, errors);
                continue;
            }
        };
        let catalog = source.catalog();
        let known: Vec<&str> = catalog.streams.iter().map(|s| s.name.as_str()).collect();
        let chosen = streams.map(|list| choose(&section, list, &known, "stream"));
        let mapping_texts =
            source.mappings().iter().map(|mapping| check_mapping(&section, value, &who, mapping)).collect();
        let selected = |name: &&&str| chosen.as_ref().is_none_or(|c| c.iter().any(|x| x == **name));
        entries.push(SourceEntry {
            name,
            connector: connector.value.to_owned(),
            streams: known.iter().filter(selected).map(ToString::to_string).collect(),
            source,
            on_incomplete,
            mapping_texts,
            place: top.report.source.place(value.span().start),
        });
    }
    unique(top.report, "source", &names);
    entries
}

pub fn sinks(
    top: &Section<'_>,
    registry: &Registry,
    secrets: &Secrets<'_>,
    transforms: &[String],
) -> Vec<SinkEntry> {
    let mut entries = Vec::new();
    let mut names = Vec::new();
    let known: Vec<&str> = published(transforms);
    for value in top.tables("sink") {
        let Some(table) = value.get_ref().as_table() else { continue };
        let section = Section::new(top.report, table, value.span(), "sink");
        let connector = section.required_text("connector", "\"parquet\"");
        let name = name(&section, "sink", connector.as_ref(), &mut names);
        let chosen = section.texts("tables").map(|list| choose(&section, list, &known, "table"));
        let hashing = hashing::read(&section, secrets);
        let Some(connector) = connector else { continue };
        let Some(kind) = registry.sink(connector.value) else {
            let message = format!("there is no sink connector \"{}\"", connector.value);
            section.error(connector.span, message, registry.sink_hint(connector.value));
            continue;
        };
        let name = name.unwrap_or_else(|| connector.value.to_owned());
        let options = options(&section, &name, secrets);
        let who = section.who.borrow().clone();
        report_missing(&section, &kind.schema(), &options.value);
        match kind.build(&options) {
            Ok(sink) => entries.push(SinkEntry {
                name,
                connector: connector.value.to_owned(),
                sink,
                tables: chosen,
                hashing,
                place: top.report.source.place(value.span().start),
            }),
            Err(errors) => report_options(&section, &who, value, errors),
        }
    }
    unique(top.report, "sink", &names);
    entries
}

/// The tables sinks get: attribution's and the transforms' own.
pub fn published(transforms: &[String]) -> Vec<&str> {
    let mut all: Vec<&str> = tables::outputs().collect();
    all.extend(transforms.iter().map(String::as_str).filter(|name| !tables::is_canonical(name)));
    all.sort_unstable();
    all.dedup();
    all
}

/// `name`, by default the connector's; from here on messages name the section by it.
pub(super) fn name(
    section: &Section<'_>,
    what: &str,
    connector: Option<&At<&str>>,
    names: &mut Vec<At<String>>,
) -> Option<String> {
    let given = section.text("name").filter(|name| check_name(section, name));
    let name = given.as_ref().or(connector)?;
    section.rename(format!("{what} \"{}\"", name.value));
    names.push(At { value: name.value.to_owned(), span: name.span.clone() });
    Some(name.value.to_owned())
}

pub(super) fn options(section: &Section<'_>, name: &str, secrets: &Secrets<'_>) -> Options {
    let who = section.who.borrow().clone();
    let value: Map<String, Json> =
        section.rest().map(|(key, value)| (key.to_owned(), secrets.json(&who, value))).collect();
    Options { name: name.to_owned(), value: Json::Object(value), base_dir: secrets.base_dir.to_path_buf() }
}

/// Every required option that is not there: reading them by serde finds only the first.
pub(super) fn report_missing(section: &Section<'_>, schema: &Json, given: &Json) {
    let required = schema.get("required").and_then(Json::as_array);
    for key in required.into_iter().flatten().filter_map(Json::as_str) {
        if given.get(key).is_none() && section.table.get(key).is_none() {
            section.missing(key, "..");
        }
    }
}

pub(super) fn report_options(section: &Section<'_>, who: &str, owner: &Value<'_>, errors: ConfigErrors) {
    if errors.is_empty() {
        section.error(section.span.clone(), "the connector refused these options and did not say why", None);
    }
    for error in &errors {
        section.report.option_error(who, owner, error);
    }
}

/// A list of names out of those that exist, each at most once.
pub(super) fn choose(
    section: &Section<'_>,
    list: At<Vec<At<&str>>>,
    known: &[&str],
    what: &str,
) -> Vec<String> {
    let mut chosen: Vec<String> = Vec::new();
    if list.value.is_empty() {
        section.error(
            list.span,
            format!("the list of {what}s is empty"),
            format!("remove it to take every {what}"),
        );
    }
    for item in list.value {
        if !known.contains(&item.value) {
            let hint = suggest::hint(item.value, &format!("{what}s"), known.iter().copied());
            section.error(item.span, format!("there is no {what} \"{}\"", item.value), hint);
        } else if chosen.iter().any(|c| c == item.value) {
            section.error(item.span, format!("{what} \"{}\" is listed twice", item.value), None);
        } else {
            chosen.push(item.value.to_owned());
        }
    }
    chosen
}

/// A mapping comes from the connector, but its SQL may be the user's: then errors point into it.
fn check_mapping(section: &Section<'_>, owner: &Value<'_>, who: &str, mapping: &Mapping) -> SqlText {
    if !tables::is_canonical(&mapping.into) {
        let hint = suggest::hint(&mapping.into, "canonical tables", tables::canonical_names());
        let span = owner.get_ref().as_table().and_then(|t| find_text(t, &mapping.into)).map(|v| v.span());
        let message = format!("there is no canonical table \"{}\"", mapping.into);
        section.error(span.unwrap_or_else(|| section.span.clone()), message, hint);
    }
    let text = match owner.get_ref().as_table().and_then(|t| find_text(t, &mapping.sql)) {
        Some(written) => SqlText::inline(&source_of(section), written.span(), &mapping.sql),
        None => SqlText::file(&mapping.origin, mapping.sql.clone()),
    };
    match throughline_sql::sql_tables(&mapping.sql) {
        Err(error) => section.report.push(text.diagnose(who, &error)),
        Ok(reads) => {
            for read in reads.iter().filter(|read| !mapping.from.contains(read)) {
                let hint = suggest::hint(read, "streams", mapping.from.iter().map(String::as_str));
                let message =
                    format!("{who}: the mapping reads \"{read}\", which is no stream of this source");
                section.report.push(text.diagnose_name(read, message).hint(hint));
            }
        }
    }
    text
}

/// The string value, however deep, that reads `wanted`.
fn find_text<'v, 'd>(table: &'v DeTable<'d>, wanted: &str) -> Option<&'v Value<'d>> {
    fn within<'v, 'd>(value: &'v Value<'d>, wanted: &str) -> Option<&'v Value<'d>> {
        match value.get_ref() {
            DeValue::String(text) => (text.trim() == wanted.trim()).then_some(value),
            DeValue::Array(list) => list.iter().find_map(|item| within(item, wanted)),
            DeValue::Table(table) => find_text(table, wanted),
            _ => None,
        }
    }
    table.values().find_map(|value| within(value, wanted))
}
