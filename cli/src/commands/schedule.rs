//! `throughline schedule DIR`: the daemon, which receives too when a pipeline has a `[receiver]`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use throughline_core::{Clock as _, Result, SystemClock};
use throughline_engine::diagnostic::Diagnostics;
use throughline_engine::pipeline::Pipeline;
use throughline_engine::run::{self, RunOptions};
use throughline_engine::schedule::daemon::{self, DaemonOptions, Event, Runner, Stop};
use throughline_engine::schedule::pipeline_files;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::args::ScheduleArgs;
use crate::output::Output;
use crate::receiving::{Keeper, Plan};
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
    let (changed, changes) = mpsc::unbounded_channel();
    let keeping = if args.no_receiver {
        None
    } else {
        let mut keeper = Keeper::new(stop.graceful.clone(), move |line, event| {
            let at = text::instant(SystemClock.now_us());
            if json {
                let mut object = serde_json::json!({ "at": at });
                if let (Some(object), serde_json::Value::Object(mut event)) = (object.as_object_mut(), event)
                {
                    object.append(&mut event);
                }
                anstream::println!("{object}");
            } else {
                anstream::eprintln!("{at} {line}");
            }
        });
        keeper.begin(plans(&args.path)).await?;
        Some(tokio::spawn(keeper.keep(changes)))
    };
    let gone = changed.clone();
    let events = move |at_us: i64, event: Event| {
        if let Event::Removed { path, .. } = &event {
            let _ = gone.send((path.clone(), None));
        }
        if json {
            anstream::println!("{}", event.to_json(at_us));
        } else {
            anstream::eprintln!("{} {event}", text::instant(at_us));
        }
    };
    daemon::run_daemon(
        DaemonOptions { parallel: args.parallel.into(), ..DaemonOptions::new(vec![args.path.clone()]) },
        Arc::new(CliRunner { changed, computing: Arc::new(Semaphore::new(args.computing.into())) }),
        Arc::new(SystemClock),
        Arc::new(events),
        stop.clone(),
    )
    .await;
    if let Some(keeping) = keeping {
        // What was acknowledged is in the inbox, whenever this is left.
        tokio::select! {
            _ = keeping => {}
            () = stop.now.cancelled() => {}
        }
    }
    Ok(exit::DONE)
}

/// What the files ask for now. One that is broken is told by the daemon, which looks at it next.
fn plans(path: &Path) -> Vec<Plan> {
    let pipelines: Vec<Pipeline> =
        pipeline_files(path).iter().filter_map(|file| setup::load(file).ok()).collect();
    let plans: Vec<Plan> = pipelines.iter().filter_map(Plan::of).collect();
    for plan in &plans {
        plan.warn_of_strangers(pipelines.iter());
    }
    plans
}

struct CliRunner {
    /// Who keeps the receivers hears of every file that was read.
    changed: mpsc::UnboundedSender<(PathBuf, Option<Plan>)>,
    computing: Arc<Semaphore>,
}

#[async_trait]
impl Runner for CliRunner {
    fn load(&self, path: &Path) -> std::result::Result<Pipeline, Diagnostics> {
        let pipeline = setup::load(path)?;
        let _ = self.changed.send((path.to_owned(), Plan::of(&pipeline)));
        Ok(pipeline)
    }

    async fn last_begun_us(&self, pipeline: &Pipeline) -> Result<Option<i64>> {
        daemon::last_begun_us(pipeline).await
    }

    async fn run(&self, pipeline: Arc<Pipeline>, cancel: CancellationToken) -> daemon::Outcome {
        let outcome: Result<_> = async {
            let mut services = setup::services(&pipeline, false)?;
            services.lent.cancel = cancel;
            services.lent.computing = self.computing.clone();
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
