//! The behaviour suite on messengers: APIs of chats, exported chats, and inboxes that receivers fill.

use company::{Company, Config, Server as CompanyServer};
use serde_json::json;

use crate::behaviour::{built_in, passes};
use crate::harness::{NOW, secret};
use crate::webhooks::{VENDORS, connector, options as inbox_options, record};

#[tokio::test]
async fn comagic_data() {
    let cfg = Config { seed: 7, visits: 300, ..Config::default() };
    let options = company::Options { now: Some(NOW), ..company::Options::default() };
    let company = CompanyServer::new(Company::new(cfg), options).start().await.unwrap();
    let connector = Box::leak(Box::new(throughline_connectors::comagic_data::connector()));
    let options = json!({"access_token": secret(company::comagic::TOKEN), "start_on": "2026-07-01", "base_url": company.url()});
    let day = 86_400_000_000;
    let suite = built_in(connector, options, NOW).window(NOW * 1_000_000 - 60 * day, NOW * 1_000_000);
    let report = suite.streams(["chats", "messages", "sessions", "employees", "channels"]).run().await;
    passes(
        &report,
        &[
            "connection",
            "rows",
            "repeatable",
            "counts",
            "cancel",
            "cancel_request",
            "http_errors",
            "http_rubbish",
        ],
    );
}

#[tokio::test]
async fn vk() {
    let cfg = Config { seed: 7, visits: 300, ..Config::default() };
    let options = company::Options { now: Some(NOW), ..company::Options::default() };
    let company = CompanyServer::new(Company::new(cfg), options).start().await.unwrap();
    let connector = Box::leak(Box::new(throughline_connectors::vk::VkConnector));
    let options = json!({"token": secret(company::vk::TOKEN), "group_id": company::vk::GROUP_ID, "base_url": company.url(),
        "user_token": secret(company::vk::USER_TOKEN), "statistics_from": "2026-05-01"});
    let suite = built_in(connector, options.clone(), NOW);
    let report = suite.streams(["messages", "conversations", "users"]).run().await;
    passes(
        &report,
        &["connection", "rows", "counts", "cancel", "cancel_request", "http_errors", "http_rubbish"],
    );
    let report = built_in(connector, options, NOW).streams(["statistics"]).run().await;
    passes(
        &report,
        &["rows", "resumable", "incremental", "cancel", "cancel_request", "http_errors", "http_rubbish"],
    );
}

#[tokio::test]
async fn telegram() {
    let folder = tempfile::tempdir().unwrap();
    let cfg = Config { seed: 7, visits: 900, ..Config::default() };
    let kept = company::telegram::Options { kept_s: i64::MAX / 2 };
    let options = company::Options { now: Some(NOW), telegram: kept, ..company::Options::default() };
    let company = CompanyServer::new(Company::new(cfg), options).start().await.unwrap();
    let connector = Box::leak(Box::new(throughline_connectors::telegram::TelegramConnector));
    let inbox = folder.path().join("*.jsonl").display().to_string();
    let options = json!({"token": secret(company::telegram::TOKEN), "account": "700000001", "inbox": inbox,
        "base_url": company.url()});
    let report = built_in(connector, options, NOW).run().await;
    passes(
        &report,
        &["connection", "rows", "repeatable", "incremental", "cancel_request", "http_errors", "http_rubbish"],
    );
}

#[tokio::test]
async fn telegram_export() {
    let folder = tempfile::tempdir().unwrap();
    for (n, sample) in crate::telegram_export::SAMPLES.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{n}.json")), sample).unwrap();
    }
    let connector = Box::leak(Box::new(throughline_connectors::telegram_export::TelegramExportConnector));
    let path = folder.path().join("*.json").display().to_string();
    let options = json!({"path": path, "account": "5", "time_zone": "Europe/Moscow"});
    let report = built_in(connector, options, NOW).run().await;
    passes(&report, &["options", "connection", "rows", "resumable", "incremental"]);
}

