#![doc = include_str!("README.md")]

mod access;
mod answer;
mod bulk;
mod client;
mod config;
mod consent;
mod id;
mod objects;
mod plan;
mod read;
mod rows;
mod state;
mod usage;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Catalog, CheckReport, Checkpoint, ConfigErrors, Context, DynConsent, DynSource, Error, ErrorKind,
    Mapping, Options, Param, ReadRequest, ReadStream, Result, Source, SourceConnector,
};

use crate::flow;
use access::Access;
use client::Client;
pub use config::Config;
use config::Settings;
use objects::{MARKS, built_in};
use plan::Plan;
use state::{Note, State};
use usage::UsageOfRun;

/// `connector = "salesforce"`.
pub struct SalesforceConnector;

impl SourceConnector for SalesforceConnector {
    fn name(&self) -> &str {
        "salesforce"
    }
    fn summary(&self) -> &str {
        "Salesforce: opportunities with their stage history, leads, contacts, users, campaigns, any other object"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(Config).to_value()
    }
    fn catalog(&self) -> Catalog {
        Catalog { streams: built_in().iter().map(objects::Object::spec).collect() }
    }
    fn build(&self, options: &Options) -> Result<DynSource, ConfigErrors> {
        let settings = Settings::new(options)?;
        let access = Access::new(&settings);
        Ok(Arc::new(Salesforce { settings: Arc::new(settings), access, usage: UsageOfRun::default() }))
    }
}

struct Salesforce {
    settings: Arc<Settings>,
    access: Arc<Access>,
    usage: UsageOfRun,
}

/// Into which table, from which streams, by which SELECT.
const MAPPINGS: &[(&str, &[&str], &str)] = &[
    (
        "deals",
        &[
            "opportunities",
            "opportunity_history",
            "opportunity_contact_roles",
            "leads",
            "accounts",
            "record_types",
            "organization",
        ],
        include_str!("mapping/deals.sql"),
    ),
    (
        "deal_contacts",
        &["opportunities", "opportunity_contact_roles"],
        include_str!("mapping/deal_contacts.sql"),
    ),
    (
        "deal_events",
        &["opportunities", "opportunity_history", "leads"],
        include_str!("mapping/deal_events.sql"),
    ),
    ("contacts", &["contacts", "leads"], include_str!("mapping/contacts.sql")),
    ("identity_edges", &["contacts", "leads"], include_str!("mapping/identity_edges.sql")),
    ("operators", &["users"], include_str!("mapping/operators.sql")),
];

impl Salesforce {
    fn client(&self, ctx: &Context) -> Client {
        Client::new(ctx, &self.access, &self.settings, self.usage.of(ctx))
    }

    fn param(&self, name: &str) -> Param {
        let text = |text: &str| Param::Text(Some(text.to_owned()));
        match name {
            "org" => text(&self.settings.org),
            "currency" => Param::Text(self.settings.currency.clone()),
            "time_zone" => text(&self.settings.time_zone),
            "phone_region" => text(&self.settings.phone_region),
            _ => text(&self.settings.lost_lead_statuses.join("|")),
        }
    }
}

