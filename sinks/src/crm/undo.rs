//! Taking back: the value that stood before, only where the CRM still holds what was written.
//!
//! Hashes stay as they are: what was taken back is not written again until attribution says something else.

use throughline_core::write_back::Undone;
use throughline_core::{Context, Result, TxnId};

use super::CrmSink;
use super::field::CrmField;
use super::state::{self, Wrote, wrote_prefix};
use super::vendor::{Change, words};

/// What was left is told so often, and counted beyond.
const TOLD: usize = 1000;

pub(super) async fn undo(sink: &CrmSink, ctx: &Context, txn: &TxnId, apply: bool) -> Result<Undone> {
    let account = sink.settings.connection.account()?;
    let _turn = ctx.tokens.lease(&format!("write-back {account}")).await?;
    let line = sink.line(ctx);
    let known = sink.vendor.fields(&line).await?;
    let prefix = wrote_prefix(txn);
    let batch = sink.vendor.about().batch;
    let (mut undone, mut after) = (Undone::default(), None);
    loop {
        ctx.check_cancelled()?;
        let page = ctx.notes.page(&prefix, after.as_deref(), batch).await?;
        let Some((last, _)) = page.last() else { return Ok(undone) };
        after = Some(last.clone());
        let mut deals = Vec::with_capacity(page.len());
        for (key, value) in page {
            let wrote: Wrote = state::parse(&key, value)?;
            let deal = key[prefix.len()..].to_owned();
            let number = deal.strip_prefix(&format!("{account}:")).unwrap_or(&deal).to_owned();
            deals.push((deal, number, wrote));
        }
        let fields: Vec<&CrmField> =
            known.iter().filter(|f| deals.iter().any(|(_, _, wrote)| wrote.contains_key(&f.key))).collect();
        let numbers: Vec<String> = deals.iter().map(|(_, number, _)| number.clone()).collect();
        let current = sink.vendor.read(&line, &numbers, &fields).await?;
        let mut changes = Vec::new();
        for (deal, number, wrote) in deals {
            let Some(values) = current.get(&number) else {
                leave(&mut undone, &deal, "the CRM has no such deal any more");
                continue;
            };
            let mut back = Vec::new();
            for (key, (before, written)) in wrote {
                let Some(field) = fields.iter().find(|f| f.key == key) else {
                    leave(&mut undone, &deal, &format!("the CRM has no field {key} any more"));
                    continue;
                };
                let now = values.get(&key).and_then(|value| field.read(value));
                if now == written {
                    back.push((key, before));
                } else if now == before {
                    undone.already += 1;
                } else {
                    let holds = now.unwrap_or_else(|| "nothing".into());
                    let why = format!("{} holds {holds:?}, which is not what was written", field.label);
                    leave(&mut undone, &deal, &why);
                }
            }
            if !back.is_empty() {
                changes.push((deal, Change { deal: number, values: back }));
            }
        }
        let only: Vec<Change> = changes.iter().map(|(_, change)| change.clone()).collect();
        let answers = match apply && !only.is_empty() {
            true => sink.vendor.write(&line, &only, &fields).await?,
            false => vec![None; only.len()],
        };
        for ((deal, change), answer) in changes.into_iter().zip(answers) {
            match answer {
                None => {
                    undone.records += 1;
                    undone.fields += change.values.len() as u64;
                }
                Some(why) => leave(&mut undone, &deal, &words(&why)),
            }
        }
    }
}

fn leave(undone: &mut Undone, deal: &str, why: &str) {
    undone.left_in_all += 1;
    if undone.left.len() < TOLD {
        undone.left.push(format!("{deal}: {why}"));
    }
}
