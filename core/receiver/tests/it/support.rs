//! A receiver in this process, and a client that sends exactly the bytes it is given.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use throughline_core::{Secret, SystemClock};
use throughline_receiver::{Hook, Limits, Receiver, Settings, Site, Verify};
use throughline_store::inbox::{Delivery, INBOX_FILE, Inbox, InboxOptions, InboxReader};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

pub const TRUSTED: &str = "127.0.0.1";

pub fn settings() -> Settings {
    let secret = Secret::new;
    let hook = |source: &str, verify| Hook { source: source.into(), verify };
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        metrics_listen: Some("127.0.0.1:0".parse().unwrap()),
        trusted_proxies: vec![TRUSTED.parse().unwrap()],
        hooks: vec![
            hook(
                "wa",
                Verify::Meta { app_secret: secret("test_app_secret"), verify_token: Some(secret("vt-1")) },
            ),
            hook(
                "viber",
                Verify::Viber { auth_token: secret("4453b6ac12345678-e02c5f12174805f9-daec9cbb5448c51f") },
            ),
            hook("tg", Verify::Telegram { secret: secret("tl_secret-01") }),
            hook(
                "vk",
                Verify::Vk { secret: secret("cb_secret_value"), confirmation: Some(secret("a1b2c3d4")) },
            ),
            hook("wazzup", Verify::Bearer { token: secret("wz_key_01") }),
            hook("comagic", Verify::Comagic { secret: secret("cm_key_01") }),
            hook("flow", Verify::Header { name: "X-Flow-Key".into(), secret: secret("flow-key-77") }),
            hook("chatfuel", Verify::Path { secret: secret("in-the-path-88") }),
        ],
        sites: vec![Site { source: "shop".into(), origins: vec!["https://shop.example".into()] }],
        limits: Limits::default(),
    }
}

pub struct Server {
    pub address: SocketAddr,
    pub metrics: SocketAddr,
    pub folder: tempfile::TempDir,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::with(settings(), InboxOptions::default()).await
    }

    pub async fn with(settings: Settings, options: InboxOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::open(folder.path().join(INBOX_FILE), options).unwrap();
        let receiver = Receiver::bind(settings, inbox, Arc::new(SystemClock)).await.unwrap();
        let (address, metrics) = receiver.addresses();
        let stop = CancellationToken::new();
        let task = tokio::spawn(receiver.serve(stop.clone()));
        Self { address: address.unwrap(), metrics: metrics.unwrap(), folder, stop, task }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(INBOX_FILE)
    }

    pub fn stored(&self, source: &str) -> Vec<Delivery> {
        InboxReader::open(self.path()).unwrap().read(source, 0, 100_000, usize::MAX).unwrap()
    }

    pub async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Reply {
        self.send("POST", path, headers, body.as_ref()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"").await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        raw(self.address, &request(method, path, headers, body)).await
    }

    pub async fn metrics(&self) -> String {
        raw(self.metrics, &request("GET", "/metrics", &[], b"")).await.body
    }

    pub async fn stop(self) -> tempfile::TempDir {
        self.stop.cancel();
        tokio::time::timeout(Duration::from_secs(15), self.task).await.unwrap().unwrap();
        self.folder
    }
}

#[derive(Debug)]
pub struct Reply {
    /// 0 when the connection was closed without an answer.
    pub status: u16,
    pub head: String,
    pub body: String,
}

pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

pub async fn raw(to: SocketAddr, bytes: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // The server may answer, and close, before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let _ =
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut all)).await.expect("no end");
    reply(&all)
}

pub fn reply(all: &[u8]) -> Reply {
    let text = String::from_utf8_lossy(all).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

pub fn meta_signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"test_app_secret").unwrap();
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256={hex}")
}
