//! VK communities by their history: a server of one closure that can move under the reader, and the company.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throughline_connectors::vk::VkConnector;
use throughline_core::{DynSource, ErrorKind, NoteStore as _, Retry};

use super::fixture::{Asked, Reply, Server};
use super::support::{Break, Landing, World, map, read_all, shared, spec};

const NOW: &str = "2026-09-10T09:00:00Z";
const TOKEN: &str = "vk1.a.company-community-token";
const GROUP: u64 = 200_000_001;

fn community(world: &World, url: &str) -> DynSource {
    let options = json!({"token": {"$secret": TOKEN}, "group_id": GROUP, "base_url": url});
    world.build(&VkConnector, options)
}

fn form(asked: &Asked) -> HashMap<String, String> {
    url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect()
}

fn number(form: &HashMap<String, String>, name: &str) -> i64 {
    form.get(name).map_or(0, |v| v.parse().unwrap())
}

fn good(response: &Value) -> Reply {
    Reply::json(&json!({ "response": response }))
}

/// Messages by id: who they are with. A message of a group chat has no id in what it gives.
#[derive(Clone, Default)]
struct Talks {
    messages: BTreeMap<i64, i64>,
    /// Whether `start_message_id` itself is given: VK's pages do not say.
    with_start: bool,
}

impl Talks {
    fn message(&self, id: i64) -> Value {
        let peer = self.messages[&id];
        let number = self.messages.range(..=id).filter(|(_, p)| **p == peer).count();
        let given = if peer > 2_000_000_000 { 0 } else { id };
        json!({"id": given, "peer_id": peer, "from_id": if peer > 2_000_000_000 { 5 } else { peer }, "out": 0,
            "date": 1_788_000_000 + id, "text": format!("сообщение {id}"), "conversation_message_id": number})
    }

    fn answer(&self, asked: &Asked) -> Reply {
        let form = form(asked);
        let (count, offset) = (number(&form, "count") as usize, number(&form, "offset") as usize);
        let start = number(&form, "start_message_id");
        let below = |id: i64| start == 0 || id < start || (self.with_start && id == start);
        let method = asked.path.rsplit('/').next().unwrap();
        let mut ids: Vec<i64> = if method == "messages.getHistory" {
            let peer = number(&form, "peer_id");
            self.messages.iter().filter(|(_, p)| **p == peer).map(|(id, _)| *id).collect()
        } else {
            let last: BTreeMap<i64, i64> = self.messages.iter().map(|(id, peer)| (*peer, *id)).collect();
            last.into_values().collect::<BTreeSet<i64>>().into_iter().collect()
        };
        let total = ids.len();
        ids.reverse();
        ids.retain(|id| below(*id));
        let items: Vec<Value> = ids
            .into_iter()
            .skip(offset)
            .take(count)
            .map(|id| {
                let message = self.message(id);
                if method == "messages.getHistory" {
                    return message;
                }
                json!({"conversation": {"peer": {"id": self.messages[&id], "type": "user"},
                    "last_message_id": message["id"]}, "last_message": message})
            })
            .collect();
        good(&json!({"count": total, "items": items}))
    }
}

fn numbers(source: &DynSource, landing: &Landing) -> Vec<String> {
    landing.column(&spec(source, "messages"), "number")
}

/// Every message, each once.
#[track_caller]
fn expect(source: &DynSource, landing: &Landing, talks: &Talks) {
    let mut found = numbers(source, landing);
    found.sort();
    let mut wanted: Vec<String> = talks
        .messages
        .iter()
        .map(|(id, peer)| match talks.message(*id)["conversation_message_id"].as_u64() {
            Some(n) if *peer > 2_000_000_000 => format!("{peer}_{n}"),
            _ => id.to_string(),
        })
        .collect();
    wanted.sort();
    assert_eq!(found, wanted);
}

