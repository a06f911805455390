//! Tab-separated reports with a header, bytes to columns.
//!
//! Rows are lines, columns are told apart by the header. What a cell may hold besides its text is the
//! vendor's [`Dialect`].

use std::io::Read;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use memchr::{memchr, memchr_iter};
use throughline_core::{Error, Reject, Result};

use crate::lines::{HEAD, Line, Lines};

const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;
/// A cell may have 20 MB, escapes included.
const LINE_MAX: usize = 32 << 20;

/// Writes a vendor's list as JSON; false when the cell is none after all.
pub type ListToJson = fn(&str, &mut String) -> bool;

/// How a vendor writes cells.
#[derive(Clone, Copy)]
pub struct Dialect {
    /// What stands for no value.
    pub null: &'static str,
    /// Whether what would break a line or a cell is escaped with a backslash.
    pub escaped: bool,
    /// How cells of a column that begin with `[` become JSON; `None` where they are text.
    pub list: fn(column: &str) -> Option<ListToJson>,
}

struct Column {
    list: Option<ListToJson>,
    values: StringBuilder,
}

/// Reads one report, or one part of it that has a header of its own.
pub struct Part<R> {
    lines: Lines<R>,
    /// For messages, e.g. `request 777, part 0`.
    name: String,
    names: Vec<String>,
    columns: Vec<Column>,
    dialect: Dialect,
    constants: Vec<(String, String)>,
    /// A column and the values it may have, both ends included: days as `YYYY-MM-DD`.
    within: Option<(usize, String, String)>,
    schema: SchemaRef,
    cells: Vec<std::ops::Range<usize>>,
    scratch: String,
    rejects: Vec<Reject>,
    rows: usize,
    bytes: usize,
}

