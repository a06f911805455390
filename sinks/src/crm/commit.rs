//! Writing: batch by batch, each compared with what the CRM holds, and each done once.
//!
//! Before a batch is written, what stands in its fields is kept for undo. After it, one transaction of the state
//! file says that the batch is done. A crash between the two reads the batch again from the CRM, finds what was
//! written, and writes the rest.

use std::collections::BTreeMap;

use throughline_core::{Committable, Context, Error, Receipt, Result, TxnId};

use super::CrmSink;
use super::bound::{self, Bound};
use super::field::CrmField;
use super::stage;
use super::state::{
    self, Done, Head, Refusal, Staged, Tally, Wrote, deal_key, done_key, head_key, json as note, part_key,
    refused_key, wrote_key,
};
use super::vendor::{Change, words};

pub(super) async fn commit(
    sink: &CrmSink,
    ctx: &Context,
    txn: &TxnId,
    staged: &[Committable],
) -> Result<Receipt> {
    if let Some(receipt) = done(ctx, txn).await? {
        return Ok(receipt);
    }
    let account = sink.settings.connection.account()?;
    // One writer of an account at a time, in this process or another: two would write everything twice.
    let _turn = ctx.tokens.lease(&format!("write-back {account}")).await?;
    if let Some(receipt) = done(ctx, txn).await? {
        return Ok(receipt);
    }
    let mut heads = Vec::new();
    for table in staged {
        heads.push(stage::head(ctx, txn, table).await?);
    }
    let bound = match heads.iter().any(|head| head.done < head.parts) {
        true => bound::bind(sink.vendor, &sink.line(ctx), &sink.settings).await?,
        false => Vec::new(),
    };
    let (mut rows, mut tally) = (0, Tally::default());
    for (table, mut head) in staged.iter().zip(heads) {
        let batch = Batch { sink, ctx, txn, table: &table.table, bound: &bound, account: &account };
        while head.done < head.parts {
            ctx.check_cancelled()?;
            batch.write(&mut head).await?;
        }
        rows += head.rows;
        tally.add(head.tally);
    }
    let location = told(&account, tally);
    let finished = Done { rows, location };
    let mut notes = vec![(done_key(txn), note(&finished)?)];
    notes.extend(staged.iter().map(|table| (head_key(txn, &table.table), None)));
    ctx.notes.put_many(notes).await?;
    Ok(Receipt { rows, location: finished.location })
}

async fn done(ctx: &Context, txn: &TxnId) -> Result<Option<Receipt>> {
    let done: Option<Done> = state::get(ctx, &done_key(txn)).await?;
    Ok(done.map(|done| Receipt { rows: done.rows, location: done.location }))
}

fn told(account: &str, tally: Tally) -> String {
    let mut told = format!("{account}: {} deals written", tally.written);
    for (number, what) in [
        (tally.same, "held it already"),
        (tally.refused, "refused: see `throughline dead-letters list`"),
        (tally.cut, "values cut to the length of their field"),
    ] {
        if number > 0 {
            told += &format!(", {number} {what}");
        }
    }
    told
}

struct Batch<'a> {
    sink: &'a CrmSink,
    ctx: &'a Context,
    txn: &'a TxnId,
    table: &'a str,
    bound: &'a [Bound],
    account: &'a str,
}

