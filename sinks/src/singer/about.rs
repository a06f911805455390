//! What a target says of itself: `--about --format=json`, which those of the Singer SDK know.
//! <https://sdk.meltano.com/en/latest/implementation/cli.html>

use serde_json::Value;
use throughline_core::{Context, Error, Result};
use throughline_foreign::{Files, Program, Start};

/// How a target replaces the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replaces {
    /// By ACTIVATE_VERSION: rows of older versions go.
    ByVersion,
    /// It empties each table at its start: `load_method = "overwrite"`.
    ByItself,
}

/// # Errors
/// `Config`, when it cannot be told that this target, with these settings, takes rows away.
pub(super) async fn replaces(ctx: &Context, start: &Start) -> Result<Replaces> {
    let unknown = |why: String| {
        Error::config(format!("mode = \"replace\", and {} {why}", start.program.display())).hint(
            "rows that are gone would stay: take mode = \"upsert\" if that is right; or, where its documentation \
             says that it obeys ACTIVATE_VERSION, say activate_version = true",
        )
    };
    for setting in ["activate_version", "add_record_metadata"] {
        if start.config[setting] == false {
            return Err(unknown(format!(
                "is told {setting} = false, so that it keeps rows of older versions"
            )));
        }
    }
    let files = Files::new(ctx)?;
    let args = ["--about".as_ref(), "--format=json".as_ref()];
    let answer = Program::start(start, files, &args)?.answer(ctx).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.kind() == throughline_core::ErrorKind::Cancelled => return Err(error),
        Err(_) => return Err(unknown("does not answer --about, so it cannot be asked what it knows".into())),
    };
    let about: Value = serde_json::from_slice(answer.trim_ascii())
        .map_err(|e| unknown(format!("answers --about with no JSON: {e}")))?;
    let capabilities = about["capabilities"].as_array();
    if capabilities.is_some_and(|known| known.iter().any(|c| c == "activate-version")) {
        return Ok(Replaces::ByVersion);
    }
    let overwrites = start.config["load_method"] == "overwrite";
    if overwrites && about["settings"]["properties"]["load_method"].is_object() {
        return Ok(Replaces::ByItself);
    }
    Err(unknown("does not know ACTIVATE_VERSION, and its config has no load_method = \"overwrite\"".into()))
}
