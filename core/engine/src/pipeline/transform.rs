//! `[[transform]]`: one SELECT each, put into the order and on the side of attribution where it belongs.
//!
//! Before attribution SQL sees the canonical tables by their names, and a transform with the name of
//! one takes its place. Behind it SQL sees what attribution made by its names, and what it read as
//! `in_<table>`. On which side a transform stands follows from what it reads.

use std::path::{Path, PathBuf};

use throughline_core::Place;

use super::document::MAX_FILE_BYTES;
use super::report::Report;
use super::section::{At, Section};
use super::sql_text::SqlText;
use super::{tables, unique};
use crate::diagnostic::Diagnostic;
use crate::suggest;

#[derive(Clone, Debug)]
pub struct Transform {
    /// The table it makes.
    pub name: String,
    pub sql: String,
    pub stage: Stage,
    /// Tables it reads.
    pub reads: Vec<String>,
    /// Its `[[transform]]` line.
    pub place: Place,
    /// Where the SQL is written: [`SqlText::locate`] gives a planning error its place.
    pub text: SqlText,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    BeforeAttribution,
    AfterAttribution,
}

/// A transform whose side is not known yet.
struct Draft {
    name: At<String>,
    text: SqlText,
    reads: Vec<String>,
    wanted: Option<Stage>,
    place: Place,
}

#[derive(Default)]
pub struct Transforms {
    /// In the order they must run.
    pub list: Vec<Transform>,
    /// The tables they make, those of broken ones too: who reads one need not be told that it is not
    /// there.
    pub names: Vec<String>,
    /// The SQL files they name, with their texts.
    pub files: Vec<(PathBuf, String)>,
}

pub fn read(top: &Section<'_>, base_dir: &Path) -> Transforms {
    let mut drafts = Vec::new();
    let mut files = Vec::new();
    let mut known = Vec::new();
    for value in top.tables("transform") {
        let Some(table) = value.get_ref().as_table() else { continue };
        let section = Section::new(top.report, table, value.span(), "transform");
        let name = section.required_text("name", "\"table_name\"").filter(|name| table_name(&section, name));
        if let Some(name) = &name {
            section.rename(format!("transform \"{}\"", name.value));
            known.push(name.value.to_owned());
        }
        let text = sql(&section, base_dir, &mut files);
        let stages = [("before", Stage::BeforeAttribution), ("after", Stage::AfterAttribution)];
        let wanted = section.choice("stage", &stages);
        let who = section.who.borrow().clone();
        section.finish();
        let Some(text) = text else { continue };
        let reads = match throughline_sql::sql_tables(&text.sql) {
            Ok(reads) => reads,
            Err(error) => {
                top.report.push(text.diagnose(&who, &error));
                continue;
            }
        };
        let Some(name) = name else { continue };
        let place = top.report.source.place(value.span().start);
        let name = At { value: name.value.to_owned(), span: name.span };
        drafts.push(Draft { name, text, reads, wanted, place });
    }
    let names: Vec<At<String>> = drafts.iter().map(|d| d.name.clone()).collect();
    unique(top.report, "transform", &names);
    let stages = stages(top.report, &drafts);
    check_reads(top.report, &drafts, &stages, &known);
    let order = order(top.report, &drafts, &stages);
    let mut made: Vec<Option<Transform>> = drafts
        .into_iter()
        .zip(stages)
        .map(|(draft, stage)| {
            let sql = draft.text.sql.clone();
            Some(Transform {
                name: draft.name.value,
                sql,
                stage,
                reads: draft.reads,
                place: draft.place,
                text: draft.text,
            })
        })
        .collect();
    let list = order.into_iter().filter_map(|i| made.get_mut(i)?.take()).collect();
    Transforms { list, names: known, files }
}

fn table_name(section: &Section<'_>, name: &At<&str>) -> bool {
    let good = name.value.starts_with(|c: char| c.is_ascii_lowercase())
        && name.value.len() <= 64
        && name.value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !good {
        let hint = "a table name starts with a letter and has a-z, 0-9 and _, at most 64".to_owned();
        section.error(name.span.clone(), format!("\"{}\" cannot be the name of a table", name.value), hint);
        return false;
    }
    if tables::is_input(name.value) {
        let bare = name.value.trim_start_matches("in_");
        let hint = format!("to change what attribution reads, name it \"{bare}\"");
        section.error(name.span.clone(), format!("\"{}\" is attribution's input", name.value), hint);
        return false;
    }
    true
}

