//! What a program reads on its standard input: files one after another, through a small buffer.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use throughline_core::{Error, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::task::JoinHandle;

/// A piece of the input.
#[derive(Clone, Debug)]
pub enum Input {
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// How far a program took its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// All of it went into the pipe. Whether the program read what was left in there, only it can say.
    Whole,
    /// It closed its input, or ended, after about so many bytes.
    Refused { bytes: u64 },
}

const BUFFER: usize = 1 << 16;

/// The task that feeds. It ends when the program's input is closed, so with the program at the latest.
pub(crate) struct Feeding {
    task: JoinHandle<Result<Fed>>,
    bytes: Arc<AtomicU64>,
}

impl Feeding {
    pub fn begin(stdin: ChildStdin, input: Vec<Input>) -> Self {
        let bytes = Arc::new(AtomicU64::new(0));
        Self { task: tokio::spawn(feed(stdin, input, bytes.clone())), bytes }
    }

    /// Bytes that the program's input took so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Of a program that has ended. What it started may still hold its input, and read it no more.
    pub async fn end(&mut self, at_most: Duration) -> Result<Fed> {
        match tokio::time::timeout(at_most, &mut self.task).await {
            Ok(fed) => fed.map_err(|e| Error::bug(format!("feeding a program broke off: {e}")))?,
            Err(_) => Ok(Fed::Refused { bytes: self.bytes() }),
        }
    }
}

impl Drop for Feeding {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn feed(mut stdin: ChildStdin, input: Vec<Input>, fed: Arc<AtomicU64>) -> Result<Fed> {
    let mut buffer = vec![0; BUFFER];
    for piece in input {
        match piece {
            Input::Bytes(bytes) => {
                if !write(&mut stdin, &bytes, &fed).await? {
                    return Ok(Fed::Refused { bytes: fed.load(Ordering::Relaxed) });
                }
            }
            Input::File(path) => {
                let failed = |e| Error::io("read", path.display(), e);
                let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
                loop {
                    let n = file.read(&mut buffer).await.map_err(failed)?;
                    if n == 0 {
                        break;
                    }
                    if !write(&mut stdin, &buffer[..n], &fed).await? {
                        return Ok(Fed::Refused { bytes: fed.load(Ordering::Relaxed) });
                    }
                }
            }
        }
    }
    // Closing it is the end of the input.
    drop(stdin);
    Ok(Fed::Whole)
}

/// False when the program reads no more.
async fn write(stdin: &mut ChildStdin, mut bytes: &[u8], fed: &AtomicU64) -> Result<bool> {
    while !bytes.is_empty() {
        match stdin.write(bytes).await {
            Ok(0) => return Ok(false),
            Ok(n) => {
                fed.fetch_add(n as u64, Ordering::Relaxed);
                bytes = &bytes[n..];
            }
            Err(e) if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                return Ok(false);
            }
            Err(e) => return Err(Error::io("write to", "a program's input", e)),
        }
    }
    Ok(true)
}
