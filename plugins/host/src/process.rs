//! A session in a process of its own, asked through pipes.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use serde_json::Value;
use throughline_plugin_abi as abi;

use crate::failure::Failure;
use crate::services::Services;
use crate::session::{Answer, Ask, Brought, Session, Stopper};
use crate::watch::{Limits, Watch};
use crate::wire::{self, Call, FromChild, ToChild};

/// The program that runs [`crate::run_child`]: itself, by a hidden command. `--memory BYTES` is added to the
/// arguments.
#[derive(Clone, Debug)]
pub struct Runner {
    pub program: PathBuf,
    pub args: Vec<OsString>,
}

/// What of our environment a plugin's process sees: enough to find libraries and time zones, no secrets.
const ENVIRONMENT: [&str; 9] =
    ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "RUST_BACKTRACE", "SYSTEMROOT"];

/// Lines of the process's error output that are kept for its obituary.
const LAST_LINES: usize = 8;
const LINE_LIMIT: usize = 500;

pub(crate) struct ProcessSession {
    /// `None` once closed: the end of its input ends the process.
    input: Arc<Mutex<Option<ChildStdin>>>,
    output: BufReader<ChildStdout>,
    watch: Arc<Watch>,
    said: Arc<Mutex<VecDeque<String>>>,
    services: Arc<dyn Services>,
    decoder: StreamDecoder,
    /// The process is dead, or its answers make no sense.
    lost: Option<Failure>,
}