async fn serve(talks: &Arc<Mutex<Talks>>) -> Server {
    let served = talks.clone();
    Server::start(move |asked| served.lock().unwrap().answer(asked)).await
}

#[tokio::test]
async fn any_number_of_messages_and_conversations_around_a_page() {
    // Conversations, and messages of one more.
    for (few, many) in [(0, 0), (0, 1), (198, 199), (199, 200), (200, 201), (201, 399), (1, 401)] {
        for with_start in [true, false] {
            let mut talks = Talks { with_start, ..Talks::default() };
            for n in 0..(few + many) {
                let peer = if n % 2 == 0 && n / 2 < few || n >= 2 * many.min(few) && many < few {
                    1000 + n
                } else {
                    7
                };
                talks.messages.insert(n + 1, peer);
            }
            let talks = Arc::new(Mutex::new(talks));
            let server = serve(&talks).await;
            let world = World::at(NOW);
            let source = community(&world, &server.url);
            let mut landing = Landing::default();
            landing.run(&source, &world.ctx, "messages").await.unwrap();
            expect(&source, &landing, &talks.lock().unwrap());
            for count in &landing.counts {
                assert_eq!(count.expected, count.read);
            }
            // Nothing new is one question; then one message is, and nothing comes again.
            let asked = server.asked().len();
            landing.run(&source, &world.ctx, "messages").await.unwrap();
            assert_eq!(server.asked().len() - asked, 1);
            talks.lock().unwrap().messages.insert(5000, 7);
            landing.run(&source, &world.ctx, "messages").await.unwrap();
            expect(&source, &landing, &talks.lock().unwrap());
        }
    }
}

/// While conversations and messages are paged, new messages come with every question.
#[tokio::test]
async fn what_moves_while_it_is_read_is_not_lost() {
    let mut talks = Talks::default();
    for n in 0..900 {
        talks.messages.insert(n + 1, 10 + n % 450);
    }
    let talks = Arc::new(Mutex::new(talks));
    let served = talks.clone();
    let moves = Mutex::new(120);
    let server = Server::start(move |asked| {
        let mut talks = served.lock().unwrap();
        let reply = talks.answer(asked);
        let mut moves = moves.lock().unwrap();
        if *moves > 0 {
            *moves -= 1;
            // Those at the end of the list come to its front.
            let id = talks.messages.keys().max().unwrap() + 1;
            talks.messages.insert(id, 10 + (120 - *moves) * 3 % 450);
        }
        reply
    })
    .await;
    let world = World::at(NOW);
    let source = community(&world, &server.url);
    let mut landing = Landing::default();
    for _ in 0..2 {
        landing.run(&source, &world.ctx, "messages").await.unwrap();
    }
    expect(&source, &landing, &talks.lock().unwrap());
}

#[tokio::test]
async fn group_chats_have_messages_without_ids() {
    let mut talks = Talks::default();
    for n in 0..450 {
        talks.messages.insert(n + 1, [2_000_000_001, 5, 2_000_000_001][n as usize % 3]);
    }
    let talks = Arc::new(Mutex::new(talks));
    let server = serve(&talks).await;
    let world = World::at(NOW);
    let source = community(&world, &server.url);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    expect(&source, &landing, &talks.lock().unwrap());
    for n in 450..460 {
        talks.lock().unwrap().messages.insert(n + 1, 2_000_000_001);
    }
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    let found: BTreeSet<String> = numbers(&source, &landing).into_iter().collect();
    assert_eq!(found.len(), 460);
    // Of messages without ids those of the last second come once more, and no others.
    assert!(numbers(&source, &landing).len() <= 461);
}

