//! Every kind of paging, windows by days, sub-streams and counts.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throughline_core::ErrorKind;

use crate::fixture::{Asked, Reply, Server};
use crate::harness::{World, latest, read, request, resumes_anywhere, source, window};

/// A manifest with one stream: the text goes behind `[[streams]]` and its common keys.
fn manifest(stream: &str) -> String {
    format!(
        "name = \"test\"\nbase_url = \"https://api.example.com\"\n[[streams]]\nname = \"items\"\n\
         records = \"items\"\nkey = [\"id\"]\n{stream}"
    )
}

type Items = Arc<Mutex<Vec<i64>>>;

fn items(count: i64) -> Items {
    Arc::new(Mutex::new((1..=count).collect()))
}

fn page(ids: &[i64]) -> Value {
    json!({"items": ids.iter().map(|id| json!({"id": id})).collect::<Vec<_>>()})
}

fn slice(items: &Items, skip: i64, take: i64) -> Vec<i64> {
    let items = items.lock().unwrap();
    let (skip, take) = (usize::try_from(skip).unwrap(), usize::try_from(take).unwrap());
    items.iter().skip(skip).take(take).copied().collect()
}

const BY_PAGE: &str = "[streams.request]\npath = \"/items\"\nquery = { page = \"{page}\", n = \"{size}\" }\n\
                       [streams.paging]\nkind = \"page\"\nsize = 10\n";
const BY_OFFSET: &str = "[streams.request]\npath = \"/items\"\nquery = { skip = \"{offset}\", n = \"{size}\" }\n\
                         [streams.paging]\nkind = \"offset\"\nsize = 10\n";

fn by_page(items: &Items, asked: &Asked) -> Reply {
    let n = asked.int("n").unwrap();
    Reply::json(&page(&slice(items, (asked.int("page").unwrap() - 1) * n, n)))
}
fn by_offset(items: &Items, asked: &Asked) -> Reply {
    let mut body = page(&slice(items, asked.int("skip").unwrap(), asked.int("n").unwrap()));
    body["total"] = items.lock().unwrap().len().into();
    Reply::json(&body)
}

#[tokio::test]
async fn pages_and_offsets_resume_anywhere() {
    for (stream, serve) in [(BY_PAGE, by_page as fn(&Items, &Asked) -> Reply), (BY_OFFSET, by_offset)] {
        for more in ["", "short_page_ends = true\n"] {
            for count in [0, 1, 9, 10, 11, 35, 40] {
                let all = items(count);
                let server = Server::start(move |asked| serve(&all, asked)).await;
                let source = source(&manifest(&format!("{stream}{more}")), &server.url, json!({}));
                let got = resumes_anywhere(&World::new(), &source, "items", "id").await;
                assert_eq!(got.latest("id").len() as i64, count, "{more}");
            }
        }
    }
}

/// Records are deleted in front of where we read: numbered pages shift.
#[tokio::test]
async fn deletions_while_paging_lose_nothing() {
    for (stream, serve) in [(BY_PAGE, by_page as fn(&Items, &Asked) -> Reply), (BY_OFFSET, by_offset)] {
        for doomed in [vec![1], vec![3, 4], vec![10], vec![10, 20, 30], vec![1, 11, 21, 31, 41, 51]] {
            let all = items(60);
            let (shared, left) = (all.clone(), Mutex::new(doomed.clone()));
            let server = Server::start(move |asked| {
                let reply = serve(&shared, asked);
                // After every answer the next one goes, as soon as it was shown.
                let mut left = left.lock().unwrap();
                if let Some(id) = left.first().copied()
                    && String::from_utf8_lossy(&reply.body).contains(&format!("\"id\":{id}}}"))
                {
                    left.remove(0);
                    shared.lock().unwrap().retain(|i| *i != id);
                }
                reply
            })
            .await;
            let source = source(&manifest(stream), &server.url, json!({}));
            let got = read(&World::new(), &source, request("items", None)).await.ok();
            let found = got.latest("id");
            for id in all.lock().unwrap().iter() {
                assert!(found.contains_key(&id.to_string()), "{id} was lost, {doomed:?} were deleted");
            }
            assert!(got.has("changed_while_paging"), "{:?}", got.notices);
        }
    }
}

