//! BigQuery over REST, with the one dataset that Analytics exports into: tables, jobs, results.
//!
//! Of SQL it knows `SELECT columns FROM` one of its tables.

use std::collections::BTreeMap;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Call, events, pretty, refuse};
use crate::company::Company;
use crate::faults::Fault;
use crate::reply::{Reply, lock, pairs};
use crate::text::push_date;

pub const PROJECT: &str = "studio-svet";
pub const DATASET: &str = "analytics_412000777";
pub const LOCATION: &str = "europe-west3";
/// Answers hold so many bytes of rows at most.
const MOST_BYTES: usize = 10 << 20;

#[derive(Clone, Debug)]
pub struct Options {
    /// Days back from today whose tables lack events that come later.
    pub late_days: i64,
    /// So long after midnight there is no table of the day before, only its intraday one, in seconds.
    pub ready_s: i64,
    /// Tables of the first so many days lack `session_traffic_source_last_click`.
    pub old_days: i64,
    /// Questions for results that are answered with `jobComplete: false`.
    pub polls: u32,
    /// Rows of an answer at most, whatever is asked for.
    pub page_rows: usize,
    /// Tables of an answer at most.
    pub list_rows: usize,
    /// What a cell weighs on the bill.
    pub cell_bytes: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            late_days: 0,
            ready_s: 0,
            old_days: 0,
            polls: 1,
            page_rows: 100_000,
            list_rows: 50,
            cell_bytes: 45,
        }
    }
}

