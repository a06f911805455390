//! `throughline schedule DIR`: the daemon.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{Result, SystemClock};
use throughline_engine::diagnostic::Diagnostics;
use throughline_engine::pipeline::Pipeline;
use throughline_engine::run::{self, RunOptions};
use throughline_engine::schedule::daemon::{self, DaemonOptions, Event, Runner, Stop};
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
        if json {
            anstream::println!("{}", event.to_json(at_us));
        } else {
            anstream::eprintln!("{} {event}", text::instant(at_us));
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
        daemon::last_begun_us(pipeline).await
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
