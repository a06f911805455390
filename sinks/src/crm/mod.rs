//! Attribution into the fields of a CRM's deals: one runtime, and for each CRM a file that speaks its language.
//!
//! [`stage`] keeps the deals whose values are not those written last, [`commit`] writes them, [`undo`] takes them
//! back, [`show`] tells beforehand. What a CRM must be able to do is [`vendor::Vendor`].

mod amocrm;
mod bitrix24;
mod bound;
mod commit;
mod field;
mod hubspot;
mod options;
mod show;
mod sift;
mod stage;
mod state;
mod undo;
mod vendor;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use throughline_core::write_back::{Differences, Missing, Refused, Undone, Wanted};
use throughline_core::{
    BatchStream, CheckReport, Committable, ConfigErrors, ConnectionKind, Context, DynSink, Guarantee,
    Options, Param, Receipt, Result, Sink, SinkConnector, Table, TxnId, WriteBack,
};

use options::Settings;
use vendor::{Line, Vendor};

/// The table that is made for a sink which names none.
const TABLE: &str = "deal_attribution";
const SQL: &str = include_str!("deal_attribution.sql");

const VENDORS: &[&dyn Vendor] = &[&amocrm::Amocrm, &hubspot::Hubspot, &bitrix24::Bitrix24];

/// A sink for every CRM that there is a kind of account for.
pub(crate) fn all(kinds: Vec<Box<dyn ConnectionKind>>) -> Vec<Box<dyn SinkConnector>> {
    let mut kinds = kinds;
    let mut all: Vec<Box<dyn SinkConnector>> = Vec::new();
    for vendor in VENDORS {
        if let Some(at) = kinds.iter().position(|kind| kind.name() == vendor.about().name) {
            all.push(Box::new(CrmConnector { vendor: *vendor, kind: kinds.swap_remove(at) }));
        }
    }
    all
}

struct CrmConnector {
    vendor: &'static dyn Vendor,
    kind: Box<dyn ConnectionKind>,
}

impl SinkConnector for CrmConnector {
    fn name(&self) -> &str {
        self.vendor.about().name
    }
    fn summary(&self) -> &str {
        self.vendor.about().summary
    }
    fn readme(&self) -> &str {
        self.vendor.about().readme
    }
    fn schema(&self) -> Value {
        options::schema(self.vendor.about(), self.kind.as_ref())
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        let settings = options::read(self.vendor.about(), self.kind.as_ref(), options)?;
        Ok(Arc::new(CrmSink { vendor: self.vendor, settings }))
    }
}

struct CrmSink {
    vendor: &'static dyn Vendor,
    settings: Settings,
}

impl CrmSink {
    fn line<'a>(&'a self, ctx: &'a Context) -> Line<'a> {
        Line { ctx, connection: &self.settings.connection }
    }

    fn table_name(&self) -> &str {
        self.settings.table.as_deref().unwrap_or(TABLE)
    }
}

#[async_trait]
impl Sink for CrmSink {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let mut report = CheckReport::default();
        report.facts.push(("account".into(), self.settings.connection.account()?));
        let known = self.vendor.fields(&self.line(ctx)).await?;
        for mapped in &self.settings.fields {
            match bound::find(&known, &mapped.field) {
                Some(field) => {
                    let found = format!("{} ({}), {}", mapped.field, field.label, field.kind.word());
                    report.facts.push((mapped.column.clone(), found));
                }
                None => report
                    .warnings
                    .push(format!("there is no field {}: `throughline sink setup` makes it", mapped.field)),
            }
        }
        Ok(report)
    }

    async fn stage(
        &self,
        ctx: &Context,
        table: &Table,
        rows: BatchStream,
        txn: &TxnId,
    ) -> Result<Committable> {
        stage::stage(self, ctx, table, rows, txn).await
    }

    async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        commit::commit(self, ctx, txn, staged).await
    }

    /// The CRM holds what it holds; what stood there before goes out of our own state.
    async fn drop_older(&self, ctx: &Context, txn: &TxnId) -> Result<Option<u64>> {
        let own = format!("{}/", txn.0);
        let mut dropped = 0;
        for kind in ["crm/wrote/", "crm/refused/"] {
            dropped += state::remove(ctx, kind, |rest| !rest.starts_with(&own)).await?;
        }
        Ok(Some(dropped))
    }

    async fn abort(&self, ctx: &Context, txn: &TxnId) -> Result<()> {
        stage::abort(ctx, txn).await
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }

    fn write_back(&self) -> Option<&dyn WriteBack> {
        Some(self)
    }
}

#[async_trait]
impl WriteBack for CrmSink {
    fn wanted(&self) -> Result<Wanted> {
        let prefix = format!("{}:", self.settings.connection.account()?);
        let params = vec![
            ("prefix".to_owned(), Param::Text(Some(prefix))),
            ("model".to_owned(), Param::Text(self.settings.model.clone())),
        ];
        let made = self.settings.table.is_none();
        Ok(Wanted {
            table: self.table_name().to_owned(),
            sql: made.then(|| SQL.to_owned()),
            params: if made { params } else { Vec::new() },
            key: vec!["deal_id".to_owned()],
        })
    }

    fn consent(&self) -> Result<String> {
        let fields: Vec<&str> = self.settings.fields.iter().map(|f| f.field.as_str()).collect();
        Ok(format!("write {} of deals of {}", fields.join(", "), self.settings.connection.account()?))
    }

    async fn setup(&self, ctx: &Context, apply: bool) -> Result<Vec<Missing>> {
        show::setup(self, ctx, apply).await
    }

    async fn differences(&self, ctx: &Context, rows: BatchStream, limit: usize) -> Result<Differences> {
        show::differences(self, ctx, rows, limit).await
    }

    async fn refused(&self, ctx: &Context, txn: &TxnId, after: Option<String>) -> Result<Refused> {
        show::refused(ctx, txn, after).await
    }

    async fn undo(&self, ctx: &Context, txn: &TxnId, apply: bool) -> Result<Undone> {
        undo::undo(self, ctx, txn, apply).await
    }
}
