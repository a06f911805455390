//! Frames between a host and a plugin's process: kind, JSON, body.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::services::HttpCall;
use crate::session::Ask;

/// A frame's body is at most this long, so that a broken length is not an allocation.
const MAX_BODY: u32 = 1 << 31;
const MAX_JSON: u32 = 256 << 20;

/// From the host to the plugin's process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "to")]
pub(crate) enum ToChild {
    Load {
        path: std::path::PathBuf,
    },
    Ask {
        ask: Ask,
    },
    /// Schema of the rows to come: an Arrow IPC stream without batches.
    RowsAre,
    /// Rows for the writer: an Arrow IPC stream.
    Write,
    /// Answer to [`FromChild::Call`]; of an HTTP exchange the body follows.
    Served {
        answer: Result<Value, Failure>,
    },
    /// Nothing is answered to it.
    Stop,
}

/// From the plugin's process to the host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "from")]
pub(crate) enum FromChild {
    Answer {
        answer: Result<Value, Failure>,
    },
    /// After a good answer to `ReadOpen` these follow without being asked for, until the end or a failure.
    /// `fresh`: the body begins an Arrow IPC stream, with its schema; else it goes on with it.
    Rows {
        about: Value,
        fresh: bool,
    },
    Event {
        kind: i32,
        json: Value,
    },
    End,
    Failed {
        failure: Failure,
    },
    /// A service that needs an answer.
    Call {
        call: Call,
    },
    Log {
        level: i32,
        message: String,
        fields: String,
    },
    Metric {
        name: String,
        kind: i32,
        value: f64,
        labels: String,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "call")]
pub(crate) enum Call {
    Sleep { ms: u64 },
    Now,
    Secret { name: String },
    Http { request: HttpCall },
}

/// Writes one frame. The body may come in pieces.
pub(crate) fn send<T: Serialize>(to: &mut impl Write, frame: &T, body: &[&[u8]]) -> std::io::Result<()> {
    let json = serde_json::to_vec(frame)?;
    let length = body.iter().map(|piece| piece.len()).sum::<usize>();
    let too_long = |_| std::io::Error::new(std::io::ErrorKind::InvalidData, "a frame over 2 GiB");
    let mut head = [0_u8; 8];
    head[..4].copy_from_slice(&u32::try_from(json.len()).map_err(too_long)?.to_le_bytes());
    head[4..].copy_from_slice(&u32::try_from(length).map_err(too_long)?.to_le_bytes());
    to.write_all(&head)?;
    to.write_all(&json)?;
    for piece in body {
        to.write_all(piece)?;
    }
    to.flush()
}

/// Reads one frame; `None` at the end between two frames.
pub(crate) fn receive<T: for<'a> Deserialize<'a>>(
    from: &mut impl Read,
) -> std::io::Result<Option<(T, Vec<u8>)>> {
    let mut head = [0_u8; 8];
    let mut filled = 0;
    while filled < head.len() {
        match from.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => filled += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let length = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (json, body) = (length(0), length(4));
    if json > MAX_JSON || body > MAX_BODY {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "a frame that is too long"));
    }
    let json = exactly(from, json)?;
    let body = exactly(from, body)?;
    Ok(Some((serde_json::from_slice(&json)?, body)))
}

/// Grows as bytes come: a lying length costs no memory.
fn exactly(from: &mut impl Read, length: u32) -> std::io::Result<Vec<u8>> {
    let length = length as usize;
    let mut bytes = Vec::with_capacity(length.min(4 << 20));
    from.take(length as u64).read_to_end(&mut bytes)?;
    if bytes.len() == length { Ok(bytes) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}
