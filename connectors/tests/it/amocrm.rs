//! The amoCRM connector against a small amoCRM, while its leads move.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throughline_core::{DynSource, ErrorKind, Options, SourceConnector};

use crate::fixture::{Asked, Reply, Server};
use crate::harness::{NOW, World, latest, read, request, resumes_anywhere, secret, window};

/// id to (updated_at, version).
pub type Leads = Arc<Mutex<BTreeMap<i64, (i64, u32)>>>;

/// A list the way amoCRM gives it: filter, order, pages, 204 when nothing is found.
pub fn leads_page(leads: &Leads, asked: &Asked, at_most: usize) -> Reply {
    let leads = leads.lock().unwrap();
    let from = asked.int("filter[updated_at][from]").unwrap_or(i64::MIN);
    let to = asked.int("filter[updated_at][to]").unwrap_or(i64::MAX);
    let mut found: Vec<(i64, i64, u32)> = leads
        .iter()
        .filter(|(_, (at, _))| (from..=to).contains(at))
        .map(|(id, (at, version))| (*at, *id, *version))
        .collect();
    if asked.param("order[updated_at]") == Some("asc") {
        found.sort_unstable();
    } else {
        found.sort_by_key(|(_, id, _)| *id);
    }
    let limit = usize::try_from(asked.int("limit").unwrap()).unwrap().min(at_most);
    let page = usize::try_from(asked.int("page").unwrap()).unwrap();
    let shown: Vec<Value> = found
        .iter()
        .skip((page - 1) * limit)
        .take(limit)
        .map(|(at, id, version)| {
            json!({"id": id, "name": format!("Сделка {id}"), "price": id * 10, "updated_at": at, "created_at": at,
                   "closed_at": null, "status_id": 142, "version": version, "custom_fields_values": null,
                   "_embedded": {"tags": [], "contacts": [{"id": id + 1, "is_main": true}]}})
        })
        .collect();
    if shown.is_empty() {
        return Reply::text(204, "");
    }
    let mut links = json!({"self": {"href": "x"}});
    if page * limit < found.len() {
        links["next"] = json!({"href": "https://shop.amocrm.ru/api/v4/leads?page=2"});
    }
    Reply::json(&json!({"_page": page, "_links": links, "_embedded": {"leads": shown}}))
}

pub fn leads(count: i64, at: impl Fn(i64) -> i64) -> Leads {
    Arc::new(Mutex::new((1..=count).map(|id| (id, (at(id), 0))).collect()))
}

pub fn amocrm(url: &str, more: Value) -> DynSource {
    let mut value = json!({"subdomain": "shop", "token": secret("long-lived"), "base_url": url});
    for (key, option) in more.as_object().unwrap() {
        value[key] = option.clone();
    }
    let options = Options { name: "crm".into(), value, base_dir: ".".into() };
    throughline_connectors::amocrm::connector().build(&options).unwrap()
}

/// Around the 250 of a page, and the empty answer (204) behind a full one.
#[tokio::test]
async fn every_lead_comes_whatever_their_number() {
    for count in [0, 1, 249, 250, 251, 499, 500, 501] {
        let all = leads(count, |id| NOW - 100_000 + id / 3);
        let server = Server::start(move |asked| leads_page(&all, asked, 250)).await;
        let got = read(&World::new(), &amocrm(&server.url, json!({})), request("leads", None)).await.ok();
        assert_eq!(got.latest("id").len(), usize::try_from(count).unwrap());
        assert_eq!(got.rejects, [], "{count}");
    }
}

#[tokio::test]
async fn every_lead_comes_and_every_checkpoint_resumes() {
    let leads = leads(1000, |id| NOW - 100_000 + id / 3);
    let server = Server::start(move |asked| {
        assert_eq!(asked.header("authorization"), Some("Bearer long-lived"));
        leads_page(&leads, asked, 100)
    })
    .await;
    let world = World::new();
    let got = resumes_anywhere(&world, &amocrm(&server.url, json!({})), "leads", "id").await;
    assert_eq!(got.latest("id").len(), 1000);
    assert!(got.notices.is_empty(), "{:?}", got.notices);
    // A lead or two of the second at each page's end come twice, no more.
    assert!(got.rows.len() < 1030, "{}", got.rows.len());
    // Pages never get deep.
    assert!(server.asked().iter().all(|a| a.param("page") == Some("1")));
}