impl<R: Read> Part<R> {
    /// Reads the header. Every row gets the `constants` as further columns.
    ///
    /// # Errors
    /// `Protocol` when there is no usable header, `Io`.
    pub fn open(
        reader: R,
        name: impl Into<String>,
        dialect: Dialect,
        constants: &[(&str, &str)],
    ) -> Result<Self> {
        let name = name.into();
        let mut lines = Lines::new(reader, LINE_MAX);
        let broken = |what: &str| Error::protocol(format!("{name}: {what}"));
        let line = lines.next().map_err(|e| Error::io("read", &name, e))?;
        let line = line.ok_or_else(|| broken("is empty, without even a header"))?;
        let header = std::str::from_utf8(line.bytes).map_err(|_| broken("the header is no UTF-8"))?;
        let mut names: Vec<String> = Vec::new();
        for column in header.trim_end_matches('\r').split('\t') {
            if column.is_empty() || names.iter().any(|n| n == column) {
                return Err(broken(&format!("the header names the column {column:?} twice or not at all")));
            }
            names.push(column.to_owned());
        }
        let constants: Vec<(String, String)> =
            constants.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let all = names.iter().chain(constants.iter().map(|(n, _)| n));
        let schema =
            Arc::new(Schema::new(all.map(|n| Field::new(n, DataType::Utf8, true)).collect::<Vec<_>>()));
        let columns =
            names.iter().map(|n| Column { list: (dialect.list)(n), values: StringBuilder::new() }).collect();
        Ok(Self {
            lines,
            name,
            names,
            columns,
            dialect,
            constants,
            within: None,
            schema,
            cells: Vec::new(),
            scratch: String::new(),
            rejects: Vec::new(),
            rows: 0,
            bytes: 0,
        })
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Rows whose `column` is not from `first` to `last` are rejected: they do not belong to what was
    /// asked for, and replacing that must not touch other days.
    pub fn only_within(&mut self, column: &str, first: &str, last: &str) {
        let column = self.names.iter().position(|n| n == column);
        self.within = column.map(|c| (c, first.to_owned(), last.to_owned()));
    }

    /// Rows that could not be used since the last call.
    pub fn take_rejects(&mut self) -> Vec<Reject> {
        std::mem::take(&mut self.rejects)
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// `Io`.
    pub fn next_batch(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            let line = match self.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(e) => return Err(Error::io("read", &self.name, e)),
            };
            if line.bytes.is_empty() && self.columns.len() > 1 {
                continue;
            }
            match split(&line, self.columns.len(), self.within.as_ref(), &mut self.cells) {
                Err(reason) => {
                    let cut = line.bytes.len() > HEAD || line.too_long.is_some();
                    let reason = if cut {
                        format!("{reason}; only its first {HEAD} bytes are kept here")
                    } else {
                        reason
                    };
                    self.rejects.push(Reject {
                        reason,
                        place: format!("{}, line {}", self.name, line.number),
                        raw: Bytes::copy_from_slice(&line.bytes[..line.bytes.len().min(HEAD)]),
                    });
                }
                Ok(text) => {
                    for (cell, column) in self.cells.iter().zip(&mut self.columns) {
                        let text = text.get(cell.clone()).unwrap_or_default();
                        column.push(text, &self.dialect, &mut self.scratch);
                    }
                    self.rows += 1;
                    self.bytes += line.bytes.len();
                }
            }
            if self.rows >= BATCH_ROWS || self.bytes >= BATCH_BYTES || self.rejects.len() >= BATCH_ROWS {
                break;
            }
        }
        if self.rows == 0 && self.rejects.is_empty() {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut arrays: Vec<ArrayRef> =
            self.columns.iter_mut().map(|c| Arc::new(c.values.finish()) as ArrayRef).collect();
        for (_, value) in &self.constants {
            let mut constant = StringBuilder::with_capacity(rows, rows * value.len());
            (0..rows).for_each(|_| constant.append_value(value));
            arrays.push(Arc::new(constant.finish()));
        }
        Ok(Some(RecordBatch::try_new(self.schema.clone(), arrays)?))
    }
}

/// The line's text and cells, or why it is no row.
fn split<'l>(
    line: &Line<'l>,
    columns: usize,
    within: Option<&(usize, String, String)>,
    cells: &mut Vec<std::ops::Range<usize>>,
) -> Result<&'l str, String> {
    if let Some(length) = line.too_long {
        return Err(format!("the row is {length} bytes long; at most {LINE_MAX} are taken"));
    }
    let text = std::str::from_utf8(line.bytes)
        .map_err(|e| format!("the row is no UTF-8 at byte {}", e.valid_up_to()))?;
    cells.clear();
    let mut start = 0;
    for tab in memchr_iter(b'\t', line.bytes) {
        cells.push(start..tab);
        start = tab + 1;
    }
    cells.push(start..line.bytes.len());
    if cells.len() != columns {
        return Err(format!("the row has {} cells, the header {columns}", cells.len()));
    }
    if let Some((column, first, last)) = within {
        let value = cells.get(*column).and_then(|c| text.get(c.clone())).unwrap_or_default();
        if value < first.as_str() || value > last.as_str() || value.len() != first.len() {
            return Err(format!("the row is of {value:?}; {first} to {last} were asked for"));
        }
    }
    Ok(text)
}

impl Column {
    fn push(&mut self, cell: &str, dialect: &Dialect, scratch: &mut String) {
        if cell == dialect.null {
            self.values.append_null();
            return;
        }
        if let Some(to_json) = self.list
            && cell.starts_with('[')
        {
            scratch.clear();
            if to_json(cell, scratch) {
                self.values.append_value(&*scratch);
                return;
            }
        }
        if !dialect.escaped || memchr(b'\\', cell.as_bytes()).is_none() {
            self.values.append_value(cell);
        } else {
            scratch.clear();
            unescape(cell, scratch);
            self.values.append_value(&*scratch);
        }
    }
}

