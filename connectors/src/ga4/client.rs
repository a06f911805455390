//! The Data API, call by call: `runReport` and `checkCompatibility`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Value, json};
use throughline_core::http::{HttpRequest, HttpResponseHead, Judge, Method, Verdict};
use throughline_core::time::Clock;
use throughline_core::{Context, Error, ErrorKind, Result};

use super::answer::{Answer, until_next_hour, until_pacific_midnight, used_up};
use super::config::Settings;
use super::reports::Report;
use crate::google::{self, Access, Credentials, Failure};

/// Ten requests at a time are the property's; others ask too.
const PARALLEL: u32 = 4;
/// 250,000 rows of nine dimensions and ten metrics.
const MAX_BYTES: u64 = 512 << 20;
const TIMEOUT: Duration = Duration::from_secs(180);
/// After ten server errors in an hour Google locks the property for the rest of it: few attempts, far apart.
const SERVER_RETRIES: u32 = 2;
const SERVER_PAUSE: Duration = Duration::from_secs(60);
const CROWD_PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Client {
    ctx: Context,
    access: Arc<Access>,
    settings: Settings,
}

/// A page of a report, as it came.
pub(crate) struct Page {
    pub answer: Answer,
    pub body: Bytes,
    pub exchange: u64,
}

impl Client {
    pub fn new(ctx: &Context, access: &Arc<Access>, settings: &Settings) -> Self {
        Self { ctx: ctx.clone(), access: access.clone(), settings: settings.clone() }
    }

    /// Rows `offset..` of one day of a report.
    pub async fn page(&self, report: &Report, day: NaiveDate, offset: u64, limit: u64) -> Result<Page> {
        let what = format!("{} of {day}", report.stream);
        let body = question(report, &day.to_string(), offset, limit, self.settings.currency.as_deref());
        let response = self.post("runReport", &body, &what).await?;
        let exchange = response.head.exchange;
        let body = response.bytes().await?;
        let answer = Answer::read(&body, &what)?;
        answer.fits(report, &day.format("%Y%m%d").to_string(), &what)?;
        Ok(Page { answer, body, exchange })
    }

    /// The smallest report there is: its metadata tells the property's zone and currency.
    pub async fn property(&self) -> Result<Answer> {
        let mut body = json!({
            "dateRanges": [{"startDate": "today", "endDate": "today"}],
            "dimensions": [{"name": "date"}], "metrics": [{"name": "sessions"}],
            "limit": "1", "returnPropertyQuota": true,
        });
        if let Some(currency) = &self.settings.currency {
            body["currencyCode"] = currency.as_str().into();
        }
        let what = "the property's time zone";
        Answer::read(&self.post("runReport", &body, what).await?.bytes().await?, what)
    }

    /// Fields of a report that do not go with the others, by Google's word.
    pub async fn incompatible(&self, report: &Report) -> Result<Vec<String>> {
        let body = json!({
            "dimensions": named(&report.dimensions), "metrics": named(&report.metrics),
            "compatibilityFilter": "INCOMPATIBLE",
        });
        let answer = self.post("checkCompatibility", &body, &report.stream).await?.bytes().await?;
        let answer: Compatibility = serde_json::from_slice(&answer).map_err(|e| {
            Error::protocol(format!(
                "Google's answer to checkCompatibility is not what its pages describe: {e}"
            ))
        })?;
        let dimensions = answer.dimension_compatibilities.into_iter().map(|c| c.dimension_metadata.api_name);
        let metrics = answer.metric_compatibilities.into_iter().map(|c| c.metric_metadata.api_name);
        // Everything that cannot be added comes; those of the report are what matters.
        Ok(dimensions
            .filter(|name| report.dimensions.contains(name))
            .chain(metrics.filter(|name| report.metrics.contains(name)))
            .collect())
    }

