#![doc = include_str!("README.md")]

mod catalog;
mod message;
mod read;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Catalog, CheckReport, ConfigErrors, Context, DynSource, Error, Mapping, Options, ReadRequest, ReadStream,
    Result, Source, SourceConnector,
};
use throughline_foreign::{Files, Program};

pub(crate) use catalog::Tap;

use crate::flow;
use crate::foreign::config::{Config, Settings, Streams};

/// `connector = "singer"`.
#[derive(Clone, Copy, Debug)]
pub struct SingerConnector;

impl SourceConnector for SingerConnector {
    fn name(&self) -> &str {
        "singer"
    }
    fn summary(&self) -> &str {
        "Any Singer tap, run as a process"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        Catalog::default()
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        Ok(Arc::new(Singer { settings: Arc::new(Settings::new(options)?) }))
    }
}

struct Singer {
    settings: Arc<Settings<Tap>>,
}

#[async_trait]
impl Source for Singer {
    /// A tap has no such question; what can be found out is whether it starts and knows its streams.
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let start = &self.settings.start;
        let files = Files::new(ctx)?;
        let config = files.put("config.json", &start.config)?;
        let args = ["--config".as_ref(), config.as_os_str(), "--discover".as_ref()];
        let found = Program::start(start, files, &args)?.answer(ctx).await?;
        let known = Tap::parse(&found, "what the tap discovered", &[])?;
        let mut report = CheckReport::default();
        report.facts.push(("streams".into(), known.names().collect::<Vec<_>>().join(", ")));
        for name in self.settings.streams.names().filter(|n| !known.names().any(|k| k == *n)) {
            report.warnings.push(format!("the tap does not know the stream {name} of the catalog any more"));
        }
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        Catalog { streams: self.settings.streams.specs() }
    }

    fn mappings(&self) -> Vec<Mapping> {
        self.settings.mappings.clone()
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        if self.settings.streams.stream(&request.stream).is_none() {
            return Err(Error::bug(format!("the tap has no stream {:?}", request.stream)));
        }
        let (settings, context) = (self.settings.clone(), ctx.clone());
        let stream = request.stream.clone();
        let events =
            flow::task(move |out| async move { read::read(&settings, &context, &request, out).await });
        Ok(flow::named(ctx, &stream, events))
    }
}
