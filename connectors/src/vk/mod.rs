#![doc = include_str!("README.md")]

mod client;
mod config;
mod conversations;
mod failure;
mod history;
mod long_poll;
mod people;
mod state;
mod statistics;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Capabilities, Catalog, CheckReport, Checkpoint, ColumnSpec, ColumnType, ConfigErrors, Context, DynSource,
    Error, Forgotten, Mapping, Options, ReadRequest, ReadStream, Result, Scrubbed, Source, SourceConnector,
    StreamSpec,
};

use crate::flow;
use crate::webhook::{self, VK, Webhook};
use client::Api;
pub use config::Config;

const MESSAGES: &str = "messages";
const CONVERSATIONS: &str = "conversations";
const USERS: &str = "users";
const STATISTICS: &str = "statistics";

/// `connector = "vk"`.
pub struct VkConnector;

impl SourceConnector for VkConnector {
    fn name(&self) -> &str {
        VK.name
    }
    fn summary(&self) -> &str {
        VK.summary
    }
    fn readme(&self) -> &str {
        VK.readme
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        catalog(true, true, true)
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let config::Settings { inbox, api, statistics, long_poll } = config::read(options)?;
        Ok(Arc::new(Vk { inbox, api, statistics, long_poll }))
    }
}

/// A community: what it told, what it is asked for, its statistics.
struct Vk {
    inbox: Option<Webhook>,
    api: Option<Api>,
    statistics: Option<statistics::Statistics>,
    long_poll: Option<long_poll::LongPoll>,
}

fn catalog(told: bool, asked: bool, statistics: bool) -> Catalog {
    use ColumnType::{Int, Json, Text};
    let stream =
        |name: &str, doc: &str, key: &str, columns: &[(&str, ColumnType, &str)], incremental| StreamSpec {
            name: name.into(),
            doc: doc.into(),
            key: vec![key.into()],
            columns: columns
                .iter()
                .map(|(name, kind, doc)| ColumnSpec { name: (*name).into(), kind: *kind, doc: (*doc).into() })
                .collect(),
            restates: None,
            capabilities: Capabilities {
                incremental,
                resumable: incremental,
                count: true,
                ..Default::default()
            },
        };
    let mut catalog = if told { webhook::catalog(&VK) } else { Catalog { streams: Vec::new() } };
    if asked {
        let messages = [
            ("number", Text, "id; of messages without one, peer and number inside the chat"),
            ("peer_id", Int, "the conversation"),
            ("group_id", Text, ""),
            ("object", Json, "the message as it came"),
        ];
        let conversations = [
            ("peer_id", Int, ""),
            ("group_id", Text, ""),
            ("conversation", Json, "what was read up to, whether we may write"),
            ("last_message", Json, ""),
        ];
        let users = [
            ("user_id", Int, ""),
            ("first_name", Text, ""),
            ("last_name", Text, ""),
            ("screen_name", Text, ""),
        ];
        catalog.streams.extend([
            stream(MESSAGES, "Messages of all conversations.", "number", &messages, true),
            stream(CONVERSATIONS, "Conversations as they stand.", "peer_id", &conversations, false),
            stream(USERS, "People who wrote.", "user_id", &users, false),
        ]);
    }
    if statistics {
        let columns = [
            ("period_from", Int, "unix second that the day begins at"),
            ("period_to", Int, "unix second that it ends at"),
            ("group_id", Text, ""),
            ("visitors", Json, "views, visitors, those with telephones"),
            ("reach", Json, "people who saw the community's posts"),
            ("activity", Json, "likes, reposts, comments, who subscribed and who left"),
        ];
        let mut spec = stream(STATISTICS, "Days of the community.", "period_from", &columns, true);
        spec.capabilities.count = false;
        catalog.streams.push(spec);
    }
    catalog
}

impl Vk {
    fn api(&self, stream: &str) -> Result<&Api> {
        self.api.as_ref().ok_or_else(|| Error::bug(format!("vk has no stream {stream:?} without a token")))
    }
}

