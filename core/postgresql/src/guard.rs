//! Between the client and the socket: looks at what a server says before the client answers it.
//!
//! The client gives a password in clear to whoever asks, counts as many rounds of SCRAM as it is told, and takes
//! messages of any length.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use throughline_core::ErrorKind;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A server that asks for more rounds wants our time.
const MOST_ROUNDS: u32 = 1_000_000;
/// No message before the first query is nearly as long.
const LONGEST_BEFORE: usize = 1 << 16;
/// No row that we ask for is nearly as long.
const LONGEST: usize = 64 << 20;

/// Why a server's message goes no further.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub kind: ErrorKind,
    pub message: String,
    pub hint: &'static str,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Refusal {}

pub(crate) struct Guard<S> {
    stream: S,
    watch: Watch,
}

impl<S> Guard<S> {
    /// `hidden`: nobody on the way reads what we say.
    pub(crate) fn new(stream: S, user: &str, password: bool, hidden: bool) -> Self {
        let watch = Watch {
            user: user.to_owned(),
            password,
            hidden,
            signed_in: false,
            head: [0; 5],
            have: 0,
            left: 0,
            body: Vec::new(),
        };
        Self { stream, watch }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guard<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, watch } = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(stream).poll_read(cx, buf);
        if let Poll::Ready(Ok(())) = &read
            && let Err(refusal) = watch.see(buf.filled().get(before..).unwrap_or_default())
        {
            buf.set_filled(before);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Messages of the protocol (manual, "Message Formats"): a letter, a length that counts itself, a body.
struct Watch {
    user: String,
    password: bool,
    hidden: bool,
    signed_in: bool,
    head: [u8; 5],
    have: usize,
    /// Bytes of the body still to come.
    left: usize,
    /// Of an Authentication message.
    body: Vec<u8>,
}

impl Watch {
    fn see(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            if self.have < self.head.len() {
                let (now, rest) = bytes.split_at(bytes.len().min(self.head.len() - self.have));
                if let Some(place) = self.head.get_mut(self.have..self.have + now.len()) {
                    place.copy_from_slice(now);
                }
                self.have += now.len();
                bytes = rest;
                if self.have < self.head.len() {
                    return Ok(());
                }
                self.left = self.length()?;
            } else {
                let (now, rest) = bytes.split_at(bytes.len().min(self.left));
                if !self.signed_in && self.head[0] == b'R' {
                    self.body.extend_from_slice(now);
                }
                self.left -= now.len();
                bytes = rest;
            }
            if self.left == 0 {
                self.have = 0;
                if !self.signed_in && self.head[0] == b'R' {
                    let body = std::mem::take(&mut self.body);
                    self.authentication(&body)?;
                }
            }
        }
        Ok(())
    }

    fn length(&self) -> Result<usize, Refusal> {
        let [letter, a, b, c, d] = self.head;
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).ok().and_then(|n| n.checked_sub(4));
        let (known, most) =
            if self.signed_in { (true, LONGEST) } else { (b"RSKNEvZ".contains(&letter), LONGEST_BEFORE) };
        match length {
            Some(length) if known && length <= most => Ok(length),
            Some(length) if self.signed_in && letter == b'D' => Err(Refusal {
                kind: ErrorKind::Data,
                message: format!("a row has {length} bytes; more than {LONGEST} are not read"),
                hint: "leave its longest columns out of the query",
            }),
            _ => Err(Refusal {
                kind: ErrorKind::Protocol,
                message:
                    "PostgreSQL's protocol: a message of an impossible length: is this a PostgreSQL server?"
                        .into(),
                hint: "see host and port",
            }),
        }
    }

