//! Recording and replaying.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt;
use throughline_core::http::{HttpClient, HttpRequest, HttpResponse, Verdict};
use throughline_core::{Clock, ErrorKind, Redactor, SystemClock};
use throughline_http::cassette::Cassette;
use throughline_http::{Client, HttpSettings};

use crate::server::{Reply, Server};
use crate::{Kit, START_US, get, post};

fn recording(path: &Path) -> Kit {
    Kit::new(&HttpSettings { record: Some(path.to_owned()), ..Default::default() })
}

fn replaying(path: &Path) -> (Client, Arc<dyn Clock>) {
    let settings = HttpSettings { replay: Some(path.to_owned()), ..Default::default() };
    Client::open(&settings, Default::default(), Arc::new(SystemClock), Redactor::new()).unwrap()
}

/// Status, number, content type and body.
async fn whole(response: HttpResponse) -> (u16, u64, String, Vec<u8>) {
    let (status, exchange) = (response.head.status, response.head.exchange);
    let content_type = response.head.header("content-type").unwrap_or_default().to_owned();
    (status, exchange, content_type, response.bytes().await.unwrap().to_vec())
}

fn plain(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    match path.extension().and_then(|e| e.to_str()) {
        Some("gz") => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap()),
        Some("zst") => drop(zstd::Decoder::new(&bytes[..]).unwrap().read_to_string(&mut text).unwrap()),
        _ => text = String::from_utf8(bytes).unwrap(),
    }
    text
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    (folder, path)
}

#[tokio::test]
async fn a_replay_equals_its_recording() {
    for ending in ["jsonl", "jsonl.gz", "jsonl.zst"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("shop.{ending}"));
        let server = Server::script(vec![
            Reply::json("{\"page\":1,\"имя\":\"Ирина \\u0000\"}"),
            Reply::ok("200 OK\r\nContent-Type: text/csv", [0xff, 0x00, b'x', b'\n']),
            Reply::ok("429 x\r\nRetry-After: 5", "slow"),
            Reply::json("{\"page\":2}"),
            Reply::raw("HTTP/1.1 204 No Content\r\n\r\n"),
            Reply::json("first"),
            Reply::json("second"),
            Reply::ok("200 OK", "x".repeat(300_000)),
        ])
        .await;
        let requests = || -> Vec<HttpRequest> {
            vec![
                get(server.url("/leads?page=1&with=contacts")),
                get(server.url("/report.csv")),
                get(server.url("/leads?page=2")),
                post(server.url("/x"), "{\"a\":1}"),
                get(server.url("/poll")),
                get(server.url("/poll")),
            ]
        };
        let kit = recording(&path);
        let mut live = Vec::new();
        for request in requests() {
            live.push(whole(kit.client.send(request).await.unwrap()).await);
        }
        live.push(whole(kit.client.stream(get(server.url("/part"))).await.unwrap()).await);
        assert!(!path.exists(), "named only when whole");
        kit.client.finish().unwrap();
        assert!(!folder.path().join(format!("shop.{ending}.partial")).exists());

        let (client, clock) = replaying(&path);
        assert_eq!((clock.now_us(), client.started_at_us()), (START_US, START_US));
        assert_eq!(client.cassette().unwrap().unused(), 8);
        let asked = server.seen().len();
        let mut replayed = Vec::new();
        for request in requests() {
            replayed.push(whole(client.send(request).await.unwrap()).await);
        }
        replayed.push(whole(client.stream(get(server.url("/part"))).await.unwrap()).await);
        assert_eq!(replayed, live, "{ending}");
        assert_eq!(client.cassette().unwrap().unused(), 0);
        assert_eq!(server.seen().len(), asked, "the network was not touched");
        assert_eq!(clock.now_us(), START_US, "nothing waited");
    }
}

