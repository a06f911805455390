//! A plugin as a source.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use throughline_core::{
    Catalog, CheckReport, Checkpoint, ConfigErrors, Context, DynSource, Mapping, Options, Param, Place,
    ReadEvent, ReadRequest, ReadStream, Result, Source, SourceConnector,
};
use throughline_plugin_abi as abi;

use crate::events;
use crate::failure::Failure;
use crate::folder::Installed;
use crate::manifest::{Described, Kind};
use crate::options::{self, Setup};
use crate::process::Runner;
use crate::running::{Feed, Running, Start, ask_now, open};
use crate::session::{Answer, Ask, Brought, Session};

/// A source that is a plugin, as the registry knows connectors.
pub struct PluginSource {
    plugin: Plugin,
}

/// What both kinds of connector need of an installed plugin.
pub(crate) struct Plugin {
    installed: Arc<Installed>,
    runner: Runner,
}

impl Plugin {
    pub fn new(installed: Arc<Installed>, runner: Runner) -> Self {
        Self { installed, runner }
    }
    pub fn name(&self) -> &str {
        &self.installed.manifest.name
    }
    pub fn summary(&self) -> &str {
        &self.installed.manifest.summary
    }
    pub fn readme(&self) -> &str {
        self.installed.readme()
    }
    pub fn described(&self) -> &Arc<Described> {
        &self.installed.described
    }

    /// The plugin's options and the host's, in one schema.
    pub fn schema(&self) -> Value {
        let mut schema = self.installed.described.config_schema.clone();
        if !schema.is_object() {
            schema = json!({ "type": "object" });
        }
        if let Some(schema) = schema.as_object_mut() {
            let properties = schema.entry("properties").or_insert_with(|| json!({}));
            if let Some(properties) = properties.as_object_mut() {
                properties.extend(options::properties());
            }
        }
        schema
    }

    /// What is needed to run it with these options, which it has not seen yet.
    pub fn prepare(&self, options: &Options) -> Result<(Start, Setup), ConfigErrors> {
        let mut setup = options::setup(options)?;
        let schema = &self.installed.described.config_schema;
        let errors = options::held_against(schema, &setup.config);
        if !errors.is_empty() {
            return Err(errors);
        }
        options::from_folder(schema, &options.base_dir, &mut setup.config);
        let library = self.installed.verify().map_err(|e| vec![e])?;
        let start = Start {
            plugin: self.name().to_owned(),
            library,
            isolation: setup.isolation,
            limits: setup.limits,
            runner: self.runner.clone(),
        };
        Ok((start, setup))
    }
}

/// Asks a library what it is; blocks.
pub(crate) fn started<T: Send + 'static>(
    start: &Start,
    ask: impl FnOnce(&mut dyn Session) -> Answer<T> + Send + 'static,
) -> Answer<T> {
    ask_now(start, None, ask)
}

impl PluginSource {
    pub fn new(installed: Arc<Installed>, runner: Runner) -> Self {
        Self { plugin: Plugin::new(installed, runner) }
    }

    /// A source out of a library that is not installed, for trying it.
    ///
    /// # Errors
    /// The library is no plugin, or a sink.
    pub fn of_file(file: &Path, runner: &Runner) -> Result<Self> {
        let installed = Installed::of_file(file, runner)?;
        if installed.manifest.kind != Kind::Source {
            return Err(throughline_core::Error::config(format!(
                "{} is a sink, not a source",
                file.display()
            )));
        }
        Ok(Self::new(Arc::new(installed), runner.clone()))
    }
}

