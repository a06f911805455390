//! `/jobs/query`: a query's records in CSV, piece by piece.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::objects::Kind;
use super::{Call, Salesforce, refuse};
use crate::faults::Fault;
use crate::reply::{Reply, lock, pairs};

struct Job {
    id: String,
    object: Kind,
    /// The records as they were when the job ran.
    lines: Arc<Vec<String>>,
    header: String,
    polls: u64,
    state: &'static str,
}

#[derive(Default)]
struct Inner {
    jobs: Vec<Job>,
    made: u64,
}

#[derive(Default)]
pub struct Jobs(Mutex<Inner>);

impl Jobs {
    /// Jobs that were started.
    pub fn started(&self) -> u64 {
        lock(&self.0).made
    }

    /// Jobs that were not deleted.
    pub fn left(&self) -> usize {
        lock(&self.0).jobs.len()
    }

    /// Salesforce drops results after seven days.
    pub fn drop_all(&self) {
        lock(&self.0).jobs.clear();
    }

    /// Somebody aborts every job.
    pub fn abort_all(&self) {
        lock(&self.0).jobs.iter_mut().for_each(|job| job.state = "Aborted");
    }
}

pub fn answer(org: &Salesforce, call: &Call, parts: &[&str]) -> Reply {
    match (call.method, parts) {
        ("POST", []) => start(org, call),
        ("GET", [id]) => state(org, call, id),
        ("GET", [id, "results"]) => results(org, call, id),
        ("DELETE", [id]) => {
            let mut inner = lock(&org.jobs.0);
            let before = inner.jobs.len();
            inner.jobs.retain(|job| job.id != *id);
            if inner.jobs.len() < before { Reply::new(204, "", Vec::new()) } else { gone() }
        }
        _ => refuse(405, "METHOD_NOT_ALLOWED", "HTTP Method not allowed"),
    }
}

fn gone() -> Reply {
    refuse(404, "NOT_FOUND", "The requested resource does not exist")
}

fn start(org: &Salesforce, call: &Call) -> Reply {
    let body: Value = serde_json::from_slice(call.body).unwrap_or_default();
    let all = match body["operation"].as_str() {
        Some("query") => false,
        Some("queryAll") => true,
        _ => return refuse(400, "INVALIDOPERATION", "operation is needed"),
    };
    if body["contentType"] != "CSV" || body["columnDelimiter"] != "COMMA" || body["lineEnding"] != "LF" {
        return refuse(400, "INVALIDJOB", "the company writes CSV with commas and line feeds alone");
    }
    let query = match org.parsed(body["query"].as_str().unwrap_or_default()) {
        Ok(query) => query,
        Err(refusal) => return refusal,
    };
    if org.options.no_bulk.iter().any(|o| o == query.kind.name()) {
        let why = format!("Entity '{}' is not supported by the Bulk API.", query.kind.name());
        return refuse(400, "INVALIDENTITY", &why);
    }
    let rows = org.found(call, &query, all);
    let lines = rows.iter().map(|row| {
        let fields = org.fields(call, &query, row);
        let cells: Vec<String> = query.fields.iter().map(|name| cell(&fields[*name], name)).collect();
        cells.join(",")
    });
    let lines = Arc::new(lines.collect::<Vec<String>>());
    let header: Vec<String> = query.fields.iter().map(|f| format!("\"{f}\"")).collect();
    let mut inner = lock(&org.jobs.0);
    inner.made += 1;
    let job = Job {
        id: format!("7505g{:010}AAA", inner.made),
        object: query.kind,
        lines,
        header: header.join(","),
        polls: org.options.polls,
        state: "UploadComplete",
    };
    let reply = Reply::json(200, told(&job).to_string());
    inner.jobs.push(job);
    reply
}

/// Everything stands in quotes, but what is empty.
fn cell(value: &Value, field: &str) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) if ["CreatedDate", "LastModifiedDate", "SystemModstamp"].contains(&field) => {
            text.replace("+0000", "Z")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn told(job: &Job) -> Value {
    let mut told = json!({
        "id": job.id, "operation": "queryAll", "object": job.object.name(), "state": job.state, "contentType": "CSV",
        "concurrencyMode": "Parallel", "apiVersion": 61.0, "jobType": "V2Query", "lineEnding": "LF",
        "columnDelimiter": "COMMA",
    });
    if job.state == "JobComplete" {
        told["numberRecordsProcessed"] = job.lines.len().into();
    }
    if job.state == "Failed" {
        told["errorMessage"] = "InternalServerError: Retried more than fifteen times".into();
    }
    told
}

fn state(org: &Salesforce, call: &Call, id: &str) -> Reply {
    let mut inner = lock(&org.jobs.0);
    let Some(job) = inner.jobs.iter_mut().find(|job| job.id == id) else { return gone() };
    let ended = ["Aborted", "Failed", "JobComplete"].contains(&job.state);
    if !ended {
        if call.faults.contains(&Fault::JobFails) {
            job.state = "Failed";
        } else if job.polls > 0 || call.faults.contains(&Fault::JobRetries) {
            job.polls = job.polls.saturating_sub(1);
            job.state = "InProgress";
        } else {
            job.state = "JobComplete";
        }
    }
    Reply::json(200, told(job).to_string())
}

fn results(org: &Salesforce, call: &Call, id: &str) -> Reply {
    let asked = pairs(call.query);
    let get = |name: &str| asked.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let inner = lock(&org.jobs.0);
    let Some(job) = inner.jobs.iter().find(|job| job.id == id) else { return gone() };
    if job.state != "JobComplete" {
        return refuse(400, "INVALIDJOBSTATE", "Job results are not ready");
    }
    let from = match get("locator").map(|l| l.strip_prefix("MTAw").and_then(|n| n.parse::<usize>().ok())) {
        None => 0,
        Some(Some(from)) if from > 0 && from < job.lines.len() => from,
        Some(_) => return refuse(400, "INVALIDLOCATOR", "the locator is none of this job"),
    };
    let most = match get("maxRecords").map(str::parse::<usize>) {
        None => job.lines.len(),
        Some(Ok(most)) if most > 0 => most,
        Some(_) => return refuse(400, "INVALIDPARAMETER", "maxRecords is no number"),
    };
    let to = (from + most).min(job.lines.len());
    let mut body = String::new();
    if from == 0 || !org.options.header_once {
        body.push_str(&job.header);
        body.push('\n');
    }
    let lost: usize =
        call.faults.iter().map(|f| if let Fault::LeaveOut { rows } = f { *rows } else { 0 }).sum();
    for line in job.lines[from..to].iter().skip(lost) {
        body.push_str(line);
        body.push('\n');
    }
    let mut reply = Reply::new(200, "text/csv", body);
    let next = if to < job.lines.len() { format!("MTAw{to}") } else { "null".to_owned() };
    reply.headers.push(("sforce-locator", next));
    reply.headers.push(("sforce-numberofrecords", (to - from).to_string()));
    reply
}
