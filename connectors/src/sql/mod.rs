#![doc = include_str!("README.md")]

mod columns;
mod config;
mod mysql;
mod postgresql;
mod query;
mod read;
mod server;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Capabilities, Catalog, CheckReport, ColumnSpec, ConfigErrors, Context, DynSource, Error, Mapping,
    Options, ReadRequest, ReadStream, Result, Source, SourceConnector, StreamSpec,
};

pub use config::Config;
use config::{Settings, StreamConfig};
use query::{Plan, relation};
use server::Server;

use crate::flow;

/// `connector = "sql"`.
pub struct SqlConnector;

impl SourceConnector for SqlConnector {
    fn name(&self) -> &str {
        "sql"
    }
    fn summary(&self) -> &str {
        "Tables and queries of PostgreSQL, MySQL and MariaDB"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        // What the documentation shows: the streams themselves are the user's.
        let key = || vec!["your key".to_owned()];
        Catalog {
            streams: vec![
                spec("a table or query".into(), String::new(), Vec::new(), Vec::new(), false, true),
                spec("with a cursor".into(), String::new(), key(), Vec::new(), true, true),
            ],
        }
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        Ok(Arc::new(SqlSource { name: options.name.clone(), settings: Settings::new(options)? }))
    }
}

struct SqlSource {
    name: String,
    settings: Settings,
}

impl SqlSource {
    fn spec(&self, stream: &StreamConfig, columns: Vec<ColumnSpec>) -> StreamSpec {
        let doc = stream.table.as_ref().map_or("A query.".to_owned(), |table| format!("Table {table}."));
        let (key, incremental) = (stream.key.clone(), stream.cursor.is_some());
        spec(stream.name.clone(), doc, key, columns, incremental, self.settings.count)
    }
}

fn spec(
    name: String,
    doc: String,
    key: Vec<String>,
    columns: Vec<ColumnSpec>,
    incremental: bool,
    count: bool,
) -> StreamSpec {
    let capabilities = Capabilities { incremental, resumable: incremental, count, ..Default::default() };
    StreamSpec { name, doc, key, columns, restates: None, capabilities }
}

#[async_trait]
impl Source for SqlSource {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let look = async {
            let mut server = Server::open(&self.settings).await.map_err(|b| b.error)?;
            let facts = server.facts().await.map_err(|b| b.error)?;
            let mut report = CheckReport::default();
            let tls = if self.settings.encrypted { "TLS, verified" } else { "without TLS" };
            for (name, value) in [
                ("server", format!("{} at {}", facts.version, self.settings.place())),
                ("connection", tls.to_owned()),
                ("user", facts.user),
            ] {
                report.facts.push((name.to_owned(), value));
            }
            report.warnings.extend(facts.warning);
            for stream in &self.settings.streams {
                let named = |e: Error| e.with("stream", &stream.name);
                let from = relation(self.settings.server, stream);
                let found = server.describe(&from, self.settings.zone).await.map_err(|b| named(b.error))?;
                // The right to read is asked for by reading.
                let probe = format!("SELECT 1 FROM {from} LIMIT 1");
                server.value(&probe).await.map_err(|b| named(b.error))?;
                let columns = found.len();
                Plan::new(self.settings.server, stream, found).map_err(named)?;
                report.facts.push((format!("stream {}", stream.name), format!("{columns} columns")));
            }
            server.close().await;
            Ok(report)
        };
        ctx.cancel.run_until_cancelled(look).await.unwrap_or_else(|| Err(Error::cancelled()))
    }

    fn catalog(&self) -> Catalog {
        let streams = self.settings.streams.iter().map(|s| self.spec(s, s.contract()));
        Catalog { streams: streams.collect() }
    }

    async fn discover(&self, ctx: &Context) -> Result<Catalog> {
        let look = async {
            let mut server = Server::open(&self.settings).await.map_err(|b| b.error)?;
            let mut streams = Vec::new();
            for stream in &self.settings.streams {
                let named = |e: Error| e.with("stream", &stream.name);
                let from = relation(self.settings.server, stream);
                let found = server.describe(&from, self.settings.zone).await.map_err(|b| named(b.error))?;
                let mut columns = stream.contract();
                for column in found {
                    if !columns.iter().any(|c| c.name == column.name) {
                        columns.push(ColumnSpec {
                            name: column.name,
                            kind: column.kind.column_type(),
                            doc: column.type_name,
                        });
                    }
                }
                streams.push(self.spec(stream, columns));
            }
            server.close().await;
            Ok(Catalog { streams })
        };
        ctx.cancel.run_until_cancelled(look).await.unwrap_or_else(|| Err(Error::cancelled()))
    }

    fn mappings(&self) -> Vec<Mapping> {
        let mapping = |(i, m): (usize, &config::MappingConfig)| Mapping {
            into: m.into.clone(),
            from: m.from.clone(),
            sql: m.sql.clone(),
            origin: format!("mapping {} of source {:?}", i + 1, self.name),
            params: Vec::new(),
        };
        self.settings.mappings.iter().enumerate().map(mapping).collect()
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let Some(stream) = self.settings.streams.iter().find(|s| s.name == request.stream) else {
            return Err(Error::bug(format!("source {:?} has no stream {:?}", self.name, request.stream)));
        };
        let job =
            read::Job { settings: self.settings.clone(), stream: stream.clone(), request, ctx: ctx.clone() };
        Ok(flow::task(move |out| job.run(out)))
    }
}
