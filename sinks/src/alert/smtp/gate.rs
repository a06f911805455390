//! The socket below lettre: no answer without an end, and nothing said in clear counts once TLS was asked for.
//!
//! lettre buffers what it reads and takes the buffer along into TLS. So a line at a time goes up while the talk is in
//! clear; when TLS begins and another line has come already, somebody in between said it (CVE-2011-0411).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Of one conversation; a usual one has a few thousand.
const MOST_BYTES: usize = 256 << 10;
const AT_ONCE: usize = 4 << 10;
/// RFC 5321 has lines of 512.
const MOST_LINE_BYTES: usize = 4 << 10;

pub(super) const IN_CLEAR: &str = "something was said in clear after STARTTLS";
const ENDLESS: &str = "its answers have no end";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Lines,
    /// STARTTLS was sent: the next line is its answer, and what is written then is TLS.
    Asked,
    /// Bytes of TLS.
    Through,
}

#[derive(Debug)]
pub(super) struct Gate {
    tcp: TcpStream,
    phase: Phase,
    /// Read and not handed on yet.
    kept: Vec<u8>,
    /// Of the line that has no end yet.
    line: usize,
    room: usize,
}

impl Gate {
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, phase: Phase::Lines, kept: Vec::new(), line: 0, room: MOST_BYTES }
    }

    fn count(&mut self, read: usize) -> io::Result<()> {
        self.room = self.room.checked_sub(read).ok_or_else(|| io::Error::other(ENDLESS))?;
        Ok(())
    }
}

impl AsyncTokioStream for Gate {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.peer_addr()
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let gate = &mut *self;
        if gate.phase == Phase::Through {
            let before = buf.filled().len();
            ready!(Pin::new(&mut gate.tcp).poll_read(cx, buf))?;
            return Poll::Ready(gate.count(buf.filled().len() - before));
        }
        if gate.kept.is_empty() {
            let mut bytes = [0; AT_ONCE];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut gate.tcp).poll_read(cx, &mut read))?;
            gate.count(read.filled().len())?;
            gate.kept.extend_from_slice(read.filled());
        }
        let end = gate.kept.iter().position(|b| *b == b'\n');
        let some = end.map_or(gate.kept.len(), |at| at + 1).min(buf.remaining());
        gate.line = if gate.kept[..some].ends_with(b"\n") { 0 } else { gate.line + some };
        if gate.line > MOST_LINE_BYTES {
            return Poll::Ready(Err(io::Error::other(ENDLESS)));
        }
        buf.put_slice(&gate.kept[..some]);
        gate.kept.drain(..some);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gate {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let gate = &mut *self;
        if gate.phase == Phase::Asked {
            if !gate.kept.is_empty() {
                return Poll::Ready(Err(io::Error::other(IN_CLEAR)));
            }
            gate.phase = Phase::Through;
        }
        let written = ready!(Pin::new(&mut gate.tcp).poll_write(cx, data))?;
        if gate.phase == Phase::Lines && data.starts_with(b"STARTTLS\r\n") {
            gate.phase = Phase::Asked;
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
