use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::{all, company, crm, get_with, post, rules, with};

#[tokio::test]
async fn paging_covers_every_record_once() {
    let c = with(4_000, |cfg, o| {
        cfg.history = 501;
        o.crm_rps = 0;
    })
    .await;
    let truth = c.server.counts();
    for order in ["", "&order[id]=desc", "&order[updated_at]=asc", "&order[created_at]=desc"] {
        let leads = all(&c, &format!("/api/v4/leads?limit=37&with=contacts{order}"), "leads").await;
        let ids: BTreeSet<u64> = leads.iter().map(|l| l["id"].as_u64().unwrap()).collect();
        assert_eq!(leads.len() as u64, truth.leads, "{order}");
        assert_eq!(ids.len(), leads.len());
    }
    let deleted = all(&c, "/api/v4/leads?limit=250&with=only_deleted", "leads").await;
    assert_eq!(deleted.len() as u64, truth.leads_deleted);
    assert!(deleted.iter().all(|l| l["is_deleted"] == true));
    let contacts = all(&c, "/api/v4/contacts?limit=250&with=leads", "contacts").await;
    assert_eq!(contacts.len() as u64, truth.contacts);
    let linked: u64 = contacts.iter().map(|x| x["_embedded"]["leads"].as_array().unwrap().len() as u64).sum();
    assert_eq!(linked, truth.leads);
    let events = all(&c, "/api/v4/events?limit=100", "events").await;
    assert_eq!(events.len() as u64, truth.crm_events);
    let ids: BTreeSet<&str> = events.iter().map(|e| e["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
}

#[tokio::test]
async fn leads_agree_with_the_truth() {
    let c = company(3_000).await;
    let truth =
        crate::csv(&get_with(&format!("{}/_company/truth/deals.csv", c.url()), "").await.unwrap().text);
    let leads = all(&c, "/api/v4/leads?limit=250&with=contacts", "leads").await;
    let contacts = all(&c, "/api/v4/contacts?limit=250", "contacts").await;
    let mut seen = 0;
    for row in truth.iter().filter(|r| r["status"] != "deleted") {
        let lead = leads.iter().find(|l| l["id"].as_u64() == row["lead_id"].parse().ok()).unwrap();
        assert_eq!(lead["price"].to_string(), row["value"]);
        let main = &lead["_embedded"]["contacts"][0];
        assert_eq!(main["id"].to_string(), row["contact_id"]);
        let contact = contacts.iter().find(|x| x["id"] == main["id"]).unwrap();
        let phone = contact["custom_fields_values"][0]["values"][0]["value"].as_str().unwrap();
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        assert!(row["phone"].ends_with(&digits[digits.len() - 10..]), "{phone} {}", row["phone"]);
        match row["status"].as_str() {
            "won" => assert_eq!(lead["status_id"], 142),
            "lost" => assert_eq!(lead["status_id"], 143),
            _ => assert!(lead["closed_at"].is_null()),
        }
        seen += 1;
    }
    assert_eq!(seen, leads.len());
    assert!(leads.iter().any(|l| l["custom_fields_values"].is_null()));
    assert!(leads.iter().any(|l| l["custom_fields_values"].is_array()));
}

#[tokio::test]
async fn filters_include_both_ends() {
    let c = company(3_000).await;
    let leads = all(&c, "/api/v4/leads?limit=250&order[updated_at]=asc", "leads").await;
    let at = |i: usize| leads[i]["updated_at"].as_i64().unwrap();
    let (from, to) = (at(10), at(40));
    let part = all(
        &c,
        &format!("/api/v4/leads?filter[updated_at][from]={from}&filter[updated_at][to]={to}"),
        "leads",
    )
    .await;
    let want = leads.iter().filter(|l| (from..=to).contains(&l["updated_at"].as_i64().unwrap())).count();
    assert_eq!(part.len(), want);
    assert!(part.iter().any(|l| l["updated_at"] == from) && part.iter().any(|l| l["updated_at"] == to));
    let moved = all(&c, "/api/v4/events?filter[type]=lead_status_changed&limit=100", "events").await;
    assert!(!moved.is_empty() && moved.iter().all(|e| e["type"] == "lead_status_changed"));
    assert!(moved[0]["value_after"][0]["lead_status"]["pipeline_id"].is_number());
    let created: Vec<i64> = moved.iter().map(|e| e["created_at"].as_i64().unwrap()).collect();
    assert!(created.windows(2).all(|w| w[0] >= w[1]), "newest first");
    let within = all(
        &c,
        &format!(
            "/api/v4/events?filter[created_at][from]={}&filter[created_at][to]={}",
            created[9], created[3]
        ),
        "events",
    )
    .await;
    assert!(within.iter().all(|e| (created[9]..=created[3]).contains(&e["created_at"].as_i64().unwrap())));
    assert!(within.len() >= 7);
}

#[tokio::test]
async fn what_amocrm_does_not_know_is_refused() {
    let c = company(300).await;
    for bad in [
        "/api/v4/leads?limit=251",
        "/api/v4/events?limit=101",
        "/api/v4/leads?page=0",
        "/api/v4/leads?filter[colour]=red",
        "/api/v4/leads?filter[updated_at][from]=today",
        "/api/v4/leads?order[price]=asc",
        "/api/v4/leads?per_page=10",
    ] {
        let got = crm(&c, bad).await;
        assert_eq!(got.status, 400, "{bad}");
        assert_eq!(got.headers["content-type"], "application/problem+json");
        assert!(got.json()["validation-errors"].is_array());
    }
    assert_eq!(crm(&c, "/api/v4/leads?page=9999").await.status, 204);
    assert_eq!(crm(&c, "/api/v4/companies").await.status, 204);
    assert_eq!(crm(&c, "/api/v4/account").await.json()["currency"], "RUB");
    assert_eq!(crm(&c, "/api/v4/users?with=group").await.json()["_total_items"], 6);
    let pipelines = crm(&c, "/api/v4/leads/pipelines").await.json();
    assert_eq!(pipelines["_embedded"]["pipelines"][1]["_embedded"]["statuses"][4]["id"], 142);
    assert_eq!(get_with(&format!("{}/api/v4/leads", c.url()), "Bearer x").await.unwrap().status, 401);
}

fn grant(c: &company::Running, refresh: &str) -> (String, String) {
    let body = json!({
        "client_id": company::amocrm::auth::CLIENT_ID,
        "client_secret": company::amocrm::auth::CLIENT_SECRET,
        "grant_type": "refresh_token",
        "refresh_token": refresh,
        "redirect_uri": company::amocrm::auth::REDIRECT_URI,
    });
    (format!("{}/oauth2/access_token", c.url()), body.to_string())
}

#[tokio::test]
async fn rotation_voids_the_old_pair_at_once() {
    let c = company(300).await;
    let (access, refresh) = c.server.auth.current();
    let (url, body) = grant(&c, &refresh);
    let pair = post(&url, body.clone()).await.json();
    assert_eq!(pair["expires_in"], 86_400);
    let leads = format!("{}/api/v4/leads", c.url());
    assert_eq!(get_with(&leads, &format!("Bearer {access}")).await.unwrap().status, 401);
    let new = format!("Bearer {}", pair["access_token"].as_str().unwrap());
    assert_eq!(get_with(&leads, &new).await.unwrap().status, 200);
    assert_eq!(post(&url, body).await.status, 401, "the old refresh token is void");
    let stats = get_with(&format!("{}/_company/stats", c.url()), "").await.unwrap().json();
    assert_eq!((&stats["refreshes"], &stats["refused_refreshes"]), (&json!(1), &json!(1)));
    let wrong = grant(&c, "x").1.replace(company::amocrm::auth::REDIRECT_URI, "https://studio.example/");
    assert_eq!(post(&url, wrong).await.status, 400);
}

#[tokio::test]
async fn tokens_end_and_limits_hold() {
    let c = with(300, |_, o| {
        o.crm_rps = 7;
        o.token_ttl = Duration::from_millis(0);
    })
    .await;
    assert_eq!(crm(&c, "/api/v4/leads").await.status, 401);
    let mut statuses = Vec::new();
    for _ in 0..12 {
        statuses.push(crm(&c, "/api/v4/leads").await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    let got = crm(&c, "/api/v4/leads").await;
    assert!(got.status == 429 && serde_json::from_str::<serde_json::Value>(&got.text).is_err());
}

#[tokio::test]
async fn the_future_is_not_served() {
    let c = with(2_000, |_, o| o.now = Some(1_787_000_000)).await;
    let before = c.server.counts();
    let leads = all(&c, "/api/v4/leads?limit=250", "leads").await;
    assert_eq!(leads.len() as u64, before.leads);
    assert!(leads.iter().all(|l| l["updated_at"].as_i64().unwrap() <= 1_787_000_000));
    let url = format!("{}/_company/now", c.url());
    assert_eq!(post(&url, json!({"now": "2026-09-20T00:00:00+03:00"}).to_string()).await.status, 200);
    let later = all(&c, "/api/v4/leads?limit=250", "leads").await;
    assert_eq!(later.len() as u64, c.server.counts().leads);
    assert!(later.len() > leads.len());
    let ids: BTreeSet<String> = later.iter().map(|l| l["id"].to_string()).collect();
    let gone = leads.iter().filter(|l| !ids.contains(&l["id"].to_string())).count() as u64;
    assert!(gone <= c.server.counts().leads_deleted);
}

#[tokio::test]
async fn rows_move_while_somebody_pages() {
    let c = with(3_000, |_, o| o.faults = rules(&["touch:path=/api/v4/leads,rows=3,from=2"])).await;
    let to = c.server.now() - 30;
    let mut seen = BTreeSet::new();
    let mut url =
        format!("{}/api/v4/leads?limit=50&order[updated_at]=asc&filter[updated_at][to]={to}", c.url());
    loop {
        let got = get_with(&url, &format!("Bearer {}", c.server.auth.current().0)).await.unwrap();
        if got.status == 204 {
            break;
        }
        let page = got.json();
        for l in page["_embedded"]["leads"].as_array().unwrap() {
            seen.insert(l["id"].as_u64().unwrap());
        }
        match page["_links"]["next"]["href"].as_str() {
            Some(n) => url = n.to_owned(),
            None => break,
        }
    }
    let truth = c.server.counts().leads;
    assert!((seen.len() as u64) < truth, "a naive reader misses rows that moved");
    let url = format!("{}/api/v4/leads?filter[updated_at][from]={}", c.url(), to);
    c.server.faults.set(Vec::new());
    let moved = all(&c, &url[c.url().len()..], "leads").await;
    assert!(!moved.is_empty());
}
