//! Errors of plugins.

use std::fmt;

use throughline_plugin_abi as abi;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the host can decide on: whether to try again, and whom to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// An option is wrong: a person must edit.
    Config,
    /// Credentials are missing, wrong or expired for good.
    Auth,
    /// The other side asks for patience.
    RateLimited,
    NotFound,
    /// The other side did not speak its protocol.
    Protocol,
    /// Data is unusable or does not add up.
    Data,
    /// Disk or network.
    Io,
    Unsupported,
    /// The host asked to stop.
    Cancelled,
    /// A broken promise inside the plugin.
    Bug,
}

/// What went wrong, on what, and what to do. Never put a secret into it.
#[derive(Clone, Debug)]
pub struct Error {
    pub kind: ErrorKind,
    pub message: String,
    pub hint: String,
    /// RFC 6901 pointer into the options, e.g. `/page_size`: the host then points into the user's file.
    pub config_pointer: Option<String>,
    pub http_status: Option<u16>,
    /// The same call may succeed later.
    pub temporary: bool,
    pub retry_after_ms: Option<u64>,
}

const CODES: [(ErrorKind, i32); 10] = [
    (ErrorKind::Config, abi::TL_CONFIG),
    (ErrorKind::Auth, abi::TL_AUTH),
    (ErrorKind::RateLimited, abi::TL_RATE_LIMITED),
    (ErrorKind::NotFound, abi::TL_NOT_FOUND),
    (ErrorKind::Protocol, abi::TL_PROTOCOL),
    (ErrorKind::Data, abi::TL_DATA),
    (ErrorKind::Io, abi::TL_IO),
    (ErrorKind::Unsupported, abi::TL_UNSUPPORTED),
    (ErrorKind::Cancelled, abi::TL_CANCELLED),
    (ErrorKind::Bug, abi::TL_PANIC),
];

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: String::new(),
            config_pointer: None,
            http_status: None,
            temporary: false,
            retry_after_ms: None,
        }
    }

    /// An error at one option.
    pub fn option(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { config_pointer: Some(pointer.into()), ..Self::new(ErrorKind::Config, message) }
    }

    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }

    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    pub fn io(doing: impl fmt::Display, error: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{doing}: {error}"))
    }

    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "stopped")
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    /// What a service of the host failed with.
    ///
    /// # Safety
    /// `error` was empty before the call that returned `code`, and only that call wrote to it.
    pub(crate) unsafe fn of(code: i32, error: &mut abi::tl_error) -> Self {
        // SAFETY: the buffers are the host's, as the header says.
        let (message, hint, pointer) =
            unsafe { (error.message.take(), error.hint.take(), error.config_pointer.take()) };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self {
            kind: CODES.iter().find(|(_, c)| *c == code).map_or(ErrorKind::Bug, |(kind, _)| *kind),
            message: text(message),
            hint: text(hint),
            config_pointer: Some(text(pointer)).filter(|p| !p.is_empty()),
            http_status: u16::try_from(error.http_status).ok().filter(|s| *s > 0),
            temporary: error.flags & abi::TL_ERROR_TEMPORARY != 0,
            retry_after_ms: u64::try_from(error.retry_after_ms).ok().filter(|ms| *ms > 0),
        }
    }

    /// Tells the host; gives the status to return.
    ///
    /// # Safety
    /// `error` is NULL or an empty `tl_error` of the size it names.
    pub(crate) unsafe fn tell(self, error: *mut abi::tl_error) -> i32 {
        let code = CODES.iter().find(|(kind, _)| *kind == self.kind).map_or(abi::TL_PANIC, |(_, code)| *code);
        // SAFETY: as the caller promises.
        unsafe {
            if error.is_null() || ((*error).struct_size as usize) < size_of::<abi::tl_error>() {
                return code;
            }
            (*error).code = code;
            (*error).http_status = self.http_status.map_or(0, i32::from);
            (*error).flags = if self.temporary { abi::TL_ERROR_TEMPORARY } else { 0 };
            (*error).retry_after_ms = self.retry_after_ms.and_then(|ms| i64::try_from(ms).ok()).unwrap_or(-1);
            (*error).message = abi::tl_buf::of(self.message.into_bytes());
            (*error).hint = abi::tl_buf::of(self.hint.into_bytes());
            (*error).config_pointer = abi::tl_buf::of(self.config_pointer.unwrap_or_default().into_bytes());
        }
        code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, "; {}", self.hint) }
    }
}

impl std::error::Error for Error {}

impl From<arrow_schema::ArrowError> for Error {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::data(error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::protocol(format!("JSON that cannot be read: {error}"))
    }
}
