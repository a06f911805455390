use std::collections::BTreeSet;

use company::hubspot::auth;
use company::{Running, hubspot};
use serde_json::{Value, json};

use crate::{Got, get_with, post, rules, with};

async fn get(c: &Running, path: &str) -> Got {
    get_with(&format!("{}{path}", c.url()), &format!("Bearer {}", auth::PRIVATE_TOKEN)).await.unwrap()
}

async fn ask(c: &Running, path: &str, body: &Value) -> Got {
    let client = reqwest::Client::new().post(format!("{}{path}", c.url()));
    let r = client.bearer_auth(auth::PRIVATE_TOKEN).body(body.to_string()).send().await.unwrap();
    Got { status: r.status().as_u16(), headers: r.headers().clone(), text: r.text().await.unwrap() }
}

async fn small(limits: hubspot::Options) -> Running {
    with(1_200, |_, o| o.hubspot = limits).await
}

#[tokio::test]
async fn lists_and_searches_show_the_same_deals() {
    let c = small(hubspot::Options::default()).await;
    let truth = c.server.counts();
    for (archived, expected) in [("false", truth.leads), ("true", truth.leads_deleted)] {
        let (mut ids, mut after) = (BTreeSet::new(), String::new());
        loop {
            let page =
                get(&c, &format!("/crm/v3/objects/deals?limit=37&archived={archived}{after}")).await.json();
            ids.extend(
                page["results"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["paging"]["next"]["after"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert_eq!(ids.len() as u64, expected, "archived={archived}");
    }
    let (mut ids, mut after) = (BTreeSet::new(), Value::Null);
    loop {
        let body = json!({"limit": 200, "after": after, "properties": ["amount", "nonsense"]});
        let page = ask(&c, "/crm/v3/objects/deals/search", &body).await.json();
        assert_eq!(page["total"], truth.leads);
        for deal in page["results"].as_array().unwrap() {
            ids.insert(deal["id"].as_str().unwrap().to_owned());
            assert!(
                deal["properties"].get("amount").is_some() && deal["properties"].get("nonsense").is_none()
            );
        }
        after = page["paging"]["next"]["after"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(ids.len() as u64, truth.leads);
}

#[tokio::test]
async fn what_hubspot_does_not_allow_is_refused() {
    let c = small(hubspot::Options::default()).await;
    let filter = |name: &str, operator: &str| json!({"filterGroups": [{"filters": [{"propertyName": name, "operator": operator, "value": "1"}]}]});
    for body in [
        json!({"limit": 201}),
        json!({"limit": 100, "after": "9901"}),
        filter("lastmodifieddate", "GT"),
        filter("hs_object_id", "ABOVE"),
        json!({"sorts": [{"propertyName": "amount"}]}),
        json!({"sorts": [{"propertyName": "createdate"}, {"propertyName": "hs_object_id"}]}),
        json!({"colour": "red"}),
        json!({"filterGroups": vec![json!({"filters": []}); 6]}),
    ] {
        let got = ask(&c, "/crm/v3/objects/deals/search", &body).await;
        assert_eq!((got.status, &got.json()["category"]), (400, &json!("VALIDATION_ERROR")), "{body}");
    }
    let ids = |count: u64| (0..count).map(|n| json!({"id": n.to_string()})).collect::<Vec<_>>();
    for body in [
        json!({"inputs": ids(101)}),
        json!({"inputs": ids(51), "propertiesWithHistory": ["dealstage"]}),
        json!({"inputs": [{"id": "1"}, {"id": "1"}]}),
        json!({"inputs": [1, 2]}),
        json!({"inputs": []}),
    ] {
        assert_eq!(ask(&c, "/crm/v3/objects/deals/batch/read", &body).await.status, 400, "{body}");
    }
    for bad in
        ["/crm/v3/objects/deals?limit=101", "/crm/v3/objects/deals?limit=51&propertiesWithHistory=amount"]
    {
        assert_eq!(get(&c, bad).await.status, 400, "{bad}");
    }
    assert_eq!(get_with(&format!("{}/crm/v3/owners", c.url()), "Bearer x").await.unwrap().status, 401);
    assert_eq!(get(&c, "/crm/v3/nothing").await.status, 404);
}

#[tokio::test]
async fn batches_are_answered_in_part() {
    let c = small(hubspot::Options::default()).await;
    let id = c.server.company.lead_id(0).to_string();
    let body = json!({"inputs": [{"id": id}, {"id": "1"}], "properties": ["dealstage"], "propertiesWithHistory": ["dealstage"]});
    let got = ask(&c, "/crm/v3/objects/deals/batch/read", &body).await;
    let answer = got.json();
    assert_eq!((got.status, &answer["numErrors"]), (207, &json!(1)));
    assert_eq!(answer["errors"][0]["context"]["ids"], json!(["1"]));
    let deal = &answer["results"][0];
    // Newest first, and the newest is what stands.
    let history = deal["propertiesWithHistory"]["dealstage"].as_array().unwrap();
    assert_eq!(history[0]["value"], deal["properties"]["dealstage"]);
    let times: Vec<&str> = history.iter().map(|h| h["timestamp"].as_str().unwrap()).collect();
    assert!(times.windows(2).all(|w| w[0] >= w[1]), "{times:?}");
    c.server.faults.set(rules(&["partial:rows=1,path=/batch/read"]));
    let answer = ask(&c, "/crm/v3/objects/deals/batch/read", &json!({"inputs": [{"id": id}]})).await.json();
    assert_eq!(
        (&answer["results"], &answer["errors"][0]["category"]),
        (&json!([]), &json!("INTERNAL_ERROR"))
    );
}

#[tokio::test]
async fn limits_hold_and_say_which() {
    let c = small(hubspot::Options { per_10s: 6, searches: 2, daily: 9 }).await;
    let mut policies = Vec::new();
    for n in 0..5 {
        let got = ask(&c, "/crm/v3/objects/deals/search", &json!({})).await;
        assert!(got.headers.get("x-hubspot-ratelimit-max").is_none(), "search tells nothing");
        if n >= 2 {
            policies.push(got.json()["policyName"].as_str().unwrap_or("-").to_owned());
        }
    }
    assert!(policies.contains(&"SECONDLY".to_owned()), "{policies:?}");
    let first = get(&c, "/crm/v3/owners").await;
    assert_eq!(
        (first.status, &first.headers["x-hubspot-ratelimit-interval-milliseconds"]),
        (200, &"10000".parse().unwrap())
    );
    let mut refused = None;
    for _ in 0..8 {
        let got = get(&c, "/crm/v3/owners").await;
        if got.status == 429 {
            refused = Some(got.json()["policyName"].clone());
        }
    }
    assert_eq!(refused, Some(json!("TEN_SECONDLY_ROLLING")));
}

#[tokio::test]
async fn access_tokens_end_and_refresh_tokens_stay() {
    let c = small(hubspot::Options::default()).await;
    let url = format!("{}/oauth/v1/token", c.url());
    let form = |grant: &str| {
        format!(
            "{grant}&client_id={}&client_secret={}&redirect_uri={}",
            auth::CLIENT_ID,
            auth::CLIENT_SECRET,
            auth::REDIRECT_URI
        )
    };
    let refresh = form(&format!("grant_type=refresh_token&refresh_token={}", auth::REFRESH_TOKEN));
    let first = post(&url, refresh.clone()).await.json();
    assert_eq!((&first["expires_in"], &first["refresh_token"]), (&json!(1800), &json!(auth::REFRESH_TOKEN)));
    let second = post(&url, refresh).await.json();
    let owners = format!("{}/crm/v3/owners", c.url());
    for (pair, status) in [(&first, 401), (&second, 200)] {
        let bearer = format!("Bearer {}", pair["access_token"].as_str().unwrap());
        assert_eq!(get_with(&owners, &bearer).await.unwrap().status, status);
    }
    let code = form(&format!("grant_type=authorization_code&code={}", auth::CODE));
    assert_eq!(post(&url, code.clone()).await.status, 200);
    assert_eq!(post(&url, code).await.status, 400, "a code is good once");
    assert_eq!(post(&url, form("grant_type=refresh_token&refresh_token=x")).await.status, 400);
}