#[tokio::test]
async fn a_later_run_reads_what_changed() {
    let all = leads(600, |id| NOW - 100_000 + id);
    let shared = all.clone();
    let server = Server::start(move |asked| leads_page(&shared, asked, 250)).await;
    let (world, source) = (World::new(), amocrm(&server.url, json!({})));
    let first = read(&world, &source, request("leads", None)).await.ok();
    assert_eq!(first.latest("id").len(), 600);
    world.pass(3600).await;
    all.lock().unwrap().insert(7, (world.now() - 600, 1));
    all.lock().unwrap().insert(601, (world.now() - 10, 0)); // too young: behind the lag
    let before = server.asked().len();
    let second = read(&world, &source, request("leads", first.checkpoint())).await.ok();
    assert_eq!(second.rows.len(), 1);
    assert_eq!(second.rows[0]["version"], "1");
    assert_eq!(server.asked().len(), before + 1);
    world.pass(60).await;
    let third = read(&world, &source, request("leads", second.checkpoint())).await.ok();
    assert_eq!(third.latest("id").keys().collect::<Vec<_>>(), ["601"]);
    // Nothing new: a 204, which is success.
    world.pass(3600).await;
    let fourth = read(&world, &source, request("leads", third.checkpoint())).await.ok();
    assert_eq!(fourth.rows.len(), 1, "the overlap");
    world.pass(3600).await;
    let fifth = read(&world, &source, request("leads", fourth.checkpoint())).await.ok();
    assert_eq!((fifth.rows.len(), fifth.rejects.len()), (0, 0));
}

/// Leads change while pages are turned: whoever numbers pages would lose one for each.
async fn nothing_is_lost_while_leads_move(all: Leads, count: usize, touches: usize) {
    let (shared, turn) = (all.clone(), Arc::new(Mutex::new(0_i64)));
    let turns = turn.clone();
    let world = World::new();
    let now = world.clock.clone();
    let server = Server::start(move |asked| {
        let reply = leads_page(&shared, asked, 50);
        // Behind the answer, some leads, mostly of those already read, jump to the end.
        let mut turn = turn.lock().unwrap();
        let mut leads = shared.lock().unwrap();
        for _ in 0..touches {
            *turn += 1;
            let id = *turn * 7 % 200 + 1;
            if *turn < 300 {
                let lead = leads.get_mut(&id).unwrap();
                *lead = (throughline_core::Clock::now_us(&*now) / 1_000_000, lead.1 + 1);
            }
        }
        reply
    })
    .await;
    let source = amocrm(&server.url, json!({}));
    let first = read(&world, &source, request("leads", None)).await.ok();
    // Now they stand still.
    *turns.lock().unwrap() = 1000;
    world.pass(120).await;
    let second = read(&world, &source, request("leads", first.checkpoint())).await.ok();
    let mut rows = first.rows;
    rows.extend(second.rows);
    let found = latest(&rows, "id");
    assert_eq!(found.len(), count);
    for (id, (_, version)) in &*all.lock().unwrap() {
        assert_eq!(found[&id.to_string()]["version"], version.to_string(), "lead {id}");
    }
}

#[tokio::test]
async fn moving_leads_push_nothing_out_of_sight() {
    nothing_is_lost_while_leads_move(leads(500, |id| NOW - 100_000 + id), 500, 3).await;
}

#[tokio::test]
async fn moving_leads_of_one_second_push_nothing_out_of_sight() {
    // An import: more leads of one second than many pages hold.
    nothing_is_lost_while_leads_move(leads(500, |_| NOW - 100_000), 500, 2).await;
}

#[tokio::test]
async fn a_vendor_that_ignores_the_order_is_noticed() {
    let all = leads(300, |id| NOW - 100_000 + (id * 37 % 300));
    let server = Server::start(move |asked| {
        let mut asked = asked.clone();
        asked.query.retain(|(name, _)| !name.starts_with("order"));
        leads_page(&all, &asked, 50)
    })
    .await;
    let world = World::new();
    let got = read(&world, &amocrm(&server.url, json!({})), request("leads", None)).await.ok();
    assert!(got.has("order_not_kept"), "{:?}", got.notices);
    assert_eq!(got.latest("id").len(), 300);
}

#[tokio::test]
async fn windows_and_dry_runs_are_kept() {
    let all = leads(1000, |id| NOW - 100_000 + id);
    let server = Server::start(move |asked| leads_page(&all, asked, 100)).await;
    let (world, source) = (World::new(), amocrm(&server.url, json!({})));
    let mut preview = request("leads", None);
    preview.max_pages = Some(1);
    let got = read(&world, &source, preview).await.ok();
    assert_eq!((got.rows.len(), server.asked().len()), (100, 1));
    let got = read(&world, &source, window("leads", NOW - 100_000 + 10, NOW - 100_000 + 20)).await.ok();
    let ids: Vec<i64> = got.rows.iter().map(|r| r["id"].parse().unwrap()).collect();
    assert_eq!(ids, (10..20).collect::<Vec<_>>());
    let error = read(&world, &source, window("users", 0, 1)).await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let started = amocrm(&server.url, json!({"start_on": "2026-08-30"}));
    read(&world, &started, request("leads", None)).await.ok();
    assert_eq!(server.asked().last().unwrap().param("filter[updated_at][from]").unwrap().len(), 10);
}

