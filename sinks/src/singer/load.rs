//! One run of the target over an epoch, and whether it loaded all of it.

use std::ffi::OsStr;
use std::path::PathBuf;

use serde_json::{Value, json};
use throughline_core::{Context, Error, Result, TxnId};
use throughline_foreign::{Fed, Files, Input, Program, Start};

/// A state is some hundred bytes for each table; what is longer is none.
const STATE_MAX: usize = 1 << 20;

/// What the target is to print when it has loaded everything before it, in the shape that all targets know.
pub(super) fn state(tables: &[&str], txn: &TxnId) -> Value {
    let bookmarks = tables.iter().map(|table| ((*table).to_owned(), json!({ "epoch": txn.0 })));
    json!({ "bookmarks": bookmarks.collect::<serde_json::Map<_, _>>() })
}

/// Feeds the target with the files and the state, waits for its end, and looks whether it did its work.
///
/// # Errors
/// Its exit code, what it left unread, the state that it did not print; with what it said last.
pub(super) async fn load(ctx: &Context, start: &Start, tables: Vec<PathBuf>, state: &Value) -> Result<()> {
    let files = Files::new(ctx)?;
    let config = files.put("config.json", &start.config)?;
    let message = json!({ "type": "STATE", "value": state });
    let mut input: Vec<Input> = tables.into_iter().map(Input::File).collect();
    input.push(Input::Bytes(format!("{message}\n").into_bytes()));
    let args = [OsStr::new("--config"), config.as_os_str()];
    let mut target = Program::start_fed(start, files, &args, input)?;
    let last = match last_state(ctx, &mut target).await {
        Ok(last) => last,
        Err(error) => {
            target.stop().await;
            return Err(again(error));
        }
    };
    target.end().await.map_err(again)?;
    if let Fed::Refused { bytes } = target.fed().await? {
        let how = format!("ended well, although it read only {bytes} bytes of its input");
        return Err(again(target.failed(&how)));
    }
    match last {
        Some(last) if last == *state => Ok(()),
        Some(last) => {
            let shown = target.shown(last.to_string().as_bytes(), 300);
            let how = format!("ended well, and printed another state than the one it was sent last: {shown}");
            Err(again(target.failed(&how)))
        }
        None => {
            let how = "ended well, but did not print the state by which a target says that it has loaded everything";
            Err(again(target.failed(how)))
        }
    }
}

/// The last state that it prints, when its output has ended. Targets print what they should log, too.
async fn last_state(ctx: &Context, target: &mut Program) -> Result<Option<Value>> {
    let (mut last, mut line) = (None, Vec::new());
    while target.next(ctx, std::future::pending(), &mut line).await? {
        let state = (line.len() <= STATE_MAX && line.starts_with(b"{"))
            .then(|| serde_json::from_slice::<Value>(&line).ok())
            .flatten();
        match state {
            Some(state) => last = Some(state),
            None => tracing::debug!(said = %target.shown(&line, 1000), "a line that is no state"),
        }
    }
    Ok(last)
}

/// What to do about an epoch that was not loaded.
fn again(error: Error) -> Error {
    if error.kind() == throughline_core::ErrorKind::Cancelled {
        return error;
    }
    error.hint(
        "mend what it says and run again: the same rows are loaded again first. What it loaded before it failed is \
         there already. To give this epoch up, delete the folder in `path`: the next run publishes anew",
    )
}
