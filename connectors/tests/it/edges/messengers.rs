//! People and events of VK, employees and channels of CoMagic.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throughline_connectors::vk::VkConnector;
use throughline_core::{DynSource, Options, SourceConnector as _};

use super::{around, exactly, one_missing, whole};
use crate::fixture::{Asked, Reply, Server};
use crate::harness::{NOW, secret};
use crate::support::{Landing, World, spec};

const GROUP: u64 = 200_000_001;

fn vk(url: &str) -> DynSource {
    let value = json!({"token": secret("t"), "group_id": GROUP, "base_url": url});
    VkConnector.build(&Options { name: "vk".into(), value, base_dir: ".".into() }).unwrap()
}

fn good(response: &Value) -> Reply {
    Reply::json(&json!({ "response": response }))
}

/// A community of people who wrote one message each, `missing` more of whom are counted than shown.
fn community(asked: &Asked, people: i64, missing: i64) -> Reply {
    let form: Vec<(String, String)> =
        url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
    let text = |name: &str| form.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let number = |name: &str| text(name).map_or(0, |v| v.parse::<i64>().unwrap());
    let message =
        |id: i64| json!({"id": id, "peer_id": id, "from_id": id, "out": 0, "date": NOW - 100_000 + id});
    match asked.path.rsplit('/').next().unwrap() {
        "users.get" => {
            let ids: Vec<i64> = text("user_ids").unwrap().split(',').map(|id| id.parse().unwrap()).collect();
            assert!(ids.len() <= 1000);
            let shown = ids.iter().take(ids.len() - missing as usize);
            good(&shown.map(|id| json!({"id": id, "first_name": "Анна"})).collect())
        }
        "messages.getHistory" => {
            let peer = number("peer_id");
            let shown = if number("start_message_id") > 0 { json!([]) } else { json!([message(peer)]) };
            let more = if peer == 1 { missing } else { 0 };
            good(&json!({"count": 1 + more, "items": shown}))
        }
        _ => {
            let below = if number("start_message_id") > 0 { number("start_message_id") } else { people + 1 };
            let items = (1..below).rev().take(number("count") as usize).map(|id| {
                json!({"conversation": {"peer": {"id": id}, "last_message_id": id}, "last_message": message(id)})
            });
            good(&json!({"count": people + missing, "items": items.collect::<Vec<_>>()}))
        }
    }
}

/// Conversations come 200 at once, people are asked for by the thousand.
#[tokio::test]
async fn people_of_vk() {
    for count in around([200, 1000, 2000]) {
        let server = Server::start(move |asked| community(asked, count as i64, 0)).await;
        let source = vk(&server.url);
        exactly(&whole(&source, "conversations").await, "peer_id", count, true);
        exactly(&whole(&source, "users").await, "user_id", count, true);
        let asked = server.asked();
        let questions = asked.iter().filter(|a| a.path.ends_with("users.get")).count();
        assert_eq!(questions, count.div_ceil(1000));
    }
}

#[tokio::test]
async fn what_vk_counts_and_does_not_show() {
    let server = Server::start(|asked| community(asked, 300, 1)).await;
    let source = vk(&server.url);
    for stream in ["conversations", "messages"] {
        one_missing(&whole(&source, stream).await, 300);
    }
    let got = whole(&source, "users").await;
    assert_eq!((got.counts[0].expected, got.counts[0].read, got.rows.len()), (300, 299, 299));
}

/// Long Poll answers with as many events as it likes; here 50 at once.
#[tokio::test]
async fn events_of_vk() {
    for count in around([50, 100]) {
        let address = Arc::new(Mutex::new(String::new()));
        let known = address.clone();
        let server = Server::start(move |asked| {
            let Some(from) = asked.param("ts") else {
                return good(&json!({"key": "k", "server": format!("{}/lp", known.lock().unwrap()), "ts": "0"}));
            };
            let from: usize = from.parse().unwrap();
            let to = count.min(from + 50);
            let event = |n: usize| json!({"type": "message_allow", "event_id": format!("e{n}"), "group_id": GROUP, "object": {"user_id": n}});
            Reply::json(&json!({"ts": to.to_string(), "updates": (from..to).map(event).collect::<Vec<_>>()}))
        })
        .await;
        address.lock().unwrap().clone_from(&server.url);
        let world = World::at("2026-09-10T09:00:00Z");
        let options = json!({"token": secret("t"), "group_id": GROUP, "base_url": server.url, "long_poll": true,
            "inbox": "inbox/*.jsonl*"});
        let source = world.build(&VkConnector, options);
        let mut landing = Landing::default();
        for _ in 0..2 {
            landing.run(&source, &world.ctx, "events").await.unwrap();
            let wanted: Vec<String> = (0..count).map(|n| format!("e{n}")).collect();
            assert_eq!(landing.column(&spec(&source, "events"), "event_id"), wanted);
        }
    }
}

fn comagic(url: &str) -> DynSource {
    let value =
        json!({"access_token": secret("t"), "start_on": "2026-08-25", "time_zone": "UTC", "base_url": url});
    let options = Options { name: "chats".into(), value, base_dir: ".".into() };
    throughline_connectors::comagic_data::connector().build(&options).unwrap()
}

/// A report of so many records of one moment, or a list of so many, of which `missing` more are counted.
fn report(asked: &Asked, count: usize, missing: usize) -> Reply {
    let params = &asked.json()["params"];
    let number = |name: &str| params[name].as_u64().unwrap() as usize;
    let at = "2026-08-31 12:00:00";
    let within = params["date_from"].as_str().is_none_or(|from| {
        let till = params["date_till"].as_str().unwrap();
        (from..=till).contains(&at)
    });
    let count = if within { count } else { 0 };
    let data: Vec<Value> = (number("offset")..count)
        .take(number("limit"))
        .map(|n| json!({"id": n, "date_time": at, "full_name": "Иванов", "name": "Бот"}))
        .collect();
    let total = if within { count + missing } else { 0 };
    let limits = json!({"day_remaining": 4000, "minute_remaining": 90, "minute_reset": 42});
    Reply::json(&json!({"jsonrpc": "2.0", "id": 1,
        "result": {"data": data, "metadata": {"total_items": total, "limits": limits}}}))
}

/// Reports are read around their pages in `comagic_data`; the lists have pages of 1000.
#[tokio::test]
async fn lists_of_comagic() {
    for count in around([1000, 2000]) {
        let server = Server::start(move |asked| report(asked, count, 0)).await;
        let source = comagic(&server.url);
        for stream in ["employees", "channels"] {
            exactly(&whole(&source, stream).await, "id", count, true);
        }
    }
    for (stream, count) in
        [("employees", 1000), ("channels", 3), ("chats", 2000), ("messages", 3), ("sessions", 7)]
    {
        let server = Server::start(move |asked| report(asked, count, 1)).await;
        one_missing(&whole(&comagic(&server.url), stream).await, count);
    }
}
