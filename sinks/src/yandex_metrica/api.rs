//! Metrica's management API: uploads, the list of them, and the counter.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use throughline_core::http::{Account, HttpRequest, Method, Verdict};
use throughline_core::{Context, Error, ErrorKind, Result, Secret};

use super::kind::Kind;
use crate::upload::vendor::{Failure, Fate, Part, Progress, Taken};

/// After so long an upload that arrived is in the list.
const SETTLED_US: i64 = 180_000_000;
/// Uploads that a list gives at most, by the documentation.
const LISTED: usize = 10_000;

pub(super) struct Api {
    base_url: String,
    pub counter: u64,
    token: Secret,
    provider: String,
}

#[derive(Deserialize)]
struct Uploading {
    id: Value,
    create_time: Option<String>,
    source_quantity: Option<u64>,
    line_quantity: Option<u64>,
    comment: Option<String>,
    status: Option<String>,
}

impl Api {
    pub fn new(base_url: &str, counter: u64, token: Secret, provider: String) -> Self {
        Self { base_url: base_url.trim_end_matches('/').to_owned(), counter, token, provider }
    }

    fn folder(&self, kind: Kind) -> String {
        let Self { base_url, counter, .. } = self;
        match kind {
            Kind::Chats | Kind::OfflineConversions => {
                format!("{base_url}/management/v1/counter/{counter}/offline_conversions")
            }
            Kind::Expenses => format!("{base_url}/management/v1/counter/{counter}/expense"),
            Kind::SimpleOrders => format!("{base_url}/cdp/api/v1/counter/{counter}/data"),
        }
    }

    fn request(&self, method: Method, url: String) -> HttpRequest {
        let account = Account {
            key: format!("yandex_metrica uploads:{}", self.counter).into(),
            per_second: 2.0,
            burst: 2,
            parallel: 1,
        };
        HttpRequest::new(method, url, account)
            .header("authorization", format!("OAuth {}", self.token.expose()))
    }

    async fn ask(&self, ctx: &Context, url: String) -> Result<Value> {
        let mut request = self.request(Method::Get, url);
        request.judge = Some(Arc::new(|head, body| match head.status {
            400..=499 if head.status != 429 && head.status != 420 => {
                Verdict::Fail(Arc::new(refusal(head.status, body)))
            }
            420 => Verdict::Retry { after: None, account_wide: true, why: words(body) },
            _ => Verdict::ByStatus,
        }));
        let body = ctx.http.send(request).await?.bytes().await?;
        serde_json::from_slice(&body)
            .map_err(|e| Error::protocol(format!("Metrica's answer is no JSON: {e}")).temporary(None))
    }

    /// The site of the counter.
    pub async fn counter_name(&self, ctx: &Context) -> Result<String> {
        let url = format!("{}/management/v1/counter/{}", self.base_url, self.counter);
        let answer = self.ask(ctx, url).await?;
        let counter = &answer["counter"];
        let site = counter["site2"]["site"].as_str().or(counter["site"].as_str());
        Ok(format!("{} {}", self.counter, site.or(counter["name"].as_str()).unwrap_or_default())
            .trim()
            .to_owned())
    }

    pub async fn upload(
        &self,
        ctx: &Context,
        kind: Kind,
        part: &Part<'_>,
        header: &str,
    ) -> Result<Taken, Failure> {
        let comment = part.tag.replace(' ', "%20");
        let query = match kind {
            Kind::OfflineConversions => format!("upload?comment={comment}"),
            Kind::Chats => format!("upload?type=CHATS&comment={comment}"),
            Kind::Expenses => {
                let provider = encoded(&self.provider);
                format!("upload?comment={comment}&provider={provider}")
            }
            Kind::SimpleOrders => "simple_orders?merge_mode=SAVE&delimiter_type=COMMA".into(),
        };
        let mut request = self.request(Method::Post, format!("{}/{query}", self.folder(kind)));
        let boundary = boundary(part, header);
        request.body = Some(multipart(&boundary, header, part));
        request = request.header("content-type", format!("multipart/form-data; boundary={boundary}"));
        // Orders are known by their id.
        request.idempotent = kind == Kind::SimpleOrders;
        request.timeout = Duration::from_secs(300);
        let refused = Arc::new(AtomicBool::new(false));
        let (wrong, not_taken) = (refused.clone(), Arc::new(AtomicBool::new(false)));
        let told = not_taken.clone();
        request.judge = Some(Arc::new(move |head, body| match head.status {
            420 | 429 => {
                told.store(true, Ordering::SeqCst);
                if words(body).contains("quota_requests_by_uid") {
                    return Verdict::Fail(Arc::new(refusal(head.status, body)));
                }
                Verdict::Retry { after: None, account_wide: true, why: words(body) }
            }
            400..=499 => {
                wrong.store(head.status == 400 || head.status == 413 || head.status == 422, Ordering::SeqCst);
                told.store(true, Ordering::SeqCst);
                Verdict::Fail(Arc::new(refusal(head.status, body)))
            }
            _ => {
                told.store(false, Ordering::SeqCst);
                Verdict::ByStatus
            }
        }));
        let answer = async { ctx.http.send(request).await?.bytes().await }.await;
        match answer {
            Ok(body) => self.taken(kind, &body),
            Err(error) if refused.load(Ordering::SeqCst) => Err(Failure::Refused(error.message().to_owned())),
            Err(error) if not_taken.load(Ordering::SeqCst) => Err(Failure::NotTaken(error)),
            Err(error) => Err(Failure::Unknown(error)),
        }
    }

