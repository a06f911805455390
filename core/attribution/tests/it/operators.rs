//! Operators' load, working hours, scenarios and what an inquiry ends in.

use serde_json::{Value, json};

use crate::support::World;

fn message(id: &str, user: &str, at: &str, sender: &str, text: &str) -> Value {
    let operator = sender.strip_prefix("operator:").map(|o| format!("crm:1:{o}"));
    json!({"platform": "whatsapp", "message_id": id, "conversation_id": format!("whatsapp:1:{user}"),
           "ts": at, "direction": if sender == "customer" { "in" } else { "out" },
           "sender_kind": sender.split(':').next().unwrap(), "text": text, "user_id": user,
           "business_number": "+74951112233", "operator_id": operator})
}

/// Friday 2026-03-06 evening to Tuesday 2026-03-10; Monday is a holiday. Moscow is three hours ahead.
fn office() -> World {
    let mut world = World::with(json!({"inquiry_gap_hours": 168.0, "working_hours": {
        "time_zone": "Europe/Moscow", "hours": ["09:00-13:00", "14:00-18:00"], "holidays": ["2026-03-09"]}}));
    world.add(
        "messages",
        json!([
            // 17:50 to 17:55 local: five minutes, all of them working time.
            message("a1", "79160000001", "2026-03-06T14:50:00Z", "customer", "Здравствуйте"),
            message("a2", "79160000001", "2026-03-06T14:55:00Z", "operator:7", "Добрый день"),
            // Friday 17:30 to Tuesday 09:10: half an hour and ten minutes of work.
            message("b1", "79160000002", "2026-03-06T14:30:00Z", "customer", "Есть размер 42?"),
            message("b2", "79160000002", "2026-03-10T06:10:00Z", "operator:8", "Есть"),
            // Tuesday 12:50 to 14:20, with the break between: ten and twenty minutes.
            message("c1", "79160000003", "2026-03-10T09:50:00Z", "customer", "Вы на связи?"),
            message("c2", "79160000003", "2026-03-10T11:20:00Z", "operator:7", "Да"),
            // Passed on to another, who ends with a question nobody answers.
            message("c3", "79160000003", "2026-03-10T11:21:00Z", "customer", "Нужна скидка"),
            message("c4", "79160000003", "2026-03-10T11:22:00Z", "operator:8", "Какая сумма? "),
            // Nobody ever answers.
            message("d1", "79160000004", "2026-03-10T12:00:00Z", "customer", "Алло"),
        ]),
    );
    world.add("contacts", json!([{"contact_id": "crm:1:1", "phone_e164": "+79160000001"}]));
    world.add(
        "deals",
        json!([
            {"deal_id": "crm:1:d1", "created_at": "2026-03-06T15:00:00Z", "contact_id": "crm:1:1", "state": "won",
             "closed_at": "2026-03-10T15:00:00Z", "value_minor": 50_000, "currency": "RUB", "operator_id": "crm:1:7"},
            {"deal_id": "crm:1:d2", "created_at": "2026-01-10T15:00:00Z", "state": "won",
             "closed_at": "2026-03-10T16:00:00Z", "value_minor": 7_000, "currency": "RUB"}]),
    );
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_counted_by_the_clock_and_by_working_hours() {
    let done = office().run().await;
    assert_eq!(
        done.rows(
            "SELECT inquiry_id, first_response_s, first_response_working_s FROM inquiries ORDER BY inquiry_id"
        )
        .await,
        [
            "whatsapp:a1 | 300 | 300",
            // 3 days 15 hours 40 minutes on the clock.
            "whatsapp:b1 | 315600 | 2400",
            "whatsapp:c1 | 5400 | 1800",
            "whatsapp:d1 | - | -",
        ]
    );
    assert_eq!(
        done.rows(
            "SELECT date, answered, missed, first_response_working_sum_s, avg_first_response_working_s, \
             p50_first_response_working_s, p90_first_response_working_s, turns, response_working_sum_s, \
             avg_response_s, avg_response_working_s, p50_response_working_s, p90_response_working_s \
             FROM messenger_daily WHERE inquiries > 0 ORDER BY date"
        )
        .await,
        [
            "2026-03-06 | 2 | 0 | 2700 | 1350.0 | 300 | 2400 | 2 | 2700 | 157950.0 | 1350.0 | 300 | 2400",
            // Turns of c: 5400 s and 60 s, of them 1800 and 60 in working hours.
            "2026-03-10 | 1 | 1 | 1800 | 1800.0 | 1800 | 1800 | 2 | 1860 | 2730.0 | 930.0 | 60 | 1800",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_have_their_inquiries_turns_hours_and_sales() {
    let done = office().run().await;
    assert_eq!(
        done.rows(
            "SELECT date, operator_id, platform, inquiries, answered, missed, transferred, turns, response_sum_s, messages, \
             active_hours, messages_per_hour, sales, net FROM operator_daily ORDER BY date, operator_id, platform"
        )
        .await,
        [
            "2026-03-06 | crm:1:7 | whatsapp | 1 | 1 | 0 | 0 | 1 | 300 | 1 | 1 | 1.0 | 0 | 0.00",
            // The turn counts on the day its inquiry began, the message on the day it was written.
            "2026-03-06 | crm:1:8 | whatsapp | 1 | 1 | 0 | 0 | 1 | 315600 | 0 | 0 | - | 0 | 0.00",
            // The deal without an owner, and the inquiry nobody answered.
            "2026-03-10 | (none) | (none) | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | - | 1 | 70.00",
            "2026-03-10 | (none) | whatsapp | 1 | 0 | 1 | 0 | 0 | 0 | 0 | 0 | - | 0 | 0.00",
            "2026-03-10 | crm:1:7 | whatsapp | 1 | 1 | 0 | 1 | 1 | 5400 | 1 | 1 | 1.0 | 1 | 500.00",
            "2026-03-10 | crm:1:8 | whatsapp | 0 | 0 | 0 | 0 | 1 | 60 | 2 | 2 | 1.0 | 0 | 0.00",
        ]
    );
    assert_eq!(
        done.rows(
            "SELECT inquiry_id, resolved, missed, abandoned, transferred FROM inquiries ORDER BY inquiry_id"
        )
        .await,
        [
            "whatsapp:a1 | true | false | false | false",
            "whatsapp:b1 | true | false | false | false",
            "whatsapp:c1 | false | false | true | true",
            "whatsapp:d1 | false | true | true | false",
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn scenarios_lose_people_step_by_step() {
    let mut world = World::default();
    let event = |id: &str, at: &str, step: &str, no: i64, kind: &str, session: Option<&str>, user: &str| {
        json!({"event_id": id, "at": at, "scenario": "запись", "step": step, "step_no": no, "kind": kind,
               "session_id": session, "platform": "whatsapp", "conversation_id": format!("whatsapp:1:{user}")})
    };
    world.add(
        "messages",
        json!([
            message("m1", "79160000001", "2026-03-01T10:00:00Z", "customer", "Записаться"),
            message("m2", "79160000001", "2026-03-01T10:00:05Z", "bot", "Выберите день."),
            message("n1", "79160000002", "2026-03-01T11:00:00Z", "customer", "Записаться"),
            message("n2", "79160000002", "2026-03-01T11:00:05Z", "bot", "Готово."),
        ]),
    );
    world.add(
        "scenario_events",
        json!([
            // One session asks twice in its step, does not understand once, and is left there.
            event("1", "2026-03-01T10:00:00Z", "услуга", 1, "entered", Some("s1"), "79160000001"),
            event("2", "2026-03-01T10:00:01Z", "услуга", 1, "passed", Some("s1"), "79160000001"),
            event("3", "2026-03-01T10:00:05Z", "день", 2, "entered", Some("s1"), "79160000001"),
            event("4", "2026-03-01T10:01:00Z", "день", 2, "fallback", Some("s1"), "79160000001"),
            event("5", "2026-03-01T10:01:01Z", "день", 2, "entered", Some("s1"), "79160000001"),
            // Without sessions every entrance is a walk: the first is handed over, the second passes.
            event("6", "2026-03-01T11:00:00Z", "услуга", 1, "entered", None, "79160000002"),
            event("7", "2026-03-01T11:00:01Z", "услуга", 1, "escalated", None, "79160000002"),
            event("8", "2026-03-01T11:00:02Z", "услуга", 1, "entered", None, "79160000002"),
            event("9", "2026-03-01T11:00:04Z", "услуга", 1, "passed", None, "79160000002"),
            // The next day: passed is entered as well, though nobody said so.
            event("10", "2026-03-02T09:00:00Z", "услуга", 1, "passed", Some("s3"), "79160000003"),
        ]),
    );
    let done = world.run().await;
    assert_eq!(
        done.rows(
            "SELECT date, step_no, step, entered, passed, dropped, escalated, fallbacks FROM funnel_steps ORDER BY date, step_no"
        )
        .await,
        [
            "2026-03-01 | 1 | услуга | 3 | 2 | 1 | 1 | 0",
            "2026-03-01 | 2 | день | 1 | 0 | 1 | 0 | 1",
            "2026-03-02 | 1 | услуга | 1 | 1 | 0 | 0 | 0",
        ]
    );
    // Whose scenario was left half-way is not served by the bot, though the bot had the last word.
    assert_eq!(
        done.rows("SELECT inquiry_id, resolved, abandoned FROM inquiries ORDER BY inquiry_id").await,
        ["whatsapp:m1 | false | true", "whatsapp:n1 | true | false"]
    );
    assert_eq!(
        done.one("SELECT bot, contained, containment_rate, abandoned FROM messenger_daily").await,
        "2 | 1 | 0.5 | 1"
    );
}
