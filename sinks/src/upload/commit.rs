//! Sending: part by part, each noted before it goes, and settled before the next one goes.

use std::time::Duration;

use throughline_core::{Committable, Context, Error, ErrorKind, Receipt, Result, TxnId};

use super::line::Line;
use super::stage;
use super::state::{
    self, Done, Head, OPEN, Refusal, Sending, done_key, head_key, json as note, part_key, refused_key,
    sending_key, sent_key,
};
use super::vendor::{Failure, Fate, Part, Progress, Taken, Unknown, Vendor};

/// Times one part is sent within one commit.
const TRIES: u32 = 3;
/// Between two questions what became of a part.
const PAUSE: Duration = Duration::from_secs(20);
/// Questions, at most.
const QUESTIONS: u32 = 30;
/// Uploads that are asked about in one commit.
const WATCHED: usize = 200;

pub(super) async fn commit<V: Vendor>(
    vendor: &V,
    ctx: &Context,
    txn: &TxnId,
    staged: &[Committable],
) -> Result<Receipt> {
    if let Some(receipt) = done(ctx, txn).await? {
        return Ok(receipt);
    }
    // One who uploads into an account at a time, in this process or another: two would send everything twice.
    let _turn = ctx.tokens.lease(&format!("upload {} {}", vendor.about().vendor, vendor.account())).await?;
    if let Some(receipt) = done(ctx, txn).await? {
        return Ok(receipt);
    }
    let mut heads = Vec::new();
    for table in staged {
        heads.push(stage::head(ctx, txn, table).await?);
    }
    let mut all = Head::default();
    for (table, mut head) in staged.iter().zip(heads) {
        let work = Commit { vendor, ctx, txn, table: &table.table };
        work.watch().await?;
        while head.done < head.parts {
            ctx.check_cancelled()?;
            work.part(&mut head).await?;
        }
        all.rows += head.rows;
        all.sent += head.sent;
        all.refused += head.refused;
    }
    let location = told(vendor, &all);
    let finished = Done { rows: all.rows, location };
    let mut notes = vec![(done_key(txn), note(&finished)?)];
    notes.extend(staged.iter().map(|table| (head_key(txn, &table.table), None)));
    ctx.notes.put_many(notes).await?;
    Ok(Receipt { rows: finished.rows, location: finished.location })
}

async fn done(ctx: &Context, txn: &TxnId) -> Result<Option<Receipt>> {
    let done: Option<Done> = state::get(ctx, &done_key(txn)).await?;
    Ok(done.map(|done| Receipt { rows: done.rows, location: done.location }))
}

fn told<V: Vendor>(vendor: &V, head: &Head) -> String {
    let about = vendor.about();
    let mut told = format!("{}, {}: {} {} uploaded", about.vendor, vendor.account(), head.sent, about.what);
    if head.refused > 0 {
        told += &format!(", {} refused: see `throughline dead-letters list`", head.refused);
    }
    told
}

struct Commit<'a, V> {
    vendor: &'a V,
    ctx: &'a Context,
    txn: &'a TxnId,
    table: &'a str,
}

