//! Writing a cassette.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, SecondsFormat};
use flate2::write::GzEncoder;
use throughline_core::time::InstantUs;
use throughline_core::{Error, Redactor, Result};

use super::{Draft, Header, Line, VERSION, harmless, redact, to_text};

/// Writes exchanges as they end. The file gets its name when the recording is whole; until then it is
/// called `<name>.partial`, so that a run that was killed leaves an earlier cassette as it was.
pub struct Recorder {
    path: PathBuf,
    redactor: Redactor,
    state: Mutex<State>,
}

enum State {
    Open(Box<Out>),
    Failed(String),
    Done,
}

enum Out {
    Plain(BufWriter<File>),
    Gz(GzEncoder<BufWriter<File>>),
    Zst(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl Recorder {
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, recorded_at_us: InstantUs, redactor: Redactor) -> Result<Self> {
        let failed = |e| Error::io("making the cassette", path.display(), e);
        let file = BufWriter::new(File::create(partial(path)).map_err(failed)?);
        let mut out = match path.extension().and_then(|e| e.to_str()) {
            Some("gz") => Out::Gz(GzEncoder::new(file, flate2::Compression::default())),
            Some("zst") => Out::Zst(zstd::stream::write::Encoder::new(file, 0).map_err(failed)?),
            _ => Out::Plain(file),
        };
        let recorded_at = DateTime::from_timestamp_micros(recorded_at_us)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Micros, true);
        let client = Some(concat!("throughline/", env!("CARGO_PKG_VERSION")).to_owned());
        put(&mut out, &Header { throughline_cassette: VERSION, recorded_at, client }).map_err(failed)?;
        Ok(Self { path: path.to_owned(), redactor, state: Mutex::new(State::Open(Box::new(out))) })
    }

    /// Failures are kept for [`Recorder::check`]: this is also called where nobody can be told.
    pub fn write(&self, draft: &Draft, body: &[u8], cut: bool) {
        let (request_body, request_body_base64) = to_text(&redact(&draft.request_body, &self.redactor));
        let (body, body_base64) = to_text(&redact(body, &self.redactor));
        let line = Line {
            seq: draft.seq,
            at_us: draft.at_us,
            method: draft.method.to_owned(),
            // Once more: what the answer handed out may have been in the question.
            url: self.redactor.redact(&draft.url).into_owned(),
            request_headers: harmless(&draft.request_headers, &self.redactor),
            request_body,
            request_body_base64,
            status: draft.status,
            headers: harmless(&draft.headers, &self.redactor),
            body,
            body_base64,
            cut,
        };
        let mut state = self.state();
        if let State::Open(out) = &mut *state
            && let Err(e) = put(out, &line)
        {
            *state = State::Failed(e.to_string());
        }
    }

    /// # Errors
    /// An exchange could not be written: the recording is worth nothing.
    pub fn check(&self) -> Result<()> {
        match &*self.state() {
            State::Failed(why) => Err(self.failed(why)),
            State::Open(_) | State::Done => Ok(()),
        }
    }

    /// Completes the file and gives it its name. What is exchanged later is not recorded.
    ///
    /// # Errors
    /// The recording could not be written.
    pub fn finish(&self) -> Result<()> {
        let out = match std::mem::replace(&mut *self.state(), State::Done) {
            State::Open(out) => *out,
            State::Done => return Ok(()),
            State::Failed(why) => return Err(self.failed(&why)),
        };
        let close = |out: Out| -> io::Result<()> {
            let buffered = match out {
                Out::Plain(out) => out,
                Out::Gz(out) => out.finish()?,
                Out::Zst(out) => out.finish()?,
            };
            buffered.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(partial(&self.path), &self.path)
        };
        close(out).map_err(|e| Error::io("writing the cassette", self.path.display(), e))
    }

    fn failed(&self, why: &str) -> Error {
        Error::new(
            throughline_core::ErrorKind::Io,
            format!("writing the cassette {}: {why}", self.path.display()),
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Err(e) = self.finish() {
            tracing::error!("{e}");
        }
    }
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn put(out: &mut Out, line: &impl serde::Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    match out {
        // A plain partial file can be read after a crash, up to its last whole line.
        Out::Plain(out) => out.write_all(&text).and_then(|()| out.flush()),
        Out::Gz(out) => out.write_all(&text),
        Out::Zst(out) => out.write_all(&text),
    }
}
