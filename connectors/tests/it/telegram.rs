//! Telegram bots by getUpdates: the inbox they fill, against a server of one closure and against the company.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throughline_connectors::telegram::TelegramConnector;
use throughline_core::{DynSource, ErrorKind, ReadRequest, Redactor};
use throughline_http::{Client, HttpSettings, Limits};

use super::fixture::{Asked, Reply, Server};
use super::support::{Break, Landing, World, map, shared, spec};

const NOW: &str = "2026-09-10T09:00:00Z";
const TOKEN: &str = "700000001:AAcompany-telegram-bot-token";

fn bot(world: &World, url: &str) -> DynSource {
    let options = json!({"inbox": "inbox/*.jsonl*", "account": "700000001", "token": {"$secret": TOKEN}, "base_url": url});
    world.build(&TelegramConnector, options)
}

fn ok(updates: &[Value]) -> Reply {
    Reply::json(&json!({"ok": true, "result": updates}))
}

fn update(id: i64) -> Value {
    let from = json!({"id": 5, "is_bot": false, "first_name": "Анна"});
    json!({"update_id": id, "message": {"message_id": id, "from": from, "date": 1_788_256_800,
        "chat": {"id": 5, "type": "private", "first_name": "Анна"}, "text": format!("مرحبا {id}")}})
}

/// A bot's queue as Telegram keeps it: an offset forgets what lies below.
struct Queue(Mutex<Vec<Value>>);

impl Queue {
    fn answer(&self, asked: &Asked) -> Reply {
        let params = asked.json();
        let mut queue = self.0.lock().unwrap();
        if let Some(offset) = params["offset"].as_i64() {
            queue.retain(|u| u["update_id"].as_i64().unwrap() >= offset);
        }
        let limit = params["limit"].as_u64().unwrap() as usize;
        ok(&queue[..limit.min(queue.len())])
    }
}

async fn ids(source: &DynSource, landing: &Landing) -> Vec<i64> {
    landing.column(&spec(source, "events"), "update_id").iter().map(|id| id.parse().unwrap()).collect()
}

#[tokio::test]
async fn any_number_of_updates_around_a_page() {
    for count in [0, 1, 99, 100, 101, 199, 200, 201] {
        let queue = Arc::new(Queue(Mutex::new((1000..1000 + count).map(update).collect())));
        let served = queue.clone();
        let server = Server::start(move |asked| served.answer(asked)).await;
        let world = World::at(NOW);
        let source = bot(&world, &server.url);
        let mut landing = Landing::default();
        for _ in 0..2 {
            landing.run(&source, &world.ctx, "events").await.unwrap();
            assert_eq!(ids(&source, &landing).await, (1000..1000 + count).collect::<Vec<_>>());
            assert!(queue.0.lock().unwrap().is_empty(), "all is confirmed");
        }
        // What was confirmed is found again by whoever starts over.
        let mut again = Landing::default();
        again.run(&source, &world.ctx, "events").await.unwrap();
        assert_eq!(ids(&source, &again).await.len(), count as usize);
    }
}

/// Whatever question a process dies at, what was written and not confirmed comes again and counts once.
#[tokio::test]
async fn a_crash_at_any_question_loses_and_repeats_nothing() {
    for dies_at in 0..4 {
        let queue = Queue(Mutex::new((1..=250).map(update).collect()));
        let asked_so_far = AtomicUsize::new(0);
        let server = Server::start(move |asked| {
            if asked_so_far.fetch_add(1, Ordering::SeqCst) == dies_at {
                return Reply::text(400, "{\"ok\":false,\"error_code\":400,\"description\":\"dies here\"}");
            }
            queue.answer(asked)
        })
        .await;
        let mut world = World::at(NOW);
        let source = bot(&world, &server.url);
        let mut landing = Landing::default();
        let died = landing.run(&source, &world.ctx, "events").await;
        assert!(died.is_err(), "{dies_at}");
        world.later("2026-09-10T10:00:00Z");
        landing.run(&source, &world.ctx, "events").await.unwrap();
        assert_eq!(ids(&source, &landing).await, (1..=250).collect::<Vec<_>>(), "{dies_at}");
    }
}

