#![doc = include_str!("README.md")]

mod client;
mod config;
mod failure;
mod fields;
mod read;
pub mod report;
mod state;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Capabilities, Catalog, CheckReport, Checkpoint, ConfigErrors, Context, DynConsent, DynSource, Error,
    Mapping, Options, ReadRequest, ReadStream, Restates, Result, Source, SourceConnector, StreamSpec, money,
};

use crate::flow;
use client::{Advertiser, Client};
pub use config::Config;
use config::Settings;
pub use fields::Level;
use state::{Notes, State};

/// The only stream.
const ADS: &str = "ads";

/// `connector = "yandex_direct"`.
pub struct YandexDirectConnector;

impl SourceConnector for YandexDirectConnector {
    fn name(&self) -> &str {
        "yandex_direct"
    }
    fn summary(&self) -> &str {
        "Yandex Direct: costs of advertisers by day, campaign, ad and keyword, through the Reports service"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        Catalog { streams: vec![stream(&[])] }
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        Ok(Arc::new(YandexDirect { settings: Settings::new(options)? }))
    }
}

struct YandexDirect {
    settings: Settings,
}

fn stream(more: &[String]) -> StreamSpec {
    StreamSpec {
        name: ADS.into(),
        doc: "One row per day, campaign, ad group, ad and keyword of an advertiser.".into(),
        key: fields::key(more),
        columns: fields::contract(more),
        restates: Some(Restates { day_column: fields::DATE.into() }),
        capabilities: Capabilities {
            incremental: true,
            deletes: true,
            count: true,
            resumable: true,
            windowed: true,
            ..Default::default()
        },
    }
}

impl YandexDirect {
    async fn client(&self, ctx: &Context) -> Result<Client> {
        let token = self.settings.access.token(ctx).await?;
        Ok(Client::new(ctx, &self.settings, token))
    }

    /// Whose costs are read, each with its currency.
    async fn advertisers(&self, client: &Client) -> Result<Vec<Advertiser>> {
        let logins: Vec<Option<&str>> = match &self.settings.logins[..] {
            [] => vec![None],
            some => some.iter().map(|l| Some(l.as_str())).collect(),
        };
        let mut all = Vec::new();
        for login in logins {
            let advertiser = match (&self.settings.currency, login) {
                (Some(currency), Some(login)) => {
                    Advertiser { login: login.to_owned(), currency: currency.clone(), units: None }
                }
                (Some(currency), None) => {
                    Advertiser { currency: currency.clone(), ..client.advertiser(None).await? }
                }
                (None, login) => client.advertiser(login).await?,
            };
            if money::exponent(&advertiser.currency).is_none() {
                return Err(Error::protocol(format!(
                    "Direct names the currency of {} {:?}, which is none we know",
                    advertiser.login, advertiser.currency
                ))
                .hint("set the option `currency`, e.g. \"RUB\""));
            }
            all.push(advertiser);
        }
        Ok(all)
    }
}

#[async_trait]
impl Source for YandexDirect {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let client = self.client(ctx).await?;
        let mut report = CheckReport::default();
        let logins: Vec<Option<&str>> = match &self.settings.logins[..] {
            [] => vec![None],
            some => some.iter().map(|l| Some(l.as_str())).collect(),
        };
        for login in logins {
            let Advertiser { login, currency, units } = client.advertiser(login).await?;
            if self.settings.currency.as_ref().is_some_and(|set| *set != currency) {
                report
                    .warnings
                    .push(format!("the option currency is not {currency}, which Direct names for {login}"));
            }
            let points = units.map(|u| format!("; points spent/left/a day {u}")).unwrap_or_default();
            report.facts.push(("advertiser".into(), format!("{login}, {currency}{points}")));
        }
        report.facts.push(("costs".into(), format!("{} VAT", self.settings.vat())));
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        Catalog { streams: vec![stream(&self.settings.more_fields)] }
    }

    fn consent(&self) -> Option<DynConsent> {
        self.settings.access.consent()
    }

    fn mappings(&self) -> Vec<Mapping> {
        vec![Mapping {
            into: "costs".into(),
            from: vec![ADS.into()],
            sql: include_str!("mapping/costs.sql").into(),
            origin: "connectors/src/yandex_direct/mapping/costs.sql".into(),
            params: Vec::new(),
        }]
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        if request.stream != ADS {
            return Err(Error::bug(format!("Direct has no stream {:?}", request.stream)));
        }
        let client = flow::first(ctx, ADS, self.client(ctx)).await?;
        let advertisers = flow::first(ctx, ADS, self.advertisers(&client)).await?;
        let (own, settings) = (ctx.clone(), self.settings.clone());
        let read = move |out| read::Reader { ctx: own, client, settings, advertisers, out }.run(request);
        Ok(flow::of_stream(ctx, ADS, flow::task(read)))
    }

    /// The rows are safe: the next run wants fresh figures.
    async fn committed(&self, ctx: &Context, _: &str, checkpoint: &Checkpoint) -> Result<()> {
        for key in State::read(Some(checkpoint))?.finished {
            Notes(ctx).forget(&key).await?;
        }
        Ok(())
    }
}