#[tokio::test]
async fn stable_lists_are_not_looked_at_twice() {
    let all = items(35);
    let server = Server::start(move |asked| by_page(&all, asked)).await;
    let text = manifest(&format!("stable = true\n{BY_PAGE}"));
    let got = read(&World::new(), &source(&text, &server.url, json!({})), request("items", None)).await.ok();
    assert_eq!((got.rows.len(), server.asked().len()), (35, 5));
}

#[tokio::test]
async fn offsets_end_at_the_total() {
    let all = items(30);
    let server = Server::start(move |asked| by_offset(&all, asked)).await;
    let text = manifest(&format!("stable = true\n{BY_OFFSET}total = \"total\"\n"));
    let got = read(&World::new(), &source(&text, &server.url, json!({})), request("items", None)).await.ok();
    assert_eq!((got.rows.len(), server.asked().len()), (30, 3));
}

#[tokio::test]
async fn cursors_go_on_and_never_in_circles() {
    let text = manifest(
        "[streams.request]\npath = \"/items\"\nmethod = \"POST\"\nbody = { after = \"{cursor}\", limit = \"{size}\" }\n\
         [streams.paging]\nkind = \"cursor\"\nsize = 10\npath = \"paging.next.after\"\n",
    );
    let all = items(35);
    let server = Server::start(move |asked| {
        let body = asked.json();
        assert_eq!(body["limit"], 10);
        let skip: i64 = body["after"].as_str().map_or(0, |a| a.parse().unwrap());
        let mut reply = page(&slice(&all, skip, 10));
        if skip < 30 {
            reply["paging"] = json!({"next": {"after": (skip + 10).to_string()}});
        }
        Reply::json(&reply)
    })
    .await;
    let got = resumes_anywhere(&World::new(), &source(&text, &server.url, json!({})), "items", "id").await;
    assert_eq!(got.rows.len(), 35);
    let server =
        Server::start(|_| Reply::json(&json!({"items": [{"id": 1}], "paging": {"next": {"after": "x"}}})))
            .await;
    let got = read(&World::new(), &source(&text, &server.url, json!({})), request("items", None)).await;
    assert!(got.error.unwrap().to_string().contains("did not change"));
}

#[tokio::test]
async fn next_links_are_followed_without_secrets_in_checkpoints() {
    let text = manifest(
        "[streams.request]\npath = \"/items\"\nquery = { fields = \"a,b\" }\n\
         [streams.paging]\nkind = \"next\"\npath = \"next\"\nstrip = [\"proof\"]\n",
    ) + "[options.key]\ntype = \"secret\"\ndoc = \"Key.\"\n[[auth]]\nkind = \"query\"\nname = \"key\"\ntoken = \"{key}\"\n";
    let all = items(35);
    let server = Server::start(move |asked| {
        assert_eq!(asked.param("key"), Some("s3cret"));
        assert_eq!(asked.query.iter().filter(|(n, _)| n == "key").count(), 1);
        let skip = asked.int("skip").unwrap_or(0);
        let mut reply = page(&slice(&all, skip, 10));
        if skip < 30 {
            let url = format!("https://api.example.com/items?skip={}&key=s3cret&proof=x&q=a%20b", skip + 10);
            reply["next"] = url.into();
        }
        Reply::json(&reply)
    })
    .await;
    let options = json!({"key": crate::harness::secret("s3cret")});
    let got = resumes_anywhere(&World::new(), &source(&text, &server.url, options), "items", "id").await;
    assert_eq!(got.rows.len(), 35);
    for (_, checkpoint) in &got.checkpoints {
        let text = checkpoint.0.to_string();
        assert!(!text.contains("s3cret") && !text.contains("proof"), "{text}");
    }
}

