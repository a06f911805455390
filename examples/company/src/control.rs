//! `/_company/...`: the switches and counters of the company itself.

use chrono::DateTime;
use serde_json::{Value, json};

use crate::call::Call;
use crate::faults::Rule;
use crate::reply::Reply;
use crate::server::Server;
use crate::text::rfc3339;
use crate::truth;

pub fn answer(s: &Server, call: &Call) -> Reply {
    let what = call.path.strip_prefix("/_company/").unwrap_or("");
    match (call.method, what) {
        ("GET", "stats") => stats(s),
        ("DELETE", "stats") => {
            s.stats.reset();
            ok()
        }
        ("GET", "faults") => {
            let fired: Vec<Value> =
                s.faults.fired().iter().map(|(rule, fired)| json!({"rule": rule, "fired": fired})).collect();
            Reply::json(200, json!({ "faults": fired }).to_string())
        }
        ("POST", "faults") => set_faults(s, call.body),
        ("GET", "now") => Reply::json(200, json!({"now": rfc3339(s.now()), "unix": s.now()}).to_string()),
        ("POST", "now") => set_now(s, call.body),
        ("GET", "truth") => match serde_json::to_string(&s.counts()) {
            Ok(text) => Reply::json(200, text),
            Err(e) => error(500, &e.to_string()),
        },
        ("GET", "tokens") => {
            let (access, refresh) = s.auth.current();
            Reply::json(200, json!({"access_token": access, "refresh_token": refresh}).to_string())
        }
        ("GET", "truth/deals.csv") => csv(s, truth::write_deals),
        ("GET", "truth/visits.csv") => csv(s, truth::write_visits),
        ("GET", "truth/inquiries.csv") => csv(s, truth::write_inquiries),
        ("GET", "truth/campaigns.csv") => csv(s, truth::write_campaigns),
        ("GET", "costs.csv") => text(crate::costs::costs_csv(&s.company, s.now())),
        ("GET", "rates.csv") => text(crate::costs::rates_csv(&s.company, s.now())),
        _ => error(404, "stats, faults, now, tokens, truth, truth/*.csv, costs.csv, rates.csv"),
    }
}

fn ok() -> Reply {
    Reply::json(200, "{\"ok\":true}")
}

fn error(status: u16, message: &str) -> Reply {
    Reply::json(status, json!({ "error": message }).to_string())
}

fn text(body: String) -> Reply {
    Reply::new(200, "text/csv; charset=utf-8", body)
}

type Write = fn(&crate::company::Company, i64, &mut dyn std::io::Write) -> std::io::Result<()>;

fn csv(s: &Server, write: Write) -> Reply {
    let mut out = Vec::new();
    match write(&s.company, s.now(), &mut out) {
        Ok(()) => Reply::new(200, "text/csv; charset=utf-8", out),
        Err(e) => error(500, &e.to_string()),
    }
}

fn stats(s: &Server) -> Reply {
    let mut v = match serde_json::to_value(s.stats.snapshot()) {
        Ok(v) => v,
        Err(e) => return error(500, &e.to_string()),
    };
    v["faults"] = json!(s.faults.by_kind());
    Reply::json(200, v.to_string())
}

/// `{"faults":[...]}`, each an object or its short form; replaces all rules, so an empty list clears them.
fn set_faults(s: &Server, body: &[u8]) -> Reply {
    let list = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(mut o)) => o.remove("faults"),
        Ok(list @ Value::Array(_)) => Some(list),
        _ => None,
    };
    let Some(Value::Array(list)) = list else {
        return error(400, "{\"faults\":[...]} is needed");
    };
    let mut rules = Vec::with_capacity(list.len());
    for item in list {
        let rule = match item {
            Value::String(short) => Rule::parse(&short),
            item => serde_json::from_value::<Rule>(item).map_err(|e| e.to_string()).and_then(Rule::checked),
        };
        match rule {
            Ok(r) => rules.push(r),
            Err(e) => return error(400, &e),
        }
    }
    s.faults.set(rules);
    ok()
}

/// `{"now":"2026-09-01T00:00:00+03:00"}`, `{"now":1788210000}` or `{"advance_s":86400}`.
fn set_now(s: &Server, body: &[u8]) -> Reply {
    let Ok(v) = serde_json::from_slice::<Value>(body) else { return error(400, "a JSON object is needed") };
    let now = match (&v["now"], v["advance_s"].as_i64()) {
        (Value::String(t), _) => DateTime::parse_from_rfc3339(t).ok().map(|t| t.timestamp()),
        (Value::Number(n), _) => n.as_i64(),
        (_, Some(s_)) => s.now().checked_add(s_),
        _ => None,
    };
    let Some(now) = now.filter(|n| (0..=4_102_444_800).contains(n)) else {
        return error(400, "now: RFC 3339 or unix seconds; or advance_s");
    };
    match s.set_now(now) {
        Ok(()) => Reply::json(200, json!({"now": rfc3339(now), "unix": now}).to_string()),
        Err(e) => error(500, &format!("the output folder: {e}")),
    }
}
