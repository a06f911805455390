//! One read of one stream by one process, kept event by event.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use throughline_core::{
    Checkpoint, Context, CountCheck, DynSource, Error, ErrorKind, NoteStore, Place, ReadEvent, ReadRequest,
    Result, StreamSpec, Window,
};
use tokio::time::Instant;

use crate::Suite;
use crate::memory::MemoryNotes;
use crate::rows::{Row, rows};
use crate::watch::{Plan, Watch};

/// An event, with what the checks need of it.
#[derive(Debug)]
pub(crate) enum Fact {
    Rows {
        rows: Vec<Row>,
        page: String,
    },
    Checkpoint(Checkpoint),
    Rejected {
        /// Of the raw record.
        print: u64,
    },
    Notice,
    WindowBegin {
        id: String,
        from_on: i32,
        to_on: i32,
    },
    WindowEnd {
        id: String,
    },
    ReplaceBegin {
        id: String,
        slice: String,
    },
    ReplaceEnd {
        id: String,
    },
    Count(CountCheck),
}

#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub facts: Vec<Fact>,
    pub error: Option<Error>,
    /// Something came behind the error.
    pub after_error: bool,
    /// It did not end in time.
    pub timed_out: bool,
    /// It gave more rows than the suite compares.
    pub too_many: bool,
    /// What is wrong with its batches: page, and in words.
    pub bad_batches: Vec<(String, String)>,
    pub exchanges: usize,
    /// Requests begun after the order to stop.
    pub asked_after_stop: usize,
    /// A planned fault took place.
    pub fired: bool,
    /// The first request without a recorded answer.
    pub missing: Option<String>,
}

/// Where a read is made to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Never,
    /// The process dies behind so many checkpoints, the last of them durable but not told to the source.
    AfterCheckpoint(usize),
    CancelAfterFirstEvent,
    CancelWhenHanging,
}

/// A process: a source fresh from its options, on a context of its own.
pub(crate) struct Process {
    pub source: DynSource,
    pub ctx: Context,
    watch: Arc<Watch>,
    missing: Option<Arc<dyn Fn() -> Option<String> + Send + Sync>>,
}

impl Suite {
    /// `notes` are those that the process before left, where there was one.
    pub(crate) fn process(&self, notes: &Arc<MemoryNotes>, plan: Plan) -> Result<Process> {
        let setting = (self.world)()?;
        let mut ctx = setting.ctx;
        let watch = Arc::new(Watch::new(ctx.http.clone(), plan));
        ctx.http = watch.clone();
        let notes: Arc<dyn NoteStore> = notes.clone();
        ctx.notes = notes;
        ctx.cancel = tokio_util::sync::CancellationToken::new();
        Ok(Process { source: (self.source)()?, ctx, watch, missing: setting.missing })
    }

    /// A whole life of one process: a fresh source, one read. What keeps it from being set up is its error.
    pub(crate) async fn read(&self, spec: &StreamSpec, request: ReadRequest) -> Reading {
        self.read_as(&Arc::default(), spec, request, Plan::Pass, Stop::Never).await
    }

    pub(crate) async fn read_as(
        &self,
        notes: &Arc<MemoryNotes>,
        spec: &StreamSpec,
        request: ReadRequest,
        plan: Plan,
        stop: Stop,
    ) -> Reading {
        match self.process(notes, plan) {
            Ok(process) => self.read_on(&process, spec, request, stop).await,
            Err(error) => Reading { error: Some(error), ..Reading::default() },
        }
    }

    pub(crate) async fn read_on(
        &self,
        process: &Process,
        spec: &StreamSpec,
        request: ReadRequest,
        stop: Stop,
    ) -> Reading {
        let mut reading = Reading::default();
        let mut driver = Driver {
            process,
            stop,
            ends: Instant::now() + self.bounds.read,
            patience: self.bounds.cancel,
            asked_before: None,
        };
        self.events(&mut driver, spec, request, &mut reading).await;
        reading.exchanges = process.watch.asked();
        reading.asked_after_stop = reading.exchanges - driver.asked_before.unwrap_or(reading.exchanges);
        reading.fired = process.watch.fired();
        reading.missing = process.missing.as_ref().and_then(|missing| missing());
        reading
    }