#[tokio::test]
async fn link_headers_are_followed() {
    let text = manifest(
        "[streams.request]\npath = \"/items\"\n[streams.paging]\nkind = \"next\"\nheader = \"Link\"\n",
    );
    let all = items(25);
    let server = Server::start(move |asked| {
        let skip = asked.int("skip").unwrap_or(0);
        let reply = Reply::json(&page(&slice(&all, skip, 10)));
        if skip < 20 {
            reply.header(
                "Link",
                &format!("</items?skip=0>; rel=\"first\", </items?skip={}>; rel=\"next\"", skip + 10),
            )
        } else {
            reply
        }
    })
    .await;
    let got = resumes_anywhere(&World::new(), &source(&text, &server.url, json!({})), "items", "id").await;
    assert_eq!(got.rows.len(), 25);
}

#[tokio::test]
async fn keysets_go_on_behind_the_last_key_also_in_the_next_run() {
    let text = manifest(
        "[streams.request]\npath = \"/items\"\nquery = { since = \"{last}\" }\n\
         [streams.paging]\nkind = \"keyset\"\ncolumn = \"id\"\nstart = \"0\"\nsize = 10\nacross_runs = true\n",
    );
    let all = items(35);
    let shared = all.clone();
    let server = Server::start(move |asked| {
        let since = asked.int("since").unwrap();
        let found: Vec<i64> =
            shared.lock().unwrap().iter().copied().filter(|i| *i > since).take(10).collect();
        Reply::json(&page(&found))
    })
    .await;
    let (world, source) = (World::new(), source(&text, &server.url, json!({})));
    let got = resumes_anywhere(&world, &source, "items", "id").await;
    assert_eq!(got.rows.len(), 35);
    all.lock().unwrap().extend([36, 37]);
    let more = read(&world, &source, request("items", got.checkpoint())).await.ok();
    assert_eq!(more.rows.len(), 2);
    // Nothing new twice over keeps the place.
    let none = read(&world, &source, request("items", more.checkpoint())).await.ok();
    let none = read(&world, &source, request("items", none.checkpoint())).await.ok();
    assert_eq!(none.rows.len(), 0);
    assert_eq!(server.asked().last().unwrap().int("since"), Some(37));
    all.lock().unwrap().reverse();
    let error = read(&world, &source, request("items", None)).await.error.unwrap();
    assert!(error.to_string().contains("not ordered by"), "{error}");
}

#[tokio::test]
async fn days_replace_whole_windows() {
    let text = manifest(
        "[streams.request]\npath = \"/report\"\nquery = { from = \"{from}\", to = \"{to}\", page = \"{page}\" }\n\
         [streams.paging]\nkind = \"page\"\nsize = 2\n[streams.days]\ncolumn = \"day\"\nstart = \"2026-08-20\"\nstep = 5\n\
         again = 3\nzone = \"Europe/Moscow\"\n",
    );
    let server = Server::start(|asked| {
        let ids = if asked.param("page") == Some("1") { vec![1, 2] } else { vec![] };
        Reply::json(&page(&ids))
    })
    .await;
    let (world, source) = (World::new(), source(&text, &server.url, json!({})));
    let got = read(&world, &source, request("items", None)).await.ok();
    // The clock says 2026-09-01 00:00 UTC: in Moscow August 31 is over.
    assert_eq!(got.windows, ["20685..20690", "end", "20690..20695", "end", "20695..20697", "end"]);
    let asked = server.asked();
    assert_eq!((asked[0].param("from"), asked[0].param("to")), (Some("2026-08-20"), Some("2026-08-24")));
    assert_eq!(asked.last().unwrap().param("to"), Some("2026-08-31"));
    // The next day: three days again and the new one, as one window.
    world.pass(86_400).await;
    let next = read(&world, &source, request("items", got.checkpoint())).await.ok();
    assert_eq!(next.windows, ["20694..20698", "end"]);
    // In the middle of a window the same window goes on.
    let middle = got.checkpoints[0].1.clone();
    let rest = read(&world, &source, request("items", Some(middle))).await.ok();
    assert_eq!(rest.windows[0], "20685..20690");
    let backfill = read(&world, &source, window("items", 1_787_000_000, 1_787_000_001)).await.ok();
    assert_eq!(backfill.windows.len(), 2);
}

