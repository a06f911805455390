//! Messengers and bot builders that tell by webhook: one event is one row of the stream `events`, and
//! SELECTs make messages, states and consents of it.
//!
//! A vendor is a [`Vendor`]: a table of what differs. A member that nobody has seen before becomes a column,
//! so nothing a vendor adds is lost.

mod config;
mod events;
pub(crate) mod pulled;
mod vendors;

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use throughline_core::{
    Capabilities, Catalog, CheckReport, Checkpoint, ColumnSpec, ColumnType, ConfigErrors, Context, DynSource,
    Error, Forgotten, Mapping, Notice, Options, Param, ReadEvent, ReadRequest, ReadStream, Result, Scrubbed,
    Source, SourceConnector, StreamSpec,
};

use crate::whatsapp::file_inbox::FileInbox;
use crate::whatsapp::forget;
use crate::whatsapp::read::Reader;
use crate::{flow, local};
use config::Settings;
pub(crate) use events::Events;
pub(crate) use vendors::{TELEGRAM, VENDORS, VK};

const STREAM: &str = "events";

/// How a vendor proves that a delivery is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// `X-Hub-Signature-256`, with the option `app_secret`.
    Meta,
    /// `X-Viber-Content-Signature`, with the option `auth_token`.
    Viber,
    /// By a header or a path that only the receiver sees.
    None,
}

/// Where the events of a delivery are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// The delivery is the event.
    Whole,
    /// The delivery is the event, and the path it was sent to says which.
    ByPath,
    /// In `entry[].messaging[]` and `entry[].standby[]`, as Meta's messengers send them.
    Entries,
    /// In lists of these names; what else a delivery holds is one more row.
    Lists(&'static [&'static str]),
}

/// What is particular to a vendor.
pub(crate) struct Vendor {
    pub name: &'static str,
    pub summary: &'static str,
    pub readme: &'static str,
    pub proof: Proof,
    pub split: Split,
    /// Whether deliveries do not say which of our accounts they are for, so that the option `account` must.
    pub needs_account: bool,
    /// Whether the option `app_id` tells our bot's messages from those of people.
    pub takes_app_id: bool,
    /// Members of an event that the SELECTs read. There are always columns of these names.
    pub columns: &'static [(&'static str, ColumnType)],
    pub mappings: &'static [VendorMapping],
}

pub(crate) struct VendorMapping {
    pub into: &'static str,
    pub origin: &'static str,
    pub sql: &'static str,
}