    async fn events(
        &self,
        driver: &mut Driver<'_>,
        spec: &StreamSpec,
        request: ReadRequest,
        reading: &mut Reading,
    ) {
        let process = driver.process;
        let mut events = match driver.step(process.source.read(&process.ctx, request)).await {
            None => return reading.timed_out = true,
            Some(Err(error)) => return reading.error = Some(error),
            Some(Ok(events)) => events,
        };
        let (mut checkpoints, mut seen) = (0, 0);
        loop {
            let event = match driver.step(events.next().map(Ok)).await {
                None => return reading.timed_out = true,
                Some(Err(error)) => return reading.error = Some(error),
                Some(Ok(None)) => return,
                Some(Ok(Some(event))) => event,
            };
            if reading.error.is_some() {
                reading.after_error = true;
                return;
            }
            match event {
                // One more look: nothing may come behind an error.
                Err(error) => reading.error = Some(error),
                Ok(event) => {
                    let checkpoint = reading.keep(event, spec);
                    if let Some(Fact::Rows { rows, .. }) = reading.facts.last() {
                        seen += rows.len();
                    }
                    if seen > self.bounds.rows || reading.facts.len() > self.bounds.rows {
                        reading.too_many = true;
                        return;
                    }
                    if let Some(checkpoint) = checkpoint {
                        checkpoints += 1;
                        if driver.stop == Stop::AfterCheckpoint(checkpoints) {
                            return;
                        }
                        let told = process.source.committed(&process.ctx, &spec.name, &checkpoint);
                        match driver.step(told).await {
                            Some(Ok(())) => {}
                            Some(Err(error)) => return reading.error = Some(error),
                            None => return reading.timed_out = true,
                        }
                    }
                }
            }
            if driver.stop == Stop::CancelAfterFirstEvent {
                driver.cancel();
            }
        }
    }
}

/// Waits for a source, but not for ever.
struct Driver<'p> {
    process: &'p Process,
    stop: Stop,
    ends: Instant,
    patience: Duration,
    /// Requests that were begun before the order to stop.
    asked_before: Option<usize>,
}

impl Driver<'_> {
    /// `None`: it took too long. A panic is an error.
    async fn step<T>(&mut self, what: impl Future<Output = Result<T>>) -> Option<Result<T>> {
        let mut what = Box::pin(AssertUnwindSafe(what).catch_unwind());
        loop {
            let waits = self.stop == Stop::CancelWhenHanging;
            let process = self.process;
            tokio::select! {
                biased;
                done = &mut what => {
                    return Some(done.unwrap_or_else(|_| Err(Error::bug("the source panicked"))));
                }
                () = process.watch.hangs(), if waits => self.cancel(),
                () = tokio::time::sleep_until(self.ends) => return None,
            }
        }
    }

    fn cancel(&mut self) {
        self.asked_before = Some(self.process.watch.asked());
        self.process.ctx.cancel.cancel();
        self.stop = Stop::Never;
        self.ends = Instant::now() + self.patience;
    }
}

