use std::collections::BTreeSet;

use company::Running;
use company::metrika::requests::TOKEN;
use company::metrika::rows::GOAL_WHATSAPP;
use serde_json::Value;

use crate::{Got, company, csv, get_with, with};

async fn get(c: &Running, path: &str) -> Got {
    get_with(&format!("{}/management/v1/counter/98765432/{path}", c.url()), &format!("OAuth {TOKEN}"))
        .await
        .unwrap()
}

async fn post(c: &Running, path: &str) -> Got {
    let r = reqwest::Client::new()
        .post(format!("{}/management/v1/counter/98765432/{path}", c.url()))
        .header("authorization", format!("OAuth {TOKEN}"))
        .send()
        .await
        .unwrap();
    Got { status: r.status().as_u16(), headers: r.headers().clone(), text: r.text().await.unwrap() }
}

/// A whole export, each part checked against its size.
async fn export(c: &Running, source: &str, days: (&str, &str), fields: &str) -> Vec<Vec<String>> {
    let query = format!("date1={}&date2={}&source={source}&fields={fields}", days.0, days.1);
    let made = post(c, &format!("logrequests?{query}")).await.json();
    assert_eq!(made["log_request"]["status"], "created");
    let id = made["log_request"]["request_id"].as_u64().unwrap();
    let ready: Value = loop {
        let s = get(c, &format!("logrequest/{id}")).await.json();
        if s["log_request"]["status"] == "processed" {
            break s;
        }
    };
    let mut rows = Vec::new();
    for part in ready["log_request"]["parts"].as_array().unwrap() {
        let body = get(c, &format!("logrequest/{id}/part/{}/download", part["part_number"])).await.text;
        assert_eq!(body.len() as u64, part["size"].as_u64().unwrap());
        let mut lines = body.lines();
        assert_eq!(lines.next().unwrap(), fields.replace(',', "\t"), "a header in every part");
        for l in lines {
            let cells: Vec<String> = l.split('\t').map(str::to_owned).collect();
            assert_eq!(cells.len(), fields.split(',').count());
            rows.push(cells);
        }
    }
    let cleaned = post(c, &format!("logrequest/{id}/clean")).await.json();
    assert_eq!(cleaned["log_request"]["status"], "cleaned_by_user");
    assert_ne!(get(c, &format!("logrequest/{id}/part/0/download")).await.status, 200);
    rows
}

#[tokio::test]
async fn an_export_holds_every_visit_once() {
    let c = with(3_000, |_, o| o.logs.part_visits = 700).await;
    let fields = "ym:s:dateTime,ym:s:visitID,ym:s:lastTrafficSource,ym:s:clientID,ym:s:parsedParamsKey1,\
                  ym:s:parsedParamsKey2,ym:s:startURL,ym:s:lastsignUTMCampaign,ym:s:goalsID";
    let rows = export(&c, "visits", ("2026-08-01", "2026-09-29"), fields).await;
    let truth = csv(&get_with(&format!("{}/_company/truth/visits.csv", c.url()), "").await.unwrap().text);
    assert_eq!(rows.len() as u64, c.server.counts().metrica_visits);
    let ids: BTreeSet<&str> = rows.iter().map(|r| r[1].as_str()).collect();
    assert_eq!(ids.len(), rows.len());
    assert!(ids.iter().any(|i| i.parse::<u64>().unwrap() > i64::MAX as u64));
    for t in &truth {
        let row = rows.iter().find(|r| r[1] == t["visit_id"]).unwrap();
        assert_eq!(row[2], t["traffic"]);
        assert_eq!(row[3], t["client_id"]);
        assert!(row[4].contains("'tl_token'") && row[5].contains(&format!("'{}'", t["token"])));
        assert_eq!(row[8].contains(&GOAL_WHATSAPP.to_string()), !t["button_clicked_at"].is_empty());
    }
    let days: BTreeSet<&str> = rows.iter().map(|r| &r[0][..10]).collect();
    assert_eq!((*days.first().unwrap(), *days.last().unwrap()), ("2026-08-01", "2026-09-29"));
}

