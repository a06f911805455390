use std::collections::BTreeSet;

use company::bitrix24::{self, auth};
use company::{Running, hubspot};
use serde_json::{Value, json};

use crate::{Got, get_with, post, rules, with};

async fn ask(c: &Running, method: &str, body: &Value) -> Got {
    post(&format!("{}{method}", auth::webhook(&c.url())), body.to_string()).await
}

async fn small(options: bitrix24::Options) -> Running {
    with(1_200, |_, o| {
        o.bitrix24 = options;
        o.hubspot = hubspot::Options::default();
    })
    .await
}

fn ids(items: &Value) -> Vec<u64> {
    items.as_array().unwrap().iter().map(|d| d["id"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn pages_batches_and_totals_show_the_same_deals() {
    let c = small(bitrix24::Options::default()).await;
    let truth = c.server.counts().leads;
    // By numbers of pages, counted.
    let (mut counted, mut start) = (BTreeSet::new(), json!(0));
    while !start.is_null() {
        let page = ask(&c, "crm.item.list", &json!({"entityTypeId": 2, "start": start, "select": ["id"]}))
            .await
            .json();
        assert_eq!(page["total"], truth);
        counted.extend(ids(&page["result"]["items"]));
        assert!(
            page["result"]["items"].as_array().unwrap().iter().all(|d| d.as_object().unwrap().len() == 1)
        );
        start = page["next"].clone();
    }
    assert_eq!(counted.len() as u64, truth);
    // Behind the last id, not counted; commands that stand on each other.
    let command = |last: &str| {
        format!("crm.item.list?entityTypeId=2&order[id]=ASC&filter[%3Eid]={last}&start=-1&select[]=*")
    };
    let mut commands = serde_json::Map::from_iter([("a".to_owned(), command("0").into())]);
    let names = ["a", "b", "c"];
    for pair in names.windows(2) {
        commands.insert(pair[1].into(), command(&format!("$result[{}][items][49][id]", pair[0])).into());
    }
    let answer = ask(&c, "batch", &json!({"halt": 0, "cmd": commands})).await.json();
    let pages: Vec<u64> = names.iter().flat_map(|n| ids(&answer["result"]["result"][n]["items"])).collect();
    assert_eq!(pages, counted.iter().copied().take(150).collect::<Vec<_>>());
    assert_eq!(answer["result"]["result_total"], json!([]), "nothing is counted");
    assert!(
        answer["result"]["result_time"]["b"]["operating"].is_number()
            && answer["time"]["operating"].is_null()
    );
    // An id that is not there: refused in a 200, and the others are answered.
    let odd = json!({"halt": 0, "cmd": {"a": command("999999999"), "b": command("$result[a][items][49][id]"), "c": "user.get"}});
    let answer = ask(&c, "batch", &odd).await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    assert_eq!(answer["result"]["result"]["a"]["items"], json!([]));
    assert_eq!(answer["result"]["result_error"]["b"]["error"], "INVALID_ARG_VALUE");
    assert!(!answer["result"]["result"]["c"].as_array().unwrap().is_empty());
    let halted = json!({"halt": 1, "cmd": {"a": "nonsense", "b": "user.get"}});
    let answer = ask(&c, "batch", &halted).await.json();
    assert_eq!(answer["result"]["result"], json!([]), "the rest is left");
}

#[tokio::test]
async fn what_bitrix24_does_not_allow_is_refused() {
    let c = small(bitrix24::Options::default()).await;
    for (method, body, code) in [
        ("crm.item.list", json!({"entityTypeId": 9}), "NOT_FOUND"),
        ("crm.item.list", json!({"entityTypeId": 2, "filter": {"title": "x"}}), "INVALID_ARG_VALUE"),
        ("crm.item.list", json!({"entityTypeId": 2, "filter": {">id": ""}}), "INVALID_ARG_VALUE"),
        ("crm.item.list", json!({"entityTypeId": 2, "order": {"title": "ASC"}}), "INVALID_ARG_VALUE"),
        ("crm.deal.nonsense", json!({}), "ERROR_METHOD_NOT_FOUND"),
        (
            "batch",
            json!({"cmd": (0..51).map(|n| (n.to_string(), "user.get".into())).collect::<serde_json::Map<_, Value>>()}),
            "ERROR_BATCH_LENGTH_EXCEEDED",
        ),
    ] {
        let got = ask(&c, method, &body).await;
        assert!(got.status >= 400 && got.json()["error"] == code, "{method} {body}: {}", got.text);
    }
    let nested = ask(&c, "batch", &json!({"cmd": {"a": "batch?cmd[x]=user.get"}})).await.json();
    assert_eq!(nested["result"]["result_error"]["a"]["error"], "ERROR_BATCH_METHOD_NOT_ALLOWED");
    let wrong = post(&format!("{}/rest/1/wrong/user.get", c.url()), "{}".into()).await;
    assert_eq!((wrong.status, &wrong.json()["error"]), (401, &json!("INVALID_CREDENTIALS")));
}

#[tokio::test]
async fn refresh_tokens_are_good_once() {
    let c = small(bitrix24::Options::default()).await;
    let ask_token = async |grant: &str| {
        let (id, secret) = (auth::CLIENT_ID, auth::CLIENT_SECRET);
        let url = format!("{}/oauth/token/?client_id={id}&client_secret={secret}&{grant}", c.url());
        get_with(&url, "").await.unwrap()
    };
    let first = ask_token(&format!("grant_type=authorization_code&code={}", auth::CODE)).await.json();
    let refresh =
        format!("grant_type=refresh_token&refresh_token={}", first["refresh_token"].as_str().unwrap());
    let second = ask_token(&refresh).await.json();
    assert_eq!(ask_token(&refresh).await.json()["error"], "invalid_grant");
    let users = async |pair: &Value| {
        let endpoint = pair["client_endpoint"].as_str().unwrap();
        post(&format!("{endpoint}user.get"), json!({"auth": pair["access_token"]}).to_string()).await
    };
    assert_eq!((users(&first).await.status, users(&second).await.status), (401, 200));
    c.server.faults.set(rules(&["expire_token:at=1,path=user.get"]));
    assert_eq!(users(&second).await.json()["error"], "expired_token");
}

#[tokio::test]
async fn the_two_limits() {
    let c = small(bitrix24::Options { burst: 3 }).await;
    let mut refused = 0;
    for _ in 0..8 {
        let got = ask(&c, "user.get", &json!({})).await;
        refused += usize::from(got.status == 503 && got.json()["error"] == "QUERY_LIMIT_EXCEEDED");
    }
    assert!((3..=5).contains(&refused), "{refused}");
    let c = small(bitrix24::Options::default()).await;
    c.server.faults.set(rules(&["429:at=1,path=crm.item.list", "partial:rows=1,at=1,path=batch"]));
    let got = ask(&c, "crm.item.list", &json!({"entityTypeId": 2})).await;
    assert_eq!((got.status, &got.json()["error"]), (429, &json!("OPERATION_TIME_LIMIT")));
    assert!(got.json()["time"]["operating_reset_at"].as_i64().unwrap() > c.server.now());
    let got = ask(&c, "batch", &json!({"cmd": {"a": "user.get"}})).await;
    assert_eq!(
        (got.status, &got.json()["result"]["result_error"]["a"]["error"]),
        (200, &json!("OPERATION_TIME_LIMIT"))
    );
}

/// Fields have the documented names, and the same kinds of values.
#[tokio::test]
async fn records_look_like_the_documented_ones() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/api/crm/samples/bitrix24");
    if !folder.is_dir() {
        eprintln!("SKIPPED: {} is not here", folder.display());
        return;
    }
    let sample = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let c = small(bitrix24::Options::default()).await;
    for (method, body, ours, file, theirs) in [
        (
            "crm.item.list",
            json!({"entityTypeId": 2}),
            "/result/items/0",
            "crm_item_add_2.json",
            "/result/item",
        ),
        (
            "crm.item.list",
            json!({"entityTypeId": 1}),
            "/result/items/0",
            "crm_item_get_1.json",
            "/result/item",
        ),
        (
            "crm.stagehistory.list",
            json!({"entityTypeId": 2}),
            "/result/items/0",
            "crm_stagehistory_list_1.json",
            "/result/items/0",
        ),
        ("crm.status.list", json!({}), "/result/0", "crm_status_list_1.json", "/result/0"),
        (
            "crm.category.list",
            json!({"entityTypeId": 2}),
            "/result/categories/0",
            "crm_category_list_1.json",
            "/result/categories/0",
        ),
        ("user.get", json!({}), "/result/0", "user_get_1.json", "/result/0"),
    ] {
        let answer = ask(&c, method, &body).await.json();
        let (documented, answer) = (sample(file), &answer);
        let (ours, theirs) = (answer.pointer(ours).unwrap(), documented.pointer(theirs).unwrap());
        for (name, value) in
            ours.as_object().unwrap().iter().filter(|(n, _)| !n.to_lowercase().starts_with("uf"))
        {
            let known = theirs.get(name).unwrap_or_else(|| panic!("{method}: no {name} in {file}"));
            let same = value.is_null() || known.is_null() || kind(value) == kind(known);
            assert!(same, "{method}: {name} is {value}, documented is {known}");
        }
        assert!(answer["total"].is_number() && answer["time"]["operating"].is_number());
    }
}

fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}
