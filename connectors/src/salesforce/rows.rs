//! Records of both kinds of answers become the same columns: JSON of queries as it is, CSV of bulk jobs as the JSON
//! that a query would have given.

use std::fs::File;

use bytes::Bytes;
use throughline_core::{Error, ReadEvent, Reject, Result};

use super::answer::{Field, Page};
use super::plan::Plan;
use crate::file::delimited::{Delimited, Dialect, Failure, text};
use crate::records::{Limits, Path, RecordsBuilder, json_string};

const CSV: Dialect = Dialect { delimiter: b',', quote: Some(b'"') };

/// Builds the columns of one read.
pub(crate) struct Rows {
    records: RecordsBuilder,
    marks: Vec<(&'static str, Path)>,
    attributes: Path,
    out: String,
}

impl Rows {
    pub fn new(name: String, plan: &Plan) -> Result<Self> {
        let path = |field: &String| Path::parse(field).map_err(Error::bug);
        let marks = plan.marks.iter().map(|(mark, field)| Ok((*mark, path(field)?)));
        Ok(Self {
            marks: marks.collect::<Result<_>>()?,
            attributes: path(&"attributes".to_owned())?,
            out: String::new(),
            records: RecordsBuilder::new(Limits::default()).named(name),
        })
    }

    /// Takes the records of a page of a query; gives them.
    pub fn page<'p>(&mut self, page: &'p Page, label: &str) -> Result<Vec<&'p str>> {
        self.records.begin_page(label, Some(page.exchange));
        let rows = page.records()?;
        for (n, row) in rows.iter().enumerate() {
            let mut extra: Vec<(&str, &str)> = Vec::with_capacity(self.marks.len());
            for (mark, path) in &self.marks {
                if let Ok(Some(value)) = path.find(row.as_bytes()) {
                    extra.push((mark, value));
                }
            }
            let place = format_args!("{label}, record {}", n + 1);
            // What kind of record it is, and its address: known, and bulk jobs do not tell it.
            let attributes = self.attributes.find(row.as_bytes()).ok().flatten();
            match attributes.and_then(|found| behind(row, found)) {
                Some(rest) => {
                    self.out.clear();
                    self.out.push('{');
                    self.out.push_str(rest);
                    self.records.push_with(self.out.as_bytes(), &extra, place);
                }
                None => {
                    self.records.push_with(row.as_bytes(), &extra, place);
                }
            }
        }
        self.records.finish_page();
        Ok(rows)
    }

    pub fn take_events(&mut self) -> Vec<ReadEvent> {
        self.records.take_events()
    }
}

/// What of a record stands behind its first member, whose value is `value`.
fn behind<'r>(record: &'r str, value: &str) -> Option<&'r str> {
    let at = (value.as_ptr() as usize).checked_sub(record.as_ptr() as usize)?;
    let before = record.get(..at)?.trim_end().strip_suffix(':')?.trim_end();
    let first = before.strip_prefix('{')?.trim_start() == "\"attributes\"";
    record.get(at + value.len()..)?.trim_start().strip_prefix(',').filter(|_| first)
}

/// How many records a piece of CSV has; `None` when it is not whole.
pub(crate) fn count(file: File) -> std::io::Result<Option<u64>> {
    let mut records = Delimited::new(file, CSV);
    let mut found = 0;
    loop {
        match records.next() {
            Ok(Some(record)) => found += u64::from(found > 0 || !is_header(record.raw)),
            Ok(None) => return Ok(Some(found)),
            Err(Failure::Io(e)) => return Err(e),
            Err(Failure::Unclosed { .. }) => return Ok(None),
        }
    }
}

/// The id is asked for first, and no record's id is that word.
fn is_header(raw: &[u8]) -> bool {
    let mut first = raw.split(|b| *b == b',').next().unwrap_or_default();
    if let [b'"', inner @ .., b'"'] = first {
        first = inner;
    }
    first == b"Id"
}

#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Number,
    Moment,
    Text,
}

struct Column {
    /// Names as JSON, each with its colon: the field's, and that of a mark.
    names: Vec<String>,
    kind: Kind,
}

/// Reads a piece of a bulk job's results.
pub(crate) struct Csv<'r> {
    rows: &'r mut Rows,
    records: Delimited<File>,
    label: String,
    columns: Vec<Column>,
    out: String,
    scratch: String,
    first: bool,
    /// Records so far, rejected ones included.
    pub read: u64,
}

impl<'r> Csv<'r> {
    pub fn new(rows: &'r mut Rows, file: File, plan: &Plan, label: String, exchange: u64) -> Self {
        rows.records.begin_page(label.clone(), Some(exchange));
        let columns = plan.fields.iter().map(|field| column(field, plan)).collect();
        let (out, scratch) = (String::new(), String::new());
        let records = Delimited::new(file, CSV);
        Self { rows, records, label, columns, out, scratch, first: true, read: 0 }
    }

