//! Connectors that exist only here: their options have every shape a real one's have.

use std::sync::Arc;

use async_trait::async_trait;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::{
    BatchStream, Capabilities, Catalog, CheckReport, ColumnSpec, ColumnType, Committable, ConfigErrors,
    Context, DynSink, DynSource, Error, Guarantee, Mapping, Options, PointerAt, ReadRequest, ReadStream,
    Receipt, Result, Secret, Sink, SinkConnector, Source, SourceConnector, StreamSpec, Table, TxnId,
};
use throughline_engine::registry::Registry;

pub fn registry() -> Registry {
    Registry {
        sources: vec![Box::new(Crm), Box::new(Files)],
        alerters: Vec::new(),
        sinks: vec![Box::new(Folder { name: "parquet" }), Box::new(Folder { name: "csv" })],
    }
}

/// Only what these names say is in the environment.
pub fn env(name: &str) -> Option<String> {
    match name {
        "CRM_SECRET" => Some("s3cr3t-value".into()),
        "EMPTY" => Some("  ".into()),
        _ => None,
    }
}

struct Crm;

/// How to reach the account.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct CrmOptions {
    /// The part before `.crm.example`.
    subdomain: String,
    client_id: String,
    client_secret: Secret,
    /// Records per request, 1 to 250.
    page_size: Option<u32>,
    #[serde(default)]
    order: Order,
    #[serde(default)]
    filters: Vec<Filter>,
    ratio: Option<f64>,
}

#[derive(Deserialize, Default, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    #[default]
    Created,
    Updated,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Filter {
    field: String,
    value: String,
}

impl SourceConnector for Crm {
    fn name(&self) -> &str {
        "crm"
    }
    fn summary(&self) -> &str {
        "A CRM"
    }
    fn readme(&self) -> &str {
        ""
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(CrmOptions).to_value()
    }
    fn catalog(&self) -> Catalog {
        streams(&["leads", "contacts", "events"], &["id".to_owned()])
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let parsed: CrmOptions = parse_options(&options.value)?;
        if parsed.page_size.is_some_and(|n| !(1..=250).contains(&n)) {
            let error = option_error("a page has 1 to 250 records", "/page_size", PointerAt::Value);
            return Err(vec![error.hint("leave it out for 250")]);
        }
        let mapping = Mapping {
            into: "deals".into(),
            from: vec!["leads".into()],
            sql: "SELECT 1 AS deal_id FROM leads".into(),
            origin: "crm/mapping/deals.sql".into(),
            params: Vec::new(),
        };
        Ok(Arc::new(Fixed { catalog: self.catalog(), mappings: vec![mapping] }))
    }
}

struct Files;

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct FileOptions {
    #[allow(dead_code)]
    path: String,
    /// A canonical table.
    into: String,
    /// One SELECT over `file`.
    mapping: Option<String>,
    /// Columns of the file; none: it is not there yet.
    #[serde(default)]
    columns: Vec<String>,
}

impl SourceConnector for Files {
    fn name(&self) -> &str {
        "file"
    }
    fn summary(&self) -> &str {
        "Files"
    }
    fn readme(&self) -> &str {
        ""
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(FileOptions).to_value()
    }
    fn catalog(&self) -> Catalog {
        streams(&["file"], &[])
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let parsed: FileOptions = parse_options(&options.value)?;
        let mapping = Mapping {
            into: parsed.into,
            from: vec!["file".into()],
            sql: parsed.mapping.unwrap_or_else(|| "SELECT * FROM file".into()),
            origin: "mapping".into(),
            params: Vec::new(),
        };
        Ok(Arc::new(Fixed { catalog: streams(&["file"], &parsed.columns), mappings: vec![mapping] }))
    }
}

fn streams(names: &[&str], columns: &[String]) -> Catalog {
    let column =
        |name: &String| ColumnSpec { name: name.clone(), kind: ColumnType::Text, doc: String::new() };
    let one = |name: &&str| StreamSpec {
        name: (*name).to_owned(),
        doc: String::new(),
        key: Vec::new(),
        columns: columns.iter().map(column).collect(),
        restates: None,
        capabilities: Capabilities::default(),
    };
    Catalog { streams: names.iter().map(one).collect() }
}

struct Fixed {
    catalog: Catalog,
    mappings: Vec<Mapping>,
}

#[async_trait]
impl Source for Fixed {
    async fn check(&self, _: &Context) -> Result<CheckReport> {
        Ok(CheckReport::default())
    }
    fn catalog(&self) -> Catalog {
        self.catalog.clone()
    }
    fn mappings(&self) -> Vec<Mapping> {
        self.mappings.clone()
    }
    async fn read(&self, _: &Context, _: ReadRequest) -> Result<ReadStream> {
        Err(Error::unsupported("these tests read nothing"))
    }
}

struct Folder {
    name: &'static str,
}

#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct FolderOptions {
    path: String,
}

impl SinkConnector for Folder {
    fn name(&self) -> &str {
        self.name
    }
    fn summary(&self) -> &str {
        "A folder of files"
    }
    fn readme(&self) -> &str {
        ""
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(FolderOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        parse_options::<FolderOptions>(&options.value)?;
        Ok(Arc::new(Nowhere))
    }
}

struct Nowhere;

#[async_trait]
impl Sink for Nowhere {
    async fn check(&self, _: &Context) -> Result<CheckReport> {
        Ok(CheckReport::default())
    }
    async fn stage(&self, _: &Context, _: &Table, _: BatchStream, _: &TxnId) -> Result<Committable> {
        Err(Error::unsupported("these tests write nothing"))
    }
    async fn commit(&self, _: &Context, _: &TxnId, _: &[Committable]) -> Result<Receipt> {
        Err(Error::unsupported("these tests write nothing"))
    }
    async fn abort(&self, _: &Context, _: &TxnId) -> Result<()> {
        Ok(())
    }
    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}
