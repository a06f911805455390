//! Each vendor's proof: what is accepted, what is not, and what is answered.

use crate::support::{Server, meta_signature};

/// As ../shared/api/messengers/samples/signatures has them; the vectors themselves where it is there.
#[tokio::test]
async fn signature_vectors() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/api/messengers/samples/signatures/signature_vectors.json");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(_) => {
            eprintln!("SKIPPED in part: {} is not there; our own copy is tried", path.display());
            include_str!("../vectors.json").to_owned()
        }
    };
    let vectors: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    assert!(vectors.len() >= 5);
    let server = Server::start().await;
    for vector in vectors {
        let [name, header, value, body, expect] =
            ["name", "header", "value", "body_utf8", "expect"].map(|k| vector[k].as_str().unwrap());
        let source = if name.starts_with("meta") { "wa" } else { "viber" };
        let reply = server.post(&format!("/hooks/{source}"), &[(header, value)], body).await;
        assert_eq!(reply.status, if expect == "accept" { 200 } else { 403 }, "{name}: {reply:?}");
        let stored = server.stored(source).iter().any(|d| d.body == body.as_bytes());
        assert_eq!(stored, expect == "accept", "{name}");
    }
}

#[tokio::test]
async fn meta_signs_raw_bytes_and_shakes_hands() {
    let server = Server::start().await;
    let body = br#"{"entry":[],"object":"whatsapp_business_account"}"#;
    let good = meta_signature(body);
    let reply = server.post("/hooks/wa", &[("X-Hub-Signature-256", &good)], body).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, ""));
    // Again, as Meta does when it is not sure: answered alike, stored once.
    assert_eq!(server.post("/hooks/wa", &[("x-hub-signature-256", &good)], body).await.status, 200);
    assert_eq!(server.stored("wa").len(), 1);
    assert!(server.stored("wa")[0].headers.contains(&good), "the signature is kept for whoever reads");
    for bad in ["", "sha256=", &good[7..], &good[..70], &good.replace("sha256", "sha1"), "sha256=зз"] {
        let reply = server.post("/hooks/wa", &[("X-Hub-Signature-256", bad)], body).await;
        assert_eq!(reply.status, 403, "{bad}");
    }
    assert_eq!(server.post("/hooks/wa", &[], body).await.status, 403);

    let reply = server.get("/hooks/wa?hub.mode=subscribe&hub.verify_token=vt-1&hub.challenge=115820").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "115820"));
    assert!(reply.head.contains("text/plain") && reply.head.contains("nosniff"), "{}", reply.head);
    for bad in [
        "/hooks/wa",
        "/hooks/wa?hub.mode=subscribe&hub.verify_token=vt-2&hub.challenge=1",
        "/hooks/wa?hub.mode=unsubscribe&hub.verify_token=vt-1&hub.challenge=1",
        "/hooks/wa?hub.mode=subscribe&hub.challenge=1",
        "/hooks/wa?hub.mode=subscribe&hub.verify_token=vt-1&hub.challenge=%3Cscript%3E",
        "/hooks/wa?hub.mode=subscribe&hub.verify_token=vt-1",
    ] {
        let reply = server.get(bad).await;
        assert_eq!(reply.status, 403, "{bad}");
        assert!(!reply.body.contains("script"));
    }
    assert_eq!(server.get("/hooks/tg").await.status, 405);
}

#[tokio::test]
async fn viber_may_sign_in_the_query() {
    let server = Server::start().await;
    let body = r#"{"event":"message","message":{"type":"text","text":"привет"}}"#;
    let sig = "9ea8c1808a28bcdc5721860f10b895f9fa1ed844a6e9bd5b2dbf32e18f51da26";
    assert_eq!(server.post(&format!("/hooks/viber?sig={sig}"), &[], body).await.status, 200);
    assert_eq!(server.post("/hooks/viber?sig=00", &[], body).await.status, 403);
    // The header comes first.
    let both = [("X-Viber-Content-Signature", "00")];
    assert_eq!(server.post(&format!("/hooks/viber?sig={sig}"), &both, body).await.status, 403);
}

