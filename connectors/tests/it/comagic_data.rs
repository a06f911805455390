//! The Data API of CoMagic and UIS: a server of one closure, the vendor's field tables, and the company.

use std::collections::BTreeMap;

use company::faults::Rule;
use company::{Company, Config, Running, Server as CompanyServer, comagic};
use serde_json::{Value, json};
use throughline_core::{Clock as _, DynSource, ErrorKind, SourceConnector as _};

use crate::fixture::{Asked, Reply, Server};
use crate::harness::{self, NOW, read, request, resumes_anywhere, secret, window};
use crate::support::{World, map, read_all, readme_options, shared};
use crate::webhooks::{expect, read_with};

fn options(url: &str, more: Value) -> Value {
    let mut value =
        json!({"access_token": secret(comagic::TOKEN), "start_on": "2026-08-20", "base_url": url});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    value
}

fn source(url: &str, more: Value) -> DynSource {
    let connector = throughline_connectors::comagic_data::connector();
    let given =
        throughline_core::Options { name: "chats".into(), value: options(url, more), base_dir: ".".into() };
    connector.build(&given).map_err(|e| format!("{e:?}")).unwrap()
}

fn answer(data: &[Value], total: usize, left: u64) -> Reply {
    let limits = json!({"day_limit": 5000, "day_remaining": 4000, "day_reset": 3600, "minute_limit": 100,
        "minute_remaining": left, "minute_reset": 42});
    Reply::json(&json!({"jsonrpc": "2.0", "id": 1,
        "result": {"data": data, "metadata": {"total_items": total, "limits": limits}}}))
}

fn refusal(mnemonic: &str, params: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "said so",
        "data": {"mnemonic": mnemonic, "params": params, "metadata": {}}}})
    .to_string()
}

/// A page of records whose times these are, in order, both ends of the window counted.
fn page(asked: &Asked, times: &[String]) -> Reply {
    let params = &asked.json()["params"];
    let text = |name: &str| params[name].as_str().unwrap().to_owned();
    let number = |name: &str| params[name].as_u64().unwrap() as usize;
    let (from, till) = (text("date_from"), text("date_till"));
    let found: Vec<Value> = times
        .iter()
        .enumerate()
        .filter(|(_, at)| (&from..=&till).contains(at))
        .map(|(n, at)| json!({"id": n, "date_time": at, "chat_id": 1, "channel_id": 2, "visitor_id": 3, "text": "да"}))
        .collect();
    assert!(number("offset") <= 100_000);
    let data: Vec<Value> = found.iter().skip(number("offset")).take(number("limit")).cloned().collect();
    answer(&data, found.len(), 90)
}

/// So many times, so many of them in each second.
fn times(count: usize, at_once: usize) -> Vec<String> {
    let at = |n: usize| chrono::DateTime::from_timestamp(NOW - 86_400 + (n / at_once) as i64, 0).unwrap();
    (0..count).map(|n| at(n).format("%Y-%m-%d %H:%M:%S").to_string()).collect()
}

#[tokio::test]
async fn every_record_comes_whatever_their_number() {
    for (count, at_once) in
        [(0, 1), (1, 1), (1999, 2), (2000, 2), (2001, 2), (3999, 3), (4001, 3), (2000, 2500), (4500, 4500)]
    {
        let all = times(count, at_once);
        let server = Server::start(move |asked| page(asked, &all)).await;
        let (world, source) = (harness::World::new(), source(&server.url, json!({"time_zone": "UTC"})));
        for stream in ["messages", "chats", "sessions"] {
            let got = read(&world, &source, request(stream, None)).await.ok();
            assert_eq!(got.latest("id").len(), count, "{stream}, {at_once} at once");
            assert!(got.notices.is_empty(), "{stream}: {:?}", got.notices);
            assert!(got.counts.iter().all(|c| c.expected == c.read), "{stream} {count}: {:?}", got.counts);
            assert!(!got.counts.is_empty(), "{stream}");
        }
    }
}

