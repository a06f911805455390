#![doc = include_str!("README.md")]

mod config;
pub(crate) mod file_inbox;
pub(crate) mod flatten;
pub(crate) mod forget;
pub(crate) mod inbox;
pub(crate) mod read;
pub(crate) mod signature;
mod streams;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Catalog, CheckReport, Checkpoint, ConfigErrors, Context, DynSource, Error, Forgotten, Mapping, Options,
    ReadRequest, ReadStream, Result, Scrubbed, Source, SourceConnector,
};

pub use config::Config;
use config::Settings;
use file_inbox::FileInbox;
use flatten::Stream;

use crate::{flow, local};

/// `connector = "whatsapp"`.
pub struct WhatsappConnector;

impl SourceConnector for WhatsappConnector {
    fn name(&self) -> &str {
        "whatsapp"
    }
    fn summary(&self) -> &str {
        "WhatsApp Business Cloud API: messages, statuses and consents from received webhooks"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        streams::catalog()
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        Ok(Arc::new(Whatsapp { settings: Settings::new(options)? }))
    }
}

struct Whatsapp {
    settings: Settings,
}

#[async_trait]
impl Source for Whatsapp {
    async fn check(&self, _ctx: &Context) -> Result<CheckReport> {
        let Settings { base_dir, inbox, app_secret, .. } = &self.settings;
        let found = local::find(base_dir, inbox)?;
        if found.is_empty() {
            return Err(local::not_found(base_dir, inbox));
        }
        let mut bytes = 0;
        for path in &found {
            bytes += local::Stamp::of(path)?.bytes;
        }
        let mut report = CheckReport::default();
        report.facts.push(("inbox files".into(), found.len().to_string()));
        report.facts.push(("bytes".into(), bytes.to_string()));
        if app_secret.is_none() {
            report.warnings.push(
                "without `app_secret` signatures are not checked: anybody may have written the inbox".into(),
            );
        }
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        streams::catalog()
    }

    fn mappings(&self) -> Vec<Mapping> {
        streams::mappings()
    }

    async fn forget(
        &self,
        ctx: &Context,
        who: Arc<dyn Forgotten>,
        apply: bool,
        checkpoints: Vec<Checkpoint>,
    ) -> Result<(Vec<Scrubbed>, Vec<Checkpoint>)> {
        let Settings { base_dir, inbox, app_secret, .. } = &self.settings;
        let files = forget::Files { base_dir, pattern: inbox, secret: app_secret.as_ref() };
        forget::forget(files, ctx, who, apply, checkpoints).await
    }

    async fn forgotten(&self, ctx: &Context) -> Result<()> {
        forget::forgotten(ctx).await
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let Some(stream) = Stream::of_name(&request.stream) else {
            return Err(Error::bug(format!("WhatsApp has no stream {:?}", request.stream)));
        };
        let (settings, cancel) = (self.settings.clone(), ctx.cancel.clone());
        Ok(flow::blocking(move |out| {
            let Settings { base_dir, inbox, app_secret, accept_replaced } = settings;
            let inbox = FileInbox::open(&base_dir, &inbox, request.checkpoint.as_ref(), accept_replaced)?;
            let deliveries = read::Rows { stream, app_secret };
            read::Reader { deliveries, max_pages: request.max_pages, cancel }.run(Box::new(inbox), out)
        }))
    }
}
