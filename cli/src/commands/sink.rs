//! `throughline sink`: what belongs to writing into a CRM besides the run itself.

use std::io::{BufRead as _, IsTerminal, Write as _};

use serde_json::json;
use throughline_core::write_back::{Missing, Undone};
use throughline_core::{Context, Error, ErrorKind, WriteBack};
use throughline_engine::pipeline::Pipeline;
use throughline_engine::run::{self, RunOptions, RunReport, RunStatus};
use throughline_store::{EpochRow, STATE_FILE, Store};

use super::{Outcome, Stop};
use crate::args::{SinkArgs, SinkCommand};
use crate::output::{BOLD, DIM, Output, WARN, paint};
use crate::{exit, setup, text};

pub async fn run(args: &SinkArgs, output: &Output) -> Outcome {
    match &args.command {
        SinkCommand::Setup { file, sink, dry_run, yes } => {
            let pipeline = setup::load(&file.pipeline)?;
            prepare(&pipeline, sink.as_deref(), *dry_run, *yes, output).await
        }
        SinkCommand::Diff { file, sink, limit } => {
            let pipeline = setup::load(&file.pipeline)?;
            diff(&pipeline, sink.as_deref(), *limit, output).await
        }
        SinkCommand::Undo { file, epoch, sink, dry_run, yes } => {
            let pipeline = setup::load(&file.pipeline)?;
            undo(&pipeline, *epoch, sink.as_deref(), *dry_run, *yes, output).await
        }
    }
}

/// Sinks that write back, those of this name.
fn chosen<'a>(pipeline: &'a Pipeline, only: Option<&str>) -> Result<Vec<(&'a str, &'a dyn WriteBack)>, Stop> {
    let all: Vec<(&str, &dyn WriteBack)> = pipeline
        .sinks
        .iter()
        .filter(|s| only.is_none_or(|name| s.name == name))
        .filter_map(|s| Some((s.name.as_str(), s.sink.write_back()?)))
        .collect();
    if all.is_empty() {
        let what = only.map_or_else(String::new, |name| format!(" by the name {name:?}"));
        let message = format!("pipeline {:?} has no sink that writes back{what}", pipeline.name);
        return Err(Error::config(message).into());
    }
    Ok(all)
}

fn confirm(question: &str, yes: bool) -> Result<(), Stop> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let error = Error::config(format!("{question}: nobody is there to be asked"));
        return Err(error.hint("look at it with --dry-run, then say --yes").into());
    }
    anstream::eprint!("{question}? Type \"yes\" to go on: ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    match std::io::stdin().lock().read_line(&mut answer) {
        Ok(_) if answer.trim() == "yes" => Ok(()),
        _ => Err(Error::cancelled().into()),
    }
}

fn open(pipeline: &Pipeline) -> Result<Store, Stop> {
    let folder = &pipeline.state_dir;
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder.display(), e))?;
    Ok(Store::open(folder.join(STATE_FILE))?)
}

fn context(
    pipeline: &Pipeline,
    services: &setup::Ready,
    store: &Store,
    name: &str,
) -> Result<Context, Error> {
    run::context(
        pipeline,
        &services.lent,
        store,
        name,
        pipeline.state_dir.join(&pipeline.name).join("scratch"),
    )
}

async fn prepare(
    pipeline: &Pipeline,
    only: Option<&str>,
    dry_run: bool,
    yes: bool,
    output: &Output,
) -> Outcome {
    let services = setup::services(pipeline, false)?;
    setup::stop_on_signal(services.lent.cancel.clone());
    let store = open(pipeline)?;
    let mut all = Vec::new();
    for (name, back) in chosen(pipeline, only)? {
        let ctx = context(pipeline, &services, &store, name)?;
        let mut missing = back.setup(&ctx, false).await?;
        if !missing.is_empty() && !dry_run {
            if !yes {
                anstream::eprint!("{}", missing_text(name, &missing));
            }
            confirm(&format!("make {} fields", missing.len()), yes)?;
            missing = back.setup(&ctx, true).await?;
        }
        all.push((name, missing));
    }
    services.finish()?;
    let value: Vec<_> =
        all.iter().map(|(name, missing)| json!({ "sink": name, "missing": missing })).collect();
    output.result(&value, || all.iter().map(|(name, missing)| missing_text(name, missing)).collect());
    Ok(exit::DONE)
}

fn missing_text(name: &str, missing: &[Missing]) -> String {
    if missing.is_empty() {
        return format!("{} nothing is missing\n", paint(BOLD, name));
    }
    let mut shown = format!("{}\n", paint(BOLD, name));
    for one in missing {
        let done = if one.made { "made" } else { "is to be made" };
        shown += &format!("  {} {done}: {}\n", one.what, one.detail);
    }
    shown
}

