//! Hand-worked journeys: from a visit through a message to a deal.

use serde_json::{Value, json};

use crate::support::World;

fn visit(id: &str, at: &str, token: Option<&str>, client: Option<&str>, source: &str, medium: &str) -> Value {
    json!({"visit_id": id, "started_at": at, "token": token, "ym_client_id": client,
           "source": source, "medium": medium, "campaign": format!("{source}-campaign"),
           "entrance_page": "https://shop.example/start?utm_source=x", "region": "Москва"})
}

fn incoming(id: &str, user: &str, at: &str, text: &str, token: Option<&str>) -> Value {
    json!({"platform": "whatsapp", "message_id": id, "conversation_id": format!("whatsapp:100:{user}"),
           "ts": at, "direction": "in", "sender_kind": "customer", "kind": "text", "text": text,
           "channel_account": "100", "business_number": "+74951112233", "user_id": user,
           "phone_e164": format!("+{user}"), "token": token,
           "token_state": if token.is_some() { "ok" } else { "missing" }})
}

fn outgoing(id: &str, user: &str, at: &str, sender: &str) -> Value {
    json!({"platform": "whatsapp", "message_id": id, "conversation_id": format!("whatsapp:100:{user}"),
           "ts": at, "direction": "out", "sender_kind": sender, "kind": "text", "text": "ответ",
           "channel_account": "100", "business_number": "+74951112233", "user_id": user,
           "operator_id": if sender == "operator" { Value::from("crm:1:7") } else { Value::Null }})
}

fn deal(id: &str, contact: Option<&str>, created: &str, won: Option<&str>, minor: i64) -> Value {
    json!({"deal_id": format!("crm:1:{id}"), "created_at": created, "contact_id": contact,
           "state": if won.is_some() { "won" } else { "open" }, "status": "этап", "closed_at": won,
           "value_minor": minor, "currency": "RUB"})
}

const METHODS: &str =
    "SELECT inquiry_id, match_method, channel_id, visit_id FROM inquiries ORDER BY inquiry_id";

