//! One table as one file of Singer messages: SCHEMA, a RECORD for each row, and ACTIVATE_VERSION at the end where
//! the target replaces by it.

use std::io::Write as _;
use std::path::Path;

use arrow::array::{Array as _, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use serde_json::{Value, json};
use throughline_core::{Error, Result};

use super::cells::{Column, member, plain};
use super::{Decimals, schema};
use crate::files::{FileEntry, HashedFile};
use crate::staging::TableWriter;

/// Bytes that are gathered before they go to the file.
const BUFFER: usize = 1 << 16;

/// What the messages of a table say beside its rows.
pub(super) struct Form {
    pub stream: String,
    /// `key_properties`: columns by which the target finds the row that it has already.
    pub key: Vec<String>,
    pub decimals: Decimals,
    /// Of the rows of this epoch, where the target knows versions.
    pub version: Option<i64>,
    /// Columns whose value is the same in every row: name and text, and whether the text is an instant.
    pub constants: Vec<(&'static str, String, bool)>,
}

pub(super) struct SingerTable {
    file: HashedFile,
    buffer: Vec<u8>,
    rows: u64,
    decimals: Decimals,
    key: Vec<String>,
    /// What stands before a record's first column, and behind its last.
    before: Vec<u8>,
    after: Vec<u8>,
    last: Option<Value>,
}

impl SingerTable {
    pub(super) fn open(path: &Path, columns: &SchemaRef, form: &Form) -> Result<Self> {
        let mut properties = schema::of(&form.stream, columns, &form.key, form.decimals)?;
        let mut after = Vec::new();
        for (name, text, instant) in &form.constants {
            let property = if *instant {
                json!({ "type": "string", "format": "date-time" })
            } else {
                json!({ "type": "string" })
            };
            if properties.insert((*name).to_owned(), property).is_some() {
                return Err(Error::config(format!(
                    "table {} has a column {name:?}, which the sink adds itself",
                    form.stream
                ))
                .hint("rename it, or leave the table out: `tables = [...]`"));
            }
            write!(after, ",{}", json!({ *name: text }).to_string().trim_matches(['{', '}'])).map_err(bug)?;
        }
        after.push(b'}');
        if let Some(version) = form.version {
            write!(after, ",\"version\":{version}").map_err(bug)?;
        }
        after.extend_from_slice(b"}\n");
        let before = format!(r#"{{"type":"RECORD","stream":{},"record":{{"#, json!(form.stream)).into_bytes();
        let schema = json!({
            "type": "SCHEMA", "stream": form.stream,
            "schema": { "type": "object", "properties": properties },
            "key_properties": form.key,
        });
        let last = form
            .version
            .map(|version| json!({ "type": "ACTIVATE_VERSION", "stream": form.stream, "version": version }));
        let mut table = Self {
            file: HashedFile::create(path)?,
            buffer: Vec::with_capacity(BUFFER * 2),
            rows: 0,
            decimals: form.decimals,
            key: form.key.clone(),
            before,
            after,
            last,
        };
        writeln!(table.buffer, "{schema}").map_err(bug)?;
        Ok(table)
    }

    /// Targets keep a key as a primary key, which holds no nulls.
    fn keys_are_whole(&self, batch: &RecordBatch) -> Result<()> {
        let empty = |name: &&String| batch.column_by_name(name).is_some_and(|c| c.null_count() > 0);
        let Some(name) = self.key.iter().find(empty) else { return Ok(()) };
        Err(Error::data(format!("rows have no value in {name:?}, which is a column of the table's key"))
            .hint("targets refuse such rows: leave the table out by `tables = [...]`, or take mode = \"append\""))
    }

    fn drain(&mut self) -> Result<()> {
        self.file.write_all(&self.buffer).map_err(|e| Error::io("write", "the spool of a table", e))?;
        self.buffer.clear();
        Ok(())
    }
}

fn bug(error: std::io::Error) -> Error {
    Error::bug(format!("a Singer message: {error}"))
}

impl TableWriter for SingerTable {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.keys_are_whole(batch)?;
        let schema = batch.schema_ref();
        let arrays = batch.columns().iter().map(plain).collect::<Result<Vec<ArrayRef>>>()?;
        let mut columns = Vec::with_capacity(arrays.len());
        for (field, array) in schema.fields().iter().zip(&arrays) {
            columns.push((member(field.name())?, Column::new(field.name(), array, self.decimals)?));
        }
        for row in 0..batch.num_rows() {
            self.buffer.extend_from_slice(&self.before);
            for (i, (name, column)) in columns.iter().enumerate() {
                if i > 0 {
                    self.buffer.push(b',');
                }
                self.buffer.extend_from_slice(name);
                column.write(row, &mut self.buffer)?;
            }
            self.buffer.extend_from_slice(&self.after);
            if self.buffer.len() >= BUFFER {
                self.drain()?;
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<FileEntry>> {
        if let Some(last) = self.last.take() {
            writeln!(self.buffer, "{last}").map_err(bug)?;
        }
        self.drain()?;
        Ok(vec![self.file.finish(String::new(), self.rows)?])
    }
}
