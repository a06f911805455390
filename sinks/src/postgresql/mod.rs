#![doc = include_str!("README.md")]

mod catalog;
mod check;
mod commit;
mod encode;
mod evolve;
mod ledger;
mod merge;
mod names;
mod numeric;
mod options;
mod plan;
mod send;
mod session;
mod stage;
mod types;
mod views;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{
    BatchStream, CheckReport, Committable, ConfigErrors, Context, DynSink, Guarantee, Options, Receipt,
    Result, Sink, SinkConnector, Table, TxnId,
};

use options::{PostgresqlOptions, Settings};
use session::{Backoff, Session, unless_stopped};

const NAME: &str = "postgresql";

pub(crate) struct PostgresqlConnector;

impl SinkConnector for PostgresqlConnector {
    fn name(&self) -> &str {
        NAME
    }
    fn summary(&self) -> &str {
        "Tables in PostgreSQL, whole epochs at once"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(PostgresqlOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        Ok(Arc::new(PostgresqlSink { settings: Settings::read(options)? }))
    }
}

struct PostgresqlSink {
    settings: Settings,
}

#[async_trait]
impl Sink for PostgresqlSink {
    async fn check(&self, _: &Context) -> Result<CheckReport> {
        check::check(&self.settings).await
    }

    async fn stage(
        &self,
        ctx: &Context,
        table: &Table,
        rows: BatchStream,
        txn: &TxnId,
    ) -> Result<Committable> {
        stage::stage(&self.settings, ctx, table, rows, txn).await
    }

    async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        commit::commit(&self.settings, ctx, txn, staged).await
    }

    async fn drop_older(&self, ctx: &Context, txn: &TxnId) -> Result<Option<u64>> {
        commit::drop_older(&self.settings, ctx, txn).await.map(Some)
    }

    async fn abort(&self, ctx: &Context, txn: &TxnId) -> Result<()> {
        let mut backoff = Backoff::default();
        loop {
            let work = async {
                let mut session = Session::open(&self.settings).await?;
                stage::drop_staged(&mut session, &self.settings, &txn.0, None).await?;
                session.close().await;
                Ok(())
            };
            match unless_stopped(ctx, work).await {
                Ok(()) => return Ok(()),
                Err(failure) => backoff.wait(ctx, failure).await?,
            }
        }
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::ExactlyOnce
    }
}