#[tokio::test]
async fn errors_inside_a_good_answer() {
    let error = |code: i64| {
        let echo = json!([{"key": "access_token", "value": TOKEN}]);
        Reply::json(&json!({"error": {"error_code": code, "error_msg": "слова", "request_params": echo}}))
    };
    for (code, kind, after) in [
        (5, ErrorKind::Auth, None),
        (14, ErrorKind::Auth, None),
        (15, ErrorKind::Auth, None),
        (9, ErrorKind::RateLimited, Some(3600)),
        (29, ErrorKind::RateLimited, Some(86_400)),
        (113, ErrorKind::Config, None),
    ] {
        let server = Server::start(move |_| error(code)).await;
        let world = World::at(NOW);
        let source = community(&world, &server.url);
        let failed = Landing::default().run(&source, &world.ctx, "messages").await.unwrap_err();
        assert_eq!(failed.kind(), kind, "{failed:?}");
        let waits = match failed.retry() {
            Retry::Temporary { after } => after.map(|a| a.as_secs()),
            _ => None,
        };
        assert_eq!(waits, after, "{failed:?}");
        assert!(!format!("{failed} {failed:?}").contains("company-community"), "{failed:?}");
        assert_eq!(server.asked().len(), 1, "asking on makes it last");
    }
    // Too many a second, and the server's own trouble, pass.
    let talks = Talks { messages: [(1, 5), (2, 6)].into(), with_start: true };
    let turn = Mutex::new(0);
    let served = talks.clone();
    let server = Server::start(move |asked| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        match *turn % 4 {
            1 => error(6),
            2 => error(10),
            3 => Reply::text(502, "<html>"),
            _ => served.answer(asked),
        }
    })
    .await;
    let world = World::at(NOW);
    let source = community(&world, &server.url);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    expect(&source, &landing, &talks);
    // One conversation that cannot be read does not stand in the way of the others.
    let served = talks.clone();
    let server = Server::start(move |asked| match form(asked).get("peer_id").map(String::as_str) {
        Some("5") => error(917),
        _ => served.answer(asked),
    })
    .await;
    let source = community(&world, &server.url);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    assert_eq!(numbers(&source, &landing), ["2"]);
    let told: Vec<&str> = landing.notices.iter().map(|n| n.code.as_str()).collect();
    assert_eq!(told, ["conversation_not_readable"]);
}

