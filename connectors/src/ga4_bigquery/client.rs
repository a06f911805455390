//! BigQuery over REST, call by call.
//!
//! <https://cloud.google.com/bigquery/docs/reference/rest>

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use throughline_core::http::{HttpRequest, HttpResponse, HttpResponseHead, Judge, Method, Verdict};
use throughline_core::{Context, Error, ErrorKind, Result};

use super::config::Settings;
use super::rows::Field;
use crate::google::{self, Access, Credentials, Failure};

const PARALLEL: u32 = 4;
/// Google cuts answers at 10 MB of rows; their JSON may be more.
const MAX_BYTES: u64 = 128 << 20;
/// How long Google holds a question for results that are not there yet.
const HELD_MS: u64 = 20_000;
const TIMEOUT: Duration = Duration::from_secs(120);
/// Quotas of queries come back bit by bit.
const QUOTA_PAUSE: Duration = Duration::from_secs(3600);

#[derive(Clone)]
pub(crate) struct Client {
    ctx: Context,
    access: Arc<Access>,
    settings: Settings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TableList {
    tables: Vec<Listed>,
    next_page_token: String,
}
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Listed {
    table_reference: Reference,
}
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Reference {
    table_id: String,
}

/// What Google says of a table. Numbers beyond 32 bits come as text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Table {
    last_modified_time: String,
    num_rows: String,
    pub num_bytes: String,
    pub location: String,
    schema: Schema,
}
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Schema {
    fields: Vec<Field>,
}

impl Table {
    /// Milliseconds since 1970.
    pub fn modified_ms(&self) -> Result<i64> {
        self.last_modified_time
            .parse()
            .map_err(|_| Error::protocol("BigQuery does not say when a table was changed (lastModifiedTime)"))
    }
    pub fn rows(&self) -> Option<u64> {
        self.num_rows.parse().ok()
    }
    pub fn fields(&self) -> &[Field] {
        &self.schema.fields
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JobAnswer {
    statistics: Statistics,
}
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Statistics {
    total_bytes_processed: String,
}

/// A page of results; its rows are still text.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResultsAnswer<'a> {
    job_complete: bool,
    total_rows: String,
    page_token: String,
    schema: Schema,
    #[serde(borrow)]
    rows: Option<&'a RawValue>,
}

/// A page of results.
#[derive(Debug)]
pub(crate) struct Results {
    pub total: u64,
    pub next: Option<String>,
    pub fields: Vec<Field>,
    pub body: Bytes,
    pub exchange: u64,
}

impl Results {
    /// The rows, each as its JSON text.
    pub fn rows(&self) -> Result<Vec<&str>> {
        let answer: ResultsAnswer<'_> =
            serde_json::from_slice(&self.body).map_err(|e| strange("a query's results", &e))?;
        let Some(rows) = answer.rows else { return Ok(Vec::new()) };
        let rows: Vec<&RawValue> =
            serde_json::from_str(rows.get()).map_err(|e| strange("a query's results", &e))?;
        Ok(rows.into_iter().map(RawValue::get).collect())
    }
}

fn strange(what: &str, why: &dyn std::fmt::Display) -> Error {
    Error::protocol(format!("BigQuery's answer with {what} is not what its pages describe: {why}"))
        .temporary(None)
}

/// Where a job runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, Deserialize)]
pub(crate) struct Job {
    pub id: String,
    pub location: String,
}

impl Client {
    pub fn new(ctx: &Context, access: &Arc<Access>, settings: &Settings) -> Self {
        Self { ctx: ctx.clone(), access: access.clone(), settings: settings.clone() }
    }

    /// Names of all tables of the dataset.
    pub async fn tables(&self) -> Result<Vec<String>> {
        let (mut names, mut token) = (Vec::new(), String::new());
        loop {
            let mut url =
                self.url(&self.settings.data_project, &["datasets", &self.settings.dataset, "tables"])?;
            url.query_pairs_mut().append_pair("maxResults", "1000");
            if !token.is_empty() {
                url.query_pairs_mut().append_pair("pageToken", &token);
            }
            let body = self.ask(Method::Get, &url, None).await?.bytes().await?;
            let list: TableList =
                serde_json::from_slice(&body).map_err(|e| strange("the list of tables", &e))?;
            names.extend(list.tables.into_iter().map(|t| t.table_reference.table_id));
            // The same page again and again would never end.
            if list.next_page_token.is_empty() || list.next_page_token == token {
                return Ok(names);
            }
            token = list.next_page_token;
        }
    }

