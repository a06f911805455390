//! The Logs API: evaluate, create, wait, download parts, clean; with its quotas.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use chrono::NaiveDate;

use crate::call::Call;
use crate::company::{Company, VisitRef};
use crate::faults::Fault;
use crate::metrika::fields::{Field, Model, hit_field, model, visit_field};
use crate::metrika::rows::Writer;
use crate::metrika::stat;
use crate::reply::{Reply, lock, pairs};
use crate::text::{push_date, push_json, push_uint};

pub const TOKEN: &str = "company-metrika-oauth-token";
const COUNTER_PATH: &str = "/management/v1/counter/";
const MAX_FIELDS_CHARS: usize = 3000;
const MAX_PARALLEL: usize = 3;

#[derive(Clone, Debug)]
pub struct Options {
    /// Status reads before an export is ready.
    pub polls: u32,
    /// Visits per part.
    pub part_visits: usize,
    /// Days that one request may span before evaluate says no; 0: no limit but a year.
    pub max_days: i64,
    /// Bytes of prepared, not cleaned logs.
    pub quota_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { polls: 2, part_visits: 2_000, max_days: 0, quota_bytes: 10_000_000_000 }
    }
}

#[derive(Clone)]
struct Export {
    id: u64,
    source: &'static str,
    day1: i64,
    day2: i64,
    names: Vec<String>,
    fields: Vec<Field>,
    attribution: String,
    status: &'static str,
    /// What the answer holds is fixed when the request is made.
    now: i64,
    reads: u32,
    parts: Vec<u64>,
}

#[derive(Default)]
pub struct Logs {
    options: Options,
    exports: Mutex<Vec<Export>>,
    in_flight: AtomicUsize,
}

struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(super) fn parameter(message: &str) -> Reply {
    Reply::metrika(400, "invalid_parameter", message)
}

impl Logs {
    pub fn new(options: Options) -> Logs {
        Logs { options, ..Logs::default() }
    }

    pub fn answer(&self, call: &Call) -> Reply {
        // The header is `OAuth <token>`; public clients that send `Bearer` are served too.
        let token = call.authorization.strip_prefix("OAuth ").or(call.authorization.strip_prefix("Bearer "));
        match token {
            None => return Reply::metrika(401, "unauthorized", "No Authorization header"),
            Some(t) if t != TOKEN => return Reply::metrika(403, "invalid_token", "Invalid oauth_token"),
            Some(_) => {}
        }
        let busy = self.in_flight.fetch_add(1, Ordering::SeqCst);
        let _guard = InFlight(&self.in_flight);
        if busy >= MAX_PARALLEL {
            return Reply::metrika(
                429,
                "quota_parallel_requests",
                "Too many parallel requests of this login",
            );
        }
        if call.path == "/stat/v1/data" {
            return stat::answer(call);
        }
        let Some(rest) = call.path.strip_prefix(COUNTER_PATH) else {
            return Reply::metrika(404, "not_found", "No such resource");
        };
        let (counter, rest) = rest.split_once('/').unwrap_or((rest, ""));
        if counter != call.company.cfg.counter_id.to_string() {
            return Reply::metrika(403, "access_denied", "Access to the counter is denied");
        }
        let parts: Vec<&str> = rest.split('/').filter(|p| !p.is_empty()).collect();
        match (call.method, parts.as_slice()) {
            ("GET", []) => counter_info(call.company),
            ("GET", ["logrequests", "evaluate"]) => self.evaluate(call),
            ("POST", ["logrequests"]) => self.create(call),
            ("GET", ["logrequests"]) => self.list(call.company),
            ("GET", ["logrequest", id]) => self.on(id, |e| status(call, &self.options, e)),
            ("GET", ["logrequest", id, "part", part, "download"]) => self.download(call, id, part),
            ("POST", ["logrequest", id, "clean"]) => self.on(id, |e| {
                if e.status != "processed" {
                    return Reply::metrika(
                        400,
                        "invalid_parameter",
                        "Only a processed request can be cleaned",
                    );
                }
                e.status = "cleaned_by_user";
                e.parts.clear();
                one(call.company, e)
            }),
            ("POST", ["logrequest", id, "cancel"]) => self.on(id, |e| {
                if e.status != "created" {
                    return Reply::metrika(
                        400,
                        "invalid_parameter",
                        "Only a created request can be canceled",
                    );
                }
                e.status = "canceled";
                one(call.company, e)
            }),
            (_, ["logrequests" | "logrequest", ..]) => {
                Reply::metrika(405, "invalid_parameter", "Method not allowed")
            }
            _ => Reply::metrika(404, "not_found", "No such resource"),
        }
    }

    fn used(&self) -> u64 {
        lock(&self.exports).iter().flat_map(|e| &e.parts).sum()
    }