#[tokio::test]
async fn no_secret_ever_gets_into_a_cassette() {
    let (_folder, path) = folder();
    let server = Server::new(|request| {
        if request.starts_with("POST /oauth") {
            Reply::ok(
                "200 OK\r\nSet-Cookie: session=cookie-secret-1\r\nX-Request-Id: registered-secret-1",
                "{\"token_type\":\"Bearer\",\"access_token\":\"handed-out-access-1\",\"refresh_token\":\"handed-out-refresh-1\"}",
            )
        } else {
            // A vendor that echoes everything.
            Reply::ok("200 OK\r\nLocation: /x?a=registered-secret-1", request)
        }
    })
    .await;
    let kit = recording(&path);
    kit.redactor.register_text("registered-secret-1");
    let token = post(
        server.url("/oauth"),
        "grant_type=refresh_token&client_id=me&client_secret=unregistered-secret-1&refresh_token=old-refresh-token-1",
    );
    let data = || {
        get(server.url("/registered-secret-1/leads?apikey=in-the-query-1&page=1&x=registered-secret-1"))
            .header("Authorization", "Bearer handed-out-access-1")
            .header("X-Api-Key", "in-a-header-1")
            .header("Cookie", "a=cookie-secret-2")
            .header("Content-Type", "application/json")
    };
    kit.client.send(token.clone()).await.unwrap();
    kit.client.send(data()).await.unwrap().bytes().await.unwrap();
    let streamed =
        post(server.url("/echo"), "{\"password\":\"pass-in-body-1\",\"a\":\"cmVnaXN0ZXJlZC1zZWNyZXQtMQ==\"}");
    kit.client.stream(streamed.clone()).await.unwrap().bytes().await.unwrap();
    kit.client.finish().unwrap();
    let text = plain(&path);
    assert_eq!(text.lines().count(), 4, "{text}");
    for secret in [
        "secret-1",
        "handed-out",
        "refresh-token-1",
        "in-the-query",
        "in-a-header",
        "cookie-secret",
        "pass-in-body",
        "cmVnaXN0",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    // The replay has other secrets, as anybody's machine has.
    let (client, _) = replaying(&path);
    let other = post(
        server.url("/oauth"),
        "grant_type=refresh_token&client_id=me&client_secret=replayed&refresh_token=another",
    );
    let answer = client.send(other).await.unwrap().bytes().await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("\"access_token\":\"***\""));
    let settings = HttpSettings { replay: Some(path.clone()), ..Default::default() };
    let redactor = Redactor::new();
    redactor.register_text("registered-other-9");
    let (client, _) = Client::open(&settings, Default::default(), Arc::new(SystemClock), redactor).unwrap();
    let request = get(server.url("/registered-other-9/leads?page=1&apikey=zz&x=registered-other-9"));
    client.send(request).await.unwrap();
}

#[tokio::test]
async fn order_is_kept_per_request_and_free_between_them() {
    let (_folder, path) = folder();
    let server = Server::new(|request| {
        // Later requests end earlier.
        let pause = if request.contains("slow") { 60 } else { 0 };
        let path = request.split(' ').nth(1).unwrap().to_owned();
        Reply::nothing()
            .then(pause, format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()))
    })
    .await;
    let kit = recording(&path);
    let urls = ["/slow?b=1&a=2", "/x?c=1", "/x?c=2", "/slow?q=%D0%B9"];
    let sent = urls.map(|url| kit.client.send(get(server.url(url))));
    for answer in futures::future::join_all(sent).await {
        answer.unwrap();
    }
    kit.client.finish().unwrap();
    let (client, _) = replaying(&path);
    let asked = ["/x?c=2", "/slow?q=%D0%B9", "/slow?a=2&b=1", "/x?c=1"];
    let asked =
        asked.map(|url| async { client.send(get(server.url(url))).await.unwrap().bytes().await.unwrap() });
    let got = futures::future::join_all(asked).await;
    assert_eq!(got, ["/x?c=2", "/slow?q=%D0%B9", "/slow?b=1&a=2", "/x?c=1"]);
}