    async fn post(
        &self,
        call: &str,
        body: &Value,
        what: &str,
    ) -> Result<throughline_core::http::HttpResponse> {
        let (base, property) = (&self.settings.base_url, self.settings.property);
        let url = format!("{base}/v1beta/properties/{property}:{call}");
        let account = google::account("ga4", &property.to_string(), PARALLEL);
        let mut request = HttpRequest::new(Method::Post, url, account).json(body);
        request.idempotent = true;
        request.timeout = TIMEOUT;
        request.max_response_bytes = MAX_BYTES;
        let clock = self.ctx.clock.clone();
        request.judge = Some(judge(self.access.credentials().clone(), property, clock, what.to_owned()));
        google::send(&self.ctx, &self.access, request).await
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Compatibility {
    dimension_compatibilities: Vec<OfDimension>,
    metric_compatibilities: Vec<OfMetric>,
}
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OfDimension {
    dimension_metadata: Named,
}
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OfMetric {
    metric_metadata: Named,
}
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    api_name: String,
}

fn named(names: &[String]) -> Vec<Value> {
    names.iter().map(|name| json!({ "name": name })).collect()
}

/// The question for a page. Rows are ordered by every dimension: pages of an unordered report need not fit together.
fn question(report: &Report, day: &str, offset: u64, limit: u64, currency: Option<&str>) -> Value {
    let order: Vec<Value> =
        report.dimensions.iter().map(|name| json!({"dimension": {"dimensionName": name}})).collect();
    let mut body = json!({
        "dimensions": named(&report.dimensions),
        "metrics": named(&report.metrics),
        "dateRanges": [{"startDate": day, "endDate": day}],
        "orderBys": order,
        "limit": limit.to_string(),
        "offset": offset.to_string(),
        "keepEmptyRows": false,
        "returnPropertyQuota": true,
    });
    if let Some(currency) = currency {
        body["currencyCode"] = currency.into();
    }
    body
}

fn judge(who: Credentials, property: u64, clock: Arc<dyn Clock>, what: String) -> Judge {
    let errors = AtomicU32::new(0);
    Arc::new(move |head: &HttpResponseHead, body: &[u8]| {
        let failure = Failure::read(body).unwrap_or_default();
        let words = failure.words();
        let fail = |error: Error| Verdict::Fail(Arc::new(error));
        let now = clock.now_us();
        match head.status {
            200..300 => Verdict::Accept,
            400 => fail(
                Error::config(format!("Google does not make the report {what} ({words})"))
                    .hint("look at the names of dimensions and metrics; `throughline check` says which do not go together"),
            ),
            401 => Verdict::Fail(google::token_refused(&who, &words)),
            403 => fail(
                Error::new(ErrorKind::Auth, format!("{} may not read property {property} ({words})", who.who())).hint(
                    "add this account as Viewer in Admin, Property access management, and enable the Google Analytics \
                     Data API in its Google Cloud project",
                ),
            ),
            404 => fail(
                Error::new(ErrorKind::NotFound, format!("Google knows no property {property} ({words})"))
                    .hint("the number stands in Admin, Property details; it is not the measurement id G-..."),
            ),
            429 if failure.says("per day") => fail(used_up(property, &format!("day's tokens ({words})"), until_pacific_midnight(now))),
            429 if failure.says("per hour") => fail(used_up(property, &format!("hour's tokens ({words})"), until_next_hour(now))),
            429 => Verdict::Retry { after: Some(CROWD_PAUSE), account_wide: true, why: words },
            500.. if errors.fetch_add(1, Ordering::Relaxed) < SERVER_RETRIES => {
                Verdict::Retry { after: Some(SERVER_PAUSE), account_wide: false, why: words }
            }
            500.. => fail(
                Error::new(ErrorKind::Io, format!("Google answered {} to {what} again and again ({words})", head.status))
                    .hint("after ten such answers within an hour it answers no more until the hour is over; run again then")
                    .temporary(Some(until_next_hour(now))),
            ),
            _ => Verdict::ByStatus,
        }
    })
}