#[tokio::test]
async fn numbers_that_begin_anew_lower_are_taken() {
    let queue = Arc::new(Queue(Mutex::new(vec![update(900)])));
    let served = queue.clone();
    let server = Server::start(move |asked| served.answer(asked)).await;
    let world = World::at(NOW);
    let source = bot(&world, &server.url);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "events").await.unwrap();
    *queue.0.lock().unwrap() = vec![update(17), update(18)];
    landing.run(&source, &world.ctx, "events").await.unwrap();
    assert_eq!(ids(&source, &landing).await, [900, 17, 18]);
}

#[tokio::test]
async fn conflicts_and_refusals_say_what_to_do_and_never_the_token() {
    let hook = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook";
    let two =
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
    for (code, words, kind, hint) in [
        (409, hook, ErrorKind::Config, "throughline serve"),
        (409, two, ErrorKind::Config, "stop the other program"),
        (401, "Unauthorized", ErrorKind::Auth, "@BotFather"),
        (404, "Not Found", ErrorKind::Auth, "@BotFather"),
        (500, "Internal Server Error", ErrorKind::Io, ""),
        (418, "", ErrorKind::Protocol, ""),
    ] {
        let body =
            json!({"ok": false, "error_code": code, "description": format!("{words} {TOKEN}")}).to_string();
        let server = Server::start(move |_| Reply::text(code, &body)).await;
        let mut world = World::at(NOW);
        // As the engine does with every secret of the options.
        let redactor = Redactor::new();
        redactor.register_text(TOKEN);
        let (settings, limits) = (HttpSettings::default(), Arc::new(Limits::new()));
        let http = Client::new(&settings, limits, world.ctx.clock.clone(), redactor).unwrap();
        world.ctx.http = Arc::new(http.with_seed(1));
        let source = bot(&world, &server.url);
        let error = Landing::default().run(&source, &world.ctx, "events").await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.hint_text().unwrap_or_default().contains(hint), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("AAcompany"), "{error:?}");
    }
}

#[tokio::test]
async fn a_pause_is_kept_and_a_day_without_a_question_is_told() {
    let first = AtomicUsize::new(0);
    let server = Server::start(move |_| {
        if first.fetch_add(1, Ordering::SeqCst) == 0 {
            return Reply::text(
                429,
                r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}"#,
            );
        }
        ok(&[])
    })
    .await;
    let mut world = World::at(NOW);
    let source = bot(&world, &server.url);
    let mut landing = Landing::default();
    let before = world.ctx.clock.now_us();
    landing.run(&source, &world.ctx, "events").await.unwrap();
    assert!(world.ctx.clock.now_us() - before >= 35_000_000);
    assert!(landing.notices.is_empty());
    world.later("2026-09-11T12:00:00Z");
    landing.run(&source, &world.ctx, "events").await.unwrap();
    let told: Vec<&str> = landing.notices.iter().map(|n| n.code.as_str()).collect();
    assert_eq!(told, ["updates_may_be_lost"]);
}

