//! Lists that end at some number, reads by id in batches, what must be looked up first, limits apart.

use std::sync::Mutex;

use serde_json::{Value, json};
use throughline_connectors::manifest::Manifest;

use crate::fixture::{Asked, Reply, Server};
use crate::harness::{NOW, World, read, request, resumes_anywhere, source};

const HEAD: &str = "name = \"test\"\nbase_url = \"https://api.example.com\"\n";

/// A search that shows at most `CEILING` records, and reads by id.
const SEARCH: &str = r#"
[limits]
per_second = 1000
[limits.apart.search]
per_second = 2
[lookups.fields]
path = "fields[*].name"
request = { path = "/fields" }
[[errors]]
status = [200]
path = "failed[*].why"
is_not = ["gone"]
action = "retry"
[[errors]]
status = [200]
path = "rows[*].more"
action = "tell"
hint = "there is more of some"
[[streams]]
name = "changed"
hidden = true
records = "rows"
key = ["id"]
columns = { id = "text" }
[streams.request]
path = "/search"
limit = "search"
query = { from = "{from}", to = "{to}", last = "{last}" }
[streams.paging]
kind = "keyset"
column = "id"
start = "0"
left = "total"
[streams.incremental]
cursor = "at"
format = "unix"
start = "2026-08-01"
split = 20
[[streams]]
name = "items"
records = "rows"
key = ["id"]
lift = { id = "of.id" }
[streams.request]
path = "/read"
method = "POST"
body = { ids = "{parent.ids}", inputs = "{parent.records}", fields = "{lookup.fields}" }
[streams.parent]
stream = "changed"
columns = ["id"]
batch = 4
answers = "id"
[streams.count]
path = "total"
at_most = 20
request = { path = "/search", limit = "search", query = { from = "{from}", to = "{to}", last = "0" } }
"#;

