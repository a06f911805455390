//! Reading one stream: a start of the source with a catalog of that stream alone.

use throughline_core::{Context, Error, ReadRequest, Result};
use throughline_foreign::Start;

use super::catalog::{Known, Stream};
use super::message::{Message, State, message};
use super::rotated;
use crate::flow::Out;
use crate::foreign::config::Settings;
use crate::foreign::rows::{Rows, wrong};
use throughline_foreign::{Files, Program};

pub(super) async fn read(
    settings: &Settings<Known>,
    ctx: &Context,
    request: &ReadRequest,
    out: Out,
) -> Result<()> {
    let Some(stream) = settings.streams.stream(&request.stream) else { return Ok(()) };
    let files = Files::new(ctx)?;
    let config = files.put("config.json", &rotated::config(ctx, &settings.start).await?)?;
    let catalog = files.put("catalog.json", &stream.configured())?;
    let mut args = vec![
        "read".as_ref(),
        "--config".as_ref(),
        config.as_os_str(),
        "--catalog".as_ref(),
        catalog.as_os_str(),
    ];
    let state = request.checkpoint.as_ref().map(|c| files.put("state.json", &c.0)).transpose()?;
    if let Some(state) = &state {
        args.extend(["--state".as_ref(), state.as_os_str()]);
    }
    let mut source = Program::start(&settings.start, files, &args)?;
    let mut reading = Reading { stream, start: &settings.start, rows: Rows::new(&out), failed: None };
    match reading.all(ctx, request.max_pages, &mut source).await {
        Ok(true) => {
            let ended = source.end().await;
            // What the source says of its failure tells more than its exit code.
            if let Some(failed) = reading.failed.take() {
                return Err(failed);
            }
            ended?;
            reading.rows.finish().await
        }
        ended => {
            source.stop().await;
            ended.map(|_| ())
        }
    }
}

struct Reading<'a> {
    stream: &'a Stream,
    start: &'a Start,
    rows: Rows<'a>,
    /// The first failure that the source told.
    failed: Option<Error>,
}

impl Reading<'_> {
    /// Until the source closes its output (true), or a dry run has what it wants (false).
    async fn all(&mut self, ctx: &Context, max_pages: Option<u64>, source: &mut Program) -> Result<bool> {
        let mut line = Vec::new();
        while source.next(ctx, self.rows.out.dropped(), &mut line).await? {
            self.take(ctx, &line, source).await?;
            if max_pages.is_some_and(|most| self.rows.batches >= most) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn take(&mut self, ctx: &Context, line: &[u8], source: &Program) -> Result<()> {
        match message(line).map_err(|why| wrong(source, line, source.line, &why))? {
            Message::Record { stream, data } if stream == self.stream.name => {
                self.rows.push(data, source.line).await
            }
            Message::Record { .. } => {
                self.rows.of_another_stream();
                Ok(())
            }
            Message::State(state) => self.state(state).await,
            Message::Config(config) => rotated::keep(ctx, self.start, &config).await,
            Message::Failed(failure) => {
                let error = failure.into_error(&self.start.redactor);
                self.failed.get_or_insert(error);
                Ok(())
            }
            Message::Status { stream, status } => {
                if stream == self.stream.name && status == "INCOMPLETE" {
                    self.failed
                        .get_or_insert_with(|| Error::data("the source says that the stream is incomplete"));
                }
                Ok(())
            }
            Message::Log { level, text } => {
                tracing::debug!(%level, said = %self.start.redactor.redact(&text));
                Ok(())
            }
            Message::Noise => {
                self.rows.noise(line, source);
                Ok(())
            }
            Message::Catalog(_) | Message::Connection { .. } | Message::Other => Ok(()),
        }
    }

    async fn state(&mut self, state: State) -> Result<()> {
        if state.stream.as_ref().is_some_and(|of| *of != self.stream.name) {
            return Ok(());
        }
        if let Some(expected) = state.records {
            self.rows.count(format!("records of {} up to a state", self.stream.name), expected).await?;
        }
        if self.stream.incremental && !state.file.is_null() {
            return self.rows.checkpoint(state.file).await;
        }
        // The next count begins here, too.
        self.rows.since_checkpoint = 0;
        Ok(())
    }
}
