//! The host's services over an engine's context: what a plugin may touch of the world, and nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use throughline_core::http::{Account, HttpRequest, Judge, Method, Verdict};
use throughline_core::{Context, Redactor};
use throughline_plugin_abi as abi;
use tokio::runtime::Handle;

use crate::failure::Failure;
use crate::services::{HttpCall, Services};
use crate::session::Answer;

/// What a plugin's account may do when the plugin does not say: as little as any vendor allows.
const PER_SECOND: f64 = 5.0;
const BURST: u32 = 5;
const PARALLEL: u32 = 2;

pub(crate) struct HostServices {
    pub plugin: String,
    pub ctx: Context,
    /// Services are called from threads without a runtime of their own.
    pub runtime: Handle,
    pub secrets: HashMap<String, String>,
    pub redactor: Redactor,
}

impl Services for HostServices {
    fn log(&self, level: i32, message: &str, fields: &str) {
        log(&self.plugin, level, &self.redactor.redact(message), &self.redactor.redact(fields));
    }

    fn metric(&self, name: &str, kind: i32, value: f64, labels: &str) {
        let labels = self.redactor.redact(labels);
        tracing::debug!(plugin = %self.plugin, source = %self.ctx.name, name, kind, value, %labels, "metric");
    }

    fn cancelled(&self) -> bool {
        self.ctx.cancel.is_cancelled()
    }

    fn sleep(&self, ms: u64) -> Answer<()> {
        self.runtime.block_on(self.ctx.sleep(Duration::from_millis(ms))).map_err(Failure::from)
    }

    fn now_ms(&self) -> i64 {
        self.ctx.clock.now_us().div_euclid(1000)
    }

    fn secret(&self, name: &str) -> Answer<String> {
        secret(&self.secrets, name)
    }

    fn http(&self, call: HttpCall, body: &[u8]) -> Answer<(Value, Vec<u8>)> {
        let request = request(&self.plugin, call, body)?;
        let answered = self.runtime.block_on(async {
            let response = tokio::select! {
                biased;
                () = self.ctx.cancel.cancelled() => return Err(throughline_core::Error::cancelled()),
                response = self.ctx.http.send(request) => response?,
            };
            let head = response.head.clone();
            Ok((head, response.bytes().await?))
        });
        let (head, body) = answered.map_err(Failure::from)?;
        Ok((
            json!({ "status": head.status, "headers": head.headers, "exchange": head.exchange }),
            body.to_vec(),
        ))
    }
}

fn request(plugin: &str, call: HttpCall, body: &[u8]) -> Answer<HttpRequest> {
    let wrong = |what: String| {
        Failure::new(abi::TL_PANIC, format!("the plugin asks for an HTTP exchange wrongly: {what}"))
    };
    let methods = [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete];
    let method = methods
        .into_iter()
        .find(|m| m.as_str() == call.method)
        .ok_or_else(|| wrong(format!("there is no method {:?}", call.method)))?;
    let asked = call.account;
    let account = Account {
        // Under the plugin's name: it cannot use up another connector's limits by taking its account's name.
        key: format!("{plugin}:{}", asked.as_ref().map_or("default", |a| a.key.as_str())).into(),
        per_second: asked
            .as_ref()
            .and_then(|a| a.per_second)
            .filter(|r| r.is_finite() && *r > 0.0)
            .unwrap_or(PER_SECOND),
        burst: asked.as_ref().and_then(|a| a.burst).unwrap_or(BURST).max(1),
        parallel: asked.as_ref().and_then(|a| a.parallel).unwrap_or(PARALLEL).max(1),
    };
    let mut request = HttpRequest::new(method, call.url, account);
    request.headers = call.headers;
    if !body.is_empty() {
        request.body = Some(bytes::Bytes::copy_from_slice(body));
    }
    request.idempotent = call.idempotent.unwrap_or(request.idempotent);
    request.timeout =
        call.timeout_ms.map_or(request.timeout, |ms| Duration::from_millis(ms.clamp(1, 3_600_000)));
    request.attempts = call.attempts.unwrap_or(request.attempts).clamp(1, 20);
    request.max_response_bytes = call.max_response_bytes.unwrap_or(request.max_response_bytes).min(1 << 30);
    if !call.accept.is_empty() {
        let accept = call.accept;
        let judge: Judge = Arc::new(move |head, _| match accept.contains(&head.status) {
            true => Verdict::Accept,
            false => Verdict::ByStatus,
        });
        request.judge = Some(judge);
    }
    Ok(request)
}

/// Services while a plugin is set up: it may ask for its secrets, and for nothing of the world.
pub(crate) struct SetupServices {
    pub plugin: String,
    pub secrets: HashMap<String, String>,
    pub redactor: Redactor,
}

impl Services for SetupServices {
    fn log(&self, level: i32, message: &str, fields: &str) {
        log(&self.plugin, level, &self.redactor.redact(message), &self.redactor.redact(fields));
    }
    fn metric(&self, _: &str, _: i32, _: f64, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
    fn sleep(&self, _: u64) -> Answer<()> {
        Err(not_now("sleep"))
    }
    fn now_ms(&self) -> i64 {
        0
    }
    fn secret(&self, name: &str) -> Answer<String> {
        secret(&self.secrets, name)
    }
    fn http(&self, _: HttpCall, _: &[u8]) -> Answer<(Value, Vec<u8>)> {
        Err(not_now("use HTTP"))
    }
}

fn not_now(what: &str) -> Failure {
    Failure::new(
        abi::TL_UNSUPPORTED,
        format!("a plugin cannot {what} while it is opened: only while it reads, writes or checks"),
    )
}

fn secret(secrets: &HashMap<String, String>, name: &str) -> Answer<String> {
    let missing = || Failure::new(abi::TL_CONFIG, format!("the options have no secret {name:?}"));
    secrets.get(name).cloned().ok_or_else(missing)
}

fn log(plugin: &str, level: i32, message: &str, fields: &str) {
    match level {
        i32::MIN..=0 => tracing::trace!(plugin, fields, "{message}"),
        1 => tracing::debug!(plugin, fields, "{message}"),
        2 => tracing::info!(plugin, fields, "{message}"),
        3 => tracing::warn!(plugin, fields, "{message}"),
        _ => tracing::error!(plugin, fields, "{message}"),
    }
}
