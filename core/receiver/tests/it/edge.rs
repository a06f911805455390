//! Limits: sizes, times, numbers; what does not get out.

use std::time::{Duration, Instant};

use throughline_store::inbox::{InboxOptions, Retention};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Server, meta_signature, raw, reply, request, settings};

#[tokio::test]
async fn large_heads_and_bodies_are_turned_away() {
    let mut small = settings();
    small.limits.body_bytes = 10_000;
    let server = Server::with(small, InboxOptions::default()).await;
    let at_most = vec![b' '; 10_000];
    let signature = meta_signature(&at_most);
    let headers = [("X-Hub-Signature-256", signature.as_str())];
    assert_eq!(server.post("/hooks/wa", &headers, &at_most).await.status, 200);
    assert_eq!(server.post("/hooks/wa", &headers, vec![b' '; 10_001]).await.status, 413);
    // In chunks, without a length to tell.
    let mut chunked =
        b"POST /hooks/wa HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            .to_vec();
    for _ in 0..11 {
        chunked.extend_from_slice(b"3e8\r\n");
        chunked.extend_from_slice(&[b'x'; 1000]);
        chunked.extend_from_slice(b"\r\n");
    }
    assert_eq!(raw(server.address, &chunked).await.status, 413);
    // A length that is a lie, announced only.
    let lie =
        b"POST /hooks/wa HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 99999999999\r\n\r\n";
    assert_eq!(raw(server.address, lie).await.status, 413);
    let long = "x".repeat(70_000);
    assert_eq!(server.post("/hooks/wa", &[("X-Long", &long)], "").await.status, 431);
    assert_eq!(server.get(&format!("/{long}")).await.status / 100, 4);
    let many: Vec<(String, String)> = (0..500).map(|n| (format!("X-{n}"), "v".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(server.post("/hooks/wa", &many, "").await.status, 431);
    let packed = [("X-Hub-Signature-256", signature.as_str()), ("Content-Encoding", "gzip")];
    assert_eq!(server.post("/hooks/wa", &packed, &at_most).await.status, 415);
    assert_eq!(server.stored("wa").len(), 1);
}

#[tokio::test]
async fn slow_clients_are_cut_off() {
    let mut quick = settings();
    quick.limits.head_timeout = Duration::from_millis(300);
    quick.limits.body_timeout = Duration::from_millis(300);
    let server = Server::with(quick, InboxOptions::default()).await;
    // Nothing, half a head, half a body, and after a whole request nothing more.
    let body = b"{}";
    let signature = meta_signature(body);
    let kept = format!(
        "POST /hooks/wa HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: {signature}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    let half = "POST /hooks/wa HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{";
    for (sent, status) in [("", 0), ("POST /hooks/wa HT", 0), (half, 408), (&kept, 200)] {
        let begun = Instant::now();
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut all = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut all)).await;
        assert!(ended.is_ok(), "{sent:?} holds its connection");
        assert!(begun.elapsed() >= Duration::from_millis(250));
        let got = reply(&all).status;
        assert!(got == status || (status == 0 && got == 408), "{sent:?}: {got}");
    }
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let mut few = settings();
    few.trusted_proxies.clear();
    few.limits.connections_per_address = 3;
    let server = Server::with(few, InboxOptions::default()).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(TcpStream::connect(server.address).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(server.get("/healthz").await.status, 0);
    drop(open);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let healthy = server.get("/healthz").await;
    assert_eq!((healthy.status, healthy.body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn who_guesses_is_sent_away_and_others_are_not() {
    let mut few = settings();
    few.limits.guesses_burst = 5;
    few.limits.guesses_per_second = 0;
    few.limits.events_burst = 2;
    few.limits.events_per_second = 0;
    let server = Server::with(few, InboxOptions::default()).await;
    let body = b"{}";
    let signature = meta_signature(body);
    let from = |address: &'static str| [("X-Forwarded-For", address), ("X-Hub-Signature-256", "sha256=00")];
    for _ in 0..5 {
        assert_eq!(server.post("/hooks/wa", &from("5.5.5.5"), body).await.status, 403);
    }
    let refused = server.post("/hooks/wa", &from("5.5.5.5"), body).await;
    assert_eq!(refused.status, 429);
    assert!(refused.head.contains("retry-after"), "{}", refused.head);
    // Nobody becomes somebody else by writing a header of his own in front.
    assert_eq!(server.post("/hooks/wa", &from("6.6.6.6, 5.5.5.5"), body).await.status, 429);
    for _ in 0..50 {
        let good = [("X-Forwarded-For", "6.6.6.6"), ("X-Hub-Signature-256", signature.as_str())];
        assert_eq!(server.post("/hooks/wa", &good, body).await.status, 200);
    }
    let site = [("Origin", "https://shop.example"), ("X-Forwarded-For", "7.7.7.7")];
    let codes = [204, 204, 429];
    for code in codes {
        assert_eq!(server.post("/site/shop/events", &site, r#"{"v":1,"events":[]}"#).await.status, code);
    }
    assert!(!server.stored("wa")[0].headers.contains("6.6.6.6"), "addresses are not kept");
}

#[tokio::test]
async fn a_full_inbox_is_503_and_health_says_so() {
    let retention = Retention { max_bytes: Some(300_000), ..Retention::default() };
    let server = Server::with(settings(), InboxOptions { retention, ..InboxOptions::default() }).await;
    let (mut accepted, mut refused) = (0, 0);
    for n in 0..40 {
        let body = format!("{n}{}", "x".repeat(20_000));
        let signature = meta_signature(body.as_bytes());
        let reply = server.post("/hooks/wa", &[("X-Hub-Signature-256", &signature)], &body).await;
        match reply.status {
            200 => accepted += 1,
            503 => {
                refused += 1;
                assert!(reply.head.contains("retry-after: "), "{}", reply.head);
            }
            other => panic!("{other}"),
        }
    }
    assert!(accepted > 3 && refused > 3, "{accepted} {refused}");
    assert_eq!(server.stored("wa").len(), accepted);
    assert_eq!(server.get("/healthz").await.status, 503);
    let metrics = server.metrics().await;
    assert!(metrics.contains("throughline_inbox_failing 1"), "{metrics}");
    assert!(
        metrics.contains(&format!("throughline_unavailable_total{{source=\"wa\"}} {refused}")),
        "{metrics}"
    );
    let folder = server.stop().await;
    let whole: String = rusqlite::Connection::open(folder.path().join("inbox.db"))
        .unwrap()
        .query_row("PRAGMA integrity_check", [], |r| r.get(0))
        .unwrap();
    assert_eq!(whole, "ok");
}

#[tokio::test]
async fn nothing_of_a_request_comes_back_and_browsers_are_told_to_be_careful() {
    let server = Server::start().await;
    let evil = "%3Cscript%3Ealert(1)%3C/script%3E";
    for (method, path) in
        [("GET", format!("/{evil}")), ("POST", format!("/hooks/wa?x={evil}")), ("PUT", "/hooks/wa".into())]
    {
        let reply = server.send(method, &path, &[("X-Evil", evil)], evil.as_bytes()).await;
        assert!(reply.status >= 400);
        assert!(!reply.body.contains("script") && !reply.head.contains("script"), "{reply:?}");
        for header in [
            "x-content-type-options: nosniff",
            "content-security-policy: default-src 'none'",
            "referrer-policy: no-referrer",
            "x-frame-options: deny",
            "cache-control: no-store",
        ] {
            assert!(reply.head.contains(header), "{header}: {}", reply.head);
        }
        assert!(!reply.head.contains("server:"));
    }
    // Metrics are not on the open side, and hold no path of anybody's making.
    assert_eq!(server.get("/metrics").await.status, 404);
    let metrics = server.metrics().await;
    assert!(!metrics.contains("script"), "{metrics}");
}

#[tokio::test]
async fn what_is_under_way_ends_before_the_stop() {
    let server = Server::start().await;
    let body = vec![b'x'; 1000];
    let signature = meta_signature(&body);
    let whole = request("POST", "/hooks/wa", &[("X-Hub-Signature-256", &signature)], &body);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&whole[..whole.len() - 500]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let path = server.path();
    let address = server.address;
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        TcpStream::connect(address).await.is_err()
            || raw(address, b"GET /healthz HTTP/1.1\r\n\r\n").await.status == 0
    );
    stream.write_all(&whole[whole.len() - 500..]).await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(reply(&all).status, 200);
    let folder = stopping.await.unwrap();
    let reader = throughline_store::inbox::InboxReader::open(path).unwrap();
    assert_eq!(reader.read("wa", 0, 10, 1 << 20).unwrap().len(), 1);
    drop(folder);
}
