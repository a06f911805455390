//! What comes back: cut, wrong, too large, compressed.

use std::io::Write;
use std::time::Duration;

use futures::StreamExt;
use throughline_core::ErrorKind;
use throughline_core::http::HttpClient;

use crate::server::{Reply, Server};
use crate::{Kit, get};

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(data).unwrap();
    out.finish().unwrap()
}

fn gzipped(body: &[u8]) -> Reply {
    Reply::ok("200 OK\r\nContent-Encoding: gzip", body)
}

fn chunked(rest: &str) -> Reply {
    Reply::raw(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{rest}"))
}

#[tokio::test]
async fn a_body_that_ends_early_is_never_a_short_read() {
    let packed = gzip(b"some text that is long enough to be cut in the middle");
    let mut no_end =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    no_end.extend(format!("{:x}\r\n", packed.len() / 2).bytes());
    no_end.extend(&packed[..packed.len() / 2]);
    no_end.extend(b"\r\n0\r\n\r\n");
    let cases = [
        ("content-length", Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1,2]")),
        ("no last chunk", chunked("5\r\n[1,2]\r\n")),
        ("half a chunk", chunked("9\r\n[1,2]")),
        ("no chunk size", chunked("zz\r\n[1,2]\r\n0\r\n\r\n")),
        ("half a gzip", gzipped(&packed[..packed.len() / 2])),
        ("half a gzip in whole chunks", Reply::raw(no_end)),
        ("no gzip", gzipped(b"[1,2]")),
        ("gzip and then something else", gzipped(&[&packed[..], b"<html>"].concat())),
        ("gzip without its checksum", gzipped(&packed[..packed.len() - 4])),
    ];
    for (name, reply) in cases {
        let kit = Kit::default();
        let server = Server::script(vec![reply.clone(), Reply::json("[1,2,3]")]).await;
        let body = kit.client.send(get(server.url("/"))).await.unwrap().bytes().await.unwrap();
        assert_eq!(body, "[1,2,3]", "{name}");
        assert_eq!(server.seen().len(), 2, "{name}");
        // A stream breaks off with an error, after what came.
        let server = Server::script(vec![reply]).await;
        let response = kit.client.stream(get(server.url("/"))).await.unwrap();
        let pieces: Vec<_> = response.body.collect().await;
        let error = pieces.into_iter().next_back().unwrap().err().unwrap();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Protocol, true), "{name}: {error}");
        assert!(error.to_string().contains("the answer broke off after"), "{name}: {error}");
        assert_eq!(server.seen().len(), 1, "{name}");
    }
}

#[tokio::test]
async fn whole_bodies_come_whole_whatever_their_wrapping() {
    let text = "Привет مرحبا ".repeat(5000);
    let packed = gzip(text.as_bytes());
    let mut two = gzip(&text.as_bytes()[..1000]);
    two.extend(gzip(&text.as_bytes()[1000..]));
    let pieces = text.as_bytes().chunks(777).fold(Vec::new(), |mut out, piece| {
        out.extend(format!("{:x}\r\n", piece.len()).bytes());
        out.extend(piece);
        out.extend(b"\r\n");
        out
    });
    let mut in_chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    in_chunks.extend(pieces);
    in_chunks.extend(b"0\r\n\r\n");
    let mut to_the_end = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    to_the_end.extend(text.as_bytes());
    let replies = [
        Reply::ok("200 OK", &text),
        gzipped(&packed),
        gzipped(&two),
        Reply::raw(in_chunks),
        Reply::raw(to_the_end),
    ];
    for (i, reply) in replies.into_iter().enumerate() {
        let server = Server::script(vec![reply]).await;
        let kit = Kit::default();
        let body = kit.client.send(get(server.url("/"))).await.unwrap().bytes().await.unwrap();
        assert!(body == text.as_bytes(), "{i}: {} bytes", body.len());
        let body = kit.client.stream(get(server.url("/"))).await.unwrap().bytes().await.unwrap();
        assert!(body == text.as_bytes(), "{i}: {} bytes", body.len());
        assert_eq!(kit.log.lines().last(), Some(&format!("2 GET {} 200 {}", server.url("/"), text.len())));
    }
}

