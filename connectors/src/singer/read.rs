//! Reading one stream: a start of the tap with that stream alone selected.

use serde_json::Value;
use throughline_core::{Context, Error, ReadRequest, Result};
use throughline_foreign::{Files, Program};

use super::catalog::{Stream, Tap};
use super::message::{Message, message};
use crate::flow::Out;
use crate::foreign::config::Settings;
use crate::foreign::rows::{Rows, wrong};

pub(super) async fn read(
    settings: &Settings<Tap>,
    ctx: &Context,
    request: &ReadRequest,
    out: Out,
) -> Result<()> {
    let Some(stream) = settings.streams.stream(&request.stream) else { return Ok(()) };
    let files = Files::new(ctx)?;
    let config = files.put("config.json", &settings.start.config)?;
    let catalog = files.put("catalog.json", &settings.streams.selecting(&stream.name))?;
    let mut args = vec!["--config".as_ref(), config.as_os_str(), "--catalog".as_ref(), catalog.as_os_str()];
    let state = request.checkpoint.as_ref().map(|c| files.put("state.json", &c.0)).transpose()?;
    if let Some(state) = &state {
        args.extend(["--state".as_ref(), state.as_os_str()]);
    }
    let mut tap = Program::start(&settings.start, files, &args)?;
    let mut rows = Rows::new(&out);
    match all(stream, ctx, request.max_pages, &mut tap, &mut rows).await {
        // Only the exit code says whether that was all of it.
        Ok(true) => {
            tap.end().await?;
            rows.finish().await
        }
        ended => {
            tap.stop().await;
            ended.map(|_| ())
        }
    }
}

/// Until the tap closes its output (true), or a dry run has what it wants (false).
async fn all(
    stream: &Stream,
    ctx: &Context,
    max_pages: Option<u64>,
    tap: &mut Program,
    rows: &mut Rows<'_>,
) -> Result<bool> {
    let mut line = Vec::new();
    while tap.next(ctx, rows.out.dropped(), &mut line).await? {
        take(stream, &line, tap, rows).await?;
        if max_pages.is_some_and(|most| rows.batches >= most) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn take(stream: &Stream, line: &[u8], tap: &Program, rows: &mut Rows<'_>) -> Result<()> {
    match message(line).map_err(|why| wrong(tap, line, tap.line, &why))? {
        Message::Record { stream: of, record } if of == stream.stream => rows.push(record, tap.line).await,
        Message::Record { .. } => {
            rows.of_another_stream();
            Ok(())
        }
        Message::Schema { stream: of, key: Some(key) } if of == stream.stream && key != stream.key => {
            Err(Error::data(format!(
                "the tap says that the key of {} is {key:?}; the catalog says {:?}",
                stream.name, stream.key
            ))
            .hint("save the catalog anew (--discover), and read the stream anew: throughline run --full-refresh"))
        }
        Message::State { value } if stream.incremental => {
            let state: Value = serde_json::from_str(value).map_err(|e| wrong(tap, line, tap.line, &e.to_string()))?;
            // Before its first record a tap may have nothing to say.
            if state.is_null() { Ok(()) } else { rows.checkpoint(state).await }
        }
        Message::Batch { stream } => Err(Error::unsupported(format!(
            "the tap sends records of {stream} in files (BATCH), which are not read here"
        ))
        .hint("switch it off in the tap's settings: leave batch_config out")),
        Message::Noise => {
            rows.noise(line, tap);
            Ok(())
        }
        Message::Unknown { kind } => {
            let text = format!("line {}: the tap sends messages of the unknown type {kind}", tap.line);
            rows.notice("unknown_message", text).await
        }
        // A full read is a new generation here: older versions of its rows go by themselves.
        Message::Schema { .. } | Message::State { .. } | Message::ActivateVersion => Ok(()),
    }
}
