//! Uploads as a client sends them, by the documentation's own samples where they are here.

use company::uploads::ga4::{API_SECRET, MEASUREMENT_ID};
use serde_json::{Value, json};

use super::{Got, company};

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/api/analytics/samples");

async fn send(c: &company::Running, path: &str, csv: &str) -> Got {
    let body = format!(
        "--x1\r\nContent-Disposition: form-data; name=\"file\"; filename=\"d.csv\"\r\nContent-Type: text/csv\r\n\r\n{csv}\r\n--x1--\r\n"
    );
    let url = format!("{}{path}", c.url().trim_end_matches('/'));
    let answer = reqwest::Client::new()
        .post(url)
        .header("authorization", format!("OAuth {}", company::metrika::requests::TOKEN))
        .header("content-type", "multipart/form-data; boundary=x1")
        .body(body)
        .send()
        .await
        .unwrap();
    Got {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        text: answer.text().await.unwrap(),
    }
}

#[tokio::test]
async fn files_are_taken_as_the_documentation_writes_them() {
    let c = company(20).await;
    let counter = c.server.company.cfg.counter_id;
    let conversions = format!("/management/v1/counter/{counter}/offline_conversions/upload");
    let right =
        "ClientId,Target,DateTime,Price,Currency\n77,deal_won,1788000000,1.50,RUB\n77,,1788000000,1,RUB\n";
    let got = send(&c, &format!("{conversions}?comment=a%20b"), right).await.json();
    assert_eq!(
        (&got["uploading"]["source_quantity"], &got["uploading"]["line_quantity"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(got["uploading"]["comment"], "a b");
    // The same again is there again: nothing is known by a key.
    send(&c, &conversions, right).await;
    assert_eq!(c.server.uploads.files().len(), 2);
    for wrong in
        ["ClientId,Target\n1,a\n", "Target,DateTime\na,1\n", "ClientId,UserId,Target,DateTime\n1,2,a,3\n"]
    {
        assert_eq!(send(&c, &conversions, wrong).await.status, 400, "{wrong}");
    }
    let other = format!("/management/v1/counter/{}/offline_conversions/upload", counter + 1);
    assert_eq!(send(&c, &other, right).await.status, 403);

    for (sample, path, rows) in [
        ("offline_conversions.csv", conversions.clone(), 1),
        ("expenses.csv", format!("/management/v1/counter/{counter}/expense/upload?provider=x"), 1),
        ("simple_orders.csv", format!("/cdp/api/v1/counter/{counter}/data/simple_orders?merge_mode=SAVE"), 1),
    ] {
        let file = format!("{SAMPLES}/yandex-metrica/{sample}");
        let Ok(csv) = std::fs::read_to_string(&file) else {
            eprintln!("SKIPPED: {file} is not here");
            continue;
        };
        assert_eq!(send(&c, &path, &csv).await.status, 200, "{sample}");
        assert_eq!(c.server.uploads.files().last().unwrap().rows.len(), rows, "{sample}");
    }
}

#[tokio::test]
async fn everything_is_a_success_and_only_what_is_right_is_kept() {
    let c = company(20).await;
    let collect = async |path: &str, secret: &str, body: String| {
        let url = format!(
            "{}{path}?measurement_id={MEASUREMENT_ID}&api_secret={secret}",
            c.url().trim_end_matches('/')
        );
        let answer = reqwest::Client::new().post(url).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let event = |name: &str, at: i64| {
        json!({"client_id": "1.2", "timestamp_micros": at, "events": [{"name": name, "params": {"session_id": "3"}}]}).to_string()
    };
    let now = c.server.now() * 1_000_000;
    for (secret, body) in [
        ("wrong", event("purchase", now)),
        (API_SECRET, "garbage".to_owned()),
        (API_SECRET, event("1wrong", now)),
        (API_SECRET, event("purchase", now - 73 * 3_600_000_000)),
    ] {
        assert_eq!(collect("/mp/collect", secret, body).await.0, 204);
    }
    assert!(c.server.uploads.events().is_empty());
    assert_eq!(collect("/mp/collect", API_SECRET, event("purchase", now)).await.0, 204);
    assert_eq!(c.server.uploads.events().len(), 1);
    let (status, said) = collect("/debug/mp/collect", API_SECRET, event("1wrong", now)).await;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((status, said["validationMessages"].as_array().unwrap().len()), (200, 1));
    assert_eq!(c.server.uploads.events().len(), 1, "looking records nothing");
}
