use company::salesforce::{self, auth, counts};
use company::{Running, Server};
use serde_json::{Value, json};

use crate::{Got, get_with, with};

async fn small(options: salesforce::Options) -> Running {
    with(900, |_, o| o.salesforce = options).await
}

async fn post(url: &str, body: String, kind: &str, token: &str) -> Got {
    let client = reqwest::Client::new().post(url).header("content-type", kind).bearer_auth(token);
    let r = client.body(body).send().await.unwrap();
    Got { status: r.status().as_u16(), headers: r.headers().clone(), text: r.text().await.unwrap() }
}

async fn token(c: &Running) -> String {
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}",
        auth::CLIENT_ID,
        auth::CLIENT_SECRET
    );
    let url = format!("{}/services/oauth2/token", c.url());
    let answer = post(&url, form, "application/x-www-form-urlencoded", "").await.json();
    assert_eq!(answer["instance_url"], c.url());
    assert!(answer["id"].as_str().unwrap().contains(&auth::org()) && answer.get("expires_in").is_none());
    answer["access_token"].as_str().unwrap().to_owned()
}

async fn get(c: &Running, token: &str, path: &str) -> Got {
    get_with(&format!("{}{path}", c.url()), &format!("Bearer {token}")).await.unwrap()
}

fn query(soql: &str, all: bool) -> String {
    let q: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("q", soql).finish();
    format!("/services/data/v61.0/{}?{q}", if all { "queryAll" } else { "query" })
}

fn server(c: &Running) -> &Server {
    &c.server
}

#[tokio::test]
async fn queries_show_everything_that_the_company_counts() {
    let c = with(3_000, |_, o| o.salesforce = salesforce::Options::default()).await;
    let token = token(&c).await;
    let truth = counts(&server(&c).company, server(&c).now());
    for (object, expected) in &truth {
        let page = get(&c, &token, &query(&format!("SELECT Id FROM {object}"), true)).await;
        assert!(page.headers["sforce-limit-info"].to_str().unwrap().starts_with("api-usage="));
        let mut page = page.json();
        assert_eq!(page["totalSize"], *expected, "{object}");
        let mut ids = Vec::new();
        loop {
            ids.extend(page["records"].as_array().unwrap().iter().map(|r| r["Id"].to_string()));
            let Some(next) = page["nextRecordsUrl"].as_str().map(str::to_owned) else { break };
            page = get(&c, &token, &next).await.json();
        }
        ids.sort();
        ids.dedup();
        assert_eq!((ids.len(), page["done"].as_bool()), (*expected, Some(true)), "{object}");
    }
    // Deals are opportunities, or leads that are none yet.
    let counted = server(&c).counts();
    let (deals, leads) = (truth["Opportunity"] as u64, truth["Lead"] as u64);
    assert!(deals < counted.leads && deals + leads > counted.leads, "{deals} {leads}");
    let seen = get(&c, &token, &query("SELECT Id FROM Opportunity", false)).await.json();
    let deleted = truth["Opportunity"] as u64 - seen["totalSize"].as_u64().unwrap();
    assert!(deleted > 0 && deleted <= counted.leads_deleted, "{deleted}");
}

#[tokio::test]
async fn jobs_give_what_queries_give() {
    let c = small(salesforce::Options { polls: 1, ..Default::default() }).await;
    let token = token(&c).await;
    let root = format!("{}/services/data/v61.0/jobs/query", c.url());
    let ask = json!({"operation": "queryAll", "query": "SELECT Id, Name FROM Opportunity", "contentType": "CSV",
        "columnDelimiter": "COMMA", "lineEnding": "LF"});
    let job = post(&root, ask.to_string(), "application/json", &token).await.json();
    let path = format!("/services/data/v61.0/jobs/query/{}", job["id"].as_str().unwrap());
    let early = get(&c, &token, &format!("{path}/results")).await;
    assert_eq!((early.status, &early.json()[0]["errorCode"]), (400, &json!("INVALIDJOBSTATE")));
    assert_eq!(get(&c, &token, &path).await.json()["state"], "InProgress");
    let done = get(&c, &token, &path).await.json();
    let all = counts(&server(&c).company, server(&c).now())["Opportunity"];
    assert_eq!((&done["state"], &done["numberRecordsProcessed"]), (&json!("JobComplete"), &json!(all)));
    let (mut found, mut locator) = (0, String::new());
    loop {
        let piece = get(&c, &token, &format!("{path}/results?maxRecords=100{locator}")).await;
        let rows = piece.text.lines().filter(|l| l.starts_with("\"006")).count();
        assert_eq!(piece.headers["sforce-numberofrecords"], rows.to_string());
        found += rows;
        match piece.headers["sforce-locator"].to_str().unwrap() {
            "null" => break,
            next => locator = format!("&locator={next}"),
        }
    }
    assert_eq!(found, all);
    let wrong = get(&c, &token, &format!("{path}/results?locator=none")).await;
    assert_eq!((wrong.status, &wrong.json()[0]["errorCode"]), (400, &json!("INVALIDLOCATOR")));
}

#[tokio::test]
async fn what_salesforce_does_not_allow_is_refused() {
    let c = small(salesforce::Options { daily: 12, ..Default::default() }).await;
    let token = token(&c).await;
    let code = |got: &Got| (got.status, got.json()[0]["errorCode"].as_str().unwrap().to_owned());
    let refused = |status: u16, code: &str| (status, code.to_owned());
    let none = get(&c, "none", &query("SELECT Id FROM Lead", true)).await;
    assert_eq!(code(&none), refused(401, "INVALID_SESSION_ID"));
    for (soql, expected) in [
        ("SELECT Nothing FROM Lead", "INVALID_FIELD"),
        ("SELECT Id FROM Nobody", "INVALID_TYPE"),
        ("SELECT Id Lead", "MALFORMED_QUERY"),
    ] {
        assert_eq!(code(&get(&c, &token, &query(soql, true)).await), refused(400, expected), "{soql}");
    }
    let gone = get(&c, &token, "/services/data/v61.0/query/01g5g0000000009AAQ-2000").await;
    assert_eq!(code(&gone), refused(400, "INVALID_QUERY_LOCATOR"));
    let nobody = get(&c, &token, "/services/data/v61.0/sobjects/Nobody/describe").await;
    assert_eq!(code(&nobody), refused(404, "NOT_FOUND"));
    let described: Value = get(&c, &token, "/services/data/v61.0/sobjects/Lead/describe").await.json();
    assert!(described["fields"].as_array().unwrap().iter().any(|f| f["type"] == "address"));
    for _ in 0..8 {
        get(&c, &token, "/services/data/v61.0/limits").await;
    }
    let spent = get(&c, &token, "/services/data/v61.0/limits").await;
    assert_eq!(code(&spent), refused(403, "REQUEST_LIMIT_EXCEEDED"));
}