impl ProcessSession {
    /// Starts the process and loads the library there.
    pub fn start(
        runner: &Runner,
        library: &Path,
        limits: Limits,
        services: Arc<dyn Services>,
    ) -> Answer<Self> {
        let failed = |e: std::io::Error| {
            Failure::new(abi::TL_IO, format!("cannot start a process for the plugin: {e}"))
        };
        let mut command = Command::new(&runner.program);
        command.args(&runner.args).arg("--memory").arg(limits.memory_bytes.to_string());
        command.env_clear().envs(ENVIRONMENT.iter().filter_map(|n| Some((n, std::env::var_os(n)?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Failure::new(abi::TL_IO, "a process without pipes"));
        };
        wider(&output);
        let said = Arc::new(Mutex::new(VecDeque::new()));
        listen_to_errors(errors, said.clone(), services.clone());
        let mut session = Self {
            input: Arc::new(Mutex::new(Some(input))),
            output: BufReader::with_capacity(1 << 16, output),
            watch: Watch::over(child, limits),
            said,
            services,
            decoder: StreamDecoder::new(),
            lost: None,
        };
        session.exchange(&ToChild::Load { path: library.to_path_buf() }, &[])?;
        Ok(session)
    }

    fn exchange(&mut self, frame: &ToChild, body: &[&[u8]]) -> Answer<Value> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        let sent = match lock(&self.input).as_mut() {
            Some(input) => wire::send(input, frame, body),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        // A process that died is told of by what it left in its output, or by its end.
        let _ = sent;
        match self.frame()? {
            (FromChild::Answer { answer }, _) => answer,
            (other, _) => Err(self.out_of_order(&other)),
        }
    }

    /// The next frame that is no call of a service; those are answered on the way.
    fn frame(&mut self) -> Answer<(FromChild, Vec<u8>)> {
        loop {
            self.watch.waits(true);
            let received = wire::receive::<FromChild>(&mut self.output);
            self.watch.waits(false);
            match received {
                Ok(Some((FromChild::Call { call }, body))) => self.serve(call, &body),
                Ok(Some((FromChild::Log { level, message, fields }, _))) => {
                    self.services.log(level, &message, &fields)
                }
                Ok(Some((FromChild::Metric { name, kind, value, labels }, _))) => {
                    self.services.metric(&name, kind, value, &labels);
                }
                Ok(Some(frame)) => return Ok(frame),
                Ok(None) => return Err(self.died(None)),
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Err(self.died(None)),
                Err(e) => return Err(self.died(Some(e))),
            }
        }
    }

    fn serve(&mut self, call: Call, body: &[u8]) {
        let mut answered = Vec::new();
        let answer = match call {
            Call::Sleep { ms } => self.services.sleep(ms).map(|()| Value::Null),
            Call::Now => Ok(Value::from(self.services.now_ms())),
            Call::Secret { name } => self.services.secret(&name).map(Value::from),
            Call::Http { request } => self.services.http(request, body).map(|(head, body)| {
                answered = body;
                head
            }),
        };
        if let Some(input) = lock(&self.input).as_mut() {
            // As in `exchange`.
            let _ = wire::send(input, &ToChild::Served { answer }, &[&answered]);
        }
    }

    fn died(&mut self, rubbish: Option<std::io::Error>) -> Failure {
        lock(&self.input).take();
        let stopped = self.services.cancelled();
        let mut message = self.watch.cause_of_death();
        if let Some(rubbish) = rubbish {
            message = format!("the plugin's process wrote between the frames ({rubbish}); {message}");
        }
        let said: Vec<String> = lock(&self.said).iter().cloned().collect();
        if !said.is_empty() {
            message += &format!("; it said last: {}", said.join(" | "));
        }
        let failure = if stopped {
            Failure::cancelled()
        } else {
            // Another attempt goes on from the last checkpoint, and may well succeed.
            Failure { temporary: true, ..Failure::new(abi::TL_PANIC, message) }
        };
        self.lost = Some(failure.clone());
        failure
    }

    fn out_of_order(&mut self, frame: &FromChild) -> Failure {
        let mut what = format!("{frame:?}");
        what.truncate(what.char_indices().nth(80).map_or(what.len(), |(at, _)| at));
        let failure =
            Failure::new(abi::TL_PANIC, format!("the plugin's process answered out of order: {what}"));
        self.lost = Some(failure.clone());
        failure
    }

    fn rows(&mut self, body: Vec<u8>, fresh: bool) -> Answer<RecordBatch> {
        if fresh {
            self.decoder = StreamDecoder::new();
        }
        let mut buffer = Buffer::from_vec(body);
        let mut decoded = None;
        while !buffer.is_empty() {
            match self.decoder.decode(&mut buffer) {
                Ok(Some(rows)) => decoded = Some(rows),
                Ok(None) => {}
                Err(e) => {
                    return Err(Failure::new(
                        abi::TL_PANIC,
                        format!("the plugin broke the interface: a batch: {e}"),
                    ));
                }
            }
        }
        decoded.ok_or_else(|| Failure::new(abi::TL_PANIC, "the plugin's process sent rows without rows"))
    }
}

impl Session for ProcessSession {
    fn ask(&mut self, ask: Ask) -> Answer<Value> {
        self.exchange(&ToChild::Ask { ask }, &[])
    }

    fn next(&mut self) -> Answer<Brought> {
        if let Some(lost) = &self.lost {
            return Err(lost.clone());
        }
        match self.frame()? {
            (FromChild::Rows { about, fresh }, body) => {
                Ok(Brought::Rows { rows: self.rows(body, fresh)?, about })
            }
            (FromChild::Event { kind, json }, _) => Ok(Brought::Other { kind, json }),
            (FromChild::End, _) => Ok(Brought::End),
            (FromChild::Failed { failure }, _) => Err(failure),
            (other, _) => Err(self.out_of_order(&other)),
        }
    }

    fn rows_are(&mut self, schema: SchemaRef) -> Answer<()> {
        let body = ipc(&schema, None)?;
        self.exchange(&ToChild::RowsAre, &[&body]).map(|_| ())
    }

    fn write(&mut self, rows: RecordBatch) -> Answer<Value> {
        let body = ipc(rows.schema_ref(), Some(&rows))?;
        self.exchange(&ToChild::Write, &[&body])
    }

    fn stopper(&self) -> Stopper {
        let (input, watch) = (self.input.clone(), self.watch.clone());
        Arc::new(move || {
            watch.ends();
            // Another thread may be writing a long frame to a process that does not read: it is killed soon.
            if let Ok(mut input) = input.try_lock()
                && let Some(input) = input.as_mut()
            {
                let _ = wire::send(input, &ToChild::Stop, &[]);
            }
        })
    }
}

impl Drop for ProcessSession {
    fn drop(&mut self) {
        // The end of its input ends the process; the watch waits for that, and kills it if need be.
        lock(&self.input).take();
        self.watch.ends();
    }
}

fn ipc(schema: &SchemaRef, rows: Option<&RecordBatch>) -> Answer<Vec<u8>> {
    let failed = |e: arrow::error::ArrowError| Failure::new(abi::TL_DATA, e.to_string());
    let mut writer = StreamWriter::try_new(Vec::new(), schema).map_err(failed)?;
    if let Some(rows) = rows {
        writer.write(rows).map_err(failed)?;
    }
    writer.into_inner().map_err(failed)
}

/// Keeps the last lines of a process's error output, and logs all of them.
fn listen_to_errors(
    errors: impl Read + Send + 'static,
    said: Arc<Mutex<VecDeque<String>>>,
    services: Arc<dyn Services>,
) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(errors);
        let mut line = Vec::new();
        // A line without an end is cut, so that a plugin cannot fill our memory by complaining.
        while let Ok(n) =
            std::io::BufRead::read_until(&mut Read::take(&mut reader, LINE_LIMIT as u64), b'\n', &mut line)
            && n > 0
        {
            let text = String::from_utf8_lossy(&line).trim().to_owned();
            line.clear();
            if text.is_empty() {
                continue;
            }
            services.log(1, &text, "");
            let mut said = lock(&said);
            if said.len() == LAST_LINES {
                said.pop_front();
            }
            said.push_back(text);
        }
    });
}

/// A pipe that holds a batch or two, so that both sides work at once.
#[cfg(target_os = "linux")]
fn wider(pipe: &ChildStdout) {
    use std::os::fd::AsRawFd;
    // SAFETY: a plain system call on our own descriptor; where it is refused, the pipe stays as it is.
    unsafe {
        libc::fcntl(pipe.as_raw_fd(), libc::F_SETPIPE_SZ, 1 << 20);
    }
}
#[cfg(not(target_os = "linux"))]
fn wider(_: &ChildStdout) {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
