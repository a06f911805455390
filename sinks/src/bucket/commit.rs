//! From staged tables to an epoch that readers see, and what is deleted after it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use throughline_core::{Committable, Context, Error, Receipt, Result, TxnId};

use super::log::{commit_name, data_folder};
use super::place::Created;
use super::{Bucket, unless_stopped};
use crate::epoch_folder::{FORMAT, Manifest, StagedTable, folder_name, instant};

/// Puts without an answer, before the next run is left to find out.
const UNANSWERED: u32 = 4;
/// Numbers that others may take before we get one.
const ROUNDS: u32 = 100;

impl Bucket {
    /// Shows the epoch to readers. Idempotent, from whatever point an earlier try came to.
    pub(crate) async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        let name = folder_name(txn)?;
        let tables = staged.iter().map(StagedTable::from_committable).collect::<Result<Vec<_>>>()?;
        unless_stopped(ctx, async {
            self.own().await?;
            let mine = self.append(ctx, name, tables).await?;
            (self.steps)("decided")?;
            let log = self.log().await?;
            let newest = log.last().filter(|newest| newest.number > mine.number).unwrap_or(&mine);
            if newest.number == mine.number {
                // An abort of the same epoch by another process may have taken files away in the moment before it
                // was decided. Readers are not told of such an epoch.
                self.verify(name, &mine.tables).await?;
            }
            self.point_at(newest).await?;
            (self.steps)("pointed")?;
            if let Err(e) = self.tidy(&log, newest, &mine).await {
                // The epoch is committed, and the next commit tries again.
                tracing::warn!(place = %self.location(), error = %e, "old epochs were not deleted");
            }
            (self.steps)("pruned")?;
            Ok(Receipt { rows: mine.tables.iter().map(|t| t.rows).sum(), location: self.location() })
        })
        .await
    }

    /// The commit of `txn`: the one that stands, or one made now of `tables`.
    async fn append(&self, ctx: &Context, txn: &str, tables: Vec<StagedTable>) -> Result<Manifest> {
        let mut unanswered = 0;
        for round in 0..ROUNDS {
            let log = self.log().await?;
            // Also after a put that was refused or got no answer: it may have been done all the same.
            if let Some(mine) = log.iter().find(|m| m.txn == txn) {
                return Ok(mine.clone());
            }
            self.verify(txn, &tables).await?;
            let last = log.last();
            let manifest = Manifest {
                format: FORMAT,
                txn: txn.to_owned(),
                number: last.map_or(0, |m| m.number) + 1,
                replaces: last.map(|m| m.txn.clone()),
                connector: self.owner.connector.clone(),
                committed_at: instant(ctx.clock.now_us()),
                tables: tables.clone(),
            };
            (self.steps)("begun")?;
            match self.decide(&manifest).await {
                Ok(Created::Made) => return Ok(manifest),
                Ok(Created::Taken) => {}
                Err(e) if e.is_temporary() && unanswered < UNANSWERED => {
                    unanswered += 1;
                    tracing::warn!(sink = %ctx.name, attempt = unanswered, error = %e, "commit: looking what became of it");
                }
                Err(e) => return Err(e),
            }
            ctx.sleep(Duration::from_millis(50 << round.min(6))).await?;
        }
        Err(Error::new(
            throughline_core::ErrorKind::Io,
            format!("{} is committed to by others all the time", self.place.url("")),
        )
        .temporary(None)
        .hint("one sink writes to one place: is this pipeline running on many machines?"))
    }

    /// What the ledger says was staged is there, in full length.
    async fn verify(&self, txn: &str, tables: &[StagedTable]) -> Result<()> {
        if tables.iter().all(|t| t.files.is_empty()) {
            return Ok(());
        }
        let folder = data_folder(txn);
        let found: HashMap<String, u64> = self.place.list(&folder).await?.into_iter().collect();
        for file in tables.iter().flat_map(|t| &t.files) {
            let name = format!("{folder}/{}", file.path);
            let bytes = found.get(&name);
            if bytes != Some(&file.bytes) {
                let found = bytes.map_or_else(|| "it is gone".to_owned(), |b| format!("it has {b}"));
                return Err(Error::data(format!(
                    "{} was staged with {} bytes and cannot be committed: {found}",
                    self.place.url(&name),
                    file.bytes
                ))
                .hint("something outside has changed the sink's objects"));
            }
        }
        Ok(())
    }

    /// Deletes what no reader needs: other tries of this epoch, and all epochs but the current one, the newest
    /// before it up to the number to keep, and the one that it replaced, which somebody may have opened a moment
    /// ago.
    async fn tidy(&self, log: &[Manifest], current: &Manifest, mine: &Manifest) -> Result<()> {
        self.drop_staged(&mine.txn, Some(mine)).await?;
        let mut older: Vec<&Manifest> = log.iter().filter(|m| m.number < current.number).collect();
        older.reverse();
        for (place, epoch) in older.iter().enumerate() {
            let replaced = current.replaces.as_ref() == Some(&epoch.txn);
            if place + 1 >= self.keep_epochs && !replaced {
                self.delete_epoch(epoch, log).await?;
            }
        }
        Ok(())
    }

    /// Data first: what the commit names is then found again by who goes on after a crash.
    async fn delete_epoch(&self, epoch: &Manifest, log: &[Manifest]) -> Result<()> {
        // One that was deleted and committed once more by a process that slept has two commits.
        if !log.iter().any(|m| m.txn == epoch.txn && m.number != epoch.number) {
            self.drop_staged(&epoch.txn, None).await?;
        }
        self.place.delete(vec![commit_name(epoch.number)]).await
    }

    /// Deletes the objects of a transaction but those of the commit to keep.
    async fn drop_staged(&self, txn: &str, keep: Option<&Manifest>) -> Result<()> {
        let folder = data_folder(txn);
        let kept: HashSet<String> = keep
            .iter()
            .flat_map(|m| &m.tables)
            .flat_map(|t| &t.files)
            .map(|f| format!("{folder}/{}", f.path))
            .collect();
        let mut names: Vec<String> =
            self.place.list(&folder).await?.into_iter().map(|(name, _)| name).collect();
        names.retain(|name| !kept.contains(name));
        if names.is_empty() { Ok(()) } else { self.place.delete(names).await }
    }

    /// Deletes the epochs before that of `txn`, for good.
    pub(crate) async fn drop_older(&self, ctx: &Context, txn: &TxnId) -> Result<u64> {
        let name = folder_name(txn)?;
        unless_stopped(ctx, async {
            self.own().await?;
            let log = self.log().await?;
            let Some(kept) = log.iter().rev().find(|m| m.txn == name) else {
                return Err(Error::data(format!("epoch {name} is not in {}", self.place.url(""))));
            };
            // Nobody is to be sent to what is deleted.
            self.point_at(log.last().unwrap_or(kept)).await?;
            let older: Vec<&Manifest> = log.iter().filter(|m| m.number < kept.number).collect();
            for epoch in &older {
                self.delete_epoch(epoch, &log).await?;
            }
            Ok(older.len() as u64)
        })
        .await
    }

    /// Drops what is staged. A committed epoch stays.
    pub(crate) async fn abort(&self, ctx: &Context, txn: &TxnId) -> Result<()> {
        let name = folder_name(txn)?;
        unless_stopped(ctx, async {
            if self.place.list(&data_folder(name)).await?.is_empty() {
                return Ok(());
            }
            self.own().await?;
            let log = self.log().await?;
            self.drop_staged(name, log.iter().find(|m| m.txn == name)).await
        })
        .await
    }
}
