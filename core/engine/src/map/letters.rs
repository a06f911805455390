//! Rows that landed but cannot be mapped, on their way to the dead letters.

use arrow::array::{Array, RecordBatch, cast::AsArray};
use futures::StreamExt;
use throughline_core::{Error, Result};
use throughline_sql::SqlEngine;
use throughline_store::NewDeadLetter;

/// More broken rows than this in one stream mean that the mapping, not a row, is wrong.
const MAX_LETTERS: usize = 100_000;

/// Form of the raw part of a letter: the landed row as one JSON object.
const LETTER_FORM: i64 = 1;

/// Collects them over a run.
pub struct MapLetters {
    pub pipeline: String,
    pub letters: Vec<NewDeadLetter>,
}

impl MapLetters {
    /// Runs a SELECT whose first column is the reason and whose other columns are the row.
    pub async fn collect(
        &mut self,
        engine: &dyn SqlEngine,
        select: &str,
        source: &str,
        stream: &str,
    ) -> Result<u64> {
        let mut batches = engine.read(select, &[]).await?;
        let mut found = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            if self.letters.len() + batch.num_rows() > MAX_LETTERS {
                return Err(Error::data(format!(
                    "more than {MAX_LETTERS} rows of {source}.{stream} cannot be mapped"
                ))
                .hint("the stream's contract or its mapping does not fit what the vendor sends"));
            }
            let reasons = batch
                .column(0)
                .as_string_opt::<i32>()
                .ok_or_else(|| Error::bug("the reason of a broken row is not text"))?;
            let rows = as_json_lines(&batch)?;
            for (i, raw) in rows.into_iter().enumerate() {
                let reason = if reasons.is_null(i) { "cannot be mapped" } else { reasons.value(i) };
                self.letters.push(NewDeadLetter {
                    pipeline: self.pipeline.clone(),
                    source: source.to_owned(),
                    stream: stream.to_owned(),
                    stage: "map".into(),
                    reason: reason.to_owned(),
                    place: place_of(&batch, i),
                    raw,
                    schema_version: LETTER_FORM,
                });
                found += 1;
            }
        }
        Ok(found)
    }
}

fn place_of(batch: &RecordBatch, row: usize) -> String {
    let page = batch.column_by_name(crate::land::PAGE).and_then(|c| c.as_string_opt::<i32>());
    match page {
        Some(pages) if !pages.is_null(row) => pages.value(row).to_owned(),
        _ => String::from("mapping"),
    }
}

/// Each row less the reason as one JSON object.
fn as_json_lines(batch: &RecordBatch) -> Result<Vec<Vec<u8>>> {
    let keep: Vec<usize> = (1..batch.num_columns()).collect();
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(&batch.project(&keep)?)?;
    writer.finish()?;
    let lines: Vec<Vec<u8>> =
        writer.into_inner().split(|b| *b == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec).collect();
    if lines.len() == batch.num_rows() {
        Ok(lines)
    } else {
        Err(Error::bug(format!("{} rows became {} lines", batch.num_rows(), lines.len())))
    }
}
