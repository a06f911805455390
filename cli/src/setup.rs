//! What every command needs: logging, the registry, a loaded pipeline, the services of a run.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use throughline_core::{Result, SystemClock};
use throughline_engine::diagnostic::Diagnostics;
use throughline_engine::pipeline::{self, LoadOptions, Pipeline};
use throughline_engine::registry::Registry;
use throughline_engine::run::Services;
use throughline_http::{Client, Limits};
use throughline_plugin_host::{Folder, Installed, Runner};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::bars::Bars;

/// Log lines go to standard error: warnings always, more with `-v`; `THROUGHLINE_LOG` overrides.
pub fn logging(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info,datafusion=warn",
        _ => "debug,datafusion=info,hyper=info",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("THROUGHLINE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if std::env::var("THROUGHLINE_LOG_FORMAT").is_ok_and(|f| f == "json") {
        logs.json().init();
    } else {
        logs.with_ansi(std::io::stderr().is_terminal()).init();
    }
}

/// Everything that is built in.
pub fn built_in() -> Registry {
    let mut sinks = throughline_sinks::all();
    sinks.extend(throughline_sinks::write_back(throughline_connectors::connections()));
    Registry { sources: throughline_connectors::all(), sinks, alerters: throughline_sinks::alerters() }
}

/// Everything that is built in, and the plugins that are installed.
pub fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut registry = built_in();
        for folder in plugin_folders() {
            let (installed, problems) = folder.list();
            for problem in problems {
                tracing::warn!("a plugin is left out: {problem}");
            }
            // Of two plugins with one name the folder that is searched first has the say.
            let fresh: Vec<Installed> = installed
                .into_iter()
                .filter(|p| {
                    registry.source(&p.manifest.name).is_none() && registry.sink(&p.manifest.name).is_none()
                })
                .collect();
            registry.sources.extend(throughline_plugin_host::sources(&fresh, &runner()));
            registry.sinks.extend(throughline_plugin_host::sinks(&fresh, &runner()));
        }
        registry
    })
}

/// Where plugins are looked for; the first is the one that is installed into.
pub fn plugin_folders() -> Vec<Folder> {
    let env = |name: &str| std::env::var(name).ok();
    throughline_plugin_host::search_path(&env).into_iter().map(Folder).collect()
}

/// This program, as the process of a plugin.
pub fn runner() -> Runner {
    // A program that was replaced while it runs is still found by its link.
    let own = if cfg!(target_os = "linux") { Some("/proc/self/exe".into()) } else { None };
    let program = std::env::current_exe().ok().filter(|p| p.is_file()).or(own).unwrap_or_default();
    Runner { program, args: vec!["plugin-host".into()] }
}

pub fn load(path: &Path) -> Result<Pipeline, Diagnostics> {
    // A folder means the pipeline file in it.
    let in_folder = path.join("pipeline.toml");
    let path = if path.is_dir() && in_folder.is_file() { &in_folder } else { path };
    pipeline::load(path, registry(), &LoadOptions { env: &|name| std::env::var(name).ok(), state_dir: None })
}

/// The rate limits of the process: every pipeline shares them.
pub fn limits() -> Arc<Limits> {
    static LIMITS: OnceLock<Arc<Limits>> = OnceLock::new();
    LIMITS.get_or_init(|| Arc::new(Limits::default())).clone()
}

/// A run's services, and the client to finish a recording with.
pub struct Ready {
    pub lent: Services,
    client: Client,
}

impl Ready {
    /// Completes what the run recorded, if it did.
    pub fn finish(self) -> Result<()> {
        drop(self.lent);
        self.client.finish()
    }
}

/// Clock and HTTP client as `[http]` wants them: the network and the machine's clock, or a cassette and
/// the clock of its recording.
pub fn services(pipeline: &Pipeline, bars: bool) -> Result<Ready> {
    let (client, clock) =
        Client::open(&pipeline.http, limits(), Arc::new(SystemClock), pipeline.redactor.clone())?;
    let lent = Services {
        clock,
        http: Arc::new(client.clone()),
        progress: Arc::new(Bars::new(bars && std::io::stderr().is_terminal())),
        cancel: CancellationToken::new(),
        computing: Arc::new(Semaphore::new(1)),
    };
    Ok(Ready { lent, client })
}

/// The first Ctrl-C or SIGTERM stops at the next safe place, the second at once.
pub fn stop_on_signal(cancel: CancellationToken) {
    tokio::spawn(async move {
        wait_for_signal().await;
        anstream::eprintln!("stopping after what is under way; once more to stop at once");
        cancel.cancel();
        wait_for_signal().await;
        std::process::exit(i32::from(crate::exit::STOPPED));
    });
}

pub async fn wait_for_signal() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
