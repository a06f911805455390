//! `[[test]]`: a few rows in, a few rows expected, at a fixed instant.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use serde_json::{Map, Value as Json};
use throughline_attribution::Kind;
use throughline_core::canonical;
use throughline_core::{ColumnType, Place};
use toml::de::{DeTable, DeValue};

use super::document::{Value, type_name};
use super::endpoint::published;
use super::section::{At, Section};
use super::{tables, unique};
use crate::suggest;

/// Rows of one table as JSON objects, column by column; instants in RFC 3339.
pub type Rows = Vec<Map<String, Json>>;

#[derive(Clone, Debug)]
pub struct TestCase {
    pub name: String,
    /// What the clock says during the test.
    pub now_us: i64,
    /// By canonical table. Tables that are not named are empty.
    pub input: BTreeMap<String, Rows>,
    /// By output table: all of its rows, each with the columns that matter.
    pub expect: BTreeMap<String, Rows>,
    /// Its `[[test]]` line.
    pub place: Place,
}

pub fn read(top: &Section<'_>, transforms: &[String]) -> Vec<TestCase> {
    let mut tests = Vec::new();
    let mut names = Vec::new();
    for value in top.tables("test") {
        let Some(table) = value.get_ref().as_table() else { continue };
        let section = Section::new(top.report, table, value.span(), "test");
        let name = section.required_text("name", "\"what it shows\"");
        if let Some(name) = &name {
            section.rename(format!("test \"{}\"", name.value));
            names.push(At { value: name.value.to_owned(), span: name.span.clone() });
        }
        section.require("now", "2026-01-31T12:00:00Z");
        let now_us = section.value("now").and_then(|now| match instant(now.get_ref()) {
            Ok(now) => Some(now.timestamp_micros()),
            Err(why) => {
                section.error(now.span(), format!("now {why}"), "such as 2026-01-31T12:00:00Z".to_owned());
                None
            }
        });
        let input = rows_of(&section, "input", &|section, name, at| {
            let known = canonical::table(name);
            if known.is_none() {
                let hint = suggest::hint(name, "canonical tables", tables::canonical_names());
                section.error(at, format!("there is no canonical table \"{name}\""), hint);
            }
            Some(
                known?
                    .columns
                    .iter()
                    .map(|c| Column { name: c.name, kind: c.kind, required: c.required })
                    .collect(),
            )
        });
        let known = published(transforms);
        let expect = rows_of(&section, "expect", &|section, name, at| {
            if !known.contains(&name) {
                let hint = suggest::hint(name, "output tables", known.iter().copied());
                section.error(at, format!("there is no output table \"{name}\""), hint);
            }
            // What a transform makes is known only when it is planned.
            if transforms.iter().any(|t| t == name) {
                return None;
            }
            let columns = throughline_attribution::output_table(name)?.columns;
            Some(
                columns
                    .iter()
                    .map(|c| Column { name: c.name, kind: kind_of(c.kind), required: false })
                    .collect(),
            )
        });
        if expect.is_empty() && !section.table.contains_key("expect") {
            let hint = "add [[test.expect.<output table>]] with a row".to_owned();
            section.error(section.span.clone(), "the test expects nothing", hint);
        }
        section.finish();
        let (Some(name), Some(now_us)) = (name, now_us) else { continue };
        let place = top.report.source.place(value.span().start);
        tests.push(TestCase { name: name.value.to_owned(), now_us, input, expect, place });
    }
    unique(top.report, "test", &names);
    tests
}

/// A column that a row may have.
struct Column {
    name: &'static str,
    kind: ColumnType,
    required: bool,
}

fn kind_of(kind: Kind) -> ColumnType {
    match kind {
        Kind::Text => ColumnType::Text,
        Kind::Int => ColumnType::Int,
        Kind::Float => ColumnType::Float,
        Kind::Bool => ColumnType::Bool,
        Kind::Instant => ColumnType::Instant,
        Kind::Date => ColumnType::Date,
        Kind::Money => ColumnType::Decimal,
        Kind::TextList => ColumnType::TextList,
    }
}

/// The columns of a table, where they are known; a table that does not exist is reported.
type Known<'k> = dyn Fn(&Section<'_>, &str, std::ops::Range<usize>) -> Option<Vec<Column>> + 'k;

/// The tables below `[test.input]` or `[test.expect]`.
fn rows_of(section: &Section<'_>, key: &'static str, known: &Known<'_>) -> BTreeMap<String, Rows> {
    let mut all = BTreeMap::new();
    let Some(tables) = section.table(key, format!("{} {key}", section.who.borrow())) else { return all };
    for (name, value) in tables.table {
        let columns = known(section, name.get_ref(), name.span());
        let DeValue::Array(list) = value.get_ref() else {
            let hint = format!("write [[test.{key}.{}]] for each row", name.get_ref());
            section.error(value.span(), format!("{key}.{} must be rows", name.get_ref()), hint);
            continue;
        };
        let mut rows = Rows::new();
        for item in list {
            match item.get_ref() {
                DeValue::Table(row) => {
                    rows.push(read_row(section, name.get_ref(), row, item, columns.as_deref()))
                }
                other => {
                    let found = type_name(other);
                    section.error(item.span(), format!("a row must be a table, found {found}"), None);
                }
            }
        }
        all.insert(name.get_ref().to_string(), rows);
    }
    all
}

