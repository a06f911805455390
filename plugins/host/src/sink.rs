//! A plugin as a sink.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};
use throughline_core::{
    BatchStream, CheckReport, Committable, ConfigErrors, Context, DynSink, Error, Guarantee, Options,
    Receipt, Result, Sink, SinkConnector, Table, TxnId,
};
use throughline_plugin_abi as abi;
use tokio::sync::mpsc;

use crate::failure::Failure;
use crate::folder::Installed;
use crate::options::Setup;
use crate::process::Runner;
use crate::running::{Feed, Running, Start, ask_now, open};
use crate::session::{Answer, Ask};
use crate::source::{Plugin, ask_running, checked, redacted};

/// How many rejected rows are named.
const NAMED: usize = 5;

/// A sink that is a plugin, as the registry knows connectors.
pub struct PluginSink {
    plugin: Plugin,
}

impl PluginSink {
    pub fn new(installed: Arc<Installed>, runner: Runner) -> Self {
        Self { plugin: Plugin::new(installed, runner) }
    }
}

impl SinkConnector for PluginSink {
    fn name(&self) -> &str {
        self.plugin.name()
    }
    fn summary(&self) -> &str {
        self.plugin.summary()
    }
    fn readme(&self) -> &str {
        self.plugin.readme()
    }
    fn schema(&self) -> Value {
        self.plugin.schema()
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        let (start, setup) = self.plugin.prepare(options)?;
        let config = setup.config.clone();
        ask_now(&start, Some(&setup), move |session| open(session, &config))
            .map_err(|f| vec![redacted(f, &setup).into_error(&start.plugin)])?;
        // What is not promised is not assumed.
        let guarantee = self.plugin.described().guarantee.unwrap_or(Guarantee::AtLeastOnce);
        Ok(Arc::new(OpenedSink { start, setup, guarantee }))
    }
}

struct OpenedSink {
    start: Start,
    setup: Setup,
    guarantee: Guarantee,
}

/// What a writer is given.
enum Given {
    Rows(RecordBatch),
    /// All of them are there.
    Done,
}

#[derive(Deserialize)]
struct Prepared {
    rows: u64,
    #[serde(default)]
    detail: Value,
}

#[derive(Deserialize)]
struct Rejected {
    row: u64,
    reason: String,
}

impl OpenedSink {
    fn error(&self, failure: Failure) -> Error {
        redacted(failure, &self.setup).into_error(&self.start.plugin)
    }

    fn broke(&self, what: impl std::fmt::Display) -> Error {
        self.error(Failure::new(abi::TL_PANIC, format!("the plugin broke the interface: {what}")))
    }
}

#[async_trait]
impl Sink for OpenedSink {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        checked(&self.start.plugin, ask_running(&self.start, &self.setup, ctx, Ask::Check).await?)
    }

    async fn stage(
        &self,
        ctx: &Context,
        table: &Table,
        mut rows: BatchStream,
        txn: &TxnId,
    ) -> Result<Committable> {
        let about = json!({
            "name": table.name, "key": table.key, "partition_by": table.partition_by, "doc": table.doc,
        });
        let (schema, txn) = (table.schema.clone(), txn.0.clone());
        let (give, mut given) = mpsc::channel::<Given>(2);
        let mut running =
            Running::start(&self.start, &self.setup, ctx, move |session, feed: &Feed<(u64, Value)>| {
                session.rows_are(schema)?;
                session.ask(Ask::WriteOpen { table: about, txn })?;
                let mut written = 0;
                loop {
                    match feed.host(|| given.blocking_recv()) {
                        Some(Given::Rows(batch)) => {
                            let before = written;
                            written += batch.num_rows() as u64;
                            refuse(session.write(batch)?, before)?;
                        }
                        Some(Given::Done) => break,
                        // The rows broke off: the writer is closed, and nothing is prepared.
                        None => return Err(Failure::cancelled()),
                    }
                }
                feed.give((written, session.ask(Ask::Prepare)?));
                Ok(())
            });
        let mut sent = 0_u64;
        // The thread takes what is sent; when it does not any more, it has something to say.
        let mut broken = None;
        while let Some(batch) = rows.next().await {
            match batch {
                Ok(batch) => {
                    sent += batch.num_rows() as u64;
                    if give.send(Given::Rows(batch)).await.is_err() {
                        break;
                    }
                }
                Err(e) => {
                    broken = Some(e);
                    break;
                }
            }
        }
        if let Some(broken) = broken {
            return Err(broken);
        }
        // As above: it tells why it stopped.
        let _ = give.send(Given::Done).await;
        let ended = running.next().await.unwrap_or_else(|| Err(Failure::cancelled()));
        let (written, prepared) = ended.map_err(|f| self.error(f))?;
        let prepared: Prepared =
            serde_json::from_value(prepared).map_err(|e| self.broke(format!("its committable: {e}")))?;
        if prepared.rows != sent || written != sent {
            return Err(self.broke(format!(
                "it was given {sent} rows of the table {} and says it wrote {}",
                table.name, prepared.rows
            )));
        }
        Ok(Committable { table: table.name.clone(), rows: sent, detail: prepared.detail })
    }

    async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        let committables = serde_json::to_value(staged).map_err(|e| Error::bug(e.to_string()))?;
        let ask = Ask::Commit { txn: txn.0.clone(), committables };
        let receipt = ask_running(&self.start, &self.setup, ctx, ask).await?;
        serde_json::from_value(receipt).map_err(|e| self.broke(format!("its receipt: {e}")))
    }

    async fn abort(&self, ctx: &Context, txn: &TxnId) -> Result<()> {
        ask_running(&self.start, &self.setup, ctx, Ask::Abort { txn: txn.0.clone() }).await.map(|_| ())
    }

    fn guarantee(&self) -> Guarantee {
        self.guarantee
    }
}

/// An epoch that lacks rows is not published: what the destination cannot hold stops it.
fn refuse(rejects: Value, before: u64) -> Answer<()> {
    if rejects.is_null() {
        return Ok(());
    }
    let rejects: Vec<Rejected> = serde_json::from_value(rejects).map_err(|e| {
        Failure::new(abi::TL_PANIC, format!("the plugin broke the interface: its rejects: {e}"))
    })?;
    if rejects.is_empty() {
        return Ok(());
    }
    let named: Vec<String> =
        rejects.iter().take(NAMED).map(|r| format!("row {}: {}", before + r.row + 1, r.reason)).collect();
    let more = rejects.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Err(Failure::new(
        abi::TL_DATA,
        format!("the destination cannot hold {} rows: {}{more}", rejects.len(), named.join("; ")),
    ))
}
