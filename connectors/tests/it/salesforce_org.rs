//! The Salesforce connector: signing in, limits, rights and options.

use company::salesforce::{self as org, auth};
use serde_json::json;
use throughline_connectors::salesforce::SalesforceConnector;
use throughline_core::{ErrorKind, Options, SourceConnector};

use crate::harness::{NOW, World, read, request, secret};
use crate::salesforce::{complete, faults, salesforce, there, with};

#[tokio::test]
async fn the_days_requests_are_left_to_others() {
    let company = with(900, 0, org::Options { daily: 10, ..Default::default() }).await;
    let share = |percent: u32| json!({"most_daily_percent": percent, "most_run_percent": 100});
    let (world, source) = (World::new(), salesforce(&company.url(), share(40)));
    let got = read(&world, &source, request("opportunities", None)).await;
    let error = got.error.as_ref().unwrap();
    assert!(error.kind() == ErrorKind::RateLimited && error.is_temporary(), "{error:?}");
    assert!(error.to_string().contains("used 4 of its 10") && error.hint_text().unwrap().contains("goes on"));
    // The next run goes on behind what is safe.
    let all = salesforce(&company.url(), share(100));
    let rest = read(&world, &all, request("opportunities", got.checkpoint())).await.ok();
    assert!(complete(&rest), "{:?}", rest.counts);
    let safe = got.checkpoints.last().unwrap().0;
    assert_eq!(safe + rest.rows.len(), there(&company, "Opportunity"));
    // And when they are used up, Salesforce says so.
    let error = loop {
        if let Some(error) = read(&world, &all, request("users", None)).await.error {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::RateLimited);
}

#[tokio::test]
async fn a_run_takes_its_share_of_the_day_and_the_next_goes_on() {
    let company = with(900, 0, org::Options { daily: 100, ..Default::default() }).await;
    let source = salesforce(&company.url(), json!({"most_daily_percent": 100, "most_run_percent": 4}));
    let mut world = World::new();
    let asked = || -> u64 {
        let requests = company.server.stats.snapshot().requests;
        requests.iter().filter(|(path, _)| path.contains("/services/data/")).map(|(_, times)| times).sum()
    };
    let (mut checkpoint, mut safe, mut runs) = (None, 0, 0);
    let rest = loop {
        runs += 1;
        assert!(runs < 10, "it does not get on");
        // The same source, as in a daemon; each run has a scratch folder of its own.
        world.ctx.scratch = std::env::temp_dir().join(format!("run-{runs}"));
        let before = asked();
        let got = read(&world, &source, request("opportunities", checkpoint.take())).await;
        let Some(error) = &got.error else { break got };
        assert_eq!(asked() - before, 4, "4 % of 100 requests");
        assert!(error.kind() == ErrorKind::RateLimited && error.is_temporary(), "{error:?}");
        assert!(error.to_string().contains("has sent 4 of the 100"), "{error}");
        assert!(error.hint_text().unwrap().contains("most_run_percent"));
        // One share for all streams of a run: the next one asks nothing any more.
        let other = read(&world, &source, request("users", None)).await;
        assert_eq!(other.error.unwrap().kind(), ErrorKind::RateLimited);
        assert_eq!(asked() - before, 4);
        safe += got.checkpoints.last().unwrap().0;
        checkpoint = got.checkpoint();
    };
    assert!(runs > 1 && complete(&rest), "{runs} runs, {:?}", rest.counts);
    assert_eq!(safe + rest.rows.len(), there(&company, "Opportunity"));
}

#[tokio::test]
async fn every_way_to_sign_in() {
    let company = with(260, 0, org::Options { rotate: true, ..Default::default() }).await;
    let world = World::new();
    let expected = there(&company, "Opportunity");
    let refresh = json!({"refresh_token": secret(auth::REFRESH_TOKEN)});
    let key = secret(&company::ga4::auth::pem());
    let signed = json!({"client_secret": null, "username": auth::USERNAME, "private_key": key});
    for (more, grants) in [(json!({}), 2), (refresh.clone(), 2), (signed.clone(), 2)] {
        let source = salesforce(&company.url(), more.clone());
        faults(&company, &["expire_token:at=3"]);
        let before = company.server.stats.snapshot().requests.get("POST /services/oauth2/token").copied();
        let got = read(&world, &source, request("opportunities", None)).await.ok();
        assert_eq!(got.rows.len(), expected, "{more}");
        let after = company.server.stats.snapshot().requests["POST /services/oauth2/token"];
        assert_eq!(after - before.unwrap_or(0), grants, "{more}");
        faults(&company, &[]);
    }
    // A later process with the first refresh token, which is void now, goes on with what was kept.
    let world_of_refresh = World::new();
    let company = with(10, 0, org::Options { rotate: true, ..Default::default() }).await;
    for _ in 0..3 {
        let source = salesforce(&company.url(), refresh.clone());
        read(&world_of_refresh, &source, request("users", None)).await.ok();
        company.server.salesforce.auth.expire();
    }
    // Without what was kept, it is refused, and told without the token.
    let error = read(&World::new(), &salesforce(&company.url(), refresh), request("users", None)).await;
    let error = error.error.unwrap();
    assert!(
        error.kind() == ErrorKind::Auth && error.hint_text().unwrap().contains("sign in anew"),
        "{error:?}"
    );
    assert!(!format!("{error:?}").contains(auth::REFRESH_TOKEN), "{error:?}");
    for (more, kind, said) in [
        (json!({"org_id": "00D000000000001"}), ErrorKind::Config, "these credentials are of the org 00D5g"),
        (json!({"client_secret": secret("wrong")}), ErrorKind::Auth, "invalid_client"),
        (
            json!({"client_secret": null, "username": "x@y.example", "private_key": signed["private_key"]}),
            ErrorKind::Auth,
            "user hasn't approved",
        ),
    ] {
        let source = salesforce(&company.url(), more);
        for _ in 0..2 {
            let error = read(&World::new(), &source, request("users", None)).await.error.unwrap();
            assert!(error.kind() == kind && error.to_string().contains(said), "{error:?}");
        }
    }
}

#[tokio::test]
async fn fields_and_objects_that_are_not_there() {
    let hidden = vec!["Opportunity.Amount".to_owned(), "Lead.TL_Token__c".to_owned()];
    let missing = vec!["Campaign".to_owned(), "Account".to_owned()];
    let company = with(60, 0, org::Options { hidden, missing, ..Default::default() }).await;
    let (world, source) =
        (World::new(), salesforce(&company.url(), json!({"objects": ["LeadHistory", "Nobody__c"]})));
    let got = read(&world, &source, request("opportunities", None)).await.ok();
    assert!(got.has("fields_hidden: the user does not see Amount of Opportunity"), "{:?}", got.notices);
    assert!(got.rows.iter().all(|r| r["Studio_City__c"] == "Москва" && !r.contains_key("Amount")));
    let got = read(&world, &source, request("campaigns", None)).await.ok();
    assert!(got.has("object_missing") && got.rows.is_empty());
    let error = read(&world, &source, request("accounts", None)).await.error.unwrap();
    assert!(
        error.kind() == ErrorKind::NotFound && error.hint_text().unwrap().contains("Account"),
        "{error:?}"
    );
    let error = read(&world, &source, request("Nobody__c", None)).await.error.unwrap();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // One that only grows is read by when its records were made.
    let got = read(&world, &source, request("LeadHistory", None)).await.ok();
    assert_eq!(got.rows.len(), there(&company, "LeadHistory"));
    let again = read(&world, &source, request("LeadHistory", got.checkpoint())).await.ok();
    assert_eq!(again.rows.len(), 0);
    // A field that appears is told.
    let seen = with(60, 0, org::Options::default()).await;
    let source = salesforce(&seen.url(), json!({}));
    let first =
        read(&world, &salesforce(&company.url(), json!({})), request("opportunities", None)).await.ok();
    seen.server.set_now(NOW + 60).unwrap();
    let got = read(&World::new(), &source, request("opportunities", first.checkpoint())).await.ok();
    assert!(got.has("fields_changed"), "{:?}", got.notices);
    let report = salesforce(&company.url(), json!({})).check(&World::new().ctx).await.unwrap();
    let warnings = report.warnings.join("\n");
    assert!(
        warnings.contains("does not see Amount") && warnings.contains("Lead has no field TL_Token__c"),
        "{warnings}"
    );
    assert!(report.facts.contains(&("currency".into(), "RUB".into())), "{report:?}");
}

#[test]
fn wrong_options_are_told() {
    let value = json!({
        "org_id": "12345", "client_id": "c", "username": "u", "login_url": "http://evil.example", "api_version": "v61",
        "start_on": "yesterday", "objects": ["Visit c", "lead"], "token_field": "a.b", "currency": "euro",
        "time_zone": "Moscow", "page_rows": 1, "overlap_minutes": 0, "most_daily_percent": 0,
        "most_run_percent": 101,
        "lost_lead_statuses": ["a|b"],
    });
    let options = Options { name: "s".into(), value, base_dir: ".".into() };
    let errors = SalesforceConnector.build(&options).map(|_| ()).unwrap_err();
    let said: String = errors.iter().map(|e| format!("{e}\n")).collect();
    for words in [
        "\"12345\" is no org's id",
        "username goes with private_key",
        "\"http://evil.example\" is no https",
        "\"v61\" is no version",
        "\"yesterday\" is no day",
        "\"Visit c\" is no object",
        "lead is read already, as the stream leads",
        "\"a.b\" is no field",
        "\"euro\" is no currency",
        "\"Moscow\" is no time zone",
        "1 is not from 200 to 2000",
        "0 is not from 1 to 1440",
        "0 is not from 1 to 100",
        "101 is not from 1 to 100",
        "with | in it",
    ] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    for (more, words) in [
        (json!({"client_secret": null}), "a way to sign in is needed"),
        (
            json!({"private_key": secret("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"), "username": "u"}),
            "no RSA key",
        ),
        (json!({"private_key": secret("x")}), "username is needed too"),
        (json!({"private_key": secret("x"), "username": "u", "refresh_token": secret("r")}), "leave out one"),
    ] {
        let value = crate::salesforce::options("https://login.salesforce.com", more);
        let options = Options { name: "s".into(), value, base_dir: ".".into() };
        let said = format!("{:?}", SalesforceConnector.build(&options).map(|_| ()).unwrap_err());
        assert!(said.contains(words) && !said.contains("c2VjcmV0"), "{said}");
    }
}
