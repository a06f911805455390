//! The receiver as this process runs it: from the `[receiver]` of a pipeline file to a server with its outlet,
//! on threads of its own, so that no pipeline in the same process delays an answer.

mod keeper;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use throughline_core::{Error, Result, SystemClock};
use throughline_engine::pipeline::{HookSettings, Pipeline, ReceiverSettings, VerifyKind};
use throughline_receiver::{
    Hook, Limits, OUTLET_FOLDER, Receiver, Settings, Site, TlsFiles, Verify, outlet, prepare,
};
use throughline_store::inbox::{INBOX_FILE, Inbox, InboxOptions, Retention};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

pub use keeper::{Keeper, two_in_one};

/// Threads that answer; signatures are all the work there is, and the inbox has a thread of its own.
const THREADS: usize = 2;
const LOOK_AT_CERTIFICATES_EVERY: Duration = Duration::from_secs(5);

/// What one `[receiver]` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub settings: ReceiverSettings,
    /// Absolute, as the next two.
    pub state_dir: PathBuf,
    tls: Option<[PathBuf; 2]>,
    /// The pipeline file.
    pub path: PathBuf,
}

impl Plan {
    /// `None` for a pipeline without a `[receiver]`.
    pub fn of(pipeline: &Pipeline) -> Option<Self> {
        let settings = pipeline.receiver.clone()?;
        let named = |name: &str| absolute(&pipeline.base_dir.join(name));
        let tls = settings.tls.as_ref().map(|tls| [named(&tls.certificate), named(&tls.key)]);
        Some(Self { settings, state_dir: absolute(&pipeline.state_dir), tls, path: pipeline.path.clone() })
    }

    fn sources(&self) -> Vec<String> {
        self.settings.hooks.keys().chain(self.settings.sites.keys()).cloned().collect()
    }

    /// A hook that no pipeline reads is kept all the same; a slip in its name should be seen.
    pub fn warn_of_strangers<'a>(&self, pipelines: impl Iterator<Item = &'a Pipeline>) {
        let known: HashSet<&str> =
            pipelines.flat_map(|p| &p.sources).map(|source| source.name.as_str()).collect();
        for name in self.settings.hooks.keys().filter(|n| !known.contains(n.as_str())) {
            tracing::warn!(
                "[receiver.hooks.{name}]: no source of these files is named {name:?}; what comes is kept"
            );
        }
    }

    fn server(&self) -> Result<Settings> {
        let receiver = &self.settings;
        // Checked when the file was read.
        let listen = receiver.listen.parse().map_err(|_| Error::config("[receiver] listen is no address"))?;
        let mut trusted_proxies = Vec::new();
        for text in &receiver.trusted_proxies {
            trusted_proxies.push(
                text.parse()
                    .map_err(|e: String| Error::config(format!("[receiver] trusted_proxies: {e}")))?,
            );
        }
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let limits = &receiver.limits;
        let hook =
            |(source, hook): (&String, &HookSettings)| Hook { source: source.clone(), verify: verify(hook) };
        Ok(Settings {
            listen,
            tls: self.tls.clone().map(|[certificate, key]| TlsFiles {
                certificate,
                key,
                look_every: LOOK_AT_CERTIFICATES_EVERY,
            }),
            metrics_listen: receiver.metrics_address(),
            trusted_proxies,
            hooks: receiver.hooks.iter().map(hook).collect(),
            sites: receiver
                .sites
                .iter()
                .map(|(source, site)| Site { source: source.clone(), origins: site.origins.clone() })
                .collect(),
            limits: Limits {
                body_bytes: size(limits.body_bytes()),
                connections: size(limits.connections.into()),
                connections_per_address: size(limits.connections_per_address.into()),
                events_per_second: limits.events_per_second,
                events_burst: limits.events_per_second.saturating_mul(5),
                ..Limits::default()
            },
        })
    }

    fn inbox(&self) -> Result<Inbox> {
        Inbox::open(
            self.state_dir.join(INBOX_FILE),
            InboxOptions {
                // What is in the files is in the inbox no more: there it would be out of reach of `forget`.
                retention: Retention {
                    keep: Some(Duration::ZERO),
                    max_bytes: self.settings.limits.inbox_bytes(),
                    ..Retention::default()
                },
                upkeep_every: Duration::from_secs(1),
                ..InboxOptions::default()
            },
        )
    }
}

pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn verify(hook: &HookSettings) -> Verify {
    let secret = hook.secret.clone();
    match hook.verify {
        VerifyKind::Meta => Verify::Meta { app_secret: secret, verify_token: hook.verify_token.clone() },
        VerifyKind::Viber => Verify::Viber { auth_token: secret },
        VerifyKind::Telegram => Verify::Telegram { secret },
        VerifyKind::Vk => Verify::Vk { secret, confirmation: hook.confirmation.clone() },
        VerifyKind::Bearer => Verify::Bearer { token: secret },
        VerifyKind::Header => Verify::Header { name: hook.header.clone().unwrap_or_default(), secret },
        VerifyKind::Comagic => Verify::Comagic { secret },
        VerifyKind::Path => Verify::Path { secret },
    }
}

