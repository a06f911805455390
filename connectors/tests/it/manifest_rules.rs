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

#[tokio::test]
async fn a_method_that_worked_for_long_rests() {
    let rules = "[[errors]]\npath = \"spent\"\nmore_than = 10.5\naction = \"pause\"\nwait_path = \"back_at\"\nwait_until = true\n";
    for (spent, least, most) in [("10.5", 0, 1), ("10.51", 50, 52), ("\"11\"", 50, 52), ("null", 0, 1)] {
        let server = Server::start(move |asked| {
            let first = asked.param("after").is_none();
            let after = if first { ", \"after\": \"x\"" } else { "" };
            let body = format!(
                "{{\"items\": [{{\"id\": 1}}], \"spent\": {spent}, \"back_at\": {}{after}}}",
                NOW + 50
            );
            Reply::text(200, &body)
        })
        .await;
        let world = World::new();
        let source = source(&manifest(rules), &server.url, json!({}));
        let got = read(&world, &source, request("items", None)).await.ok();
        let waited = world.now() - NOW;
        assert!(got.rows.len() == 2 && (least..=most).contains(&waited), "{spent}: {waited}");
    }
}

#[tokio::test]
async fn an_address_can_be_the_secret_and_a_token_a_member() {
    let server = Server::start(|asked| match asked.path.as_str() {
        "/hook/s3cretpart12345/items" => Reply::json(&json!({"items": [{"id": 1, "Field": {"a.b": "deep"}}]})),
        "/token" => Reply::json(&json!({"access_token": "good", "expires_in": 60, "home": format!("http://{}/api", asked.header("host").unwrap())})),
        "/api/items" if asked.param("auth") == Some("good") => Reply::json(&json!({"items": [{"id": 2}]})),
        other => Reply::text(404, other),
    })
    .await;
    let text = "name = \"test\"\nbase_url = \"https://api.example.com\"\n\
                [options.hook]\ntype = \"secret\"\ndoc = \"d\"\n[options.id]\ntype = \"text\"\ndoc = \"d\"\n\
                [options.server]\ntype = \"text\"\ndoc = \"d\"\n[options.field]\ntype = \"text\"\ndoc = \"d\"\n\
                [[auth]]\nkind = \"url\"\nwhen = \"hook\"\nbase_url = \"{hook}\"\n\
                [[auth]]\nkind = \"oauth2\"\nwhen = \"id\"\nbase_url = \"{token.home}\"\n[auth.oauth2]\ntoken_url = \"{server}/token\"\n\
                account = \"a:{id}\"\nparam = \"auth\"\nkeep = { home = \"home\" }\nrefresh = { grant_type = \"x\" }\n\
                [[streams]]\nname = \"items\"\nrecords = \"items\"\nkey = [\"id\"]\nrequest = { path = \"/items\" }\n\
                lift = { named = 'Field.\"{field}\"' }\n";
    let manifest =
        throughline_connectors::manifest::Manifest::parse(text, "t.toml", &|_| Err(String::new())).unwrap();
    let got = async |options: Value| {
        let source = manifest.source(&options).map_err(|e| format!("{e:?}")).unwrap();
        read(&World::new(), &source, request("items", None)).await
    };
    let hook = |host: &str| secret(&format!("{host}/hook/s3cretpart12345/"));
    let rows = got(json!({"hook": hook(&server.url), "field": "a.b"})).await.ok().rows;
    assert_eq!((rows[0]["id"].as_str(), rows[0]["named"].as_str()), ("1", "deep"));
    // Another address takes the host's place only; without its option there is no such column.
    let rows = got(json!({"hook": hook("https://away.example"), "base_url": server.url})).await.ok().rows;
    assert_eq!((rows[0]["id"].as_str(), rows[0].get("named")), ("1", None));
    let error = got(json!({"hook": secret("s3cretpart12345")})).await.error.unwrap();
    assert!(error.kind() == ErrorKind::Config && !format!("{error:?}").contains("s3cret"), "{error:?}");
    let rows = got(json!({"id": "7", "server": server.url})).await.ok().rows;
    assert_eq!(rows[0]["id"], "2");
    // Mistakes are told where they stand.
    for (wrong, told) in [
        ("[[auth]]\nkind = \"url\"\n", "base_url"),
        (
            "[[errors]]\nmore_than = 3\nstatus = [200]\naction = \"pause\"\nwait = \"1s\"\n",
            "more_than needs path",
        ),
        ("[[errors]]\npath = \"a\"\naction = \"pause\"\n", "how long"),
    ] {
        let text = format!(
            "name = \"test\"\nbase_url = \"https://a.example\"\n{wrong}[[streams]]\nname = \"s\"\nrecords = \".\"\nrequest = {{ path = \"/s\" }}\n"
        );
        let errors =
            throughline_connectors::manifest::Manifest::parse(&text, "t.toml", &|_| Err(String::new()));
        let errors: Vec<String> = errors.err().unwrap().iter().map(ToString::to_string).collect();
        assert!(errors.iter().any(|e| e.contains(told)), "{told}: {errors:?}");
    }
}

/// Cut off on its way, with a length that fits: not only pages are asked for again.
#[tokio::test]
async fn lookups_and_counts_that_came_cut_off_are_asked_for_again() {
    let text = "name = \"test\"\nbase_url = \"https://api.example.com\"\n[lookups.names]\npath = \"items[*].id\"\n\
                request = { path = \"/names\" }\n[[streams]]\nname = \"items\"\nrecords = \"items\"\nkey = [\"id\"]\n\
                request = { path = \"/items\", query = { names = \"{lookup.names}\" } }\n\
                count = { path = \"total\", request = { path = \"/count\" } }\n";
    for (cut, counted) in [(2, true), (3, true), (99, false)] {
        let times = Mutex::new(std::collections::HashMap::<String, u32>::new());
        let server = Server::start(move |asked| {
            let mut times = times.lock().unwrap();
            let time = times.entry(asked.path.clone()).or_default();
            *time += 1;
            match asked.path.as_str() {
                "/names" if *time <= cut.min(3) => Reply::text(200, "{\"items\": [{\"id\": \"a\"}, {\"i"),
                "/names" => Reply::json(&json!({"items": [{"id": "a"}, {"id": "b"}]})),
                "/count" if *time <= cut => Reply::text(200, "{\"tota"),
                "/count" => Reply::json(&json!({"total": 1})),
                _ => {
                    assert_eq!(asked.query.iter().filter(|(n, _)| n == "names").count(), 2);
                    Reply::json(&json!({"items": [{"id": 1}]}))
                }
            }
        })
        .await;
        let world = World::new();
        let got = read(&world, &source(text, &server.url, json!({})), request("items", None)).await.ok();
        assert_eq!(
            (got.rows.len(), got.counts.len(), got.has("not_counted")),
            (1, usize::from(counted), !counted)
        );
    }
}