/// Exactly one of `sql` and `file`.
fn sql(section: &Section<'_>, base_dir: &Path, files: &mut Vec<(PathBuf, String)>) -> Option<SqlText> {
    let hint = "one SELECT: sql = \"..\" or file = \"path.sql\"".to_owned();
    match (section.text("sql"), section.text("file")) {
        (Some(sql), None) => Some(SqlText::inline(&section.report.source, sql.span, sql.value)),
        (None, Some(file)) => {
            let path = base_dir.join(file.value);
            match read_sql_file(&path) {
                Ok(text) => {
                    files.push((path.clone(), text.clone()));
                    Some(SqlText::file(&path.display().to_string(), text))
                }
                Err(why) => {
                    let hint = "the path starts at the folder of the pipeline file".to_owned();
                    section.error(file.span, format!("cannot read {}: {why}", path.display()), hint);
                    None
                }
            }
        }
        (Some(_), Some(file)) => {
            section.error(file.span, "sql and file cannot stand together", "remove one of them".to_owned());
            None
        }
        (None, None) => {
            if !section.table.contains_key("sql") && !section.table.contains_key("file") {
                section.error(section.span.clone(), "required key \"sql\" or \"file\" is missing", hint);
            }
            None
        }
    }
}

fn read_sql_file(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|e| e.to_string())?;
    if !about.is_file() {
        return Err("it is not a file".into());
    }
    if about.len() > MAX_FILE_BYTES {
        return Err(format!("it has {} bytes, at most 1 MiB can be read", about.len()));
    }
    String::from_utf8(std::fs::read(path).map_err(|e| e.to_string())?)
        .map_err(|_| "it is not UTF-8 text".into())
}

/// Why a transform must stand on one side.
#[derive(Clone)]
struct Because {
    /// The table in its SQL that decides, if it is one.
    table: Option<String>,
    why: String,
}

fn because(table: &str, why: &str) -> Because {
    Because { table: Some(table.to_owned()), why: format!("reads \"{table}\", {why}") }
}

/// Decides each transform's side; a contradiction is reported.
fn stages(report: &Report, drafts: &[Draft]) -> Vec<Stage> {
    let mut before: Vec<Option<Because>> = vec![None; drafts.len()];
    let mut after: Vec<Option<Because>> = vec![None; drafts.len()];
    for (i, draft) in drafts.iter().enumerate() {
        let name = draft.name.value.as_str();
        match draft.wanted {
            Some(Stage::BeforeAttribution) => {
                before[i] = Some(Because { table: None, why: "says stage = \"before\"".into() });
            }
            Some(Stage::AfterAttribution) => {
                after[i] = Some(Because { table: None, why: "says stage = \"after\"".into() });
            }
            None if tables::is_canonical(name) => {
                before[i] = Some(Because { table: None, why: "takes the place of a canonical table".into() });
            }
            None if tables::is_output(name) => {
                after[i] =
                    Some(Because { table: None, why: "takes the place of a table attribution makes".into() });
            }
            None => {}
        }
        for read in &draft.reads {
            if find(drafts, read).is_some_and(|other| other != i) {
                continue;
            }
            match (tables::is_canonical(read), tables::is_output(read) || tables::is_input(read)) {
                (true, false) => {
                    before[i] = before[i]
                        .take()
                        .or_else(|| Some(because(read, "which is there only before attribution")))
                }
                (false, true) => {
                    after[i] = after[i]
                        .take()
                        .or_else(|| Some(because(read, "which is there only after attribution")))
                }
                _ => {}
            }
        }
    }
    // A transform reads others of its own side, or earlier ones: sides spread along the reads.
    for _ in 0..drafts.len() {
        for (i, draft) in drafts.iter().enumerate() {
            for read in &draft.reads {
                let Some(other) = find(drafts, read).filter(|other| *other != i) else { continue };
                let shadows = tables::is_canonical(read);
                if before[i].is_some() && before[other].is_none() {
                    let why = format!("is read by \"{}\", which runs before attribution", draft.name.value);
                    before[other] = Some(Because { table: None, why });
                }
                if after[other].is_some() && after[i].is_none() && !shadows {
                    after[i] = Some(because(read, "which is made after attribution"));
                }
            }
        }
    }
    let decide = |(i, draft): (usize, &Draft)| match (&before[i], &after[i]) {
        (Some(b), Some(a)) => {
            let message = format!("transform \"{}\" {}, but {}", draft.name.value, b.why, a.why);
            let hint = "after attribution a canonical table is called in_<table>, e.g. in_deals".to_owned();
            let at = b.table.as_ref().or(a.table.as_ref());
            report.push(match at {
                Some(table) => draft.text.diagnose_name(table, message).hint(hint),
                None => Diagnostic::new(&report.source, draft.name.span.clone(), message).hint(hint),
            });
            Stage::AfterAttribution
        }
        (Some(_), None) => Stage::BeforeAttribution,
        (None, Some(_)) => Stage::AfterAttribution,
        // Names of both sides, such as `visits`: what people see exported is meant.
        (None, None) if draft.reads.iter().any(|r| tables::is_output(r)) => Stage::AfterAttribution,
        (None, None) => Stage::BeforeAttribution,
    };
    drafts.iter().enumerate().map(decide).collect()
}

