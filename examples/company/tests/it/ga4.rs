use company::Running;
use company::ga4::{PROPERTY, auth, bigquery};
use serde_json::{Value, json};

use crate::{Got, with};

async fn ask(c: &Running, method: &str, path: &str, token: &str, body: Option<String>) -> Got {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = reqwest::Client::new()
        .request(method, format!("{}{path}", c.url()))
        .header("authorization", format!("Bearer {token}"));
    if let Some(body) = body {
        request = request.body(body);
    }
    let r = request.send().await.unwrap();
    Got { status: r.status().as_u16(), headers: r.headers().clone(), text: r.text().await.unwrap() }
}

async fn sign_in(c: &Running) -> String {
    let form = format!(
        "grant_type=refresh_token&client_id={}&client_secret={}&refresh_token={}",
        auth::CLIENT_ID,
        auth::CLIENT_SECRET,
        auth::REFRESH_TOKEN.replace('/', "%2F")
    );
    let got = ask(c, "POST", "/token", "", Some(form)).await;
    assert_eq!((got.status, &got.json()["expires_in"]), (200, &json!(3599)));
    got.json()["access_token"].as_str().unwrap().to_owned()
}

fn report(more: Value) -> Value {
    let mut body = json!({"dimensions": [{"name": "date"}], "metrics": [{"name": "sessions"}],
        "dateRanges": [{"startDate": "2026-08-01", "endDate": "yesterday"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn reports_count_and_spend() {
    let c = with(300, |_, _| {}).await;
    let token = sign_in(&c).await;
    let path = format!("/v1beta/properties/{PROPERTY}:runReport");
    let run = async |body: Value| ask(&c, "POST", &path, &token, Some(body.to_string())).await;
    let order = json!([{"dimension": {"dimensionName": "date"}}]);
    let whole = run(report(json!({"orderBys": order}))).await.json();
    let rows = whole["rows"].as_array().unwrap().clone();
    assert_eq!(whole["rowCount"], rows.len());
    let paged = |offset: usize| {
        report(json!({"orderBys": order, "limit": "7", "offset": offset, "returnPropertyQuota": true}))
    };
    let mut pages = Vec::new();
    let mut left = Vec::new();
    while pages.len() < rows.len() {
        let page = run(paged(pages.len())).await.json();
        left.push(page["propertyQuota"]["tokensPerDay"]["remaining"].as_i64().unwrap());
        pages.extend(page["rows"].as_array().unwrap().clone());
    }
    assert_eq!(pages, rows);
    assert!(left.windows(2).all(|w| w[0] - w[1] == 4), "{left:?}");
    // Past the end there are no rows, and without an order pages do not fit together.
    assert!(run(paged(rows.len())).await.json().get("rows").is_none());
    let loose = run(report(json!({"limit": 7, "offset": "7"}))).await.json();
    assert_ne!(loose["rows"].as_array().unwrap()[..], rows[7..14]);
    for (wrong, words) in [
        (json!({"dimension": []}), "Unknown name"),
        (json!({"metrics": [{"name": "visits"}]}), "not a valid metric"),
        (json!({"limit": "250001"}), "limit"),
        (json!({"dimensions": vec![json!({"name": "date"}); 10]}), "9 dimensions"),
    ] {
        let got = run(report(wrong)).await;
        assert!(got.status == 400 && got.text.contains(words), "{}", got.text);
    }
    assert_eq!(ask(&c, "POST", &path, "stranger", Some("{}".into())).await.status, 401);
}

#[tokio::test]
async fn a_job_runs_once_and_its_results_have_pages() {
    let c = with(200, |_, _| {}).await;
    let token = sign_in(&c).await;
    let base = format!("/bigquery/v2/projects/{}", bigquery::PROJECT);
    let table = "events_20260810";
    let got =
        ask(&c, "GET", &format!("{base}/datasets/{}/tables/{table}", bigquery::DATASET), &token, None).await;
    let rows: usize = got.json()["numRows"].as_str().unwrap().parse().unwrap();
    let sql = format!(
        "SELECT `event_name`, `event_params` FROM `{}.{}.{table}`",
        bigquery::PROJECT,
        bigquery::DATASET
    );
    let job = |more: Value| {
        let mut configuration = json!({"query": {"query": sql, "useLegacySql": false}});
        configuration.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"jobReference": {"projectId": bigquery::PROJECT, "jobId": "j1"}, "configuration": configuration})
    };
    let start =
        async |body: Value| ask(&c, "POST", &format!("{base}/jobs"), &token, Some(body.to_string())).await;
    let dry = start(job(json!({"dryRun": true}))).await.json();
    assert!(dry["statistics"]["totalBytesProcessed"].as_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(c.server.google.queries(), 0);
    assert_eq!([start(job(json!({}))).await.status, start(job(json!({}))).await.status], [200, 409]);
    assert_eq!(c.server.google.queries(), 1);
    let results =
        |more: &str| format!("{base}/queries/j1?location={}&maxResults=5{more}", bigquery::LOCATION);
    assert_eq!(ask(&c, "GET", &results(""), &token, None).await.json()["jobComplete"], false);
    let (mut came, mut token_of_page) = (0, String::new());
    loop {
        let page = ask(&c, "GET", &results(&token_of_page), &token, None).await.json();
        assert_eq!(page["totalRows"], rows.to_string());
        for row in page["rows"].as_array().map_or(&[][..], Vec::as_slice) {
            assert!(
                row["f"][0]["v"].is_string() && row["f"][1]["v"][0]["v"]["f"][0]["v"].is_string(),
                "{row}"
            );
            came += 1;
        }
        let Some(next) = page["pageToken"].as_str() else { break };
        token_of_page = format!("&pageToken={next}");
    }
    assert_eq!(came, rows);
    let elsewhere = ask(&c, "GET", &format!("{base}/queries/j1?maxResults=5"), &token, None).await;
    assert_eq!(elsewhere.status, 404);
}