async fn diff(pipeline: &Pipeline, only: Option<&str>, limit: usize, output: &Output) -> Outcome {
    chosen(pipeline, only)?;
    let services = setup::services(pipeline, !output.json)?;
    setup::stop_on_signal(services.lent.cancel.clone());
    let options = RunOptions {
        stored_only: true,
        recompute: true,
        differences: Some(limit),
        only_sinks: only.map(str::to_owned).into_iter().collect(),
        kind: "diff".to_owned(),
        ..RunOptions::default()
    };
    let report = run::run(pipeline, &services.lent, &options).await?;
    services.finish()?;
    if report.status != RunStatus::Succeeded {
        output.result(&report, || text::run_report(&report));
        return Ok(exit::of_run(&report));
    }
    output.result(&report.differences, || diff_text(&report));
    Ok(exit::DONE)
}

fn diff_text(report: &RunReport) -> String {
    let mut shown = String::new();
    for sink in &report.differences {
        let found = &sink.differences;
        shown += &format!("{} {} deals to look at\n", paint(BOLD, &sink.sink), found.changed);
        if !found.fields.is_empty() {
            let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
            let rows = found
                .fields
                .iter()
                .map(|d| vec![d.record.clone(), d.field.clone(), value(&d.before), value(&d.after)]);
            shown += &text::grid(&["deal", "field", "holds", "would hold"], rows.collect());
        } else if found.asked > 0 {
            shown += &paint(DIM, "the CRM holds all of it already\n").to_string();
        }
        for refused in &found.refused {
            shown += &format!("{} {refused}\n", paint(WARN, "would be refused"));
        }
        if found.asked < found.changed {
            shown += &format!(
                "{} the CRM was asked about the first {} only: --limit says about how many\n",
                paint(WARN, "note"),
                found.asked
            );
        }
    }
    shown + &paint(DIM, "Nothing was written.\n").to_string()
}

async fn undo(
    pipeline: &Pipeline,
    epoch: i64,
    only: Option<&str>,
    dry_run: bool,
    yes: bool,
    output: &Output,
) -> Outcome {
    let sinks = chosen(pipeline, only)?;
    let services = setup::services(pipeline, false)?;
    setup::stop_on_signal(services.lent.cancel.clone());
    let store = open(pipeline)?;
    let _lock = store.lock_pipeline(&pipeline.name, services.lent.clock.now_us())?;
    let row = find(&store, pipeline, epoch).await?;
    let mut all = Vec::new();
    for (name, back) in sinks {
        let Some(wrote) = row.txns.iter().find(|t| t.sink == name) else { continue };
        let ctx = context(pipeline, &services, &store, name)?;
        let mut undone = back.undo(&ctx, &wrote.txn, false).await?;
        if !dry_run && undone.fields > 0 {
            if !yes {
                anstream::eprint!("{}", undone_text(name, &undone, true));
            }
            confirm(&format!("put back {} fields of {} deals", undone.fields, undone.records), yes)?;
            undone = back.undo(&ctx, &wrote.txn, true).await?;
        }
        all.push((name, undone));
    }
    services.finish()?;
    if all.is_empty() {
        let message = format!("epoch {epoch} of {:?} was written by none of these sinks", pipeline.name);
        return Err(Error::new(ErrorKind::NotFound, message).into());
    }
    let value: Vec<_> = all
        .iter()
        .map(|(name, undone)| json!({ "sink": name, "dry_run": dry_run, "undone": undone }))
        .collect();
    output.result(&value, || all.iter().map(|(name, undone)| undone_text(name, undone, dry_run)).collect());
    Ok(exit::DONE)
}

async fn find(store: &Store, pipeline: &Pipeline, epoch: i64) -> Result<EpochRow, Error> {
    let all = store.epochs(&pipeline.name, u32::MAX).await?;
    let newest = all.first().map(|row| row.epoch_no);
    all.into_iter().find(|row| row.epoch_no == epoch).ok_or_else(|| {
        let message = format!("pipeline {:?} has no epoch {epoch}", pipeline.name);
        let hint = newest.map_or("it has none yet".to_owned(), |n| format!("the newest is {n}"));
        Error::new(ErrorKind::NotFound, message).hint(hint)
    })
}

fn undone_text(name: &str, undone: &Undone, dry_run: bool) -> String {
    let verb = if dry_run { "would be put back" } else { "put back" };
    let mut shown =
        format!("{} {} fields of {} deals {verb}\n", paint(BOLD, name), undone.fields, undone.records);
    if undone.already > 0 {
        shown += &format!("  {} fields hold again what stood there before\n", undone.already);
    }
    for left in &undone.left {
        shown += &format!("  {} {left}\n", paint(WARN, "left as it is"));
    }
    let told = undone.left.len() as u64;
    if undone.left_in_all > told {
        shown += &format!("  and {} more were left as they are\n", undone.left_in_all - told);
    }
    shown
}
