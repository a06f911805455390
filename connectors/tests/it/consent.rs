//! A person's consent: what connectors send a browser to, and what becomes of the code it brings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use throughline_connectors::manifest::Manifest;
use throughline_core::consent::{Question, Redirect, Returned};
use throughline_core::{ErrorKind, Options, Secret, SourceConnector};

use crate::fixture::{Reply, Server};
use crate::harness::{World, secret};

fn question<'a>() -> Question<'a> {
    Question { redirect_uri: "http://localhost:17865/throughline", state: "st/ate", challenge: Some("chal") }
}

fn returned(code: &str, params: &[(&str, &str)]) -> Returned {
    Returned {
        code: Secret::new(code),
        params: params.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        redirect_uri: Some(question().redirect_uri.to_owned()),
        verifier: Some(Secret::new("verifier")),
    }
}

fn pairs(url: &str) -> (String, BTreeMap<String, String>) {
    let url = url::Url::parse(url).unwrap();
    let host = format!("{}{}", url.host_str().unwrap(), url.path());
    (host, url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect())
}

fn build(connector: &dyn SourceConnector, value: Value) -> throughline_core::DynSource {
    let options = Options { name: "s".into(), value, base_dir: ".".into() };
    connector.build(&options).map_err(|e| format!("{e:?}")).unwrap()
}