#[tokio::test(flavor = "multi_thread")]
async fn a_deal_goes_to_the_campaign_whose_token_came_with_the_first_message() {
    let mut world = World::default();
    world.add(
        "visits",
        json!([
            visit("v1", "2026-03-01T10:00:00Z", Some("HHR3D1196WD"), Some("77"), "Yandex", "CPC"),
            visit("v2", "2026-03-03T10:00:00Z", Some("003JZ9J6GMG"), Some("77"), "vk", "cpc"),
            visit("v3", "2026-03-03T11:00:00Z", None, Some("99"), "google", "cpc"),
        ]),
    );
    world.add(
        "messages",
        json!([
            incoming(
                "m1",
                "79161234567",
                "2026-03-03T10:05:00Z",
                "Здравствуйте [ID:003JZ9J6GMG]",
                Some("003JZ9J6GMG")
            ),
            outgoing("m2", "79161234567", "2026-03-03T10:06:30Z", "operator"),
        ]),
    );
    world.add(
        "contacts",
        json!([{"contact_id": "crm:1:501", "name": "Анна", "phone_e164": "+79161234567",
                                  "email": "Anna@Example.com", "tags": ["vip"]}]),
    );
    world.add("operators", json!([{"operator_id": "crm:1:7", "name": "Олег", "team": "продажи"}]));
    world.add(
        "deals",
        json!([deal(
            "9",
            Some("crm:1:501"),
            "2026-03-03T12:00:00Z",
            Some("2026-03-10T12:00:00Z"),
            1_000_001
        )]),
    );
    world.add(
        "costs",
        json!([
            {"system": "vk_ads", "day": "2026-03-03", "cost_minor": 50_000, "currency": "RUB", "source": "vk",
             "medium": "cpc", "campaign": "vk-campaign", "impressions": 1000, "clicks": 10},
            {"system": "vk_ads", "day": "2026-03-03", "cost_minor": 700, "currency": "RUB", "source": "vk",
             "medium": "cpc", "campaign": "nobody-came"},
            {"system": "manual", "day": "2026-03-03", "cost_minor": 900, "currency": "RUB", "cost_kind": "salary"},
        ]),
    );
    let done = world.run().await;

    assert_eq!(done.rows(METHODS).await, ["whatsapp:m1 | token | paid_social | v2"]);
    // One person: v1 and v2 share a browser, v2's token came from the phone, the phone is the contact's.
    let persons = done.rows("SELECT DISTINCT person_id FROM visits WHERE visit_id <> 'v3'").await;
    assert_eq!(persons, ["p_".to_string() + &crm_hash("crm:1:501")]);
    assert_eq!(
        done.rows("SELECT model, touch_id, credit, gross FROM attribution WHERE conversion_id = 'won:crm:1:9' AND credit > 0 ORDER BY model, touch_index").await,
        [
            "first_touch | visit:v1 | 1.0 | 10000.01",
            "last_non_direct | visit:v2 | 1.0 | 10000.01",
            "last_touch | visit:v2 | 1.0 | 10000.01",
            "linear | visit:v1 | 0.5 | 5000.01",
            "linear | visit:v2 | 0.5 | 5000.00",
            "position_based | visit:v1 | 0.5 | 5000.01",
            "position_based | visit:v2 | 0.5 | 5000.00",
            "time_decay | visit:v1 | 0.4506506745036247 | 4506.51",
            "time_decay | visit:v2 | 0.5493493254963752 | 5493.50",
        ]
    );
    assert_eq!(
        done.rows("SELECT conversion_id, type, value_gross, value_original_minor, is_new_customer, inquiry_id FROM conversions ORDER BY ts").await,
        [
            "lead:crm:1:9 | lead | 0.00 | 1000001 | true | whatsapp:m1",
            "won:crm:1:9 | won | 10000.01 | 1000001 | true | whatsapp:m1",
        ]
    );
    assert_eq!(
        done.one("SELECT first_response_s, handled_by, operator_id, email, contact_name, crm_deal_id, deal_value, resolved, missed, is_new, page_key, region FROM inquiries").await,
        "90 | operator | crm:1:7 | Anna@Example.com | Анна | crm:1:9 | 10000.01 | true | false | true | shop.example/start | Москва"
    );
    assert_eq!(
        done.rows("SELECT date, channel_id, visits, inquiries, leads, sales, gross, cost, roi, cac FROM channel_daily WHERE model = 'last_touch' ORDER BY date, channel_id").await,
        [
            "2026-03-01 | paid_search | 1 | 0 | 0.0 | 0.0 | 0.00 | 0.00 | - | -",
            "2026-03-03 | (none) | 0 | 0 | 0.0 | 0.0 | 0.00 | 9.00 | -100.0 | -",
            "2026-03-03 | paid_search | 1 | 0 | 0.0 | 0.0 | 0.00 | 0.00 | - | -",
            "2026-03-03 | paid_social | 1 | 1 | 1.0 | 0.0 | 0.00 | 507.00 | -100.0 | -",
            // Zero here, but not under first_touch: every model lists the same days and channels.
            "2026-03-10 | paid_search | 0 | 0 | 0.0 | 0.0 | 0.00 | 0.00 | - | -",
            "2026-03-10 | paid_social | 0 | 0 | 0.0 | 1.0 | 10000.01 | 0.00 | - | 0.0",
        ]
    );
    assert_eq!(
        done.rows("SELECT cost, channel_id, joined_level FROM costs ORDER BY cost").await,
        ["7.00 | paid_social | source", "9.00 | (none) | none", "500.00 | paid_social | campaign"]
    );
    assert_eq!(
        done.one("SELECT is_customer, n_inquiries, n_sales, ltv, region FROM dim_person WHERE n_sales > 0")
            .await,
        "true | 1 | 1 | 10000.01 | Москва"
    );
    assert_eq!(done.rows("SELECT count(*) FROM dim_date").await, ["10"]);
}

