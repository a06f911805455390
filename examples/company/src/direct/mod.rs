//! Yandex Direct: the Reports service with its queue of offline reports, and Clients.get.
//!
//! Reports do not cost points; a report is known by its name, and the name stands for its parameters.

pub mod report;

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::call::Call;
use crate::faults::Fault;
use crate::reply::{Reply, lock};

pub const TOKEN: &str = "company-direct-oauth-token";
pub const LOGIN: &str = "studio-svet";

/// Offline reports of a user that may wait at a time.
const QUEUE: usize = 5;
/// Finished reports are kept so long, by the company's clock.
const KEPT_S: i64 = 5 * 3600;

#[derive(Clone, Debug)]
pub struct Options {
    /// Questions that are answered with 201 and 202 before a report is ready; 0: it comes at once.
    pub polls: u32,
    /// What `retryIn` says, in seconds.
    pub retry_in: u64,
    /// Days back from today whose clicks still hold those of robots: one in ten more, and its cost.
    pub robots_days: i64,
    /// Percent of VAT in the costs.
    pub vat: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { polls: 2, retry_in: 1, robots_days: 0, vat: 20 }
    }
}

struct Report {
    params: Value,
    asked: u32,
    /// What it says is fixed when it is ordered.
    now: i64,
    ready: bool,
}

pub struct Direct {
    options: Options,
    reports: Mutex<BTreeMap<String, Report>>,
}

/// Direct's error object.
pub fn refuse(status: u16, code: u32, text: &str, detail: &str) -> Reply {
    let error = json!({"error": {"request_id": "8695244274068608439", "error_code": code, "error_string": text,
        "error_detail": detail}});
    Reply::json(status, error.to_string())
}

impl Direct {
    pub fn new(options: Options) -> Direct {
        Direct { options, reports: Mutex::default() }
    }

    pub fn answer(&self, call: &Call) -> Reply {
        if call.authorization != format!("Bearer {TOKEN}") {
            return refuse(400, 53, "Authorization error", "Invalid OAuth token");
        }
        let login = call.header("client-login");
        if !login.is_empty() && login != LOGIN {
            return refuse(400, 54, "No rights", "The login is no client of this agency");
        }
        if call.method != "POST" {
            return refuse(400, 8000, "Invalid request", "POST is needed");
        }
        let Ok(body) = serde_json::from_slice::<Value>(call.body) else {
            return refuse(400, 8000, "Invalid request", "The body is no JSON");
        };
        match call.path {
            "/json/v5/clients" | "/json/v501/clients" => clients(&body),
            "/json/v5/reports" | "/json/v501/reports" => self.report(call, &body),
            _ => refuse(404, 55, "Method not found", call.path),
        }
    }

    fn report(&self, call: &Call, body: &Value) -> Reply {
        let mut params = body["params"].clone();
        let name = params.as_object_mut().and_then(|p| p.remove("ReportName"));
        let name = name.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
        if name.is_empty() || name.chars().count() > 255 {
            return refuse(400, 8000, "Invalid request", "ReportName: a name of 1 to 255 characters");
        }
        let today = call.company.cfg.day_of(call.now);
        let wanted = match report::Wanted::parse(&params, today) {
            Ok(wanted) => wanted,
            Err(detail) => return refuse(400, 4001, "Invalid report parameters", &detail),
        };
        let mode = call.header("processingmode");
        let polls = match mode {
            "" | "auto" => self.options.polls,
            "offline" => self.options.polls.max(1),
            "online" => 0,
            _ => return refuse(400, 8000, "Invalid request", "processingMode: auto, online or offline"),
        };
        let mut reports = lock(&self.reports);
        let gone = call.faults.contains(&Fault::JobFails);
        reports.retain(|n, r| !(n == &name && gone) && call.now - r.now < KEPT_S);
        let waiting = reports.values().filter(|r| !r.ready).count();
        let is_new = !reports.contains_key(&name);
        if is_new && polls > 0 && waiting >= QUEUE {
            return refuse(400, 9000, "Too many reports in queue", "");
        }
        let report = reports.entry(name).or_insert_with(|| Report {
            params: params.clone(),
            asked: 0,
            now: call.now,
            ready: polls == 0,
        });
        if report.params != params {
            let detail = "A report of this name was ordered with other parameters";
            return refuse(400, 4000, "Invalid report parameters", detail);
        }
        if !report.ready && (report.asked < polls || call.faults.contains(&Fault::JobRetries)) {
            report.asked += 1;
            let mut reply = Reply::new(if is_new { 201 } else { 202 }, "", Vec::new());
            reply.headers.push(("retryIn", self.options.retry_in.to_string()));
            let queued = waiting + usize::from(is_new);
            reply.headers.push(("reportsInQueue", queued.to_string()));
            return reply;
        }
        report.ready = true;
        let style = report::Style {
            title: call.header("skipreportheader") != "true",
            columns: call.header("skipcolumnheader") != "true",
            summary: call.header("skipreportsummary") != "true",
            micros: call.header("returnmoneyinmicros") != "false",
        };
        let lost = call.faults.iter().map(|f| if let Fault::LeaveOut { rows } = f { *rows } else { 0 }).sum();
        let mut body =
            report::text(call.company, &self.options, report.now, &wanted, style, lost).into_bytes();
        for fault in call.faults {
            if let Fault::Malformed { variant, row } = fault {
                crate::metrika::requests::spoil(&mut body, variant, *row);
            }
        }
        Reply::new(200, "text/tab-separated-values; charset=utf-8", body)
    }

    /// What Direct says of one day of one keyword at a moment: clicks, cost with VAT in minor units.
    pub fn figures(&self, cost: &crate::costs::Cost, today: i64) -> (u64, u64) {
        report::figures(&self.options, cost, today)
    }
}

fn clients(body: &Value) -> Reply {
    if body["method"] != "get" || !body["params"]["FieldNames"].is_array() {
        return refuse(200, 8000, "Invalid request", "method get with FieldNames is needed");
    }
    let answer = json!({"result": {"Clients": [{"Login": LOGIN, "Currency": "RUB"}]}});
    let mut reply = Reply::json(200, answer.to_string());
    reply.headers.push(("Units", "10/63990/64000".to_owned()));
    reply
}
