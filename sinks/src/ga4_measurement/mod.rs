#![doc = include_str!("README.md")]

mod event;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::connector::{option_error, parse_options};
use throughline_core::time::InstantUs;
use throughline_core::write_back::Wanted;
use throughline_core::{
    CheckReport, ConfigErrors, Context, DynSink, Options, PointerAt, Result, Secret, SinkConnector,
};

use crate::upload::UploadSink;
use crate::upload::line::{Rows, Weighed};
use crate::upload::vendor::{About, Failure, Fate, Part, Progress, Taken, Unknown, Vendor};
use wire::Wire;

const NAME: &str = "ga4_measurement";
const TABLE: &str = "ga4_events";
/// Google takes no more in one request.
const EVENTS: usize = 25;
/// Deduplicated by its transaction in the reports of the web.
const PURCHASE: &str = "purchase";

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ga4Options {
    /// Of the web stream: G-XXXXXXXXXX.
    measurement_id: String,
    /// Admin → Data streams → Measurement Protocol API secrets.
    api_secret: Secret,
    /// The event that conversions of each type are. Other types are left out.
    #[serde(default = "default_events")]
    events: BTreeMap<String, String>,
    /// A table of the pipeline, a transform say, with the columns of the README, in place of the one that is made.
    table: Option<String>,
    /// Collect in the European Union.
    #[serde(default)]
    eu: bool,
    /// What to do with events whose answer was lost and that Google would count twice: "stop", or once "sent" or
    /// "again".
    #[serde(default)]
    unknown: Unknown,
    /// In place of https://www.google-analytics.com.
    base_url: Option<String>,
}

fn default_events() -> BTreeMap<String, String> {
    [("won".to_owned(), PURCHASE.to_owned())].into()
}

pub(crate) struct Ga4Connector;

impl SinkConnector for Ga4Connector {
    fn name(&self) -> &str {
        NAME
    }
    fn summary(&self) -> &str {
        "Conversions as events of Google Analytics 4, sent once by the Measurement Protocol"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Ga4Options).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        let given: Ga4Options = parse_options(&options.value)?;
        let mut errors = ConfigErrors::new();
        let mut wrong = |message: String, key: &str| {
            errors.push(option_error(message, format!("/{key}"), PointerAt::Value));
        };
        let id = given.measurement_id.strip_prefix("G-").unwrap_or_default();
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            wrong(
                format!("measurement_id = {:?} is not of the form G-XXXXXXXXXX", given.measurement_id),
                "measurement_id",
            );
        }
        for (name, event) in &given.events {
            if let Some(why) = event::bad_name(event) {
                wrong(format!("{event:?} is no name of an event: {why}"), &format!("events/{name}"));
            }
        }
        if given.events.is_empty() && given.table.is_none() {
            wrong("events names none: nothing would be sent".into(), "events");
        }
        let base_url = given.base_url.as_deref().unwrap_or(match given.eu {
            true => "https://region1.google-analytics.com",
            false => "https://www.google-analytics.com",
        });
        if !base_url.starts_with("http://") && !base_url.starts_with("https://") {
            wrong(format!("base_url = {base_url:?} is no address"), "base_url");
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let wire = Wire::new(base_url, given.measurement_id, given.api_secret);
        Ok(Arc::new(UploadSink(Ga4 {
            wire,
            events: given.events,
            table: given.table,
            unknown: given.unknown,
        })))
    }
}

/// The sink, set up.
struct Ga4 {
    wire: Wire,
    events: BTreeMap<String, String>,
    table: Option<String>,
    unknown: Unknown,
}

#[async_trait]
impl Vendor for Ga4 {
    fn about(&self) -> About {
        // A request has one client: parts hold events of many, and are sent client by client.
        About { vendor: "Google Analytics", what: "events", part: EVENTS, keyed: false }
    }

    fn account(&self) -> String {
        self.wire.measurement_id.clone()
    }

    fn wanted(&self) -> Result<Wanted> {
        let made = self.table.is_none();
        Ok(Wanted {
            table: self.table.clone().unwrap_or_else(|| TABLE.to_owned()),
            sql: made.then(|| include_str!("events.sql").to_owned()),
            params: Vec::new(),
            key: vec!["id".to_owned()],
        })
    }

    fn unknown(&self) -> Unknown {
        self.unknown
    }

    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let mut names: Vec<&str> = self.events.values().map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        self.wire.validate(ctx, &names).await?;
        let mut report = CheckReport::default();
        report.facts.push(("measurement id".into(), self.wire.measurement_id.clone()));
        report.facts.push(("events".into(), names.join(", ")));
        report.warnings.push(
            "Google answers every event with success, also with a wrong id or api_secret: look into DebugView or \
             Realtime whether the first ones arrive"
                .into(),
        );
        Ok(report)
    }

    fn weigh(&self, rows: &Rows, now: InstantUs) -> Result<Vec<Weighed>> {
        event::weigh(&self.events, rows, now)
    }

    async fn send(&self, ctx: &Context, part: &Part<'_>) -> Result<Taken, Failure> {
        self.wire.send(ctx, part).await
    }

    async fn fate(&self, _: &Context, part: &Part<'_>) -> Result<Fate> {
        let purchases = part.lines.iter().all(|line| event::is_purchase(&line.text));
        Ok(match purchases {
            // A second copy of a purchase is dropped by its transaction.
            true => Fate::Absent,
            false => Fate::Unclear(
                "Google does not tell what arrived, and counts other events than purchases twice".into(),
            ),
        })
    }

    async fn progress(&self, _: &Context, _: &str) -> Result<Progress> {
        Ok(Progress::Done)
    }
}