#[test]
fn every_vendor_is_asked_in_its_own_way() {
    let all = throughline_connectors::all();
    let connector = |name: &str| all.iter().find(|c| c.name() == name).unwrap();
    let client = |more: Value| {
        let mut value = json!({"client_id": "app 1", "client_secret": secret("hush")});
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value
    };
    let cases = [
        ("amocrm", client(json!({"subdomain": "shop"})), "www.amocrm.ru/oauth", "localhost"),
        ("hubspot", client(json!({"hub_id": "7"})), "app.hubspot.com/oauth/7/authorize", "localhost"),
        (
            "bitrix24",
            client(json!({"portal": "shop.bitrix24.ru"})),
            "shop.bitrix24.ru/oauth/authorize/",
            "localhost",
        ),
        (
            "ga4",
            client(json!({"property": 7, "start_on": "2026-01-01"})),
            "accounts.google.com/o/oauth2/v2/auth",
            "127.0.0.1",
        ),
        (
            "yandex_metrica",
            client(json!({"counter": 7, "start_on": "2026-01-01"})),
            "oauth.yandex.ru/authorize",
            "localhost",
        ),
        (
            "yandex_direct",
            client(json!({"start_on": "2026-01-01"})),
            "oauth.yandex.ru/authorize",
            "localhost",
        ),
    ];
    for (name, value, address, host) in cases {
        let consent = build(connector(name).as_ref(), value).consent().unwrap_or_else(|| panic!("{name}"));
        let terms = consent.terms().unwrap();
        let (asked, query) = pairs(&consent.url(&question()).unwrap());
        assert_eq!(asked, address, "{name}");
        assert_eq!((query["client_id"].as_str(), query["state"].as_str()), ("app 1", "st/ate"), "{name}");
        assert!(!format!("{query:?}").contains("hush"), "{name}");
        assert_eq!(terms.pkce, query.contains_key("code_challenge"), "{name}");
        match terms.redirect {
            Redirect::Loopback { host: its, port, .. } => {
                assert_eq!((its.as_str(), port.is_none()), (host, name == "ga4"), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        // amoCRM knows the address from the integration's settings.
        assert_eq!(query.contains_key("redirect_uri"), name != "amocrm", "{name}");
    }
    // Who signs in otherwise is not asked.
    let token = build(connector("hubspot").as_ref(), json!({"hub_id": "7", "token": secret("pat")}));
    assert!(token.consent().is_none());
    let own = client(json!({"subdomain": "shop", "redirect_uri": "https://shop.example/back"}));
    let own = build(connector("amocrm").as_ref(), own).consent().unwrap();
    assert_eq!(own.terms().unwrap().redirect, Redirect::Registered("https://shop.example/back".into()));
}

/// Yandex: PKCE, a consent without the right is not kept, and the connector asks with what was bought.
#[tokio::test]
async fn yandex_gives_what_the_connector_asks_with() {
    let scope = Arc::new(Mutex::new("metrika:write".to_owned()));
    let granted = scope.clone();
    let server = Server::start(move |asked| {
        if asked.path == "/token" {
            let form: BTreeMap<String, String> =
                url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
            assert_eq!(form["client_secret"], "hush");
            let good = match form["grant_type"].as_str() {
                "authorization_code" => form["code"] == "c0de" && form["code_verifier"] == "verifier",
                _ => form["refresh_token"] == "1:refresh",
            };
            if !good {
                return Reply::text(400, r#"{"error": "invalid_grant"}"#);
            }
            return Reply::json(&json!({"access_token": "y0_bought", "refresh_token": "1:refresh",
                "token_type": "bearer", "expires_in": 31_536_000, "scope": *granted.lock().unwrap()}));
        }
        match asked.header("authorization") {
            Some("OAuth y0_bought") => {
                Reply::json(&json!({"counter": {"name": "Shop", "site": "shop.example",
                "time_zone_name": "Europe/Moscow"}, "requests": []}))
            }
            other => panic!("{other:?} for {}", asked.path),
        }
    })
    .await;
    let all = throughline_connectors::all();
    let metrica = all.iter().find(|c| c.name() == "yandex_metrica").unwrap();
    let source = || {
        build(
            metrica.as_ref(),
            json!({"counter": 7, "start_on": "2026-01-01", "client_id": "app", "client_secret": secret("hush"),
                "base_url": server.url, "oauth_url": server.url}),
        )
    };
    let world = World::new();
    let error = source().check(&world.ctx).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Auth && error.hint_text().unwrap().contains("throughline auth"));
    let consent = source().consent().unwrap();
    // The right that is needed was taken out, and a code that is none.
    let error = consent.redeem(&world.ctx, returned("c0de", &[])).await.unwrap_err();
    assert!(error.message().contains("lacks metrika:read"), "{error}");
    assert!(consent.redeem(&world.ctx, returned("other", &[])).await.is_err());
    assert!(world.memory.pairs.lock().unwrap().is_empty(), "nothing of it is kept");
    *scope.lock().unwrap() = "metrika:read metrika:write".into();
    let told = consent.redeem(&world.ctx, returned("c0de", &[])).await.unwrap();
    assert!(told.renewable && told.account == "yandex:metrika:read:app", "{told:?}");
    // Another process finds it.
    let report = source().check(&world.ctx).await.unwrap();
    assert!(report.facts.iter().any(|(_, v)| v.contains("Shop")), "{report:?}");
}

const MANIFEST: &str = r#"
name = "shop"
base_url = "https://api.shop.example"
[options.id]
type = "text"
doc = "x"
[options.code]
type = "secret"
doc = "x"
[[auth]]
kind = "oauth2"
[auth.oauth2]
token_url = "{base_url}/token"
account = "shop:{id}"
code = "code"
refresh = { refresh_token = "{refresh_token}" }
first = { code = "{code}" }
[auth.oauth2.authorize]
url = "https://shop.example/allow"
query = { state = "{state}", id = "{id}" }
[[streams]]
name = "a"
records = "."
request = { path = "/a" }
"#;

#[test]
fn manifests_that_could_be_deceived_are_refused() {
    let parse = |from: &str, to: &str| {
        let text = MANIFEST.replace(from, to);
        assert!(from.is_empty() || text != MANIFEST, "{from}");
        let none = |_: &str| Err("no files".to_owned());
        Manifest::parse(&text, "m.toml", &none).map(drop).map_err(|errors| format!("{errors:?}"))
    };
    assert_eq!(parse("", ""), Ok(()));
    for (from, to, says) in [
        ("state = \"{state}\", ", "", "nothing sends {state}"),
        ("query = {", "host = \"shop.example\"\nquery = {", "127.0.0.1 or localhost"),
        ("query = {", "path = \"back\"\nquery = {", "begins with /"),
        ("query = {", "port = 0\nquery = {", "no port"),
        ("query = {", "option = \"no\"\nquery = {", "option"),
        ("first = { code = \"{code}\" }", "", "authorize needs first"),
        ("id = \"{id}\" }", "id = \"{verifier}\" }", "verifier"),
    ] {
        let said = parse(from, to).expect_err(says);
        assert!(said.contains(says), "{says}: {said}");
    }
}