#[tokio::test]
async fn days_add_up_and_hits_belong_to_visits() {
    let c = company(2_000).await;
    let all =
        export(&c, "visits", ("2026-08-01", "2026-08-31"), "ym:s:visitID,ym:s:date,ym:s:watchIDs").await;
    let mut by_day = Vec::new();
    for d in 1..=31 {
        let day = format!("2026-08-{d:02}");
        let rows = export(&c, "visits", (&day, &day), "ym:s:visitID,ym:s:date,ym:s:watchIDs").await;
        assert!(rows.iter().all(|r| r[1] == day));
        by_day.extend(rows);
    }
    assert_eq!(all, by_day);
    let fields = "ym:pv:watchID,ym:pv:link,ym:pv:URL,ym:pv:params,ym:pv:date";
    let hits = export(&c, "hits", ("2026-08-01", "2026-09-29"), fields).await;
    assert_eq!(hits.len() as u64, c.server.counts().metrica_hits);
    let ids: BTreeSet<&str> = hits.iter().map(|h| h[0].as_str()).collect();
    assert_eq!(ids.len(), hits.len());
    for v in &all {
        for id in v[2].trim_matches(['[', ']']).split(',') {
            assert!(ids.contains(id));
        }
    }
    let clicks: Vec<_> = hits.iter().filter(|h| h[1] == "1").collect();
    assert!(
        !clicks.is_empty()
            && clicks.iter().all(|h| h[2].starts_with("https://wa.me/") && h[2].contains("%5BID%3A"))
    );
}

#[tokio::test]
async fn only_what_is_documented_is_accepted() {
    let c = company(300).await;
    let ok = "date1=2026-08-01&date2=2026-08-02&source=visits&fields=ym:s:visitID";
    for (bad, kind) in [
        (ok.replace("visitID", "visitNumber"), "invalid_parameter"),
        (ok.replace("ym:s:", "ym:pv:"), "invalid_parameter"),
        (ok.replace("source=visits&", ""), "missing_parameter"),
        (ok.replace("date2=2026-08-02", "date2=2026-09-30"), "invalid_parameter"),
        (ok.replace("date1=2026-08-01", "date1=2025-01-01"), "invalid_parameter"),
        (format!("{ok}&attribution=MAGIC"), "invalid_parameter"),
        (ok.replace("ym:s:visitID", &"ym:s:visitID,".repeat(300)), "invalid_parameter"),
    ] {
        let got = post(&c, &format!("logrequests?{bad}")).await;
        assert_eq!((got.status, got.json()["errors"][0]["error_type"].as_str()), (400, Some(kind)), "{bad}");
    }
    assert_eq!(
        get(&c, &format!("logrequests/evaluate?{ok}")).await.json()["log_request_evaluation"]["possible"],
        true
    );
    let url = format!("{}/management/v1/counter/98765432/logrequests", c.url());
    assert_eq!(get_with(&url, "").await.unwrap().status, 401);
    assert_eq!(get_with(&url, "OAuth nobody").await.unwrap().status, 403);
    let stat = format!(
        "{}/stat/v1/data?ids=98765432&metrics=ym:s:visits&dimensions=ym:s:date&date1=2026-08-01&date2=2026-09-29",
        c.url()
    );
    let data = get_with(&stat, &format!("OAuth {TOKEN}")).await.unwrap().json();
    assert_eq!(data["totals"][0].as_f64().unwrap() as u64, c.server.counts().metrica_visits);
}

#[tokio::test]
async fn long_periods_are_refused_when_the_quota_says_so() {
    let c = with(300, |_, o| o.logs.max_days = 10).await;
    let q = "date1=2026-08-01&date2=2026-08-20&source=visits&fields=ym:s:visitID";
    let e = get(&c, &format!("logrequests/evaluate?{q}")).await.json();
    assert_eq!(e["log_request_evaluation"]["possible"], false);
    assert_eq!(e["log_request_evaluation"]["max_possible_day_quantity"], 10);
    assert_eq!(post(&c, &format!("logrequests?{q}")).await.status, 400);
}

#[tokio::test]
async fn young_days_are_restated() {
    let c = with(6_000, |_, o| o.now = Some(1_787_000_000)).await;
    let fields = "ym:s:visitID,ym:s:pageViews";
    let day = ("2026-08-16", "2026-08-16");
    let young = export(&c, "visits", day, fields).await;
    c.server.set_now(1_787_000_000 + 5 * 86_400).unwrap();
    let settled = export(&c, "visits", day, fields).await;
    assert_ne!(young, settled);
    assert!(settled.len() <= young.len(), "robots leave");
}
