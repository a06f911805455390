//! The small lists: account, users, pipelines, loss reasons, fields, and what this company leaves empty.

use std::fmt::Write as _;

use serde_json::json;

use crate::amocrm::query::Query;
use crate::amocrm::write::{FIELDS, OPTIONS};
use crate::amocrm::{ACCOUNT_ID, Call, SUBDOMAIN};
use crate::deal::{FIRST_USER, LOST, PIPELINES, WON};
use crate::reply::Reply;
use crate::text::push_json;
use crate::words::{LOSS_REASONS, OPERATORS};
use crate::written::{Made, Written};

pub fn answer(call: &Call, parts: &[&str], written: &Written) -> Reply {
    let query = match Query::parse(call.query, 250) {
        Ok(q) => q,
        Err(reply) => return reply,
    };
    match parts {
        ["account"] => account(call, &query),
        ["users"] => users(call, &query),
        ["leads", "pipelines"] => pipelines(call),
        ["leads", "loss_reasons"] => loss_reasons(call),
        ["leads", "custom_fields"] => {
            let own = FIELDS.iter().map(|(id, name, code, kind)| Made {
                key: id.to_string(),
                code: (*code).to_owned(),
                label: (*name).to_owned(),
                kind: (*kind).to_owned(),
            });
            custom_fields(call, &query, "leads", &own.chain(written.made()).collect::<Vec<_>>())
        }
        ["contacts", "custom_fields"] => custom_fields(
            call,
            &query,
            "contacts",
            &[("810001", "Телефон", "PHONE"), ("810003", "Email", "EMAIL")].map(|(key, label, code)| Made {
                key: key.to_owned(),
                code: code.to_owned(),
                label: label.to_owned(),
                kind: "multitext".to_owned(),
            }),
        ),
        ["companies" | "sources" | "customers" | "tasks"]
        | ["leads", "unsorted" | "notes"]
        | ["contacts", "notes" | "chats"] => Reply::nothing(),
        _ => Reply::problem(404, "Not Found", "No such resource"),
    }
}

fn account(call: &Call, q: &Query) -> Reply {
    let mut b = format!(
        "{{\"id\":{ACCOUNT_ID},\"name\":\"Студия «Свет»\",\"subdomain\":\"{SUBDOMAIN}\",\"created_at\":{},\
         \"created_by\":0,\"updated_at\":{},\"updated_by\":0,\"current_user_id\":{FIRST_USER},\"country\":\"RU\",\
         \"customers_mode\":\"disabled\",\"is_unsorted_on\":true,\"is_loss_reason_enabled\":true,\
         \"is_helpbot_enabled\":false,\"is_technical_account\":false,\"contact_name_display_order\":1,\
         \"currency\":\"RUB\",\"currency_symbol\":\"₽\"",
        call.company.cfg.start_at() - 900 * 86_400,
        call.company.cfg.start_at() - 30 * 86_400
    );
    if q.with("amojo_id") {
        b.push_str(",\"amojo_id\":\"0f6d3b52-6d0d-4b8e-8d0c-7d7f0f6b1a01\"");
    }
    if q.with("version") {
        b.push_str(",\"version\":25");
    }
    let mut embedded = Vec::new();
    if q.with("datetime_settings") {
        embedded.push(format!(
            "\"datetime_settings\":{{\"date_pattern\":\"d.m.Y H:i\",\"short_date_pattern\":\"d.m.Y\",\
             \"time_format\":\"H:i:s\",\"timezone\":\"{}\",\"timezone_offset\":\"+03:00\"}}",
            call.company.cfg.zone
        ));
    }
    if q.with("users_groups") {
        embedded.push("\"users_groups\":[{\"id\":0,\"name\":\"Отдел продаж\",\"uuid\":null}]".to_owned());
    }
    let _ = write!(
        b,
        ",\"_links\":{{\"self\":{{\"href\":\"{}/api/v4/account\"}}}},\"_embedded\":{{{}}}}}",
        call.base,
        embedded.join(",")
    );
    Reply::hal(b)
}

