//! The engine from outside: what a step, a mapping and a user's query may rely on.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bind;
mod docs;
mod errors;
mod functions;
mod hold;
mod spill;
mod steps;
mod windows;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use throughline_core::{Error, Param};
use throughline_sql::{HELD_BYTES, LocalEngine, LocalOptions, SqlEngine, TableRef};

pub struct Lab {
    pub dir: tempfile::TempDir,
    pub engine: LocalEngine,
}

pub fn lab() -> Lab {
    lab_with(256 << 20, 2)
}

pub fn lab_with(memory_bytes: usize, threads: usize) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let spill_dir = dir.path().join("spill");
    let engine =
        LocalEngine::new(LocalOptions { memory_bytes, spill_dir, threads, held_bytes: HELD_BYTES }).unwrap();
    Lab { dir, engine }
}

pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, a)| (n, a, true))).unwrap()
}

pub fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

impl Lab {
    pub fn file(&self, name: &str, rows: &RecordBatch) -> PathBuf {
        let path = self.dir.path().join(name);
        let mut writer =
            ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), rows.schema(), None).unwrap();
        writer.write(rows).unwrap();
        writer.close().unwrap();
        path
    }
    pub async fn rows(&self, name: &str, rows: RecordBatch) {
        let table = TableRef::Rows { schema: rows.schema(), batches: vec![rows] };
        self.engine.bind(name, &table).await.unwrap();
    }
    pub async fn read(&self, select: &str, params: &[(String, Param)]) -> Result<Vec<RecordBatch>, Error> {
        self.engine.read(select, params).await?.try_collect().await
    }
    /// The rows as lines `a | b | c`, nulls as `-`.
    pub async fn lines(&self, select: &str) -> Vec<String> {
        lines(&self.read(select, &[]).await.unwrap())
    }
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let options = FormatOptions::default().with_null("-");
    let mut lines = Vec::new();
    for batch in batches {
        let columns: Vec<_> =
            batch.columns().iter().map(|c| ArrayFormatter::try_new(c.as_ref(), &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            lines.push(columns.iter().map(|c| c.value(row).to_string()).collect::<Vec<_>>().join(" | "));
        }
    }
    lines
}

pub fn table_of(batches: &[RecordBatch]) -> String {
    pretty_format_batches(batches).unwrap().to_string()
}

pub fn files_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