    fn authentication(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let refused = |message: String, hint| Err(Refusal { kind: ErrorKind::Auth, message, hint });
        let (kind, rest) = body.split_at_checked(4).unwrap_or((&[0xff; 4], &[]));
        let kind = kind.iter().fold(0_u32, |n, b| n << 8 | u32::from(*b));
        if matches!(kind, 3 | 5 | 10) && !self.password {
            return Err(Refusal {
                kind: ErrorKind::Config,
                message: format!("the server asks {:?} for a password", self.user),
                hint: "set password = { env = \"NAME\" }",
            });
        }
        match kind {
            0 => self.signed_in = true,
            3 if !self.hidden => {
                return refused(
                    "the server asks for the password in clear over a connection without TLS".into(),
                    "use tls = \"verify\"",
                );
            }
            3 | 5 | 10 | 12 => {}
            11 => {
                let mut fields = rest.split(|b| *b == b',');
                let rounds = fields.find_map(|f| f.strip_prefix(b"i=")).unwrap_or_default();
                let rounds = String::from_utf8_lossy(rounds);
                if !rounds.parse().is_ok_and(|n: u32| (1..=MOST_ROUNDS).contains(&n)) {
                    return refused(format!("the server asks for {rounds:?} rounds of SCRAM"), "");
                }
            }
            other => {
                let what = format!("the server asks for authentication {other}, which we do not know");
                return refused(what, "use scram-sha-256 in the server's pg_hba.conf");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn message(letter: u8, body: &[u8]) -> Vec<u8> {
        let mut whole = vec![letter];
        whole.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        whole.extend_from_slice(body);
        whole
    }
    fn asks(kind: u32, rest: &[u8]) -> Vec<u8> {
        message(b'R', &[&kind.to_be_bytes(), rest].concat())
    }
    /// What a client reads of it, in pieces of `step` bytes.
    async fn read(said: &[u8], step: usize, password: bool, hidden: bool) -> Result<Vec<u8>, String> {
        let (mut server, client) = tokio::io::duplex(step);
        let mut guard = Guard::new(client, "bob", password, hidden);
        let said = said.to_vec();
        tokio::spawn(async move { server.write_all(&said).await });
        let mut all = Vec::new();
        guard.read_to_end(&mut all).await.map(|_| all).map_err(|e| e.to_string())
    }

    #[tokio::test]
    async fn a_password_goes_out_in_clear_only_where_nobody_listens() {
        for step in [1, 3, 4096] {
            let clear = asks(3, b"");
            let error = read(&clear, step, true, false).await.unwrap_err();
            assert!(error.contains("in clear"), "{error}");
            assert_eq!(read(&clear, step, true, true).await.unwrap(), clear);
            // Not behind something harmless either.
            let behind = [message(b'N', b"hello\0"), clear.clone()].concat();
            assert!(read(&behind, step, true, false).await.is_err());
            for asked in [clear, asks(5, b"salt"), asks(10, b"SCRAM-SHA-256\0\0")] {
                let error = read(&asked, step, false, true).await.unwrap_err();
                assert!(error.contains("\"bob\" for a password"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn rounds_kinds_and_lengths_have_limits() {
        for step in [1, 4096] {
            let ok = asks(11, b"r=x,s=AAAA,i=4096");
            assert_eq!(read(&ok, step, true, false).await.unwrap(), ok);
            for (bad, word) in [
                (asks(11, b"r=x,s=AAAA,i=4000000000"), "rounds"),
                (asks(11, b"r=x,s=AAAA"), "rounds"),
                (asks(7, b""), "authentication 7"),
                (message(b'R', b""), "authentication"),
                (b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "is this a PostgreSQL server?"),
                (vec![b'R', 0xff, 0xff, 0xff, 0xff], "impossible length"),
                ([asks(0, b""), vec![b'D', 0x7f, 0, 0, 0]].concat(), "a row has 2130706428 bytes"),
            ] {
                let error = read(&bad, step, true, true).await.unwrap_err();
                assert!(error.contains(word), "{error}");
            }
            // Once signed in, what looks like a question is data.
            let later =
                [asks(0, b""), message(b'Z', b"I"), message(b'D', &[0; 70_000]), asks(3, b"")].concat();
            assert_eq!(read(&later, step, true, false).await.unwrap(), later);
        }
    }
}
