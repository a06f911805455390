#![doc = include_str!("README.md")]

mod client;
mod config;
mod fields;
mod read;
pub(crate) mod rows;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Catalog, CheckReport, Checkpoint, ConfigErrors, Context, DynConsent, DynSource, Error, Mapping, Options,
    Param, ReadRequest, ReadStream, Result, Source, SourceConnector,
};

use crate::flow;
use crate::google::Access;
use client::Client;
pub use config::Config;
use config::Settings;
use state::{Notes, State};

const SCOPE: &str = "https://www.googleapis.com/auth/bigquery";

/// `connector = "ga4_bigquery"`.
pub struct Ga4BigqueryConnector;

impl SourceConnector for Ga4BigqueryConnector {
    fn name(&self) -> &str {
        "ga4_bigquery"
    }
    fn summary(&self) -> &str {
        "Google Analytics 4, export to BigQuery: every event, and the visits they make up"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        Catalog { streams: vec![fields::stream()] }
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let settings = Settings::new(options)?;
        let access = Access::new(settings.credentials.clone(), SCOPE);
        Ok(Arc::new(Ga4Bigquery { settings, access }))
    }
}

struct Ga4Bigquery {
    settings: Settings,
    access: Arc<Access>,
}

impl Ga4Bigquery {
    fn client(&self, ctx: &Context) -> Client {
        Client::new(ctx, &self.access, &self.settings)
    }
}

#[async_trait]
impl Source for Ga4Bigquery {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let client = self.client(ctx);
        let mut report = CheckReport::default();
        report.facts.push(("account".into(), self.settings.credentials.who()));
        let tables = read::exported(&client.tables().await?);
        let dataset = format!("{}.{}", self.settings.data_project, self.settings.dataset);
        let daily: Vec<_> = tables.iter().filter(|t| t.daily).collect();
        let (Some(first), Some(last)) = (daily.first(), daily.last()) else {
            report.warnings.push(format!(
                "{dataset} has no daily table of events yet: the export makes the first a day after it was linked{}",
                if tables.is_empty() { "" } else { "; it streams only, so set intraday = true" }
            ));
            return Ok(report);
        };
        report.facts.push(("export".into(), format!("{dataset}, days {} to {}", first.day, last.day)));
        let Some(table) = client.table(&last.name).await? else { return Ok(report) };
        let rows = table.rows().unwrap_or(0);
        let query = client.query(&last.name, &table);
        let location = self.settings.location.as_deref().unwrap_or(&table.location);
        let bytes = client.bytes(&query, location).await?;
        let of = table.num_bytes.parse::<u64>().map(|b| format!(" of {b}")).unwrap_or_default();
        report.facts.push((
            "a day's query".into(),
            format!("{} ({}): {rows} events, {bytes}{of} bytes are billed", last.name, table.location),
        ));
        if bytes > self.settings.most_billed_bytes {
            report.warnings.push(format!(
                "the query of {} would be billed {bytes} bytes, more than most_billed_bytes ({}): it will fail",
                last.name, self.settings.most_billed_bytes
            ));
        }
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        Catalog { streams: vec![fields::stream()] }
    }

    fn consent(&self) -> Option<DynConsent> {
        self.settings.credentials.consent()
    }

    fn mappings(&self) -> Vec<Mapping> {
        let of = |into: &str, sql: &str| Mapping {
            into: into.into(),
            from: vec![fields::EVENTS.into()],
            sql: sql.into(),
            origin: format!("connectors/src/ga4_bigquery/mapping/{into}.sql"),
            params: vec![
                ("account".into(), Param::Text(Some(self.settings.account.clone()))),
                ("token_param".into(), Param::Text(Some(self.settings.token_param.clone()))),
            ],
        };
        let mut all = vec![
            of("visits", include_str!("mapping/visits.sql")),
            of("hits", include_str!("mapping/hits.sql")),
            of("identity_edges", include_str!("mapping/identity_edges.sql")),
        ];
        for mapping in &mut all {
            mapping.params.retain(|(name, _)| mapping.sql.contains(&format!("${name}")));
        }
        all
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        if request.stream != fields::EVENTS {
            return Err(Error::bug(format!("the export has no stream {:?}", request.stream)));
        }
        let (client, own, settings) = (self.client(ctx), ctx.clone(), self.settings.clone());
        let read = move |out| read::Reader { ctx: own, client, settings, out }.run(request);
        Ok(flow::of_stream(ctx, fields::EVENTS, flow::task(read)))
    }

    /// The rows are safe: their queries serve no more.
    async fn committed(&self, ctx: &Context, _: &str, checkpoint: &Checkpoint) -> Result<()> {
        Notes(ctx).tidy(&State::of(Some(checkpoint))?).await
    }
}
