//! CoMagic's Data API v2.0, <https://comagic.github.io/data_api/>: JSON-RPC, reports of chats, messages and sessions,
//! employees and channels.
//!
//! What people write to the studio in WhatsApp they write here to its channels; answers are here too. All errors
//! are answers with status 200. What a client could get wrong is refused: an unknown field or parameter, windows that
//! are too long, an order that a report cannot have, offsets beyond 100,000.

mod fields;
mod reports;

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::company::Company;
use crate::faults::Fault;
use crate::reply::{Reply, lock};
use fields::Report;
use reports::Index;

pub const TOKEN: &str = "company-comagic-key-0123456789";
const MOST: usize = 10_000;
const FURTHEST: usize = 100_000;

#[derive(Clone, Debug)]
pub struct Options {
    /// Points of a minute and of a day; 0: enough.
    pub minute_points: u64,
    pub day_points: u64,
    /// How long a minute of points lasts.
    pub minute: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options { minute_points: 0, day_points: 0, minute: Duration::from_secs(60) }
    }
}

#[derive(Default)]
struct Spent {
    since: Option<Instant>,
    minute: u64,
    day: u64,
}

pub struct Comagic {
    options: Options,
    spent: Mutex<Spent>,
    index: OnceLock<Index>,
}

pub struct Refusal {
    code: i64,
    mnemonic: &'static str,
    text: String,
    params: Value,
}

fn refuse<T>(code: i64, mnemonic: &'static str, text: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { code, mnemonic, text: text.into(), params: json!({}) })
}

fn wrong<T>(name: &str) -> Result<T, Refusal> {
    refuse(-32602, "invalid_parameter_value", format!("Invalid value of parameter {name}"))
}

impl Refusal {
    fn reply(self, id: &Value) -> Reply {
        let error = json!({"code": self.code, "message": self.text,
            "data": {"mnemonic": self.mnemonic, "params": self.params, "metadata": {}}});
        Reply::json(200, json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string())
    }
}

fn over(kind: &str, most: u64) -> Refusal {
    let text = format!("Limit per {kind} has been exceeded. Value of current limit per {kind} is {most}");
    let params = json!({"limit_type": kind, "limit_max_value": most});
    Refusal { code: -32029, mnemonic: "limit_exceeded", text, params }
}

/// What a fault's status stands for; 5xx besides 500 is the balancer's own page.
pub fn failure(status: u16) -> Reply {
    let id = json!(1);
    match status {
        429 => over("minute", 100).reply(&id),
        420 => over("day", 5000).reply(&id),
        401 => Refusal {
            code: -32001,
            mnemonic: "access_token_expired",
            text: "Access token has been expired".into(),
            params: json!({}),
        }
        .reply(&id),
        403 => Refusal {
            code: -32003,
            mnemonic: "ip_not_whitelisted",
            text: "Your IP 203.0.113.7 is not whitelisted".into(),
            params: json!({"ip": "203.0.113.7"}),
        }
        .reply(&id),
        500 => Refusal {
            code: -32603,
            mnemonic: "internal_error",
            text: "Internal error".into(),
            params: json!({}),
        }
        .reply(&id),
        _ => Reply::new(status, "text/html", "<html><body>Bad gateway</body></html>"),
    }
}

/// What a request is about, for faults that are to meet one report: its method.
pub fn about(body: &[u8]) -> String {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    request["method"].as_str().unwrap_or_default().to_owned()
}

/// What was asked of a report, looked through.
struct Asked {
    from: i64,
    till: i64,
    offset: usize,
    limit: usize,
    fields: Vec<&'static str>,
}

impl Comagic {
    pub fn new(options: Options) -> Comagic {
        Comagic { options, spent: Mutex::default(), index: OnceLock::new() }
    }

    pub fn answer(&self, call: &Call) -> Reply {
        let Ok(request) = serde_json::from_slice::<Value>(call.body) else {
            return Refusal {
                code: -32700,
                mnemonic: "parse_error",
                text: "Parse error".into(),
                params: json!({}),
            }
            .reply(&Value::Null);
        };
        let id = request["id"].clone();
        match self.rpc(call, &request) {
            Err(refusal) => refusal.reply(&id),
            Ok(result) => Reply::json(200, json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()),
        }
    }

