//! The file sinks in the suite that every sink runs.

use std::path::Path;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;
use throughline_core::DynSink;

use crate::build;
use crate::suite::{self, Subject};

struct Folder {
    kind: &'static str,
    folder: tempfile::TempDir,
}

impl Folder {
    fn parquet(&self, path: &Path, columns: &[&str]) -> Vec<Vec<String>> {
        let file = std::fs::File::open(path.join("part-00000.parquet")).unwrap();
        let format = FormatOptions::default().with_null("∅");
        let mut rows = Vec::new();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let columns: Vec<ArrayFormatter> = columns
                .iter()
                .map(|c| ArrayFormatter::try_new(batch.column_by_name(c).unwrap(), &format).unwrap())
                .collect();
            rows.extend(
                (0..batch.num_rows()).map(|row| columns.iter().map(|c| c.value(row).to_string()).collect()),
            );
        }
        rows
    }

    fn csv(&self, path: &Path, columns: &[&str]) -> Vec<Vec<String>> {
        let mut reader = csv::Reader::from_path(path.with_extension("csv")).unwrap();
        let header = reader.headers().unwrap().clone();
        let places: Vec<usize> =
            columns.iter().map(|c| header.iter().position(|h| h == *c).unwrap()).collect();
        reader
            .records()
            .map(|r| places.iter().map(|p| r.as_ref().unwrap()[*p].to_owned()).collect())
            .collect()
    }
}

impl Subject for Folder {
    fn sink(&self) -> DynSink {
        let mut options = json!({"keep_epochs": 100});
        if self.kind == "csv" {
            options["null"] = json!("∅");
        }
        build(self.kind, self.folder.path(), options)
    }

    fn read(&self, table: &str, columns: &[&str]) -> Option<Vec<Vec<String>>> {
        let path = std::fs::canonicalize(self.folder.path().join("out/current")).ok()?.join(table);
        let there = path.exists() || path.with_extension("csv").exists();
        let mut rows = match self.kind {
            _ if !there => return None,
            "csv" => self.csv(&path, columns),
            _ => self.parquet(&path, columns),
        };
        rows.sort();
        Some(rows)
    }

    fn staged(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("out/staging")).map_or(0, Iterator::count)
    }

    fn refuses_other_types(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn parquet_in_the_suite() {
    suite::run(|| Folder { kind: "parquet", folder: tempfile::tempdir().unwrap() }).await;
}

#[tokio::test]
async fn csv_in_the_suite() {
    suite::run(|| Folder { kind: "csv", folder: tempfile::tempdir().unwrap() }).await;
}
