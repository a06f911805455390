//! `[receiver]`: what `throughline serve` listens to. The server itself is another crate's; here are its words.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_core::Secret;

use super::attribution::parsed;
use super::document::{Value, value_at};
use super::secrets::Secrets;
use super::section::Section;
use super::units;

/// Webhooks of messengers and events of sites, taken by `throughline serve`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReceiverSettings {
    /// Address and port. Default `127.0.0.1:8088`: a proxy on this machine, which speaks TLS, stands before it.
    pub listen: String,
    /// A certificate of its own, where no proxy stands before it.
    pub tls: Option<TlsSettings>,
    /// Address and port of `/metrics` and `/healthz`, or `none`. Default `127.0.0.1:9188`.
    pub metrics_listen: String,
    /// Proxies whose `X-Forwarded-For` is believed: addresses, or blocks such as `10.0.0.0/8`. Default this
    /// machine.
    pub trusted_proxies: Vec<String>,
    /// Webhooks, by the name of their source: `/hooks/NAME`.
    pub hooks: BTreeMap<String, HookSettings>,
    /// Sites, by the name of their source: `/site/NAME/tracker.js` and `/site/NAME/events`.
    pub sites: BTreeMap<String, SiteSettings>,
    /// What anybody may ask of it.
    pub limits: LimitSettings,
}

impl Default for ReceiverSettings {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8088".into(),
            tls: None,
            metrics_listen: "127.0.0.1:9188".into(),
            trusted_proxies: vec!["127.0.0.0/8".into(), "::1".into()],
            hooks: BTreeMap::new(),
            sites: BTreeMap::new(),
            limits: LimitSettings::default(),
        }
    }
}

/// TLS by file. The files are looked at every few seconds: what an ACME client renews is in use without a
/// restart.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM: the certificate, and behind it those that lead to its authority. Let's Encrypt's `fullchain.pem`.
    pub certificate: String,
    /// PEM, without a passphrase: its private key. Let's Encrypt's `privkey.pem`.
    pub key: String,
}

/// How a vendor proves that a webhook is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VerifyKind {
    Meta,
    Viber,
    Telegram,
    Vk,
    Bearer,
    Comagic,
    Header,
    Path,
}

/// One webhook.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HookSettings {
    /// `meta` (WhatsApp, Messenger, Instagram), `viber`, `telegram`, `vk`, `bearer` (Wazzup), `comagic`,
    /// `header` or `path` (ManyChat, Chatfuel, Botmother, Dialogflow and others).
    pub verify: VerifyKind,
    /// What the vendor signs with, or sends along: the app's secret of Meta, the bot's token of Viber, the secret
    /// of Telegram and VK, the token behind `Bearer` (of CoMagic also `user:password`), the header's value, the last part of the path.
    pub secret: Secret,
    /// `meta`: the verify token of the handshake, as typed into the app's settings.
    pub verify_token: Option<Secret>,
    /// `vk`: the code that confirms the server.
    pub confirmation: Option<Secret>,
    /// `header`: its name.
    pub header: Option<String>,
}

/// One site.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteSettings {
    /// Where its pages are: `https://shop.example`, each with and without `www.` that there is.
    pub origins: Vec<String>,
}

/// What anybody may ask of the receiver.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// The largest webhook. Default `4MiB`; Meta's have up to 3 MB.
    pub body: String,
    /// Connections at a time. Default 1024.
    #[schemars(range(min = 1, max = 65536))]
    pub connections: u32,
    /// Of one address that is no trusted proxy. Default 64.
    #[schemars(range(min = 1, max = 65536))]
    pub connections_per_address: u32,
    /// Requests with events of sites that one address may send in a second. Default 20.
    #[schemars(range(min = 1, max = 100000))]
    pub events_per_second: u32,
    /// `inbox.db` never grows beyond this; then vendors are told to come again. Default: as far as the disk
    /// goes.
    pub inbox: Option<String>,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            body: "4MiB".into(),
            connections: 1024,
            connections_per_address: 64,
            events_per_second: 20,
            inbox: None,
        }
    }
}

impl LimitSettings {
    /// In bytes; checked when the file was read.
    pub fn body_bytes(&self) -> u64 {
        units::bytes(&self.body).unwrap_or(4 << 20)
    }

    /// In bytes; checked when the file was read.
    pub fn inbox_bytes(&self) -> Option<u64> {
        self.inbox.as_deref().and_then(|text| units::bytes(text).ok())
    }
}

impl ReceiverSettings {
    /// The address of the metrics; `None` for `none`.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listen.parse().ok()
    }
}

/// `None` when the file has no such section, or a wrong one, which is in the report.
pub fn read(top: &Section<'_>, secrets: &Secrets<'_>) -> Option<ReceiverSettings> {
    let owner = top.value("receiver")?;
    let settings: ReceiverSettings = parsed("[receiver]", Some(owner), secrets)?;
    check(&settings, owner, secrets);
    Some(settings)
}

/// `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`, as the receiver reads them.
fn is_network(text: &str) -> bool {
    let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let Ok(address) = address.trim().parse::<IpAddr>() else { return false };
    let most: u8 = if address.to_canonical().is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|bits| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
}

