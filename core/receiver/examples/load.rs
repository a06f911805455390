//! How many durable webhooks a second, and how long each waits: the receiver beside a server of the same
//! library that keeps nothing, in one run, with the load's own threads on the same machine.
//!
//! `cargo run --release -p throughline-receiver --example load [SECONDS [flat]]`
//!
//! With `flat`, 256 connections for so many seconds (300 and more): resident memory each 10 seconds, load
//! included, which fails when the last minute has over a tenth more than the second.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, Mac};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sha2::Sha256;
use throughline_core::{Secret, SystemClock};
use throughline_receiver::{Hook, Limits, Receiver, Settings, Verify, outlet};
use throughline_store::inbox::{INBOX_FILE, Inbox, InboxOptions, InboxReader, Retention};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const KEY: &[u8] = b"test_app_secret";

type Done<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Done {
    let mut words = std::env::args().skip(1);
    let seconds = words.next().and_then(|s| s.parse().ok()).unwrap_or(5);
    let time = Duration::from_secs(seconds);
    let runtime = tokio::runtime::Runtime::new()?;
    match words.next().as_deref() {
        Some("flat") => runtime.block_on(flat(time)),
        Some(other) => Err(format!("{other:?} is no option; there is flat").into()),
        None => runtime.block_on(run(time)),
    }
}

/// The receiver with all behind it, over a folder of its own.
struct Whole {
    folder: tempfile::TempDir,
    inbox: Inbox,
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    done: CancellationToken,
    handing_on: JoinHandle<()>,
}

impl Whole {
    async fn start() -> Done<Self> {
        let folder = tempfile::tempdir()?;
        let options = InboxOptions {
            retention: Retention { keep: Some(Duration::ZERO), ..Retention::default() },
            upkeep_every: Duration::from_secs(1),
            ..InboxOptions::default()
        };
        let inbox = Inbox::open(folder.path().join(INBOX_FILE), options)?;
        let verify = Verify::Meta { app_secret: Secret::new("test_app_secret"), verify_token: None };
        let settings = Settings {
            listen: "127.0.0.1:0".parse()?,
            tls: None,
            metrics_listen: None,
            trusted_proxies: vec!["127.0.0.1".parse()?],
            hooks: vec![Hook { source: "wa".into(), verify }],
            sites: Vec::new(),
            limits: Limits::default(),
        };
        let server = Receiver::bind(settings, inbox.clone(), Arc::new(SystemClock)).await?;
        let address = server.addresses().0.ok_or("the receiver has no address")?;
        let (stop, done) = (CancellationToken::new(), CancellationToken::new());
        let serving = tokio::spawn(server.serve(stop.clone()));
        let files = folder.path().join("inbox");
        let handing_on = tokio::spawn(outlet(inbox.clone(), vec!["wa".into()], files, done.clone()));
        Ok(Self { folder, inbox, address, stop, serving, done, handing_on })
    }

    /// What was acknowledged is there: a fast answer that keeps nothing would be easy.
    async fn end(self, acknowledged: usize) -> Done {
        self.stop.cancel();
        self.serving.await?;
        self.done.cancel();
        self.handing_on.await?;
        let last = InboxReader::open(self.inbox.path())?.state("wa")?.last_seq;
        if last < i64::try_from(acknowledged)? {
            return Err(format!("{last} kept of {acknowledged} that were acknowledged").into());
        }
        Ok(())
    }
}