/// Items 1 to `count`, changed at `at(id)`; every seventh has nothing to show.
fn vendor(count: i64, at: fn(i64) -> i64) -> impl Fn(&Asked) -> Reply + Send + Sync {
    move |asked| match asked.path.as_str() {
        "/fields" => Reply::json(&json!({"fields": [{"name": "a"}, {"name": "b"}]})),
        "/search" => {
            let (from, to) = (asked.int("from").unwrap(), asked.int("to").unwrap());
            let last = asked.int("last").unwrap();
            let all: Vec<i64> =
                (1..=count).filter(|id| (from..to).contains(&at(*id)) && *id > last).collect();
            let shown: Vec<Value> = all.iter().take(5).map(|id| json!({"id": id.to_string()})).collect();
            Reply::json(&json!({"total": all.len(), "rows": shown}))
        }
        "/read" => {
            let body = asked.json();
            assert_eq!(body["fields"], json!(["a", "b"]));
            let ids: Vec<&Value> = body["inputs"].as_array().unwrap().iter().map(|i| &i["id"]).collect();
            assert_eq!(json!(ids), body["ids"]);
            let there = ids.iter().filter(|id| id.as_str().unwrap().parse::<i64>().unwrap() % 7 != 0);
            let rows: Vec<Value> = there.map(|id| json!({"of": {"id": id}, "a": 1})).collect();
            Reply::json(&json!({"rows": rows}))
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn windows_are_halved_until_they_can_be_shown() {
    for count in [0, 1, 19, 20, 21, 100] {
        let server = Server::start(vendor(count, |id| NOW - 1_000_000 + id * 5_000)).await;
        let source = source(&format!("{HEAD}{SEARCH}"), &server.url, json!({}));
        let got = resumes_anywhere(&World::new(), &source, "items", "id").await;
        assert_eq!((got.rows.len() as i64, got.latest("id").len() as i64), (count, count));
        assert!(got.counts.iter().all(|c| c.expected == c.read && c.expected < 20), "{:?}", got.counts);
        assert!(count < 20 || got.counts.len() > 1, "{count}: {:?}", got.counts);
        // An item that has nothing is a row with its key alone.
        let bare = got.rows.iter().filter(|r| !r.contains_key("a")).count() as i64;
        assert_eq!(bare, count / 7);
    }
}

#[tokio::test]
async fn one_moment_cannot_be_halved() {
    let server = Server::start(vendor(64, |_| NOW - 1_000)).await;
    let source = source(&format!("{HEAD}{SEARCH}"), &server.url, json!({}));
    let world = World::new();
    let got = read(&world, &source, request("items", None)).await.ok();
    assert_eq!((got.rows.len(), got.latest("id").len()), (64, 64));
    // The vendor's number is at its end there: nothing is claimed of it.
    assert!(got.counts.iter().all(|c| c.expected == 0), "{:?}", got.counts);
    // The fields were asked for once, and searches kept to their own limit.
    let asked = server.asked();
    assert_eq!(asked.iter().filter(|a| a.path == "/fields").count(), 1);
    let searches = asked.iter().filter(|a| a.path == "/search").count() as i64;
    assert!(world.now() - NOW >= (searches - 2) / 2, "{searches} in {} s", world.now() - NOW);
}

#[tokio::test]
async fn answers_in_part_are_asked_again_and_what_is_short_is_told() {
    let turn = Mutex::new(0);
    let serve = vendor(10, |_| NOW - 1_000);
    let server = Server::start(move |asked| {
        let reply = serve(asked);
        let mut turn = turn.lock().unwrap();
        *turn += i32::from(asked.path == "/read");
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        match (*turn, asked.path.as_str()) {
            (1, "/read") => body = json!({"rows": [], "failed": [{"why": "gone"}, {"why": "busy"}]}),
            (2, "/read") => body["failed"] = json!([{"why": "gone"}]),
            (3, "/read") => body["rows"][0]["more"] = json!("x"),
            _ => {}
        }
        Reply::json(&body)
    })
    .await;
    let source = source(&format!("{HEAD}{SEARCH}"), &server.url, json!({}));
    let got = read(&World::new(), &source, request("items", None)).await.ok();
    assert_eq!((got.latest("id").len(), got.rows.iter().filter(|r| r.contains_key("a")).count()), (10, 9));
    assert!(got.has("vendor_tells: page 2: there is more of some"), "{:?}", got.notices);
}

#[tokio::test]
async fn a_lookup_without_values_is_an_error() {
    let serve = vendor(3, |_| NOW - 1_000);
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/fields" => Reply::json(&json!({"fields": []})),
        _ => serve(asked),
    })
    .await;
    let source = source(&format!("{HEAD}{SEARCH}"), &server.url, json!({}));
    let error = read(&World::new(), &source, request("items", None)).await.error.unwrap();
    assert!(error.to_string().contains("lookup \"fields\" found nothing"), "{error}");
}

#[tokio::test]
async fn what_is_wrong_in_a_hidden_stream_is_told_by_those_that_walk_it() {
    let serve = vendor(3, |_| NOW - 1_000);
    let server = Server::start(move |asked| match asked.path.as_str() {
        "/search" => Reply::json(&json!({"total": 2, "rows": [{"id": "1"}, "no record"]})),
        _ => serve(asked),
    })
    .await;
    let source = source(&format!("{HEAD}{SEARCH}"), &server.url, json!({}));
    let got = read(&World::new(), &source, request("items", None)).await.ok();
    assert_eq!((got.rows.len(), got.rejects.len()), (1, 1), "{:?}", got.rejects);
    let names: Vec<String> = source.catalog().streams.into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["items"]);
}

#[test]
fn mistakes_are_found() {
    for (from, to, message) in [
        ("limit = \"search\"\nquery", "limit = \"serch\"\nquery", "did you mean \"search\"?"),
        ("start = \"2026-08-01\"\n", "", "split needs start"),
        ("left = \"total\"\n", "", "split needs left or total"),
        ("batch = 4\n", "", "answers is for batches"),
        ("key = [\"id\"]\nlift", "key = [\"a\"]\nlift", "must be the stream's key"),
        ("{lookup.fields}", "{lookup.felds}", "no placeholder \"lookup.felds\""),
        ("is_not = [\"gone\"]", "is_not = [\"gone\"]\nis = [\"x\"]", "only one of is, is_not"),
        ("hint = \"there is more of some\"\n", "", "tell needs hint"),
        ("per_second = 2\n", "per_second = 0\n", "must be more than 0"),
        ("split = 20", "split = 0", "must be at least 1"),
        ("{ path = \"/fields\" }", "{ path = \"/{lookup.fields}\" }", "no placeholder \"lookup.fields\""),
    ] {
        let text = format!("{HEAD}{SEARCH}");
        assert!(text.contains(from), "{from}");
        let errors = Manifest::parse(&text.replacen(from, to, 1), "t.toml", &|_| Err(String::new())).err();
        let told: Vec<String> = errors.unwrap().iter().map(|e| format!("{e} {:?}", e.hint_text())).collect();
        assert!(told.iter().any(|t| t.replace("\\\"", "\"").contains(message)), "{message}: {told:#?}");
    }
}
