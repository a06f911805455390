#![doc = include_str!("README.md")]

pub(crate) mod answer;
mod client;
mod config;
mod read;
mod reports;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use chrono_tz::Tz;
use throughline_core::{
    Catalog, CheckReport, ConfigErrors, Context, DynConsent, DynSource, Error, Mapping, Options, ReadRequest,
    ReadStream, Result, Source, SourceConnector,
};

use crate::flow;
use crate::google::Access;
use client::Client;
use config::Settings;
pub use config::{Config, Loss, OwnReport};

const SCOPE: &str = "https://www.googleapis.com/auth/analytics.readonly";

/// `connector = "ga4"`.
pub struct Ga4Connector;

impl SourceConnector for Ga4Connector {
    fn name(&self) -> &str {
        "ga4"
    }
    fn summary(&self) -> &str {
        "Google Analytics 4, Data API: ad costs and sums of sessions by day, reports of one's own"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        Catalog { streams: reports::usual(&[]).iter().map(reports::Report::stream_spec).collect() }
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let settings = Settings::new(options)?;
        let access = Access::new(settings.credentials.clone(), SCOPE);
        Ok(Arc::new(Ga4 { settings, access }))
    }
}

struct Ga4 {
    settings: Settings,
    access: Arc<Access>,
}

impl Ga4 {
    fn client(&self, ctx: &Context) -> Client {
        Client::new(ctx, &self.access, &self.settings)
    }
}

/// The zone that a report's metadata names.
fn zone(name: &str) -> Result<Tz> {
    name.parse().map_err(|_| {
        Error::protocol(format!("Google names the property's time zone {name:?}, which is none we know"))
    })
}

#[async_trait]
impl Source for Ga4 {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let client = self.client(ctx);
        let mut report = CheckReport::default();
        let answer = client.property().await?;
        let (zone, currency) = (zone(&answer.metadata.time_zone)?, &answer.metadata.currency_code);
        report.facts.push(("property".into(), format!("{}, {zone}, {currency}", self.settings.property)));
        report.facts.push(("account".into(), self.settings.credentials.who()));
        if let Some(quota) = answer.property_quota {
            report.facts.push(("quota".into(), quota.words()));
        }
        for one in &self.settings.reports {
            let incompatible = client.incompatible(one).await?;
            if !incompatible.is_empty() {
                report.warnings.push(format!(
                    "Google does not combine {} with the other fields of {}: leave one side out",
                    incompatible.join(", "),
                    one.stream
                ));
            }
        }
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        Catalog { streams: self.settings.reports.iter().map(reports::Report::stream_spec).collect() }
    }

    fn consent(&self) -> Option<DynConsent> {
        self.settings.credentials.consent()
    }

    fn mappings(&self) -> Vec<Mapping> {
        vec![Mapping {
            into: "costs".into(),
            from: vec![reports::AD_COSTS.into()],
            sql: include_str!("mapping/costs.sql").into(),
            origin: "connectors/src/ga4/mapping/costs.sql".into(),
            params: Vec::new(),
        }]
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let Some(report) = self.settings.reports.iter().find(|r| r.stream == request.stream).cloned() else {
            return Err(Error::bug(format!("Google Analytics has no stream {:?}", request.stream)));
        };
        let (client, stream) = (self.client(ctx), request.stream.clone());
        let property = flow::first(ctx, &stream, client.property()).await?;
        let zone = flow::first(ctx, &stream, async { zone(&property.metadata.time_zone) }).await?;
        let (own, settings, quota) = (ctx.clone(), self.settings.clone(), property.property_quota);
        let read =
            move |out| read::Reader { ctx: own, client, settings, report, zone, quota, out }.run(request);
        Ok(flow::of_stream(ctx, &stream, flow::task(read)))
    }
}
