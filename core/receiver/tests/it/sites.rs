//! The tracker and its events.

use crate::support::Server;

const ORIGIN: (&str, &str) = ("Origin", "https://shop.example");

fn event(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","kind":"visit","at":1767225600000,"token":"HHR3D1196WD","title":"Привет, مرحبا"}}"#
    )
}

fn body(events: &[String]) -> String {
    format!(r#"{{"v":1,"events":[{}]}}"#, events.join(","))
}

#[tokio::test]
async fn events_are_kept_one_by_one_and_once() {
    let server = Server::start().await;
    let (a, b) = (event("0123456789abcdef"), event("0123456789abcdeg"));
    let headers = [ORIGIN, ("Content-Type", "text/plain"), ("Cookie", "private=1"), ("User-Agent", "UA/1")];
    let reply = server.post("/site/shop/events", &headers, body(&[a.clone(), b.clone()])).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert!(reply.head.contains("access-control-allow-origin: https://shop.example"), "{}", reply.head);
    // Tried again by a page that heard no answer, with something new.
    let more = body(&[b.clone(), event("0123456789abcdeh")]);
    assert_eq!(server.post("/site/shop/events", &headers, more).await.status, 204);
    let stored = server.stored("shop");
    assert_eq!(stored.len(), 3);
    assert_eq!((&*stored[0].body, &*stored[1].body), (a.as_bytes(), b.as_bytes()));
    assert!(stored[0].headers.contains("UA/1") && !stored[0].headers.contains("private"));

    // Other sites, no site, and what is no events.
    for origin in ["https://evil.example", "https://shop.example.evil.example", "http://shop.example", "null"]
    {
        let reply =
            server.post("/site/shop/events", &[("Origin", origin)], body(&[event("0123456789abcdei")])).await;
        assert_eq!(reply.status, 403, "{origin}");
        assert!(!reply.head.contains("access-control-allow-origin"), "{}", reply.head);
    }
    assert_eq!(server.post("/site/shop/events", &[], body(&[])).await.status, 403);
    for bad in ["", "{}", "[]", r#"{"v":1,"events":[{"id":"x"}]}"#] {
        assert_eq!(server.post("/site/shop/events", &[ORIGIN], bad).await.status, 400, "{bad}");
    }
    let large = format!(r#"{{"v":1,"events":[],"x":"{}"}}"#, "x".repeat(65_536));
    assert_eq!(server.post("/site/shop/events", &[ORIGIN], large).await.status, 413);
    assert_eq!(server.stored("shop").len(), 3);
    let metrics = server.metrics().await;
    assert!(metrics.contains("throughline_duplicates_total{source=\"shop\"} 1"), "{metrics}");
    assert!(metrics.contains("reason=\"origin\"} 5"), "{metrics}");
}

#[tokio::test]
async fn the_script_is_cached_and_preflights_are_answered() {
    let server = Server::start().await;
    let reply = server.get("/site/shop/tracker.js").await;
    assert_eq!(reply.status, 200);
    assert!(reply.head.contains("text/javascript") && reply.head.contains("max-age=3600"), "{}", reply.head);
    assert!(reply.body.contains("throughline"));
    let tag = reply.head.lines().find_map(|l| l.strip_prefix("etag: ")).unwrap().to_owned();
    let again = server.send("GET", "/site/shop/tracker.js", &[("If-None-Match", &tag)], b"").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(server.post("/site/shop/tracker.js", &[], "").await.status, 405);
    let asked = [ORIGIN, ("Access-Control-Request-Method", "POST")];
    let reply = server.send("OPTIONS", "/site/shop/events", &asked, b"").await;
    assert_eq!(reply.status, 204);
    assert!(reply.head.contains("access-control-allow-methods: post"), "{}", reply.head);
    let reply = server.send("OPTIONS", "/site/shop/events", &[("Origin", "https://evil.example")], b"").await;
    assert!(!reply.head.contains("access-control-allow"), "{}", reply.head);
    assert_eq!(server.get("/site/none/tracker.js").await.status, 404);
}
