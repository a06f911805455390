//! `throughline serve FILE...`: the receiver, from the `[receiver]` of one of the files.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use throughline_core::{Error, Place, Result, SystemClock};
use throughline_engine::pipeline::{HookSettings, Pipeline, ReceiverSettings, VerifyKind};
use throughline_receiver::{Hook, Limits, OUTLET_FOLDER, Receiver, Settings, Site, Verify, outlet, prepare};
use throughline_store::inbox::{INBOX_FILE, Inbox, InboxOptions, Retention};
use tokio_util::sync::CancellationToken;

use super::Outcome;
use crate::args::ServeArgs;
use crate::output::Output;
use crate::{exit, setup};

pub async fn run(args: &ServeArgs, output: &Output) -> Outcome {
    let mut pipelines = Vec::new();
    for path in &args.files {
        pipelines.push(setup::load(path)?);
    }
    let (receiver, state_dir) = only_receiver(&pipelines)?;
    let settings = settings(&receiver)?;
    let sources: Vec<String> = receiver.hooks.keys().chain(receiver.sites.keys()).cloned().collect();
    warn_of_strangers(&pipelines, &receiver);

    let inbox = Inbox::open(
        state_dir.join(INBOX_FILE),
        InboxOptions {
            // What is in the files is in the inbox no more: there it would be out of reach of `forget`.
            retention: Retention {
                keep: Some(std::time::Duration::ZERO),
                max_bytes: receiver.limits.inbox_bytes(),
                ..Retention::default()
            },
            upkeep_every: std::time::Duration::from_secs(1),
            ..InboxOptions::default()
        },
    )?;
    let folder = state_dir.join(OUTLET_FOLDER);
    prepare(&inbox, &sources, &folder)?;
    let server = Receiver::bind(settings, inbox.clone(), Arc::new(SystemClock)).await?;
    let stop = CancellationToken::new();
    setup::stop_on_signal(stop.clone());
    announce(&server, &receiver, &folder, output);
    // The outlet ends last: what was received before the stop is handed on.
    let done = CancellationToken::new();
    let handing_on = tokio::spawn(outlet(inbox, sources, folder, done.clone()));
    server.serve(stop).await;
    done.cancel();
    handing_on.await.map_err(|e| Error::bug(format!("handing on broke off: {e}")).caused_by(e))?;
    Ok(exit::DONE)
}

/// The one `[receiver]`, and the state folder that all files share.
fn only_receiver(pipelines: &[Pipeline]) -> Result<(ReceiverSettings, PathBuf)> {
    let mut found: Option<&Pipeline> = None;
    for pipeline in pipelines.iter().filter(|p| p.receiver.is_some()) {
        if let Some(first) = found {
            return Err(Error::config(format!(
                "two files have a [receiver]: {} and {}",
                first.path.display(),
                pipeline.path.display()
            ))
            .hint(
                "keep one, with the hooks and sites of both; or serve them one by one, on ports of their own",
            ));
        }
        found = Some(pipeline);
    }
    let Some(pipeline) = found else {
        return Err(Error::config("no file has a [receiver], so there is nothing to serve").hint(
            "add a [receiver] with [receiver.hooks.NAME] or [receiver.sites.NAME]; see docs/receiver.md",
        ));
    };
    let whole = |p: &Pipeline| std::path::absolute(&p.state_dir).unwrap_or_else(|_| p.state_dir.clone());
    if let Some(other) = pipelines.iter().find(|p| whole(p) != whole(pipeline)) {
        return Err(Error::config(format!(
            "{} keeps its state in {}, {} in {}",
            pipeline.path.display(),
            pipeline.state_dir.display(),
            other.path.display(),
            other.state_dir.display()
        ))
        .hint("one receiver fills one state folder: serve them one by one"));
    }
    let settings = pipeline.receiver.clone().ok_or_else(|| Error::bug("the receiver is gone"))?;
    Ok((settings, whole(pipeline)))
}

fn settings(receiver: &ReceiverSettings) -> Result<Settings> {
    // Checked when the file was read.
    let listen = receiver.listen.parse().map_err(|_| Error::config("[receiver] listen is no address"))?;
    let mut trusted_proxies = Vec::new();
    for text in &receiver.trusted_proxies {
        trusted_proxies.push(
            text.parse().map_err(|e: String| Error::config(format!("[receiver] trusted_proxies: {e}")))?,
        );
    }
    let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    let limits = &receiver.limits;
    let mut hooks = Vec::new();
    for (source, hook) in &receiver.hooks {
        hooks.push(Hook { source: source.clone(), verify: verify(hook) });
    }
    Ok(Settings {
        listen,
        metrics_listen: receiver.metrics_address(),
        trusted_proxies,
        hooks,
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

fn verify(hook: &HookSettings) -> Verify {
    let secret = hook.secret.clone();
    match hook.verify {
        VerifyKind::Meta => Verify::Meta { app_secret: secret, verify_token: hook.verify_token.clone() },
        VerifyKind::Viber => Verify::Viber { auth_token: secret },
        VerifyKind::Telegram => Verify::Telegram { secret },
        VerifyKind::Vk => Verify::Vk { secret, confirmation: hook.confirmation.clone() },
        VerifyKind::Bearer => Verify::Bearer { token: secret },
        VerifyKind::Comagic => Verify::Comagic { secret },
        VerifyKind::Header => Verify::Header { name: hook.header.clone().unwrap_or_default(), secret },
        VerifyKind::Path => Verify::Path { secret },
    }
}

/// A hook that no pipeline reads is kept all the same; a slip in its name should be seen.
fn warn_of_strangers(pipelines: &[Pipeline], receiver: &ReceiverSettings) {
    let known: HashMap<&str, &Place> =
        pipelines.iter().flat_map(|p| &p.sources).map(|s| (s.name.as_str(), &s.place)).collect();
    for name in receiver.hooks.keys().filter(|n| !known.contains_key(n.as_str())) {
        tracing::warn!(
            "[receiver.hooks.{name}]: no source of these files is named {name:?}; what comes is kept"
        );
    }
}

fn announce(server: &Receiver, receiver: &ReceiverSettings, folder: &std::path::Path, output: &Output) {
    let (public, private) = server.addresses();
    let show = |address: Option<std::net::SocketAddr>| address.map(|a| a.to_string());
    let endpoints: Vec<String> = receiver
        .hooks
        .iter()
        .map(|(name, hook)| match hook.verify {
            VerifyKind::Path => format!("/hooks/{name}/SECRET"),
            VerifyKind::Comagic => format!("/hooks/{name}/EVENT"),
            _ => format!("/hooks/{name}"),
        })
        .chain(receiver.sites.keys().map(|name| format!("/site/{name}/tracker.js")))
        .collect();
    let told = serde_json::json!({
        "listening": show(public),
        "metrics": show(private),
        "files": folder.display().to_string(),
        "endpoints": endpoints,
    });
    output.result(&told, || {
        let mut text = format!("listening on http://{}\n", show(public).unwrap_or_default());
        for endpoint in &endpoints {
            text += &format!("  {endpoint}\n");
        }
        if let Some(private) = show(private) {
            text += &format!("metrics on http://{private}/metrics\n");
        }
        text += &format!("what comes is in {}\n", folder.display());
        text
    });
}
