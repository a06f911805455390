//! `throughline connector new`

use std::io::Write;
use std::path::PathBuf;

use throughline_core::Error;

use super::Outcome;
use crate::args::ConnectorNewArgs;
use crate::exit;
use crate::output::{GOOD, Output, paint};

/// Ending and text of each file. `{{NAME}}` is the connector's name, `{{ENV}}` the same in capitals.
const FILES: &[(&str, &str)] = &[
    ("toml", include_str!("../../templates/manifest/manifest.toml")),
    ("deals.sql", include_str!("../../templates/manifest/deals.sql")),
    ("operators.sql", include_str!("../../templates/manifest/operators.sql")),
    ("test.toml", include_str!("../../templates/manifest/test.toml")),
    ("answers.jsonl", include_str!("../../templates/manifest/answers.jsonl")),
];

pub fn run(args: &ConnectorNewArgs, output: &Output) -> Outcome {
    let paths: Vec<PathBuf> =
        FILES.iter().map(|(ending, _)| args.dir.join(format!("{}.{ending}", args.name))).collect();
    if let Some(there) = paths.iter().find(|path| path.exists()) {
        let message = format!("{} exists already; nothing was written", there.display());
        return Err(Error::config(message).hint("choose another name, or --dir").into());
    }
    std::fs::create_dir_all(&args.dir).map_err(|e| Error::io("make", args.dir.display(), e))?;
    for (path, (_, template)) in paths.iter().zip(FILES) {
        let text = template.replace("{{NAME}}", &args.name).replace("{{ENV}}", &args.name.to_uppercase());
        // Not over a file that came this moment, either.
        let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|e| Error::io("write", path.display(), e))?;
    }
    output.result(&serde_json::json!({ "written": paths }), || {
        let mut text = String::new();
        for path in &paths {
            text += &format!("{} {}\n", paint(GOOD, "wrote"), path.display());
        }
        text + &format!("Next: throughline connector test {}, then edit\n", paths[0].display())
    });
    Ok(exit::DONE)
}
