//! The host's services as C functions: each finds who is asking by the scope it was given.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use throughline_plugin_abi as abi;

use crate::failure::Failure;
use crate::session::Answer;

/// What a plugin's calls are answered by: the engine's context, or the pipe to a process that has one.
pub(crate) trait Services: Send + Sync {
    fn log(&self, level: i32, message: &str, fields: &str);
    fn metric(&self, name: &str, kind: i32, value: f64, labels: &str);
    fn cancelled(&self) -> bool;
    fn sleep(&self, ms: u64) -> Answer<()>;
    fn now_ms(&self) -> i64;
    fn secret(&self, name: &str) -> Answer<String>;
    fn http(&self, call: HttpCall, body: &[u8]) -> Answer<(Value, Vec<u8>)>;
}

/// The request of `tl_host.http`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpCall {
    pub method: String,
    pub url: String,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    pub account: Option<Account>,
    pub idempotent: Option<bool>,
    pub timeout_ms: Option<u64>,
    pub attempts: Option<u32>,
    pub max_response_bytes: Option<u64>,
    /// Statuses besides 2xx that are an answer.
    #[serde(default)]
    pub accept: Vec<u16>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub key: String,
    pub per_second: Option<f64>,
    pub burst: Option<u32>,
    pub parallel: Option<u32>,
}

/// What `scope` points to.
pub(crate) struct Scope(pub std::sync::Arc<dyn Services>);

/// The table every plugin of this process is given.
pub(crate) fn host(abi_version: u32) -> &'static abi::tl_host {
    Box::leak(Box::new(abi::tl_host {
        struct_size: size_of::<abi::tl_host>() as u32,
        abi: abi_version,
        ctx: std::ptr::null_mut(),
        log: Some(log),
        metric: Some(metric),
        cancelled: Some(cancelled),
        sleep_ms: Some(sleep_ms),
        now_ms: Some(now_ms),
        secret: Some(secret),
        http: Some(http),
    }))
}

/// Runs a service for a scope. A panic of ours must not cross into the plugin.
fn served<T>(scope: *mut c_void, without: T, run: impl FnOnce(&dyn Services) -> T) -> T {
    if scope.is_null() {
        return without;
    }
    // SAFETY: a scope is given to calls of this library alone and outlives them (`native`).
    let scope = unsafe { &*scope.cast::<Scope>() };
    catch_unwind(AssertUnwindSafe(|| run(scope.0.as_ref()))).unwrap_or(without)
}

/// A plugin's text; what is no UTF-8 is shown as well as it can be.
fn text(from: abi::tl_str) -> String {
    // SAFETY: the plugin lends the text for the call.
    String::from_utf8_lossy(unsafe { from.bytes() }).into_owned()
}

fn no_scope() -> Failure {
    Failure::new(abi::TL_UNSUPPORTED, "this call has no scope: services are for calls that are given one")
}

unsafe extern "C" fn log(
    _: *mut c_void,
    scope: *mut c_void,
    level: i32,
    message: abi::tl_str,
    fields: abi::tl_str,
) {
    served(scope, (), |s| s.log(level, &text(message), &text(fields)));
}

unsafe extern "C" fn metric(
    _: *mut c_void,
    scope: *mut c_void,
    name: abi::tl_str,
    kind: i32,
    value: f64,
    labels: abi::tl_str,
) {
    served(scope, (), |s| s.metric(&text(name), kind, value, &text(labels)));
}

unsafe extern "C" fn cancelled(_: *mut c_void, scope: *mut c_void) -> i32 {
    served(scope, 0, |s| i32::from(s.cancelled()))
}

unsafe extern "C" fn sleep_ms(_: *mut c_void, scope: *mut c_void, ms: u64) -> i32 {
    served(scope, abi::TL_UNSUPPORTED, |s| s.sleep(ms).map_or_else(|f| f.code, |()| abi::TL_OK))
}

unsafe extern "C" fn now_ms(_: *mut c_void, scope: *mut c_void) -> i64 {
    served(scope, 0, |s| s.now_ms())
}

unsafe extern "C" fn secret(
    _: *mut c_void,
    scope: *mut c_void,
    name: abi::tl_str,
    value: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    let found = served(scope, Err(no_scope()), |s| s.secret(&text(name)));
    // SAFETY: outputs are the plugin's, zeroed, or NULL.
    unsafe {
        match found {
            Ok(_) if value.is_null() => Failure::new(abi::TL_PANIC, "no place for the value").tell(error),
            Ok(found) => {
                *value = abi::tl_buf::of(found.into_bytes());
                abi::TL_OK
            }
            Err(failure) => failure.tell(error),
        }
    }
}

unsafe extern "C" fn http(
    _: *mut c_void,
    scope: *mut c_void,
    request: abi::tl_str,
    body: abi::tl_str,
    head_out: *mut abi::tl_buf,
    body_out: *mut abi::tl_buf,
    error: *mut abi::tl_error,
) -> i32 {
    let answer = served(scope, Err(no_scope()), |s| {
        // SAFETY: the plugin lends both for the call.
        let (request, body) = unsafe { (request.bytes(), body.bytes()) };
        let call = serde_json::from_slice::<HttpCall>(request).map_err(|e| {
            Failure::new(abi::TL_PANIC, format!("the plugin asks for an HTTP exchange wrongly: {e}"))
        })?;
        s.http(call, body)
    });
    // SAFETY: outputs are the plugin's, zeroed, or NULL.
    unsafe {
        match answer {
            Ok((head, body)) => {
                if !head_out.is_null() {
                    *head_out = abi::tl_buf::of(head.to_string().into_bytes());
                }
                if !body_out.is_null() {
                    *body_out = abi::tl_buf::of(body);
                }
                abi::TL_OK
            }
            Err(failure) => failure.tell(error),
        }
    }
}
