//! From what landed to what a mapping may rely on: contract types, current versions, valid windows.
//!
//! Builds the SELECT behind a stream's bare name in `mapping.sql`. A column of the contract is always
//! there and always of its type; the rest is as it landed.

use arrow::datatypes::{DataType, SchemaRef};
use throughline_core::{ColumnSpec, ColumnType, StreamSpec};

use crate::land::{SEQ, WINDOW};

/// The view of one stream.
pub struct StreamView {
    /// Current rows that keep the contract.
    pub select: String,
    /// SELECTs of rows that break it: the reason as `_tl_reason`, then all landed columns. None when the
    /// stream has no key and the landed types cannot break it.
    pub broken: Vec<String>,
}

/// `raw` is the bound table of landed segments, `windows` (day DATE, window_id) says which window
/// is the latest truth about a day and is bound only when the stream restates.
pub fn stream_view(spec: &StreamSpec, landed: &SchemaRef, raw: &str, windows: Option<&str>) -> StreamView {
    let current = current_rows(spec, landed, raw, windows);
    let mut columns = Vec::new();
    let mut breaks: Vec<(String, String)> = Vec::new();
    for column in &spec.columns {
        let name = quoted(&column.name);
        let Ok(field) = landed.field_with_name(&column.name) else {
            columns.push(format!("arrow_cast(NULL, '{}') AS {name}", column.kind.arrow()));
            continue;
        };
        match conversion(column, field.data_type()) {
            Conversion::Same => columns.push(format!("r.{name} AS {name}")),
            Conversion::Total(sql) => columns.push(format!("{sql} AS {name}")),
            Conversion::Partial(sql) => {
                breaks.push((
                    format!("r.{name} IS NOT NULL AND ({sql}) IS NULL"),
                    format!(
                        "'column {} holds ' || CAST(r.{name} AS VARCHAR) || ', which is no {}'",
                        column.name.replace('\'', "''"),
                        word(column.kind)
                    ),
                ));
                columns.push(format!("{sql} AS {name}"));
            }
        }
    }
    for field in landed.fields() {
        if !spec.columns.iter().any(|c| &c.name == field.name()) {
            let name = quoted(field.name());
            columns.push(format!("r.{name} AS {name}"));
        }
    }
    let list = columns.join(", ");
    let unbroken: String = breaks.iter().map(|(test, _)| format!(" AND NOT ({test})")).collect();
    let select = format!("SELECT {list} FROM ({current}) r WHERE TRUE{unbroken}");
    let mut broken: Vec<String> = keyless_rows(spec, landed, raw, windows).into_iter().collect();
    broken.extend((!breaks.is_empty()).then(|| {
        let tests: Vec<&str> = breaks.iter().map(|(t, _)| t.as_str()).collect();
        let cases: String =
            breaks.iter().map(|(test, reason)| format!(" WHEN {test} THEN {reason}")).collect();
        format!(
            "SELECT CASE{cases} END AS _tl_reason, r.* FROM ({current}) r WHERE ({})",
            tests.join(") OR (")
        )
    }));
    StreamView { select, broken }
}

/// The key's columns, when all of them landed.
fn landed_key(spec: &StreamSpec, landed: &SchemaRef) -> Option<Vec<String>> {
    let keyed = !spec.key.is_empty() && spec.key.iter().all(|k| landed.field_with_name(k).is_ok());
    keyed.then(|| spec.key.iter().map(|k| quoted(k)).collect())
}

/// Holds for rows without any part of their key. (A part may be null: an ad group of a campaign that has
/// none.)
fn keyless(key: &[String], table: &str) -> String {
    key.iter().map(|k| format!("{table}.{k} IS NULL")).collect::<Vec<_>>().join(" AND ")
}

/// They are no versions of one another, and of nothing else: all of them are set aside.
fn keyless_rows(spec: &StreamSpec, landed: &SchemaRef, raw: &str, windows: Option<&str>) -> Option<String> {
    let key = landed_key(spec, landed)?;
    let names = spec.key.join(", ").replace('\'', "''");
    let (from, keyless) = (valid_rows(spec, landed, raw, windows), keyless(&key, "r"));
    Some(format!("SELECT 'the key ({names}) is missing' AS _tl_reason, r.* FROM {from} r WHERE {keyless}"))
}