impl SourceConnector for PluginSource {
    fn name(&self) -> &str {
        self.plugin.name()
    }
    fn summary(&self) -> &str {
        self.plugin.summary()
    }
    fn readme(&self) -> &str {
        self.plugin.readme()
    }
    fn schema(&self) -> Value {
        self.plugin.schema()
    }
    fn catalog(&self) -> Catalog {
        Catalog { streams: self.plugin.described().streams.clone() }
    }

    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let (start, setup) = self.plugin.prepare(options)?;
        let config = setup.config.clone();
        let (catalog, mappings) = ask_now(&start, Some(&setup), move |session| {
            open(session, &config)?;
            Ok((session.ask(Ask::Catalog)?, session.ask(Ask::Mappings)?))
        })
        .map_err(|f| vec![redacted(f, &setup).into_error(&start.plugin)])?;
        let read = |what: &str, e: serde_json::Error| {
            Failure::new(abi::TL_PANIC, format!("the plugin broke the interface: {what}: {e}"))
                .into_error(&start.plugin)
        };
        let catalog: Catalog = serde_json::from_value(catalog).map_err(|e| vec![read("its catalog", e)])?;
        let mappings: Vec<MappingJson> = match mappings {
            Value::Null => Vec::new(),
            list => serde_json::from_value(list).map_err(|e| vec![read("its mappings", e)])?,
        };
        let mappings = mappings.into_iter().map(MappingJson::known).collect();
        let described = self.plugin.described().clone();
        Ok(Arc::new(OpenedSource { start, setup, catalog, mappings, described }))
    }
}

#[derive(Deserialize)]
struct MappingJson {
    into: String,
    from: Vec<String>,
    sql: String,
    #[serde(default)]
    origin: String,
    #[serde(default)]
    params: serde_json::Map<String, Value>,
}

impl MappingJson {
    fn known(self) -> Mapping {
        let param = |value: Value| match value {
            Value::Bool(b) => Param::Bool(b),
            Value::Number(n) if n.is_i64() => Param::Int(n.as_i64().unwrap_or_default()),
            Value::String(text) => Param::Text(Some(text)),
            Value::Null => Param::Text(None),
            other => Param::Text(Some(other.to_string())),
        };
        let params = self.params.into_iter().map(|(name, value)| (name, param(value))).collect();
        Mapping { into: self.into, from: self.from, sql: self.sql, origin: self.origin, params }
    }
}

struct OpenedSource {
    start: Start,
    setup: Setup,
    catalog: Catalog,
    mappings: Vec<Mapping>,
    described: Arc<Described>,
}

impl OpenedSource {
    async fn ask(&self, ctx: &Context, ask: Ask) -> Result<Value> {
        ask_running(&self.start, &self.setup, ctx, ask).await
    }
}

/// One question to a fresh instance.
pub(crate) async fn ask_running(start: &Start, setup: &Setup, ctx: &Context, ask: Ask) -> Result<Value> {
    let mut running = Running::start(start, setup, ctx, move |session, feed: &Feed<Value>| {
        let answer = session.ask(ask)?;
        feed.give(answer);
        Ok(())
    });
    let answer = running.next().await.unwrap_or_else(|| Err(Failure::cancelled()));
    answer.map_err(|f| redacted(f, setup).into_error(&start.plugin))
}

/// A plugin that says too much must not tell its secrets.
pub(crate) fn redacted(mut failure: Failure, setup: &Setup) -> Failure {
    failure.message = setup.redactor.redact(&failure.message).into_owned();
    failure.hint = setup.redactor.redact(&failure.hint).into_owned();
    failure
}

pub(crate) fn checked(plugin: &str, report: Value) -> Result<CheckReport> {
    if report.is_null() {
        return Ok(CheckReport::default());
    }
    serde_json::from_value(report).map_err(|e| {
        Failure::new(abi::TL_PANIC, format!("the plugin broke the interface: its report: {e}"))
            .into_error(plugin)
    })
}

