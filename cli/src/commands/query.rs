//! `throughline query`

use arrow::array::RecordBatch;
use futures::StreamExt;
use throughline_core::{Error, Result};
use throughline_engine::run;

use super::Outcome;
use crate::args::{QueryArgs, QueryFormat};
use crate::output::{DIM, Output, paint};
use crate::{exit, setup, text};

pub async fn run(args: &QueryArgs, output: &Output) -> Outcome {
    let pipeline = setup::load(&args.file.pipeline)?;
    let last = run::last_epoch(&pipeline).await?;
    let format = if output.json { QueryFormat::Json } else { args.format };
    let mut rows = last.engine.read(&args.sql, &[]).await.map_err(|e| explain_tables(e, &last))?;
    let mut left = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut shown: Vec<RecordBatch> = Vec::new();
    let mut cut = false;
    let mut first = true;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        if batch.num_rows() > left {
            cut = true;
        }
        let batch = batch.slice(0, batch.num_rows().min(left));
        left -= batch.num_rows();
        match format {
            // A table needs every row to find its widths; the rest streams.
            QueryFormat::Table => shown.push(batch),
            QueryFormat::Csv => print_csv(&batch, first)?,
            QueryFormat::Json => print_json(&batch)?,
        }
        first = false;
        if cut {
            break;
        }
    }
    if format == QueryFormat::Table {
        anstream::print!("{}", text::table(&shown)?);
        let count: usize = shown.iter().map(RecordBatch::num_rows).sum();
        anstream::eprintln!("{}", paint(DIM, format!("{count} rows, epoch {}", last.epoch.epoch_no)));
    }
    if cut {
        anstream::eprintln!(
            "{}",
            paint(DIM, format!("only the first {} rows; --limit 0 shows all", args.limit))
        );
    }
    Ok(exit::DONE)
}

fn explain_tables(error: Error, last: &run::LastEpoch) -> Error {
    if error.hint_text().is_some() || !error.message().contains("table") {
        return error;
    }
    let names: Vec<&str> = last.tables.iter().map(|t| t.name.as_str()).collect();
    error.hint(format!("the tables are {}", names.join(", ")))
}

fn print_csv(batch: &RecordBatch, header: bool) -> Result<()> {
    let flat = text::flat(batch)?;
    let mut writer = arrow::csv::WriterBuilder::new().with_header(header).build(std::io::stdout().lock());
    writer.write(&flat)?;
    Ok(())
}

/// One JSON object per line.
fn print_json(batch: &RecordBatch) -> Result<()> {
    let mut writer = arrow::json::LineDelimitedWriter::new(std::io::stdout().lock());
    writer.write(batch)?;
    writer.finish()?;
    Ok(())
}
