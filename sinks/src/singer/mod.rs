#![doc = include_str!("README.md")]

mod about;
mod cells;
mod load;
mod lock;
mod options;
mod schema;
mod version;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::connector::parse_options;
use throughline_core::time::InstantUs;
use throughline_core::{
    BatchStream, CheckReport, Committable, ConfigErrors, Context, DynSink, Error, Guarantee, Options,
    Receipt, Result, Sink, SinkConnector, Table, TxnId,
};
use throughline_foreign::{Files, Program, Start};
use tokio::sync::OnceCell;

use crate::epoch_folder::{EpochFolder, Owner};
use crate::staging;
use about::Replaces;
use options::{Decimals, Mode, SingerOptions};
use writer::{Form, SingerTable};

const NAME: &str = "singer";
/// An epoch's rows go when the target has them; what is kept is that it was committed, and of the one before.
const KEEP_EPOCHS: usize = 2;
/// Columns that `mode = "append"` adds, by which readers choose an epoch.
const TXN_COLUMN: &str = "_throughline_txn";
const STAGED_AT_COLUMN: &str = "_throughline_staged_at";

pub(crate) struct SingerConnector;

impl SinkConnector for SingerConnector {
    fn name(&self) -> &str {
        NAME
    }
    fn summary(&self) -> &str {
        "Any Singer target, run as a process"
    }
    fn readme(&self) -> &str {
        include_str!("README.md")
    }
    fn schema(&self) -> serde_json::Value {
        schemars::schema_for!(SingerOptions).to_value()
    }
    fn build(&self, options: &Options) -> Result<DynSink, ConfigErrors> {
        let given: SingerOptions = parse_options(&options.value)?;
        let owner = Owner { connector: NAME.into(), sink: options.name.clone() };
        let folder = Arc::new(EpochFolder::new(options.base_dir.join(&given.path), owner, KEEP_EPOCHS));
        let (mode, decimals, activate_version) = (given.mode, given.decimals, given.activate_version);
        let start = given.start(&options.base_dir)?;
        let replaces = OnceCell::new_with((activate_version).then_some(Replaces::ByVersion));
        Ok(Arc::new(SingerSink { folder, start: Arc::new(start), mode, decimals, replaces }))
    }
}

struct SingerSink {
    /// Where an epoch waits for the target, and what was committed is noted.
    folder: Arc<EpochFolder>,
    start: Arc<Start>,
    mode: Mode,
    decimals: Decimals,
    /// Asked once.
    replaces: OnceCell<Replaces>,
}

impl SingerSink {
    async fn replaces(&self, ctx: &Context) -> Result<Replaces> {
        self.replaces.get_or_try_init(|| about::replaces(ctx, &self.start)).await.copied()
    }

    /// Where the rows are, only the target knows.
    fn located(&self, receipt: Receipt) -> Receipt {
        Receipt { location: format!("where {} loads", self.start.program.display()), ..receipt }
    }

    async fn form(&self, ctx: &Context, table: &Table, txn: &TxnId) -> Result<Form> {
        let mut form = Form {
            stream: table.name.clone(),
            key: table.key.clone(),
            decimals: self.decimals,
            version: None,
            constants: Vec::new(),
        };
        let now_us = ctx.clock.now_us();
        match self.mode {
            Mode::Upsert if table.key.is_empty() => {
                return Err(Error::config(format!(
                    "table {} has no key: a target could not tell the rows that it has already, and each epoch \
                     would add all of them again",
                    table.name
                ))
                .hint("leave it out by `tables = [...]`, or take mode = \"replace\" or \"append\""));
            }
            Mode::Upsert => {}
            Mode::Replace => {
                if self.replaces(ctx).await? == Replaces::ByVersion {
                    form.version = Some(version::next(&self.folder, now_us).await?);
                }
            }
            Mode::Append => {
                form.key.clear();
                form.constants =
                    vec![(TXN_COLUMN, txn.0.clone(), false), (STAGED_AT_COLUMN, instant(now_us)?, true)];
            }
        }
        Ok(form)
    }
}

fn instant(us: InstantUs) -> Result<String> {
    chrono::DateTime::from_timestamp_micros(us)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
        .ok_or_else(|| Error::bug(format!("the clock says {us}")))
}

#[async_trait]
impl Sink for SingerSink {
    /// A target has no such question; one that is started with nothing to read looks at its settings and ends.
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        let mut report = staging::blocking(&self.folder, EpochFolder::check).await?;
        let files = Files::new(ctx)?;
        let config = files.put("config.json", &self.start.config)?;
        let args = ["--config".as_ref(), config.as_os_str()];
        Program::start_fed(&self.start, files, &args, Vec::new())?.answer(ctx).await.map_err(|e| {
            e.hint(
                "run it by hand with nothing to read and mend what it says: TARGET --config FILE < /dev/null",
            )
        })?;
        report.facts.push(("target".into(), self.start.program.display().to_string()));
        if self.mode == Mode::Replace {
            let how = match self.replaces(ctx).await? {
                Replaces::ByVersion => "by ACTIVATE_VERSION",
                Replaces::ByItself => "by its load_method",
            };
            report.facts.push(("replaces".into(), how.into()));
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
        let form = self.form(ctx, table, txn).await?;
        let item = format!("{}.jsonl", table.name);
        staging::stage(&self.folder, ctx, table, rows, txn, item, move |path, schema| {
            SingerTable::open(path, schema, &form)
        })
        .await
    }

    /// The target's end and our note of it are two moments: a crash between them loads the epoch again.
    async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        let _alone = lock::alone(&self.folder, ctx).await?;
        let (id, all) = (txn.clone(), staged.to_vec());
        let done = staging::blocking(&self.folder, move |folder| match folder.committed(&id)? {
            Some(receipt) => Ok(Err(receipt)),
            None => folder.staged_files(&id, &all).map(Ok),
        });
        let files = match done.await? {
            Ok(files) => files,
            Err(receipt) => return Ok(self.located(receipt)),
        };
        if !files.is_empty() {
            let tables: Vec<&str> = staged.iter().map(|c| c.table.as_str()).collect();
            load::load(ctx, &self.start, files, &load::state(&tables, txn)).await?;
        }
        let (id, all, now_us) = (txn.clone(), staged.to_vec(), ctx.clock.now_us());
        staging::blocking(&self.folder, move |folder| {
            let receipt = folder.commit(&id, &all, now_us)?;
            if let Err(e) = folder.empty(&id) {
                // It is committed. Its rows go with the epoch at the latest.
                tracing::warn!(folder = %folder.root().display(), error = %e, "the spool was not emptied");
            }
            Ok(receipt)
        })
        .await
        .map(|receipt| self.located(receipt))
    }

    async fn drop_older(&self, _: &Context, txn: &TxnId) -> Result<Option<u64>> {
        let txn = txn.clone();
        staging::blocking(&self.folder, move |folder| folder.drop_older(&txn)).await?;
        // What the target wrote, only its own tools can delete.
        Ok(None)
    }

    async fn abort(&self, _: &Context, txn: &TxnId) -> Result<()> {
        let txn = txn.clone();
        staging::blocking(&self.folder, move |folder| folder.abort(&txn)).await
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::AtLeastOnce
    }
}
