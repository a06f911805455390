#![doc = include_str!("README.md")]

mod arrow_types;
mod columns;
mod config;
mod decode;
pub(crate) mod delimited;
mod delimited_rows;
mod json_rows;
mod parquet_rows;
mod read;
mod sending;

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use throughline_core::{
    Capabilities, Catalog, CheckReport, ConfigErrors, Context, DynSource, Error, Mapping, Options,
    ReadRequest, ReadStream, Result, Source, SourceConnector, StreamSpec,
};

pub use config::Config;
use config::Settings;

use crate::flow;
use crate::local;

/// The one stream, and the table a mapping reads.
const STREAM: &str = "file";

/// `connector = "file"`.
pub struct FileConnector;

impl SourceConnector for FileConnector {
    fn name(&self) -> &str {
        "file"
    }
    fn summary(&self) -> &str {
        "CSV, TSV, JSON lines and Parquet files into any canonical table"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        Catalog { streams: vec![stream(Vec::new())] }
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let settings = Settings::new(options)?;
        Ok(Arc::new(FileSource { name: options.name.clone(), settings, catalog: OnceLock::new() }))
    }
}

struct FileSource {
    name: String,
    settings: Settings,
    catalog: OnceLock<Catalog>,
}

fn stream(columns: Vec<throughline_core::ColumnSpec>) -> StreamSpec {
    StreamSpec {
        name: STREAM.into(),
        doc: "The rows of all files.".into(),
        key: Vec::new(),
        columns,
        restates: None,
        capabilities: Capabilities {
            incremental: true,
            deletes: true,
            resumable: true,
            ..Default::default()
        },
    }
}

#[async_trait]
impl Source for FileSource {
    async fn check(&self, _ctx: &Context) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        let (mut files, mut bytes) = (0_u64, 0_u64);
        for pattern in &self.settings.patterns {
            let found = local::find(&self.settings.base_dir, pattern)?;
            if found.is_empty() {
                return Err(local::not_found(&self.settings.base_dir, pattern));
            }
            for path in found {
                if self.settings.format(&path).is_none() {
                    return Err(Error::config(format!(
                        "{}: its name does not tell its format",
                        path.display()
                    ))
                    .hint("set `format` to csv, tsv, jsonl or parquet"));
                }
                files += 1;
                bytes += local::Stamp::of(&path)?.bytes;
            }
        }
        report.facts.push(("files".into(), files.to_string()));
        report.facts.push(("bytes".into(), bytes.to_string()));
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        let fresh = || Catalog { streams: vec![stream(columns::contract(&self.settings))] };
        self.catalog.get_or_init(fresh).clone()
    }

    fn mappings(&self) -> Vec<Mapping> {
        let table = self.settings.into;
        let (sql, origin) = match &self.settings.mapping {
            Some(sql) => (sql.clone(), format!("mapping of source {:?}", self.name)),
            None => {
                let columns: Vec<String> = table.columns.iter().map(|c| format!("\"{}\"", c.name)).collect();
                (
                    format!("SELECT {} FROM {STREAM}", columns.join(", ")),
                    format!("columns of source {:?}", self.name),
                )
            }
        };
        vec![Mapping { into: table.name.into(), from: vec![STREAM.into()], sql, origin, params: Vec::new() }]
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        if request.stream != STREAM {
            return Err(Error::bug(format!("a file source has no stream {:?}", request.stream)));
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
