//! A PostgreSQL client of no more than a sink needs: simple queries and `COPY ... FROM STDIN`.
//!
//! The protocol is version 3.0 (PostgreSQL manual, "Frontend/Backend Protocol"). It is spoken here because
//! every client crate brings a codec or a random source that would give DataFusion's dependencies other
//! features. A connection whose future was dropped halfway must be dropped too: nobody knows what is on the
//! way.

mod auth;
mod error;
mod frame;
mod tls;

use std::path::Path;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use throughline_core::{Error, ErrorKind, Result, Secret};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) use error::Failure;
use frame::{Frames, Tag, protocol};
pub(crate) use tls::Tls;

/// Between the first packet and the server's readiness.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Silence after which the system asks whether the other side is still there.
const ALIVE: Duration = Duration::from_secs(60);
/// Rows go to the server in frames of this size.
const COPY_FRAME: usize = 1 << 18;

/// Where the server is and who we are.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// A name, an address, or the folder of a Unix socket.
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<Secret>,
    pub tls: Option<Tls>,
}

impl Target {
    pub(crate) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// For messages: `db.example.com:5432/shop`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Rows of one result: every value as its text, `None` for null.
pub(crate) type Rows = Vec<Vec<Option<String>>>;

/// What a simple query gave: the last result with rows, and how many rows the last command touched.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub rows: Rows,
    pub touched: u64,
}

pub(crate) struct Connection {
    frames: Frames<Box<dyn Stream>>,
    /// As the server says it, e.g. `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    pub encrypted: bool,
}

