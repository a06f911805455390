//! HTTPS with a certificate authority of one's own, and through a proxy.
//!
//! `tls/` was made by openssl: an authority (its key is gone) and a certificate for `vendor.example`,
//! `localhost` and 127.0.0.1, valid for a century.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use throughline_core::http::HttpClient;
use throughline_core::{ErrorKind, Secret};
use throughline_http::{Client, HttpSettings};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::server::{Reply, read_request, serve};
use crate::{Kit, get};

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

fn trusting() -> HttpSettings {
    HttpSettings { extra_ca: vec![file("ca.pem")], ..Default::default() }
}

async fn tls_server() -> (u16, Arc<Mutex<Vec<String>>>) {
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(file("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, log) = (acceptor.clone(), log.clone());
            tokio::spawn(async move {
                if let Ok(socket) = acceptor.accept(socket).await {
                    serve(socket, log, Arc::new(|_: &str| Reply::json("\"safe\""))).await;
                }
            });
        }
    });
    (port, seen)
}

/// A proxy that leads every CONNECT to `port`, and keeps the heads it saw.
async fn proxy(port: u16) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let log = log.clone();
            tokio::spawn(async move {
                let Some(head) = read_request(&mut socket).await else { return };
                log.lock().unwrap().push(head);
                let mut target = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                socket.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut socket, &mut target).await;
            });
        }
    });
    (own, seen)
}

#[tokio::test]
async fn an_extra_authority_is_trusted_and_others_are_not() {
    let (port, seen) = tls_server().await;
    let url = format!("https://localhost:{port}/");
    let kit = Kit::new(&trusting());
    assert_eq!(kit.client.send(get(&url)).await.unwrap().bytes().await.unwrap(), "\"safe\"");
    let error = Kit::default().client.send(get(&url)).await.err().unwrap();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Config, false), "{error}");
    assert!(error.to_string().contains("extra_ca"), "{error}");
    // Right authority, wrong name.
    let error = kit.client.send(get(format!("https://other.localhost:{port}/"))).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config, "{error}");
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_proxy_carries_https_and_nothing_of_this_machine() {
    let (port, seen) = tls_server().await;
    let (proxy, connects) = proxy(port).await;
    let proxy = Some(Secret::new(format!("http://user:proxy-pass-1@127.0.0.1:{proxy}")));
    let kit = Kit::new(&HttpSettings { proxy, ..trusting() });
    let request = get("https://vendor.example/leads?page=1").header("Authorization", "Bearer abcabcabcabc");
    assert_eq!(kit.client.send(request).await.unwrap().bytes().await.unwrap(), "\"safe\"");
    kit.client.send(get(format!("https://localhost:{port}/"))).await.unwrap();
    let connects = connects.lock().unwrap().join("\n");
    assert!(connects.starts_with("CONNECT vendor.example:443 HTTP/1.1\r\n"), "{connects}");
    assert!(!connects.contains("abcabcabcabc") && !connects.contains("localhost"), "{connects}");
    assert!(connects.to_ascii_lowercase().contains("proxy-authorization: basic "), "{connects}");
    assert_eq!(seen.lock().unwrap().len(), 2);
    assert_eq!(kit.redactor.redact("proxy-pass-1"), "***");
}

#[tokio::test]
async fn a_bad_proxy_or_certificate_file_is_said_at_once() {
    let open = |settings: HttpSettings| {
        Client::new(
            &settings,
            Default::default(),
            Arc::new(throughline_core::SystemClock),
            Default::default(),
        )
        .err()
        .map(|e| e.to_string())
        .unwrap_or_default()
    };
    let said = open(HttpSettings { extra_ca: vec!["/nowhere/ca.pem".into()], ..Default::default() });
    assert!(said.contains("/nowhere/ca.pem"), "{said}");
    let said = open(HttpSettings { extra_ca: vec![file("server.key")], ..Default::default() });
    assert!(said.contains("holds no certificate"), "{said}");
    for proxy in ["proxy:3128", "gopher://x", "http://", "u:hidden-pass"] {
        let said = open(HttpSettings { proxy: Some(Secret::new(proxy)), ..Default::default() });
        assert!(said.contains("[http] proxy") && !said.contains("hidden-pass"), "{proxy}: {said}");
    }
    assert_eq!(open(HttpSettings { proxy: Some(Secret::new("none")), ..Default::default() }), "");
    assert_eq!(
        open(HttpSettings { proxy: Some(Secret::new("socks5h://127.0.0.1:1080")), ..Default::default() }),
        ""
    );
}

const TARGET: &str = "https://vendor.example/from-a-child";

/// Environment variables belong to a process: the test runs itself once more with them.
#[tokio::test]
async fn the_environment_names_the_proxy() {
    let (port, seen) = tls_server().await;
    let (proxy, connects) = proxy(port).await;
    let child = |exempt: &str| {
        let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "tls::child_asks_through_the_environments_proxy", "--ignored"]);
        for name in ["https_proxy", "ALL_PROXY", "all_proxy", "no_proxy"] {
            child.env_remove(name);
        }
        child.env("HTTPS_PROXY", format!("http://user:from-env-1@127.0.0.1:{proxy}")).env("NO_PROXY", exempt);
        child
    };
    let done = child("").output().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    assert!(connects.lock().unwrap()[0].starts_with("CONNECT vendor.example:443 "));
    assert!(seen.lock().unwrap()[0].starts_with("GET /from-a-child "));
    let exempt = child("vendor.example").output().await.unwrap();
    assert!(!exempt.status.success(), "there is no such host");
    assert_eq!(connects.lock().unwrap().len(), 1);
}

#[tokio::test]
#[ignore = "run by the_environment_names_the_proxy"]
async fn child_asks_through_the_environments_proxy() {
    let kit = Kit::new(&trusting());
    let mut request = get(TARGET);
    request.attempts = 1;
    assert_eq!(kit.client.send(request).await.unwrap().bytes().await.unwrap(), "\"safe\"");
    assert_eq!(kit.redactor.redact("from-env-1"), "***");
}
