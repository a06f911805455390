#![doc = include_str!("README.md")]

mod api;
mod csv;
mod kind;

use std::sync::Arc;

use async_trait::async_trait;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::time::InstantUs;
use throughline_core::write_back::Wanted;
use throughline_core::{
    CheckReport, ConfigErrors, Context, DynSink, Options, Param, PointerAt, Result, Secret, SinkConnector,
};

use crate::upload::UploadSink;
use crate::upload::line::{Rows, Weighed};
use crate::upload::vendor::{About, Failure, Fate, Part, Progress, Taken, Unknown, Vendor};
use api::Api;
use kind::{Identifier, Kind};

const NAME: &str = "yandex_metrica";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MetricaOptions {
    /// Number of the counter.
    counter_id: u64,
    /// OAuth token with the rights metrika:offline_data, and metrika:expenses for costs.
    token: Secret,
    /// What is uploaded. One sink uploads one thing.
    upload: Kind,
    /// A table of the pipeline, a transform say, with the columns of the README, in place of the one that is made.
    table: Option<String>,
    /// By which conversions and chats are tied to a visit.
    #[serde(default)]
    identifier: Identifier,
    /// Identifier of the goal (a JavaScript event) that conversions of each type reach. Other types are left out.
    #[serde(default = "default_targets")]
    targets: std::collections::BTreeMap<String, String>,
    /// The counter's time zone: orders are told in it.
    #[serde(default = "default_zone")]
    time_zone: String,
    /// Marks the costs that this pipeline uploads.
    #[serde(default = "default_provider")]
    provider: String,
    /// Days before a day's costs are uploaded: ad systems correct young days, and what is uploaded adds up.
    #[serde(default = "default_settled_days")]
    settled_days: u32,
    /// What to do with an upload whose answer was lost and of which Metrica does not tell: "stop", or once
    /// "sent" or "again".
    #[serde(default)]
    unknown: Unknown,
    /// In place of https://api-metrika.yandex.net.
    base_url: Option<String>,
}

fn default_targets() -> std::collections::BTreeMap<String, String> {
    [("won".to_owned(), "deal_won".to_owned())].into()
}
fn default_zone() -> String {
    "Europe/Moscow".into()
}
fn default_provider() -> String {
    "throughline".into()
}
fn default_settled_days() -> u32 {
    3
}

pub(crate) struct MetricaConnector;

impl SinkConnector for MetricaConnector {
    fn name(&self) -> &str {
        NAME
    }
    fn summary(&self) -> &str {
        "Chats, offline conversions, orders or costs, uploaded to Yandex Metrica once"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(MetricaOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        let given: MetricaOptions = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, key: &str| {
            errors.push(option_error(message, format!("/{key}"), PointerAt::Value));
        };
        let zone = given.time_zone.parse::<Tz>();
        if zone.is_err() {
            wrong(format!("time_zone = {:?} is no zone such as Europe/Moscow", given.time_zone), "time_zone");
        }
        if given.counter_id == 0 {
            wrong("counter_id = 0 is no counter".into(), "counter_id");
        }
        if given.upload == Kind::OfflineConversions && given.targets.is_empty() {
            wrong("targets names no goal: nothing would be uploaded".into(), "targets");
        }
        for (name, target) in &given.targets {
            if target.trim().is_empty() || target.contains(['\r', '\n']) {
                wrong(format!("{target:?} is no identifier of a goal"), &format!("targets/{name}"));
            }
        }
        if given.provider.trim().is_empty() || given.provider.len() > 255 {
            wrong("provider is a word for these costs".into(), "provider");
        }
        let base_url = given.base_url.as_deref().unwrap_or("https://api-metrika.yandex.net");
        if !base_url.starts_with("http://") && !base_url.starts_with("https://") {
            wrong(format!("base_url = {base_url:?} is no address"), "base_url");
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let api = Api::new(base_url, given.counter_id, given.token, given.provider);
        Ok(Arc::new(UploadSink(Metrica {
            api,
            kind: given.upload,
            table: given.table,
            identifier: given.identifier,
            targets: given.targets,
            zone: zone.unwrap_or(Tz::UTC),
            settled_days: given.settled_days,
            unknown: given.unknown,
        })))
    }
}

/// The sink, set up.
struct Metrica {
    api: Api,
    kind: Kind,
    table: Option<String>,
    identifier: Identifier,
    targets: std::collections::BTreeMap<String, String>,
    zone: Tz,
    settled_days: u32,
    unknown: Unknown,
}

#[async_trait]
impl Vendor for Metrica {
    fn about(&self) -> About {
        About {
            vendor: "Yandex Metrica",
            what: self.kind.what(),
            // Metrica asks for few large files; one of these is some 100 kB, and stands in one note.
            part: 1000,
            keyed: self.kind == Kind::SimpleOrders,
        }
    }

    fn account(&self) -> String {
        format!("counter {}", self.api.counter)
    }

    fn wanted(&self) -> Result<Wanted> {
        let made = self.table.is_none();
        let param = |name: &str, value: &str| (name.to_owned(), Param::Text(Some(value.to_owned())));
        let params = match self.kind {
            Kind::OfflineConversions | Kind::Chats if made => {
                vec![param("identifier", self.identifier.column())]
            }
            _ => Vec::new(),
        };
        Ok(Wanted {
            table: self.table.clone().unwrap_or_else(|| self.kind.table().to_owned()),
            sql: made.then(|| self.kind.sql().to_owned()),
            params,
            key: vec!["id".to_owned()],
        })
    }

    fn unknown(&self) -> Unknown {
        self.unknown
    }

    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let site = self.api.counter_name(ctx).await?;
        let mut report = CheckReport::default();
        report.facts.push(("counter".into(), site));
        report.facts.push(("uploads".into(), self.kind.what().into()));
        if self.kind == Kind::Expenses {
            report.warnings.push(
                "costs that were uploaded add up: a day that is corrected later than `settled_days` is told, not mended"
                    .into(),
            );
        }
        Ok(report)
    }

    fn weigh(&self, rows: &Rows, now: InstantUs) -> Result<Vec<Weighed>> {
        match self.kind {
            Kind::OfflineConversions => csv::conversions(self.identifier, &self.targets, rows, now),
            Kind::Chats => csv::chats(self.identifier, rows, now),
            Kind::SimpleOrders => csv::orders(self.zone, rows),
            Kind::Expenses => csv::expenses(self.settled_days, rows, now),
        }
    }

    async fn send(&self, ctx: &Context, part: &Part<'_>) -> Result<Taken, Failure> {
        let header = csv::header(self.kind, self.identifier);
        self.api.upload(ctx, self.kind, part, &header).await
    }

    async fn fate(&self, ctx: &Context, part: &Part<'_>) -> Result<Fate> {
        // An order is known by its id, and saving it again changes nothing.
        if self.kind == Kind::SimpleOrders {
            return Ok(Fate::Absent);
        }
        self.api.fate(ctx, self.kind, part).await
    }

    async fn progress(&self, ctx: &Context, upload: &str) -> Result<Progress> {
        self.api.progress(ctx, self.kind, upload).await
    }
}
