//! A manifest as a [`Source`].

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    Capabilities, Catalog, CheckReport, ColumnSpec, Context, DynConsent, Error, Mapping, Param, ReadRequest,
    ReadStream, Restates, Result, Source, StreamSpec,
};

use super::client::{Connection, Outcome};
use super::plan::{Plan, StreamPlan};
use super::spec::PagingKind;

pub(crate) struct ManifestSource(pub Arc<Connection>);

#[async_trait]
impl Source for ManifestSource {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let connection = &self.0;
        let mut report = CheckReport::default();
        let account = connection.account()?;
        report.facts.push(("account".into(), account.key.to_string()));
        let Some(check) = &connection.plan.check else {
            report
                .warnings
                .push("the manifest has no check: credentials are first used when a stream is read".into());
            return Ok(report);
        };
        match connection.ask(ctx, &check.request, &|_| None).await? {
            Outcome::Answer(answer) => {
                for (label, path) in &check.facts {
                    if let Some(value) = if answer.empty { None } else { path.scalar(&answer.body)? } {
                        report.facts.push((label.clone(), value));
                    }
                }
                Ok(report)
            }
            Outcome::Restart => Err(Error::protocol("the check request was answered with a void cursor")),
        }
    }

    fn consent(&self) -> Option<DynConsent> {
        super::consent::consent(&self.0)
    }

    fn catalog(&self) -> Catalog {
        catalog(&self.0.plan)
    }

    fn mappings(&self) -> Vec<Mapping> {
        let connection = &self.0;
        let value = |name: &str| match connection.plan.params.iter().find(|(n, _)| n == name) {
            Some((_, template)) => Param::Text(template.text(&|n| connection.value(n))),
            None => connection.given.param(name),
        };
        let plans = connection.plan.mappings.iter();
        plans
            .map(|m| Mapping {
                into: m.into.clone(),
                from: m.from.clone(),
                sql: m.sql.clone(),
                origin: m.origin.clone(),
                params: m.params.iter().map(|name| (name.clone(), value(name))).collect(),
            })
            .collect()
    }

    async fn read(&self, ctx: &Context, request: ReadRequest) -> Result<ReadStream> {
        let stream = request.stream.clone();
        Ok(crate::flow::of_stream(ctx, &stream, super::reader::read(self.0.clone(), ctx, request)?))
    }
}

pub(crate) fn catalog(plan: &Plan) -> Catalog {
    let spec = |stream: &Arc<StreamPlan>| {
        let s = &stream.spec;
        let parent = stream.parent.and_then(|i| plan.streams.get(i));
        let windows =
            if stream.incremental.is_some() || stream.days.is_some() { Some(stream) } else { parent };
        let times = windows.is_some_and(|w| w.incremental.is_some());
        let days = windows.is_some_and(|w| w.days.is_some());
        StreamSpec {
            name: s.name.clone(),
            doc: s.doc.clone(),
            key: s.key.clone(),
            columns: s
                .columns
                .iter()
                .map(|(name, kind)| ColumnSpec { name: name.clone(), kind: *kind, doc: String::new() })
                .collect(),
            restates: s.days.as_ref().map(|d| Restates { day_column: d.column.clone() }),
            capabilities: Capabilities {
                incremental: times || days || s.paging.across_runs,
                deletes: s.deletes,
                webhook: false,
                count: s.count.is_some(),
                resumable: times || days || stream.parent.is_some() || s.paging.kind != PagingKind::None,
                windowed: times || days,
            },
        }
    };
    Catalog { streams: plan.streams.iter().filter(|s| !s.spec.hidden).map(spec).collect() }
}
