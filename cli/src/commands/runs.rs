//! `throughline runs`

use serde_json::json;
use throughline_core::{Error, ErrorKind};
use throughline_engine::run::RunReport;
use throughline_store::{RunId, RunRow, STATE_FILE, Store};

use super::Outcome;
use crate::args::RunsArgs;
use crate::output::Output;
use crate::{exit, setup, text};

pub async fn run(args: &RunsArgs, output: &Output) -> Outcome {
    let pipeline = setup::load(&args.file.pipeline)?;
    let file = pipeline.state_dir.join(STATE_FILE);
    if !file.exists() {
        output.result(&json!([]), || "no runs yet\n".to_owned());
        return Ok(exit::DONE);
    }
    let store = Store::open(file)?;
    if let Some(id) = args.id {
        let row = store.run(RunId(id)).await?.filter(|r| r.pipeline == pipeline.name).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no run {id} of {:?}", pipeline.name))
        })?;
        output.result(&as_json(&row), || one(&row));
    } else {
        let rows = store.runs(Some(&pipeline.name), args.limit).await?;
        let all: Vec<_> = rows.iter().map(as_json).collect();
        output.result(&all, || {
            let head = ["run", "started", "kind", "status", "rows"];
            let body = rows.iter().map(|row| {
                let rows = row.report.as_ref().and_then(|r| r["rows"].as_u64());
                vec![
                    row.id.0.to_string(),
                    text::instant(row.started_at_us),
                    row.kind.clone(),
                    row.status.as_str().to_owned(),
                    rows.map_or_else(String::new, |n| n.to_string()),
                ]
            });
            text::grid(&head, body.collect())
        });
    }
    Ok(exit::DONE)
}

fn as_json(row: &RunRow) -> serde_json::Value {
    json!({
        "run": row.id.0, "pipeline": row.pipeline, "kind": row.kind, "status": row.status.as_str(),
        "started_at": text::instant(row.started_at_us),
        "finished_at": row.finished_at_us.map(text::instant),
        "report": row.report,
    })
}

fn one(row: &RunRow) -> String {
    let report = row.report.clone().and_then(|r| serde_json::from_value::<RunReport>(r).ok());
    match report {
        Some(report) => text::run_report(&report),
        None => format!(
            "run {} of {}: {} since {}, no report\n",
            row.id.0,
            row.pipeline,
            row.status.as_str(),
            text::instant(row.started_at_us)
        ),
    }
}
