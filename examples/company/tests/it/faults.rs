use serde_json::json;

use crate::{all, company, crm, get_with, post, rules, with};

async fn set(c: &company::Running, faults: serde_json::Value) {
    let got = post(&format!("{}/_company/faults", c.url()), json!({ "faults": faults }).to_string()).await;
    assert_eq!(got.status, 200, "{}", got.text);
}

#[tokio::test]
async fn statuses_come_with_and_without_retry_after() {
    let c =
        with(500, |_, o| o.faults = rules(&["429:at=1,path=/leads", "503:at=2,retry_after=2,path=/leads"]))
            .await;
    let a = crm(&c, "/api/v4/leads").await;
    assert!(a.status == 429 && !a.headers.contains_key("retry-after"));
    let b = crm(&c, "/api/v4/leads").await;
    assert!(b.status == 503 && b.headers["retry-after"] == "2");
    assert_eq!(crm(&c, "/api/v4/leads").await.status, 200);
    set(&c, json!([{"kind": "429", "retry_after": "30", "retry_date": true}])).await;
    let dated = crm(&c, "/api/v4/users").await;
    assert!(dated.headers["retry-after"].to_str().unwrap().ends_with("GMT"));
    let stats = get_with(&format!("{}/_company/stats", c.url()), "").await.unwrap().json();
    assert_eq!(stats["faults"]["status"], 1);
    assert_eq!(stats["requests"]["GET /api/v4/leads"], 3);
}

#[tokio::test]
async fn bodies_break_off_or_end_early() {
    let c = company(500).await;
    let whole = crm(&c, "/api/v4/leads").await.text;
    set(&c, json!(["cut:percent=40"])).await;
    let url = format!("{}/api/v4/leads", c.url());
    let token = format!("Bearer {}", c.server.auth.current().0);
    assert!(get_with(&url, &token).await.is_err(), "the connection closes in the middle of the body");
    set(&c, json!(["truncate:percent=40"])).await;
    let short = get_with(&url, &token).await.unwrap();
    assert_eq!(short.headers["content-length"], (whole.len() * 40 / 100).to_string().as_str());
    assert!(serde_json::from_str::<serde_json::Value>(&short.text).is_err());
}

#[tokio::test]
async fn a_token_dies_in_the_middle() {
    let c = with(2_000, |_, o| o.faults = rules(&["expire_token:at=2,path=/leads"])).await;
    assert_eq!(crm(&c, "/api/v4/leads?limit=10").await.status, 200);
    assert_eq!(crm(&c, "/api/v4/leads?limit=10&page=2").await.status, 401);
    let refresh = c.server.auth.current().1;
    let body = json!({
        "client_id": company::amocrm::auth::CLIENT_ID,
        "client_secret": company::amocrm::auth::CLIENT_SECRET,
        "grant_type": "refresh_token",
        "refresh_token": refresh,
        "redirect_uri": company::amocrm::auth::REDIRECT_URI,
    });
    // The answer is lost, the rotation is not.
    set(&c, json!(["cut:path=/oauth2,percent=0"])).await;
    let url = format!("{}/oauth2/access_token", c.url());
    let lost = reqwest::Client::new().post(&url).body(body.to_string()).send().await;
    let lost = match lost {
        Ok(r) => r.bytes().await.is_err(),
        Err(_) => true,
    };
    assert!(lost);
    assert_ne!(c.server.auth.current().1, refresh);
    assert_eq!(crm(&c, "/api/v4/leads?limit=10&page=2").await.status, 200);
}

#[tokio::test]
async fn schemas_drift_on_later_pages() {
    let drifts: Vec<String> =
        company::faults::DRIFTS.iter().map(|d| format!("drift:variant={d},page=2,path=/leads")).collect();
    let c = with(3_000, |_, o| {
        o.faults = rules(&drifts.iter().map(String::as_str).collect::<Vec<_>>());
    })
    .await;
    let one = crm(&c, "/api/v4/leads?limit=20").await.json()["_embedded"]["leads"][3].clone();
    let two = crm(&c, "/api/v4/leads?limit=20&page=2").await.text;
    let parsed: serde_json::Value = serde_json::from_str(&two).unwrap();
    let late = &parsed["_embedded"]["leads"][3];
    assert_eq!(one["x_object"], json!({"a": 1}));
    assert_eq!(late["x_object"], json!([]));
    assert!(one["x_text"].is_null() && late["x_text"].is_string());
    assert!(late["price"].is_string() && one["price"].is_u64());
    assert!(two.contains("340282366920938463463374607431768211455"));
    assert!(
        parsed["_embedded"]["leads"]
            .as_array()
            .unwrap()
            .iter()
            .any(|l| l["custom_fields_values"] == json!([]))
    );
}

#[tokio::test]
async fn one_record_is_bad_and_the_page_is_good() {
    let c = company(2_000).await;
    let good = crm(&c, "/api/v4/leads?limit=20").await.json();
    for variant in ["text_for_time", "text_for_price", "no_id", "not_an_object"] {
        set(&c, json!([format!("malformed:variant={variant},rows=5,at=1")])).await;
        let bad = crm(&c, "/api/v4/leads?limit=20").await.json();
        for i in 0..20 {
            let same = bad["_embedded"]["leads"][i] == good["_embedded"]["leads"][i];
            assert_eq!(same, i != 5, "{variant} {i}");
        }
    }
}

#[tokio::test]
async fn an_empty_last_page() {
    let c = with(1_000, |_, o| o.faults = rules(&["next_when_full"])).await;
    let n = c.server.counts().leads;
    let limit = (2..=250).find(|l| n % l == 0);
    if let Some(limit) = limit {
        let leads = all(&c, &format!("/api/v4/leads?limit={limit}"), "leads").await;
        assert_eq!(leads.len() as u64, n);
        let last = crm(&c, &format!("/api/v4/leads?limit={limit}&page={}", n / limit)).await.json();
        assert!(last["_links"]["next"]["href"].is_string());
    }
}

#[tokio::test]
async fn mistakes_in_switches_are_told() {
    let c = company(100).await;
    for bad in [json!(["teapot"]), json!([{"kind": "cut", "evry": 2}]), json!("cut")] {
        let got = post(&format!("{}/_company/faults", c.url()), json!({ "faults": bad }).to_string()).await;
        assert_eq!(got.status, 400);
    }
    assert_eq!(post(&format!("{}/_company/now", c.url()), "{}".to_owned()).await.status, 400);
}