/// Methods, their parameters and types are those of VK's own schema; the token is in the body alone.
#[tokio::test]
async fn questions_fit_the_specification() {
    let Some(folder) = shared("api/specs/vk") else { return };
    let running = company(300, &[]).await;
    let known = |section: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(folder.join(section).join("methods.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["methods"].as_array().unwrap().clone()
    };
    let methods = [known("messages"), known("users"), known("groups"), known("stats")].concat();
    let log = Arc::new(Mutex::new(Vec::<Asked>::new()));
    let kept = log.clone();
    let world = World::at(&company::text::rfc3339(running.server.now()));
    let server = Server::start(move |asked| {
        kept.lock().unwrap().push(asked.clone());
        // Passed on to the company.
        let base = format!("http://{}", asked.header("host").unwrap());
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&asked.query).finish();
        let call = company::Call {
            base: &base,
            path: &asked.path,
            query: &query,
            body: asked.body.as_bytes(),
            ..company::Call::of(&running.server.company, running.server.now())
        };
        let reply = running.server.vk.answer(&call);
        Reply::text(reply.status, &String::from_utf8(reply.body).unwrap())
    })
    .await;
    let source = polled(&world, &server.url);
    read_all(&source, &world.ctx).await;
    source.check(&world.ctx).await.unwrap();
    let statistics = counted(&world, &server.url, "2026-08-01");
    Landing::default().run(&statistics, &world.ctx, "statistics").await.unwrap();
    let mut seen = BTreeSet::new();
    for asked in log.lock().unwrap().iter().filter(|a| !a.path.starts_with("/vk-long-poll/")) {
        let name = asked.path.strip_prefix("/method/").unwrap();
        seen.insert(name.to_owned());
        assert!(asked.query.is_empty() && !asked.path.contains(TOKEN));
        assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
        let method = methods.iter().find(|m| m["name"] == name).unwrap_or_else(|| panic!("no method {name}"));
        let form = form(asked);
        let (kind, token) =
            if name == "stats.get" { ("user", company::vk::USER_TOKEN) } else { ("group", TOKEN) };
        assert!(method["access_token_type"].as_array().unwrap().contains(&kind.into()));
        assert_eq!((form["v"].as_str(), form["access_token"].as_str()), ("5.199", token));
        let parameters = method["parameters"].as_array().unwrap();
        for parameter in parameters.iter().filter(|p| p["required"] == true) {
            assert!(form.contains_key(parameter["name"].as_str().unwrap()), "{name}: {parameter}");
        }
        for (key, value) in form.iter().filter(|(k, _)| !["v", "access_token"].contains(&k.as_str())) {
            let parameter = parameters.iter().find(|p| p["name"] == **key);
            let parameter = parameter.unwrap_or_else(|| panic!("{name} has no {key}"));
            match parameter["type"].as_str().unwrap() {
                "integer" => {
                    let value: i64 = value.parse().unwrap();
                    assert!(
                        parameter["minimum"].as_i64().is_none_or(|least| value >= least),
                        "{key}={value}"
                    );
                    assert!(parameter["maximum"].as_i64().is_none_or(|most| value <= most), "{key}={value}");
                }
                "number" => assert!(value.parse::<u64>().is_ok(), "{key}={value}"),
                "boolean" => assert!(matches!(value.as_str(), "0" | "1"), "{key}={value}"),
                "array" => {
                    let most = parameter["maxItems"].as_u64().unwrap_or(u64::MAX);
                    assert!(value.split(',').count() as u64 <= most, "{key}");
                }
                "string" => {
                    if let Some(words) = parameter["enum"].as_array() {
                        assert!(words.contains(&value.as_str().into()), "{key}={value}");
                    }
                }
                other => panic!("{key}: {other}"),
            }
        }
    }
    let wanted = [
        "groups.getLongPollServer",
        "messages.getConversations",
        "messages.getHistory",
        "stats.get",
        "users.get",
    ];
    assert_eq!(Vec::from_iter(seen), wanted);
}

async fn company(visits: u64, rules: &[&str]) -> company::Running {
    let cfg = company::Config { seed: 5, visits, ..company::Config::default() };
    let faults = rules.iter().map(|r| company::faults::Rule::parse(r).unwrap()).collect();
    let options = company::Options { faults, ..company::Options::default() };
    company::Server::new(company::Company::new(cfg), options).start().await.unwrap()
}

