//! `throughline forget`

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal, Write as _};

use serde_json::json;
use throughline_core::{Error, ErrorKind};
use throughline_engine::forget::{self, Before, ForgetReport, Plan};
use throughline_engine::pipeline::Pipeline;
use throughline_engine::run::{self, LastEpoch, RunOptions, RunReport, RunStatus};
use throughline_store::{STATE_FILE, Store};

use super::{Outcome, Stop};
use crate::args::ForgetArgs;
use crate::output::{BOLD, DIM, Output, WARN, paint};
use crate::{exit, setup, text};

pub async fn run(args: &ForgetArgs, output: &Output) -> Outcome {
    let pipeline = setup::load(&args.file.pipeline)?;
    let file = pipeline.state_dir.join(STATE_FILE);
    if !file.exists() {
        let error =
            Error::new(ErrorKind::NotFound, format!("pipeline {:?} has stored nothing", pipeline.name));
        return Err(error.into());
    }
    let store = Store::open(file)?;
    let Some(who) = &args.who else { return resume(&pipeline, &store, output).await };
    let last = run::last_epoch(&pipeline).await?;
    let plan = match forget::plan(&pipeline, &last, who).await {
        Ok(plan) => plan,
        // Their tables are gone already, or about to go: the marks still know.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return match forget::before(&pipeline, &store, who).await? {
                Before::Never => Err(error.into()),
                Before::Open if args.dry_run => {
                    already(who, "is being forgotten: forget --resume finishes it", output)
                }
                Before::Open => resume(&pipeline, &store, output).await,
                Before::Done => already(who, "was forgotten before; nothing of them is stored", output),
            };
        }
        Err(error) => return Err(error.into()),
    };
    if args.dry_run {
        return preview(&pipeline, &store, &plan, output).await;
    }
    if !args.yes {
        confirm(&plan)?;
    }
    let services = setup::services(&pipeline, !output.json)?;
    plan.begin(&pipeline, &store, services.lent.clock.now_us()).await?;
    drop(services);
    drop(store);
    carry_out(&pipeline, Some(&plan), Some(last), output).await
}

fn already(who: &str, what: &str, output: &Output) -> Outcome {
    output.result(&json!({ "already": what }), || format!("{who} {what}\n"));
    Ok(exit::DONE)
}

fn confirm(plan: &Plan) -> Result<(), Stop> {
    if !std::io::stdin().is_terminal() {
        return Err(Error::config("forgetting cannot be taken back, and nobody is there to be asked")
            .hint("look at it with --dry-run, then say --yes")
            .into());
    }
    anstream::eprint!("{}\nThis cannot be taken back. Type \"forget\" to go on: ", person_text(plan));
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim() == "forget" => Ok(()),
        _ => Err(Error::cancelled().into()),
    }
}

async fn preview(pipeline: &Pipeline, store: &Store, plan: &Plan, output: &Output) -> Outcome {
    let services = setup::services(pipeline, false)?;
    let scratch = pipeline.state_dir.join(&pipeline.name).join("scratch");
    let context = |name: &str| run::context(pipeline, &services.lent, store, name, scratch.clone());
    let report = forget::preview(pipeline, store, plan, &context).await?;
    output.result(&as_json(Some(plan), &report, &BTreeMap::new(), true), || {
        format!(
            "{}\n{}{}",
            person_text(plan),
            report_text("Would be removed", &report),
            paint(DIM, "The tables would be computed and published anew. Nothing was changed.\n")
        )
    });
    Ok(exit::DONE)
}

async fn resume(pipeline: &Pipeline, store: &Store, output: &Output) -> Outcome {
    if store.forget_requests(&pipeline.name, true).await?.is_empty() {
        output.result(&json!({ "open": 0 }), || "nothing was broken off\n".to_owned());
        return Ok(exit::DONE);
    }
    let last = run::last_epoch(pipeline).await.ok();
    carry_out(pipeline, None, last, output).await
}

