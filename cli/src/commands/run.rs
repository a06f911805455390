//! `throughline run`

use chrono::{DateTime, NaiveDate};
use throughline_core::{Error, Result, Window};
use throughline_engine::run::{self, RunOptions, RunStatus};

use super::Outcome;
use crate::args::RunArgs;
use crate::output::Output;
use crate::{exit, setup, text};

pub async fn run(args: &RunArgs, output: &Output) -> Outcome {
    let options = RunOptions {
        full_refresh: args.full_refresh,
        refresh_streams: Vec::new(),
        window: window(args)?,
        only_sinks: args.sink.clone(),
        recompute: args.recompute,
        rebuild: args.rebuild,
        stored_only: false,
        dry_run: args.dry_run,
        agree: args.yes,
        differences: None,
        kind: "manual".to_owned(),
    };
    let pipeline = setup::load(&args.file.pipeline)?;
    let services = setup::services(&pipeline, !output.json)?;
    setup::stop_on_signal(services.lent.cancel.clone());
    let report = run::run(&pipeline, &services.lent, &options).await?;
    // The bars end where the report begins.
    services.finish()?;
    let mut channels = None;
    let mut page = None;
    if report.status != RunStatus::Failed && report.epoch.is_some() {
        let last = run::last_epoch(&pipeline).await?;
        channels = Some(text::channels(&last).await?);
        page = Some(text::write_page(&pipeline, &last, &report).await?);
    }
    output.result(&report, || {
        let mut shown = String::new();
        if let Some(channels) = &channels {
            shown += &format!("\n{channels}\n");
        }
        shown += &text::run_report(&report);
        if let Some(page) = &page {
            shown += &format!("Report with charts: {}\n", page.display());
        }
        shown
    });
    Ok(exit::of_run(&report))
}

fn window(args: &RunArgs) -> Result<Option<Window>> {
    let (Some(from), Some(to)) = (&args.from, &args.to) else { return Ok(None) };
    let window = Window { from_us: instant(from, "--from")?, to_us: instant(to, "--to")? };
    if window.from_us >= window.to_us {
        return Err(Error::config(format!("--from {from} is not before --to {to}")));
    }
    Ok(Some(window))
}

fn instant(text: &str, option: &str) -> Result<i64> {
    if let Ok(day) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
        return Ok(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros());
    }
    DateTime::parse_from_rfc3339(text).map(|t| t.timestamp_micros()).map_err(|_| {
        Error::config(format!("{option} {text:?} is neither a day nor an instant"))
            .hint("write 2026-09-01 or 2026-09-01T00:00:00Z")
    })
}