    /// `None` when there is no such table.
    pub async fn table(&self, name: &str) -> Result<Option<Table>> {
        let url =
            self.url(&self.settings.data_project, &["datasets", &self.settings.dataset, "tables", name])?;
        match self.ask(Method::Get, &url, None).await {
            Ok(answer) => {
                serde_json::from_slice(&answer.bytes().await?).map(Some).map_err(|e| strange("a table", &e))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is asked of a day's table: the wanted columns that it has.
    pub fn query(&self, name: &str, table: &Table) -> String {
        let there: Vec<&str> = table.fields().iter().map(|f| f.name.as_str()).collect();
        let columns: Vec<String> = (self.settings.columns.iter())
            .filter(|c| there.contains(&c.as_str()))
            .map(|c| format!("`{c}`"))
            .collect();
        let (project, dataset) = (&self.settings.data_project, &self.settings.dataset);
        format!("SELECT {} FROM `{project}.{dataset}.{name}`", columns.join(", "))
    }

    /// Starts a query under an id of ours. That it was started before is as good.
    pub async fn start(&self, query: &str, job: &Job) -> Result<()> {
        let body = json!({
            "jobReference": {"projectId": self.settings.project, "jobId": job.id, "location": job.location},
            "configuration": {"query": {
                "query": query, "useLegacySql": false,
                "maximumBytesBilled": self.settings.most_billed_bytes.to_string(),
            }},
        });
        let url = self.url(&self.settings.project, &["jobs"])?;
        self.ask(Method::Post, &url, Some(&body)).await.map(drop)
    }

    /// Bytes that a query would read. Costs nothing.
    pub async fn bytes(&self, query: &str, location: &str) -> Result<u64> {
        let body = json!({
            "jobReference": {"projectId": self.settings.project, "location": location},
            "configuration": {"dryRun": true, "query": {"query": query, "useLegacySql": false}},
        });
        let url = self.url(&self.settings.project, &["jobs"])?;
        let answer = self.ask(Method::Post, &url, Some(&body)).await?.bytes().await?;
        let answer: JobAnswer = serde_json::from_slice(&answer).map_err(|e| strange("a dry run", &e))?;
        answer.statistics.total_bytes_processed.parse().map_err(|e| strange("a dry run", &e))
    }

    /// A page of results; `None` while the query runs.
    pub async fn results(&self, job: &Job, token: Option<&str>, rows: u64) -> Result<Option<Results>> {
        let mut url = self.url(&self.settings.project, &["queries", &job.id])?;
        url.query_pairs_mut()
            .append_pair("location", &job.location)
            .append_pair("maxResults", &rows.to_string())
            .append_pair("timeoutMs", &HELD_MS.to_string());
        if let Some(token) = token {
            url.query_pairs_mut().append_pair("pageToken", token);
        }
        let response = self.ask(Method::Get, &url, None).await?;
        let exchange = response.head.exchange;
        let body = response.bytes().await?;
        let answer: ResultsAnswer<'_> =
            serde_json::from_slice(&body).map_err(|e| strange("a query's results", &e))?;
        if !answer.job_complete {
            return Ok(None);
        }
        let total =
            answer.total_rows.parse().map_err(|_| strange("a query's results", &"it tells no totalRows"))?;
        let next = Some(answer.page_token).filter(|t| !t.is_empty());
        Ok(Some(Results { total, next, fields: answer.schema.fields, body: body.clone(), exchange }))
    }

    fn url(&self, project: &str, path: &[&str]) -> Result<url::Url> {
        let mut url = url::Url::parse(&self.settings.base_url)
            .map_err(|e| Error::config(format!("base_url is no address: {e}")))?;
        url.path_segments_mut()
            .map_err(|()| Error::config("base_url is no address"))?
            .pop_if_empty()
            .extend(["bigquery", "v2", "projects", project])
            .extend(path);
        Ok(url)
    }

    async fn ask(
        &self,
        method: Method,
        url: &url::Url,
        body: Option<&serde_json::Value>,
    ) -> Result<HttpResponse> {
        let account = google::account("bigquery", &self.settings.project, PARALLEL);
        let mut request = HttpRequest::new(method, url.as_str(), account);
        if let Some(body) = body {
            request = request.json(body);
        }
        // A job's id is ours: started twice it is one.
        request.idempotent = true;
        request.timeout = TIMEOUT;
        request.max_response_bytes = MAX_BYTES;
        request.judge = Some(judge(self.access.credentials().clone(), &self.settings));
        google::send(&self.ctx, &self.access, request).await
    }
}

fn judge(who: Credentials, settings: &Settings) -> Judge {
    let dataset = format!("{}.{}", settings.data_project, settings.dataset);
    let (project, most) = (settings.project.clone(), settings.most_billed_bytes);
    Arc::new(move |head: &HttpResponseHead, body: &[u8]| {
        let failure = Failure::read(body).unwrap_or_default();
        let words = failure.words();
        let fail = |error: Error| Verdict::Fail(Arc::new(error));
        match (head.status, failure.reason()) {
            (200..300, _) => Verdict::Accept,
            // The job is there already: the answer to its first question was lost.
            (409, "duplicate") => Verdict::Accept,
            (401, _) => Verdict::Fail(google::token_refused(&who, &words)),
            (403 | 429, "rateLimitExceeded" | "jobRateLimitExceeded") => {
                Verdict::Retry { after: None, account_wide: true, why: words }
            }
            (403 | 429, "quotaExceeded") => fail(
                Error::new(ErrorKind::RateLimited, format!("a quota of BigQuery in project {project} is used up ({words})"))
                    .hint("see IAM, Quotas in Google Cloud; days that were read are safe, the next run goes on")
                    .temporary(Some(QUOTA_PAUSE)),
            ),
            (403, "backendError" | "internalError") => Verdict::Retry { after: None, account_wide: false, why: words },
            (403, _) => fail(
                Error::new(ErrorKind::Auth, format!("{} may not read {dataset} through project {project} ({words})", who.who()))
                    .hint("give it BigQuery Job User on the project and BigQuery Data Viewer on the dataset, and enable the BigQuery API"),
            ),
            (404, _) => fail(
                Error::new(ErrorKind::NotFound, format!("BigQuery knows nothing of it ({words})"))
                    .hint("check project, dataset and location; the export makes its first table a day after it was linked"),
            ),
            (400, "bytesBilledLimitExceeded") => fail(
                Error::config(format!("the query of a day would cost more than {most} bytes ({words})"))
                    .hint("raise most_billed_bytes, or leave out columns; nothing was billed"),
            ),
            (400, _) => fail(Error::config(format!("BigQuery does not take the question ({words})"))),
            _ => Verdict::ByStatus,
        }
    })
}