/// Chats that phones exported, and deliveries that a receiver wrote: nothing is asked, files are what there is.
#[tokio::test]
async fn chats_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let files = crate::whatsapp_export::SAMPLES.iter().enumerate();
    files.for_each(|(i, text)| std::fs::write(folder.path().join(format!("{i}.txt")), text).unwrap());
    let connector = &throughline_connectors::whatsapp_export::WhatsappExportConnector;
    let operators = ["Студия Роза", "Studio Rose", "استوديو الورد"];
    let exported = json!({"path": folder.path().join("*.txt"), "operators": operators, "account": "55",
        "time_zone": "Europe/Moscow", "phone_region": "RU"});
    let report = built_in(connector, exported, NOW).run().await;
    passes(
        &report,
        &["options", "connection", "events", "rows", "resumable", "incremental", "dry_read", "cancel"],
    );

    let callbacks = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/comagic/samples/callbacks.jsonl"));
    for (i, line) in callbacks.lines().enumerate() {
        std::fs::write(folder.path().join(format!("inbox-{i}.jsonl")), format!("{line}\n")).unwrap();
    }
    let connector = Box::leak(crate::webhooks::connector("comagic"));
    let inbox = json!({"inbox": folder.path().join("inbox*")});
    let report = built_in(connector, inbox, NOW).run().await;
    // Fewer lines than a batch holds: there is nowhere to stop.
    passes(&report, &["options", "connection", "rows", "repeatable", "incremental", "dry_read", "cancel"]);

    for n in 0..3 {
        let line = crate::whatsapp::text(&format!("wamid.{n}"), "Добрый день");
        std::fs::write(folder.path().join(format!("cloud-{n}.jsonl")), line).unwrap();
    }
    let connector = &throughline_connectors::whatsapp::WhatsappConnector;
    let cloud = json!({"inbox": folder.path().join("cloud*")});
    let report = built_in(connector, cloud, NOW).streams(["messages", "contacts"]).run().await;
    passes(&report, &["options", "connection", "rows", "repeatable", "incremental", "dry_read", "cancel"]);
}

/// Deliveries of everybody else: they come by one way, each connector says what is one event.
#[tokio::test]
async fn every_inbox() {
    let folder = tempfile::tempdir().unwrap();
    for (n, vendor) in VENDORS.into_iter().filter(|vendor| *vendor != "comagic").enumerate() {
        // Each an event to all of them.
        let body = |n: u32| {
            let change = json!({"field": "feed", "value": {"n": n}});
            json!({"event": "subscribed", "event_id": format!("e{n}"), "update_id": n, "timestamp": n, "type": "group_join",
                "messages": [{"messageId": format!("m{n}")}], "entry": [{"id": "5", "time": n, "changes": [change]}]})
        };
        for file in 0..3 {
            let lines = [2 * file, 2 * file + 1].map(|n| record(&body(n).to_string(), &json!({})));
            std::fs::write(folder.path().join(format!("{n}-{file}.jsonl")), lines.concat()).unwrap();
        }
        let mut value = inbox_options(vendor);
        value["inbox"] = folder.path().join(format!("{n}-*")).display().to_string().into();
        let report = built_in(Box::leak(connector(vendor)), value, NOW).streams(["events"]).run().await;
        passes(
            &report,
            &["options", "connection", "rows", "repeatable", "incremental", "dry_read", "cancel"],
        );
    }
}

/// Events by Long Poll: what was asked for lies in an inbox, and comes by nothing else.
#[tokio::test]
async fn vk_long_poll() {
    let cfg = Config { seed: 7, visits: 300, ..Config::default() };
    let company = CompanyServer::new(Company::new(cfg), company::Options::default()).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let pulled = folder.path().join(format!("vk-{}-2026-08.jsonl", company::vk::GROUP_ID));
    let truth = company.server.vk.truth(&company.server.company, NOW);
    let lines = truth.iter().map(|m| record(&company::vk::event(m).to_string(), &json!({})));
    std::fs::write(&pulled, lines.collect::<String>()).unwrap();
    let options = json!({"token": secret(company::vk::TOKEN), "group_id": company::vk::GROUP_ID, "long_poll": true,
        "base_url": company.url(), "inbox": folder.path().join("*.jsonl")});
    let connector = &throughline_connectors::vk::VkConnector;
    let report = built_in(connector, options, NOW).streams(["events"]).run().await;
    let checks =
        ["connection", "rows", "repeatable", "incremental", "cancel_request", "http_errors", "http_rubbish"];
    passes(&report, &checks);
}
