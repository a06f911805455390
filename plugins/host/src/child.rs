//! The process of one plugin's session: loads the library and does what the host asks through the pipe.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::os::fd::FromRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use serde_json::Value;
use throughline_plugin_abi as abi;

use crate::failure::Failure;
use crate::load::load;
use crate::native::NativeSession;
use crate::services::{HttpCall, Services};
use crate::session::{Answer, Ask, Brought, Session, Stopper};
use crate::wire::{self, Call, FromChild, ToChild};

/// Runs until the host closes the pipe; gives the exit code. `memory_bytes`: what this process may allocate, 0 for no limit.
///
/// Standard output becomes standard error: what a plugin prints must not fall between the frames.
pub fn run_child(memory_bytes: u64) -> u8 {
    limit_itself(memory_bytes);
    // SAFETY: descriptors of this process that nobody else has taken yet; the copy is ours alone.
    let out = unsafe {
        let copy = libc::dup(1);
        if copy < 0 || libc::dup2(2, 1) < 0 {
            return 2;
        }
        File::from_raw_fd(copy)
    };
    let (served_in, served) = channel();
    let (work_in, work) = channel();
    let shared = Arc::new(Shared {
        out: Mutex::new(BufWriter::with_capacity(1 << 16, out)),
        served: Mutex::new(served),
        stop: AtomicBool::new(false),
        stopper: Mutex::new(None),
    });
    let listening = shared.clone();
    std::thread::spawn(move || listen(&listening, &served_in, &work_in));
    match serve(&shared, &work) {
        Ok(()) => 0,
        // Nobody is left to be told.
        Err(_) => 2,
    }
}

