//! Errors as they cross the border: between the interface's struct, the pipe's JSON and our own type.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use throughline_core::{Error, ErrorKind, Place, PointerAt, Retry};
use throughline_plugin_abi as abi;

/// An error of a plugin, or of a service that it called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Failure {
    pub code: i32,
    pub http_status: i32,
    pub temporary: bool,
    pub retry_after_ms: Option<u64>,
    pub message: String,
    pub hint: String,
    pub config_pointer: Option<String>,
}

const KINDS: [(i32, ErrorKind); 10] = [
    (abi::TL_CONFIG, ErrorKind::Config),
    (abi::TL_AUTH, ErrorKind::Auth),
    (abi::TL_RATE_LIMITED, ErrorKind::RateLimited),
    (abi::TL_NOT_FOUND, ErrorKind::NotFound),
    (abi::TL_PROTOCOL, ErrorKind::Protocol),
    (abi::TL_DATA, ErrorKind::Data),
    (abi::TL_IO, ErrorKind::Io),
    (abi::TL_UNSUPPORTED, ErrorKind::Unsupported),
    (abi::TL_CANCELLED, ErrorKind::Cancelled),
    (abi::TL_PANIC, ErrorKind::Bug),
];

impl Failure {
    pub fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), ..Self::default() }
    }

    pub fn cancelled() -> Self {
        Self::new(abi::TL_CANCELLED, "the run was stopped")
    }

    /// Takes what a callee filled in.
    ///
    /// # Safety
    /// `error` was zeroed by us and filled, or not, by the function that returned `code`.
    pub unsafe fn of(code: i32, error: &mut abi::tl_error) -> Self {
        // SAFETY: the buffers are the callee's, as the header says.
        let (message, hint, pointer) =
            unsafe { (error.message.take(), error.hint.take(), error.config_pointer.take()) };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let mut message = text(message);
        if message.is_empty() {
            message = format!("status {code} and no message");
        }
        Self {
            code,
            http_status: error.http_status,
            temporary: error.flags & abi::TL_ERROR_TEMPORARY != 0,
            retry_after_ms: u64::try_from(error.retry_after_ms).ok().filter(|ms| *ms > 0),
            message,
            hint: text(hint),
            config_pointer: Some(text(pointer)).filter(|p| !p.is_empty()),
        }
    }

    /// Tells a plugin why a service failed.
    ///
    /// # Safety
    /// `error` is NULL or a zeroed `tl_error` of the size it names.
    pub unsafe fn tell(self, error: *mut abi::tl_error) -> i32 {
        let code = self.code;
        // SAFETY: checked for NULL; a struct of another size is not ours to fill.
        unsafe {
            if error.is_null() || ((*error).struct_size as usize) < size_of::<abi::tl_error>() {
                return code;
            }
            (*error).code = code;
            (*error).http_status = self.http_status;
            (*error).flags = if self.temporary { abi::TL_ERROR_TEMPORARY } else { 0 };
            (*error).retry_after_ms = self.retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(-1);
            (*error).message = abi::tl_buf::of(self.message.into_bytes());
            (*error).hint = abi::tl_buf::of(self.hint.into_bytes());
            (*error).config_pointer = abi::tl_buf::of(self.config_pointer.unwrap_or_default().into_bytes());
        }
        code
    }

    /// As the rest of the house knows errors; names the plugin.
    pub fn into_error(self, plugin: &str) -> Error {
        if self.code == abi::TL_CANCELLED {
            return Error::cancelled();
        }
        let kind =
            KINDS.iter().find(|(code, _)| *code == self.code).map_or(ErrorKind::Bug, |(_, kind)| *kind);
        let mut error = Error::new(kind, self.message).with("plugin", plugin);
        if self.http_status != 0 {
            error = error.with("status", self.http_status);
        }
        if !self.hint.is_empty() {
            error = error.hint(self.hint);
        }
        // Of a limit that is not said to be for good, patience is the cure.
        if self.temporary || kind == ErrorKind::RateLimited {
            error = error.temporary(self.retry_after_ms.map(Duration::from_millis));
        }
        if let Some(pointer) = self.config_pointer {
            let unknown = error.message().starts_with("unknown field");
            let at = if unknown { PointerAt::Key } else { PointerAt::Value };
            error = error.at(Place::Option { pointer, at });
        }
        error
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (temporary, after) = match error.retry() {
            Retry::Permanent => (false, None),
            Retry::Temporary { after } => (true, after),
        };
        let mut message = error.message().to_owned();
        for (key, value) in error.context() {
            message += &format!(" ({key}: {value})");
        }
        Self {
            code: KINDS.iter().find(|(_, k)| *k == error.kind()).map_or(abi::TL_PANIC, |(code, _)| *code),
            http_status: 0,
            temporary,
            retry_after_ms: after.and_then(|d| u64::try_from(d.as_millis()).ok()),
            message,
            hint: error.hint_text().unwrap_or_default().to_owned(),
            config_pointer: match error.place() {
                Some(Place::Option { pointer, .. }) => Some(pointer.clone()),
                _ => None,
            },
        }
    }
}