/// Everything that its types do not say.
fn check(settings: &ReceiverSettings, owner: &Value<'_>, secrets: &Secrets<'_>) {
    let report = secrets.report;
    let wrong = |pointer: &str, message: String, hint: &str| {
        let span = value_at(owner, pointer, false).0;
        report.error(span, format!("[receiver]: {message}"), (!hint.is_empty()).then(|| hint.to_owned()));
    };
    let address = |pointer: &str, text: &str| {
        if text.parse::<SocketAddr>().is_err() {
            wrong(pointer, format!("{text:?} is no address with a port"), "write it like 127.0.0.1:8088");
        }
    };
    address("/listen", &settings.listen);
    if settings.metrics_listen != "none" {
        address("/metrics_listen", &settings.metrics_listen);
    }
    if let (Ok(open), Some(metrics)) = (settings.listen.parse::<SocketAddr>(), settings.metrics_address())
        && open == metrics
        && open.port() != 0
    {
        wrong(
            "/metrics_listen",
            "metrics are for nobody else and need an address of their own".into(),
            "another port than listen's, or \"none\"",
        );
    }
    for (i, text) in settings.trusted_proxies.iter().enumerate() {
        if !is_network(text) {
            wrong(
                &format!("/trusted_proxies/{i}"),
                format!("{text:?} is no address and no block of addresses"),
                "write it like 192.0.2.7 or 10.0.0.0/8",
            );
        }
    }
    for (key, name) in
        settings.tls.iter().flat_map(|tls| [("certificate", &tls.certificate), ("key", &tls.key)])
    {
        let path = secrets.base_dir.join(name);
        // Who runs pipelines may not read the key; whether it can be used is told when serving begins.
        let why = match std::fs::metadata(&path) {
            Ok(about) if about.is_file() => continue,
            Ok(_) => "is no file",
            Err(e) if e.kind() == ErrorKind::NotFound => "is not there",
            Err(_) => continue,
        };
        wrong(
            &format!("/tls/{key}"),
            format!("{} {why}", path.display()),
            "name a PEM file; the path starts at the folder of the pipeline file",
        );
    }
    for (pointer, text) in
        [("/limits/body", Some(&settings.limits.body)), ("/limits/inbox", settings.limits.inbox.as_ref())]
    {
        if let Some(Err(why)) = text.map(|text| units::bytes(text)) {
            wrong(pointer, format!("{:?}: {why}", text.map_or("", |t| t)), units::BYTES_HINT);
        }
    }
    if settings.limits.body_bytes() > 64 << 20 {
        wrong("/limits/body", "no webhook is that large".into(), "at most 64MiB");
    }
    let numbers = [
        ("connections", settings.limits.connections, 65_536),
        ("connections_per_address", settings.limits.connections_per_address, 65_536),
        ("events_per_second", settings.limits.events_per_second, 100_000),
    ];
    for (name, number, most) in numbers {
        if !(1..=most).contains(&number) {
            wrong(&format!("/limits/{name}"), format!("{name} must be from 1 to {most}"), "");
        }
    }
    let names =
        settings.hooks.keys().map(|n| ("hooks", n)).chain(settings.sites.keys().map(|n| ("sites", n)));
    for (list, name) in names {
        let good = (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if !good {
            let pointer = format!("/{list}/{}", name.replace('~', "~0").replace('/', "~1"));
            wrong(
                &pointer,
                format!("{name:?} cannot stand in a path"),
                "1 to 64 letters a-z, digits, _ or -",
            );
        }
        if list == "sites" && settings.hooks.contains_key(name) {
            wrong(
                &format!("/sites/{name}"),
                format!("a hook is named {name:?}, too"),
                "give it another name",
            );
        }
    }
    for (name, hook) in &settings.hooks {
        let at = format!("/hooks/{name}");
        if hook.secret.expose().trim().is_empty() {
            wrong(&format!("{at}/secret"), "the secret is empty".into(), "");
        }
        let is_path = hook.verify == VerifyKind::Path;
        if is_path
            && hook.secret.expose().bytes().any(|b| !(b.is_ascii_alphanumeric() || b"-._~".contains(&b)))
        {
            wrong(&format!("{at}/secret"), "a secret in a path has letters, digits, - . _ ~".into(), "");
        }
        let only = |key: &str, given: bool, kind: VerifyKind, word: &str| {
            if given && hook.verify != kind {
                wrong(&format!("{at}/{key}"), format!("{key} belongs to verify = \"{word}\""), "remove it");
            }
        };
        only("verify_token", hook.verify_token.is_some(), VerifyKind::Meta, "meta");
        only("confirmation", hook.confirmation.is_some(), VerifyKind::Vk, "vk");
        only("header", hook.header.is_some(), VerifyKind::Header, "header");
        if hook.verify == VerifyKind::Header {
            match &hook.header {
                None => {
                    wrong(&at, "verify = \"header\" needs the header's name".into(), "add header = \"X-..\"")
                }
                Some(name)
                    if name.is_empty() || name.bytes().any(|b| !(b.is_ascii_alphanumeric() || b == b'-')) =>
                {
                    wrong(&format!("{at}/header"), format!("{name:?} is no name of a header"), "");
                }
                Some(_) => {}
            }
        }
    }
    for (name, site) in &settings.sites {
        if site.origins.is_empty() {
            wrong(
                &format!("/sites/{name}"),
                "a site needs an origin".into(),
                "origins = [\"https://shop.example\"]",
            );
        }
        for (i, origin) in site.origins.iter().enumerate() {
            let parsed = url::Url::parse(origin).ok();
            let whole = parsed.filter(|u| matches!(u.scheme(), "http" | "https")).map(|u| u.origin());
            if whole.map(|o| o.ascii_serialization()).as_deref() != Some(origin) {
                let message = format!("{origin:?} is no origin as browsers write it");
                wrong(
                    &format!("/sites/{name}/origins/{i}"),
                    message,
                    "like https://shop.example, without a path",
                );
            }
        }
    }
}
