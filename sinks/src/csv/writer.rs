//! One table as one CSV file (RFC 4180, with `\n` between rows).

use std::io::{self, Write};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use flate2::Compression;
use flate2::write::GzEncoder;
use throughline_core::{Error, Result};

use super::cells::{Column, Kind};
use crate::files::{FileEntry, TableFile, TableFiles};
use crate::staging::TableWriter;

/// Bytes that are gathered before they go to the file.
const BUFFER: usize = 1 << 16;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Clone)]
pub(super) struct Form {
    pub delimiter: u8,
    pub null: String,
    pub bom: bool,
    pub formula_guard: bool,
    pub gzip: bool,
}

pub(super) struct CsvTable {
    out: Out,
    form: Form,
    buffer: Vec<u8>,
    rows: u64,
}

enum Out {
    Plain(Box<dyn TableFile>),
    Gzip(Box<GzEncoder<Box<dyn TableFile>>>),
}

impl Out {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(file) => file.write_all(bytes),
        }
    }
    fn into_file(self) -> io::Result<Box<dyn TableFile>> {
        match self {
            Self::Plain(file) => Ok(file),
            Self::Gzip(file) => file.finish(),
        }
    }
}

impl CsvTable {
    pub(super) fn open(files: &dyn TableFiles, schema: &SchemaRef, form: Form) -> Result<Self> {
        let file = files.create("")?;
        let out = if form.gzip {
            Out::Gzip(Box::new(GzEncoder::new(file, Compression::default())))
        } else {
            Out::Plain(file)
        };
        let mut table = Self { out, buffer: Vec::with_capacity(BUFFER * 2), rows: 0, form };
        if table.form.bom {
            table.buffer.extend_from_slice(BYTE_ORDER_MARK);
        }
        for (i, field) in schema.fields().iter().enumerate() {
            if i > 0 {
                table.buffer.push(table.form.delimiter);
            }
            quote(&mut table.buffer, field.name().as_bytes(), &table.form);
        }
        table.buffer.push(b'\n');
        Ok(table)
    }

    fn drain(&mut self) -> Result<()> {
        self.out.write_all(&self.buffer).map_err(|e| Error::io("write", "the CSV file", e))?;
        self.buffer.clear();
        Ok(())
    }
}

impl TableWriter for CsvTable {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let fields = batch.schema_ref().fields();
        let mut columns = fields
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| Column::new(field, array))
            .collect::<Result<Vec<_>>>()?;
        let mut cell = Vec::new();
        for row in 0..batch.num_rows() {
            for (i, column) in columns.iter_mut().enumerate() {
                if i > 0 {
                    self.buffer.push(self.form.delimiter);
                }
                cell.clear();
                match column.write(row, &mut cell)? {
                    Kind::Null => self.buffer.extend_from_slice(self.form.null.as_bytes()),
                    Kind::Plain => quote(&mut self.buffer, &cell, &self.form),
                    Kind::Text => {
                        if self.form.formula_guard && is_formula(&cell) {
                            cell.insert(0, b'\'');
                        }
                        quote(&mut self.buffer, &cell, &self.form);
                    }
                }
            }
            self.buffer.push(b'\n');
            if self.buffer.len() >= BUFFER {
                self.drain()?;
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<FileEntry>> {
        self.drain()?;
        let file = self.out.into_file().map_err(|e| Error::io("write", "the CSV file", e))?;
        Ok(vec![file.finish(String::new(), self.rows)?])
    }
}

/// Quotes where a reader would otherwise see something else: another cell, a line end, trimmed spaces, a
/// missing value.
fn quote(out: &mut Vec<u8>, cell: &[u8], form: &Form) {
    let special = |b: &u8| *b == form.delimiter || matches!(b, b'"' | b'\n' | b'\r');
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_whitespace());
    let quoted = cell.is_empty()
        || cell == form.null.as_bytes()
        || edge(cell.first())
        || edge(cell.last())
        || cell.iter().any(special);
    if !quoted {
        out.extend_from_slice(cell);
        return;
    }
    out.push(b'"');
    for &byte in cell {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// What spreadsheets take for a formula (OWASP, "CSV Injection").
fn is_formula(cell: &[u8]) -> bool {
    matches!(cell.first(), Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\r'))
}