fn users(call: &Call, q: &Query) -> Reply {
    let from = ((q.page - 1).saturating_mul(q.limit)).min(OPERATORS.len() as u64) as usize;
    let page: Vec<_> = OPERATORS.iter().enumerate().skip(from).take(q.limit as usize).collect();
    if page.is_empty() {
        return Reply::nothing();
    }
    let pages = (OPERATORS.len() as u64).div_ceil(q.limit);
    let mut b = format!(
        "{{\"_total_items\":{},\"_page\":{},\"_page_count\":{pages},\"_links\":{{\"self\":{{\"href\":\"{}/api/v4/users?{}\"}}",
        OPERATORS.len(),
        q.page,
        call.base,
        q.with_page(q.page)
    );
    if q.page < pages {
        let _ =
            write!(b, ",\"next\":{{\"href\":\"{}/api/v4/users?{}\"}}", call.base, q.with_page(q.page + 1));
    }
    b.push_str("},\"_embedded\":{\"users\":[");
    for (n, (i, (name, email, team))) in page.iter().enumerate() {
        let id = FIRST_USER + *i as u32;
        if n > 0 {
            b.push(',');
        }
        let _ = write!(b, "{{\"id\":{id},\"name\":");
        push_json(&mut b, name);
        let _ = write!(
            b,
            ",\"email\":\"{email}\",\"lang\":\"ru\",\"rights\":{{\"leads\":{{\"view\":\"A\",\"edit\":\"A\",\
             \"add\":\"A\",\"delete\":\"D\",\"export\":\"M\"}},\"mail_access\":false,\"catalog_access\":true,\
             \"status_rights\":null,\"is_admin\":{},\"is_free\":false,\"is_active\":true,\"group_id\":{},\
             \"role_id\":null}},\"_links\":{{\"self\":{{\"href\":\"{}/api/v4/users/{id}\"}}}},\"_embedded\":\
             {{\"roles\":[]",
            *i == 0,
            100 + i,
            call.base
        );
        if q.with("group") {
            let _ = write!(b, ",\"groups\":[{{\"id\":{},\"name\":", 100 + i);
            push_json(&mut b, team);
            b.push_str("}]");
        }
        b.push_str("}}");
    }
    b.push_str("]}}");
    Reply::hal(b)
}

fn pipelines(call: &Call) -> Reply {
    let mut b = format!(
        "{{\"_total_items\":{},\"_links\":{{\"self\":{{\"href\":\"{}/api/v4/leads/pipelines\"}}}},\"_embedded\":\
         {{\"pipelines\":[",
        PIPELINES.len(),
        call.base
    );
    for (n, p) in PIPELINES.iter().enumerate() {
        if n > 0 {
            b.push(',');
        }
        let here = format!("{}/api/v4/leads/pipelines/{}", call.base, p.id);
        let _ = write!(
            b,
            "{{\"id\":{},\"name\":\"{}\",\"sort\":{},\"is_main\":{},\"is_unsorted_on\":true,\"is_archive\":false,\
             \"account_id\":{ACCOUNT_ID},\"_links\":{{\"self\":{{\"href\":\"{here}\"}}}},\"_embedded\":\
             {{\"statuses\":[",
            p.id,
            p.name,
            n + 1,
            n == 0
        );
        let ends = [(WON, "Успешно реализовано", "#CCFF66"), (LOST, "Закрыто и не реализовано", "#D5D8DB")];
        for (m, (id, name, color)) in p.steps.iter().chain(&ends).enumerate() {
            let sort = if *id == WON || *id == LOST { id * 100 } else { 10 * (m as u32 + 1) };
            let _ = write!(
                b,
                "{}{{\"id\":{id},\"name\":\"{name}\",\"sort\":{sort},\"is_editable\":{},\"pipeline_id\":{},\
                 \"color\":\"{color}\",\"type\":{},\"account_id\":{ACCOUNT_ID},\"_links\":{{\"self\":{{\"href\":\
                 \"{here}/statuses/{id}\"}}}}}}",
                if m > 0 { "," } else { "" },
                (1..4).contains(&m),
                p.id,
                u8::from(m == 0)
            );
        }
        b.push_str("]}}");
    }
    b.push_str("]}}");
    Reply::hal(b)
}

fn loss_reasons(call: &Call) -> Reply {
    let mut b = format!(
        "{{\"_total_items\":{},\"_links\":{{\"self\":{{\"href\":\"{}/api/v4/leads/loss_reasons\"}}}},\"_embedded\":\
         {{\"loss_reasons\":[",
        LOSS_REASONS.len(),
        call.base
    );
    for (n, (id, name)) in LOSS_REASONS.iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let _ = write!(b, "{comma}{{\"id\":{id},\"name\":\"{name}\",\"sort\":{}}}", (n + 1) * 1000);
    }
    b.push_str("]}}");
    Reply::hal(b)
}

fn custom_fields(call: &Call, q: &Query, entity: &str, fields: &[Made]) -> Reply {
    if q.page > 1 {
        return Reply::nothing();
    }
    let mut b = format!(
        "{{\"_total_items\":{},\"_page\":1,\"_page_count\":1,\"_links\":{{\"self\":{{\"href\":\
         \"{}/api/v4/{entity}/custom_fields?page=1\"}}}},\"_embedded\":{{\"custom_fields\":[",
        fields.len(),
        call.base
    );
    for (n, field) in fields.iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        let Made { key, code, label, kind } = field;
        let code = if code.is_empty() { "null".to_owned() } else { format!("\"{code}\"") };
        let enums: Vec<_> =
            OPTIONS.iter().map(|(id, value)| json!({ "id": id, "value": value, "sort": id })).collect();
        let enums = if kind == "select" { json!(enums) } else { json!(null) };
        let _ = write!(
            b,
            "{comma}{{\"id\":{key},\"name\":\"{label}\",\"type\":\"{kind}\",\"account_id\":{ACCOUNT_ID},\"code\":{code},\
             \"sort\":{},\"is_api_only\":false,\"enums\":{enums},\"entity_type\":\"{entity}\"}}",
            500 + n
        );
    }
    b.push_str("]}}");
    Reply::hal(b)
}
