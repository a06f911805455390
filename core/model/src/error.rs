//! The one error type of the tree.
//!
//! A caller asks an error three things: what kind it is (to decide), whether to try again (to
//! wait), and what to show a person. There is no variant per vendor: what a vendor said goes into
//! the message and the context pairs.

use std::fmt;
use std::time::Duration;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The pipeline file, an option or a secret is wrong: nothing to retry, a person must edit.
    Config,
    /// The vendor refused our credentials or our rights.
    Auth,
    /// The vendor asked us to slow down and our patience ended.
    RateLimited,
    /// What was asked for does not exist.
    NotFound,
    /// The other side did not speak the protocol (a page without records, a cut body).
    Protocol,
    /// The data itself is unusable or does not add up.
    Data,
    /// Disk or network.
    Io,
    /// This connector, sink or engine cannot do what was asked.
    Unsupported,
    /// The run was stopped from outside.
    Cancelled,
    /// A broken promise inside Throughline.
    Bug,
}

impl ErrorKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Auth => "auth",
            Self::RateLimited => "rate_limited",
            Self::NotFound => "not_found",
            Self::Protocol => "protocol",
            Self::Data => "data",
            Self::Io => "io",
            Self::Unsupported => "unsupported",
            Self::Cancelled => "cancelled",
            Self::Bug => "bug",
        }
    }
}

/// Whether the same call may succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Never: the answer will be the same.
    Permanent,
    /// Yes, and not before this long from now where the other side said so.
    Temporary { after: Option<Duration> },
}

/// Where an error points: into a text the user wrote, or into what a source delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `line` and `column` start at 1; `column` counts characters, not bytes.
    File { path: String, line: usize, column: usize },
    /// A JSON pointer (RFC 6901) into the options a connector was given; the engine, which has
    /// the TOML, turns it into a [`Place::File`].
    Option { pointer: String, at: PointerAt },
    /// A stream of a source, and the page, part or line in it.
    Stream { source: String, stream: String, page: Option<String> },
}

/// Whether a [`Place::Option`] means the key (an unknown one) or its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PointerAt {
    Key,
    Value,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Option { pointer, .. } => write!(f, "option {pointer}"),
            Self::Stream { source, stream, page: None } => write!(f, "{source}.{stream}"),
            Self::Stream { source, stream, page: Some(page) } => write!(f, "{source}.{stream}, {page}"),
        }
    }
}

/// What went wrong, where, and what to do about it.
///
/// The message says what was tried, on what, and what was found; the hint says what to do.
/// Neither ever holds a secret: values that come from outside go through redaction in the HTTP
/// client before they get here.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    message: String,
    hint: Option<String>,
    place: Option<Place>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: Retry::Permanent,
            message: message.into(),
            hint: None,
            place: None,
            context: Vec::new(),
            source: None,
        }))
    }

    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }
    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Protocol, message)
    }
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unsupported, message)
    }
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Bug, message)
    }
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "the run was stopped")
    }
    /// An input or output error with what was being done: `Error::io("write", &path, e)`.
    pub fn io(doing: &str, on: impl fmt::Display, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{doing} {on}: {source}")).caused_by(source)
    }

    #[must_use]
    pub fn temporary(mut self, after: Option<Duration>) -> Self {
        self.0.retry = Retry::Temporary { after };
        self
    }
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }
    /// Names the place only when a deeper layer has not named a more exact one.
    #[must_use]
    pub fn or_at(mut self, place: impl FnOnce() -> Place) -> Self {
        if self.0.place.is_none() {
            self.0.place = Some(place());
        }
        self
    }
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    pub fn retry(&self) -> Retry {
        self.0.retry
    }
    pub fn is_temporary(&self) -> bool {
        matches!(self.0.retry, Retry::Temporary { .. })
    }
    pub fn message(&self) -> &str {
        &self.0.message
    }
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }
    pub fn context(&self) -> &[(&'static str, String)] {
        &self.0.context
    }
}

/// One line: place, message, context, hint.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.0.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)?;
        for (i, (key, value)) in self.0.context.iter().enumerate() {
            f.write_str(if i == 0 { " (" } else { ", " })?;
            write!(f, "{key}: {value}")?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self, self.0.kind.as_str())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Self {
        Self::data(e.to_string()).caused_by(e)
    }
}