impl Batch<'_> {
    /// The next part of the table.
    async fn write(&self, head: &mut Head) -> Result<()> {
        let (ctx, part) = (self.ctx, head.done);
        let key = part_key(self.txn, self.table, part);
        let deals: Vec<Staged> = state::get(ctx, &key).await?.ok_or_else(|| {
            Error::data(format!("batch {part} of {} is not in the state any more", self.table))
        })?;
        let fields: Vec<&CrmField> = self.bound.iter().map(|b| &b.field).collect();
        let line = self.sink.line(ctx);
        let numbers: Vec<String> = deals.iter().map(|d| self.number(&d.deal)).collect();
        let current = self.sink.vendor.read(&line, &numbers, &fields).await?;

        let mut tally = Tally::default();
        let mut refused = Vec::new();
        let mut notes = Vec::new();
        let (mut changes, mut changed, mut wrote) = (Vec::new(), Vec::new(), Vec::new());
        for (staged, number) in deals.iter().zip(numbers) {
            match bound::weigh(self.bound, staged, current.get(&number)) {
                Err(why) => refused.push(refusal(staged, why)),
                Ok(weighed) if weighed.fresh.is_empty() => {
                    tally.same += 1;
                    tally.cut += weighed.cut;
                    notes.push((deal_key(&staged.deal), Some(staged.hash.clone().into())));
                }
                Ok(weighed) => {
                    let values =
                        weighed.fresh.iter().map(|f| (f.field.key.clone(), f.after.clone())).collect();
                    changes.push(Change { deal: number, values });
                    let before: Wrote = weighed
                        .fresh
                        .into_iter()
                        .map(|f| (f.field.key.clone(), (f.before, f.after)))
                        .collect();
                    wrote.push(before);
                    changed.push((staged, weighed.cut));
                }
            }
        }
        let kept = self.keep(&changed, wrote).await?;
        let answers = match changes.is_empty() {
            true => Vec::new(),
            false => self.sink.vendor.write(&line, &changes, &fields).await?,
        };
        if answers.len() != changes.len() {
            return Err(Error::bug(format!("{} answers to {} deals", answers.len(), changes.len())));
        }
        for (((staged, cut), answer), kept) in changed.iter().zip(answers).zip(kept) {
            match answer {
                None => {
                    tally.written += 1;
                    tally.cut += cut;
                    notes.push((deal_key(&staged.deal), Some(staged.hash.clone().into())));
                }
                Some(why) => {
                    refused.push(refusal(staged, words(&why)));
                    // Nothing was written: there is nothing to take back but what an earlier attempt wrote.
                    notes.push((
                        wrote_key(self.txn, &staged.deal),
                        kept.map(|k| note(&k)).transpose()?.flatten(),
                    ));
                }
            }
        }
        tally.refused = refused.len() as u64;
        head.done += 1;
        head.tally.add(tally);
        if !refused.is_empty() {
            notes.push((refused_key(self.txn, self.table, part), note(&refused)?));
        }
        notes.push((head_key(self.txn, self.table), note(head)?));
        notes.push((key, None));
        ctx.notes.put_many(notes).await
    }

    /// Makes durable what stands in the fields that will be written. What an attempt that died kept of them is
    /// older and stays. Gives what there was of each.
    async fn keep(&self, changed: &[(&Staged, u64)], wrote: Vec<Wrote>) -> Result<Vec<Option<Wrote>>> {
        let keys: Vec<String> = changed.iter().map(|(s, _)| wrote_key(self.txn, &s.deal)).collect();
        let known = self.ctx.notes.get_many(&keys).await?;
        let mut notes = Vec::new();
        let mut kept = Vec::new();
        for ((key, known), mut wrote) in keys.into_iter().zip(known).zip(wrote) {
            let known: Option<Wrote> = known.map(|value| state::parse(&key, value)).transpose()?;
            for (field, (before, _)) in known.iter().flatten() {
                if let Some(now) = wrote.get_mut(field) {
                    now.0.clone_from(before);
                }
            }
            let mut whole: BTreeMap<_, _> = known.clone().unwrap_or_default();
            whole.extend(wrote);
            notes.push((key, note(&whole)?));
            kept.push(known);
        }
        self.ctx.notes.put_many(notes).await?;
        Ok(kept)
    }

    /// The CRM's own number.
    fn number(&self, deal: &str) -> String {
        let rest = deal.strip_prefix(self.account).and_then(|rest| rest.strip_prefix(':'));
        rest.unwrap_or(deal).to_owned()
    }
}

fn refusal(staged: &Staged, why: String) -> Refusal {
    Refusal { deal: staged.deal.clone(), why, values: staged.values.clone() }
}
