//! Tells people what a run met: once when it begins, again while it lasts, and once when it is over.
//!
//! What was told is remembered in the store, so that a daemon that starts anew does not repeat it. An alert that
//! does not arrive never fails the run: it becomes a notice, and the next run tries again.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use throughline_core::time::InstantUs;
use throughline_core::{AlertMessage, Error, NoteStore, Notice, Result, Trouble};
use throughline_store::{RunId, Store};

use crate::pipeline::{AlertEntry, Pipeline};
use crate::publish;
use crate::run::{Completeness, RunReport, RunStatus, Services, context, sql_engine};

/// Notes under this name remember what was told.
const NOTES: &str = "_alerts";

/// The run's lock is held meanwhile.
const LONGEST_SEND: Duration = Duration::from_secs(60);

/// Notices that are troubles too. They come from computing the tables, so a run that computes none says nothing of
/// them.
const OF_TABLES: [&str; 3] = ["token_share_low", "token_share_falling", "broadcast_without_consent"];

/// What happens, and is not over when a run goes well.
const EVENTS: [&str; 2] = ["crashed", "dead_letters"];

#[derive(Serialize, Deserialize)]
struct Told {
    text: String,
    since: InstantUs,
    sent: InstantUs,
}

/// Tells everybody of `[[alert]]` what is new since the last run.
pub async fn tell(
    pipeline: &Pipeline,
    services: &Services,
    store: &Store,
    crashed: &[RunId],
    report: &mut RunReport,
) {
    // A replay is a rehearsal; who cancels a run knows of it.
    if pipeline.http.replay.is_some() || report.status == RunStatus::Cancelled {
        return;
    }
    let found = troubles(report, crashed);
    for entry in &pipeline.alerts {
        let done = tell_one(entry, &found, pipeline, services, store, report).await;
        if let Err(error) = done {
            tracing::error!(alert = entry.name, "{error}");
            report.notices.push(Notice {
                code: "alert_not_sent".into(),
                message: format!("alert {:?} could not be sent: {error}", entry.name),
            });
        }
    }
}

async fn tell_one(
    entry: &AlertEntry,
    found: &[(String, String)],
    pipeline: &Pipeline,
    services: &Services,
    store: &Store,
    report: &RunReport,
) -> Result<()> {
    let now = services.clock.now_us();
    let mut mine: Vec<(String, String)> = found.to_vec();
    if !entry.fresh.is_empty() {
        mine.extend(stale(pipeline, store, &entry.fresh, now).await?.map(|text| ("stale".to_owned(), text)));
    }
    mine.retain(|(code, _)| entry.on.contains(code));

    let notes = store.notes(&pipeline.name, NOTES);
    let prefix = format!("{}:", entry.name);
    let told = known(notes.as_ref(), &prefix).await?;
    let mut message = AlertMessage {
        pipeline: pipeline.name.clone(),
        run: report.run,
        status: report.status.as_str().to_owned(),
        at: now,
        troubles: Vec::new(),
        over: Vec::new(),
    };
    for (code, text) in &mine {
        let before = told.iter().find(|(known, _)| known == code).map(|(_, told)| told);
        let due = before.is_none_or(|told| {
            words(&told.text) != words(text)
                || now.saturating_sub(told.sent) >= i64::try_from(entry.repeat_after.as_micros()).unwrap_or(0)
        });
        if due {
            let since = before.map_or(report.started_at_us, |told| told.since);
            message.troubles.push(Trouble { code: code.clone(), text: text.clone(), since });
        }
    }
    for (code, told) in &told {
        if mine.iter().any(|(c, _)| c == code) || !could_tell(code, report) {
            continue;
        }
        if entry.on.contains(code) && !EVENTS.contains(&code.as_str()) {
            message.over.push(Trouble { code: code.clone(), text: told.text.clone(), since: told.since });
        } else {
            notes.put(&format!("{prefix}{code}"), None).await?;
        }
    }
    if message.troubles.is_empty() && message.over.is_empty() {
        return Ok(());
    }
    let scratch = pipeline.state_dir.join(&pipeline.name).join("scratch").join("alert");
    let ctx = context(pipeline, services, store, &entry.name, scratch)?;
    tokio::time::timeout(LONGEST_SEND, entry.alerter.send(&ctx, &message)).await.map_err(|_| {
        Error::new(throughline_core::ErrorKind::Io, "no answer within a minute").temporary(None)
    })??;
    for trouble in &message.troubles {
        let told = Told { text: trouble.text.clone(), since: trouble.since, sent: now };
        let value = serde_json::to_value(told).map_err(|e| Error::bug(e.to_string()))?;
        notes.put(&format!("{prefix}{}", trouble.code), Some(value)).await?;
    }
    for trouble in &message.over {
        notes.put(&format!("{prefix}{}", trouble.code), None).await?;
    }
    Ok(())
}