    fn evaluate(&self, call: &Call) -> Reply {
        let e = match parse(call) {
            Ok(e) => e,
            Err(reply) => return reply,
        };
        let most = if self.options.max_days > 0 { self.options.max_days } else { 365 };
        let possible = e.day2 - e.day1 < most && self.used() < self.options.quota_bytes;
        Reply::json(
            200,
            format!(
                "{{\"log_request_evaluation\":{{\"possible\":{possible},\"max_possible_day_quantity\":{most}}}}}"
            ),
        )
    }

    fn create(&self, call: &Call) -> Reply {
        let mut e = match parse(call) {
            Ok(e) => e,
            Err(reply) => return reply,
        };
        if self.options.max_days > 0 && e.day2 - e.day1 >= self.options.max_days {
            return Reply::metrika(400, "too_much_rows", "The period is too long for the quota");
        }
        if self.used() >= self.options.quota_bytes {
            return Reply::metrika(
                400,
                "limit_exceeded",
                "The quota of prepared logs is used up: clean some",
            );
        }
        let mut exports = lock(&self.exports);
        e.id = 7_000_001 + exports.len() as u64;
        let reply = one(call.company, &e);
        exports.push(e);
        reply
    }

    fn list(&self, company: &Company) -> Reply {
        let mut b = String::from("{\"requests\":[");
        for (n, e) in lock(&self.exports).iter().enumerate() {
            if n > 0 {
                b.push(',');
            }
            push_export(&mut b, company, e);
        }
        b.push_str("]}");
        Reply::json(200, b)
    }

    fn on(&self, id: &str, f: impl FnOnce(&mut Export) -> Reply) -> Reply {
        let mut exports = lock(&self.exports);
        match exports.iter_mut().find(|e| id.parse() == Ok(e.id)) {
            Some(e) => f(e),
            None => Reply::metrika(404, "not_found", "No such log request"),
        }
    }

    fn download(&self, call: &Call, id: &str, part: &str) -> Reply {
        let found = lock(&self.exports).iter().find(|e| id.parse() == Ok(e.id)).cloned();
        let Some(e) = found else { return Reply::metrika(404, "not_found", "No such log request") };
        if e.status != "processed" {
            return Reply::metrika(400, "invalid_parameter", "The request is not processed");
        }
        let Some(part) = part.parse::<usize>().ok().filter(|p| *p < e.parts.len()) else {
            return Reply::metrika(404, "not_found", "No such part");
        };
        let mut body = part_text(call.company, &self.options, &e, part).into_bytes();
        for f in call.faults {
            if let Fault::Malformed { variant, row } = f {
                spoil(&mut body, variant, *row);
            }
        }
        Reply::new(200, "text/tab-separated-values; charset=utf-8", body)
    }
}

fn status(call: &Call, options: &Options, e: &mut Export) -> Reply {
    if e.status == "created" || e.status == "awaiting_retry" {
        e.reads += 1;
        for f in call.faults {
            match f {
                Fault::JobFails => {
                    e.status = "processing_failed";
                    return one(call.company, e);
                }
                Fault::JobRetries => {
                    e.status = "awaiting_retry";
                    return one(call.company, e);
                }
                _ => {}
            }
        }
        if e.reads >= options.polls {
            e.status = "processed";
            let n = visits(call.company, e).len().div_ceil(options.part_visits.max(1)).max(1);
            e.parts = (0..n).map(|p| part_text(call.company, options, e, p).len() as u64).collect();
        }
    }
    one(call.company, e)
}

/// The visits an export speaks of; hits may belong to a visit of the evening before.
fn visits(company: &Company, e: &Export) -> Arc<[VisitRef]> {
    let (from, to) = (company.cfg.midnight(e.day1), company.cfg.midnight(e.day2 + 1));
    let early = if e.source == "hits" { 2 * 3600 } else { 0 };
    company.visits_between(from - early, to, e.now).collect()
}

/// A part is a whole file: its own header, then its rows.
fn part_text(company: &Company, options: &Options, e: &Export, part: usize) -> String {
    let visits = visits(company, e);
    let writer = Writer {
        company,
        now: e.now,
        fields: &e.fields,
        from: company.cfg.midnight(e.day1),
        to: company.cfg.midnight(e.day2 + 1),
    };
    let mut out = e.names.join("\t");
    out.push('\n');
    let size = options.part_visits.max(1);
    for v in visits.iter().skip(part * size).take(size) {
        if e.source == "hits" {
            writer.hits(*v, &mut out);
        } else {
            writer.visit(*v, &mut out);
        }
    }
    out
}

