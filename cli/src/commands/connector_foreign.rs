//! `throughline connector foreign check`

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use throughline_behaviour::{MemoryNotes, MemoryTokens};
use throughline_connectors::foreign::examine::{Kind, Step, examine};
use throughline_core::{Context, Error, Redactor, Result, SystemClock};
use throughline_http::{Client, HttpSettings};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::args::{ConnectorForeignArgs, ForeignCheckArgs, ForeignCommand, ForeignKind};
use crate::output::{BAD, GOOD, Output, paint};
use crate::{exit, setup};

pub async fn run(args: &ConnectorForeignArgs, output: &Output) -> Outcome {
    let ForeignCommand::Check(args) = &args.command;
    let scratch =
        tempfile::tempdir().map_err(|e| Error::io("make a folder in", std::env::temp_dir().display(), e))?;
    let ctx = context(scratch.path())?;
    setup::stop_on_signal(ctx.cancel.clone());
    let kind = match args.kind {
        ForeignKind::Singer => Kind::Singer,
        ForeignKind::SingerTarget => Kind::SingerTarget,
        ForeignKind::Airbyte => Kind::Airbyte,
    };
    let config = args.config.as_deref().map(read).transpose()?;
    let steps = examine(&ctx, kind, &args.command, Path::new(""), config.as_ref()).await;
    Ok(tell(args, &steps, output))
}

/// A process needs a place for its files and a way to be stopped; nothing else of this is used.
fn context(scratch: &Path) -> Result<Context> {
    let settings = HttpSettings::default();
    let (client, clock) = Client::open(&settings, setup::limits(), Arc::new(SystemClock), Redactor::new())?;
    Ok(Context {
        name: "foreign".into(),
        clock,
        http: Arc::new(client),
        tokens: Arc::new(MemoryTokens::default()),
        notes: Arc::new(MemoryNotes::default()),
        cancel: CancellationToken::new(),
        scratch: scratch.to_path_buf(),
    })
}

fn read(path: &Path) -> Result<serde_json::Value> {
    let bytes = std::fs::read(path).map_err(|e| Error::io("read", path.display(), e))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::config(format!("{}: {e}", path.display())))
}

fn tell(args: &ForeignCheckArgs, steps: &[Step], output: &Output) -> u8 {
    let good = steps.iter().all(|s| s.found.is_ok());
    let listed: Vec<_> = steps
        .iter()
        .map(|s| json!({ "step": s.what, "found": s.found.as_ref().ok(), "problem": s.found.as_ref().err(), "to_do": s.to_do }))
        .collect();
    output.result(&json!({ "good": good, "steps": listed }), || {
        let line = |step: &Step| match &step.found {
            Ok(found) => format!("{} {:<12} {found}\n", paint(GOOD, "✓"), step.what),
            Err(why) => format!("{} {:<12} {why}\n  to do: {}\n", paint(BAD, "✗"), step.what, step.to_do),
        };
        let mut text: String = steps.iter().map(line).collect();
        if good && args.config.is_none() {
            text += match args.kind {
                ForeignKind::SingerTarget => "With --config FILE it is started, too.\n",
                _ => "With --config FILE its streams are asked for, too.\n",
            };
        }
        text
    });
    if good { exit::DONE } else { exit::TEST_FAILED }
}