fn find(drafts: &[Draft], name: &str) -> Option<usize> {
    drafts.iter().position(|d| d.name.value == name)
}

/// The transform whose table `name` means in the SQL of `reader`.
fn made_by(drafts: &[Draft], stages: &[Stage], reader: usize, name: &str) -> Option<usize> {
    let other = find(drafts, name).filter(|other| *other != reader)?;
    // What took a canonical table's place is, behind attribution, `in_<table>`.
    let hidden = stages[reader] == Stage::AfterAttribution
        && stages[other] == Stage::BeforeAttribution
        && tables::is_canonical(name);
    (!hidden).then_some(other)
}

/// Every table a transform reads must be there on its side.
fn check_reads(report: &Report, drafts: &[Draft], stages: &[Stage], names: &[String]) {
    for (i, draft) in drafts.iter().enumerate() {
        for read in &draft.reads {
            let early = stages[i] == Stage::BeforeAttribution;
            let there = made_by(drafts, stages, i, read).is_some()
                || if early {
                    tables::is_canonical(read)
                } else {
                    tables::is_output(read) || tables::is_input(read)
                };
            let elsewhere = tables::is_canonical(read) || tables::is_output(read) || tables::is_input(read);
            if there || names.iter().any(|name| name == read) && find(drafts, read).is_none() {
                continue;
            }
            let message =
                format!("transform \"{}\" reads \"{read}\", a table that does not exist", draft.name.value);
            if !elsewhere {
                let mut known: Vec<&str> = tables::canonical_names().chain(tables::outputs()).collect();
                known.extend(names.iter().map(String::as_str));
                let hint = suggest::nearest(read, known.iter().copied())
                    .map(|near| format!("did you mean \"{near}\"?"));
                let list = || Some("docs/pipeline-file.md lists the tables a transform can read".to_owned());
                report.push(draft.text.diagnose_name(read, message).hint(hint.or_else(list)));
            } else if !early && tables::is_canonical(read) && draft.wanted.is_some() {
                let message = format!("{message} after attribution");
                report.push(draft.text.diagnose_name(read, message).hint(format!("write in_{read}")));
            }
            // What stands on the other side without an explicit stage is reported as a contradiction.
        }
    }
}

/// Each behind all it reads, else as written. A cycle is reported once.
fn order(report: &Report, drafts: &[Draft], stages: &[Stage]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    let mut done = vec![false; drafts.len()];
    while order.len() < drafts.len() {
        let ready = (0..drafts.len()).find(|i| {
            !done[*i]
                && drafts[*i]
                    .reads
                    .iter()
                    .all(|read| made_by(drafts, stages, *i, read).is_none_or(|other| done[other]))
        });
        match ready {
            Some(i) => {
                done[i] = true;
                order.push(i);
            }
            None => {
                report_cycle(report, drafts, stages, &done);
                break;
            }
        }
    }
    order.sort_by_key(|i| stages[*i] == Stage::AfterAttribution);
    order
}

fn report_cycle(report: &Report, drafts: &[Draft], stages: &[Stage], done: &[bool]) {
    let Some(start) = done.iter().position(|d| !d) else { return };
    let mut path: Vec<usize> = vec![start];
    loop {
        let last = path[path.len() - 1];
        let blocked = drafts[last]
            .reads
            .iter()
            .filter_map(|read| made_by(drafts, stages, last, read))
            .find(|o| !done[*o]);
        let Some(next) = blocked else { return };
        if let Some(again) = path.iter().position(|p| *p == next) {
            let circle = &path[again..];
            let mut names: Vec<&str> = circle.iter().map(|i| drafts[*i].name.value.as_str()).collect();
            names.push(&drafts[next].name.value);
            let first = &drafts[circle[0]];
            let needs = &drafts[*circle.get(1).unwrap_or(&circle[0])].name.value;
            let message = format!("transforms read each other in a circle: {}", names.join(" reads "));
            report.push(
                first
                    .text
                    .diagnose_name(needs, message)
                    .hint("one of them must not need the others".to_owned()),
            );
            return;
        }
        path.push(next);
    }
}
