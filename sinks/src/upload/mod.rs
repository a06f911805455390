//! Uploads into systems that only add: what was sent once must not be sent twice.
//!
//! Such a vendor has no key by which it would know a row again, and no way to take one back. So rows go through an
//! outbox in the sink's notes: [`stage`] weighs the rows of the epoch and puts what was not sent before into parts,
//! [`commit`] notes that a part is being sent, sends it, and in one transaction notes what the vendor said and every
//! row of it. A crash or a cut between the two leaves a part whose outcome is unknown; it is not sent again before
//! the vendor was asked what became of it. What a vendor must be able to do is [`vendor::Vendor`].

mod commit;
pub(crate) mod line;
mod stage;
mod state;
pub(crate) mod vendor;

use async_trait::async_trait;
use futures::StreamExt as _;
use throughline_core::write_back::{Difference, Differences, Missing, Refused, Undone, Wanted};
use throughline_core::{
    BatchStream, CheckReport, Committable, Context, Guarantee, Receipt, Reject, Result, Sink, Table, TxnId,
    WriteBack,
};

use line::Weighed;
use state::Refusal;
use vendor::Vendor;

/// Parts with refusals in one page of them.
const PAGE: usize = 20;

/// A sink that uploads.
pub(crate) struct UploadSink<V>(pub V);

#[async_trait]
impl<V: Vendor> Sink for UploadSink<V> {
    async fn check(&self, ctx: &Context) -> Result<CheckReport> {
        self.0.check(ctx).await
    }

    async fn stage(
        &self,
        ctx: &Context,
        table: &Table,
        rows: BatchStream,
        txn: &TxnId,
    ) -> Result<Committable> {
        stage::stage(&self.0, ctx, table, rows, txn).await
    }

    async fn commit(&self, ctx: &Context, txn: &TxnId, staged: &[Committable]) -> Result<Receipt> {
        commit::commit(&self.0, ctx, txn, staged).await
    }

    /// The vendor keeps what it was sent; what is ours of older epochs goes.
    async fn drop_older(&self, ctx: &Context, txn: &TxnId) -> Result<Option<u64>> {
        let own = format!("{}/", txn.0);
        let mut dropped = 0;
        for kind in ["up/refused/", "up/part/"] {
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
impl<V: Vendor> WriteBack for UploadSink<V> {
    fn wanted(&self) -> Result<Wanted> {
        self.0.wanted()
    }

    fn consent(&self) -> Result<String> {
        Ok(self.0.consent())
    }

    async fn setup(&self, _: &Context, _: bool) -> Result<Vec<Missing>> {
        Ok(Vec::new())
    }

    /// Nobody can be asked what a vendor has of a row: what would be sent is told.
    async fn differences(&self, ctx: &Context, mut rows: BatchStream, limit: usize) -> Result<Differences> {
        let mut found = Differences::default();
        let mut sift = stage::Sift::new(&self.0);
        while let Some(batch) = rows.next().await {
            ctx.check_cancelled()?;
            for weighed in sift.batch(ctx, &batch?).await? {
                match weighed {
                    Weighed::Line(line) => {
                        found.changed += 1;
                        if found.fields.len() < limit {
                            found.fields.push(Difference {
                                record: line.id,
                                field: self.0.about().what.to_owned(),
                                before: None,
                                after: Some(line.text),
                            });
                        }
                    }
                    Weighed::Refused { id, why } if found.refused.len() < limit => {
                        found.refused.push(format!("{id}: {why}"));
                    }
                    Weighed::Refused { .. } | Weighed::Left(_) => {}
                }
            }
        }
        found.refused.extend(sift.left().into_iter().map(|r| format!("{}: {}", r.id, r.why)));
        Ok(found)
    }

    async fn refused(&self, ctx: &Context, txn: &TxnId, after: Option<String>) -> Result<Refused> {
        let page = ctx.notes.page(&state::refused_prefix(txn), after.as_deref(), PAGE).await?;
        let next = page.last().map(|(key, _)| key.clone());
        let mut rejects = Vec::new();
        for (key, value) in page {
            let part: Vec<Refusal> = state::parse(&key, value)?;
            rejects.extend(part.into_iter().map(|refusal| Reject {
                reason: refusal.why,
                place: refusal.id,
                raw: refusal.text.into(),
            }));
        }
        Ok(Refused { rejects, next })
    }

    async fn undo(&self, _: &Context, _: &TxnId, _: bool) -> Result<Undone> {
        let left = format!("{} takes nothing back that was uploaded", self.0.about().vendor);
        Ok(Undone { left: vec![left], left_in_all: 1, ..Undone::default() })
    }
}