#[tokio::test]
async fn unknown_and_used_up_requests_say_what_there_is() {
    let (_folder, path) = folder();
    let server = Server::script(vec![Reply::json("{}")]).await;
    let kit = recording(&path);
    for url in ["/leads?page=1", "/leads?page=2", "/contacts?page=1", "/users"] {
        kit.client.send(get(server.url(url))).await.unwrap();
    }
    kit.client.send(post(server.url("/search"), "{\"q\":1}")).await.unwrap();
    kit.client.finish().unwrap();
    let (client, _) = replaying(&path);
    client.send(get(server.url("/users"))).await.unwrap();
    let again = client.send(get(server.url("/users"))).await.err().unwrap();
    assert_eq!((again.kind(), again.is_temporary()), (ErrorKind::Config, false));
    assert!(again.to_string().contains("has no more answers for GET http://127.0.0.1"), "{again}");
    assert!(
        again.to_string().contains("it was asked once") && again.to_string().contains("record it again"),
        "{again}"
    );
    let unknown = client.send(get(server.url("/leads?page=3"))).await.err().unwrap().to_string();
    assert!(
        unknown.contains("/leads?page=1, recorded: GET") && unknown.contains("/leads?page=2"),
        "{unknown}"
    );
    assert!(!unknown.contains("/users"), "only the nearest: {unknown}");
    let body = client.send(post(server.url("/search"), "{\"q\":2}")).await.err().unwrap().to_string();
    assert!(body.contains("with body {\"q\":2}") && body.contains("with body {\"q\":1}"), "{body}");
    let mut elsewhere = get(server.url("/users"));
    elsewhere.url = "https://other.example/users".into();
    assert!(client.send(elsewhere).await.is_err(), "the base URL counts");
}

/// A judged retry, a stream that breaks and is asked for again, a stream left early.
async fn tell(client: &Client, server: &Server) -> Vec<String> {
    let mut judged = get(server.url("/a"));
    judged.judge = Some(Arc::new(|_, body| match body {
        b"{\"error\":6}" => Verdict::Retry { after: None, account_wide: true, why: "6".into() },
        _ => Verdict::ByStatus,
    }));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let mut told = vec![text(whole(client.send(judged).await.unwrap()).await.3)];
    let part = || get(server.url("/part"));
    let broken: Vec<_> = client.stream(part()).await.unwrap().body.collect().await;
    told.push(format!("{} {}", broken.len(), broken[1].as_ref().unwrap_err().kind().as_str()));
    told.push(text(whole(client.stream(part()).await.unwrap()).await.3));
    let mut early = client.stream(get(server.url("/early"))).await.unwrap().body;
    let first = early.next().await.unwrap().unwrap();
    told.push(first.iter().all(|b| *b == b'a').to_string());
    told
}

#[tokio::test]
async fn a_judged_retry_and_a_broken_stream_replay_as_they_went() {
    let (_folder, path) = folder();
    let server = Server::script(vec![
        Reply::json("{\"error\":6}"),
        Reply::json("{\"ok\":1}"),
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
        Reply::ok("200 OK", "the whole"),
        Reply::ok("200 OK", "a".repeat(200_000)),
    ])
    .await;
    let kit = recording(&path);
    let live = tell(&kit.client, &server).await;
    assert_eq!(live, ["{\"ok\":1}", "2 protocol", "the whole", "true"]);
    kit.client.finish().unwrap();
    let (client, _) = replaying(&path);
    assert_eq!(tell(&client, &server).await, live);
}

#[tokio::test]
async fn damaged_cassettes_are_refused_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.jsonl");
    let header = "{\"throughline_cassette\":1,\"recorded_at\":\"2026-01-01T00:00:00Z\"}\n";
    let good = "{\"method\":\"GET\",\"url\":\"https://a.example/\",\"status\":200}\n";
    let cases = [
        (String::new(), ":1: the file is empty"),
        (good.to_owned(), ":1: not a cassette"),
        ("PK\u{3}\u{4}".to_owned(), ":1: not a cassette"),
        (header.replace(":1,", ":2,"), ":1: cassette version 2"),
        (header.replace("2026-01-01T", "yesterday "), ":1: recorded_at"),
        (format!("{header}{good}{}", &good[..30]), ":3: not an exchange"),
        (
            format!("{header}{{\"method\":\"GET\",\"url\":\"x\"}}\n"),
            ":2: not an exchange: missing field `status`",
        ),
        (
            format!(
                "{header}{{\"method\":\"POST\",\"url\":\"x\",\"status\":1,\"request_body_base64\":\"?\"}}"
            ),
            ":2: bad base64",
        ),
    ];
    for (text, expected) in cases {
        std::fs::write(&path, text).unwrap();
        let error = Cassette::open(&path, &Redactor::new()).err().unwrap().to_string();
        assert!(error.contains(&format!("c.jsonl{expected}")), "{expected}: {error}");
    }
    // Whole lines cut off by a compressor that was killed.
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(format!("{header}{}", good.repeat(1000)).as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    assert_eq!(Cassette::open(&path, &Redactor::new()).err().unwrap().kind(), ErrorKind::Io);
    assert!(Cassette::open(&folder.path().join("none"), &Redactor::new()).is_err());
}