#[tokio::test]
async fn sub_streams_ask_for_every_parent_and_resume() {
    let text = r#"
name = "test"
base_url = "https://api.example.com"
[[streams]]
name = "deals"
records = "items"
key = ["id"]
[streams.request]
path = "/items"
query = { page = "{page}", n = "{size}" }
[streams.paging]
kind = "page"
size = 10
[[streams]]
name = "notes"
records = "notes"
key = ["id"]
[streams.request]
path = "/deals/{parent.id}/notes"
query = { skip = "{offset}" }
[streams.paging]
kind = "offset"
size = 2
[streams.parent]
stream = "deals"
columns = ["id"]
add = { deal_id = "id" }
[[streams]]
name = "links"
records = "results"
key = ["id"]
[streams.request]
path = "/links"
method = "POST"
body = { inputs = "{parent.ids}" }
[streams.parent]
stream = "deals"
columns = ["id"]
batch = 4
"#;
    let all = items(9);
    let server = Server::start(move |asked| {
        if asked.path == "/links" {
            let ids = asked.json()["inputs"].as_array().unwrap().clone();
            assert!(ids.len() <= 4);
            return Reply::json(
                &json!({"results": ids.iter().map(|id| json!({"id": id, "to": 5})).collect::<Vec<_>>()}),
            );
        }
        let Some(deal) = asked.path.strip_prefix("/deals/").and_then(|p| p.strip_suffix("/notes")) else {
            return by_page(&all, asked);
        };
        let deal: i64 = deal.parse().unwrap();
        let notes: Vec<Value> = (0..deal % 4)
            .skip(usize::try_from(asked.int("skip").unwrap()).unwrap())
            .take(2)
            .map(|n| json!({"id": deal * 100 + n}))
            .collect();
        Reply::json(&json!({"notes": notes}))
    })
    .await;
    let (world, source) = (World::new(), source(text, &server.url, json!({})));
    let got = resumes_anywhere(&world, &source, "notes", "id").await;
    let expected: i64 = (1..=9).map(|d| d % 4).sum();
    assert_eq!(got.latest("id").len() as i64, expected);
    assert!(
        got.rows
            .iter()
            .all(|r| r["id"].parse::<i64>().unwrap() / 100 == r["deal_id"].parse::<i64>().unwrap())
    );
    let links = resumes_anywhere(&world, &source, "links", "id").await;
    assert_eq!(links.latest("id").len(), 9);
}

#[tokio::test]
async fn counts_are_compared() {
    let text = manifest(&format!("{BY_OFFSET}[streams.count]\npath = \"total\"\n"));
    let all = items(25);
    let server = Server::start(move |asked| by_offset(&all, asked)).await;
    let got = read(&World::new(), &source(&text, &server.url, json!({})), request("items", None)).await.ok();
    assert_eq!((got.counts[0].expected, got.counts[0].read), (25, 25));
    let text =
        manifest(&format!("{BY_OFFSET}[streams.count]\npath = \"n\"\nrequest = {{ path = \"/count\" }}\n"));
    let all = items(25);
    let server = Server::start(move |asked| {
        if asked.path == "/count" { Reply::json(&json!({"n": 26})) } else { by_offset(&all, asked) }
    })
    .await;
    let got = read(&World::new(), &source(&text, &server.url, json!({})), request("items", None)).await.ok();
    assert_eq!((got.counts[0].expected, got.counts[0].read), (26, 25));
}

#[tokio::test]
async fn drift_from_page_to_page_fails_nothing() {
    let pages = [
        r#"{"items":[{"id":1,"n":1,"t":null,"o":{"a":1},"big":9223372036854775807,"kind":7,"l":[{"x":1}]},17]}"#,
        r#"{"items":[{"id":2,"n":12.345678901,"t":"x","o":[],"big":340282366920938463463374607431768211455,"kind":"seven","l":[{"x":1,"y":2}],"new":true}]}"#,
        r#"{"items":[]}"#,
    ];
    let server = Server::start(move |asked| {
        Reply::text(200, pages[usize::try_from(asked.int("page").unwrap() - 1).unwrap()])
    })
    .await;
    let text = manifest(&format!("stable = true\n{BY_PAGE}"));
    let got = read(&World::new(), &source(&text, &server.url, json!({})), request("items", None)).await.ok();
    assert_eq!(got.rejects[0].0, "page 1, record 2");
    let (first, second) = (&got.rows[0], &got.rows[1]);
    assert_eq!(
        (first["big"].as_str(), second["big"].as_str()),
        ("9223372036854775807", "340282366920938463463374607431768211455")
    );
    assert_eq!(
        (second["n"].as_str(), second["kind"].as_str(), second["o"].as_str()),
        ("12.345678901", "seven", "[]")
    );
    assert_eq!(
        got.notices.iter().filter(|n| n.starts_with("schema_widened")).count(),
        3,
        "{:?}",
        got.notices
    );
    assert_eq!(got.notices.iter().filter(|n| n.starts_with("column_added")).count(), 1);
    assert_eq!(latest(&got.rows, "id").len(), 2);
}

