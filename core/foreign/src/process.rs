//! The process: its files, its output, its complaints, its end.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use throughline_core::{Context, Error, ErrorKind, Redactor, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::feed::{Fed, Feeding, Input};
use crate::start::{Start, absolute};

/// The longest line, a record with all around it.
pub const LINE_MAX: usize = 32 << 20;

/// What of our environment the process sees.
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
const COMPLAINT_MAX: u64 = 4000;
/// How long a process that was asked to end may take.
const GRACE: Duration = Duration::from_secs(5);
/// What a question is answered with is at most this long: a catalog of thousands of streams.
const ANSWER_MAX: u64 = 256 << 20;

/// Files for one start, readable by us alone. They go with the process that reads them.
pub struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    pub fn new(ctx: &Context) -> Result<Self> {
        // A run that finishes what another left begins before it has made its folder.
        let scratch = absolute(&ctx.scratch);
        std::fs::create_dir_all(&scratch)
            .and_then(|()| tempfile::Builder::new().prefix("foreign").tempdir_in(&scratch))
            .map(|folder| Self { folder })
            .map_err(|e| Error::io("make a folder in", scratch.display(), e))
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

/// A running program. Dropping it kills it.
pub struct Program {
    child: Child,
    /// It leads a group of processes of its own, those that it starts.
    group: Option<u32>,
    output: BufReader<ChildStdout>,
    /// Lines read so far.
    pub line: u64,
    said: Arc<Mutex<VecDeque<String>>>,
    listening: tokio::task::JoinHandle<()>,
    pub name: String,
    silence: Duration,
    redactor: Redactor,
    feeding: Option<Feeding>,
    _files: Files,
}

impl Program {
    /// Starts it with nothing to read.
    ///
    /// # Errors
    /// `Config` when there is no such program, or it may not be started.
    pub fn start(start: &Start, files: Files, args: &[&OsStr]) -> Result<Self> {
        Self::spawn(start, files, args, None)
    }

    /// Starts it with `input` on its standard input, which then ends.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub fn start_fed(start: &Start, files: Files, args: &[&OsStr], input: Vec<Input>) -> Result<Self> {
        Self::spawn(start, files, args, Some(input))
    }

    fn spawn(start: &Start, files: Files, args: &[&OsStr], input: Option<Vec<Input>>) -> Result<Self> {
        let name = start.program.display().to_string();
        let mut command = Command::new(&start.program);
        command.args(&start.args).args(args).current_dir(&start.folder).kill_on_drop(true);
        command.env_clear().envs(ENVIRONMENT.iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
        command.envs(start.env.iter().map(|(n, v)| (n, v)));
        command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command.spawn().map_err(|e| {
            Error::config(format!("cannot start {name}: {e}"))
                .hint("install it into a virtual environment and name its program in `command`")
        })?;
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(Error::bug("a process without pipes"));
        };
        let feeding = match (input, child.stdin.take()) {
            (Some(input), Some(stdin)) => Some(Feeding::begin(stdin, input)),
            _ => None,
        };
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let listening = tokio::spawn(listen(errors, said.clone(), start.redactor.clone()));
        Ok(Self {
            group: child.id(),
            child,
            output: BufReader::with_capacity(1 << 18, output),
            line: 0,
            said,
            listening,
            name,
            silence: start.silence,
            redactor: start.redactor.clone(),
            feeding,
            _files: files,
        })
    }

    /// The next line, without its end, in `line`; false at the end of the output. `gone` ends when nobody wants
    /// the lines any more.
    ///
    /// # Errors
    /// `Cancelled`; temporary when the program neither wrote nor read anything for its time limit; `Protocol` for a
    /// line that is too long.
    pub async fn next(
        &mut self,
        ctx: &Context,
        gone: impl Future<Output = ()>,
        line: &mut Vec<u8>,
    ) -> Result<bool> {
        line.clear();
        // A line that is here already needs no waiting, and none of what waiting costs.
        if let Some(end) = memchr::memchr(b'\n', self.output.buffer()) {
            line.extend_from_slice(&self.output.buffer()[..end]);
            self.output.consume(end + 1);
            self.line += 1;
            line.truncate(line.trim_ascii_end().len());
            return Ok(true);
        }
        let mut limited = (&mut self.output).take(LINE_MAX as u64 + 1);
        let next = limited.read_until(b'\n', line);
        tokio::pin!(next, gone);
        let fed = || self.feeding.as_ref().map_or(0, Feeding::bytes);
        let read = loop {
            let before = fed();
            tokio::select! {
                biased;
                () = ctx.cancel.cancelled() => return Err(Error::cancelled()),
                () = &mut gone => return Err(Error::cancelled()),
                read = &mut next => break Some(read),
                () = tokio::time::sleep(self.silence) => if fed() == before { break None },
            }
        };
        let Some(read) = read else { return Err(self.silent()) };
        if read.map_err(|e| Error::io("read from", &self.name, e))? == 0 {
            return Ok(false);
        }
        self.line += 1;
        if line.len() > LINE_MAX {
            let problem =
                format!("line {} of the output of {} is longer than {LINE_MAX} bytes", self.line, self.name);
            return Err(Error::protocol(problem));
        }
        line.truncate(line.trim_ascii_end().len());
        Ok(true)
    }

    /// All it prints, as the answer to a question.
    pub async fn answer(mut self, ctx: &Context) -> Result<Vec<u8>> {
        let mut answer = Vec::new();
        let mut limited = (&mut self.output).take(ANSWER_MAX);
        let reading = limited.read_to_end(&mut answer);
        let read = tokio::select! {
            () = ctx.cancel.cancelled() => Err(Error::cancelled()),
            read = tokio::time::timeout(self.silence, reading) => match read {
                Ok(read) => read.map(|_| ()).map_err(|e| Error::io("read from", &self.name, e)),
                Err(_) => Err(self.silent()),
            },
        };
        match read {
            Ok(()) => self.end().await.map(|()| answer),
            Err(error) => {
                self.stop().await;
                Err(error)
            }
        }
    }

    /// How far it was fed; all of it when it had nothing to read. After its end.
    ///
    /// # Errors
    /// What was to be fed cannot be read.
    pub async fn fed(&mut self) -> Result<Fed> {
        match self.feeding.take() {
            Some(mut feeding) => feeding.end(GRACE).await,
            None => Ok(Fed::Whole),
        }
    }

    /// After its last line: an error unless its exit code says that all went well.
    pub async fn end(&mut self) -> Result<()> {
        let status = match tokio::time::timeout(GRACE, self.child.wait()).await {
            Ok(status) => status.map_err(|e| Error::io("wait for", &self.name, e))?,
            Err(_) => {
                self.stop().await;
                return Err(self.failed("closed its output and did not end; it was killed"));
            }
        };
        // What it said last is still on the way.
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.listening).await;
        if status.success() {
            return Ok(());
        }
        self.signal("KILL").await;
        Err(self.failed(&ended(status)))
    }

    /// Asks it to end, and sees to it that it does, with all that it started.
    pub async fn stop(&mut self) {
        // One that flushes on SIGTERM gets the time for it.
        self.signal("TERM").await;
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
        self.signal("KILL").await;
    }

    /// To its whole group: a script's end is not that of the program it started. The shell knows `kill` where no
    /// such program is installed.
    async fn signal(&self, name: &str) {
        #[cfg(unix)]
        if let Some(group) = self.group {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("kill -s {name} -- -{group}"));
            shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let _ = shell.status().await;
        }
        #[cfg(not(unix))]
        let _ = name;
    }

    /// A part of its output for people.
    pub fn shown(&self, line: &[u8], characters: usize) -> String {
        let head: String = String::from_utf8_lossy(line).chars().take(characters).collect();
        self.redactor.redact(&head).into_owned()
    }

    fn silent(&self) -> Error {
        let message = format!(
            "{} {} nothing for {} s (time_limit_s); it was stopped",
            self.name,
            if self.feeding.is_some() { "read and wrote" } else { "wrote" },
            self.silence.as_secs()
        );
        Error::new(ErrorKind::Io, message).temporary(None)
    }

    /// An error of the program, with what it said last.
    pub fn failed(&self, how: &str) -> Error {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said: Vec<&str> = said.iter().map(String::as_str).collect();
        let mut message = format!("{} {how}", self.name);
        if !said.is_empty() {
            message += &format!("; it said last: {}", said.join(" | "));
        }
        Error::new(ErrorKind::Io, message)
    }
}

/// Logs the error output, and keeps the last lines of it.
async fn listen(
    errors: impl tokio::io::AsyncRead + Unpin,
    keep: Arc<Mutex<VecDeque<String>>>,
    redactor: Redactor,
) {
    let mut reader = BufReader::new(errors);
    let mut line = Vec::new();
    // A line without an end is cut, so that a program cannot fill our memory by complaining.
    while let Ok(n) = (&mut reader).take(COMPLAINT_MAX).read_until(b'\n', &mut line).await
        && n > 0
    {
        let text = String::from_utf8_lossy(&line);
        let text = redactor.redact(text.trim()).into_owned();
        line.clear();
        if text.is_empty() {
            continue;
        }
        tracing::debug!(said = %text);
        let mut said = keep.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == LAST_LINES {
            said.pop_front();
        }
        said.push_back(text);
    }
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => format!("was ended: {status}"),
    }
}