#[tokio::test]
async fn cassettes_written_by_hand_need_little() {
    let (_folder, path) = folder();
    std::fs::write(
        &path,
        "{\"throughline_cassette\":1,\"recorded_at\":\"2026-01-01T03:00:00+03:00\",\"note\":\"by hand\"}\n\n\
         {\"method\":\"GET\",\"url\":\"https://a.example?b=1&a=2\",\"status\":200,\"headers\":{\"x-next-page\":\"2\"},\"body\":\"[]\",\"note\":1}\n\
         {\"method\":\"GET\",\"url\":\"https://a.example/?a=2&b=1\",\"status\":200,\"body_base64\":\"/w==\"}",
    )
    .unwrap();
    let (client, clock) = replaying(&path);
    assert_eq!(clock.now_us(), START_US);
    let first = client.send(get("https://a.example/?a=2&b=1")).await.unwrap();
    assert_eq!(first.head.header("X-Next-Page"), Some("2"));
    assert_eq!(first.bytes().await.unwrap(), "[]");
    assert_eq!(
        client.send(get("https://a.example/?b=1&a=2#x")).await.unwrap().bytes().await.unwrap(),
        &b"\xff"[..]
    );
}

#[tokio::test]
async fn a_recording_that_cannot_be_written_is_an_error() {
    let settings = HttpSettings { record: Some("/nowhere/at/all.jsonl".into()), ..Default::default() };
    let error =
        Client::new(&settings, Default::default(), Arc::new(SystemClock), Redactor::new()).err().unwrap();
    assert!(error.to_string().contains("/nowhere/at/all.jsonl"), "{error}");
    // An earlier cassette stays until the new one is whole.
    let (_folder, path) = folder();
    std::fs::write(&path, "earlier").unwrap();
    let kit = recording(&path);
    assert_eq!(plain(&path), "earlier");
    drop(kit);
    assert!(plain(&path).starts_with("{\"throughline_cassette\":1,"));
}

#[tokio::test]
async fn a_rewound_recording_answers_from_its_beginning_and_the_last_answer_for_ever() {
    let (_folder, path) = folder();
    let mut text = String::from("{\"throughline_cassette\":1,\"recorded_at\":\"2026-03-01T09:00:00Z\"}\n");
    for body in ["first", "second"] {
        text += &format!(
            "{{\"method\":\"GET\",\"url\":\"https://a.example/x\",\"status\":200,\"headers\":{{}},\"body\":\"{body}\"}}\n"
        );
    }
    std::fs::write(&path, text).unwrap();
    let opened = Cassette::open(&path, &Redactor::new()).unwrap();
    for (repeats, expected) in [(true, ["first", "second", "second"]), (false, ["first", "second", ""])] {
        let cassette = opened.rewound(repeats);
        let (client, clock) = Client::replaying(cassette.clone(), Redactor::new());
        assert_eq!(clock.now_us(), opened.recorded_at_us());
        for body in expected {
            let answer = client.send(get("https://a.example/x".to_owned())).await;
            let found = match answer {
                Ok(answer) => whole(answer).await.3,
                Err(error) => {
                    assert!(error.to_string().contains("no more answers"), "{error}");
                    Vec::new()
                }
            };
            assert_eq!(String::from_utf8(found).unwrap(), body);
        }
        assert_eq!(cassette.unused(), 0);
        assert_eq!(cassette.missing().is_some(), !repeats);
    }
    assert_eq!((opened.unused(), opened.missing()), (2, None));
    let (client, _) = Client::replaying(opened.clone(), Redactor::new());
    assert!(client.send(get("https://a.example/y?token=s3cret".to_owned())).await.is_err());
    let missing = opened.missing().unwrap();
    assert!(missing.starts_with("GET https://a.example/y") && !missing.contains("s3cret"), "{missing}");
}