    fn taken(&self, kind: Kind, body: &[u8]) -> Result<Taken, Failure> {
        if kind == Kind::SimpleOrders {
            return Ok(Taken::default());
        }
        let unclear = |why: String| {
            Failure::Unknown(Error::protocol(format!("Metrica took an upload and answered {why}")))
        };
        let answer: Value = serde_json::from_slice(body).map_err(|e| unclear(format!("no JSON: {e}")))?;
        let found = match &answer["uploading"] {
            Value::Null => answer["uploadings"][0].clone(),
            found => found.clone(),
        };
        let found: Uploading =
            serde_json::from_value(found).map_err(|e| unclear(format!("no upload: {e}")))?;
        Ok(Taken { watch: Some(id_of(&found)), refused: Vec::new() })
    }

    /// Looks for an upload in the list, by its comment.
    pub async fn fate(&self, ctx: &Context, kind: Kind, part: &Part<'_>) -> Result<Fate> {
        let answer = self.ask(ctx, format!("{}/uploadings", self.folder(kind))).await?;
        let Some(list) = answer["uploadings"].as_array() else {
            return Err(Error::protocol("Metrica's list of uploads has no `uploadings`").temporary(None));
        };
        let mut oldest: Option<String> = None;
        for entry in list {
            let Ok(found) = serde_json::from_value::<Uploading>(entry.clone()) else { continue };
            if found.comment.as_deref() == Some(part.tag) {
                let lines = part.lines.len() as u64;
                return Ok(match found.source_quantity {
                    Some(n) if n != lines => Fate::Unclear(format!(
                        "the upload {} with its comment has {n} rows in place of {lines}",
                        id_of(&found)
                    )),
                    _ => Fate::Taken(Taken { watch: Some(id_of(&found)), refused: Vec::new() }),
                });
            }
            oldest = match (oldest, found.create_time) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
        if ctx.clock.now_us().saturating_sub(part.since) < SETTLED_US {
            return Ok(Fate::Soon);
        }
        let since = chrono::DateTime::from_timestamp_micros(part.since).unwrap_or_default();
        let reaches = list.len() < LISTED
            || oldest.is_some_and(|at| at < since.format("%Y-%m-%dT%H:%M:%SZ").to_string());
        Ok(match reaches {
            true => Fate::Absent,
            false => Fate::Unclear(format!(
                "the list of the last {} uploads does not reach back so far",
                list.len()
            )),
        })
    }

    pub async fn progress(&self, ctx: &Context, kind: Kind, upload: &str) -> Result<Progress> {
        let answer = self.ask(ctx, format!("{}/uploading/{}", self.folder(kind), encoded(upload))).await?;
        let found: Uploading = serde_json::from_value(answer["uploading"].clone())
            .map_err(|e| Error::protocol(format!("Metrica tells no upload: {e}")).temporary(None))?;
        let short = match (found.source_quantity, found.line_quantity) {
            (Some(all), Some(good)) if good < all => Some(format!(
                "Metrica took {good} of {all} rows of the upload {upload}, and does not say which"
            )),
            _ => None,
        };
        Ok(match found.status.as_deref() {
            Some("LINKAGE_FAILURE") => Progress::Wrong(format!(
                "Metrica found no visit for any row of the upload {upload} (LINKAGE_FAILURE){}",
                short.map(|s| format!("; {s}")).unwrap_or_default()
            )),
            Some("PROCESSED" | "MATCHED") => short.map_or(Progress::Done, Progress::Wrong),
            _ => Progress::Open,
        })
    }
}

fn id_of(uploading: &Uploading) -> String {
    match &uploading.id {
        Value::String(id) => id.clone(),
        id => id.to_string(),
    }
}

/// Metrica's own words: `{"errors":[{"error_type":..,"message":..}],"code":..,"message":..}`.
fn words(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let kind = answer["errors"][0]["error_type"].as_str().unwrap_or_default();
    let message = answer["errors"][0]["message"].as_str().or(answer["message"].as_str());
    let text = match message {
        Some(message) => format!("{kind} {message}"),
        None => String::from_utf8_lossy(body).into_owned(),
    };
    text.trim().chars().take(300).collect()
}

fn refusal(status: u16, body: &[u8]) -> Error {
    let kind = match status {
        401 | 403 => ErrorKind::Auth,
        404 => ErrorKind::NotFound,
        420 | 429 => ErrorKind::RateLimited,
        _ => ErrorKind::Protocol,
    };
    let error = Error::new(kind, format!("Metrica refused ({status}): {}", words(body)));
    match kind {
        ErrorKind::Auth => error.hint(
            "does the token have the rights metrika:offline_data and metrika:expenses, and may its owner edit the counter?",
        ),
        ErrorKind::RateLimited => error.hint("the day's requests are used up: run again after midnight in Moscow"),
        ErrorKind::NotFound => error.hint("is counter_id right?"),
        _ => error,
    }
}

fn multipart(boundary: &str, header: &str, part: &Part<'_>) -> Bytes {
    let mut body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"data.csv\"\r\nContent-Type: text/csv; charset=utf-8\r\n\r\n{header}\n"
    );
    for line in part.lines {
        body.push_str(&line.text);
        body.push('\n');
    }
    body.push_str(&format!("\r\n--{boundary}--\r\n"));
    body.into()
}

/// A line that no row is.
fn boundary(part: &Part<'_>, header: &str) -> String {
    let mut boundary = String::from("throughline-0f5a9c7e31");
    while header.contains(&boundary) || part.lines.iter().any(|line| line.text.contains(&boundary)) {
        boundary.push('-');
        boundary.push_str(&boundary.len().to_string());
    }
    boundary
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}
