//! Reading one stream: a start of the tap with that stream alone selected.

use serde_json::Value;
use throughline_core::{Checkpoint, Context, Error, ErrorKind, Notice, ReadEvent, ReadRequest, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::catalog::Stream;
use super::config::Settings;
use super::message::{Message, message};
use super::process::{Files, Tap};
use crate::flow::Out;
use crate::records::{Limits, RecordsBuilder};

/// The longest line, a record with all around it.
const LINE_MAX: usize = 32 << 20;

pub(super) async fn read(settings: &Settings, ctx: &Context, request: &ReadRequest, out: Out) -> Result<()> {
    let Some(stream) = settings.tap.stream(&request.stream) else { return Ok(()) };
    let files = Files::new(ctx)?;
    let config = files.put("config.json", &settings.config)?;
    let catalog = files.put("catalog.json", &settings.tap.selecting(&stream.name))?;
    let mut args = vec!["--config".as_ref(), config.as_os_str(), "--catalog".as_ref(), catalog.as_os_str()];
    let state = request.checkpoint.as_ref().map(|c| files.put("state.json", &c.0)).transpose()?;
    if let Some(state) = &state {
        args.extend(["--state".as_ref(), state.as_os_str()]);
    }
    let mut tap = Tap::start(settings, files, &args)?;
    let mut reading = Reading {
        stream,
        records: RecordsBuilder::new(Limits { record_bytes: LINE_MAX, ..Limits::default() }),
        line: 0,
        noise: 0,
        others: 0,
        batches: 0,
    };
    reading.records.begin_page("the tap's output", None);
    let ended = reading.all(settings, ctx, request.max_pages, &mut tap, &out).await;
    match ended {
        Ok(Ended::Output) => {
            // Only the exit code says whether that was all of it.
            tap.end().await?;
            reading.records.finish_page();
            reading.pass_on(&out).await?;
            reading.remarks(&out).await
        }
        Ok(Ended::Enough) => {
            tap.stop().await;
            Ok(())
        }
        Err(error) => {
            tap.stop().await;
            Err(error)
        }
    }
}

enum Ended {
    /// The tap closed its output.
    Output,
    /// A dry run has what it wants.
    Enough,
}

struct Reading<'a> {
    stream: &'a Stream,
    records: RecordsBuilder,
    line: u64,
    /// Lines that are no messages.
    noise: u64,
    /// Records of streams that were not selected.
    others: u64,
    batches: u64,
}

impl Reading<'_> {
    async fn all(
        &mut self,
        settings: &Settings,
        ctx: &Context,
        max_pages: Option<u64>,
        tap: &mut Tap,
        out: &Out,
    ) -> Result<Ended> {
        let mut line = Vec::new();
        // Taken out for the loop: errors ask the tap what it said.
        let mut output = BufReader::with_capacity(1 << 18, &mut tap.output);
        loop {
            line.clear();
            let mut limited = (&mut output).take(LINE_MAX as u64 + 1);
            let next = limited.read_until(b'\n', &mut line);
            let read = tokio::select! {
                biased;
                () = ctx.cancel.cancelled() => return Err(Error::cancelled()),
                () = out.dropped() => return Err(Error::cancelled()),
                read = tokio::time::timeout(settings.silence, next) => read,
            };
            let read = match read {
                Ok(read) => read.map_err(|e| Error::io("read from", settings.program.display(), e))?,
                Err(_) => {
                    let seconds = settings.silence.as_secs();
                    let message =
                        format!("the tap wrote nothing for {seconds} s (time_limit_s); it was stopped");
                    return Err(Error::new(ErrorKind::Io, message).temporary(None));
                }
            };
            if read == 0 {
                return Ok(Ended::Output);
            }
            self.line += 1;
            if line.len() > LINE_MAX {
                return Err(self.wrong(&format!("it is longer than {LINE_MAX} bytes"), &line, settings));
            }
            self.take(line.trim_ascii_end(), settings, out).await?;
            if max_pages.is_some_and(|most| self.batches >= most) {
                return Ok(Ended::Enough);
            }
        }
    }

    async fn take(&mut self, line: &[u8], settings: &Settings, out: &Out) -> Result<()> {
        match message(line).map_err(|why| self.wrong(&why, line, settings))? {
            Message::Record { stream, record } if stream == self.stream.stream => {
                self.records.push(record.as_bytes(), format_args!("line {} of the tap's output", self.line));
                self.pass_on(out).await
            }
            Message::Record { .. } => {
                self.others += 1;
                Ok(())
            }
            Message::Schema { stream, key } if stream == self.stream.stream => match key {
                Some(key) if key != self.stream.key => Err(Error::data(format!(
                    "the tap says that the key of {} is {key:?}; the catalog says {:?}",
                    self.stream.name, self.stream.key
                ))
                .hint("save the catalog anew (--discover), and read the stream anew: throughline run --full-refresh")),
                _ => Ok(()),
            },
            Message::State { value } => {
                if !self.stream.incremental {
                    return Ok(());
                }
                let state: Value = serde_json::from_str(value).map_err(|e| self.wrong(&e.to_string(), line, settings))?;
                self.records.finish_page();
                self.pass_on(out).await?;
                self.records.begin_page("the tap's output", None);
                if state.is_null() { Ok(()) } else { out.send(ReadEvent::Checkpoint(Checkpoint(state))).await }
            }
            Message::Batch { stream } => Err(Error::unsupported(format!(
                "the tap sends records of {stream} in files (BATCH), which are not read here"
            ))
            .hint("switch it off in the tap's settings: leave batch_config out")),
            Message::Noise => {
                if !line.trim_ascii().is_empty() {
                    self.noise += 1;
                    let text = String::from_utf8_lossy(line);
                    tracing::debug!(tap = %settings.redactor.redact(&text), "a line that is no message");
                }
                Ok(())
            }
            Message::Unknown { kind } => {
                let message = format!("line {}: the tap sends messages of the unknown type {kind}", self.line);
                out.send(ReadEvent::Notice(Notice { code: "unknown_message".into(), message })).await
            }
            // A full read is a new generation here: older versions of its rows go by themselves.
            Message::Schema { .. } | Message::ActivateVersion => Ok(()),
        }
    }

    async fn pass_on(&mut self, out: &Out) -> Result<()> {
        for event in self.records.take_events() {
            self.batches += u64::from(matches!(event, ReadEvent::Batch(_)));
            out.send(event).await?;
        }
        Ok(())
    }

    async fn remarks(&self, out: &Out) -> Result<()> {
        let remarks = [
            (self.noise, "noise", "lines of the tap's output are no messages; they are in the log (-vv)"),
            (
                self.others,
                "other_streams",
                "records are of streams that were not asked for; they were left out",
            ),
        ];
        for (count, code, what) in remarks {
            if count > 0 {
                let message = format!("{count} {what}");
                out.send(ReadEvent::Notice(Notice { code: code.into(), message })).await?;
            }
        }
        Ok(())
    }

    fn wrong(&self, why: &str, line: &[u8], settings: &Settings) -> Error {
        let head: String = String::from_utf8_lossy(line).chars().take(120).collect();
        let head = settings.redactor.redact(&head).into_owned();
        Error::protocol(format!("line {} of the tap's output is no Singer message: {why}: {head}", self.line))
    }
}
