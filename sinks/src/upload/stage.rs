//! Staging: rows that were not sent before, in parts, in the state file. The vendor is not asked.

use std::collections::{BTreeMap, HashSet};

use arrow::array::RecordBatch;
use futures::StreamExt as _;
use serde_json::json;
use sha2::{Digest, Sha256};
use throughline_core::{BatchStream, Committable, Context, Error, Result, Table, TxnId};

use super::line::{Line, Rows, Weighed};
use super::state::{self, Head, Refusal, head_key, json as note, part_key, refused_key};
use super::vendor::Vendor;

/// Refusals that are kept in one note.
const REFUSALS: usize = 500;

/// Goes over the table batch by batch.
pub(super) struct Sift<'a, V> {
    vendor: &'a V,
    seen: HashSet<[u8; 16]>,
    left: BTreeMap<&'static str, u64>,
}

impl<'a, V: Vendor> Sift<'a, V> {
    pub fn new(vendor: &'a V) -> Self {
        Self { vendor, seen: HashSet::new(), left: BTreeMap::new() }
    }

    /// What is to be sent of these rows, and what is wrong; rows that were sent are passed over.
    ///
    /// # Errors
    /// Kind `Config` when a column is missing; `Data` when a row comes twice.
    pub async fn batch(&mut self, ctx: &Context, rows: &RecordBatch) -> Result<Vec<Weighed>> {
        let weighed = self.vendor.weigh(&Rows::new(rows), ctx.clock.now_us())?;
        let mut kept = Vec::new();
        for weighed in weighed {
            match weighed {
                Weighed::Left(why) => *self.left.entry(why).or_default() += 1,
                Weighed::Line(line) => {
                    let mut name = [0; 16];
                    name.copy_from_slice(&Sha256::digest(&line.id)[..16]);
                    if !self.seen.insert(name) {
                        return Err(Error::data(format!("the row {:?} comes twice", line.id))
                            .hint("a table that is uploaded has one row per id"));
                    }
                    kept.push(Weighed::Line(line));
                }
                refused => kept.push(refused),
            }
        }
        let keys: Vec<String> = kept.iter().map(|w| state::sent_key(id_of(w))).collect();
        let known = ctx.notes.get_many(&keys).await?;
        let keyed = self.vendor.about().keyed;
        Ok(kept
            .into_iter()
            .zip(known)
            .filter(|(weighed, known)| match (weighed, known) {
                (_, None) => true,
                (Weighed::Line(line), Some(hash)) => keyed && hash.as_str() != Some(line.hash().as_str()),
                // It is there, whatever is wrong with it now.
                _ => false,
            })
            .map(|(weighed, _)| weighed)
            .collect())
    }

    /// What was left out so far, one entry per reason.
    pub fn left(&self) -> Vec<Refusal> {
        let told = |(why, count): (&&str, &u64)| Refusal {
            id: format!("{count} rows"),
            why: (*why).to_owned(),
            text: String::new(),
        };
        self.left.iter().map(told).collect()
    }
}

fn id_of(weighed: &Weighed) -> &str {
    match weighed {
        Weighed::Line(line) => &line.id,
        Weighed::Refused { id, .. } => id,
        Weighed::Left(_) => "",
    }
}

pub(super) async fn stage<V: Vendor>(
    vendor: &V,
    ctx: &Context,
    table: &Table,
    mut rows: BatchStream,
    txn: &TxnId,
) -> Result<Committable> {
    drop_table(ctx, txn, &table.name).await?;
    let mut head = Head::default();
    let (mut kept, mut refused): (Vec<Line>, Vec<Refusal>) = (Vec::new(), Vec::new());
    let mut refusals = 0;
    // Other tables are taken and not sent: what is wanted is told by `wanted`.
    let mut sift = (table.name == vendor.wanted()?.table).then(|| Sift::new(vendor));
    let size = vendor.about().part;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        ctx.check_cancelled()?;
        head.rows += batch.num_rows() as u64;
        let Some(sift) = &mut sift else { continue };
        for weighed in sift.batch(ctx, &batch).await.map_err(|e| e.with("table", &table.name))? {
            match weighed {
                Weighed::Line(line) => kept.push(line),
                Weighed::Refused { id, why } => refused.push(Refusal { id, why, text: String::new() }),
                Weighed::Left(_) => {}
            }
        }
        while kept.len() >= size {
            let rest = kept.split_off(size);
            put_part(ctx, txn, &table.name, &mut head, &kept).await?;
            kept = rest;
        }
        while refused.len() >= REFUSALS {
            let rest = refused.split_off(REFUSALS);
            put_refused(ctx, txn, &table.name, &mut refusals, &refused).await?;
            head.refused += refused.len() as u64;
            refused = rest;
        }
    }
    ctx.check_cancelled()?;
    if !kept.is_empty() {
        put_part(ctx, txn, &table.name, &mut head, &kept).await?;
    }
    head.refused += refused.len() as u64;
    refused.extend(sift.iter().flat_map(Sift::left));
    if !refused.is_empty() {
        put_refused(ctx, txn, &table.name, &mut refusals, &refused).await?;
    }
    ctx.notes.put(&head_key(txn, &table.name), note(&head)?).await?;
    Ok(Committable { table: table.name.clone(), rows: head.rows, detail: json!({ "parts": head.parts }) })
}

async fn put_part(ctx: &Context, txn: &TxnId, table: &str, head: &mut Head, lines: &[Line]) -> Result<()> {
    ctx.notes.put(&part_key(txn, table, head.parts), note(&lines)?).await?;
    head.parts += 1;
    Ok(())
}

async fn put_refused(
    ctx: &Context,
    txn: &TxnId,
    table: &str,
    number: &mut u64,
    refused: &[Refusal],
) -> Result<()> {
    *number += 1;
    ctx.notes.put(&refused_key(txn, &format!("{table}/staged/{number:010}")), note(&refused)?).await
}

/// What an earlier attempt staged of a table.
async fn drop_table(ctx: &Context, txn: &TxnId, table: &str) -> Result<()> {
    ctx.notes.put(&head_key(txn, table), None).await?;
    for kind in ["part", "refused"] {
        state::remove(ctx, &format!("up/{kind}/{}/{table}/", txn.0), |_| true).await?;
    }
    Ok(())
}

/// Drops what is staged. Nothing of an epoch is sent before all of it is prepared.
pub(super) async fn abort(ctx: &Context, txn: &TxnId) -> Result<()> {
    for kind in ["head", "part", "refused"] {
        state::remove(ctx, &format!("up/{kind}/{}/", txn.0), |_| true).await?;
    }
    Ok(())
}

/// What is staged of a table.
///
/// # Errors
/// Kind `Data` when it is not there any more.
pub(super) async fn head(ctx: &Context, txn: &TxnId, staged: &Committable) -> Result<Head> {
    let found: Option<Head> = state::get(ctx, &head_key(txn, &staged.table)).await?;
    let parts = staged.detail["parts"].as_u64();
    found.filter(|head| Some(head.parts) == parts).ok_or_else(|| {
        Error::data(format!("what was staged of {} for {} is not in the state any more", staged.table, txn.0))
    })
}
