//! The behaviour suite: does a source keep the promises of [`throughline_core::Source`]?
//!
//! It needs no server and no vendor, only a closure that makes the source as a fresh process would and one
//! that makes a world for it: a recording ([`Offline`]), a server of a test, or anything else that gives
//! equal answers to equal questions. It reads the source many times, stops it everywhere, breaks its
//! requests, and compares. Which checks ([`CHECKS`]) run on a stream is chosen by its capabilities; what
//! does not apply is reported as skipped, with the reason.
//!
//! ```no_run
//! # use throughline_behaviour::{Offline, Suite};
//! # use throughline_core::{DynSource, Redactor, Result, SourceConnector, Options};
//! # async fn example(connector: &'static dyn SourceConnector, options: Options) -> Result<()> {
//! let world = Offline::open("shop", "shop.answers.jsonl".as_ref(), Redactor::new())?;
//! let report = Suite::of_connector(connector, &options, move || world.setting())
//!     .streams(["orders"])
//!     .run()
//!     .await;
//! print!("{}", report.text());
//! assert!(report.passed());
//! # Ok(())
//! # }
//! ```
//!
//! Whoever has no [`throughline_core::SourceConnector`] (a plugin, a closure) calls [`Suite::new`], and
//! [`Suite::options`] for the checks on options.
//!
//! The suite runs sources on the caller's thread: one that neither ends nor waits cannot be stopped by it.

mod checks;
mod landed;
mod memory;
mod offline;
mod reading;
mod report;
mod rows;
mod sink;
mod watch;

use std::time::Duration;

use throughline_core::{ConfigErrors, DynSource, Error, Options, Result, SourceConnector};

pub use checks::CHECKS;
pub use memory::{MemoryNotes, MemoryTokens};
pub use offline::{Offline, Setting};
pub use report::{Check, Failure, Outcome, Report, Verdict};
pub use sink::{SINK_CHECKS, SinkSuite};

type MakeSource = Box<dyn Fn() -> Result<DynSource> + Send + Sync>;
type MakeWorld = Box<dyn Fn() -> Result<Setting> + Send + Sync>;
type Build = Box<dyn Fn(&serde_json::Value) -> Result<(), ConfigErrors> + Send + Sync>;

/// How far the suite goes. Whatever is left out is named in the report.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Checkpoints of a stream to stop at; more are spread over the read. Default 16.
    pub checkpoints: usize,
    /// Requests of a stream to break, likewise. Default 8.
    pub exchanges: usize,
    /// Rows, and events, of one read. Default 200,000.
    pub rows: usize,
    /// One read, on the machine's clock. Default 60 s.
    pub read: Duration,
    /// From the order to stop to the read's end, on the machine's clock. Default 5 s.
    pub cancel: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            checkpoints: 16,
            exchanges: 8,
            rows: 200_000,
            read: Duration::from_secs(60),
            cancel: Duration::from_secs(5),
        }
    }
}

/// A source and its world, ready to be tested.
pub struct Suite {
    name: String,
    source: MakeSource,
    world: MakeWorld,
    options: Option<OptionsUnderTest>,
    streams: Option<Vec<String>>,
    window: Option<(i64, i64)>,
    bounds: Bounds,
}

struct OptionsUnderTest {
    schema: serde_json::Value,
    good: serde_json::Value,
    build: Build,
}

impl Suite {
    /// `name` is the source's, as in a pipeline. `source` makes it as a fresh process would. `world` makes
    /// the context of a process: a clock that stands, an HTTP client that gives equal answers to equal
    /// questions, and the tokens that outlive processes. Notes and cancelling are the suite's own.
    pub fn new<S: Into<Setting>>(
        name: impl Into<String>,
        source: impl Fn() -> Result<DynSource> + Send + Sync + 'static,
        world: impl Fn() -> Result<S> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            source: Box::new(source),
            world: Box::new(move || world().map(Into::into)),
            options: None,
            streams: None,
            window: None,
            bounds: Bounds::default(),
        }
    }

    /// A connector with good options, which are tested too.
    pub fn of_connector<S: Into<Setting>>(
        connector: &'static dyn SourceConnector,
        options: &Options,
        world: impl Fn() -> Result<S> + Send + Sync + 'static,
    ) -> Self {
        let (of_source, of_options) = (options.clone(), options.clone());
        let source = move || connector.build(&of_source).map_err(first);
        let build = move |value: &serde_json::Value| {
            connector.build(&Options { value: value.clone(), ..of_options.clone() })
        };
        Self::new(&options.name, source, world).options(connector.schema(), options.value.clone(), build)
    }

    /// Options to test: their JSON Schema, a good set, and what makes a source of a set. Secrets in the good
    /// set, written as `{"$secret": ".."}`, must then show up in no checkpoint and no error.
    #[must_use]
    pub fn options(
        mut self,
        schema: serde_json::Value,
        good: serde_json::Value,
        build: impl Fn(&serde_json::Value) -> Result<DynSource, ConfigErrors> + Send + Sync + 'static,
    ) -> Self {
        self.options =
            Some(OptionsUnderTest { schema, good, build: Box::new(move |value| build(value).map(drop)) });
        self
    }

    /// Only these streams. Default: all of the catalog.
    #[must_use]
    pub fn streams<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.streams = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The window, in microseconds since 1970, that windowed streams are read in, whole and in two halves.
    /// Default: for streams by days the days that came, for others the two days before the clock's.
    #[must_use]
    pub fn window(mut self, from_us: i64, to_us: i64) -> Self {
        self.window = Some((from_us, to_us));
        self
    }

    #[must_use]
    pub fn bounds(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// Runs every check that applies. What is wrong with the source stands in the report.
    pub async fn run(&self) -> Report {
        checks::run(self).await
    }
}

/// The first of several errors, which says how many there are.
pub(crate) fn first(errors: ConfigErrors) -> Error {
    let more = errors.len().saturating_sub(1);
    match errors.into_iter().next() {
        Some(error) if more > 0 => error.with("further errors", more),
        Some(error) => error,
        None => Error::bug("options were refused without an error"),
    }
}
