//! What must never happen: credentials in clear on the wire, at the wrong host, or in a message.

use throughline_core::ErrorKind;
use throughline_core::http::HttpClient;

use crate::server::{Reply, Server};
use crate::{Kit, get, post};

#[tokio::test]
async fn plain_http_is_for_this_machine() {
    let kit = Kit::default();
    for url in ["http://vendor.example/x", "http://192.168.1.1/", "http://localhost.vendor.example/"] {
        let error = kit.client.send(get(url)).await.err().unwrap();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Config, false), "{error}");
        assert!(error.to_string().contains("https://"), "{error}");
    }
    assert!(kit.log.lines().is_empty(), "nothing was sent");
    let server = Server::script(vec![Reply::json("{}")]).await;
    for host in ["localhost", "127.0.0.1", "x.localhost"] {
        kit.client.send(get(format!("http://{host}:{}/", server.port))).await.unwrap();
    }
}

#[tokio::test]
async fn redirects_stay_with_the_host() {
    let kit = Kit::default();
    let other = Server::script(vec![Reply::json("\"stolen\"")]).await;
    let server = {
        let other = other.url("/take?token=abc");
        Server::new(move |request| match request.split(' ').nth(1).unwrap() {
            "/here" => Reply::ok("302 Found\r\nLocation: /there?x=1", ""),
            "/there?x=1" => Reply::json("\"there\""),
            "/moved" => Reply::ok("308 x\r\nLocation: /there?x=1", ""),
            "/circle" => Reply::ok("301 x\r\nLocation: /circle", ""),
            "/away" => Reply::ok(&format!("302 x\r\nLocation: {other}"), ""),
            "/nowhere" => Reply::ok("302 x", ""),
            _ => Reply::ok("302 x\r\nLocation: http://localhost:1/", ""),
        })
        .await
    };
    let secret = |path: &str| get(server.url(path)).header("Authorization", "Bearer very-secret-token");
    let body = kit.client.send(secret("/here")).await.unwrap().bytes().await.unwrap();
    assert_eq!(body, "\"there\"");
    assert!(server.seen().iter().all(|r| r.contains("Bearer very-secret-token")));
    for path in ["/away", "/nowhere", "/localhost"] {
        let error = kit.client.send(secret(path)).await.err().unwrap();
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Protocol, false), "{error}");
        assert!(!error.to_string().contains("token=abc"), "{error}");
    }
    assert!(other.seen().is_empty(), "nobody else was asked");
    let error = kit.client.send(secret("/circle")).await.err().unwrap();
    assert!(error.to_string().contains("more than 5 redirects"), "{error}");
    // 307 and 308 repeat a POST as it was; 302 would turn it into a GET.
    kit.client.send(post(server.url("/moved"), "{\"a\":1}")).await.unwrap();
    assert!(
        server.seen().last().unwrap().starts_with("POST /there")
            && server.seen().last().unwrap().ends_with("{\"a\":1}")
    );
    assert!(kit.client.send(post(server.url("/here"), "{}")).await.is_err());
    // A judge may take a redirect as the answer.
    let mut request = secret("/away");
    request.judge = Some(std::sync::Arc::new(|_, _| throughline_core::http::Verdict::Accept));
    let response = kit.client.send(request).await.unwrap();
    assert_eq!(response.head.header("Location"), Some(other.url("/take?token=abc").as_str()));
}

#[tokio::test]
async fn errors_hold_no_secret() {
    let kit = Kit::default();
    kit.redactor.register_text("registered+secret");
    let echo = "{\"sent\":\"registered+secret\",\"also\":\"registered%2Bsecret\",\"auth\":\"learned-from-header\",\
                \"q\":\"learned-from-query\",\"access_token\":\"handed-out\"} \u{1b}[31m";
    for reply in
        [Reply::ok("400 x", echo), Reply::ok("500 x", echo), Reply::ok("429 x\r\nRetry-After: 9999", echo)]
    {
        let server = Server::script(vec![reply]).await;
        let request =
            get(server.url("/registered+secret/x?api_key=learned-from-query&b=registered%2bsecret"))
                .header("Authorization", "Bearer learned-from-header");
        let error = kit.client.send(request).await.err().unwrap();
        let mut text = format!("{error} {error:?} {:?}", kit.log.lines());
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            text.push_str(&format!(" {inner} {inner:?}"));
            cause = inner.source();
        }
        for secret in ["registered+secret", "registered%2", "learned-from-", "handed-out", "\u{1b}"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert!(text.contains("/***/x?api_key=***&b=***"), "{text}");
    }
    let kit = Kit::default();
    kit.redactor.register_text("registered+secret");
    let error = kit
        .client
        .send(get("https://h.example/").header("Authorization", "Bearer line\nend-of-secret"))
        .await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(!error.to_string().contains("end-of"), "{error}");
    for url in ["https://user:pass-word-1@h.example/", "not a url registered+secret", "https://"] {
        let error = kit.client.send(get(url)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        assert!(
            !error.to_string().contains("pass-word-1") && !error.to_string().contains("registered+"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn long_bodies_are_shown_short() {
    let server = Server::script(vec![Reply::ok("400 x", "й".repeat(5000))]).await;
    let error = Kit::default().client.send(get(server.url("/"))).await.err().unwrap();
    let shown = error.to_string().chars().filter(|c| *c == 'й').count();
    assert_eq!(shown, 300);
}