#[tokio::test]
async fn a_selector_that_misses_is_an_error_that_helps() {
    let server = Server::start(|_| Reply::json(&json!({"item": [], "_links": {}}))).await;
    let text = manifest("[streams.request]\npath = \"/items\"\n");
    let error = read(&World::new(), &source(&text, &server.url, json!({})), request("items", None))
        .await
        .error
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("did you mean \"item\"?"), "{error}");
    let error = read(&World::new(), &source(&text, &server.url, json!({})), request("itens", None))
        .await
        .error
        .unwrap();
    assert!(error.to_string().contains("did you mean \"items\"?"), "{error}");
}

/// A vendor that gives up on more than `most` commands in a request.
fn chained(count: u64, most: usize) -> impl Fn(&crate::fixture::Asked) -> Reply + Send + Sync + 'static {
    move |asked| {
        let body = asked.json();
        let commands = body["commands"].as_object().unwrap();
        if commands.len() > most {
            return Reply::text(504, "took too long");
        }
        let (mut answers, mut refusals) = (json!({}), json!({}));
        let mut before: Option<u64> = None;
        for (name, command) in commands {
            let last = command.as_str().unwrap().strip_prefix("list?after=").unwrap();
            let last = if last.starts_with("%24") { before } else { Some(last.parse().unwrap()) };
            let Some(last) = last else {
                refusals[name] = json!({"error": "nothing to begin behind"});
                continue;
            };
            let page: Vec<Value> = (last + 1..=count).take(10).map(|id| json!({"id": id})).collect();
            before = page.get(9).and_then(|row| row["id"].as_u64());
            answers[name] = json!({"items": page});
        }
        Reply::json(&json!({"answers": answers, "refusals": refusals}))
    }
}

#[tokio::test]
async fn chains_of_pages_grow_and_shrink() {
    let text = "name = \"test\"\nbase_url = \"https://api.example.com\"\n[limits]\nattempts = 1\n[[errors]]\npath = \"error\"\naction = \"fail\"\n\
                [[streams]]\nname = \"items\"\nrecords = \"items\"\nkey = [\"id\"]\n[streams.request]\npath = \"/chain\"\nmethod = \"POST\"\n\
                body = { commands = \"{chain}\" }\n[streams.paging]\nkind = \"keyset\"\ncolumn = \"id\"\nstart = \"0\"\nsize = 10\n\
                [streams.paging.chain]\npages = 20\ncommand = \"list?after={last}\"\nlast = \"$result[{before}]\"\nanswers = \"answers\"\n\
                refusals = \"refusals\"\n";
    for (count, most, requests) in [
        (0, 99, 1),
        (9, 99, 1),
        (10, 99, 2),
        (11, 99, 2),
        (29, 99, 2),
        (30, 99, 3),
        (31, 99, 3),
        // 1, 2, 4, 8, 16 and then 20 pages.
        (700, 99, 7),
        // 8 come back, 16 do not, and 2 do: 15 pages are read by then, and 5 are left and one that is short.
        (200, 8, 8),
    ] {
        let server = Server::start(chained(count, most)).await;
        let world = World::new();
        let source = source(text, &server.url, json!({}));
        let got = read(&world, &source, request("items", None)).await.ok();
        assert_eq!((got.rows.len() as u64, got.latest("id").len() as u64), (count, count), "{count}");
        assert_eq!(server.asked().len(), requests, "{count} by {most}");
        resumes_anywhere(&world, &source, "items", "id").await;
    }
}
