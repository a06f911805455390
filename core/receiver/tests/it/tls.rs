//! TLS by file: what clients get, what they don't, and certificates that are replaced while it runs.
//!
//! `tls/` was made by openssl: two certificates for localhost that stand for themselves, good for a century.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use throughline_core::{ErrorKind, SystemClock};
use throughline_receiver::{Receiver, Settings, TlsFiles};
use throughline_store::inbox::{INBOX_FILE, Inbox, InboxOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::support::{Reply, Server, meta_signature, raw, reply, request, settings};

const FIRST: [&str; 2] = [include_str!("tls/first.pem"), include_str!("tls/first.key")];
const SECOND: [&str; 2] = [include_str!("tls/second.pem"), include_str!("tls/second.key")];

fn put(folder: &Path, [certificate, key]: [&str; 2]) {
    std::fs::write(folder.join("fullchain.pem"), certificate).unwrap();
    std::fs::write(folder.join("key.pem"), key).unwrap();
}

fn with_tls(folder: &Path) -> Settings {
    let mut with = settings();
    with.tls = Some(TlsFiles {
        certificate: folder.join("fullchain.pem"),
        key: folder.join("key.pem"),
        look_every: Duration::from_millis(50),
    });
    with
}

async fn served(folder: &Path) -> Server {
    put(folder, FIRST);
    Server::with(with_tls(folder), InboxOptions::default()).await
}

/// A client that knows both certificates.
async fn connect(
    server: &Server,
    version: &'static SupportedProtocolVersion,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for [certificate, _] in [FIRST, SECOND] {
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(server.address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

async fn post(server: &Server, version: &'static SupportedProtocolVersion, body: &[u8]) -> Reply {
    let signature = meta_signature(body);
    let mut stream = connect(server, version, &["http/1.1"]).await.unwrap();
    stream
        .write_all(&request("POST", "/hooks/wa", &[("X-Hub-Signature-256", &signature)], body))
        .await
        .unwrap();
    let mut all = Vec::new();
    // To the end, and the end is told: what is cut off in between would be an error.
    stream.read_to_end(&mut all).await.unwrap();
    reply(&all)
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn certificate([pem, _]: [&str; 2]) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

#[tokio::test]
async fn both_versions_of_tls_take_webhooks() {
    let folder = tempfile::tempdir().unwrap();
    let server = served(folder.path()).await;
    for (n, version) in [&rustls::version::TLS12, &rustls::version::TLS13].into_iter().enumerate() {
        let body = format!("{n}{}", "x".repeat(3_000_000));
        assert_eq!(post(&server, version, body.as_bytes()).await.status, 200);
        let stored = server.stored("wa");
        assert_eq!((stored.len(), &stored[n].body), (n + 1, &body.into_bytes()));
    }
    let known = connect(&server, &rustls::version::TLS13, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(known.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(connect(&server, &rustls::version::TLS13, &["h2"]).await.is_err(), "HTTP/2 is not spoken");
    // Metrics stay plain, on an address of their own.
    let metrics = server.metrics().await;
    assert!(metrics.contains("throughline_stored_total{source=\"wa\"} 2"), "{metrics}");
}

#[tokio::test]
async fn plain_http_and_rubbish_get_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = served(folder.path()).await;
    let body = b"{}";
    let signed = request("POST", "/hooks/wa", &[("X-Hub-Signature-256", &meta_signature(body))], body);
    for bytes in [signed.as_slice(), &[0x16, 3, 1, 0xFF, 0xFF, 1, 2, 3], &[0xFF; 5000]] {
        assert_eq!(raw(server.address, bytes).await.status, 0);
    }
    assert!(server.stored("wa").is_empty());
    let metrics = server.metrics().await;
    assert!(metrics.contains("reason=\"handshake\"} 3"), "{metrics}");
    assert_eq!(post(&server, &rustls::version::TLS13, body).await.status, 200);
}

#[tokio::test]
async fn a_handshake_that_stalls_is_cut_off_and_holds_no_place() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), FIRST);
    let mut few = with_tls(folder.path());
    few.limits.connections = 2;
    few.limits.head_timeout = Duration::from_millis(300);
    let server = Server::with(few, InboxOptions::default()).await;
    // Nothing, and the beginning of a greeting: both places are taken.
    let mut stalled = Vec::new();
    for sent in [&b""[..], &[0x16, 3, 1, 2, 0, 1, 0, 1]] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        stalled.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(post(&server, &rustls::version::TLS13, b"{}").await.status, 200);
    assert!(begun.elapsed() >= Duration::from_millis(150), "there was no place yet");
    for mut stream in stalled {
        let mut all = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut all)).await;
        assert!(ended.is_ok(), "it holds its connection");
    }
    let metrics = server.metrics().await;
    assert!(metrics.contains("reason=\"handshake_timeout\"} 2"), "{metrics}");
    // Neither does one hold up the stop.
    let mut slow = with_tls(folder.path());
    slow.limits.head_timeout = Duration::from_secs(60);
    let server = Server::with(slow, InboxOptions::default()).await;
    let _open = TcpStream::connect(server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_new_certificate_is_used_and_a_broken_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = served(folder.path()).await;
    let version = &rustls::version::TLS13;
    let mut open = connect(&server, version, &[]).await.unwrap();
    assert_eq!(shown(&open), certificate(FIRST));
    let until = async |wanted: [&str; 2]| {
        for _ in 0..200 {
            if shown(&connect(&server, version, &[]).await.unwrap()) == certificate(wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the new certificate is not in use");
    };
    put(folder.path(), SECOND);
    until(SECOND).await;
    // Half of it, the key of another, no key, nothing at all: the one before stays, for many looks.
    let half = &FIRST[0][..FIRST[0].len() / 2];
    for (broken, key) in [(half, FIRST[1]), (FIRST[0], SECOND[1]), (FIRST[0], ""), ("", "")] {
        put(folder.path(), [broken, key]);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(shown(&connect(&server, version, &[]).await.unwrap()), certificate(SECOND));
    }
    std::fs::remove_file(folder.path().join("key.pem")).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(post(&server, version, b"{}").await.status, 200);
    put(folder.path(), FIRST);
    until(FIRST).await;
    // Who was there before all that is served still.
    open.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut all = Vec::new();
    open.read_to_end(&mut all).await.unwrap();
    assert_eq!(reply(&all).status, 200);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGj\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let rubbish = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let cases = [
        (["", FIRST[1]], ErrorKind::Config, "fullchain.pem holds no certificate"),
        (["hello", FIRST[1]], ErrorKind::Config, "fullchain.pem holds no certificate"),
        ([rubbish, FIRST[1]], ErrorKind::Config, "fullchain.pem"),
        ([FIRST[0], FIRST[0]], ErrorKind::Config, "key.pem holds no private key"),
        ([FIRST[0], encrypted], ErrorKind::Config, "key.pem holds no private key"),
        ([FIRST[0], SECOND[1]], ErrorKind::Config, "is not the key of"),
    ];
    let inbox = Inbox::open(folder.path().join(INBOX_FILE), InboxOptions::default()).unwrap();
    let bind = || Receiver::bind(with_tls(folder.path()), inbox.clone(), Arc::new(SystemClock));
    for (files, kind, said) in cases {
        put(folder.path(), files);
        let error = bind().await.err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(said) && error.hint_text().is_some(), "{error}");
    }
    std::fs::remove_file(folder.path().join("key.pem")).unwrap();
    let error = bind().await.err().unwrap();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("key.pem"), "{error}");
    std::fs::create_dir(folder.path().join("key.pem")).unwrap();
    assert!(bind().await.err().unwrap().to_string().contains("no PEM file"));
}
