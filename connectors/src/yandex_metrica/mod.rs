#![doc = include_str!("README.md")]

mod client;
mod config;
mod fields;
mod list;
mod orders;
mod read;
mod state;
pub mod tsv;
mod zone;

use std::sync::Arc;

use async_trait::async_trait;
use chrono_tz::Tz;
use throughline_core::{
    Capabilities, Catalog, CheckReport, Checkpoint, ConfigErrors, Context, DynConsent, DynSource, Error,
    ErrorKind, Mapping, Options, Param, ReadRequest, ReadStream, Restates, Result, Source, SourceConnector,
    StreamSpec,
};
use tokio::sync::OnceCell;

use crate::flow;
use client::Client;
use config::Settings;
pub use config::{Attribution, Config};
use fields::Kind;
use state::{Notes, State};

/// `connector = "yandex_metrica"`.
pub struct YandexMetricaConnector;

impl SourceConnector for YandexMetricaConnector {
    fn name(&self) -> &str {
        "yandex_metrica"
    }
    fn summary(&self) -> &str {
        "Yandex Metrica: visits and hits of a counter, through the Logs API"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        let prefix = Attribution::default().prefix();
        Catalog { streams: Kind::ALL.map(|kind| stream(kind, prefix, &[])).to_vec() }
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        Ok(Arc::new(YandexMetrica { settings: Settings::new(options)?, zone: OnceCell::new() }))
    }
}

struct YandexMetrica {
    settings: Settings,
    zone: OnceCell<Tz>,
}

fn stream(kind: Kind, attribution: &str, asked: &[String]) -> StreamSpec {
    StreamSpec {
        name: kind.stream().into(),
        doc: match kind {
            Kind::Visits => "One row per visit.".into(),
            Kind::Hits => "One row per page view, link click or download.".into(),
        },
        key: vec![kind.date().into(), kind.id().into()],
        columns: fields::contract(kind, attribution, asked),
        restates: Some(Restates { day_column: kind.date().into() }),
        capabilities: Capabilities {
            incremental: true,
            deletes: true,
            resumable: true,
            windowed: true,
            ..Default::default()
        },
    }
}

impl YandexMetrica {
    async fn client(&self, ctx: &Context) -> Result<Client> {
        let token = self.settings.access.token(ctx).await?;
        Ok(Client::new(ctx, &self.settings, &token))
    }

    async fn zone(&self, client: &Client) -> Result<Tz> {
        if let Some(zone) = self.settings.time_zone {
            return Ok(zone);
        }
        let ask = || async {
            let counter = client.counter().await?;
            let name = counter.time_zone_name.unwrap_or_default();
            name.parse::<Tz>().map_err(|_| {
                Error::protocol(format!(
                    "Metrica names the counter's time zone {name:?}, which is none we know"
                ))
                .hint("set the option `time_zone`, e.g. \"Europe/Moscow\"")
            })
        };
        self.zone.get_or_try_init(ask).await.copied()
    }
}

#[async_trait]
impl Source for YandexMetrica {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let client = self.client(ctx).await?;
        let counter = client.counter().await?;
        let requests = client.list().await?;
        let waiting: u64 =
            requests.iter().filter(|r| r.status == client::Status::Processed).map(|r| r.size).sum();
        let told = counter.time_zone_name.unwrap_or_default();
        let mut report = CheckReport {
            facts: vec![
                ("counter".into(), format!("{} {} ({})", self.settings.counter, counter.name, counter.site)),
                ("time zone".into(), told.clone()),
                ("prepared logs".into(), format!("{waiting} bytes of 10 GB")),
            ],
            warnings: Vec::new(),
        };
        if let Some(zone) = self.settings.time_zone
            && zone.name() != told
        {
            report.warnings.push(format!("the option time_zone is {zone}, the counter's own is {told}"));
        }
        if waiting > 8_000_000_000 {
            report
                .warnings
                .push("prepared logs take over 8 GB: clean old log requests of this counter".into());
        }
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        let prefix = self.settings.attribution.prefix();
        Catalog { streams: Kind::ALL.map(|kind| stream(kind, prefix, self.settings.fields(kind))).to_vec() }
    }

    fn consent(&self) -> Option<DynConsent> {
        self.settings.access.consent()
    }

    fn mappings(&self) -> Vec<Mapping> {
        let files = [
            ("visits", Kind::Visits, include_str!("mapping/visits.sql")),
            ("hits", Kind::Hits, include_str!("mapping/hits.sql")),
            ("identity_edges", Kind::Visits, include_str!("mapping/identity_edges.sql")),
        ];
        let mapping = |(into, kind, sql): (&str, Kind, &str)| Mapping {
            into: into.into(),
            from: vec![kind.stream().into()],
            sql: sql.replace("<attribution>", self.settings.attribution.prefix()),
            origin: format!("connectors/src/yandex_metrica/mapping/{into}.sql"),
            params: ["counter", "token_param"]
                .into_iter()
                .filter(|name| sql.contains(&format!("${name}")))
                .map(|name| (name.to_owned(), Param::Text(Some(self.param(name)))))
                .collect(),
        };
        files.into_iter().map(mapping).collect()
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let Some(kind) = Kind::of_stream(&request.stream) else {
            return Err(Error::bug(format!("Metrica has no stream {:?}", request.stream)));
        };
        let stream = request.stream.clone();
        let client = flow::first(ctx, &stream, self.client(ctx)).await?;
        let zone = flow::first(ctx, &stream, self.zone(&client)).await?;
        let (own, settings) = (ctx.clone(), self.settings.clone());
        let read = move |out| read::Reader { ctx: own, client, settings, kind, zone, out }.run(request);
        Ok(flow::named(ctx, &stream, flow::task(read)))
    }

    /// The rows are safe: what Metrica prepared can go.
    async fn committed(&self, ctx: &Context, stream: &str, checkpoint: &Checkpoint) -> Result<()> {
        let Some(kind) = Kind::of_stream(stream) else { return Ok(()) };
        let (client, notes) = (self.client(ctx).await?, Notes { ctx, kind });
        for id in State::read(Some(checkpoint))?.finished {
            if !notes.knows(id).await? {
                continue;
            }
            match client.clean(id).await {
                Ok(()) => notes.forget(id).await?,
                Err(e) if e.kind() == ErrorKind::Cancelled => return Err(e),
                // The data is safe; the next run finds the note and tries again.
                Err(e) => tracing::warn!(request = id, error = %e, "a log request could not be cleaned"),
            }
        }
        Ok(())
    }
}

impl YandexMetrica {
    fn param(&self, name: &str) -> String {
        match name {
            "counter" => self.settings.counter.to_string(),
            _ => self.settings.token_param.clone(),
        }
    }
}
