use company::Running;
use company::direct::{LOGIN, TOKEN};
use serde_json::{Value, json};

use crate::{Got, with};

async fn ask(c: &Running, path: &str, headers: &[(&str, &str)], body: &Value) -> Got {
    let mut request = reqwest::Client::new()
        .post(format!("{}{path}", c.url()))
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(body.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let r = request.send().await.unwrap();
    Got { status: r.status().as_u16(), headers: r.headers().clone(), text: r.text().await.unwrap() }
}

fn wanted(name: &str, fields: &[&str]) -> Value {
    json!({"params": {"SelectionCriteria": {"DateFrom": "2026-08-01", "DateTo": "2026-09-30"}, "FieldNames": fields,
        "ReportName": name, "ReportType": "CUSTOM_REPORT", "DateRangeType": "CUSTOM_DATE", "Format": "TSV",
        "IncludeVAT": "YES", "IncludeDiscount": "NO"}})
}

async fn report(c: &Running, headers: &[(&str, &str)], body: &Value) -> Got {
    ask(c, "/json/v501/reports", headers, body).await
}

fn code(got: &Got) -> u64 {
    got.json()["error"]["error_code"].as_u64().unwrap()
}

#[tokio::test]
async fn a_report_waits_and_tells_its_rows() {
    let c = with(300, |_, _| {}).await;
    let fields = ["Date", "CampaignId", "Cost"];
    let statuses = [201, 202, 200];
    let mut last = None;
    for status in statuses {
        let got = report(&c, &[("skipReportHeader", "true")], &wanted("a", &fields)).await;
        assert_eq!(got.status, status);
        assert_eq!(got.headers.contains_key("retryin"), status != 200);
        last = Some(got.text);
    }
    let text = last.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Date\tCampaignId\tCost");
    assert_eq!(lines[lines.len() - 1], format!("Total rows: {}", lines.len() - 2));
    let micros: u64 = lines[1..lines.len() - 1]
        .iter()
        .map(|l| l.rsplit('\t').next().unwrap().parse::<u64>().unwrap())
        .sum();
    let costs = company::costs::costs(&c.server.company, c.server.now());
    let minor: u64 = costs.filter(|x| x.leaf.system == "yandex_direct").map(|x| x.cost_minor).sum();
    assert_eq!(micros, minor * 10_000);
    // Decimals, and no line but the rows.
    let bare = [
        ("skipReportHeader", "true"),
        ("skipColumnHeader", "true"),
        ("skipReportSummary", "true"),
        ("returnMoneyInMicros", "false"),
    ];
    let got = report(&c, &bare, &wanted("a", &fields)).await;
    assert_eq!(got.text.lines().count(), lines.len() - 2);
    assert!(got.text.lines().all(|l| l.rsplit('.').next().unwrap().len() == 2));
}

#[tokio::test]
async fn refusals_are_directs() {
    let c = with(50, |_, o| o.direct.polls = 9).await;
    for n in 0..5 {
        let got = report(&c, &[], &wanted(&format!("queued {n}"), &["Date", "Cost"])).await;
        assert_eq!(got.headers["reportsinqueue"], (n + 1).to_string());
    }
    let sixth = wanted("sixth", &["Date", "Cost"]);
    assert_eq!(code(&report(&c, &[], &sixth).await), 9000);
    // At once it needs no place in the queue.
    assert_eq!(report(&c, &[("processingMode", "online")], &sixth).await.status, 200);
    assert_eq!(code(&report(&c, &[], &wanted("queued 0", &["Date", "Clicks"])).await), 4000);
    for fields in [&["Date", "Date"][..], &["Date", "Weather"], &[]] {
        assert_eq!(code(&report(&c, &[], &wanted("x", fields)).await), 4001);
    }
    let mut old = wanted("old", &["Date"]);
    old["params"]["SelectionCriteria"]["DateFrom"] = "2020-01-01".into();
    assert_eq!(code(&report(&c, &[], &old).await), 4001);
    assert_eq!(code(&report(&c, &[("client-login", "stranger")], &sixth).await), 54);
    let clients = json!({"method": "get", "params": {"FieldNames": ["Login", "Currency"]}});
    let got = ask(&c, "/json/v5/clients", &[("client-login", LOGIN)], &clients).await;
    assert_eq!(got.json()["result"]["Clients"][0], json!({"Login": LOGIN, "Currency": "RUB"}));
    // Five hours later a name is free again.
    c.server.set_now(c.server.now() + 5 * 3600).unwrap();
    assert_eq!(report(&c, &[], &wanted("queued 0", &["Date", "Clicks"])).await.status, 201);
}
