//! Connections to PostgreSQL, for the sink that writes there and the source that reads there.
//!
//! tokio-postgres speaks the protocol. Here is what it leaves to its callers: which servers are trusted and with
//! what ([`Tls`], [`guard`]), limits, which failures may pass ([`Failure`]). A connection whose future was dropped
//! halfway must be dropped too: nobody knows what is on the way. Its socket closes at once, and the server undoes
//! what was not committed.

mod failure;
mod guard;
mod tls;

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use socket2::{SockRef, TcpKeepalive};
use throughline_core::{Error, Result, Secret};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

pub use failure::Failure;
use guard::Guard;
pub use tls::Tls;

/// Between the first packet and the server's readiness.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Silence after which the system asks whether the other side is still there.
const ALIVE: Duration = Duration::from_secs(60);
/// Rows go to the server in frames of this size.
const COPY_FRAME: usize = 1 << 18;
/// For a goodbye, and for the last words of a connection that broke.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Where the server is and who we are.
#[derive(Clone, Debug)]
pub struct Target {
    /// A name, an address, or the folder of a Unix socket.
    pub host: String,
    pub port: u16,
    pub database: String,
    pub user: String,
    pub password: Option<Secret>,
    /// `None`: without TLS.
    pub tls: Option<Tls>,
}

impl Target {
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// For messages: `db.example.com:5432/shop`.
    pub fn place(&self) -> String {
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Rows of one result: every value as its text, `None` for null.
pub type Rows = Vec<Vec<Option<String>>>;

/// What a simple query gave: the last result with rows, and how many rows the last command touched.
#[derive(Debug, Default)]
pub struct Answer {
    pub rows: Rows,
    pub touched: u64,
}

pub struct Connection {
    client: Client,
    /// Carries messages between the client and the socket.
    driver: Driver,
    /// As the server says it, e.g. `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    pub encrypted: bool,
}

struct Driver(JoinHandle<Result<(), tokio_postgres::Error>>);

impl Drop for Driver {
    fn drop(&mut self) {
        // Not when the statement at hand is done, but now.
        self.0.abort();
    }
}

impl Connection {
    /// Connects and signs in.
    ///
    /// # Errors
    /// No connection; no trust, on either side.
    pub async fn open(target: &Target) -> Result<Self, Failure> {
        match tokio::time::timeout(CONNECT_TIMEOUT, Self::open_now(target)).await {
            Ok(done) => done,
            Err(_) => Err(Failure::lost(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    async fn open_now(target: &Target) -> Result<Self, Failure> {
        for (name, value) in [("user", &target.user), ("database", &target.database)] {
            if value.contains('\0') {
                return Err(Failure::permanent(Error::config(format!("{name} holds a NUL character"))));
            }
        }
        let encrypted = target.tls.is_some() && !target.is_socket();
        // Nobody on the way reads what we say.
        let hidden = encrypted || target.is_socket() || is_loopback(&target.host);
        let stream = Guard::new(stream(target).await?, &target.user, target.password.is_some(), hidden);
        let mut config = tokio_postgres::Config::new();
        config.user(&target.user).dbname(&target.database).application_name("throughline");
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        if let Some(password) = &target.password {
            config.password(password.expose());
        }
        let (client, connection) =
            config.connect_raw(stream, NoTls).await.map_err(|e| Failure::signing_in(&e))?;
        let server_version = connection.parameter("server_version").unwrap_or_default().to_owned();
        Ok(Self { client, driver: Driver(tokio::spawn(connection)), server_version, encrypted })
    }

    /// The version's first number, e.g. 15; 0 when the server does not say.
    pub fn major(&self) -> u32 {
        let digits: String = self.server_version.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or(0)
    }

    /// For queries with rows in the protocol's binary form. What they fail with goes through [`Self::failed`].
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs one or more statements. Values stand in them as literals.
    ///
    /// # Errors
    /// The server's; the connection is gone.
    pub async fn query(&mut self, sql: &str) -> Result<Answer, Failure> {
        let done = async {
            let mut messages = pin!(self.client.simple_query_raw(sql).await?);
            let mut answer = Answer::default();
            while let Some(message) = messages.next().await {
                match message? {
                    SimpleQueryMessage::RowDescription(_) => answer.rows.clear(),
                    SimpleQueryMessage::Row(row) => {
                        let value = |i| row.try_get(i).map(|v: Option<&str>| v.map(str::to_owned));
                        answer.rows.push((0..row.len()).map(value).collect::<Result<_, _>>()?);
                    }
                    SimpleQueryMessage::CommandComplete(touched) => answer.touched = touched,
                    _ => {}
                }
            }
            Ok::<_, tokio_postgres::Error>(answer)
        };
        match done.await {
            Ok(answer) => Ok(answer),
            Err(e) => Err(self.failed(&e).await),
        }
    }

    /// `COPY ... FROM STDIN` with all of its data; gives the rows that arrived.
    ///
    /// # Errors
    /// The server's; the connection is gone.
    pub async fn copy(&mut self, sql: &str, data: &Bytes) -> Result<u64, Failure> {
        let done = async {
            let mut sink = pin!(self.client.copy_in::<_, Bytes>(sql).await?);
            let mut from = 0;
            while from < data.len() {
                let to = data.len().min(from + COPY_FRAME);
                sink.feed(data.slice(from..to)).await?;
                from = to;
            }
            sink.finish().await
        };
        match done.await {
            Ok(rows) => Ok(rows),
            Err(e) => Err(self.failed(&e).await),
        }
    }

    /// What an error of the client means. Where the connection ended, the reason is what ended it.
    pub async fn failed(&mut self, error: &tokio_postgres::Error) -> Failure {
        if error.is_closed()
            && let Ok(Ok(Err(ended))) = tokio::time::timeout(LAST_WORDS, &mut self.driver.0).await
        {
            // Awaited to its end, it must not be awaited again.
            self.driver = Driver(tokio::spawn(async { Ok(()) }));
            return Failure::of(&ended);
        }
        Failure::of(error)
    }

    /// Says goodbye, so that the server's log holds no broken connection.
    pub async fn close(self) {
        let Self { client, mut driver, .. } = self;
        // The driver says it and ends when its client is gone.
        drop(client);
        let _ = tokio::time::timeout(LAST_WORDS, &mut driver.0).await;
    }
}

async fn stream(target: &Target) -> Result<Box<dyn Stream>, Failure> {
    let lost = |e: std::io::Error| Failure::lost(e.to_string());
    if target.is_socket() {
        let path = Path::new(&target.host).join(format!(".s.PGSQL.{}", target.port));
        return socket(&path).await;
    }
    let mut tcp = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(lost)?;
    tcp.set_nodelay(true).map_err(lost)?;
    // A query may take an hour without a word; a server that is gone must not.
    let alive = TcpKeepalive::new().with_time(ALIVE).with_interval(ALIVE / 4).with_retries(4);
    SockRef::from(&tcp).set_tcp_keepalive(&alive).map_err(lost)?;
    let Some(tls) = &target.tls else { return Ok(Box::new(tcp)) };
    // SSLRequest. One byte is read and no more: what came in clear must not count as said in TLS.
    tcp.write_all(&[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]).await.map_err(lost)?;
    let mut answer = [0];
    tcp.read_exact(&mut answer).await.map_err(lost)?;
    if answer != *b"S" {
        return Err(Failure::permanent(
            Error::config("the server does not speak TLS")
                .hint("turn `ssl` on in the server; tls = \"off\" sends data and rights in clear"),
        ));
    }
    Ok(Box::new(tls.wrap(tcp, &target.host).await?))
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
pub fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
