#![doc = include_str!("README.md")]

mod catalog;
mod message;
mod read;
mod rotated;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Catalog, CheckReport, ConfigErrors, Context, DynSource, Error, ErrorKind, Mapping, Options, ReadRequest,
    ReadStream, Result, Source, SourceConnector,
};
use throughline_foreign::{Files, Program};

pub(crate) use catalog::Known;
use message::Message;

use crate::flow;
use crate::foreign::config::{Config, Settings, Streams};

/// `connector = "airbyte"`.
#[derive(Clone, Copy, Debug)]
pub struct AirbyteConnector;

impl SourceConnector for AirbyteConnector {
    fn name(&self) -> &str {
        "airbyte"
    }
    fn summary(&self) -> &str {
        "Airbyte sources that are Python programs, run as processes"
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
        Ok(Arc::new(Airbyte { settings: Arc::new(Settings::new(options)?) }))
    }
}

struct Airbyte {
    settings: Arc<Settings<Known>>,
}

impl Airbyte {
    /// Asks a question and gives the lines of the answer.
    async fn ask(&self, ctx: &Context, question: &str) -> Result<Vec<u8>> {
        let files = Files::new(ctx)?;
        let config = files.put("config.json", &rotated::config(ctx, &self.settings.start).await?)?;
        let args = [question.as_ref(), "--config".as_ref(), config.as_os_str()];
        Program::start(&self.settings.start, files, &args)?.answer(ctx).await
    }
}

#[async_trait]
impl Source for Airbyte {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let answer = self.ask(ctx, "check").await?;
        let mut report = CheckReport::default();
        for line in answer.split(|b| *b == b'\n') {
            match message::message(line) {
                Ok(Message::Connection { succeeded: true, .. }) => {
                    report.facts.push(("connection".into(), "succeeded".into()));
                }
                Ok(Message::Connection { said, .. }) => {
                    let said = self.settings.start.redactor.redact(&said).into_owned();
                    return Err(Error::new(ErrorKind::Auth, format!("the source cannot connect: {said}")));
                }
                Ok(Message::Failed(failure)) => return Err(failure.into_error(&self.settings.start.redactor)),
                _ => {}
            }
        }
        if report.facts.is_empty() {
            return Err(Error::protocol("the source did not say whether it can connect"));
        }
        let known = Known::parse(&self.ask(ctx, "discover").await?, "what the source discovered", &[])?;
        report.facts.push(("streams".into(), known.names().collect::<Vec<_>>().join(", ")));
        for name in self.settings.streams.names().filter(|n| !known.names().any(|k| k == *n)) {
            report
                .warnings
                .push(format!("the source does not know the stream {name} of the catalog any more"));
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
            return Err(Error::bug(format!("the source has no stream {:?}", request.stream)));
        }
        let (settings, context) = (self.settings.clone(), ctx.clone());
        let stream = request.stream.clone();
        let events =
            flow::task(move |out| async move { read::read(&settings, &context, &request, out).await });
        Ok(flow::named(ctx, &stream, events))
    }
}