#[tokio::test]
async fn the_limit_is_on_what_is_unpacked_and_stops_a_bomb() {
    // 200 MB of nothing in 200 KB.
    let bomb = gzip(&vec![0; 200 << 20]);
    assert!(bomb.len() < 300_000);
    let server = Server::script(vec![gzipped(&bomb)]).await;
    let kit = Kit::default();
    let mut request = get(server.url("/"));
    request.max_response_bytes = 1 << 20;
    let error = kit.client.send(request.clone()).await.err().unwrap();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Protocol, false), "{error}");
    assert!(error.to_string().contains("larger than the 1048576 bytes"), "{error}");
    assert_eq!(server.seen().len(), 1, "it would be as large the second time");
    let line = kit.log.lines().remove(0);
    let read: u64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(read < 6 << 20, "stopped near the limit: {line}");

    let mut stream = kit.client.stream(request.clone()).await.unwrap().body;
    let mut read = 0;
    let error = loop {
        match stream.next().await.unwrap() {
            Ok(chunk) => read += chunk.len(),
            Err(error) => break error,
        }
    };
    assert!(read <= 1 << 20 && error.kind() == ErrorKind::Protocol, "{read} {error}");
    assert!(stream.next().await.is_none());

    // Exactly at the limit is fine; one more is not; a length that lies upwards is not believed.
    let server = Server::script(vec![Reply::ok("200 OK", "12345")]).await;
    let mut request = get(server.url("/"));
    request.max_response_bytes = 5;
    assert_eq!(kit.client.send(request.clone()).await.unwrap().bytes().await.unwrap(), "12345");
    request.max_response_bytes = 4;
    assert!(kit.client.send(request).await.is_err());
    // The body of a bad answer is cut, not complained about.
    let server = Server::script(vec![Reply::ok("403 Forbidden", "x".repeat(3 << 20))]).await;
    let error = kit.client.send(get(server.url("/"))).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().len() < 500, "{error}");
}

#[tokio::test]
async fn a_coding_nobody_asked_for_is_an_error() {
    let server = Server::script(vec![Reply::ok("200 OK\r\nContent-Encoding: br", "xx")]).await;
    let error = Kit::default().client.send(get(server.url("/"))).await.err().unwrap();
    assert!(error.to_string().contains("content-encoding br"), "{error}");
}

#[tokio::test]
async fn answers_that_are_no_http_are_errors() {
    for reply in [
        "",
        "hello",
        "HTTP/1.1 99999 x\r\n\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ] {
        let server = Server::script(vec![Reply::raw(reply)]).await;
        let mut request = get(server.url("/"));
        request.attempts = 2;
        let error = Kit::default().client.send(request).await.err().unwrap();
        assert!(error.is_temporary() && error.to_string().contains("attempts: 2"), "{reply}: {error}");
    }
}

#[tokio::test]
async fn a_stream_may_take_long_but_not_fall_silent() {
    let mut slow = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
    for piece in ["1", "2", "3", "4", "5", "6"] {
        slow = slow.then(40, piece);
    }
    let server = Server::script(vec![slow]).await;
    let kit = Kit::default();
    let mut request = get(server.url("/"));
    request.timeout = Duration::from_millis(150);
    assert_eq!(kit.client.stream(request.clone()).await.unwrap().bytes().await.unwrap(), "123456");
    let silent = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n123").then(500, "456");
    let server = Server::script(vec![silent]).await;
    request.url = server.url("/");
    let error = kit.client.stream(request).await.unwrap().bytes().await.unwrap_err();
    assert!(error.to_string().contains("after 3 bytes: nothing came for 150 ms"), "{error}");
    // A bad head is tried again also for streams.
    let server = Server::script(vec![Reply::ok("500 x", ""), Reply::ok("200 OK", "good")]).await;
    assert_eq!(kit.client.stream(get(server.url("/"))).await.unwrap().bytes().await.unwrap(), "good");
}