struct Job {
    columns: Vec<String>,
    day: i64,
    events: Vec<events::Event>,
    now: i64,
    asked: u32,
    failed: Option<(u16, &'static str, String)>,
}

#[derive(Default)]
pub struct Jobs(Mutex<BTreeMap<String, Job>>);

impl Jobs {
    /// How many queries ran: each is billed.
    pub fn count(&self) -> usize {
        lock(&self.0).len()
    }
}

fn field(name: &str, kind: &str) -> Value {
    json!({"name": name, "type": kind, "mode": "NULLABLE"})
}

fn record(name: &str, fields: Vec<Value>) -> Value {
    json!({"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": fields})
}

fn texts(names: &[&str]) -> Vec<Value> {
    names.iter().map(|n| field(n, "STRING")).collect()
}

fn params(name: &str) -> Value {
    let value = vec![
        field("string_value", "STRING"),
        field("int_value", "INTEGER"),
        field("float_value", "FLOAT"),
        field("double_value", "FLOAT"),
    ];
    json!({"name": name, "type": "RECORD", "mode": "REPEATED", "fields": [field("key", "STRING"), record("value", value)]})
}

/// Columns of a day's table.
fn schema(company: &Company, options: &Options, day: i64) -> Vec<Value> {
    let manual = ["campaign_id", "campaign_name", "source", "medium", "term", "content"];
    let collected = [
        "manual_campaign_id",
        "manual_campaign_name",
        "manual_source",
        "manual_medium",
        "manual_term",
        "manual_content",
        "gclid",
        "dclid",
        "srsltid",
    ];
    let ads = ["customer_id", "account_name", "campaign_id", "campaign_name", "ad_group_id", "ad_group_name"];
    let cross = [
        "campaign_id",
        "campaign_name",
        "source",
        "medium",
        "source_platform",
        "default_channel_group",
        "primary_channel_group",
    ];
    let mut device = texts(&[
        "category",
        "mobile_brand_name",
        "mobile_model_name",
        "operating_system",
        "operating_system_version",
        "language",
    ]);
    device.push(record("web_info", texts(&["browser", "browser_version", "hostname"])));
    let mut all = vec![
        field("event_date", "STRING"),
        field("event_timestamp", "INTEGER"),
        field("event_name", "STRING"),
        params("event_params"),
        field("event_previous_timestamp", "INTEGER"),
        field("event_bundle_sequence_id", "INTEGER"),
        field("user_id", "STRING"),
        field("user_pseudo_id", "STRING"),
        record("privacy_info", texts(&["analytics_storage", "ads_storage", "uses_transient_token"])),
        params("user_properties"),
        record("device", device),
        record("geo", texts(&["city", "country", "region"])),
        record("traffic_source", texts(&["name", "medium", "source"])),
        field("stream_id", "STRING"),
        field("platform", "STRING"),
        record("collected_traffic_source", texts(&collected)),
        field("is_active_user", "BOOLEAN"),
        field("batch_event_index", "INTEGER"),
        field("batch_page_id", "INTEGER"),
        field("batch_ordering_id", "INTEGER"),
    ];
    if day >= company.cfg.start_day() + options.old_days {
        all.push(record(
            "session_traffic_source_last_click",
            vec![
                record("manual_campaign", texts(&manual)),
                record("google_ads_campaign", texts(&ads)),
                record("cross_channel_campaign", texts(&cross)),
            ],
        ));
    }
    all
}

/// A value as rows of results write it: `{"v": ..}`, records as `{"f": [..]}`, everything else as text.
fn cell(field: &Value, value: &Value) -> Value {
    if field["mode"] == "REPEATED" {
        let list = value.as_array().map_or(&[][..], Vec::as_slice);
        return json!({"v": list.iter().map(|one| single(field, one)).collect::<Vec<_>>()});
    }
    single(field, value)
}

fn single(field: &Value, value: &Value) -> Value {
    match value {
        Value::Null => json!({ "v": null }),
        Value::Object(object) => {
            let empty = Vec::new();
            let fields = field["fields"].as_array().unwrap_or(&empty);
            let cells = fields
                .iter()
                .map(|f| cell(f, object.get(f["name"].as_str().unwrap_or_default()).unwrap_or(&Value::Null)));
            json!({"v": {"f": cells.collect::<Vec<_>>()}})
        }
        Value::String(text) => json!({ "v": text }),
        other => json!({"v": other.to_string()}),
    }
}

/// Table names with their days: daily ones of days that are over, intraday ones of those that are not ready.
fn tables(company: &Company, options: &Options, now: i64) -> Vec<(String, i64, bool)> {
    let (today, mut all) = (company.cfg.day_of(now), Vec::new());
    for day in company.cfg.start_day()..=today {
        let mut date = String::new();
        push_date(&mut date, day);
        let date = date.replace('-', "");
        let ready = day < today && now >= company.cfg.midnight(day + 1) + options.ready_s;
        let kind = if ready { "events_" } else { "events_intraday_" };
        all.push((format!("{kind}{date}"), day, !ready));
        if ready {
            all.push((format!("pseudonymous_users_{date}"), day, false));
        }
    }
    all.sort();
    all
}

/// When the export wrote a table last, in milliseconds.
fn modified(company: &Company, options: &Options, day: i64, intraday: bool, now: i64) -> i64 {
    if intraday {
        return now * 1000;
    }
    let today = company.cfg.day_of(now);
    company.cfg.midnight(today.min(day + options.late_days + 1)) * 1000 + options.ready_s * 1000
}

fn not_found(what: &str) -> Reply {
    refuse(404, "NOT_FOUND", "notFound", &format!("Not found: {what}"))
}

pub fn answer(options: &Options, jobs: &Jobs, call: &Call) -> Reply {
    let path: Vec<&str> = call.path.trim_start_matches("/bigquery/v2/").split('/').collect();
    match (call.method, path.as_slice()) {
        (_, ["projects", project, ..]) if *project != PROJECT => {
            refuse(403, "PERMISSION_DENIED", "accessDenied", &format!("Access Denied: Project {project}"))
        }
        (_, [_, _, "datasets", dataset, ..]) if *dataset != DATASET => {
            not_found(&format!("Dataset {PROJECT}:{dataset}"))
        }
        ("GET", [_, _, "datasets", _, "tables"]) => list(options, call),
        ("GET", [_, _, "datasets", _, "tables", table]) => table_info(options, call, table),
        ("POST", [_, _, "jobs"]) => insert(options, jobs, call),
        ("GET", [_, _, "queries", job]) => results(options, jobs, call, job),
        _ => not_found("this path"),
    }
}

fn list(options: &Options, call: &Call) -> Reply {
    let query = pairs(call.query);
    let get = |name: &str| query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    let from: usize =
        get("pageToken").and_then(|t| t.strip_prefix("t")).and_then(|t| t.parse().ok()).unwrap_or(0);
    let most = get("maxResults").and_then(|n| n.parse().ok()).unwrap_or(50).min(options.list_rows).max(1);
    let all = tables(call.company, options, call.now);
    let page: Vec<Value> = (all.iter().skip(from).take(most))
        .map(|(name, ..)| {
            json!({"kind": "bigquery#table", "id": format!("{PROJECT}:{DATASET}.{name}"), "type": "TABLE",
                "tableReference": {"projectId": PROJECT, "datasetId": DATASET, "tableId": name}})
        })
        .collect();
    let mut answer = json!({"kind": "bigquery#tableList", "etag": "x", "totalItems": all.len()});
    if !page.is_empty() {
        answer["tables"] = page.into();
    }
    if from + most < all.len() {
        answer["nextPageToken"] = format!("t{}", from + most).into();
    }
    Reply::json(200, pretty(&answer))
}

fn table_info(options: &Options, call: &Call, table: &str) -> Reply {
    let found = tables(call.company, options, call.now).into_iter().find(|(name, ..)| name == table);
    let Some((name, day, intraday)) = found.filter(|(name, ..)| name.starts_with("events_")) else {
        return not_found(&format!("Table {PROJECT}:{DATASET}.{table}"));
    };
    let rows = events::of_day(call.company, options, day, call.now).len();
    let mut answer = json!({
        "kind": "bigquery#table", "id": format!("{PROJECT}:{DATASET}.{name}"), "type": "TABLE", "location": LOCATION,
        "tableReference": {"projectId": PROJECT, "datasetId": DATASET, "tableId": name},
        "schema": {"fields": schema(call.company, options, day)},
        "numRows": rows.to_string(), "numBytes": (rows * 900).to_string(),
        "lastModifiedTime": modified(call.company, options, day, intraday, call.now).to_string(),
    });
    if intraday {
        // What is being streamed is not counted yet.
        answer["numRows"] = "0".into();
        answer["streamingBuffer"] =
            json!({"estimatedRows": rows.to_string(), "estimatedBytes": (rows * 900).to_string()});
    }
    Reply::json(200, pretty(&answer))
}

fn invalid(message: &str) -> Reply {
    refuse(400, "INVALID_ARGUMENT", "invalidQuery", message)
}

/// Columns and table of `SELECT a, b FROM \`project.dataset.table\``.
fn parse(sql: &str) -> Result<(Vec<String>, String), String> {
    let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
    let (columns, table) = sql
        .strip_prefix("SELECT ")
        .and_then(|rest| rest.split_once(" FROM "))
        .ok_or_else(|| "Syntax error: Expected SELECT columns FROM table".to_owned())?;
    let table = table
        .strip_prefix('`')
        .and_then(|t| t.strip_suffix('`'))
        .and_then(|t| t.strip_prefix(&format!("{PROJECT}.{DATASET}.")))
        .ok_or_else(|| format!("Syntax error: table {table}"))?;
    let columns = columns.split(',').map(|c| c.trim().trim_matches('`').to_owned()).collect();
    Ok((columns, table.to_owned()))
}

fn insert(options: &Options, jobs: &Jobs, call: &Call) -> Reply {
    let Ok(body) = serde_json::from_slice::<Value>(call.body) else {
        return refuse(400, "INVALID_ARGUMENT", "parseError", "Parse Error");
    };
    let configuration = &body["configuration"];
    let query = &configuration["query"];
    if query["useLegacySql"] != Value::Bool(false) {
        return invalid("Legacy SQL is not for this dataset; set useLegacySql to false");
    }
    let sql = query["query"].as_str().unwrap_or_default();
    let reference = &body["jobReference"];
    if let Some(location) = reference["location"].as_str().filter(|l| *l != LOCATION) {
        return not_found(&format!("Dataset {PROJECT}:{DATASET} was not found in location {location}"));
    }
    let (columns, table) = match parse(sql) {
        Ok(parsed) => parsed,
        Err(message) => return invalid(&message),
    };
    let found = tables(call.company, options, call.now).into_iter().find(|(name, ..)| *name == table);
    let Some((_, day, _)) = found.filter(|(name, ..)| name.starts_with("events_")) else {
        return not_found(&format!("Table {PROJECT}:{DATASET}.{table}"));
    };
    let known = schema(call.company, options, day);
    let columns: Vec<String> = if columns == ["*"] {
        known.iter().map(|f| f["name"].as_str().unwrap_or_default().to_owned()).collect()
    } else {
        columns
    };
    if let Some(bad) = columns.iter().find(|c| !known.iter().any(|f| f["name"] == ***c)) {
        return invalid(&format!("Unrecognized name: {bad} at [1:8]"));
    }
    let events = events::of_day(call.company, options, day, call.now);
    let bytes = events.len() * columns.len() * options.cell_bytes;
    let statistics = json!({"totalBytesProcessed": bytes.to_string(), "query": {"totalBytesProcessed": bytes.to_string()}});
    if configuration["dryRun"] == Value::Bool(true) {
        let answer = json!({"kind": "bigquery#job", "configuration": {"dryRun": true, "jobType": "QUERY"},
            "jobReference": {"projectId": PROJECT, "location": LOCATION}, "statistics": statistics,
            "status": {"state": "DONE"}});
        return Reply::json(200, pretty(&answer));
    }
    let id = match reference["jobId"].as_str() {
        Some(id) if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) => {
            id.to_owned()
        }
        Some(_) => return refuse(400, "INVALID_ARGUMENT", "invalid", "Invalid job ID"),
        None => format!("job_{}", jobs.count()),
    };
    let most = query["maximumBytesBilled"].as_str().and_then(|b| b.parse::<usize>().ok());
    let failed = if most.is_some_and(|most| bytes > most) {
        let message = format!(
            "Query exceeded limit for bytes billed: {}. {bytes} or higher required.",
            most.unwrap_or(0)
        );
        Some((400, "bytesBilledLimitExceeded", message))
    } else if call.faults.contains(&Fault::JobFails) {
        Some((
            503,
            "backendError",
            "Error encountered during execution. Retrying may solve the problem.".to_owned(),
        ))
    } else {
        None
    };
    let mut jobs = lock(&jobs.0);
    if jobs.contains_key(&id) {
        return refuse(
            409,
            "ALREADY_EXISTS",
            "duplicate",
            &format!("Already Exists: Job {PROJECT}:{LOCATION}.{id}"),
        );
    }
    jobs.insert(id.clone(), Job { columns, day, events, now: call.now, asked: 0, failed });
    let answer = json!({"kind": "bigquery#job", "id": format!("{PROJECT}:{LOCATION}.{id}"),
        "jobReference": {"projectId": PROJECT, "jobId": id, "location": LOCATION}, "configuration": configuration,
        "statistics": {"creationTime": (call.now * 1000).to_string()}, "status": {"state": "RUNNING"}});
    Reply::json(200, pretty(&answer))
}