fn crm_hash(contact: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("crm_contact:{contact}"));
    digest[..8].iter().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_matching_ladder_rung_by_rung() {
    let mut world = World::default();
    world.add(
        "visits",
        json!([
            visit("v-token", "2026-03-01T10:00:00Z", Some("00000000000"), None, "google", "cpc"),
            visit("v-link", "2026-03-01T10:00:00Z", Some("0000000001Y"), None, "vk", "cpc"),
            visit("v-known", "2026-03-01T10:00:00Z", Some("0000000010Z"), None, "news", "email"),
            visit("v-twice-a", "2026-03-01T10:00:00Z", Some("00000000ZZ2"), None, "google", "cpc"),
            visit("v-twice-b", "2026-03-01T11:00:00Z", Some("00000000ZZ2"), None, "google", "cpc"),
        ]),
    );
    let mut link = incoming("m-link", "42", "2026-03-01T12:00:00Z", "/start", Some("0000000001Y"));
    let mut campaign_link = incoming("m-promo", "43", "2026-03-01T12:00:00Z", "/start promo", None);
    for (message, link_ref) in [(&mut link, "0000000001Y"), (&mut campaign_link, "promo_spring")] {
        message["platform"] = "telegram".into();
        message["phone_e164"] = Value::Null;
        message["link_ref"] = link_ref.into();
    }
    let mut ad = incoming("m-ad", "79160000003", "2026-03-01T12:00:00Z", "Хочу узнать цену", None);
    ad["ad_source_type"] = "ad".into();
    ad["ad_id"] = "120210".into();
    ad["ctwa_clid"] = "ARAk".into();
    world.add(
        "messages",
        json!([
            incoming(
                "m-token",
                "79160000001",
                "2026-03-01T12:00:00Z",
                "[ID:00000000000]",
                Some("00000000000")
            ),
            link,
            campaign_link,
            ad,
            // Known from before: the first message matched, the next inquiry comes without a token.
            incoming(
                "m-known-1",
                "79160000004",
                "2026-03-02T12:00:00Z",
                "[ID:0000000010Z]",
                Some("0000000010Z")
            ),
            incoming("m-known-2", "79160000004", "2026-03-20T12:00:00Z", "ещё вопрос", None),
            // Known, but the touch is older than the look-back.
            incoming("m-known-3", "79160000004", "2026-07-20T12:00:00Z", "ещё вопрос", None),
            incoming("m-none", "79160000005", "2026-03-01T12:00:00Z", "Добрый день", None),
            // A token that two visits carry belongs to neither.
            incoming(
                "m-twice",
                "79160000006",
                "2026-03-01T12:00:00Z",
                "[ID:00000000ZZ2]",
                Some("00000000ZZ2")
            ),
            // The link was forwarded: the second sender does not own the visit.
            incoming(
                "m-forward",
                "79160000007",
                "2026-03-01T13:00:00Z",
                "[ID:00000000000]",
                Some("00000000000")
            ),
            // A valid token whose visit was never read.
            incoming(
                "m-lost",
                "79160000008",
                "2026-03-01T13:00:00Z",
                "[ID:003JZ9J6GMG]",
                Some("003JZ9J6GMG")
            ),
        ]),
    );
    world.add(
        "costs",
        json!([{"system": "meta_ads", "day": "2026-03-01", "cost_minor": 100, "currency": "RUB",
        "source": "fb", "medium": "cpc", "campaign": "ctwa", "ad_id": "120210", "ad": "Ролик"}]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT inquiry_id, match_method, token_state, channel_id, touch_id FROM inquiries ORDER BY inquiry_id").await,
        [
            "telegram:m-link | deeplink | ok | paid_social | visit:v-link",
            "telegram:m-promo | deeplink | missing | messenger_link | link:telegram:m-promo",
            "whatsapp:m-ad | ad_referral | missing | click_to_message_ads | ad:whatsapp:m-ad",
            "whatsapp:m-forward | none | ok | (none) | -",
            "whatsapp:m-known-1 | token | ok | email | visit:v-known",
            "whatsapp:m-known-2 | identity | missing | email | visit:v-known",
            "whatsapp:m-known-3 | none | missing | (none) | -",
            "whatsapp:m-lost | none | ok | (none) | -",
            "whatsapp:m-none | none | missing | (none) | -",
            "whatsapp:m-token | token | ok | paid_search | visit:v-token",
            "whatsapp:m-twice | none | ok | (none) | -",
        ]
    );
    // The ad's words come from the ad system's cost rows, so its cost joins it.
    assert_eq!(
        done.one("SELECT k.source, k.campaign, k.ad FROM touches AS t JOIN dim_campaign AS k ON k.campaign_key = t.campaign_key WHERE t.kind = 'ad_referral'").await,
        "fb | ctwa | Ролик"
    );
    assert_eq!(done.one("SELECT channel_id, joined_level FROM costs").await, "click_to_message_ads | ad");
    assert_eq!(
        done.one("SELECT k.campaign FROM touches AS t JOIN dim_campaign AS k ON k.campaign_key = t.campaign_key WHERE t.kind = 'deeplink'").await,
        "promo_spring"
    );
    assert_eq!(done.notice("token_on_two_visits").unwrap().split(' ').next(), Some("1"));
    assert_eq!(done.notice("token_shared").unwrap().split(' ').next(), Some("1"));
    // Two people wrote with one token: they stay two.
    let senders = "SELECT count(DISTINCT person_id) FROM inquiries WHERE inquiry_id IN ('whatsapp:m-token', 'whatsapp:m-forward')";
    assert_eq!(done.one(senders).await, "2");
    assert_eq!(
        done.rows("SELECT inquiry_number, previous_inquiry_id, is_new FROM inquiries WHERE inquiry_id LIKE 'whatsapp:m-known%' ORDER BY ts").await,
        ["1 | - | true", "2 | whatsapp:m-known-1 | false", "3 | whatsapp:m-known-2 | false"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_click_shortly_before_matches_only_when_asked_for_and_alone() {
    let hit = |id: &str, visit: &str, at: &str| {
        json!({"hit_id": id, "visit_id": visit, "at": at, "kind": "messenger_link",
               "url": "https://wa.me/74951112233?text=hi"})
    };
    let mut world = World::with(json!({"time_window_minutes": 5}));
    world.add(
        "visits",
        json!([
            visit("v1", "2026-03-01T10:00:00Z", None, Some("1"), "google", "cpc"),
            visit("v2", "2026-03-01T12:00:00Z", None, Some("2"), "vk", "cpc"),
            visit("v3", "2026-03-01T12:01:00Z", None, Some("3"), "vk", "cpc"),
        ]),
    );
    world.add(
        "hits",
        json!([
            hit("h1", "v1", "2026-03-01T10:04:00Z"),
            hit("h2", "v2", "2026-03-01T12:02:00Z"),
            hit("h3", "v3", "2026-03-01T12:03:00Z"),
        ]),
    );
    world.add(
        "messages",
        json!([
            incoming("m1", "79160000001", "2026-03-01T10:08:00Z", "Здравствуйте", None),
            incoming("m2", "79160000002", "2026-03-01T12:04:00Z", "Здравствуйте", None),
        ]),
    );
    world.add("contacts", json!([{"contact_id": "crm:1:1", "phone_e164": "+79160000001"}]));
    world.add("deals", json!([deal("1", Some("crm:1:1"), "2026-03-01T11:00:00Z", None, 0)]));
    let done = world.run().await;
    assert_eq!(
        done.rows(METHODS).await,
        ["whatsapp:m1 | time_window | paid_search | v1", "whatsapp:m2 | none | (none) | -"]
    );
    // The visit is the writer's, so the deal is its channel's.
    assert_eq!(done.one("SELECT channel_id FROM attribution WHERE model = 'linear'").await, "paid_search");
    world.settings.time_window_minutes = 0;
    let done = world.run().await;
    assert_eq!(done.rows("SELECT match_method FROM inquiries").await, ["none", "none"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deals_find_their_inquiry_and_their_person() {
    let mut world = World::with(json!({"qualified_statuses": ["142"], "reporting_currency": "RUB"}));
    world.add(
        "visits",
        json!([visit("v1", "2026-03-01T10:00:00Z", Some("00000000000"), Some("1"), "google", "cpc")]),
    );
    world.add(
        "messages",
        json!([
            incoming("m1", "79160000001", "2026-03-01T10:05:00Z", "[ID:00000000000]", Some("00000000000")),
            incoming("m2", "79160000001", "2026-03-05T10:05:00Z", "снова я", None),
        ]),
    );
    world.add(
        "contacts",
        json!([{"contact_id": "crm:1:1", "phone_e164": "+79160000001"}, {"contact_id": "crm:1:2"}]),
    );
    let mut by_token = deal("by-token", None, "2026-03-06T10:00:00Z", None, 0);
    by_token["token"] = "00000000000".into();
    let mut deleted = deal("deleted", Some("crm:1:1"), "2026-03-06T10:00:00Z", None, 0);
    deleted["is_deleted"] = true.into();
    let mut tracked = deal("tracked", Some("crm:1:2"), "2026-03-06T10:00:00Z", None, 0);
    tracked["source"] = "yandex".into();
    tracked["medium"] = "cpc".into();
    let mut qualified = deal("between", Some("crm:1:1"), "2026-03-03T10:00:00Z", None, 0);
    qualified["status_id"] = "142".into();
    world.add(
        "deals",
        json!([
            deal("early", Some("crm:1:1"), "2026-02-01T10:00:00Z", None, 0),
            qualified,
            deal("late", Some("crm:1:1"), "2026-03-06T10:00:00Z", None, 0),
            by_token,
            deal("stranger", None, "2026-03-06T10:00:00Z", None, 0),
            deleted,
            tracked,
        ]),
    );
    world.add(
        "deal_events",
        json!([{"event_id": "e1", "deal_id": "crm:1:between", "at": "2026-03-04T10:00:00Z",
        "kind": "status_changed", "status_before": "1", "status_after": "142"}]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT conversion_id, inquiry_id, n_eligible_touches, person_id IS NULL FROM conversions ORDER BY conversion_id").await,
        [
            "lead:crm:1:between | whatsapp:m1 | 1 | false",
            "lead:crm:1:by-token | whatsapp:m1 | 1 | false",
            "lead:crm:1:early | - | 0 | false",
            "lead:crm:1:late | whatsapp:m2 | 1 | false",
            "lead:crm:1:stranger | - | 0 | true",
            "lead:crm:1:tracked | - | 1 | false",
            "qualified:crm:1:between | whatsapp:m1 | 1 | false",
        ]
    );
    assert_eq!(done.one("SELECT ts FROM conversions WHERE type = 'qualified'").await, "2026-03-04T10:00:00Z");
    assert_eq!(
        done.one("SELECT channel_id, touch_id FROM attribution WHERE conversion_id = 'lead:crm:1:tracked' AND model = 'linear'").await,
        "paid_search | deal:crm:1:tracked"
    );
    assert!(done.notice("deal_deleted").unwrap().starts_with("1 "));
    assert!(done.notice("deal_without_person").unwrap().starts_with("1 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn path_transforms_change_the_path_before_credit() {
    let path = ["a", "a", "direct", "b", "a", "direct"];
    for (transforms, expected) in [
        (json!(["exposure"]), "a,direct,b,a,direct"),
        (json!(["first"]), "a,direct,b"),
        (json!(["drop_unless_all(direct)", "exposure"]), "a,b,a"),
        (json!(["drop_last_unless_all(direct)"]), "a,a,direct,b,a"),
        (json!(["last_n(2)", "drop_unless_all(direct)"]), "a"),
        (json!(["unique", "drop_unless_all(no-such-channel)"]), "a,a,direct,b,a,direct"),
    ] {
        let mut world = World::with(json!({"models": ["linear"], "path_transforms": transforms}));
        for (i, channel) in path.iter().enumerate() {
            world.add(
                "touches",
                json!([{"touch_id": format!("t{i}"), "person_id": "p", "channel": channel,
                "ts": format!("2026-03-0{}T00:00:00Z", i + 1)}]),
            );
        }
        world.add(
            "touches",
            json!([{"touch_id": "d", "person_id": "q", "channel": "direct", "ts": "2026-03-01T00:00:00Z"}]),
        );
        world.add(
            "conversions",
            json!([{"conversion_id": "c", "person_id": "p", "ts": "2026-03-09T00:00:00Z"},
                   {"conversion_id": "all-direct", "person_id": "q", "ts": "2026-03-09T00:00:00Z"}]),
        );
        let done = world.run().await;
        let found = done
            .rows("SELECT channel_id FROM attribution WHERE conversion_id = 'c' ORDER BY touch_index")
            .await;
        assert_eq!(found.join(","), expected, "{transforms}");
        // Nothing is ever dropped to nothing.
        assert_eq!(
            done.rows("SELECT channel_id FROM attribution WHERE conversion_id = 'all-direct'").await,
            ["direct"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_window_bounds_conversions_and_nothing_before_them() {
    let mut world =
        World::with(json!({"from": "2026-03-10", "to": "2026-03-20T00:00:00Z", "models": ["linear"]}));
    world.add(
        "touches",
        json!([{"touch_id": "t", "person_id": "p", "channel": "a", "ts": "2026-03-01T00:00:00Z"}]),
    );
    world.add(
        "conversions",
        json!([
            {"conversion_id": "before", "person_id": "p", "ts": "2026-03-09T23:59:59Z", "value_minor": 1, "currency": "EUR"},
            {"conversion_id": "first", "person_id": "p", "ts": "2026-03-10T00:00:00Z", "value_minor": 2, "currency": "EUR"},
            {"conversion_id": "last", "person_id": "p", "ts": "2026-03-19T23:59:59Z", "value_minor": 4, "currency": "EUR"},
            {"conversion_id": "after", "person_id": "p", "ts": "2026-03-20T00:00:00Z", "value_minor": 8, "currency": "EUR"},
        ]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows("SELECT conversion_id, is_new_customer, n_eligible_touches FROM conversions ORDER BY ts")
            .await,
        ["first | false | 1", "last | false | 1"]
    );
    // The person's whole history.
    assert_eq!(done.one("SELECT n_sales, ltv FROM dim_person").await, "4 | 0.15");
}