/// Limits that also hold when the host is gone: memory, no core files, and an end with the host's own.
fn limit_itself(memory_bytes: u64) {
    // SAFETY: plain system calls on this process.
    unsafe {
        if memory_bytes > 0 {
            let limit = libc::rlimit { rlim_cur: memory_bytes, rlim_max: memory_bytes };
            libc::setrlimit(libc::RLIMIT_DATA, &raw const limit);
        }
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        #[cfg(target_os = "linux")]
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
}

struct Shared {
    out: Mutex<BufWriter<File>>,
    served: Mutex<Receiver<Served>>,
    stop: AtomicBool,
    stopper: Mutex<Option<Stopper>>,
}

type Work = (ToChild, Vec<u8>);
/// What a service answered, and the body of an HTTP exchange.
type Served = (Answer<Value>, Vec<u8>);

fn listen(shared: &Shared, served: &Sender<Served>, work: &Sender<Work>) {
    let mut input = BufReader::with_capacity(1 << 16, std::io::stdin());
    while let Ok(Some((frame, body))) = wire::receive::<ToChild>(&mut input) {
        let sent = match frame {
            ToChild::Served { answer } => served.send((answer, body)).is_ok(),
            ToChild::Stop => {
                shared.stop.store(true, Ordering::SeqCst);
                let stopper = lock(&shared.stopper).clone();
                if let Some(stop) = stopper {
                    stop();
                }
                true
            }
            other => work.send((other, body)).is_ok(),
        };
        if !sent {
            return;
        }
    }
    // The host is gone or done: whoever waits for an answer is told by the closed channels; a plugin that
    // computes on is ended.
    shared.stop.store(true, Ordering::SeqCst);
}

fn serve(shared: &Arc<Shared>, work: &Receiver<Work>) -> std::io::Result<()> {
    let mut session: Option<NativeSession> = None;
    while let Ok((frame, body)) = work.recv() {
        let (answer, reads) = match (frame, &mut session) {
            (ToChild::Load { path }, none @ None) => {
                let loaded = load(&path).map(|plugin| {
                    let services: Arc<dyn Services> = Arc::new(PipeServices(shared.clone()));
                    let opened = NativeSession::new(plugin, services, false);
                    *lock(&shared.stopper) = Some(opened.stopper());
                    *none = Some(opened);
                    Value::Null
                });
                (loaded, false)
            }
            (ToChild::Ask { ask }, Some(session)) => {
                let reads = matches!(ask, Ask::ReadOpen { .. });
                (session.ask(ask), reads)
            }
            (ToChild::RowsAre, Some(session)) => {
                (schema_in(&body).and_then(|s| session.rows_are(s)).map(|()| Value::Null), false)
            }
            (ToChild::Write, Some(session)) => (rows_in(&body).and_then(|rows| session.write(rows)), false),
            _ => (Err(Failure::new(abi::TL_PANIC, "a frame out of order")), false),
        };
        let good = answer.is_ok();
        tell(shared, &FromChild::Answer { answer }, &[])?;
        if let (true, true, Some(session)) = (reads, good, &mut session) {
            read(shared, session)?;
        }
    }
    Ok(())
}

/// Sends all events of the open reader. The pipe is full while the host has enough: that is the brake.
fn read(shared: &Shared, session: &mut NativeSession) -> std::io::Result<()> {
    let mut stream: Option<(SchemaRef, StreamWriter<Vec<u8>>)> = None;
    loop {
        match session.next() {
            Ok(Brought::End) => return tell(shared, &FromChild::End, &[]),
            Ok(Brought::Other { kind, json }) => tell(shared, &FromChild::Event { kind, json }, &[])?,
            Ok(Brought::Rows { rows, about }) => match encode(&mut stream, &rows) {
                Ok(fresh) => {
                    let Some((_, writer)) = &mut stream else { continue };
                    tell(shared, &FromChild::Rows { about, fresh }, &[writer.get_ref()])?;
                    writer.get_mut().clear();
                }
                Err(e) => {
                    let failure =
                        Failure::new(abi::TL_PANIC, format!("the plugin broke the interface: a batch: {e}"));
                    return tell(shared, &FromChild::Failed { failure }, &[]);
                }
            },
            Err(failure) => return tell(shared, &FromChild::Failed { failure }, &[]),
        }
    }
}

/// Adds a batch to the stream; true where a stream begins.
fn encode(
    stream: &mut Option<(SchemaRef, StreamWriter<Vec<u8>>)>,
    rows: &RecordBatch,
) -> Result<bool, arrow::error::ArrowError> {
    let fresh = stream.as_ref().is_none_or(|(schema, _)| schema != rows.schema_ref());
    if fresh {
        let schema = rows.schema();
        let writer = StreamWriter::try_new(Vec::new(), &schema)?;
        *stream = Some((schema, writer));
    }
    if let Some((_, writer)) = stream {
        writer.write(rows)?;
    }
    Ok(fresh)
}

fn schema_in(body: &[u8]) -> Answer<SchemaRef> {
    let reader = StreamReader::try_new(body, None).map_err(|e| Failure::new(abi::TL_DATA, e.to_string()))?;
    Ok(reader.schema())
}

fn rows_in(body: &[u8]) -> Answer<RecordBatch> {
    let failed = |e: arrow::error::ArrowError| Failure::new(abi::TL_DATA, e.to_string());
    let mut reader = StreamReader::try_new(body, None).map_err(failed)?;
    reader.next().unwrap_or_else(|| Ok(RecordBatch::new_empty(reader.schema()))).map_err(failed)
}

fn tell(shared: &Shared, frame: &FromChild, body: &[&[u8]]) -> std::io::Result<()> {
    let mut out = lock(&shared.out);
    wire::send(&mut *out, frame, body)?;
    out.flush()
}

/// Services of the host, asked for through the pipe.
struct PipeServices(Arc<Shared>);

impl PipeServices {
    fn call(&self, call: Call, body: &[u8]) -> Answer<(Value, Vec<u8>)> {
        // Held until the answer is here: a plugin may ask from several threads.
        let served = lock(&self.0.served);
        tell(&self.0, &FromChild::Call { call }, &[body]).map_err(|_| Failure::cancelled())?;
        let (answer, body) = served.recv().map_err(|_| Failure::cancelled())?;
        answer.map(|json| (json, body))
    }
}

impl Services for PipeServices {
    fn log(&self, level: i32, message: &str, fields: &str) {
        // A log line that cannot be sent has nobody to read it.
        let _ = tell(&self.0, &FromChild::Log { level, message: message.into(), fields: fields.into() }, &[]);
    }
    fn metric(&self, name: &str, kind: i32, value: f64, labels: &str) {
        let _ =
            tell(&self.0, &FromChild::Metric { name: name.into(), kind, value, labels: labels.into() }, &[]);
    }
    fn cancelled(&self) -> bool {
        self.0.stop.load(Ordering::SeqCst)
    }
    fn sleep(&self, ms: u64) -> Answer<()> {
        self.call(Call::Sleep { ms }, &[]).map(|_| ())
    }
    fn now_ms(&self) -> i64 {
        self.call(Call::Now, &[]).ok().and_then(|(json, _)| json.as_i64()).unwrap_or_default()
    }
    fn secret(&self, name: &str) -> Answer<String> {
        let (value, _) = self.call(Call::Secret { name: name.into() }, &[])?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }
    fn http(&self, request: HttpCall, body: &[u8]) -> Answer<(Value, Vec<u8>)> {
        self.call(Call::Http { request }, body)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