fn results(options: &Options, jobs: &Jobs, call: &Call, id: &str) -> Reply {
    let query = pairs(call.query);
    let get = |name: &str| query.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    let mut jobs = lock(&jobs.0);
    // Outside of the multi-regions a job is found only where it ran. Results are kept for a day.
    let lost = !jobs.contains_key(id) || get("location") != Some(LOCATION);
    let Some(job) = jobs.get_mut(id).filter(|job| !lost && call.now - job.now < 86_400) else {
        return not_found(&format!("Job {PROJECT}:{id}"));
    };
    let reference = json!({"projectId": PROJECT, "jobId": id, "location": LOCATION});
    if job.asked < options.polls || call.faults.contains(&Fault::JobRetries) {
        job.asked += 1;
        let answer = json!({"kind": "bigquery#getQueryResultsResponse", "jobReference": reference, "jobComplete": false});
        return Reply::json(200, pretty(&answer));
    }
    if let Some((status, reason, message)) = &job.failed {
        return refuse(*status, "", reason, message);
    }
    let from = match get("pageToken").map(|t| page_of(t, id)) {
        None => 0,
        Some(Some(from)) => from,
        Some(None) => return refuse(400, "INVALID_ARGUMENT", "invalid", "Invalid page token"),
    };
    let all = &job.events;
    let known = schema(call.company, options, job.day);
    let fields: Vec<Value> =
        (job.columns.iter()).filter_map(|c| known.iter().find(|f| f["name"] == **c).cloned()).collect();
    let most = get("maxResults").and_then(|n| n.parse().ok()).unwrap_or(usize::MAX).min(options.page_rows);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    for event in events::rows(call.company, job.day, all.get(from..).unwrap_or_default()) {
        let cells: Vec<Value> =
            fields.iter().map(|f| cell(f, &event[f["name"].as_str().unwrap_or_default()])).collect();
        let row = json!({ "f": cells });
        bytes += row.to_string().len();
        if rows.len() == most || (bytes > MOST_BYTES && !rows.is_empty()) {
            break;
        }
        rows.push(row);
    }
    let next = from + rows.len();
    let lost: usize =
        call.faults.iter().map(|f| if let Fault::LeaveOut { rows } = f { *rows } else { 0 }).sum();
    rows.truncate(rows.len().saturating_sub(lost));
    let mut answer = json!({"kind": "bigquery#getQueryResultsResponse", "etag": "x", "jobReference": reference,
        "jobComplete": true, "schema": {"fields": fields}, "totalRows": all.len().to_string(), "cacheHit": false,
        "totalBytesProcessed": (all.len() * fields.len() * options.cell_bytes).to_string()});
    if !rows.is_empty() {
        answer["rows"] = rows.into();
    }
    if next < all.len() {
        answer["pageToken"] = URL_SAFE_NO_PAD.encode(format!("{id} {next}")).into();
    }
    // Written on one line: a million rows have better uses for their bytes.
    Reply::json(200, answer.to_string())
}

fn page_of(token: &str, id: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    text.strip_prefix(id)?.trim().parse().ok()
}
