//! What a source says of itself.

use std::collections::HashSet;

use throughline_core::{Catalog, ColumnType, StreamSpec, canonical};

use crate::Suite;
use crate::landed::count;
use crate::reading::Process;
use crate::report::{Findings, Verdict, skipped};
use crate::watch::Plan;

/// Also gives every stream there is, discovered ones included.
pub(super) async fn catalog(suite: &Suite, process: &Process) -> (Verdict, Catalog) {
    let mut wrong = Findings::default();
    let declared = process.source.catalog();
    let mut names = HashSet::new();
    for stream in &declared.streams {
        if !names.insert(stream.name.as_str()) {
            wrong.add(&stream.name, "stream names that differ", "two of this name", "rename one");
        }
        stream_spec(stream, &mut wrong);
    }
    let found = process.source.discover(&process.ctx).await;
    let missing = process.missing();
    let mut known = declared.clone();
    match found {
        Ok(found) => {
            for stream in &declared.streams {
                agrees(stream, found.stream(&stream.name), &mut wrong);
            }
            known.streams.extend(found.streams.into_iter().filter(|s| !names.contains(s.name.as_str())));
        }
        // Nobody recorded what discover asks for: the catalog itself is what is tested.
        Err(_) if missing.is_some() => {}
        Err(error) => {
            wrong.add(
                &suite.name,
                "discover without an error",
                format!("the error: {error}"),
                "mend what it names",
            );
        }
    }
    mappings(suite, process, &known, &mut wrong);
    let note = format!(
        "{}, {}",
        count(known.streams.len(), "stream"),
        count(process.source.mappings().len(), "mapping")
    );
    (wrong.verdict(note), known)
}

fn stream_spec(stream: &StreamSpec, wrong: &mut Findings) {
    let name = &stream.name;
    if name.is_empty() || name.starts_with("_tl_") || name.contains(['.', '"', '/', '\\']) {
        let to_do = "use small letters, digits and _; what begins with _tl_ is the engine's";
        wrong.add(name, "a stream name", format!("{name:?}"), to_do);
    }
    let mut seen = HashSet::new();
    for column in &stream.columns {
        if column.name.is_empty() || column.name.starts_with("_tl_") {
            wrong.add(name, "column names that are free", format!("{:?}", column.name), "rename the column");
        }
        if !seen.insert(column.name.as_str()) {
            wrong.add(name, "each column once", format!("{:?} twice", column.name), "remove one");
        }
    }
    for key in &stream.key {
        let column = stream.columns.iter().find(|c| &c.name == key);
        match column.map(|c| c.kind) {
            // Without any contract the columns are what comes; the check `rows` sees whether the key does.
            None if stream.columns.is_empty() => {}
            None => wrong.add(
                name,
                format!("the key {key:?} among the columns"),
                "no such column",
                format!("add {key} to the stream's columns, with its type"),
            ),
            Some(ColumnType::Json | ColumnType::TextList | ColumnType::Float) => wrong.add(
                name,
                "keys whose values can be compared",
                format!("{key:?} is a list, JSON or a float"),
                "make it text or a whole number",
            ),
            Some(_) => {}
        }
    }
    if let Some(restates) = &stream.restates {
        let day = stream.columns.iter().find(|c| c.name == restates.day_column);
        let good =
            day.is_some_and(|c| matches!(c.kind, ColumnType::Date | ColumnType::Text | ColumnType::Instant));
        if !good && !stream.columns.is_empty() {
            wrong.add(
                name,
                format!(
                    "the day column {:?} among the columns, as date, instant or text",
                    restates.day_column
                ),
                day.map_or("no such column".to_owned(), |c| format!("{:?}", c.kind)),
                "add it to the stream's columns",
            );
        }
    }
}

fn agrees(declared: &StreamSpec, found: Option<&StreamSpec>, wrong: &mut Findings) {
    let name = &declared.name;
    let to_do = "discover may add streams and columns, no more";
    let Some(found) = found else {
        return wrong.add(name, "discover to know this stream", "it does not", to_do);
    };
    if found.key != declared.key || found.capabilities != declared.capabilities {
        wrong.add(name, "discover and catalog to agree on key and capabilities", "they differ", to_do);
    }
    for column in &declared.columns {
        if !found.columns.iter().any(|c| c.name == column.name && c.kind == column.kind) {
            let expected = format!("discover to know the column {:?} in its type", column.name);
            wrong.add(name, expected, "it does not", to_do);
        }
    }
}

fn mappings(suite: &Suite, process: &Process, known: &Catalog, wrong: &mut Findings) {
    for mapping in process.source.mappings() {
        if canonical::table(&mapping.into).is_none() {
            wrong.add(
                &mapping.origin,
                "a canonical table",
                format!("{:?}", mapping.into),
                "docs/tables.md has them",
            );
        }
        for from in mapping.from.iter().filter(|from| known.stream(from).is_none()) {
            let names: Vec<&str> = known.streams.iter().map(|s| s.name.as_str()).collect();
            wrong.add(
                &mapping.origin,
                "a stream of this source",
                format!("{from:?}"),
                format!("there are {}", names.join(", ")),
            );
        }
        if mapping.from.is_empty() || mapping.sql.trim().is_empty() {
            wrong.add(
                &suite.name,
                "a SELECT over some stream",
                format!("none in {:?}", mapping.origin),
                "write one",
            );
        }
    }
}

/// `throughline check`, as far as this source goes.
pub(super) async fn connection(suite: &Suite) -> Verdict {
    let process = match suite.process(&Default::default(), Plan::Pass) {
        Ok(process) => process,
        Err(error) => return skipped(error.to_string()),
    };
    let outcome = tokio::time::timeout(suite.bounds.read, process.source.check(&process.ctx)).await;
    if let (Some(request), Ok(Err(_))) = (process.missing(), &outcome) {
        return skipped(format!("no recorded answer to {request}"));
    }
    let mut wrong = Findings::default();
    match outcome {
        Ok(Ok(report)) => {
            let facts = report.facts.iter().map(|(name, value)| format!("{name} {value}"));
            return wrong.verdict(facts.collect::<Vec<_>>().join(", "));
        }
        Ok(Err(error)) => {
            wrong.add(&suite.name, "check to succeed", format!("the error: {error}"), "mend what it names");
        }
        Err(_) => wrong.add(&suite.name, "check to end", "no end in time", "ask with a timeout"),
    }
    wrong.verdict("")
}
