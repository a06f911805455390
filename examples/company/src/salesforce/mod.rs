//! Salesforce: OAuth, descriptions, queries by pages, bulk jobs of API 2.0, limits.
//!
//! What a client could get wrong is refused: fields and objects that are not there, a forgotten query, results of a job
//! that is not done, requests beyond the day's.

pub mod auth;
pub mod bulk;
pub mod objects;
pub mod records;
pub mod soql;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use crate::call::Call;
use crate::company::Company;
use crate::faults::Fault;
use crate::reply::{Reply, lock, pairs};
use auth::Auth;
use bulk::Jobs;
use objects::{ALL, Kind};
use records::Row;
use soql::Query;

/// So many queries of a user are remembered.
const OPEN_QUERIES: usize = 10;

#[derive(Clone, Debug, Default)]
pub struct Options {
    /// API requests in 24 hours; 0: no end. The company's day does not end.
    pub daily: u64,
    /// Every refresh token is good once.
    pub rotate: bool,
    /// `Opportunity.Amount`: fields that the user does not see.
    pub hidden: Vec<String>,
    /// Objects that there are none of.
    pub missing: Vec<String>,
    /// Queries over more records than this time out; 0: none does.
    pub slow_from: usize,
    /// A query is forgotten after so many further pages; 0: never.
    pub kept_pages: usize,
    /// Objects that bulk jobs do not take.
    pub no_bulk: Vec<String>,
    /// Questions about a job until it is done.
    pub polls: u64,
    /// Only the first piece of a job's results has a header.
    pub header_once: bool,
}

/// A query that is not read to its end.
struct Cursor {
    id: String,
    query: Query,
    rows: Arc<Vec<Row>>,
    size: usize,
    pages: usize,
}

#[derive(Default)]
struct Inner {
    cursors: Vec<Cursor>,
    queries: u64,
    requests: u64,
    /// When records were changed apart from the story, in milliseconds.
    changed: BTreeMap<(Kind, String), i64>,
    turn: u64,
}

pub struct Salesforce {
    pub options: Options,
    pub auth: Auth,
    pub jobs: Jobs,
    inner: Mutex<Inner>,
}

impl Salesforce {
    pub fn new(options: Options) -> Self {
        Self { options, auth: Auth::default(), jobs: Jobs::default(), inner: Mutex::default() }
    }

