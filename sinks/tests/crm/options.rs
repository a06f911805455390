//! What is wrong with the options is told whole, and in its place.

use serde_json::json;
use throughline_core::Place;

use crate::company_crm::{Crm, World, connector};

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_told_where_it_stands() {
    let world = World::bare(Crm::Amocrm).await;
    let places = |more| -> Vec<(String, String)> {
        let errors = match connector(Crm::Amocrm).build(&world.options(more)) {
            Ok(_) => Vec::new(),
            Err(errors) => errors,
        };
        let told = |e: &throughline_core::Error| match e.place() {
            Some(Place::Option { pointer, .. }) => (pointer.clone(), e.message().to_owned()),
            other => panic!("{other:?}"),
        };
        errors.iter().map(told).collect()
    };
    let found =
        places(json!({ "fields": { "chanel": "A", "page": "UTM_SOURCE", "source": "B", "medium": "B" } }));
    let at: Vec<&str> = found.iter().map(|(p, _)| p.as_str()).collect();
    assert_eq!(at, ["/fields/chanel", "/fields/page", "/fields/source"], "{found:?}");
    assert!(found[0].1.contains("unknown field `chanel`") && found[1].1.contains("come back as evidence"));
    assert_eq!(places(json!({ "fields": {} }))[0].0, "/fields");
    assert_eq!(places(json!({ "start_on": "2026-01-01" }))[0].0, "/start_on");
    assert_eq!(places(json!({ "table": "mine", "model": "linear" }))[0].0, "/model");
    assert!(places(json!({ "table": "mine", "fields": { "anything": "X" } })).is_empty());
    let found = places(json!({ "subdomain": 5, "fields": { "page": { "field": "X", "cler": true } } }));
    assert!(found.len() >= 2, "{found:?}");
    let shown = connector(Crm::Amocrm).schema().to_string();
    assert!(shown.contains("\"subdomain\"") && !shown.contains("start_on"), "{shown}");
    world.running.stop().await.unwrap();
}
