//! Carrying it out.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use throughline_core::{Context, Forgotten, Notice, Result, Scrubbed};
use throughline_store::{EpochRow, Store};

use super::ForgetReport;
use super::marks::{Class, Marks, Scope, number_kind};
use super::plan::Plan;
use super::rows::StreamScope;
use super::stored::{Stored, look};
use crate::failpoint;
use crate::pipeline::Pipeline;
use crate::publish::{self, Destination};

/// Gives what the connector of this name may touch.
pub type ContextOf<'a> = dyn Fn(&str) -> Result<Context> + Send + Sync + 'a;

/// The marks of a pipeline; `None` when nobody was ever forgotten, which is the rule.
pub(crate) async fn marks_of(store: &Store, pipeline: &str) -> Result<Option<Arc<Marks>>> {
    let marks = store.forget_marks(pipeline).await?;
    if marks.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(Marks::new(store.forget_key()?.expose(), &marks)?)))
}

impl Marks {
    /// A short number that any source of the pipeline gave.
    pub(super) fn knows_number(&self, pipeline: &Pipeline, text: &str) -> bool {
        let text = text.rsplit(':').next().unwrap_or(text).trim();
        pipeline
            .sources
            .iter()
            .any(|s| Class::OF_PEOPLE.iter().any(|c| self.has(&number_kind(&s.name, *c), text)))
    }
}

/// What a source's connector is told of the marks.
struct OfSource {
    marks: Arc<Marks>,
    scope: Scope,
}

impl Forgotten for OfSource {
    fn owns(&self, record: &str) -> bool {
        self.marks.judge(&self.scope, &["record".to_owned()], record).owner
    }
    fn masked(&self, record: &str) -> Option<String> {
        self.marks.judge(&self.scope, &["record".to_owned()], record).masked.flatten()
    }
}

/// How every stream of a pipeline is taken.
pub(crate) fn scopes(pipeline: &Pipeline) -> HashMap<(String, String), StreamScope> {
    let streams = pipeline.sources.iter().flat_map(|entry| {
        entry
            .source
            .catalog()
            .streams
            .into_iter()
            .map(|spec| ((entry.name.clone(), spec.name.clone()), StreamScope::of(entry, &spec)))
    });
    streams.collect()
}

/// Counts what a plan would take out of what is stored, and changes nothing.
pub async fn preview(
    pipeline: &Pipeline,
    store: &Store,
    plan: &Plan,
    context: &ContextOf<'_>,
) -> Result<ForgetReport> {
    // The key is of no consequence: nothing of it is kept.
    let key = [0; 32];
    let marks = Arc::new(Marks::new(&key, &plan.marks(&key)?)?);
    let mut report = ForgetReport::default();
    go_over(pipeline, store, &pipeline.state_dir, &marks, false, context, &mut report).await?;
    report.untouched = untouched(pipeline);
    Ok(report)
}

/// Takes everybody with an open request out of what is stored. Idempotent: called again after a crash, it
/// goes over everything once more.
pub(crate) async fn apply(
    pipeline: &Pipeline,
    store: &Store,
    requests: &[i64],
    marks: &Arc<Marks>,
    context: &ContextOf<'_>,
) -> Result<ForgetReport> {
    let open = store.forget_requests(&pipeline.name, true).await?;
    let mut report: ForgetReport = open
        .iter()
        .rev()
        .find_map(|r| r.report.clone())
        .and_then(|r| serde_json::from_value(r).ok())
        .unwrap_or_default();
    let result = go_over(pipeline, store, &pipeline.state_dir, marks, true, context, &mut report).await;
    report.untouched = untouched(pipeline);
    let value = serde_json::to_value(&report).unwrap_or_default();
    store.note_forget(requests.to_vec(), value, None).await?;
    result?;
    failpoint::pass("forget.stored_done");
    Ok(report)
}