#[async_trait]
impl Source for Salesforce {
    fn consent(&self) -> Option<DynConsent> {
        consent::of(&self.access)
    }

    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let client = self.client(ctx);
        let mut report = CheckReport::default();
        let limits = client.limits().await?;
        report.facts.push(("org".into(), self.settings.org.clone()));
        for (what, limit) in
            [("API requests", &limits.daily_api_requests), ("bulk jobs", &limits.daily_bulk_jobs)]
        {
            if limit.max > 0 {
                let used = limit.max.saturating_sub(limit.remaining);
                report.facts.push((what.into(), format!("{used} of {} used in 24 hours", limit.max)));
            }
        }
        let object = |stream: &str| {
            self.settings.object(stream).ok_or_else(|| Error::bug(format!("there is no stream {stream}")))
        };
        let organization = object("organization")?;
        let plan = Plan::new(organization, &self.settings, client.describe(&organization.name).await?.0);
        let page = client.query(&plan.everything()).await?;
        let told: serde_json::Value =
            page.records()?.first().and_then(|r| serde_json::from_str(r).ok()).unwrap_or_default();
        for (what, field) in [
            ("name", "Name"),
            ("edition", "OrganizationType"),
            ("currency", "DefaultCurrencyIsoCode"),
            ("time zone", "TimeZoneSidKey"),
        ] {
            if let Some(value) = told[field].as_str() {
                report.facts.push((what.into(), value.into()));
            }
        }
        if told["DefaultCurrencyIsoCode"].is_null() && self.settings.currency.is_none() {
            report.warnings.push(
                "the org does not tell its currency: set `currency`, or amounts of deals that name none are left out"
                    .into(),
            );
        }
        if let Some(zone) = told["TimeZoneSidKey"].as_str().filter(|zone| *zone != self.settings.time_zone) {
            report.warnings.push(format!(
                "close dates are read as days of {}, the org's own zone is {zone}",
                self.settings.time_zone
            ));
        }
        for stream in ["opportunities", "leads"] {
            let object = object(stream)?;
            let plan = Plan::new(object, &self.settings, client.describe(&object.name).await?.0);
            let hidden = plan.hidden(object);
            if !hidden.is_empty() {
                report.warnings.push(format!(
                    "the user does not see {} of {}",
                    hidden.join(", "),
                    object.name
                ));
            }
            let token = &self.settings.marks[0];
            if !plan.marks.iter().any(|(mark, _)| *mark == MARKS[0]) {
                report.warnings.push(format!(
                    "{} has no field {token} that this user may see: no visit token is read from it",
                    object.name
                ));
            }
        }
        Ok(report)
    }

    fn catalog(&self) -> Catalog {
        Catalog { streams: self.settings.objects.iter().map(objects::Object::spec).collect() }
    }

    fn mappings(&self) -> Vec<Mapping> {
        let names = ["org", "currency", "time_zone", "phone_region", "lost_lead_statuses"];
        let mapping = |(into, from, sql): &(&str, &[&str], &str)| Mapping {
            into: (*into).into(),
            from: from.iter().map(|stream| (*stream).into()).collect(),
            sql: (*sql).into(),
            origin: format!("connectors/src/salesforce/mapping/{into}.sql"),
            params: names
                .into_iter()
                .filter(|name| sql.contains(&format!("${name}")))
                .map(|name| (name.to_owned(), self.param(name)))
                .collect(),
        };
        MAPPINGS.iter().map(mapping).collect()
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let Some(object) = self.settings.object(&request.stream).cloned() else {
            return Err(Error::bug(format!("Salesforce has no stream {:?}", request.stream)));
        };
        let (client, own, settings) = (self.client(ctx), ctx.clone(), self.settings.clone());
        let stream = request.stream.clone();
        let read = move |out| read::Reader { ctx: own, client, settings, object, out }.run(request);
        Ok(flow::of_stream(ctx, &stream, flow::task(read)))
    }

    /// The rows are safe: the job that brought them can go.
    async fn committed(&self, ctx: &Context, stream: &str, checkpoint: &Checkpoint) -> Result<()> {
        let Some(job) = State::of(Some(checkpoint))?.finished else { return Ok(()) };
        let drop = async {
            self.client(ctx).drop_job(&job).await?;
            let note = Note { ctx, stream };
            match note.open().await? {
                Some((_, noted)) if noted.id == job => note.forget().await,
                _ => Ok(()),
            }
        };
        match flow::first(ctx, stream, drop).await {
            Err(error) if error.kind() != ErrorKind::Cancelled => {
                // The rows are safe; the next run finds the note and tries again.
                tracing::warn!(job, error = %error, "a bulk job could not be dropped");
                Ok(())
            }
            done => done,
        }
    }
}