async fn known(notes: &dyn NoteStore, prefix: &str) -> Result<Vec<(String, Told)>> {
    let mut all = Vec::new();
    for (key, value) in notes.list(prefix).await? {
        let told = serde_json::from_value(value)
            .map_err(|e| Error::data(format!("the note {key} of what was told cannot be read: {e}")))?;
        all.push((key.trim_start_matches(prefix).to_owned(), told));
    }
    Ok(all)
}

/// Numbers change from run to run while the trouble stays the same.
fn words(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Whether this run would have met the trouble, were it still there.
fn could_tell(code: &str, report: &RunReport) -> bool {
    match code {
        "incomplete" => report.status == RunStatus::Succeeded,
        "crashed" | "failed" | "books" | "stale" => report.status != RunStatus::Failed,
        _ => report.published,
    }
}

/// Code and text of all that is wrong.
fn troubles(report: &RunReport, crashed: &[RunId]) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |code: &str, text: String| all.push((code.to_owned(), text));
    if !crashed.is_empty() {
        let runs: Vec<String> = crashed.iter().map(|run| run.0.to_string()).collect();
        let text = "ended without a word: killed, out of memory, or the machine went down; this one went on from there";
        add("crashed", format!("run {} {text}", runs.join(", ")));
    }
    let wrong: Vec<String> = (report.books.iter().filter(|b| !b.ok))
        .map(|b| format!("{}: expected {}, found {}", b.name, b.expected, b.found))
        .collect();
    if !wrong.is_empty() {
        add("books", format!("the books do not balance, nothing was published: {}", wrong.join("; ")));
    } else if report.status == RunStatus::Failed {
        let errors: Vec<&str> = report.errors.iter().map(|e| e.message.as_str()).collect();
        add("failed", errors.join("\n"));
    }
    let short: Vec<String> = report
        .streams
        .iter()
        .filter(|s| s.completeness == Completeness::Incomplete)
        .map(|s| {
            let wrong = s.counts.iter().filter(|c| c.expected != c.read);
            let counts: Vec<String> =
                wrong.map(|c| format!("{} of {} {}", c.read, c.expected, c.what)).collect();
            format!("{}.{}: {}", s.source, s.stream, counts.join(", "))
        })
        .collect();
    if !short.is_empty() {
        add(
            "incomplete",
            format!("fewer rows were read than the vendor says there are: {}", short.join("; ")),
        );
    }
    if report.dead_letters > 0 {
        let what = "rows could not be used: throughline dead-letters list";
        add("dead_letters", format!("{} {what}", report.dead_letters));
    }
    for notice in report.notices.iter().filter(|n| OF_TABLES.contains(&n.code.as_str())) {
        match all.iter_mut().find(|(code, _)| *code == notice.code) {
            Some((_, text)) => {
                text.push('\n');
                text.push_str(&notice.message);
            }
            None => all.push((notice.code.clone(), notice.message.clone())),
        }
    }
    all
}

