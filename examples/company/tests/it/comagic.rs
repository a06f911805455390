//! CoMagic's Data API as a client sees it.

use company::comagic::TOKEN;
use serde_json::{Value, json};

use super::{post, rules, with};

async fn ask(c: &company::Running, method: &str, more: Value) -> Value {
    let mut params = json!({"access_token": TOKEN, "date_from": "2026-08-01 00:00:00", "date_till": "2026-08-28 00:00:00"});
    if ["get.employees", "get.chat_channels"].contains(&method) {
        params = json!({"access_token": TOKEN});
    }
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
    let got = post(&format!("{}/v2.0", c.url()), body.to_string()).await;
    assert_eq!(got.status, 200, "errors, too, come in a 200");
    let answer = got.json();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!(7)));
    answer
}

fn mnemonic(answer: &Value) -> &str {
    answer["error"]["data"]["mnemonic"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn what_a_client_gets_wrong_is_refused() {
    let c = with(100, |_, o| o.comagic.day_points = 3).await;
    for (method, more, says) in [
        ("get.chats_report", json!({"access_token": "x"}), "access_token_invalid"),
        ("get.nothing", json!({}), "method_not_found"),
        ("get.chats_report", json!({"fields": ["id", "rating"]}), "invalid_parameter_value"),
        ("get.chats_report", json!({"limit": 10_001}), "invalid_parameter_value"),
        ("get.chats_report", json!({"offset": 100_001}), "invalid_parameter_value"),
        ("get.chats_report", json!({"date_from": "2026-08-01"}), "invalid_date_time"),
        ("get.chats_report", json!({"date_from": "2026-04-01 00:00:00"}), "date_interval_limit_reached"),
        (
            "get.chat_messages_report",
            json!({"date_from": "2026-07-28 00:00:00"}),
            "date_interval_limit_reached",
        ),
        ("get.visitor_sessions_report", json!({"sort": [{"field": "date_time"}]}), "sort_prohibited"),
        ("get.chat_channels", json!({"date_from": "2026-08-01 00:00:00"}), "unexpected_parameters"),
    ] {
        assert_eq!(mnemonic(&ask(&c, method, more).await), says);
    }
    // Refusals cost nothing; good answers a point each.
    for left in [2, 1, 0] {
        let answer = ask(&c, "get.employees", json!({})).await;
        assert_eq!(answer["result"]["metadata"]["limits"]["day_remaining"], left);
    }
    let answer = ask(&c, "get.employees", json!({})).await;
    assert_eq!(
        (mnemonic(&answer), &answer["error"]["data"]["params"]["limit_type"]),
        ("limit_exceeded", &json!("day"))
    );
}

#[tokio::test]
async fn windows_count_both_ends_and_pages_are_whole() {
    let c = with(800, |_, _| {}).await;
    let all = ask(&c, "get.chat_messages_report", json!({"limit": 10_000})).await["result"].clone();
    let total = all["metadata"]["total_items"].as_u64().unwrap();
    assert!(total > 20 && all["data"].as_array().unwrap().len() as u64 == total);
    let mut paged = Vec::new();
    for offset in (0..total).step_by(7) {
        let page = ask(&c, "get.chat_messages_report", json!({"limit": 7, "offset": offset})).await;
        paged.extend(page["result"]["data"].as_array().unwrap().clone());
    }
    assert_eq!(json!(paged), all["data"]);
    let at = &all["data"][3]["date_time"];
    let one = ask(&c, "get.chat_messages_report", json!({"date_from": at, "date_till": at})).await;
    assert!(one["result"]["data"].as_array().unwrap().iter().any(|m| m == &all["data"][3]));
    c.server.faults.set(rules(&["leave_out:rows=2,path=get.chats_report"]));
    let short = ask(&c, "get.chats_report", json!({})).await["result"].clone();
    let told = short["metadata"]["total_items"].as_u64().unwrap();
    assert_eq!(short["data"].as_array().unwrap().len() as u64 + 2, told);
}

#[tokio::test]
async fn records_have_the_fields_of_the_documentation() {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/api/specs/comagic/dataapi-v2.0-fields.json");
    let Ok(spec) = std::fs::read(path) else {
        eprintln!("SKIPPED: {path} is not here");
        return;
    };
    let spec: Value = serde_json::from_slice(&spec).unwrap();
    let c = with(300, |_, _| {}).await;
    for method in
        ["get.chats_report", "get.chat_messages_report", "get.visitor_sessions_report", "get.chat_channels"]
    {
        let answer = ask(&c, method, json!({"limit": 1})).await;
        let record = answer["result"]["data"][0].as_object().unwrap_or_else(|| panic!("{method}: {answer}"));
        for (name, value) in record {
            let field =
                spec[method]["fields"].as_array().unwrap().iter().find(|f| f["name"] == name.as_str());
            let kind = field.unwrap_or_else(|| panic!("{method} has no {name}"))["type"].as_str().unwrap();
            let fits = match kind {
                "number" => value.is_number(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                "boolean" => value.is_boolean(),
                _ => value.is_string(),
            };
            assert!(fits || value.is_null(), "{method}: {name} is {value}, documented as {kind}");
        }
    }
}