/// Less the rows of windows that a later one replaced.
fn valid_rows(spec: &StreamSpec, landed: &SchemaRef, raw: &str, windows: Option<&str>) -> String {
    // Where nothing landed yet, no day did.
    if let (Some(restates), Some(windows)) = (&spec.restates, windows)
        && landed.field_with_name(&restates.day_column).is_ok()
    {
        let day = quoted(&restates.day_column);
        return format!(
            "(SELECT w.* FROM {raw} w LEFT JOIN {windows} t \
             ON t.day = TRY_CAST(substr(CAST(w.{day} AS VARCHAR), 1, 10) AS DATE) \
             WHERE t.window_id IS NULL AND w.{WINDOW} IS NULL OR t.window_id = w.{WINDOW})"
        );
    }
    raw.to_owned()
}

/// The latest version of each key.
fn current_rows(spec: &StreamSpec, landed: &SchemaRef, raw: &str, windows: Option<&str>) -> String {
    let from = valid_rows(spec, landed, raw, windows);
    let Some(key) = landed_key(spec, landed) else { return format!("SELECT * FROM {from}") };
    // Only the winners' numbers go through the hash table, not their rows: of a join the left side is held.
    // `IN` would put the rows there.
    format!(
        "SELECT v.* FROM (SELECT max(g.{SEQ}) AS last FROM {from} g WHERE NOT ({}) GROUP BY {}) k \
         JOIN {from} v ON v.{SEQ} = k.last",
        keyless(&key, "g"),
        key.iter().map(|k| format!("g.{k}")).collect::<Vec<_>>().join(", ")
    )
}

enum Conversion {
    Same,
    /// Every landed value has one.
    Total(String),
    /// Null where a value does not fit.
    Partial(String),
}

fn conversion(column: &ColumnSpec, landed: &DataType) -> Conversion {
    use Conversion::{Partial, Same, Total};
    let r = format!("r.{}", quoted(&column.name));
    if landed == &column.kind.arrow() {
        return Same;
    }
    match column.kind {
        ColumnType::Text | ColumnType::Json => match landed {
            DataType::Decimal128(..) => Total(format!("decimal_text({r})")),
            DataType::List(_) => Total(format!("json_array({r})")),
            _ => Total(format!("CAST({r} AS VARCHAR)")),
        },
        ColumnType::Int => match landed {
            // A decimal or a text counts as a whole number only when nothing is lost.
            DataType::Decimal128(..) => Partial(format!(
                "CASE WHEN CAST(TRY_CAST({r} AS BIGINT) AS DECIMAL(38, 9)) = {r} THEN TRY_CAST({r} AS BIGINT) END"
            )),
            DataType::Boolean => Total(format!("CAST({r} AS BIGINT)")),
            _ => Partial(format!("TRY_CAST({r} AS BIGINT)")),
        },
        ColumnType::Uint => Partial(format!("arrow_try_cast({r}, 'UInt64')")),
        ColumnType::Decimal => match landed {
            DataType::Int64 | DataType::UInt64 => Total(format!("CAST({r} AS DECIMAL(38, 9))")),
            _ => Partial(format!("TRY_CAST({r} AS DECIMAL(38, 9))")),
        },
        ColumnType::Float => match landed {
            DataType::Int64 | DataType::Decimal128(..) => Total(format!("CAST({r} AS DOUBLE)")),
            _ => Partial(format!("TRY_CAST({r} AS DOUBLE)")),
        },
        ColumnType::Bool => Partial(format!("TRY_CAST({r} AS BOOLEAN)")),
        ColumnType::Instant => match landed {
            DataType::Int64 => Partial(format!("unix_to_instant({r})")),
            DataType::Timestamp(..) | DataType::Date32 => {
                Total(format!("arrow_cast({r}, 'Timestamp(Microsecond, Some(\"UTC\"))')"))
            }
            _ => Partial(format!("parse_instant(CAST({r} AS VARCHAR), 'UTC')")),
        },
        ColumnType::Date => Partial(format!("TRY_CAST({r} AS DATE)")),
        ColumnType::TextList => Partial(format!("json_list(CAST({r} AS VARCHAR), '[*]')")),
    }
}

fn word(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Text => "text",
        ColumnType::Int | ColumnType::Uint => "whole number",
        ColumnType::Decimal | ColumnType::Float => "number",
        ColumnType::Bool => "true or false",
        ColumnType::Instant => "instant",
        ColumnType::Date => "date (YYYY-MM-DD)",
        ColumnType::Json => "JSON",
        ColumnType::TextList => "list of texts",
    }
}

pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
