//! `throughline dead-letters`

use std::collections::BTreeSet;

use serde_json::json;
use throughline_core::{Error, ErrorKind};
use throughline_engine::run::{self, RunOptions};
use throughline_store::{DeadLetter, DeadLetterFilter, DeadLetterState, STATE_FILE, Store};

use super::Outcome;
use crate::args::{DeadLettersArgs, DeadLettersCommand, PipelineOption};
use crate::output::{BOLD, Output, paint};
use crate::{exit, setup, text};

pub async fn run(args: &DeadLettersArgs, output: &Output) -> Outcome {
    match &args.command {
        DeadLettersCommand::List { file, limit } => list(file, *limit, output).await,
        DeadLettersCommand::Show { id, file } => show(file, *id, output).await,
        DeadLettersCommand::Replay { file } => replay(file, output).await,
    }
}

async fn open_letters(
    file: &PipelineOption,
    limit: u32,
) -> Result<(String, Option<Store>, Vec<DeadLetter>), super::Stop> {
    let pipeline = setup::load(&file.pipeline)?;
    let path = pipeline.state_dir.join(STATE_FILE);
    if !path.exists() {
        return Ok((pipeline.name, None, Vec::new()));
    }
    let store = Store::open(path)?;
    let filter = DeadLetterFilter {
        pipeline: Some(pipeline.name.clone()),
        state: Some(DeadLetterState::Open),
        ..DeadLetterFilter::default()
    };
    let letters = store.dead_letters(filter, limit).await?;
    Ok((pipeline.name, Some(store), letters))
}

async fn list(file: &PipelineOption, limit: u32, output: &Output) -> Outcome {
    let (_, _, letters) = open_letters(file, limit).await?;
    let all: Vec<_> = letters.iter().map(as_json).collect();
    output.result(&all, || {
        if letters.is_empty() {
            return "no dead letters\n".to_owned();
        }
        let head = ["id", "stream", "stage", "place", "reason"];
        let body = letters.iter().map(|l| {
            vec![
                l.id.to_string(),
                format!("{}.{}", l.source, l.stream),
                l.stage.clone(),
                l.place.clone(),
                l.reason.clone(),
            ]
        });
        text::grid(&head, body.collect())
    });
    Ok(exit::DONE)
}

async fn show(file: &PipelineOption, id: i64, output: &Output) -> Outcome {
    let (pipeline, store, _) = open_letters(file, 1).await?;
    let found = match store {
        Some(store) => store.dead_letter(id).await?.filter(|l| l.pipeline == pipeline),
        None => None,
    };
    let letter = found.ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("there is no dead letter {id} of {pipeline:?}"))
    })?;
    output.result(&as_json(&letter), || {
        format!(
            "{} {}\n{} {}.{}, {}\n{} {}\n{} run {} at {}, last run {}\n\n{}\n",
            paint(BOLD, "dead letter"),
            letter.id,
            paint(BOLD, "from"),
            letter.source,
            letter.stream,
            letter.place,
            paint(BOLD, "reason"),
            letter.reason,
            paint(BOLD, "seen"),
            letter.run.0,
            text::instant(letter.created_at_us),
            letter.last_seen_run.0,
            String::from_utf8_lossy(&letter.raw)
        )
    });
    Ok(exit::DONE)
}

/// Mapping goes over every landed row again, so a letter of that stage is mended by a run that computes
/// anew; a record that could not be read is read again with its stream. When mapping still refuses rows,
/// what landed is at fault: their streams are read again as well, for the vendor may have mended them.
async fn replay(file: &PipelineOption, output: &Output) -> Outcome {
    let (_, store, letters) = open_letters(file, u32::MAX).await?;
    let Some(store) = store else {
        output.result(&json!({ "replayed": 0 }), || "no dead letters\n".to_owned());
        return Ok(exit::DONE);
    };
    if letters.is_empty() {
        output.result(&json!({ "replayed": 0 }), || "no dead letters\n".to_owned());
        return Ok(exit::DONE);
    }
    let pipeline = setup::load(&file.pipeline)?;
    let services = setup::services(&pipeline, !output.json)?;
    setup::stop_on_signal(services.lent.cancel.clone());
    let unread = streams_of(&letters, "read");
    let ids: Vec<i64> = letters.iter().map(|l| l.id).collect();
    store.mark_replayed(ids, services.lent.clock.now_us()).await?;
    let options = RunOptions {
        recompute: true,
        refresh_streams: unread.into_iter().collect(),
        kind: "replay".to_owned(),
        ..RunOptions::default()
    };
    let mut report = run::run(&pipeline, &services.lent, &options).await?;
    let filter = DeadLetterFilter {
        pipeline: Some(pipeline.name.clone()),
        state: Some(DeadLetterState::Open),
        ..DeadLetterFilter::default()
    };
    let mut open = store.dead_letters(filter.clone(), u32::MAX).await?;
    let unmapped = streams_of(&open, "map");
    if report.status == run::RunStatus::Succeeded
        && unmapped.iter().any(|s| !options.refresh_streams.contains(s))
    {
        let again = RunOptions { refresh_streams: unmapped.into_iter().collect(), ..options };
        report = run::run(&pipeline, &services.lent, &again).await?;
        open = store.dead_letters(filter, u32::MAX).await?;
    }
    services.finish()?;
    let still = open.len();
    let value = json!({ "replayed": letters.len(), "still_open": still, "report": report });
    output.result(&value, || {
        format!(
            "{}{} letters tried again, {still} are open still\n",
            text::run_report(&report),
            letters.len()
        )
    });
    Ok(exit::of_run(&report))
}

/// Streams with letters of this stage.
fn streams_of(letters: &[DeadLetter], stage: &str) -> BTreeSet<(String, String)> {
    letters.iter().filter(|l| l.stage == stage).map(|l| (l.source.clone(), l.stream.clone())).collect()
}

fn as_json(letter: &DeadLetter) -> serde_json::Value {
    json!({
        "id": letter.id, "source": letter.source, "stream": letter.stream, "stage": letter.stage,
        "place": letter.place, "reason": letter.reason, "run": letter.run.0,
        "created_at": text::instant(letter.created_at_us), "raw": String::from_utf8_lossy(&letter.raw),
    })
}