#[async_trait]
impl Source for OpenedSource {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        checked(&self.start.plugin, self.ask(ctx, Ask::Check).await?)
    }

    fn catalog(&self) -> Catalog {
        self.catalog.clone()
    }

    async fn discover(&self, ctx: &Context) -> Result<Catalog> {
        if !self.described.offers("discover") {
            return Ok(self.catalog());
        }
        let catalog = self.ask(ctx, Ask::Discover).await?;
        serde_json::from_value(catalog).map_err(|e| {
            let what = format!("the plugin broke the interface: its catalog: {e}");
            Failure::new(abi::TL_PANIC, what).into_error(&self.start.plugin)
        })
    }

    fn mappings(&self) -> Vec<Mapping> {
        self.mappings.clone()
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let asked = json!({
            "stream": request.stream.clone(),
            "from_us": request.window.map(|w| w.from_us),
            "to_us": request.window.map(|w| w.to_us),
            "max_pages": request.max_pages,
        });
        let checkpoint = request.checkpoint.map(|c| c.0);
        let running = Running::start(&self.start, &self.setup, ctx, move |session, feed| {
            session.ask(Ask::ReadOpen { request: asked, checkpoint })?;
            read(session, feed)
        });
        let reading = Reading {
            running,
            setup: self.setup.clone(),
            plugin: self.start.plugin.clone(),
            place: (ctx.name.to_string(), request.stream.clone()),
            max_pages: request.max_pages,
            batches: 0,
            rows: 0,
            over: false,
        };
        Ok(Box::pin(futures::stream::unfold(reading, Reading::next)))
    }

    async fn committed(&self, ctx: &Context, stream: &str, checkpoint: &Checkpoint) -> Result<()> {
        if !self.described.offers("committed") {
            return Ok(());
        }
        let ask = Ask::Committed { stream: stream.to_owned(), checkpoint: checkpoint.0.clone() };
        self.ask(ctx, ask).await.map(|_| ())
    }
}

/// On the session's thread: until the end, or until nobody listens.
fn read(session: &mut dyn Session, feed: &Feed<Brought>) -> Answer<()> {
    loop {
        let brought = session.next()?;
        let over = matches!(brought, Brought::End);
        if !feed.give(brought) || over {
            return Ok(());
        }
    }
}

struct Reading {
    running: Running<Brought>,
    setup: Setup,
    plugin: String,
    /// Source and stream, for errors.
    place: (String, String),
    max_pages: Option<u64>,
    batches: u64,
    /// Delivered, rejected ones included.
    rows: u64,
    over: bool,
}

impl Reading {
    async fn next(mut self) -> Option<(Result<ReadEvent>, Self)> {
        if self.over {
            return None;
        }
        let failed = |reading: &mut Self, failure: Failure| {
            reading.over = true;
            let error = redacted(failure, &reading.setup).into_error(&reading.plugin);
            let (source, stream) = reading.place.clone();
            let page = Some(format!("batch {}", reading.batches + 1));
            Err(error.or_at(|| Place::Stream { source, stream, page }))
        };
        // A stream that ends without saying so did not end well.
        let brought = self
            .running
            .next()
            .await
            .unwrap_or_else(|| Err(Failure::new(abi::TL_PANIC, "the plugin's thread broke down")));
        let event = match brought.and_then(|brought| events::event(brought, self.batches)) {
            Ok(Some(event)) => event,
            Ok(None) => return None,
            Err(failure) => {
                let error = failed(&mut self, failure);
                return Some((error, self));
            }
        };
        match &event {
            ReadEvent::Batch(batch) => {
                self.batches += 1;
                self.rows += batch.rows.num_rows() as u64;
            }
            ReadEvent::Rejected(_) => self.rows += 1,
            ReadEvent::Count(count) if count.read > self.rows => {
                let what = format!(
                    "the plugin says it delivered {} records ({}), and delivered {}",
                    count.read, count.what, self.rows
                );
                let error = failed(&mut self, Failure::new(abi::TL_PANIC, what));
                return Some((error, self));
            }
            _ => {}
        }
        // A dry run ends here whether the plugin heeds it or not.
        self.over = self.max_pages.is_some_and(|most| self.batches >= most);
        Some((Ok(event), self))
    }
}