    /// Reads on until something is ready to be sent; `None` at the end.
    pub fn next(&mut self, plan: &Plan) -> Result<Option<Vec<ReadEvent>>> {
        let mut rejects = Vec::new();
        loop {
            let record = match self.records.next() {
                Ok(Some(record)) => record,
                Ok(None) => {
                    self.rows.records.finish_page();
                    let mut events = self.rows.take_events();
                    events.extend(rejects);
                    return Ok((!events.is_empty()).then_some(events));
                }
                Err(Failure::Io(e)) => return Err(Error::io("read", &self.label, e)),
                Err(Failure::Unclosed { line, .. }) => {
                    let message = format!("{}, line {line}: a quote is not closed", self.label);
                    return Err(Error::protocol(message).temporary(None));
                }
            };
            if std::mem::take(&mut self.first) && is_header(record.raw) {
                let raw = String::from_utf8_lossy(record.raw);
                let mut scratch = String::new();
                let names = record.fields.iter().map(|f| text(&raw, f, Some(b'"'), &mut scratch).to_owned());
                let names: Vec<String> = names.collect();
                self.columns = header(&names, plan)
                    .map_err(|why| Error::protocol(format!("{}: {why}", self.label)).temporary(None))?;
                continue;
            }
            self.read += 1;
            let place = format!("{}, line {}", self.label, record.line);
            let raw = match std::str::from_utf8(record.raw) {
                Ok(raw) if record.fields.len() == self.columns.len() && !record.malformed => raw,
                _ => {
                    let reason = format!(
                        "the record is no CSV of {} fields in UTF-8: it has {}",
                        self.columns.len(),
                        record.fields.len()
                    );
                    let raw = Bytes::copy_from_slice(&record.raw[..record.raw.len().min(1 << 20)]);
                    rejects.push(ReadEvent::Rejected(Reject { reason, place, raw }));
                    continue;
                }
            };
            self.out.clear();
            for (field, column) in record.fields.iter().zip(&self.columns) {
                let value = text(raw, field, Some(b'"'), &mut self.scratch);
                if !value.is_empty() {
                    member(&mut self.out, column, value);
                }
            }
            self.out.push_str(if self.out.is_empty() { "{}" } else { "}" });
            self.rows.records.push(self.out.as_bytes(), place);
            let mut events = self.rows.take_events();
            if !events.is_empty() || rejects.len() >= 1000 {
                events.append(&mut rejects);
                return Ok(Some(events));
            }
        }
    }
}

fn column(field: &Field, plan: &Plan) -> Column {
    let mut names = vec![format!("{}:", json_string(&field.name))];
    let marks = plan.marks.iter().filter(|(_, from)| *from == field.name);
    names.extend(marks.map(|(mark, _)| format!("{}:", json_string(mark))));
    let kind = match field.kind.as_str() {
        "boolean" => Kind::Bool,
        "int" | "long" | "double" | "currency" | "percent" => Kind::Number,
        "datetime" => Kind::Moment,
        _ => Kind::Text,
    };
    Column { names, kind }
}

/// Columns in the order of a header.
fn header(names: &[String], plan: &Plan) -> Result<Vec<Column>, String> {
    let find = |name: &String| {
        let field = plan.fields.iter().find(|f| f.name.eq_ignore_ascii_case(name));
        field.map(|f| column(f, plan)).ok_or_else(|| format!("the column {name:?} was not asked for"))
    };
    if names.len() != plan.fields.len() {
        return Err(format!("{} columns came, {} were asked for", names.len(), plan.fields.len()));
    }
    names.iter().map(find).collect()
}

fn member(out: &mut String, column: &Column, value: &str) {
    let plain = match column.kind {
        Kind::Bool => value == "true" || value == "false",
        Kind::Number => serde_json::from_str::<f64>(value).is_ok_and(f64::is_finite),
        Kind::Moment | Kind::Text => false,
    };
    // Queries write moments with an offset.
    let utc = value.strip_suffix('Z').filter(|utc| {
        matches!(column.kind, Kind::Moment) && utc.bytes().all(|b| b.is_ascii_digit() || b"-:.T".contains(&b))
    });
    for name in &column.names {
        out.push(if out.is_empty() { '{' } else { ',' });
        out.push_str(name);
        match (plain, utc) {
            (true, _) => out.push_str(value),
            (false, Some(utc)) => {
                out.push('"');
                out.push_str(utc);
                out.push_str("+0000\"");
            }
            (false, None) => out.push_str(&json_string(value)),
        }
    }
}