    fn rpc(&self, call: &Call, request: &Value) -> Result<Value, Refusal> {
        if call.method != "POST" || request["jsonrpc"] != "2.0" || request["id"].is_null() {
            return refuse(-32600, "invalid_request", "Invalid request");
        }
        let empty = Map::new();
        let params = request["params"].as_object().unwrap_or(&empty);
        match params.get("access_token").and_then(Value::as_str) {
            None => return refuse(-32602, "required_parameter_missed", "access_token is required"),
            Some(TOKEN) => {}
            Some(_) => return refuse(-32001, "access_token_invalid", "Access token is invalid"),
        }
        let Some(report) = Report::of(request["method"].as_str().unwrap_or_default()) else {
            return refuse(-32601, "method_not_found", "Method not found");
        };
        let asked = asked(call.company, report, params)?;
        let limits = self.spend()?;
        let index = self.index.get_or_init(|| Index::new(call.company));
        let (mut data, total) = index.page(call, report, &asked);
        for fault in call.faults {
            match fault {
                Fault::LeaveOut { rows } => data.truncate(data.len().saturating_sub(*rows)),
                Fault::Malformed { row, .. } => {
                    if let Some(record) = data.get_mut(*row) {
                        *record = "no record".into();
                    }
                }
                _ => {}
            }
        }
        let version = json!({"current_version": "2.0", "current_version_deprecated": false});
        Ok(
            json!({"data": data, "metadata": {"total_items": total, "api_version": version, "limits": limits}}),
        )
    }

    /// Takes a point and tells what is left.
    fn spend(&self) -> Result<Value, Refusal> {
        let Options { minute_points, day_points, minute } = self.options;
        let mut spent = lock(&self.spent);
        let since = *spent.since.get_or_insert_with(Instant::now);
        let mut passed = since.elapsed();
        if passed >= minute {
            (spent.since, spent.minute) = (Some(Instant::now()), 0);
            passed = Duration::ZERO;
        }
        if day_points > 0 && spent.day >= day_points {
            return Err(over("day", day_points));
        }
        if minute_points > 0 && spent.minute >= minute_points {
            return Err(over("minute", minute_points));
        }
        spent.minute += 1;
        spent.day += 1;
        let left = |most: u64, used: u64| if most == 0 { 1000 } else { most - used };
        Ok(json!({
            "day_limit": if day_points == 0 { 100_000 } else { day_points }, "day_remaining": left(day_points, spent.day),
            "day_reset": 3600,
            "minute_limit": if minute_points == 0 { 1000 } else { minute_points },
            "minute_remaining": left(minute_points, spent.minute),
            "minute_reset": minute.saturating_sub(passed).as_secs_f64().ceil(),
        }))
    }

    /// Everything that a report has at that moment, whatever its window.
    pub fn truth(&self, company: &Company, now: i64, method: &str) -> Vec<Value> {
        let Some(report) = Report::of(method) else { return Vec::new() };
        let index = self.index.get_or_init(|| Index::new(company));
        let call = Call { method: "POST", ..Call::of(company, now) };
        let fields = report.fields().to_vec();
        let asked = Asked { from: i64::MIN, till: i64::MAX, offset: 0, limit: usize::MAX, fields };
        index.page(&call, report, &asked).0
    }
}

fn asked(company: &Company, report: Report, params: &Map<String, Value>) -> Result<Asked, Refusal> {
    let known = ["access_token", "user_id", "limit", "offset", "filter", "fields", "sort"];
    let windowed = report.longest_days() > 0;
    for name in params.keys() {
        let dates = windowed && ["date_from", "date_till"].contains(&name.as_str());
        if !dates && !known.contains(&name.as_str()) {
            return refuse(-32602, "unexpected_parameters", format!("Unexpected parameter {name}"));
        }
    }
    let number = |name: &str, default: usize, most: usize| match params.get(name) {
        None => Ok(default),
        Some(value) => match value.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if n <= most => Ok(n),
            _ => wrong(name),
        },
    };
    let mut chosen = report.fields().to_vec();
    if let Some(list) = params.get("fields") {
        let Some(list) = list.as_array() else { return wrong("fields") };
        let find = |name: &Value| report.fields().iter().find(|f| Some(**f) == name.as_str()).copied();
        chosen = list.iter().map(find).collect::<Option<_>>().map_or_else(|| wrong("fields"), Ok)?;
    }
    for by in params.get("sort").and_then(Value::as_array).into_iter().flatten() {
        if !report.sortable().contains(&by["field"].as_str().unwrap_or_default()) {
            return refuse(-32602, "sort_prohibited", format!("Sorting by {} is prohibited", by["field"]));
        }
    }
    let (mut from, mut till) = (i64::MIN, i64::MAX);
    if windowed {
        let date = |name: &str| match params.get(name) {
            None => refuse(-32602, "required_parameter_missed", format!("{name} is required")),
            Some(value) => match value.as_str().and_then(|text| fields::instant(company, text)) {
                Some(at) => Ok(at),
                None => refuse(-32602, "invalid_date_time", format!("{name} is no YYYY-MM-DD hh:mm:ss")),
            },
        };
        (from, till) = (date("date_from")?, date("date_till")?);
        if till - from > report.longest_days() * 86_400 {
            let text = format!("Max value of requested date interval is {} days", report.longest_days());
            return refuse(-32602, "date_interval_limit_reached", text);
        }
    }
    Ok(Asked {
        from,
        till,
        offset: number("offset", 0, FURTHEST)?,
        limit: number("limit", 1000, MOST)?,
        fields: chosen,
    })
}
