//! The tap's process: its files, its error output, its end.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use throughline_core::{Context, Error, ErrorKind, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::config::Settings;

/// What of our environment the tap sees.
const ENVIRONMENT: [&str; 12] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "SYSTEMROOT",
    "SSL_CERT_FILE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "VIRTUAL_ENV",
];
/// Lines of its error output that are kept for an error.
const LAST_LINES: usize = 6;
const LINE_LIMIT: u64 = 4000;
/// How long a tap that was asked to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// A catalog is at most this long.
const CATALOG_LIMIT: u64 = 256 << 20;

pub(super) struct Tap {
    child: Child,
    pub output: ChildStdout,
    said: Arc<Mutex<VecDeque<String>>>,
    listening: tokio::task::JoinHandle<()>,
    program: String,
    // The files go with the process that reads them.
    _files: tempfile::TempDir,
}

/// Files for one start of the tap, readable by us alone.
pub(super) struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub fn new(ctx: &Context) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("tap").tempdir_in(&ctx.scratch);
        Ok(Self { folder: folder.map_err(|e| Error::io("make a folder in", ctx.scratch.display(), e))? })
    }

    pub fn put(&self, name: &str, content: &Value) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        write_private(&path, content.to_string().as_bytes())
            .map_err(|e| Error::io("write", path.display(), e))?;
        Ok(path)
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    std::io::Write::write_all(&mut options.open(path)?, bytes)
}

impl Tap {
    pub fn start(settings: &Settings, files: Files, args: &[&std::ffi::OsStr]) -> Result<Self> {
        let program = settings.program.display().to_string();
        let mut command = Command::new(&settings.program);
        command.args(&settings.args).args(args).kill_on_drop(true);
        command.env_clear().envs(ENVIRONMENT.iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
        command.envs(settings.env.iter().map(|(n, v)| (n, v)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|e| {
            Error::config(format!("cannot start the tap {program}: {e}"))
                .hint("install it into a virtual environment and name its program in `command`")
        })?;
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::bug("a process without pipes"));
        };
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let (keep, redactor) = (said.clone(), settings.redactor.clone());
        let listening = tokio::spawn(async move {
            let mut reader = BufReader::new(errors);
            let mut line = Vec::new();
            // A line without an end is cut, so that a tap cannot fill our memory by complaining.
            while let Ok(n) = (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut line).await
                && n > 0
            {
                let text = String::from_utf8_lossy(&line);
                let text = redactor.redact(text.trim()).into_owned();
                line.clear();
                if text.is_empty() {
                    continue;
                }
                tracing::debug!(tap = %text);
                let mut said = keep.lock().unwrap_or_else(PoisonError::into_inner);
                if said.len() == LAST_LINES {
                    said.pop_front();
                }
                said.push_back(text);
            }
        });
        Ok(Self { child, output, said, listening, program, _files: files.folder })
    }

    /// After its last line: an error unless the tap says that all went well.
    pub async fn end(mut self) -> Result<()> {
        let status = match tokio::time::timeout(GRACE, self.child.wait()).await {
            Ok(status) => status.map_err(|e| Error::io("wait for the tap", &self.program, e))?,
            Err(_) => {
                self.stop().await;
                return Err(self.failed("closed its output and did not end; it was killed"));
            }
        };
        // What it said last is still on the way.
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.listening).await;
        if status.success() { Ok(()) } else { Err(self.failed(&ended(status))) }
    }

    /// Asks it to end, and sees to it that it does.
    pub async fn stop(&mut self) {
        #[cfg(unix)]
        if let Some(pid) = self.child.id() {
            // A tap that flushes on SIGTERM gets the time for it.
            let _ = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await;
            if tokio::time::timeout(GRACE, self.child.wait()).await.is_ok() {
                return;
            }
        }
        let _ = self.child.kill().await;
    }

    pub fn failed(&self, how: &str) -> Error {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let mut message = format!("the tap {} {how}", self.program);
        if !said.is_empty() {
            message += &format!("; it said last: {}", said.join(" | "));
        }
        Error::new(ErrorKind::Io, message)
    }
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => format!("was ended: {status}"),
    }
}

/// What `--discover` prints.
pub(super) async fn discover(ctx: &Context, settings: &Settings) -> Result<Vec<u8>> {
    let files = Files::new(ctx)?;
    let config = files.put("config.json", &settings.config)?;
    let args = ["--config".as_ref(), config.as_os_str(), "--discover".as_ref()];
    let mut tap = Tap::start(settings, files, &args)?;
    let mut catalog = Vec::new();
    let mut output = (&mut tap.output).take(CATALOG_LIMIT);
    let reading = output.read_to_end(&mut catalog);
    let read = tokio::select! {
        () = ctx.cancel.cancelled() => Err(Error::cancelled()),
        read = tokio::time::timeout(settings.silence, reading) => match read {
            Ok(read) => read.map_err(|e| Error::io("read from the tap", &tap.program, e)),
            Err(_) => Err(tap.failed(&format!("discovered nothing for {} s (time_limit_s)", settings.silence.as_secs()))),
        },
    };
    match read {
        Ok(_) => tap.end().await.map(|()| catalog),
        Err(error) => {
            tap.stop().await;
            Err(error)
        }
    }
}
