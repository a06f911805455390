//! `throughline preview SOURCE.STREAM`

use arrow::array::RecordBatch;
use futures::StreamExt;
use throughline_core::{Error, ReadEvent, ReadRequest};
use throughline_engine::run;
use throughline_store::{STATE_FILE, Store};

use super::Outcome;
use crate::args::PreviewArgs;
use crate::output::{DIM, Output, WARN, paint};
use crate::{exit, setup, text};

pub async fn run(args: &PreviewArgs, output: &Output) -> Outcome {
    let pipeline = setup::load(&args.file.pipeline)?;
    let names = || {
        let all: Vec<String> = pipeline
            .sources
            .iter()
            .flat_map(|s| s.streams.iter().map(move |stream| format!("{}.{stream}", s.name)))
            .collect();
        format!("the streams are {}", all.join(", "))
    };
    let (source, stream) = args
        .stream
        .split_once('.')
        .ok_or_else(|| Error::config(format!("{:?} is no SOURCE.STREAM", args.stream)).hint(names()))?;
    let entry = pipeline
        .sources
        .iter()
        .find(|s| s.name == source && s.source.catalog().stream(stream).is_some())
        .ok_or_else(|| Error::config(format!("there is no stream {:?}", args.stream)).hint(names()))?;
    let services = setup::services(&pipeline, false)?.lent;
    setup::stop_on_signal(services.cancel.clone());
    std::fs::create_dir_all(&pipeline.state_dir)
        .map_err(|e| Error::io("create", pipeline.state_dir.display(), e))?;
    let store = Store::open(pipeline.state_dir.join(STATE_FILE))?;
    let scratch = tempfile::tempdir().map_err(|e| Error::io("create", "a temporary folder", e))?;
    let ctx = run::context(&pipeline, &services, &store, &entry.name, scratch.path().to_owned())?;
    let request =
        ReadRequest { stream: stream.to_owned(), checkpoint: None, window: None, max_pages: Some(1) };
    let mut events = entry.source.read(&ctx, request).await?;
    let mut batches: Vec<RecordBatch> = Vec::new();
    let mut left = args.rows;
    while left > 0 {
        match events.next().await.transpose()? {
            None => break,
            Some(ReadEvent::Batch(batch)) => {
                let rows = batch.rows.slice(0, batch.rows.num_rows().min(left));
                left -= rows.num_rows();
                batches.push(rows);
            }
            Some(ReadEvent::Rejected(reject)) => {
                anstream::eprintln!("{} {}: {}", paint(WARN, "rejected"), reject.place, reject.reason);
            }
            Some(_) => {}
        }
    }
    for batch in &batches {
        if output.json {
            let mut writer = arrow::json::LineDelimitedWriter::new(std::io::stdout().lock());
            writer.write(batch).map_err(Error::from)?;
            writer.finish().map_err(Error::from)?;
        } else {
            anstream::print!("{}", text::table(std::slice::from_ref(batch))?);
        }
    }
    if !output.json {
        let count = args.rows - left;
        anstream::eprintln!("{}", paint(DIM, format!("{count} rows of {}; nothing was stored", args.stream)));
    }
    Ok(exit::DONE)
}
