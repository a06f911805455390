//! Waits on loopback for the one request of the browser.

use std::convert::Infallible;
use std::io::ErrorKind as IoKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use throughline_core::{Error, Result};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::page::Page;
use super::ticket::{Answer, Ticket};
use crate::answer;

/// A browser opens a handful.
const CONNECTIONS: usize = 16;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_BYTES: usize = 16 << 10;
/// After the last word, a page may take so long to get out.
const LEAVE: Duration = Duration::from_secs(2);

/// What the browser brought; it waits for the page.
pub struct Brought {
    pub answer: Answer,
    page: oneshot::Sender<Page>,
}

impl Brought {
    /// Shows the person how it ended.
    pub fn tell(self, page: Page) {
        // Whoever closed the window reads it in the terminal.
        let _ = self.page.send(page);
    }
}

/// Listens on 127.0.0.1, until it is closed.
pub struct Desk {
    port: u16,
    brought: mpsc::Receiver<Brought>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The one place there is; empty once somebody had it.
type Place = Arc<Mutex<Option<mpsc::Sender<Brought>>>>;

impl Desk {
    /// `port` 0 is any that is free; `path` is where the browser comes back to.
    ///
    /// # Errors
    /// `Config` when the port is in use, `Io` when it cannot be had.
    pub async fn open(port: u16, path: &str, ticket: Arc<Ticket>) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.map_err(|e| match e.kind() {
            IoKind::AddrInUse => Error::config(format!("port {port} of this machine is in use")).hint(
                "end what listens there, or take another by --port that is registered with the vendor too",
            ),
            IoKind::PermissionDenied => {
                Error::config(format!("port {port} is not for everybody")).hint("take one from 1024 on")
            }
            _ => Error::io("listen on", address, e),
        })?;
        let port = listener.local_addr().map_err(|e| Error::io("listen on", address, e))?.port();
        let (sender, brought) = mpsc::channel(1);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let place: Place = Arc::new(Mutex::new(Some(sender)));
        tasks.spawn(accept(listener, place, path.to_owned(), ticket, stop.clone(), tasks.clone()));
        Ok(Self { port, brought, stop, tasks })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The first request that is an answer, or pretends to be one.
    pub async fn wait(&mut self) -> Result<Brought> {
        let brought = self.brought.recv().await;
        brought.ok_or_else(|| Error::bug("nobody listens for the browser any more"))
    }

    /// Takes no more requests, and lets the last page out.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        let _ = tokio::time::timeout(LEAVE, self.tasks.wait()).await;
    }
}

async fn accept(
    listener: TcpListener,
    place: Place,
    path: String,
    ticket: Arc<Ticket>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let path: Arc<str> = path.into();
    loop {
        let Ok(permit) = places.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (place, path, ticket, stop) = (place.clone(), path.clone(), ticket.clone(), stop.clone());
        tasks.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (place, path, ticket) = (place.clone(), path.clone(), ticket.clone());
                async move { Ok::<_, Infallible>(one(&place, &path, &ticket, &request).await) }
            });
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_buf_size(HEAD_BYTES);
            let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!("a connection of the browser ended: {error}");
            }
            drop(permit);
        });
    }
}

async fn one(place: &Place, path: &str, ticket: &Ticket, request: &Request<Incoming>) -> answer::Answer {
    // A page of somebody else's, whose name leads here, is no browser coming back.
    let host = request.headers().get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !matches!(host, "127.0.0.1" | "localhost") {
        return answer::text(StatusCode::MISDIRECTED_REQUEST, "not here\n");
    }
    if request.uri().path() != path {
        return answer::not_found();
    }
    if request.method() != Method::GET {
        return answer::method_not_allowed("GET");
    }
    let answer = ticket.read(request.uri().query().unwrap_or_default());
    if matches!(answer, Answer::Nothing) {
        let page = Page::bad(
            "Nothing came",
            "This address holds neither a code nor a refusal. Begin again from the terminal.",
        );
        return page.answer(StatusCode::BAD_REQUEST);
    }
    let sender = place.lock().unwrap_or_else(PoisonError::into_inner).take();
    let (page, told) = oneshot::channel();
    let used =
        || Page::bad("Answered already", "The terminal says how it ended.").answer(StatusCode::CONFLICT);
    let Some(sender) = sender else { return used() };
    if sender.send(Brought { answer, page }).await.is_err() {
        return used();
    }
    match told.await {
        Ok(page) if page.good => page.answer(StatusCode::OK),
        Ok(page) => page.answer(StatusCode::BAD_REQUEST),
        Err(_) => {
            Page::bad("Broken off", "The program ended before it was done. Begin again from the terminal.")
                .answer(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}