#[tokio::test]
async fn windows_are_no_longer_than_the_api_allows_and_leave_no_second_out() {
    let server = Server::start(|asked| page(asked, &[])).await;
    let (world, source) = (
        harness::World::new(),
        source(&server.url, json!({"start_on": "2026-01-01", "time_zone": "+05:00"})),
    );
    let got = read(&world, &source, request("messages", None)).await.ok();
    let bounds: Vec<(String, String)> = server
        .asked()
        .iter()
        .map(|a| a.json()["params"].clone())
        .map(|p| (p["date_from"].as_str().unwrap().to_owned(), p["date_till"].as_str().unwrap().to_owned()))
        .collect();
    let time = |t: &str| chrono::NaiveDateTime::parse_from_str(t, "%Y-%m-%d %H:%M:%S").unwrap();
    assert_eq!(bounds[0].0, "2026-01-01 00:00:00");
    // 2026-09-01 00:00:00 UTC less the lag, five hours east.
    assert_eq!(bounds.last().unwrap().1, "2026-09-01 04:59:50");
    for pair in bounds.windows(2) {
        assert_eq!(pair[0].1, pair[1].0, "the next begins with the second the last one ended with");
    }
    assert!(bounds.iter().all(|(from, till)| (time(till) - time(from)).num_days() <= 30));
    // The next run begins a day before.
    world.pass(3600).await;
    read(&world, &source, request("messages", got.checkpoint())).await.ok();
    let last = server.asked().last().unwrap().json();
    assert_eq!(last["params"]["date_from"], "2026-08-31 04:59:50");
}

#[tokio::test]
async fn errors_come_in_a_200_and_say_what_to_do() {
    for (mnemonic, params, kind, says) in [
        ("ip_not_whitelisted", json!({"ip": "203.0.113.7"}), ErrorKind::Auth, "white list"),
        ("access_token_expired", json!({}), ErrorKind::Auth, "make a new key"),
        ("method_component_disabled", json!({}), ErrorKind::Auth, "tariff"),
        (
            "limit_exceeded",
            json!({"limit_type": "day", "limit_max_value": 5000}),
            ErrorKind::Auth,
            "of this day",
        ),
        ("required_parameter_missed", json!({}), ErrorKind::Config, "user_id"),
        ("something_new", json!({}), ErrorKind::Protocol, "said so"),
    ] {
        for status in [200, 400, 403] {
            let body = refusal(mnemonic, &params);
            let server = Server::start(move |_| Reply::text(status, &body)).await;
            let (world, source) = (harness::World::new(), source(&server.url, json!({})));
            let got = read(&world, &source, request("chats", None)).await;
            let error = got.error.unwrap();
            assert_eq!(error.kind(), kind, "{mnemonic} {status}: {error}");
            assert!(format!("{error:?} {error}").contains(says), "{mnemonic}: {error:?}");
            assert!(got.rows.is_empty() && !format!("{error:?} {error}").contains(comagic::TOKEN));
            assert_eq!(server.asked().len(), 1, "{mnemonic} is not asked again");
            assert_eq!(world.now(), NOW);
        }
    }
}

#[tokio::test]
async fn the_minute_is_waited_out_and_refusals_of_the_moment_are_asked_again() {
    // The last point: the next request goes when the minute is over.
    let all = times(4001, 1);
    let server = Server::start(move |asked| {
        let mut reply = page(asked, &all);
        let text = String::from_utf8(reply.body).unwrap();
        reply.body = text.replace("\"minute_remaining\":90", "\"minute_remaining\":0").into_bytes();
        reply
    })
    .await;
    let (world, from) = (harness::World::new(), source(&server.url, json!({"time_zone": "UTC"})));
    let got = read(&world, &from, request("messages", None)).await.ok();
    assert_eq!(got.latest("id").len(), 4001);
    let asked = server.asked().len() as i64;
    assert!(asked > 2 && world.now() - NOW >= 42 * (asked - 1), "{asked} in {} s", world.now() - NOW);

    for (mnemonic, wait) in [("limit_exceeded", 60), ("internal_error", 0)] {
        let turn = std::sync::atomic::AtomicUsize::new(0);
        let refused = refusal(mnemonic, &json!({"limit_type": "minute", "limit_max_value": 100}));
        let server =
            Server::start(move |asked| match turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
                0 => Reply::text(200, &refused),
                _ => page(asked, &times(3, 1)),
            })
            .await;
        let (world, from) = (harness::World::new(), source(&server.url, json!({"time_zone": "UTC"})));
        let got = read(&world, &from, request("messages", None)).await.ok();
        assert_eq!(got.rows.len(), 3, "{mnemonic}");
        assert!(world.clock.now_us() / 1_000_000 - NOW >= wait, "{mnemonic}");
    }
}