/// Memory must not grow with what was received.
async fn flat(time: Duration) -> Done {
    const EVERY: Duration = Duration::from_secs(10);
    if time < 3 * 6 * EVERY {
        return Err("three minutes at least: the second is compared with the last".into());
    }
    let whole = Whole::start().await?;
    let count = Arc::new(AtomicUsize::new(0));
    let until = Instant::now() + time;
    let tasks: Vec<_> = (0..256)
        .map(|n| {
            let (to, count) = (whole.address, count.clone());
            tokio::spawn(one(to, n, until, move |_| {
                count.fetch_add(1, Ordering::Relaxed);
            }))
        })
        .collect();
    println!("{:>5} {:>12} {:>13}", "s", "events", "resident MiB");
    let mut resident = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() + EVERY <= time {
        tokio::time::sleep(EVERY).await;
        let kib = resident_kib()?;
        resident.push(kib);
        let events = count.load(Ordering::Relaxed);
        println!("{:>5} {events:>12} {:>13.1}", begun.elapsed().as_secs(), kib / 1024.0);
        // The archive of five minutes is of no use here.
        let mut files: Vec<_> = std::fs::read_dir(whole.folder.path().join("inbox/wa"))?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<_, _>>()?;
        files.sort();
        files.pop();
        files.iter().try_for_each(std::fs::remove_file)?;
    }
    for task in tasks {
        task.await??;
    }
    whole.end(count.load(Ordering::Relaxed)).await?;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64 / 1024.0;
    let second = mean(resident.get(6..12).unwrap_or_default());
    let last = mean(resident.get(resident.len().saturating_sub(6)..).unwrap_or_default());
    println!("second minute {second:.1} MiB, last minute {last:.1} MiB");
    if last > second * 1.1 {
        return Err(format!("memory grew from {second:.1} to {last:.1} MiB").into());
    }
    Ok(())
}

fn resident_kib() -> Done<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

async fn run(time: Duration) -> Done {
    let nothing = nothing_kept().await?;
    println!("{:<24} {:>5} {:>10} {:>9} {:>9}", "server", "conns", "events/s", "p50 ms", "p99 ms");
    for connections in [1, 32, 256] {
        show("no-op", connections, &load(nothing, connections, time).await?, time);
        let whole = Whole::start().await?;
        let times = load(whole.address, connections, time).await?;
        show("durable, handed on", connections, &times, time);
        whole.end(times.len()).await?;
    }
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or_default();
        println!("peak memory, load included: {}", peak.trim_start_matches("VmHWM:").trim());
    }
    Ok(())
}

fn show(name: &str, connections: usize, times: &[Duration], time: Duration) {
    let at = |share: f64| {
        let place = (times.len() as f64 * share) as usize;
        times.get(place.min(times.len().saturating_sub(1))).map_or(0.0, |t| t.as_secs_f64() * 1000.0)
    };
    let rate = times.len() as f64 / time.as_secs_f64();
    println!("{name:<24} {connections:>5} {rate:>10.0} {:>9.2} {:>9.2}", at(0.5), at(0.99));
}

/// Every connection sends the next request when it has the answer; how long each took, sorted.
async fn load(to: SocketAddr, connections: usize, time: Duration) -> Done<Vec<Duration>> {
    let until = Instant::now() + time;
    let tasks: Vec<_> = (0..connections)
        .map(|n| {
            tokio::spawn(async move {
                let mut times = Vec::new();
                one(to, n, until, |time| times.push(time)).await.map(|()| times)
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await??);
    }
    all.sort_unstable();
    Ok(all)
}

async fn one(to: SocketAddr, connection: usize, until: Instant, mut took: impl FnMut(Duration)) -> Done {
    let mut stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let mut answer = vec![0; 4096];
    let pad = "x".repeat(950);
    for n in 0.. {
        let body = format!(r#"{{"entry":[{{"id":"{connection}.{n}","pad":"{pad}"}}]}}"#);
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY)?;
        mac.update(body.as_bytes());
        let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let request = format!(
            "POST /hooks/wa HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: sha256={hex}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let begun = Instant::now();
        if begun >= until {
            break;
        }
        stream.write_all(request.as_bytes()).await?;
        let mut got = 0;
        // Answers are short and have no body.
        while !answer[..got].ends_with(b"\r\n\r\n") {
            let read = stream.read(&mut answer[got..]).await?;
            if read == 0 {
                return Err("the server closed the connection".into());
            }
            got += read;
        }
        if !answer.starts_with(b"HTTP/1.1 200") {
            return Err(String::from_utf8_lossy(&answer[..got]).into());
        }
        took(begun.elapsed());
    }
    Ok(())
}

/// Reads the body and answers.
async fn nothing_kept() -> Done<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = service_fn(|request: Request<Incoming>| async move {
                let _ = request.into_body().collect().await;
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Ok(address)
}
