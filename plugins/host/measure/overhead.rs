//! What it costs to be a plugin: one source built in, as a thread plugin and as a process plugin, read in turn
//! and several times in one run, since machines are noisy. `make bench` runs it; docs/performance.md has figures.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use futures::StreamExt;
use serde_json::json;
use throughline_behaviour::{MemoryNotes, MemoryTokens};
use throughline_core::{Context, FixedClock, Options, ReadEvent, ReadRequest, Redactor, SourceConnector};
use throughline_http::{Client, HttpSettings, Limits};
use throughline_plugin_host::{PluginSource, Runner};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

include!("rows.rs");

const ROUNDS: usize = 7;

fn main() -> Result<()> {
    let pages: u64 = match std::env::args().nth(1) {
        Some(pages) => pages.parse().map_err(|e| format!("{pages:?} is no number of pages: {e}"))?,
        None => 200,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for (work, pages) in [(true, pages), (false, pages * 20)] {
        // The best of several: what is slower was disturbed.
        let mut best = [f64::MAX; 3];
        for _ in 0..ROUNDS {
            for (way, best) in ["built in", "thread", "process"].into_iter().zip(&mut best) {
                let seconds = match way {
                    "built in" => built_in(pages, work)?,
                    way => runtime.block_on(plugin(way, pages, work))?,
                };
                *best = best.min(seconds);
            }
        }
        let rows = (pages as usize * ROWS) as f64;
        println!("{}", if work { "JSON pages into columns" } else { "the same batch again and again" });
        for (way, seconds) in ["built in", "thread", "process"].into_iter().zip(best) {
            println!(
                "  {way:<9} {:>12.0} rows/s  {:>5.1}%  {:>8.1} µs a batch more",
                rows / seconds,
                100.0 * best[0] / seconds,
                (seconds - best[0]) / pages as f64 * 1e6
            );
        }
    }
    Ok(())
}

/// The engine's way with a built-in source: batch after batch, on one thread.
fn built_in(pages: u64, work: bool) -> Result<f64> {
    let page = page();
    let made = columns(&page)?;
    let begun = Instant::now();
    let mut rows = 0;
    for _ in 0..pages {
        let batch = if work { columns(&page)? } else { made.clone() };
        rows += consume(&batch);
    }
    all_came(rows, pages)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// A measure of fewer rows is none.
fn all_came(rows: usize, pages: u64) -> Result<()> {
    let expected = pages as usize * ROWS;
    if rows != expected {
        return Err(format!("{rows} rows came of {expected}").into());
    }
    Ok(())
}

/// Looks at the rows as little as can be: what is measured is how they come.
fn consume(batch: &RecordBatch) -> usize {
    std::hint::black_box(batch).num_rows()
}

async fn plugin(isolation: &str, pages: u64, work: bool) -> Result<f64> {
    let runner = Runner { program: beside("throughline-plugin-runner")?, args: Vec::new() };
    let library = format!("examples/{}busy{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let connector = PluginSource::of_file(&beside(&library)?, &runner)?;
    let value = json!({ "pages": pages, "work": work, "isolation": isolation });
    let options = Options { name: "busy".into(), value, base_dir: ".".into() };
    let source = connector.build(&options).map_err(|errors| format!("the plugin's options: {errors:?}"))?;
    let (client, clock) = Client::open(
        &HttpSettings::default(),
        Arc::new(Limits::default()),
        Arc::new(FixedClock::at_us(0)),
        Redactor::new(),
    )?;
    let ctx = Context {
        name: "busy".into(),
        clock,
        http: Arc::new(client),
        tokens: Arc::new(MemoryTokens::default()),
        notes: Arc::new(MemoryNotes::default()),
        cancel: tokio_util::sync::CancellationToken::new(),
        scratch: std::env::temp_dir(),
    };
    let request = ReadRequest { stream: "deals".into(), checkpoint: None, window: None, max_pages: None };
    let mut events = source.read(&ctx, request).await?;
    // From the first batch on: starting a process is no part of the way.
    let first = match events.next().await.transpose()? {
        Some(ReadEvent::Batch(first)) => first,
        _ => return Err("the plugin does not begin with rows".into()),
    };
    let begun = Instant::now();
    let mut rows = consume(&first.rows);
    while let Some(event) = events.next().await {
        if let ReadEvent::Batch(batch) = event? {
            rows += consume(&batch.rows);
        }
    }
    all_came(rows, pages)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// A file beside this program's folder: the target folder's profile.
fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    Ok(own.ancestors().nth(2).unwrap_or(Path::new("")).join(name))
}