impl<V: Vendor> Commit<'_, V> {
    /// The next part.
    async fn part(&self, head: &mut Head) -> Result<()> {
        let (ctx, number) = (self.ctx, head.done);
        let lines: Vec<Line> =
            state::get(ctx, &part_key(self.txn, self.table, number)).await?.ok_or_else(|| {
                Error::data(format!("part {number} of {} is not in the state any more", self.txn.0))
            })?;
        let key = sending_key(self.txn, self.table, number);
        let mut tries = 0;
        loop {
            let before: Option<Sending> = state::get(ctx, &key).await?;
            if let Some(sending) = before {
                let part = Part { tag: &sending.tag, lines: &lines, since: sending.since };
                match self.settle(&part).await? {
                    Some(taken) => return self.taken(head, lines, taken).await,
                    None => ctx.notes.put(&key, None).await?,
                }
            }
            let tag = format!("throughline {}-{number}", self.txn.0);
            let since = ctx.clock.now_us();
            ctx.notes.put(&key, note(&Sending { tag: tag.clone(), since })?).await?;
            tries += 1;
            match self.vendor.send(ctx, &Part { tag: &tag, lines: &lines, since }).await {
                Ok(taken) => return self.taken(head, lines, taken).await,
                Err(Failure::Refused(why)) => {
                    let refused = (0..lines.len()).map(|at| (at, why.clone())).collect();
                    return self.taken(head, lines, Taken { watch: None, refused }).await;
                }
                Err(Failure::NotTaken(error)) => {
                    ctx.notes.put(&key, None).await?;
                    return Err(error);
                }
                Err(Failure::Unknown(error)) if tries >= TRIES || ctx.cancel.is_cancelled() => {
                    return Err(error.hint("the next run asks what became of it before it sends anything"));
                }
                Err(Failure::Unknown(_)) => {}
            }
        }
    }

    /// What became of a part that was being sent; `None`: it is to be sent again.
    async fn settle(&self, part: &Part<'_>) -> Result<Option<Taken>> {
        for _ in 0..QUESTIONS {
            match self.vendor.fate(self.ctx, part).await? {
                Fate::Taken(taken) => return Ok(Some(taken)),
                Fate::Absent => return Ok(None),
                Fate::Soon => self.ctx.sleep(PAUSE).await?,
                Fate::Unclear(why) => return self.decided(part, &why),
            }
        }
        self.decided(part, "the vendor does not say")
    }

    fn decided(&self, part: &Part<'_>, why: &str) -> Result<Option<Taken>> {
        match self.vendor.unknown() {
            Unknown::Sent => Ok(Some(Taken::default())),
            Unknown::Again => Ok(None),
            Unknown::Stop => {
                let about = self.vendor.about();
                let at = chrono::DateTime::from_timestamp_micros(part.since).unwrap_or_default();
                Err(Error::new(
                    ErrorKind::Data,
                    format!(
                        "{} {} were being uploaded to {} when the answer was lost, and whether they arrived is not \
                         known: {why}; nothing was sent again",
                        part.lines.len(),
                        about.what,
                        about.vendor
                    ),
                )
                .with("upload", part.tag)
                .with("since", at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
                .hint(
                    "look there, then run once with unknown = \"sent\" in the sink when they arrived, or \
                     unknown = \"again\" when they did not",
                )
                // The epoch stays prepared: the next run goes on here.
                .temporary(None))
            }
        }
    }

    /// One transaction says that the part is settled and which rows went.
    async fn taken(&self, head: &mut Head, lines: Vec<Line>, taken: Taken) -> Result<()> {
        let number = head.done;
        let mut refused = Vec::new();
        let mut notes = Vec::new();
        for (at, line) in lines.into_iter().enumerate() {
            match taken.refused.iter().find(|(place, _)| *place == at) {
                Some((_, why)) => refused.push(Refusal { id: line.id, why: why.clone(), text: line.text }),
                None => {
                    head.sent += 1;
                    notes.push((sent_key(&line.id), Some(line.hash().into())));
                }
            }
        }
        head.refused += refused.len() as u64;
        if !refused.is_empty() {
            notes
                .push((refused_key(self.txn, &format!("{}/sent/{number:010}", self.table)), note(&refused)?));
        }
        if let Some(upload) = &taken.watch {
            notes.push((format!("{OPEN}{upload}"), Some(self.txn.0.clone().into())));
        }
        head.done += 1;
        notes.push((head_key(self.txn, self.table), note(head)?));
        notes.push((part_key(self.txn, self.table, number), None));
        notes.push((sending_key(self.txn, self.table, number), None));
        self.ctx.notes.put_many(notes).await
    }

    /// What became of uploads of earlier epochs: a vendor takes hours to tell.
    async fn watch(&self) -> Result<()> {
        for (key, _) in self.ctx.notes.page(OPEN, None, WATCHED).await? {
            let upload = key.strip_prefix(OPEN).unwrap_or_default();
            let why = match self.vendor.progress(self.ctx, upload).await {
                Ok(Progress::Open) => continue,
                Ok(Progress::Done) => None,
                Ok(Progress::Wrong(why)) => Some(why),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                // It is asked again the next time; what is sent below must not wait for it.
                Err(_) => continue,
            };
            let mut notes = vec![(key.clone(), None)];
            if let Some(why) = why {
                let refusal = Refusal { id: format!("upload {upload}"), why, text: String::new() };
                notes.push((
                    refused_key(self.txn, &format!("{}/watched/{upload}", self.table)),
                    note(&vec![refusal])?,
                ));
            }
            self.ctx.notes.put_many(notes).await?;
        }
        Ok(())
    }
}