/// The request is durable: one run over what is stored does it.
async fn carry_out(
    pipeline: &Pipeline,
    plan: Option<&Plan>,
    before: Option<LastEpoch>,
    output: &Output,
) -> Outcome {
    let services = setup::services(pipeline, !output.json)?;
    setup::stop_on_signal(services.lent.cancel.clone());
    let options =
        RunOptions { recompute: true, stored_only: true, kind: "forget".to_owned(), ..RunOptions::default() };
    let rows: BTreeMap<String, u64> =
        before.iter().flat_map(|b| &b.tables).map(|t| (t.name.clone(), t.rows)).collect();
    drop(before);
    let report = run::run(pipeline, &services.lent, &options).await.map_err(|e| {
        e.hint("the request is kept: the next run finishes it, or `throughline forget --resume`")
    })?;
    services.finish()?;
    let (RunStatus::Succeeded | RunStatus::Incomplete, Some(done)) = (report.status, &report.forgotten)
    else {
        return Ok(failed(&report, output));
    };
    let after = run::last_epoch(pipeline).await?;
    let tables: BTreeMap<&str, (u64, u64)> = after
        .tables
        .iter()
        .filter_map(|t| {
            let before = *rows.get(&t.name)?;
            (before != t.rows).then_some((t.name.as_str(), (before, t.rows)))
        })
        .collect();
    output.result(&as_json(plan, done, &tables, false), || {
        let mut shown = String::new();
        if let Some(plan) = plan {
            shown += &format!("{}\n", person_text(plan));
        }
        shown += &report_text("Removed", done);
        if !tables.is_empty() {
            let rows = tables.iter().map(|(name, (before, after))| {
                vec![(*name).to_owned(), before.to_string(), after.to_string()]
            });
            shown += &format!(
                "\n{}\n{}",
                paint(BOLD, "Tables, computed and published anew"),
                text::grid(&["table", "rows before", "rows now"], rows.collect())
            );
        }
        shown
    });
    Ok(if done.left.is_empty() { exit::DONE } else { exit::FAILED })
}

fn failed(report: &RunReport, output: &Output) -> u8 {
    output.result(report, || {
        format!(
            "{}{}\n",
            text::run_report(report),
            paint(WARN, "the request is kept: the next run finishes it, or `throughline forget --resume`")
        )
    });
    exit::of_run(report).max(exit::FAILED)
}

fn person_text(plan: &Plan) -> String {
    let person = &plan.person;
    let mut shown = format!(
        "{} {}: {} visits, {} inquiries, {} deals\n",
        paint(BOLD, "Person"),
        person.person_id.as_deref().unwrap_or("-"),
        person.visits,
        person.inquiries,
        plan.deals.len()
    );
    for known in &person.identifiers {
        let bounded = known.valid_from.is_some() || known.valid_to.is_some();
        let note = if bounded { "  theirs for a time only: stays" } else { "" };
        shown += &format!("  {:<12} {}{}\n", known.id.id_type, known.id.id_value, paint(WARN, note));
    }
    for shared in &person.shared {
        let note = format!("  stays: {}", shared.reason);
        shown += &format!("  {:<12} {}{}\n", shared.id.id_type, shared.id.id_value, paint(WARN, note));
    }
    if !plan.deals.is_empty() {
        let why = "stay for their money, without the person: channel (none)";
        shown += &format!("  {} {why}: {}\n", paint(DIM, "deals"), plan.deals.join(", "));
    }
    shown
}

fn report_text(title: &str, report: &ForgetReport) -> String {
    let mut shown = format!("{}\n", paint(BOLD, title));
    if report.done.is_empty() {
        shown += "  nothing was found in what is stored\n";
    } else {
        let rows =
            report.done.iter().map(|s| vec![s.place.clone(), s.removed.to_string(), s.changed.to_string()]);
        shown += &text::grid(&["place", "removed", "person taken out"], rows.collect());
    }
    for left in &report.left {
        shown += &format!("  {} {left}\n", paint(WARN, "still found in"));
    }
    shown += &format!("{}\n", paint(BOLD, "Not touched"));
    for place in &report.untouched {
        shown += &format!("  {place}\n");
    }
    shown
}

fn as_json(
    plan: Option<&Plan>,
    report: &ForgetReport,
    tables: &BTreeMap<&str, (u64, u64)>,
    dry_run: bool,
) -> serde_json::Value {
    let tables: Vec<_> = tables
        .iter()
        .map(|(name, (before, after))| json!({ "table": name, "rows_before": before, "rows_now": after }))
        .collect();
    json!({
        "dry_run": dry_run,
        "person": plan.map(|p| &p.person),
        "deals_kept_without_person": plan.map(|p| &p.deals),
        "removed": report.done,
        "left": report.left,
        "untouched": report.untouched,
        "tables": tables,
    })
}
