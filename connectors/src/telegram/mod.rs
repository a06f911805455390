#![doc = include_str!("README.md")]

mod client;
mod config;
mod poll;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Catalog, CheckReport, Checkpoint, ConfigErrors, Context, DynSource, Forgotten, Mapping, Options,
    ReadRequest, ReadStream, Result, Scrubbed, Source, SourceConnector,
};

use crate::flow;
use crate::webhook::{self, TELEGRAM, Webhook};
pub use config::Config;

/// `connector = "telegram"`.
pub struct TelegramConnector;

impl SourceConnector for TelegramConnector {
    fn name(&self) -> &str {
        TELEGRAM.name
    }
    fn summary(&self) -> &str {
        TELEGRAM.summary
    }
    fn readme(&self) -> &str {
        TELEGRAM.readme
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        webhook::catalog(&TELEGRAM)
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let (inbox, poller) = config::read(options)?;
        Ok(Arc::new(Telegram { inbox, poller }))
    }
}

/// An inbox that somebody writes; with a poller that somebody is us.
struct Telegram {
    inbox: Webhook,
    poller: Option<poll::Poller>,
}

#[async_trait]
impl Source for Telegram {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        match &self.poller {
            Some(poller) => poller.check(ctx).await,
            None => self.inbox.check(ctx).await,
        }
    }

    fn catalog(&self) -> Catalog {
        self.inbox.catalog()
    }

    fn mappings(&self) -> Vec<Mapping> {
        self.inbox.mappings()
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let stream = request.stream.clone();
        let notices = match &self.poller {
            Some(poller) => flow::first(ctx, &stream, poller.poll(ctx)).await?,
            None => Vec::new(),
        };
        Ok(flow::named(ctx, &stream, webhook::after(notices, self.inbox.read(ctx, request).await?)))
    }

    async fn forget(
        &self,
        ctx: &Context,
        who: Arc<dyn Forgotten>,
        apply: bool,
        checkpoints: Vec<Checkpoint>,
    ) -> Result<(Vec<Scrubbed>, Vec<Checkpoint>)> {
        self.inbox.forget(ctx, who, apply, checkpoints).await
    }

    async fn forgotten(&self, ctx: &Context) -> Result<()> {
        self.inbox.forgotten(ctx).await
    }
}