#[async_trait]
impl Source for Vk {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let mut report = match &self.inbox {
            // With Long Poll the first run makes the files.
            Some(inbox) if self.long_poll.is_none() => inbox.check(ctx).await?,
            _ => CheckReport::default(),
        };
        if let Some(statistics) = &self.statistics {
            statistics.check(ctx).await?;
            report.facts.push(("statistics".into(), format!("from {}", statistics.start_on)));
        }
        if let Some(api) = &self.api {
            let mut pages = conversations::Pages::new(ctx, api);
            pages.next(|_, _, _| {}).await?;
            report.facts.push(("conversations".into(), pages.count().to_string()));
        }
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        catalog(self.inbox.is_some(), self.api.is_some(), self.statistics.is_some())
    }

    fn mappings(&self) -> Vec<Mapping> {
        let mut mappings = self.inbox.as_ref().map(Webhook::mappings).unwrap_or_default();
        if self.api.is_some() {
            mappings.push(Mapping {
                into: "messages".into(),
                from: vec![MESSAGES.into(), USERS.into()],
                sql: concat!(include_str!("mapping/told_history.sql"), include_str!("mapping/messages.sql"))
                    .into(),
                origin: "connectors/src/vk/mapping/told_history.sql + vk/mapping/messages.sql".into(),
                params: Vec::new(),
            });
        }
        mappings
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let stream = request.stream.as_str();
        if let (STATISTICS, Some(statistics)) = (stream, self.statistics.clone()) {
            let (own, max, checkpoint) = (ctx.clone(), request.max_pages, request.checkpoint.clone());
            let read = flow::task(move |out| statistics.read(own, out, max, checkpoint));
            return Ok(flow::of_stream(ctx, stream, read));
        }
        if !matches!(stream, MESSAGES | CONVERSATIONS | USERS) {
            let notices = match (&self.long_poll, &self.api) {
                (Some(long_poll), Some(api)) => flow::first(ctx, stream, long_poll.poll(ctx, api)).await?,
                _ => Vec::new(),
            };
            return match &self.inbox {
                Some(inbox) => {
                    let stream = stream.to_owned();
                    Ok(flow::named(ctx, &stream, webhook::after(notices, inbox.read(ctx, request).await?)))
                }
                None => Err(Error::bug(format!("vk has no stream {stream:?} without an inbox"))),
            };
        }
        let (own, api, max_pages) = (ctx.clone(), self.api(stream)?.clone(), request.max_pages);
        let events = if stream == MESSAGES {
            let state = state::State::read(request.checkpoint.as_ref())?;
            flow::task(move |out| history::History::new(own, api, out, max_pages, state).run())
        } else {
            let of_users = stream == USERS;
            flow::task(move |out| async move {
                let snapshot = people::Snapshot { ctx: own, api, out, max_pages };
                if of_users { snapshot.users().await } else { snapshot.conversations().await }
            })
        };
        Ok(flow::of_stream(ctx, stream, events))
    }

    async fn forget(
        &self,
        ctx: &Context,
        who: Arc<dyn Forgotten>,
        apply: bool,
        checkpoints: Vec<Checkpoint>,
    ) -> Result<(Vec<Scrubbed>, Vec<Checkpoint>)> {
        let Some(inbox) = &self.inbox else { return Ok((Vec::new(), checkpoints)) };
        // Only those of the inbox speak of its files.
        let of_inbox = |c: &Checkpoint| c.0.get("files").is_some();
        let given = checkpoints.iter().filter(|c| of_inbox(c)).cloned().collect();
        let (scrubbed, changed) = inbox.forget(ctx, who, apply, given).await?;
        let mut changed = changed.into_iter();
        let fitting = |c: Checkpoint| if of_inbox(&c) { changed.next().unwrap_or(c) } else { c };
        Ok((scrubbed, checkpoints.into_iter().map(fitting).collect()))
    }

    async fn forgotten(&self, ctx: &Context) -> Result<()> {
        match &self.inbox {
            Some(inbox) => inbox.forgotten(ctx).await,
            None => Ok(()),
        }
    }
}