async fn go_over(
    pipeline: &Pipeline,
    store: &Store,
    state_dir: &Path,
    marks: &Arc<Marks>,
    apply: bool,
    context: &ContextOf<'_>,
    report: &mut ForgetReport,
) -> Result<()> {
    let scopes = scopes(pipeline);
    let stored = Stored { store, state_dir, pipeline: &pipeline.name, marks, scopes: &scopes, apply };
    for scrubbed in stored.segments().await? {
        report.add(scrubbed);
    }
    let removed = stored.unknown_files().await?;
    report.add(Scrubbed { place: "files that a crash left".into(), removed, changed: 0 });
    report.add(stored.dead_letters().await?);
    report.add(stored.run_reports().await?);
    for entry in &pipeline.sources {
        let who = Arc::new(OfSource {
            marks: marks.clone(),
            scope: Scope { source: entry.name.clone(), key: None },
        });
        let mut states = Vec::new();
        let mut checkpoints = Vec::new();
        for spec in entry.source.catalog().streams {
            let state = store.stream_state(&pipeline.name, &entry.name, &spec.name).await?;
            let has = (state.checkpoint.is_some(), state.pending_checkpoint.is_some());
            checkpoints.extend(state.checkpoint.into_iter().chain(state.pending_checkpoint));
            states.push((spec.name, has));
        }
        let before = checkpoints.clone();
        let (done, after) = entry.source.forget(&context(&entry.name)?, who, apply, checkpoints).await?;
        for scrubbed in done {
            report.add(Scrubbed { place: format!("{} (source {})", scrubbed.place, entry.name), ..scrubbed });
        }
        if !apply {
            continue;
        }
        if before == after {
            entry.source.forgotten(&context(&entry.name)?).await?;
            continue;
        }
        failpoint::pass("forget.source_done");
        let mut after = after.into_iter();
        for (stream, (current, pending)) in states {
            let current = if current { after.next() } else { None };
            let pending = if pending { after.next() } else { None };
            store.change_checkpoints(&pipeline.name, &entry.name, &stream, current, pending).await?;
        }
        failpoint::pass("forget.checkpoints_changed");
        entry.source.forgotten(&context(&entry.name)?).await?;
    }
    Ok(())
}

/// Places that may hold somebody and are not ours.
fn untouched(pipeline: &Pipeline) -> Vec<String> {
    let mut places = Vec::new();
    for entry in &pipeline.sources {
        places.push(match entry.connector.as_str() {
            "file" | "whatsapp_export" => format!(
                "the files of source {:?}: they are yours; the person's rows in them are dropped when read",
                entry.name
            ),
            other => {
                format!("what {other} itself keeps (source {:?}); what it sends again is dropped", entry.name)
            }
        });
    }
    let recordings = [(&pipeline.http.replay, "replayed"), (&pipeline.http.record, "being made")];
    for (path, what) in recordings {
        if let Some(path) = path {
            places.push(format!("the recording {} ({what}): record it anew", path.display()));
        }
    }
    places.push("backups of the state folder, and copies that readers made of exported tables".into());
    places
}

/// The first epoch without the person.
pub(crate) struct Published<'a> {
    /// That are finished by it.
    pub requests: &'a [i64],
    pub epoch: &'a EpochRow,
    pub destinations: &'a [Destination],
    pub now_us: i64,
}

/// After the epoch without the person is published: older ones go, and what is left of the person is told.
pub(crate) async fn finish(
    pipeline: &Pipeline,
    store: &Store,
    marks: &Marks,
    published: Published<'_>,
    mut report: ForgetReport,
    notices: &mut Vec<Notice>,
) -> Result<ForgetReport> {
    let Published { requests, epoch, destinations, now_us } = published;
    for part in &epoch.txns {
        match destinations.iter().find(|d| d.name == part.sink) {
            Some(destination) => match destination.sink.drop_older(&destination.context, &part.txn).await? {
                Some(removed) => report.add(Scrubbed {
                    place: format!("older epochs of sink {}", part.sink),
                    removed,
                    changed: 0,
                }),
                None => report.untouched.push(format!(
                    "older epochs of sink {:?}: a {} sink cannot delete them",
                    part.sink, destination.connector
                )),
            },
            None => {
                report.untouched.push(format!("sink {:?}, which is no longer in the pipeline", part.sink))
            }
        }
    }
    failpoint::pass("forget.epochs_dropped");
    report.left.clear();
    for table in publish::epoch_state(epoch)?.tables {
        // Who works here and also bought here stays in the list of those who work here.
        if matches!(table.name.as_str(), "in_operators" | "dim_operator") {
            continue;
        }
        let mut found = 0;
        for file in &table.files {
            let (removed, changed) = look(&pipeline.state_dir.join(file), marks, &StreamScope::anywhere(""))?;
            found += removed + changed;
        }
        if found > 0 {
            report.left.push(format!("{} ({found} rows)", table.name));
        }
    }
    if !report.left.is_empty() {
        notices.push(Notice {
            code: "forgotten_left".into(),
            message: format!("a forgotten person is still found in {}", report.left.join(", ")),
        });
    }
    let value = serde_json::to_value(&report).unwrap_or_default();
    store.note_forget(requests.to_vec(), value, Some(now_us)).await?;
    failpoint::pass("forget.finished");
    Ok(report)
}
