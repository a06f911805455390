//! `throughline test`

use std::path::{Path, PathBuf};

use throughline_core::Error;
use throughline_engine::run::{CaseReport, run_case};

use super::Outcome;
use crate::args::TestArgs;
use crate::output::{BAD, GOOD, Output, paint};
use crate::{exit, setup};

pub async fn run(args: &TestArgs, output: &Output) -> Outcome {
    let mut reports: Vec<(PathBuf, CaseReport)> = Vec::new();
    for path in pipeline_files(&args.paths)? {
        let pipeline = setup::load(&path)?;
        for case in &pipeline.tests {
            if args.filter.as_ref().is_none_or(|part| case.name.contains(part.as_str())) {
                let report = run_case(&pipeline, case).await.map_err(|e| e.or_at(|| case.place.clone()))?;
                reports.push((path.clone(), report));
            }
        }
    }
    let failed = reports.iter().filter(|(_, r)| !r.passed).count();
    let value: Vec<_> = reports
        .iter()
        .map(|(path, r)| serde_json::json!({ "pipeline": path, "test": r.name, "passed": r.passed, "differences": r.differences }))
        .collect();
    output.result(&value, || {
        let mut text = String::new();
        for (path, report) in &reports {
            let mark = if report.passed { paint(GOOD, "✓") } else { paint(BAD, "✗") };
            text += &format!("{mark} {}: {}\n", path.display(), report.name);
            for difference in &report.differences {
                text += &format!("    {difference}\n");
            }
        }
        text + &format!("{} passed, {failed} failed\n", reports.len() - failed)
    });
    if reports.is_empty() {
        return Err(Error::config("there is no [[test]] to run")
            .hint("add a [[test]] block to the pipeline, or change --filter")
            .into());
    }
    Ok(if failed == 0 { exit::DONE } else { exit::TEST_FAILED })
}

/// Files as named; of a folder every *.toml in it.
fn pipeline_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let mut found: Vec<PathBuf> = std::fs::read_dir(path)
                .map_err(|e| Error::io("list", path.display(), e))?
                .filter_map(|entry| entry.ok().map(|e| e.path()))
                .filter(|p| p.extension() == Some(Path::new("toml").as_os_str()))
                .collect();
            found.sort();
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}