/// `connector = "viber"` and its like.
pub(crate) struct WebhookConnector(pub &'static Vendor);

impl SourceConnector for WebhookConnector {
    fn name(&self) -> &str {
        self.0.name
    }
    fn summary(&self) -> &str {
        self.0.summary
    }
    fn readme(&self) -> &str {
        self.0.readme
    }
    fn schema(&self) -> serde_json::Value {
        config::schema(self.0)
    }
    fn catalog(&self) -> Catalog {
        catalog(self.0)
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        Ok(Arc::new(Webhook::new(self.0, options)?))
    }
}

/// Reads an inbox.
pub(crate) struct Webhook {
    vendor: &'static Vendor,
    settings: Settings,
}

impl Webhook {
    pub fn new(vendor: &'static Vendor, options: &Options) -> Result<Self, ConfigErrors> {
        Ok(Self { vendor, settings: Settings::new(vendor, options)? })
    }
}

#[async_trait]
impl Source for Webhook {
    async fn check(&self, _ctx: &Context) -> Result<CheckReport> {
        let Settings { base_dir, inbox, .. } = &self.settings;
        let found = local::find(base_dir, inbox)?;
        if found.is_empty() {
            return Err(local::not_found(base_dir, inbox));
        }
        let mut report = CheckReport::default();
        report.facts.push(("inbox files".into(), found.len().to_string()));
        if self.vendor.proof != Proof::None && self.settings.secret.is_none() {
            report.warnings.push(format!(
                "without `{}` signatures are not checked: anybody may have written the inbox",
                config::secret_name(self.vendor.proof)
            ));
        }
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        catalog(self.vendor)
    }

    fn mappings(&self) -> Vec<Mapping> {
        let text = |value: &Option<String>| Param::Text(value.clone());
        let object = if self.vendor.name == "instagram" { "instagram" } else { "page" };
        let params = vec![
            ("platform".to_owned(), Param::Text(Some(self.vendor.name.into()))),
            // Of Meta's webhooks: one app may receive for several of its messengers.
            ("object".to_owned(), Param::Text(Some(object.into()))),
            ("account".to_owned(), text(&self.settings.account)),
            ("app_id".to_owned(), text(&self.settings.app_id)),
        ];
        let mapping = |m: &VendorMapping| Mapping {
            into: m.into.into(),
            from: vec![STREAM.into()],
            sql: m.sql.into(),
            origin: m.origin.into(),
            params: params.clone(),
        };
        self.vendor.mappings.iter().map(mapping).collect()
    }

    async fn forget(
        &self,
        ctx: &Context,
        who: Arc<dyn Forgotten>,
        apply: bool,
        checkpoints: Vec<Checkpoint>,
    ) -> Result<(Vec<Scrubbed>, Vec<Checkpoint>)> {
        let Settings { base_dir, inbox, secret, .. } = &self.settings;
        let files = forget::Files { base_dir, pattern: inbox, secret: secret.as_ref() };
        forget::forget(files, ctx, who, apply, checkpoints).await
    }

    async fn forgotten(&self, ctx: &Context) -> Result<()> {
        forget::forgotten(ctx).await
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        if request.stream != STREAM {
            return Err(Error::bug(format!("{} has no stream {:?}", self.vendor.name, request.stream)));
        }
        let (vendor, settings, cancel) = (self.vendor, self.settings.clone(), ctx.cancel.clone());
        Ok(flow::blocking(move |out| {
            let Settings { base_dir, inbox, accept_replaced, secret, .. } = settings;
            let inbox = FileInbox::open(&base_dir, &inbox, request.checkpoint.as_ref(), accept_replaced)?;
            let deliveries = Events { split: vendor.split, proof: vendor.proof, secret };
            Reader { deliveries, max_pages: request.max_pages, cancel }.run(Box::new(inbox), out)
        }))
    }
}

/// A stream behind what a person should know before it.
pub(crate) fn after(notices: Vec<Notice>, stream: ReadStream) -> ReadStream {
    let first = notices.into_iter().map(|notice| Ok(ReadEvent::Notice(notice)));
    futures::stream::iter(first).chain(stream).boxed()
}

/// Columns that say where an event was: when its delivery came, to which path and how, which list it was in, the
/// `id` of its entry and the `object` its entry is of.
fn places(split: Split) -> &'static [(&'static str, ColumnType)] {
    use ColumnType::Text;
    match split {
        Split::Whole => &[("received_at", Text)],
        Split::ByPath => &[("received_at", Text), ("method", Text), ("path", Text)],
        Split::Lists(_) => &[("received_at", Text), ("list", Text)],
        Split::Entries => &[("received_at", Text), ("list", Text), ("entry_id", Text), ("object", Text)],
    }
}

pub(crate) fn catalog(vendor: &Vendor) -> Catalog {
    let column = |(name, kind): &(&str, ColumnType)| ColumnSpec {
        name: (*name).into(),
        kind: *kind,
        doc: String::new(),
    };
    Catalog {
        streams: vec![StreamSpec {
            name: STREAM.into(),
            doc: "Events as they were received, one row each.".into(),
            key: Vec::new(),
            columns: places(vendor.split).iter().chain(vendor.columns).map(column).collect(),
            restates: None,
            capabilities: Capabilities {
                incremental: true,
                webhook: true,
                resumable: true,
                ..Default::default()
            },
        }],
    }
}
