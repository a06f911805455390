//! Rotation of refresh tokens: one refresher, durable before use, once on a refusal.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throughline_core::ErrorKind;

use crate::amocrm::{amocrm, leads, leads_page};
use crate::fixture::{Asked, Reply, Server};
use crate::harness::{NOW, World, read, request, secret};

struct Vendor {
    /// The refresh token that is good now.
    refresh: String,
    access: String,
    issued: u32,
    refused: HashSet<String>,
}

impl Vendor {
    fn token(&mut self, asked: &Asked, log: &Mutex<Vec<String>>) -> Reply {
        let body = asked.json();
        let good = match body["grant_type"].as_str().unwrap() {
            "authorization_code" => body["code"] == "code-1" && self.issued == 0,
            "refresh_token" => body["refresh_token"] == self.refresh,
            other => panic!("{other}"),
        };
        if !good || body["client_secret"] != "hush" || body["redirect_uri"] != "https://x.example" {
            return Reply::text(400, r#"{"hint":"Token has been revoked","title":"Bad Request"}"#);
        }
        self.issued += 1;
        self.access = format!("access-{}", self.issued);
        self.refresh = format!("refresh-{}", self.issued);
        log.lock().unwrap().push(format!("issue {}", self.access));
        Reply::json(&json!({"token_type": "Bearer", "expires_in": 86400, "access_token": self.access,
                            "refresh_token": self.refresh}))
    }
}

fn vendor() -> Arc<Mutex<Vendor>> {
    let vendor =
        Vendor { refresh: "refresh-0".into(), access: String::new(), issued: 0, refused: HashSet::new() };
    Arc::new(Mutex::new(vendor))
}

async fn server(vendor: Arc<Mutex<Vendor>>, log: Arc<Mutex<Vec<String>>>) -> Server {
    let all = leads(600, |id| NOW - 100_000 + id);
    Server::start(move |asked| {
        let mut vendor = vendor.lock().unwrap();
        if asked.path == "/oauth2/access_token" {
            return vendor.token(asked, &log);
        }
        let given = asked.header("authorization").unwrap_or_default().replace("Bearer ", "");
        if given != vendor.access || vendor.refused.contains(&given) {
            return Reply::text(401, r#"{"detail":"expired"}"#);
        }
        log.lock().unwrap().push(format!("use {given}"));
        leads_page(&all, asked, 100)
    })
    .await
}

fn oauth(more: Value) -> Value {
    let mut options = json!({"token": null, "client_id": "app", "client_secret": secret("hush"),
                             "redirect_uri": "https://x.example"});
    for (key, value) in more.as_object().unwrap() {
        options[key] = value.clone();
    }
    options
}

fn source(url: &str, more: Value) -> throughline_core::DynSource {
    let mut value = oauth(more);
    value.as_object_mut().unwrap().remove("token");
    value["subdomain"] = "shop".into();
    value["base_url"] = url.into();
    let options = throughline_core::Options { name: "crm".into(), value, base_dir: ".".into() };
    throughline_core::SourceConnector::build(&throughline_connectors::amocrm::connector(), &options).unwrap()
}

#[tokio::test]
async fn a_code_buys_the_first_pair_and_it_is_durable_before_use() {
    let (world, vendor) = (World::new(), vendor());
    let server = server(vendor.clone(), world.memory.log.clone()).await;
    let source = source(&server.url, json!({"code": secret("code-1")}));
    let got = read(&world, &source, request("leads", None)).await.ok();
    assert_eq!(got.latest("id").len(), 600);
    let log = world.memory.log.lock().unwrap().clone();
    assert_eq!(log[..3], ["issue access-1", "save access-1", "use access-1"]);
    assert_eq!(log.iter().filter(|l| l.starts_with("issue")).count(), 1);
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_is_renewed_once() {
    let (world, vendor) = (World::new(), vendor());
    let inner = server(vendor.clone(), world.memory.log.clone()).await;
    let source = source(&inner.url, json!({"refresh_token": secret("refresh-0")}));
    let first = read(&world, &source, {
        let mut two = request("leads", None);
        two.max_pages = Some(2);
        two
    })
    .await
    .ok();
    // Revoked before its time.
    vendor.lock().unwrap().refused.insert("access-1".into());
    let rest = read(&world, &source, request("leads", first.checkpoint())).await.ok();
    let mut rows = first.rows;
    rows.extend(rest.rows);
    assert_eq!(crate::harness::latest(&rows, "id").len(), 600);
    assert_eq!(vendor.lock().unwrap().issued, 2);
}

#[tokio::test]
async fn it_is_renewed_at_eighty_percent_of_its_life_also_by_another_process() {
    let (world, vendor) = (World::new(), vendor());
    let server = server(vendor.clone(), world.memory.log.clone()).await;
    let options = json!({"refresh_token": secret("refresh-0")});
    read(&world, &source(&server.url, options.clone()), request("leads", None)).await.ok();
    world.pass(86_400 * 79 / 100).await;
    // A new process with the same options: the stored pair, not the used-up option.
    read(&world, &source(&server.url, options.clone()), request("leads", None)).await.ok();
    assert_eq!(vendor.lock().unwrap().issued, 1);
    world.pass(86_400 * 2 / 100).await;
    read(&world, &source(&server.url, options), request("leads", None)).await.ok();
    assert_eq!(vendor.lock().unwrap().issued, 2);
}

/// The old pair is void as soon as the vendor has the request: the new one is saved, whoever is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_that_is_dropped_while_it_renews_loses_no_token() {
    let (world, vendor) = (World::new(), vendor());
    let (arrived, mut has_arrived) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let (log, released) = (world.memory.log.clone(), Mutex::new(released));
    let all = leads(10, |id| NOW - 100_000 + id);
    let server = Server::start({
        let vendor = vendor.clone();
        move |asked| {
            if asked.path == "/oauth2/access_token" {
                let reply = vendor.lock().unwrap().token(asked, &log);
                arrived.send(()).unwrap();
                let _ = released.lock().unwrap().recv_timeout(std::time::Duration::from_secs(30));
                return reply;
            }
            leads_page(&all, asked, 100)
        }
    })
    .await;
    let options = json!({"refresh_token": secret("refresh-0")});
    let mut events =
        source(&server.url, options.clone()).read(&world.ctx, request("leads", None)).await.unwrap();
    tokio::select! {
        event = futures::StreamExt::next(&mut events) => panic!("{event:?}"),
        () = async { has_arrived.recv().await.unwrap() } => {}
    }
    drop(events);
    release.send(()).unwrap();
    for _ in 0..1_000 {
        if world.memory.log.lock().unwrap().iter().any(|l| l == "save access-1") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // A new process goes on with it.
    let got = read(&world, &source(&server.url, options), request("leads", None)).await.ok();
    assert_eq!(got.latest("id").len(), 10);
    assert_eq!(vendor.lock().unwrap().issued, 1);
}

#[tokio::test]
async fn streams_side_by_side_renew_once() {
    let (world, vendor) = (World::new(), vendor());
    let server = server(vendor.clone(), world.memory.log.clone()).await;
    let source = source(&server.url, json!({"refresh_token": secret("refresh-0")}));
    let reads = (0..4).map(|_| read(&world, &source, request("leads", None)));
    for got in futures::future::join_all(reads).await {
        assert_eq!(got.ok().latest("id").len(), 600);
    }
    vendor.lock().unwrap().refused.insert("access-1".into());
    let reads = (0..4).map(|_| read(&world, &source, request("leads", None)));
    for got in futures::future::join_all(reads).await {
        got.ok();
    }
    assert_eq!(vendor.lock().unwrap().issued, 2);
}

#[tokio::test]
async fn a_new_token_that_is_refused_too_ends_it() {
    let (world, vendor) = (World::new(), vendor());
    vendor.lock().unwrap().refused.extend(["access-1".into(), "access-2".into()]);
    let server = server(vendor.clone(), world.memory.log.clone()).await;
    let source = source(&server.url, json!({"refresh_token": secret("refresh-0")}));
    let error = read(&world, &source, request("leads", None)).await.error.unwrap();
    assert_eq!((error.kind(), vendor.lock().unwrap().issued), (ErrorKind::Auth, 2));
}

#[tokio::test]
async fn a_used_up_refresh_token_says_what_to_do_and_a_new_one_helps() {
    let (world, vendor) = (World::new(), vendor());
    vendor.lock().unwrap().refresh = "another".into();
    let server = server(vendor.clone(), world.memory.log.clone()).await;
    let old = source(&server.url, json!({"refresh_token": secret("refresh-0")}));
    let error = read(&world, &old, request("leads", None)).await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::Auth);
    let text = format!("{error} {error:?}");
    assert!(text.contains("authorise again"), "{text}");
    assert!(!text.contains("hush") && !text.contains("refresh-0"), "{text}");
    let new = source(&server.url, json!({"refresh_token": secret("another")}));
    read(&world, &new, request("leads", None)).await.ok();
    // Written anew after a reinstall, it wins over the stored pair.
    vendor.lock().unwrap().refresh = "third".into();
    vendor.lock().unwrap().access = String::new();
    let newest = source(&server.url, json!({"refresh_token": secret("third")}));
    read(&world, &newest, request("leads", None)).await.ok();
    let _ = amocrm;
}