/// The day comes on, runs die at their checkpoints, and VK fails in every way: what landed is what was written.
#[tokio::test]
async fn the_companys_conversations_with_all_faults_on() {
    let rules = [
        "429:every=9,path=/method/",
        "500:every=14,path=/method/",
        "502:every=23,path=/method/",
        "cut:every=11,percent=50,path=/method/",
        "truncate:every=17,percent=70,path=/method/",
        "leave_out:every=5,rows=1,path=/method/messages.getHistory",
        "420:at=150,path=/method/",
    ];
    let running = company(1500, &rules).await;
    let server = running.server.clone();
    let (from, to) = (server.company.cfg.start_at(), server.company.cfg.end_at());
    let mut world = World::at(&company::text::rfc3339(from));
    let source = community(&world, &running.url());
    let (mut landing, mut failed) = (Landing::default(), 0);
    for turn in 1..=6 {
        let now = from + (to - from) * turn / 6;
        server.set_now(now).unwrap();
        world.later(&company::text::rfc3339(now));
        for attempt in 1..=3 {
            let breaks =
                Break { after_checkpoints: (attempt < 3).then_some(1), never_committed: attempt == 2 };
            failed += usize::from(landing.run_until(&source, &world.ctx, "messages", breaks).await.is_err());
        }
    }
    assert!(failed >= 1, "a flood stops a run");
    landing.run(&source, &world.ctx, "messages").await.unwrap();
    let truth = server.vk.truth(&server.company, server.now());
    let mut ids: Vec<i64> = numbers(&source, &landing).iter().map(|n| n.parse().unwrap()).collect();
    ids.sort_unstable();
    let wanted: Vec<i64> = truth.iter().map(|m| m["id"].as_i64().unwrap()).collect();
    assert!(wanted.len() > 500, "{}", wanted.len());
    assert_eq!(ids, wanted);

    // The rest of the community, and its tables beside those of the same messages told by the Callback API.
    let mut landed = HashMap::from([("messages".to_owned(), landing)]);
    for stream in ["users", "conversations"] {
        let mut snapshot = Landing::default();
        snapshot.run(&source, &world.ctx, stream).await.unwrap();
        assert!(snapshot.counts.iter().all(|c| c.expected == c.read), "{:?}", snapshot.counts);
        let rows: usize = snapshot.batches(&spec(&source, stream)).iter().map(|b| b.num_rows()).sum();
        assert_eq!(rows, server.vk.people(&server.company, server.now()), "{stream}");
        // Forgetting knows a person's number by the name of its column.
        let by = if stream == "users" { "user_id" } else { "peer_id" };
        assert!(
            snapshot
                .column(&spec(&source, stream), by)
                .iter()
                .all(|id| id.parse::<i64>().is_ok_and(|id| id > 0))
        );
        landed.insert(stream.to_owned(), snapshot);
    }
    let asked = map(&source, &landed).await.remove("messages").unwrap();
    assert!(asked.iter().filter(|m| m["direction"] == "in").all(|m| m["contact_name"].is_string()));
    let told = World::at(NOW);
    let lines: String = truth
        .iter()
        .map(|m| {
            let body = company::vk::event(m);
            json!({"received_at": 1, "headers": {}, "body": body.to_string()}).to_string() + "\n"
        })
        .collect();
    told.write("inbox.jsonl", lines);
    let hook = told.build(&VkConnector, json!({"inbox": "inbox.jsonl"}));
    let hooked = map(&hook, &read_all(&hook, &told.ctx).await).await.remove("messages").unwrap();
    let plain = |rows: Vec<Value>| -> BTreeSet<String> {
        rows.into_iter()
            .map(|mut row| {
                // Events do not carry names.
                row.as_object_mut().unwrap().shift_remove("contact_name");
                row.to_string()
            })
            .collect()
    };
    let (asked, hooked) = (plain(asked), plain(hooked));
    assert_eq!(asked.len(), wanted.len());
    assert_eq!(asked, hooked);
    assert!(asked.iter().filter(|m| m.contains("\"link_ref\"") && m.contains("\"token\"")).count() > 20);
}