    pub fn answer(&self, call: &Call) -> Reply {
        if call.path == "/services/oauth2/authorize" {
            return self.auth.consents.ask(call.query, auth::CLIENT_ID, false, &[]);
        }
        if call.path == "/services/oauth2/token" {
            return self.auth.grant(call, &self.options);
        }
        if !self.auth.allows(call.authorization) {
            return refuse(401, "INVALID_SESSION_ID", "Session expired or invalid");
        }
        let (used, most) = {
            let mut inner = lock(&self.inner);
            let most = if self.options.daily > 0 { self.options.daily } else { 1_000_000 };
            if inner.requests >= most {
                return refuse(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.");
            }
            inner.requests += 1;
            (inner.requests, most)
        };
        let mut reply = self.route(call, used, most);
        reply.headers.push(("sforce-limit-info", format!("api-usage={used}/{most}")));
        reply
    }

    fn route(&self, call: &Call, used: u64, most: u64) -> Reply {
        let parts: Vec<&str> = call.path.split('/').filter(|p| !p.is_empty()).collect();
        let ["services", "data", version, rest @ ..] = parts.as_slice() else {
            return refuse(404, "NOT_FOUND", "The requested resource does not exist");
        };
        let asked = pairs(call.query);
        let get = |name: &str| asked.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        match (call.method, rest) {
            ("GET", ["limits"]) => {
                let limit = |max: u64, used: u64| json!({"Max": max, "Remaining": max - used});
                let body =
                    json!({"DailyApiRequests": limit(most, used), "DailyBulkV2QueryJobs": limit(10_000, 3)});
                Reply::json(200, body.to_string())
            }
            ("GET", ["sobjects", name, "describe"]) => self.describe(name),
            ("GET", ["query" | "queryAll"]) => {
                let all = rest[0] == "queryAll";
                match self.parsed(get("q").unwrap_or_default()) {
                    Ok(query) => self.first(call, query, all, version),
                    Err(refusal) => refusal,
                }
            }
            ("GET", ["query" | "queryAll", locator]) => self.further(call, locator, version),
            (_, ["jobs", "query", ..]) => bulk::answer(self, call, &rest[2..]),
            _ => refuse(404, "NOT_FOUND", "The requested resource does not exist"),
        }
    }

    fn parsed(&self, text: &str) -> Result<Query, Reply> {
        let query = soql::parse(text, &self.options.hidden).map_err(|(code, why)| refuse(400, code, &why))?;
        match self.options.missing.iter().any(|m| m == query.kind.name()) {
            true => Err(refuse(400, "INVALID_TYPE", "sObject type is not supported.")),
            false => Ok(query),
        }
    }

    fn describe(&self, name: &str) -> Reply {
        let kind = Kind::of(name).filter(|k| !self.options.missing.iter().any(|m| m == k.name()));
        let Some(kind) = kind else {
            return refuse(404, "NOT_FOUND", "The requested resource does not exist");
        };
        let fields: Vec<Value> = (kind.fields().iter())
            .filter(|(name, _)| !self.options.hidden.contains(&format!("{}.{name}", kind.name())))
            .map(|(name, of)| {
                json!({"name": name, "label": name, "type": of, "filterable": !matches!(*of, "address" | "textarea"),
                       "custom": name.ends_with("__c"), "nillable": *name != "Id", "sortable": true})
            })
            .collect();
        let body = json!({
            "name": kind.name(), "label": kind.name(), "queryable": true, "retrieveable": true, "custom": false,
            "fields": fields, "childRelationships": [], "recordTypeInfos": [],
        });
        Reply::json(200, body.to_string())
    }

    /// Records that a query is about, in its order.
    pub fn found(&self, call: &Call, query: &Query, deleted_too: bool) -> Vec<Row> {
        let mut rows = records::rows(call.company, query.kind, call.now);
        let inner = lock(&self.inner);
        for row in &mut rows {
            if let Some(at) = inner.changed.get(&(query.kind, row.id.clone())) {
                row.changed_ms = row.changed_ms.max(*at);
            }
        }
        rows.retain(|row| {
            let holds = |c: &soql::Condition| c.holds(&row.id, row.created_ms, row.changed_ms);
            (deleted_too || !row.deleted) && query.conditions.iter().all(|any| any.iter().any(holds))
        });
        if !query.order.is_empty() {
            let by_time = query.order.iter().any(|o| o != "Id");
            rows.sort_by(|a, b| {
                let at = |r: &Row| match (by_time, query.order[0].as_str()) {
                    (false, _) => 0,
                    (true, "CreatedDate") => r.created_ms,
                    (true, _) => r.changed_ms,
                };
                (at(a), &a.id).cmp(&(at(b), &b.id))
            });
        }
        rows.truncate(query.limit.unwrap_or(usize::MAX));
        rows
    }

    /// A record's fields, as they are now.
    pub fn fields(&self, call: &Call, query: &Query, row: &Row) -> Map<String, Value> {
        let mut row = row.clone();
        if let Some(at) = lock(&self.inner).changed.get(&(query.kind, row.id.clone())) {
            row.changed_ms = row.changed_ms.max(*at);
        }
        let mut known = records::record(call.company, query.kind, &row, call.now);
        query.fields.iter().map(|f| ((*f).to_owned(), known.remove(*f).unwrap_or_default())).collect()
    }

    fn first(&self, call: &Call, query: Query, all: bool, version: &str) -> Reply {
        let rows = Arc::new(self.found(call, &query, all));
        if self.options.slow_from > 0 && rows.len() > self.options.slow_from {
            return refuse(400, "QUERY_TIMEOUT", "Your query request was running for too long.");
        }
        let size =
            call.header("sforce-query-options").strip_prefix("batchSize=").and_then(|n| n.parse().ok());
        let size = size.unwrap_or(2000).clamp(200, 2000);
        let mut inner = lock(&self.inner);
        inner.queries += 1;
        let id = format!("01g5g{:010}AAQ", inner.queries);
        let cursor = Cursor { id, query, rows, size, pages: 0 };
        drop(inner);
        let reply = self.page(call, &cursor, 0, version);
        if cursor.rows.len() > size {
            let mut inner = lock(&self.inner);
            if inner.cursors.len() >= OPEN_QUERIES {
                inner.cursors.remove(0);
            }
            inner.cursors.push(cursor);
        }
        reply
    }

    fn further(&self, call: &Call, locator: &str, version: &str) -> Reply {
        let gone = || refuse(400, "INVALID_QUERY_LOCATOR", "invalid query locator");
        let Some((id, from)) = locator.rsplit_once('-') else { return gone() };
        let Ok(from) = from.parse::<usize>() else { return gone() };
        let mut inner = lock(&self.inner);
        let Some(place) = inner.cursors.iter().position(|c| c.id == id) else { return gone() };
        let mut cursor = inner.cursors.remove(place);
        drop(inner);
        cursor.pages += 1;
        if self.options.kept_pages > 0 && cursor.pages > self.options.kept_pages {
            return gone();
        }
        let reply = self.page(call, &cursor, from, version);
        lock(&self.inner).cursors.push(cursor);
        reply
    }

    fn page(&self, call: &Call, cursor: &Cursor, from: usize, version: &str) -> Reply {
        for fault in call.faults {
            if let Fault::Touch { rows } = fault {
                self.touch(call.now, cursor, *rows);
            }
        }
        let to = (from + cursor.size).min(cursor.rows.len());
        let kind = cursor.query.kind.name();
        let mut list: Vec<Value> = cursor.rows[from.min(to)..to]
            .iter()
            .map(|row| {
                let url = format!("/services/data/{version}/sobjects/{kind}/{}", row.id);
                let mut record = Map::new();
                record.insert("attributes".into(), json!({"type": kind, "url": url}));
                record.extend(self.fields(call, &cursor.query, row));
                record.into()
            })
            .collect();
        spoil(call.faults, &mut list);
        let mut body =
            json!({"totalSize": cursor.rows.len(), "done": to == cursor.rows.len(), "records": list});
        if to < cursor.rows.len() {
            body["nextRecordsUrl"] = format!("/services/data/{version}/query/{}-{to}", cursor.id).into();
        }
        Reply::json(200, body.to_string())
    }

    /// Lets some records of a query change at this very moment, as people do while somebody reads.
    fn touch(&self, now: i64, cursor: &Cursor, rows: usize) {
        let mut inner = lock(&self.inner);
        for _ in 0..rows.min(cursor.rows.len()) {
            let at = inner.turn.wrapping_mul(7_919).wrapping_add(3) % cursor.rows.len() as u64;
            inner.turn += 1;
            let id = cursor.rows[at as usize].id.clone();
            inner.changed.insert((cursor.query.kind, id), now * 1000);
        }
    }

    /// Lets records have been changed at one moment, as an import does.
    pub fn change(&self, kind: Kind, numbers: impl IntoIterator<Item = u64>, at_ms: i64) {
        let changed = numbers.into_iter().map(|n| ((kind, kind.id(n)), at_ms));
        lock(&self.inner).changed.extend(changed);
    }

    /// Every query that is not read to its end is forgotten.
    pub fn forget_queries(&self) {
        lock(&self.inner).cursors.clear();
    }
}

/// What faults make of a page's records.
fn spoil(faults: &[Fault], list: &mut Vec<Value>) {
    for fault in faults {
        match fault {
            Fault::LeaveOut { rows } => {
                list.drain(..(*rows).min(list.len()));
            }
            Fault::Malformed { variant, row } if variant == "not_an_object" => {
                if let Some(record) = list.get_mut(*row) {
                    *record = json!("a text where a record was");
                }
            }
            _ => {}
        }
    }
}

/// All objects with how many records there are, deleted ones included.
pub fn counts(company: &Company, now: i64) -> BTreeMap<&'static str, usize> {
    ALL.into_iter().map(|kind| (kind.name(), records::rows(company, kind, now).len())).collect()
}

/// Salesforce's errors are a list.
pub fn refuse(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, json!([{"message": message, "errorCode": code}]).to_string())
}

/// What a fault's status says.
pub fn failure(path: &str, status: u16) -> Reply {
    if path.starts_with("/services/oauth2/") {
        return Reply::json(status, json!({"error": "server_error"}).to_string());
    }
    match status {
        401 => refuse(401, "INVALID_SESSION_ID", "Session expired or invalid"),
        403 => refuse(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        429 => refuse(
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        ),
        503 => refuse(503, "SERVER_UNAVAILABLE", "Server Unavailable"),
        500.. => refuse(status, "UNKNOWN_EXCEPTION", "An unexpected error occurred."),
        _ => refuse(status, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record"),
    }
}