/// A receiver that serves.
pub struct Receiving {
    pub address: Address,
    thread: Option<std::thread::JoinHandle<()>>,
    ended: CancellationToken,
}

/// Where it is.
#[derive(Clone, Debug)]
pub struct Address {
    public: Option<SocketAddr>,
    metrics: Option<SocketAddr>,
    tls: bool,
    files: PathBuf,
    endpoints: Vec<String>,
}

impl Receiving {
    /// Owns the inbox of the plan's state folder and listens when this returns; serves until `stop`.
    ///
    /// # Errors
    /// A temporary one when another receiver has the inbox or the address; others when the inbox or a file of
    /// `[receiver.tls]` cannot be used.
    pub async fn start(plan: &Plan, stop: CancellationToken) -> Result<Self> {
        let (begun, address) = oneshot::channel();
        let (plan, ended) = (plan.clone(), CancellationToken::new());
        // Also when it panics.
        let done = ended.clone().drop_guard();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(THREADS)
                .thread_name("receiver")
                .enable_all()
                .build();
            match runtime {
                Ok(runtime) => runtime.block_on(serve(plan, stop, begun)),
                Err(e) => drop(begun.send(Err(Error::io("start", "the receiver's threads", e)))),
            }
            drop(done);
        };
        let thread = std::thread::Builder::new()
            .name("receiver".into())
            .spawn(serve)
            .map_err(|e| Error::io("start", "the receiver's threads", e))?;
        let address = address.await.map_err(|_| Error::bug("the receiver broke off when it started"))??;
        Ok(Self { address, thread: Some(thread), ended })
    }

    pub fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Returns when everything that was received is handed on, after the stop.
    ///
    /// # Errors
    /// It broke off. What it acknowledged is safe in the inbox.
    pub async fn ended(&mut self) -> Result<()> {
        self.ended.cancelled().await;
        match self.thread.take().map(std::thread::JoinHandle::join) {
            Some(Err(_)) => Err(Error::bug("the receiver broke off")),
            _ => Ok(()),
        }
    }
}

async fn serve(plan: Plan, stop: CancellationToken, begun: oneshot::Sender<Result<Address>>) {
    let folder = plan.state_dir.join(OUTLET_FOLDER);
    let open = async {
        let settings = plan.server()?;
        let inbox = plan.inbox()?;
        prepare(&inbox, &plan.sources(), &folder)?;
        let server = Receiver::bind(settings, inbox.clone(), Arc::new(SystemClock)).await?;
        Ok((server, inbox))
    };
    let (server, inbox) = match open.await {
        Ok(opened) => opened,
        Err(error) => return drop(begun.send(Err(error))),
    };
    let (public, metrics) = server.addresses();
    let hook = |(name, hook): (&String, &HookSettings)| match hook.verify {
        VerifyKind::Path => format!("/hooks/{name}/SECRET"),
        VerifyKind::Comagic => format!("/hooks/{name}/EVENT"),
        _ => format!("/hooks/{name}"),
    };
    let sites = plan.settings.sites.keys().map(|name| format!("/site/{name}/tracker.js"));
    let address = Address {
        public,
        metrics,
        tls: plan.tls.is_some(),
        files: folder.clone(),
        endpoints: plan.settings.hooks.iter().map(hook).chain(sites).collect(),
    };
    // The outlet ends last: what was received before the stop is handed on.
    let done = CancellationToken::new();
    let handing_on = tokio::spawn(outlet(inbox, plan.sources(), folder, done.clone()));
    if begun.send(Ok(address)).is_err() {
        stop.cancel();
    }
    server.serve(stop).await;
    done.cancel();
    if let Err(error) = handing_on.await {
        tracing::error!("handing on broke off, the rest stays in the inbox for the next start: {error}");
    }
}

impl Address {
    fn url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        self.public.map(|address| format!("{scheme}://{address}")).unwrap_or_default()
    }

    pub fn to_json(&self) -> Json {
        json!({
            "listening": self.public.map(|a| a.to_string()),
            "tls": self.tls,
            "metrics": self.metrics.map(|a| a.to_string()),
            "files": self.files.display().to_string(),
            "endpoints": self.endpoints,
        })
    }

    pub fn to_text(&self) -> String {
        let mut text = format!("listening on {}\n", self.url());
        for endpoint in &self.endpoints {
            text += &format!("  {endpoint}\n");
        }
        if let Some(metrics) = self.metrics {
            text += &format!("metrics on http://{metrics}/metrics\n");
        }
        text += &format!("what comes is in {}\n", self.files.display());
        text
    }

    /// One line for a log.
    pub fn to_line(&self) -> String {
        format!("receiving on {}: {}", self.url(), self.endpoints.join(", "))
    }
}