#[tokio::test]
async fn telegram_has_a_secret_header() {
    let server = Server::start().await;
    let name = "X-Telegram-Bot-Api-Secret-Token";
    let body = r#"{"update_id":10000,"message":{"text":"/start HHR3D1196WD"}}"#;
    assert_eq!(server.post("/hooks/tg", &[(name, "tl_secret-01")], body).await.status, 200);
    assert_eq!(server.post("/hooks/tg", &[(name, "TL_secret-01")], body).await.status, 403);
    assert_eq!(server.post("/hooks/tg", &[], body).await.status, 403);
    // update_id may start anew: another message under an old number is another message.
    let other = r#"{"update_id":10000,"message":{"text":"later"}}"#;
    assert_eq!(server.post("/hooks/tg", &[(name, "tl_secret-01")], other).await.status, 200);
    let stored = server.stored("tg");
    assert_eq!(stored.len(), 2);
    assert!(!stored[0].headers.contains("tl_secret"), "the secret is not kept: {}", stored[0].headers);
}

#[tokio::test]
async fn vk_confirms_and_checks_the_secret_in_the_body() {
    let server = Server::start().await;
    let reply = server.post("/hooks/vk", &[], r#"{"type":"confirmation","group_id":200000001}"#).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "a1b2c3d4"));
    let wrong = r#"{"type":"confirmation","group_id":1,"secret":"no"}"#;
    assert_eq!(server.post("/hooks/vk", &[], wrong).await.status, 403);
    let event = r#"{"type":"message_new","event_id":"6f1c","object":{},"secret":"cb_secret_value"}"#;
    let reply = server.post("/hooks/vk", &[], event).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
    // The same event, written otherwise.
    let again = r#"{"event_id":"6f1c","type":"message_new","object":{},"secret":"cb_secret_value"}"#;
    assert_eq!(server.post("/hooks/vk", &[], again).await.body, "ok");
    assert_eq!(server.stored("vk").len(), 1);
    for bad in [
        r#"{"type":"message_new","event_id":"x","object":{}}"#,
        r#"{"type":"message_new","event_id":"x","object":{},"secret":"cb_secret_valuE"}"#,
        r#"{"type":"message_new","event_id":"x","object":{},"secret":7}"#,
        "[]",
        "",
    ] {
        assert_eq!(server.post("/hooks/vk", &[], bad).await.status, 403, "{bad}");
    }
}

#[tokio::test]
async fn bearers_headers_and_paths() {
    let server = Server::start().await;
    let body = r#"{"messages":[{"messageId":"1"}]}"#;
    for good in ["Bearer wz_key_01", "bearer wz_key_01", "Bearer  wz_key_01"] {
        assert_eq!(
            server.post("/hooks/wazzup", &[("Authorization", good)], body).await.status,
            200,
            "{good}"
        );
    }
    for bad in ["Bearer wz_key_02", "Bearer", "Basic wz_key_01", "wz_key_01", "Bearer wz_key_01 x"] {
        assert_eq!(server.post("/hooks/wazzup", &[("Authorization", bad)], body).await.status, 403, "{bad}");
    }
    // Wazzup tries the address before it knows the key; nothing comes of it.
    assert_eq!(server.post("/hooks/wazzup", &[], r#"{"test": true}"#).await.status, 200);
    assert_eq!(server.post("/hooks/wazzup", &[], r#"{"test":true,"messages":[]}"#).await.status, 403);
    let stored = server.stored("wazzup");
    assert_eq!(stored.len(), 1);
    assert!(!stored[0].headers.contains("wz_key"), "{}", stored[0].headers);

    // A button may be pressed twice: without a key both count.
    for _ in 0..2 {
        let reply = server.post("/hooks/flow", &[("x-flow-key", "flow-key-77")], "{}").await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "{}"));
    }
    let keyed = [("X-Flow-Key", "flow-key-77"), ("Idempotency-Key", "7")];
    for _ in 0..2 {
        assert_eq!(server.post("/hooks/flow", &keyed, "{}").await.status, 200);
    }
    assert_eq!(server.post("/hooks/flow", &[("X-Flow-Key", "flow-key-7")], "{}").await.status, 403);
    let stored = server.stored("flow");
    assert_eq!(stored.len(), 3);
    assert!(!stored[0].headers.contains("flow-key"), "{}", stored[0].headers);

    assert_eq!(server.post("/hooks/chatfuel/in-the-path-88", &[], "{}").await.status, 200);
    for bad in ["/hooks/chatfuel", "/hooks/chatfuel/", "/hooks/chatfuel/in-the-path-8", "/hooks/tg/x"] {
        assert_eq!(server.post(bad, &[], "{}").await.status, 403, "{bad}");
    }
    for none in ["/hooks/none", "/hooks", "/", "/hooks/chatfuel/in-the-path-88/x", "/site/wa/events"] {
        assert_eq!(server.post(none, &[], "{}").await.status, 404, "{none}");
    }
    assert_eq!(server.stored("chatfuel").len(), 1);
}

#[tokio::test]
async fn comagic_names_the_event_in_the_path() {
    let server = Server::start().await;
    let bearer = [("Authorization", "Bearer cm_key_01")];
    let body = r#"{"chat_id":5,"id":1}"#;
    // Told again, a message is the same one; a chat closed again is another closing.
    for path in ["/message", "/message", "/chat/close", "/chat/close", "/message/status"] {
        let reply = server.post(&format!("/hooks/comagic{path}"), &bearer, body).await;
        assert_eq!(reply.status, 200, "{path}");
    }
    assert_eq!(server.send("PATCH", "/hooks/comagic/chat", &bearer, body.as_bytes()).await.status, 200);
    let events: Vec<(String, String)> = server
        .stored("comagic")
        .iter()
        .map(|d| {
            assert!(!d.headers.contains("cm_key"), "{}", d.headers);
            let headers: serde_json::Value = serde_json::from_str(&d.headers).unwrap();
            let text = |name: &str| headers[name].as_str().unwrap().to_owned();
            (text(":method"), text(":path"))
        })
        .collect();
    let wanted = [
        ("POST", "/message"),
        ("POST", "/chat/close"),
        ("POST", "/chat/close"),
        ("POST", "/message/status"),
        ("PATCH", "/chat"),
    ];
    assert_eq!(events, wanted.map(|(m, p)| (m.to_owned(), p.to_owned())));

    let basic = |pair: &str| {
        use base64::Engine as _;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    // The secret as it stands, or the pair of Basic.
    assert_eq!(
        server.post("/hooks/comagic/chat", &[("Authorization", &basic("cm_key_01"))], body).await.status,
        200
    );
    for bad in ["Bearer cm_key_02", "Basic cm_key_01", "Basic ****", "cm_key_01", "Bearer"] {
        let reply = server.post("/hooks/comagic/chat", &[("Authorization", bad)], body).await;
        assert_eq!(reply.status, 403, "{bad}");
    }
    for bad in ["", "/", "/chat/", "/a%2fb", "/../x"] {
        let reply = server.post(&format!("/hooks/comagic{bad}"), &bearer, body).await;
        assert_eq!(reply.status, 403, "{bad}");
    }
    assert_eq!(server.post("/hooks/comagic/a/b/c/d", &bearer, body).await.status, 404);
    assert_eq!(server.send("PATCH", "/hooks/wazzup", &[], b"{}").await.status, 405);
    assert_eq!(server.send("PUT", "/hooks/comagic/chat", &bearer, b"{}").await.status, 405);
}
