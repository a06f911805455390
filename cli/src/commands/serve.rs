//! `throughline serve FILE...`: the receiver alone, from the `[receiver]` of one of the files.

use throughline_core::{Error, Result};
use throughline_engine::pipeline::Pipeline;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::args::ServeArgs;
use crate::output::Output;
use crate::receiving::{Plan, Receiving, absolute, two_in_one};
use crate::{exit, setup};

pub async fn run(args: &ServeArgs, output: &Output) -> Outcome {
    let mut pipelines = Vec::new();
    for path in &args.files {
        pipelines.push(setup::load(path)?);
    }
    let plan = only_receiver(&pipelines)?;
    plan.warn_of_strangers(pipelines.iter());
    let stop = CancellationToken::new();
    let mut receiving = Receiving::start(&plan, stop.clone()).await?;
    setup::stop_on_signal(stop);
    output.result(&receiving.address.to_json(), || receiving.address.to_text());
    receiving.ended().await?;
    Ok(exit::DONE)
}

/// The one `[receiver]`; all files share its state folder.
fn only_receiver(pipelines: &[Pipeline]) -> Result<Plan> {
    let mut plans = pipelines.iter().filter_map(Plan::of);
    let Some(plan) = plans.next() else {
        return Err(Error::config("no file has a [receiver], so there is nothing to serve").hint(
            "add a [receiver] with [receiver.hooks.NAME] or [receiver.sites.NAME]; see docs/receiver.md",
        ));
    };
    if let Some(second) = plans.next() {
        return Err(two_in_one(&plan, &second));
    }
    if let Some(other) = pipelines.iter().find(|p| absolute(&p.state_dir) != plan.state_dir) {
        return Err(Error::config(format!(
            "{} keeps its state in {}, {} in {}",
            plan.path.display(),
            plan.state_dir.display(),
            other.path.display(),
            other.state_dir.display()
        ))
        .hint("one receiver fills one state folder: serve them one by one"));
    }
    Ok(plan)
}