impl Connection {
    /// Connects and signs in.
    pub(crate) async fn open(target: &Target) -> Result<Self, Failure> {
        match tokio::time::timeout(CONNECT_TIMEOUT, Self::open_now(target)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::lost(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    async fn open_now(target: &Target) -> Result<Self, Failure> {
        let lost = |e: std::io::Error| Failure::lost(e.to_string());
        let (stream, encrypted): (Box<dyn Stream>, bool) = if target.is_socket() {
            let path = Path::new(&target.host).join(format!(".s.PGSQL.{}", target.port));
            (socket(&path).await?, false)
        } else {
            let mut tcp = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(lost)?;
            tcp.set_nodelay(true).map_err(lost)?;
            // A query may take an hour without a word; a server that is gone must not.
            let alive = TcpKeepalive::new().with_time(ALIVE).with_interval(ALIVE / 4).with_retries(4);
            SockRef::from(&tcp).set_tcp_keepalive(&alive).map_err(lost)?;
            match &target.tls {
                None => (Box::new(tcp), false),
                Some(tls) => {
                    // SSLRequest. One byte is read and no more: what came in clear must not count as said in TLS.
                    tcp.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await.map_err(lost)?;
                    let mut answer = [0];
                    tcp.read_exact(&mut answer).await.map_err(lost)?;
                    if answer != *b"S" {
                        return Err(Failure::permanent(Error::config("the server does not speak TLS").hint(
                            "turn `ssl` on in the server; tls = \"off\" sends data and rights in clear",
                        )));
                    }
                    (Box::new(tls.wrap(tcp, &target.host).await?), true)
                }
            }
        };
        let mut connection = Self { frames: Frames::new(stream), server_version: String::new(), encrypted };
        connection.sign_in(target).await?;
        Ok(connection)
    }

    async fn sign_in(&mut self, target: &Target) -> Result<(), Failure> {
        self.frames.startup(&[
            ("user", &target.user),
            ("database", &target.database),
            ("application_name", "throughline"),
            ("client_encoding", "UTF8"),
        ])?;
        self.frames.flush().await?;
        let hidden = self.encrypted || target.is_socket() || is_loopback(&target.host);
        let mut auth = auth::Auth::new(&target.user, target.password.as_ref(), hidden);
        loop {
            let (tag, body) = self.frames.read().await?;
            match tag {
                Tag::Authentication => match auth.answer(&body)? {
                    auth::Next::Wait => {}
                    auth::Next::Say(words) => {
                        self.frames.write(b'p', &words)?;
                        self.frames.flush().await?;
                    }
                },
                Tag::ParameterStatus => {
                    let mut parts = body.split(|b| *b == 0);
                    if parts.next() == Some(b"server_version") {
                        self.server_version =
                            String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
                    }
                }
                Tag::Error => return Err(Failure::server(&body)),
                Tag::Ready if auth.done() => return Ok(()),
                Tag::Ready => return Err(protocol("the server was ready before it knew who we are")),
                Tag::KeyData | Tag::Notice => {}
                other => return Err(protocol(format!("{other:?} while signing in"))),
            }
        }
    }

    /// The version's first number, e.g. 15; 0 when the server does not say.
    pub(crate) fn major(&self) -> u32 {
        let digits: String = self.server_version.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    }

    /// Runs one or more statements. Values stand in them as literals: see [`super::names::literal`].
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Answer, Failure> {
        self.send_query(sql).await?;
        let mut answer = Answer::default();
        let mut failed = None;
        loop {
            let (tag, body) = match self.frames.read().await {
                Ok(message) => message,
                // A server that ends the connection has said why just before.
                Err(lost) => return Err(failed.unwrap_or(lost)),
            };
            match tag {
                Tag::RowDescription => answer.rows.clear(),
                Tag::DataRow => answer.rows.push(frame::row(&body)?),
                Tag::Complete => answer.touched = frame::touched(&body),
                Tag::Error => failed = Some(Failure::server(&body)),
                Tag::Ready => return failed.map_or(Ok(answer), Err),
                Tag::CopyIn => return Err(protocol("COPY where a query was expected")),
                Tag::EmptyQuery | Tag::Notice | Tag::ParameterStatus | Tag::Notification => {}
                other => return Err(protocol(format!("{other:?} in the answer to a query"))),
            }
        }
    }

    /// `COPY ... FROM STDIN` with all of its data; gives the rows that arrived.
    pub(crate) async fn copy(&mut self, sql: &str, data: &[u8]) -> Result<u64, Failure> {
        self.send_query(sql).await?;
        let mut failed = None;
        loop {
            let (tag, body) = match self.frames.read().await {
                Ok(message) => message,
                Err(lost) => return Err(failed.unwrap_or(lost)),
            };
            match tag {
                Tag::CopyIn => break,
                Tag::Error => failed = Some(Failure::server(&body)),
                Tag::Ready => {
                    return Err(failed.unwrap_or_else(|| protocol("COPY was answered by nothing")));
                }
                Tag::Notice | Tag::ParameterStatus | Tag::Notification => {}
                other => return Err(protocol(format!("{other:?} in the answer to COPY"))),
            }
        }
        let sent = async {
            for part in data.chunks(COPY_FRAME) {
                self.frames.write_through(b'd', part).await?;
            }
            self.frames.write(b'c', &[])?;
            self.frames.flush().await
        };
        // When sending fails, the server's last words may still be there to be read.
        let mut failed = sent.await.err();
        let mut rows = 0;
        loop {
            let (tag, body) = match self.frames.read().await {
                Ok(message) => message,
                Err(lost) => return Err(failed.unwrap_or(lost)),
            };
            match tag {
                Tag::Complete => rows = frame::touched(&body),
                Tag::Error => failed = Some(Failure::server(&body)),
                Tag::Ready => return failed.map_or(Ok(rows), Err),
                Tag::Notice | Tag::ParameterStatus | Tag::Notification => {}
                other => return Err(protocol(format!("{other:?} after COPY"))),
            }
        }
    }

    async fn send_query(&mut self, sql: &str) -> Result<(), Failure> {
        if sql.contains('\0') {
            return Err(Failure::permanent(Error::bug("a NUL in a statement")));
        }
        let mut body = Vec::with_capacity(sql.len() + 1);
        body.extend_from_slice(sql.as_bytes());
        body.push(0);
        self.frames.write(b'Q', &body)?;
        self.frames.flush().await
    }

    /// Says goodbye, so that the server's log holds no broken connection.
    pub(crate) async fn close(mut self) {
        if self.frames.write(b'X', &[]).is_ok() {
            let _ = self.frames.flush().await;
        }
    }
}

#[cfg(unix)]
async fn socket(path: &Path) -> Result<Box<dyn Stream>, Failure> {
    let opened = tokio::net::UnixStream::connect(path).await;
    Ok(Box::new(opened.map_err(|e| Failure::lost(format!("{}: {e}", path.display())))?))
}
#[cfg(not(unix))]
async fn socket(_: &Path) -> Result<Box<dyn Stream>, Failure> {
    Err(Failure::permanent(Error::unsupported("this system has no Unix sockets: name the server as `host`")))
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error of authentication.
fn refused(message: impl Into<String>) -> Failure {
    Failure::permanent(Error::new(ErrorKind::Auth, message))
}
