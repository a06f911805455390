//! When requests are sent again, after how long, and when not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use throughline_core::http::{HttpClient, Method, Verdict};
use throughline_core::{Clock, Error, ErrorKind, Retry};
use throughline_http::{HttpSettings, Limits};
use tokio::io::AsyncWriteExt;

use crate::server::{Reply, Server};
use crate::{Kit, get, post};

async fn body(kit: &Kit, request: throughline_core::http::HttpRequest) -> String {
    let bytes = kit.client.send(request).await.unwrap().bytes().await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn retry_after_in_seconds_and_as_a_date_is_obeyed() {
    let server = Server::script(vec![
        Reply::ok("429 Too Many Requests\r\nRetry-After: 7", ""),
        Reply::ok(
            "429 x\r\nDate: Thu, 01 Jan 2026 10:00:00 GMT\r\nRetry-After: Thu, 01 Jan 2026 10:00:20 GMT",
            "",
        ),
        Reply::ok("503 x\r\nRetry-After: 3", ""),
        Reply::json("[1]"),
    ])
    .await;
    let kit = Kit::default();
    assert_eq!(body(&kit, get(server.url("/a?page=1"))).await, "[1]");
    assert!((30.0..30.1).contains(&kit.waited_s()), "{}", kit.waited_s());
    let url = server.url("/a?page=1");
    let expected: Vec<String> = ["429 0", "429 0", "503 0", "200 3"]
        .iter()
        .enumerate()
        .map(|(i, s)| format!("{} GET {url} {s}", i + 1))
        .collect();
    assert_eq!(kit.log.lines(), expected);
}

#[tokio::test]
async fn throttled_without_a_word_backs_off_and_slows_the_whole_account() {
    let server = Server::script(vec![Reply::ok("429 x", "slow down"), Reply::json("1")]).await;
    let limits = Arc::new(Limits::new());
    let kit = Kit::sharing(&HttpSettings::default(), limits);
    assert_eq!(body(&kit, get(server.url("/"))).await, "1");
    assert!((1.0..5.0).contains(&kit.waited_s()), "{}", kit.waited_s());
    // The burst of a thousand is withheld: ten more take ten times 2 ms at half the rate.
    let before = kit.waited_s();
    for _ in 0..10 {
        body(&kit, get(server.url("/"))).await;
    }
    assert!((0.015..0.025).contains(&(kit.waited_s() - before)), "{}", kit.waited_s() - before);
}

#[tokio::test]
async fn an_endless_429_ends_with_what_the_vendor_said() {
    let server =
        Server::script(vec![Reply::ok("429 x\r\nRetry-After: 2", "{\"error\":\"Слишком часто\"}")]).await;
    let kit = Kit::default();
    let mut request = get(server.url("/leads?access_token=hush-hush-hush&page=2"));
    request.attempts = 3;
    let error = kit.client.send(request).await.err().unwrap();
    assert_eq!(server.seen().len(), 3);
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry(), Retry::Temporary { after: Some(Duration::from_secs(2)) });
    let text = error.to_string();
    for part in [
        "GET http://127.0.0.1:",
        "/leads?access_token=***&page=2 answered 429 Too Many Requests",
        "attempts: 3",
        "Слишком часто",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[tokio::test]
async fn a_pause_beyond_patience_is_an_error_at_once_for_the_whole_account() {
    let server =
        Server::script(vec![Reply::ok("429 x\r\nRetry-After: 3600", "tomorrow"), Reply::json("1")]).await;
    let limits = Arc::new(Limits::new());
    let kit = Kit::sharing(&HttpSettings { max_wait_s: 60, ..Default::default() }, limits.clone());
    let error = kit.client.send(get(server.url("/"))).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(error.retry(), Retry::Temporary { after: Some(Duration::from_secs(3600)) });
    assert!(
        error.to_string().contains("max_wait_s = 60") && error.to_string().contains("tomorrow"),
        "{error}"
    );
    assert!(kit.waited_s() < 0.1);
    let other = Kit::sharing(&HttpSettings { max_wait_s: 60, ..Default::default() }, limits);
    let error = other.client.send(get(server.url("/"))).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert_eq!(server.seen().len(), 1, "nobody asks again before that");
    other.clock.sleep(Duration::from_secs(3601)).await;
    other.client.send(get(server.url("/"))).await.unwrap();
}

#[tokio::test]
async fn lost_answers_are_asked_for_again_only_when_that_is_safe() {
    let broken = || {
        vec![
            Reply::nothing(),
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"),
            Reply::ok("502 Bad Gateway", "<html>"),
            Reply::json("\"done\""),
        ]
    };
    let kit = Kit::default();
    let server = Server::script(broken()).await;
    assert_eq!(body(&kit, get(server.url("/"))).await, "\"done\"");
    assert_eq!(server.seen().len(), 4);
    assert!(kit.waited_s() > 0.0 && kit.waited_s() < 10.0);

    for skip in 0..3 {
        let server = Server::script(broken().into_iter().skip(skip).collect()).await;
        let error = kit.client.send(post(server.url("/create"), "{}")).await.err().unwrap();
        assert_eq!(server.seen().len(), 1, "{error}");
        assert!(
            error.is_temporary() && error.to_string().contains("look before sending it again"),
            "{error}"
        );
        assert!(error.to_string().contains("POST http://"), "{error}");
    }
    // A create that was refused for being too fast was not lost; one declared idempotent may repeat.
    let server = Server::script(vec![Reply::ok("429 x\r\nRetry-After: 1", ""), Reply::json("2")]).await;
    assert_eq!(body(&kit, post(server.url("/create"), "{}")).await, "2");
    let server = Server::script(broken()).await;
    let mut request = post(server.url("/search"), "{}");
    request.idempotent = true;
    assert_eq!(body(&kit, request).await, "\"done\"");
    assert!(server.seen()[3].ends_with("\r\n\r\n{}"));
}

#[tokio::test]
async fn no_connection_is_tried_again_even_for_creates() {
    // A port that was just free refuses.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let kit = Kit::default();
    let mut request = post(format!("http://127.0.0.1:{port}/x"), "{}");
    request.attempts = 3;
    let error = kit.client.send(request).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.is_temporary());
    assert!(
        error.to_string().contains("no connection") && error.to_string().contains("attempts: 3"),
        "{error}"
    );
    assert_eq!(kit.log.lines().len(), 3);
}

#[tokio::test]
async fn timeouts_count_per_attempt_and_cover_the_body() {
    let slow_head = Reply::nothing().then(300, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    let slow_body = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{").then(300, "}");
    let server = Server::script(vec![slow_head.clone(), slow_body, Reply::json("3")]).await;
    let kit = Kit::default();
    let mut request = get(server.url("/"));
    request.timeout = Duration::from_millis(100);
    assert_eq!(body(&kit, request).await, "3");
    let server = Server::script(vec![slow_head]).await;
    let mut request = post(server.url("/"), "{}");
    request.timeout = Duration::from_millis(100);
    let error = kit.client.send(request).await.err().unwrap();
    assert!(error.to_string().contains("no whole answer within 100 ms"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn statuses_become_kinds() {
    let kit = Kit::default();
    let cases = [
        ("400 Bad Request", ErrorKind::Protocol),
        ("401 Unauthorized", ErrorKind::Auth),
        ("402 Payment Required", ErrorKind::Auth),
        ("403 Forbidden", ErrorKind::Auth),
        ("404 Not Found", ErrorKind::NotFound),
        ("304 Not Modified", ErrorKind::Protocol),
    ];
    for (head, kind) in cases {
        let server = Server::script(vec![Reply::ok(head, "")]).await;
        let error = kit.client.send(get(server.url("/"))).await.err().unwrap();
        assert_eq!((error.kind(), error.is_temporary(), server.seen().len()), (kind, false, 1), "{error}");
        assert!(error.to_string().contains(&format!("answered {head}")), "{error}");
    }
    let server = Server::script(vec![Reply::raw("HTTP/1.1 204 No Content\r\n\r\n")]).await;
    let response = kit.client.send(get(server.url("/"))).await.unwrap();
    assert_eq!(response.head.status, 204);
    assert!(response.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_judge_decides() {
    let server = Server::script(vec![
        Reply::json("{\"error\":{\"code\":6}}"),
        Reply::json("{\"error\":{\"code\":9}}"),
        Reply::ok("420 x", "Quota"),
        Reply::ok("404 Not Found", "no rows"),
    ])
    .await;
    let judge = |head: &throughline_core::http::HttpResponseHead, body: &[u8]| match body {
        b"{\"error\":{\"code\":6}}" => {
            Verdict::Retry { after: Some(Duration::from_secs(2)), account_wide: false, why: "code 6".into() }
        }
        b"{\"error\":{\"code\":9}}" => {
            Verdict::Retry { after: Some(Duration::from_secs(40)), account_wide: true, why: "code 9".into() }
        }
        _ if head.status == 420 => Verdict::Retry { after: None, account_wide: true, why: "quota".into() },
        _ if head.status == 404 => Verdict::Accept,
        _ => Verdict::ByStatus,
    };
    let kit = Kit::default();
    let mut request = post(server.url("/x"), "{}");
    request.judge = Some(Arc::new(judge));
    let response = kit.client.send(request).await.unwrap();
    assert_eq!((response.head.status, response.head.exchange), (404, 4));
    assert!((43.0..50.0).contains(&kit.waited_s()), "{}", kit.waited_s());

    let shared = Arc::new(
        Error::new(ErrorKind::Auth, "code 5: bad token my-secret-token").hint("log in").with("code", 5),
    );
    kit.redactor.register_text("my-secret-token");
    for streamed in [false, true] {
        let server = Server::script(vec![Reply::ok("400 x", "my-secret-token")]).await;
        let mut request = get(server.url("/x"));
        let given = shared.clone();
        request.judge = Some(Arc::new(move |_, _| Verdict::Fail(given.clone())));
        let answer = if streamed { kit.client.stream(request).await } else { kit.client.send(request).await };
        let error = answer.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Auth);
        assert!(
            error.to_string().starts_with("code 5: bad token *** (code: 5, request: GET http://127"),
            "{error}"
        );
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn methods_and_headers_arrive() {
    let kit = Kit::default();
    for method in [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete] {
        let server = Server::script(vec![Reply::json("{}")]).await;
        let mut request = get(server.url("/p?filter[x]=1&q=%D0%B9")).header("X-Own", "1");
        request.method = method;
        kit.client.send(request).await.unwrap();
        let seen = server.seen().remove(0);
        assert!(
            seen.starts_with(&format!("{} /p?filter[x]=1&q=%D0%B9 HTTP/1.1\r\n", method.as_str())),
            "{seen}"
        );
        let seen = seen.to_ascii_lowercase();
        let agent = concat!("user-agent: throughline/", env!("CARGO_PKG_VERSION"));
        for line in ["x-own: 1", agent, "accept-encoding: gzip"] {
            assert!(seen.contains(&format!("{line}\r\n")), "{line}: {seen}");
        }
    }
}

#[tokio::test]
async fn a_dropped_request_gives_its_place_back() {
    let server = Server::new(|request| {
        let slow = request.starts_with("GET /slow");
        Reply::nothing().then(if slow { 500 } else { 0 }, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    let kit = Kit::default();
    let one_at_a_time = |path: &str| {
        let mut request = get(server.url(path));
        request.account.parallel = 1;
        request
    };
    let dropped =
        tokio::time::timeout(Duration::from_millis(30), kit.client.send(one_at_a_time("/slow"))).await;
    assert!(dropped.is_err());
    let soon = Duration::from_millis(300);
    tokio::time::timeout(soon, kit.client.send(one_at_a_time("/fast"))).await.unwrap().unwrap();
    assert_eq!(kit.log.lines().len(), 2, "{:?}", kit.log.lines());
}

#[tokio::test]
async fn two_pipelines_share_one_bucket() {
    let server = Server::script(vec![Reply::json("{}")]).await;
    let limits = Arc::new(Limits::new());
    let clock = Arc::new(throughline_core::FixedClock::at_us(crate::START_US));
    let pipeline = || {
        throughline_http::Client::new(
            &HttpSettings::default(),
            limits.clone(),
            clock.clone(),
            Default::default(),
        )
        .unwrap()
    };
    let (one, two) = (pipeline(), pipeline());
    let request = || {
        let mut request = get(server.url("/"));
        (request.account.per_second, request.account.burst) = (2.0, 1);
        request
    };
    let calls = (0..5).flat_map(|_| [one.send(request()), two.send(request())]);
    for answer in futures::future::join_all(calls).await {
        answer.unwrap();
    }
    // Ten requests, one free, two a second.
    let waited = (clock.now_us() - crate::START_US) as f64 / 1e6;
    assert!((4.5..4.51).contains(&waited), "{waited}");
    let mut elsewhere = request();
    elsewhere.account.key = "vendor:other".into();
    one.send(elsewhere).await.unwrap();
    assert!(((clock.now_us() - crate::START_US) as f64 / 1e6) < 4.51, "another account has its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_parallel_requests_are_under_way() {
    // The server holds each request for a while and notes how many it holds.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (held, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let most_held = most.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (held, most) = (held.clone(), most.clone());
            tokio::spawn(async move {
                while crate::server::read_request(&mut socket).await.is_some() {
                    most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    held.fetch_sub(1, Ordering::SeqCst);
                    socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").await.unwrap();
                }
            });
        }
    });
    let kit = Kit::default();
    let calls = (0..24).map(|_| {
        let (client, mut request) = (kit.client.clone(), get(&url));
        request.account.parallel = 3;
        tokio::spawn(async move { client.send(request).await.map(drop) })
    });
    for call in futures::future::join_all(calls).await {
        call.unwrap().unwrap();
    }
    assert_eq!(most_held.load(Ordering::SeqCst), 3);
    assert_eq!(kit.log.lines().len(), 24);
}