/// What has had no new record for too long, by the tables that readers see.
async fn stale(
    pipeline: &Pipeline,
    store: &Store,
    fresh: &[(String, Duration)],
    now: InstantUs,
) -> Result<Option<String>> {
    const US_PER_DAY: i64 = 86_400_000_000;
    let Some(epoch) = store.last_committed_epoch(&pipeline.name).await? else { return Ok(None) };
    let state = publish::epoch_state(&epoch)?;
    let Some(table) = state.tables.iter().find(|t| t.name == "data_quality_daily") else { return Ok(None) };
    let engine = sql_engine(&pipeline.engine, &pipeline.state_dir.join(&pipeline.name).join("alert"))?;
    engine.bind("quality", &table.reference(&pipeline.state_dir)?).await?;
    let mut late = Vec::new();
    for (source, most) in fresh {
        let newest = engine
            .scalar_i64(&format!(
                "SELECT coalesce(max(CAST(date AS INT)), -1) FROM quality WHERE source = '{}' AND \"rows\" > 0",
                source.replace('\'', "''")
            ))
            .await?;
        if newest < 0 {
            late.push(format!("{source} has no record at all"));
            continue;
        }
        // The day may have had its record in its last second.
        let age = now.saturating_sub((newest + 1) * US_PER_DAY);
        if age > i64::try_from(most.as_micros()).unwrap_or(i64::MAX) {
            let day = day(newest);
            late.push(format!("the newest record of {source} is of {day}"));
        }
    }
    Ok((!late.is_empty()).then(|| late.join("; ")))
}

/// `2026-09-30`
fn day(days_since_1970: i64) -> String {
    chrono::DateTime::from_timestamp(days_since_1970 * 86_400, 0)
        .map_or_else(|| days_since_1970.to_string(), |at| at.format("%F").to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn report(status: &str, more: &serde_json::Value) -> RunReport {
        let mut report = serde_json::json!({
            "pipeline": "shop", "run": 7, "status": status, "started_at_us": 0, "elapsed_ms": 0, "rows": 0,
            "streams": [], "canonical": [], "tables": [], "books": [], "sinks": [], "dead_letters": 0,
            "notices": [], "epoch": null, "published": true, "recovered": false, "errors": [],
        });
        for (key, value) in more.as_object().unwrap() {
            report[key] = value.clone();
        }
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn each_trouble_has_its_code() {
        let books = serde_json::json!({
            "books": [{ "name": "costs", "ok": false, "expected": "10", "found": "9" }],
            "errors": [{ "kind": "data", "temporary": false, "retry_after_s": null, "message": "books" }],
        });
        let found = troubles(&report("failed", &books), &[RunId(5), RunId(6)]);
        let codes: Vec<&str> = found.iter().map(|(code, _)| code.as_str()).collect();
        assert_eq!(codes, ["crashed", "books"]);
        assert!(
            found[0].1.starts_with("run 5, 6 ended") && found[1].1.contains("costs: expected 10, found 9")
        );

        let stream = serde_json::json!({
            "source": "crm", "stream": "leads", "rows": 9, "rejected": 0, "bytes": 0, "completeness": "incomplete",
            "counts": [{ "what": "leads", "expected": 10, "read": 9 }], "notices": [], "mode": "full", "elapsed_ms": 0,
            "error": null,
        });
        let notice = |text: &str| serde_json::json!({ "code": "token_share_low", "message": text });
        let other = serde_json::json!({ "code": "nothing_new", "message": "-" });
        let more = serde_json::json!({
            "streams": [stream], "notices": [notice("whatsapp"), other, notice("viber")],
        });
        let found = troubles(&report("incomplete", &more), &[]);
        assert_eq!(found.len(), 2);
        assert!(
            found[0].0 == "incomplete" && found[0].1.contains("crm.leads: 9 of 10 leads"),
            "{}",
            found[0].1
        );
        assert_eq!(found[1], ("token_share_low".into(), "whatsapp\nviber".into()));
    }

    #[test]
    fn what_was_not_looked_at_is_not_over() {
        let quiet = serde_json::json!({ "published": false });
        let [failed, same, new] =
            [("failed", &quiet), ("succeeded", &quiet), ("succeeded", &serde_json::json!({}))]
                .map(|(status, more)| report(status, more));
        assert!(!could_tell("failed", &failed) && could_tell("failed", &same));
        assert!(!could_tell("token_share_low", &same) && could_tell("token_share_low", &new));
        assert!(!could_tell("incomplete", &report("incomplete", &serde_json::json!({}))));
    }

    #[test]
    fn days_are_written_as_everywhere() {
        assert_eq!(day(20_726), "2026-09-30");
    }
}
