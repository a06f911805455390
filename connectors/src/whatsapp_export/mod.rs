#![doc = include_str!("README.md")]

mod config;
mod dates;
mod head;
mod read;
mod survey;
mod text;
mod words;
mod zip;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Capabilities, Catalog, CheckReport, ColumnSpec, ColumnType, ConfigErrors, Context, DynSource, Error,
    Mapping, Options, Param, ReadRequest, ReadStream, Result, Source, SourceConnector, StreamSpec,
};

pub use config::Config;
use config::Settings;
pub use dates::DateOrder;

use crate::{flow, local};

const STREAM: &str = "messages";

const COLUMNS: [(&str, ColumnType, &str); 16] = [
    ("id", ColumnType::Text, "made of the chat, the minute, who speaks and what is said"),
    ("file", ColumnType::Text, ""),
    ("line", ColumnType::Int, "where in the file it begins"),
    ("chat", ColumnType::Text, "number or name of who the chat is with; a group's title"),
    ("is_group", ColumnType::Bool, ""),
    (
        "person",
        ColumnType::Text,
        "the customer's number in digits; in a group, where it is not known, the name",
    ),
    ("phone", ColumnType::Text, "of the customer, E.164"),
    ("sender", ColumnType::Text, "as the file names him; null: WhatsApp itself"),
    ("name", ColumnType::Text, "of the customer, where the file names him by one"),
    ("is_ours", ColumnType::Bool, "one of `operators`"),
    ("local_time", ColumnType::Text, "in `time_zone`"),
    ("kind", ColumnType::Text, "text, image, media (left out), delete, system, ..."),
    ("is_event", ColumnType::Bool, ""),
    ("is_edited", ColumnType::Bool, ""),
    ("text", ColumnType::Text, ""),
    ("attachment", ColumnType::Text, "name of the file that came with it"),
];

/// `connector = "whatsapp_export"`.
pub struct WhatsappExportConnector;

impl SourceConnector for WhatsappExportConnector {
    fn name(&self) -> &str {
        "whatsapp_export"
    }
    fn summary(&self) -> &str {
        "WhatsApp chats of the past, from the files that \"Export chat\" writes"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        catalog()
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        Ok(Arc::new(WhatsappExport { settings: Settings::new(options)? }))
    }
}

fn catalog() -> Catalog {
    let column =
        |(name, kind, doc): (&str, ColumnType, &str)| ColumnSpec { name: name.into(), kind, doc: doc.into() };
    Catalog {
        streams: vec![StreamSpec {
            name: STREAM.into(),
            doc: "The messages of all files.".into(),
            key: vec!["id".into()],
            columns: COLUMNS.into_iter().map(column).collect(),
            restates: None,
            capabilities: Capabilities {
                incremental: true,
                deletes: true,
                resumable: true,
                ..Default::default()
            },
        }],
    }
}

struct WhatsappExport {
    settings: Settings,
}

#[async_trait]
impl Source for WhatsappExport {
    async fn check(&self, _ctx: &Context) -> Result<CheckReport> {
        let settings = self.settings.clone();
        let look = move || -> Result<CheckReport> {
            let found = local::find_named(&settings.base_dir, &settings.path)?;
            let mut report = CheckReport::default();
            report.facts.push(("chats".into(), found.len().to_string()));
            for (name, path) in found {
                let chat = survey::survey(&path, &name, &settings)?;
                if chat.is_some_and(|chat| !chat.ours_spoke) {
                    report.warnings.push(format!("{name}: none of `operators` wrote in it"));
                }
            }
            Ok(report)
        };
        tokio::task::spawn_blocking(look)
            .await
            .map_err(|e| Error::bug(format!("a look at exported chats broke off: {e}")).caused_by(e))?
    }

    fn catalog(&self) -> Catalog {
        catalog()
    }

    fn mappings(&self) -> Vec<Mapping> {
        let text = |value: &str| Param::Text(Some(value.to_owned()));
        let mapping = |into: &str, sql: &str| Mapping {
            into: into.into(),
            from: vec![STREAM.into()],
            sql: sql.into(),
            origin: format!("connectors/src/whatsapp_export/mapping/{into}.sql"),
            params: vec![
                ("account".to_owned(), text(&self.settings.account)),
                ("time_zone".to_owned(), text(&self.settings.time_zone)),
            ],
        };
        vec![
            mapping("messages", include_str!("mapping/messages.sql")),
            mapping("identity_edges", include_str!("mapping/identity_edges.sql")),
        ]
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        if request.stream != STREAM {
            return Err(Error::bug(format!("exported chats have no stream {:?}", request.stream)));
        }
        let job = read::Job {
            settings: self.settings.clone(),
            checkpoint: request.checkpoint,
            max_pages: request.max_pages,
            cancel: ctx.cancel.clone(),
        };
        Ok(flow::blocking(move |out| job.run(out)))
    }
}