fn read_row(
    section: &Section<'_>,
    name: &str,
    row: &DeTable<'_>,
    at: &Value<'_>,
    columns: Option<&[Column]>,
) -> Map<String, Json> {
    let mut out = Map::new();
    for (key, value) in row {
        let column = columns.map(|all| (all, all.iter().find(|c| c.name == key.get_ref().as_ref())));
        let kind = match column {
            Some((all, None)) => {
                let hint = suggest::hint(key.get_ref(), "columns", all.iter().map(|c| c.name));
                let message = format!("table \"{name}\" has no column \"{}\"", key.get_ref());
                section.error(key.span(), message, hint);
                continue;
            }
            Some((_, Some(column))) => Some(column.kind),
            None => None,
        };
        match cell(value.get_ref(), kind) {
            Ok(json) => {
                out.insert(key.get_ref().to_string(), json);
            }
            Err(why) => section.error(value.span(), format!("{name}.{}: {why}", key.get_ref()), None),
        }
    }
    for column in columns.unwrap_or_default() {
        if column.required && !row.contains_key(column.name) {
            let message = format!("a row of \"{name}\" lacks the required column \"{}\"", column.name);
            section.error(at.span(), message, None);
        }
    }
    out
}

/// A value as JSON, checked against the column's type where that is known.
fn cell(value: &DeValue<'_>, kind: Option<ColumnType>) -> Result<Json, String> {
    let wrong = |wanted: &str| Err(format!("must be {wanted}, found {}", type_name(value)));
    let whole = |least: i128, most: i128| -> Result<Json, String> {
        let number = value.as_integer().and_then(|i| i128::from_str_radix(i.as_str(), i.radix()).ok());
        match number.filter(|n| (least..=most).contains(n)) {
            Some(n) => Ok(i64::try_from(n).map(Json::from).unwrap_or_else(|_| Json::from(n as u64))),
            None if value.is_integer() => Err("does not fit into 64 bits".into()),
            None => wrong("a whole number"),
        }
    };
    match kind {
        None => any_cell(value),
        Some(ColumnType::Text | ColumnType::Json) => {
            value.as_str().map(Json::from).map_or_else(|| wrong("text"), Ok)
        }
        Some(ColumnType::Int) => whole(i64::MIN.into(), i64::MAX.into()),
        Some(ColumnType::Uint) => whole(0, u64::MAX.into()),
        Some(ColumnType::Bool) => value.as_bool().map(Json::from).map_or_else(|| wrong("true or false"), Ok),
        Some(ColumnType::Float | ColumnType::Decimal) => match value {
            DeValue::Integer(_) | DeValue::Float(_) => any_cell(value),
            // Exact amounts, beyond what a float holds.
            DeValue::String(text) if text.trim().parse::<f64>().is_ok_and(f64::is_finite) => {
                Ok(text.trim().into())
            }
            _ => wrong("a number"),
        },
        Some(ColumnType::Instant) => {
            instant(value).map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true).into())
        }
        Some(ColumnType::Date) => match value {
            DeValue::Datetime(when) if when.time.is_none() => Ok(when.to_string().into()),
            DeValue::String(text) if NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok() => {
                Ok(text.as_ref().into())
            }
            _ => wrong("a day such as 2026-01-31"),
        },
        Some(ColumnType::TextList) => match value {
            DeValue::Array(list) if list.iter().all(|i| i.get_ref().is_str()) => any_cell(value),
            _ => wrong("a list of text"),
        },
    }
}

fn any_cell(value: &DeValue<'_>) -> Result<Json, String> {
    match value {
        DeValue::String(text) => Ok(text.as_ref().into()),
        DeValue::Integer(i) => i64::from_str_radix(i.as_str(), i.radix())
            .map(Json::from)
            .map_err(|_| "does not fit into 64 bits".into()),
        DeValue::Float(f) => {
            let number = f.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            number.map(Json::Number).ok_or_else(|| "not a finite number".into())
        }
        DeValue::Boolean(flag) => Ok(Json::Bool(*flag)),
        DeValue::Datetime(when) if when.date.is_some() && when.time.is_some() => {
            instant(value).map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true).into())
        }
        DeValue::Datetime(when) => Ok(when.to_string().into()),
        DeValue::Array(list) => {
            list.iter().map(|item| any_cell(item.get_ref())).collect::<Result<_, _>>().map(Json::Array)
        }
        DeValue::Table(_) => Err("must be a value, found a table".into()),
    }
}

/// An instant, written as a TOML date-time or as text; a time without a zone is nobody's.
fn instant(value: &DeValue<'_>) -> Result<DateTime<chrono::Utc>, String> {
    let text = match value {
        DeValue::Datetime(when) if when.offset.is_some() => when.to_string(),
        DeValue::Datetime(_) => return Err("must be an instant with a zone: add Z or an offset".into()),
        DeValue::String(text) => text.to_string(),
        other => return Err(format!("must be an instant, found {}", type_name(other))),
    };
    let parsed = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1));
    let utc =
        parsed.map_err(|_| format!("\"{text}\" is not an instant such as 2026-01-31T12:00:00Z"))?.to_utc();
    // Year 0 and 9999 are slips of the hand and would end up in no window.
    if (0..253_402_300_800).contains(&utc.timestamp()) {
        Ok(utc)
    } else {
        Err(format!("\"{text}\" is out of range"))
    }
}
