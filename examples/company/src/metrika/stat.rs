//! The reporting API, as far as it tells how many visits a day had.

use std::fmt::Write as _;

use chrono::NaiveDate;

use super::requests::parameter;
use crate::call::Call;
use crate::reply::{Reply, pairs};
use crate::text::{push_date, push_uint};

/// `GET /stat/v1/data` with `ym:s:visits`, in all or by `ym:s:date`.
pub fn answer(call: &Call) -> Reply {
    let query = pairs(call.query);
    let get = |name: &str| query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    if get("ids") != Some(call.company.cfg.counter_id.to_string().as_str()) {
        return Reply::metrika(403, "access_denied", "Access to the counter is denied");
    }
    if get("metrics") != Some("ym:s:visits") {
        return parameter("metrics: this counter reports ym:s:visits only");
    }
    let by_date = match get("dimensions") {
        None | Some("") => false,
        Some("ym:s:date") => true,
        Some(_) => return parameter("dimensions: ym:s:date or none"),
    };
    let day = |name: &str| {
        get(name)
            .and_then(|v| NaiveDate::parse_from_str(v, "%Y-%m-%d").ok())
            .map(|d| i64::from(d.to_epoch_days()))
            .ok_or_else(|| parameter(&format!("{name}: YYYY-MM-DD is needed")))
    };
    let (day1, day2) = match (day("date1"), day("date2")) {
        (Ok(a), Ok(b)) if a <= b && b - a <= 3660 => (a, b),
        (Err(e), _) | (_, Err(e)) => return e,
        _ => return parameter("date1 and date2: a period of at most ten years"),
    };
    let company = call.company;
    let count = |day: i64| {
        let end = company.cfg.midnight(day + 1).min(call.now + 1);
        company.visits_between(company.cfg.midnight(day), end, call.now).count()
    };
    let days: Vec<(i64, usize)> = (day1..=day2).map(|d| (d, count(d))).collect();
    let total: usize = days.iter().map(|(_, n)| n).sum();
    let mut b = String::from("{\"query\":{\"ids\":[");
    push_uint(&mut b, company.cfg.counter_id);
    b.push_str("]},\"data\":[");
    let mut rows = 0;
    if by_date {
        for (day, n) in days.iter().filter(|(_, n)| *n > 0) {
            b.push_str(if rows > 0 {
                ",{\"dimensions\":[{\"name\":\""
            } else {
                "{\"dimensions\":[{\"name\":\""
            });
            push_date(&mut b, *day);
            let _ = write!(b, "\"}}],\"metrics\":[{n}.0]}}");
            rows += 1;
        }
    } else {
        let _ = write!(b, "{{\"dimensions\":[],\"metrics\":[{total}.0]}}");
        rows = 1;
    }
    let _ = write!(
        b,
        "],\"total_rows\":{rows},\"total_rows_rounded\":false,\"sampled\":false,\"contains_sensitive_data\":false,\
         \"sample_share\":1.0,\"sample_size\":{total},\"sample_space\":{total},\"data_lag\":0,\
         \"totals\":[{total}.0],\"min\":[0.0],\"max\":[{total}.0]}}"
    );
    Reply::json(200, b)
}