#[tokio::test]
async fn too_many_requests_are_waited_for_and_a_block_stops_the_account() {
    let (all, turn) = (leads(300, |id| NOW - 100_000 + id), Mutex::new(0));
    let server = Server::start(move |asked| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        if *turn % 2 == 0 {
            return Reply::text(429, "<html>slow down</html>").header("retry-after", "7");
        }
        leads_page(&all, asked, 100)
    })
    .await;
    let world = World::new();
    let got = read(&world, &amocrm(&server.url, json!({})), request("leads", None)).await.ok();
    assert_eq!(got.latest("id").len(), 300);
    assert!(world.now() - NOW >= 14, "waited {} s", world.now() - NOW);

    let turn = Mutex::new(0);
    let server = Server::start(move |_| {
        *turn.lock().unwrap() += 1;
        if *turn.lock().unwrap() == 1 {
            Reply::text(429, "")
        } else {
            Reply::text(403, "{\"detail\":\"no\"}")
        }
    })
    .await;
    let (world, source) = (World::new(), amocrm(&server.url, json!({})));
    let error = read(&world, &source, request("leads", None)).await.error.unwrap();
    assert!(error.to_string().contains("blocked"), "{error}");
    assert_eq!(server.asked().len(), 2);
    // Other streams of the account do not knock again.
    let error = read(&world, &source, request("contacts", None)).await.error.unwrap();
    assert!(error.to_string().contains("blocked"), "{error}");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_cut_page_is_asked_for_again_and_never_taken() {
    let (all, turn) = (leads(300, |id| NOW - 100_000 + id), Mutex::new(0));
    let server = Server::start(move |asked| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        let reply = leads_page(&all, asked, 100);
        if *turn % 2 == 0 { reply.cut(500) } else { reply }
    })
    .await;
    let world = World::new();
    let got = read(&world, &amocrm(&server.url, json!({})), request("leads", None)).await.ok();
    assert_eq!(got.latest("id").len(), 300);

    let server = Server::start(|_| Reply::text(200, r#"{"_embedded":{"leads":[{"id":1},{"id":2"#)).await;
    let got = read(&world, &amocrm(&server.url, json!({})), request("leads", None)).await;
    let error = got.error.unwrap();
    assert_eq!((error.kind(), got.rows.len()), (ErrorKind::Protocol, 0));
    assert!(error.to_string().contains("page 1") && error.to_string().contains("cut off"), "{error}");
}

#[tokio::test]
async fn the_check_tells_the_account_and_bad_credentials() {
    let server = Server::start(|asked| match asked.header("authorization") {
        Some("Bearer long-lived") => Reply::json(&json!({"id": 1, "name": "Студия", "currency": "RUB"})),
        _ => Reply::text(401, r#"{"title":"Unauthorized","status":401,"detail":"bad token"}"#),
    })
    .await;
    let world = World::new();
    let report = amocrm(&server.url, json!({})).check(&world.ctx).await.unwrap();
    assert!(report.facts.contains(&("currency".into(), "RUB".into())), "{report:?}");
    let wrong = amocrm(&server.url, json!({"token": secret("wrong")}));
    let error = wrong.check(&world.ctx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(!error.to_string().contains("wrong"), "{error}");
}

#[test]
fn options_are_checked_with_their_places() {
    let options = Options {
        name: "crm".into(),
        value: json!({"subdoman": "shop", "token": "in clear", "phone_region": 7, "domain": "amocrm.org"}),
        base_dir: ".".into(),
    };
    let errors = throughline_connectors::amocrm::connector().build(&options).err().unwrap();
    let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let expected = [
        "option /subdoman: unknown field `subdoman`",
        "never in clear",
        "option /phone_region: expected a text, found 7",
        "unknown variant `amocrm.org`",
        "missing field `subdomain`",
    ];
    for part in expected {
        assert!(text.iter().any(|t| t.contains(part)), "{part} is not in {text:#?}");
    }
    let nothing = Options { name: "crm".into(), value: json!({"subdomain": "shop"}), base_dir: ".".into() };
    let errors = throughline_connectors::amocrm::connector().build(&nothing).err().unwrap();
    assert!(errors[0].message().contains("give `token` or `client_id`"), "{errors:?}");
}
