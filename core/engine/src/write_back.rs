//! Sinks that write into records which others own: their table, the consent they need, what they refused.
//!
//! Such a sink gets one table, a SELECT over the epoch's, in place of all of them. Nothing is prepared before a
//! person agreed to what it writes: the words agreed to are kept, and other words need a new consent.

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use throughline_core::write_back::{Differences, Wanted};
use throughline_core::{
    BatchStream, Clock, Committable, Error, ErrorKind, Notice, Result, Table, TxnId, WriteBack,
};
use throughline_sql::SqlEngine;
use throughline_store::{NewDeadLetter, ResolveUnseen, RunId, Store};

use crate::publish::Destination;

/// The note of what was agreed to.
const CONSENT: &str = "_consent";
const STAGE: &str = "write_back";

/// What a sink would change.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SinkDifferences {
    pub sink: String,
    #[serde(flatten)]
    pub differences: Differences,
}

/// Stops before anything is written that nobody agreed to; with `agree` the consent is recorded.
pub(crate) async fn consent(destinations: &[Destination], agree: bool, clock: &dyn Clock) -> Result<()> {
    for destination in destinations {
        let Some(back) = destination.sink.write_back() else { continue };
        let (name, words, notes) = (&destination.name, back.consent()?, &destination.context.notes);
        let known = notes.get(CONSENT).await?;
        if known.as_ref().and_then(|k| k["to"].as_str()) == Some(words.as_str()) {
            continue;
        }
        if !agree {
            let first =
                if known.is_some() { "its consent was to something else" } else { "nobody agreed yet" };
            return Err(Error::new(
                ErrorKind::Config,
                format!("the sink {name:?} is about to {words}, and {first}; nothing was written"),
            )
            .hint("look at it with `throughline sink diff`, then run once with --yes"));
        }
        let note = serde_json::json!({ "to": words, "at_us": clock.now_us() });
        notes.put(CONSENT, Some(note)).await?;
    }
    Ok(())
}

/// Rows of the table that the sink wants, with the table.
async fn wanted(
    engine: &dyn SqlEngine,
    destination: &Destination,
    back: &dyn WriteBack,
) -> Result<(Table, BatchStream)> {
    if destination.tables.is_some() {
        let message = format!("the sink {:?} writes back, and chooses its table itself", destination.name);
        return Err(Error::config(message).hint("take `tables` out; `table` names a table of your own"));
    }
    let Wanted { table, sql, params, key } = back.wanted()?;
    let select = sql.unwrap_or_else(|| format!("SELECT * FROM {}", crate::map::quoted(&table)));
    let about = |error: Error| error.with("sink", &destination.name).with("table", &table);
    let schema = engine.describe(&select, &params).await.map_err(about)?;
    let mut rows = engine.read(&select, &params).await.map_err(about)?;
    if let Some(hashing) = destination.hashing.clone() {
        rows = rows.map(move |batch| hashing.apply(&batch?)).boxed();
    }
    let doc = "What is written back.".to_owned();
    Ok((Table { name: table, schema, key, partition_by: None, doc }, rows))
}

pub(crate) async fn stage(
    engine: &dyn SqlEngine,
    destination: &Destination,
    back: &dyn WriteBack,
    txn: &TxnId,
) -> Result<Committable> {
    let (table, rows) = wanted(engine, destination, back).await?;
    destination.sink.stage(&destination.context, &table, rows, txn).await
}

/// What every sink that writes back would change, for the first `limit` records of each.
pub(crate) async fn differences(
    engine: &dyn SqlEngine,
    destinations: &[Destination],
    limit: usize,
) -> Result<Vec<SinkDifferences>> {
    let mut found = Vec::new();
    for destination in destinations {
        let Some(back) = destination.sink.write_back() else { continue };
        let (_, rows) = wanted(engine, destination, back).await?;
        let differences = back.differences(&destination.context, rows, limit).await?;
        found.push(SinkDifferences { sink: destination.name.clone(), differences });
    }
    if found.is_empty() {
        return Err(Error::config("the pipeline has no sink that writes back"));
    }
    Ok(found)
}

/// What the sinks refused of their last transactions, as dead letters; letters that were not met again are
/// resolved. Gives how many there are.
pub(crate) async fn letters(
    store: &Store,
    pipeline: &str,
    run: RunId,
    destinations: &[Destination],
    at_us: i64,
    notices: &mut Vec<Notice>,
) -> Result<u64> {
    let mut all = 0;
    let Some(epoch) = store.last_committed_epoch(pipeline).await? else { return Ok(0) };
    for committed in &epoch.txns {
        let Some(destination) = destinations.iter().find(|d| d.name == committed.sink) else { continue };
        let Some(back) = destination.sink.write_back() else { continue };
        let table = back.wanted()?.table;
        let (mut after, mut here) = (None, 0);
        loop {
            let part = back.refused(&destination.context, &committed.txn, after).await?;
            here += part.rejects.len() as u64;
            let letter = |reject: throughline_core::Reject| NewDeadLetter {
                pipeline: pipeline.to_owned(),
                source: destination.name.clone(),
                stream: table.clone(),
                stage: STAGE.to_owned(),
                reason: reject.reason,
                place: reject.place,
                raw: reject.raw.to_vec(),
                schema_version: 1,
            };
            store.add_dead_letters(run, at_us, part.rejects.into_iter().map(letter).collect()).await?;
            after = part.next;
            if after.is_none() {
                break;
            }
        }
        let (pipeline, source) = (pipeline.to_owned(), destination.name.clone());
        let stage = STAGE.to_owned();
        store.resolve_unseen(ResolveUnseen { pipeline, source, stream: None, stage, run, at_us }).await?;
        if here > 0 {
            notices.push(Notice {
                code: "refused".into(),
                message: format!("the sink {:?} could not write {here} records", destination.name),
            });
        }
        all += here;
    }
    Ok(all)
}