/// Undoes the backslash escapes of ClickHouse's TabSeparated. What follows an unknown one stands for itself.
pub(crate) fn unescape(cell: &str, out: &mut String) {
    let mut rest = cell;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        let mut after = rest[at + 1..].chars();
        match after.next() {
            None => out.push('\\'),
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('a') => out.push('\u{7}'),
            Some('v') => out.push('\u{b}'),
            Some('0') => out.push('\0'),
            Some(other) => out.push(other),
        }
        rest = after.as_str();
    }
    out.push_str(rest);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use arrow::array::{Array, AsArray};

    use super::*;

    const ESCAPED: Dialect = Dialect { null: "\\N", escaped: true, list: |_| None };

    fn rows(batch: &RecordBatch) -> Vec<Vec<Option<String>>> {
        (0..batch.num_rows())
            .map(|r| {
                let cell = |c: &ArrayRef| {
                    let c = c.as_string::<i32>();
                    (!c.is_null(r)).then(|| c.value(r).to_owned())
                };
                batch.columns().iter().map(cell).collect()
            })
            .collect()
    }

    #[test]
    fn cells_are_what_the_dialect_says() {
        let text = "a\tb\n1\\t2\t--\n\\N\t[x]\n".as_bytes();
        let read = |dialect| {
            let mut part = Part::open(text, "part 0", dialect, &[("zone", "Z")]).unwrap();
            let batch = part.next_batch().unwrap().unwrap();
            assert!(part.next_batch().unwrap().is_none());
            rows(&batch)
        };
        let some = |s: &str| Some(s.to_owned());
        assert_eq!(
            read(ESCAPED),
            [vec![some("1\t2"), some("--"), some("Z")], vec![None, some("[x]"), some("Z")]]
        );
        let plain = Dialect { null: "--", escaped: false, list: |_| None };
        assert_eq!(
            read(plain),
            [vec![some("1\\t2"), None, some("Z")], vec![some("\\N"), some("[x]"), some("Z")]]
        );
    }

    #[test]
    fn a_bad_row_goes_alone() {
        let text =
            b"ym:s:date\tb\n2026-09-01\t1\n2026-09-01\n2026-09-01\t\xFF\n2026-09-02\t2\n0000-00-00\t3\n";
        let mut part = Part::open(&text[..], "part 0", ESCAPED, &[]).unwrap();
        part.only_within("ym:s:date", "2026-09-01", "2026-09-01");
        let batch = part.next_batch().unwrap().unwrap();
        assert_eq!(batch.num_rows(), 1);
        let rejects = part.take_rejects();
        let places: Vec<&str> = rejects.iter().map(|r| r.place.as_str()).collect();
        assert_eq!(
            places,
            ["part 0, line 3", "part 0, line 4", "part 0, line 5", "part 0, line 6"],
            "{rejects:?}"
        );
    }

    #[test]
    fn a_header_is_needed() {
        assert!(Part::open(&b""[..], "part 0", ESCAPED, &[]).is_err());
        assert!(Part::open(&b"a\ta\n"[..], "part 0", ESCAPED, &[]).is_err());
        let mut part = Part::open(&b"a\tb\n"[..], "part 0", ESCAPED, &[]).unwrap();
        assert!(part.next_batch().unwrap().is_none());
    }

    #[test]
    fn rows_around_a_batch_come_once() {
        for count in [0, 1, BATCH_ROWS - 1, BATCH_ROWS, BATCH_ROWS + 1, 2 * BATCH_ROWS] {
            let text = (0..count).fold("n\n".to_owned(), |all, n| all + &n.to_string() + "\n");
            let mut part = Part::open(text.as_bytes(), "part 0", ESCAPED, &[]).unwrap();
            let (mut next, mut batches) = (0, 0);
            while let Some(batch) = part.next_batch().unwrap() {
                batches += 1;
                for row in rows(&batch) {
                    assert_eq!(row[0].as_deref(), Some(next.to_string().as_str()));
                    next += 1;
                }
            }
            assert_eq!((next, batches), (count, count.div_ceil(BATCH_ROWS)));
        }
    }
}