/// What the callbacks of `comagic`'s sample tell, as the reports do.
fn same_chat(asked: &Asked) -> Reply {
    let asked = asked.json();
    let in_window = |records: Vec<Value>| {
        let (from, till) = (asked["params"]["date_from"].as_str(), asked["params"]["date_till"].as_str());
        let found: Vec<Value> = records
            .into_iter()
            .filter(|r| r["date_time"].as_str() >= from && r["date_time"].as_str() <= till)
            .collect();
        answer(&found, found.len(), 9)
    };
    let message = |id: u64, at: &str, source: &str, text: Value, resource: Value| {
        json!({"id": id, "chat_id": 5001, "channel_id": 31, "channel_type": "telegram", "date_time": at,
            "is_group_chat": false, "visitor_id": 900_100, "text": text, "source": source, "resource": resource,
            "employee_id": if source == "operator" { json!(12) } else { Value::Null }, "employee_full_name": null})
    };
    match asked["method"].as_str().unwrap() {
        "get.chat_messages_report" => in_window(vec![
            message(
                70_001,
                "2026-09-01 13:00:01",
                "visitor",
                "Здравствуйте! [ID:HHR3D1196WD]".into(),
                json!({}),
            ),
            message(70_002, "2026-09-01 13:01:00", "operator", "Добрый день! Какой диван?".into(), json!({})),
            message(
                70_003,
                "2026-09-01 13:02:00",
                "visitor",
                Value::Null,
                json!({"type": "image", "size": 1024}),
            ),
        ]),
        "get.chats_report" => in_window(vec![json!({"id": 5001, "date_time": "2026-09-01 13:00:00",
            "chat_channel_id": 31, "chat_username": "anna_t", "visitor_phone_number": 79_161_234_567_u64,
            "visitor_id": 900_100, "person_id": 77, "visitor_session_id": 7_710_001, "is_group_chat": false,
            "ym_client_id": "1767225599123456789", "employee_raiting": 5, "employee_id": 12, "new_field": [1]})]),
        "get.chat_channels" => {
            answer(&[json!({"id": 31, "name": "Бот", "channel_external_id": "flowers_bot"})], 1, 9)
        }
        "get.employees" => answer(
            &[json!({"id": 12, "full_name": "Иванов Иван", "email": "I@Example.com",
                "groups": [{"group_id": 1, "group_name": "Продажи"}]})],
            1,
            9,
        ),
        "get.visitor_sessions_report" => {
            in_window(vec![json!({"id": 7_710_001, "date_time": "2026-09-01 12:58:00",
            "visitor_id": 900_100, "ym_client_id": "1767225599123456789", "channel": "paid", "utm_source": "yandex",
            "utm_medium": "cpc", "utm_campaign": "brand", "visitor_device": "mobile", "hits_count": 3, "duration": 61,
            "entrance_page": "https://shop.example/?yclid=17", "site_domain_name": "shop.example"})])
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_same_messages_as_the_callbacks_tell() {
    let server = Server::start(same_chat).await;
    let world = World::at("2026-09-02T00:00:00Z");
    let connector = throughline_connectors::comagic_data::connector();
    let from = world.build(&connector, options(&server.url, json!({})));
    let landed = read_all(&from, &world.ctx).await;
    let tables = map(&from, &landed).await;
    let told = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/comagic/samples/callbacks.jsonl"));
    let told = read_with("comagic", json!({"inbox": "inbox*"}), told).await;
    let by_id = |rows: &[Value]| -> BTreeMap<String, Value> {
        rows.iter().map(|r| (r["message_id"].as_str().unwrap().to_owned(), r.clone())).collect()
    };
    let (pulled, told) = (by_id(&tables["messages"]), by_id(&told.tables["messages"]));
    assert_eq!(told.len(), 3);
    for (id, row) in &told {
        for (column, value) in row.as_object().unwrap() {
            // The card and what a message answers are only in the callbacks.
            if !["reply_to", "contact_name"].contains(&column.as_str()) {
                assert_eq!(pulled[id].get(column), Some(value), "{column} of {id}");
            }
        }
    }
    expect(
        &[pulled["70001"].clone(), pulled["review:5001"].clone()],
        &json!([
            {"business_number": "flowers_bot", "username": "anna_t", "token": "HHR3D1196WD"},
            {"csat": 5, "kind": "review", "is_event": true, "ts": "2026-09-01T10:02:00Z", "user_id": "900100",
             "conversation_id": "comagic:31:900100"},
        ]),
    );
    expect(
        &tables["operators"],
        &json!([{"operator_id": "comagic:12", "name": "Иванов Иван",
        "email": "i@example.com", "team": "Продажи"}]),
    );
    expect(
        &tables["visits"],
        &json!([{"visit_id": "comagic:7710001", "started_at": "2026-09-01T09:58:00Z",
        "traffic_type": "ad", "source": "yandex", "medium": "cpc", "campaign": "brand", "device": "phone",
        "yclid": "17", "hits": 3, "duration_s": 61, "ym_client_id": "1767225599123456789"}]),
    );
    let mut edges: Vec<String> = tables["identity_edges"]
        .iter()
        .map(|e| format!("{} {} {}", e["left_type"], e["right_type"], e["right_value"]).replace('"', ""))
        .collect();
    edges.sort();
    assert_eq!(
        edges,
        [
            "comagic_user comagic_chat 5001",
            "comagic_user comagic_person 77",
            "comagic_user phone +79161234567",
            "comagic_user visit comagic:7710001",
            "comagic_user ym_client 1767225599123456789",
            "visit comagic_user 900100",
            "visit ym_client 1767225599123456789",
        ]
    );
    let chats = source(&server.url, json!({}));
    let got = read(&harness::World::new(), &chats, window("chats", NOW, NOW + 86_400)).await.ok();
    assert_eq!(got.rows[0]["new_field"], "[1]", "what nobody knows is kept");
}

#[tokio::test]
async fn requests_are_those_of_the_vendor_s_tables() {
    let Some(spec) = shared("api/specs/comagic") else { return };
    let spec: Value =
        serde_json::from_slice(&std::fs::read(spec.join("dataapi-v2.0-fields.json")).unwrap()).unwrap();
    let server = Server::start(same_chat).await;
    let world = World::at("2026-09-02T00:00:00Z");
    let connector = throughline_connectors::comagic_data::connector();
    let from = world.build(&connector, options(&server.url, json!({"user_id": 7})));
    from.check(&world.ctx).await.unwrap();
    read_all(&from, &world.ctx).await;
    let mut methods = std::collections::BTreeSet::new();
    for asked in server.asked() {
        let asked = asked.json();
        assert_eq!((&asked["jsonrpc"], asked["id"].is_number()), (&json!("2.0"), true));
        let method = asked["method"].as_str().unwrap().to_owned();
        // The tables have no employees.
        let Some(of) = spec.get(&method) else { continue };
        let named =
            |list: &str, name: &str| of[list].as_array().unwrap().iter().find(|f| f["name"] == name).cloned();
        let params = asked["params"].as_object().unwrap();
        for (name, value) in params {
            let param = named("params", name).unwrap_or_else(|| panic!("{method} has no {name}"));
            let fits = match param["type"].as_str().unwrap() {
                "number" => value.is_number(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                _ => value.is_string(),
            };
            assert!(fits, "{method}: {name} = {value}");
        }
        for required in of["params"].as_array().unwrap().iter().filter(|p| p["required"] == true) {
            assert!(params.contains_key(required["name"].as_str().unwrap()), "{method}: {required}");
        }
        for field in params.get("fields").and_then(Value::as_array).into_iter().flatten() {
            assert!(named("fields", field.as_str().unwrap()).is_some(), "{method} has no field {field}");
        }
        for by in params.get("sort").and_then(Value::as_array).into_iter().flatten() {
            assert_eq!(
                named("fields", by["field"].as_str().unwrap()).unwrap()["sort"],
                true,
                "{method}: {by}"
            );
        }
        methods.insert(method);
    }
    assert_eq!(methods.len(), 4, "{methods:?}");
}

#[tokio::test]
async fn samples_parse_and_map() {
    let Some(folder) = shared("api/messengers/samples/comagic-uis") else { return };
    let sample = move |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let files: BTreeMap<&str, String> = [
        ("get.chats_report", sample("made_get_chats_report_response.json")),
        ("get.chat_messages_report", sample("made_get_chat_messages_report_response.json")),
    ]
    .into();
    let server = Server::start(move |asked| {
        let asked = asked.json();
        let within = asked["params"]["date_from"].as_str() <= Some("2026-01-01 03:00:34");
        match files.get(asked["method"].as_str().unwrap()).filter(|_| within) {
            Some(text) => Reply::text(200, text),
            None => answer(&[], 0, 9),
        }
    })
    .await;
    let world = World::at("2026-01-02T00:00:00Z");
    let connector = throughline_connectors::comagic_data::connector();
    let from = world.build(&connector, options(&server.url, json!({"start_on": "2026-01-01"})));
    let landed = read_all(&from, &world.ctx).await;
    assert!(landed.values().all(|l| l.rejects.is_empty()));
    let mut messages = map(&from, &landed).await["messages"].clone();
    messages.sort_by_key(|m| m["message_id"].to_string());
    expect(
        &messages,
        &json!([
            {"message_id": "501", "ts": "2026-01-01T00:00:34Z", "sender_kind": "customer",
             "phone_e164": "+79990000001", "username": "anna_t"},
            {"message_id": "502", "sender_kind": "bot", "text": "Оператор скоро ответит"},
            {"message_id": "503", "sender_kind": "operator", "kind": "image", "text": null,
             "operator_id": "comagic:55"},
            {"message_id": "review:90210001", "csat": 5},
        ]),
    );
}

async fn company(visits: u64, now: i64) -> Running {
    let cfg = Config { seed: 7, visits, ..Config::default() };
    let options = company::Options { now: Some(now), ..company::Options::default() };
    CompanyServer::new(Company::new(cfg), options).start().await.unwrap()
}

#[tokio::test]
async fn the_company_is_read_whole_also_by_halves() {
    let company = company(1500, NOW).await;
    let start = json!({"start_on": "2026-06-01"});
    let (world, source) = (harness::World::new(), source(&company.url(), start));
    for (stream, method) in [
        ("messages", "get.chat_messages_report"),
        ("chats", "get.chats_report"),
        ("sessions", "get.visitor_sessions_report"),
        ("employees", "get.employees"),
        ("channels", "get.chat_channels"),
    ] {
        let got = resumes_anywhere(&world, &source, stream, "id").await;
        let mut truth: Vec<String> = company
            .server
            .comagic
            .truth(&company.server.company, NOW - 10, method)
            .iter()
            .map(|r| r["id"].to_string())
            .collect();
        truth.sort();
        let found: Vec<String> = got.latest("id").into_keys().collect();
        assert_eq!(found, truth, "{stream}");
        assert!(!truth.is_empty() && got.notices.is_empty(), "{stream}: {:?}", got.notices);
        assert!(got.counts.iter().all(|c| c.expected == c.read), "{stream}: {:?}", got.counts);
    }
}

#[tokio::test]
async fn late_ratings_are_found_and_what_is_left_out_is_noticed() {
    let company = company(1500, NOW).await;
    let from = source(&company.url(), json!({"start_on": "2026-06-01"}));
    let world = harness::World::new();
    let first = read(&world, &from, request("chats", None)).await.ok();
    let rated = |rows: &BTreeMap<String, BTreeMap<String, String>>| {
        rows.values().filter(|r| r.contains_key("employee_raiting")).count()
    };
    let before = rated(&first.latest("id"));
    world.pass(3600 * 18).await;
    company.server.set_now(world.now()).unwrap();
    let second = read(&world, &from, request("chats", first.checkpoint())).await.ok();
    let mut rows = first.rows.clone();
    rows.extend(second.rows);
    let all = harness::latest(&rows, "id");
    let old: BTreeMap<_, _> = all
        .iter()
        .filter(|(id, _)| first.latest("id").contains_key(*id))
        .map(|(i, r)| (i.clone(), r.clone()))
        .collect();
    assert!(rated(&old) > before, "chats of the first run were rated after it: {before}");

    company.server.faults.set(vec![Rule::parse("leave_out:rows=1,path=get.chats_report").unwrap()]);
    let short = read(&world, &from, request("chats", None)).await.ok();
    assert!(short.counts.iter().any(|c| c.read < c.expected), "{:?}", short.counts);
}

#[tokio::test]
async fn the_readme_s_example_builds() {
    let connector = throughline_connectors::comagic_data::connector();
    let (name, mut value) = readme_options(connector.readme());
    assert_eq!(name, "comagic_data");
    // The engine's own key.
    value.as_object_mut().unwrap().remove("streams");
    let given = throughline_core::Options { name: "chats".into(), value, base_dir: ".".into() };
    connector.build(&given).map_err(|e| format!("{e:?}")).unwrap();
}
