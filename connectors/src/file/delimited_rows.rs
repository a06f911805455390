//! CSV and TSV records into columns of text.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field as ArrowField, Schema, SchemaRef};
use throughline_core::{Error, Result};

use super::config::{Format, Settings};
use super::decode::Decoded;
use super::delimited::{Delimited, Dialect, FIELD_MAX, Failure, Record, text};
use super::sending::Sending;
use crate::local::Opened;

const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 8 << 20;

pub(crate) struct Reader<'a> {
    file: &'a str,
    settings: &'a Settings,
    dialect: Dialect,
    records: Delimited<Decoded<Opened>>,
    names: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads as far as the header. `file` is how the file is called in messages. An empty file has no
    /// names.
    pub fn open(file: &'a str, opened: Opened, settings: &'a Settings, format: Format) -> Result<Self> {
        let usual = if format == Format::Tsv { b'\t' } else { b',' };
        let dialect = Dialect { delimiter: settings.delimiter.unwrap_or(usual), quote: settings.quote };
        let records = Delimited::new(Decoded::new(opened, settings.encoding), dialect);
        let mut reader = Self { file, settings, dialect, records, names: Vec::new() };
        reader.names = if settings.header {
            reader.header()?
        } else {
            settings.columns.iter().map(|c| c.name.clone()).collect()
        };
        Ok(reader)
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    fn failure(&self, failure: Failure) -> Error {
        let file = self.file;
        match failure {
            Failure::Io(e) => self.records.reader().reader().error(e),
            Failure::Unclosed { line, at_end } => {
                let found = if at_end { "the file ends" } else { "64 MB follow" };
                Error::data(format!(
                    "{file}:{line}: a quote is opened in this record and {found} before it is closed"
                ))
                .hint("close the quote, or set `quote = \"\"` when quotes mean nothing in this file")
            }
        }
    }

    fn header(&mut self) -> Result<Vec<String>> {
        let file = self.file;
        let record = match self.records.next() {
            Ok(None) => return Ok(Vec::new()),
            Ok(Some(record)) => record,
            Err(e) => return Err(self.failure(e)),
        };
        let Ok(raw) = std::str::from_utf8(record.raw) else {
            let utf16 = record.raw.starts_with(&[0xFF, 0xFE]) || record.raw.starts_with(&[0xFE, 0xFF]);
            let name = if utf16 { "utf-16le" } else { "windows-1251" };
            return Err(Error::data(format!("{file}:{}: the header is no UTF-8", record.line))
                .hint(format!("set the encoding, e.g. `encoding = \"{name}\"`")));
        };
        let mut scratch = String::new();
        let mut names: Vec<String> = Vec::with_capacity(record.fields.len());
        for (i, field) in record.fields.iter().enumerate() {
            let name = text(raw, field, self.dialect.quote, &mut scratch).trim();
            let name = if name.is_empty() { format!("column_{}", i + 1) } else { name.to_owned() };
            if name.starts_with("_tl_") {
                return Err(Error::data(format!(
                    "{file}: names that begin with _tl_, as {name:?}, are taken"
                )));
            }
            if names.contains(&name) {
                return Err(Error::data(format!("{file}: the header names the column {name:?} twice"))
                    .hint("rename one, or set `header = false` and name the columns yourself"));
            }
            names.push(name);
        }
        Ok(names)
    }

    /// Sends all records.
    pub fn send(mut self, to: &mut Sending<'_>) -> Result<()> {
        let mut rows = Rows::new(&self.names);
        let mut scratch = String::new();
        let strict = self.settings.encoding != encoding_rs::UTF_8;
        loop {
            let record = match self.records.next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(e) => return Err(self.failure(e)),
            };
            if to.skips() {
                continue;
            }
            match check(&record, self.names.len(), strict) {
                Ok(raw) => {
                    if rows.rows == 0 {
                        rows.first_line = record.line;
                    }
                    for (field, column) in record.fields.iter().zip(&mut rows.columns) {
                        let value = text(raw, field, self.dialect.quote, &mut scratch);
                        if self.settings.null.iter().any(|n| n == value) {
                            column.append_null();
                        } else {
                            column.append_value(value);
                        }
                    }
                    rows.rows += 1;
                    rows.bytes += record.raw.len();
                    to.took_record();
                }
                Err(reason) => to.reject(reason, format!("{}:{}", self.file, record.line), record.raw)?,
            }
            if (rows.rows >= BATCH_ROWS || rows.bytes >= BATCH_BYTES) && !rows.send(self.file, to)? {
                return Ok(());
            }
        }
        if rows.rows > 0 {
            rows.send(self.file, to)?;
        }
        Ok(())
    }
}

/// The record's text, or why it is no row.
fn check<'r>(record: &Record<'r>, columns: usize, decoded: bool) -> Result<&'r str, String> {
    if let Some(long) = record.fields.iter().find(|f| f.range.len() > FIELD_MAX) {
        return Err(format!("a field is {} bytes long; at most {FIELD_MAX} are taken", long.range.len()));
    }
    let raw = std::str::from_utf8(record.raw)
        .map_err(|e| format!("the record is no UTF-8 at byte {}", e.valid_up_to()))?;
    if decoded && raw.contains('\u{FFFD}') {
        return Err("the record holds bytes that are no character in the file's encoding".into());
    }
    if record.fields.len() != columns {
        return Err(format!("the record has {} fields, the header {columns}", record.fields.len()));
    }
    if record.malformed {
        return Err("text follows a closing quote".into());
    }
    Ok(raw)
}

struct Rows {
    schema: SchemaRef,
    columns: Vec<StringBuilder>,
    rows: usize,
    bytes: usize,
    first_line: u64,
}

impl Rows {
    fn new(names: &[String]) -> Self {
        let fields: Vec<ArrowField> =
            names.iter().map(|n| ArrowField::new(n, DataType::Utf8, true)).collect();
        let columns = names.iter().map(|_| StringBuilder::new()).collect();
        Self { schema: Arc::new(Schema::new(fields)), columns, rows: 0, bytes: 0, first_line: 0 }
    }

    /// False when no more is wanted.
    fn send(&mut self, file: &str, to: &mut Sending<'_>) -> Result<bool> {
        let columns = self.columns.iter_mut().map(|c| Arc::new(c.finish()) as ArrayRef).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        (self.rows, self.bytes) = (0, 0);
        to.batch(batch, format!("{file}:{}", self.first_line))
    }
}
