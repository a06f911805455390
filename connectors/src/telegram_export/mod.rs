#![doc = include_str!("README.md")]

mod config;
mod export;
mod json;
mod message;
mod read;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Capabilities, Catalog, CheckReport, ColumnSpec, ColumnType, ConfigErrors, Context, DynSource, Error,
    Mapping, Options, Param, ReadRequest, ReadStream, Result, Source, SourceConnector, StreamSpec,
};

pub use config::Config;
use config::Settings;

use crate::{flow, local};

const STREAM: &str = "messages";

const COLUMNS: [(&str, ColumnType, &str); 20] = [
    ("message_key", ColumnType::Text, "the chat's id and the message's"),
    ("chat_id", ColumnType::Text, "as the Bot API writes it: groups are negative"),
    ("chat_type", ColumnType::Text, "personal_chat, private_supergroup, ..."),
    ("chat_name", ColumnType::Text, ""),
    ("export_file", ColumnType::Text, ""),
    ("person", ColumnType::Text, "the id of who wrote or did it"),
    ("is_ours", ColumnType::Bool, ""),
    ("words", ColumnType::Text, "the text without its formatting"),
    ("sent_unix", ColumnType::Int, "seconds; old exports have none"),
    ("id", ColumnType::Int, "unique inside the chat"),
    ("type", ColumnType::Text, "message, service, unsupported"),
    ("date", ColumnType::Text, "local time of the export"),
    ("from", ColumnType::Text, "name of who wrote; null when the account was deleted"),
    ("media_type", ColumnType::Text, ""),
    ("photo", ColumnType::Text, ""),
    ("file", ColumnType::Text, ""),
    ("contact_information", ColumnType::Json, ""),
    ("location_information", ColumnType::Json, ""),
    ("reply_to_message_id", ColumnType::Int, ""),
    ("action", ColumnType::Text, "of a service message"),
];

/// `connector = "telegram_export"`.
pub struct TelegramExportConnector;

impl SourceConnector for TelegramExportConnector {
    fn name(&self) -> &str {
        "telegram_export"
    }
    fn summary(&self) -> &str {
        "Telegram chats of the past, from the JSON that Telegram Desktop exports"
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
        Ok(Arc::new(TelegramExport { settings: Settings::new(options)? }))
    }
}

fn catalog() -> Catalog {
    let column =
        |(name, kind, doc): (&str, ColumnType, &str)| ColumnSpec { name: name.into(), kind, doc: doc.into() };
    Catalog {
        streams: vec![StreamSpec {
            name: STREAM.into(),
            doc: "The messages of all exports.".into(),
            key: vec!["message_key".into()],
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

struct TelegramExport {
    settings: Settings,
}

#[async_trait]
impl Source for TelegramExport {
    async fn check(&self, _ctx: &Context) -> Result<CheckReport> {
        let found = local::find_named(&self.settings.base_dir, &self.settings.path)?;
        let mut report = CheckReport::default();
        report.facts.push(("exports".into(), found.len().to_string()));
        for name in found.keys().filter(|name| name.to_lowercase().ends_with(".html")) {
            report.warnings.push(format!("{name} is no JSON: export once more, with the format JSON"));
        }
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        catalog()
    }

    fn mappings(&self) -> Vec<Mapping> {
        let zone = self.settings.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
        vec![Mapping {
            into: "messages".into(),
            from: vec![STREAM.into()],
            sql: include_str!("mapping/messages.sql").into(),
            origin: "connectors/src/telegram_export/mapping/messages.sql".into(),
            params: vec![
                ("account".to_owned(), Param::Text(Some(self.settings.account.clone()))),
                ("time_zone".to_owned(), Param::Text(Some(zone))),
            ],
        }]
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
        Ok(flow::named(ctx, STREAM, flow::blocking(move |out| job.run(out))))
    }
}
