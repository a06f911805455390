//! The example in Rust against a help desk on loopback, through the whole behaviour suite, in both places.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde::Deserialize;
use serde_json::json;
use throughline_behaviour::Suite;
use throughline_core::{Place, SourceConnector};

use crate::support::{connector, context, events, numbers, options, request, rust_plugin};

const TOKEN: &str = "tickets-secret-token";

#[derive(Clone)]
struct Desk {
    tickets: i64,
    asked: Arc<AtomicUsize>,
}

#[derive(Deserialize)]
struct Asked {
    from: i64,
    after: i64,
    limit: usize,
}

/// Four tickets a millisecond, so that pages end within one.
fn updated_ms(id: i64) -> i64 {
    id / 4
}

async fn answer(
    State(desk): State<Desk>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<serde_json::Value>, StatusCode> {
    desk.asked.fetch_add(1, Ordering::SeqCst);
    if headers.get("authorization").is_none_or(|h| h.as_bytes() != format!("Bearer {TOKEN}").as_bytes()) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let tickets: Vec<_> = (1..=desk.tickets)
        .filter(|id| (updated_ms(*id), *id) > (asked.from, asked.after))
        .take(asked.limit)
        .map(|id| json!({ "id": id, "updated_ms": updated_ms(id), "subject": format!("Вопрос {id}"), "phone": (id % 3 == 0).then_some("+79161234567") }))
        .collect();
    Ok(axum::Json(json!({ "total": desk.tickets, "tickets": tickets })))
}

/// Address of a help desk with so many tickets.
async fn desk(tickets: i64) -> (String, Desk) {
    let desk = Desk { tickets, asked: Arc::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().route("/tickets", get(answer)).with_state(desk.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (format!("http://{address}"), desk)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suite_of_built_in_connectors_passes() {
    for isolation in ["thread", "process"] {
        let (base_url, _) = desk(23).await;
        let connector: &'static dyn SourceConnector = Box::leak(Box::new(connector(&rust_plugin("tickets"))));
        let good = options(json!({
            "base_url": base_url, "token": { "$secret": TOKEN }, "page_size": 5, "isolation": isolation
        }));
        let report = Suite::of_connector(connector, &good, || Ok(context())).run().await;
        assert!(report.passed(), "{isolation}: {}", report.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ticket_comes_once_around_every_size_of_a_page() {
    for tickets in [0, 1, 4, 5, 6, 10, 11] {
        let (base_url, _) = desk(tickets).await;
        let value = json!({ "base_url": base_url, "token": { "$secret": TOKEN }, "page_size": 5 });
        let source =
            connector(&rust_plugin("tickets")).build(&options(value)).unwrap_or_else(|e| panic!("{e:?}"));
        let (events, error) = events(&source, &context(), request("tickets", None)).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(numbers(&events, "id"), (1..=tickets).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_an_error_without_it() {
    for isolation in ["thread", "process"] {
        let (base_url, _) = desk(3).await;
        let value = json!({
            "base_url": base_url, "token": { "$secret": "another-secret-token" }, "isolation": isolation
        });
        let source =
            connector(&rust_plugin("tickets")).build(&options(value)).unwrap_or_else(|e| panic!("{e:?}"));
        let error = source.check(&context()).await.unwrap_err().to_string();
        assert!(error.contains("401") && !error.contains("another-secret"), "{error}");
    }
}

#[test]
fn options_in_clear_and_out_of_range_are_pointed_at() {
    let connector = connector(&rust_plugin("tickets"));
    for (value, pointer) in [
        (json!({ "base_url": "http://x", "token": "in clear" }), "/token"),
        (json!({ "base_url": "http://x", "token": { "$secret": "t" }, "page_size": 0 }), "/page_size"),
        (json!({ "base_url": "http://x", "token": { "$secret": "t" }, "pages": 1 }), "/pages"),
    ] {
        let errors = connector.build(&options(value)).map(|_| ()).unwrap_err();
        assert!(
            matches!(errors[0].place(), Some(Place::Option { pointer: p, .. }) if p == pointer),
            "{errors:?}"
        );
    }
}
