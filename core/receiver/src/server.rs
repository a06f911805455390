//! Connections: how many, for how long, from whom; and how they end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use throughline_core::{Clock, Error, Result};
use throughline_store::inbox::Inbox;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::{Network, household};
use crate::answer::{self, Answer};
use crate::endpoint::{Hook, Site, is_name};
use crate::route::{self, Done};
use crate::state::State;
use crate::tls::{Tls, TlsFiles};

#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// `None`: plain HTTP, for a proxy that speaks TLS.
    pub tls: Option<TlsFiles>,
    /// `/metrics` and `/healthz`, for us alone.
    pub metrics_listen: Option<SocketAddr>,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    pub hooks: Vec<Hook>,
    pub sites: Vec<Site>,
    pub limits: Limits,
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// Of one webhook. Meta's have up to 3 MB.
    pub body_bytes: usize,
    /// Of all bodies under way.
    pub bodies_bytes: usize,
    /// Of a request's head.
    pub head_bytes: usize,
    pub connections: usize,
    /// From one address that is no trusted proxy.
    pub connections_per_address: usize,
    /// A handshake and a head must have come whole by then, each; a connection with nothing to say is closed by
    /// then.
    pub head_timeout: Duration,
    pub body_timeout: Duration,
    /// A delivery that is not durable by then is answered 503. Meta waits 5 s.
    pub answer_timeout: Duration,
    /// Requests with events of sites, by address.
    pub events_per_second: u32,
    pub events_burst: u32,
    /// Webhooks that could not be verified, by address.
    pub guesses_per_second: u32,
    pub guesses_burst: u32,
    /// When told to stop, requests under way may take so long.
    pub stop_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            bodies_bytes: 128 << 20,
            head_bytes: 16 << 10,
            connections: 1024,
            connections_per_address: 64,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(20),
            answer_timeout: Duration::from_secs(4),
            events_per_second: 20,
            events_burst: 100,
            guesses_per_second: 1,
            guesses_burst: 30,
            stop_timeout: Duration::from_secs(10),
        }
    }
}

/// A server that listens and does not serve yet.
pub struct Receiver {
    state: Arc<State>,
    public: TcpListener,
    private: Option<TcpListener>,
    tls: Option<Arc<Tls>>,
}

impl Receiver {
    /// Binds its addresses.
    ///
    /// # Errors
    /// `Config` for a name that cannot stand in a path, two endpoints of one name, no endpoint, or files that
    /// are no certificate and key; `Io` when they cannot be read or an address cannot be had.
    pub async fn bind(settings: Settings, inbox: Inbox, clock: Arc<dyn Clock>) -> Result<Self> {
        let mut names: Vec<&str> = settings.hooks.iter().map(|h| h.source.as_str()).collect();
        names.extend(settings.sites.iter().map(|s| s.source.as_str()));
        names.sort_unstable();
        if names.is_empty() {
            return Err(Error::config("the receiver has nothing to receive")
                .hint("add a [receiver.hooks.NAME] or a [receiver.sites.NAME]"));
        }
        if let Some(bad) = names.iter().find(|n| !is_name(n)) {
            return Err(Error::config(format!("{bad:?} cannot stand in a path"))
                .hint("a name has 1 to 64 letters a-z, digits, _ or -"));
        }
        if let Some(pair) = names.windows(2).find(|pair| pair.first() == pair.last()) {
            return Err(Error::config(format!("two endpoints are named {:?}", pair.first().unwrap_or(&""))));
        }
        let tls = settings.tls.clone().map(Tls::open).transpose()?.map(Arc::new);
        if tls.is_none() && !settings.listen.ip().to_canonical().is_loopback() {
            tracing::warn!(
                "listening on {} without TLS: whoever is between a vendor and here reads and changes what comes; \
                 set [receiver.tls], or listen on 127.0.0.1 behind a proxy",
                settings.listen
            );
        }
        let public = listen(settings.listen).await?;
        let private = match settings.metrics_listen {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self { state: Arc::new(State::new(settings, inbox, clock)), public, private, tls })
    }

    /// Where it listens, and where its metrics are.
    pub fn addresses(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (self.public.local_addr().ok(), self.private.as_ref().and_then(|l| l.local_addr().ok()))
    }

    /// Serves until `stop`; then takes no more connections and waits for requests under way.
    pub async fn serve(self, stop: CancellationToken) {
        let Self { state, public, private, tls } = self;
        let tasks = TaskTracker::new();
        if let Some(private) = private {
            tasks.spawn(accept(state.clone(), private, Side::Private, stop.clone(), tasks.clone()));
        }
        if let Some(tls) = &tls {
            tasks.spawn(tls.clone().watch(stop.clone()));
        }
        let patience = state.settings.limits.stop_timeout;
        accept(state, public, Side::Public(tls), stop, tasks.clone()).await;
        tasks.close();
        if tokio::time::timeout(patience, tasks.wait()).await.is_err() {
            tracing::warn!("some requests did not end within {} s of the stop", patience.as_secs());
        }
    }
}

