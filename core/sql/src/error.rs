//! DataFusion's errors in our words: what, where in the SQL, what to do.

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::Location;
use throughline_core::{Error, ErrorKind};

use crate::statement::{end_of, find_identifier};

/// Names where in the SQL text an error is: line and column, from 1, in characters. The caller who
/// knows where the text came from turns them into a place in a file.
pub(crate) fn at(error: Error, location: Location) -> Error {
    if location.line == 0 {
        return error;
    }
    error.with("sql_line", location.line).with("sql_column", location.column)
}

/// An error found before anything ran: the person must edit the SQL. `tables` are the names that
/// exist, for suggestions.
pub(crate) fn planning(error: &DataFusionError, sql: &str, tables: &[String]) -> Error {
    // Of several errors in one statement the first is enough: the next may follow from it.
    let first = error.iter().next().unwrap_or(error);
    let span = first.diagnostic().and_then(|d| d.span).map(|s| Location::new(s.start.line, s.start.column));
    if let DataFusionError::SQL(e, _) = root(first) {
        return syntax(e, sql);
    }
    let (error, name) = describe(root(first), tables);
    match span.or_else(|| name.and_then(|name| find_identifier(sql, &name))) {
        Some(location) => at(error, location),
        None => error,
    }
}

/// The parser says the place at the end of its message.
fn syntax(error: &ParserError, sql: &str) -> Error {
    let text = match error {
        ParserError::TokenizerError(m) | ParserError::ParserError(m) => m.as_str(),
        ParserError::RecursionLimitExceeded => "the statement is nested too deeply",
    };
    let (message, location) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, parse_location(place)),
        None if text.ends_with("found: EOF") => (text, end_of(sql)),
        None => (text, None),
    };
    let error = Error::config(format!("SQL: {}", lower_first(message)));
    if let Some(location) = location { at(error, location) } else { error }
}

fn parse_location(text: &str) -> Option<Location> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?))
}

fn root(error: &DataFusionError) -> &DataFusionError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(error, root),
        other => other,
    }
}

/// Our words for it, and the identifier it is about.
fn describe(error: &DataFusionError, tables: &[String]) -> (Error, Option<String>) {
    match error {
        DataFusionError::SchemaError(e, _) => describe_schema(e),
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Execution(text) => describe_plan(text, tables),
        other => (other_error(other, ErrorKind::Config), None),
    }
}

fn describe_schema(error: &SchemaError) -> (Error, Option<String>) {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let error = Error::config(format!("column {} does not exist", quoted(field)));
            let hint = column_hint(field, valid_fields);
            (if hint.is_empty() { error } else { error.hint(hint) }, Some(field.name.clone()))
        }
        SchemaError::AmbiguousReference { field } => (
            Error::config(format!("column {} is in more than one table here", quoted(field)))
                .hint("write table.column"),
            Some(field.name.clone()),
        ),
        SchemaError::DuplicateUnqualifiedField { name }
        | SchemaError::DuplicateQualifiedField { name, .. } => (
            Error::config(format!("the column name \"{name}\" is given twice")).hint("rename one with AS"),
            Some(name.clone()),
        ),
    }
}

fn quoted(column: &Column) -> String {
    format!("\"{}\"", column.flat_name())
}

fn column_hint(field: &Column, valid: &[Column]) -> String {
    let mut hint = String::new();
    if let Some(same) =
        valid.iter().find(|c| c.name != field.name && c.name.eq_ignore_ascii_case(&field.name))
    {
        hint = format!("names are lower-cased unless quoted: write \"{}\"; ", same.name);
    } else if let Some(close) = closest(&field.name, valid.iter().map(|c| c.name.as_str())) {
        hint = format!("did you mean \"{close}\"? ");
    }
    let mut names: Vec<&str> = valid.iter().map(|c| c.name.as_str()).collect();
    names.dedup();
    if !names.is_empty() {
        const SHOWN: usize = 40;
        hint.push_str("valid columns are ");
        hint.push_str(&names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", "));
        if names.len() > SHOWN {
            hint.push_str(&format!(" and {} more", names.len() - SHOWN));
        }
    }
    hint
}

