//! A host that reads one stream of one plugin and says how that ended: `once LIBRARY OPTIONS_JSON STREAM`, with
//! the runner's path in `RUNNER`. What it prints is `{"rows": 3, "error": ".."}`; that it prints at all shows
//! that the host is alive.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use futures::StreamExt;
use throughline_behaviour::{MemoryNotes, MemoryTokens};
use throughline_core::{Context, FixedClock, Options, ReadEvent, ReadRequest, Redactor, SourceConnector};
use throughline_http::{Client, HttpSettings, Limits};
use throughline_plugin_host::{PluginSource, Runner};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let runner = Runner { program: std::env::var_os("RUNNER").expect("RUNNER").into(), args: Vec::new() };
    let options = Options {
        name: "once".into(),
        value: serde_json::from_str(&args[2]).expect("options"),
        base_dir: ".".into(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let outcome = runtime.block_on(read(&args[1], &args[3], options, runner));
    println!("{outcome}");
    runtime.shutdown_background();
}

async fn read(library: &str, stream: &str, options: Options, runner: Runner) -> serde_json::Value {
    let connector = match PluginSource::of_file(library.as_ref(), &runner) {
        Ok(connector) => connector,
        Err(e) => return serde_json::json!({ "rows": 0, "error": e.to_string() }),
    };
    let source = match connector.build(&options) {
        Ok(source) => source,
        Err(errors) => return serde_json::json!({ "rows": 0, "error": errors[0].to_string() }),
    };
    let (client, clock) = Client::open(
        &HttpSettings::default(),
        Arc::new(Limits::default()),
        Arc::new(FixedClock::at_us(0)),
        Redactor::new(),
    )
    .expect("a client");
    let ctx = Context {
        name: "once".into(),
        clock,
        http: Arc::new(client),
        tokens: Arc::new(MemoryTokens::default()),
        notes: Arc::new(MemoryNotes::default()),
        cancel: tokio_util::sync::CancellationToken::new(),
        scratch: std::env::temp_dir(),
    };
    let request = ReadRequest { stream: stream.into(), checkpoint: None, window: None, max_pages: None };
    let mut events = match source.read(&ctx, request).await {
        Ok(events) => events,
        Err(e) => return serde_json::json!({ "rows": 0, "error": e.to_string() }),
    };
    let (mut rows, mut error, mut checkpoints) = (0, None, 0);
    while let Some(event) = events.next().await {
        match event {
            Ok(ReadEvent::Batch(batch)) => rows += batch.rows.num_rows(),
            Ok(ReadEvent::Checkpoint(_)) => checkpoints += 1,
            Ok(_) => {}
            Err(e) => error = Some(e.to_string()),
        }
    }
    serde_json::json!({ "rows": rows, "checkpoints": checkpoints, "error": error })
}