/// The open side, or the one for metrics.
#[derive(Clone)]
enum Side {
    Public(Option<Arc<Tls>>),
    Private,
}

async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Error::io("listen on", address, e).hint("is another receiver running there? see [receiver] listen")
    })
}

/// Connections of each address.
#[derive(Default)]
struct Crowd(Mutex<HashMap<IpAddr, usize>>);

impl Crowd {
    fn enter(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<Present> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Present { crowd: self.clone(), address })
    }
}

struct Present {
    crowd: Arc<Crowd>,
    address: IpAddr,
}

impl Drop for Present {
    fn drop(&mut self) {
        let mut all = self.crowd.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = all.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.address);
            }
        }
    }
}

async fn accept(
    state: Arc<State>,
    listener: TcpListener,
    side: Side,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let limits = &state.settings.limits;
    let private = matches!(side, Side::Private);
    // Who comes when all places are taken waits in the system's queue.
    let places = Arc::new(Semaphore::new(if private { 16 } else { limits.connections.max(1) }));
    let crowd = Arc::new(Crowd::default());
    loop {
        let place = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            place = places.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(e) => {
                // No file handle, mostly: others must end first.
                tracing::warn!("cannot take a connection: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let peer = peer.ip().to_canonical();
        let trusted = state.settings.trusted_proxies.iter().any(|n| n.contains(peer));
        let most = if trusted || private { usize::MAX } else { limits.connections_per_address };
        let Some(present) = crowd.enter(household(peer), most) else {
            state.nowhere.reject("connections");
            continue;
        };
        let (state, side, stop) = (state.clone(), side.clone(), stop.clone());
        tasks.spawn(async move {
            let _ = stream.set_nodelay(true);
            match side {
                Side::Private => connection(state, stream, peer, stop, true).await,
                Side::Public(None) => connection(state, stream, peer, stop, false).await,
                Side::Public(Some(tls)) => {
                    if let Some(stream) = handshake(&state, &tls, stream, peer, &stop).await {
                        connection(state, stream, peer, stop, false).await;
                    }
                }
            }
            drop((place, present));
        });
    }
}

/// `None` when it came to none, which is counted.
async fn handshake(
    state: &State,
    tls: &Tls,
    stream: TcpStream,
    peer: IpAddr,
    stop: &CancellationToken,
) -> Option<TlsStream<TcpStream>> {
    let accepting = TlsAcceptor::from(tls.config()).accept(stream);
    let done = tokio::select! {
        done = tokio::time::timeout(state.settings.limits.head_timeout, accepting) => done,
        () = stop.cancelled() => return None,
    };
    match done {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            state.nowhere.reject("handshake");
            tracing::debug!("no TLS with {peer}: {error}");
            None
        }
        Err(_) => {
            state.nowhere.reject("handshake_timeout");
            None
        }
    }
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(
    state: Arc<State>,
    stream: S,
    peer: IpAddr,
    stop: CancellationToken,
    private: bool,
) {
    let limits = &state.settings.limits;
    let shared = state.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let state = shared.clone();
        async move {
            let answer = if private {
                private_answer(&state, &request).await
            } else {
                logged(&state, peer, request).await
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(limits.head_bytes.max(8192));
    let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        // Slow heads and broken clients: the other side's affair, told to who asks for it.
        state.nowhere.reject(if error.is_timeout() { "head_timeout" } else { "connection" });
        tracing::debug!("a connection of {peer} ended: {error}");
    }
}

async fn logged(state: &State, peer: IpAddr, request: Request<Incoming>) -> Answer {
    let begun = Instant::now();
    let method = request.method().clone();
    let Done { answer, source, note, client } = route::handle(state, peer, request).await;
    // Neither path nor query: both may hold secrets.
    tracing::info!(
        target: "throughline_receiver::access",
        %client,
        %method,
        source = source.as_deref().unwrap_or("-"),
        status = answer.status().as_u16(),
        note,
        ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    );
    answer
}

async fn private_answer(state: &Arc<State>, request: &Request<Incoming>) -> Answer {
    if request.method() != Method::GET {
        return answer::method_not_allowed("GET");
    }
    match request.uri().path() {
        "/healthz" => route::health(state),
        "/metrics" => {
            let state = state.clone();
            match tokio::task::spawn_blocking(move || state.metrics()).await {
                Ok(text) => answer::with(StatusCode::OK, "text/plain; version=0.0.4", text),
                Err(_) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, "no metrics\n"),
            }
        }
        _ => answer::not_found(),
    }
}
