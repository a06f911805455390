//! Staging: deals that changed, in batches, in the state file. The CRM is asked for its fields alone.

use futures::StreamExt;
use serde_json::json;
use throughline_core::{BatchStream, Committable, Context, Error, Result, Table, TxnId};

use super::CrmSink;
use super::bound;
use super::sift::Sift;
use super::state::{self, Head, Staged, head_key, json as note, part_key};

pub(super) async fn stage(
    sink: &CrmSink,
    ctx: &Context,
    table: &Table,
    mut rows: BatchStream,
    txn: &TxnId,
) -> Result<Committable> {
    drop_table(ctx, txn, &table.name).await?;
    let mut head = Head::default();
    let mut kept: Vec<Staged> = Vec::new();
    // Other tables are taken and not written: what is wanted is told by `wanted`.
    let mut sift = None;
    if table.name == sink.table_name() {
        // A field that is missing must stop the run before anything is prepared.
        bound::bind(sink.vendor, &sink.line(ctx), &sink.settings).await?;
        sift = Some(Sift::new(&sink.settings, &sink.settings.connection.account()?));
    }
    let size = sink.vendor.about().batch;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        ctx.check_cancelled()?;
        head.rows += batch.num_rows() as u64;
        if let Some(sift) = &mut sift {
            kept.extend(sift.batch(ctx, &batch).await.map_err(|e| e.with("table", &table.name))?);
        }
        while kept.len() >= size {
            let rest = kept.split_off(size);
            put(ctx, txn, &table.name, &mut head, &kept).await?;
            kept = rest;
        }
    }
    ctx.check_cancelled()?;
    if !kept.is_empty() {
        put(ctx, txn, &table.name, &mut head, &kept).await?;
    }
    ctx.notes.put(&head_key(txn, &table.name), note(&head)?).await?;
    Ok(Committable { table: table.name.clone(), rows: head.rows, detail: json!({ "parts": head.parts }) })
}

async fn put(ctx: &Context, txn: &TxnId, table: &str, head: &mut Head, deals: &[Staged]) -> Result<()> {
    ctx.notes.put(&part_key(txn, table, head.parts), note(&deals)?).await?;
    head.parts += 1;
    Ok(())
}

/// What an earlier attempt staged of a table.
async fn drop_table(ctx: &Context, txn: &TxnId, table: &str) -> Result<()> {
    ctx.notes.put(&head_key(txn, table), None).await?;
    state::remove(ctx, &format!("crm/part/{}/{table}/", txn.0), |_| true).await.map(drop)
}

pub(super) async fn abort(ctx: &Context, txn: &TxnId) -> Result<()> {
    for kind in ["head", "part"] {
        state::remove(ctx, &format!("crm/{kind}/{}/", txn.0), |_| true).await?;
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
