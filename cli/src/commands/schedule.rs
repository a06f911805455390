//! `throughline schedule DIR`: the daemon.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{Result, SystemClock};
use throughline_engine::diagnostic::Diagnostics;
use throughline_engine::pipeline::Pipeline;
use throughline_engine::run::{self, RunOptions};
use throughline_engine::schedule::daemon::{self, DaemonOptions, Event, Runner, Stop};
use throughline_store::{STATE_FILE, Store};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::args::ScheduleArgs;
use crate::output::Output;
use crate::{exit, setup, text};

pub async fn run(args: &ScheduleArgs, output: &Output) -> Outcome {
    let stop = Stop::default();
    let signals = stop.clone();
    tokio::spawn(async move {
        setup::wait_for_signal().await;
        signals.graceful.cancel();
        setup::wait_for_signal().await;
        signals.now.cancel();
    });
    let json = output.json;
    let events = move |at_us: i64, event: Event| {
        let at = text::instant(at_us);
        if json {
            let (name, about) = parts(&event);
            anstream::println!("{}", serde_json::json!({ "at": at, "event": name, "detail": about }));
        } else {
            let (name, about) = parts(&event);
            anstream::eprintln!("{at} {name} {about}");
        }
    };
    daemon::run_daemon(
        DaemonOptions::new(vec![args.path.clone()]),
        Arc::new(CliRunner),
        Arc::new(SystemClock),
        Arc::new(events),
        stop,
    )
    .await;
    Ok(exit::DONE)
}

struct CliRunner;

#[async_trait]
impl Runner for CliRunner {
    fn load(&self, path: &Path) -> std::result::Result<Pipeline, Diagnostics> {
        setup::load(path)
    }

    async fn last_begun_us(&self, pipeline: &Pipeline) -> Result<Option<i64>> {
        let file = pipeline.state_dir.join(STATE_FILE);
        if !file.exists() {
            return Ok(None);
        }
        let runs = Store::open(file)?.runs(Some(&pipeline.name), 1).await?;
        Ok(runs.first().map(|r| r.started_at_us))
    }

    async fn run(&self, pipeline: Arc<Pipeline>, cancel: CancellationToken) -> daemon::Outcome {
        let outcome: Result<_> = async {
            let mut services = setup::services(&pipeline, false)?;
            services.lent.cancel = cancel;
            let options = RunOptions { kind: "scheduled".to_owned(), ..RunOptions::default() };
            let report = run::run(&pipeline, &services.lent, &options).await?;
            services.finish()?;
            Ok(report)
        }
        .await;
        match outcome {
            Ok(report) => daemon::Outcome::from(&report),
            Err(error) => daemon::Outcome::from(&error),
        }
    }
}

/// An event as a word and a sentence.
fn parts(event: &Event) -> (&'static str, String) {
    let next = |us: &Option<i64>| {
        us.map_or_else(|| "no further time".to_owned(), |us| format!("next {}", text::instant(us)))
    };
    match event {
        Event::Loaded { path, name, next_us } => {
            ("loaded", format!("{name} from {}, {}", path.display(), next(next_us)))
        }
        Event::Broken { path, diagnostics, kept } => {
            let kept = if *kept { "; the version before it goes on" } else { "" };
            ("broken", format!("{}{kept}\n{}", path.display(), diagnostics.render(false)))
        }
        Event::Removed { path, name } => ("removed", format!("{name} ({})", path.display())),
        Event::Started { name, attempt, why } => ("started", format!("{name}, attempt {attempt} ({why:?})")),
        Event::Finished { name, outcome, retry_us, next_us } => {
            let again = match retry_us {
                Some(us) => format!("again {}", text::instant(*us)),
                None => next(next_us),
            };
            ("finished", format!("{name}: {outcome:?}, {again}"))
        }
        Event::Skipped { name, due_us, why } => {
            ("skipped", format!("{name} at {} ({why:?})", text::instant(*due_us)))
        }
        Event::Queued { name } => ("queued", name.clone()),
        Event::Unknown { name, message } => ("unknown", format!("{name}: {message}")),
        Event::Stopping { running } => ("stopping", format!("{running} runs under way")),
        Event::Stopped => ("stopped", String::new()),
    }
}