fn describe_plan(text: &str, tables: &[String]) -> (Error, Option<String>) {
    let text = text.split("\n\nbacktrace:").next().unwrap_or(text).trim();
    let text = text.replace("While expanding wildcard, ", "");
    // Our own words about arguments, wrapped.
    let text = match text.split_once("coercion failed with: Error during planning: ") {
        Some((_, own)) => own.split(". No function matches").next().unwrap_or(own).to_string(),
        None => text,
    };
    if let Some(name) = text.strip_prefix("table '").and_then(|t| t.strip_suffix("' not found")) {
        let bare = name.strip_prefix("datafusion.public.").unwrap_or(name);
        let error = Error::config(format!("table \"{bare}\" does not exist"));
        let hint = match closest(bare, tables.iter().map(String::as_str)) {
            Some(close) => format!("did you mean \"{close}\"? "),
            None => String::new(),
        };
        let hint = if tables.is_empty() { hint } else { format!("{hint}there are {}", tables.join(", ")) };
        return (if hint.is_empty() { error } else { error.hint(hint) }, Some(bare.to_string()));
    }
    if let Some(rest) = text.strip_prefix("Invalid function '")
        && let Some((name, suggestion)) = rest.split_once("'.")
    {
        let hint = suggestion.trim().strip_prefix("Did you mean ").map(|s| format!("did you mean {s}"));
        let error = Error::config(format!("function \"{name}\" does not exist"));
        return (if let Some(hint) = hint { error.hint(hint) } else { error }, Some(name.to_string()));
    }
    // Our functions begin with their name.
    let function = text
        .split_once(": ")
        .map(|(name, _)| name)
        .filter(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
    (Error::config(lower_first(&one_line(&text))), function.map(str::to_string))
}

/// The nearest of `names`, when it is near enough to be a slip.
fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    names
        .map(|n| (distance(&name.to_lowercase(), &n.to_lowercase()), n))
        .filter(|(d, _)| *d <= allowed)
        .min_by_key(|(d, _)| *d)
        .map(|(_, n)| n)
}

/// Levenshtein.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// An error while rows were flowing.
pub(crate) fn running(error: &DataFusionError) -> Error {
    other_error(root(error), ErrorKind::Data)
}

pub(crate) fn is_exhausted(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(text) if !text.contains("disk"))
}

fn other_error(error: &DataFusionError, otherwise: ErrorKind) -> Error {
    let text = error.message();
    let text = one_line(text.split("\n\nbacktrace:").next().unwrap_or(&text));
    match error {
        DataFusionError::ResourcesExhausted(_) if text.contains("disk") => {
            Error::new(ErrorKind::Io, format!("spill files outgrew the disk: {text}"))
        }
        DataFusionError::ResourcesExhausted(_) => {
            Error::config(format!("this step needs more memory than it may use: {text}"))
                .hint("raise `memory` under [engine]")
        }
        DataFusionError::IoError(e) => Error::new(ErrorKind::Io, e.to_string()),
        DataFusionError::ObjectStore(_) => Error::new(ErrorKind::Io, text),
        DataFusionError::ParquetError(_) => Error::data(format!("a Parquet file cannot be read: {text}")),
        DataFusionError::ArrowError(e, _) if matches!(e.as_ref(), arrow::error::ArrowError::DivideByZero) => {
            Error::data("division by zero").hint("guard the divisor: a / nullif(b, 0)")
        }
        DataFusionError::Internal(_) | DataFusionError::ExecutionJoin(_) => {
            Error::bug(format!("the SQL engine failed: {text}"))
        }
        DataFusionError::External(e) => match e.downcast_ref::<Error>() {
            Some(own) => {
                let copy = Error::new(own.kind(), own.message().to_string());
                if let Some(hint) = own.hint_text() { copy.hint(hint.to_string()) } else { copy }
            }
            None => Error::new(otherwise, text),
        },
        _ => Error::new(otherwise, lower_first(&text)),
    }
}

fn one_line(text: &str) -> String {
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Our messages start in lower case; a name in capitals stays.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(text.chars().skip(1)).collect()
        }
        _ => text.to_string(),
    }
}