/// Makes one row of a part unusable.
pub(crate) fn spoil(body: &mut Vec<u8>, variant: &str, row: usize) {
    let starts: Vec<usize> = std::iter::once(0)
        .chain(body.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1))
        .collect();
    let Some((start, end)) = starts.get(row + 1).copied().zip(starts.get(row + 2).map(|e| e - 1)) else {
        return;
    };
    match variant {
        "extra_cell" => drop(body.splice(end..end, b"\textra".iter().copied())),
        "bad_utf8" => drop(body.splice(end..end, [0xFF, 0xFE, b'x'])),
        _ => {
            // A row of zero dates: every digit of the line becomes 0.
            for b in &mut body[start..end] {
                if b.is_ascii_digit() {
                    *b = b'0';
                }
            }
        }
    }
}

fn parse(call: &Call) -> Result<Export, Reply> {
    let mut date1 = None;
    let mut date2 = None;
    let mut source = None;
    let mut names: Vec<String> = Vec::new();
    let mut attribution = "LASTSIGN".to_owned();
    for (k, v) in pairs(call.query) {
        match k.as_str() {
            "date1" => date1 = Some(v),
            "date2" => date2 = Some(v),
            "source" => source = Some(v),
            "attribution" => attribution = v,
            "fields" => {
                if v.len() > MAX_FIELDS_CHARS {
                    return Err(parameter("fields: at most 3000 characters"));
                }
                names.extend(v.split(',').map(str::to_owned));
            }
            _ => {}
        }
    }
    let missing = |name: &str| Reply::metrika(400, "missing_parameter", &format!("{name} is required"));
    let day = |name: &str, v: Option<String>| -> Result<i64, Reply> {
        let v = v.ok_or_else(|| missing(name))?;
        NaiveDate::parse_from_str(&v, "%Y-%m-%d")
            .map(|d| i64::from(d.to_epoch_days()))
            .map_err(|_| parameter(&format!("{name}: YYYY-MM-DD is needed")))
    };
    let (day1, day2) = (day("date1", date1)?, day("date2", date2)?);
    let default = model(&attribution).ok_or_else(|| parameter("attribution: unknown model"))?;
    if day1 > day2 {
        return Err(parameter("date1 is later than date2"));
    }
    if day2 >= call.company.cfg.day_of(call.now) {
        return Err(parameter("date2 must be earlier than today"));
    }
    if day2 - day1 > 365 {
        return Err(parameter("the period is longer than a year"));
    }
    type Find = fn(&str, Model) -> Option<Field>;
    let (source, find): (&'static str, Find) = match source.ok_or_else(|| missing("source"))?.as_str() {
        "visits" => ("visits", visit_field),
        "hits" => ("hits", |n, _| hit_field(n)),
        _ => return Err(parameter("source: visits or hits")),
    };
    if names.is_empty() {
        return Err(missing("fields"));
    }
    let mut fields = Vec::with_capacity(names.len());
    for n in &names {
        fields.push(find(n, default).ok_or_else(|| parameter(&format!("unknown field {n}")))?);
    }
    Ok(Export {
        id: 0,
        source,
        day1,
        day2,
        names,
        fields,
        attribution,
        status: "created",
        now: call.now,
        reads: 0,
        parts: Vec::new(),
    })
}

fn one(company: &Company, e: &Export) -> Reply {
    let mut b = String::from("{\"log_request\":");
    push_export(&mut b, company, e);
    b.push('}');
    Reply::json(200, b)
}

fn push_export(b: &mut String, company: &Company, e: &Export) {
    let _ = write!(
        b,
        "{{\"request_id\":{},\"counter_id\":{},\"source\":\"{}\",\"date1\":\"",
        e.id, company.cfg.counter_id, e.source
    );
    push_date(b, e.day1);
    b.push_str("\",\"date2\":\"");
    push_date(b, e.day2);
    b.push_str("\",\"fields\":[");
    for (n, f) in e.names.iter().enumerate() {
        if n > 0 {
            b.push(',');
        }
        push_json(b, f);
    }
    let _ = write!(b, "],\"status\":\"{}\",\"size\":", e.status);
    push_uint(b, e.parts.iter().sum());
    b.push_str(",\"parts\":[");
    for (n, size) in e.parts.iter().enumerate() {
        let _ = write!(b, "{}{{\"part_number\":{n},\"size\":{size}}}", if n > 0 { "," } else { "" });
    }
    let _ = write!(b, "],\"attribution\":\"{}\"}}", e.attribution);
}

fn counter_info(company: &Company) -> Reply {
    let cfg = &company.cfg;
    Reply::json(
        200,
        format!(
            "{{\"counter\":{{\"id\":{},\"status\":\"Active\",\"name\":\"studio.example\",\"site\":\"studio.example\",\
             \"time_zone_name\":\"{}\",\"time_zone_offset\":{},\"currency\":643}}}}",
            cfg.counter_id,
            cfg.zone,
            cfg.offset(cfg.start_at()) / 60
        ),
    )
}