/// What is asked fits the Bot API's own description.
#[tokio::test]
async fn questions_fit_the_specification() {
    let Some(folder) = shared("api/specs/telegram") else { return };
    let text = std::fs::read_to_string(folder.join("api.json")).unwrap();
    let api: Value = serde_json::from_str(&text).unwrap();
    let server = Server::start(|asked| match asked.path.rsplit('/').next().unwrap() {
        "getUpdates" if asked.json().get("offset").is_none() => ok(&[update(7)]),
        "getUpdates" => ok(&[]),
        _ => Reply::json(&json!({"ok": true, "result": {"url": "https://a.example/", "username": "x_bot"}})),
    })
    .await;
    let world = World::at(NOW);
    let source = bot(&world, &server.url);
    let report = source.check(&world.ctx).await.unwrap();
    assert!(report.warnings[0].contains("deleteWebhook"), "{report:?}");
    Landing::default().run(&source, &world.ctx, "events").await.unwrap();
    let kinds: Vec<&str> = api["types"]["Update"]["fields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["name"].as_str().unwrap())
        .collect();
    let mut methods = Vec::new();
    for asked in server.asked() {
        let method = asked.path.rsplit('/').next().unwrap().to_owned();
        assert_eq!(asked.path, format!("/bot{TOKEN}/{method}"));
        assert_eq!(asked.header("content-type"), Some("application/json"));
        let fields = api["methods"][&method]["fields"].as_array().cloned().unwrap_or_default();
        for (name, value) in asked.json().as_object().unwrap() {
            let field = fields.iter().find(|f| f["name"] == *name);
            let kind = field.unwrap_or_else(|| panic!("{method} has no {name}"))["types"][0]
                .as_str()
                .unwrap()
                .to_owned();
            match kind.as_str() {
                "Integer" => assert!(value.is_i64(), "{name}"),
                "Array of String" => {
                    for kind in value.as_array().unwrap() {
                        assert!(kinds.contains(&kind.as_str().unwrap()), "{kind}");
                    }
                }
                other => panic!("{name}: {other}"),
            }
        }
        assert!(fields.iter().all(|f| f["required"] != true), "{method}");
        methods.push(method);
    }
    assert_eq!(methods, ["getMe", "getWebhookInfo", "getUpdates", "getUpdates"]);
}

async fn company(kept_s: i64, visits: u64, rules: &[&str]) -> company::Running {
    let cfg = company::Config { seed: 11, visits, days: 20, ..company::Config::default() };
    let faults = rules.iter().map(|r| company::faults::Rule::parse(r).unwrap()).collect();
    let telegram = company::telegram::Options { kept_s };
    let options = company::Options { telegram, faults, ..company::Options::default() };
    company::Server::new(company::Company::new(cfg), options).start().await.unwrap()
}

async fn messages(source: &DynSource, landing: &Landing) -> Vec<Value> {
    let landed = HashMap::from([("events".to_owned(), landing.clone())]);
    let mut rows = map(source, &landed).await.remove("messages").unwrap();
    rows.sort_by_key(|row| row["message_id"].to_string());
    rows
}

/// Half a day at a time, with every fault, dying in between: what Telegram told is what landed.
#[tokio::test]
async fn the_companys_bot_with_all_faults_on() {
    let rules = [
        "429:every=11,path=/getUpdates",
        "500:every=13,path=/getUpdates",
        "502:every=17,path=/getUpdates",
        "cut:every=7,percent=60,path=/getUpdates",
        "truncate:at=30+31,percent=80,path=/getUpdates",
        "409:at=40,path=/getUpdates",
    ];
    let running = company(86_400, 900, &rules).await;
    let server = running.server.clone();
    let (from, to) = (server.company.cfg.start_at(), server.company.cfg.end_at());
    let mut world = World::at(&company::text::rfc3339(from));
    let source = bot(&world, &running.url());
    let (mut landing, mut failed, mut now) = (Landing::default(), 0, from);
    let mut turn = 0;
    while now < to {
        now += 43_200;
        turn += 1;
        server.set_now(now).unwrap();
        world.later(&company::text::rfc3339(now));
        // Some runs die when what they read is durable, some before anybody hears of it.
        let breaks =
            Break { after_checkpoints: (turn % 5 == 0).then_some(1), never_committed: turn % 3 == 0 };
        failed += usize::from(landing.run_until(&source, &world.ctx, "events", breaks).await.is_err());
    }
    server.faults.set(Vec::new());
    landing.run(&source, &world.ctx, "events").await.unwrap();
    assert_eq!(failed, 1, "a conflict stops a run");
    assert!(landing.notices.iter().all(|n| n.code != "updates_may_be_lost"), "{:?}", landing.notices);
    let truth = server.telegram.truth(&server.company, server.now());
    // Reactions are not among what we ask for.
    let told: Vec<i64> = truth
        .iter()
        .filter(|u| u.get("message_reaction").is_none())
        .map(|u| u["update_id"].as_i64().unwrap())
        .collect();
    assert!(told.len() > 150 && told.len() < truth.len(), "{} of {}", told.len(), truth.len());
    assert_eq!(ids(&source, &landing).await, told);

    // The same updates by webhook, in an inbox that somebody else wrote, give the same tables.
    let received = World::at(NOW);
    let lines: String = truth
        .iter()
        .map(|u| {
            json!({"received_at": 1_788_256_800_000_000_i64, "headers": {}, "body": u.to_string()})
                .to_string()
                + "\n"
        })
        .collect();
    std::fs::create_dir(received.path("inbox")).unwrap();
    received.write("inbox/hook-00.jsonl", lines);
    let hook = received.build(&TelegramConnector, json!({"inbox": "inbox/*.jsonl*", "account": "700000001"}));
    let mut hooked = Landing::default();
    hooked.run(&hook, &received.ctx, "events").await.unwrap();
    let polled = messages(&source, &landing).await;
    assert_eq!(polled, messages(&hook, &hooked).await);
    let starts = truth
        .iter()
        .filter(|u| u["message"]["text"].as_str().is_some_and(|t| t.starts_with("/start ")))
        .count();
    assert!(starts > 20);
    assert!(polled.iter().filter(|m| m["token"].is_string() && m["link_ref"].is_string()).count() == starts);
}

/// All that a bot was ever told, in one poll: many pages, each cut short now and then.
#[tokio::test]
async fn many_pages_at_once() {
    let running = company(i64::MAX / 2, 4000, &["cut:every=3,percent=30,path=/getUpdates"]).await;
    let world = World::at(&company::text::rfc3339(running.server.now()));
    let value = json!({"inbox": "inbox/*", "account": "700000001", "token": {"$secret": TOKEN}, "base_url": running.url(),
        "allowed_updates": ["message", "my_chat_member", "message_reaction"]});
    let source = world.build(&TelegramConnector, value);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "events").await.unwrap();
    let truth = running.server.telegram.truth(&running.server.company, running.server.now());
    assert!(truth.len() > 800, "{}", truth.len());
    let expected: Vec<i64> = truth.iter().map(|u| u["update_id"].as_i64().unwrap()).collect();
    assert_eq!(ids(&source, &landing).await, expected);
    let reactions = landing.column(&spec(&source, "events"), "message_reaction");
    assert!(reactions.iter().any(|r| r.contains("👍")), "kinds that no table knows are kept");
}