#[tokio::test]
async fn the_vendors_samples_are_read() {
    let Some(folder) = shared("api/messengers/samples/vk") else { return };
    let sample = |name: &str| -> String { std::fs::read_to_string(folder.join(name)).unwrap() };
    let (talks, history) = (sample("made_get_conversations.json"), sample("made_get_history.json"));
    let server = Server::start(move |asked| match asked.path.rsplit('/').next().unwrap() {
        "messages.getConversations" => Reply::text(200, &talks),
        "messages.getHistory" => Reply::text(200, &history),
        _ => good(&json!([{"id": 1_234_567, "first_name": "Анна", "last_name": "Т."}])),
    })
    .await;
    let world = World::at(NOW);
    let source = community(&world, &server.url);
    let tables = map(&source, &read_all(&source, &world.ctx).await).await;
    let mut rows = tables["messages"].clone();
    rows.sort_by_key(|row| row["message_id"].to_string());
    let of = |row: &Value| {
        ["message_id", "direction", "sender_kind", "link_ref", "contact_name"]
            .map(|c| row[c].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(
        rows.iter().map(of).collect::<Vec<_>>(),
        [
            ["200000001:481", "in", "customer", "v1_Zk3x9QpL2mNd8RtA", "Анна Т."],
            ["200000001:482", "out", "operator", "-", "-"],
            ["200000001:483", "out", "bot", "-", "-"],
        ]
        .map(|row| row.map(str::to_owned))
    );
    let counted_on = sample("made_stats_get.json");
    let server = Server::start(move |_| Reply::text(200, &counted_on)).await;
    let statistics = counted(&world, &server.url, "2026-09-01");
    let mut landing = Landing::default();
    landing.run(&statistics, &world.ctx, "statistics").await.unwrap();
    let column = |name: &str| landing.column(&spec(&statistics, "statistics"), name);
    assert_eq!(column("period_from"), ["1767225600"]);
    assert!(column("visitors")[0].contains("\"views\": 120"), "{:?}", column("visitors"));
    for code in ["5", "6", "9", "14", "29"] {
        let body = sample(&format!("made_error_{code}.json"));
        let server = Server::start(move |_| Reply::text(200, &body)).await;
        let failed = Landing::default().run(&community(&world, &server.url), &world.ctx, "messages").await;
        assert!(failed.unwrap_err().to_string().contains(&format!("error {code}:")));
    }
}

#[tokio::test]
async fn wrong_options_are_told() {
    let world = World::at(NOW);
    let errors = |value: Value| {
        let options = throughline_core::Options { name: "t".into(), value, base_dir: world.path("") };
        let errors =
            throughline_core::SourceConnector::build(&VkConnector, &options).map(|_| ()).unwrap_err();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let token = json!({"$secret": "t"});
    for (value, wanted) in [
        (json!({}), "inbox"),
        (json!({"token": token}), "group_id"),
        (json!({"token": token, "group_id": 0}), "without a minus"),
        (json!({"inbox": "*", "group_id": 5}), "only with `token`"),
        (json!({"token": token, "group_id": 5, "accept_replaced": true}), "only with `inbox`"),
        (json!({"inbox": "["}), "no file pattern"),
        (json!({"inbox": "*", "long_poll": true}), "needs `token`"),
        (json!({"inbox": "a.jsonl", "token": token, "group_id": 5, "long_poll": true}), "vk-5-*.jsonl*"),
    ] {
        let said = errors(value);
        assert!(said.contains(wanted), "{said}");
    }
}

fn polled(world: &World, url: &str) -> DynSource {
    let options = json!({"token": {"$secret": TOKEN}, "group_id": GROUP, "base_url": url, "long_poll": true,
        "inbox": "inbox/*.jsonl*"});
    world.build(&VkConnector, options)
}

fn counted(world: &World, url: &str, from: &str) -> DynSource {
    let options = json!({"user_token": {"$secret": company::vk::USER_TOKEN}, "statistics_from": from,
        "group_id": GROUP, "base_url": url});
    world.build(&VkConnector, options)
}

/// Around the thirty days of a question: every day, each once, through faults; a later run corrects the last ones.
#[tokio::test]
async fn statistics_by_days_are_read_and_corrected() {
    let rules = ["429:at=2,path=stats.get", "500:at=4,path=stats.get", "truncate:at=6,path=stats.get"];
    for days_asked in [1_i64, 29, 30, 31, 60, 61] {
        let running = company(30, &rules).await;
        let now = running.server.now() + 5 * 3600;
        running.server.set_now(now).unwrap();
        let today = now.div_euclid(86_400);
        let from = company::text::rfc3339((today - days_asked + 1) * 86_400);
        let mut world = World::at(&company::text::rfc3339(now));
        let source = counted(&world, &running.url(), &from[..10]);
        let spec = spec(&source, "statistics");
        let mut landing = Landing::default();
        landing.run(&source, &world.ctx, "statistics").await.unwrap();
        // What was read last of a day is what counts.
        let told = |landing: &Landing, now: i64, to: i64| {
            let begins = landing.column(&spec, "period_from").into_iter().map(|b| b.parse::<i64>().unwrap());
            let current: BTreeMap<i64, String> = begins.zip(landing.column(&spec, "visitors")).collect();
            let days: Vec<i64> = current.keys().map(|begin| begin / 86_400).collect();
            assert_eq!(days, Vec::from_iter(today - days_asked + 1..=to), "{days_asked} days");
            for (begin, visitors) in current {
                let truth = company::vk::day(now, begin / 86_400)["visitors"].clone();
                assert_eq!(serde_json::from_str::<Value>(&visitors).unwrap(), truth, "{begin}");
            }
        };
        told(&landing, now, today);
        assert_eq!(landing.checkpoint.as_ref().unwrap().0.as_object().unwrap().len(), 1);
        // Two days later: what was not over is, and the new days are there.
        let later = now + 2 * 86_400;
        running.server.set_now(later).unwrap();
        world.later(&company::text::rfc3339(later));
        landing.run(&source, &world.ctx, "statistics").await.unwrap();
        told(&landing, later, today + 2);
    }
    // A community's token is not enough, and the error says whose is.
    let running = company(30, &[]).await;
    let world = World::at(&company::text::rfc3339(running.server.now()));
    let options = json!({"user_token": {"$secret": TOKEN}, "statistics_from": "2026-08-01", "group_id": GROUP,
        "base_url": running.url()});
    let error = world.build(&VkConnector, options).check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
}

fn event_ids(source: &DynSource, landing: &Landing) -> Vec<String> {
    landing.column(&spec(source, "events"), "event_id")
}

/// Day by day, over keys that end, with all faults on: every event since the first question, each once; and with the
/// history every message of all time.
#[tokio::test]
async fn the_companys_events_by_long_poll() {
    let rules = [
        "502:every=5,path=/vk-long-poll/",
        "cut:every=7,percent=50,path=/vk-long-poll/",
        "truncate:every=11,percent=50,path=/vk-long-poll/",
        "429:every=6,path=/method/",
    ];
    let running = company(1500, &rules).await;
    let server = running.server.clone();
    let (from, to) = (server.company.cfg.start_at(), server.company.cfg.end_at());
    let first = from + (to - from) / 3;
    let mut world = World::at(&company::text::rfc3339(first));
    let source = polled(&world, &running.url());
    let mut landing = Landing::default();
    for turn in 0..=20 {
        let now = first + (to - first) * turn / 20;
        server.set_now(now).unwrap();
        world.later(&company::text::rfc3339(now));
        let breaks =
            Break { after_checkpoints: (turn % 4 == 1).then_some(1), never_committed: turn % 3 == 0 };
        landing.run_until(&source, &world.ctx, "events", breaks).await.unwrap();
    }
    let truth = server.vk.truth(&server.company, to);
    let events = |messages: &[Value]| -> Vec<String> {
        messages.iter().map(|m| company::vk::event(m)["event_id"].as_str().unwrap().to_owned()).collect()
    };
    let before = server.vk.truth(&server.company, first).len();
    assert!(truth.len() - before > 300, "{}", truth.len() - before);
    assert_eq!(event_ids(&source, &landing), events(&truth[before..]));
    assert!(landing.notices.is_empty(), "{:?}", landing.notices);
    let mut history = Landing::default();
    history.run(&source, &world.ctx, "messages").await.unwrap();
    let landed = HashMap::from([("events".to_owned(), landing), ("messages".to_owned(), history)]);
    let rows = map(&source, &landed).await.remove("messages").unwrap();
    let keys: BTreeSet<&str> = rows.iter().map(|r| r["message_id"].as_str().unwrap()).collect();
    assert_eq!(
        (keys.len(), rows.len()),
        (truth.len(), truth.len() + truth.len() - before),
        "told twice, one key"
    );
}

#[tokio::test]
async fn failed_answers_of_long_poll() {
    // What the server answers to each question, and the `ts` and key it must be asked with.
    let session =
        |key: &str, ts: Value, url: &str| good(&json!({"key": key, "server": format!("{url}/lp"), "ts": ts}));
    let event = |n: u32| {
        json!({"type": "message_allow", "event_id": format!("e{n}"), "group_id": GROUP, "v": "5.199",
        "object": {"user_id": n}})
    };
    let answers = [
        json!({"ts": 11, "updates": [event(1)]}),
        json!({"failed": 2}),
        json!({"ts": "12", "updates": [event(2)]}),
        json!({"failed": 1, "ts": 300}),
        json!({"ts": "301", "updates": [event(3)]}),
        json!({"failed": 3}),
        json!({"ts": "7", "updates": []}),
    ];
    let state = Arc::new(Mutex::new((0_usize, 0_usize)));
    let address = Arc::new(Mutex::new(String::new()));
    let (shared_state, url) = (state.clone(), address.clone());
    let server = Server::start(move |asked| {
        let mut state = shared_state.lock().unwrap();
        if asked.path.ends_with("getLongPollServer") {
            state.0 += 1;
            let ts = if state.0 == 1 { json!("10") } else { json!(7) };
            return session(&format!("k{}", state.0), ts, &url.lock().unwrap());
        }
        state.1 += 1;
        Reply::json(&answers[state.1 - 1])
    })
    .await;
    *address.lock().unwrap() = server.url.clone();
    let world = World::at(NOW);
    let source = polled(&world, &server.url);
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "events").await.unwrap();
    assert_eq!(event_ids(&source, &landing), ["e1", "e2", "e3"]);
    let told: Vec<&str> = landing.notices.iter().map(|n| n.code.as_str()).collect();
    assert_eq!(told, ["events_may_be_lost"; 2]);
    let asked: Vec<String> = server
        .asked()
        .iter()
        .filter(|a| a.path == "/lp")
        .map(|a| {
            assert_eq!((a.param("act"), a.param("wait")), (Some("a_check"), Some("1")));
            format!("{} {}", a.param("key").unwrap(), a.param("ts").unwrap())
        })
        .collect();
    assert_eq!(asked, ["k1 10", "k1 11", "k2 11", "k2 12", "k2 300", "k2 301", "k3 7"]);
    // The next run goes on from there; whoever is only refused is told so.
    let refusing = Server::start(|asked| match asked.path.as_str() {
        "/lp" => Reply::json(&json!({"failed": 2})),
        _ => Reply::json(&json!({"response": {"key": "k", "server": "nowhere.invalid", "ts": 1}})),
    })
    .await;
    let source = polled(&world, &refusing.url);
    assert!(landing.run(&source, &world.ctx, "events").await.is_err());
    assert_eq!(world.notes.get("vk_long_poll_ts").await.unwrap(), Some(json!("7")));
}

/// A crash between the inbox and the note: the same events come again, and are taken once.
#[tokio::test]
async fn events_that_come_again_after_a_crash() {
    let running = company(900, &[]).await;
    let server = running.server.clone();
    let (from, to) = (server.company.cfg.start_at(), server.company.cfg.end_at());
    server.set_now(from).unwrap();
    let mut world = World::at(&company::text::rfc3339(from));
    let source = polled(&world, &running.url());
    let mut landing = Landing::default();
    landing.run(&source, &world.ctx, "events").await.unwrap();
    let note = world.notes.get("vk_long_poll_ts").await.unwrap();
    // As many as come in one answer.
    let soon = server.vk.truth(&server.company, to)[40]["date"].as_i64().unwrap();
    server.set_now(soon).unwrap();
    world.later(&company::text::rfc3339(server.now()));
    landing.run(&source, &world.ctx, "events").await.unwrap();
    world.notes.put("vk_long_poll_ts", note).await.unwrap();
    landing.run(&source, &world.ctx, "events").await.unwrap();
    let ids = event_ids(&source, &landing);
    assert!((40..50).contains(&ids.len()));
    assert_eq!(ids.len(), server.vk.truth(&server.company, soon).len());
}
