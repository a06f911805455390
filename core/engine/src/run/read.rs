//! The reading part of a run: every selected stream lands, several at a time.

use std::collections::HashSet;
use std::time::Instant;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use throughline_core::{Error, ErrorKind, ReadRequest, Result, StreamSpec};

use super::Job;
use super::report::{Completeness, RunError, RunReport, RunStatus, StreamReport, completeness};
use crate::forget::StreamScope;
use crate::land::{self, Landed, Target};
use crate::pipeline::{OnIncomplete, SourceEntry};

impl Job<'_> {
    /// Lands every stream. One that fails does not stop the others, since what they land is kept; but
    /// then the run fails, and names every stream that did.
    pub(super) async fn read_all(&self, report: &mut RunReport) -> Result<()> {
        std::fs::create_dir_all(self.scratch())
            .map_err(|e| Error::io("create", self.scratch().display(), e))?;
        let mut jobs = Vec::new();
        for entry in &self.pipeline.sources {
            let catalog = entry.source.catalog();
            for name in &entry.streams {
                let spec = catalog.stream(name).cloned().ok_or_else(|| {
                    Error::config(format!("source {:?} has no stream {name:?}", entry.name))
                })?;
                jobs.push((entry, spec));
            }
        }
        let reads: Vec<BoxFuture<'_, _>> =
            jobs.into_iter().map(|(entry, spec)| self.read_one(entry, spec).boxed()).collect();
        let outcomes: Vec<(&SourceEntry, StreamReport, Option<Error>)> = futures::stream::iter(reads)
            .buffered(self.pipeline.engine.parallel_streams.max(1))
            .collect()
            .await;

        let mut first_error = None;
        for (entry, stream, error) in outcomes {
            report.rows += stream.rows;
            report.dead_letters += stream.rejected;
            if let Some(error) = error {
                if first_error.is_some() {
                    report.errors.push(RunError::from(&error));
                } else {
                    first_error = Some(error);
                }
            }
            if stream.completeness == Completeness::Incomplete {
                report.status = RunStatus::Incomplete;
                if entry.on_incomplete == OnIncomplete::Fail && first_error.is_none() {
                    first_error = Some(incomplete(&stream));
                }
            }
            report.streams.push(stream);
        }
        match first_error {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn read_one<'a>(
        &'a self,
        entry: &'a SourceEntry,
        spec: StreamSpec,
    ) -> (&'a SourceEntry, StreamReport, Option<Error>) {
        let begun = Instant::now();
        let (mode, outcome) = self.read_stream(entry, &spec).await;
        let failed = outcome.is_err();
        let (landed, error) = match outcome {
            Ok(landed) => (landed, None),
            Err(error) => (Landed::default(), Some(error)),
        };
        let name = format!("{}.{}", entry.name, spec.name);
        self.services.progress.stream_finished(&name, landed.rows, failed);
        let report = StreamReport {
            source: entry.name.clone(),
            stream: spec.name,
            rows: landed.rows,
            rejected: landed.rejected,
            bytes: landed.bytes,
            completeness: completeness(&landed.counts),
            counts: landed.counts,
            notices: landed.notices,
            mode: mode.to_owned(),
            elapsed_ms: begun.elapsed().as_millis() as u64,
            error: error.as_ref().map(ToString::to_string),
        };
        (entry, report, error)
    }

    async fn read_stream(&self, entry: &SourceEntry, spec: &StreamSpec) -> (&'static str, Result<Landed>) {
        match self.prepare_stream(entry, spec).await {
            Err(error) => ("full", Err(error)),
            Ok((mode, request, target)) => {
                let landed = match self.context(&entry.name) {
                    Ok(ctx) => land::land_stream(entry.source.as_ref(), &ctx, request, target).await,
                    Err(error) => Err(error),
                };
                (mode, landed)
            }
        }
    }

    async fn prepare_stream<'a>(
        &'a self,
        entry: &'a SourceEntry,
        spec: &'a StreamSpec,
    ) -> Result<(&'static str, ReadRequest, Target<'a>)> {
        let pipeline = &self.pipeline.name;
        let mut state = self.store.stream_state(pipeline, &entry.name, &spec.name).await?;
        let window = self.options.window.filter(|_| spec.capabilities.windowed);
        // A stream without a cursor is read whole each time, into a generation of its own; so is
        // every stream on --full-refresh. Readers see the old one until the new one is published.
        let refresh = self.options.full_refresh
            || self.options.refresh_streams.iter().any(|(s, t)| s == &entry.name && t == &spec.name);
        let whole = !spec.capabilities.incremental || refresh;
        // Where a whole read was cut off it goes on; rows without a key could then be there twice.
        let resumes = state.pending.is_some()
            && state.pending_checkpoint.is_some()
            && spec.capabilities.resumable
            && !spec.key.is_empty();
        let starts_over = whole && window.is_none() && (!resumes || refresh);
        if starts_over {
            self.store.begin_generation(pipeline, &entry.name, &spec.name).await?;
            state = self.store.stream_state(pipeline, &entry.name, &spec.name).await?;
        }
        let (generation, checkpoint) = match state.pending {
            Some(pending) => (pending, state.pending_checkpoint.clone()),
            None => (state.generation, state.checkpoint.clone()),
        };
        let segments = self.store.segments(pipeline, &entry.name, &spec.name, generation).await?;
        let mut known: HashSet<String> = segments.iter().map(|s| s.file.clone()).collect();
        if generation != state.generation {
            let current = self.store.segments(pipeline, &entry.name, &spec.name, state.generation).await?;
            known.extend(current.into_iter().map(|s| s.file));
        }
        land::sweep(self.state_dir, pipeline, &entry.name, &spec.name, &known)?;
        let mut schema = None;
        for segment in &segments {
            let landed = land::vendor_part(&land::segment_schema(segment)?);
            schema = Some(land::widen::widen(schema.as_ref(), &landed, "").0);
        }
        let mode = match (&window, &checkpoint, starts_over) {
            (Some(_), _, _) => "window",
            (None, _, true) | (None, None, false) => "full",
            (None, Some(_), false) if whole => "resumed",
            (None, Some(_), false) => "incremental",
        };
        Ok((
            mode,
            ReadRequest {
                stream: spec.name.clone(),
                checkpoint: if window.is_some() { None } else { checkpoint },
                window,
                max_pages: self.options.dry_run.then_some(1),
            },
            Target {
                store: self.store,
                state_dir: self.state_dir,
                pipeline,
                source: &entry.name,
                stream: &spec.name,
                run: self.run,
                generation,
                next_seq: state.next_seq,
                schema,
                keep_checkpoints: window.is_none() && !self.options.dry_run,
                hash_content: whole,
                forgotten: self.marks.as_deref().map(|m| (m, StreamScope::of(entry, spec))),
                progress: self.services.progress.as_ref(),
            },
        ))
    }

    /// The generation each selected stream is mapped from: the new one where one was read.
    pub(super) async fn generations(&self) -> Result<Vec<(String, String, i64)>> {
        let mut generations = Vec::new();
        for entry in &self.pipeline.sources {
            for stream in &entry.streams {
                let state = self.store.stream_state(&self.pipeline.name, &entry.name, stream).await?;
                generations.push((
                    entry.name.clone(),
                    stream.clone(),
                    // What nobody goes on to read is not whole.
                    state.pending.filter(|_| !self.options.stored_only).unwrap_or(state.generation),
                ));
            }
        }
        Ok(generations)
    }
}

fn incomplete(stream: &StreamReport) -> Error {
    let wrong: Vec<String> = stream
        .counts
        .iter()
        .filter(|c| c.expected != c.read)
        .map(|c| format!("{}: the vendor counts {}, {} came", c.what, c.expected, c.read))
        .collect();
    Error::new(
        ErrorKind::Data,
        format!("{}.{} is incomplete: {}", stream.source, stream.stream, wrong.join("; ")),
    )
    .hint("run again; to publish all the same set on_incomplete = \"publish\" on this source")
}
