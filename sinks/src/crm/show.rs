//! Looking and preparing: what would change, what the CRM lacks, what it refused.

use futures::StreamExt;
use serde_json::json;
use throughline_core::write_back::{Difference, Differences, Missing, Refused};
use throughline_core::{BatchStream, Context, Error, Reject, Result, TxnId};

use super::CrmSink;
use super::bound::{self, find};
use super::field::CrmField;
use super::sift::Sift;
use super::state::{self, Refusal, Staged};
use super::vendor::NewField;

/// Batches of refused deals in one part.
const PARTS: usize = 20;

pub(super) async fn differences(
    sink: &CrmSink,
    ctx: &Context,
    mut rows: BatchStream,
    limit: usize,
) -> Result<Differences> {
    let account = sink.settings.connection.account()?;
    let mut sift = Sift::new(&sink.settings, &account);
    let mut found = Differences::default();
    let mut first: Vec<Staged> = Vec::new();
    while let Some(batch) = rows.next().await {
        ctx.check_cancelled()?;
        let changed = sift.batch(ctx, &batch?).await?;
        found.changed += changed.len() as u64;
        first.extend(changed.into_iter().take(limit.saturating_sub(first.len())));
    }
    let line = sink.line(ctx);
    let bound = bound::bind(sink.vendor, &line, &sink.settings).await?;
    let fields: Vec<&CrmField> = bound.iter().map(|b| &b.field).collect();
    for deals in first.chunks(sink.vendor.about().batch) {
        let number = |staged: &Staged| staged.deal[account.len() + 1..].to_owned();
        let numbers: Vec<String> = deals.iter().map(number).collect();
        let current = sink.vendor.read(&line, &numbers, &fields).await?;
        for (staged, number) in deals.iter().zip(numbers) {
            found.asked += 1;
            match bound::weigh(&bound, staged, current.get(&number)) {
                Err(why) => found.refused.push(format!("{}: {why}", staged.deal)),
                Ok(weighed) => found.fields.extend(weighed.fresh.into_iter().map(|fresh| Difference {
                    record: staged.deal.clone(),
                    field: fresh.field.label.clone(),
                    before: fresh.before,
                    after: fresh.after,
                })),
            }
        }
    }
    Ok(found)
}

pub(super) async fn setup(sink: &CrmSink, ctx: &Context, apply: bool) -> Result<Vec<Missing>> {
    let line = sink.line(ctx);
    let known = sink.vendor.fields(&line).await?;
    let lacking: Vec<_> = sink.settings.fields.iter().filter(|m| find(&known, &m.field).is_none()).collect();
    for mapped in &lacking {
        if let Some(why) = sink.vendor.refuses_name(&mapped.field) {
            return Err(Error::config(format!("the field {:?} cannot be made: {why}", mapped.field)));
        }
    }
    let mut missing = Vec::new();
    for mapped in &lacking {
        let new = NewField { name: mapped.field.clone(), label: mapped.label.clone(), number: mapped.number };
        if apply {
            sink.vendor.create(&line, &new).await?;
        }
        let kind = if new.number { "number" } else { "text" };
        let detail = format!("{kind} {:?}, for {}", new.label, mapped.column);
        missing.push(Missing { what: format!("field {}", new.name), detail, made: apply });
    }
    if apply && !missing.is_empty() {
        // What the CRM took under another name would be missing in every run.
        let known = sink.vendor.fields(&line).await?;
        if let Some(mapped) = lacking.iter().find(|m| find(&known, &m.field).is_none()) {
            return Err(Error::protocol(format!(
                "the field {:?} was made, and is not among the CRM's fields",
                mapped.field
            ))
            .hint("look for it in the CRM, and put the name it got there into the pipeline"));
        }
    }
    Ok(missing)
}

pub(super) async fn refused(ctx: &Context, txn: &TxnId, after: Option<String>) -> Result<Refused> {
    let prefix = format!("crm/refused/{}/", txn.0);
    let page = ctx.notes.page(&prefix, after.as_deref(), PARTS).await?;
    let mut found = Refused {
        next: (page.len() == PARTS).then(|| page.last().map(|(key, _)| key.clone())).flatten(),
        rejects: Vec::new(),
    };
    for (key, value) in page {
        let refused: Vec<Refusal> = state::parse(&key, value)?;
        found.rejects.extend(refused.into_iter().map(|refusal| Reject {
            reason: refusal.why,
            place: format!("deal {}", refusal.deal),
            raw: json!({ "deal_id": refusal.deal, "fields": fields(&refusal.values) }).to_string().into(),
        }));
    }
    Ok(found)
}

fn fields(values: &[(String, Option<String>)]) -> serde_json::Map<String, serde_json::Value> {
    values.iter().map(|(field, value)| (field.clone(), json!(value))).collect()
}