impl Reading {
    /// Keeps an event; gives its checkpoint, as it comes out of the store.
    fn keep(&mut self, event: ReadEvent, spec: &StreamSpec) -> Option<Checkpoint> {
        let fact = match event {
            ReadEvent::Batch(batch) => {
                if let Err(why) = batch.rows.columns().iter().try_for_each(|c| c.to_data().validate_full()) {
                    self.bad_batches.push((batch.page.clone(), format!("broken arrow data: {why}")));
                }
                for field in batch.rows.schema().fields().iter().filter(|f| f.name().starts_with("_tl_")) {
                    self.bad_batches.push((batch.page.clone(), format!("a column {:?}", field.name())));
                }
                match rows(&batch.rows, spec) {
                    Ok(rows) => Fact::Rows { rows, page: batch.page },
                    Err(error) => {
                        self.bad_batches.push((batch.page.clone(), error.to_string()));
                        Fact::Rows { rows: Vec::new(), page: batch.page }
                    }
                }
            }
            ReadEvent::Checkpoint(checkpoint) => {
                self.facts.push(Fact::Checkpoint(checkpoint.clone()));
                return Some(stored(&checkpoint).unwrap_or(checkpoint));
            }
            ReadEvent::Rejected(reject) => {
                let mut hasher = DefaultHasher::new();
                reject.raw.hash(&mut hasher);
                Fact::Rejected { print: hasher.finish() }
            }
            ReadEvent::Notice(_) => Fact::Notice,
            ReadEvent::WindowBegin { id, from_on, to_on } => Fact::WindowBegin { id, from_on, to_on },
            ReadEvent::WindowEnd { id } => Fact::WindowEnd { id },
            ReadEvent::ReplaceBegin { id, slice } => Fact::ReplaceBegin { id, slice },
            ReadEvent::ReplaceEnd { id } => Fact::ReplaceEnd { id },
            ReadEvent::Count(count) => Fact::Count(count),
            ReadEvent::Total(_) => return None,
        };
        self.facts.push(fact);
        None
    }

    /// Whether it came to its end by itself and without an error.
    pub fn ended(&self) -> bool {
        self.error.is_none() && !self.timed_out && !self.too_many
    }

    /// How it ended, where that was not as it should.
    pub fn end_words(&self, bounds: &crate::Bounds) -> String {
        match (&self.error, self.timed_out, self.too_many) {
            (Some(error), ..) => format!("the error: {error}"),
            (None, true, _) => "no end in time".to_owned(),
            (None, _, true) => format!("more than {} rows or events", bounds.rows),
            (None, false, false) => "an end without error".to_owned(),
        }
    }

    pub fn checkpoints(&self) -> impl DoubleEndedIterator<Item = (usize, &Checkpoint)> {
        self.facts.iter().enumerate().filter_map(|(i, fact)| match fact {
            Fact::Checkpoint(checkpoint) => Some((i, checkpoint)),
            _ => None,
        })
    }

    /// What is durable when it breaks off: everything up to the last checkpoint, and that.
    pub fn durable(&self) -> (&[Fact], Option<Checkpoint>) {
        match self.checkpoints().next_back() {
            None => (&[], None),
            Some((i, checkpoint)) => (&self.facts[..=i], stored(checkpoint)),
        }
    }

    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.facts.iter().flat_map(|fact| match fact {
            Fact::Rows { rows, .. } => rows.as_slice(),
            _ => &[],
        })
    }

    /// Whether it ended because it was stopped from outside.
    pub fn was_cancelled(&self) -> bool {
        self.error.as_ref().is_some_and(|e| e.kind() == ErrorKind::Cancelled)
    }
}

/// A checkpoint as it comes back from the store: through text.
pub(crate) fn stored(checkpoint: &Checkpoint) -> Option<Checkpoint> {
    serde_json::from_str(&serde_json::to_string(checkpoint).ok()?).ok()
}

pub(crate) fn request(spec: &StreamSpec, checkpoint: Option<Checkpoint>) -> ReadRequest {
    ReadRequest { stream: spec.name.clone(), checkpoint, window: None, max_pages: None }
}

pub(crate) fn windowed(spec: &StreamSpec, from_us: i64, to_us: i64) -> ReadRequest {
    ReadRequest { window: Some(Window { from_us, to_us }), ..request(spec, None) }
}

/// Whether a person who reads this error knows which stream it is about.
pub(crate) fn names_stream(error: &Error, stream: &str) -> bool {
    matches!(error.place(), Some(Place::Stream { stream: of, .. }) if of == stream)
        || error.message().contains(stream)
}

impl Process {
    /// The first request so far without a recorded answer.
    pub fn missing(&self) -> Option<String> {
        self.missing.as_ref().and_then(|missing| missing())
    }
}