#[tokio::test]
async fn a_preview_takes_nothing_away() {
    let queue = Arc::new(Queue(Mutex::new((1..=150).map(update).collect())));
    let served = queue.clone();
    let server = Server::start(move |asked| served.answer(asked)).await;
    let world = World::at(NOW);
    let source = bot(&world, &server.url);
    let request = ReadRequest { stream: "events".into(), checkpoint: None, window: None, max_pages: Some(1) };
    let events: Vec<_> = futures::StreamExt::collect(source.read(&world.ctx, request).await.unwrap()).await;
    assert!(!events.is_empty());
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "events").await.unwrap();
    assert_eq!(ids(&source, &landing).await.len(), 150);
}

#[tokio::test]
async fn wrong_options_are_told() {
    let world = World::at(NOW);
    let errors = |value: Value| {
        let options = throughline_core::Options { name: "t".into(), value, base_dir: world.path("") };
        let errors =
            throughline_core::SourceConnector::build(&TelegramConnector, &options).map(|_| ()).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let token = json!({"$secret": TOKEN});
    for (value, wanted) in [
        (json!({"inbox": "i"}), "account"),
        (json!({"inbox": "inbox/a.jsonl", "account": "5", "token": token}), "inbox/telegram-5-*.jsonl*"),
        (json!({"inbox": "*/*.jsonl", "account": "5", "token": token}), "folder"),
        (json!({"inbox": "*", "account": "a:b", "token": token}), "colon"),
        (json!({"inbox": "*", "account": "5", "token": token, "allowed_updates": []}), "kinds of updates"),
        (json!({"inbox": "*", "account": "5", "allowed_updates": ["message"]}), "only with `token`"),
    ] {
        let said = errors(value);
        assert!(said.contains(wanted) && !said.contains("AAcompany"), "{said}");
    }
}
