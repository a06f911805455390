//! Error rules: what vendors say in a 200, quotas with their own clock, void cursors.

use std::sync::Mutex;

use serde_json::{Value, json};
use throughline_core::ErrorKind;

use crate::fixture::{Reply, Server};
use crate::harness::{NOW, World, read, request, secret, source};

fn manifest(rules: &str) -> String {
    format!(
        "name = \"test\"\nbase_url = \"https://api.example.com\"\n{rules}\n[[streams]]\nname = \"items\"\n\
         records = \"items\"\nkey = [\"id\"]\n[streams.request]\npath = \"/items\"\nquery = {{ after = \"{{cursor}}\" }}\n\
         [streams.paging]\nkind = \"cursor\"\npath = \"after\"\n"
    )
}

async fn first_then_good(rules: &str, first: Reply) -> (crate::harness::Got, i64) {
    let turn = Mutex::new(0);
    let server = Server::start(move |_| {
        *turn.lock().unwrap() += 1;
        if *turn.lock().unwrap() == 1 { first.clone() } else { Reply::json(&json!({"items": [{"id": 1}]})) }
    })
    .await;
    let world = World::new();
    let got = read(&world, &source(&manifest(rules), &server.url, json!({})), request("items", None)).await;
    (got, world.now() - NOW)
}

#[tokio::test]
async fn waits_as_the_vendor_says() {
    // VK: an error code in a 200.
    let vk = "[[errors]]\npath = \"error.error_code\"\nis = [\"6\"]\naction = \"slow_down\"\nwait = \"3s\"\n";
    let (got, waited) = first_then_good(vk, Reply::json(&json!({"error": {"error_code": 6}}))).await;
    assert_eq!((got.ok().rows.len(), waited), (1, 3));
    // Bitrix24: the second the time budget comes back.
    let bitrix = "[[errors]]\nstatus = [429]\npath = \"error\"\nis = [\"OPERATION_TIME_LIMIT\"]\naction = \"slow_down\"\n\
                  wait_path = \"time.operating_reset_at\"\nwait_until = true\n";
    let body = json!({"error": "OPERATION_TIME_LIMIT", "time": {"operating_reset_at": NOW + 40}});
    let (got, waited) = first_then_good(bitrix, Reply::text(429, &body.to_string())).await;
    got.ok();
    assert!((39..=42).contains(&waited), "{waited}");
    // A header of its own.
    let header = "[[errors]]\nstatus = [503]\naction = \"retry\"\nwait_header = \"x-wait\"\n";
    let (got, waited) = first_then_good(header, Reply::text(503, "busy").header("X-Wait", "11")).await;
    got.ok();
    assert!((11..=12).contains(&waited), "{waited}");
}

#[tokio::test]
async fn fails_as_the_vendor_says() {
    let rules = "[[errors]]\nstatus = [200]\npath = \"error.data.mnemonic\"\nis = [\"ip_not_whitelisted\"]\naction = \"auth\"\n\
                 message_path = \"error.message\"\nhint = \"add this machine's address in the portal\"\n\
                 [[errors]]\npath = \"error\"\naction = \"fail\"\nmessage_path = \"error.message\"\n";
    let body = json!({"error": {"message": "Forbidden", "data": {"mnemonic": "ip_not_whitelisted"}}});
    let (got, _) = first_then_good(rules, Reply::json(&body)).await;
    let error = got.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().contains("Forbidden") && error.to_string().contains("portal"), "{error}");
    let (got, _) = first_then_good(rules, Reply::json(&json!({"error": {"message": "Тариф"}}))).await;
    assert!(got.error.unwrap().to_string().contains("Тариф"));
}

#[tokio::test]
async fn empty_and_accepted_answers() {
    let rules = "[[errors]]\nstatus = [404]\naction = \"empty\"\n";
    let (got, _) = first_then_good(rules, Reply::text(404, "{\"whatever\":1}")).await;
    assert_eq!(got.ok().rows.len(), 0);
    let rules = "[[errors]]\nstatus = [418]\naction = \"accept\"\n";
    let (got, _) = first_then_good(rules, Reply::text(418, r#"{"items":[{"id":4}]}"#)).await;
    assert_eq!(got.ok().rows[0]["id"], "4");
}

#[tokio::test]
async fn a_void_cursor_begins_the_window_again() {
    let rules = "[[errors]]\nstatus = [400]\ncontains = \"INVALID_QUERY_LOCATOR\"\naction = \"restart\"\n";
    let turn = Mutex::new(0);
    let server = Server::start(move |asked| {
        *turn.lock().unwrap() += 1;
        match (asked.param("after"), *turn.lock().unwrap()) {
            (None, _) => Reply::json(&json!({"items": [{"id": 1}], "after": "x"})),
            (_, 2) => Reply::text(400, "[{\"errorCode\":\"INVALID_QUERY_LOCATOR\"}]"),
            _ => Reply::json(&json!({"items": [{"id": 2}]})),
        }
    })
    .await;
    let got = read(&World::new(), &source(&manifest(rules), &server.url, json!({})), request("items", None))
        .await
        .ok();
    assert_eq!(got.latest("id").len(), 2);
    assert!(got.has("cursor_void"));
    // For ever void: an error, not a loop.
    let server = Server::start(|asked| match asked.param("after") {
        None => Reply::json(&json!({"items": [{"id": 1}], "after": "x"})),
        _ => Reply::text(400, "INVALID_QUERY_LOCATOR"),
    })
    .await;
    let got =
        read(&World::new(), &source(&manifest(rules), &server.url, json!({})), request("items", None)).await;
    assert!(got.error.unwrap().to_string().contains("void"));
}

#[tokio::test]
async fn ways_to_sign_in() {
    let options = "[options.key]\ntype = \"secret\"\ndoc = \"Key.\"\n";
    for (auth, header, value) in [
        ("kind = \"bearer\"\ntoken = \"{key}\"\n", "authorization", "Bearer k3y"),
        ("kind = \"header\"\nname = \"X-API-KEY\"\ntoken = \"{key}\"\n", "x-api-key", "k3y"),
        ("kind = \"basic\"\nuser = \"me\"\npassword = \"{key}\"\n", "authorization", "Basic bWU6azN5"),
    ] {
        let server = Server::start(|_| Reply::json(&json!({"items": []}))).await;
        let text = manifest(&format!("{options}[[auth]]\n{auth}"));
        let source = source(&text, &server.url, json!({"key": secret("k3y")}));
        read(&World::new(), &source, request("items", None)).await.ok();
        assert_eq!(server.asked()[0].header(header), Some(value));
    }
}

#[tokio::test]
async fn a_link_to_another_host_gets_no_credentials() {
    let text = "name = \"t\"\nbase_url = \"http://127.0.0.1:1\"\n[[streams]]\nname = \"items\"\nrecords = \"items\"\n\
                request = { path = \"/i\" }\npaging = { kind = \"next\", path = \"next\" }\n";
    // The manifest's own base URL is the server here: no override, so hosts must agree.
    let server =
        Server::start(|_| Reply::json(&json!({"items": [], "next": "https://evil.example/steal"}))).await;
    let text = text.replace("http://127.0.0.1:1", &server.url);
    let manifest =
        throughline_connectors::manifest::Manifest::parse(&text, "t.toml", &|_| Err(String::new())).unwrap();
    let source = manifest.source(&Value::Null).unwrap();
    let error = read(&World::new(), &source, request("items", None)).await.error.unwrap();
    assert!(error.to_string().contains("another host"), "{error}");
}
