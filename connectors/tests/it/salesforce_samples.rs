//! Documented answers of Salesforce through the connector.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throughline_core::ErrorKind;

use crate::fixture::Reply;
use crate::harness::secret;
use crate::salesforce_mapping::{build, object, serve};

/// Where they are at hand.
#[tokio::test]
async fn documented_answers_become_rows() {
    let Some(folder) = crate::support::shared("api/crm/samples/salesforce") else { return };
    let read = move |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let (org, turn) = ("00Dx0000000BV7z", Arc::new(Mutex::new(0)));
    let names = [
        "auth_success_response.json",
        "refresh_success_response.json",
        "expired_session_response.json",
        "query_paginated_first_page_response.json",
        "query_paginated_last_page_response.json",
        "query_success_response.json",
        "query_empty_response.json",
        "query_error_response.json",
        "sobject_describe_error_response.json",
        "auth_error_response.json",
        "org_query_response.json",
    ];
    let all: HashMap<&str, String> = names.into_iter().map(|n| (n, read(n))).collect();
    let turns = turn.clone();
    let server = serve(move |asked, base| {
        let sample = |name: &str| Reply::text(200, &all[name].replace("https://na1.salesforce.com", base));
        let soql = asked.param("q").unwrap_or_default().to_owned();
        let mut turn = turns.lock().unwrap();
        match asked.path.as_str() {
            "/services/oauth2/token" if asked.body.contains("wrong") => {
                Reply::text(400, &all["auth_error_response.json"])
            }
            "/services/oauth2/token" => sample("auth_success_response.json"),
            path if path.ends_with("/Nowhere/describe") => {
                Reply::text(404, &all["sobject_describe_error_response.json"])
            }
            path if path.ends_with("/describe") => {
                *turn += 1;
                // The session has ended since.
                if *turn == 1 {
                    return Reply::text(401, &all["expired_session_response.json"]);
                }
                let field = |name: &str| json!({"name": name, "type": "string", "filterable": true});
                Reply::json(&json!({"fields": [field("Id"), field("Text_Label"), field("SystemModstamp")]}))
            }
            "/services/data/v26.0/query/01gD" => sample("query_paginated_last_page_response.json"),
            _ if object(&soql) == "Pages" => sample("query_paginated_first_page_response.json"),
            _ if object(&soql) == "One" => sample("query_success_response.json"),
            _ if object(&soql) == "Empty" => sample("query_empty_response.json"),
            _ if object(&soql) == "Organization" => sample("org_query_response.json"),
            _ => Reply::text(400, &all["query_error_response.json"]),
        }
    })
    .await;
    let options = json!({"org_id": org, "client_id": "c", "client_secret": secret("s"), "login_url": server.url,
        "objects": ["Pages", "One", "Empty", "Bad", "Nowhere"]});
    let (world, source) = (crate::harness::World::new(), build(options.clone()));
    for (stream, count) in [("Pages", 2), ("One", 1), ("Empty", 0), ("organization", 1)] {
        let got = crate::harness::read(&world, &source, crate::harness::request(stream, None)).await.ok();
        assert_eq!((got.rows.len(), got.rejects.len()), (count, 0), "{stream}");
        assert_eq!((got.counts[0].expected, got.counts[0].read), (count as u64, count as u64), "{stream}");
        if stream == "One" {
            // Unknown members are kept, nested ones byte for byte.
            assert_eq!(got.rows[0]["Picklist_Multiselect_Label"], "four;six");
            let parent: Value = serde_json::from_str(&got.rows[0]["ParentWhizbang__r"]).unwrap();
            assert_eq!(parent["Name"], "Parent Whizbang");
        }
    }
    let asked: Vec<String> = server.asked().into_iter().map(|a| a.path).collect();
    assert_eq!(asked.iter().filter(|p| *p == "/services/oauth2/token").count(), 2, "{asked:?}");
    for (stream, kind, said) in [
        ("Bad", ErrorKind::Config, "INVALID_FIELD: error_message"),
        ("Nowhere", ErrorKind::NotFound, "NOT_FOUND"),
    ] {
        let error =
            crate::harness::read(&world, &source, crate::harness::request(stream, None)).await.error.unwrap();
        assert!(error.kind() == kind && error.to_string().contains(said), "{error:?}");
    }
    let mut wrong = options;
    wrong["client_secret"] = secret("wrong");
    let error = build(wrong).check(&crate::harness::World::new().ctx).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Auth && error.to_string().contains("Invalid Password"), "{error:?}");
}
